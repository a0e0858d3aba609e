//! What the machine can't do without: the same work by the plainest means, measured in the same run.

use std::{
    fs::{self, File},
    io::{BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::{Taken, builder::Phase, image::Image, workload::Workload};

const CHUNK: usize = 256 << 10;

/// A floor of one workload.
pub struct Floor<'a> {
    /// What it is.
    pub name: String,
    /// What it is the floor of.
    pub phase: Phase,
    work: Box<dyn Fn() + 'a>,
    before: Box<dyn Fn() + 'a>,
}

impl Floor<'_> {
    /// Does the work.
    pub fn run(&self) -> Taken {
        (self.before)();
        succeeds(&mut Command::new("sync"));
        let start = Instant::now();
        (self.work)();
        Taken { time: start.elapsed(), ..Taken::default() }
    }
}

/// The floors of a workload whose archive has `bytes`.
pub fn of<'a>(workload: &'a Workload, dir: &Path, bytes: u64) -> Vec<Floor<'a>> {
    let dir = dir.join("floor").join(workload.name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a directory for the floor");
    let mut floors = vec![Floor {
        name: "floor, warm: start a shell that does nothing".into(),
        phase: Phase::Warm,
        work: Box::new(|| succeeds(Command::new("/usr/bin/time").args(["-q", "-f", "", "sh", "-c", "exec true"]))),
        before: Box::new(|| ()),
    }];
    if let Some(image) = &workload.flattened {
        let (out, copied, from) = (dir.join("out"), dir.join("copy"), dir.join("from"));
        floors.push(Floor {
            name: "floor, cold: inflate, hash, write".into(),
            phase: Phase::Cold,
            work: Box::new(move || flatten(image, bytes, &out)),
            before: Box::new(|| ()),
        });
        write(&from, bytes);
        floors.push(Floor {
            name: "floor, warm: copy the archive's file".into(),
            phase: Phase::Warm,
            work: Box::new(move || succeeds(Command::new("cp").arg("--reflink=never").arg(&from).arg(&copied))),
            before: Box::new({
                let copied = dir.join("copy");
                move || drop(fs::remove_file(&copied))
            }),
        });
        return floors;
    }
    let native = format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
    for platform in [native.as_str(), workload.platform] {
        let name = match platform == native {
            true => "floor, cold: the steps in a plain chroot".to_owned(),
            false => "the steps in a plain chroot, under plain qemu".to_owned(),
        };
        if floors.iter().any(|floor| floor.name == name) {
            continue;
        }
        let root = dir.join(platform.replace('/', "-"));
        unpack(workload, platform, &root);
        let work = dir.join("work");
        floors.push(Floor {
            name,
            phase: Phase::Cold,
            work: Box::new({
                let work = work.clone();
                move || steps(workload, &work)
            }),
            before: Box::new(move || {
                let _ = fs::remove_dir_all(&work);
                succeeds(Command::new("cp").arg("-a").arg(&root).arg(&work));
                succeeds(Command::new("cp").arg("-a").arg(&workload.context).arg(work.join("in")));
            }),
        });
    }
    floors
}

/// A root file system of the workload's base.
fn unpack(workload: &Workload, platform: &str, root: &Path) {
    let base: &PathBuf = workload.base.as_ref().expect("a base");
    let dockerfile = root.with_extension("Dockerfile");
    fs::write(&dockerfile, "FROM base\n").expect("a Dockerfile");
    let mut command = Command::new(env!("CARGO_BIN_EXE_routerpack"));
    command.args(["build", "-q", "--platform", platform, "-f"]).arg(&dockerfile);
    command.arg("--cache-dir").arg(root.with_extension("cache"));
    command.arg("--build-context").arg(format!("base=oci-layout:{}", base.display()));
    command.arg("--output").arg(format!("type=local,dest={}", root.display())).arg(&workload.context);
    succeeds(command.stdout(Stdio::null()));
}

fn steps(workload: &Workload, root: &Path) {
    // the device that a step may want, and nothing else of a container
    let script = r#"mkdir -p "$1/dev"; mount --bind /dev "$1/dev"; exec chroot "$1" /bin/sh -ec "$2""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", script, "sh"]).arg(root).arg(workload.steps);
    succeeds(command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
}

fn succeeds(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// Each layer read, verified, inflated and hashed, and as many bytes as the archive has hashed and written, by two threads,
/// with the inflater that routerpack uses and with no file in between.
fn flatten(image: &Image, bytes: u64, out: &Path) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(layer) = image.layers.get(next.fetch_add(1, Ordering::Relaxed)) {
                    inflate(layer);
                }
            });
        }
    });
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut hash = Sha256::new();
            pieces(bytes).for_each(|piece| hash.update(piece));
            assert_ne!(hash.finalize()[..], [0; 32]);
        });
        write(out, bytes);
    });
}

fn write(out: &Path, bytes: u64) {
    let mut file = File::create(out).expect("a file for the floor");
    pieces(bytes).for_each(|piece| file.write_all(piece).expect("room for the floor"));
}

/// That many bytes, in pieces.
fn pieces(bytes: u64) -> impl Iterator<Item = &'static [u8]> {
    static PIECE: [u8; CHUNK] = [0x55; CHUNK];
    let sizes = std::iter::successors(Some(bytes), |left| left.checked_sub(CHUNK as u64));
    sizes.map(|left| &PIECE[..left.min(CHUNK as u64) as usize])
}

fn inflate(layer: &Path) {
    let raw = Hashed { from: File::open(layer).expect("a layer"), hash: Sha256::new() };
    let mut inflated = MultiGzDecoder::new(BufReader::with_capacity(CHUNK, raw));
    let (mut hash, mut buf) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match inflated.read(&mut buf).expect("gzip") {
            0 => break,
            n => hash.update(&buf[..n]),
        }
    }
    assert_ne!(hash.finalize(), inflated.into_inner().into_inner().hash.finalize());
}

struct Hashed {
    from: File,
    hash: Sha256,
}

impl Read for Hashed {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.from.read(buf)?;
        self.hash.update(&buf[..n]);
        Ok(n)
    }
}
