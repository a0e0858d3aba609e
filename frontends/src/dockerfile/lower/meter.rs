//! What a lowering costs: limits that only hostile input reaches.
//!
//! Values that double from line to line, a large environment in thousands of steps, thousands of stages with
//! large configs: each would fill the memory long before the disk, or take days. All of it is counted, not
//! measured, so the same file always fails at the same place.

use std::cell::Cell;

use super::super::ast::Word;
use super::super::expand::{Environment, Expander, Expansion};
use super::super::span::Span;
use super::error::{Fault, LowerError};
use super::variables::Variables;

/// The most bytes that the variables of a stage may have. Linux starts no program with more than a
/// quarter of its stack limit in arguments and variables, 2 MiB as a rule.
const MAX_ENVIRONMENT: usize = 2 << 20;

/// The most bytes that histories, steps and the configs of stages may have together.
const MAX_HELD: usize = 64 << 20;

/// How much all expansions together may cost, in the steps of [`Expansion::work`].
const MAX_WORK: usize = 1 << 30;

/// Counts what is held and what is done.
#[derive(Debug, Default)]
pub(super) struct Meter {
    held: Cell<usize>,
    work: Cell<usize>,
}

impl Meter {
    /// Expands a word.
    pub(super) fn expand(
        &self,
        expander: Expander,
        word: &Word,
        env: &(impl Environment + ?Sized),
    ) -> Result<Expansion, LowerError> {
        let expansion = expander.expand(&word.text, env).map_err(|error| LowerError::expand(word, error))?;
        self.spend(expansion.work, word.span)?;
        Ok(expansion)
    }

    /// Takes note of the cost of an expansion.
    pub(super) fn spend(&self, work: usize, span: Span) -> Result<(), LowerError> {
        add(&self.work, work, MAX_WORK, span)
    }

    /// Takes note of bytes that stay in memory until the graph is written.
    pub(super) fn hold(&self, bytes: usize, span: Span) -> Result<(), LowerError> {
        add(&self.held, bytes, MAX_HELD, span)
    }

    /// Refuses variables with which no program could be started.
    pub(super) fn check_variables(&self, variables: &Variables, span: Span) -> Result<(), LowerError> {
        if variables.size() > MAX_ENVIRONMENT { Err(too_large(span)) } else { Ok(()) }
    }
}

fn add(sum: &Cell<usize>, more: usize, limit: usize, span: Span) -> Result<(), LowerError> {
    sum.set(sum.get().saturating_add(more));
    if sum.get() > limit { Err(too_large(span)) } else { Ok(()) }
}

fn too_large(span: Span) -> LowerError {
    LowerError::new(span, Fault::TooLarge).help("look for a variable that is made of itself")
}
