//! What an output could not carry.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Dropped {
    /// A character or block device.
    Device,
    /// A named pipe.
    Fifo,
    /// A socket; no archive format carries one.
    Socket,
    /// An extended attribute (a file capability is one).
    Xattr,
    /// A name that starts with `.wh.`: in a layer it would delete another file.
    ReservedName,
    /// Set-user-id and set-group-id bits, where owners aren't kept.
    SetId,
}

/// One thing left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Path inside the image.
    pub path: String,
    /// What of it.
    pub what: Dropped,
    /// The attribute's name for [`Dropped::Xattr`], else empty.
    pub detail: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, what, detail } = self;
        match what {
            Dropped::Device => write!(f, "/{path}: device node left out (this format carries none)"),
            Dropped::Fifo => write!(f, "/{path}: named pipe left out (this format carries none)"),
            Dropped::Socket => write!(f, "/{path}: socket left out (archives can't carry one)"),
            Dropped::Xattr => write!(f, "/{path}: attribute {detail} left out (this format carries none)"),
            Dropped::ReservedName => {
                write!(f, "/{path}: left out, since a name with `.wh.` at its start would delete a file in a layer")
            }
            Dropped::SetId => write!(f, "/{path}: set-id bits removed, since files here belong to you"),
        }
    }
}

/// The first [`Warnings::LISTED`] things left out, and how many there were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warnings {
    /// The first ones, in path order.
    pub list: Vec<Warning>,
    /// All of them.
    pub count: u64,
}

impl Warnings {
    /// How many are listed; an image with a full `/dev` must not fill the memory or the screen.
    pub const LISTED: usize = 50;

    pub(crate) fn push(&mut self, path: &[u8], what: Dropped, detail: &[u8]) {
        self.count += 1;
        if self.list.len() < Self::LISTED {
            let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
            self.list.push(Warning { path: text(path), what, detail: text(detail) });
        }
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.count += other.count;
        self.list.extend(other.list);
        self.list.truncate(Self::LISTED);
    }
}
