//! The two builders side by side: routerpack with a cache of the test's own, and BuildKit in Debian 13's dockerd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::comparison::Built;
use super::image::Image;
use super::pantry;
use super::support::suites::{Case, IMAGES};
use super::support::{Outcome, World, base, run, tool};

/// The daemon, with its data in a world's directory; it ends when this is dropped, or with the test.
pub struct Reference {
    world: World,
    pantry: PathBuf,
    server: Child,
    next: AtomicUsize,
}

/// What a base image's name tells of the distribution that it takes.
const DISTRIBUTIONS: [&str; 8] = ["baseimage", "centos", "debian", "fedora", "testimage", "ubuntu", "ubi", "cloud-sdk"];

/// `scripts/reference`, ready for arguments.
fn script() -> Command {
    tool(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/reference"))
}

impl Reference {
    /// Starts the daemon, and waits until it serves.
    pub fn start() -> Self {
        run(script().arg("root")).success();
        let world = World::new();
        for name in ["busybox", "debian"] {
            run(tool("cp").arg("-R").arg(base(name)).arg(world.path(name))).success();
        }
        let pantry = world.path("pantry");
        pantry::stock(&pantry);
        age(&pantry);
        let log_file = world.path("dockerd.log");
        let log = fs::File::create(&log_file).unwrap();
        let mut serve = script();
        serve.arg("serve").arg(world.path("")).stdout(log.try_clone().unwrap()).stderr(log);
        let mut reference = Self { server: serve.spawn().unwrap(), world, pantry, next: AtomicUsize::new(0) };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !reference.docker().arg("version").stderr(Stdio::null()).output().unwrap().status.success() {
            let ended = reference.server.try_wait().unwrap();
            let log = fs::read_to_string(&log_file).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < deadline, "dockerd doesn't serve ({ended:?}):\n{log}");
            std::thread::sleep(Duration::from_millis(100));
        }
        reference
    }

    /// The own cases' context.
    pub fn pantry(&self) -> &Path {
        &self.pantry
    }

    /// Its client. The world's work directory is the current one of both the client and routerpack.
    fn docker(&self) -> Command {
        let mut command = script();
        command.arg("docker").arg(self.world.path(""));
        command
    }

    /// Builds a case with routerpack and with BuildKit.
    pub fn build(&self, case: &Case) -> (Built, Built) {
        let name = format!("case-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let place = self.world.path(&name);
        let (dockerfile, mut context) = case.lay_out(&place);
        let text = fs::read_to_string(&dockerfile).unwrap();
        fs::write(place.join("Dockerfile"), without_syntax(&text)).unwrap();
        if !context.starts_with(self.world.path("")) {
            // to where the daemon's client sees it, too
            let inside = place.join("context");
            run(tool("cp").arg("-a").arg(&context).arg(&inside)).success();
            context = inside;
        }
        age(&context);
        let context = context.strip_prefix(self.world.path("")).unwrap().to_owned();

        let arguments = |dest: &str, prefix: &str| {
            // Those that it may name: each takes its time.
            let images = IMAGES.iter().filter(|image| text.contains(image.split([':', '@']).next().unwrap()));
            let images = images.map(|image| {
                let base = if DISTRIBUTIONS.iter().any(|name| image.contains(name)) { "debian" } else { "busybox" };
                format!("--build-context={image}=oci-layout:{prefix}{base}")
            });
            let mut arguments = vec!["build".to_owned(), "--progress=plain".into(), "--network=none".into()];
            arguments.extend(images);
            arguments.extend(case.arguments.iter().cloned());
            arguments.push(case.cache_namespace());
            arguments.push(format!("--file={name}/Dockerfile"));
            arguments.push(format!("--output=type=oci,dest={name}/{dest}.tar"));
            arguments
        };
        let mut command = self.world.command();
        command.args(arguments("ours", "")).arg("--layers=keep").arg(&context);
        let ours = built(run(&mut command), &place.join("ours.tar"));
        let mut command = self.docker();
        let mut arguments = arguments("theirs", "///mnt/");
        // what routerpack always does with an epoch
        arguments.last_mut().unwrap().push_str(",rewrite-timestamp=true");
        command.arg("buildx").args(arguments).arg("--provenance=false").arg(&context);
        let theirs = built(run(&mut command), &place.join("theirs.tar"));
        run(tool("rm").arg("-rf").arg(&place)).success();
        (ours, theirs)
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// What a finished build left.
fn built(outcome: Outcome, archive: &Path) -> Built {
    match outcome.code {
        Some(0) => Built::Image(Box::new(Image::read(archive))),
        _ => {
            assert!(!outcome.stderr.contains("panicked at"), "{outcome}");
            Built::Refused(outcome.stderr)
        }
    }
}

/// A Dockerfile without the line that names a frontend, which BuildKit would pull.
fn without_syntax(text: &str) -> String {
    let names = |line: &&str| {
        let comment = line.trim_start_matches('\u{feff}').trim_start_matches('#').trim_start().to_ascii_lowercase();
        line.trim_start_matches('\u{feff}').starts_with('#')
            && comment.strip_prefix("syntax").is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    text.split_inclusive('\n').filter(|line| !names(line)).collect()
}

/// Sets back the times of a context that was just made, so that a time of the context can be told from the build's.
fn age(context: &Path) {
    let mut touch = tool("find");
    touch.arg(context).args(["-newermt", "2026-01-01", "-exec", "touch", "-h", "-d", "@1600000000", "{}", "+"]);
    run(&mut touch).success();
}
