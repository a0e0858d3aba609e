//! Random edits between builds, races, kills and a full disk: what comes out of a cache with a past is what comes out of
//! an empty one, byte for byte.

use std::{
    fs::{self, FileTimes},
    io,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::support::{World, run, tool, world::EPOCH};

/// How long the rounds go on, and how many there are at least.
const TIME: Duration = Duration::from_secs(20);
const ROUNDS: u32 = 8;

const DOCKERFILE: &str = "\
FROM busybox AS stage
ARG WORD=none
COPY sub /sub
RUN --mount=type=bind,source=.,target=/ctx cd /ctx && find . -type f -exec cat {} + | md5sum > /sum; echo $WORD >> /sum
FROM busybox
COPY . /all/
COPY a b? sub/../c* /some/
COPY --from=stage /sum /sub /
";

/// Files that are there and come and go; `ignored*` are left out by the ignore file.
const NAMES: [&str; 10] = ["a", "b1", "b2", "c", "sub/a", "sub/b", "sub/deep/a", "sub/deep/b", "ignored", "ignored2"];

/// A xorshift generator: the same seed, the same test.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

struct Stress {
    world: World,
    random: Random,
    base: String,
    count: u32,
}

impl Stress {
    fn new(seed: u64) -> Self {
        let world = World::new();
        world.write("ctx/Dockerfile", DOCKERFILE);
        world.write("ctx/.dockerignore", "ignored*\n");
        for name in NAMES {
            world.write(&format!("ctx/{name}"), name);
        }
        let base = world.base_context("busybox");
        Self { world, random: Random(seed), base, count: 0 }
    }

    fn any(&mut self) -> PathBuf {
        let name = NAMES[self.random.below(NAMES.len())];
        self.world.path("ctx").join(name)
    }

    /// One edit. What can't be done to what is there just now is left.
    fn edit(&mut self) -> &'static str {
        let (path, other) = (self.any(), self.any());
        self.count += 1;
        let text = format!("{:08}", self.count);
        let what = self.random.below(13);
        let edit = || -> io::Result<&str> {
            // Without one of these the Dockerfile is wrong.
            let needed = ["a", "b1", "b2", "c"].iter().any(|name| path == self.world.path("ctx").join(name));
            Ok(match what {
                0 => fs::write(&path, &text).map(|()| "write")?,
                1 => {
                    let was = fs::metadata(&path)?;
                    let size = was.len() as usize;
                    fs::write(&path, text.bytes().rev().cycle().take(size).collect::<Vec<_>>())?;
                    let times = FileTimes::new().set_modified(was.modified()?);
                    fs::File::options().write(true).open(&path)?.set_times(times)?;
                    "same size, time put back"
                }
                2 => {
                    let mode = 0o600 | ((self.count % 8) * 0o11);
                    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map(|()| "mode")?
                }
                3 => {
                    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(self.count));
                    let times = FileTimes::new().set_modified(long_ago);
                    fs::File::options().write(true).open(&path)?.set_times(times).map(|()| "touch")?
                }
                4 if path != other && [&path, &other].iter().all(|p| p.exists() && !p.is_symlink()) => {
                    let between = self.world.path("between");
                    fs::rename(&path, &between)?;
                    fs::rename(&other, &path)?;
                    fs::rename(&between, &other).map(|()| "swap")?
                }
                5 if !needed => fs::remove_file(&path).map(|()| "remove")?,
                6 => {
                    if !needed || !other.is_symlink() {
                        let _ = fs::remove_file(&path);
                        fs::hard_link(&other, &path).or_else(|_| fs::write(&path, &text))?;
                    }
                    "hard link"
                }
                7 if !needed => {
                    let _ = fs::remove_file(&path);
                    symlink(["a", "../a", "b1"][self.count as usize % 3], &path).map(|()| "symlink")?
                }
                8 => {
                    use std::os::unix::fs::FileExt;
                    fs::File::options().write(true).open(&path)?.write_at(&text.as_bytes()[7..], 0)?;
                    "one byte in place"
                }
                9 => {
                    let fresh = self.world.write("fresh", &text);
                    fs::rename(fresh, &path).map(|()| "replace")?
                }
                11 => {
                    let value = [&b""[..], b"1", b"2"][self.count as usize % 3];
                    if value.is_empty() {
                        rustix::fs::removexattr(&path, "user.note")?; // there may be none
                    } else {
                        rustix::fs::setxattr(&path, "user.note", value, rustix::fs::XattrFlags::empty())?;
                    }
                    "attribute"
                }
                10 => {
                    let dir = self.world.path("ctx/sub/deep");
                    fs::set_permissions(dir, fs::Permissions::from_mode(0o700 + self.count % 8))?;
                    "directory's mode"
                }
                _ => {
                    let ignore =
                        ["ignored*\n", "ignored*\n!ignored2\n", "ignored*\nsub/deep/b\n"][self.count as usize % 3];
                    fs::write(self.world.path("ctx/.dockerignore"), ignore).map(|()| "ignore file")?
                }
            })
        };
        edit().unwrap_or("nothing")
    }

    fn command(&self, output: &str, word: usize, more: &[&str]) -> Command {
        let mut command = self.world.command();
        command.args(["build", "-q", "-t", "app:1", "--build-context", &self.base]).args(more);
        command.arg(format!("--build-arg=WORD={word}")).arg(format!("--build-arg=SOURCE_DATE_EPOCH={EPOCH}"));
        command.args(["-o", output, "ctx"]);
        command
    }

    fn spawn(&self, output: &str, word: usize) -> Child {
        self.command(output, word, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What an empty cache gives.
    fn fresh(&self, output: &str, word: usize) -> Vec<u8> {
        let cache = tempfile::tempdir_in(self.world.root()).unwrap();
        let name = output.replace("out", "fresh");
        let at = cache.path().to_str().unwrap();
        run(&mut self.command(&name, word, &["--cache-dir", at])).success();
        crate::support::leftovers::settle(&self.world);
        fs::read(self.world.path(file(&name))).unwrap()
    }
}

fn file(output: &str) -> &str {
    output.split("dest=").last().unwrap_or(output)
}

#[test]
fn a_cache_with_a_past_gives_what_an_empty_one_gives() {
    let seed = 0x9e37_79b9_7f4a_7c15;
    let mut stress = Stress::new(seed);
    let start = Instant::now();
    let mut round = 0;
    while round < ROUNDS || start.elapsed() < TIME {
        let mut story = vec![format!("round {round}")];
        for _ in 0..stress.random.below(4) {
            story.push(stress.edit().into());
        }
        let word = stress.random.below(3);
        let output =
            ["out.tar", "type=docker,dest=out-docker.tar", "type=oci,dest=out-oci.tar", "type=tar,dest=out-t.tar"];
        let output = output[stress.random.below(output.len())];
        match stress.random.below(8) {
            // Edits right under a build, which may fail for it, and must not leave anything wrong.
            0 | 1 => {
                let mut build = stress.spawn(output, word);
                for _ in 0..20 {
                    story.push(format!("meanwhile {}", stress.edit()));
                    thread::sleep(Duration::from_millis(stress.random.below(12) as u64));
                }
                build.wait().unwrap();
            }
            2 => {
                let mut build = stress.spawn(output, word);
                thread::sleep(Duration::from_millis(stress.random.below(150) as u64));
                let _ = build.kill();
                build.wait().unwrap();
                story.push("kill".into());
            }
            // The disk is full: no file can become longer than so many blocks.
            3 => {
                let build = stress.command(output, word, &[]);
                let blocks = stress.random.below(2500).to_string();
                let mut full = Command::new(tool("sh").get_program());
                full.args(["-c", "trap '' XFSZ; ulimit -f $0; exec \"$@\"", &blocks]).arg(build.get_program());
                full.args(build.get_args()).current_dir(stress.world.path("")).env_clear();
                full.envs(build.get_envs().filter_map(|(k, v)| Some((k, v?)))).stdin(Stdio::null());
                let _ = run(&mut full);
                story.push(format!("full at {blocks}"));
            }
            4 => {
                let others: Vec<_> =
                    (0..3).map(|n| stress.spawn(&output.replace("out", &n.to_string()), word)).collect();
                others.into_iter().for_each(|mut build| assert!(build.wait().unwrap().success(), "{story:?}"));
                for n in 1..3 {
                    let one =
                        |n: usize| fs::read(stress.world.path(file(&output.replace("out", &n.to_string())))).unwrap();
                    assert!(one(n) == one(0), "builds at once differ: {story:?}");
                }
                story.push("three at once".into());
            }
            5 => {
                let out = stress.world.path(file(output));
                let len = fs::metadata(&out).map_or(0, |m| m.len()) as usize;
                let _ = match stress.random.below(3) {
                    0 => fs::remove_file(&out),
                    1 => fs::File::options().write(true).open(&out).and_then(|f| f.set_len(len as u64 / 2)),
                    _ => fs::write(&out, vec![7; len]),
                };
                story.push("output spoilt".into());
            }
            _ => {}
        }
        run(&mut stress.command(output, word, &[])).success();
        let got = fs::read(stress.world.path(file(output))).unwrap();
        assert!(got == stress.fresh(output, word), "{output} of WORD={word} is not that of an empty cache: {story:?}");
        round += 1;
    }
    assert!(round >= ROUNDS);
    crate::support::assert_none("files are left", &crate::support::leftovers::files(&stress.world));
}
