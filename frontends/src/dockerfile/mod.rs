//! The Dockerfile dialect: source text to syntax tree, word expansion, and the ignore file.
//!
//! The reference is BuildKit's `frontend/dockerfile` (its `parser`, `instructions` and `shell` packages).
//! Nothing is expanded while parsing: a tree holds words as they are written, and whoever lowers it
//! expands them with an [`expand::Expander`] in the environment that the instruction sees.

pub mod ast;
pub mod change;
pub mod check;
mod csv;
pub mod device;
pub mod diagnostic;
pub mod directive;
mod duration;
pub mod environment;
pub mod expand;
mod flags;
mod glob;
mod heredoc;
pub mod ignorefile;
pub mod instruction;
mod interpret;
mod lexer;
pub mod lint;
pub mod lower;
pub mod mount;
pub mod parser;
pub mod span;
mod split;
pub mod statement;

pub use ast::{Dockerfile, Instruction, Stage};
pub use diagnostic::{Diagnostic, Severity};
pub use environment::Environment;
pub use expand::{Expander, Expansion};
pub use mount::parse_bool;
pub use span::{LineIndex, LineRange, Span};
