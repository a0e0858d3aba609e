//! Mounts over the root filesystem, friendly and hostile, and what of them stays behind: nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use routerpack_sandbox::{Mount, Root, Scratch, Source, Step};

use crate::Test;
use crate::image::{Image, output, run};

pub const TESTS: &[Test] = &[
    ("binds_and_their_modes", binds_and_their_modes),
    ("layers_as_a_source", layers_as_a_source),
    ("memory_and_secrets", memory_and_secrets),
    ("sockets", sockets),
    ("mount_points_leave_no_trace", mount_points_leave_no_trace),
    ("hostile_links_stay_inside", hostile_links_stay_inside),
    ("a_directory_in_place", a_directory_in_place),
    ("three_hundred_layers", three_hundred_layers),
    ("a_read_only_root", a_read_only_root),
];

fn mount(target: &str, source: Source) -> Mount {
    Mount { target: target.into(), source, readonly: false }
}

fn bind(target: &str, path: &Path, subpath: &str) -> Mount {
    mount(target, Source::Bind { path: path.into(), subpath: subpath.into() })
}

fn readonly(mount: Mount) -> Mount {
    Mount { readonly: true, ..mount }
}

fn with(image: &Image, script: &str, mounts: Vec<Mount>) -> Step {
    Step { mounts, ..image.sh(script) }
}

fn binds_and_their_modes() {
    let image = Image::busybox();
    let host = tempfile::tempdir().unwrap();
    fs::create_dir(host.path().join("sub")).unwrap();
    fs::write(host.path().join("sub/file"), "content\n").unwrap();
    let source = host.path();
    let step = with(
        &image,
        "cat /ctx/sub/file /one /deep/er/file; echo new > /deep/er/new",
        vec![
            bind("/deep/er", source, "sub"),
            readonly(bind("/ctx", source, "")),
            readonly(bind("/one", source, "/sub/../sub/file")),
        ],
    );
    assert_eq!(output(&step), "content\ncontent\ncontent\n");
    assert_eq!(fs::read_to_string(source.join("sub/new")).unwrap(), "new\n");
    assert!(image.changes().is_empty(), "{:?}", image.changes());
    for refused in ["touch /ctx/x", "rm /ctx/sub/file", "echo x > /one", "rmdir /ctx"] {
        assert!(
            !run(&Step { args: vec!["sh".into(), "-c".into(), refused.into()], ..step.clone() }).unwrap().0.success()
        );
    }
    // A parent given after its child covers nothing.
    let nested =
        with(&image, "cat /a/b/file", vec![bind("/a/b", source, "sub"), mount("/a", Source::Tmpfs { size: None })]);
    assert_eq!(output(&nested), "content\n");
    // The source's own links lead nowhere else.
    symlink("/etc/passwd", source.join("link")).unwrap();
    let error = run(&with(&image, "true", vec![bind("/x", source, "link")])).unwrap_err().to_string();
    assert!(error.contains("`link`"), "{error}");
    let error = run(&with(&image, "true", vec![bind("/bin/sh", source, "")])).unwrap_err().to_string();
    assert!(error.contains("/bin/sh") && error.contains("directory"), "{error}");
}

