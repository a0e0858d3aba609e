//! What a program says about itself: which CPU it is for, what it needs to start.
//!
//! System V ABI (gABI 4.1, "Object Files" and "Dynamic Linking"). Files are untrusted: tables are read only up to
//! the sizes that real programs have, so memory is a few megabytes whatever a header claims.

mod arm;
mod cache;
mod go;
pub(crate) mod loader;

use std::io::{self, Read, Seek, SeekFrom};

use object::{
    Endianness, elf,
    read::{
        ReadCache, ReadRef,
        elf::{Dyn, FileHeader, ProgramHeader, SectionHeader, Sym},
    },
};
use routerpack_rootfs::Content;

pub(crate) use arm::{Attributes, beyond_v5, chooses, cpu_name};

/// Most bytes of a `.dynamic` section, or of the attributes.
const MAX_TABLE: u64 = 1 << 20;
/// Most libraries that one file needs.
const MAX_NEEDED: usize = 1024;
/// Longest path of a loader (`PATH_MAX`).
const MAX_INTERPRETER: u64 = 4096;
/// Most section headers; more would need another count than the header's own.
const MAX_SECTIONS: u16 = 4096;

/// How an ELF file begins (gABI, `EI_MAG0` to `EI_MAG3`).
pub(crate) const MAGIC: &[u8] = b"\x7fELF";
/// Machine numbers (gABI, `e_machine`).
pub(crate) const EM_386: u16 = 3;
pub(crate) const EM_ARM: u16 = 40;
pub(crate) const EM_X86_64: u16 = 62;
pub(crate) const EM_AARCH64: u16 = 183;

/// One executable or shared library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub machine: u16,
    /// `e_ident`'s class: 64-bit or not.
    pub is_64: bool,
    pub little_endian: bool,
    /// `e_flags`.
    pub flags: u32,
    /// The dynamic loader (PT_INTERP).
    pub interpreter: Option<Vec<u8>>,
    /// DT_NEEDED, in order.
    pub needed: Vec<Vec<u8>>,
    /// DT_RPATH; counts only without a RUNPATH.
    pub rpath: Option<Vec<u8>>,
    /// DT_RUNPATH.
    pub runpath: Option<Vec<u8>>,
    /// The least alignment of what is mapped (PT_LOAD), above 0.
    pub align: Option<u64>,
    /// ARM build attributes, for ARM.
    pub attributes: Option<Attributes>,
    /// `GOARM` of a Go program's build settings.
    pub goarm: Option<String>,
    /// It has functions in several forms and takes one when it is loaded (STT_GNU_IFUNC), for ARM: the attributes
    /// are those of the most demanding form.
    pub chooses: bool,
}

impl Facts {
    /// The machine's name for messages, by Go's and Docker's words.
    pub fn machine_name(&self) -> String {
        let endian = if self.little_endian { "" } else { " (big-endian)" };
        let name = match (self.machine, self.is_64) {
            (EM_386, _) => "386",
            (EM_ARM, _) => "arm",
            (EM_X86_64, true) => "amd64",
            (EM_X86_64, false) => "amd64 (x32)",
            (EM_AARCH64, true) => "arm64",
            (8, _) => "mips",
            (21, _) => "ppc64",
            (22, _) => "s390x",
            (243, _) => "riscv",
            (258, _) => "loong64",
            (other, _) => return format!("machine {other}"),
        };
        format!("{name}{endian}")
    }

    /// Whether it is for this GOARCH.
    pub fn is_for(&self, architecture: &str) -> bool {
        let (machine, is_64) = match architecture {
            "arm" => (EM_ARM, false),
            "arm64" => (EM_AARCH64, true),
            "amd64" => (EM_X86_64, true),
            "386" => (EM_386, false),
            _ => return true,
        };
        self.machine == machine && self.is_64 == is_64 && self.little_endian
    }
}

/// Reads a file of an image. `None` if it is no ELF, or one that is neither a program nor a library; an error text if it claims to
/// be one and isn't.
pub(crate) fn read(content: &Content) -> io::Result<Option<Result<Facts, String>>> {
    let mut start = [0; 20];
    if content.len < 52 {
        return Ok(None);
    }
    content.reader().read_exact(&mut start)?;
    if !start.starts_with(MAGIC) {
        return Ok(None);
    }
    let kind = match start[5] {
        2 => u16::from_be_bytes([start[16], start[17]]),
        _ => u16::from_le_bytes([start[16], start[17]]),
    };
    if !matches!(kind, 2 | 3) {
        return Ok(None); // object files and kernel modules are data here
    }
    let data = ReadCache::new(Window::new(content));
    let facts = match start[4] {
        2 => facts::<elf::FileHeader64<Endianness>, _>(&data),
        _ => facts::<elf::FileHeader32<Endianness>, _>(&data),
    };
    Ok(Some(facts.map_err(|e| e.to_string())))
}

/// A file's bytes as `object` wants to read them.
pub(crate) struct Window<'a> {
    content: &'a Content,
    at: u64,
}

