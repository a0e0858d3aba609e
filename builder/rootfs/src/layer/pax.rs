//! Pax extended headers (POSIX.1-2001, `pax`, "pax Extended Header"): records of `LENGTH KEY=VALUE\n`.

use std::collections::BTreeMap;

use crate::{index::Mtime, xattr::is_overlay_mark};

/// What the records of one header say. A record with an empty value takes its field back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<i64>,
    pub gid: Option<i64>,
    pub mtime: Option<Mtime>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub sparse: bool,
}

impl Pax {
    pub fn parse(header: &[u8]) -> Result<Self, &'static str> {
        let mut pax = Self::default();
        // libarchive writes attributes under both names; star's form is the plain one, so it counts.
        let mut encoded = BTreeMap::new();
        for record in records(header) {
            let (key, value) = record?;
            let text = || std::str::from_utf8(value).ok().filter(|text| !text.is_empty());
            let id = |what| match text() {
                None if value.is_empty() => Ok(None),
                text => text.and_then(|t| t.parse::<i64>().ok()).map(Some).ok_or(what),
            };
            match key {
                b"path" => pax.path = (!value.is_empty()).then(|| value.into()),
                b"linkpath" => pax.link = (!value.is_empty()).then(|| value.into()),
                b"size" => {
                    let size = id("a bad size")?.map(u64::try_from).transpose();
                    pax.size = size.map_err(|_| "a negative size")?;
                }
                b"uid" => pax.uid = id("a bad user id")?,
                b"gid" => pax.gid = id("a bad group id")?,
                b"mtime" => {
                    pax.mtime = match value {
                        b"" => None,
                        _ => Some(time(value).ok_or("a bad time")?),
                    }
                }
                _ => match (key.strip_prefix(b"SCHILY.xattr."), key.strip_prefix(b"LIBARCHIVE.xattr.")) {
                    (Some(name), _) => drop(pax.xattrs.insert(name.into(), value.into())),
                    (_, Some(name)) => {
                        encoded.insert(percent_decoded(name), base64(value).ok_or("bad base64 in an attribute")?);
                    }
                    _ => pax.sparse |= key.starts_with(b"GNU.sparse."),
                },
            }
        }
        for (name, value) in encoded {
            pax.xattrs.entry(name).or_insert(value);
        }
        // Overlayfs's own marks would change what the layer means once it is mounted.
        pax.xattrs.retain(|name, _| !name.is_empty() && !name.contains(&0) && !is_overlay_mark(name));
        Ok(pax)
    }
}

/// The records of a header, as keys and values; the first that is malformed is the last. A value may have any bytes:
/// newlines end nothing.
pub fn records(mut header: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), &'static str>> {
    std::iter::from_fn(move || {
        if header.is_empty() {
            return None;
        }
        let first = record(header).map(|(key, value, rest)| {
            header = rest;
            (key, value)
        });
        if first.is_err() {
            header = &[];
        }
        Some(first)
    })
}

/// Key, value, and what follows.
type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// The first record.
fn record(records: &[u8]) -> Result<Record<'_>, &'static str> {
    const BAD: &str = "a bad record length";
    let space = records.iter().take(20).position(|b| *b == b' ').ok_or(BAD)?;
    let digits = std::str::from_utf8(&records[..space]).map_err(|_| BAD)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BAD);
    }
    let len: usize = digits.parse().map_err(|_| BAD)?;
    let whole = records.get(space + 1..len).ok_or(BAD)?;
    let (newline, whole) = whole.split_last().ok_or(BAD)?;
    if *newline != b'\n' {
        return Err("a record without its newline");
    }
    let equals = whole.iter().position(|b| *b == b'=').ok_or("a record without `=`")?;
    Ok((&whole[..equals], &whole[equals + 1..], &records[len..]))
}

