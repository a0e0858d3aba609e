//! ARM programs of a few instructions, on the CPUs of the target platforms. A registration on the machine cannot
//! help or hinder: a step's own binfmt_misc hides it.

use std::os::unix::fs::PermissionsExt;

use routerpack_graph::platform::Platform;
use routerpack_sandbox::elf::{self, tiny_32};
use routerpack_sandbox::{Emulation, Isolation, Status, emulators, probe};

use crate::Test;
use crate::image::{Image, output, run};

pub const TESTS: &[Test] = &[
    ("newer_code_dies_on_older_cpus", newer_code_dies_on_older_cpus),
    ("emulation_is_invisible", emulation_is_invisible),
    ("native_steps_run_nothing_foreign", native_steps_run_nothing_foreign),
    ("native_32_bit_programs_run", native_32_bit_programs_run),
    ("an_emulator_is_never_the_machines", an_emulator_is_never_the_machines),
    ("missing_emulators_are_told", missing_emulators_are_told),
];

pub const EXIT_0: [u32; 3] = [
    0xe3a0_0000, // mov r0, #0
    0xe3a0_7001, // mov r7, #1
    0xef00_0000, // svc #0
];
const VFP: u32 = 0xee00_0a10; // vmov s0, r0
const MOVW: u32 = 0xe300_0001; // movw r0, #1
const DMB: u32 = 0xf57f_f05f; // dmb sy

/// Writes the string whose address is at [sp + `offset`].
pub fn print(offset: u32) -> Vec<u32> {
    vec![
        0xe59d_1000 | offset, // ldr r1, [sp, #offset]
        0xe3a0_2000,          // mov r2, #0
        0xe7d1_3002,          // ldrb r3, [r1, r2]
        0xe353_0000,          // cmp r3, #0
        0x1282_2001,          // addne r2, r2, #1
        0x1aff_fffb,          // bne ldrb
        0xe3a0_0001,          // mov r0, #1
        0xe3a0_7004,          // mov r7, #4          write
        0xef00_0000,          // svc #0
    ]
}

pub fn program(image: &Image, name: &str, code: &[u32]) {
    let path = image.base().join("bin").join(name);
    let code: Vec<u8> = code.iter().flat_map(|w| w.to_le_bytes()).collect();
    std::fs::write(&path, tiny_32(elf::EM_ARM, &code)).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

pub fn emulation(platform: &str) -> Emulation {
    let dirs = emulators::usual_dirs();
    let facts = probe::probe(&std::env::temp_dir()).unwrap();
    let platform = Platform::parse(platform, &emulators::host_platform()).unwrap();
    emulators::choose(&platform, &facts, &emulators::find(&dirs), &dirs).unwrap()
}

fn newer_code_dies_on_older_cpus() {
    let image = Image::busybox();
    let then_exit = |code: &[u32]| [code, &EXIT_0].concat();
    program(&image, "plain", &EXIT_0);
    for (name, instruction) in [("vfp", VFP), ("movw", MOVW), ("dmb", DMB)] {
        program(&image, name, &then_exit(&[instruction]));
    }
    for (platform, survivors) in [
        ("linux/arm/v5", &["plain"][..]),
        ("linux/arm/v6", &["plain", "vfp"]),
        ("linux/arm/v7", &["plain", "vfp", "movw", "dmb"]),
    ] {
        let emulation = emulation(platform);
        for name in ["plain", "vfp", "movw", "dmb"] {
            let mut step = image.sh("");
            step.args = vec![name.into()];
            step.emulation = emulation.clone();
            let (status, text) = run(&step).unwrap();
            let survives = survivors.contains(&name);
            assert_eq!(status.success(), survives, "{name} on {platform}: {status:?} {text}");
            assert_eq!(status.illegal_instruction(), !survives, "{name} on {platform}: {status:?} {text}");
            if !survives {
                assert_eq!(status, Status::Signaled(4), "{name} on {platform}");
            }
        }
        // The same with no environment and out of a shell.
        let mut step = image.sh("env -i /bin/movw");
        step.emulation = emulation;
        let (status, _) = run(&step).unwrap();
        assert_eq!(status.illegal_instruction(), !survivors.contains(&"movw"), "{platform}");
    }
}

fn emulation_is_invisible() {
    let image = Image::busybox();
    program(&image, "argv0", &[&print(4)[..], &EXIT_0].concat());
    // The first variable, and failure if there is a second one.
    let end = [
        0xe59d_0010, // ldr r0, [sp, #16]
        0xe350_0000, // cmp r0, #0
        0x13a0_0001, // movne r0, #1
        0xe3a0_7001, // mov r7, #1          exit
        0xef00_0000, // svc #0
    ];
    program(&image, "env0", &[&print(12)[..], &end].concat());
    let mut step = image
        .sh("argv0 && echo && env -i ONLY=one /bin/env0 && echo && mkdir /c && cp /bin/argv0 /c && chroot /c /argv0");
    step.emulation = emulation("linux/arm/v5");
    assert_eq!(output(&step), "argv0\nONLY=one\n/argv0");
    assert_eq!(image.changes(), ["c", "c/argv0"]);
}

fn native_steps_run_nothing_foreign() {
    let image = Image::busybox();
    program(&image, "plain", &EXIT_0);
    let mut step = image.sh("");
    step.args = vec!["plain".into()];
    assert!(run(&step).unwrap_err().to_string().contains("exec format error"));
}

fn native_32_bit_programs_run() {
    let image = Image::busybox();
    // xor eax, eax; inc eax; mov ebx, 9; int 0x80
    let file = tiny_32(elf::EM_386, b"\x31\xc0\x40\xbb\x09\0\0\0\xcd\x80");
    let path = image.base().join("bin/old");
    std::fs::write(&path, file).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    let mut step = image.sh("");
    step.args = vec!["old".into()];
    let facts = probe::probe(&std::env::temp_dir()).unwrap();
    match run(&step) {
        Ok((status, _)) => assert!(facts.runs_32_bit && status == Status::Exited(9), "{status:?}"),
        Err(error) => assert!(!facts.runs_32_bit, "{error}"),
    }
    let old = Platform::new("linux", "386", "");
    assert_eq!(emulators::is_native(&old, &facts), facts.runs_32_bit);
}

fn an_emulator_is_never_the_machines() {
    let image = Image::busybox();
    let mut step = image.sh("true");
    step.emulation = emulation("linux/arm/v7");
    step.isolation = Isolation::Namespaces;
    assert!(run(&step).unwrap_err().to_string().contains("user namespace only"));
}

fn missing_emulators_are_told() {
    let facts = probe::probe(&std::env::temp_dir()).unwrap();
    let empty = tempfile::tempdir().unwrap();
    let dirs = [empty.path().to_path_buf()];
    let platform = |text| Platform::parse(text, &emulators::host_platform()).unwrap();
    let choose = |text, facts| emulators::choose(&platform(text), facts, &emulators::find(&dirs), &dirs);
    let text = choose("linux/arm/v5", &facts).unwrap_err().to_string();
    assert!(text.contains("apt-get install") && text.contains("linux/arm/v5"), "{text}");
    assert!(choose("linux/vax", &facts).is_err());
    // A dynamically linked program is not taken.
    std::fs::copy("/bin/ls", empty.path().join("qemu-arm")).unwrap();
    let text = choose("linux/arm/v5", &facts).unwrap_err().to_string();
    assert!(text.contains("dynamically linked"), "{text}");
}
