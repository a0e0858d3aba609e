//! `RUN --mount` (BuildKit: `frontend/dockerfile/instructions/commands_runmount.go`).

use std::ops::Range;

use super::ast::Word;
use super::csv::{self, CsvError, Field};
use super::diagnostic::Diagnostic;
use super::expand::ExpandError;

/// One mount of a RUN, with BuildKit's defaults for what the value doesn't say; an empty string is a key that
/// isn't there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// `type`.
    pub kind: MountKind,
    /// `from`: a stage, a named context or an image; empty: the build context, or an empty cache.
    pub from: String,
    /// `source` (`src`).
    pub source: String,
    /// `target` (`dst`, `destination`).
    pub target: String,
    /// `readonly` (`ro`) or the contrary of `readwrite` (`rw`); by default bind, secret and ssh are read-only.
    pub readonly: bool,
    /// `size` of a tmpfs in bytes; 0 is without limit.
    pub size: i64,
    /// `id` of a cache, a secret or an ssh agent.
    pub id: String,
    /// `sharing` of a cache.
    pub sharing: Option<Sharing>,
    /// `required`: a missing secret or agent is an error.
    pub required: bool,
    /// `env`: the variable that holds the secret.
    pub env: Option<String>,
    /// `mode`, permission bits.
    pub mode: Option<u32>,
    /// `uid`.
    pub uid: Option<u32>,
    /// `gid`.
    pub gid: Option<u32>,
}

/// What is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MountKind {
    /// Files of a stage, an image or the context.
    #[default]
    Bind,
    /// A directory that outlives the build.
    Cache,
    /// Memory.
    Tmpfs,
    /// A secret as a file or a variable.
    Secret,
    /// The socket of an ssh agent.
    Ssh,
}

/// How several builds at once use a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// All write into it.
    #[default]
    Shared,
    /// Each has one of its own.
    Private,
    /// One waits for the other.
    Locked,
}

/// The keys, for suggestions.
const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];
const KINDS: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];
const SHARINGS: [&str; 3] = ["shared", "private", "locked"];

