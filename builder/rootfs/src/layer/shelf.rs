//! Entries that come in any order and can be asked for in path order all the while.
//!
//! A million entries have to fit in little more than they themselves take: they lie in one vector as they came, and
//! what keeps their order is four bytes for each, in chunks so that one more moves few others.

use crate::{index::Entry, path};

/// Most positions in one chunk: to put one between them moves two kilobytes on average.
const CHUNK: usize = 1024;

/// Entries, no path twice.
#[derive(Default)]
pub(super) struct Shelf {
    entries: Vec<Entry>,
    /// Positions in `entries` by their paths; no chunk is empty.
    order: Vec<Vec<u32>>,
    /// Where the newest entry stands in `order`: the next one mostly follows it.
    newest: Spot,
}

/// The number of a chunk and a place in it.
type Spot = (usize, usize);

impl Shelf {
    /// The entry at a path.
    pub fn get(&self, path: &[u8]) -> Option<&Entry> {
        self.find(path).ok().and_then(|spot| self.at(spot))
    }

    /// The entry at a path; its path must stay what it is.
    pub fn get_mut(&mut self, path: &[u8]) -> Option<&mut Entry> {
        let (chunk, at) = self.find(path).ok()?;
        Some(&mut self.entries[self.order[chunk][at] as usize])
    }

