//! Word expansion against BuildKit's tables.

mod conformance;

use std::collections::{BTreeMap, BTreeSet};

use routerpack_frontends::dockerfile::expand::{Environment, Expander, Expansion};
use serde_json::Value;

fn pairs(list: &Value) -> BTreeMap<String, String> {
    let entries = list.as_array().unwrap().iter().map(|entry| entry.as_str().unwrap());
    entries.map(|e| e.split_once('=').unwrap_or((e, ""))).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn map(object: &Value) -> BTreeMap<String, String> {
    object.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect()
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

/// The variables of Windows images, whose names ignore case.
struct Windows(BTreeMap<String, String>);

impl Environment for Windows {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

#[test]
fn words_expand_as_in_the_table() {
    let Some(table) = conformance::table("shell-envvar") else { return };
    let env = pairs(&table["envs"]);
    let expander = Expander::new('\\');
    let mut failures = Vec::new();
    let mut ran = 0;
    for case in table["cases"].as_array().unwrap() {
        ran += 1;
        let word = case["word"].as_str().unwrap();
        let result = match case["platform"].as_str() {
            Some("W") => expander.expand(word, &Windows(env.clone())),
            _ => expander.expand(word, &env),
        };
        let result = result.map(|e| e.text);
        let as_expected = match &result {
            Ok(text) => case["error"] == false && case["expect"] == *text,
            Err(_) => case["error"] == true,
        };
        if !as_expected {
            failures.push(format!("{}: {word:?} gave {result:?}, expected {}", case["id"], case["expect"]));
        }
    }
    assert!(ran >= 230, "only {ran} rows");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn words_split_as_in_the_table() {
    let Some(table) = conformance::table("shell-words") else { return };
    let cases = table.as_array().unwrap();
    assert!(cases.len() >= 20);
    for case in cases {
        let word = case["word"].as_str().unwrap();
        let result = Expander::new('\\').expand(word, &pairs(&case["envs"]));
        if case["error"] == true {
            assert!(result.is_err(), "{}: {word:?} gave {result:?}", case["id"]);
            continue;
        }
        let words = result.unwrap_or_else(|e| panic!("{}: {e}", case["id"])).words;
        let expected: Vec<String> = serde_json::from_value(case["expect"].clone()).unwrap();
        assert_eq!(words, expected, "{}: {word:?}", case["id"]);
    }
}

#[test]
fn variables_are_reported_as_in_the_table() {
    let Some(test) = conformance::unit("shell/TestProcessWithMatches") else { return };
    let rows = conformance::rows(&test, "tc");
    let rows = rows.as_array().unwrap();
    assert!(rows.len() >= 45);
    for row in rows {
        let input = row["input"].as_str().unwrap();
        let result = Expander::new('\\').expand(input, &map(&row["envs"]));
        if row["expectedErr"] == true {
            assert!(result.is_err(), "{input} gave {result:?}");
            continue;
        }
        let Expansion { text, matched, unmatched, .. } = result.unwrap_or_else(|e| panic!("{input}: {e}"));
        assert_eq!(text, row["expected"].as_str().unwrap(), "{input}");
        assert_eq!(matched, keys(&row["matches"]), "{input}");
        assert_eq!(unmatched, keys(&row["unmatched"]), "{input}");
    }
}

#[test]
fn mandatory_variables_as_in_the_table() {
    let Some(test) = conformance::unit("shell/TestShellParserMandatoryEnvVars") else { return };
    let [set, empty, unset] = ["setEnvs", "emptyEnvs", "unsetEnvs"].map(|v| pairs(&conformance::rows(&test, v)));
    let e = Expander::new('\\');
    for (word, expected) in [
        ("${VAR:?message here$ARG}", [Some("plain"), None, None]),
        ("${VAR?message here$ARG}", [Some("plain"), Some(""), None]),
    ] {
        for (env, expected) in [&set, &empty, &unset].into_iter().zip(expected) {
            match (e.expand(word, env), expected) {
                (Ok(result), Some(expected)) => assert_eq!(result.text, expected),
                (Err(error), None) => assert!(error.to_string().contains("message herex"), "{error}"),
                (result, expected) => panic!("{word}: {result:?}, expected {expected:?}"),
            }
        }
    }
}

#[test]
fn names_of_releases_by_platform() {
    let word = "something-${VERSION}.${TARGETOS}-${TARGETARCH}${TARGETVARIANT:+-${TARGETVARIANT}}.tar.gz";
    for (arch, variant, expected) in [
        ("arm", Some("v7"), "something-v1.2.3.linux-arm-v7.tar.gz"),
        ("arm64", Some(""), "something-v1.2.3.linux-arm64.tar.gz"),
        ("arm64", None, "something-v1.2.3.linux-arm64.tar.gz"),
    ] {
        let set = [("VERSION", "v1.2.3"), ("TARGETOS", "linux"), ("TARGETARCH", arch)];
        let variant = variant.map(|variant| ("TARGETVARIANT", variant));
        let env = set.into_iter().chain(variant).map(|(k, v)| (k.to_owned(), v.to_owned()));
        let env: BTreeMap<String, String> = env.collect();
        assert_eq!(Expander::new('\\').expand(word, &env).unwrap().text, expected);
    }
}
