//! Other programs that flatten an image into a docker-archive: those that are installed.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::shown;

/// A way to flatten an image of an OCI layout.
pub struct Peer {
    /// Its name in the table.
    pub name: &'static str,
    /// The programs that it takes.
    programs: &'static [&'static str],
    /// A script; `$LAYOUT` is the layout, `$OUT` an empty directory, and `$OUT/out.tar` what comes out.
    script: &'static str,
}

const PEERS: [Peer; 3] = [
    Peer {
        name: "buildah commit --squash",
        programs: &["buildah"],
        script: r#"B="buildah --root $OUT/root --runroot $OUT/run --storage-driver overlay"
            c=$($B from -q oci:$LAYOUT:latest); $B commit -q --squash --disable-compression $c docker-archive:$OUT/out.tar:flat:latest
            $B rm $c; $B rmi -fa"#,
    },
    Peer {
        name: "podman export + import + save",
        programs: &["podman"],
        script: r#"P="podman --root $OUT/root --runroot $OUT/run --storage-driver overlay --cgroup-manager cgroupfs"
            i=$($P pull -q oci:$LAYOUT:latest); c=$($P create $i /x)
            $P export $c | $P import -q - localhost/flat:latest; $P save -q -o $OUT/out.tar localhost/flat:latest
            $P rm $c; $P rmi -fa"#,
    },
    Peer {
        name: "skopeo + umoci unpack + tar",
        programs: &["skopeo", "umoci"],
        script: r#"skopeo --insecure-policy copy -q oci:$LAYOUT:latest oci:$OUT/copy:latest
            umoci unpack --image $OUT/copy:latest $OUT/bundle
            mkdir $OUT/image; tar --sort=name -C $OUT/bundle/rootfs -cf $OUT/image/layer.tar .
            sha256sum $OUT/image/layer.tar; tar -C $OUT/image -cf $OUT/out.tar layer.tar"#,
    },
];

/// Those whose programs are all there.
pub fn all() -> Vec<&'static Peer> {
    let there = |program: &&str| {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    };
    PEERS.iter().filter(|peer| peer.programs.iter().all(there)).collect()
}

impl Peer {
    /// Makes `out/out.tar`; how much memory the largest of its processes took, in bytes.
    pub fn run(&self, layout: &Path, out: &Path) -> Option<u64> {
        let mut command = Command::new("sh");
        command.args(["-ec", self.script]).env("LAYOUT", shown(layout)).env("OUT", shown(out));
        let memory = run(command.stdout(Stdio::null()));
        assert!(out.join("out.tar").exists(), "{} made nothing", self.name);
        memory
    }
}

/// Runs a command to its end, and how much memory it or the largest process below it took, in bytes.
pub fn run(command: &mut Command) -> Option<u64> {
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["-q", "-f", "%M"]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        timed.env(key, value.unwrap_or_default());
    }
    timed.process_group(0);
    let output = timed.output().expect("/usr/bin/time (apt-get install time)");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {text}");
    text.lines().last().and_then(|line| line.trim().parse::<u64>().ok()).map(|kib| kib * 1024)
}
