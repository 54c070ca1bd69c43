//! Mutations that are the same on every machine, so that what a test finds can be found again.

/// Numbers that parsers trip over.
const EDGES: [u8; 8] = [0x00, 0x01, 0x7f, 0x80, 0x81, 0xfe, 0xff, 0x0a];
/// Edits of one input, at most.
const EDITS_MAX: u64 = 6;
/// Bytes of an input, at most.
const BYTES_MAX: usize = 1 << 16;

/// A stream of numbers that look random (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not zero.
    fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    /// A piece of bytes, perhaps empty.
    fn piece(&mut self, len: usize) -> std::ops::Range<usize> {
        let (a, b) = (self.below(len + 1), self.below(len + 1));
        a.min(b)..a.max(b)
    }
}

/// The `round`th mutation of these seeds. Round 0 and the next are the seeds themselves.
pub fn mutated(seeds: &[Vec<u8>], round: u64) -> Vec<u8> {
    if let Some(seed) = seeds.get(round as usize) {
        return seed.clone();
    }
    let mut dice = Dice(round);
    let mut bytes = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.roll() % EDITS_MAX {
        edit(&mut bytes, seeds, &mut dice);
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

fn edit(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], dice: &mut Dice) {
    if bytes.is_empty() {
        bytes.push(dice.roll() as u8);
        return;
    }
    let at = dice.below(bytes.len());
    match dice.below(9) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = EDGES[dice.below(EDGES.len())],
        2 => bytes[at] = dice.roll() as u8,
        // A varint of many bytes, such as a length beyond everything.
        3 => {
            let varint = [&[0xff; 9][..dice.below(10)], &[0x01]].concat();
            bytes.splice(at..at, varint);
        }
        4 => bytes.truncate(at),
        5 => drop(bytes.drain(dice.piece(bytes.len()))),
        6 => {
            let piece = bytes[dice.piece(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        7 => {
            let other = &seeds[dice.below(seeds.len())];
            let piece = other[dice.piece(other.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => bytes.insert(at, dice.roll() as u8),
    }
}
