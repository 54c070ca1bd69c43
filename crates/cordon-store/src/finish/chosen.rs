//! Some rows of a file, a bit each.

use arrow_buffer::{BooleanBuffer, Buffer};

/// Rows of one file that are meant.
#[derive(Debug)]
pub(crate) struct Chosen {
    words: Vec<u64>,
    count: u64,
}

impl Chosen {
    pub(crate) fn none(rows: u64) -> Self {
        // A row's number has 32 bits, which the index's reader has checked against `rows`.
        Self { words: vec![0; rows.min(1 << 32).div_ceil(64) as usize], count: 0 }
    }

    pub(crate) fn add(&mut self, row: u32) {
        let word = &mut self.words[row as usize / 64];
        self.count += u64::from(*word >> (row % 64) & 1 == 0);
        *word |= 1 << (row % 64);
    }

    pub(crate) fn has(&self, row: u32) -> bool {
        self.words[row as usize / 64] >> (row % 64) & 1 == 1
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The numbers of the rows, rising.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(word, bits)| {
            let mut left = *bits;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                (left != 0).then(|| {
                    left &= left - 1;
                    word as u32 * 64 + bit
                })
            })
        })
    }

    /// By word, how many rows are chosen before it.
    pub(crate) fn ranks(&self) -> Vec<u32> {
        let mut before = 0;
        let ranks = self.words.iter().map(|word| {
            let rank = before;
            before += word.count_ones();
            rank
        });
        ranks.collect()
    }

    /// How many rows are chosen before this one.
    pub(crate) fn rank(&self, ranks: &[u32], row: u32) -> u32 {
        let (word, bit) = (row as usize / 64, row % 64);
        ranks[word] + (self.words[word] & ((1 << bit) - 1)).count_ones()
    }

    pub(crate) fn mask(&self, rows: u64) -> BooleanBuffer {
        BooleanBuffer::new(Buffer::from_vec(self.words.clone()), 0, rows as usize)
    }
}
