//! What becomes of a suspicious sync, and who may release what waits: how many people, of which
//! groups, and for how long the word of one stands while a second is missing.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{OnSuspicion, Policy, Risk, TimeSpan};

/// Characters of a group's name, at most.
const GROUP_CHARS_MAX: usize = 64;

/// What a release needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRule {
    /// How many people; none = as the risk asks for, see [`Policy::release_people`].
    pub people: Option<People>,
    /// How long a release waits for its second person before it lapses.
    pub expires: TimeSpan,
    /// The groups of which every one of them is a member of at least one; empty = whoever may give
    /// orders at all.
    pub by: Vec<Group>,
}

impl Default for ReleaseRule {
    fn default() -> Self {
        Self { people: None, expires: TimeSpan::hours(8), by: Vec::new() }
    }
}

/// What a configuration says of releases. What is absent stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { people = 2, expires = \"8h\" }")]
pub struct ReleasePatch {
    /// See [`ReleaseRule::people`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<People>,
    /// See [`ReleaseRule::expires`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<TimeSpan>,
    /// See [`ReleaseRule::by`]. Takes the place of the groups before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Vec<Group>>,
}

impl ReleaseRule {
    /// This rule with a configuration upon it.
    pub(super) fn overlaid(&self, patch: &ReleasePatch) -> Self {
        Self {
            people: patch.people.or(self.people),
            expires: patch.expires.unwrap_or(self.expires),
            by: patch.by.clone().unwrap_or_else(|| self.by.clone()),
        }
    }
}

impl Policy {
    /// Whether suspicious removals wait alone while the rest of their sync passes. Where much is at
    /// stake everything waits, whatever is configured.
    pub fn holds_removals_alone(&self) -> bool {
        self.on_suspicion == OnSuspicion::HoldRemovals && !self.high_risk()
    }

    /// How many people a release needs: what is configured, else two at critical risk and one below.
    pub fn release_people(&self) -> u8 {
        match self.release.people {
            Some(People::One) => 1,
            Some(People::Two) => 2,
            None if self.risk >= Risk::Critical => 2,
            None => 1,
        }
    }
}

/// How many people a release needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub enum People {
    /// One.
    One,
    /// A second one has to agree.
    Two,
}

/// Why a number of people is none that a release can need.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a release needs 1 person or 2, not {0}")]
pub struct PeopleError(u64);

impl TryFrom<u64> for People {
    type Error = PeopleError;

    fn try_from(number: u64) -> Result<Self, PeopleError> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            other => Err(PeopleError(other)),
        }
    }
}

impl From<People> for u64 {
    fn from(people: People) -> u64 {
        match people {
            People::One => 1,
            People::Two => 2,
        }
    }
}

/// The name of a group of this host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Group(String);

/// Why a text names no group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a group: 1 to {GROUP_CHARS_MAX} characters, no space, colon or comma")]
pub struct GroupError(String);

impl Group {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Group {
    type Error = GroupError;

    fn try_from(text: String) -> Result<Self, GroupError> {
        let length = text.chars().count();
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | ',');
        if (1..=GROUP_CHARS_MAX).contains(&length) && !text.chars().any(odd) {
            Ok(Self(text))
        } else {
            Err(GroupError(text.chars().take(80).collect()))
        }
    }
}

impl From<Group> for String {
    fn from(group: Group) -> String {
        group.0
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
