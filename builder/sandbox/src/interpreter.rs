//! A qemu that knows its CPU, and that gives way to native programs.
//!
//! binfmt_misc passes no arguments, and `QEMU_CPU` would show in the step's environment and vanish with
//! `env -i`. So each step's qemu is a copy in memory with a few instructions in front of its entry point that
//! put `-cpu MODEL` behind `argv[0]`. Nothing of it is in the step's file tree: it works in a `chroot` of the
//! step's own, and the command can reach no file of the host through it.
//!
//! With hybrid emulation the dispatcher (`dispatcher/main.rs`) runs before all that, in the same process: what it does
//! not turn into a native program costs no second start.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};

use crate::elf::{EM_AARCH64, EM_X86_64, Elf, HEADER, LOAD, NOTE, PROGRAM_HEADER, STACK, Segment};

/// Pages are at most that large.
const PAGE: u64 = 65536;

/// A sealed copy of `from` in memory, changed by `change`, open for reading and executing.
pub fn in_memory(
    name: &str,
    mut from: impl io::Read,
    change: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Asking for an executable one is new (6.3) and needed where the default was turned round.
    let memory =
        rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC).or_else(|_| rustix::fs::memfd_create(name, flags))?;
    let mut memory = File::from(memory);
    io::copy(&mut from, &mut memory)?;
    change(&mut memory)?;
    rustix::fs::fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    // A file that is open for writing can't be executed.
    let path = format!("/proc/self/fd/{}", memory.as_fd().as_raw_fd());
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// The dispatcher's instructions, for the machine that this program was built for.
pub const DISPATCHER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dispatcher.bin"));

/// What runs before qemu: instructions, called with the initial stack and the address of the data.
#[derive(Clone, Copy)]
pub struct Before<'a> {
    /// For the machine that qemu runs on; position-independent.
    pub code: &'a [u8],
    /// What they work on.
    pub data: &'a [u8],
}

/// A qemu program of the host, opened.
pub struct Qemu {
    elf: Elf,
    file: File,
}

impl Qemu {
    /// Opens the one at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { elf: Elf::read(path)?, file: File::open(path)? })
    }

    /// A copy with a fixed CPU model.
    pub fn with_cpu(&self, model: &str, before: Option<Before>) -> io::Result<OwnedFd> {
        in_memory("qemu", &self.file, |copy| {
            let end = copy.seek(SeekFrom::End(0))?;
            let patch = Patch::of(&self.elf, end, model, before)?;
            copy.seek(SeekFrom::Start(patch.segment.offset))?;
            copy.write_all(&patch.code)?;
            copy.seek(SeekFrom::Start(self.elf.table))?;
            copy.write_all(&patch.table)?;
            copy.seek(SeekFrom::Start(24))?;
            copy.write_all(&patch.segment.address.to_le_bytes())
        })
    }
}

struct Patch {
    segment: Segment,
    code: Vec<u8>,
    table: Vec<u8>,
}

impl Patch {
    /// One more loadable segment behind all others, in place of a header that is only a remark.
    fn of(elf: &Elf, file_size: u64, model: &str, before: Option<Before>) -> io::Result<Self> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_string());
        if (elf.table as usize) < HEADER {
            return Err(invalid("program headers inside the ELF header"));
        }
        let spare = [NOTE, STACK]
            .into_iter()
            .find_map(|kind| elf.segments.iter().rposition(|s| s.kind == kind))
            .ok_or_else(|| invalid("no program header to spare"))?;
        let last = elf.segments.iter().rposition(|s| s.kind == LOAD).ok_or_else(|| invalid("nothing to load"))?;
        let top = elf
            .segments
            .iter()
            .filter(|s| s.kind == LOAD)
            .map(|s| s.address.saturating_add(s.memory_size))
            .max()
            .unwrap_or(0);
        let round = |n: u64| n.checked_next_multiple_of(PAGE).ok_or_else(|| invalid("addresses too high"));
        let (offset, address) = (round(file_size)?, round(top)?);
        let code = match before {
            None => entry_code(elf.machine, address, elf.entry, model)?,
            Some(before) => {
                let rest = entry_code(elf.machine, address + CALL as u64, elf.entry, model)?;
                calling(elf.machine, before, &rest)?
            }
        };
        let size = code.len() as u64;
        let segment =
            Segment { kind: LOAD, flags: 5, offset, address, file_size: size, memory_size: size, align: PAGE };
        // Loadable segments stand in ascending order.
        let mut segments = elf.segments.clone();
        segments.remove(spare);
        segments.insert(if spare < last { last } else { last + 1 }, segment);
        let table: Vec<u8> = segments.iter().flat_map(Segment::bytes).collect();
        debug_assert_eq!(table.len(), elf.segments.len() * PROGRAM_HEADER);
        Ok(Self { segment, code, table })
    }
}

/// Length of the instructions that call others first.
const CALL: usize = 32;

