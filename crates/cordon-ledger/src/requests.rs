//! Requests: the word of a first person that waits for a second.
//!
//! At most one of a connector, bound to what waits: a newer one takes its place, and it is gone as
//! soon as what waits is another or waits no more. That it expires is in the row; whoever reads it
//! compares.

use cordon_model::{ConnectorName, SyncNumber};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::cells::{self, Cells};
use crate::chain::kept_time;
use crate::evidence::{self, Entry, SUPERVISOR, kind};
use crate::{EvidenceSeq, Ledger, ReadError, WriteError, quarantine};

const TABLE: &str = "requests";

/// What a first person asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestRow {
    /// Whose candidate.
    pub connector: ConnectorName,
    /// The sync that brought it.
    pub sync: SyncNumber,
    /// BLAKE3 of the manifest of what is to be released, in full.
    pub digest: String,
    /// Which of its changes, as JSON.
    pub selection_json: String,
    /// Who asked.
    pub by: String,
    /// Their user id.
    pub uid: u32,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// From when on it means nothing.
    pub expires_at: Timestamp,
    /// The evidence of the request.
    pub evidence: EvidenceSeq,
}

impl RequestRow {
    /// What the evidence says of it.
    pub(crate) fn body(&self) -> Value {
        json!({
            "sync": self.sync,
            "digest": self.digest,
            "selection": self.selection_json,
            "uid": self.uid,
            "reason": self.reason,
            "expires_at": self.expires_at.as_microsecond(),
        })
    }
}

impl Ledger {
    /// Writes down what a first person asked for; the evidence number in `request` is not read.
    pub async fn request_release(
        &self,
        request: &RequestRow,
        now: Timestamp,
    ) -> Result<EvidenceSeq, WriteError> {
        cells::reasoned(&request.by, &request.reason)?;
        let mut tx = self.begin(TABLE).await?;
        let done = replace(tx.connection(), request, now).await;
        tx.end(done).await
    }

    /// Takes out what nobody confirmed in time, with a record of each; gives whose they were.
    pub async fn lapse_requests(&self, now: Timestamp) -> Result<Vec<ConnectorName>, WriteError> {
        let mut tx = self.begin(TABLE).await?;
        let done = expire(tx.connection(), now).await;
        tx.end(done).await
    }

    /// What a first person asked for, of one connector or of all.
    pub async fn release_requests(
        &self,
        connector: Option<&ConnectorName>,
    ) -> Result<Vec<RequestRow>, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        all(&mut reader, connector).await
    }
}

async fn replace(
    connection: &mut SqliteConnection,
    request: &RequestRow,
    now: Timestamp,
) -> Result<EvidenceSeq, WriteError> {
    let row = quarantine::waiting(connection, &request.connector, request.sync).await?;
    if row.digest != request.digest {
        return Err(WriteError::NotWaiting {
            connector: request.connector.clone(),
            sync: request.sync,
            waiting: Some(row.sync),
        });
    }
    let request = RequestRow { expires_at: kept_time(request.expires_at), ..request.clone() };
    let entry = Entry {
        kind: kind::REQUESTED,
        connector: Some(&request.connector),
        actor: &request.by,
        body: request.body(),
    };
    let evidence = evidence::append(connection, entry, now).await?;
    sqlx::query(
        "INSERT OR REPLACE INTO requests
             (connector, sync, digest, selection, by, uid, reason, at, expires_at, evidence)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )
    .bind(request.connector.as_str())
    .bind(cells::sync_key(request.sync))
    .bind(&request.digest)
    .bind(&request.selection_json)
    .bind(&request.by)
    .bind(i64::from(request.uid))
    .bind(&request.reason)
    .bind(now.as_microsecond())
    .bind(request.expires_at.as_microsecond())
    .bind(cells::number("an evidence number", evidence.0)?)
    .execute(connection)
    .await
    .map_err(written)?;
    Ok(evidence)
}

async fn expire(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Result<Vec<ConnectorName>, WriteError> {
    let mut lapsed = Vec::new();
    for request in all(connection, None).await? {
        if request.expires_at > now {
            continue;
        }
        let entry = Entry {
            kind: kind::LAPSED,
            connector: Some(&request.connector),
            actor: SUPERVISOR,
            body: json!({
                "sync": request.sync,
                "digest": request.digest,
                "by": request.by,
                "requested": request.evidence,
            }),
        };
        evidence::append(connection, entry, now).await?;
        lapse(connection, &request.connector).await?;
        lapsed.push(request.connector);
    }
    Ok(lapsed)
}

/// What waits is another, or waits no more.
pub(crate) async fn lapse(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
) -> Result<(), WriteError> {
    sqlx::query("DELETE FROM requests WHERE connector = ?1")
        .bind(connector.as_str())
        .execute(connection)
        .await
        .map_err(written)?;
    Ok(())
}

pub(crate) async fn all(
    connection: &mut SqliteConnection,
    connector: Option<&ConnectorName>,
) -> Result<Vec<RequestRow>, ReadError> {
    sqlx::query("SELECT * FROM requests WHERE ?1 IS NULL OR connector = ?1 ORDER BY connector")
        .bind(connector.map(ConnectorName::as_str))
        .fetch_all(connection)
        .await
        .map_err(|source| ReadError::Query { table: TABLE, source })?
        .iter()
        .map(request)
        .collect()
}

fn written(source: sqlx::Error) -> WriteError {
    WriteError::Query { table: TABLE, source }
}

fn request(row: &SqliteRow) -> Result<RequestRow, ReadError> {
    let cells = Cells { table: TABLE, row };
    let uid = cells.number("uid")?;
    Ok(RequestRow {
        connector: cells.connector()?,
        sync: cells.sync("sync")?,
        digest: cells.text("digest")?,
        selection_json: cells.text("selection")?,
        by: cells.text("by")?,
        uid: u32::try_from(uid).map_err(|error| ReadError::Cell {
            table: TABLE,
            column: "uid",
            why: error.to_string(),
        })?,
        reason: cells.text("reason")?,
        at: cells.time("at")?,
        expires_at: cells.time("expires_at")?,
        evidence: EvidenceSeq(cells.number("evidence")?),
    })
}