/// A value of `--mount` that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum MountError {
    #[error("failed to parse csv mounts: {0}")]
    Csv(#[from] CsvError),
    #[error("'from' doesn't support variable expansion, define alias stage instead")]
    FromVariable,
    #[error("{0}")]
    Expand(#[from] ExpandError),
    #[error("unsupported mount type {0:?}")]
    Kind(String),
    #[error("unsupported sharing value {0:?}")]
    Sharing(String),
    #[error("unexpected key '{key}' in '{field}'")]
    Key { key: String, field: String },
    #[error("unexpected key '{key}' for mount type '{kind}'")]
    KeyForKind { key: String, kind: MountKind },
    #[error("invalid field '{0}' must be a key=value pair")]
    Field(String),
    #[error("invalid value for {key}: {value}")]
    Value { key: String, value: String },
    #[error("invalid value {value} for {key}")]
    Number { key: String, value: String },
    #[error("{key} not allowed for \"{kind}\" type mounts")]
    Owner { key: &'static str, kind: MountKind },
    #[error("secret mount should not have a from")]
    SecretFrom,
    #[error("secret mount should not define sharing")]
    SecretSharing,
    #[error("invalid secret mount. one of source, target required")]
    SecretNothing,
    #[error("both source and id can't be set")]
    SecretTwice,
    #[error("invalid cache sharing set for {0} mount")]
    SharingForKind(MountKind),
}

impl MountError {
    /// What was written, and what might have been meant by it.
    pub fn choice(&self) -> Option<(&str, &'static [&'static str])> {
        match self {
            Self::Kind(kind) => Some((kind, &KINDS)),
            Self::Sharing(sharing) => Some((sharing, &SHARINGS)),
            Self::Key { key, .. } => Some((key, &KEYS)),
            _ => None,
        }
    }

    /// What to do, if nothing near is to be suggested.
    pub fn help(&self) -> String {
        match self {
            Self::Csv(_) => {
                "write key=value pairs with commas between them; a value with a comma stands in \"…\"".into()
            }
            Self::FromVariable => {
                "give the image a stage of its own, `FROM $image AS name`, and mount from that".into()
            }
            Self::Expand(error) => error.fault.help(),
            Self::Kind(_) => format!("it is one of {}", KINDS.join(", ")),
            Self::Sharing(_) => format!("it is one of {}", SHARINGS.join(", ")),
            Self::Key { .. } => format!("the keys are {}", KEYS.join(", ")),
            Self::KeyForKind { key, .. } if key == "size" => "write type=tmpfs before it".into(),
            Self::KeyForKind { .. } => "write type=secret or type=ssh before it".into(),
            Self::Field(field) => format!("write {field}=…"),
            Self::Value { key, .. } if key == "size" => "write bytes, or a number with k, m or g, such as 64m".into(),
            Self::Value { .. } => "write true or false".into(),
            Self::Number { key, .. } if key == "mode" => "write octal digits, such as 0700".into(),
            Self::Number { .. } => "write a number; names are not looked up here".into(),
            Self::Owner { key, .. } => format!("remove {key}=: what is mounted keeps its own"),
            Self::SecretFrom => "remove from=: a secret comes from --secret".into(),
            Self::SecretSharing | Self::SharingForKind(_) => "remove sharing=: only caches are shared".into(),
            Self::SecretNothing => "name the secret: id=NAME".into(),
            Self::SecretTwice => "remove source=: id= says the same".into(),
        }
    }

    /// Which of the fields of `value` is to blame; all of it where several are, or none.
    fn place(&self, value: &str) -> Range<usize> {
        let fields = csv::fields(value).unwrap_or_default();
        let with = |keys: &[&str], part: fn(&Field) -> Range<usize>| {
            let named = |field: &&Field| keys.iter().any(|key| field.pair().0.eq_ignore_ascii_case(key));
            fields.iter().rfind(named).map(part)
        };
        let found = match self {
            Self::Kind(_) => with(&["type"], Field::value),
            Self::Sharing(_) => with(&["sharing"], Field::value),
            Self::FromVariable => with(&["from"], Field::value),
            Self::Value { key, .. } | Self::Number { key, .. } => with(&[key], Field::value),
            Self::Key { key, .. } | Self::KeyForKind { key, .. } => with(&[key], Field::key),
            Self::Field(key) => with(&[key], |field| field.range.clone()),
            Self::Owner { key, .. } => with(&[key], |field| field.range.clone()),
            Self::SecretFrom => with(&["from"], |field| field.range.clone()),
            Self::SecretSharing | Self::SharingForKind(_) => with(&["sharing"], |field| field.range.clone()),
            Self::SecretTwice => with(&["source", "src"], |field| field.range.clone()),
            Self::Expand(error) => {
                let at = value.find(&error.word).unwrap_or(0);
                (at > 0).then_some(at + error.range.start..at + error.range.end)
            }
            Self::Csv(_) | Self::SecretNothing => None,
        };
        found.filter(|range| range.end <= value.len()).unwrap_or(0..value.len())
    }

    /// The error about a value that stands at a word.
    pub(super) fn diagnostic(&self, word: &Word) -> Diagnostic {
        let error = Diagnostic::error(word.part(self.place(&word.text)), self.to_string()).help(self.help());
        match self.choice() {
            Some((written, near)) => error.suggest(written, near.iter().copied()),
            None => error,
        }
    }
}

impl std::fmt::Display for MountKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(KINDS[*self as usize])
    }
}

impl MountKind {
    fn parse(text: &str) -> Option<Self> {
        let all = [Self::Bind, Self::Cache, Self::Tmpfs, Self::Secret, Self::Ssh];
        all.into_iter().find(|kind| text.eq_ignore_ascii_case(KINDS[*kind as usize]))
    }
}

impl Mount {
    /// What can be said of a value before its variables are expanded: that it is a record, and `from` has none.
    pub fn check(value: &str) -> Result<(), MountError> {
        for field in csv::fields(value)? {
            let (key, Some(value)) = field.pair() else { continue };
            // a `$` at the very end is none
            if key.eq_ignore_ascii_case("from") && value.strip_suffix('$').unwrap_or(value).contains('$') {
                return Err(MountError::FromVariable);
            }
        }
        Ok(())
    }

