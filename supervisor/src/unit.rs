//! What should happen next to one connector: a pure state machine.
//!
//! `step` takes what is known and what happened, and says what to do. It holds no process, no clock
//! and no dice: time and chance arrive in the event. First start, crash, restart, pause and resume
//! all take one path: whatever happened is noted, then [`settle`] steers towards what is wanted, so
//! an order that comes twice, or crosses a death, ends in the same place.

use std::time::Duration;

mod backoff;
mod record;

pub(crate) use backoff::Backoff;
use record::Record;

use crate::reason::{Class, Reason};

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
    /// The one before is suspicious, and is read again before a person is woken.
    Reread,
    /// Somebody asked.
    Operator,
    /// Somebody asked what would come of one. What it brings is judged and discarded.
    DryRun,
}

impl Trigger {
    /// The trigger in one word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Retry => "retry",
            Self::Reread => "reread",
            Self::Operator => "operator",
            Self::DryRun => cordon_ledger::DRY_RUN,
        }
    }
}

/// A start or a sync that came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Why.
    pub(crate) reason: Reason,
    /// The source asked to be left alone so long, at least.
    pub(crate) retry_after: Option<Duration>,
}

/// Numbers the starts of one connector, so that what is told of one is not taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct StartNumber(pub(crate) u64);

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
    /// Failed too often; one try at `until`, or by a person.
    CrashLoop { until: Duration },
    /// Died of its memory limit again and again; one try at `until`, or by a person.
    OutOfMemory { until: Duration },
    /// Only another configuration, or a person, can help.
    Misconfigured,
}

impl Hold {
    fn until(self) -> Option<Duration> {
        match self {
            Self::BackingOff { until }
            | Self::CrashLoop { until }
            | Self::OutOfMemory { until } => Some(until),
            Self::Misconfigured => None,
        }
    }
}

/// What happened. `at` is a monotonic time; it never runs backwards. What is told of a process names
/// its start, and is not heard when another was started since.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Event {
    /// A sync is due.
    Due(Trigger),
    /// The process answered `Configure`.
    Ready { start: StartNumber },
    /// The sync came to a verdict; a quarantine is one.
    SyncDone { start: StartNumber },
    /// Start or sync failed; `alive` says whether the process is still of use. `roll` is the dice,
    /// 0 to 1.
    Failed { start: StartNumber, failure: Failure, alive: bool, roll: f64 },
    /// The process and all its children are gone.
    Gone { start: StartNumber, reason: Reason, roll: f64 },
    /// What is wanted has changed.
    Wanted(Wanted),
    /// An operator orders a fresh start; it does not count as a failure.
    Restart,
    /// The configuration changed: what runs is out of date.
    Reconfigured,
    /// Files that it was shown were replaced: what waits for work would read the old ones.
    Outdated,
    /// It had nothing to do for `idle_timeout`.
    IdleTooLong,
    /// A moment that was asked for has come.
    Tick,
    /// The service ends: nothing begins any more, and a sync that runs may come to its end.
    Drain,
    /// It ends now.
    Shutdown,
}

impl Event {
    /// The start that it speaks of; none when it speaks of no process.
    fn start(self) -> Option<StartNumber> {
        match self {
            Self::Ready { start }
            | Self::SyncDone { start }
            | Self::Failed { start, .. }
            | Self::Gone { start, .. } => Some(start),
            _ => None,
        }
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Start a process under that number; answer with `Ready` or `Failed`.
    Launch(StartNumber),
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

/// Whether a sync is taken at its word, as long as nothing speaks against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credit {
    /// The last that ended by its own doing ended well, or there was none.
    Given,
    /// It crashed, broke its contract or met a limit: what brings a host to its knees does so again
    /// at the next try. Only a good sync gives it back, and no operator's word.
    Lost,
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
    /// Why it failed last, until it does what it should.
    pub(crate) failed: Option<Reason>,
    /// What the next sync is given beside others.
    pub(crate) credit: Credit,
    /// The number of the newest start.
    pub(crate) start: StartNumber,
    /// A process is wanted although no sync is due.
    fresh: bool,
    record: Record,
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
            failed: None,
            credit: Credit::Given,
            start: StartNumber::default(),
            fresh: false,
            record: Record::default(),
            draining: false,
            closing: false,
        }
    }

    /// Failures in a row.
    pub(crate) fn streak(&self) -> u32 {
        self.record.streak
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
    // Told late, of a process that another has followed.
    if event.start().is_some_and(|start| start != unit.start) {
        return (unit, effects);
    }
    match event {
        Event::Due(trigger) => note_due(&mut unit, trigger),
        // A launch that lost the race against an order finds `Stopping`: its process must not
        // outlive the order, and the kill is already on its way.
        Event::Ready { .. } if unit.phase == Phase::Starting => {
            unit.phase = Phase::Up;
            unit.fresh = false;
            unit.record.note_running(at);
        }
        Event::SyncDone { .. } if matches!(unit.phase, Phase::Syncing(_)) => {
            unit.phase = Phase::Up;
            unit.failed = None;
            unit.credit = Credit::Given;
            unit.record.clear();
        }
        Event::Failed { failure, alive, roll, .. } => {
            note_failed(&mut unit, failure, alive, at, roll, rules, &mut effects);
        }
        Event::Gone { reason, roll, .. } => note_gone(&mut unit, reason, at, roll, rules),
        Event::Wanted(wanted) => note_wanted(&mut unit, wanted),
        Event::Restart => {
            forgive(&mut unit);
            unit.fresh = unit.wanted == Wanted::Run;
            stop(&mut unit, &mut effects);
        }
        Event::Reconfigured => {
            forgive(&mut unit);
            stop(&mut unit, &mut effects);
        }
        Event::IdleTooLong if unit.phase == Phase::Up && unit.due.is_none() => {
            stop(&mut unit, &mut effects);
        }
        Event::Outdated if unit.phase == Phase::Up => stop(&mut unit, &mut effects),
        Event::Drain => unit.draining = true,
        Event::Shutdown => unit.closing = true,
        Event::Ready { .. }
        | Event::SyncDone { .. }
        | Event::Outdated
        | Event::IdleTooLong
        | Event::Tick => {}
    }
    settle(&mut unit, at, &mut effects);
    (unit, effects)
}

