//! Dry runs: syncs that were judged and discarded.
//!
//! One ends like a run without a candidate, because it leaves none; that it was meant so, its trigger
//! says, and a kind of evidence of its own.

use cordon_model::{ConnectorName, Finding, SyncNumber};
use jiff::Timestamp;
use serde_json::json;
use sqlx::SqliteConnection;

use super::ending::{Judgement, RunEnd, end_run};
use crate::evidence::{self, Entry, kind};
use crate::{ChangeCounts, EvidenceSeq, Ledger, Measured, RunOutcome, WriteError};

/// The trigger of a dry run.
pub const DRY_RUN: &str = "dry-run";

/// What a dry run would have come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// The verdict in one word.
    pub outcome: String,
    /// BLAKE3 of the candidate's manifest, which is gone.
    pub digest: String,
    /// The snapshot that it was compared with.
    pub against: Option<SyncNumber>,
    /// The verdict as JSON.
    pub verdict_json: String,
    /// What the checks noticed.
    pub findings: Vec<Finding>,
    /// How many records it would have changed.
    pub counts: ChangeCounts,
    /// What was measured.
    pub measured: Measured,
}

impl Ledger {
    /// Ends a run whose candidate was judged and discarded.
    pub async fn end_dry_run(
        &self,
        connector: &ConnectorName,
        sync: SyncNumber,
        run: &DryRun,
        now: Timestamp,
    ) -> Result<EvidenceSeq, WriteError> {
        let mut tx = self.begin("runs").await?;
        let done = end(tx.connection(), connector, sync, run, now).await;
        tx.end(done).await
    }
}

async fn end(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    sync: SyncNumber,
    run: &DryRun,
    now: Timestamp,
) -> Result<EvidenceSeq, WriteError> {
    let judgement = Judgement::new(Some(&run.verdict_json), &run.findings)?;
    let error = format!("requested: a dry run, it would have been {}", run.outcome);
    let end = RunEnd {
        outcome: RunOutcome::Failed,
        error: Some(&error),
        changes: Some(run.counts),
        judgement: Some(&judgement),
        digest: Some(&run.digest),
        ..RunEnd::of(&run.measured)
    };
    end_run(connection, connector, sync, &end, now).await?;
    let body = json!({
        "sync": sync,
        "dry_run": true,
        "would_be": run.outcome,
        "digest": run.digest,
        "against": run.against,
        "changes": run.counts,
        "judgement": judgement.body(),
    });
    let entry = Entry { kind: kind::TRIED, connector: Some(connector), actor: "policy", body };
    evidence::append(connection, entry, now).await
}
