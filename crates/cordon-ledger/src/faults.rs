//! Named points at which a drill may stop the process.
//!
//! A commit that survives a crash "at any point" is only as good as the list of points that were
//! tried, so they have names, and a drill walks [`FAULT_POINTS`].

use std::fmt;
use std::sync::Arc;

/// Is called with the name of every fault point that a write passes. May panic or end the process.
pub type FaultHook = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Every fault point, in the order in which a write passes them. `begun`: the transaction is open
/// and nothing is written. `written`: everything is written and nothing is committed. `done`: it is
/// committed and nobody was told.
pub const FAULT_POINTS: &[&str] = &[
    "ledger.commit.begun",
    "ledger.commit.written",
    "ledger.commit.done",
    "ledger.quarantine.begun",
    "ledger.quarantine.written",
    "ledger.quarantine.done",
];

/// The fault points of one kind of write.
pub(crate) struct FaultNames {
    pub(crate) begun: &'static str,
    pub(crate) written: &'static str,
    pub(crate) done: &'static str,
}

pub(crate) const COMMIT: FaultNames =
    FaultNames { begun: FAULT_POINTS[0], written: FAULT_POINTS[1], done: FAULT_POINTS[2] };

pub(crate) const QUARANTINE: FaultNames =
    FaultNames { begun: FAULT_POINTS[3], written: FAULT_POINTS[4], done: FAULT_POINTS[5] };

/// The hook, if one is set.
#[derive(Clone, Default)]
pub(crate) struct Faults(pub(crate) Option<FaultHook>);

impl Faults {
    pub(crate) fn reach(&self, point: &'static str) {
        if let Some(hook) = &self.0 {
            hook(point);
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Faults(set)" } else { "Faults(none)" })
    }
}
