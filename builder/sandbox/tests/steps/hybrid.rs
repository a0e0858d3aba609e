//! Native twins of emulated programs. The emulated ones here write nothing but their `argv[0]`, so each case tells which of
//! the two has run.

use std::path::{Path, PathBuf};

use routerpack_sandbox::native::{Native, Twin};
use routerpack_sandbox::{Source, Step};

use crate::Test;
use crate::emulation::{EXIT_0, emulation, print, program};
use crate::image::{Image, output};

pub const TESTS: &[Test] = &[
    ("twins_take_the_place_of_emulated_programs", twins_take_the_place_of_emulated_programs),
    ("each_reason_leaves_a_program_to_qemu", each_reason_leaves_a_program_to_qemu),
    ("a_twin_is_as_the_program_would_be", a_twin_is_as_the_program_would_be),
];

/// A native root file system with the machine's own loader, C library and `tac`.
fn native(dir: &Path) -> Native {
    let loader = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"].map(PathBuf::from);
    let loader = loader.iter().find_map(|p| p.canonicalize().ok()).expect("a loader of glibc");
    let library = loader.parent().unwrap().join("libc.so.6");
    for (from, to) in [(loader, "lib/loader"), (library, "lib/libc.so.6"), ("/usr/bin/tac".into(), "bin/tac")] {
        let to = dir.join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    }
    Native {
        lowers: vec![dir.into()],
        loader: "lib/loader".into(),
        libraries: vec!["lib".into()],
        locales: vec!["C".into(), "C.UTF-8".into()],
        witnesses: vec!["etc/never".into(), "lib/libtac.so".into()],
        twins: vec![Twin {
            path: "bin/reverse".into(),
            native: "bin/tac".into(),
            letters: "r".into(),
            prefixes: vec!["--before".into()],
            witnesses: vec![0, 1],
        }],
    }
}

/// An image with an emulated `tac`, and a file of two lines.
fn image() -> Image {
    let image = Image::busybox();
    program(&image, "reverse", &[&print(4)[..], &EXIT_0].concat());
    std::fs::create_dir_all(image.base().join("lib")).unwrap();
    std::fs::write(image.base().join("lib/libtac.so"), "library").unwrap();
    std::fs::write(image.base().join("lines"), "1\n2\n").unwrap();
    image
}

fn step(image: &Image, native: &Native, script: &str) -> Step {
    let mut step = image.sh(script);
    step.emulation = emulation("linux/arm/v7");
    step.mounts.push(native.mount());
    step.native = Some(native.clone());
    step
}

fn trimmed(step: &Step) -> String {
    output(step).trim_end().to_string()
}

fn twins_take_the_place_of_emulated_programs() {
    let dir = tempfile::tempdir().unwrap();
    let native = native(dir.path());
    assert!(matches!(native.mount().source, Source::Layers { .. }) && native.mount().readonly);
    for script in [
        "reverse lines",
        "/bin/reverse lines",
        "cd bin && ./reverse ../lines",
        "ln -s /bin/reverse /other && /other lines",
        "LANG=C LC_ALL=C.UTF-8 LC_CTYPE= reverse lines",
        "env -i /bin/reverse lines",
        "reverse - < lines",
        "reverse -s 'x' /lines || true; reverse lines",
    ] {
        let text = trimmed(&step(&image(), &native, script));
        assert!(text.ends_with("2\n1"), "{script}: {text}");
    }
}

fn each_reason_leaves_a_program_to_qemu() {
    let dir = tempfile::tempdir().unwrap();
    let native = native(dir.path());
    for script in [
        // the environment
        "LD_PRELOAD=/x reverse lines",
        "LD_LIBRARY_PATH=/x reverse lines",
        "LANG=de_DE.UTF-8 reverse lines",
        "LC_COLLATE=cs_CZ reverse lines",
        "LANGUAGE=de reverse lines",
        "LOCPATH=/x reverse lines",
        "GLIBC_TUNABLES=x reverse lines",
        "QEMU_STRACE= reverse lines",
        // arguments
        "reverse -r lines",
        "reverse 1r lines",
        "reverse --before lines",
        // another file than the base's, or it has changed
        "cp /bin/reverse /tmp/reverse && /tmp/reverse lines",
        "cp /bin/reverse /new && mv /new /bin/reverse && reverse lines",
        "touch /bin/reverse && reverse lines",
        "chmod 700 /bin/reverse && reverse lines",
        // what it depends on
        "echo x >/lib/libtac.so; reverse lines",
        "rm /lib/libtac.so; reverse lines",
        "touch /etc/never; reverse lines",
        // out of the twin's reach
        "mkdir /c && cp /bin/reverse /c/reverse && chroot /c /reverse /lines",
    ] {
        let text = trimmed(&step(&image(), &native, &format!("{script} 2>/dev/null")));
        assert!(text.ends_with("reverse"), "{script}: {text}");
    }
    // A program that no base has any more.
    let image = image();
    std::fs::remove_file(image.base().join("bin/reverse")).unwrap();
    assert_eq!(trimmed(&step(&image, &native, "type reverse >/dev/null || echo none")), "none");
}

fn a_twin_is_as_the_program_would_be() {
    let dir = tempfile::tempdir().unwrap();
    let native = native(dir.path());
    let run = |script: &str| trimmed(&step(&image(), &native, script));
    // its name, in messages and for others; its exit code; its descriptors, directory and signals
    assert!(run("exec 2>&1; reverse /none; echo $?").ends_with("\n1"));
    assert!(run("reverse /none 2>&1; true").starts_with("reverse:"), "{}", run("reverse /none 2>&1; true"));
    assert_eq!(run("reverse /proc/self/comm"), "tac", "by the native file's name");
    assert_eq!(run("cd /bin && reverse /proc/self/environ | tr '\\0' '\\n' | grep -c ^LD_; true"), "0");
    assert_eq!(run("echo x >/o; reverse /dev/fd/5 5</o"), "x");
    // nothing stays
    let image = image();
    output(&step(&image, &native, "reverse lines"));
    assert_eq!(image.changes(), Vec::<String>::new());
    // and nobody can write there
    let text = run("(echo x >/dev/.routerpack/root/bin/tac) 2>/dev/null || echo refused; reverse lines");
    assert_eq!(text, "refused\n2\n1");
}
