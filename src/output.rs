//! Reads `-o`: which format, which file.

use std::path::{Path, PathBuf};

use routerpack_targets::Format;

/// Where the result goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dest {
    /// This path.
    Path(PathBuf),
    /// Standard output.
    Stdout,
}

/// A read `-o`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The format.
    pub format: Format,
    /// Where to.
    pub dest: Dest,
}

/// A `-o` that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("--output {given}: {why}")]
pub struct InvalidOutput {
    given: String,
    why: String,
}

impl Output {
    /// Reads `type=FORMAT,dest=PATH` or a bare PATH. `name` is the archive's base name where PATH is a
    /// directory or absent.
    pub fn parse(given: Option<&str>, name: &str) -> Result<Self, InvalidOutput> {
        let fail = |why: String| InvalidOutput { given: given.unwrap_or("").to_string(), why };
        let mut format = Format::RouterOs;
        let mut dest = None;
        match given {
            None => {}
            Some("") => return Err(fail("it is empty".into())),
            Some(text) if !text.starts_with("type=") && !text.starts_with("dest=") => dest = Some(text),
            Some(text) => {
                for field in text.split(',') {
                    match field.split_once('=') {
                        Some(("type", value)) => {
                            format =
                                value.parse().map_err(|e: routerpack_targets::UnknownFormat| fail(e.to_string()))?;
                        }
                        Some(("dest", value)) if !value.is_empty() => dest = Some(value),
                        _ => return Err(fail(format!("`{field}` is not type=… or dest=…"))),
                    }
                }
            }
        }
        let file = PathBuf::from(format!("{name}.tar"));
        let local = format == Format::Local;
        let dest = match dest {
            Some("-") if local => return Err(fail("type=local needs a directory, not `-`".into())),
            Some("-") => Dest::Stdout,
            Some(path) if local => Dest::Path(path.into()),
            Some(path) if path.ends_with('/') || Path::new(path).is_dir() => Dest::Path(Path::new(path).join(file)),
            Some(path) => Dest::Path(path.into()),
            None if local => return Err(fail("type=local needs dest=DIRECTORY".into())),
            None => Dest::Path(file),
        };
        Ok(Self { format, dest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs() {
        let dir = tempfile::tempdir().unwrap();
        let existing = dir.path().to_str().unwrap();
        let path = |p: &str| Dest::Path(p.into());
        for (given, format, dest) in [
            (None, Format::RouterOs, path("app.tar")),
            (Some("x.tar"), Format::RouterOs, path("x.tar")),
            (Some("out/"), Format::RouterOs, path("out/app.tar")),
            (Some(existing), Format::RouterOs, path(&format!("{existing}/app.tar"))),
            (Some("-"), Format::RouterOs, Dest::Stdout),
            (Some("type=oci"), Format::Oci, path("app.tar")),
            (Some("type=docker,dest=a.tar"), Format::Docker, path("a.tar")),
            (Some("type=local,dest=root"), Format::Local, path("root")),
            (Some("type=tar,dest=-"), Format::Tar, Dest::Stdout),
            (Some("dest=b.tar"), Format::RouterOs, path("b.tar")),
        ] {
            assert_eq!(Output::parse(given, "app").unwrap(), Output { format, dest }, "{given:?}");
        }
        for bad in ["", "type=zip", "type=local", "type=local,dest=-", "type=oci,compression=zstd"] {
            assert!(Output::parse(Some(bad), "app").is_err(), "{bad}");
        }
    }
}
