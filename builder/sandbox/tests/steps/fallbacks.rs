//! Machines that give less, made out of this one with util-linux's `unshare` and `setpriv`.

use std::process::Command;

use routerpack_sandbox::probe::{self, Facts};
use routerpack_sandbox::{Isolation, Root};

use crate::Test;
use crate::image::{Image, run};

pub const TESTS: &[Test] = &[
    ("no_more_user_namespaces", no_more_user_namespaces),
    ("no_right_to_mount", no_right_to_mount),
    ("a_container_with_hidden_parts_of_proc", a_container_with_hidden_parts_of_proc),
    ("overlay_on_overlay_on_overlay", overlay_on_overlay_on_overlay),
];

/// Runs `--facts` of this program behind a shell script, as root of a user namespace, with a descriptor open that
/// no step may get.
fn facts(unshare: &[&str], script: &str) -> Facts {
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user"])
        .args(unshare)
        .args(["sh", "-e", "-c", &format!("exec 9< /; {script}"), "sh"])
        .arg(std::env::current_exe().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What works here, on standard output; and a step that makes use of it. See `main`.
pub fn facts_main() {
    let image = Image::busybox();
    let facts = probe::probe(image.dir.path()).unwrap();
    let mut step = image.sh("echo > /tmp/x; test \"$(cat /etc/resolv.conf)\" = mine; test ! -e /proc/self/fd/9");
    step.resolv_conf = "mine\n".into();
    step.isolation = facts.isolation;
    if facts.overlay.is_err() {
        step.root = Root::Dir(image.base().into());
    }
    let (status, output) = run(&step).unwrap();
    assert!(status.success(), "{output}");
    println!("{}", serde_json::to_string(&facts).unwrap());
}

fn no_more_user_namespaces() {
    let facts = facts(&[], "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$1\" --facts");
    assert_eq!(facts.isolation, Isolation::Namespaces);
    assert_eq!(facts.overlay, Ok(()));
    assert!(facts.private_binfmt.is_err());
    let reason = facts.isolation_reason.unwrap();
    assert!(reason.contains("max_user_namespaces is 0") && reason.contains("sysctl"), "{reason}");
}

fn no_right_to_mount() {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces; \
                  exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin \"$1\" --facts";
    let facts = facts(&[], script);
    assert_eq!(facts.isolation, Isolation::Chroot);
    assert!(facts.overlay.is_err() && facts.isolation_reason.is_some());
}

fn a_container_with_hidden_parts_of_proc() {
    let script = "mount -t proc proc /proc; mount --bind /dev/null /proc/timer_list; exec \"$1\" --facts";
    let facts = facts(&["--mount", "--pid", "--fork"], script);
    assert_eq!(facts.isolation, Isolation::UserNamespace);
    assert!(!facts.own_proc);
}

fn overlay_on_overlay_on_overlay() {
    let script = "cd /tmp; d=$(mktemp -d); mount -t tmpfs t $d; cd $d; mkdir l u w m u2 w2 m2; \
                  mount -t overlay -o userxattr,lowerdir=l,upperdir=u,workdir=w o m; \
                  mkdir m/l m/u m/w; TMPDIR=$d/m exec \"$1\" --facts";
    let facts = facts(&["--mount"], script);
    let reason = facts.overlay.unwrap_err();
    assert!(reason.contains("--cache-dir"), "{reason}");
    assert_eq!(facts.isolation, Isolation::UserNamespace);
}
