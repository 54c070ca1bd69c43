//! What the judge is told beside the candidate: earlier syncs, and what single records say.

use std::time::Duration;

use cordon_store::Snapshot;
use cordon_validate::{Candidate, History, Policy, TimeSpan, Window};
use jiff::Timestamp;

use super::look::{Looked, look};
use super::{Gate, GateError, reread};

/// The times over which a policy counts removals.
pub(crate) fn spans(policy: &Policy) -> Vec<Duration> {
    policy.budgets.iter().map(|budget| budget.within.duration()).collect()
}

impl Gate<'_> {
    pub(super) async fn history(
        &self,
        content_digest: &str,
        candidate: &Candidate,
        last_good: Option<&Snapshot>,
    ) -> Result<History, GateError> {
        let (name, policy) = (&self.connector.name, &self.connector.policy);
        let (ledger, now) = (&self.host.ledger, Timestamp::now());
        let known = ledger.history(name, content_digest, &spans(policy), now).await?;
        let looked = self.look(candidate, last_good, now).await?;
        let waiting = ledger.quarantined(Some(name)).await?;
        let windows = known.windows.into_iter().filter_map(|(within, row)| {
            let within = TimeSpan::of(within)?;
            let cordon_ledger::WindowRow { removed, released, records_then } = row;
            Some((within, Window { removed, released, records_then }))
        });
        Ok(History {
            accepted: known.accepted,
            windows: windows.collect(),
            replays: known.replays,
            watermarks: known.watermarks,
            protected_removed: looked.protected_removed,
            protected_unlisted: looked.protected_unlisted,
            marked_grants: looked.marked_grants,
            rules: looked.rules,
            judged_at: Some(now),
            quarantined: waiting.first().map(|row| row.sync),
            withheld: self.withheld(candidate.sync, last_good, waiting.first()).await?,
            held: 0,
            memory: self.memory().await?,
            lookup: None,
            earlier: waiting.first().and_then(|row| {
                let is_same =
                    row.content_digest == content_digest && row.against == candidate.against;
                reread::waiting(row).as_earlier(row.sync, is_same, policy)
            }),
        })
    }

    /// What single records say, where somebody asks for it.
    async fn look(
        &self,
        candidate: &Candidate,
        last_good: Option<&Snapshot>,
        now: Timestamp,
    ) -> Result<Looked, GateError> {
        let (store, connector) = (self.host.store.clone(), self.connector.clone());
        let (last_good, sync) = (last_good.cloned(), candidate.sync);
        let looked = tokio::task::spawn_blocking(move || {
            let staged = store.candidate(&connector.name, sync)?;
            look(&store, &connector.policy, last_good.as_ref(), &staged, now)
        });
        Ok(looked.await??)
    }
}
