//! `routerpack ls`: files of an image, as the container would see them.

use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use routerpack_rootfs::{Entry, Kind, path};
use serde_json::{Value, json};

use crate::{
    args::{Cli, LsArgs},
    failure::Failure,
    source::Opener,
};

/// Lists a directory, or one file.
pub fn ls(cli: &Cli, args: &LsArgs) -> Result<ExitCode, Failure> {
    let opener = Opener::quiet(cli, args.platform.as_deref())?;
    let source = opener.open(&args.source)?;
    let tree = opener.strata.tree(&source.rootfs).map_err(Failure::new)?;
    let dir = tree.resolve(args.path.as_bytes(), !args.long || args.path.ends_with('/')).map_err(Failure::new)?;
    let index = &tree.index;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut objects = Vec::new();
    let mut show = |entry: &Entry, name: &[u8]| {
        if args.format.is_some() {
            let mut object = json(entry);
            object["path"] = format!("/{}", path::show(&entry.path)).into();
            objects.push(object);
            return Ok(());
        }
        let line = if args.long { long(entry, name) } else { path::show(name) };
        writeln!(out, "{line}")
    };
    let written = match index.get(&dir) {
        Some(file) if file.kind != Kind::Dir => show(file, &file.path),
        None if !dir.is_empty() => {
            return Err(Failure::new(format!("{}: there is no {}", source.name, args.path)));
        }
        _ => {
            let below = if dir.is_empty() { 0 } else { dir.len() + 1 };
            match args.recursive {
                true => index.descendants(&dir).iter().try_for_each(|e| show(e, &e.path[below..])),
                false => index.children(&dir).try_for_each(|e| show(e, &e.path[below..])),
            }
        }
    };
    let written = written.and_then(|()| match args.format {
        Some(_) => writeln!(out, "{:#}", Value::from(objects)),
        None => Ok(()),
    });
    finish(written.and_then(|()| out.flush()))
}

/// A reader that has seen enough (`| head`) is no failure.
pub fn finish(written: io::Result<()>) -> Result<ExitCode, Failure> {
    match written {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(format!("standard output: {e}"))),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// What JSON says of an entry; its time in RFC 3339.
pub fn json(entry: &Entry) -> Value {
    let time =
        jiff::Timestamp::new(entry.mtime.secs, i32::try_from(entry.mtime.nanos).unwrap_or(0)).unwrap_or_default();
    json!({
        "type": kind(entry), "mode": format!("{:04o}", entry.mode), "uid": entry.uid, "gid": entry.gid, "size": entry.size,
        "mtime": time.to_string(), "target": (entry.kind == Kind::Symlink).then(|| path::show(entry.link())),
    })
}

/// What the entry is, in a word.
pub fn kind(entry: &Entry) -> &'static str {
    match entry.kind {
        Kind::Dir => "directory",
        Kind::Symlink => "symlink",
        Kind::CharDev | Kind::BlockDev => "device",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
        Kind::File | Kind::HardLink | Kind::Whiteout => "file",
    }
}

/// Mode, owner, size (or device numbers), time, name, target.
fn long(entry: &Entry, name: &[u8]) -> String {
    let size = match entry.kind {
        Kind::CharDev | Kind::BlockDev => format!("{}, {}", entry.rdev().0, entry.rdev().1),
        _ => entry.size.to_string(),
    };
    let time = &time(entry)[..16];
    let target = if entry.kind == Kind::Symlink { format!(" -> {}", path::show(entry.link())) } else { String::new() };
    let owner = format!("{}:{}", entry.uid, entry.gid);
    format!("{} {owner:>11} {size:>10} {time} {}{target}", mode(entry), path::show(name))
}

/// In UTC: `2024-01-02 03:04:05`.
pub fn time(entry: &Entry) -> String {
    jiff::Timestamp::from_second(entry.mtime.secs).unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// As `ls -l` has it, `-rwsr-xr-t`.
pub fn mode(entry: &Entry) -> String {
    let kind = match entry.kind {
        Kind::Dir => 'd',
        Kind::Symlink => 'l',
        Kind::CharDev => 'c',
        Kind::BlockDev => 'b',
        Kind::Fifo => 'p',
        Kind::Socket => 's',
        Kind::File | Kind::HardLink | Kind::Whiteout => '-',
    };
    let bit = |n: u16, c: char| if entry.mode & n != 0 { c } else { '-' };
    let special = |x: u16, s: u16, c: char| match (entry.mode & s != 0, entry.mode & x != 0) {
        (false, false) => '-',
        (false, true) => 'x',
        (true, true) => c,
        (true, false) => c.to_ascii_uppercase(),
    };
    [
        kind,
        bit(0o400, 'r'),
        bit(0o200, 'w'),
        special(0o100, 0o4000, 's'),
        bit(0o040, 'r'),
        bit(0o020, 'w'),
        special(0o010, 0o2000, 's'),
        bit(0o004, 'r'),
        bit(0o002, 'w'),
        special(0o001, 0o1000, 't'),
    ]
    .iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for (kind, bits, want) in [
            (Kind::Dir, 0o1777, "drwxrwxrwt"),
            (Kind::File, 0o4755, "-rwsr-xr-x"),
            (Kind::File, 0o6600, "-rwS--S---"),
            (Kind::Symlink, 0o777, "lrwxrwxrwx"),
            (Kind::CharDev, 0o620, "crw--w----"),
        ] {
            assert_eq!(mode(&Entry::new(b"x", kind, bits)), want);
        }
    }
}
