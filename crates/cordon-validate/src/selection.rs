//! Which changes of a candidate are meant: by what happened to a record, by its label, by its key.
//!
//! A selection has one text, and equal selections have equal texts: it is written into manifests and
//! evidence, and a second person confirms it word for word.

use std::fmt;

use cordon_model::ChangeOp;
use serde::{Deserialize, Serialize};

use crate::KeyGlob;

/// Words of a selection, at most, of each sort.
const WORDS_MAX: usize = 100;

/// Changes of a candidate. A sort without a word takes every change; a change is selected when every
/// sort takes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    #[serde(default)]
    ops: Vec<String>,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    keys: Vec<KeyGlob>,
}

/// Why words are no selection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// A word names no change.
    #[error("{word:?} is no change; there are added, modified and removed")]
    NoChange {
        /// The word, cut short.
        word: String,
    },
    /// A word names no label.
    #[error("{word:?} is no label of records, such as user or grant")]
    NoLabel {
        /// The word, cut short.
        word: String,
    },
    /// A pattern is none.
    #[error("a pattern over keys has 1 to 1,024 bytes")]
    NoPattern,
    /// There are more words than a person reads.
    #[error("a selection has at most {WORDS_MAX} words of a sort, this one has {found}")]
    TooMany {
        /// How many.
        found: usize,
    },
}

impl Selection {
    /// Every change.
    pub fn all() -> Self {
        Self::default()
    }

    /// What is new or has other values; no removal.
    pub fn without_removals() -> Self {
        let ops = [ChangeOp::Added, ChangeOp::Modified];
        let ops = ops.iter().map(|op| op.as_str().to_owned()).collect();
        Self { ops, ..Self::default() }
    }

    /// Reads words; their order and repetitions mean nothing.
    pub fn new(ops: &[String], labels: &[String], keys: &[String]) -> Result<Self, SelectionError> {
        let found = ops.len().max(labels.len()).max(keys.len());
        if found > WORDS_MAX {
            return Err(SelectionError::TooMany { found });
        }
        let short = |word: &String| word.chars().take(80).collect();
        if let Some(word) = ops.iter().find(|word| !is_op(word)) {
            return Err(SelectionError::NoChange { word: short(word) });
        }
        if let Some(word) = labels.iter().find(|word| !is_label(word)) {
            return Err(SelectionError::NoLabel { word: short(word) });
        }
        let keys = sorted(keys).into_iter().map(|key| match key.chars().any(char::is_control) {
            true => Err(SelectionError::NoPattern),
            false => KeyGlob::new(&key).map_err(|_| SelectionError::NoPattern),
        });
        Ok(Self { ops: sorted(ops), labels: sorted(labels), keys: keys.collect::<Result<_, _>>()? })
    }

    /// Whether it takes changes of this sort of records of this label, as far as their keys fit.
    pub fn takes(&self, op: ChangeOp, label: &str) -> bool {
        let op = self.ops.is_empty() || self.ops.iter().any(|known| known == op.as_str());
        op && (self.labels.is_empty() || self.labels.iter().any(|known| known == label))
    }

    /// Whether it asks for keys at all.
    pub fn asks_for_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Whether a key fits.
    pub fn fits(&self, key: &str) -> bool {
        self.keys.is_empty() || self.keys.iter().any(|glob| glob.matches(key))
    }

    /// Whether it takes everything, whatever there is.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Selection {
    /// `added, modified of user with key user:u7*`; of everything `all changes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ops = if self.ops.is_empty() { "all changes".to_owned() } else { self.ops.join(", ") };
        f.write_str(&ops)?;
        if !self.labels.is_empty() {
            write!(f, " of {}", self.labels.join(", "))?;
        }
        if !self.keys.is_empty() {
            let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
            write!(f, " with key {}", keys.join(" or "))?;
        }
        Ok(())
    }
}

fn sorted(words: &[String]) -> Vec<String> {
    let mut words = words.to_vec();
    words.sort();
    words.dedup();
    words
}

fn is_op(word: &str) -> bool {
    [ChangeOp::Added, ChangeOp::Modified, ChangeOp::Removed].iter().any(|op| op.as_str() == word)
}

/// The form of a type's name. Which labels there are, only the records tell.
fn is_label(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=32).contains(&word.len()) && word.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn selection(ops: &[&str], labels: &[&str], keys: &[&str]) -> Selection {
        Selection::new(&words(ops), &words(labels), &words(keys)).unwrap()
    }

    #[test]
    fn equal_selections_have_one_text_whatever_the_order_of_their_words() {
        let one = selection(&["removed", "added"], &["user"], &["user:b*", "user:a"]);
        let two = selection(&["added", "removed", "added"], &["user"], &["user:a", "user:b*"]);
        assert_eq!(one, two);
        assert_eq!(one.to_string(), "added, removed of user with key user:a or user:b*");
        assert_eq!(Selection::all().to_string(), "all changes");
        assert_eq!(Selection::without_removals().to_string(), "added, modified");
    }

    #[test]
    fn a_change_is_selected_when_every_sort_of_words_takes_it() {
        let some = selection(&["added"], &["user", "grant"], &["user:u7*"]);
        assert!(some.takes(ChangeOp::Added, "user") && some.fits("user:u71"));
        assert!(some.takes(ChangeOp::Added, "grant") && some.fits("user:u7 -> admin"));
        assert!(!some.takes(ChangeOp::Removed, "user"));
        assert!(!some.takes(ChangeOp::Added, "group"));
        assert!(!some.fits("user:u8"));
        let all = Selection::all();
        assert!(all.is_all() && all.takes(ChangeOp::Removed, "secret") && all.fits("any"));
        let held = Selection::without_removals();
        assert!(!held.takes(ChangeOp::Removed, "user") && held.takes(ChangeOp::Modified, "user"));
    }

    #[test]
    fn words_that_name_nothing_are_refused() {
        let refused = |ops: &[&str], labels: &[&str], keys: &[&str]| {
            Selection::new(&words(ops), &words(labels), &words(keys)).unwrap_err().to_string()
        };
        assert!(refused(&["dropped"], &[], &[]).contains("\"dropped\" is no change"));
        assert!(refused(&[], &["User"], &[]).contains("no label"));
        assert!(refused(&[], &[], &[""]).contains("1 to 1,024 bytes"));
        assert!(refused(&[], &[], &["a\nb"]).contains("1 to 1,024 bytes"));
        let many: Vec<&str> = vec!["user"; 101];
        assert!(refused(&[], &many, &[]).contains("at most 100"));
    }
}
