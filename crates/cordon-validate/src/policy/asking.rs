//! What is tried before a person is woken: asking the source for the records that are missing, and
//! reading it once more.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Percent, Policy};

/// What the source's confirmation that records are gone does to the findings that speak of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemovalsVerified {
    /// It stands beside them, and a person decides.
    Note,
    /// It answers them, but on a high-risk connector. Nothing else is answered by it: not the removal
    /// of protected records, nor a change of privileged grants.
    Accept,
}

/// For which syncs the source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LookUpWhen {
    /// Those in which a loss is suspicious.
    Suspicion,
    /// All in which anything is missing, so that a single lost record is noticed.
    Always,
}

/// How the source is asked for missing records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookups {
    /// For which syncs.
    pub when: LookUpWhen,
    /// Records asked for, at most: all that are missing where they are so few, else samples. None: the
    /// source is not asked.
    pub keys: u64,
    /// How sure a sample has to be.
    pub confidence: Percent,
    /// Records asked for in a second, at most.
    pub per_second: u32,
    /// How long it may take.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub deadline: Duration,
}

impl Default for Lookups {
    fn default() -> Self {
        // Room for a sample of each of six types, which takes twenty seconds.
        let deadline = Duration::from_secs(60);
        let when = LookUpWhen::Suspicion;
        Self { when, keys: 2_000, confidence: Percent::whole(95), per_second: 100, deadline }
    }
}

/// When a suspicious source is read once more by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reread {
    /// How long after the reading that is suspicious.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub after: Duration,
    /// How often, at most; each time that it differs again. None: a person is woken at once.
    pub times: u32,
}

impl Default for Reread {
    fn default() -> Self {
        Self { after: Duration::from_secs(120), times: 1 }
    }
}

/// What a configuration says of lookups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { keys = 2000, confidence = 95 }")]
pub struct LookupsPatch {
    /// See [`Lookups::when`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<LookUpWhen>,
    /// See [`Lookups::keys`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<u64>,
    /// See [`Lookups::confidence`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Percent>,
    /// See [`Lookups::per_second`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u32>,
    /// See [`Lookups::deadline`].
    #[serde(
        default,
        with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub deadline: Option<Duration>,
}

/// What a configuration says of reading once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { after = \"2m\", times = 1 }")]
pub struct RereadPatch {
    /// See [`Reread::after`].
    #[serde(
        default,
        with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub after: Option<Duration>,
    /// See [`Reread::times`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

impl Lookups {
    pub(super) fn overlaid(self, patch: &LookupsPatch) -> Self {
        Self {
            when: patch.when.unwrap_or(self.when),
            keys: patch.keys.unwrap_or(self.keys),
            confidence: patch.confidence.unwrap_or(self.confidence),
            per_second: patch.per_second.unwrap_or(self.per_second),
            deadline: patch.deadline.unwrap_or(self.deadline),
        }
    }

    pub(super) fn in_words(self) -> String {
        if self.keys == 0 || self.per_second == 0 {
            return "none is looked up".to_owned();
        }
        let when = match self.when {
            LookUpWhen::Suspicion => "on suspicion",
            LookUpWhen::Always => "always",
        };
        format!(
            "{when} up to {} looked up, {} a second, samples at {} confidence, within {}",
            crate::words::count(self.keys),
            crate::words::count(self.per_second.into()),
            self.confidence,
            span(self.deadline)
        )
    }
}

impl Reread {
    pub(super) fn overlaid(self, patch: &RereadPatch) -> Self {
        Self { after: patch.after.unwrap_or(self.after), times: patch.times.unwrap_or(self.times) }
    }

    pub(super) fn in_words(self) -> String {
        match self.times {
            0 => "not read again".to_owned(),
            1 => format!("read once more after {}", span(self.after)),
            times => format!("read up to {times} times more, each after {}", span(self.after)),
        }
    }
}

impl Policy {
    /// Whether removals that the source confirms pass unattended.
    pub fn accepts_verified_removals(&self) -> bool {
        self.removals_verified == RemovalsVerified::Accept && !self.high_risk()
    }
}

fn span(time: Duration) -> String {
    let span = jiff::SignedDuration::try_from(time).unwrap_or(jiff::SignedDuration::MAX);
    format!("{span:#}")
}
