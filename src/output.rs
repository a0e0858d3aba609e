//! Reads `-o`: which form, which file.

use std::path::{Path, PathBuf};

/// The form of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A docker-archive of one uncompressed layer, in the layout that every RouterOS version takes.
    RouterOs,
    /// A docker-archive for `docker load` and `podman load`.
    Docker,
    /// An OCI archive.
    Oci,
    /// The root file system as a tar.
    Tar,
    /// The root file system as a directory.
    Local,
}

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
    /// The form.
    pub form: Form,
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
    /// Reads `type=FORM,dest=PATH` or a bare PATH. `name` is the archive's base name where PATH is a
    /// directory or absent.
    pub fn parse(given: Option<&str>, name: &str) -> Result<Self, InvalidOutput> {
        let fail = |why: String| InvalidOutput { given: given.unwrap_or("").to_string(), why };
        let mut form = Form::RouterOs;
        let mut dest = None;
        match given {
            None => {}
            Some("") => return Err(fail("it is empty".into())),
            Some(text) if !text.starts_with("type=") && !text.starts_with("dest=") => dest = Some(text),
            Some(text) => {
                for field in text.split(',') {
                    match field.split_once('=') {
                        Some(("type", value)) => {
                            form = match value {
                                "routeros" => Form::RouterOs,
                                "docker" => Form::Docker,
                                "oci" => Form::Oci,
                                "tar" => Form::Tar,
                                "local" => Form::Local,
                                other => {
                                    return Err(fail(format!(
                                        "unknown type `{other}`; there are routeros, docker, oci, tar and local"
                                    )));
                                }
                            }
                        }
                        Some(("dest", value)) if !value.is_empty() => dest = Some(value),
                        _ => return Err(fail(format!("`{field}` is not type=… or dest=…"))),
                    }
                }
            }
        }
        let file = PathBuf::from(format!("{name}.tar"));
        let dest = match dest {
            Some("-") if form == Form::Local => return Err(fail("type=local needs a directory, not `-`".into())),
            Some("-") => Dest::Stdout,
            Some(path) if form == Form::Local => Dest::Path(path.into()),
            Some(path) if path.ends_with('/') || Path::new(path).is_dir() => Dest::Path(Path::new(path).join(file)),
            Some(path) => Dest::Path(path.into()),
            None if form == Form::Local => return Err(fail("type=local needs dest=DIRECTORY".into())),
            None => Dest::Path(file),
        };
        Ok(Self { form, dest })
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
        for (given, form, dest) in [
            (None, Form::RouterOs, path("app.tar")),
            (Some("x.tar"), Form::RouterOs, path("x.tar")),
            (Some("out/"), Form::RouterOs, path("out/app.tar")),
            (Some(existing), Form::RouterOs, path(&format!("{existing}/app.tar"))),
            (Some("-"), Form::RouterOs, Dest::Stdout),
            (Some("type=oci"), Form::Oci, path("app.tar")),
            (Some("type=docker,dest=a.tar"), Form::Docker, path("a.tar")),
            (Some("type=local,dest=root"), Form::Local, path("root")),
            (Some("type=tar,dest=-"), Form::Tar, Dest::Stdout),
            (Some("dest=b.tar"), Form::RouterOs, path("b.tar")),
        ] {
            assert_eq!(Output::parse(given, "app").unwrap(), Output { form, dest }, "{given:?}");
        }
        for bad in ["", "type=zip", "type=local", "type=local,dest=-", "type=oci,compression=zstd"] {
            assert!(Output::parse(Some(bad), "app").is_err(), "{bad}");
        }
    }
}
