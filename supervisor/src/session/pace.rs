//! How fast the messages of one sync are read while others sync beside it.
//!
//! Two purses, each filled at a steady rate. A message costs the supervisor about the same whether it
//! carries four thousand records or none, so what carries little comes out of the first. Out of the
//! second come records far beyond what the connector had last: a flood looks just like that, and the
//! first sync of a large source can wait for its neighbours. After a try that failed both purses are
//! empty from the beginning, or who fails again and again would be given a full one each time. An
//! empty purse lets the connector wait, in its own kernel buffers; nothing is dropped, and who is
//! alone on the host waits for nobody.
//!
//! Pure but for the count of syncs under way: it is told the time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cordon_model::ConnectorName;

use crate::limits::{
    CROWD_LINGERS, SMALL_MESSAGES_AT_ONCE, SMALL_MESSAGES_PER_SECOND, UNUSUAL_RECORDS_FROM,
    UNUSUAL_RECORDS_PER_SECOND,
};
use crate::unit::Credit;

/// Records from which on a batch is worth its message.
const FULL: usize = 256;

/// What one sync may send before it waits.
#[derive(Debug)]
pub(super) struct Pace {
    messages: Purse,
    /// Records that are still within the usual.
    usual_left: u64,
    records: Purse,
}

impl Pace {
    /// For a connector whose last known good has so many records.
    pub(super) fn new(now: Duration, last_records: u64, credit: Credit) -> Self {
        let (messages, records) = match credit {
            Credit::Given => (SMALL_MESSAGES_AT_ONCE, UNUSUAL_RECORDS_FROM),
            Credit::Lost => (0.0, 0),
        };
        Self {
            messages: Purse::new(now, messages, SMALL_MESSAGES_PER_SECOND),
            usual_left: last_records.saturating_mul(2).max(records),
            records: Purse::new(now, 0.0, UNUSUAL_RECORDS_PER_SECOND),
        }
    }

    /// Takes note of a message with so many records; gives how long the next may wait.
    pub(super) fn take(&mut self, now: Duration, records: usize) -> Duration {
        let small = if records < FULL { 1.0 } else { 0.0 };
        let all = records as u64;
        let unusual = all.saturating_sub(self.usual_left);
        self.usual_left = self.usual_left.saturating_sub(all);
        self.messages.spend(now, small).max(self.records.spend(now, unusual as f64))
    }
}

/// Fills at a steady rate up to what it holds.
#[derive(Debug)]
struct Purse {
    left: f64,
    most: f64,
    per_second: f64,
    filled_at: Duration,
}

impl Purse {
    fn new(now: Duration, most: f64, per_second: f64) -> Self {
        Self { left: most, most, per_second, filled_at: now }
    }

    /// Spends so much; gives how long it takes to fill what is missing.
    fn spend(&mut self, now: Duration, cost: f64) -> Duration {
        let since = now.saturating_sub(self.filled_at).as_secs_f64();
        self.filled_at = now;
        self.left = (self.left + since * self.per_second).min(self.most);
        // Nobody may have asked for the wait: at most this cost is owed.
        self.left = (self.left - cost).max(-cost);
        Duration::from_secs_f64((-self.left / self.per_second).max(0.0))
    }
}

/// The syncs that are read on this host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Crowd(Arc<Mutex<Seats>>);

#[derive(Debug, Default)]
struct Seats {
    taken: usize,
    /// Whose was left a moment ago, and when: at most one of each connector.
    left: Vec<(ConnectorName, Instant)>,
}

/// One of them; it leaves when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    crowd: Crowd,
    of: ConnectorName,
}

