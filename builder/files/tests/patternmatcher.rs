//! The tables of moby/patternmatcher's own tests, when they are at hand.

use std::{env, fs, path::PathBuf};

use routerpack_files::pattern::Matcher;

fn table(name: &str) -> Option<serde_json::Value> {
    let dir = env::var_os("ROUTERPACK_CONFORMANCE_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let file = dir.join("dockerfile").join(name);
    match fs::read(&file) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).expect("the table is JSON")),
        Err(e) => {
            let required = env::var_os("ROUTERPACK_REQUIRE_CONFORMANCE").is_some_and(|v| v == "1");
            assert!(!required, "no conformance table {}: {e}", file.display());
            eprintln!("no conformance table {}: {e}; set ROUTERPACK_CONFORMANCE_DATA to run it", file.display());
            None
        }
    }
}

#[test]
fn every_row_of_the_pattern_table_holds() {
    let Some(table) = table("patternmatcher.json") else { return };
    let rows = table.as_array().unwrap();
    assert!(rows.len() > 80, "only {} rows", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let patterns: Vec<&str> = row["patterns"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
        let path = row["path"].as_str().unwrap();
        let got = Matcher::new(&patterns).map(|m| m.matches(path.as_bytes()));
        let right = match (row["error"].as_bool().unwrap(), &got) {
            (true, result) => result.is_err(),
            (false, Ok(hit)) => Some(*hit) == row["match"].as_bool(),
            (false, Err(_)) => false,
        };
        if !right {
            wrong.push(format!(
                "{} {patterns:?} {path}: {got:?}, want {} / error {}",
                row["id"], row["match"], row["error"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