/// `rest`, and before it a call. Three words below the initial stack are left to the function that is called.
fn calling(machine: u16, before: Before, rest: &[u8]) -> io::Result<Vec<u8>> {
    let function = (CALL + rest.len()).next_multiple_of(16);
    let data = (function + before.code.len()).next_multiple_of(16);
    let mut code = match machine {
        EM_X86_64 => [
            &b"\x48\x89\xe7"[..], // mov rdi, rsp
            b"\x48\x83\xec\x40",  // sub rsp, 64
            b"\x48\x89\x14\x24",  // mov [rsp], rdx
            b"\x48\x8d\x35",      // lea rsi, [rip+data]
            &(data as i32 - 18).to_le_bytes(),
            b"\xe8", // call function
            &(function as i32 - 23).to_le_bytes(),
            b"\x48\x8b\x14\x24", // mov rdx, [rsp]
            b"\x48\x83\xc4\x40", // add rsp, 64
            b"\x90",             // nop
        ]
        .concat(),
        EM_AARCH64 => [
            0x9100_03e9,                                // mov x9, sp
            0xd101_03ff,                                // sub sp, sp, #64
            0xf900_03e0,                                // str x0, [sp]
            0xaa09_03e0,                                // mov x0, x9
            adr(1, data - 16),                          // adr x1, data
            0x9400_0000 | ((function as u32 - 20) / 4), // bl function
            0xf940_03e0,                                // ldr x0, [sp]
            0x9101_03ff,                                // add sp, sp, #64
        ]
        .iter()
        .flat_map(|w: &u32| w.to_le_bytes())
        .collect(),
        _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "no qemu for this machine")),
    };
    debug_assert_eq!(code.len(), CALL);
    if data + before.data.len() > PAGE as usize {
        // `adr` reaches a megabyte; one segment of this size is more than enough.
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too much to run before qemu"));
    }
    code.extend(rest);
    code.resize(function, 0);
    code.extend(before.code);
    code.resize(data, 0);
    code.extend(before.data);
    Ok(code)
}

/// `adr Xd, #offset`: immlo in bits 30:29, immhi in bits 23:5.
fn adr(register: u32, offset: usize) -> u32 {
    0x1000_0000 | ((offset as u32 & 3) << 29) | ((offset as u32 >> 2) << 5) | register
}

