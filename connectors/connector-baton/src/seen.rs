//! Which records were reported already.
//!
//! Baton's own tool stores what comes twice once. Here a key that comes twice would be a fault of the
//! whole sync, so the second is left out. Keys are held as digests of 16 bytes: a connector that could
//! make two of them meet would only hide a record that it need not have sent.

use std::collections::{HashMap, HashSet};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Keys of one sync, without what their records say.
#[derive(Debug, Default)]
pub(crate) struct Keys(HashSet<u128>);

impl Keys {
    /// Whether it is there for the first time.
    pub(crate) fn is_first(&mut self, key: &[&str]) -> bool {
        self.0.insert(digest(key))
    }
}

/// Records of one sync by their keys.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    contents: HashMap<u128, u64>,
}

/// Whether a record was reported before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// It was not.
    New,
    /// It was, with the same content.
    Again,
    /// It was, with another content.
    Otherwise,
}

impl Seen {
    pub(crate) fn look(&mut self, key: &[&str], content: &[u8]) -> Sight {
        let content = xxh3_64(content);
        match self.contents.insert(digest(key), content) {
            None => Sight::New,
            Some(before) if before == content => Sight::Again,
            Some(_) => Sight::Otherwise,
        }
    }

    pub(crate) fn knows(&self, key: &[&str]) -> bool {
        self.contents.contains_key(&digest(key))
    }
}

fn digest(key: &[&str]) -> u128 {
    // A length before each part, so that no two keys are written alike.
    let mut bytes = Vec::with_capacity(64);
    for part in key {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part.as_bytes());
    }
    xxh3_128(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_twice_is_known_and_what_changed_meanwhile_is_told() {
        let mut seen = Seen::default();
        assert_eq!(seen.look(&["user", "ab"], b"1"), Sight::New);
        assert_eq!(seen.look(&["usera", "b"], b"1"), Sight::New);
        assert_eq!(seen.look(&["user", "ab"], b"1"), Sight::Again);
        assert_eq!(seen.look(&["user", "ab"], b"2"), Sight::Otherwise);
        assert!(seen.knows(&["user", "ab"]) && !seen.knows(&["user", "a"]));
        let mut keys = Keys::default();
        assert!(keys.is_first(&["a"]) && !keys.is_first(&["a"]) && keys.is_first(&["a", ""]));
    }
}
