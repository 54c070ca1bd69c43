//! How long to wait after a failure: exponential, with full jitter.
//!
//! Full jitter because connectors that failed together (one directory server went away) must not
//! come back together. See "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use std::time::Duration;

/// Bounds of the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// The ceiling after the first failure.
    pub(crate) base: Duration,
    /// The ceiling after many.
    pub(crate) cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), cap: Duration::from_secs(300) }
    }
}

impl Backoff {
    /// The wait after `streak` failures in a row; `roll` from 0 to 1 picks it below the ceiling.
    pub(crate) fn delay(&self, streak: u32, roll: f64) -> Duration {
        let doublings = streak.saturating_sub(1).min(31);
        let ceiling = self.base.saturating_mul(1 << doublings).min(self.cap);
        // A tenth of the ceiling at least, so that a lucky roll is not a busy loop.
        ceiling.mul_f64(roll.clamp(0.1, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_cap() {
        let backoff = Backoff::default();
        let waits: Vec<u64> =
            [1, 2, 3, 9, 10, u32::MAX].iter().map(|n| backoff.delay(*n, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 256, 300, 300]);
    }

    #[test]
    fn a_lucky_roll_still_waits() {
        assert!(Backoff::default().delay(1, 0.0) >= Duration::from_millis(100));
    }
}