    /// Reads a value of `--mount`; `expand` expands each key's value.
    pub fn parse(value: &str, mut expand: impl FnMut(&str) -> Result<String, ExpandError>) -> Result<Self, MountError> {
        let mut mount = Mount::default();
        let mut readonly = None;
        for field in csv::fields(value)? {
            let (key, value) = field.pair();
            let key = key.to_lowercase();
            let value = match value {
                Some(value) => expand(value)?,
                None => match key.as_str() {
                    "readonly" | "ro" | "readwrite" | "rw" | "required" => "true".to_owned(),
                    _ => return Err(MountError::Field(field.text)),
                },
            };
            match key.as_str() {
                "type" => mount.kind = MountKind::parse(&value).ok_or(MountError::Kind(value))?,
                "from" => mount.from = value,
                "source" | "src" => mount.source = value,
                "target" | "dst" | "destination" => mount.target = value,
                "readonly" | "ro" => readonly = Some(boolean(&key, &value)?),
                "readwrite" | "rw" => readonly = Some(!boolean(&key, &value)?),
                "required" => {
                    mount.only_for(&key, &[MountKind::Secret, MountKind::Ssh])?;
                    mount.required = boolean(&key, &value)?;
                }
                "size" => {
                    mount.only_for(&key, &[MountKind::Tmpfs])?;
                    mount.size = size(&value).ok_or(MountError::Value { key, value })?;
                }
                "id" => mount.id = value,
                "sharing" => {
                    let all = [Sharing::Shared, Sharing::Private, Sharing::Locked];
                    let named = |sharing: &Sharing| value.eq_ignore_ascii_case(SHARINGS[*sharing as usize]);
                    mount.sharing =
                        Some(all.into_iter().find(named).ok_or_else(|| MountError::Sharing(value.clone()))?);
                }
                "mode" => mount.mode = Some(number(&key, value, 8)?),
                "uid" => mount.uid = Some(number(&key, value, 10)?),
                "gid" => mount.gid = Some(number(&key, value, 10)?),
                "env" => mount.env = Some(value),
                _ => return Err(MountError::Key { key, field: field.text }),
            }
        }
        mount.readonly = readonly.unwrap_or(!matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs));
        mount.validate()?;
        Ok(mount)
    }

    /// Some keys must stand behind the `type` that they are for.
    fn only_for(&self, key: &str, kinds: &[MountKind]) -> Result<(), MountError> {
        if kinds.contains(&self.kind) {
            return Ok(());
        }
        Err(MountError::KeyForKind { key: key.to_owned(), kind: self.kind })
    }

    fn validate(&self) -> Result<(), MountError> {
        let kind = self.kind;
        if matches!(kind, MountKind::Bind | MountKind::Tmpfs) {
            for (key, value) in [("mode", self.mode), ("uid", self.uid), ("gid", self.gid)] {
                if value.is_some() {
                    return Err(MountError::Owner { key, kind });
                }
            }
        }
        if kind == MountKind::Secret {
            let unnamed = [&self.source, &self.target, &self.id].iter().all(|text| text.is_empty());
            let wrong = [
                (!self.from.is_empty(), MountError::SecretFrom),
                (self.sharing.is_some(), MountError::SecretSharing),
                (unnamed, MountError::SecretNothing),
                (!self.source.is_empty() && !self.id.is_empty(), MountError::SecretTwice),
            ];
            if let Some((_, error)) = wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
                return Err(error);
            }
        }
        if self.sharing.is_some() && kind != MountKind::Cache {
            return Err(MountError::SharingForKind(kind));
        }
        Ok(())
    }
}

fn boolean(key: &str, value: &str) -> Result<bool, MountError> {
    parse_bool(value).ok_or_else(|| MountError::Value { key: key.to_owned(), value: value.to_owned() })
}

fn number(key: &str, value: String, radix: u32) -> Result<u32, MountError> {
    let digits = !value.is_empty() && value.chars().all(|c| c.is_digit(radix));
    let number = if digits { u32::from_str_radix(&value, radix).ok() } else { None };
    number.ok_or(MountError::Number { key: key.to_owned(), value })
}

/// What Go's `strconv.ParseBool` takes.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Bytes as `docker/go-units` reads them: a decimal number and `b`, `k`, `kb`, `kib` …, in steps of 1024.
fn size(text: &str) -> Option<i64> {
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')? + 1;
    let (number, unit) = text.split_at(end);
    let number: f64 = number.strip_suffix(' ').unwrap_or(number).parse().ok()?;
    let unit = unit.to_ascii_lowercase();
    let (power, behind) = match unit.chars().next() {
        None => (0, ""),
        Some('b') => (0, &unit[1..]),
        Some(letter) => ("kmgtp".find(letter)? + 1, &unit[1..]),
    };
    let well_formed = behind.is_empty() || (power > 0 && (behind == "b" || behind == "ib"));
    let bytes = number * 1024_f64.powi(power as i32);
    (well_formed && (0.0..i64::MAX as f64).contains(&bytes)).then_some(bytes as i64)
}

