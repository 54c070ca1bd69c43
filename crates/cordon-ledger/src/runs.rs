//! Runs: one row a sync, from its start to what came of it.

mod dry;
mod ending;

use std::collections::BTreeMap;
use std::fmt;

use cordon_model::{ConnectorName, Finding, SyncNumber};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::cells::{self, Cells, LINE_BYTES_MAX};
use crate::evidence::{self, Entry, SUPERVISOR, kind};
use crate::{EvidenceSeq, Ledger, ReadError, WriteError};

pub use dry::{DRY_RUN, DryRun};
pub(crate) use ending::{Judgement, RunEnd, end_run, settle};

const TABLE: &str = "runs";

/// The error of a run in the middle of which the supervisor ended.
pub const SUPERVISOR_ENDED: &str = "the supervisor ended while it ran";

/// The trigger of a run that no connector works on: it publishes a part of what waits.
pub const TRIGGER_RELEASE: &str = "release";

/// Which runs are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Syncs of a connector.
    Sync,
    /// Publications of a part of what waits.
    Release,
}

/// The columns of a [`RunRow`]. A verdict is long and read one at a time.
macro_rules! select_runs {
    ($rest:literal) => {
        concat!(
            "SELECT connector, sync, trigger, outcome, started_at, ended_at, error, death, changes,
                 findings, digest, content_digest, records, timings, peak_bytes, jail_report, joined
             FROM runs WHERE connector = ?1 ",
            $rest
        )
    };
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunOutcome {
    /// It is under way.
    Running,
    /// It ended without a candidate: an error, a death, a limit.
    Failed,
    /// Policy accepted it; it is a snapshot.
    Committed,
    /// It waits for a person.
    Quarantined,
    /// It was invalid, or a person rejected it.
    Rejected,
    /// A person released it; it is a snapshot.
    Released,
    /// It waited for a person until a later sync took its place.
    Superseded,
}

impl RunOutcome {
    /// The outcome in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Committed => "committed",
            Self::Quarantined => "quarantined",
            Self::Rejected => "rejected",
            Self::Released => "released",
            Self::Superseded => "superseded",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [
            Self::Running,
            Self::Failed,
            Self::Committed,
            Self::Quarantined,
            Self::Rejected,
            Self::Released,
            Self::Superseded,
        ]
        .into_iter()
        .find(|outcome| outcome.as_str() == word)
    }
}

impl fmt::Display for RunOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many records a sync would change, or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChangeCounts {
    /// Records that are new.
    pub added: u64,
    /// Records with other values.
    pub modified: u64,
    /// Records that are gone.
    pub removed: u64,
}

impl ChangeCounts {
    /// All changes; the greatest number there is when they are more.
    pub fn total(&self) -> u64 {
        self.added.saturating_add(self.modified).saturating_add(self.removed)
    }

    /// Both together.
    pub(crate) fn and(self, more: Self) -> Self {
        Self {
            added: self.added.saturating_add(more.added),
            modified: self.modified.saturating_add(more.modified),
            removed: self.removed.saturating_add(more.removed),
        }
    }
}

/// What was measured of a run, whatever came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Records received.
    pub records: u64,
    /// How long each phase took, in microseconds.
    pub timings_us: BTreeMap<String, u64>,
    /// Most memory that the connector used.
    pub peak_bytes: Option<u64>,
    /// Under which limits it ran, as JSON.
    pub jail_report: Option<String>,
}

/// A run that ended without a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailedRun {
    /// What went wrong. A long text is cut.
    pub error: String,
    /// The same in one word, for the evidence.
    pub reason: Option<String>,
    /// How the process died, if it did.
    pub death: Option<String>,
    /// What was measured.
    pub measured: Measured,
}

