//! What a 32-bit ARM program was built for: "Addenda to, and Errata in, the ABI for the Arm Architecture", build
//! attributes; ELF for the Arm Architecture, `e_flags`.

use object::{
    Endianness,
    read::elf::{AttributesSection, FileHeader},
};

use super::Facts;

/// `e_flags`: floating-point arguments in VFP registers.
const FLOAT_HARD: u32 = 0x400;

/// The build attributes that say which CPU is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Tag_CPU_arch.
    pub cpu: u64,
    /// Tag_FP_arch: 0 is none.
    pub fp: u64,
    /// Tag_THUMB_ISA_use: 2 is Thumb-2, 3 is what the CPU has.
    pub thumb: u64,
}

/// Reads `.ARM.attributes`; the file's attributes of the vendor `aeabi` count.
pub(super) fn attributes<E: FileHeader<Endian = Endianness>>(endian: Endianness, bytes: &[u8]) -> Option<Attributes> {
    let section = AttributesSection::<E>::new(endian, bytes).ok()?;
    let mut vendors = section.subsections().ok()?;
    while let Some(vendor) = vendors.next().ok()? {
        if vendor.vendor() != b"aeabi" {
            continue;
        }
        let mut parts = vendor.subsubsections();
        while let Some(part) = parts.next().ok()? {
            if part.tag().0 != 1 {
                continue; // of a section or symbol alone
            }
            let mut found = Attributes::default();
            let mut reader = part.attributes();
            while let Some(tag) = reader.read_tag().ok()? {
                match tag {
                    // Tag_compatibility has a number and a text.
                    32 => {
                        reader.read_integer().ok()?;
                        reader.read_string().ok()?;
                    }
                    // Tag_CPU_raw_name, Tag_CPU_name, and odd ones from 32 on are texts.
                    4 | 5 => drop(reader.read_string().ok()?),
                    odd if odd > 32 && odd % 2 == 1 => drop(reader.read_string().ok()?),
                    _ => {
                        let value = reader.read_integer().ok()?;
                        match tag {
                            6 => found.cpu = value,
                            9 => found.thumb = value,
                            10 => found.fp = value,
                            _ => {}
                        }
                    }
                }
            }
            return Some(found);
        }
    }
    None
}

/// The architecture's name of a Tag_CPU_arch value.
pub(crate) fn cpu_name(value: u64) -> &'static str {
    match value {
        0 => "before ARMv4",
        1 => "ARMv4",
        2 => "ARMv4T",
        3 => "ARMv5T",
        4 => "ARMv5TE",
        5 => "ARMv5TEJ",
        6 => "ARMv6",
        7 => "ARMv6KZ",
        8 => "ARMv6T2",
        9 => "ARMv6K",
        10 => "ARMv7",
        11 => "ARMv6-M",
        12 => "ARMv6S-M",
        13 => "ARMv7E-M",
        14 => "ARMv8-A",
        _ => "newer than ARMv8",
    }
}

/// What an arm/v5 CPU without floating-point hardware can't run, if the program says so.
pub(crate) fn beyond_v5(facts: &Facts) -> Option<String> {
    if let Some(goarm) = &facts.goarm
        && goarm.split(',').next() != Some("5")
    {
        return Some(format!("is a Go program built with GOARM={goarm}"));
    }
    if facts.goarm.as_deref().is_some_and(|g| g.contains("hardfloat")) {
        return Some("is a Go program built for floating-point hardware (GOARM=5,hardfloat)".into());
    }
    if facts.flags & FLOAT_HARD != 0 {
        return Some("passes floating-point numbers in VFP registers (hard-float ABI)".into());
    }
    let attributes = facts.attributes?;
    match attributes {
        Attributes { cpu: 6.., .. } => Some(format!("is built for {}", cpu_name(attributes.cpu))),
        Attributes { fp: 1.., .. } => Some("is built for a CPU with VFP".into()),
        Attributes { thumb: 2.., .. } if attributes.thumb == 2 => Some("is built for Thumb-2".into()),
        _ => None,
    }
}

/// Whether what [`beyond_v5`] says holds for some of its functions only, so that it may run all the same (Debian's
/// libatomic for armel). How numbers are passed is no matter of choice.
pub(crate) fn chooses(facts: &Facts) -> bool {
    facts.chooses && facts.flags & FLOAT_HARD == 0
}

#[cfg(test)]
mod tests {
    use object::elf::FileHeader32;

    use super::*;

    /// A section with the file's attributes of `aeabi`.
    pub(crate) fn section(pairs: &[(u8, u8)]) -> Vec<u8> {
        let name = b"5TE\0";
        let attributes: Vec<u8> =
            [5u8].iter().chain(name).copied().chain(pairs.iter().flat_map(|(t, v)| [*t, *v])).collect();
        let mut part = vec![1u8];
        part.extend((attributes.len() as u32 + 5).to_le_bytes());
        part.extend(attributes);
        let mut section = b"A".to_vec();
        section.extend((part.len() as u32 + 4 + 6).to_le_bytes());
        section.extend(b"aeabi\0");
        section.extend(part);
        section
    }

    #[test]
    fn attributes_are_read_and_judged() {
        let read = |bytes: &[u8]| attributes::<FileHeader32<Endianness>>(Endianness::Little, bytes);
        for (pairs, beyond) in [
            (&[(6u8, 4u8), (8, 1), (9, 1)][..], None),
            (&[(6, 5)], None),
            (&[(6, 10), (9, 2), (10, 3)], Some("ARMv7")),
            (&[(6, 6)], Some("ARMv6")),
            (&[(6, 4), (10, 2)], Some("VFP")),
            (&[(6, 4), (9, 2)], Some("Thumb-2")),
        ] {
            let found = read(&section(pairs)).unwrap();
            let said = beyond_v5(&Facts { attributes: Some(found), ..Facts::default() });
            match beyond {
                None => assert_eq!(said, None, "{pairs:?}"),
                Some(word) => assert!(said.clone().unwrap().contains(word), "{pairs:?}: {said:?}"),
            }
        }
        let whole = section(&[(6, 10)]);
        for cut in 0..whole.len() {
            let _ = read(&whole[..cut]);
        }
    }

    #[test]
    fn go_programs_say_it_themselves() {
        let go = |goarm: &str| beyond_v5(&Facts { goarm: Some(goarm.into()), ..Facts::default() });
        assert_eq!(go("5"), None);
        assert_eq!(go("5,softfloat"), None);
        assert!(go("7").unwrap().contains("GOARM=7"));
        assert!(go("6,hardfloat").unwrap().contains("GOARM=6"));
        assert!(go("5,hardfloat").is_some());
        assert!(beyond_v5(&Facts { flags: 0x500_0400, ..Facts::default() }).unwrap().contains("hard-float"));
        assert_eq!(beyond_v5(&Facts { flags: 0x500_0200, ..Facts::default() }), None);
        assert!(chooses(&Facts { chooses: true, flags: 0x500_0200, ..Facts::default() }));
        assert!(!chooses(&Facts { chooses: true, flags: 0x500_0400, ..Facts::default() }));
    }
}
