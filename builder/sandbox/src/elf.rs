//! The little that has to be known of ELF files: for which machine, static or not (gABI, "ELF Header" and
//! "Program Header").

use std::io::{self, Read};
use std::path::Path;

/// `PT_LOAD`.
pub const LOAD: u32 = 1;
/// `PT_DYNAMIC`: what the dynamic loader reads.
const DYNAMIC: u32 = 2;
/// `PT_INTERP`: names the dynamic loader.
pub const INTERP: u32 = 3;
/// `PT_NOTE`.
pub const NOTE: u32 = 4;
/// `PT_GNU_STACK`.
pub const STACK: u32 = 0x6474_e551;

/// `EM_386`.
pub const EM_386: u16 = 3;
/// `EM_ARM`.
pub const EM_ARM: u16 = 40;
/// `EM_X86_64`.
pub const EM_X86_64: u16 = 62;
/// `EM_AARCH64`.
pub const EM_AARCH64: u16 = 183;
/// `EM_RISCV`.
pub const EM_RISCV: u16 = 243;

/// The machine that this program was built for.
pub const HOST: u16 = if cfg!(target_arch = "aarch64") { EM_AARCH64 } else { EM_X86_64 };

/// Size of a 64-bit ELF header.
pub const HEADER: usize = 64;
/// Size of a 64-bit program header.
pub const PROGRAM_HEADER: usize = 56;

/// A little-endian 64-bit file's header and program headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// `e_machine`.
    pub machine: u16,
    /// `e_entry`.
    pub entry: u64,
    /// `e_phoff`.
    pub table: u64,
    /// The program headers.
    pub segments: Vec<Segment>,
}

/// One program header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// `p_type`.
    pub kind: u32,
    /// `p_flags`.
    pub flags: u32,
    /// `p_offset`.
    pub offset: u64,
    /// `p_vaddr` (and `p_paddr`).
    pub address: u64,
    /// `p_filesz`.
    pub file_size: u64,
    /// `p_memsz`.
    pub memory_size: u64,
    /// `p_align`.
    pub align: u64,
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

impl Elf {
    /// Reads the head of a file.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut head = Vec::new();
        std::fs::File::open(path)?.take(4096).read_to_end(&mut head)?;
        Self::parse(&head)
    }

    /// From the first bytes of a file.
    pub fn parse(head: &[u8]) -> io::Result<Self> {
        if head.len() < HEADER || head[..7] != *b"\x7fELF\x02\x01\x01" {
            return Err(invalid("no 64-bit little-endian ELF file"));
        }
        let u16_at = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        let table = number(head, 32);
        let (size, count) = (u16_at(54), u16_at(56));
        if usize::from(size) != PROGRAM_HEADER {
            return Err(invalid("program headers of an unknown size"));
        }
        let start = usize::try_from(table).map_err(|_| invalid("program headers out of reach"))?;
        let bytes = start
            .checked_add(usize::from(count) * PROGRAM_HEADER)
            .and_then(|end| head.get(start..end))
            .ok_or_else(|| invalid("program headers out of reach"))?;
        let segments = bytes.chunks_exact(PROGRAM_HEADER).map(Segment::parse).collect();
        Ok(Self { machine: u16_at(18), entry: number(head, 24), table, segments })
    }

    /// Needs no dynamic loader, so it runs in any root filesystem.
    pub fn is_static(&self) -> bool {
        self.segments.iter().all(|s| s.kind != INTERP)
    }

    /// The dynamic loader that a file, whole in `bytes`, asks for.
    pub fn interpreter<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let segment = self.segments.iter().find(|s| s.kind == INTERP)?;
        text(bytes, segment.offset)
    }

    /// The libraries that a file, whole in `bytes`, asks for (DT_NEEDED); none where its tables can't be read.
    pub fn needed<'b>(&self, bytes: &'b [u8]) -> Option<Vec<&'b [u8]>> {
        const NEEDED: u64 = 1;
        const STRTAB: u64 = 5;
        let Some(segment) = self.segments.iter().find(|s| s.kind == DYNAMIC) else { return Some(Vec::new()) };
        let start = usize::try_from(segment.offset).ok()?;
        let table = bytes.get(start..start.checked_add(usize::try_from(segment.file_size).ok()?)?)?;
        let entries = || table.chunks_exact(16).map(|e| (number(e, 0), number(e, 8))).take_while(|(tag, _)| *tag != 0);
        let (_, address) = entries().find(|(tag, _)| *tag == STRTAB)?;
        let texts = self.segments.iter().filter(|s| s.kind == LOAD).find_map(|s| {
            let inside = address.checked_sub(s.address).filter(|inside| *inside < s.file_size)?;
            s.offset.checked_add(inside)
        })?;
        entries().filter(|(tag, _)| *tag == NEEDED).map(|(_, at)| text(bytes, texts.checked_add(at)?)).collect()
    }
}

