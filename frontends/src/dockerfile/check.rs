//! What `# check=` says about lint: `skip=RuleA,RuleB;error=true;experimental=RuleC`
//! (BuildKit: `ParseLintOptions` in `frontend/dockerfile/linter/linter.go`).

use std::collections::BTreeSet;

use super::mount::parse_bool;
use super::statement::Statement;

/// A choice of lint rules. Their names are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Every rule: `all`.
    All,
    /// These, by their names.
    Named(BTreeSet<String>),
}

impl Default for Rules {
    fn default() -> Self {
        Self::Named(BTreeSet::new())
    }
}

impl Rules {
    fn parse(text: &str) -> Self {
        match text.trim() {
            "all" => Self::All,
            names => Self::Named(names.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }

    /// Whether a rule is among them.
    pub fn contains(&self, rule: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(rule),
        }
    }
}

/// How to lint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Rules that say nothing. (Experimental ones can't be skipped: they are off unless asked for.)
    pub skip: Rules,
    /// Experimental rules to run.
    pub experimental: Rules,
    /// A finding fails the build.
    pub error: bool,
}

/// A check option that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// No `name=value`, or a name that is none.
    #[error("invalid check option {0:?}")]
    Option(String),
    /// `error=` and something that isn't a boolean.
    #[error("failed to parse check option {0:?}: it is neither true nor false")]
    Boolean(String),
}

impl CheckOptions {
    /// Reads the value of the directive, or of the build argument `BUILDKIT_DOCKERFILE_CHECK`. Of the directive
    /// only what stands before the first space counts: see [`super::lint::options`].
    pub fn parse(value: &str) -> Result<Self, CheckError> {
        let mut options = Self::default();
        if value.trim().is_empty() {
            return Ok(options);
        }
        // a third option takes all that follows, as in BuildKit
        for option in value.trim().splitn(3, ';') {
            let (name, setting) = option.split_once('=').ok_or_else(|| CheckError::Option(option.to_owned()))?;
            match name.trim() {
                "skip" => options.skip = Rules::parse(setting),
                "experimental" => options.experimental = Rules::parse(setting),
                "error" => {
                    let wrong = || CheckError::Boolean(option.to_owned());
                    options.error = parse_bool(setting.trim()).ok_or_else(wrong)?;
                }
                other => return Err(CheckError::Option(other.to_owned())),
            }
        }
        Ok(options)
    }
}

pub(super) fn before_space(value: &str) -> &str {
    value.split(' ').next().unwrap_or_default()
}

impl Statement {
    /// What a comment `# check=…` right above says for this instruction alone. The first one counts; one that
    /// means nothing is a comment like others (BuildKit: `WithMergedConfigFromComments`).
    pub fn check_options(&self) -> Option<CheckOptions> {
        let value = self.comments.iter().find_map(|comment| {
            let (name, value) = comment.text.split_once('=')?;
            name.trim().eq_ignore_ascii_case("check").then(|| value.trim()).filter(|value| !value.is_empty())
        })?;
        CheckOptions::parse(before_space(value)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dockerfile, lint::options as options_of};
    use super::*;

    fn named(names: &[&str]) -> Rules {
        Rules::Named(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn options() {
        let all = CheckOptions { skip: Rules::All, ..CheckOptions::default() };
        for (value, expected) in [
            ("", Ok(CheckOptions::default())),
            ("skip=all", Ok(all.clone())),
            ("skip=all;error=1", Ok(CheckOptions { error: true, ..all })),
            (
                "experimental=A, B ; error = false;skip=C",
                Ok(CheckOptions { skip: named(&["C"]), experimental: named(&["A", "B"]), error: false }),
            ),
            ("skip", Err(CheckError::Option("skip".to_owned()))),
            ("Skip=A", Err(CheckError::Option("Skip".to_owned()))),
            ("error=maybe", Err(CheckError::Boolean("error=maybe".to_owned()))),
            ("skip=A;", Err(CheckError::Option(String::new()))),
        ] {
            assert_eq!(CheckOptions::parse(value), expected, "{value}");
        }
        assert!(Rules::All.contains("x") && named(&["x"]).contains("x") && !named(&["X"]).contains("x"));
    }

    #[test]
    fn a_file_and_an_instruction_have_their_own() {
        let source = "# check=skip=A // why\nFROM a\n# other\n# Check = skip=B;error=true // why\nENV a=b\n# check=skip\nUSER b\n";
        let file = Dockerfile::parse(source).unwrap();
        assert_eq!(options_of(source, None).unwrap().skip, named(&["A"]));
        let own = |comments: &str| {
            Dockerfile::parse(&format!("FROM a\n{comments}USER b")).unwrap().stages[0].commands[0].check_options()
        };
        let skip = |rule| Some(CheckOptions { skip: named(&[rule]), ..CheckOptions::default() });
        for (comments, expected) in [
            ("# check=\n# check=skip=B\n", skip("B")),
            ("# check=skip=A\n# check=skip=B\n", skip("A")),
            ("# check=skip\n# check=skip=B\n", None),
            ("# syntax=x\n# why\n# check=skip=B\n", skip("B")),
            ("# check=skip=B\n#\n", None),
            ("# check=skip=B\n\n", None),
            ("  #check=skip=B//why\n", skip("B//why")),
        ] {
            assert_eq!(own(comments), expected, "{comments}");
        }
        let own: Vec<_> = file.instructions().map(|instruction| instruction.check_options()).collect();
        let b = CheckOptions { skip: named(&["B"]), error: true, ..CheckOptions::default() };
        assert_eq!(own, [None, Some(b), None]);
        let wrong = options_of("# check=skip=A,B;foo=bar\nFROM a", None).unwrap_err();
        assert_eq!(wrong.error.to_string(), "invalid check option \"foo\"");
    }
}
