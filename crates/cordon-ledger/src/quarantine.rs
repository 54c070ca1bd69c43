//! The quarantine: at most one candidate of a connector waits for a person.
//!
//! A sync that brings the same content again, compared with the same snapshot, joins the one that
//! waits: the digest that a person reviewed stays the one that they release. Other content takes its
//! place, so that a review never shows what the source no longer says.

use cordon_model::{ConnectorName, Finding, SyncNumber};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::cells::{self, Cells};
use crate::decisions::{self, Decision};
use crate::evidence::{self, Entry, kind};
use crate::faults::QUARANTINE;
use crate::runs::{self, Judgement, RunEnd};
use crate::{
    ChangeCounts, DecisionKind, EvidenceSeq, Ledger, LeftBy, Measured, ReadError, Rest, RunOutcome,
    WriteError, requests, rest,
};

const TABLE: &str = "quarantine";

/// A run whose candidate waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedRun {
    /// Whose sync.
    pub connector: ConnectorName,
    /// Its number.
    pub sync: SyncNumber,
    /// BLAKE3 of the candidate's manifest.
    pub digest: String,
    /// Digest of the content alone: equal content, equal digest.
    pub content_digest: String,
    /// The snapshot that it was compared with.
    pub against: Option<SyncNumber>,
    /// The verdict as JSON.
    pub verdict_json: String,
    /// What the checks noticed.
    pub findings: Vec<Finding>,
    /// How many records it would change.
    pub counts: ChangeCounts,
    /// Who left it, where it is the rest of something already.
    pub left_by: Option<LeftBy>,
    /// What was measured.
    pub measured: Measured,
}

/// How a candidate entered the quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// Nothing waited before.
    New,
    /// It repeats what this sync brought, which goes on waiting; its own files are not needed.
    Joined(SyncNumber),
    /// It took the place of this sync.
    Superseded(SyncNumber),
}

/// A candidate that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuarantinedRow {
    /// Whose it is.
    pub connector: ConnectorName,
    /// The sync that brought it first.
    pub sync: SyncNumber,
    /// BLAKE3 of its manifest; a release has to name it.
    pub digest: String,
    /// Digest of the content alone.
    pub content_digest: String,
    /// The snapshot that it was compared with.
    pub against: Option<SyncNumber>,
    /// The verdict as JSON.
    pub verdict_json: String,
    /// What the checks noticed.
    pub findings: Vec<Finding>,
    /// How many records it would change.
    pub counts: ChangeCounts,
    /// Records that it holds.
    pub records: u64,
    /// Since when it waits.
    pub since: Timestamp,
    /// How many later syncs brought the same.
    pub repeats: u64,
    /// The last sync that brought it.
    pub last_sync: SyncNumber,
    /// The evidence of its quarantine.
    pub evidence: EvidenceSeq,
    /// What makes it a rest, where a part of it was published.
    pub rest: Option<Rest>,
    /// The findings as they are stored and named in the evidence.
    #[serde(skip)]
    pub(crate) findings_json: String,
}

impl Ledger {
    /// Ends a run by putting its candidate into quarantine.
    pub async fn quarantine_run(
        &self,
        run: &QuarantinedRun,
        now: Timestamp,
    ) -> Result<(EvidenceSeq, Entered), WriteError> {
        let mut tx = self.begin(TABLE).await?;
        self.faults.reach(QUARANTINE.begun);
        let done = enter(tx.connection(), run, now).await;
        tx.end_with(done, &self.faults, Some(&QUARANTINE)).await
    }

    /// Ends a quarantine without accepting anything. The last known good stays.
    pub async fn reject_quarantined(
        &self,
        connector: &ConnectorName,
        sync: SyncNumber,
        actor: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<EvidenceSeq, WriteError> {
        cells::reasoned(actor, reason)?;
        let mut tx = self.begin(TABLE).await?;
        let done = reject(tx.connection(), connector, sync, (actor, reason), now).await;
        tx.end(done).await
    }

    /// What waits for a person: of one connector, or of all.
    pub async fn quarantined(
        &self,
        connector: Option<&ConnectorName>,
    ) -> Result<Vec<QuarantinedRow>, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        open(&mut reader, connector).await
    }
}

