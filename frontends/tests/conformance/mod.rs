//! Finds the public test tables: `$ROUTERPACK_CONFORMANCE_DATA`, else `../shared/data` beside the workspace.

use std::path::PathBuf;

use serde_json::Value;

/// One table of `dockerfile/`, or `None` where the tables are not installed. That fails the test when
/// `ROUTERPACK_REQUIRE_CONFORMANCE=1` says so.
pub fn table(name: &str) -> Option<Value> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = std::env::var_os("ROUTERPACK_CONFORMANCE_DATA").map_or_else(beside, PathBuf::from);
    let path = root.join("dockerfile").join(format!("{name}.json"));
    if !path.exists() {
        let message = format!("no conformance data at {}; set ROUTERPACK_CONFORMANCE_DATA", path.display());
        assert!(std::env::var_os("ROUTERPACK_REQUIRE_CONFORMANCE").is_none_or(|v| v != "1"), "{message}");
        println!("{message}");
        return None;
    }
    let text = std::fs::read_to_string(&path).expect("a readable table");
    Some(serde_json::from_str(&text).expect("a table in JSON"))
}

/// The test called `id` of `unit-tables.json`.
#[allow(dead_code, reason = "not every test file needs it")]
pub fn unit(id: &str) -> Option<Value> {
    let tables = table("unit-tables")?;
    let found = tables.as_array().unwrap().iter().find(|test| test["id"] == id);
    Some(found.unwrap_or_else(|| panic!("no test {id} in the table")).clone())
}

/// The rows of one variable's table in a unit test.
#[allow(dead_code, reason = "not every test file needs it")]
pub fn rows(test: &Value, variable: &str) -> Value {
    let tables = test["tables"].as_array().unwrap();
    let found = tables.iter().find(|table| table["var"] == variable);
    found.unwrap_or_else(|| panic!("no table {variable}"))["rows"].clone()
}
