//! A program or library without the symbols and the debug information that only a debugger reads.
//!
//! What is loaded stays where it is, byte by byte: everything up to the end of the last segment is taken over, and
//! only the parts behind it are left out or move up. So nothing that the loader or the program itself sees can
//! change, but for the three numbers of the ELF header that say where the section table is (gABI 4.1, "ELF Header").
//! [`is_same_program`] looks at the result once more before it counts.
//!
//! Which sections go: the symbol table with its names, relocations that were kept for it (`--emit-relocs`), and what
//! binutils takes for debug information (`bfd/elf.c`, `_bfd_elf_make_section_from_shdr`). What is loaded stays: dynamic
//! symbols, notes with the build id, Go's own tables. A file with sections of another kind, or with bytes behind its
//! last section (a self-extracting program, one with its script appended), is left as it is.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    os::unix::fs::FileExt,
};

use object::{
    Endianness, elf,
    read::{
        ReadCache, ReadRef,
        elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable},
    },
    write::{
        self,
        elf::{Encoder, FileHeader as NewFileHeader, FileHeaderLayout, SectionHeader as NewSectionHeader},
    },
};
use routerpack_rootfs::Content;

use crate::elf as programs;

/// No ELF file is smaller: the header of the 32-bit class.
pub(super) const LEAST: u64 = 52;
/// More sections than any linker makes for a program.
const MAX_SECTIONS: u32 = 4096;
/// Largest alignment of what isn't loaded.
const MAX_ALIGN: u64 = 4096;
/// Zeros at a file's end are a linker's rounding up to here.
const MAX_PADDING: u64 = 4096;

/// What can be done about a file.
pub(super) enum Verdict {
    /// No program or library, or one without symbols.
    Nothing,
    /// It has symbols, and something that makes it unsafe to touch.
    Leave,
    /// This.
    Strip(Plan),
}

/// A file to be made of another one's pieces.
pub(super) struct Plan {
    pieces: Vec<Piece>,
}

enum Piece {
    /// Of the file as it is.
    Old(Range<u64>),
    New(Vec<u8>),
}

impl Plan {
    /// How many bytes the new file has.
    pub fn len(&self) -> u64 {
        let len = |piece: &Piece| match piece {
            Piece::Old(range) => range.end - range.start,
            Piece::New(bytes) => bytes.len() as u64,
        };
        self.pieces.iter().map(len).sum()
    }

    /// Writes the new file.
    pub fn write(&self, old: &Content, to: &File) -> io::Result<()> {
        let mut at = 0;
        for piece in &self.pieces {
            match piece {
                Piece::New(bytes) => {
                    to.write_all_at(bytes, at)?;
                    at += bytes.len() as u64;
                }
                Piece::Old(range) => chunks(old, range.clone(), |bytes| {
                    to.write_all_at(bytes, at)?;
                    at += bytes.len() as u64;
                    Ok(true)
                })
                .map(drop)?,
            }
        }
        Ok(())
    }
}

/// Hands a range's bytes on in pieces, until one is refused; whether none was.
fn chunks(content: &Content, range: Range<u64>, mut take: impl FnMut(&[u8]) -> io::Result<bool>) -> io::Result<bool> {
    let mut buffer = vec![0; (range.end - range.start).min(128 << 10) as usize];
    let mut at = range.start;
    while at < range.end {
        let want = buffer.len().min((range.end - at) as usize);
        content.file.read_exact_at(&mut buffer[..want], content.offset + at)?;
        if !take(&buffer[..want])? {
            return Ok(false);
        }
        at += want as u64;
    }
    Ok(true)
}

/// Looks at a file.
pub(super) fn plan(content: &Content) -> io::Result<Verdict> {
    let mut ident = [0; 16];
    if content.len < LEAST {
        return Ok(Verdict::Nothing);
    }
    content.reader().read_exact(&mut ident)?;
    if ident[..4] != elf::ELFMAG {
        return Ok(Verdict::Nothing);
    }
    let data = ReadCache::new(programs::Window::new(content));
    let judged = match ident[4] {
        2 => judge::<elf::FileHeader64<Endianness>, _>(&data, content),
        _ => judge::<elf::FileHeader32<Endianness>, _>(&data, content),
    };
    // A file that can't be read as what it claims to be is nobody's program here: `check` says so.
    Ok(judged.unwrap_or(Verdict::Nothing))
}

