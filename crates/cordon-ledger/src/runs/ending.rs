//! How a run ends: once, from where it stands, with all that was measured and judged.

use cordon_model::{ConnectorName, Finding, SyncNumber};
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use super::{TABLE, query, written};
use crate::cells::{self, TEXT_BYTES_MAX};
use crate::chain::text_sha256;
use crate::{ChangeCounts, Measured, ReadError, RunOutcome, WriteError};

/// A verdict and its findings as they are stored, and as the evidence names them.
pub(crate) struct Judgement<'a> {
    pub(crate) verdict: Option<&'a str>,
    pub(crate) findings: String,
}

impl<'a> Judgement<'a> {
    pub(crate) fn new(verdict: Option<&'a str>, findings: &[Finding]) -> Result<Self, WriteError> {
        cells::bounded("the verdict", verdict.unwrap_or(""), TEXT_BYTES_MAX)?;
        Ok(Self { verdict, findings: cells::json("the list of findings", &findings)? })
    }

    pub(crate) fn body(&self) -> Value {
        json!({
            "verdict_sha256": self.verdict.map(text_sha256),
            "findings_sha256": text_sha256(&self.findings),
        })
    }
}

/// How a run ends.
pub(crate) struct RunEnd<'a> {
    pub(crate) outcome: RunOutcome,
    pub(crate) error: Option<&'a str>,
    pub(crate) death: Option<&'a str>,
    pub(crate) changes: Option<ChangeCounts>,
    pub(crate) judgement: Option<&'a Judgement<'a>>,
    pub(crate) digest: Option<&'a str>,
    pub(crate) content_digest: Option<&'a str>,
    pub(crate) joined: Option<SyncNumber>,
    pub(crate) measured: &'a Measured,
}

impl<'a> RunEnd<'a> {
    /// A failure without a cause, to be filled in.
    pub(crate) fn of(measured: &'a Measured) -> Self {
        Self {
            outcome: RunOutcome::Failed,
            error: None,
            death: None,
            changes: None,
            judgement: None,
            digest: None,
            content_digest: None,
            joined: None,
            measured,
        }
    }
}

/// Ends a run that is under way, and no other.
pub(crate) async fn end_run(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    sync: SyncNumber,
    end: &RunEnd<'_>,
    now: Timestamp,
) -> Result<(), WriteError> {
    require(connection, connector, sync, RunOutcome::Running).await?;
    let measured = end.measured;
    if let Some(report) = &measured.jail_report {
        cells::bounded("the jail report", report, TEXT_BYTES_MAX)?;
    }
    let changes = end.changes.map(|counts| cells::json("the counts", &counts)).transpose()?;
    sqlx::query(
        "UPDATE runs SET outcome = ?3, ended_at = ?4, error = ?5, death = ?6, changes = ?7,
             verdict = ?8, findings = ?9, digest = ?10, content_digest = ?11, joined = ?12,
             records = ?13, timings = ?14, peak_bytes = ?15, jail_report = ?16
         WHERE connector = ?1 AND sync = ?2",
    )
    .bind(connector.as_str())
    .bind(cells::sync_key(sync))
    .bind(end.outcome.as_str())
    .bind(now.as_microsecond())
    .bind(end.error.map(cells::shortened))
    .bind(end.death.map(cells::shortened))
    .bind(changes)
    .bind(end.judgement.and_then(|judgement| judgement.verdict))
    .bind(end.judgement.map_or("[]", |judgement| &judgement.findings))
    .bind(end.digest)
    .bind(end.content_digest)
    .bind(end.joined.map(cells::sync_key))
    .bind(cells::number("the count of records", measured.records)?)
    .bind(cells::json("the timings", &measured.timings_us)?)
    .bind(measured.peak_bytes.map(|bytes| cells::number("the peak of memory", bytes)).transpose()?)
    .bind(&measured.jail_report)
    .execute(connection)
    .await
    .map_err(written)?;
    Ok(())
}

/// Gives a quarantined run, and those that joined it, what came of it.
pub(crate) async fn settle(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    sync: SyncNumber,
    outcome: RunOutcome,
    of_joined: RunOutcome,
) -> Result<(), WriteError> {
    sqlx::query(
        "UPDATE runs SET outcome = CASE WHEN sync = ?2 THEN ?3 ELSE ?4 END
         WHERE connector = ?1 AND outcome = 'quarantined' AND (sync = ?2 OR joined = ?2)",
    )
    .bind(connector.as_str())
    .bind(cells::sync_key(sync))
    .bind(outcome.as_str())
    .bind(of_joined.as_str())
    .execute(connection)
    .await
    .map_err(written)?;
    Ok(())
}

/// Refuses a step of a run that does not stand where the step begins.
async fn require(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    sync: SyncNumber,
    needed: RunOutcome,
) -> Result<(), WriteError> {
    let word: Option<String> =
        sqlx::query_scalar("SELECT outcome FROM runs WHERE connector = ?1 AND sync = ?2")
            .bind(connector.as_str())
            .bind(cells::sync_key(sync))
            .fetch_optional(connection)
            .await
            .map_err(query)?;
    let Some(word) = word else {
        return Err(WriteError::UnknownSync { connector: connector.clone(), sync });
    };
    match RunOutcome::parse(&word) {
        Some(found) if found == needed => Ok(()),
        Some(found) => {
            Err(WriteError::Outcome { connector: connector.clone(), sync, found, needed })
        }
        None => Err(ReadError::Cell { table: TABLE, column: "outcome", why: word }.into()),
    }
}
