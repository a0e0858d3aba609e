//! A world of its own for one test: directories, cache, environment and user of the program under test.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{Outcome, run, tool};

/// Who runs the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Whoever runs the tests: root, under `scripts/test`.
    Caller,
    /// An ordinary user with a range of subordinate ids: `routerpack-test`, made by `scripts/test`.
    Ranges,
    /// An ordinary user without one: `nobody`.
    SingleId,
}

impl User {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Caller => None,
            Self::Ranges => Some("routerpack-test"),
            Self::SingleId => Some("nobody"),
        }
    }

    /// The ids in `/etc/passwd`, checked against what the variant promises; `None` for the caller.
    fn ids(self) -> Option<(u32, u32)> {
        let name = self.name()?;
        let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd is readable");
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("there is no user `{name}` here: run ./scripts/test, which makes it"));
        let field = |index| line.split(':').nth(index).and_then(|text| text.parse().ok()).expect("ids are numbers");
        let ids: (u32, u32) = (field(2), field(3));
        let ranges = fs::read_to_string("/etc/subuid").unwrap_or_default();
        let has_range = ranges.lines().any(|l| [name, &ids.0.to_string()].contains(&l.split(':').next().unwrap_or("")));
        assert_eq!(has_range, self == Self::Ranges, "/etc/subuid is not as the tests want it for `{name}`");
        assert_eq!(caller(), 0, "taking the place of `{name}` needs root: run ./scripts/test");
        Some(ids)
    }
}

fn caller() -> u32 {
    fs::metadata("/proc/self").expect("/proc is mounted").uid()
}

/// A temporary directory with the program's own cache, home and work directory. All of it goes when it is dropped.
pub struct World {
    directory: TempDir,
    user: User,
    ids: Option<(u32, u32)>,
    program: PathBuf,
}

impl World {
    /// A world for whoever runs the tests.
    pub fn new() -> Self {
        Self::of(User::Caller)
    }

    /// A world that belongs to `user`, and where the program runs as that user.
    pub fn of(user: User) -> Self {
        let directory = tempfile::Builder::new().prefix("routerpack-e2e-").tempdir().expect("a temporary directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let ids = user.ids();
        let built = Path::new(env!("CARGO_BIN_EXE_routerpack"));
        let mut world = Self { directory, user, ids, program: built.to_owned() };
        for name in ["cache", "home", "tmp", "work"] {
            fs::create_dir(world.root().join(name)).unwrap();
        }
        if let Some((uid, gid)) = ids {
            // the build directory may be where only its owner gets in
            world.program = world.root().join("routerpack");
            fs::copy(built, &world.program).unwrap();
            fs::set_permissions(&world.program, fs::Permissions::from_mode(0o755)).unwrap();
            for name in ["cache", "home", "tmp", "work"] {
                chown(world.root().join(name), Some(uid), Some(gid)).unwrap();
            }
        }
        world
    }

    /// The directory that holds all the rest.
    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    /// Who runs the program here.
    pub fn user(&self) -> User {
        self.user
    }

    /// The program's cache.
    pub fn cache(&self) -> PathBuf {
        self.root().join("cache")
    }

    /// A path in the work directory, which is the program's current directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join("work").join(name)
    }

    /// Writes a file in the work directory, with its parent directories, and returns its path.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        let mut missing = Vec::new();
        let mut parent = path.parent();
        while let Some(directory) = parent.filter(|d| !d.exists()) {
            missing.push(directory.to_owned());
            parent = directory.parent();
        }
        for directory in missing.iter().rev() {
            fs::create_dir(directory).unwrap();
            self.give(directory);
        }
        fs::write(&path, contents).unwrap();
        self.give(&path);
        path
    }

    /// Copies a directory into the work directory, under `name`.
    pub fn copy(&self, source: &Path, name: &str) -> PathBuf {
        let target = self.path(name);
        run(tool("cp").arg("-R").arg(source).arg(&target)).success();
        if let Some((uid, gid)) = self.ids {
            run(tool("chown").arg("-R").arg(format!("{uid}:{gid}")).arg(&target)).success();
        }
        target
    }

    /// A base image's layout inside this world, where its user gets in, as the value of `--build-context`.
    pub fn base_context(&self, name: &str) -> String {
        let inside = self.root().join(format!("base-{name}"));
        if !inside.exists() {
            run(tool("cp").arg("-R").arg(super::base(name)).arg(&inside)).success();
        }
        format!("{name}=oci-layout:{}", inside.display())
    }

    fn give(&self, path: &Path) {
        if let Some((uid, gid)) = self.ids {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    /// The program as this world's user runs it, ready for arguments: its cache, home and temporary directory are this
    /// world's, and of the environment it sees nothing else.
    pub fn command(&self) -> Command {
        let mut command = match self.ids {
            None => Command::new(&self.program),
            Some((uid, gid)) => {
                let mut command = tool("setpriv");
                command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
                command.args(["--clear-groups", "--inh-caps=-all"]).arg(&self.program);
                command
            }
        };
        command.env_clear().stdin(Stdio::null()).current_dir(self.path(""));
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8");
        command.env("HOME", self.root().join("home")).env("TMPDIR", self.root().join("tmp"));
        command.env("ROUTERPACK_CACHE_DIR", self.cache()).env("RUST_BACKTRACE", "1");
        command
    }

    /// Runs the program with these arguments.
    pub fn routerpack<S: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        run(self.command().args(arguments))
    }

    /// Runs the program with these arguments and `input` on its standard input.
    pub fn routerpack_with_input<S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Outcome {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || pipe.write_all(input));
            super::finish(&command, child)
        })
    }

    /// Builds a context directory, with the base image `busybox` at hand, into a router's archive of this name; returns
    /// where it is.
    #[track_caller]
    pub fn build(&self, context: &Path, archive: &str, arguments: &[&str]) -> PathBuf {
        self.build_as("routeros", context, archive, arguments)
    }

    /// The same as another type of output (`docker`, `oci` …).
    #[track_caller]
    pub fn build_as(&self, kind: &str, context: &Path, archive: &str, arguments: &[&str]) -> PathBuf {
        let dest = self.path(archive);
        let mut command = self.command();
        command.args(["build", "--progress=plain", "--build-context", &self.base_context("busybox")]).args(arguments);
        run(command.arg(format!("--output=type={kind},dest={}", dest.display())).arg(context)).success();
        dest
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A file that came now would keep the directory from going.
        super::leftovers::settle(self);
    }
}

/// The epoch that tests of equal bytes set.
pub const EPOCH: &str = "1704067200";

/// Whether this process runs as root, which most of these tests need.
pub fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| caller() == 0)
}
