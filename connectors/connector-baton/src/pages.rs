//! The pages of one list: which are to be asked for, and that there is an end.

use std::collections::{HashSet, VecDeque};

use xxhash_rust::xxh3::xxh3_128;

use crate::ids::cut;

/// Pages of one list, at most.
const PAGES_MAX: usize = 200_000;
/// Bytes of tokens that wait.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// Why a list has no end that could be reached.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndlessError {
    #[error("page token {token:?} came a second time: the list leads in a circle")]
    Repeats { token: String },
    #[error("the list has more than {PAGES_MAX} pages")]
    Long,
    #[error("the tokens of its pages take more than {} MiB", WAITING_BYTES_MAX >> 20)]
    Large,
}

/// The pages of one list.
pub(crate) struct Pages {
    waiting: VecDeque<String>,
    waiting_bytes: usize,
    seen: HashSet<u128>,
}

impl Pages {
    pub(crate) fn new() -> Self {
        Self { waiting: VecDeque::from([String::new()]), waiting_bytes: 0, seen: HashSet::new() }
    }

    /// The token of the next page.
    pub(crate) fn next(&mut self) -> Option<String> {
        let token = self.waiting.pop_front()?;
        self.waiting_bytes -= token.len();
        Some(token)
    }

    /// Takes note of pages that an answer named.
    pub(crate) fn more<'a>(
        &mut self,
        tokens: impl Iterator<Item = &'a str>,
    ) -> Result<(), EndlessError> {
        for token in tokens.filter(|token| !token.is_empty()) {
            if !self.seen.insert(xxh3_128(token.as_bytes())) {
                return Err(EndlessError::Repeats { token: cut(token, 40).to_owned() });
            }
            if self.seen.len() >= PAGES_MAX {
                return Err(EndlessError::Long);
            }
            self.waiting_bytes += token.len();
            if self.waiting_bytes > WAITING_BYTES_MAX {
                return Err(EndlessError::Large);
            }
            self.waiting.push_back(token.to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_a_circle_of_any_length_is_an_error() {
        let mut pages = Pages::new();
        assert_eq!(pages.next().as_deref(), Some(""));
        pages.more(["a", ""].into_iter()).unwrap();
        assert_eq!(pages.next().as_deref(), Some("a"));
        pages.more(["b", "c"].into_iter()).unwrap();
        assert_eq!((pages.next().as_deref(), pages.next().as_deref()), (Some("b"), Some("c")));
        let circle = pages.more(["a"].into_iter()).unwrap_err();
        assert_eq!(circle, EndlessError::Repeats { token: "a".into() });
        assert_eq!(pages.next(), None);
    }

    #[test]
    fn a_list_without_an_end_is_an_error_although_its_tokens_differ() {
        let mut pages = Pages::new();
        let error = (0..).find_map(|number: u64| {
            let asked = pages.next();
            assert!(asked.is_some());
            pages.more([number.to_string().as_str()].into_iter()).err()
        });
        assert_eq!(error, Some(EndlessError::Long));
        let long = "x".repeat(WAITING_BYTES_MAX);
        let error = Pages::new().more([long.as_str(), "y"].into_iter()).unwrap_err();
        assert_eq!(error, EndlessError::Large);
    }
}
