//! Which of many records are asked for.

use std::collections::BTreeMap;

/// A random choice without replacement that depends on nothing but a seed and what is offered: the
/// records whose BLAKE3 under the seed is smallest. The same records give the same choice in whatever
/// order they come, so anybody who has them can make it again; memory is bounded by its size.
#[derive(Debug)]
pub struct Choice<T> {
    key: [u8; 32],
    size: usize,
    chosen: BTreeMap<[u8; 32], T>,
}

impl<T> Choice<T> {
    /// Chooses so many, by that seed.
    pub fn new(seed: &str, size: usize) -> Self {
        let key = blake3::derive_key("cordon choice of missing records v1", seed.as_bytes());
        Self { key, size, chosen: BTreeMap::new() }
    }

    /// Offers a record by the text that names it.
    pub fn offer(&mut self, name: &str, record: impl FnOnce() -> T) {
        let rank = *blake3::keyed_hash(&self.key, name.as_bytes()).as_bytes();
        if self.chosen.len() >= self.size {
            match self.chosen.last_key_value() {
                Some((last, _)) if rank < *last => self.chosen.pop_last(),
                _ => return,
            };
        }
        self.chosen.insert(rank, record());
    }

    /// The chosen ones, in an order that says nothing of how they were offered.
    pub fn into_chosen(self) -> impl Iterator<Item = T> {
        self.chosen.into_values()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn choose(seed: &str, size: usize, of: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut choice = Choice::new(seed, size);
        of.for_each(|number| choice.offer(&format!("user:u{number}"), || number));
        choice.into_chosen().collect()
    }

    proptest! {
        #[test]
        fn the_order_of_records_does_not_choose(seed in "[a-f0-9]{8}", size in 0_usize..40, of in 0_u32..100) {
            let forward = choose(&seed, size, 0..of);
            prop_assert_eq!(&forward, &choose(&seed, size, (0..of).rev()));
            prop_assert_eq!(forward.len(), size.min(of as usize));
        }
    }

    #[test]
    fn another_seed_chooses_others() {
        assert_ne!(choose("a", 20, 0..1_000), choose("b", 20, 0..1_000));
    }

    #[test]
    fn each_record_is_chosen_about_as_often_as_the_others() {
        let mut counts = [0_u32; 50];
        for seed in 0..2_000 {
            for number in choose(&seed.to_string(), 10, 0..50) {
                counts[number as usize] += 1;
            }
        }
        // Expected 400 each, standard deviation 18: five of them either way.
        assert!(counts.iter().all(|count| (310..=490).contains(count)), "{counts:?}");
    }
}
