//! A tiny root filesystem and ways to run something in it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use routerpack_sandbox::{Child, Error, Root, Status, Step, Streams, spawn};
use tempfile::TempDir;

/// Layers and an upper in a directory that goes when this is dropped.
pub struct Image {
    pub dir: TempDir,
    pub lowers: Vec<PathBuf>,
}

impl Image {
    /// The machine's static busybox as every command, users, nothing else.
    pub fn busybox() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base");
        for name in ["bin", "dev", "etc", "proc", "root", "sys", "tmp"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        fs::copy("/bin/busybox", base.join("bin/busybox"))
            .expect("these tests take a static busybox: apt-get install busybox-static");
        for applet in [
            "sh", "cp", "unshare", "setsid", "chmod", "chown", "df", "tail", "cat", "ls", "id", "mount", "sleep",
            "hostname", "touch", "rm", "rmdir", "mkdir", "env", "stat", "ip", "ifconfig", "kill", "true", "false",
            "chroot", "mknod", "ps", "wc", "test", "echo", "grep",
        ] {
            symlink("busybox", base.join("bin").join(applet)).unwrap();
        }
        fs::write(base.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/var/www:/bin/sh\n").unwrap();
        fs::write(base.join("etc/group"), "root:x:0:\nweb:x:33:\naudio:x:29:web\n").unwrap();
        for name in ["upper", "work"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { lowers: vec![base], dir }
    }

    pub fn base(&self) -> &Path {
        &self.lowers[0]
    }

    pub fn upper(&self) -> PathBuf {
        self.dir.path().join("upper")
    }

    /// A step that runs a shell script on this image.
    pub fn sh(&self, script: &str) -> Step {
        let root =
            Root::Overlay { lowers: self.lowers.clone(), upper: self.upper(), work: self.dir.path().join("work") };
        Step::new(root, vec!["sh".into(), "-c".into(), script.into()])
    }

    /// All paths in the upper, sorted.
    pub fn changes(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.upper(), &self.upper(), &mut found);
        found.sort();
        found
    }
}

fn list(base: &Path, dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.strip_prefix(base).unwrap().to_str().unwrap().into());
        if path.symlink_metadata().unwrap().is_dir() {
            list(base, &path, found);
        }
    }
}

/// Starts a step; its output comes from the reader.
pub fn start(step: &Step) -> Result<(Child, std::io::PipeReader), Error> {
    let (reader, writer) = std::io::pipe().unwrap();
    let streams = Streams { stdin: None, stdout: writer.try_clone().unwrap().into(), stderr: writer.into() };
    Ok((spawn(step, streams)?, reader))
}

/// Runs a step to its end: status, standard output and error together.
pub fn run(step: &Step) -> Result<(Status, String), Error> {
    let (mut child, mut reader) = start(step)?;
    let mut output = Vec::new();
    reader.read_to_end(&mut output).unwrap();
    Ok((child.wait()?, String::from_utf8_lossy(&output).into_owned()))
}

/// Runs a step that has to succeed.
pub fn output(step: &Step) -> String {
    let (status, output) = run(step).unwrap();
    assert!(status.success(), "{status:?}: {output}");
    output
}
