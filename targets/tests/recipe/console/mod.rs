//! A small RouterOS console: the script language as far as recipes use it, over a router's menus.
//!
//! Its rules are those that the recipes have to live with: a word that the version's command tree lacks
//! is an error of parsing, which ends the whole enclosing top-level statement before any of it runs;
//! `on-error` sees errors of running only, and those of text that `[:parse]` reads.

mod eval;
mod router;
mod syntax;
mod value;

use std::{collections::BTreeMap, path::PathBuf, rc::Rc, sync::OnceLock};

pub use router::{Behaviour, Router, Upload};
pub use syntax::{Parser, Syntax};
pub use value::Value;

/// Commands and their arguments.
pub type Tree = BTreeMap<String, Vec<String>>;

/// Why a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Not understood: nothing of the statement ran.
    Parse(String),
    /// Ended while it ran.
    Run(String),
    /// Something no script should do, whatever the router would make of it.
    Bug(String),
}

/// The command tree of each version that is known; `None` where the data are not installed.
pub fn trees() -> Option<&'static BTreeMap<String, Tree>> {
    static TREES: OnceLock<Option<BTreeMap<String, Tree>>> = OnceLock::new();
    let load = || {
        let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        let root = std::env::var_os("ROUTERPACK_CONFORMANCE_DATA").map_or_else(beside, PathBuf::from);
        let path = root.join("routeros-commands.json");
        match std::fs::read(&path) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes).expect("command trees in JSON")),
            Err(e) => {
                let required = std::env::var_os("ROUTERPACK_REQUIRE_CONFORMANCE").is_some_and(|v| v == "1");
                assert!(!required, "no command trees {}: {e}", path.display());
                println!(
                    "no command trees {}: {e}; set ROUTERPACK_CONFORMANCE_DATA to test against them",
                    path.display()
                );
                None
            }
        }
    };
    TREES.get_or_init(load).as_ref()
}

/// Reads a script and runs it statement by statement, as `/import` does.
pub fn import(router: &mut Router, script: &str) -> Result<(), Failure> {
    let mut parser = Parser::new(script.as_bytes(), router.syntax());
    while let Some(statement) = parser.statement()? {
        eval::Machine::new(router).top(&Rc::new(vec![statement]))?;
    }
    Ok(())
}

/// What a string in a script is read as.
pub fn constant(bytes: &[u8]) -> syntax::Expr {
    syntax::Expr::Constant(Value::text(bytes))
}
