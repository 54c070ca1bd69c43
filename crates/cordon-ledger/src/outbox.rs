//! The outbox: which changes each sink still has to get.
//!
//! The changes of a connector are numbered from 1 without gaps, in the order of commits. An entry
//! says which numbers lie between two snapshots; the changes themselves are found by comparing the
//! two again, always in the same order. A cursor is the number of the last change that a sink took.
//!
//! A sink that nobody knew starts at 0 and gets every entry whose snapshots are kept. Where they no
//! longer are, changes one by one are gone, and it gets a baseline instead: the oldest snapshot from
//! which on everything is kept, whole, as additions. A baseline settles all numbers up to the one at
//! which that snapshot stands; its additions have no numbers of their own.

use cordon_model::{ConnectorName, SyncNumber};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::cells::{self, Cells, LINE_BYTES_MAX};
use crate::evidence::{self, Entry, SUPERVISOR, kind};
use crate::{AdvanceError, Ledger, ReadError, WriteError, runs};

const TABLE: &str = "outbox";
const CURSORS: &str = "cursors";

/// What sort of work a sink gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkKind {
    /// The changes between two snapshots, numbered `first_seq..=last_seq` in their order.
    Changes,
    /// A whole snapshot as additions. It replaces all that the sink had of the connector. Every
    /// addition bears `last_seq` and is told apart by its place; the cursor moves at the end.
    Baseline,
}

/// What a sink gets next of one connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OutboxWork {
    /// What sort of work.
    pub kind: WorkKind,
    /// The snapshot to compare with; none: everything is an addition.
    pub from: Option<SyncNumber>,
    /// The snapshot that the sink will stand at.
    pub to: SyncNumber,
    /// The first number that this work settles.
    pub first_seq: u64,
    /// The last number that this work settles.
    pub last_seq: u64,
    /// How many changes of this work the sink already took.
    pub skip: u64,
    /// The last number that the sink took.
    pub cursor: u64,
    /// When the oldest of these changes was committed.
    pub committed_at: Timestamp,
}

/// How far a sink is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SinkLag {
    /// Numbered changes that it did not take.
    pub behind: u64,
    /// When the oldest of them was committed.
    pub oldest: Option<Timestamp>,
}

/// The place of a commit in the outbox.
pub(crate) struct OutboxEntry {
    pub(crate) position: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
}

impl Ledger {
    /// What a sink gets next of a connector; none when it has everything.
    pub async fn outbox_next(
        &self,
        sink: &str,
        connector: &ConnectorName,
    ) -> Result<Option<OutboxWork>, ReadError> {
        let mut tx = self.read_tx(TABLE).await?;
        let cursor = cursor(&mut tx, sink, connector).await?;
        let Some(entry) = next(&mut tx, connector, cursor.seq).await? else {
            return Ok(None);
        };
        if entry.deliverable {
            return Ok(Some(OutboxWork {
                kind: WorkKind::Changes,
                from: entry.from,
                to: entry.to,
                first_seq: entry.first_seq,
                last_seq: entry.last_seq,
                skip: (cursor.seq + 1).saturating_sub(entry.first_seq),
                cursor: cursor.seq,
                committed_at: entry.committed_at,
            }));
        }
        let (to, last_seq) = baseline(&mut tx, connector).await?;
        let skip = if cursor.baseline_to == Some(to) { cursor.baseline_delivered } else { 0 };
        Ok(Some(OutboxWork {
            kind: WorkKind::Baseline,
            from: None,
            to,
            first_seq: cursor.seq + 1,
            last_seq,
            skip,
            cursor: cursor.seq,
            committed_at: entry.committed_at,
        }))
    }

    /// Notes that a sink took every change of a connector up to this number, and returns where its
    /// cursor stands. A cursor never goes back: an older number changes nothing.
    pub async fn advance(
        &self,
        sink: &str,
        connector: &ConnectorName,
        seq: u64,
        now: Timestamp,
    ) -> Result<u64, AdvanceError> {
        cells::bounded("the sink's name", sink, LINE_BYTES_MAX)?;
        let mut tx = self.begin(CURSORS).await?;
        let done = advance(tx.connection(), sink, connector, seq, now).await;
        tx.end(done).await
    }

    /// Notes how many additions of a baseline a sink took, so that a restart goes on from there.
    pub async fn advance_baseline(
        &self,
        sink: &str,
        connector: &ConnectorName,
        to: SyncNumber,
        delivered: u64,
    ) -> Result<(), WriteError> {
        cells::bounded("the sink's name", sink, LINE_BYTES_MAX)?;
        let mut tx = self.begin(CURSORS).await?;
        let done = advance_baseline(tx.connection(), sink, connector, to, delivered).await;
        tx.end(done).await
    }

