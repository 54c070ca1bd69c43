//! When a connector's task has to look again: what is due, what ends, what is idle.

use std::time::Duration;

use jiff::Timestamp;

use super::{Command, Runner};
use crate::clock::Past;
use crate::gate::reread;
use crate::unit::{self, Event, Phase, Trigger};

/// A wait is cut into pieces of this length, so that a clock that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

impl Runner {
    /// When the next sync is due, by the clock on the wall.
    pub(super) fn next_sync(&self) -> Option<Timestamp> {
        let last = self.last_start.as_ref().map(Past::by_the_wall);
        self.connector.schedule.next(last, Timestamp::now())
    }

    pub(super) fn due(&mut self) -> Option<Event> {
        // The wait was cut short, or the clock was set: look again.
        let next = self.next_sync()?;
        (next <= Timestamp::now()).then_some(Event::Due(Trigger::Schedule))
    }

    /// Whether a sync that is due now would be the next thing to do. One that failed stays due, so
    /// no moment that has passed is noticed twice.
    fn may_be_due(&self) -> bool {
        let quiet = self.unit.due.is_none() && !matches!(self.unit.phase, Phase::Syncing(_));
        quiet && self.unit.wanted == unit::Wanted::Run && !self.closing
    }

    pub(super) fn until_due(&self) -> Option<Duration> {
        if !self.may_be_due() {
            return None;
        }
        let next = self.next_sync()?;
        Some(until(next))
    }

    /// When a suspicious source is to be read again.
    fn reread_at(&self) -> Option<Timestamp> {
        let facts = self.facts.borrow();
        reread::due_at(facts.quarantined.as_ref()?, &self.connector.policy)
    }

    pub(super) fn until_reread(&self) -> Option<Duration> {
        if !self.may_be_due() {
            return None;
        }
        self.reread_at().map(until)
    }

    pub(super) fn reread_due(&self) -> Option<Event> {
        // The wait was cut short, or somebody decided meanwhile: look again.
        let at = self.reread_at()?;
        (at <= Timestamp::now()).then_some(Event::Due(Trigger::Reread))
    }

    pub(super) fn until_idle(&self) -> Option<Duration> {
        let idle = self.unit.phase == Phase::Up && self.job.is_none();
        idle.then(|| self.connector.times.idle.saturating_sub(self.idle_since.elapsed()))
    }

    pub(super) fn idle_too_long(&self) -> Option<Event> {
        // The wait was cut short: look again.
        self.until_idle().is_some_and(|left| left.is_zero()).then_some(Event::IdleTooLong)
    }

    pub(super) fn until_pause_ends(&self) -> Option<Duration> {
        match &self.view.borrow().wanted {
            cordon_ledger::Wanted::Paused { until: Some(end), .. } => Some(until(*end)),
            _ => None,
        }
    }

    pub(super) async fn end_pause(&mut self) -> Option<Event> {
        let over = match &self.view.borrow().wanted {
            cordon_ledger::Wanted::Paused { until: Some(end), .. } => *end <= Timestamp::now(),
            _ => false,
        };
        if !over {
            return None;
        }
        let name = &self.connector.name;
        let ended =
            self.host.ledger.end_pause(name, "cordond", "the pause ended", Timestamp::now());
        let wanted = match ended.await {
            Ok((wanted, _)) => wanted,
            Err(error) => {
                tracing::error!(connector = %name, %error, "a pause could not be ended");
                tokio::time::sleep(Duration::from_secs(1)).await;
                return None;
            }
        };
        self.host.bell.ring();
        self.command(Command::Wanted(wanted))
    }
}

fn until(time: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default()
}

/// Sleeps so long, or until a clock that was set would be noticed; for ever without a time.
pub(super) async fn after(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait.min(LONGEST_SLEEP)).await,
        None => std::future::pending().await,
    }
}
