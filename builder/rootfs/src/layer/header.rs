//! One 512-byte tar header (POSIX.1-1988 ustar; GNU tar manual, "Basic Tar Format").

use crate::index::Mtime;

pub(super) const BLOCK: usize = 512;

/// The fields of a header, names joined, numbers read.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    /// The type flag.
    pub kind: u8,
    pub mode: u16,
    pub uid: i64,
    pub gid: i64,
    pub size: u64,
    pub mtime: Mtime,
    pub rdev: (u32, u32),
}

impl Header {
    pub fn parse(block: &[u8; BLOCK]) -> Result<Self, &'static str> {
        let sum = number(&block[148..156]).ok_or("its checksum is no number")?;
        let signed: i64 = block.iter().enumerate().map(|(i, b)| i64::from(byte_for_sum(i, *b) as i8)).sum();
        let unsigned: i64 = block.iter().enumerate().map(|(i, b)| i64::from(byte_for_sum(i, *b))).sum();
        if sum != unsigned && sum != signed {
            return Err("its checksum is wrong");
        }
        let ustar = &block[257..263] == b"ustar\0";
        let gnu = &block[257..265] == b"ustar  \0";
        let mut name = field(&block[..100]).to_vec();
        if ustar {
            // star keeps times in the last 24 bytes of the prefix.
            let star = &block[508..512] == b"tar\0";
            let prefix = field(&block[345..if star { 476 } else { 500 }]);
            if !prefix.is_empty() {
                name = [prefix, b"/", &name].concat();
            }
        }
        let device = |range: std::ops::Range<usize>| match ustar || gnu {
            true => u32::try_from(number(&block[range])?).ok(),
            false => Some(0),
        };
        let kind = block[156];
        let rdev = match kind {
            b'3' | b'4' => {
                Some((device(329..337).ok_or("a bad device number")?, device(337..345).ok_or("a bad device number")?))
            }
            _ => None,
        };
        Ok(Self {
            name,
            link: field(&block[157..257]).to_vec(),
            kind,
            mode: (number(&block[100..108]).ok_or("a bad mode")? & 0o7777) as u16,
            uid: number(&block[108..116]).ok_or("a bad user id")?,
            gid: number(&block[116..124]).ok_or("a bad group id")?,
            size: number(&block[124..136]).and_then(|n| u64::try_from(n).ok()).ok_or("a bad size")?,
            mtime: Mtime { secs: number(&block[136..148]).ok_or("a bad time")?, nanos: 0 },
            rdev: rdev.unwrap_or_default(),
        })
    }

    /// Whether it speaks about another header rather than being an entry.
    pub fn is_extension(&self) -> bool {
        matches!(self.kind, b'g' | b'x' | b'X' | b'L' | b'K')
    }
}

/// The checksum is taken with its own field as spaces.
fn byte_for_sum(at: usize, byte: u8) -> u8 {
    if (148..156).contains(&at) { b' ' } else { byte }
}

/// Text up to the first NUL.
fn field(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

/// Octal text, padded with spaces or NULs (blank is 0), or GNU's base-256: the top bit set, the rest a big-endian
/// two's complement number. `None` for other text and what 64 bits don't hold.
fn number(bytes: &[u8]) -> Option<i64> {
    if bytes[0] & 0x80 != 0 {
        let negative = bytes[0] & 0x40 != 0;
        let first = if negative { i128::from(bytes[0] as i8) } else { i128::from(bytes[0] & 0x7f) };
        let value = bytes[1..].iter().fold(first, |n, b| n << 8 | i128::from(*b));
        return i64::try_from(value).ok();
    }
    let text = bytes.trim_ascii_start();
    let text = text.split(|b| *b == 0 || *b == b' ').next().unwrap_or_default();
    text.iter().try_fold(0i64, |n, b| match b {
        b'0'..=b'7' => n.checked_mul(8)?.checked_add(i64::from(b - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let good: &[(&[u8], i64)] = &[
            (b"0000644\0", 0o644),
            (b"   644 \0", 0o644),
            (b"        ", 0),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"77777777", 0o77777777),
            (b"\x80\0\0\0\0\0\x01\0", 256),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", -1),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MAX),
        ];
        for (bytes, value) in good {
            assert_eq!(number(bytes), Some(*value), "{bytes:?}");
        }
        for bad in [b"0000648\0".as_slice(), b"-1\0\0\0\0\0\0", b"0x1\0\0\0\0\0", b"\x80\0\0\0\x80\0\0\0\0\0\0\0"] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
