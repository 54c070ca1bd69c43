//! Time that nobody can set: how long ago something was, and when that is by the clock on the wall.
//!
//! A wall clock jumps: it is set, corrected after a start, or was wrong when the ledger was written.
//! A schedule that counts by it starts everything at once after one jump, and nothing for a day
//! after another. So what counts is time since boot, sleep included; the wall clock only gives it a
//! name.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Time since the host started, its sleep included.
pub(crate) fn since_boot() -> Duration {
    // No other way tells it without a system call of its own; hundredths of a second are enough.
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_else(|| {
        static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        BEGUN.get_or_init(Instant::now).elapsed()
    })
}

/// A moment of the past, kept as its distance from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Past {
    /// When its age was taken, since boot.
    seen: Duration,
    /// How old it was then.
    age: Duration,
    /// What the wall clock called it then.
    wall: Timestamp,
}

/// Clocks are read one after the other, and not to the same precision. What differs by less was not
/// set; a moment that moved by a hundredth would be due twice.
const SET_LEAST: Duration = Duration::from_secs(1);

impl Past {
    /// This moment.
    pub(crate) fn now() -> Self {
        let now = Timestamp::now();
        Self::read(now, now, since_boot())
    }

    /// A moment that was written down by the wall clock. One that lies ahead was written by a clock
    /// that was wrong, or is wrong now: it is taken for this moment.
    pub(crate) fn written(time: Timestamp) -> Self {
        Self::read(time, Timestamp::now(), since_boot())
    }

    fn read(time: Timestamp, now: Timestamp, boot: Duration) -> Self {
        let age = Duration::try_from(now.duration_since(time)).unwrap_or_default();
        Self { seen: boot, age, wall: time.min(now) }
    }

    /// When it was, by the wall clock of now.
    pub(crate) fn by_the_wall(&self) -> Timestamp {
        self.by(Timestamp::now(), since_boot())
    }

    fn by(&self, now: Timestamp, boot: Duration) -> Timestamp {
        let age = boot.saturating_sub(self.seen).saturating_add(self.age);
        let then = now.checked_sub(age).unwrap_or(Timestamp::MIN);
        let was_set = then.duration_since(self.wall).unsigned_abs() >= SET_LEAST;
        if was_set { then } else { self.wall }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Schedule;

    const BOOT: Duration = Duration::from_secs(1_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn wall(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(count * 60)
    }

    /// A sync began at noon; so much later the clock is set by so much. Gives how long it is from
    /// then to the next one, in minutes.
    fn next_after(schedule: &Schedule, passed: Duration, jump: i64) -> i64 {
        let noon = wall("2026-03-02T12:00:00Z");
        let began = Past::read(noon, noon, BOOT);
        let now = noon.checked_add(passed).unwrap();
        let now = now.checked_add(jiff::SignedDuration::from_secs(jump)).unwrap();
        let last = began.by(now, BOOT + passed);
        let next = schedule.next(Some(last), now).unwrap();
        next.duration_since(now).as_mins()
    }

    #[test]
    fn a_clock_that_was_set_neither_storms_nor_stalls_an_interval() {
        let hourly = Schedule::Every(minutes(60));
        let day = DAY.as_secs() as i64;
        for jump in [0, day, -day, 1_000 * day, -1_000 * day] {
            assert_eq!(next_after(&hourly, minutes(20), jump), 40, "jump {jump}");
            assert!(next_after(&hourly, minutes(61), jump) <= 0, "jump {jump}: it is due");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_hold_a_cron_schedule_until_it_is_caught_up() {
        let hourly = Schedule::Cron {
            expression: "0 * * * *".into(),
            cron: Box::new("0 * * * *".parse().unwrap()),
            zone: jiff::tz::TimeZone::UTC,
        };
        let day = DAY.as_secs() as i64;
        for jump in [0, day, -day, 1_000 * day, -1_000 * day] {
            assert_eq!(next_after(&hourly, minutes(20), jump), 40, "jump {jump}");
            assert!(next_after(&hourly, minutes(61), jump) <= 0, "jump {jump}: it is due");
        }
    }

    #[test]
    fn a_start_that_was_written_in_the_future_counts_as_now() {
        let now = wall("2026-03-02T12:00:00Z");
        let past = Past::read(wall("2030-01-01T00:00:00Z"), now, BOOT);
        assert_eq!(past.by(now, BOOT), now);
        let past = Past::read(wall("2026-03-02T11:00:00Z"), now, BOOT);
        assert_eq!(past.by(now, BOOT), wall("2026-03-02T11:00:00Z"));
    }

    #[test]
    fn sleep_of_the_host_counts_as_time() {
        let four = wall("2026-03-02T04:00:00Z");
        let noon = wall("2026-03-02T12:00:00Z");
        let past = Past::read(four, four, BOOT);
        assert_eq!(past.by(noon, BOOT + minutes(480)), four);
    }

    #[test]
    fn clocks_that_are_read_to_a_hundredth_make_no_moment_due_twice() {
        let noon = wall("2026-03-02T12:00:00Z");
        let past = Past::read(noon, noon, BOOT);
        for late in 0..20 {
            let now = noon.checked_add(jiff::SignedDuration::from_millis(30_000 + late)).unwrap();
            assert_eq!(past.by(now, BOOT + Duration::from_secs(30)), noon);
        }
    }

    #[test]
    fn time_since_boot_rises() {
        let before = since_boot();
        assert!(before > Duration::ZERO);
        assert!(since_boot() >= before);
    }
}