/// A run that was invalid: nobody can accept it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RejectedRun {
    /// What made it invalid. A long text is cut.
    pub error: String,
    /// The same in one word, for the evidence.
    pub reason: Option<String>,
    /// BLAKE3 of the candidate's manifest, if it was staged.
    pub digest: Option<String>,
    /// The verdict as JSON, if it was judged.
    pub verdict_json: Option<String>,
    /// What the checks noticed.
    pub findings: Vec<Finding>,
    /// What was measured.
    pub measured: Measured,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunRow {
    /// Whose sync.
    pub connector: ConnectorName,
    /// Its number.
    pub sync: SyncNumber,
    /// What started it.
    pub trigger: String,
    /// Where it stands.
    pub outcome: RunOutcome,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; none while it is under way.
    pub ended_at: Option<Timestamp>,
    /// What went wrong.
    pub error: Option<String>,
    /// How the process died.
    pub death: Option<String>,
    /// How many records it would change, or changed; none when it was not compared.
    pub changes: Option<ChangeCounts>,
    /// What the checks noticed.
    pub findings: Vec<Finding>,
    /// BLAKE3 of the candidate's manifest.
    pub digest: Option<String>,
    /// Digest of the content alone: equal content, equal digest.
    pub content_digest: Option<String>,
    /// What was measured.
    pub measured: Measured,
    /// The sync in quarantine that this one repeats.
    pub joined: Option<SyncNumber>,
}

/// What was left from before the supervisor ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Runs that were under way, now failed.
    pub failed: Vec<(ConnectorName, SyncNumber)>,
}

impl Ledger {
    /// Gives the next sync of a connector its number and begins its run.
    pub async fn begin_run(
        &self,
        connector: &ConnectorName,
        trigger: &str,
        now: Timestamp,
    ) -> Result<SyncNumber, WriteError> {
        cells::bounded("the trigger", trigger, LINE_BYTES_MAX)?;
        let mut tx = self.begin(TABLE).await?;
        let done = begin(tx.connection(), connector, trigger, now).await;
        tx.end(done).await
    }

    /// Ends a run that has no candidate.
    pub async fn fail_run(
        &self,
        connector: &ConnectorName,
        sync: SyncNumber,
        failed: &FailedRun,
        now: Timestamp,
    ) -> Result<EvidenceSeq, WriteError> {
        let mut tx = self.begin(TABLE).await?;
        let done = fail(tx.connection(), connector, sync, failed, now).await;
        tx.end(done).await
    }

    /// Ends a run that was invalid.
    pub async fn reject_run(
        &self,
        connector: &ConnectorName,
        sync: SyncNumber,
        rejected: &RejectedRun,
        now: Timestamp,
    ) -> Result<EvidenceSeq, WriteError> {
        let mut tx = self.begin(TABLE).await?;
        let done = reject(tx.connection(), connector, sync, rejected, now).await;
        tx.end(done).await
    }

    /// The newest runs of a connector, newest first.
    pub async fn runs(
        &self,
        connector: &ConnectorName,
        limit: u32,
    ) -> Result<Vec<RunRow>, ReadError> {
        self.newest(select_runs!("ORDER BY sync DESC LIMIT ?2"), connector, limit).await
    }

    /// The newest syncs of a connector, newest first: runs that its connector worked on, and that
    /// were meant to come to something.
    pub async fn syncs(
        &self,
        connector: &ConnectorName,
        limit: u32,
    ) -> Result<Vec<RunRow>, ReadError> {
        let syncs =
            select_runs!("AND trigger NOT IN ('release', 'dry-run') ORDER BY sync DESC LIMIT ?2");
        self.newest(syncs, connector, limit).await
    }

