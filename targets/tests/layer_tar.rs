//! The tar writer, on trees of every kind.

mod support;

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use routerpack_rootfs::{Entry, Kind, Mtime};
use routerpack_targets::{Dropped, Format, Warnings};
use support::*;
use tar::EntryType;

fn component() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-zA-Z0-9+. _-]{1,12}".prop_map(String::into_bytes),
        2 => "[a-z]{60,130}".prop_map(String::into_bytes),
        1 => "\\PC{1,20}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(1u8.., 1..40),
    ]
    .prop_map(|mut name| {
        // The `tar` crate, which reads this back, cuts PAX records at line ends.
        name.iter_mut().filter(|b| matches!(**b, b'/' | 0 | b'\n')).for_each(|b| *b = b'_');
        match &name[..] {
            b"." | b".." => b"dots".to_vec(),
            _ => name,
        }
    })
}

#[derive(Clone, Debug)]
struct Seed {
    path: Vec<Vec<u8>>,
    kind: u8,
    mode: u16,
    ids: (u32, u32),
    mtime: Mtime,
    data: Vec<u8>,
    group: u32,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn seed() -> impl Strategy<Value = Seed> {
    let id = || prop_oneof![0..5u32, Just(2_097_151), Just(2_097_152), any::<u32>()];
    let secs = prop_oneof![Just(0i64), 1..2_000_000_000i64, -100_000..0i64, 8_589_934_591..8_589_934_594i64];
    let xattrs = proptest::collection::btree_map(
        "[a-z]{2,6}\\.[a-z.]{1,20}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>().prop_filter("see component()", |b| *b != b'\n'), 0..40),
        0..3,
    );
    (
        proptest::collection::vec(component(), 1..5),
        0..8u8,
        0..0o10000u16,
        (id(), id()),
        (secs, 0..1_000_000_000u32).prop_map(|(secs, nanos)| Mtime { secs, nanos }),
        prop_oneof![3 => proptest::collection::vec(any::<u8>(), 0..1100), 1 => Just(vec![9; 300_000])],
        0..4u32,
        xattrs,
    )
        .prop_map(|(path, kind, mode, ids, mtime, data, group, xattrs)| Seed {
            path,
            kind,
            mode,
            ids,
            mtime,
            data,
            group,
            xattrs,
        })
}

/// A valid tree out of random parts: what is in the way of a parent becomes a directory.
fn grow(seeds: &[Seed]) -> Step {
    let mut at: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut parents = BTreeMap::new();
    for (i, seed) in seeds.iter().enumerate() {
        for depth in 1..seed.path.len() {
            parents.insert(seed.path[..depth].join(&b'/'), i);
        }
        at.insert(seed.path.join(&b'/'), i);
    }
    let mut step = Step::new();
    let mut groups: HashMap<u32, usize> = HashMap::new();
    for (path, i) in parents.iter().chain(&at) {
        let seed = &seeds[*i];
        let is_parent = parents.contains_key(path);
        if is_parent && step.entries.iter().any(|e| *e.path == **path) {
            continue;
        }
        let kind = match seed.kind {
            _ if is_parent => Kind::Dir,
            0 => Kind::Dir,
            1 => Kind::Symlink,
            2 => Kind::CharDev,
            3 => Kind::Fifo,
            4 => Kind::BlockDev,
            _ => Kind::File,
        };
        if kind == Kind::File && seed.group != 0 {
            if let Some(first) = groups.get(&seed.group) {
                let entry = Entry { path: path.as_slice().into(), ..step.entries[*first].clone() };
                step.put(entry);
                continue;
            }
            groups.insert(seed.group, step.entries.len());
        }
        let entry = match kind {
            Kind::File => step.file(path, &seed.data),
            _ => step.put(Entry::new(path, kind, 0)),
        };
        (entry.mode, entry.uid, entry.gid, entry.mtime) = (seed.mode, seed.ids.0, seed.ids.1, seed.mtime);
        if kind == Kind::File {
            entry.link_group = seed.group;
        }
        let extra = entry.extra.get_or_insert_default();
        extra.xattrs = seed.xattrs.clone();
        match kind {
            Kind::Symlink => extra.link = [b"../", &seed.path.join(&b'/')[..]].concat(),
            Kind::CharDev | Kind::BlockDev => extra.rdev = (seed.ids.0 % 4096, seed.ids.1 % 1_000_000),
            _ => {}
        }
    }
    step
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_what_is_read(seeds in proptest::collection::vec(seed(), 0..14)) {
        let step = grow(&seeds);
        let tree = step.tree();
        let ask = Ask::new(Format::Tar, &tree);
        let (bytes, summary) = ask.bytes();
        prop_assert_eq!(&ask.bytes().0, &bytes, "the same tree, other bytes");
        prop_assert_eq!(summary.warnings, Warnings::default());
        let list = members(&bytes);
        prop_assert_eq!(list.len(), tree.index.entries().len());

        // Order: files and directories by path, then links by path, all after what they need.
        let cut = list.iter().position(|m| m.kind == EntryType::Link).unwrap_or(list.len());
        prop_assert!(list[..cut].is_sorted_by(|a, b| a.path < b.path));
        prop_assert!(list[cut..].is_sorted_by(|a, b| a.path < b.path));
        prop_assert!(list[cut..].iter().all(|m| m.kind == EntryType::Link));
        let mut leaders: HashMap<u32, &[u8]> = HashMap::new();
        for e in tree.index.entries().iter().filter(|e| e.link_group != 0) {
            leaders.entry(e.link_group).or_insert(&e.path);
        }

        let by_path: HashMap<&[u8], &Member> = list.iter().map(|m| (&m.path[..], m)).collect();
        for e in tree.index.entries() {
            let m = by_path[&*e.path];
            prop_assert_eq!((m.mode, m.uid, m.gid), (e.mode.into(), e.uid.into(), e.gid.into()));
            prop_assert_eq!(m.mtime, e.mtime.secs, "and never a fraction");
            if let Some(leader) = leaders.get(&e.link_group).filter(|l| **l != &*e.path) {
                prop_assert_eq!(m.kind, EntryType::Link);
                prop_assert_eq!(&m.link[..], *leader);
                prop_assert!(m.data.is_empty());
                continue;
            }
            let kind = match e.kind {
                Kind::Dir => EntryType::Directory,
                Kind::Symlink => EntryType::Symlink,
                Kind::CharDev => EntryType::Char,
                Kind::BlockDev => EntryType::Block,
                Kind::Fifo => EntryType::Fifo,
                _ => EntryType::Regular,
            };
            prop_assert_eq!(m.kind, kind);
            prop_assert_eq!(&m.link[..], e.link());
            prop_assert_eq!(m.rdev, e.rdev());
            if e.kind == Kind::File {
                prop_assert_eq!(&m.data, &tree.read(e, 1 << 20).unwrap());
            }
            let xattrs: BTreeMap<Vec<u8>, Vec<u8>> = m.pax.iter()
                .filter_map(|(k, v)| Some((k.strip_prefix("SCHILY.xattr.")?.as_bytes().to_vec(), v.clone())))
                .collect();
            let wanted = e.extra.as_ref().map(|x| x.xattrs.clone()).unwrap_or_default();
            prop_assert_eq!(xattrs, wanted);
            // PAX only for what USTAR can't say.
            let excess: Vec<_> = m.pax.keys().filter(|k| match k.as_str() {
                "path" => e.path.len() <= 100,
                "linkpath" => e.link().len() <= 100,
                "uid" => e.uid <= 2_097_151,
                "gid" => e.gid <= 2_097_151,
                "mtime" => (0..=8_589_934_591).contains(&e.mtime.secs),
                "hdrcharset" => e.path.len() <= 100 && e.link().len() <= 100,
                other => !other.starts_with("SCHILY.xattr."),
            }).collect();
            prop_assert!(excess.is_empty(), "{:?}", excess);
        }
    }

    #[test]
    fn a_router_layer_has_plain_members_and_names_what_it_lacks(
        seeds in proptest::collection::vec(seed(), 0..14),
        epoch in proptest::option::of(0..2_000_000_000i64),
    ) {
        let step = grow(&seeds);
        let tree = step.tree();
        let ask = Ask { epoch, ..Ask::new(Format::RouterOs, &tree) };
        let (bytes, summary) = ask.bytes();
        prop_assert_eq!(&ask.bytes().0, &bytes);
        let outer = members(&bytes);
        let layer = outer.iter().find(|m| m.path.ends_with(b"/layer.tar")).unwrap();
        let list = members(&layer.data);
        let plain = [EntryType::Regular, EntryType::Directory, EntryType::Symlink, EntryType::Link];
        for m in &list {
            prop_assert!(plain.contains(&m.kind));
            prop_assert!(!m.pax.keys().any(|k| k.contains("xattr")));
            prop_assert!(epoch.is_none_or(|e| m.mtime <= e));
        }
        let special = |e: &&Entry| matches!(e.kind, Kind::CharDev | Kind::BlockDev | Kind::Fifo);
        let lost = tree.index.entries().iter().filter(special).count();
        prop_assert_eq!(list.len() + lost, tree.index.entries().len());
        let whole: Vec<_> = summary.warnings.list.iter().filter(|w| w.what != Dropped::Xattr).collect();
        let listed = summary.warnings.list.len();
        prop_assert!(whole.len() == lost || listed == Warnings::LISTED);
        prop_assert_eq!(listed as u64, summary.warnings.count.min(Warnings::LISTED as u64));
        prop_assert!(summary.warnings.list.iter().filter(|w| w.what == Dropped::Xattr).all(|w| !w.detail.is_empty()));
    }
}

#[test]
fn bytes_that_look_like_records_stay_values() {
    let mut step = Step::new();
    let name = [&[b'd'; 120][..], b"\n12 path=evil\n\xff"].concat();
    let e = step.file(&name, b"data");
    xattr(e, b"user.x", b"a\n30 SCHILY.xattr.user.y=forged\n");
    let tree = step.tree();
    let (bytes, _) = Ask::new(Format::Tar, &tree).bytes();
    // The `tar` crate cuts records at line ends, so the layer reader judges here.
    let index = routerpack_rootfs::read_layer(&bytes[..], std::io::sink()).unwrap().index;
    let read = index.get(&name).expect("the name as it was");
    let xattrs: Vec<_> = read.xattrs().collect();
    assert_eq!(xattrs, [(&b"user.x"[..], &b"a\n30 SCHILY.xattr.user.y=forged\n"[..])]);
}

#[test]
fn the_list_of_losses_is_bounded() {
    let mut step = Step::new();
    step.dir("dev");
    for i in 0..1000 {
        step.put(Entry::new(format!("dev/n{i:04}").as_bytes(), Kind::CharDev, 0o666));
    }
    let tree = step.tree();
    let (_, summary) = Ask::new(Format::RouterOs, &tree).bytes();
    assert_eq!(summary.warnings.count, 1000);
    assert_eq!(summary.warnings.list.len(), Warnings::LISTED);
    assert_eq!(summary.warnings.list[0].path, "dev/n0000");
    assert!(summary.warnings.list[0].to_string().contains("device node left out"));
}

#[test]
fn names_that_would_delete_others_stay_out_of_layers() {
    let mut step = Step::new();
    step.dir("a");
    step.file(b"a/.wh.b", b"x");
    step.file(b"a/x.wh.b", b"x");
    step.file(b".wh..wh..opq", b"x");
    step.put(Entry::new(b"a/sock", Kind::Socket, 0o600));
    let tree = step.tree();
    for (format, layer, lost) in [(Format::RouterOs, true, 3), (Format::Docker, true, 3), (Format::Tar, false, 1)] {
        let (bytes, summary) = Ask::new(format, &tree).bytes();
        assert_eq!(summary.warnings.count, lost);
        let outer = members(&bytes);
        let list = match outer.iter().find(|m| m.path.ends_with(b"/layer.tar")) {
            Some(m) if layer => members(&m.data),
            _ => outer,
        };
        assert_eq!(list.iter().any(|m| m.path == b"a/.wh.b"), !layer);
        assert!(list.iter().any(|m| m.path == b"a/x.wh.b"));
    }
}

#[test]
fn links_to_symlinks_and_pipes_stay_links() {
    let mut step = Step::new();
    step.symlink("a", b"target");
    step.link(b"b", 3);
    step.put(Entry::new(b"p", Kind::Fifo, 0o600)).link_group = 4;
    step.put(Entry::new(b"q", Kind::Fifo, 0o600)).link_group = 4;
    let tree = step.tree();
    let list = members(&Ask::new(Format::Tar, &tree).bytes().0);
    assert_eq!(paths(&list), ["a", "p", "b", "q"]);
    assert_eq!((list[2].kind, &list[2].link[..]), (EntryType::Link, &b"a"[..]));
    assert_eq!((list[3].kind, &list[3].link[..]), (EntryType::Link, &b"p"[..]));
    let (bytes, summary) = Ask::new(Format::RouterOs, &tree).bytes();
    let outer = members(&bytes);
    let inner = members(&outer.iter().find(|m| m.path.ends_with(b"layer.tar")).unwrap().data);
    assert_eq!(paths(&inner), ["a", "b"]);
    assert_eq!(summary.warnings.count, 2);
}

#[test]
fn an_attribute_that_pax_cannot_name_is_told() {
    let mut step = Step::new();
    let e = step.file(b"f", b"");
    xattr(e, b"user.a=b", b"1");
    xattr(e, b"security.capability", &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let tree = step.tree();
    let (bytes, summary) = Ask::new(Format::Tar, &tree).bytes();
    assert_eq!(summary.warnings.list[0].detail, "user.a=b");
    assert_eq!(members(&bytes)[0].pax.keys().collect::<Vec<_>>(), ["SCHILY.xattr.security.capability"]);
    assert_eq!(Ask::new(Format::RouterOs, &tree).bytes().1.warnings.count, 2);
}
