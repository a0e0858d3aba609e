//! What a layer's entries can say.

use super::{
    Fate::{self, Refused, Safe},
    assert_untouched, endure, guarded,
};
use crate::support::raw::{Raw, docker_archive};

/// The layers, each with its name and its fate.
fn layers(outside: &str) -> Vec<(&'static str, Vec<u8>, Fate)> {
    let raw = Raw::default;
    let out = outside.as_bytes();
    let up = [b"../../../../../../../../../..", out, b"/up"].concat();
    let through = [b"door", &b"/through"[..]].concat();
    // a base-256 number: the first byte's top bit says so, the next one's that it is negative
    let negative = |h: &mut [u8]| h[124..136].fill(0xff);
    let size = |digits: &'static [u8; 12]| move |h: &mut [u8]| h[124..136].copy_from_slice(digits);
    let huge = |h: &mut [u8]| h[124..136].copy_from_slice(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xfc\0");
    let four_gib = |h: &mut [u8]| h[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\x01\0\0\0\0");
    let deep = |levels: usize| b"d/".repeat(levels);
    let old_gnu = |h: &mut [u8]| {
        h[257..265].copy_from_slice(b"ustar  \0");
        h[386..410].copy_from_slice(b"00000000000\x0000000000005\0"); // one piece: offset, bytes
        h[483..495].copy_from_slice(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"); // the real size
    };
    vec![
        ("dot-dot", raw().file(&up).end(), Refused("`..`")),
        ("dot-dot inside", raw().file(b"a/../../b").end(), Refused("`..`")),
        ("pax dot-dot", raw().pax("path", &up).file(b"innocent").end(), Refused("`..`")),
        ("GNU dot-dot", raw().entry(b'L', b"././@LongLink", b"", &up).file(b"innocent").end(), Refused("`..`")),
        ("absolute", raw().file(b"/absolute").end(), Safe(&["absolute"])),
        ("a name with NUL", raw().pax("path", b"a\0b").file(b"x").end(), Refused("NUL")),
        ("no name", raw().file(b"").end(), Refused("root")),
        ("the root as a file", raw().file(b"./").end(), Refused("root")),
        ("a door", raw().link(b'2', b"door", b"/room").file(&through).end(), Safe(&["door", "room", "room/through"])),
        ("a door to nowhere", raw().link(b'2', b"door", b"../../..").file(&through).end(), Safe(&["door", "through"])),
        (
            "a circle of doors",
            raw().link(b'2', b"a", b"b").link(b'2', b"b", b"a").file(b"a/x").end(),
            Refused("circle"),
        ),
        ("a door to itself", raw().link(b'2', b"a", b"a/a").file(b"a/x").end(), Refused("circle")),
        (
            "a door replaced",
            raw().link(b'2', b"d", out).entry(b'5', b"d", b"", b"").file(b"d/x").end(),
            Safe(&["d", "d/x"]),
        ),
        ("a link out", raw().link(b'1', b"passwd", b"../../../etc/passwd").end(), Refused("`..`")),
        ("a link to what is absolute", raw().link(b'1', b"passwd", b"/etc/passwd").end(), Refused("etc/passwd")),
        ("a link to nothing", raw().link(b'1', b"l", b"gone").end(), Refused("gone")),
        ("a link to itself", raw().file(b"f").link(b'1', b"f", b"f").end(), Refused("itself")),
        ("a link to a directory", raw().entry(b'5', b"d", b"", b"").link(b'1', b"l", b"d").end(), Refused("directory")),
        ("a link to a later file", raw().link(b'1', b"l", b"f").file(b"f").end(), Safe(&["f", "l"])),
        ("links in a circle", raw().link(b'1', b"a", b"b").link(b'1', b"b", b"a").end(), Refused("hard link")),
        (
            "a link through a door",
            raw().link(b'2', b"d", b"/etc").link(b'1', b"l", b"d/passwd").end(),
            Refused("etc/passwd"),
        ),
        ("devices", raw().entry(b'3', b"null", b"", b"").entry(b'4', b"disk", b"", b"").file(b"f").end(), Safe(&["f"])),
        ("a pipe", raw().entry(b'6', b"pipe", b"", b"").file(b"f").end(), Safe(&["f"])),
        ("an unknown type", raw().entry(b'Z', b"z", b"", b"").end(), Refused("type")),
        ("twice", raw().entry(b'0', b"f", b"", b"old").file(b"f").end(), Safe(&["f"])),
        ("a file under a file", raw().file(b"f").file(b"f/g").end(), Refused("not a directory")),
        ("more than there is", raw().odd(b'0', b"f", b"", b"x", size(b"00000100000\0")).end(), Refused("cut off")),
        ("more digits than fit", raw().odd(b'0', b"f", b"", b"x", size(b"777777777777")).end(), Refused("cut off")),
        ("no digits", raw().odd(b'0', b"f", b"", b"x", size(b"0000000000x\0")).end(), Refused("size")),
        ("less than nothing", raw().odd(b'0', b"f", b"", b"x", negative).end(), Refused("size")),
        ("eight exbibytes", raw().odd(b'0', b"f", b"", b"x", huge).end(), Refused("cut off")),
        ("eight exbibytes by pax", raw().pax("size", b"9223372036854775807").file(b"f").end(), Refused("cut off")),
        ("sixteen exbibytes by pax", raw().pax("size", b"18446744073709551615").file(b"f").end(), Refused("size")),
        ("a size below nothing by pax", raw().pax("size", b"-1").file(b"f").end(), Refused("size")),
        (
            "a link with a size",
            raw().file(b"f").odd(b'1', b"l", b"f", b"", size(b"00000001000\0")).end(),
            Safe(&["f", "l"]),
        ),
        ("a pax record without an end", raw().entry(b'x', b"p", b"", b"30 path=x\n").file(b"f").end(), Refused("pax")),
        (
            "a pax record of no length",
            raw().entry(b'x', b"p", b"", b"99999999999999999999 a=b\n").file(b"f").end(),
            Refused("pax"),
        ),
        ("a pax header of 4 GiB", raw().odd(b'x', b"p", b"", b"", four_gib).file(b"f").end(), Refused("megabyte")),
        ("a long name of 4 GiB", raw().odd(b'L', b"p", b"", b"", four_gib).file(b"f").end(), Refused("megabyte")),
        ("extensions of nothing", raw().pax("path", b"x").end(), Refused("cut off")),
        ("a GNU sparse file", raw().odd(b'S', b"s", b"", b"bytes", old_gnu).end(), Refused("sparse")),
        (
            "a pax sparse file",
            raw().pax("GNU.sparse.realsize", b"9223372036854775807").pax("GNU.sparse.major", b"1").file(b"s").end(),
            Refused("sparse"),
        ),
        ("an owner of 64 bits", raw().pax("uid", b"9223372036854775807").file(b"f").end(), Refused("id")),
        (
            "ten thousand levels",
            raw().pax("path", &[&deep(10_000)[..], b"f"].concat()).file(b"x").end(),
            Refused("Linux"),
        ),
        (
            "a thousand levels",
            raw().pax("path", &[&deep(1000)[..], b"f"].concat()).file(b"x").end(),
            Refused("components"),
        ),
        ("a component too long", raw().pax("path", &b"x".repeat(300)).file(b"x").end(), Refused("Linux")),
        (
            "whiteouts of nothing",
            raw().file(b".wh.gone").file(b"d/.wh..wh..opq").file(b"d/f").end(),
            Safe(&["d", "d/f"]),
        ),
        ("a whiteout of the root", raw().file(b".wh.").end(), Refused(".wh.")),
        ("a whiteout of dot-dot", raw().file(b"d/.wh...").end(), Refused(".wh.")),
        ("a directory called whiteout", raw().file(b".wh.d/f").end(), Refused(".wh.")),
        ("no tar", b"junk".repeat(512), Refused("tar")),
        ("an empty layer", Vec::new(), Safe(&[])),
        ("cut off in a header", raw().file(b"f").bytes()[..700].to_vec(), Refused("cut off")),
    ]
}

#[test]
fn entries_stay_inside_or_are_refused() {
    let (world, outside) = guarded();
    for (name, layer, fate) in layers(outside.to_str().unwrap()) {
        world.write("x.tar", docker_archive(&layer));
        endure(&world, name, "x.tar", &fate);
        assert_untouched(&world, &outside);
    }
}

#[test]
fn names_that_are_no_text_are_kept_and_never_printed_as_they_are() {
    let (world, outside) = guarded();
    let names: [&[u8]; 4] = [b"latin-\xe9", b"\x1b[2Jclear", b"line\nbreak", b"bell\x07"];
    let raw = names.iter().fold(Raw::default(), |raw, name| raw.file(name));
    world.write("x.tar", docker_archive(&raw.end()));
    super::bounded(&world, super::MEMORY, &["convert", "x.tar", "-o", "out.tar"]).success();
    let layer = crate::support::Archive::read(&world.path("out.tar")).layers.remove(0);
    let mut read: Vec<Vec<u8>> =
        tar::Archive::new(&layer[..]).entries().unwrap().map(|e| e.unwrap().path_bytes().into_owned()).collect();
    read.sort();
    let mut wanted: Vec<Vec<u8>> = names.iter().map(|name| name.to_vec()).collect();
    wanted.sort();
    assert_eq!(read, wanted);
    for arguments in [&["ls", "-R", "x.tar", "/"][..], &["check", "x.tar"], &["diff", "x.tar", "out.tar"]] {
        let text = super::bounded(&world, super::MEMORY, arguments).text();
        assert!(!text.contains(['\x1b', '\x07']) && text.lines().all(|l| l != "break"), "{text:?}");
    }
    let _ = std::fs::remove_file(world.path("out.tar"));
    assert_untouched(&world, &outside);
}