impl<'a> Window<'a> {
    pub fn new(content: &'a Content) -> Self {
        Self { content, at: 0 }
    }
}

impl Read for Window<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.content.len.saturating_sub(self.at);
        let n = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if n == 0 {
            return Ok(0);
        }
        let n = std::os::unix::fs::FileExt::read_at(&*self.content.file, &mut buf[..n], self.content.offset + self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(off) => self.content.len.checked_add_signed(off),
            SeekFrom::Current(off) => self.at.checked_add_signed(off),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

fn facts<'d, E, R>(data: R) -> object::read::Result<Facts>
where
    E: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let header = E::parse(data)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, data)?;
    let mut facts = Facts {
        machine: header.e_machine(endian).0,
        is_64: header.is_type_64(),
        little_endian: header.is_little_endian(),
        flags: header.e_flags(endian).0,
        ..Facts::default()
    };
    let mut dynamic = None;
    let mut writable = None;
    for segment in segments {
        let kind = segment.p_type(endian);
        let (offset, size): (u64, u64) = (segment.p_offset(endian).into(), segment.p_filesz(endian).into());
        if kind == elf::PT_LOAD {
            let align: u64 = segment.p_align(endian).into();
            facts.align = Some(facts.align.map_or(align, |least| least.min(align))).filter(|a| *a > 0);
            if segment.p_flags(endian).0 & 2 != 0 && writable.is_none() {
                writable = Some((offset, size));
            }
        } else if kind == elf::PT_INTERP && size <= MAX_INTERPRETER {
            let bytes = data.read_bytes_at(offset, size).unwrap_or_default();
            facts.interpreter = Some(until_nul(bytes));
        } else if kind == elf::PT_DYNAMIC && size <= MAX_TABLE {
            dynamic = segment.dynamic(endian, data)?;
        }
    }
    if let Some(dynamic) = dynamic {
        let place = |address: u64| {
            segments.iter().filter(|s| s.p_type(endian) == elf::PT_LOAD).find_map(|s| {
                let (start, size): (u64, u64) = (s.p_vaddr(endian).into(), s.p_filesz(endian).into());
                let inside = address.checked_sub(start).filter(|inside| *inside < size)?;
                s.p_offset(endian).into().checked_add(inside)
            })
        };
        names::<E, R>(dynamic, endian, data, &place, &mut facts);
    }
    if facts.machine == EM_ARM {
        let sections = match header.e_shnum(endian) {
            1..=MAX_SECTIONS => header.section_headers(endian, data).unwrap_or_default(),
            _ => &[],
        };
        let found = sections.iter().find(|s| s.sh_type(endian) == elf::SHT_ARM_ATTRIBUTES);
        let bytes = found.and_then(|s| {
            let (offset, size): (u64, u64) = (s.sh_offset(endian).into(), s.sh_size(endian).into());
            if size <= MAX_TABLE { data.read_bytes_at(offset, size).ok() } else { None }
        });
        facts.attributes = bytes.and_then(|bytes| arm::attributes::<E>(endian, bytes));
        facts.chooses = sections.iter().filter(|s| s.sh_type(endian) == elf::SHT_DYNSYM).any(|s| {
            let size: u64 = s.sh_size(endian).into();
            let symbols = if size <= MAX_TABLE { s.data_as_array::<E::Sym, _>(endian, data).ok() } else { None };
            symbols.is_some_and(|all| all.iter().any(|symbol| symbol.st_type() == elf::STT_GNU_IFUNC))
        });
        if let Some((offset, size)) = writable {
            let start = data.read_bytes_at(offset, size.min(MAX_TABLE)).unwrap_or_default();
            facts.goarm = go::setting(start, "GOARM");
        }
    }
    Ok(facts)
}

/// The names that the dynamic section has.
fn names<'d, E, R>(
    dynamic: &[E::Dyn],
    endian: Endianness,
    data: R,
    place: &dyn Fn(u64) -> Option<u64>,
    facts: &mut Facts,
) where
    E: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let value = |entry: &E::Dyn| -> u64 { entry.d_val(endian).into() };
    let table = dynamic.iter().find(|d| d.d_tag(endian) == elf::DT_STRTAB).and_then(|d| place(value(d)));
    let Some(table) = table else { return };
    let length = data.len().unwrap_or(0);
    let text = |entry: &E::Dyn| -> Option<Vec<u8>> {
        let at = table.checked_add(value(entry))?;
        let end = at.checked_add(MAX_INTERPRETER)?.min(length);
        data.read_bytes_at_until(at..end, 0).ok().map(<[u8]>::to_vec)
    };
    for entry in dynamic {
        let tag = entry.d_tag(endian);
        if tag == elf::DT_NULL {
            break;
        } else if tag == elf::DT_NEEDED && facts.needed.len() < MAX_NEEDED {
            facts.needed.extend(text(entry));
        } else if tag == elf::DT_RPATH {
            facts.rpath = text(entry);
        } else if tag == elf::DT_RUNPATH {
            facts.runpath = text(entry);
        }
    }
}

fn until_nul(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|b| *b == 0).next().unwrap_or_default().to_vec()
}
