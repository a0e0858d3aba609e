//! Strata and trees on disk, judged by overlayfs and by GNU tar, and by what hostile layers try.

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use proptest::prelude::*;
use routerpack_rootfs::{
    Entry, Extra, Index, Kind, LayerError, Lost, MergeFault, Mtime, Owners, PlaceError, ScanOptions, Stratum, Tree,
    materialise, read_layer, scan, unpack,
};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A layer tar of `type[mode] name>link` words with tar's types (`f` is a file that has its name as bytes), stored.
fn layer(dir: &Path, text: &str) -> Stratum {
    try_layer(dir, text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn try_layer(dir: &Path, text: &str) -> Result<Stratum, LayerError> {
    let mut builder = tar::Builder::new(Vec::new());
    for (at, word) in text.split(',').map(str::trim).filter(|w| !w.is_empty()).enumerate() {
        let (kind, rest) = word.split_once(' ').unwrap();
        let (name, link) = rest.split_once('>').unwrap_or((rest, ""));
        let mode = u32::from_str_radix(&kind[1..], 8).unwrap_or(if &kind[..1] == "5" { 0o755 } else { 0o644 });
        let data = if &kind[..1] == "f" { name.as_bytes() } else { b"" };
        let mut header = tar::Header::new_ustar();
        let bytes = header.as_mut_bytes();
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
        bytes[156] = if &kind[..1] == "f" { b'0' } else { kind.as_bytes()[0] };
        header.set_mode(mode);
        header.set_uid(at as u64 + 1);
        header.set_gid(at as u64 + 100);
        header.set_mtime(1_000_000 + at as u64);
        header.set_size(data.len() as u64);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        header.set_cksum();
        builder.append(&header, data).unwrap();
    }
    let file =
        tempfile::Builder::new().suffix(".tar").disable_cleanup(true).tempfile_in(dir).unwrap().path().to_owned();
    let layer = read_layer(&builder.into_inner().unwrap()[..], File::create(&file).unwrap())?;
    Ok(Stratum::Tar { file, index: layer.index.into() })
}

/// What counts of an entry, with owners as they can be on this disk.
fn line(e: &Entry) -> String {
    let (uid, gid) = if is_root() { (e.uid, e.gid) } else { (0, 0) };
    let group = if e.link_group == 0 { String::new() } else { format!("#{}", e.link_group) };
    let path = String::from_utf8_lossy(&e.path);
    let link = String::from_utf8_lossy(e.link());
    let mode = if e.kind == Kind::Symlink { 0o777 } else { e.mode };
    format!("{:?} {path}>{link} {mode:o} {uid}:{gid} {}.{} {}b{group}", e.kind, e.mtime.secs, e.mtime.nanos, e.size)
}

fn lines(index: &Index) -> Vec<String> {
    index.entries().iter().filter(|e| !e.path.is_empty()).map(line).collect()
}

/// The index of what a shell sees at `$M` after it has run `mount`: GNU tar reads it, and this crate's reader
/// reads that.
fn seen_by_tar(work: &Path, mount: &str) -> (Vec<String>, Tree) {
    let file = work.join("seen.tar");
    let script = format!(
        "mkdir -p {m} && {mount} && cd {m} && find . -mindepth 1 -print0 | LC_ALL=C sort -z | \
         tar --no-recursion --null -T - --format=pax --numeric-owner -cf {file}",
        m = work.join("m").display(),
        file = file.display()
    );
    let user: &[&str] = if is_root() { &[] } else { &["--map-root-user"] };
    let run = Command::new("unshare").arg("--mount").args(user).args(["sh", "-ec", &script]).output().unwrap();
    assert!(run.status.success(), "{mount}: {}", String::from_utf8_lossy(&run.stderr));
    let store = work.join("seen.store");
    let layer = read_layer(File::open(&file).unwrap(), File::create(&store).unwrap()).unwrap();
    let tree = Tree::new(vec![Stratum::Tar { file: store, index: layer.index.into() }]).unwrap();
    (lines(&tree.index), tree)
}

fn assert_same_contents(a: &Tree, b: &Tree) {
    for entry in a.index.entries().iter().filter(|e| e.kind == Kind::File) {
        let other = b.index.get(&entry.path).unwrap();
        assert_eq!(a.read(entry, 1000).unwrap(), b.read(other, 1000).unwrap(), "{}", line(entry));
    }
}

#[test]
fn overlayfs_shows_what_the_index_says() {
    let stacks: &[&[&str]] = &[
        &["5700 a, f4755 a/x, f a/y, 2 l>a/x, 6600 pipe, f b", "f a/z, 2 a/up>../.."],
        &["5 a, f a/x, f a/y, 5 a/d, f a/d/1, f ab", "f .wh.ab, 5711 a, f a/.wh.x", "f a/x"],
        &["5750 a, 5700 a/d, f a/d/1, f a/e", "f a/d/.wh..wh..opq, f a/d/2"],
        &["5750 a, 5700 a/d, f a/d/1, f a/e", "f a/d/.wh.1", "f a/d/3"],
        &["5750 a, f a/1", "5 a, f a/.wh..wh..opq", "f a/2"],
        &["5 a, f a/x, 5 a/d, f a/d/y", "f a", "5 a, f a/z"],
        &["5 a, f a/x", "f .wh.a", "f a/y"],
        &["5 a, f a/x", "f .wh.a, 5700 a, f a/y"],
        &["5 a, f a/x, f b, 5 c, f c/1", "f .wh..wh..opq, 5 a, f a/y, f d"],
        &["5 a, f a/x, f b", "f .wh..wh..opq, f d"],
        &["5 lib, f lib/x", "2 lib>usr/lib, f usr/lib/y"],
        &["2 lib>usr/lib, 5 usr, 5 usr/lib, f usr/lib/x", "f lib/y"],
        &["f b/x", "f b/.wh..wh..opq, f b/.wh.x"],
        &["f .wh.nothing, f a/.wh.nothing, f b", "f c"],
        &["f a, 1 b>a, 1 c>a", "f c, 1 d>c"],
        &["5 d, f d/a, 1 d/b>d/a", "f .wh.d, 5 d, f d/c, 1 d/e>d/c"],
        &["f600 x/y/z", "f400 x/y/z"],
    ];
    for stack in stacks {
        assert!(overlayfs_agrees(stack), "{stack:?} does not merge");
    }
}

/// Unpacks a stack of layers and holds what overlayfs makes of it against the merged index; then the same for
/// one plain directory. False where the layers don't fit together in the first place.
fn overlayfs_agrees(stack: &[&str]) -> bool {
    let work = tempfile::tempdir().unwrap();
    let mut tree = Tree::default();
    let mut links_below = false;
    let mut lowers = vec![work.path().join("none").display().to_string()]; // overlayfs wants two
    fs::create_dir(&lowers[0]).unwrap();
    for (number, text) in stack.iter().enumerate() {
        let Ok(stratum) = try_layer(work.path(), text) else { return false };
        let dest = work.path().join(format!("{number}"));
        match unpack(&tree, &stratum, &dest, is_root()) {
            Ok(warnings) => assert!(warnings.is_empty(), "{warnings:?}"),
            Err(PlaceError::Merge(_)) => return false,
            Err(error) => panic!("{stack:?}: {error}"),
        }
        links_below |= stratum.index().entries().iter().any(|e| e.kind == Kind::HardLink);
        tree.push(stratum).unwrap();
        lowers.insert(0, dest.display().to_string());
    }
    let mount = format!(
        "mount -t overlay overlay -o userxattr,redirect_dir=nofollow,metacopy=off,index=off,lowerdir={} {}",
        lowers.join(":"),
        work.path().join("m").display()
    );
    let (mut seen, seen_tree) = seen_by_tar(work.path(), &mount);
    let mut expected = lines(&tree.index);
    // What overlayfs can't show: that names in two layers are one file.
    if links_below {
        for line in seen.iter_mut().chain(&mut expected) {
            line.truncate(line.rfind('#').unwrap_or(line.len()));
        }
    }
    assert_eq!(seen, expected, "{stack:?}");
    assert_same_contents(&tree, &seen_tree);

    // The same as one plain directory, read by tar and by the scanner.
    let plain = work.path().join("plain");
    assert!(materialise(&tree, &plain, is_root()).unwrap().is_empty());
    let bind = format!("mount --bind {} {}", plain.display(), work.path().join("m").display());
    assert_eq!(seen_by_tar(work.path(), &bind).0, lines(&tree.index), "{stack:?}");
    let scanned = scan(&plain, ScanOptions { xattrs: true, ..Default::default() }).unwrap();
    assert_eq!(lines(&scanned), lines(&tree.index), "{stack:?}");
    assert_same_contents(&Tree::new(vec![Stratum::Dir { root: plain, index: scanned.into() }]).unwrap(), &tree);
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn overlayfs_agrees_on_any_stack(stack in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![
        "5 a", "5700 a", "5 a/b", "5711 a/b", "f a", "f a/b", "f a/b/c", "f a/c", "f b", "5 b", "f b/x", "2 a>b", "2 b>a/b", "2 a/b>c",
        "f .wh.a", "f .wh.b", "f a/.wh.b", "f a/b/.wh.c", "f b/.wh.x", "f a/.wh..wh..opq", "f a/b/.wh..wh..opq", "f b/.wh..wh..opq",
        "f .wh..wh..opq", "5700 .", "1 d>b", "1 a/d>a/c", "6 a/p",
    ]), 0..7), 1..5)) {
        let texts: Vec<String> = stack.iter().map(|layer| layer.join(",")).collect();
        overlayfs_agrees(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn an_unpacked_layer_scans_as_the_layer() {
    let work = tempfile::tempdir().unwrap();
    let below = Tree::new(vec![layer(work.path(), "5 a, f a/x, f a/y, 5 gone, f gone/1, 5 d, f d/1")]).unwrap();
    let stratum = layer(work.path(), "5 a, f a/.wh.x, f .wh.gone, 5 d, f d/.wh..wh..opq, f d/2, 1 e>d/2");
    let dest = work.path().join("fs");
    unpack(&below, &stratum, &dest, is_root()).unwrap();
    let options = || ScanOptions { overlay: true, xattrs: true, ..Default::default() };
    let scanned = scan(&dest, options()).unwrap();
    let what = |index: &Index| index.entries().iter().map(|e| (e.path.clone(), e.kind, e.opaque)).collect::<Vec<_>>();
    assert_eq!(what(&scanned), what(stratum.index()));
    assert!(scanned.entries().iter().all(|e| e.extra.is_none()), "the overlay's own marks are no attributes");
    // As a plain directory it is full of devices.
    let plain = scan(&dest, ScanOptions::default()).unwrap();
    assert_eq!(plain.get(b"gone").unwrap().kind, Kind::CharDev);
    assert!(!plain.get(b"d").unwrap().opaque);
}

#[test]
fn needs_below() {
    let work = tempfile::tempdir().unwrap();
    for (text, needs) in [
        ("5 a, f a/x, f b, 1 c>b", false),
        ("5 a, f a/.wh..wh..opq, f a/x", false),
        ("f a/x", true),
        ("f .wh.a", true),
        ("1 b>a", true),
        ("f a/.wh..wh..opq", true),
        ("5 ./, f .wh..wh..opq", true),
    ] {
        assert_eq!(layer(work.path(), text).index().needs_below(), needs, "{text}");
    }
}

#[test]
fn links_across_layers_are_copies() {
    let work = tempfile::tempdir().unwrap();
    let below = Tree::new(vec![layer(work.path(), "f4755 a")]).unwrap();
    let dest = work.path().join("fs");
    unpack(&below, &layer(work.path(), "1 b>a, 1 c>a"), &dest, is_root()).unwrap();
    let (b, c) = (fs::metadata(dest.join("b")).unwrap(), fs::metadata(dest.join("c")).unwrap());
    assert_eq!(fs::read(dest.join("b")).unwrap(), b"a");
    assert_eq!((b.mode() & 0o7777, b.mtime()), (0o4755, 1_000_000));
    assert_eq!((b.ino(), b.nlink()), (c.ino(), 2));
}

#[test]
fn nothing_is_written_outside() {
    let work = tempfile::tempdir().unwrap();
    let outside = work.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "safe").unwrap();
    let o = outside.display().to_string();
    let up = format!("{}{o}", "../".repeat(20));
    // Symlinks of the layer's own lead somewhere inside the destination, wherever they point.
    for text in [
        format!("2 a>{o}, f a/victim, f a/new"),
        format!("2 a>{up}, f a/victim, 5 a/dir, f a/dir/new"),
        format!("2 a>b, 2 b>{o}, f a/victim"),
        format!("f {o}/victim, f {o}/new"),
        format!("2 a>{o}/victim, f a"),
        format!("2 a>{o}, 5777 a"),
        format!("2 a>{o}, f a/.wh.victim, f a/.wh..wh..opq"),
        format!("2 a>{o}/new, 3 a, 6 a, f a"),
    ] {
        for (number, in_place) in [false, true].into_iter().enumerate() {
            let dest = work.path().join(format!("dest{number}"));
            let stratum = layer(work.path(), &text);
            if in_place {
                materialise(&Tree::new(vec![stratum]).unwrap(), &dest, is_root()).unwrap();
            } else {
                unpack(&Tree::default(), &stratum, &dest, is_root()).unwrap();
            }
            fs::remove_dir_all(&dest).unwrap();
        }
    }
    // Hard links to what isn't in the image.
    for text in [format!("1 x>{o}/victim"), format!("2 a>{o}, 1 x>a/victim"), "1 x>etc/passwd".into()] {
        let dest = work.path().join("dest");
        match unpack(&Tree::default(), &layer(work.path(), &text), &dest, is_root()) {
            Err(PlaceError::Merge(error)) => assert!(matches!(error.why, MergeFault::DanglingLink(_)), "{error}"),
            other => panic!("{text}: {other:?}"),
        }
        assert!(!dest.exists());
    }
    assert_eq!(fs::read(outside.join("victim")).unwrap(), b"safe");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o7777, 0o755);
}

