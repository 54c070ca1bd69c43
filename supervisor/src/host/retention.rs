//! What is kept, and the sweep of the rest.
//!
//! Kept: the newest snapshots of each connector, its last known good, whatever waits for a person,
//! and whatever an outbox still has to deliver. Evidence is never swept.

use std::sync::Arc;

use cordon_ledger::Delivery;
use cordon_store::{Keep, Swept};

use super::Host;

impl Host {
    /// Forgets snapshots beyond what is kept, and removes files that nothing refers to.
    pub(crate) async fn sweep(self: &Arc<Self>) -> anyhow::Result<Swept> {
        for connector in self.ledger.lapse_requests(jiff::Timestamp::now()).await? {
            tracing::info!(%connector, "nobody confirmed a release in time");
            self.refresh(&connector).await;
        }
        let config = self.loaded().config;
        let deliveries: Vec<Delivery> = config
            .sinks
            .values()
            .flat_map(|sink| {
                config.connectors.keys().filter(|connector| sink.takes(connector)).map(
                    |connector| Delivery { sink: sink.name.clone(), connector: connector.clone() },
                )
            })
            .collect();
        let kept = self
            .ledger
            .retain(config.daemon.keep_last, &deliveries, jiff::Timestamp::now())
            .await?;
        let keep = Keep { snapshots: kept.snapshots, candidates: kept.candidates };
        let store = self.store.clone();
        let swept = tokio::task::spawn_blocking(move || store.sweep(&keep)).await??;
        if swept != Swept::default() {
            tracing::info!(?swept, "swept the store");
        }
        Ok(swept)
    }
}
