//! Names that appear in paths, queries and on screens, checked once where they enter.
//!
//! A connector's name becomes a folder and a cgroup; a type's name becomes a file. So each is a type
//! of its own whose only door is a check, and the rest of the code never asks again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: {rule}")]
pub struct NameError {
    what: &'static str,
    rule: &'static str,
    text: String,
}

impl NameError {
    fn new(what: &'static str, rule: &'static str, text: &str) -> Self {
        // A hostile name may be megabytes long; what people read stays short.
        let text = text.chars().take(80).collect();
        Self { what, rule, text }
    }

    pub(crate) fn record_type(text: &str) -> Self {
        Self::new("record type", "resource, entitlement or grant, a dot, and a type name", text)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks a text and makes it a name.
            pub fn new(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError::new($what, $rule, text))
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into()
            }
        }
    };
}

name!(
    /// Names a configured connector, e.g. `hr-csv`. Also its folder and its cgroup.
    ConnectorName,
    "connector name",
    "1 to 63 of a-z, 0-9 and -, beginning with a letter or a digit",
    |text| matches!(text.len(), 1..=63)
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
);

name!(
    /// Names a type of resource, e.g. `user` or `group`.
    TypeName,
    "type name",
    "1 to 32 of a-z, 0-9 and _, beginning with a letter",
    |text| matches!(text.len(), 1..=32) && is_word(text)
);

name!(
    /// Names an attribute, e.g. `mail`.
    AttributeName,
    "attribute name",
    "1 to 64 of a-z, A-Z, 0-9, _, - and ., beginning with a letter",
    |text| matches!(text.len(), 1..=64)
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
);

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Numbers the syncs of one connector from 1. A snapshot bears the number of the sync it came from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct SyncNumber(pub u64);

impl fmt::Display for SyncNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connector_name_cannot_leave_its_folder() {
        for text in ["", "..", "a/b", "-rf", "A", "a b", "a\0", &"a".repeat(64)] {
            assert!(ConnectorName::new(text).is_err(), "{text:?} was taken");
        }
        assert!(ConnectorName::new("hr-csv2").is_ok());
    }

    #[test]
    fn a_refused_name_is_shown_short() {
        let long = "x".repeat(1_000_000);
        let error = TypeName::new(&long).unwrap_err().to_string();
        assert!(error.len() < 300, "{} bytes", error.len());
    }
}