/// Instructions for address `at`, then the two strings. At entry the stack holds argc, argv, 0, envp …; two words
/// more keep it aligned to 16 bytes. Registers that mean something at entry (rdx, x0) are left alone.
fn entry_code(machine: u16, at: u64, entry: u64, model: &str) -> io::Result<Vec<u8>> {
    let far = |_| io::Error::new(io::ErrorKind::InvalidData, "entry point too far away");
    let text = [b"-cpu\0", model.as_bytes(), b"\0"].concat();
    // The strings follow the code.
    let (flag, name) = match machine {
        EM_AARCH64 => (36, 41),
        _ => (55, 60),
    };
    match machine {
        EM_X86_64 => {
            let relative = |to: i64, next: usize| i32::try_from(to - next as i64).map(i32::to_le_bytes).map_err(far);
            let mut code = Vec::new();
            code.extend(b"\x48\x8b\x04\x24"); // mov rax, [rsp]           argc
            code.extend(b"\x48\x8b\x4c\x24\x08"); // mov rcx, [rsp+8]     argv[0]
            code.extend(b"\x48\x83\xec\x10"); // sub rsp, 16
            code.extend(b"\x48\x83\xc0\x02"); // add rax, 2
            code.extend(b"\x48\x89\x04\x24"); // mov [rsp], rax
            code.extend(b"\x48\x89\x4c\x24\x08"); // mov [rsp+8], rcx
            code.extend(b"\x48\x8d\x05"); // lea rax, [rip+flag]
            code.extend(relative(flag as i64, 33)?);
            code.extend(b"\x48\x89\x44\x24\x10"); // mov [rsp+16], rax
            code.extend(b"\x48\x8d\x05"); // lea rax, [rip+name]
            code.extend(relative(name as i64, 45)?);
            code.extend(b"\x48\x89\x44\x24\x18"); // mov [rsp+24], rax
            code.extend(b"\xe9"); // jmp entry
            code.extend(relative(entry.wrapping_sub(at) as i64, 55)?);
            debug_assert_eq!(code.len(), flag);
            code.extend(text);
            Ok(code)
        }
        EM_AARCH64 => {
            let jump = (entry.wrapping_sub(at) as i64 - 32) / 4;
            if !(-(1 << 25)..1 << 25).contains(&jump) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "entry point too far away"));
            }
            let words = [
                0xa940_27e8,                               // ldp x8, x9, [sp]        argc, argv[0]
                0xd100_43ff,                               // sub sp, sp, #16
                0x9100_0908,                               // add x8, x8, #2
                0xa900_27e8,                               // stp x8, x9, [sp]
                adr(10, flag - 16),                        // adr x10, flag
                adr(11, name - 20),                        // adr x11, name
                0xa901_2fea,                               // stp x10, x11, [sp, #16]
                0xd503_201f,                               // nop
                0x1400_0000 | (jump as u32 & 0x03ff_ffff), // b entry
            ];
            let mut code: Vec<u8> = words.iter().flat_map(|w: &u32| w.to_le_bytes()).collect();
            code.extend(text);
            Ok(code)
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no qemu for this machine")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A program that writes its second and third argument and argc to standard output, with a header to spare.
    fn echo(machine: u16) -> Vec<u8> {
        let code: Vec<u8> = if machine == EM_AARCH64 {
            [
                0xf940_0bf3u32, // ldr x19, [sp, #16]   argv[1]
                0xf940_0ff4,    // ldr x20, [sp, #24]   argv[2]
                0xd280_0020,    // mov x0, #1
                0xaa13_03e1,    // mov x1, x19
                0xd280_0082,    // mov x2, #4
                0xd280_0808,    // mov x8, #64          write
                0xd400_0001,    // svc #0
                0xd280_0020,    // mov x0, #1
                0xaa14_03e1,    // mov x1, x20
                0xd280_0082,    // mov x2, #4
                0xd400_0001,    // svc #0
                0xf940_03e0,    // ldr x0, [sp]         argc
                0xd280_0ba8,    // mov x8, #93          exit
                0xd400_0001,    // svc #0
            ]
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .collect()
        } else {
            [
                &b"\x48\x8b\x74\x24\x10"[..], // mov rsi, [rsp+16]
                b"\xbf\x01\0\0\0",            // mov edi, 1
                b"\xba\x04\0\0\0",            // mov edx, 4
                b"\xb8\x01\0\0\0",            // mov eax, 1          write
                b"\x0f\x05",                  // syscall
                b"\x48\x8b\x74\x24\x18",      // mov rsi, [rsp+24]
                b"\xb8\x01\0\0\0",            // mov eax, 1
                b"\x0f\x05",                  // syscall
                b"\x48\x8b\x3c\x24",          // mov rdi, [rsp]      argc
                b"\xb8\x3c\0\0\0",            // mov eax, 60         exit
                b"\x0f\x05",                  // syscall
            ]
            .concat()
        };
        let base = 0x40_0000u64;
        let start = HEADER + 2 * PROGRAM_HEADER;
        let size = (start + code.len()) as u64;
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
        file.extend(machine.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        file.extend((base + start as u64).to_le_bytes());
        file.extend((HEADER as u64).to_le_bytes());
        file.extend([0; 12]);
        for half in [64u16, 56, 2, 64, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        let load = Segment {
            kind: LOAD,
            flags: 5,
            offset: 0,
            address: base,
            file_size: size,
            memory_size: size,
            align: 0x1000,
        };
        file.extend(load.bytes());
        file.extend(Segment { kind: NOTE, ..load }.bytes());
        file.extend(code);
        file
    }

    #[test]
    fn the_model_comes_behind_the_first_argument() {
        let dir = tempfile::tempdir().unwrap();
        for (machine, runner) in [(EM_X86_64, "qemu-x86_64-static"), (EM_AARCH64, "qemu-aarch64-static")] {
            let plain = dir.path().join("plain");
            std::fs::write(&plain, echo(machine)).unwrap();
            let patched = dir.path().join("patched");
            // What is called first writes the byte behind it to standard output, or nothing at all.
            let call: Vec<u8> = if machine == EM_AARCH64 {
                // mov x0, #1; mov x2, #1; mov x8, #64; svc #0; ret
                [0xd280_0020_u32, 0xd280_0022, 0xd280_0808, 0xd400_0001, 0xd65f_03c0]
                    .iter()
                    .flat_map(|w| w.to_le_bytes())
                    .collect()
            } else {
                // mov edi, 1; mov edx, 1; mov eax, 1; syscall; ret
                b"\xbf\x01\0\0\0\xba\x01\0\0\0\xb8\x01\0\0\0\x0f\x05\xc3".to_vec()
            };
            for (before, printed) in [(None, "-cpucort"), (Some(Before { code: &call, data: b"!" }), "!-cpucort")] {
                let mut memory = File::from(Qemu::open(&plain).unwrap().with_cpu("cortex-a7", before).unwrap());
                io::copy(&mut memory, &mut File::create(&patched).unwrap()).unwrap();
                std::fs::set_permissions(&patched, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
                let output = Command::new(runner)
                    .args(["-0", "first", patched.to_str().unwrap(), "last"])
                    .output()
                    .expect("this test takes qemu-user-static");
                assert_eq!(String::from_utf8_lossy(&output.stdout), printed, "{runner}: {output:?}");
                assert_eq!(output.status.code(), Some(4), "{runner}");
            }
        }
    }

    #[test]
    fn what_is_no_qemu_is_refused() {
        assert!(Qemu::open(Path::new("/etc/passwd")).is_err());
        assert!(Qemu::open(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn the_copy_is_sealed() {
        let memory = in_memory("sealed", &b"content"[..], |_| Ok(())).unwrap();
        let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
        let refused = std::fs::OpenOptions::new().write(true).open(&path).and_then(|mut f| f.write_all(b"x"));
        assert!(refused.is_err());
        assert_eq!(std::fs::read(path).unwrap(), b"content");
    }
}
