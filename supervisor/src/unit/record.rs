//! What failures of one connector are remembered, and what follows from one more.
//!
//! Failures in a row make waits longer; crashes close together open the breaker. Both are forgiven
//! by a good sync, by [`STABLE`] of running, and by an operator: a connector that dies once a day is
//! not one that dies in a loop.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Failure, Hold, Rules};
use crate::limits::{
    AUTH_RETRY, BREAKER_OPEN, BREAKER_WINDOW, MEMORY_HELD, MEMORY_RETRIES, STABLE,
};
use crate::reason::Class;

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Record {
    /// Failures in a row.
    pub(super) streak: u32,
    memory_deaths: u32,
    crashes: VecDeque<Duration>,
    /// The breaker opened and closed by time: the next failure opens it again.
    probing: bool,
    /// Since when it runs without a failure.
    running_since: Option<Duration>,
}

impl Record {
    /// It runs, and has not failed since.
    pub(super) fn note_running(&mut self, at: Duration) {
        self.running_since = Some(at);
    }

    /// There is no process any more.
    pub(super) fn note_gone(&mut self) {
        self.running_since = None;
    }

    /// A hold ended by time: what comes next is a trial.
    pub(super) fn note_hold_ended(&mut self, hold: Hold) {
        self.probing |= matches!(hold, Hold::CrashLoop { .. } | Hold::OutOfMemory { .. });
    }

    /// Forgets all failures.
    pub(super) fn clear(&mut self) {
        *self = Self { running_since: self.running_since, ..Self::default() };
    }

    /// Notes one more failure; gives what the next try has to wait for.
    pub(super) fn fail(
        &mut self,
        failure: Failure,
        at: Duration,
        roll: f64,
        rules: &Rules,
    ) -> Hold {
        if self.running_since.is_some_and(|since| at.saturating_sub(since) >= STABLE) {
            self.clear();
        }
        self.running_since = self.running_since.map(|_| at);
        self.streak = self.streak.saturating_add(1);
        let least = match failure.reason.class() {
            Class::Config => return Hold::Misconfigured,
            Class::Credentials => AUTH_RETRY,
            // An order that this state machine did not give, such as one of the sandbox that could
            // not watch a process, must not lead to a start without a wait either.
            Class::Elsewhere | Class::Order => Duration::ZERO,
            class @ (Class::Crash | Class::Memory) => {
                if let Some(hold) = self.crash(class, at, rules) {
                    return hold;
                }
                Duration::ZERO
            }
        };
        let asked = failure.retry_after.unwrap_or_default();
        let delay = rules.backoff.delay(self.streak, roll).max(asked).max(least);
        Hold::BackingOff { until: at + delay }
    }

    /// Counts a death; gives the hold that it leads to.
    fn crash(&mut self, class: Class, at: Duration, rules: &Rules) -> Option<Hold> {
        self.crashes.push_back(at);
        while self.crashes.front().is_some_and(|first| at.saturating_sub(*first) > BREAKER_WINDOW) {
            self.crashes.pop_front();
        }
        if class == Class::Memory {
            self.memory_deaths = self.memory_deaths.saturating_add(1);
            if self.memory_deaths > MEMORY_RETRIES || self.probing {
                return Some(Hold::OutOfMemory { until: at + MEMORY_HELD });
            }
        } else {
            self.memory_deaths = 0;
        }
        if self.crashes.len() >= rules.give_up_after || self.probing {
            self.crashes.clear();
            return Some(Hold::CrashLoop { until: at + BREAKER_OPEN });
        }
        None
    }
}