fn query(source: sqlx::Error) -> ReadError {
    ReadError::Query { table: TABLE, source }
}

/// What waits in quarantine.
pub(crate) async fn open(
    connection: &mut SqliteConnection,
    connector: Option<&ConnectorName>,
) -> Result<Vec<QuarantinedRow>, ReadError> {
    sqlx::query(
        "SELECT q.*, r.verdict, r.findings, r.changes, r.records, t.left_by, t.released
         FROM quarantine q
         JOIN runs r ON r.connector = q.connector AND r.sync = q.sync
         LEFT JOIN rests t ON t.connector = q.connector AND t.sync = q.sync
         WHERE q.state = 'open' AND (?1 IS NULL OR q.connector = ?1) ORDER BY q.connector",
    )
    .bind(connector.map(ConnectorName::as_str))
    .fetch_all(connection)
    .await
    .map_err(query)?
    .iter()
    .map(quarantined)
    .collect()
}

async fn enter(
    connection: &mut SqliteConnection,
    run: &QuarantinedRun,
    now: Timestamp,
) -> Result<(EvidenceSeq, Entered), WriteError> {
    let waiting = open(connection, Some(&run.connector)).await?.pop();
    let entered = match &waiting {
        None => Entered::New,
        Some(row) if row.content_digest == run.content_digest && row.against == run.against => {
            Entered::Joined(row.sync)
        }
        Some(row) => Entered::Superseded(row.sync),
    };
    let (joined, superseded) = match entered {
        Entered::New => (None, None),
        Entered::Joined(sync) => (Some(sync), None),
        Entered::Superseded(sync) => (None, Some(sync)),
    };
    let judgement = Judgement::new(Some(&run.verdict_json), &run.findings)?;
    let end = RunEnd {
        outcome: RunOutcome::Quarantined,
        changes: Some(run.counts),
        judgement: Some(&judgement),
        digest: Some(&run.digest),
        content_digest: Some(&run.content_digest),
        joined,
        ..RunEnd::of(&run.measured)
    };
    runs::end_run(connection, &run.connector, run.sync, &end, now).await?;
    let left_by = run.left_by.filter(|_| joined.is_none());
    let rest = left_by.map(|left_by| Rest { left_by, released: ChangeCounts::default() });
    let body = json!({
        "sync": run.sync,
        "rest": rest::body(rest),
        "digest": run.digest,
        "content_digest": run.content_digest,
        "against": run.against,
        "changes": run.counts,
        "judgement": judgement.body(),
        "joined": joined,
        "superseded": superseded,
    });
    let entry =
        Entry { kind: kind::QUARANTINED, connector: Some(&run.connector), actor: "policy", body };
    let seq = evidence::append(connection, entry, now).await?;
    match joined {
        Some(waiting) => repeat(connection, &run.connector, waiting, run.sync).await?,
        None => {
            if let Some(waiting) = superseded {
                supersede(connection, &run.connector, waiting).await?;
            }
            insert(connection, run, seq, now).await?;
            if let Some(rest) = rest {
                rest::insert(connection, &run.connector, run.sync, rest).await?;
            }
        }
    }
    Ok((seq, entered))
}

async fn insert(
    connection: &mut SqliteConnection,
    run: &QuarantinedRun,
    seq: EvidenceSeq,
    now: Timestamp,
) -> Result<(), WriteError> {
    sqlx::query(
        "INSERT INTO quarantine (connector, sync, digest, content_digest, against, since,
             last_sync, state, evidence)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?2, 'open', ?7)",
    )
    .bind(run.connector.as_str())
    .bind(cells::sync_key(run.sync))
    .bind(&run.digest)
    .bind(&run.content_digest)
    .bind(run.against.map(cells::sync_key))
    .bind(now.as_microsecond())
    .bind(cells::number("an evidence number", seq.0)?)
    .execute(connection)
    .await
    .map_err(written)?;
    Ok(())
}