/// Indexes that no reader of ours would make (a damaged cache, a bug elsewhere).
#[test]
fn impossible_indexes_are_errors() {
    let work = tempfile::tempdir().unwrap();
    let root = work.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("f"), "").unwrap();
    let extra = |link: &str| Some(Box::new(Extra { link: link.into(), origin: b"f".into(), ..Extra::default() }));
    let file = |path: &str| Entry { extra: extra(""), ..Entry::new(path.as_bytes(), Kind::File, 0o644) };
    let link = Entry { extra: extra("/tmp"), ..Entry::new(b"a", Kind::Symlink, 0o777) };
    for entries in [
        vec![link.clone(), file("a/x")],
        vec![file("../x")],
        vec![file("..")],
        vec![file("a/../../x")],
        vec![file("/tmp/routerpack-escape")],
        vec![file("a\0b")],
        vec![Entry::new_dir(b".."), file("../x")],
        vec![Entry { extra: Some(Box::new(Extra { origin: b"../secret".into(), ..Extra::default() })), ..file("x") }],
        vec![Entry { extra: None, ..file("missing") }],
        vec![Entry { stratum: 7, extra: None, ..file("f") }, Entry { size: 1, ..file("g") }],
    ] {
        let names = format!("{entries:?}");
        fs::write(work.path().join("secret"), "").unwrap();
        let stratum = Stratum::Dir { root: root.clone(), index: Arc::new(Index::new(entries)) };
        let dest = work.path().join("dest");
        let made = unpack(&Tree::default(), &stratum, &dest, false);
        assert!(made.is_err(), "{names}");
        let tree = Tree::new(vec![stratum]);
        if let Ok(tree) = tree {
            let _ = fs::remove_dir_all(&dest);
            assert!(materialise(&tree, &dest, false).is_err(), "{names}");
        }
        let _ = fs::remove_dir_all(&dest);
        assert!(!work.path().join("x").exists() && !Path::new("/tmp/routerpack-escape").exists());
    }
}

