//! Text to LLB: what a user writes becomes a definition and an image config.

pub mod dockerfile;