/// The text that begins there and ends before a zero byte.
fn text(bytes: &[u8], at: u64) -> Option<&[u8]> {
    let rest = bytes.get(usize::try_from(at).ok()?..)?;
    rest.split(|b| *b == 0).next()
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

impl Segment {
    fn parse(bytes: &[u8]) -> Self {
        Self {
            kind: u32::from_le_bytes(bytes[..4].try_into().expect("four bytes")),
            flags: u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes")),
            offset: number(bytes, 8),
            address: number(bytes, 16),
            file_size: number(bytes, 32),
            memory_size: number(bytes, 40),
            align: number(bytes, 48),
        }
    }

    /// As it stands in the file.
    pub fn bytes(&self) -> [u8; PROGRAM_HEADER] {
        let mut out = [0; PROGRAM_HEADER];
        out[..4].copy_from_slice(&self.kind.to_le_bytes());
        out[4..8].copy_from_slice(&self.flags.to_le_bytes());
        let rest = [self.offset, self.address, self.address, self.file_size, self.memory_size, self.align];
        for (n, value) in rest.iter().enumerate() {
            out[8 + 8 * n..16 + 8 * n].copy_from_slice(&value.to_le_bytes());
        }
        out
    }
}

/// The smallest 32-bit little-endian program: `code`, loaded and entered at one place. The probe runs one, and
/// tests make ARM programs of single instructions with it.
pub fn tiny_32(machine: u16, code: &[u8]) -> Vec<u8> {
    const HEADERS: u32 = 52 + 32;
    const BASE: u32 = 0x10000;
    let size = HEADERS + code.len() as u32;
    // Version 5 of ARM's EABI; no flags elsewhere.
    let flags: u32 = if machine == EM_ARM { 0x0500_0000 } else { 0 };
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |file: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    let word = |file: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    half(&mut file, &[2, machine]);
    word(&mut file, &[1, BASE + HEADERS, 52, 0, flags]);
    half(&mut file, &[52, 32, 1, 40, 0, 0]);
    word(&mut file, &[LOAD, 0, BASE, BASE, size, size, 5, 0x1000]);
    file.extend(code);
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn this_test_is_an_elf_file() {
        let elf = Elf::read(Path::new("/proc/self/exe")).unwrap();
        assert_eq!(elf.machine, HOST);
        assert!(elf.segments.iter().any(|s| s.kind == LOAD));
        let head = std::fs::read("/proc/self/exe").unwrap();
        assert!(elf.interpreter(&head).unwrap().starts_with(b"/lib"));
        assert!(elf.needed(&head).unwrap().contains(&&b"libc.so.6"[..]));
        let at = elf.table as usize;
        assert_eq!(head[at..at + PROGRAM_HEADER], elf.segments[0].bytes());
    }

    proptest! {
        #[test]
        fn any_head_is_read_or_refused(mut head in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Elf::parse(&head);
            if head.len() >= HEADER {
                head[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
                head[54..56].copy_from_slice(&56u16.to_le_bytes());
                if let Ok(mut elf) = Elf::parse(&head) {
                    let kinds = [DYNAMIC, INTERP, LOAD];
                    elf.segments.iter_mut().enumerate().for_each(|(n, s)| s.kind = kinds[n % 3]);
                    let _ = (elf.interpreter(&head), elf.needed(&head));
                }
            }
        }
    }
}