#[test]
fn a_destination_in_use_is_refused() {
    let work = tempfile::tempdir().unwrap();
    fs::create_dir(work.path().join("d")).unwrap();
    symlink("/etc", work.path().join("d/etc")).unwrap();
    let made = unpack(&Tree::default(), &layer(work.path(), "f etc/new"), &work.path().join("d"), false);
    assert!(matches!(made, Err(PlaceError::NotEmpty(_))), "{made:?}");
    let empty = work.path().join("empty");
    fs::create_dir(&empty).unwrap();
    unpack(&Tree::default(), &layer(work.path(), "f etc/new"), &empty, false).unwrap();
    assert_eq!(fs::read(empty.join("etc/new")).unwrap(), b"etc/new");
}

#[test]
fn what_the_disk_will_not_take_is_a_warning() {
    let work = tempfile::tempdir().unwrap();
    let index = Index::new(vec![
        Entry {
            extra: Some(Box::new(Extra {
                link: b"x".into(),
                xattrs: [(b"user.x".to_vec(), b"1".to_vec())].into(), // none on symlinks, whoever asks
                ..Extra::default()
            })),
            ..Entry::new(b"link", Kind::Symlink, 0o777)
        },
        Entry { uid: u32::MAX, gid: u32::MAX, ..Entry::new(b"pipe", Kind::Fifo, 0o600) },
        Entry { mtime: Mtime { secs: -5, nanos: 7 }, ..Entry::new(b"sock", Kind::Socket, 0o640) },
        Entry::new(b"zero", Kind::CharDev, 0o600), // 0/0: there it would delete what is below
    ]);
    let stratum = Stratum::Dir { root: work.path().into(), index: index.into() };
    let dest = work.path().join("fs");
    let warnings = unpack(&Tree::default(), &stratum, &dest, is_root()).unwrap();
    let lost: Vec<_> = warnings.iter().map(|w| (&w.path[..], w.lost.clone())).collect();
    let link = (b"link".as_slice(), Lost::Xattr(b"user.x".into()));
    let pipe = (b"pipe".as_slice(), Lost::Owner(u32::MAX, u32::MAX)); // not even tried where nothing is given away
    let zero = (b"zero".as_slice(), Lost::Device);
    assert_eq!(lost, if is_root() { vec![link, pipe, zero] } else { vec![link, zero] });
    assert!(!dest.join("zero").exists());
    assert!(warnings[0].to_string().starts_with("`link`: its attribute `user.x` can't be had on disk"));
    assert_eq!((fs::symlink_metadata(dest.join("sock")).unwrap().mtime(), index_mode(&dest, "sock")), (-5, 0o640));
}