async fn repeat(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    waiting: SyncNumber,
    last_sync: SyncNumber,
) -> Result<(), WriteError> {
    sqlx::query(
        "UPDATE quarantine SET repeats = repeats + 1, last_sync = ?3
         WHERE connector = ?1 AND sync = ?2",
    )
    .bind(connector.as_str())
    .bind(cells::sync_key(waiting))
    .bind(cells::sync_key(last_sync))
    .execute(connection)
    .await
    .map_err(written)?;
    Ok(())
}

/// Ends the wait of a candidate because another took its place.
pub(crate) async fn supersede(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    waiting: SyncNumber,
) -> Result<(), WriteError> {
    close(connection, connector, waiting, "superseded").await?;
    let outcome = RunOutcome::Superseded;
    runs::settle(connection, connector, waiting, outcome, outcome).await
}

/// Ends the wait of a candidate because a person released it.
pub(crate) async fn release(
    connection: &mut SqliteConnection,
    row: &QuarantinedRow,
    decision: &Decision<'_>,
    now: Timestamp,
) -> Result<(), WriteError> {
    close(connection, &row.connector, row.sync, "released").await?;
    // The same content is a snapshot now; those that repeated it have nothing left to wait for.
    let (outcome, of_joined) = (RunOutcome::Released, RunOutcome::Superseded);
    runs::settle(connection, &row.connector, row.sync, outcome, of_joined).await?;
    decisions::insert(connection, row, decision, now).await
}

async fn reject(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    sync: SyncNumber,
    (by, reason): (&str, &str),
    now: Timestamp,
) -> Result<EvidenceSeq, WriteError> {
    let row = waiting(connection, connector, sync).await?;
    let body = json!({ "sync": sync, "digest": row.digest, "reason": reason });
    let entry =
        Entry { kind: kind::QUARANTINE_REJECTED, connector: Some(connector), actor: by, body };
    let evidence = evidence::append(connection, entry, now).await?;
    close(connection, connector, sync, "rejected").await?;
    let outcome = RunOutcome::Rejected;
    runs::settle(connection, connector, sync, outcome, outcome).await?;
    let decision = Decision { kind: DecisionKind::Reject, by, reason, evidence };
    decisions::insert(connection, &row, &decision, now).await?;
    Ok(evidence)
}

/// The candidate that waits, if it is the one that is meant.
pub(crate) async fn waiting(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    sync: SyncNumber,
) -> Result<QuarantinedRow, WriteError> {
    match open(connection, Some(connector)).await?.pop() {
        Some(row) if row.sync == sync => Ok(row),
        other => Err(WriteError::NotWaiting {
            connector: connector.clone(),
            sync,
            waiting: other.map(|row| row.sync),
        }),
    }
}

async fn close(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    sync: SyncNumber,
    state: &'static str,
) -> Result<(), WriteError> {
    sqlx::query(
        "UPDATE quarantine SET state = ?3 WHERE connector = ?1 AND sync = ?2 AND state = 'open'",
    )
    .bind(connector.as_str())
    .bind(cells::sync_key(sync))
    .bind(state)
    .execute(&mut *connection)
    .await
    .map_err(written)?;
    requests::lapse(connection, connector).await
}

fn written(source: sqlx::Error) -> WriteError {
    WriteError::Query { table: TABLE, source }
}

fn quarantined(row: &SqliteRow) -> Result<QuarantinedRow, ReadError> {
    let cells = Cells { table: TABLE, row };
    Ok(QuarantinedRow {
        connector: cells.connector()?,
        sync: cells.sync("sync")?,
        digest: cells.text("digest")?,
        content_digest: cells.text("content_digest")?,
        against: cells.sync_or_none("against")?,
        verdict_json: cells.text("verdict")?,
        findings: cells.json("findings")?,
        counts: cells.json("changes")?,
        records: cells.number("records")?,
        since: cells.time("since")?,
        repeats: cells.number("repeats")?,
        last_sync: cells.sync("last_sync")?,
        evidence: EvidenceSeq(cells.number("evidence")?),
        rest: rest::of_row(row)?,
        findings_json: cells.text("findings")?,
    })
}