    async fn newest(
        &self,
        select: &'static str,
        connector: &ConnectorName,
        limit: u32,
    ) -> Result<Vec<RunRow>, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        let select = sqlx::query(select).bind(connector.as_str()).bind(limit);
        select.fetch_all(&mut *reader).await.map_err(query)?.iter().map(run_row).collect()
    }

    /// One run.
    pub async fn run(
        &self,
        connector: &ConnectorName,
        sync: SyncNumber,
    ) -> Result<Option<RunRow>, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        get(&mut reader, connector, sync).await
    }

    /// The verdict on a run, as it was given; none when it was not judged.
    pub async fn verdict(
        &self,
        connector: &ConnectorName,
        sync: SyncNumber,
    ) -> Result<Option<String>, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        let verdict: Option<Option<String>> =
            sqlx::query_scalar("SELECT verdict FROM runs WHERE connector = ?1 AND sync = ?2")
                .bind(connector.as_str())
                .bind(cells::sync_key(sync))
                .fetch_optional(&mut *reader)
                .await
                .map_err(query)?;
        Ok(verdict.flatten())
    }

    /// How many runs of a connector failed in a row, up to the newest that ended.
    pub async fn failures_in_a_row(&self, connector: &ConnectorName) -> Result<u64, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        let failures: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM runs
             WHERE connector = ?1 AND outcome = 'failed' AND trigger NOT IN ('release', 'dry-run')
                 AND sync > (
                 SELECT coalesce(max(sync), 0) FROM runs
                 WHERE connector = ?1 AND outcome NOT IN ('failed', 'running'))",
        )
        .bind(connector.as_str())
        .fetch_one(&mut *reader)
        .await
        .map_err(query)?;
        Ok(failures.unsigned_abs())
    }

    /// Ends the runs that were under way when the supervisor ended. Call it once at start, before
    /// the first run begins.
    pub async fn recover(&self, now: Timestamp) -> Result<Recovered, WriteError> {
        let mut tx = self.begin(TABLE).await?;
        let done = fail_running(tx.connection(), None, None, SUPERVISOR_ENDED, now).await;
        tx.end(done.map(|failed| Recovered { failed })).await
    }

    /// Ends the runs of a connector that are under way in the ledger alone, because their end could
    /// not be written when it came. Call it while nothing does work of this sort.
    pub async fn recover_connector(
        &self,
        connector: &ConnectorName,
        work: Work,
        now: Timestamp,
    ) -> Result<Recovered, WriteError> {
        let mut tx = self.begin(TABLE).await?;
        let error = "its end could not be written down when it came";
        let done = fail_running(tx.connection(), Some(connector), Some(work), error, now).await;
        tx.end(done.map(|failed| Recovered { failed })).await
    }
}

fn query(source: sqlx::Error) -> ReadError {
    ReadError::Query { table: TABLE, source }
}

fn written(source: sqlx::Error) -> WriteError {
    WriteError::Query { table: TABLE, source }
}

/// Makes sure that a connector has its counters.
pub(crate) async fn know(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
) -> Result<(), WriteError> {
    sqlx::query("INSERT INTO connectors (connector) VALUES (?1) ON CONFLICT DO NOTHING")
        .bind(connector.as_str())
        .execute(connection)
        .await
        .map_err(|source| WriteError::Query { table: "connectors", source })?;
    Ok(())
}

async fn begin(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    trigger: &str,
    now: Timestamp,
) -> Result<SyncNumber, WriteError> {
    know(connection, connector).await?;
    let number: i64 = sqlx::query_scalar(
        "UPDATE connectors SET last_sync = last_sync + 1 WHERE connector = ?1 RETURNING last_sync",
    )
    .bind(connector.as_str())
    .fetch_one(&mut *connection)
    .await
    .map_err(written)?;
    sqlx::query(
        "INSERT INTO runs (connector, sync, trigger, outcome, started_at)
         VALUES (?1, ?2, ?3, 'running', ?4)",
    )
    .bind(connector.as_str())
    .bind(number)
    .bind(trigger)
    .bind(now.as_microsecond())
    .execute(&mut *connection)
    .await
    .map_err(written)?;
    let body = json!({ "sync": number, "trigger": trigger });
    let entry =
        Entry { kind: kind::RUN_STARTED, connector: Some(connector), actor: SUPERVISOR, body };
    evidence::append(connection, entry, now).await?;
    Ok(SyncNumber(number.unsigned_abs()))
}

async fn fail(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    sync: SyncNumber,
    failed: &FailedRun,
    now: Timestamp,
) -> Result<EvidenceSeq, WriteError> {
    let end = RunEnd {
        outcome: RunOutcome::Failed,
        error: Some(&failed.error),
        death: failed.death.as_deref(),
        measured: &failed.measured,
        ..RunEnd::of(&failed.measured)
    };
    end_run(connection, connector, sync, &end, now).await?;
    let body = json!({
        "sync": sync,
        "error": cells::shortened(&failed.error),
        "reason": failed.reason.as_deref().map(cells::shortened),
        "death": failed.death.as_deref().map(cells::shortened),
        "records": failed.measured.records,
    });
    let entry =
        Entry { kind: kind::RUN_FAILED, connector: Some(connector), actor: SUPERVISOR, body };
    evidence::append(connection, entry, now).await
}

