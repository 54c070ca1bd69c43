//! What earlier syncs of a connector add to a judgement.

use std::collections::BTreeMap;

use cordon_model::{ConnectorName, SyncNumber, Watermark};
use jiff::Timestamp;
use sqlx::SqliteConnection;

use crate::cells::Cells;
use crate::{Ledger, ReadError};

const TABLE: &str = "snapshots";
const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

/// What earlier syncs of a connector add to a judgement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryRow {
    /// Accepted syncs so far.
    pub accepted: u64,
    /// Records removed by syncs accepted in the last 24 hours, by label.
    pub removed_24h: BTreeMap<String, u64>,
    /// Records there were 24 hours ago, by label; where the first snapshot is younger, its records.
    pub records_24h_ago: BTreeMap<String, u64>,
    /// How current each scope of the last known good is.
    pub watermarks: BTreeMap<String, Watermark>,
    /// The newest accepted snapshot that has exactly the candidate's content, when the last known
    /// good has other content: the source has gone back.
    pub replays: Option<SyncNumber>,
}

impl Ledger {
    /// What earlier syncs add to the judgement of a candidate with this content.
    pub async fn history(
        &self,
        connector: &ConnectorName,
        content_digest: &str,
        now: Timestamp,
    ) -> Result<HistoryRow, ReadError> {
        let mut tx = self.read_tx(TABLE).await?;
        let since = now.as_microsecond().saturating_sub(DAY_US);
        Ok(HistoryRow {
            accepted: accepted(&mut tx, connector).await?,
            removed_24h: removed(&mut tx, connector, since).await?,
            records_24h_ago: records_at(&mut tx, connector, since).await?,
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

async fn removed(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    since: i64,
) -> Result<BTreeMap<String, u64>, ReadError> {
    let rows =
        sqlx::query("SELECT removed FROM snapshots WHERE connector = ?1 AND committed_at > ?2")
            .bind(connector.as_str())
            .bind(since)
            .fetch_all(connection)
            .await
            .map_err(query)?;
    let mut sums = BTreeMap::new();
    for row in &rows {
        let removed: BTreeMap<String, u64> = Cells { table: TABLE, row }.json("removed")?;
        for (label, count) in removed {
            let sum = sums.entry(label).or_insert(0_u64);
            *sum = sum.saturating_add(count);
        }
    }
    Ok(sums)
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
