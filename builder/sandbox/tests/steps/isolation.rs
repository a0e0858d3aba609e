//! What a step sees of the machine, and what it can do to it.

use crate::Test;
use crate::image::{Image, output, run};

pub const TESTS: &[Test] = &[("the_machine_is_out_of_sight", the_machine_is_out_of_sight)];

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
    assert_eq!(run(&image.sh("exit 3")).unwrap().0.code(), 3);
}
