//! Snapshots and the last known good: what was accepted, and which of it is still kept.
//!
//! The row of a snapshot stays when its files are forgotten, because `judge` asks for more history
//! than the disk holds.

use std::collections::BTreeMap;

use cordon_model::{ConnectorName, SyncNumber, Watermark};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::cells::{self, Cells};
use crate::{EvidenceSeq, Ledger, ReadError, WriteError};

const TABLE: &str = "snapshots";

/// An accepted snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotRow {
    /// Whose it is.
    pub connector: ConnectorName,
    /// The sync that it came from.
    pub sync: SyncNumber,
    /// BLAKE3 of its manifest.
    pub digest: String,
    /// Digest of the content alone: equal content, equal digest.
    pub content_digest: String,
    /// When the sync that it came from began.
    pub taken_at: Timestamp,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// Records that it holds.
    pub records: u64,
    /// Records that it holds, by label.
    pub label_counts: BTreeMap<String, u64>,
    /// Records that it removed, by label.
    pub removed_by_label: BTreeMap<String, u64>,
    /// How current its scopes were.
    pub watermarks: BTreeMap<String, Watermark>,
    /// The evidence of its commit.
    pub evidence: EvidenceSeq,
}

impl Ledger {
    /// The last known good of a connector; none before its first commit.
    pub async fn last_good(
        &self,
        connector: &ConnectorName,
    ) -> Result<Option<SnapshotRow>, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        let row = sqlx::query(
            "SELECT s.* FROM last_good g
             JOIN snapshots s ON s.connector = g.connector AND s.sync = g.sync
             WHERE g.connector = ?1",
        )
        .bind(connector.as_str())
        .fetch_optional(&mut *reader)
        .await
        .map_err(query)?;
        row.as_ref().map(snapshot).transpose()
    }

    /// The last known good of every connector, also of those that are configured no more.
    pub async fn all_last_good(&self) -> Result<Vec<SnapshotRow>, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        sqlx::query(
            "SELECT s.* FROM last_good g
             JOIN snapshots s ON s.connector = g.connector AND s.sync = g.sync ORDER BY s.connector",
        )
        .fetch_all(&mut *reader)
        .await
        .map_err(query)?
        .iter()
        .map(snapshot)
        .collect()
    }

    /// All snapshots that a connector ever had, oldest first, also those whose files are gone.
    pub async fn all_snapshots(
        &self,
        connector: &ConnectorName,
    ) -> Result<Vec<SnapshotRow>, ReadError> {
        self.listed("SELECT * FROM snapshots WHERE connector = ?1 ORDER BY sync", connector).await
    }

    /// The snapshots of a connector whose files are kept, newest first.
    pub async fn snapshots(
        &self,
        connector: &ConnectorName,
    ) -> Result<Vec<SnapshotRow>, ReadError> {
        let kept = "SELECT * FROM snapshots WHERE connector = ?1 AND kept = 1 ORDER BY sync DESC";
        self.listed(kept, connector).await
    }

    async fn listed(
        &self,
        select: &'static str,
        connector: &ConnectorName,
    ) -> Result<Vec<SnapshotRow>, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        let rows = sqlx::query(select).bind(connector.as_str()).fetch_all(&mut *reader).await;
        rows.map_err(query)?.iter().map(snapshot).collect()
    }
}

fn query(source: sqlx::Error) -> ReadError {
    ReadError::Query { table: TABLE, source }
}

/// Which snapshot is the last known good.
pub(crate) async fn current(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
) -> Result<Option<SyncNumber>, ReadError> {
    let row = sqlx::query("SELECT sync FROM last_good WHERE connector = ?1")
        .bind(connector.as_str())
        .fetch_optional(connection)
        .await
        .map_err(query)?;
    row.as_ref().map(|row| Cells { table: "last_good", row }.sync("sync")).transpose()
}

/// Every snapshot whose files are kept, of every connector, oldest first.
pub(crate) async fn all_kept(
    connection: &mut SqliteConnection,
) -> Result<Vec<SnapshotRow>, ReadError> {
    sqlx::query("SELECT * FROM snapshots WHERE kept = 1 ORDER BY connector, sync")
        .fetch_all(connection)
        .await
        .map_err(query)?
        .iter()
        .map(snapshot)
        .collect()
}

/// Every connector's last known good.
pub(crate) async fn all_current(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<ConnectorName, SyncNumber>, ReadError> {
    sqlx::query("SELECT connector, sync FROM last_good")
        .fetch_all(connection)
        .await
        .map_err(query)?
        .iter()
        .map(|row| {
            let cells = Cells { table: "last_good", row };
            Ok((cells.connector()?, cells.sync("sync")?))
        })
        .collect()
}

/// Stores a snapshot and makes it the last known good.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    snapshot: &SnapshotRow,
) -> Result<(), WriteError> {
    sqlx::query(
        "INSERT INTO snapshots (connector, sync, digest, content_digest, taken_at, committed_at,
             records, labels, removed, watermarks, evidence)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )
    .bind(snapshot.connector.as_str())
    .bind(cells::sync_key(snapshot.sync))
    .bind(&snapshot.digest)
    .bind(&snapshot.content_digest)
    .bind(snapshot.taken_at.as_microsecond())
    .bind(snapshot.committed_at.as_microsecond())
    .bind(cells::number("the count of records", snapshot.records)?)
    .bind(cells::json("the counts by label", &snapshot.label_counts)?)
    .bind(cells::json("the removals by label", &snapshot.removed_by_label)?)
    .bind(cells::json("the watermarks", &snapshot.watermarks)?)
    .bind(cells::number("an evidence number", snapshot.evidence.0)?)
    .execute(&mut *connection)
    .await
    .map_err(|source| WriteError::Query { table: TABLE, source })?;
    sqlx::query("INSERT OR REPLACE INTO last_good (connector, sync) VALUES (?1, ?2)")
        .bind(snapshot.connector.as_str())
        .bind(cells::sync_key(snapshot.sync))
        .execute(connection)
        .await
        .map_err(|source| WriteError::Query { table: "last_good", source })?;
    Ok(())
}

fn snapshot(row: &SqliteRow) -> Result<SnapshotRow, ReadError> {
    let cells = Cells { table: TABLE, row };
    Ok(SnapshotRow {
        connector: cells.connector()?,
        sync: cells.sync("sync")?,
        digest: cells.text("digest")?,
        content_digest: cells.text("content_digest")?,
        taken_at: cells.time("taken_at")?,
        committed_at: cells.time("committed_at")?,
        records: cells.number("records")?,
        label_counts: cells.json("labels")?,
        removed_by_label: cells.json("removed")?,
        watermarks: cells.json("watermarks")?,
        evidence: EvidenceSeq(cells.number("evidence")?),
    })
}
