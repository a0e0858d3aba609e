//! A program of a few instructions with everything around it that a compiler leaves: symbols, debug information.

/// An ELF program for `arm64` or `arm` (any ARM) that ends with exit code 42. It has one segment, and behind it
/// `.debug_info`, `.comment`, a symbol table and the section table.
pub fn program(architecture: &str) -> Vec<u8> {
    let (is_64, machine, flags, code): (bool, u16, u32, [u32; 3]) = match architecture {
        // mov x0, #42; mov x8, #93 (exit); svc #0
        "arm64" => (true, 183, 0, [0xd280_0540, 0xd280_0ba8, 0xd400_0001]),
        // mov r0, #42; mov r7, #1 (exit); svc #0; EABI version 5, soft-float
        "arm" => (false, 40, 0x0500_0200, [0xe3a0_002a, 0xe3a0_7001, 0xef00_0000]),
        other => panic!("no code for {other}"),
    };
    let (header, segment, section) = if is_64 { (64u64, 56u64, 64u64) } else { (52, 32, 40) };
    let word = |value: u64| if is_64 { value.to_le_bytes().to_vec() } else { (value as u32).to_le_bytes().to_vec() };
    let base = 0x10000u64;
    let start = header + segment;
    let loaded = start + 12;

    let names = b"\0.text\0.debug_info\0.comment\0.symtab\0.strtab\0.shstrtab\0";
    let name = |text: &str| names.windows(text.len()).position(|w| w == text.as_bytes()).unwrap() as u32;
    let mut body: Vec<u8> = code.iter().flat_map(|c| c.to_le_bytes()).collect();
    let mut at = |bytes: &[u8]| {
        body.resize(body.len().next_multiple_of(8), 0);
        body.extend_from_slice(bytes);
        (start + (body.len() - bytes.len()) as u64, bytes.len() as u64)
    };
    let debug = at(&[7; 500]);
    let comment = at(b"made by hand\0");
    let symbol = match is_64 {
        true => [&1u32.to_le_bytes()[..], &[0x12, 0, 1, 0], &word(base + start), &word(12)].concat(),
        false => [&1u32.to_le_bytes()[..], &word(base + start), &word(12), &[0x12, 0, 1, 0]].concat(),
    };
    let symbols = at(&[vec![0; symbol.len()], symbol.clone()].concat());
    let strings = at(b"\0_start\0");
    let section_names = at(names);
    at(&[]);
    let table = start + body.len() as u64;

    let of =
        |name: u32, kind: u32, flags: u64, addr: u64, (offset, size): (u64, u64), link: u32, info: u32, entry: u64| {
            let numbers = [word(flags), word(addr), word(offset), word(size)].concat();
            let links = [link.to_le_bytes(), info.to_le_bytes()].concat();
            [name.to_le_bytes().to_vec(), kind.to_le_bytes().to_vec(), numbers, links, word(1), word(entry)].concat()
        };
    let sections = [
        vec![0; section as usize],
        of(name(".text"), 1, 6, base + start, (start, 12), 0, 0, 0),
        of(name(".debug_info"), 1, 0, 0, debug, 0, 0, 0),
        of(name(".comment"), 1, 0x30, 0, comment, 0, 0, 1),
        of(name(".symtab"), 2, 0, 0, symbols, 5, 1, symbol.len() as u64),
        of(name(".strtab"), 3, 0, 0, strings, 0, 0, 0),
        of(name(".shstrtab"), 3, 0, 0, section_names, 0, 0, 0),
    ];
    let half = |value: &u64| (*value as u16).to_le_bytes();
    let mut elf = b"\x7fELF".to_vec();
    elf.extend([if is_64 { 2 } else { 1 }, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([2u16.to_le_bytes(), machine.to_le_bytes()].concat());
    elf.extend(1u32.to_le_bytes());
    elf.extend([word(base + start), word(header), word(table)].concat());
    elf.extend(flags.to_le_bytes());
    elf.extend([header, segment, 1, section, sections.len() as u64, 6].iter().flat_map(half));
    let (load, read_execute) = (1u32.to_le_bytes(), 5u32.to_le_bytes());
    let place = [word(0), word(base), word(base), word(loaded), word(loaded)].concat();
    match is_64 {
        true => elf.extend([&load[..], &read_execute, &place, &word(0x10000)].concat()),
        false => elf.extend([&load[..], &place, &read_execute, &word(0x10000)].concat()),
    }
    elf.extend(body);
    elf.extend(sections.concat());
    elf
}