async fn reject(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    sync: SyncNumber,
    rejected: &RejectedRun,
    now: Timestamp,
) -> Result<EvidenceSeq, WriteError> {
    let judgement = Judgement::new(rejected.verdict_json.as_deref(), &rejected.findings)?;
    let end = RunEnd {
        outcome: RunOutcome::Rejected,
        error: Some(&rejected.error),
        judgement: Some(&judgement),
        digest: rejected.digest.as_deref(),
        ..RunEnd::of(&rejected.measured)
    };
    end_run(connection, connector, sync, &end, now).await?;
    let body = json!({
        "sync": sync,
        "error": cells::shortened(&rejected.error),
        "reason": rejected.reason.as_deref().map(cells::shortened),
        "digest": rejected.digest,
        "judgement": judgement.body(),
        "records": rejected.measured.records,
    });
    let entry =
        Entry { kind: kind::RUN_REJECTED, connector: Some(connector), actor: "policy", body };
    evidence::append(connection, entry, now).await
}

/// Fails every run that is under way, of one connector or of all.
async fn fail_running(
    connection: &mut SqliteConnection,
    connector: Option<&ConnectorName>,
    work: Option<Work>,
    error: &str,
    now: Timestamp,
) -> Result<Vec<(ConnectorName, SyncNumber)>, WriteError> {
    let rows = sqlx::query(
        "SELECT connector, sync FROM runs
         WHERE outcome = 'running' AND (?1 IS NULL OR connector = ?1)
             AND (?2 IS NULL OR (trigger = ?3) = ?2)
         ORDER BY connector, sync",
    )
    .bind(connector.map(ConnectorName::as_str))
    .bind(work.map(|work| work == Work::Release))
    .bind(TRIGGER_RELEASE)
    .fetch_all(&mut *connection)
    .await
    .map_err(query)?;
    let end = FailedRun { error: error.to_owned(), ..FailedRun::default() };
    let mut failed = Vec::new();
    for row in &rows {
        let cells = Cells { table: TABLE, row };
        let (connector, sync) = (cells.connector()?, cells.sync("sync")?);
        fail(connection, &connector, sync, &end, now).await?;
        failed.push((connector, sync));
    }
    Ok(failed)
}

pub(crate) async fn get(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    sync: SyncNumber,
) -> Result<Option<RunRow>, ReadError> {
    let row = sqlx::query(select_runs!("AND sync = ?2"))
        .bind(connector.as_str())
        .bind(cells::sync_key(sync))
        .fetch_optional(connection)
        .await
        .map_err(query)?;
    row.as_ref().map(run_row).transpose()
}

fn run_row(row: &SqliteRow) -> Result<RunRow, ReadError> {
    let cells = Cells { table: TABLE, row };
    let changes = match cells.text_or_none("changes")? {
        Some(_) => Some(cells.json("changes")?),
        None => None,
    };
    Ok(RunRow {
        connector: cells.connector()?,
        sync: cells.sync("sync")?,
        trigger: cells.text("trigger")?,
        outcome: cells.parsed("outcome", RunOutcome::parse)?,
        started_at: cells.time("started_at")?,
        ended_at: cells.time_or_none("ended_at")?,
        error: cells.text_or_none("error")?,
        death: cells.text_or_none("death")?,
        changes,
        findings: cells.json("findings")?,
        digest: cells.text_or_none("digest")?,
        content_digest: cells.text_or_none("content_digest")?,
        measured: Measured {
            records: cells.number("records")?,
            timings_us: cells.json("timings")?,
            peak_bytes: cells.number_or_none("peak_bytes")?,
            jail_report: cells.text_or_none("jail_report")?,
        },
        joined: cells.sync_or_none("joined")?,
    })
}
