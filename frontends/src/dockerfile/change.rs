//! Changes to an image's config in the words of a Dockerfile: `docker commit --change`.

use routerpack_graph::{ImageConfig, Platform};

use super::{
    ast::Dockerfile,
    diagnostic::Diagnostic,
    instruction::Command,
    lower::{self, Context, Options, ResolveError, ResolvedImage, Resolver},
};

/// The instructions that only change the config, as docker takes them (`docker container commit`, "--change"), and
/// those of later versions of the dialect that are of the same kind.
const ALLOWED: &str =
    "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME and WORKDIR";

/// A change that can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It is no instruction, or one with a fault.
    #[error("`{change}`: {}", .diagnostic.message)]
    Fault {
        /// As given.
        change: String,
        /// What is wrong.
        diagnostic: Box<Diagnostic>,
    },
    /// An instruction that does more than change the config.
    #[error("`{change}`: {name} changes files, or is no change; allowed are {ALLOWED}")]
    NotConfig {
        /// As given.
        change: String,
        /// The instruction.
        name: &'static str,
    },
    /// More or less than one instruction.
    #[error("`{0}` is not one instruction; allowed are {ALLOWED}")]
    NotOne(String),
    /// The config has no platform, or can't be written as JSON.
    #[error("the image's config is not complete: {0}")]
    Config(String),
}

/// The name that stands for the image; nothing is ever looked up.
const BASE: &str = "image";

/// The config after the changes, one instruction each.
pub fn change(config: &ImageConfig, changes: &[String]) -> Result<ImageConfig, ChangeError> {
    changes.iter().try_fold(config.clone(), |config, change| one(config, change))
}

fn one(config: ImageConfig, change: &str) -> Result<ImageConfig, ChangeError> {
    let fault = |diagnostic: Diagnostic| ChangeError::Fault { change: change.into(), diagnostic: Box::new(diagnostic) };
    let source = format!("FROM {BASE}\n{change}\n");
    let file = Dockerfile::parse(&source).map_err(|all| match all.into_iter().next() {
        Some(first) => fault(first),
        None => ChangeError::NotOne(change.into()),
    })?;
    let [stage] = &file.stages[..] else { return Err(ChangeError::NotOne(change.into())) };
    let ([instruction], []) = (&stage.commands[..], &file.directives[..]) else {
        return Err(ChangeError::NotOne(change.into()));
    };
    if let Command::From(_)
    | Command::Run(_)
    | Command::Add(_)
    | Command::Copy(_)
    | Command::Arg(_)
    | Command::Maintainer(_) = instruction.command
    {
        return Err(ChangeError::NotConfig { change: change.into(), name: instruction.command.name() });
    }
    let platform = config.platform().ok_or_else(|| ChangeError::Config("it names no os and architecture".into()))?;
    // Triggers are for who builds upon the image; here nothing does.
    let triggers = config.config.on_build.clone();
    let mut quiet = config.clone();
    quiet.config.on_build.clear();
    let json = quiet.to_json().map_err(|e| ChangeError::Config(e.to_string()))?;
    let mut options = Options::new(platform.clone());
    options.platform = Some(platform);
    options.context = Context::Empty;
    let lowered =
        lower::lower(&file, &source, &options, &Itself(json)).map_err(|error| fault(error.diagnostic()))?.config;
    let sets_path =
        matches!(&instruction.command, Command::Env(pairs) if pairs.iter().any(|p| p.key.as_str() == "PATH"));
    let had_path = config.config.env.iter().any(|e| e.starts_with("PATH="));
    let mut changed = ImageConfig { config: lowered.config, ..config };
    if !had_path && !sets_path {
        // A build gives its steps a PATH; an image without one keeps none.
        changed.config.env.retain(|e| !e.starts_with("PATH="));
    }
    changed.config.on_build.splice(0..0, triggers);
    Ok(changed)
}

/// Knows one image.
struct Itself(String);

impl Resolver for Itself {
    fn image(&self, reference: &str, _: &Platform) -> Result<ResolvedImage, ResolveError> {
        Ok(ResolvedImage { reference: reference.into(), digest: None, config: self.0.clone().into_bytes() })
    }

    fn context(&self, name: &str, _: &Platform) -> Result<Context, ResolveError> {
        Err(format!("there is no context `{name}`").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ImageConfig {
        let mut config =
            ImageConfig { os: "linux".into(), architecture: "arm".into(), variant: "v7".into(), ..Default::default() };
        config.config.env = vec!["PATH=/bin".into(), "A=1".into()];
        config.config.on_build = vec!["RUN make".into()];
        config
    }

    fn changed(changes: &[&str]) -> Result<ImageConfig, ChangeError> {
        change(&config(), &changes.iter().map(|c| c.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn each_change_builds_upon_the_one_before() {
        let got = changed(&[
            "ENV B=$A",
            "ENV A=2",
            "CMD [\"x\", \"y\"]",
            "workdir /srv",
            "WORKDIR sub",
            "EXPOSE 80",
            "LABEL a=b",
            "ONBUILD RUN x",
            "USER 1",
            "VOLUME /d",
        ])
        .unwrap();
        assert_eq!(got.config.env, ["PATH=/bin", "A=2", "B=1"]);
        assert_eq!(got.config.cmd, ["x", "y"]);
        assert_eq!(got.config.working_dir, "/srv/sub");
        assert_eq!(got.config.exposed_ports.keys().collect::<Vec<_>>(), ["80/tcp"]);
        assert_eq!(got.config.labels["a"], "b");
        assert_eq!(got.config.on_build, ["RUN make", "RUN x"]);
        assert_eq!((got.config.user.as_str(), got.config.volumes.len()), ("1", 1));
        assert_eq!((got.architecture.as_str(), got.variant.as_str()), ("arm", "v7"));
    }

    #[test]
    fn an_image_without_a_path_gets_none_unawares() {
        let mut bare = config();
        bare.config.env.clear();
        assert!(change(&bare, &["USER x".into()]).unwrap().config.env.is_empty());
        assert_eq!(change(&bare, &["ENV A=1".into()]).unwrap().config.env, ["A=1"]);
        assert_eq!(change(&bare, &["ENV PATH=/x".into()]).unwrap().config.env, ["PATH=/x"]);
    }

    #[test]
    fn nothing_but_one_change_of_the_config() {
        for (bad, word) in [
            ("RUN x", "RUN changes files"),
            ("COPY a b", "COPY changes files"),
            ("FROM x", "not one instruction"),
            ("", "not one instruction"),
            ("USER a\nUSER b", "not one instruction"),
            ("CMDD x", "CMDD"),
            ("USER", "USER"),
        ] {
            let error = changed(&[bad]).expect_err(bad).to_string();
            assert!(error.contains(word), "{bad}: {error}");
        }
    }
}
