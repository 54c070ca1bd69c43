//! What should happen next to one connector: a pure state machine.
//!
//! `step` takes what is known and what happened, and says what to do. It holds no process, no clock
//! and no dice: time and chance arrive in the event. First start, crash, restart, pause and resume
//! all take one path: whatever happened is noted, then [`settle`] steers towards what is wanted, so
//! an order that comes twice, or crosses a death, ends in the same place.

use std::collections::VecDeque;
use std::time::Duration;

mod backoff;

pub(crate) use backoff::Backoff;

use crate::limits::{BREAKER_OPEN, BREAKER_WINDOW};

/// What an operator wants of a connector. Survives restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Sync when due.
    Run,
    /// Neither sync nor deliver.
    Paused,
    /// Do not sync; what was accepted goes on being delivered.
    Stopped,
}

/// Why a sync is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// Its time has come.
    Schedule,
    /// The one before failed.
    Retry,
    /// Somebody asked.
    Operator,
}

impl Trigger {
    /// The trigger in one word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Retry => "retry",
            Self::Operator => "operator",
        }
    }
}

/// What a failure says about the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Died, hung or broke the contract: try again, later and later.
    Crash,
    /// The source is away, or asked to wait at least so long.
    Source { retry_after: Option<Duration> },
    /// Nothing changes until the configuration does.
    Config,
}

/// Where the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// There is none.
    Down,
    /// It was started and has not answered yet.
    Starting,
    /// It waits for work.
    Up,
    /// It reports.
    Syncing(Trigger),
    /// It was told to die.
    Stopping,
}

/// Why nothing is started although it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Waiting before the next try.
    BackingOff { until: Duration },
    /// Failed too often; opens again by itself at `until`, or by a person.
    CrashLoop { until: Duration },
    /// Only another configuration, or a person, can help.
    Misconfigured,
}

/// What happened. `at` is a monotonic time; it never runs backwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Event {
    /// A sync is due.
    Due(Trigger),
    /// The process answered `Configure`.
    Ready,
    /// The sync came to a verdict.
    SyncDone,
    /// Start or sync failed; `alive` says whether the process is still of use. `roll` is the dice,
    /// 0 to 1.
    Failed { failure: Failure, alive: bool, roll: f64 },
    /// The process and all its children are gone.
    Gone { roll: f64 },
    /// What is wanted has changed.
    Wanted(Wanted),
    /// An operator orders a fresh start; it does not count as a failure.
    Restart,
    /// The configuration changed: what runs is out of date.
    Reconfigured,
    /// It had nothing to do for `idle_timeout`.
    IdleTooLong,
    /// A moment that was asked for has come.
    Tick,
    /// The service ends: nothing begins any more, and a sync that runs may come to its end.
    Drain,
    /// It ends now.
    Shutdown,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Start a process; answer with `Ready` or `Failed`.
    Launch,
    /// Sync; answer with `SyncDone` or `Failed`.
    Sync(Trigger),
    /// Kill the process, whatever it does; answer with `Gone`.
    Kill,
    /// Send `Tick` at that time.
    WakeAt(Duration),
}

/// How one connector is treated; a part of its configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rules {
    /// How long to wait after a failure.
    pub(crate) backoff: Backoff,
    /// Failures within [`BREAKER_WINDOW`] that open the breaker.
    pub(crate) give_up_after: usize,
}

/// All that decides about one connector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unit {
    /// What an operator wants.
    pub(crate) wanted: Wanted,
    /// Where the process is.
    pub(crate) phase: Phase,
    /// A sync that waits to run.
    pub(crate) due: Option<Trigger>,
    /// Why it waits.
    pub(crate) hold: Option<Hold>,
    /// Failures in a row.
    pub(crate) streak: u32,
    failures: VecDeque<Duration>,
    draining: bool,
    closing: bool,
}

impl Unit {
    /// A connector of which nothing runs yet.
    pub(crate) fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            phase: Phase::Down,
            due: None,
            hold: None,
            streak: 0,
            failures: VecDeque::new(),
            draining: false,
            closing: false,
        }
    }
}

/// Notes what happened, and says what to do.
pub(crate) fn step(
    mut unit: Unit,
    event: Event,
    at: Duration,
    rules: &Rules,
) -> (Unit, Vec<Effect>) {
    let mut effects = Vec::new();
    match event {
        Event::Due(trigger) => note_due(&mut unit, trigger),
        // A launch that lost the race against an order finds `Stopping`: its process must not
        // outlive the order, and the kill is already on its way.
        Event::Ready if unit.phase == Phase::Starting => unit.phase = Phase::Up,
        Event::SyncDone if matches!(unit.phase, Phase::Syncing(_)) => {
            unit.phase = Phase::Up;
            unit.streak = 0;
            unit.failures.clear();
        }
        Event::Failed { failure, alive, roll } => {
            note_failed(&mut unit, failure, alive, at, roll, rules, &mut effects);
        }
        Event::Gone { roll } => note_gone(&mut unit, at, roll, rules),
        Event::Wanted(wanted) => note_wanted(&mut unit, wanted),
        Event::Restart => {
            forgive(&mut unit);
            stop(&mut unit, &mut effects);
        }
        Event::Reconfigured => {
            forgive(&mut unit);
            stop(&mut unit, &mut effects);
        }
        Event::IdleTooLong if unit.phase == Phase::Up && unit.due.is_none() => {
            stop(&mut unit, &mut effects);
        }
        Event::Drain => unit.draining = true,
        Event::Shutdown => unit.closing = true,
        Event::Ready | Event::SyncDone | Event::IdleTooLong | Event::Tick => {}
    }
    settle(&mut unit, at, &mut effects);
    (unit, effects)
}

