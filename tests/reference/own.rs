//! The cases of `cases/`: Dockerfiles about what the suites leave out. Each may begin with a line `# arguments: …`, further
//! arguments of the build; all have the same context, the pantry.

use std::fs;
use std::path::{Path, PathBuf};

use super::support::suites::{Case, Context, Expected};

/// The cases, by name, with the pantry at `context`.
pub fn cases(context: &Path) -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/cases");
    let mut paths: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let case = |path: PathBuf| {
        let dockerfile = fs::read_to_string(&path).unwrap();
        let arguments =
            dockerfile.lines().next().and_then(|line| line.strip_prefix("# arguments: ")).unwrap_or_default();
        Case {
            id: format!("own/{}", path.file_stem().unwrap().to_str().unwrap()),
            arguments: arguments.split_whitespace().map(str::to_owned).collect(),
            dockerfile,
            context: Context::Directory(context.to_owned()),
            expected: Expected::Success(Vec::new()),
        }
    };
    paths.into_iter().map(case).collect()
}
