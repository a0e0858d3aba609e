//! The system calls that a sandboxed step may not make: Docker's default profile (moby
//! `profiles/seccomp/default_linux.go`) for a container with the default capabilities.
//!
//! Docker's list names what is allowed; this one names the known calls that are missing there, which is the same
//! thing as long as calls newer than [`LAST`] are refused too (ENOSYS, so that programs fall back). One
//! program serves 64-bit and 32-bit processes: a crate for Firecracker's needs would kill the latter.

use crate::sys::Bpf;

/// Columns of [`DENIED`].
const ABIS: [Abi; 4] = [
    Abi { audit: 0xc000_003e, clone: 56, socket: 41, personality: 135 },
    Abi { audit: 0x4000_0003, clone: 120, socket: 359, personality: 136 },
    Abi { audit: 0xc000_00b7, clone: 220, socket: 198, personality: 92 },
    Abi { audit: 0x4000_0028, clone: 120, socket: 281, personality: 136 },
];

/// What a process of this machine can be: columns of [`ABIS`].
const POSSIBLE: [usize; 2] = if cfg!(target_arch = "aarch64") { [2, 3] } else { [0, 1] };

/// `AUDIT_ARCH_…` and the numbers of calls whose arguments matter.
struct Abi {
    audit: u32,
    clone: u32,
    socket: u32,
    personality: u32,
}

/// `mseal`, the newest call that was looked at.
const LAST: u32 = 462;

/// The same number everywhere; its flags are in memory, where a filter can't look, so libc has to fall back.
const CLONE3: u32 = 435;

/// The call does not exist in this ABI.
const N: u32 = u32::MAX;

/// Refused with EPERM: name; number on x86-64, i386, arm64, arm.
#[rustfmt::skip]
const DENIED: [(&str, [u32; 4]); 65] = [
    ("acct", [163, 51, 89, 51]),
    ("add_key", [248, 286, 217, 309]),
    ("bpf", [321, 357, 280, 386]),
    ("clock_settime", [227, 264, 112, 262]),
    ("clock_settime64", [N, 404, N, 404]),
    ("delete_module", [176, 129, 106, 129]),
    ("fanotify_init", [300, 338, 262, 367]),
    ("finit_module", [313, 350, 273, 379]),
    ("fsconfig", [431, 431, 431, 431]),
    ("fsmount", [432, 432, 432, 432]),
    ("fsopen", [430, 430, 430, 430]),
    ("fspick", [433, 433, 433, 433]),
    ("get_mempolicy", [239, 275, 236, 320]),
    ("init_module", [175, 128, 105, 128]),
    ("io_uring_enter", [426, 426, 426, 426]),
    ("io_uring_register", [427, 427, 427, 427]),
    ("io_uring_setup", [425, 425, 425, 425]),
    ("ioperm", [173, 101, N, N]),
    ("iopl", [172, 110, N, N]),
    ("kcmp", [312, 349, 272, 378]),
    ("kexec_file_load", [320, N, 294, 401]),
    ("kexec_load", [246, 283, 104, 347]),
    ("keyctl", [250, 288, 219, 311]),
    ("lookup_dcookie", [212, 253, 18, 249]),
    ("mbind", [237, 274, 235, 319]),
    ("migrate_pages", [256, 294, 238, 400]),
    ("mount", [165, 21, 40, 21]),
    ("mount_setattr", [442, 442, 442, 442]),
    ("move_mount", [429, 429, 429, 429]),
    ("move_pages", [279, 317, 239, 344]),
    ("nfsservctl", [180, 169, 42, 169]),
    ("open_by_handle_at", [304, 342, 265, 371]),
    ("open_tree", [428, 428, 428, 428]),
    ("perf_event_open", [298, 336, 241, 364]),
    ("pidfd_getfd", [438, 438, 438, 438]),
    ("pivot_root", [155, 217, 41, 218]),
    ("process_madvise", [440, 440, 440, 440]),
    ("quotactl", [179, 131, 60, 131]),
    ("quotactl_fd", [443, 443, 443, 443]),
    ("reboot", [169, 88, 142, 88]),
    ("request_key", [249, 287, 218, 310]),
    ("set_mempolicy", [238, 276, 237, 321]),
    ("set_mempolicy_home_node", [450, 450, 450, 450]),
    ("setdomainname", [171, 121, 162, 121]),
    ("sethostname", [170, 74, 161, 74]),
    ("setns", [308, 346, 268, 375]),
    ("settimeofday", [164, 79, 170, 79]),
    ("stime", [N, 25, N, N]),
    ("swapoff", [168, 115, 225, 115]),
    ("swapon", [167, 87, 224, 87]),
    ("sysfs", [139, 135, N, 135]),
    ("_sysctl", [156, 149, N, 149]),
    ("syslog", [103, 103, 116, 103]),
    ("umount", [N, 22, N, N]),
    ("umount2", [166, 52, 39, 52]),
    ("unshare", [272, 310, 97, 337]),
    ("uselib", [134, 86, N, 86]),
    ("userfaultfd", [323, 374, 282, 388]),
    ("ustat", [136, 62, N, 62]),
    ("vhangup", [153, 111, 58, 111]),
    ("vm86", [N, 166, N, N]),
    ("vm86old", [N, 113, N, N]),
    ("pciconfig_iobase", [N, N, N, 271]),
    ("pciconfig_read", [N, N, N, 272]),
    ("pciconfig_write", [N, N, N, 273]),
];

const NEW_NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP) as u32;