/// What becomes of a section.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is loaded, or lies among what is.
    Stays,
    /// Its bytes move up.
    Moves,
    /// It is made anew: the names of the sections.
    Names,
    Goes,
    /// Nobody here knows what it is for, and whether it may move.
    Unknown,
}

fn judge<'d, E, R>(data: R, content: &Content) -> object::read::Result<Verdict>
where
    E: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let header = E::parse(data)?;
    let endian = header.endian()?;
    if !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
        return Ok(Verdict::Nothing);
    }
    let layout = FileHeaderLayout::from_raw(endian, header, data)?;
    if layout.section_num == 0 || layout.section_num > MAX_SECTIONS {
        return Ok(Verdict::Nothing);
    }
    let encoder = Encoder::new(endian, header.is_type_64(), header.e_machine(endian));
    let sections = header.sections(endian, data)?;
    let Some(loaded) = loaded::<E, R>(header, &sections, &layout, encoder, endian, data)? else {
        return Ok(Verdict::Nothing);
    };
    let fates = fates::<E, R>(&sections, layout.shstrtab_index as usize, loaded, endian);
    if !fates.contains(&Fate::Goes) {
        return Ok(Verdict::Nothing);
    }
    if fates.contains(&Fate::Unknown) {
        return Ok(Verdict::Leave);
    }
    let table = layout.e_shoff.saturating_add(u64::from(layout.section_num) * encoder.section_header_size());
    let ends = sections.iter().filter_map(|s| Some(file_range::<E>(s, endian)?.end));
    let end = ends.chain([loaded, table]).max().unwrap_or(loaded);
    if end > content.len {
        return Ok(Verdict::Nothing); // cut short, or debug information without its program
    }
    let only_zeros = |bytes: &[u8]| Ok(bytes.iter().all(|b| *b == 0));
    if content.len - end > MAX_PADDING || !chunks(content, end..content.len, only_zeros).unwrap_or(false) {
        return Ok(Verdict::Leave);
    }
    let plan = arrange::<E, R>(header, &sections, &fates, layout, loaded, encoder, endian)?;
    Ok(match plan.filter(|plan| plan.len() < content.len) {
        Some(plan) => Verdict::Strip(plan),
        // Its symbols lie between segments, as patchelf leaves them: only moving the segments would help.
        None => Verdict::Leave,
    })
}

/// The bytes that a section has in the file; none for one without.
fn file_range<E: FileHeader<Endian = Endianness>>(
    section: &E::SectionHeader,
    endian: Endianness,
) -> Option<Range<u64>> {
    let (offset, size) = section.file_range(endian)?;
    Some(offset..offset.saturating_add(size))
}

/// How far the file's part reaches that has to stay byte by byte: headers, segments, and sections that are loaded.
fn loaded<'d, E, R>(
    header: &E,
    sections: &SectionTable<'d, E, R>,
    layout: &FileHeaderLayout,
    encoder: Encoder<Endianness>,
    endian: Endianness,
    data: R,
) -> object::read::Result<Option<u64>>
where
    E: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let segments = header.program_headers(endian, data)?;
    if segments.is_empty() {
        return Ok(None);
    }
    let table = layout.e_phoff.saturating_add(u64::from(layout.segment_num) * encoder.program_header_size());
    let end = |s: &E::ProgramHeader| s.p_offset(endian).into().saturating_add(s.p_filesz(endian).into());
    let is_loaded = |s: &&E::SectionHeader| s.sh_flags(endian).contains(elf::SHF_ALLOC);
    let of_sections = sections.iter().filter(is_loaded).filter_map(|s| Some(file_range::<E>(s, endian)?.end));
    Ok(segments.iter().map(end).chain(of_sections).chain([table, encoder.file_header_size()]).max())
}

