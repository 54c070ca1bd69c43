//! May a connector's data be used to decide? Computed from data and its age, never from a process
//! being up. Pure.

use std::time::Duration;

use cordon_ledger::LeftBy;
use jiff::Timestamp;

/// What a connector's last known good is worth now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    /// Judged, current and clean.
    Trusted,
    /// A person accepted it against the judge's advice.
    Released,
    /// There is no last known good.
    Unproven,
    /// A person paused the connector.
    Paused,
    /// Older than its objective.
    Stale,
    /// Syncs fail; what is known still holds, and grows old.
    Failing,
    /// The newest sync waits for a person.
    Quarantined,
}

impl Trust {
    /// The state in one word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Released => "released",
            Self::Unproven => "unproven",
            Self::Paused => "paused",
            Self::Stale => "stale",
            Self::Failing => "failing",
            Self::Quarantined => "quarantined",
        }
    }
}

/// What trust is computed from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// When the last known good was taken.
    pub(crate) taken_at: Option<Timestamp>,
    /// A person released it.
    pub(crate) released: bool,
    /// It is stale beyond this age.
    pub(crate) freshness: Duration,
    /// Since when a sync waits for a person.
    pub(crate) quarantined_since: Option<Timestamp>,
    /// The source is read again before anyone has to look.
    pub(crate) reads_again: bool,
    /// Who let the rest of that sync pass, where a part of it alone waits.
    pub(crate) left_by: Option<LeftBy>,
    /// Since when it is paused.
    pub(crate) paused_since: Option<Timestamp>,
    /// Since when syncs fail, and in one word why.
    pub(crate) failing_since: Option<(Timestamp, String)>,
}

/// A state, its reasons in CamelCase, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trusted {
    /// The state.
    pub(crate) trust: Trust,
    /// Every reason there is, the deciding one first.
    pub(crate) reasons: Vec<String>,
    /// Since when.
    pub(crate) since: Option<Timestamp>,
}

/// Clocks of two supervisors on one state directory differ by less.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(300);

/// Weighs the facts. The worst decides; the others stay visible as reasons.
pub(crate) fn weigh(facts: &Facts, now: Timestamp) -> Trusted {
    let mut found: Vec<(Trust, String, Option<Timestamp>)> = Vec::new();
    if let Some(since) = facts.quarantined_since {
        let why = match facts.left_by {
            None if facts.reads_again => "ReadsAgain",
            None => "SyncQuarantined",
            Some(LeftBy::Person) => "PartQuarantined",
            Some(LeftBy::Policy) => "RemovalsHeld",
        };
        found.push((Trust::Quarantined, why.into(), Some(since)));
    }
    if let Some((since, why)) = &facts.failing_since {
        found.push((Trust::Failing, why.clone(), Some(*since)));
    }
    match facts.taken_at {
        None => found.push((Trust::Unproven, "NoSnapshot".into(), None)),
        Some(taken_at) => {
            let stale_at = taken_at.checked_add(facts.freshness).unwrap_or(Timestamp::MAX);
            let ahead = Duration::try_from(taken_at.duration_since(now)).unwrap_or_default();
            if ahead > CLOCK_SKEW_MAX {
                // The clock was set back: how old it is, nobody can tell.
                found.push((Trust::Stale, "TakenInTheFuture".into(), None));
            } else if now > stale_at {
                found.push((Trust::Stale, "OlderThanObjective".into(), Some(stale_at)));
            }
            if facts.released {
                found.push((Trust::Released, "ReleasedByPerson".into(), Some(taken_at)));
            }
        }
    }
    if let Some(since) = facts.paused_since {
        found.push((Trust::Paused, "PausedByPerson".into(), Some(since)));
    }
    found.sort_by_key(|(trust, _, _)| std::cmp::Reverse(*trust));
    match found.first() {
        None => Trusted { trust: Trust::Trusted, reasons: Vec::new(), since: facts.taken_at },
        Some((trust, _, since)) => Trusted {
            trust: *trust,
            since: *since,
            reasons: found.iter().map(|(_, why, _)| why.clone()).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3_600).unwrap()
    }

    /// Weighs facts twelve hours in; renders state and reasons.
    fn check(change: impl FnOnce(&mut Facts)) -> String {
        let mut facts = Facts {
            taken_at: Some(at(10)),
            freshness: Duration::from_secs(6 * 3_600),
            ..Facts::default()
        };
        change(&mut facts);
        let trusted = weigh(&facts, at(12));
        format!("{} {}", trusted.trust.as_str(), trusted.reasons.join(","))
    }

    #[test]
    fn the_worst_fact_decides_and_the_others_stay_visible() {
        assert_eq!(check(|_| {}), "trusted ");
        assert_eq!(check(|facts| facts.taken_at = None), "unproven NoSnapshot");
        assert_eq!(check(|facts| facts.taken_at = Some(at(5))), "stale OlderThanObjective");
        assert_eq!(check(|facts| facts.released = true), "released ReleasedByPerson");
        assert_eq!(
            check(|facts| {
                facts.paused_since = Some(at(11));
                facts.taken_at = Some(at(1));
                facts.quarantined_since = Some(at(2));
            }),
            "quarantined SyncQuarantined,OlderThanObjective,PausedByPerson"
        );
        assert_eq!(
            check(|facts| facts.failing_since = Some((at(11), "ConnectorDied".into()))),
            "failing ConnectorDied"
        );
    }

    #[test]
    fn data_from_the_future_is_not_taken_for_fresh() {
        assert_eq!(check(|facts| facts.taken_at = Some(at(13))), "stale TakenInTheFuture");
        let soon = at(12).checked_add(CLOCK_SKEW_MAX).unwrap();
        assert_eq!(check(|facts| facts.taken_at = Some(soon)), "trusted ");
    }

    #[test]
    fn data_at_its_objective_is_fresh_and_a_second_later_stale() {
        let facts = Facts {
            taken_at: Some(at(0)),
            freshness: Duration::from_secs(3_600),
            ..Facts::default()
        };
        assert_eq!(weigh(&facts, at(1)).trust, Trust::Trusted);
        let later = at(1).checked_add(Duration::from_secs(1)).unwrap();
        assert_eq!(weigh(&facts, later).trust, Trust::Stale);
    }
}
