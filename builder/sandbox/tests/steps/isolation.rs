//! What a step sees of the machine, and what it can do to it.

use routerpack_sandbox::{Isolation, Network, Root, Security, Ulimit};

use crate::Test;
use crate::image::{Image, output, run};

pub const TESTS: &[Test] = &[
    ("the_machine_is_out_of_sight", the_machine_is_out_of_sight),
    ("users_are_those_of_the_image", users_are_those_of_the_image),
    ("capabilities_and_calls_are_dockers", capabilities_and_calls_are_dockers),
    ("insecure_lets_all_through", insecure_lets_all_through),
    ("network_none_is_a_loopback", network_none_is_a_loopback),
    ("limits_and_working_directory", limits_and_working_directory),
    ("failures_say_what_is_wrong", failures_say_what_is_wrong),
    ("root_without_user_namespaces", root_without_user_namespaces),
    ("chroot_without_mounts", chroot_without_mounts),
    ("the_program_cannot_be_overwritten", the_program_cannot_be_overwritten),
];

fn the_machine_is_out_of_sight() {
    let image = Image::busybox();
    let mut step = image.sh("hostname; id -u; cat /etc/resolv.conf; cat /proc/1/comm; touch /tmp/x");
    step.resolv_conf = "nameserver 192.0.2.1\n".into();
    let text = output(&step);
    assert!(text.starts_with("buildkitsandbox\n0\nnameserver 192.0.2.1\n"), "{text}");
    assert_eq!(image.changes(), ["tmp", "tmp/x"]);
    let mounts = output(&image.sh("cat /proc/self/mountinfo"));
    let roots: Vec<_> = mounts.lines().filter(|l| l.split(' ').nth(4) == Some("/")).collect();
    assert!(matches!(roots[..], [one] if one.contains(" - overlay ")), "{mounts}");
    // Only the step's own processes, in its own session.
    assert_eq!(output(&image.sh("cd /proc; echo [0-9]*")), "1 2\n");
    // /dev/core only where the kernel has what it links to
    let devices = if std::path::Path::new("/proc/kcore").exists() { "15\n" } else { "14\n" };
    assert_eq!(output(&image.sh("echo x > /dev/null; cat /dev/null; echo $(ls /dev | wc -l)")), devices);
    for refused in ["touch /etc/hosts", "touch /sys/x", "echo 0 > /proc/sys/kernel/randomize_va_space", "rm /etc/hosts"]
    {
        assert!(!run(&image.sh(refused)).unwrap().0.success(), "{refused}");
    }
    assert_eq!(output(&image.sh("cat /proc/keys /proc/timer_list; umask")), "0022\n");
}

fn users_are_those_of_the_image() {
    let image = Image::busybox();
    let mut step = image.sh("id -u; id -g; id -G; echo $HOME");
    assert_eq!(output(&step), "0\n0\n0\n/root\n");
    step.user = "web".into();
    assert_eq!(output(&step), "33\n33\n33 29\n/var/www\n");
    step.user = "1000:1001".into();
    step.env.push("HOME=/mine".into());
    assert_eq!(output(&step), "1000\n1001\n1001\n/mine\n");
    step.user = "ghost".into();
    let error = run(&step).unwrap_err().to_string();
    assert!(error.contains("ghost") && error.contains("/etc/passwd"), "{error}");
    // Files are owned by whoever makes them.
    let mut step = image.sh("echo > /tmp/mine");
    step.user = "web".into();
    let base_tmp = image.base().join("tmp");
    std::fs::set_permissions(base_tmp, std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    output(&step);
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(image.upper().join("tmp/mine")).unwrap());
    assert_eq!(owner, 33);
}

fn capabilities_and_calls_are_dockers() {
    let image = Image::busybox();
    let status = output(&image.sh("cat /proc/self/status"));
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().to_string();
    assert_eq!(field("CapEff:"), "00000000a80425fb");
    assert_eq!(field("CapBnd:"), "00000000a80425fb");
    assert_eq!(field("CapInh:"), "0000000000000000");
    assert_eq!(field("Seccomp:"), "2");
    assert_eq!(field("NoNewPrivs:"), "0");
    let mut step = image.sh("cat /proc/self/status");
    step.user = "web".into();
    assert!(output(&step).contains("CapEff:\t0000000000000000"));
    // EPERM without a look at the arguments: the list, not the kernel.
    for refused in ["mount -t tmpfs x /tmp", "hostname other", "mknod /dev/kmsg c 1 11", "unshare -r true"] {
        assert!(!run(&image.sh(refused)).unwrap().0.success(), "{refused}");
    }
    // File capabilities and set-id bits can be made, as packages do.
    output(&image.sh("touch /tmp/x; chmod 4755 /tmp/x; chown 33:33 /tmp/x; chroot / true"));
}

fn insecure_lets_all_through() {
    let image = Image::busybox();
    let mut step = image.sh("mount -t tmpfs x /tmp && cat /proc/self/status && hostname");
    step.security = Security::Insecure;
    let text = output(&step);
    assert!(text.contains("Seccomp:\t0") && text.ends_with("buildkitsandbox\n"), "{text}");
    assert!(!text.contains("CapEff:\t00000000a80425fb"), "{text}");
    assert!(image.changes().is_empty());
}

