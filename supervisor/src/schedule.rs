//! When the next sync is due. Pure: the caller brings the time.

use std::time::Duration;

use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// How a connector's syncs are scheduled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Schedule {
    /// Only when somebody asks.
    OnDemand,
    /// Every so often, counted from the start of the last one.
    Every(Duration),
    /// At the moments of a cron expression.
    Cron {
        /// As it was written.
        expression: String,
        /// As it was understood.
        cron: Box<Cron>,
        /// Where its clock hangs.
        zone: TimeZone,
    },
}

impl Schedule {
    /// The first moment at which a sync is due, given when the last one began. A connector that
    /// never synced is due now.
    pub(crate) fn next(&self, last: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::OnDemand => None,
            Self::Every(interval) => Some(last.map_or(now, |last| {
                // A clock that was set back must not put the next sync beyond one interval.
                last.min(now).checked_add(*interval).unwrap_or(Timestamp::MAX)
            })),
            Self::Cron { cron, zone, .. } => {
                let Some(last) = last else { return Some(now) };
                let after: Zoned = last.min(now).to_zoned(zone.clone());
                cron.find_next_occurrence(&after, false).ok().map(|next| next.timestamp())
            }
        }
    }

    /// The schedule in words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::OnDemand => "on demand".into(),
            Self::Every(interval) => format!("every {}", in_words(*interval)),
            Self::Cron { expression, cron, zone } => format!(
                "{} ({expression}) {}",
                cron.describe(),
                zone.iana_name().unwrap_or("local time")
            ),
        }
    }
}

/// A duration as people write it: `15m`, `2h`.
pub(crate) fn in_words(duration: Duration) -> String {
    match jiff::SignedDuration::try_from(duration) {
        Ok(duration) => format!("{duration:#}"),
        Err(_) => format!("{}s", duration.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(expression: &str, zone: &str) -> Schedule {
        Schedule::Cron {
            expression: expression.into(),
            cron: Box::new(expression.parse().unwrap()),
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    #[test]
    fn a_connector_that_never_synced_is_due_now() {
        let now = at("2026-03-02T04:00:00Z");
        assert_eq!(Schedule::Every(Duration::from_secs(60)).next(None, now), Some(now));
        assert_eq!(cron("5 */2 * * *", "UTC").next(None, now), Some(now));
        assert_eq!(Schedule::OnDemand.next(None, now), None);
    }

    #[test]
    fn an_interval_counts_from_the_last_start() {
        let next = Schedule::Every(Duration::from_secs(900))
            .next(Some(at("2026-03-02T04:00:00Z")), at("2026-03-02T04:03:00Z"));
        assert_eq!(next, Some(at("2026-03-02T04:15:00Z")));
    }

    #[test]
    fn a_clock_that_was_set_back_delays_a_sync_by_one_interval_at_most() {
        let next = Schedule::Every(Duration::from_secs(900))
            .next(Some(at("2030-01-01T00:00:00Z")), at("2026-03-02T04:00:00Z"));
        assert_eq!(next, Some(at("2026-03-02T04:15:00Z")));
    }

    #[test]
    fn a_cron_hour_that_summer_time_skips_does_not_lose_the_day() {
        // In Berlin 02:30 does not exist on 2026-03-29.
        let next = cron("30 2 * * *", "Europe/Berlin")
            .next(Some(at("2026-03-28T12:00:00Z")), at("2026-03-28T12:00:00Z"))
            .unwrap();
        assert!(next <= at("2026-03-30T00:31:00Z"), "{next}");
        assert!(next >= at("2026-03-29T01:00:00Z"), "{next}");
    }
}
