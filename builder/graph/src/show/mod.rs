//! A definition for people and for other programs: as JSON, as DOT, as a tree.
//!
//! Each is a function of the definition alone, so equal graphs give equal texts on every machine.

mod dot;
mod json;
mod message;
mod tree;

pub use dot::to_dot;
pub use json::{to_json, to_message};
pub use tree::to_tree;
