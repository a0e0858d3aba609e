//! Symbolic modes (`u=rwX,go=rX`), as BuildKit's `COPY --chmod` reads them (tonistiigi/dchapes-mode,
//! which follows BSD's setmode(3)), with a creation mask of 0.
//!
//! One difference: `X` there works behind `+` only and is silently nothing behind `=` and `-`; here
//! it means the same behind all three, as chmod(1) and the Dockerfile reference have it.

use crate::Error;

/// A change of permission bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chmod {
    /// These bits.
    Octal(u16),
    /// These changes, in order.
    Symbolic(Vec<Change>),
}

/// One `+`, `-` or `=` of a symbolic mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// 0o700, 0o070, 0o007 or a union of them.
    who: u16,
    op: u8,
    /// In all three classes at once.
    bits: u16,
    /// `X`.
    search: bool,
    /// Bits that are copied from this class: the shift of its bits.
    from: Option<u16>,
}

impl Chmod {
    /// Reads octal digits or clauses.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let bad = || Error::BadMode(text.chars().take(100).collect());
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let mode = u16::from_str_radix(text, 8).map_err(|_| bad())?;
            return if mode <= 0o7777 { Ok(Self::Octal(mode)) } else { Err(bad()) };
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            let end = clause.find(|c| !"ugoa".contains(c)).ok_or_else(bad)?;
            let who = clause[..end].bytes().fold(0, |who, c| who | class(c));
            let who = if who == 0 { 0o777 } else { who };
            let mut rest = &clause.as_bytes()[end..];
            while let [op @ (b'+' | b'-' | b'='), tail @ ..] = rest {
                let end = tail.iter().position(|c| b"+-=".contains(c)).unwrap_or(tail.len());
                changes.extend(perms(who, *op, &tail[..end]).ok_or_else(bad)?);
                rest = &tail[end..];
            }
            if !rest.is_empty() {
                return Err(bad());
            }
        }
        Ok(Self::Symbolic(changes))
    }

    /// The new bits of something that has the bits `mode`.
    pub(crate) fn apply(&self, mode: u16, is_dir: bool) -> u16 {
        match self {
            Self::Octal(bits) => *bits,
            Self::Symbolic(changes) => changes.iter().fold(mode, |now, change| change.apply(mode, now, is_dir)),
        }
    }
}

impl Change {
    fn apply(&self, before: u16, now: u16, is_dir: bool) -> u16 {
        let mut bits = self.bits;
        if let Some(shift) = self.from {
            bits |= ((now >> shift) & 0o7) * 0o111;
        }
        if self.search && (is_dir || before & 0o111 != 0) {
            bits |= 0o111;
        }
        // Set-uid belongs to the user, set-gid to the group.
        let set_id = if self.who & 0o700 != 0 { 0o4000 } else { 0 } | if self.who & 0o070 != 0 { 0o2000 } else { 0 };
        let mask = self.who | set_id | (bits & 0o1000);
        match self.op {
            b'+' => now | (bits & mask),
            b'-' => now & !(bits & mask),
            _ => (now & !mask) | (bits & mask),
        }
    }
}

fn class(c: u8) -> u16 {
    match c {
        b'u' => 0o700,
        b'g' => 0o070,
        b'o' => 0o007,
        _ => 0o777,
    }
}

/// The changes behind one operator. Letters add up; a class to copy from stands for itself.
fn perms(who: u16, op: u8, letters: &[u8]) -> Option<Vec<Change>> {
    let mut sum = Change { who, op, bits: 0, search: false, from: None };
    let mut copies = Vec::new();
    for letter in letters {
        match letter {
            b'r' => sum.bits |= 0o444,
            b'w' => sum.bits |= 0o222,
            b'x' => sum.bits |= 0o111,
            b'X' => sum.search = true,
            // Neither means anything for "others" alone.
            b's' if who & 0o770 != 0 => sum.bits |= 0o6000,
            b't' if who & 0o770 != 0 => sum.bits |= 0o1000,
            b's' | b't' => {}
            b'u' => copies.push(6),
            b'g' => copies.push(3),
            b'o' => copies.push(0),
            _ => return None,
        }
    }
    let mut changes = Vec::new();
    for shift in copies {
        // `g=uo`: the first replaces, the others add.
        let op = if op == b'=' && !changes.is_empty() { b'+' } else { op };
        changes.push(Change { who, op, bits: 0, search: false, from: Some(shift) });
    }
    if changes.is_empty() {
        changes.push(sum);
    } else if sum.bits != 0 || sum.search {
        changes.push(Change { op: if op == b'=' { b'+' } else { op }, ..sum });
    }
    Some(changes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn modes_change_as_chmod_changes_them() {
        for (text, before, is_dir, want) in [
            ("644", 0o755, false, 0o644),
            ("0", 0o755, false, 0),
            ("4755", 0o600, false, 0o4755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o700, true, 0o755),
            ("+x", 0o644, false, 0o755),
            ("a+w", 0o444, false, 0o666),
            ("g=u", 0o640, false, 0o660),
            ("go=u-w", 0o755, false, 0o755),
            ("go=", 0o777, false, 0o700),
            ("=rw,+X", 0o711, false, 0o777),
            ("u+s,g+s", 0o755, false, 0o6755),
            ("+t", 0o777, true, 0o1777),
            ("o+t", 0o777, true, 0o777),
            ("u-x+w", 0o555, false, 0o655),
            ("ug+rw,o-r", 0o004, false, 0o660),
            ("g=o", 0o705, false, 0o755),
            ("a=", 0o6777, false, 0),
        ] {
            assert_eq!(Chmod::parse(text).unwrap().apply(before, is_dir), want, "{text} on {before:o}");
        }
        for bad in ["", "u", "888", "u=q", "=rw,", "10000", "u+rwz", "+x,x", "7777777", "u*x", ","] {
            assert!(Chmod::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_mode_or_not(text in ".{0,12}|[ugoarwxXst=+,-]{0,12}", mode in 0u16..0o10000) {
            if let Ok(chmod) = Chmod::parse(&text) {
                prop_assert!(chmod.apply(mode, false) <= 0o7777);
            }
        }
    }
}
