//! Is a sync alive? Judged by its work, never by its process being up or its channel answering.
//!
//! A connector whose event loop answers pings and that gets nowhere looks healthy to everything but
//! its counters. So records, finished scopes and reported progress are counted as they come, and
//! [`pulse`] holds them against the clock. What is late is not ended at once: [`starved`] looks first
//! whether this host, or a limit that we set, held it back, and then it gets the same time once more.
//! What is ended at once is a [`bomb`].
//!
//! Here is the shell around them: it ticks, reads files of the kernel, and asks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cordon_sandbox::{Step, Weight};

use crate::limits::GIVE_WAY_AFTER;
use crate::process::Process;
use crate::schedule::in_words;
use crate::unit::Credit;

mod bomb;
mod pulse;
mod readings;
mod standing;
mod starved;

pub(crate) use bomb::Bomb;
use bomb::Fuse;
pub(crate) use pulse::{Bounds, Late, Rate};
use pulse::{Pulse, Seen};
use readings::Reader;
use standing::Standing;

/// The longest time between two looks.
const LOOK: Duration = GIVE_WAY_AFTER;
/// Looks within the shortest bound, so that it is met to a tenth.
const LOOKS_IN_A_BOUND: u32 = 20;

/// What a sync has done so far. Written by whoever reads its stream.
#[derive(Debug, Default)]
pub(crate) struct Work {
    units: AtomicU64,
    brought: AtomicU64,
    ours: AtomicBool,
    extended: Mutex<Option<String>>,
}

impl Work {
    /// So many units are done, so many of them seen here and not only told: both only rise.
    pub(crate) fn note(&self, units: u64, brought: u64) {
        self.units.fetch_max(units, Ordering::Relaxed);
        self.brought.fetch_max(brought, Ordering::Relaxed);
    }

    /// Whether it is the supervisor that the connector waits for: time that is not its own.
    pub(crate) fn wait_for_us(&self, ours: bool) {
        self.ours.store(ours, Ordering::Relaxed);
    }

    /// That it got more time, and why; none when it did not.
    pub(crate) fn extended(&self) -> Option<String> {
        self.extended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn seen(&self) -> Seen {
        Seen { units: self.units.load(Ordering::Relaxed), ours: self.ours.load(Ordering::Relaxed) }
    }
}

/// Why a sync is ended by who looks on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// It does not get on.
    Late(Late),
    /// It asks for tasks without end.
    Bomb(Bomb),
}

/// Looks on until the sync is to blame: it is late, and had its time extended once where it was held
/// back, or it is a bomb.
pub(crate) async fn watch(bounds: Bounds, work: &Work, process: &Process, credit: Credit) -> Blame {
    let look = bounds.shortest().div_f64(f64::from(LOOKS_IN_A_BOUND)).min(LOOK);
    let look = look.max(Duration::from_millis(1));
    let mut reader = Reader::new(process.report.cgroups.clone());
    let tasks = process.report.item(Step::LimitTasks).and_then(|item| item.in_force);
    let first = reader.read(Duration::ZERO);
    let mut pulse = Pulse::new(bounds, first.at);
    let (mut begun, mut moved, mut window) = (first, first, first);
    let mut fuse = Fuse::new(tasks, &first);
    let mut passed_over = false;
    let standing = Standing::new(credit, first.at);
    let mut weights = Weights::new(process, standing, first.at);
    loop {
        tokio::time::sleep(look).await;
        let now = reader.read(look);
        // Held up itself, the supervisor has not read yet what came meanwhile.
        passed_over = !passed_over && now.held_up_by > look * 4;
        if passed_over {
            continue;
        }
        let brought = work.brought.load(Ordering::Relaxed);
        if let Some(bomb) = fuse.look(&now, brought) {
            return Blame::Bomb(bomb);
        }
        let before = pulse;
        let late = pulse.look(now.at, work.seen());
        if pulse.moved_at() != before.moved_at() {
            moved = now;
        }
        weights.look(now.at, brought);
        if pulse.window_from() != before.window_from() {
            window = now;
        }
        let Some(late) = late else { continue };
        let since = match late {
            Late::Stalled(_) => moved,
            Late::TooSlow { .. } => window,
            Late::Deadline(_) => begun,
        };
        let Some(why) = starved::judge(&since, &now) else { return Blame::Late(late) };
        if !pulse.extend(&late, now.at) {
            return Blame::Late(late);
        }
        (begun, moved, window) = (now, now, now);
        let told = format!("given {} more, for {why}", in_words(late.span()));
        tracing::warn!(late = %late, extended = told, "a sync is late, and not to blame for it");
        *work.extended.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }
}

/// What a sync weighs now, and is told to the kernel when it changes.
struct Weights<'a> {
    process: &'a Process,
    standing: Standing,
    weight: Weight,
}

impl<'a> Weights<'a> {
    fn new(process: &'a Process, mut standing: Standing, now: Duration) -> Self {
        let weight = standing.look(now, 0);
        // Whatever the sync before it was left with.
        weigh(process, weight);
        Self { process, standing, weight }
    }

    fn look(&mut self, now: Duration, brought: u64) {
        let weight = self.standing.look(now, brought);
        if weight != self.weight {
            self.weight = weight;
            weigh(self.process, weight);
        }
    }
}

/// Where it is ended, what is left of it has the time to die.
impl Drop for Weights<'_> {
    fn drop(&mut self) {
        if self.weight == Weight::Little {
            weigh(self.process, Weight::Least);
        }
    }
}

fn weigh(process: &Process, weight: Weight) {
    let limit = process.report.item(Step::LimitCpu).and_then(|item| item.in_force);
    if let Err(error) = cordon_sandbox::weigh(&process.report.cgroups, weight, limit) {
        tracing::debug!(pid = process.pid, %error, "a connector cannot be weighed");
    }
}