/// What becomes of each section.
fn fates<'d, E, R>(sections: &SectionTable<'d, E, R>, names: usize, loaded: u64, endian: Endianness) -> Vec<Fate>
where
    E: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let symbols: Vec<usize> =
        sections.iter().filter(|s| s.sh_type(endian) == elf::SHT_SYMTAB).map(|s| s.sh_link(endian) as usize).collect();
    let fate = |(index, section): (object::SectionIndex, &E::SectionHeader)| {
        let kind = section.sh_type(endian);
        let name = sections.section_name(endian, section).unwrap_or_default();
        let lies_inside = || file_range::<E>(section, endian).is_none_or(|range| range.end <= loaded);
        if section.sh_flags(endian).contains(elf::SHF_ALLOC) || kind == elf::SHT_NULL {
            Fate::Stays
        } else if index.0 == names {
            Fate::Names
        } else if matches!(kind, elf::SHT_SYMTAB | elf::SHT_SYMTAB_SHNDX | elf::SHT_REL | elf::SHT_RELA)
            || symbols.contains(&index.0)
            || is_debug(name)
        {
            Fate::Goes
        } else if !is_known(name, kind) {
            Fate::Unknown
        } else if lies_inside() {
            Fate::Stays
        } else if section.sh_addralign(endian).into() <= MAX_ALIGN {
            Fate::Moves
        } else {
            Fate::Unknown
        }
    };
    sections.enumerate().map(fate).collect()
}

/// Debug information by its section's name: DWARF plain and compressed, stabs, GDB's index, and the symbol table that
/// Fedora keeps compressed for back traces.
fn is_debug(name: &[u8]) -> bool {
    let heads: [&[u8]; 7] =
        [b".debug", b".zdebug", b".gnu.debuglto_.debug", b".gnu.linkonce.wi.", b".line", b".stab", b".gdb_index"];
    heads.iter().any(|head| name.starts_with(head)) || name == b".gnu_debugdata"
}

/// Sections that are not loaded, and mean the same wherever they are in the file.
fn is_known(name: &[u8], kind: elf::SectionType) -> bool {
    // `.rustc` is what the compiler reads of a library of macros, by this name.
    let names: [&[u8]; 4] = [b".comment", b".gnu_debuglink", b".gnu_debugaltlink", b".rustc"];
    // `.ARM.attributes`, `.gnu.build.attributes` and their like
    names.contains(&name)
        || kind == elf::SHT_NOTE
        || name.ends_with(b".attributes")
        || name.starts_with(b".gnu.warning.")
}

/// Puts the new file together.
fn arrange<'d, E, R>(
    header: &E,
    sections: &SectionTable<'d, E, R>,
    fates: &[Fate],
    layout: FileHeaderLayout,
    loaded: u64,
    encoder: Encoder<Endianness>,
    endian: Endianness,
) -> object::read::Result<Option<Plan>>
where
    E: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    // Loaded symbols name sections by number: up to the last one that stays in its place, a gap stays a gap.
    let fixed = fates.iter().rposition(|f| *f == Fate::Stays).unwrap_or(0);
    let mut new_numbers = vec![0; fates.len()];
    let mut count = 0;
    for (old, fate) in fates.iter().enumerate() {
        if old <= fixed || *fate != Fate::Goes {
            new_numbers[old] = count;
            count += 1;
        }
    }
    let number = |old: u32| {
        let is_there = fates.get(old as usize).is_some_and(|f| *f != Fate::Goes);
        if is_there { new_numbers[old as usize] } else { 0 }
    };

    let mut names = write::StringTable::new();
    let mut ids = vec![None; fates.len()];
    for (index, section) in sections.enumerate().filter(|(i, _)| fates[i.0] != Fate::Goes) {
        let name = sections.section_name(endian, section)?;
        if !name.is_empty() {
            ids[index.0] = Some(names.add(name));
        }
    }
    let mut names_bytes = vec![0];
    if names.write(&mut names_bytes, 1).is_err() {
        return Ok(None);
    }

    let mut pieces = vec![Piece::Old(encoder.file_header_size()..loaded)];
    let mut end = loaded;
    let mut headers = Vec::new();
    for (index, section) in sections.enumerate() {
        let fate = fates[index.0];
        if fate == Fate::Goes {
            if index.0 <= fixed {
                headers.push(NewSectionHeader::default());
            }
            continue;
        }
        let mut new = NewSectionHeader::from_raw(endian, section);
        new.sh_name = names.maybe_get_offset(ids[index.0]);
        new.sh_link = number(new.sh_link);
        let is_number =
            new.sh_flags.contains(elf::SHF_INFO_LINK) || matches!(new.sh_type, elf::SHT_REL | elf::SHT_RELA);
        if is_number {
            new.sh_info = number(new.sh_info);
        }
        if matches!(fate, Fate::Moves | Fate::Names) {
            let piece = match file_range::<E>(section, endian) {
                _ if fate == Fate::Names => Piece::New(std::mem::take(&mut names_bytes)),
                Some(range) => Piece::Old(range),
                None => Piece::New(Vec::new()),
            };
            new.sh_size = match &piece {
                Piece::New(bytes) => bytes.len() as u64,
                Piece::Old(range) => range.end - range.start,
            };
            if fate == Fate::Names {
                new.sh_addralign = 1; // whatever it said: no linker asks for more
            }
            end = pad(&mut pieces, end, new.sh_addralign);
            new.sh_offset = end;
            end += new.sh_size;
            pieces.push(piece);
        }
        headers.push(new);
    }
    end = pad(&mut pieces, end, encoder.address_size());
    let layout = FileHeaderLayout {
        e_shoff: end,
        section_num: headers.len() as u32,
        shstrtab_index: number(layout.shstrtab_index),
        ..layout
    };
    let mut table = Vec::new();
    encoder.null_section_header(&mut table, &layout);
    headers.iter().skip(1).for_each(|section| encoder.section_header(&mut table, section));
    pieces.push(Piece::New(table));
    let mut start = Vec::new();
    if encoder.file_header(&mut start, &NewFileHeader::from_raw(endian, header), &layout).is_err() {
        return Ok(None);
    }
    pieces.insert(0, Piece::New(start));
    Ok(Some(Plan { pieces }))
}