#[cfg(test)]
mod tests {
    use super::super::span::Span;
    use super::*;

    fn parse(value: &str) -> Result<Mount, String> {
        Mount::parse(value, |text| Ok(text.replace("$V", "v"))).map_err(|error| {
            let diagnostic = error.diagnostic(&Word::new(value, Span::new(0, value.len())));
            let near = diagnostic.help.filter(|help| help.starts_with("did you mean"));
            near.map_or(error.to_string(), |near| format!("{error} ({near})"))
        })
    }

    #[test]
    fn mounts_with_their_defaults() {
        let bind = Mount { readonly: true, ..Mount::default() };
        let cache = Mount { kind: MountKind::Cache, ..Mount::default() };
        let secret = Mount { kind: MountKind::Secret, readonly: true, ..Mount::default() };
        let s = String::from;
        for (value, expected) in [
            ("target=/a", Mount { target: s("/a"), ..bind.clone() }),
            ("from=x,src=/$V,dst=/d,rw", Mount { from: s("x"), source: s("/v"), target: s("/d"), ..Mount::default() }),
            ("destination=/a,readwrite=false", Mount { target: s("/a"), ..bind }),
            (
                "type=CACHE,id=i,target=/c,sharing=locked,mode=0700,uid=1,gid=2",
                Mount {
                    id: s("i"),
                    target: s("/c"),
                    sharing: Some(Sharing::Locked),
                    mode: Some(0o700),
                    uid: Some(1),
                    gid: Some(2),
                    ..cache
                },
            ),
            (
                "type=tmpfs,target=/t,size=1.5k",
                Mount { kind: MountKind::Tmpfs, target: s("/t"), size: 1536, ..Mount::default() },
            ),
            ("type=secret,id=k,env=K,required", Mount { id: s("k"), env: Some(s("K")), required: true, ..secret }),
            ("type=ssh", Mount { kind: MountKind::Ssh, readonly: true, ..Mount::default() }),
            ("\"target=/a,b\"", Mount { target: s("/a,b"), readonly: true, ..Mount::default() }),
        ] {
            assert_eq!(parse(value), Ok(expected), "{value}");
        }
    }

    #[test]
    fn mounts_that_are_none() {
        for (value, message) in [
            ("", "failed to parse csv mounts: it is empty"),
            ("type=caches", "unsupported mount type \"caches\" (did you mean cache?)"),
            ("targte=/a", "unexpected key 'targte' in 'targte=/a' (did you mean target?)"),
            ("target", "invalid field 'target' must be a key=value pair"),
            ("size=1", "unexpected key 'size' for mount type 'bind'"),
            ("required", "unexpected key 'required' for mount type 'bind'"),
            ("ro=maybe", "invalid value for ro: maybe"),
            ("type=tmpfs,size=-1", "invalid value for size: -1"),
            ("type=cache,mode=9", "invalid value 9 for mode"),
            ("type=cache,uid=+1", "invalid value +1 for uid"),
            ("target=/a,mode=0", "mode not allowed for \"bind\" type mounts"),
            ("type=secret", "invalid secret mount. one of source, target required"),
            ("type=secret,id=a,from=b", "secret mount should not have a from"),
            ("type=secret,id=a,src=b", "both source and id can't be set"),
            ("type=tmpfs,sharing=shared", "invalid cache sharing set for tmpfs mount"),
            ("type=cache,sharing=lock", "unsupported sharing value \"lock\" (did you mean locked?)"),
        ] {
            assert_eq!(parse(value), Err(message.to_owned()), "{value}");
        }
        assert_eq!(Mount::check("type=$T,from=a$"), Ok(()));
        assert_eq!(Mount::check("from=${X}"), Err(MountError::FromVariable));
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("32", Some(32)),
            ("32b", Some(32)),
            ("32 kB", Some(32 << 10)),
            ("32MiB", Some(32 << 20)),
            ("1.5g", Some(3 << 29)),
            ("1t", Some(1 << 40)),
            ("", None),
            ("b", None),
            ("32bb", None),
            ("32kbb", None),
            ("-1k", None),
            ("1e", None),
            ("99999p", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }
}
