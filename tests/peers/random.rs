//! Contents that are the same on every machine.

/// Marsaglia's xorshift: the same numbers everywhere.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A word and a space.
    pub fn word(&mut self) -> Vec<u8> {
        let length = 2 + self.below(10);
        (0..length).map(|_| b'a' + (self.below(26) as u8)).chain([b' ']).collect()
    }

    /// A file: mostly small, a few large; three in four of text, the rest can't be compressed.
    pub fn content(&mut self, text: &[u8]) -> Vec<u8> {
        let magnitude = 8 + self.below(4) + self.below(4) + self.below(4);
        let mut size = (1 << magnitude) + self.below(1 << (magnitude - 1)) as usize;
        if self.below(4) == 0 {
            return (0..size.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(size).collect();
        }
        let mut content = Vec::with_capacity(size);
        while size > 0 {
            let piece = size.min(200 + self.below(3800) as usize);
            let at = self.below((text.len() - piece) as u64) as usize;
            content.extend_from_slice(&text[at..at + piece]);
            size -= piece;
        }
        content
    }
}
