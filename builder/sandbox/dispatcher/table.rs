//! What the dispatcher knows of one step: a block of bytes behind its code. Offsets count from the block's beginning; texts
//! end in a zero byte; a list is texts one after the other and an empty one at the end.

/// The block begins with it.
#[repr(C)]
pub struct Table {
    /// Offset of the [`Tool`]s.
    pub tools: usize,
    /// How many there are.
    pub count: usize,
    /// Offset of the [`Witness`]es.
    pub witnesses: usize,
    /// List: beginnings of environment variables that leave everything to qemu.
    pub refused: usize,
    /// List: values of `LANG` and `LC_…` besides the empty one that don't.
    pub locales: usize,
    /// Text: the loader's option before `libraries`.
    pub library_path: usize,
    /// Text: where the loader looks for libraries.
    pub libraries: usize,
    /// Text: the loader's option before the program's own name.
    pub argv0: usize,
    /// Text: the loader's option against `/etc/ld.so.cache`.
    pub inhibit_cache: usize,
}

/// How a file looked when the step began. All zero: there was none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// As statx(2) has it: major number, and the minor one above it.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, seconds and nanoseconds.
    pub mtime: [u64; 2],
    /// Last change of anything.
    pub ctime: [u64; 2],
}

/// A program that has a native twin.
#[repr(C)]
pub struct Tool {
    /// Of the emulated program.
    pub identity: Identity,
    /// Text: the native loader, under a name that ends in the program's.
    pub loader: usize,
    /// Text: the native program.
    pub native: usize,
    /// Letters (see [`letter`]) that leave it to qemu, anywhere in an argument that begins with `-`, `+` or a digit.
    pub letters: u64,
    /// List: beginnings of arguments that leave it to qemu.
    pub prefixes: usize,
    /// The witnesses that have to be as they were: bit n of word n / 64.
    pub witnesses: [u64; 2],
}

/// A file that decides what a program does, such as one of its libraries.
#[repr(C)]
pub struct Witness {
    /// How it looked.
    pub identity: Identity,
    /// Text: its path.
    pub path: usize,
}

/// A letter's bit.
#[inline(always)]
pub const fn letter(byte: u8) -> u64 {
    if byte.wrapping_sub(b'A') < 26 {
        1 << (byte - b'A')
    } else if byte.wrapping_sub(b'a') < 26 {
        1 << (26 + (byte - b'a'))
    } else {
        0
    }
}