fn index_mode(dest: &Path, name: &str) -> u32 {
    fs::symlink_metadata(dest.join(name)).unwrap().permissions().mode() & 0o7777
}

#[test]
fn capabilities_survive_the_disk() {
    let work = tempfile::tempdir().unwrap();
    let root: PathBuf = work.path().join("src");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("ping"), "elf").unwrap();
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let extra = Extra {
        xattrs: [(b"security.capability".to_vec(), capability.to_vec()), (b"user.note".to_vec(), b"\0x".to_vec())]
            .into(),
        ..Extra::default()
    };
    let entry = Entry { size: 3, extra: Some(Box::new(extra)), ..Entry::new(b"ping", Kind::File, 0o755) };
    let stratum = Stratum::Dir { root, index: Index::new(vec![entry.clone()]).into() };
    let dest = work.path().join("fs");
    let warnings = unpack(&Tree::default(), &stratum, &dest, is_root()).unwrap();
    let scanned = scan(&dest, ScanOptions { xattrs: true, ..Default::default() }).unwrap();
    let found = scanned.get(b"ping").unwrap().extra.clone().unwrap_or_default().xattrs;
    assert_eq!(found[b"user.note".as_slice()], b"\0x");
    match is_root() {
        true => assert_eq!((found, warnings.len()), (entry.extra.unwrap().xattrs, 0)),
        false => assert_eq!((found.len(), warnings.len()), (1, 1)),
    }
    assert!(scan(&dest, ScanOptions::default()).unwrap().get(b"ping").unwrap().extra.is_none());
}

