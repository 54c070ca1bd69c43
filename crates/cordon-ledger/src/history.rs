//! What earlier syncs of a connector add to a judgement.

use std::collections::BTreeMap;
use std::time::Duration;

use cordon_model::{ConnectorName, SyncNumber, Watermark};
use jiff::Timestamp;
use sqlx::SqliteConnection;

use crate::cells::Cells;
use crate::{Ledger, ReadError};

const TABLE: &str = "snapshots";

/// What earlier syncs of a connector add to a judgement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryRow {
    /// Accepted syncs so far.
    pub accepted: u64,
    /// What was removed before, by each time that was asked for.
    pub windows: BTreeMap<Duration, WindowRow>,
    /// How current each scope of the last known good is.
    pub watermarks: BTreeMap<String, Watermark>,
    /// The newest accepted snapshot that has exactly the candidate's content, when the last known
    /// good has other content: the source has gone back.
    pub replays: Option<SyncNumber>,
}

/// What was removed within a time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WindowRow {
    /// By syncs that policy accepted in it, by label.
    pub removed: BTreeMap<String, u64>,
    /// By syncs that a person released in it, by label.
    pub released: BTreeMap<String, u64>,
    /// Records there were at its beginning, by label; where the first snapshot is younger, its
    /// records.
    pub records_then: BTreeMap<String, u64>,
}

impl Ledger {
    /// What earlier syncs add to the judgement of a candidate with this content; removals over each
    /// of these times.
    pub async fn history(
        &self,
        connector: &ConnectorName,
        content_digest: &str,
        within: &[Duration],
        now: Timestamp,
    ) -> Result<HistoryRow, ReadError> {
        let mut tx = self.read_tx(TABLE).await?;
        let mut windows = BTreeMap::new();
        for time in within {
            let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
            let since = now.as_microsecond().saturating_sub(micros);
            let (removed, released) = removed(&mut tx, connector, since).await?;
            let records_then = records_at(&mut tx, connector, since).await?;
            windows.insert(*time, WindowRow { removed, released, records_then });
        }
        Ok(HistoryRow {
            accepted: accepted(&mut tx, connector).await?,
            windows,
            watermarks: watermarks(&mut tx, connector).await?,
            replays: replayed(&mut tx, connector, content_digest).await?,
        })
    }
}

fn query(source: sqlx::Error) -> ReadError {
    ReadError::Query { table: TABLE, source }
}

async fn accepted(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
) -> Result<u64, ReadError> {
    let row = sqlx::query("SELECT count(*) AS accepted FROM snapshots WHERE connector = ?1")
        .bind(connector.as_str())
        .fetch_one(connection)
        .await
        .map_err(query)?;
    Cells { table: TABLE, row: &row }.number("accepted")
}

/// Removals since a moment: by syncs that policy accepted, and by those that a person released.
async fn removed(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    since: i64,
) -> Result<(BTreeMap<String, u64>, BTreeMap<String, u64>), ReadError> {
    let rows = sqlx::query(
        "SELECT s.removed, r.outcome = 'released' AS released FROM snapshots s
         JOIN runs r ON r.connector = s.connector AND r.sync = s.sync
         WHERE s.connector = ?1 AND s.committed_at > ?2",
    )
    .bind(connector.as_str())
    .bind(since)
    .fetch_all(connection)
    .await
    .map_err(query)?;
    let (mut by_policy, mut by_people) = (BTreeMap::new(), BTreeMap::new());
    for row in &rows {
        let cells = Cells { table: TABLE, row };
        let removed: BTreeMap<String, u64> = cells.json("removed")?;
        let sums = if cells.number("released")? == 0 { &mut by_policy } else { &mut by_people };
        for (label, count) in removed {
            let sum = sums.entry(label).or_insert(0_u64);
            *sum = sum.saturating_add(count);
        }
    }
    Ok((by_policy, by_people))
}

async fn records_at(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    time: i64,
) -> Result<BTreeMap<String, u64>, ReadError> {
    let row = sqlx::query(
        "SELECT labels FROM snapshots WHERE connector = ?1
         ORDER BY committed_at > ?2, CASE WHEN committed_at > ?2 THEN sync ELSE -sync END LIMIT 1",
    )
    .bind(connector.as_str())
    .bind(time)
    .fetch_optional(connection)
    .await
    .map_err(query)?;
    row.map_or(Ok(BTreeMap::new()), |row| Cells { table: TABLE, row: &row }.json("labels"))
}

async fn watermarks(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
) -> Result<BTreeMap<String, Watermark>, ReadError> {
    let row = sqlx::query(
        "SELECT s.watermarks FROM last_good g
         JOIN snapshots s ON s.connector = g.connector AND s.sync = g.sync WHERE g.connector = ?1",
    )
    .bind(connector.as_str())
    .fetch_optional(connection)
    .await
    .map_err(query)?;
    row.map_or(Ok(BTreeMap::new()), |row| Cells { table: TABLE, row: &row }.json("watermarks"))
}

async fn replayed(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    content_digest: &str,
) -> Result<Option<SyncNumber>, ReadError> {
    let row = sqlx::query(
        "SELECT s.sync FROM snapshots s
         JOIN last_good g ON g.connector = s.connector
         JOIN snapshots l ON l.connector = g.connector AND l.sync = g.sync
         WHERE s.connector = ?1 AND s.content_digest = ?2 AND l.content_digest <> ?2
         ORDER BY s.sync DESC LIMIT 1",
    )
    .bind(connector.as_str())
    .bind(content_digest)
    .fetch_optional(connection)
    .await
    .map_err(query)?;
    row.as_ref().map(|row| Cells { table: TABLE, row }.sync("sync")).transpose()
}