fn note_due(unit: &mut Unit, trigger: Trigger) {
    if trigger == Trigger::Operator {
        forgive(unit);
    }
    // One sync is enough for all who ask; an operator's word is the one to remember.
    if unit.due.is_none() || trigger == Trigger::Operator {
        unit.due = Some(trigger);
    }
}

fn note_wanted(unit: &mut Unit, wanted: Wanted) {
    if unit.wanted != wanted && wanted == Wanted::Run {
        forgive(unit);
    }
    unit.wanted = wanted;
}

fn note_failed(
    unit: &mut Unit,
    failure: Failure,
    alive: bool,
    at: Duration,
    roll: f64,
    rules: &Rules,
    effects: &mut Vec<Effect>,
) {
    match unit.phase {
        Phase::Starting | Phase::Syncing(_) => {}
        Phase::Down | Phase::Up | Phase::Stopping => return,
    }
    punish(unit, failure, at, roll, rules);
    unit.due.get_or_insert(Trigger::Retry);
    if alive {
        unit.phase = Phase::Up;
    } else {
        stop(unit, effects);
    }
}

fn note_gone(unit: &mut Unit, at: Duration, roll: f64, rules: &Rules) {
    match unit.phase {
        Phase::Stopping | Phase::Down => {}
        // It died while nobody wanted anything of it: that counts, but nothing is lost.
        Phase::Up => punish(unit, Failure::Crash, at, roll, rules),
        Phase::Starting | Phase::Syncing(_) => {
            punish(unit, Failure::Crash, at, roll, rules);
            unit.due.get_or_insert(Trigger::Retry);
        }
    }
    unit.phase = Phase::Down;
}

fn punish(unit: &mut Unit, failure: Failure, at: Duration, roll: f64, rules: &Rules) {
    unit.streak = unit.streak.saturating_add(1);
    let retry_after = match failure {
        Failure::Config => {
            unit.hold = Some(Hold::Misconfigured);
            return;
        }
        Failure::Source { retry_after } => retry_after,
        Failure::Crash => {
            unit.failures.push_back(at);
            while unit.failures.front().is_some_and(|first| at - *first > BREAKER_WINDOW) {
                unit.failures.pop_front();
            }
            if unit.failures.len() >= rules.give_up_after {
                unit.failures.clear();
                unit.hold = Some(Hold::CrashLoop { until: at + BREAKER_OPEN });
                return;
            }
            None
        }
    };
    let delay = rules.backoff.delay(unit.streak, roll).max(retry_after.unwrap_or_default());
    unit.hold = Some(Hold::BackingOff { until: at + delay });
}

fn forgive(unit: &mut Unit) {
    unit.hold = None;
    unit.streak = 0;
    unit.failures.clear();
}

/// Kills what runs; a sync that it interrupts stays due.
fn stop(unit: &mut Unit, effects: &mut Vec<Effect>) {
    match unit.phase {
        Phase::Down | Phase::Stopping => return,
        Phase::Syncing(trigger) => {
            unit.due.get_or_insert(trigger);
        }
        Phase::Starting | Phase::Up => {}
    }
    unit.phase = Phase::Stopping;
    effects.push(Effect::Kill);
}

fn settle(unit: &mut Unit, at: Duration, effects: &mut Vec<Effect>) {
    if unit.closing || unit.wanted != Wanted::Run {
        stop(unit, effects);
        return;
    }
    if unit.draining {
        if !matches!(unit.phase, Phase::Syncing(_)) {
            stop(unit, effects);
        }
        return;
    }
    match unit.hold {
        Some(Hold::BackingOff { until } | Hold::CrashLoop { until }) if until <= at => {
            unit.hold = None;
        }
        _ => {}
    }
    let Some(trigger) = unit.due else { return };
    match unit.hold {
        Some(Hold::BackingOff { until } | Hold::CrashLoop { until }) => {
            effects.push(Effect::WakeAt(until));
            return;
        }
        Some(Hold::Misconfigured) => return,
        None => {}
    }
    match unit.phase {
        Phase::Down => {
            unit.phase = Phase::Starting;
            effects.push(Effect::Launch);
        }
        Phase::Up => {
            unit.due = None;
            unit.phase = Phase::Syncing(trigger);
            effects.push(Effect::Sync(trigger));
        }
        Phase::Starting | Phase::Syncing(_) | Phase::Stopping => {}
    }
}

#[cfg(test)]
mod tests;
