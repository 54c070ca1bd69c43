//! What is left of a candidate of which a part was published.
//!
//! It goes on waiting under its number and says by itself that it is a rest: what was published of it
//! is delivered while it waits, as nothing is of a candidate that waits whole.

use cordon_model::{ConnectorName, Finding, SyncNumber};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::cells::{self, Cells};
use crate::evidence::{self, Entry, kind};
use crate::runs::Judgement;
use crate::{ChangeCounts, QuarantinedRow, ReadError, WriteError, requests};

const TABLE: &str = "rests";

/// Who left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeftBy {
    /// A person, who released the rest of the sync.
    Person,
    /// The policy, which holds removals and lets the rest flow.
    Policy,
}

impl LeftBy {
    /// Who, in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Policy => "policy",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Person, Self::Policy].into_iter().find(|by| by.as_str() == word)
    }
}

/// What makes a candidate that waits a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// Who left it.
    pub left_by: LeftBy,
    /// How many of its changes were published so far.
    pub released: ChangeCounts,
}

/// A candidate once a part of it is published: compared with that part, and judged again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remaining {
    /// BLAKE3 of its manifest, which is another one now.
    pub digest: String,
    /// The verdict as JSON.
    pub verdict_json: String,
    /// What the checks noticed.
    pub findings: Vec<Finding>,
    /// How many records it would change.
    pub counts: ChangeCounts,
    /// Who left it.
    pub left_by: LeftBy,
}

/// Keeps a candidate waiting that is compared with `against` from now on, and of which `released`
/// changes more are published.
pub(crate) async fn remain(
    connection: &mut SqliteConnection,
    row: &QuarantinedRow,
    against: SyncNumber,
    released: ChangeCounts,
    remaining: &Remaining,
    now: Timestamp,
) -> Result<(), WriteError> {
    let judgement = Judgement::new(Some(&remaining.verdict_json), &remaining.findings)?;
    let before = row.rest.map(|rest| rest.released).unwrap_or_default();
    let rest = Rest { left_by: remaining.left_by, released: before.and(released) };
    let body = json!({
        "sync": row.sync,
        "last_sync": row.last_sync,
        "digest": remaining.digest,
        "content_digest": row.content_digest,
        "against": against,
        "changes": remaining.counts,
        "judgement": judgement.body(),
        "rest": body(Some(rest)),
    });
    let entry =
        Entry { kind: kind::REMAINS, connector: Some(&row.connector), actor: "cordond", body };
    let evidence = evidence::append(connection, entry, now).await?;
    sqlx::query(
        "UPDATE quarantine SET digest = ?3, against = ?4, evidence = ?5
         WHERE connector = ?1 AND sync = ?2",
    )
    .bind(row.connector.as_str())
    .bind(cells::sync_key(row.sync))
    .bind(&remaining.digest)
    .bind(cells::sync_key(against))
    .bind(cells::number("an evidence number", evidence.0)?)
    .execute(&mut *connection)
    .await
    .map_err(written)?;
    sqlx::query(
        "UPDATE runs SET digest = ?3, verdict = ?4, findings = ?5, changes = ?6
         WHERE connector = ?1 AND sync = ?2",
    )
    .bind(row.connector.as_str())
    .bind(cells::sync_key(row.sync))
    .bind(&remaining.digest)
    .bind(judgement.verdict)
    .bind(&judgement.findings)
    .bind(cells::json("the counts", &remaining.counts)?)
    .execute(&mut *connection)
    .await
    .map_err(written)?;
    // Whoever asked to release it meant what it was before.
    requests::lapse(connection, &row.connector).await?;
    insert(connection, &row.connector, row.sync, rest).await
}

/// Says of a candidate that waits that it is a rest.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    sync: SyncNumber,
    rest: Rest,
) -> Result<(), WriteError> {
    sqlx::query(
        "INSERT INTO rests (connector, sync, left_by, released) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET left_by = ?3, released = ?4",
    )
    .bind(connector.as_str())
    .bind(cells::sync_key(sync))
    .bind(rest.left_by.as_str())
    .bind(cells::json("the counts", &rest.released)?)
    .execute(connection)
    .await
    .map_err(written)?;
    Ok(())
}

fn written(source: sqlx::Error) -> WriteError {
    WriteError::Query { table: TABLE, source }
}

/// The rest in the columns of a row that was joined with it.
pub(crate) fn of_row(row: &SqliteRow) -> Result<Option<Rest>, ReadError> {
    let cells = Cells { table: TABLE, row };
    if cells.text_or_none("left_by")?.is_none() {
        return Ok(None);
    }
    let left_by = cells.parsed("left_by", LeftBy::parse)?;
    Ok(Some(Rest { left_by, released: cells.json("released")? }))
}

/// What the evidence says of a rest.
pub(crate) fn body(rest: Option<Rest>) -> Value {
    json!(rest)
}
