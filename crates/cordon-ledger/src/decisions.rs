//! Decisions: what a person said of a candidate in quarantine, and why.

use std::fmt;

use cordon_model::{ConnectorName, SyncNumber};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::cells::{self, Cells};
use crate::{EvidenceSeq, Ledger, QuarantinedRow, ReadError, WriteError};

const TABLE: &str = "decisions";

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecisionKind {
    /// The candidate became a snapshot.
    Release,
    /// The candidate was dropped.
    Reject,
}

impl DecisionKind {
    /// The decision in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Reject => "reject",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Release, Self::Reject].into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for DecisionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a person said of a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionRow {
    /// Whose candidate.
    pub connector: ConnectorName,
    /// The sync that brought it.
    pub sync: SyncNumber,
    /// What was decided.
    pub kind: DecisionKind,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// BLAKE3 of the manifest of what was decided on.
    pub digest: String,
    /// When.
    pub at: Timestamp,
    /// The evidence of the decision.
    pub evidence: EvidenceSeq,
}

impl Ledger {
    /// What a person decided on the candidate of a sync; none when nobody did.
    pub async fn decision(
        &self,
        connector: &ConnectorName,
        sync: SyncNumber,
    ) -> Result<Option<DecisionRow>, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        let row = sqlx::query("SELECT * FROM decisions WHERE connector = ?1 AND sync = ?2")
            .bind(connector.as_str())
            .bind(cells::sync_key(sync))
            .fetch_optional(&mut *reader)
            .await
            .map_err(|source| ReadError::Query { table: TABLE, source })?;
        row.as_ref().map(decision).transpose()
    }
}

/// A decision that is to be stored.
pub(crate) struct Decision<'a> {
    pub(crate) kind: DecisionKind,
    pub(crate) by: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) evidence: EvidenceSeq,
}

pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    row: &QuarantinedRow,
    decision: &Decision<'_>,
    now: Timestamp,
) -> Result<(), WriteError> {
    sqlx::query(
        "INSERT INTO decisions (connector, sync, decision, by, reason, digest, at, evidence)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(row.connector.as_str())
    .bind(cells::sync_key(row.sync))
    .bind(decision.kind.as_str())
    .bind(decision.by)
    .bind(decision.reason)
    .bind(&row.digest)
    .bind(now.as_microsecond())
    .bind(cells::number("an evidence number", decision.evidence.0)?)
    .execute(connection)
    .await
    .map_err(|source| WriteError::Query { table: TABLE, source })?;
    Ok(())
}

fn decision(row: &SqliteRow) -> Result<DecisionRow, ReadError> {
    let cells = Cells { table: TABLE, row };
    Ok(DecisionRow {
        connector: cells.connector()?,
        sync: cells.sync("sync")?,
        kind: cells.parsed("decision", DecisionKind::parse)?,
        by: cells.text("by")?,
        reason: cells.text("reason")?,
        digest: cells.text("digest")?,
        at: cells.time("at")?,
        evidence: EvidenceSeq(cells.number("evidence")?),
    })
}