    /// How far a sink is behind, over the connectors that it receives.
    pub async fn sink_lag(
        &self,
        sink: &str,
        connectors: &[ConnectorName],
    ) -> Result<SinkLag, ReadError> {
        let mut tx = self.read_tx(TABLE).await?;
        let mut lag = SinkLag::default();
        for connector in connectors {
            let cursor = cursor(&mut tx, sink, connector).await?;
            let Some(entry) = next(&mut tx, connector, cursor.seq).await? else { continue };
            let behind = last_seq(&mut tx, connector).await?.saturating_sub(cursor.seq);
            lag.behind = lag.behind.saturating_add(behind);
            let oldest = lag.oldest.unwrap_or(entry.committed_at);
            lag.oldest = Some(oldest.min(entry.committed_at));
        }
        Ok(lag)
    }
}

fn query(source: sqlx::Error) -> ReadError {
    ReadError::Query { table: TABLE, source }
}

/// Where a sink stands with a connector.
#[derive(Default)]
pub(crate) struct Cursor {
    pub(crate) seq: u64,
    baseline_to: Option<SyncNumber>,
    baseline_delivered: u64,
}

pub(crate) async fn cursor(
    connection: &mut SqliteConnection,
    sink: &str,
    connector: &ConnectorName,
) -> Result<Cursor, ReadError> {
    let row = sqlx::query("SELECT * FROM cursors WHERE sink = ?1 AND connector = ?2")
        .bind(sink)
        .bind(connector.as_str())
        .fetch_optional(connection)
        .await
        .map_err(|source| ReadError::Query { table: CURSORS, source })?;
    let Some(row) = row else { return Ok(Cursor::default()) };
    let cells = Cells { table: CURSORS, row: &row };
    Ok(Cursor {
        seq: cells.number("seq")?,
        baseline_to: cells.sync_or_none("baseline_to")?,
        baseline_delivered: cells.number("baseline_delivered")?,
    })
}

struct Next {
    from: Option<SyncNumber>,
    to: SyncNumber,
    first_seq: u64,
    last_seq: u64,
    committed_at: Timestamp,
    /// The snapshots that it lies between are kept.
    deliverable: bool,
}

/// The oldest entry with a change after a number.
async fn next(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    seq: u64,
) -> Result<Option<Next>, ReadError> {
    let row = sqlx::query(
        "SELECT o.*, t.kept AND (o.from_sync IS NULL OR f.kept) AS deliverable FROM outbox o
         JOIN snapshots t ON t.connector = o.connector AND t.sync = o.to_sync
         LEFT JOIN snapshots f ON f.connector = o.connector AND f.sync = o.from_sync
         WHERE o.connector = ?1 AND o.last_seq > ?2 ORDER BY o.last_seq, o.position LIMIT 1",
    )
    .bind(connector.as_str())
    .bind(i64::try_from(seq).unwrap_or(i64::MAX))
    .fetch_optional(connection)
    .await
    .map_err(query)?;
    row.as_ref().map(next_row).transpose()
}

fn next_row(row: &SqliteRow) -> Result<Next, ReadError> {
    let cells = Cells { table: TABLE, row };
    Ok(Next {
        from: cells.sync_or_none("from_sync")?,
        to: cells.sync("to_sync")?,
        first_seq: cells.number("first_seq")?,
        last_seq: cells.number("last_seq")?,
        committed_at: cells.time("committed_at")?,
        deliverable: cells.number("deliverable")? == 1,
    })
}

/// The oldest snapshot from which on every one is kept, and the number at which it stands.
async fn baseline(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
) -> Result<(SyncNumber, u64), ReadError> {
    let row = sqlx::query(
        "SELECT to_sync, last_seq FROM outbox WHERE connector = ?1 AND position > (
             SELECT coalesce(max(o.position), 0) FROM outbox o
             JOIN snapshots t ON t.connector = o.connector AND t.sync = o.to_sync
             WHERE o.connector = ?1 AND t.kept = 0)
         ORDER BY position LIMIT 1",
    )
    .bind(connector.as_str())
    .fetch_one(connection)
    .await
    .map_err(query)?;
    let cells = Cells { table: TABLE, row: &row };
    Ok((cells.sync("to_sync")?, cells.number("last_seq")?))
}

/// The number of the last change of a connector.
async fn last_seq(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
) -> Result<u64, ReadError> {
    let row = sqlx::query("SELECT last_seq FROM connectors WHERE connector = ?1")
        .bind(connector.as_str())
        .fetch_optional(connection)
        .await
        .map_err(query)?;
    row.map_or(Ok(0), |row| Cells { table: "connectors", row: &row }.number("last_seq"))
}

