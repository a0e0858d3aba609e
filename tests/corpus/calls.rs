//! What BuildKit's tests of `--call` expect, member by member.

use serde_json::Value;

use crate::{suites, support::World};

/// The expectations of one test, as it has them: an expression, and the value that it must have. Those of the members of
/// a list follow each other, and each begins with its name.
fn expectations(id: &str) -> Option<(String, Vec<(String, Value)>)> {
    let tests = suites::table("integration")?;
    let test = tests.iter().find(|test| test["id"] == id).unwrap_or_else(|| panic!("no test {id}"));
    let source = test["dockerfiles"][0]["text"].as_str().unwrap().to_owned();
    let equal = test["events"].as_array().unwrap().iter().filter(|event| event["check"] == "Equal");
    let expected = equal.filter_map(|event| {
        let expression = event["args"][1]["$expr"].as_str()?;
        let value = match event["args"][0]["$expr"].as_str() {
            None => event["args"][0].clone(),
            Some(number) => number.strip_prefix("int32(")?.strip_suffix(')')?.parse::<u64>().ok()?.into(),
        };
        Some((expression.to_owned(), value))
    });
    Some((source, expected.collect()))
}

/// Compares what a call says with the expectations; gives how many were compared.
#[track_caller]
fn compare(answer: &Value, lists: &[(&str, &str)], expected: &[(String, Value)]) -> usize {
    let mut at = vec![0; lists.len()];
    let mut compared = 0;
    for (expression, value) in expected {
        let (variable, member) = expression.split_once('.').unwrap_or((expression.as_str(), ""));
        if let Some(list) = expression.strip_prefix("len(").and_then(|rest| rest.split_once('.')) {
            let list = list.1.trim_end_matches(')').to_lowercase();
            assert_eq!(answer[&list].as_array().map_or(0, Vec::len) as u64, value.as_u64().unwrap(), "{expression}");
            compared += 1;
            continue;
        }
        let found = match lists.iter().position(|(name, _)| *name == variable) {
            None if member == "Name" || member == "Description" => &answer[member.to_lowercase()],
            None => continue, // the source: as Go's bytes
            Some(list) => {
                at[list] += usize::from(member == "Name");
                let item = &answer[lists[list].1][at[list] - 1];
                match member {
                    "Location.SourceIndex" => &item["location"]["sourceIndex"],
                    "Location.Ranges[0].Start.Line" => &item["location"]["ranges"][0]["start"]["line"],
                    member => &item[member.to_lowercase()],
                }
            }
        };
        // What has its default value is left out.
        let is_default = matches!(value, Value::Bool(false)) || value == "" || value == 0;
        assert!(found == value || is_default && found.is_null(), "{expression} is {found}, not {value}\n{answer:#}");
        compared += 1;
    }
    compared
}

fn call(source: &str, arguments: &[&str]) -> Value {
    let world = World::new();
    world.write("ctx/Dockerfile", source);
    let busybox = world.base_context("busybox");
    let bases = [busybox.clone(), busybox.replacen("busybox", "alpine", 1)];
    let mut command = world.command();
    command.arg("build").args(arguments).args(bases.iter().flat_map(|base| ["--build-context", base])).arg("ctx");
    serde_json::from_slice(&crate::support::run(&mut command).success().stdout).unwrap()
}

#[test]
fn an_outline_is_as_buildkit_expects_it() {
    let Some((source, expected)) = expectations("dockerfile_outline_test.go/testOutlineArgs") else { return };
    let outline = call(
        &source,
        &["--call=outline,format=json", "--target=target", "--build-arg=BAR=678", "--build-arg=unrelated=1"],
    );
    assert!(compare(&outline, &[("arg", "args")], &expected) > 25);
}

#[test]
fn targets_are_as_buildkit_expects_them() {
    let Some((source, expected)) = expectations("dockerfile_targets_test.go/testTargetsList") else { return };
    let list = call(&source, &["--call=targets,format=json"]);
    assert!(compare(&list, &[("target", "targets")], &expected) > 20);
}
