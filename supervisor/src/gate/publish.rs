//! What was accepted becomes the last known good: first the files, then one transaction.

use std::collections::BTreeMap;
use std::time::Instant;

use cordon_ledger::{Acceptance, Commit, Committed};
use cordon_model::{SyncNumber, Watermark};
use cordon_store::{Manifest, Snapshot};
use cordon_validate::Accepted;
use jiff::Timestamp;

use super::{Gate, GateError, changes_of, note};

impl Gate<'_> {
    /// Publishes what was accepted: first the files, then one transaction that makes it current.
    pub(super) async fn publish(
        &self,
        accepted: Accepted,
        staged: &Snapshot,
        acceptance: Acceptance,
    ) -> Result<(), GateError> {
        let commit = match self.make_current(accepted, staged, acceptance).await {
            Ok(done) => done,
            Err(error) => {
                if let Err(error) = self.take_back().await {
                    // The next sync, or the next start, looks again.
                    tracing::error!(sync = %staged.manifest.sync, %error, "cannot take back");
                }
                return Err(error);
            }
        };
        let (commit, committed) = commit;
        (self.host.faults)("gate.committed");
        tracing::info!(
            connector = %commit.connector,
            sync = %commit.sync,
            records = commit.records,
            changes = commit.counts.total(),
            "snapshot committed"
        );
        if let Some(older) = committed.superseded
            && older != commit.sync
        {
            self.discard(older).await;
        }
        Ok(())
    }

    async fn make_current(
        &self,
        accepted: Accepted,
        staged: &Snapshot,
        mut acceptance: Acceptance,
    ) -> Result<(Commit, Committed), GateError> {
        let began = Instant::now();
        let store = self.host.store.clone();
        tokio::task::spawn_blocking(move || store.publish(accepted)).await??;
        (self.host.faults)("gate.published");
        match &mut acceptance {
            Acceptance::Policy { measured, .. } => note(measured, "publish", began.elapsed()),
            Acceptance::Part(part) => note(&mut part.measured, "publish", began.elapsed()),
            Acceptance::Release { .. } => {}
        }
        let memory = self.learnt(staged, &acceptance).await?;
        let commit = Commit { memory, ..commit(staged, acceptance) };
        let committed = self.host.ledger.commit(&commit, Timestamp::now()).await?;
        Ok((commit, committed))
    }

    /// Takes back a snapshot that the ledger does not know: some commit failed half-way. Left where
    /// it is, every later one would be outrun by it.
    pub(super) async fn take_back(&self) -> Result<(), GateError> {
        let Some(sync) = self.unknown().await? else { return Ok(()) };
        // A transaction that the disk refused may still lie whole in the ledger's log, and would
        // come true with the next start. What is written after it takes its place.
        let name = &self.connector.name;
        let body = serde_json::json!({ "sync": sync });
        let now = Timestamp::now();
        self.host
            .ledger
            .append_event("snapshot.withdrawn", Some(name), "cordond", body, now)
            .await?;
        if self.unknown().await? == Some(sync) {
            let (store, name) = (self.host.store.clone(), name.clone());
            tokio::task::spawn_blocking(move || store.withdraw(&name, sync)).await??;
        }
        Ok(())
    }

    /// A snapshot in the store that is newer than what the ledger calls the last known good.
    async fn unknown(&self) -> Result<Option<SyncNumber>, GateError> {
        let current = self.host.ledger.last_good(&self.connector.name).await?.map(|row| row.sync);
        let (store, name) = (self.host.store.clone(), self.connector.name.clone());
        let newest = tokio::task::spawn_blocking(move || store.newest(&name)).await??;
        Ok(newest.filter(|newest| current.is_none_or(|current| current < *newest)))
    }
}

/// How many records a snapshot removes, by label; labels that lose none are absent.
pub(super) fn removed_by_label(manifest: &Manifest) -> BTreeMap<String, u64> {
    let mut removed: BTreeMap<String, u64> = BTreeMap::new();
    for (record_type, step) in manifest.delta.iter().flat_map(|delta| &delta.types) {
        if step.removed > 0 {
            *removed.entry(record_type.label().to_owned()).or_default() += step.removed;
        }
    }
    removed
}

fn commit(staged: &Snapshot, acceptance: Acceptance) -> Commit {
    let manifest = &staged.manifest;
    let (census, delta) = (&manifest.census, manifest.delta.as_ref());
    let mut label_counts: BTreeMap<String, u64> = BTreeMap::new();
    for (record_type, census) in &census.types {
        *label_counts.entry(record_type.label().to_owned()).or_default() += census.records;
    }
    let removed_by_label = removed_by_label(manifest);
    let watermarks: BTreeMap<String, Watermark> = census
        .scopes
        .iter()
        .map(|(name, scope)| (name.clone(), scope.report.watermark.clone()))
        .collect();
    let counts = changes_of(census, delta);
    Commit {
        connector: manifest.connector.clone(),
        sync: manifest.sync,
        digest: staged.digest.to_string(),
        content_digest: staged.content_digest(),
        from: manifest.against,
        taken_at: manifest.taken_at,
        counts,
        delivered: manifest.delivered.map_or(counts.total(), |delivered| delivered.total()),
        pending: manifest.pending.map(|pending| serde_json::json!(pending)),
        records: census.types.values().map(|census| census.records).sum(),
        label_counts,
        removed_by_label,
        watermarks,
        memory: None,
        acceptance,
    }
}