/// Zeros up to the next multiple.
fn pad(pieces: &mut Vec<Piece>, end: u64, align: u64) -> u64 {
    let aligned = end.next_multiple_of(align.max(1));
    if aligned > end {
        pieces.push(Piece::New(vec![0; (aligned - end) as usize]));
    }
    aligned
}

/// Whether two files are the same program to whoever loads them: same header but for the place of the section table,
/// same segments byte by byte, same libraries.
pub(super) fn is_same_program(old: &Content, new: &Content) -> io::Result<bool> {
    let (Some(Ok(facts)), Some(Ok(others))) = (programs::read(old)?, programs::read(new)?) else { return Ok(false) };
    let (Some(segments), Some(other_segments)) = (segments(old), segments(new)) else { return Ok(false) };
    if facts != others || segments != other_segments || !matches!(plan(new)?, Verdict::Nothing) {
        return Ok(false);
    }
    // e_shoff, e_shentsize, e_shnum and e_shstrndx
    let (size, table, counts) = if facts.is_64 { (64, 40..48, 58..64) } else { (52, 32..36, 46..52) };
    let head = |content: &Content| -> io::Result<Vec<u8>> {
        let mut head = vec![0; size];
        content.reader().read_exact(&mut head)?;
        head[table.clone()].fill(0);
        head[counts.clone()].fill(0);
        Ok(head)
    };
    if head(old)? != head(new)? {
        return Ok(false);
    }
    for segment in segments {
        let mut at = segment.start.max(size as u64);
        let mut other = vec![0; 128 << 10];
        let same = chunks(old, at..segment.end.max(at), |bytes| {
            let other = &mut other[..bytes.len()];
            new.file.read_exact_at(other, new.offset + at)?;
            at += bytes.len() as u64;
            Ok(bytes == other)
        })?;
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Where each segment's bytes are.
fn segments(content: &Content) -> Option<Vec<Range<u64>>> {
    let data = ReadCache::new(programs::Window::new(content));
    let mut class = [0; 5];
    content.reader().read_exact(&mut class).ok()?;
    match class[4] {
        2 => segment_ranges::<elf::FileHeader64<Endianness>, _>(&data),
        _ => segment_ranges::<elf::FileHeader32<Endianness>, _>(&data),
    }
}

fn segment_ranges<'d, E: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(data: R) -> Option<Vec<Range<u64>>> {
    let header = E::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let range = |s: &E::ProgramHeader| {
        let start: u64 = s.p_offset(endian).into();
        start..start.saturating_add(s.p_filesz(endian).into())
    };
    Some(header.program_headers(endian, data).ok()?.iter().map(range).collect())
}
