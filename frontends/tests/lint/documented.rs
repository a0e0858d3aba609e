//! BuildKit's own table of rules, and the examples of their pages.

use std::collections::BTreeMap;

use regex::Regex;
use routerpack_frontends::dockerfile::lint::rules::ALL;
use routerpack_frontends::dockerfile::lower::{Context, ResolveError, ResolvedImage, Resolver};
use routerpack_graph::{Digest, Platform};
use serde_json::Value;

use crate::conformance::table;
use crate::world::options;
use crate::{Mode, lint};

/// Every image is there, and says of itself what it is asked for; every path is ignored or none.
struct Everything {
    ignores: bool,
}

impl Resolver for Everything {
    fn image(&self, reference: &str, platform: &Platform) -> Result<ResolvedImage, ResolveError> {
        let architecture = if reference.contains("foreign") { "s390x" } else { &platform.architecture };
        let env = if reference.contains("python") { r#"{"Env":["PYTHON_VERSION=3"]}"# } else { "{}" };
        let config = format!(
            r#"{{"os":"linux","architecture":"{architecture}","config":{env},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
            Digest::of(b"")
        );
        Ok(ResolvedImage { reference: reference.into(), digest: None, config: config.into_bytes() })
    }

    fn context(&self, _: &str, _: &Platform) -> Result<Context, ResolveError> {
        Ok(Context::Empty)
    }

    fn is_ignored(&self, _: &str) -> bool {
        self.ignores
    }
}

fn findings(source: &str, ignores: bool) -> BTreeMap<String, String> {
    let (found, _) = lint(source, &options(), &Everything { ignores }, Mode::Check);
    let split = |finding: &String| {
        let (_, finding) = finding.split_once(' ').unwrap();
        finding.split_once(": ").map(|(rule, detail)| (rule.to_string(), detail.to_string())).unwrap()
    };
    found.iter().map(split).collect()
}

/// A file for each rule.
const SAMPLES: [(&str, &str); 22] = [
    ("StageNameCasing", "FROM a AS B"),
    ("FromAsCasing", "FROM a as b"),
    ("NoEmptyContinuation", "FROM a\nRUN a \\\n\nb"),
    ("ConsistentInstructionCasing", "FROM a\nRun a"),
    ("DuplicateStageName", "FROM a AS b\nFROM a AS b"),
    ("ReservedStageName", "FROM a AS context"),
    ("JSONArgsRecommended", "FROM a\nCMD a"),
    ("MaintainerDeprecated", "FROM a\nMAINTAINER b"),
    ("UndefinedArgInFrom", "FROM a$TRAGETARCH"),
    ("WorkdirRelativePath", "FROM a\nWORKDIR b"),
    ("UndefinedVar", "FROM a\nUSER $PAHT"),
    ("MultipleInstructionsDisallowed", "FROM a\nCMD []\nCMD []"),
    ("LegacyKeyValueFormat", "FROM a\nENV a b"),
    ("InvalidBaseImagePlatform", "FROM foreign"),
    ("RedundantTargetPlatform", "FROM --platform=$TARGETPLATFORM a"),
    ("SecretsUsedInArgOrEnv", "FROM a\nARG TOKEN"),
    ("InvalidDefaultArgInFrom", "ARG TAG\nFROM a:$TAG"),
    ("FromPlatformFlagConstDisallowed", "FROM --platform=linux/arm64 a"),
    ("CopyIgnoredFile", "FROM a\nCOPY a b"),
    ("InvalidDefinitionDescription", "# check=experimental=all\n# x\nARG a\nFROM a"),
    ("ExposeProtoCasing", "FROM a\nEXPOSE 1/TCP"),
    ("ExposeInvalidFormat", "FROM a\nEXPOSE 1:1"),
];

#[test]
fn rules_are_those_of_the_reference() {
    let Some(rules) = table("lint-rules") else { return };
    let rules = rules.as_array().unwrap();
    let ours = ALL.iter().filter(|rule| !rule.is_for_routers());
    assert_eq!(rules.len(), ours.clone().count());
    for (rule, own) in rules.iter().zip(ours) {
        let text = |key: &str| rule[key].as_str().unwrap_or_default();
        assert_eq!(
            (own.name, own.description, own.url()),
            (text("name"), text("description"), text("url").to_string())
        );
        assert_eq!(own.experimental, rule["experimental"].as_bool().unwrap_or_default(), "{}", own.name);

        let (_, sample) = SAMPLES.iter().find(|(name, _)| *name == own.name).unwrap();
        let found = findings(sample, own.name == "CopyIgnoredFile");
        let detail = found.get(own.name).unwrap_or_else(|| panic!("{} not in {found:?}", own.name));
        // the further formats are what may follow the first
        let formats: Vec<&str> = rule["formats"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let pattern = formats.iter().map(|format| regex::escape(format)).collect::<Vec<_>>().join("");
        let pattern = pattern.replace("%q", "\"[^\"]+\"").replace("%s", "[^ ]+").replace("%v", "[^ ]+");
        assert!(Regex::new(&format!("^{pattern}$")).unwrap().is_match(detail), "{detail} is not {pattern}");
    }
}

/// Examples that are no bad ones by the reference's own code, and why.
const HARMLESS: [(&str, usize, &str); 2] = [
    ("LegacyKeyValueFormat", 0, "`ARG foo bar` defines two arguments"),
    ("InvalidDefinitionDescription", 0, "the rule has to be asked for"),
];

/// The examples of a page: whether it is a bad one, and its text.
fn examples(page: &str) -> Vec<(bool, String)> {
    let mut examples = Vec::new();
    for part in page.split(['❌', '✅']).skip(1) {
        let Some((_, code)) = part.split_once("```dockerfile\n") else { continue };
        let code = code.split("```").next().unwrap_or_default();
        let bad = part.trim_start().starts_with("Bad");
        let whole = if code.to_uppercase().contains("FROM ") { code.to_string() } else { format!("FROM a\n{code}") };
        examples.push((bad, whole.replace("...\n", "")));
    }
    examples
}

#[test]
fn the_examples_of_the_pages() {
    let Some(rules) = table("lint-rules") else { return };
    let mut count = [0, 0];
    for rule in rules.as_array().unwrap() {
        let name = rule["name"].as_str().unwrap();
        for (index, (bad, source)) in examples(rule["doc"].as_str().unwrap_or_default()).into_iter().enumerate() {
            let harmless = HARMLESS.iter().any(|(rule, at, _)| (*rule, *at) == (name, index));
            let found = findings(&source, bad && name == "CopyIgnoredFile");
            assert_eq!(found.contains_key(name), bad && !harmless, "{name} {index}: {source}\n{found:?}");
            count[usize::from(bad)] += 1;
        }
    }
    assert!(count[0] >= 20 && count[1] >= 20, "{count:?}");
}
