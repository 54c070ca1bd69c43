//! What the detector remembers of a connector: read for each judgement, taught by each commit.
//!
//! It is taught within the commit's transaction and by nothing else, so what was not accepted teaches
//! nothing, and no crash comes between. A memory that this version cannot read, or that grew beyond
//! all bounds, stops no sync: the fixed limits hold without it.

use cordon_ledger::{Acceptance, MEMORY_BYTES_MAX};
use cordon_store::Snapshot;
use cordon_validate::detect::{Learned, Memory, Step};

use super::{Gate, GateError};

impl Gate<'_> {
    /// What is remembered of the connector's accepted syncs.
    pub(super) async fn memory(&self) -> Result<Option<Memory>, GateError> {
        let name = &self.connector.name;
        let Some(text) = self.host.ledger.memory(name).await? else { return Ok(None) };
        Ok(serde_json::from_str(&text)
            .inspect_err(|error| {
                tracing::warn!(
                    connector = %name, %error,
                    "what was learnt of this source cannot be read and is learnt anew"
                );
            })
            .ok())
    }

    /// The memory with a candidate that is being accepted; none where it teaches nothing.
    pub(super) async fn learnt(
        &self,
        staged: &Snapshot,
        acceptance: &Acceptance,
    ) -> Result<Option<String>, GateError> {
        let manifest = &staged.manifest;
        let step = match &manifest.step {
            Some(step) => step.clone(),
            // A first sync is no step; it is only known by its content.
            None if manifest.against.is_none() && self.connector.policy.shape.is_on => {
                Step::unchanged(manifest.fingerprint())
            }
            None => return Ok(None),
        };
        let learned = match acceptance {
            Acceptance::Policy { .. } => Learned::Accepted,
            Acceptance::Release { .. } => Learned::Released,
            // What the policy lets flow is looked at by nobody.
            Acceptance::Part(part) if part.by.is_none() => Learned::Accepted,
            Acceptance::Part(_) => Learned::Released,
        };
        let memory = self.memory().await?.unwrap_or_default().learn(&step, learned);
        let text = serde_json::to_string(&memory)?;
        if text.len() > MEMORY_BYTES_MAX {
            let (connector, bytes) = (&self.connector.name, text.len());
            tracing::warn!(%connector, bytes, "what was learnt of this source is too long to keep");
            return Ok(None);
        }
        Ok(Some(text))
    }
}