fn layers_as_a_source() {
    let image = Image::busybox();
    let host = tempfile::tempdir().unwrap();
    let dir = |name: &str| {
        let path = host.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    fs::write(dir("low/d").join("a"), "low\n").unwrap();
    fs::write(host.path().join("low/d/b"), "low\n").unwrap();
    fs::write(dir("high/d").join("a"), "high\n").unwrap();
    let lowers = vec![dir("low"), dir("high")];
    let source = |scratch: Option<Scratch>, subpath: &str| Source::Layers {
        lowers: lowers.clone(),
        scratch,
        subpath: subpath.into(),
    };
    let step = with(
        &image,
        "cat /m/a /m/b /f; rm /w/d/a; echo x > /w/d/b; cat /w/d/b; ! touch /m/x 2> /dev/null",
        vec![
            mount("/m", source(None, "d")),
            mount("/f", source(None, "/d/b")),
            mount("/w", source(Some(Scratch { upper: dir("upper"), work: dir("work") }), "")),
        ],
    );
    assert_eq!(output(&step), "high\nlow\nlow\nx\n");
    assert_eq!(fs::read_to_string(host.path().join("high/d/a")).unwrap(), "high\n");
    assert_eq!(fs::read_to_string(host.path().join("low/d/b")).unwrap(), "low\n");
    // `/f` could not be known to be a file before it was mounted; it was made and removed.
    assert!(image.changes().is_empty(), "{:?}", image.changes());
    // A single layer is enough.
    let one = Source::Layers { lowers: vec![lowers[0].clone()], scratch: None, subpath: String::new() };
    assert_eq!(output(&with(&image, "cat /one/d/a", vec![mount("/one", one)])), "low\n");
}

fn memory_and_secrets() {
    let image = Image::busybox();
    let secret = |mode, uid| Source::Secret { content: b"s3cret\n".to_vec(), mode, uid, gid: 0 };
    let step = with(
        &image,
        "cat /run/secrets/key; stat -c '%a %u %s' /run/secrets/key /s; stat -c %a /t; df -k /t | tail -n 1; echo x > /t/x; ! echo > /s 2>/dev/null",
        vec![
            mount("/run/secrets/key", secret(0o400, 0)),
            mount("/s", secret(0o444, 33)),
            mount("/t", Source::Tmpfs { size: Some(1 << 20) }),
        ],
    );
    let text = output(&step);
    assert!(text.starts_with("s3cret\n400 0 7\n444 33 7\n1777\n") && text.contains("1024"), "{text}");
    assert!(image.changes().is_empty(), "{:?}", image.changes());
}

fn sockets() {
    let image = Image::busybox();
    let host = tempfile::tempdir().unwrap();
    let path = host.path().join("agent");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let step = with(&image, "test -S /run/agent.sock", vec![mount("/run/agent.sock", Source::Socket { path })]);
    output(&step);
    assert!(image.changes().is_empty());
}

fn mount_points_leave_no_trace() {
    let image = Image::busybox();
    let root = image.base();
    fs::create_dir_all(root.join("run/real")).unwrap();
    fs::create_dir_all(root.join("var")).unwrap();
    symlink("/run/real", root.join("var/link")).unwrap();
    // As with systemd-resolved: a link into nowhere.
    symlink("../run/systemd/resolve/stub-resolv.conf", root.join("etc/resolv.conf")).unwrap();
    let host = tempfile::tempdir().unwrap();
    let mounts = vec![bind("/var/link/cache", host.path(), ""), bind("/root/.cache/deep", host.path(), "")];
    let mut step =
        with(&image, "cat /etc/resolv.conf; echo x > /var/link/cache/x; test -f /root/.cache/deep/x", mounts);
    step.resolv_conf = "nameserver 192.0.2.1\n".into();
    assert_eq!(output(&step), "nameserver 192.0.2.1\n");
    // What had to be made below a link was copied up with its parents, unchanged but for being there.
    let left: Vec<_> = image.changes().into_iter().filter(|p| !["run", "run/real"].contains(&p.as_str())).collect();
    assert!(left.is_empty(), "{left:?}");
    for path in ["run", "run/real"] {
        let time = |base: &Path| fs::metadata(base.join(path)).unwrap().modified().unwrap();
        assert_eq!(time(&image.upper()), time(root), "{path}");
    }
    // What the step itself puts beside a mount point stays.
    step.args[2] = "echo kept > /root/.cache/other".into();
    output(&step);
    assert_eq!(fs::read_to_string(image.upper().join("root/.cache/other")).unwrap(), "kept\n");
    assert!(!image.upper().join("root/.cache/deep").exists());
}

fn hostile_links_stay_inside() {
    let host = tempfile::tempdir().unwrap();
    let target = host.path().join("target");
    fs::create_dir(&target).unwrap();
    let outside = target.to_str().unwrap().to_string();
    let deep = format!("{}{outside}", "../".repeat(30));
    for link in [outside, deep] {
        let image = Image::busybox();
        let root = image.base();
        for name in ["proc", "dev"] {
            fs::remove_dir(root.join(name)).unwrap();
        }
        for name in ["proc", "dev", "etc/hosts", "cache", "work"] {
            symlink(&link, root.join(name)).unwrap();
        }
        let mut step = with(
            &image,
            "echo x > /cache/file; ls /proc/self > /dev/null; pwd",
            vec![bind("/cache/../cache", host.path(), "")],
        );
        step.cwd = "/made/anew".into();
        let result = run(&step);
        // The links lead to a place inside the image; that /proc and /dev end there is the image's own affair.
        assert!(result.is_ok() || result.unwrap_err().to_string().contains("mount"));
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "{link}");
        assert!(!fs::symlink_metadata(&target).unwrap().file_type().is_symlink());
    }
    // The magic links of /proc are texts like any other.
    let image = Image::busybox();
    output(&with(&image, "test -d /tmp/target", vec![bind("/proc/1/root/tmp", host.path(), "")]));
    assert!(image.changes().is_empty());
}

