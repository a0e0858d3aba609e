//! ELF files with what a loader reads of them, and no code.

/// An ELF file with what a loader reads of it.
#[derive(Clone)]
pub struct Elf {
    pub machine: u16,
    pub is_64: bool,
    pub flags: u32,
    pub align: u64,
    pub interpreter: &'static str,
    pub needed: &'static [&'static str],
    pub runpath: &'static str,
    pub attributes: &'static [(u8, u8)],
}

pub const AMD64: Elf =
    Elf { machine: 62, is_64: true, flags: 0, align: 4096, interpreter: "", needed: &[], runpath: "", attributes: &[] };
pub const ARM: Elf =
    Elf { machine: 40, is_64: false, flags: 0x500_0200, align: 0x10000, attributes: &[(6, 4)], ..AMD64 };
pub const ARM64: Elf = Elf { machine: 183, align: 0x10000, ..AMD64 };

impl Elf {
    pub fn bytes(&self) -> Vec<u8> {
        let word = |out: &mut Vec<u8>, v: u64| match self.is_64 {
            true => out.extend(v.to_le_bytes()),
            false => out.extend((v as u32).to_le_bytes()),
        };
        let mut strings = vec![0u8];
        let mut dynamic = Vec::new();
        let mut named = |strings: &mut Vec<u8>, tag: u64, text: &str| {
            word(&mut dynamic, tag);
            word(&mut dynamic, strings.len() as u64);
            strings.extend(text.as_bytes());
            strings.push(0);
        };
        self.needed.iter().for_each(|n| named(&mut strings, 1, n));
        if !self.runpath.is_empty() {
            named(&mut strings, 29, self.runpath);
        }
        const AT: u64 = 0x400;
        let interp_at = AT;
        let strings_at = interp_at + self.interpreter.len() as u64 + 1;
        let dynamic_at = (strings_at + strings.len() as u64).next_multiple_of(8);
        word(&mut dynamic, 5);
        word(&mut dynamic, strings_at);
        word(&mut dynamic, 0);
        word(&mut dynamic, 0);
        let attributes_at = dynamic_at + dynamic.len() as u64;
        let attributes = attributes(self.attributes);
        let sections_at = (attributes_at + attributes.len() as u64).next_multiple_of(8);

        let mut out = b"\x7fELF".to_vec();
        out.extend([if self.is_64 { 2 } else { 1 }, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.extend(3u16.to_le_bytes());
        out.extend(self.machine.to_le_bytes());
        out.extend(1u32.to_le_bytes());
        let (header, segment, section) = if self.is_64 { (64u16, 56u16, 64u16) } else { (52, 32, 40) };
        let mut segments = vec![(1u32, 0, sections_at, self.align)];
        if !self.interpreter.is_empty() {
            segments.push((3, interp_at, self.interpreter.len() as u64 + 1, 1));
        }
        if !self.needed.is_empty() {
            segments.push((2, dynamic_at, dynamic.len() as u64, 8));
        }
        for value in [0, u64::from(header), sections_at] {
            word(&mut out, value);
        }
        out.extend(self.flags.to_le_bytes());
        let sections = if self.attributes.is_empty() { 0u16 } else { 2 };
        for half in [header, segment, segments.len() as u16, section, sections, 0] {
            out.extend(half.to_le_bytes());
        }
        for (kind, at, size, align) in segments {
            out.extend(kind.to_le_bytes());
            if self.is_64 {
                out.extend(5u32.to_le_bytes());
            }
            for value in [at, at, at, size, size] {
                word(&mut out, value);
            }
            if !self.is_64 {
                out.extend(5u32.to_le_bytes());
            }
            word(&mut out, align);
        }
        assert!(out.len() as u64 <= AT);
        out.resize(AT as usize, 0);
        out.extend(self.interpreter.as_bytes());
        out.push(0);
        out.extend(strings);
        out.resize(dynamic_at as usize, 0);
        out.extend(dynamic);
        out.extend(&attributes);
        out.resize(sections_at as usize, 0);
        if sections == 2 {
            out.resize(out.len() + usize::from(section), 0);
            out.extend(0u32.to_le_bytes());
            out.extend(0x7000_0003u32.to_le_bytes());
            for value in [0, 0, attributes_at, attributes.len() as u64] {
                word(&mut out, value);
            }
            out.resize(sections_at as usize + 2 * usize::from(section), 0);
        }
        out
    }
}

/// `.ARM.attributes` with numbers of the file.
fn attributes(pairs: &[(u8, u8)]) -> Vec<u8> {
    let pairs: Vec<u8> = pairs.iter().flat_map(|(tag, value)| [*tag, *value]).collect();
    let mut part = vec![1u8];
    part.extend((pairs.len() as u32 + 5).to_le_bytes());
    part.extend(pairs);
    let mut section = b"A".to_vec();
    section.extend((part.len() as u32 + 10).to_le_bytes());
    section.extend(b"aeabi\0");
    section.extend(part);
    section
}
