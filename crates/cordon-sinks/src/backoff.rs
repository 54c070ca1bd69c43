//! How long to wait before a delivery is tried again.
//!
//! Full jitter: receivers that come back after an outage are not met by all senders at once. Pure:
//! the caller brings the random number, so that waits can be replayed.

use std::time::Duration;

/// Waits that grow from `min` to `cap`, and vary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The shortest wait.
    pub min: Duration,
    /// The longest wait.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { min: Duration::from_secs(1), cap: Duration::from_secs(300) }
    }
}

impl Backoff {
    /// The wait after a failure. `attempt` counts failures in a row from 0; `random` lies in 0..1
    /// and picks a wait between `min` and a ceiling that doubles with each attempt up to `cap`.
    pub fn next(&self, attempt: u32, random: f64) -> Duration {
        let doubled = attempt.saturating_add(1).min(31);
        let ceiling = self.min.saturating_mul(1 << doubled).min(self.cap);
        let room = ceiling.saturating_sub(self.min);
        // `clamp` passes a NaN on, and `mul_f64` panics on it.
        let share = if random.is_nan() { 0.0 } else { random.clamp(0.0, 1.0) };
        self.min.min(self.cap) + room.mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { min: Duration::from_secs(1), cap: Duration::from_secs(300) };

    #[test]
    fn a_wait_lies_between_min_and_a_ceiling_that_doubles_up_to_cap() {
        for (attempt, ceiling) in [(0, 2), (1, 4), (2, 8), (7, 256), (8, 300), (u32::MAX, 300)] {
            assert_eq!(BACKOFF.next(attempt, 0.0), Duration::from_secs(1), "attempt {attempt}");
            assert_eq!(BACKOFF.next(attempt, 1.0), Duration::from_secs(ceiling), "{attempt}");
            let half = Duration::from_secs(ceiling + 1) / 2;
            assert_eq!(BACKOFF.next(attempt, 0.5), half, "attempt {attempt}");
        }
    }

    #[test]
    fn a_random_number_outside_its_range_never_panics_or_leaves_min_and_cap() {
        for random in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 2.0] {
            for attempt in [0, 5, u32::MAX] {
                let wait = BACKOFF.next(attempt, random);
                assert!(wait >= BACKOFF.min && wait <= BACKOFF.cap, "{random} gave {wait:?}");
            }
        }
    }

    #[test]
    fn a_cap_below_min_wins() {
        let backoff = Backoff { min: Duration::from_secs(9), cap: Duration::from_secs(3) };
        assert_eq!(backoff.next(4, 0.7), Duration::from_secs(3));
    }
}