/// Gives the next commit of a connector its place.
pub(crate) async fn next_entry(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    changes: u64,
) -> Result<OutboxEntry, WriteError> {
    let before = last_seq(connection, connector).await?;
    let what = "the number of the last change";
    let last_seq = before.saturating_add(changes);
    let position: i64 = sqlx::query_scalar(
        "UPDATE connectors SET last_position = last_position + 1, last_seq = ?2
         WHERE connector = ?1 RETURNING last_position",
    )
    .bind(connector.as_str())
    .bind(cells::number(what, last_seq)?)
    .fetch_one(connection)
    .await
    .map_err(|source| WriteError::Query { table: "connectors", source })?;
    Ok(OutboxEntry { position: position.unsigned_abs(), first_seq: before + 1, last_seq })
}

pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    from: Option<SyncNumber>,
    to: SyncNumber,
    entry: &OutboxEntry,
    now: Timestamp,
) -> Result<(), WriteError> {
    sqlx::query(
        "INSERT INTO outbox (connector, position, from_sync, to_sync, first_seq, last_seq,
             committed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )
    .bind(connector.as_str())
    .bind(cells::number("a position", entry.position)?)
    .bind(from.map(cells::sync_key))
    .bind(cells::sync_key(to))
    .bind(cells::number("the number of a change", entry.first_seq)?)
    .bind(cells::number("the number of a change", entry.last_seq)?)
    .bind(now.as_microsecond())
    .execute(connection)
    .await
    .map_err(|source| WriteError::Query { table: TABLE, source })?;
    Ok(())
}

async fn advance(
    connection: &mut SqliteConnection,
    sink: &str,
    connector: &ConnectorName,
    seq: u64,
    now: Timestamp,
) -> Result<u64, AdvanceError> {
    let last_seq = last_seq(connection, connector).await?;
    if seq > last_seq {
        return Err(AdvanceError::Unwritten {
            sink: sink.to_owned(),
            connector: connector.clone(),
            seq,
            last_seq,
        });
    }
    let before = cursor(connection, sink, connector).await?.seq;
    if seq <= before {
        return Ok(before);
    }
    sqlx::query(
        "INSERT INTO cursors (sink, connector, seq) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET seq = ?3, baseline_to = NULL, baseline_delivered = 0",
    )
    .bind(sink)
    .bind(connector.as_str())
    .bind(cells::number("the number of a change", seq)?)
    .execute(&mut *connection)
    .await
    .map_err(|source| WriteError::Query { table: CURSORS, source })?;
    if let Some((first_seq, last_seq)) = completed(connection, connector, before, seq).await? {
        let body = json!({ "sink": sink, "first_seq": first_seq, "last_seq": last_seq });
        let entry =
            Entry { kind: kind::DELIVERED, connector: Some(connector), actor: SUPERVISOR, body };
        evidence::append(connection, entry, now).await?;
    }
    Ok(seq)
}

/// The numbers of the entries that a move of a cursor completes, if there are any.
async fn completed(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    before: u64,
    seq: u64,
) -> Result<Option<(u64, u64)>, AdvanceError> {
    let row = sqlx::query(
        "SELECT min(first_seq) AS first_seq, max(last_seq) AS last_seq FROM outbox
         WHERE connector = ?1 AND last_seq > ?2 AND last_seq <= ?3",
    )
    .bind(connector.as_str())
    .bind(cells::number("the number of a change", before)?)
    .bind(cells::number("the number of a change", seq)?)
    .fetch_one(connection)
    .await
    .map_err(query)?;
    let cells = Cells { table: TABLE, row: &row };
    Ok(cells.number_or_none("first_seq")?.zip(cells.number_or_none("last_seq")?))
}

async fn advance_baseline(
    connection: &mut SqliteConnection,
    sink: &str,
    connector: &ConnectorName,
    to: SyncNumber,
    delivered: u64,
) -> Result<(), WriteError> {
    runs::know(connection, connector).await?;
    sqlx::query(
        "INSERT INTO cursors (sink, connector, seq, baseline_to, baseline_delivered)
         VALUES (?1, ?2, 0, ?3, ?4)
         ON CONFLICT DO UPDATE SET baseline_to = ?3, baseline_delivered =
             CASE WHEN baseline_to = ?3 THEN max(baseline_delivered, ?4) ELSE ?4 END",
    )
    .bind(sink)
    .bind(connector.as_str())
    .bind(cells::sync_key(to))
    .bind(cells::number("the count of additions", delivered)?)
    .execute(connection)
    .await
    .map_err(|source| WriteError::Query { table: CURSORS, source })?;
    Ok(())
}
