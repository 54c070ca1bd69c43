//! What a person decides about a candidate that waits.

use cordon_ledger::{Acceptance, QuarantinedRow};
use cordon_validate::{Release, Verdict};
use jiff::Timestamp;

use super::{Gate, GateError};

impl Gate<'_> {
    /// Lets a quarantined candidate pass on a person's word.
    pub(crate) async fn release(
        &self,
        waiting: QuarantinedRow,
        release: Release,
    ) -> Result<(), GateError> {
        let verdict: Verdict = serde_json::from_str(&waiting.verdict_json)?;
        self.take_back().await?;
        let current = self.host.ledger.last_good(&self.connector.name).await?.map(|row| row.sync);
        let (by, reason) = (release.by.clone(), release.reason.clone());
        let accepted = cordon_validate::release(verdict, release, current)?;
        let staged = self.staged(waiting.sync).await?;
        self.publish(accepted, &staged, Acceptance::Release { by, reason }).await?;
        self.tell(waiting.sync).await;
        Ok(())
    }

    /// Ends a quarantine without accepting anything.
    pub(crate) async fn refuse(
        &self,
        waiting: &QuarantinedRow,
        by: &str,
        reason: &str,
    ) -> Result<u64, GateError> {
        let name = &self.connector.name;
        let now = Timestamp::now();
        let told = self.host.ledger.reject_quarantined(name, waiting.sync, by, reason, now).await?;
        self.discard(waiting.sync).await;
        self.tell(waiting.sync).await;
        Ok(told.0)
    }
}
