//! When a suspicious source is read once more before a person is woken, and when that is over.
//!
//! A fault of one reading is usually gone with the next; a source that changed is not. So whoever
//! waits is read again, a bounded number of times: what the findings of the waiting sync say is all
//! that is remembered, so it survives every restart, and a reading that brought the same, or was the
//! last allowed, is never followed by another.

use cordon_model::{Finding, Severity, SyncNumber};
use serde::{Deserialize, Serialize};

use crate::lookup::is_of_removals;
use crate::{Policy, codes};

/// Readings beyond the first that any policy can ask for.
pub const REREADS_MAX: u64 = 5;

/// The reading that waits, as the one after it is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// Its sync.
    pub sync: SyncNumber,
    /// Whether it brought exactly what this one brings, compared with the same snapshot.
    pub is_same: bool,
    /// How often the source was read again because of a suspicion, this time included.
    pub times: u64,
    /// Nothing held it but the wish to read again.
    pub was_only_unusual: bool,
}

/// A sync that waits, as far as it decides whether the source is read again.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// What the checks noticed.
    pub findings: &'a [Finding],
    /// How many later syncs brought the same.
    pub repeats: u64,
}

impl Waiting<'_> {
    /// How often the source was read again before this sync, because of the suspicion that it is
    /// still under.
    fn times(&self) -> u64 {
        let again = [&codes::DIFFERED, &codes::NEVER_TWICE];
        let counts =
            self.findings.iter().filter(|it| again.iter().any(|rule| rule.code == it.code));
        counts.filter_map(|finding| finding.measured).max().unwrap_or(0)
    }

    fn holding(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity >= Severity::Quarantine)
    }

    /// Whether the source is to be read again because of this sync.
    pub fn awaits_reading(&self, policy: &Policy) -> bool {
        let most = u64::from(policy.reread.times).min(REREADS_MAX);
        let is_confirmed = self.has(&codes::CONFIRMED_GONE)
            && !self.has(&codes::NOT_CONFIRMED)
            && !self.has(&codes::STILL_THERE);
        // One reading more does not help where a person is wanted whatever it brings, or where the
        // source has said already that what is missing is gone.
        let needs_person = self.holding().any(is_for_a_person);
        let can_change = self.holding().any(|finding| !(is_confirmed && is_of_removals(finding)));
        self.repeats == 0 && self.times() < most && can_change && !needs_person
    }

    /// Whether nothing holds this sync but the wish to read again.
    pub fn is_only_unusual(&self) -> bool {
        let mut holding = self.holding().peekable();
        holding.peek().is_some() && holding.all(|finding| finding.code == codes::UNUSUAL_ONCE.code)
    }

    /// What the next reading is told of this one, where it is the one that this sync waits for.
    pub fn as_earlier(&self, sync: SyncNumber, is_same: bool, policy: &Policy) -> Option<Earlier> {
        self.awaits_reading(policy).then(|| Earlier {
            sync,
            is_same,
            times: self.times() + 1,
            was_only_unusual: self.is_only_unusual(),
        })
    }

    fn has(&self, rule: &codes::Rule) -> bool {
        self.findings.iter().any(|finding| finding.code == rule.code)
    }
}

/// Whether a finding says what became of reading again; it stays true of what is left of a sync.
pub fn is_of_reading(finding: &Finding) -> bool {
    let rules = [&codes::SAME_AGAIN, &codes::DIFFERED, &codes::NEVER_TWICE];
    rules.iter().any(|rule| rule.code == finding.code)
}

fn is_for_a_person(finding: &Finding) -> bool {
    let rules = [
        &codes::FIRST_SYNC_EMPTY,
        &codes::FIRST_SYNC_REVIEW,
        &codes::RECOVERY_REVIEW,
        &codes::WITHHELD,
        &codes::NEVER_TWICE,
    ];
    rules.iter().any(|rule| rule.code == finding.code)
}