    /// Puts an entry in its place, and gives the one that was there.
    pub fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let (chunk, at) = match self.find(&entry.path) {
            Ok((chunk, at)) => {
                return Some(std::mem::replace(&mut self.entries[self.order[chunk][at] as usize], entry));
            }
            Err(spot) => spot,
        };
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(self.entries.len() / 8 + 64); // a vector's own way would be to double
        }
        let position = self.entries.len() as u32; // MAX_ENTRIES bounds it
        self.entries.push(entry);
        if self.order.is_empty() {
            self.order.push(Vec::new());
        }
        self.newest = (chunk, at);
        let there = &mut self.order[chunk];
        there.insert(at, position);
        if there.len() > CHUNK {
            // What comes in order fills its chunks.
            let start = if at == CHUNK { CHUNK } else { CHUNK / 2 };
            let upper = there.split_off(start);
            self.order.insert(chunk + 1, upper);
            if at >= start {
                self.newest = (chunk + 1, at - start);
            }
        }
        None
    }

    /// Whether anything is below a path.
    pub fn has_below(&self, dir: &[u8]) -> bool {
        self.first_below(dir).is_some()
    }

    /// Removes whatever is below a path.
    pub fn remove_below(&mut self, dir: &[u8]) {
        while let Some(spot) = self.first_below(dir) {
            self.remove(spot);
        }
    }

    /// The entries in path order.
    pub fn into_sorted(self) -> Vec<Entry> {
        let Self { mut entries, order, .. } = self;
        let mut from: Vec<u32> = Vec::with_capacity(entries.len());
        order.into_iter().for_each(|chunk| from.extend(chunk));
        // Each circle of entries that take one another's places, once around.
        for start in 0..from.len() {
            let mut at = start;
            loop {
                let next = std::mem::replace(&mut from[at], at as u32) as usize;
                if next == start {
                    break;
                }
                entries.swap(at, next);
                at = next;
            }
        }
        entries.shrink_to_fit();
        entries
    }

    fn at(&self, (chunk, at): Spot) -> Option<&Entry> {
        let position = *self.order.get(chunk)?.get(at)?;
        self.entries.get(position as usize)
    }

    fn path_of(&self, position: u32) -> &[u8] {
        &self.entries[position as usize].path
    }

    /// Where a path stands, or would have to.
    fn find(&self, path: &[u8]) -> Result<Spot, Spot> {
        let (chunk, at) = self.newest;
        let follows = self.at((chunk, at)).is_some_and(|e| *e.path < *path);
        if follows && self.at(self.after((chunk, at))).is_none_or(|e| *e.path > *path) {
            return Err((chunk, at + 1));
        }
        let chunk = self.order.partition_point(|chunk| self.path_of(chunk[0]) <= path).saturating_sub(1);
        let Some(there) = self.order.get(chunk) else { return Err((0, 0)) };
        match there.binary_search_by(|position| self.path_of(*position).cmp(path)) {
            Ok(at) => Ok((chunk, at)),
            Err(at) => Err((chunk, at)),
        }
    }

    fn after(&self, (chunk, at): Spot) -> Spot {
        if at + 1 < self.order.get(chunk).map_or(0, Vec::len) { (chunk, at + 1) } else { (chunk + 1, 0) }
    }

    fn first_below(&self, dir: &[u8]) -> Option<Spot> {
        // Names like `dir!` come between a directory and what is in it.
        let (chunk, at) = self.find(&path::join(dir, b"")).unwrap_or_else(|spot| spot);
        let spot = if at < self.order.get(chunk)?.len() { (chunk, at) } else { (chunk + 1, 0) };
        self.at(spot).filter(|e| path::is_below(&e.path, dir)).map(|_| spot)
    }

    /// Removes one entry; the last of the vector takes its place there.
    fn remove(&mut self, (chunk, at): Spot) {
        let position = self.order[chunk][at];
        let last = self.entries.len() - 1;
        if let Ok((chunk, at)) = self.find(&self.entries[last].path) {
            self.order[chunk][at] = position;
        }
        self.entries.swap_remove(position as usize);
        self.order[chunk].remove(at);
        if self.order[chunk].is_empty() {
            self.order.remove(chunk);
        }
        self.newest = Spot::default();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::index::Kind;

    fn entry(path: &str, mode: u16) -> Entry {
        Entry::new(path.as_bytes(), Kind::File, mode)
    }

    /// Names in groups, so that there is something below, and many of them twice.
    fn names() -> impl Strategy<Value = Vec<(String, bool)>> {
        prop::collection::vec(("[a-c!]{1,2}(/[a-c0]{1,2}){0,2}", prop::bool::weighted(0.1)), 0..200)
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_map(names in names(), asked in "[a-c!]{1,2}(/[a-c]){0,1}") {
            let (mut shelf, mut map) = (Shelf::default(), BTreeMap::new());
            for (n, (name, clears)) in names.iter().enumerate() {
                let below = format!("{name}/");
                prop_assert_eq!(shelf.has_below(name.as_bytes()), map.keys().any(|p: &String| p.starts_with(&below)));
                if *clears {
                    shelf.remove_below(name.as_bytes());
                    map.retain(|p, _| !p.starts_with(&below));
                }
                let old = shelf.insert(entry(name, n as u16)).map(|e| e.mode);
                prop_assert_eq!(old, map.insert(name.clone(), n as u16));
            }
            prop_assert_eq!(shelf.get(asked.as_bytes()).map(|e| e.mode), map.get(&asked).copied());
            prop_assert_eq!(shelf.get_mut(asked.as_bytes()).map(|e| e.mode), map.get(&asked).copied());
            let want: Vec<Entry> = map.iter().map(|(path, mode)| entry(path, *mode)).collect();
            prop_assert_eq!(shelf.into_sorted(), want);
        }
    }

    #[test]
    fn more_than_one_chunk() {
        let count = 5 * CHUNK;
        // in order, backwards, from both sides, and as a step that visits every number once
        let orders: [&dyn Fn(usize) -> usize; 4] =
            [&|n| n, &|n| count - 1 - n, &|n| if n % 2 == 0 { n / 2 } else { count - 1 - n / 2 }, &|n| {
                n * 1009 % count
            }];
        for order in orders {
            let mut shelf = Shelf::default();
            for n in 0..count {
                assert!(shelf.insert(entry(&format!("d{}/{:05}", order(n) % 3, order(n)), 0)).is_none());
            }
            assert!(shelf.order.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len())));
            shelf.remove_below(b"d1");
            assert!(!shelf.has_below(b"d1") && shelf.has_below(b"d2"));
            assert!(shelf.insert(entry("d1", 0)).is_none());
            let mut want: Vec<String> =
                (0..count).filter(|n| n % 3 != 1).map(|n| format!("d{}/{n:05}", n % 3)).chain(["d1".into()]).collect();
            want.sort();
            let got: Vec<String> = shelf.into_sorted().iter().map(|e| path::show(&e.path)).collect();
            assert_eq!(got, want);
        }
    }
}