/// Decimal seconds, maybe negative, maybe with a fraction; more than nine digits of it are cut off.
fn time(value: &[u8]) -> Option<Mtime> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    if digits.is_empty() || !digits.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let secs: i64 = digits.parse().ok()?;
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9).fold(0, |n, b| n * 10 + u32::from(b - b'0'));
    Some(match (negative, nanos) {
        (false, _) => Mtime { secs, nanos },
        (true, 0) => Mtime { secs: -secs, nanos },
        (true, _) => Mtime { secs: -secs - 1, nanos: 1_000_000_000 - nanos },
    })
}

fn percent_decoded(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, tail)) = rest.split_first() {
        let hex = |b: u8| char::from(b).to_digit(16);
        match (first, tail) {
            (b'%', [a, b, tail @ ..]) if hex(*a).is_some() && hex(*b).is_some() => {
                out.push((hex(*a).unwrap_or(0) << 4 | hex(*b).unwrap_or(0)) as u8);
                rest = tail;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0u32, 0);
    for byte in text.iter().filter(|b| !matches!(b, b'=' | b'\n' | b'\r')) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with its length, which counts its own digits.
    fn record_of(key: &str, value: &[u8]) -> Vec<u8> {
        let body = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        let len = (1..).map(|digits| body.len() + digits).find(|n| body.len() + n.to_string().len() == *n).unwrap();
        [len.to_string().as_bytes(), &body].concat()
    }

    fn parse(records: &[(&str, &[u8])]) -> Result<Pax, &'static str> {
        Pax::parse(&records.iter().flat_map(|(k, v)| record_of(k, v)).collect::<Vec<_>>())
    }

    #[test]
    fn records() {
        let pax = parse(&[
            ("path", b"a=b\n"),
            ("mtime", b"-1.5000000009"),
            ("size", b"77"),
            ("uid", b"1"),
            ("uid", b""),
            ("gid", b"4294967294"),
            ("SCHILY.xattr.user.k", b"\0v\n\n"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("LIBARCHIVE.xattr.user.k", b"b3RoZXI"),
            ("LIBARCHIVE.xattr.user.%25a%zz", b"AP8="),
            ("comment", b"ignored"),
        ])
        .unwrap();
        assert_eq!(pax.path.as_deref(), Some(b"a=b\n".as_slice()));
        assert_eq!(pax.mtime, Some(Mtime { secs: -2, nanos: 500_000_000 }));
        assert_eq!((pax.size, pax.uid, pax.gid), (Some(77), None, Some(4_294_967_294)));
        let xattrs: Vec<_> = pax.xattrs.iter().map(|(k, v)| (&k[..], &v[..])).collect();
        assert_eq!(xattrs, [(b"user.%a%zz".as_slice(), b"\0\xff".as_slice()), (b"user.k", b"\0v\n\n")]);
        assert!(!pax.sparse && parse(&[("GNU.sparse.major", b"1")]).unwrap().sparse);
    }

    #[test]
    fn times() {
        for (text, secs, nanos) in [
            ("0", 0, 0),
            ("1350244992.023960108", 1_350_244_992, 23_960_108),
            ("1.", 1, 0),
            ("-0.5", -1, 500_000_000),
            ("-7", -7, 0),
        ] {
            assert_eq!(time(text.as_bytes()), Some(Mtime { secs, nanos }), "{text}");
        }
        for bad in ["", "-", ".5", "1e3", "1.-5", "99999999999999999999", "+1", "1 "] {
            assert_eq!(time(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn malformed_records() {
        let bad: &[&[u8]] = &[
            b"x",
            b"5 a=b",
            b"8 a=bc\n",
            b"0 \n",
            b" a=b\n",
            b"-6 a=b\n",
            b"6 abc\n",
            b"99999999999999999999 a=b\n",
            b"3 \n",
            b"10 size=x\n",
            b"11 size=-1\n",
            b"10 uid=1.5\n",
        ];
        for records in bad {
            assert!(Pax::parse(records).is_err(), "{}", records.escape_ascii());
        }
    }
}
