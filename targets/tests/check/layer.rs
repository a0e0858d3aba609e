//! A layer's tar, and what a tar writer would never make.

use tar::{EntryType, Header};

/// A layer's tar, entry by entry.
#[derive(Clone, Default)]
pub struct Layer(Vec<u8>);

impl Layer {
    pub fn put(mut self, kind: EntryType, name: &str, mode: u32, link: &str, data: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn dir(self, name: &str) -> Self {
        self.put(EntryType::Directory, name, 0o755, "", b"")
    }

    pub fn file(self, name: &str, mode: u32, data: impl AsRef<[u8]>) -> Self {
        self.put(EntryType::Regular, name, mode, "", data.as_ref())
    }

    pub fn link(self, kind: EntryType, name: &str, to: &str) -> Self {
        self.put(kind, name, 0o777, to, b"")
    }

    pub fn pax(self, key: &str, value: &str) -> Self {
        let body = format!(" {key}={value}\n");
        let length = (body.len()..).find(|n| n.to_string().len() + body.len() == *n).unwrap();
        self.put(EntryType::XHeader, "pax", 0o644, "", format!("{length}{body}").as_bytes())
    }

    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}
