//! Why a Dockerfile that parses can't be lowered.

use routerpack_graph::exec::InvalidExec;
use routerpack_graph::file::InvalidFileOp;
use routerpack_graph::platform::InvalidPlatform;

use super::super::ast::Word;
use super::super::diagnostic::{Diagnostic, nearest};
use super::super::expand::{self, ExpandError};
use super::super::span::Span;
use super::resolver::ResolveError;
use super::variables::Variables;

/// So many faults of one file are reported; the file is not looked at any further.
pub(super) const MAX_FAULTS: usize = 100;

/// A fault and the bytes of the Dockerfile that it is about. Faults in the triggers of a base image are
/// about its FROM.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
pub struct LowerError {
    /// The place.
    pub span: Span,
    /// What is wrong.
    #[source]
    pub fault: Box<Fault>,
    /// What to do.
    pub help: Option<String>,
    /// What would be right in place of the underlined bytes, where that is known.
    pub replacement: Option<String>,
    /// What else is wrong, in the file's order.
    pub others: Vec<LowerError>,
}

impl LowerError {
    /// A fault at a place.
    pub fn new(span: Span, fault: Fault) -> Self {
        Self { span, fault: Box::new(fault), help: None, replacement: None, others: Vec::new() }
    }

    /// A word that can't be expanded.
    pub(super) fn expand(word: &Word, error: ExpandError) -> Self {
        let help = error.fault.help();
        Self::new(word.part(error.range.clone()), Fault::Expand(error)).help(help)
    }

    /// Whether the rest of the file is not worth its cost.
    pub(super) fn is_final(&self) -> bool {
        use expand::Fault::{Depth, Size, Work};
        match &*self.fault {
            Fault::TooLarge => true,
            Fault::Expand(error) => matches!(error.fault, Depth | Size | Work),
            _ => false,
        }
    }

    /// Several at once; nothing, if there are none.
    pub(super) fn all(mut errors: Vec<Self>) -> Result<(), Self> {
        errors.sort_by_key(|error| error.span.start);
        let mut errors = errors.into_iter();
        match errors.next() {
            None => Ok(()),
            Some(first) => Err(Self { others: errors.collect(), ..first }),
        }
    }

    /// With what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With "did you mean", when one of the candidates is near.
    pub(super) fn suggest<'c>(self, written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Self {
        match nearest(written, candidates) {
            Some(candidate) => {
                let same = self.span.end - self.span.start == written.len();
                let replacement = same.then(|| candidate.to_owned());
                Self { replacement, ..self.help(format!("did you mean {candidate}?")) }
            }
            None => self,
        }
    }

    /// With the variable that may have been meant by a word that is one.
    pub(super) fn suggest_variable(self, word: &Word, known: &Variables) -> Self {
        let name = word.text.trim_matches(['$', '{', '}']);
        match nearest(name, known.names()) {
            Some(near) => {
                let meant = word.text.replace(name, near);
                Self { replacement: Some(meant.clone()), ..self.help(format!("did you mean {meant}?")) }
            }
            None => self,
        }
    }

    /// This one and the others, in the form that is drawn with the source's excerpt.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        std::iter::once(self.diagnostic()).chain(self.others.iter().map(Self::diagnostic)).collect()
    }

    /// This one alone.
    pub fn diagnostic(&self) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(self.span, self.fault.to_string());
        let mut cause = std::error::Error::source(&*self.fault);
        let mut reasons = Vec::new();
        while let Some(error) = cause {
            reasons.push(error.to_string());
            cause = error.source();
        }
        if !reasons.is_empty() {
            diagnostic = diagnostic.because(reasons.join(": "));
        }
        Diagnostic { help: self.help.clone(), replacement: self.replacement.clone(), ..diagnostic }
    }
}

/// What can be wrong. The wording follows BuildKit's where it has the same fault.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Fault {
    #[error("target stage {0:?} could not be found")]
    UnknownTarget(String),
    #[error("circular dependency detected on stage: {0}")]
    Circular(String),
    #[error("invalid stage index {0}")]
    StageIndex(String),
    #[error("cannot copy from stage {from:?}, it needs to be defined before current stage {stage:?}")]
    CopyFromLater { from: String, stage: String },
    #[error("cannot mount from stage {from:?} to {target:?}, stage needs to be defined before current command")]
    MountFromLater { from: String, target: String },
    #[error("base name ({0}) should not be blank")]
    BlankBase(String),
    #[error("failed to parse stage name {name:?}: {reason}")]
    Reference { name: String, reason: String },
    #[error("empty platform value from expression {0}")]
    BlankPlatform(String),
    #[error("failed to parse platform {written}")]
    Platform { written: String, source: InvalidPlatform },
    #[error("{0}")]
    Expand(ExpandError),
    #[error("cannot resolve {name}")]
    Resolve { name: String, source: ResolveError },
    #[error("failed to parse the image config of {name}")]
    Config { name: String, source: serde_json::Error },
    #[error("ONBUILD trigger of the base, `{trigger}`: {reason}")]
    Trigger { trigger: String, reason: String },
    #[error("invalid SOURCE_DATE_EPOCH: {0}")]
    Epoch(String),
    #[error("SOURCE_DATE_EPOCH stage {0}")]
    EpochStage(String),
    #[error("variables or history are too large: no program could be started with them")]
    TooLarge,
    #[error("RUN --device isn't supported: there are no CDI devices in a build here")]
    Device,
    #[error("{0}")]
    Mount(String),
    #[error("invalid chmod parameter: '{0}'. it should be octal string and between 0 and 07777")]
    Chmod(String),
    #[error("checksum can't be specified for {0}")]
    ChecksumFor(&'static str),
    #[error("checksum requires HTTP(S) or Git sources")]
    ChecksumOfLocal,
    #[error("{written:?} is not a checksum")]
    Checksum { written: String, source: routerpack_graph::digest::InvalidDigest },
    #[error("checksum mismatch {0:?} != {1:?}")]
    ChecksumMismatch(String, String),
    #[error("source can't be a {0} for COPY")]
    RemoteCopy(&'static str),
    #[error("inconsistent keep-git-dir configuration")]
    KeepGitDir,
    #[error("{written}: {reason}")]
    Git { written: String, reason: String },
    #[error("{0}")]
    Port(String),
    #[error("invalid signal: {0}")]
    Signal(String),
    #[error("too many errors: the file is not looked at any further")]
    TooMany,
    #[error("lint violation found for rules: {0}")]
    Lint(String),
    #[error("VOLUME specified can not be an empty string")]
    BlankVolume,
    #[error(transparent)]
    Exec(#[from] InvalidExec),
    #[error(transparent)]
    File(#[from] InvalidFileOp),
}
