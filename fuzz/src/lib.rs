//! What the fuzz targets share: the parsers' invariants, and a count of what an input costs.

#[path = "../../frontends/tests/invariants/mod.rs"]
pub mod invariants;
#[path = "../../frontends/benches/parse/shapes.rs"]
pub mod shapes;
pub mod work;
#[path = "../../frontends/benches/parse/world.rs"]
pub mod world;

// Patterns are matched by a crate that brings all formats of archives along; only these three files are needed.
#[path = "../../builder/files/src/glob.rs"]
pub mod glob;
#[path = "../../builder/files/src/path.rs"]
#[allow(dead_code, reason = "a part is needed")]
pub(crate) mod path;
#[path = "../../builder/files/src/pattern.rs"]
pub mod pattern;
