//! The syntax tree of a Dockerfile.

use std::ops::Range;

use super::diagnostic::Diagnostic;
use super::instruction::{ArgDefinition, Command, From};
use super::span::{LineRange, Span};
use super::statement::Statement;

/// A piece of text as written, quotes and variables included, and where it stands.
///
/// The text differs from the source at the span where a continuation line ends within it, or where the exec
/// form's JSON has escapes. In a trigger ([`super::instruction::Onbuild`]) that comes out of a base image,
/// spans count in the trigger's own text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Word {
    /// The text.
    pub text: String,
    /// Its place.
    pub span: Span,
}

impl Word {
    /// A word at a place.
    pub fn new(text: impl Into<String>, span: Span) -> Self {
        Self { text: text.into(), span }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where these bytes of the text stand: exactly, while the text is just what the source has there; else, and
    /// for no bytes at all, the whole word.
    pub fn part(&self, range: Range<usize>) -> Span {
        let exact = self.span.end - self.span.start == self.text.len() && range.end <= self.text.len();
        match exact && !range.is_empty() {
            true => Span::new(self.span.start + range.start, self.span.start + range.end),
            false => self.span,
        }
    }
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// A parser directive, `# name=value`, at the head of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// `syntax`, `escape` or `check`, in lower case.
    pub name: String,
    /// The value, without the blanks around it.
    pub value: Word,
}

/// A here-document: a redirection such as `<<-"EOF"` and the lines that follow its instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter without its quotes; for COPY and ADD it is the file's name too.
    pub name: String,
    /// The number before `<<`, 0 when there is none.
    pub descriptor: u32,
    /// Whether variables in the content are expanded: not so when the delimiter is quoted.
    pub expand: bool,
    /// Whether leading tabs are to be cut (`<<-`): see [`Heredoc::chomped`].
    pub chomp: bool,
    /// The lines between the instruction and the delimiter, line ends included, as written.
    pub content: String,
    /// Where the content stands, without the delimiter's line.
    pub span: Span,
    /// The lines of the content and the delimiter.
    pub lines: LineRange,
}

impl Heredoc {
    /// The content that a `COPY` writes: without the leading tabs of each line where `<<-` asks for that.
    pub fn chomped(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// An instruction: its [`Statement`], whose fields it lends, and what that says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The text's parts.
    pub statement: Statement,
    /// What it says.
    pub command: Command,
}

impl std::ops::Deref for Instruction {
    type Target = Statement;

    fn deref(&self) -> &Statement {
        &self.statement
    }
}

/// A stage: a FROM and the instructions up to the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What FROM says.
    pub from: From,
    /// The FROM instruction itself.
    pub instruction: Instruction,
    /// The instructions behind it; never a [`Command::From`].
    pub commands: Vec<Instruction>,
}

impl Stage {
    /// The name given with AS, in lower case.
    pub fn name(&self) -> Option<&str> {
        self.from.name.as_ref().map(Word::as_str)
    }

    /// The description in the comment above FROM (`# <name> <text>`).
    pub fn description(&self) -> Option<&str> {
        self.instruction.description(self.name()?)
    }
}

/// A whole file without errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// The parser directives, in the file's order.
    pub directives: Vec<Directive>,
    /// The escape character: `\`, or what `# escape=` says.
    pub escape: char,
    /// The ARG instructions before the first FROM.
    pub global_args: Vec<Instruction>,
    /// The stages; one at least.
    pub stages: Vec<Stage>,
    /// What the parser itself warns of (lint has more).
    pub warnings: Vec<Diagnostic>,
}

impl Dockerfile {
    /// The value of a directive, by its lower-case name.
    pub fn directive(&self, name: &str) -> Option<&Word> {
        self.directives.iter().find(|directive| directive.name == name).map(|directive| &directive.value)
    }

    /// All instructions in the file's order, FROMs included.
    pub fn instructions(&self) -> impl Iterator<Item = &Instruction> {
        let stages = self.stages.iter().flat_map(|s| std::iter::once(&s.instruction).chain(&s.commands));
        self.global_args.iter().chain(stages)
    }

    /// The arguments before the first FROM, with the instructions that define them.
    pub fn global_definitions(&self) -> impl Iterator<Item = (&Instruction, &ArgDefinition)> {
        self.global_args.iter().flat_map(|instruction| match &instruction.command {
            Command::Arg(definitions) => definitions.iter().map(|d| (instruction, d)).collect::<Vec<_>>(),
            _ => Vec::new(),
        })
    }

    /// The index of the last stage with this name, letter case aside. (Of two stages with one name, a later
    /// reference means the last one before it; see [`Dockerfile::stage_before`].)
    pub fn stage(&self, name: &str) -> Option<usize> {
        self.stage_before(name, self.stages.len())
    }

    /// The index of the last stage with this name among the first `end` stages.
    pub fn stage_before(&self, name: &str, end: usize) -> Option<usize> {
        self.stages[..end.min(self.stages.len())]
            .iter()
            .rposition(|stage| stage.name().is_some_and(|n| n.eq_ignore_ascii_case(name)))
    }
}
