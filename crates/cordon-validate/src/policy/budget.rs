//! Budgets of removals over hours and days: what no single sync shows.

use std::fmt;

use cordon_model::TypeName;
use serde::{Deserialize, Serialize};

use super::{PERCENT_RECORDS_MIN, Percent, TimeSpan};
use crate::words::count as thousands;

/// The span of the budget that holds without configuration.
pub const BUDGET_DEFAULT: TimeSpan = TimeSpan::hours(24);
/// Budgets of one policy, at most.
pub const BUDGETS_MAX: usize = 16;

/// How many records of a label may be removed within a time, over all syncs that policy accepted in
/// it. What a person released does not count: somebody looked at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a budget such as { within = \"7d\", percent = 30 }")]
pub struct Budget {
    /// Over so long a time, this sync's removals included.
    pub within: TimeSpan,
    /// Of this label; none = of each label by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<TypeName>,
    /// Of the records at the beginning of that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// Records, however many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What counts instead of the percentage below [`PERCENT_RECORDS_MIN`] records; none = the floor
    /// of the label's limit of removals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<u64>,
}

impl Budget {
    /// A budget of so many percent over a time.
    pub const fn percent(within: TimeSpan, percent: Percent) -> Self {
        Self { within, of: None, percent: Some(percent), count: None, floor: None }
    }

    /// Whether it speaks of a label.
    pub fn takes(&self, label: &str) -> bool {
        self.of.as_ref().is_none_or(|of| of.as_str() == label)
    }

    /// The most that may be removed of so many records; none = any.
    pub fn most(&self, then: u64, floor: u64) -> Option<u64> {
        let small = then < PERCENT_RECORDS_MIN;
        let floor = self.floor.unwrap_or(floor);
        let share = self.percent.map(|percent| if small { floor } else { percent.of(then) });
        match (share, self.count) {
            (Some(share), Some(count)) => Some(share.min(count)),
            (share, count) => share.or(count),
        }
    }

    /// The budget that it stands for: one a time and label.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        self.within == other.within && self.of == other.of
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.percent.map(|percent| match self.floor {
            None => percent.to_string(),
            Some(floor) => format!("{percent} and more than {}", thousands(floor)),
        });
        match (self.count, share) {
            (None, None) => f.write_str("any number"),
            (Some(count), None) => f.write_str(&thousands(count)),
            (None, Some(share)) => f.write_str(&share),
            (Some(count), Some(share)) => write!(f, "{}, or {share}", thousands(count)),
        }
    }
}