impl Crowd {
    /// The sync of that connector is one of them from here on.
    pub(crate) fn enter(&self, of: ConnectorName) -> Seat {
        self.seats().taken += 1;
        Seat { crowd: self.clone(), of }
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Whether no other connector's sync is read, or was a moment ago: who syncs over and over has
    /// pauses.
    pub(super) fn is_alone(&self, now: Instant) -> bool {
        let seats = self.crowd.seats();
        let was_there = |(of, at): &(ConnectorName, Instant)| *of != self.of && lingers(*at, now);
        seats.taken <= 1 && !seats.left.iter().any(was_there)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let (mut seats, now) = (self.crowd.seats(), Instant::now());
        seats.taken -= 1;
        seats.left.retain(|(of, at)| *of != self.of && lingers(*at, now));
        seats.left.push((self.of.clone(), now));
    }
}

fn lingers(left: Instant, now: Instant) -> bool {
    now.saturating_duration_since(left) < CROWD_LINGERS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends so many messages, each as soon as it may; gives how long that takes.
    fn check(last_records: u64, messages: u64, records: usize) -> Duration {
        check_with(Credit::Given, last_records, messages, records)
    }

    fn check_with(credit: Credit, last_records: u64, messages: u64, records: usize) -> Duration {
        let mut now = Duration::ZERO;
        let mut pace = Pace::new(now, last_records, credit);
        for _ in 0..messages {
            now += pace.take(now, records);
        }
        now
    }

    fn assert_seconds(took: Duration, seconds: f64) {
        assert!((took.as_secs_f64() - seconds).abs() < 0.01, "{took:?}, not {seconds} s");
    }

    #[test]
    fn full_batches_of_what_was_there_before_never_wait() {
        assert_eq!(check(128_000_000, 1_000_000, FULL), Duration::ZERO);
    }

    #[test]
    fn a_flood_of_small_messages_is_read_at_the_steady_rate() {
        let beyond = 10.0 * SMALL_MESSAGES_PER_SECOND;
        assert_seconds(check(0, (SMALL_MESSAGES_AT_ONCE + beyond) as u64, 0), 10.0);
    }

    #[test]
    fn an_honest_source_of_many_small_scopes_is_not_held_up_at_once() {
        assert_eq!(check(0, SMALL_MESSAGES_AT_ONCE as u64, 0), Duration::ZERO);
    }

    #[test]
    fn records_beyond_twice_the_last_known_good_are_read_at_the_steady_rate() {
        let (last, batch) = (UNUSUAL_RECORDS_FROM, 1_000);
        let usual = last * 2 / batch;
        assert_eq!(check(last, usual, batch as usize), Duration::ZERO);
        let beyond = (10.0 * UNUSUAL_RECORDS_PER_SECOND) as u64 / batch;
        assert_seconds(check(last, usual + beyond, batch as usize), 10.0);
    }

    #[test]
    fn a_first_sync_of_a_small_source_waits_for_nobody() {
        assert_eq!(check(0, UNUSUAL_RECORDS_FROM / 1_000, 1_000), Duration::ZERO);
    }

    #[test]
    fn after_a_failure_only_what_was_there_before_is_read_at_once() {
        let (last, batch) = (UNUSUAL_RECORDS_FROM / 10, 1_000);
        let usual = last * 2 / batch;
        assert_eq!(check_with(Credit::Lost, last, usual, batch as usize), Duration::ZERO);
        let beyond = (10.0 * UNUSUAL_RECORDS_PER_SECOND) as u64 / batch;
        assert_seconds(check_with(Credit::Lost, last, usual + beyond, batch as usize), 10.0);
        let small = (10.0 * SMALL_MESSAGES_PER_SECOND) as u64;
        assert_seconds(check_with(Credit::Lost, last, small, 0), 10.0);
    }

    #[test]
    fn a_pause_fills_the_purse_and_not_further() {
        let mut pace = Pace::new(Duration::ZERO, 0, Credit::Given);
        let day = Duration::from_secs(86_400);
        for _ in 0..SMALL_MESSAGES_AT_ONCE as u64 {
            assert_eq!(pace.take(day, 0), Duration::ZERO);
        }
        assert!(pace.take(day, 0) > Duration::ZERO, "what was saved is spent");
    }

    #[test]
    fn a_sync_that_was_alone_owes_nothing_for_that_time() {
        let mut pace = Pace::new(Duration::ZERO, 0, Credit::Given);
        for _ in 0..SMALL_MESSAGES_AT_ONCE as u64 * 10 {
            pace.take(Duration::ZERO, 0);
        }
        assert_seconds(pace.take(Duration::ZERO, 0), 1.0 / SMALL_MESSAGES_PER_SECOND);
    }

    #[test]
    fn a_sync_is_alone_until_another_is_read_and_again_a_moment_after_it() {
        let crowd = Crowd::default();
        let enter = |name: &str| crowd.enter(ConnectorName::new(name).unwrap());
        let one = enter("one");
        let now = Instant::now();
        assert!(one.is_alone(now));
        let other = enter("other");
        assert!(!one.is_alone(now) && !other.is_alone(now));
        drop(other);
        assert!(!one.is_alone(Instant::now()), "the next may begin at once");
        assert!(one.is_alone(Instant::now() + CROWD_LINGERS));
    }

    #[test]
    fn its_own_last_sync_is_no_other() {
        let crowd = Crowd::default();
        let enter = |name: &str| crowd.enter(ConnectorName::new(name).unwrap());
        drop(enter("one"));
        assert!(enter("one").is_alone(Instant::now()));
        drop(enter("other"));
        drop(enter("one"));
        assert!(!enter("one").is_alone(Instant::now()), "the other left a moment ago");
    }
}
