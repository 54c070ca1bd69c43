//! A second reading: who waits for one, since when, and what came of it.
//!
//! Nothing is kept of it but what is in the ledger anyway, the sync that waits and its findings, so a
//! restart changes nothing and a decision by a person ends it.

use cordon_ledger::{Entered, QuarantinedRow, QuarantinedRun};
use cordon_model::SyncNumber;
use cordon_validate::Policy;
use cordon_validate::reading::{Earlier, Waiting};
use jiff::Timestamp;

use super::{Decision, Gate, GateError};

/// The sync that waits, as far as it decides whether the source is read again.
pub(crate) fn waiting(row: &QuarantinedRow) -> Waiting<'_> {
    Waiting { findings: &row.findings, repeats: row.repeats }
}

/// When the source is to be read again because of the sync that waits; none when it is not.
pub(crate) fn due_at(row: &QuarantinedRow, policy: &Policy) -> Option<Timestamp> {
    let awaits = waiting(row).awaits_reading(policy);
    awaits.then(|| row.since.checked_add(policy.reread.after).unwrap_or(Timestamp::MAX))
}

impl Gate<'_> {
    /// Whether a sync that was held just now is read again before anyone is woken.
    pub(super) fn awaits_reading(&self, run: &QuarantinedRun, entered: Entered) -> bool {
        let repeats = u64::from(matches!(entered, Entered::Joined(_)));
        Waiting { findings: &run.findings, repeats }.awaits_reading(&self.connector.policy)
    }

    /// Writes down what the second reading says of the first.
    pub(super) async fn witness_reading(
        &self,
        sync: SyncNumber,
        earlier: &Earlier,
        decision: Decision,
    ) -> Result<(), GateError> {
        let accepted = decision == Decision::Committed;
        let body = serde_json::json!({
            "first": earlier.sync,
            "second": sync,
            "same": earlier.is_same,
            "times": earlier.times,
            "accepted": accepted,
            "transient": accepted && !earlier.is_same,
        });
        let (name, now) = (&self.connector.name, Timestamp::now());
        let kind = cordon_ledger::READ_AGAIN;
        self.host.ledger.append_event(kind, Some(name), "cordond", body, now).await?;
        Ok(())
    }
}
