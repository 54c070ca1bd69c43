//! Named points inside staging and publishing where a drill may stop the process.

use std::fmt;
use std::sync::Arc;

/// Every point, in the order in which a sync passes them, then those of what is left of a candidate
/// when a part of it is published. Those of a file are passed once a file.
pub const FAULT_POINTS: &[&str] = &[
    "store.stage.file-written",
    "store.stage.file-synced",
    "store.stage.object-renamed",
    "store.stage.manifest-written",
    "store.stage.done",
    "store.publish.manifest-written",
    "store.publish.renamed",
    "store.publish.synced",
    "store.rebase.written",
    "store.rebase.settled",
];

/// What a drill does at a point; it gets the point's name.
pub type FaultHook = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Calls the drill's hook, if there is one.
#[derive(Clone, Default)]
pub struct Faults(Option<FaultHook>);

impl Faults {
    pub(crate) fn new(hook: FaultHook) -> Self {
        Self(Some(hook))
    }

    pub(crate) fn pass(&self, point: &'static str) {
        debug_assert!(FAULT_POINTS.contains(&point), "{point} is not listed");
        if let Some(hook) = &self.0 {
            hook(point);
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Faults(hooked)" } else { "Faults(none)" })
    }
}
