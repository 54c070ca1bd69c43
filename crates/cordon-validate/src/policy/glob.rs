//! Patterns over record keys, such as `user:breakglass*`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of a pattern, at most.
const GLOB_BYTES_MAX: usize = 1_024;

/// A pattern over record keys: `*` stands for any text, every other character for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyGlob(String);

/// Why a text is no pattern over keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyGlobError {
    /// It would protect nothing, or nobody knows what.
    #[error("a pattern is empty")]
    Empty,
    /// It is too long.
    #[error("a pattern of {bytes} bytes, more than {GLOB_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

impl KeyGlob {
    /// Checks a text and makes it a pattern.
    pub fn new(text: &str) -> Result<Self, KeyGlobError> {
        match text.len() {
            0 => Err(KeyGlobError::Empty),
            1..=GLOB_BYTES_MAX => Ok(Self(text.to_owned())),
            bytes => Err(KeyGlobError::TooLong { bytes }),
        }
    }

    /// Whether a key fits this pattern.
    pub fn matches(&self, key: &str) -> bool {
        let Some((head, rest)) = self.0.split_once('*') else { return self.0 == key };
        let Some(mut key) = key.strip_prefix(head) else { return false };
        let mut parts: Vec<&str> = rest.split('*').collect();
        let tail = parts.pop().unwrap_or("");
        // The earliest place is always right: it leaves the most for what follows.
        for part in parts {
            let Some(found) = key.find(part) else { return false };
            key = &key[found + part.len()..];
        }
        key.ends_with(tail)
    }
}

impl TryFrom<String> for KeyGlob {
    type Error = KeyGlobError;

    fn try_from(text: String) -> Result<Self, KeyGlobError> {
        Self::new(&text)
    }
}

impl From<KeyGlob> for String {
    fn from(glob: KeyGlob) -> String {
        glob.0
    }
}

impl fmt::Display for KeyGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
