//! Named points at which a drill may end the supervisor.
//!
//! A commit is only proven whole by dying in every gap of it. `CORDON_FAULT=<point>` or
//! `<point>:<n>` kills the process with SIGKILL at the n-th pass of that point: no destructor runs,
//! no buffer is flushed, as in a real crash. `block:<point>` or `block:<point>:<n>` blocks the thread
//! that passes there for ever, as a deadlock would; `<point>:<n>:panic` panics there, which only the
//! task that passes may notice. Honoured under `--dev` alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Called with the name of each point as it is passed.
pub(crate) type Hook = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Points of the supervisor itself; the store and the ledger name their own.
pub(crate) const FAULT_POINTS: &[&str] = &[
    "host.opening",
    "main.heartbeat",
    "session.stream-begun",
    "session.batch",
    "session.stream-ended",
    "gate.staged",
    "gate.judged",
    "part.composed",
    "part.rebased",
    "part.judged",
    "gate.published",
    "gate.committed",
    "outbox.delivered",
    "outbox.advanced",
];

/// Every point there is, for the drills' own list.
pub(crate) fn all_points() -> impl Iterator<Item = &'static str> {
    FAULT_POINTS
        .iter()
        .chain(cordon_store::FAULT_POINTS)
        .chain(cordon_ledger::FAULT_POINTS)
        .copied()
}

/// A hook that does nothing.
pub(crate) fn none() -> Hook {
    Arc::new(|_| {})
}

/// The hook that a drill asked for.
pub(crate) fn from_order(order: &str) -> anyhow::Result<Hook> {
    let (blocks, place) = match order.strip_prefix("block:") {
        Some(place) => (true, place),
        None => (false, order),
    };
    let (place, panics) = match place.strip_suffix(":panic") {
        Some(place) => (place, true),
        None => (place, false),
    };
    let (point, pass) = match place.split_once(':') {
        Some((point, pass)) => (point, pass.parse::<u64>()?),
        None => (place, 1),
    };
    let Some(point) = all_points().find(|known| *known == point) else {
        anyhow::bail!(
            "CORDON_FAULT names {point:?}, which is no fault point; there are: {}",
            all_points().collect::<Vec<_>>().join(", ")
        );
    };
    let passes = AtomicU64::new(0);
    Ok(Arc::new(move |passed| {
        if passed == point && passes.fetch_add(1, Ordering::SeqCst) + 1 == pass {
            if blocks {
                block();
            }
            assert!(!panics, "a drill at {point}");
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
        }
    }))
}

/// Blocks this thread until the process ends.
fn block() -> ! {
    loop {
        std::thread::park();
    }
}