/// Runs one of this file's tests again as root of a user namespace with no id but its own.
fn again_with_a_single_id(test: &str, work: &Path) {
    let mut command = Command::new("unshare");
    command.arg("--map-root-user").arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    let run = command.env("SINGLE_ID_WORK", work).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn with_a_single_id_the_index_keeps_what_the_disk_cannot() {
    let Some(work) = std::env::var_os("SINGLE_ID_WORK") else {
        let work = tempfile::tempdir().unwrap();
        fs::set_permissions(work.path(), fs::Permissions::from_mode(0o777)).unwrap();
        return again_with_a_single_id("with_a_single_id_the_index_keeps_what_the_disk_cannot", work.path());
    };
    let work = Path::new(&work);
    let below = Tree::new(vec![layer(work, "5 d, f d/old, f gone")]).unwrap();
    let stratum = layer(work, "5 d, f d/.wh..wh..opq, f4755 d/new, 3 null, f .wh.gone, 2 l>x");
    // Nobody is given anything: whiteouts, marks and modes work, devices don't.
    let dest = work.join("kept");
    let warnings = unpack(&below, &stratum, &dest, false).unwrap();
    let lost = |warnings: &[routerpack_rootfs::Warning]| warnings.iter().map(|w| w.lost.clone()).collect::<Vec<_>>();
    assert_eq!(lost(&warnings), [Lost::Device]);
    assert_eq!(fs::metadata(dest.join("d/new")).unwrap().mode() & 0o7777, 0o4755);
    let mut tree = below.clone();
    tree.push(stratum.clone()).unwrap();
    let options = || ScanOptions { overlay: true, owners: Owners::Below(&tree.index), ..Default::default() };
    let scanned = scan(&dest, options()).unwrap();
    let expected: Vec<_> = stratum
        .index()
        .entries()
        .iter()
        .filter(|e| e.kind != Kind::CharDev)
        .map(|e| (&e.path, e.uid, e.gid, e.opaque))
        .collect();
    assert_eq!(scanned.entries().iter().map(|e| (&e.path, e.uid, e.gid, e.opaque)).collect::<Vec<_>>(), expected);
    // Giving away what can't be is a warning for each entry.
    let warnings = unpack(&below, &stratum, &work.join("given"), true).unwrap();
    assert_eq!(lost(&warnings), [Lost::Owner(3, 102), Lost::Owner(6, 105), Lost::Device, Lost::Owner(1, 100)]);
}
