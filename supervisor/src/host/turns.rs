//! One decision on a connector at a time: a release and the verdict on a sync do not overtake each
//! other, and another connector waits for neither.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cordon_model::ConnectorName;
use tokio::sync::OwnedMutexGuard;

/// The turns of every connector.
#[derive(Default)]
pub(crate) struct Turns(Mutex<BTreeMap<ConnectorName, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for this connector's turn; it lasts as long as the answer is held.
    pub(crate) async fn take(&self, name: &ConnectorName) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(name.clone()).or_default().clone()
        };
        turn.lock_owned().await
    }
}
