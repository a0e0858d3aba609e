//! The Dockerfile dialect: source text to syntax tree, word expansion, and the ignore file.
//!
//! The reference is BuildKit's `frontend/dockerfile` (its `parser`, `instructions` and `shell` packages).
//! Nothing is expanded while parsing: a tree holds words as they are written, and whoever lowers it
//! expands them with an [`expand::Expander`] in the environment that the instruction sees.

pub mod ast;
pub mod diagnostic;
pub mod expand;
mod glob;
pub mod instruction;
pub mod span;

pub use ast::{Dockerfile, Instruction, Stage};
pub use diagnostic::{Diagnostic, Severity};
pub use expand::{Environment, Expander, Expansion};
pub use span::{LineIndex, LineRange, Span};