fn note_due(unit: &mut Unit, trigger: Trigger) {
    if matches!(trigger, Trigger::Operator | Trigger::DryRun) {
        forgive(unit);
    }
    // One sync is enough for all who ask; an operator's word is the one to remember. A dry run is
    // none, so a sync takes its place.
    let tries = unit.due == Some(Trigger::DryRun);
    if unit.due.is_none() || trigger == Trigger::Operator || tries {
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
    try_again(unit);
    if alive {
        unit.phase = Phase::Up;
    } else {
        stop(unit, effects);
    }
}

fn note_gone(unit: &mut Unit, reason: Reason, at: Duration, roll: f64, rules: &Rules) {
    let failure = Failure { reason, retry_after: None };
    match unit.phase {
        Phase::Stopping | Phase::Down => {}
        // It died while nobody wanted anything of it: that counts, but nothing is lost.
        Phase::Up => punish(unit, failure, at, roll, rules),
        Phase::Starting | Phase::Syncing(_) => {
            punish(unit, failure, at, roll, rules);
            try_again(unit);
        }
    }
    unit.phase = Phase::Down;
    unit.record.note_gone();
}

/// What failed is due again. A start that was ordered for its own sake is not: whoever ordered it
/// was told. Whoever asked for a sync while it started gets a try of their own, without a wait.
fn try_again(unit: &mut Unit) {
    // Whoever asked for a dry run was told how it ended.
    if unit.phase == Phase::Syncing(Trigger::DryRun) {
        return;
    }
    if unit.phase == Phase::Starting && unit.due == Some(Trigger::DryRun) {
        unit.due = None;
        return;
    }
    let was_fresh = std::mem::take(&mut unit.fresh) && unit.phase == Phase::Starting;
    match unit.due {
        None if was_fresh => return,
        Some(Trigger::Operator) if was_fresh => forgive(unit),
        _ => {}
    }
    unit.due.get_or_insert(Trigger::Retry);
}

fn punish(unit: &mut Unit, failure: Failure, at: Duration, roll: f64, rules: &Rules) {
    unit.hold = Some(unit.record.fail(failure, at, roll, rules));
    if matches!(failure.reason.class(), Class::Crash | Class::Memory) {
        unit.credit = Credit::Lost;
    }
    unit.failed = Some(failure.reason);
}

fn forgive(unit: &mut Unit) {
    unit.hold = None;
    unit.failed = None;
    unit.record.clear();
}

/// Kills what runs; a sync that it interrupts stays due.
fn stop(unit: &mut Unit, effects: &mut Vec<Effect>) {
    match unit.phase {
        Phase::Down | Phase::Stopping => return,
        Phase::Syncing(Trigger::DryRun) | Phase::Starting | Phase::Up => {}
        Phase::Syncing(trigger) => {
            unit.due.get_or_insert(trigger);
        }
    }
    unit.phase = Phase::Stopping;
    effects.push(Effect::Kill);
}

fn settle(unit: &mut Unit, at: Duration, effects: &mut Vec<Effect>) {
    if unit.closing || unit.wanted != Wanted::Run {
        unit.fresh = false;
        stop(unit, effects);
        return;
    }
    if unit.draining {
        if !matches!(unit.phase, Phase::Syncing(_)) {
            stop(unit, effects);
        }
        return;
    }
    if let Some(hold) = unit.hold
        && hold.until().is_some_and(|until| until <= at)
    {
        unit.hold = None;
        unit.record.note_hold_ended(hold);
    }
    if unit.due.is_none() && !unit.fresh {
        return;
    }
    if let Some(hold) = unit.hold {
        effects.extend(hold.until().map(Effect::WakeAt));
        return;
    }
    match (unit.phase, unit.due) {
        (Phase::Down, _) => {
            unit.phase = Phase::Starting;
            // A start that a sync waits for is that sync's, whoever ordered a process besides.
            unit.fresh &= unit.due.is_none();
            unit.start.0 += 1;
            effects.push(Effect::Launch(unit.start));
        }
        (Phase::Up, Some(trigger)) => {
            unit.due = None;
            unit.phase = Phase::Syncing(trigger);
            effects.push(Effect::Sync(trigger));
        }
        (Phase::Up, None) => unit.fresh = false,
        (Phase::Starting | Phase::Syncing(_) | Phase::Stopping, _) => {}
    }
}

#[cfg(test)]
mod tests;
