//! How long a removal that was accepted can be taken back by the source: `grace = "24h"`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{TimeSpan, TimeSpanError};

const OFF: &str = "off";

/// The time of grace of removals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Grace(Option<TimeSpan>);

impl Grace {
    /// How long; none: removals are final at once.
    pub fn span(self) -> Option<TimeSpan> {
        self.0
    }

    pub(super) fn in_words(self) -> String {
        match self.0 {
            None => "final at once".to_owned(),
            Some(span) => format!("pending for {}, then final", span.in_words()),
        }
    }
}

impl TryFrom<String> for Grace {
    type Error = TimeSpanError;

    fn try_from(text: String) -> Result<Self, TimeSpanError> {
        if text == OFF { Ok(Self(None)) } else { TimeSpan::try_from(text).map(Some).map(Self) }
    }
}

impl From<Grace> for String {
    fn from(grace: Grace) -> String {
        grace.to_string()
    }
}

impl fmt::Display for Grace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.pad(OFF),
            Some(span) => span.fmt(f),
        }
    }
}