/// `PER_LINUX`, `PER_LINUX32`, `UNAME26` with both, and the question for the present one.
const PERSONALITIES: [u32; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

// Offsets in `struct seccomp_data`; the low half of an argument comes first on these machines.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

fn load(offset: u32) -> Bpf {
    Bpf { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

/// Skips `jt` instructions if the comparison with `k` holds, `jf` otherwise.
fn jump(operation: u32, k: u32, jt: u8, jf: u8) -> Bpf {
    Bpf { code: (libc::BPF_JMP | operation | libc::BPF_K) as u16, jt, jf, k }
}

fn skip(count: usize) -> Bpf {
    jump(libc::BPF_JA, count as u32, 0, 0)
}

fn give(action: u32) -> Bpf {
    Bpf { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: action }
}

/// The filter for this machine.
pub fn program() -> Vec<Bpf> {
    let mut program = vec![load(ARCH)];
    for column in POSSIBLE {
        let part = part(column);
        program.push(jump(libc::BPF_JEQ, ABIS[column].audit, 1, 0));
        program.push(skip(part.len()));
        program.extend(part);
    }
    program.push(give(libc::SECCOMP_RET_KILL_PROCESS));
    program
}

fn part(column: usize) -> Vec<Bpf> {
    let abi = &ABIS[column];
    let mut part = vec![load(NUMBER), jump(libc::BPF_JGT, LAST, 0, 1), give(ENOSYS)];
    for (_, numbers) in DENIED.iter().filter(|(_, numbers)| numbers[column] != N) {
        part.extend([jump(libc::BPF_JEQ, numbers[column], 0, 1), give(EPERM)]);
    }
    part.extend([jump(libc::BPF_JEQ, CLONE3, 0, 1), give(ENOSYS)]);
    part.extend([
        jump(libc::BPF_JEQ, abi.clone, 0, 4),
        load(FIRST_ARGUMENT),
        jump(libc::BPF_JSET, NEW_NAMESPACES, 0, 1),
        give(EPERM),
        give(ALLOW),
    ]);
    part.extend([
        jump(libc::BPF_JEQ, abi.socket, 0, 4),
        load(FIRST_ARGUMENT),
        jump(libc::BPF_JEQ, libc::AF_VSOCK as u32, 0, 1),
        give(EPERM),
        give(ALLOW),
    ]);
    part.extend([jump(libc::BPF_JEQ, abi.personality, 0, 2 * PERSONALITIES.len() as u8 + 2), load(FIRST_ARGUMENT)]);
    for allowed in PERSONALITIES {
        part.extend([jump(libc::BPF_JEQ, allowed, 0, 1), give(ALLOW)]);
    }
    part.extend([give(EPERM), give(ALLOW)]);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel's interpreter would say.
    fn verdict(audit: u32, number: u32, argument: u32) -> u32 {
        let program = program();
        let (mut at, mut value) = (0, 0);
        loop {
            let Bpf { code, jt, jf, k } = program[at];
            at += 1;
            let choice = |holds: bool| usize::from(if holds { jt } else { jf });
            match u32::from(code) & !libc::BPF_K {
                c if c == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    value = match k {
                        NUMBER => number,
                        ARCH => audit,
                        FIRST_ARGUMENT => argument,
                        other => panic!("load of {other}"),
                    }
                }
                c if c == libc::BPF_JMP | libc::BPF_JA => at += k as usize,
                c if c == libc::BPF_JMP | libc::BPF_JEQ => at += choice(value == k),
                c if c == libc::BPF_JMP | libc::BPF_JGT => at += choice(value > k),
                c if c == libc::BPF_JMP | libc::BPF_JSET => at += choice(value & k != 0),
                libc::BPF_RET => return k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn verdicts_are_dockers() {
        for column in POSSIBLE {
            let abi = &ABIS[column];
            let says = |number, argument| verdict(abi.audit, number, argument);
            for (name, numbers) in DENIED {
                if numbers[column] != N {
                    assert_eq!(says(numbers[column], 0), EPERM, "{name}");
                }
            }
            assert_eq!(says(abi.clone, libc::SIGCHLD as u32), ALLOW);
            assert_eq!(says(abi.clone, libc::CLONE_NEWUSER as u32), EPERM);
            assert_eq!(says(abi.socket, libc::AF_INET as u32), ALLOW);
            assert_eq!(says(abi.socket, libc::AF_VSOCK as u32), EPERM);
            assert_eq!(says(abi.personality, 8), ALLOW);
            assert_eq!(says(abi.personality, 0x40000), EPERM);
            assert_eq!(says(CLONE3, 0), ENOSYS);
            assert_eq!(says(LAST, 0), ALLOW);
            assert_eq!(says(LAST + 1, 0), ENOSYS);
            // x32
            assert_eq!(says(0x4000_0000, 0), ENOSYS);
        }
        assert_eq!(verdict(0x8000_0016, 0, 0), libc::SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn numbers_are_the_kernels() {
        let known = [
            ("mount", libc::SYS_mount),
            ("keyctl", libc::SYS_keyctl),
            ("bpf", libc::SYS_bpf),
            ("unshare", libc::SYS_unshare),
            ("reboot", libc::SYS_reboot),
            ("userfaultfd", libc::SYS_userfaultfd),
        ];
        for (name, number) in known {
            let row = DENIED.iter().find(|(n, _)| *n == name).unwrap();
            assert_eq!(i64::from(row.1[0]), number, "{name}");
        }
    }

    #[test]
    fn everyday_calls_are_not_on_the_list() {
        for name in ["ptrace", "chroot", "mknodat", "setuid", "execve", "openat", "prctl", "seccomp"] {
            assert!(DENIED.iter().all(|(n, _)| *n != name), "{name}");
        }
        for column in 0..4 {
            let mut numbers: Vec<_> = DENIED.iter().map(|(_, n)| n[column]).filter(|n| *n != N).collect();
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), count, "a number twice in column {column}");
        }
    }
}
