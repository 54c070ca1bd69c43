//! When a sync is late: too long without work, too little work in a while, or too long in all.
//!
//! Pure: takes a monotonic time and what was counted until then. Only counters that rise are work; a
//! message that says the same again is none.

use std::fmt;
use std::time::Duration;

use crate::reason::Reason;
use crate::schedule::in_words;

/// So many units of work in such a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Records, and units of reported progress.
    pub(crate) units: u64,
    /// In each such time.
    pub(crate) per: Duration,
}

/// How long a sync may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// In all.
    pub(crate) sync: Duration,
    /// Without work.
    pub(crate) stall: Duration,
    /// The least that it has to do; none: it may be as slow as it likes.
    pub(crate) rate: Option<Rate>,
}

impl Bounds {
    /// The shortest time in which something can become late.
    pub(crate) fn shortest(&self) -> Duration {
        let per = self.rate.map_or(self.stall, |rate| rate.per);
        self.sync.min(self.stall).min(per)
    }
}

/// What a sync is late with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    /// No work for so long.
    Stalled(Duration),
    /// So few units in the time of the rate.
    TooSlow { units: u64, rate: Rate },
    /// Not finished after so long.
    Deadline(Duration),
}

impl Late {
    /// The time that it had.
    pub(crate) fn span(&self) -> Duration {
        match self {
            Self::Stalled(span) | Self::Deadline(span) => *span,
            Self::TooSlow { rate, .. } => rate.per,
        }
    }

    /// The reason in the closed list.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Stalled(_) => Reason::Stalled,
            Self::TooSlow { .. } => Reason::TooSlow,
            Self::Deadline(_) => Reason::Deadline,
        }
    }
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled(span) => write!(f, "no record and no progress for {}", in_words(*span)),
            Self::TooSlow { units, rate } => write!(
                f,
                "{units} records and units of progress in {}, where {} are the least",
                in_words(rate.per),
                rate.units
            ),
            Self::Deadline(span) => write!(f, "not finished after {}", in_words(*span)),
        }
    }
}

/// What was counted, at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// All work since the sync began.
    pub(super) units: u64,
    /// It waits for the supervisor.
    pub(super) ours: bool,
}

/// A sync against the clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pulse {
    bounds: Bounds,
    begun: Duration,
    moved_at: Duration,
    units: u64,
    window_from: Duration,
    window_units: u64,
    extended: bool,
}

impl Pulse {
    pub(super) fn new(bounds: Bounds, now: Duration) -> Self {
        Self {
            bounds,
            begun: now,
            moved_at: now,
            units: 0,
            window_from: now,
            window_units: 0,
            extended: false,
        }
    }

    /// When work was seen last.
    pub(super) fn moved_at(&self) -> Duration {
        self.moved_at
    }

    /// Since when work counts towards the rate.
    pub(super) fn window_from(&self) -> Duration {
        self.window_from
    }

    /// Looks once; gives what it is late with.
    pub(super) fn look(&mut self, now: Duration, seen: Seen) -> Option<Late> {
        if now.saturating_sub(self.begun) >= self.bounds.sync {
            return Some(Late::Deadline(self.bounds.sync));
        }
        if seen.units > self.units {
            self.units = seen.units;
            self.moved_at = now;
        }
        if seen.ours {
            self.moved_at = now;
            self.open_window(now);
            return None;
        }
        if now.saturating_sub(self.moved_at) >= self.bounds.stall {
            return Some(Late::Stalled(self.bounds.stall));
        }
        let rate = self.bounds.rate?;
        if now.saturating_sub(self.window_from) < rate.per {
            return None;
        }
        let units = self.units - self.window_units;
        if units < rate.units {
            return Some(Late::TooSlow { units, rate });
        }
        self.open_window(now);
        None
    }

    /// Grants the time that it was late with once more; false when it was granted before.
    pub(super) fn extend(&mut self, late: &Late, now: Duration) -> bool {
        if self.extended {
            return false;
        }
        self.extended = true;
        if matches!(late, Late::Deadline(_)) {
            self.begun = now;
        }
        self.moved_at = now;
        self.open_window(now);
        true
    }

    fn open_window(&mut self, now: Duration) {
        self.window_from = now;
        self.window_units = self.units;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        sync: Duration::from_secs(100),
        stall: Duration::from_secs(10),
        rate: Some(Rate { units: 5, per: Duration::from_secs(20) }),
    };

    /// Looks at each second; `work` says what is done by then. Gives when and why it is late.
    fn check(bounds: Bounds, work: impl Fn(u64) -> u64) -> String {
        let mut pulse = Pulse::new(bounds, Duration::ZERO);
        for second in 1..=200 {
            let seen = Seen { units: work(second), ours: false };
            if let Some(late) = pulse.look(Duration::from_secs(second), seen) {
                return format!("{second}: {late}");
            }
        }
        "alive".to_owned()
    }

    #[test]
    fn no_work_is_a_stall_at_its_bound_and_not_before() {
        assert_eq!(check(BOUNDS, |_| 0), "10: no record and no progress for 10s");
        assert_eq!(check(BOUNDS, |s| s.min(30)), "40: no record and no progress for 10s");
    }

    #[test]
    fn counters_that_fall_or_stand_are_no_work() {
        assert_eq!(check(BOUNDS, |s| 1_000 - s), "11: no record and no progress for 10s");
    }

    #[test]
    fn a_slow_loris_is_below_its_rate_although_it_never_stalls() {
        assert_eq!(
            check(BOUNDS, |s| s / 9),
            "20: 2 records and units of progress in 20s, where 5 are the least"
        );
        let patient = Bounds { rate: None, ..BOUNDS };
        assert_eq!(check(patient, |s| s / 9), "100: not finished after 1m 40s");
    }

    #[test]
    fn exactly_the_least_rate_passes() {
        assert_eq!(check(BOUNDS, |s| s / 4), "100: not finished after 1m 40s");
    }

    #[test]
    fn endless_work_meets_the_deadline() {
        assert_eq!(check(BOUNDS, |s| s * 1_000), "100: not finished after 1m 40s");
    }

    #[test]
    fn time_in_which_it_waits_for_the_supervisor_is_not_its_own() {
        let mut pulse = Pulse::new(BOUNDS, Duration::ZERO);
        for second in 1..60 {
            let seen = Seen { units: 0, ours: true };
            assert_eq!(pulse.look(Duration::from_secs(second), seen), None);
        }
        let seen = Seen { units: 0, ours: false };
        assert_eq!(pulse.look(Duration::from_secs(68), seen), None);
        let late = Late::Stalled(BOUNDS.stall);
        assert_eq!(pulse.look(Duration::from_secs(69), seen), Some(late));
    }

    #[test]
    fn time_is_extended_once_by_the_same_span() {
        let mut pulse = Pulse::new(BOUNDS, Duration::ZERO);
        let nothing = Seen { units: 0, ours: false };
        let at = Duration::from_secs;
        let late = pulse.look(at(10), nothing).unwrap();
        assert!(pulse.extend(&late, at(10)));
        assert_eq!(pulse.look(at(19), nothing), None);
        let late = pulse.look(at(20), nothing).unwrap();
        assert_eq!(late, Late::Stalled(BOUNDS.stall));
        assert!(!pulse.extend(&late, at(20)), "once");
    }
}