fn network_none_is_a_loopback() {
    let image = Image::busybox();
    let script = "grep -c : /proc/net/dev; ifconfig lo";
    let mut step = image.sh(script);
    step.network = Network::None;
    let text = output(&step);
    assert!(text.starts_with("1\n") && text.contains("127.0.0.1") && text.contains("UP"), "{text}");
    let inside = output(&image.sh("stat -L -c %i /proc/self/ns/net"));
    let mine = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata("/proc/self/ns/net").unwrap());
    assert_eq!(inside.trim(), mine.to_string());
}

fn limits_and_working_directory() {
    let image = Image::busybox();
    let mut step = image.sh("ulimit -n; ulimit -c; pwd; df -k /dev/shm | tail -n 1");
    step.ulimits = vec![Ulimit { name: "nofile".into(), soft: Some(100), hard: Some(200) }];
    step.cwd = "/made/here".into();
    step.shm_size = 1 << 20;
    let text = output(&step);
    assert!(text.starts_with("100\n0\n/made/here\n") && text.contains("1024"), "{text}");
    assert_eq!(image.changes(), ["made", "made/here"]);
    step.ulimits[0].name = "files".into();
    assert!(run(&step).unwrap_err().to_string().contains("`files`"));
}

fn failures_say_what_is_wrong() {
    let image = Image::busybox();
    let failure = |args: &[&str]| {
        let mut step = image.sh("");
        step.args = args.iter().map(|a| a.to_string()).collect();
        run(&step).unwrap_err().to_string()
    };
    std::fs::write(image.base().join("bin/script"), "#!/no/such\n").unwrap();
    let mode = |name: &str| {
        let path = image.base().join(name);
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    mode("bin/script");
    std::fs::write(image.base().join("bin/text"), "no program\n").unwrap();
    mode("bin/text");
    assert!(failure(&["nothing"]).contains("`nothing`"));
    assert!(failure(&["/bin/nothing"]).contains("`/bin/nothing`"));
    assert!(failure(&["script"]).contains("interpreter"));
    assert!(failure(&["text"]).contains("exec format error"));
    assert!(failure(&["/etc"]).contains("Permission denied"));
    assert!(failure(&[]).contains("no command"));
    let mut step = image.sh("");
    step.root = Root::Dir("/no/such/dir".into());
    assert!(run(&step).unwrap_err().to_string().contains("/no/such/dir"));
    assert_eq!(run(&image.sh("kill -9 $$")).unwrap().0.code(), 137);
    assert!(image.changes().is_empty());
}

fn root_without_user_namespaces() {
    let image = Image::busybox();
    let mut step = image.sh("hostname; cat /proc/self/status; touch /new; rm -r /etc/group /root");
    step.isolation = Isolation::Namespaces;
    let text = output(&step);
    assert!(text.starts_with("buildkitsandbox") && text.contains("CapEff:\t00000000a80425fb"), "{text}");
    assert_eq!(image.changes(), ["etc", "etc/group", "new", "root"]);
}

fn chroot_without_mounts() {
    let image = Image::busybox();
    let base = image.base();
    std::fs::write(base.join("etc/hosts"), "mine\n").unwrap();
    let before = listing(base);
    let mut step = image.sh("cat /etc/resolv.conf; echo gone > /dev/null; sleep 1000 & true");
    step.root = Root::Dir(base.into());
    step.isolation = Isolation::Chroot;
    step.resolv_conf = "nameserver 192.0.2.1\n".into();
    assert_eq!(output(&step), "nameserver 192.0.2.1\n");
    assert_eq!(listing(base), before);
    assert_eq!(std::fs::read_to_string(base.join("etc/hosts")).unwrap(), "mine\n");
    step.args[2] = "echo $$ > /tmp/x; cat /proc/self/status".into();
    assert!(!run(&step).unwrap().0.success());
    assert!(base.join("tmp/x").exists());
    let mut step = image.sh("true");
    step.isolation = Isolation::Chroot;
    assert!(run(&step).unwrap_err().to_string().contains("overlay"));
}

/// Names and times of everything.
fn listing(dir: &std::path::Path) -> Vec<String> {
    let mut list = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.path().symlink_metadata().unwrap();
        list.push(format!("{} {:?}", entry.path().display(), meta.modified().unwrap()));
        if meta.is_dir() {
            list.extend(listing(&entry.path()));
        }
    }
    list.sort();
    list
}

fn the_program_cannot_be_overwritten() {
    let image = Image::busybox();
    // A script whose interpreter is whatever executes it: the runner itself, or rather its sealed copy.
    std::fs::write(image.base().join("bin/self"), "#!/proc/self/exe\n").unwrap();
    let path = image.base().join("bin/self");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut step = image.sh("");
    step.args = vec!["self".into()];
    // The test program is dynamically linked, and the image has no loader for it.
    assert!(run(&step).unwrap_err().to_string().contains("interpreter"));
    // The other way in, by the init's executable, is closed by its greater rights.
    assert!(!run(&image.sh("cat /proc/1/exe > /dev/null")).unwrap().0.success());
    assert!(!run(&image.sh("ls -l /proc/1/root/")).unwrap().0.success());
}