fn a_directory_in_place() {
    let image = Image::busybox();
    let base = image.base().to_path_buf();
    let lasting = ["proc", "sys", "dev"].map(|name| base.join(name));
    for directory in &lasting {
        fs::remove_dir(directory).unwrap();
    }
    let mut step = with(&image, "true", vec![]);
    step.root = Root::Dir(base.clone());
    output(&step);
    assert!(lasting.iter().all(|directory| fs::read_dir(directory).unwrap().next().is_none()));
    let before = fs::metadata(&base).unwrap().modified().unwrap();
    let mut step = with(
        &image,
        "cat /etc/hosts > /dev/null; echo x > /tmp/x",
        vec![mount("/mnt/t", Source::Tmpfs { size: None })],
    );
    step.root = Root::Dir(base.clone());
    output(&step);
    assert_eq!(fs::read_to_string(base.join("tmp/x")).unwrap(), "x\n");
    // A step that fails on the way there is tidied up after as well.
    step.mounts.push(bind("/tmp/x", &base, ""));
    assert!(run(&step).unwrap_err().to_string().contains("/tmp/x"));
    for stub in ["etc/hosts", "etc/resolv.conf", "mnt"] {
        assert!(!base.join(stub).exists(), "{stub}");
    }
    assert_eq!(fs::metadata(&base).unwrap().modified().unwrap(), before);
}

fn three_hundred_layers() {
    let mut image = Image::busybox();
    let more: Vec<PathBuf> = (0..300)
        .map(|n| {
            // Long paths, as those of a cache are.
            let dir = image.dir.path().join(format!("{n:064}")).join("fs");
            fs::create_dir_all(dir.join("layers")).unwrap();
            fs::write(dir.join(format!("layers/{n}")), "").unwrap();
            fs::write(dir.join("layers/top"), format!("{n}\n")).unwrap();
            dir
        })
        .collect();
    image.lowers.extend(more);
    assert_eq!(output(&image.sh("cat /layers/top; ls /layers | wc -l; rm -r /layers; mkdir /layers")), "299\n301\n");
    let layers = fs::metadata(image.upper().join("layers")).unwrap();
    assert_eq!(layers.permissions().mode() & 0o777, 0o755);
    assert_eq!(layers.uid(), 0);
}

fn a_read_only_root() {
    let image = Image::busybox();
    let mut step = with(
        &image,
        "! touch /x 2> /dev/null && touch /t/x && echo > /dev/null",
        vec![mount("/t", Source::Tmpfs { size: None })],
    );
    step.readonly_root = true;
    output(&step);
}
