//! A qemu that knows its CPU.
//!
//! binfmt_misc passes no arguments, and `QEMU_CPU` would show in the step's environment and vanish with
//! `env -i`. So each step's qemu is a copy in memory with a few instructions in front of its entry point that
//! put `-cpu MODEL` behind `argv[0]`. Nothing of it is in the step's file tree: it works in a `chroot` of the
//! step's own, and the command can reach no file of the host through it.

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

/// The qemu at `path` with a fixed CPU model.
pub fn with_cpu(path: &Path, model: &str) -> io::Result<OwnedFd> {
    let elf = Elf::read(path)?;
    in_memory("qemu", File::open(path)?, |copy| {
        let end = copy.seek(SeekFrom::End(0))?;
        let patch = Patch::of(&elf, end, model)?;
        copy.seek(SeekFrom::Start(patch.segment.offset))?;
        copy.write_all(&patch.code)?;
        copy.seek(SeekFrom::Start(elf.table))?;
        copy.write_all(&patch.table)?;
        copy.seek(SeekFrom::Start(24))?;
        copy.write_all(&patch.segment.address.to_le_bytes())
    })
}

struct Patch {
    segment: Segment,
    code: Vec<u8>,
    table: Vec<u8>,
}

impl Patch {
    /// One more loadable segment behind all others, in place of a header that is only a remark.
    fn of(elf: &Elf, file_size: u64, model: &str) -> io::Result<Self> {
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
        let code = entry_code(elf.machine, address, elf.entry, model)?;
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
            // adr Xd, #offset: immlo in bits 30:29, immhi in bits 23:5.
            let adr = |register: u32, offset: usize| {
                0x1000_0000 | ((offset as u32 & 3) << 29) | ((offset as u32 >> 2) << 5) | register
            };
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
