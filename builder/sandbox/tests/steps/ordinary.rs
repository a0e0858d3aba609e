//! The same as an ordinary user: this program again as `nobody`, with ranges of further ids and without.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use routerpack_sandbox::doctor::{Patient, examine};
use routerpack_sandbox::{Error, IdMap, Isolation, Network, Security, emulators, enter, probe};

use crate::Test;
use crate::image::{Image, output, run};

pub const TESTS: &[Test] = &[
    ("an_ordinary_user_with_ranges", an_ordinary_user_with_ranges),
    ("an_ordinary_user_with_one_id", an_ordinary_user_with_one_id),
    ("the_doctor_knows_this_machine", the_doctor_knows_this_machine),
];

const NOBODY: u32 = 65534;
const LINE: &str = "nobody:500000:65536\n";

/// A line in the files of ranges, for as long as this lives.
struct Ranges;

impl Ranges {
    const FILES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

    fn add() -> Self {
        for file in Self::FILES {
            let text = fs::read_to_string(file).unwrap_or_default();
            assert!(!text.contains("nobody:"), "{file} has a line for nobody already");
            fs::write(file, text + LINE).unwrap();
        }
        Self
    }
}

impl Drop for Ranges {
    fn drop(&mut self) {
        for file in Self::FILES {
            let text = fs::read_to_string(file).unwrap();
            fs::write(file, text.replace(LINE, "")).unwrap();
        }
    }
}

fn as_nobody(scenario: &str, path: &str) {
    let status = Command::new("/proc/self/exe")
        .arg("--as-nobody")
        .arg(scenario)
        .env("PATH", path)
        .current_dir("/")
        .gid(NOBODY)
        .uid(NOBODY)
        .status()
        .unwrap();
    assert!(status.success(), "{scenario}: {status}");
}

fn an_ordinary_user_with_ranges() {
    let _ranges = Ranges::add();
    as_nobody("ranges", "/usr/bin:/bin");
    // Without newuidmap the ranges are out of reach.
    as_nobody("single", "/nowhere");
}

fn an_ordinary_user_with_one_id() {
    as_nobody("single", "/usr/bin:/bin");
}

/// The ordinary user's part; see `main`.
pub fn as_nobody_main(scenario: &str) {
    let pid = std::process::id();
    // A name from somebody else's environment does no harm.
    let entered = enter::enter(Some("root"));
    let ids = entered.clone().unwrap();
    assert_eq!(std::process::id(), pid);
    // Entering twice does nothing.
    assert_eq!(enter::enter(Some("nobody")).unwrap(), ids);
    assert_eq!(ids.is_single(), scenario == "single");
    match scenario {
        "ranges" => with_ranges(&ids),
        _ => with_one_id(),
    }
    everywhere();
    let findings = doctor(&entered, NOBODY);
    let ok = |what: &str| findings.iter().find(|f| f.what == what).unwrap_or_else(|| panic!("{what}: {findings:?}")).ok;
    assert_eq!(ok("ids of a build"), scenario == "ranges");
    assert!(ok("overlay") && ok("user namespaces"), "{findings:?}");
}

fn with_ranges(ids: &IdMap) {
    assert!(ids.has_uid(65535) && ids.has_gid(65535));
    let image = Image::busybox();
    let mut step = image.sh("id -u; echo > /tmp/mine; mkdir /tmp/d; cat /proc/self/uid_map");
    step.user = "web".into();
    fs::set_permissions(image.base().join("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    let text = output(&step);
    assert!(text.starts_with("33\n"), "{text}");
    assert_eq!(fs::metadata(image.upper().join("tmp/mine")).unwrap().uid(), 33);
    output(&image.sh("touch /tmp/x; chown 4000:5000 /tmp/x; chmod 4755 /tmp/x"));
    let made = fs::metadata(image.upper().join("tmp/x")).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (4000, 5000, 0o4755));
    step.user = "70000".into();
    assert!(matches!(run(&step), Err(Error::UnmappedId { id: 70000, .. })));
}

fn with_one_id() {
    let image = Image::busybox();
    let mut step = image.sh("id -u; id -g");
    assert_eq!(output(&step), "0\n0\n");
    step.user = "web".into();
    let error = run(&step).unwrap_err();
    assert!(matches!(error, Error::UnmappedId { id: 33, .. }), "{error:?}");
    assert!(error.to_string().contains("usermod --add-subuids"), "{error}");
}

/// What every user can have.
fn everywhere() {
    let facts = probe::probe(&std::env::temp_dir()).unwrap();
    assert_eq!(facts.isolation, Isolation::UserNamespace);
    assert_eq!(facts.overlay, Ok(()));
    let image = Image::busybox();
    let mut step = image.sh("hostname; echo > /dev/null; cat /proc/self/status; rm -r /etc; mkdir /etc; rm /bin/ls");
    step.network = Network::None;
    let text = output(&step);
    assert!(text.starts_with("buildkitsandbox\n") && text.contains("CapEff:\t00000000a80425fb"), "{text}");
    assert!(image.changes().contains(&"bin/ls".to_string()));
    let image = Image::busybox();
    let mut step = image.sh("mount -t tmpfs x /tmp");
    assert!(!run(&step).unwrap().0.success());
    step.security = Security::Insecure;
    output(&step);
    let dirs = emulators::usual_dirs();
    let arm = routerpack_graph::platform::Platform::new("linux", "arm", "v5");
    let code = b"\x00\x00\xa0\xe3\x01\x70\xa0\xe3\x00\x00\x00\xef";
    let path = image.base().join("bin/arm");
    fs::write(&path, routerpack_sandbox::elf::tiny_32(routerpack_sandbox::elf::EM_ARM, code)).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut step = image.sh("arm && env -i /bin/arm");
    step.emulation = emulators::choose(&arm, &facts, &emulators::find(&dirs), &dirs).unwrap();
    output(&step);
    step.security = Security::Insecure;
    output(&step);
}

fn doctor(ids: &Result<IdMap, Error>, uid: u32) -> Vec<routerpack_sandbox::doctor::Finding> {
    examine(&Patient {
        cache_dir: &std::env::temp_dir(),
        emulator_dirs: &emulators::usual_dirs(),
        ids,
        uid,
        name: None,
        has_newuidmap: true,
    })
}

fn the_doctor_knows_this_machine() {
    let findings = doctor(&IdMap::current().map_err(|e| Error::Invalid(e.to_string())), 0);
    for what in ["kernel", "user namespaces", "overlay", "private binfmt_misc", "seccomp", "platform linux/arm/v5"] {
        let finding = findings.iter().find(|f| f.what == what).unwrap();
        assert!(finding.ok, "{finding:?}");
    }
    // An emulator's absence comes with its command.
    let empty = tempfile::tempdir().unwrap();
    let findings = examine(&Patient {
        cache_dir: empty.path(),
        emulator_dirs: &[empty.path().to_path_buf()],
        ids: &Ok(IdMap::default()),
        uid: 0,
        name: None,
        has_newuidmap: false,
    });
    let finding = findings.iter().find(|f| f.what == "platform linux/arm/v7").unwrap();
    assert!(!finding.ok && finding.mend.as_ref().unwrap().contains("apt-get install"), "{finding:?}");
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}
