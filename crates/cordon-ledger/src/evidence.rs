//! Evidence records: appended with every write, never changed.
//!
//! Texts of any length (verdicts, findings) are named in a record's body by their SHA-256, so that
//! the chain stays small and still covers them.

use std::fmt;

use cordon_model::ConnectorName;
use futures::TryStreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::cells::{self, Cells, LINE_BYTES_MAX, TEXT_BYTES_MAX};
use crate::chain::{Walk, canonical_json, evidence_hash, kept_time};
use crate::{ChainFault, ChainReport, Extent, Ledger, ReadError, VerifyError, WriteError, witness};

const TABLE: &str = "evidence";

/// Kinds of records that only the ledger writes.
pub(crate) mod kind {
    pub(crate) const CREATED: &str = "ledger.created";
    pub(crate) const WANTED: &str = "wanted.set";
    pub(crate) const RUN_STARTED: &str = "run.started";
    pub(crate) const RUN_FAILED: &str = "run.failed";
    pub(crate) const RUN_REJECTED: &str = "run.rejected";
    pub(crate) const QUARANTINED: &str = "run.quarantined";
    pub(crate) const QUARANTINE_REJECTED: &str = "quarantine.rejected";
    pub(crate) const REMAINS: &str = "quarantine.remains";
    pub(crate) const REQUESTED: &str = "release.requested";
    pub(crate) const LAPSED: &str = "release.lapsed";
    pub(crate) const COMMITTED: &str = "snapshot.committed";
    pub(crate) const FORGOTTEN: &str = "snapshots.forgotten";
    pub(crate) const DELIVERED: &str = "delivery.completed";
    pub(crate) const TRIED: &str = "run.tried";

    pub(crate) const ALL: [&str; 14] = [
        CREATED,
        WANTED,
        RUN_STARTED,
        RUN_FAILED,
        RUN_REJECTED,
        QUARANTINED,
        QUARANTINE_REJECTED,
        REMAINS,
        REQUESTED,
        LAPSED,
        COMMITTED,
        FORGOTTEN,
        DELIVERED,
        TRIED,
    ];
}

/// Who acts when no person does.
pub(crate) const SUPERVISOR: &str = "cordond";

/// The number of an evidence record, counted from 1 without gaps.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct EvidenceSeq(pub u64);

impl fmt::Display for EvidenceSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One evidence record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceRow {
    /// Its number.
    pub seq: EvidenceSeq,
    /// When, to the microsecond.
    pub time: Timestamp,
    /// What happened, e.g. `snapshot.committed`.
    pub kind: String,
    /// To which connector; none for what concerns the host.
    pub connector: Option<ConnectorName>,
    /// Who did it: a person, `policy`, or `cordond`.
    pub actor: String,
    /// The rest, as canonical JSON.
    pub body: String,
    /// The hash of the record before.
    pub prev_hash: [u8; 32],
    /// The hash of this record.
    pub hash: [u8; 32],
}

/// What a new record says.
pub(crate) struct Entry<'a> {
    pub(crate) kind: &'a str,
    pub(crate) connector: Option<&'a ConnectorName>,
    pub(crate) actor: &'a str,
    pub(crate) body: Value,
}

impl Ledger {
    /// Appends a record of something that the ledger holds no row of: a reload of the configuration,
    /// a start or stop of the supervisor, a breaker that opened.
    pub async fn append_event(
        &self,
        kind: &str,
        connector: Option<&ConnectorName>,
        actor: &str,
        body: Value,
        now: Timestamp,
    ) -> Result<EvidenceSeq, WriteError> {
        if !is_event_kind(kind) {
            return Err(WriteError::EventKind { kind: kind.chars().take(80).collect() });
        }
        let mut tx = self.begin(TABLE).await?;
        let done = append(tx.connection(), Entry { kind, connector, actor, body }, now).await;
        tx.end(done).await
    }

    /// Records after a number, in order, at most `limit`; of one connector, or of all and the host.
    pub async fn evidence(
        &self,
        connector: Option<&ConnectorName>,
        after: EvidenceSeq,
        limit: u32,
    ) -> Result<Vec<EvidenceRow>, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        let after = i64::try_from(after.0).unwrap_or(i64::MAX);
        let rows = match connector {
            Some(connector) => sqlx::query(
                "SELECT * FROM evidence WHERE connector = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )
            .bind(connector.as_str())
            .bind(after)
            .bind(limit)
            .fetch_all(&mut *reader)
            .await,
            None => {
                sqlx::query("SELECT * FROM evidence WHERE seq > ?1 ORDER BY seq LIMIT ?2")
                    .bind(after)
                    .bind(limit)
                    .fetch_all(&mut *reader)
                    .await
            }
        };
        rows.map_err(query)?.iter().map(record).collect()
    }

    /// The newest records, newest first, at most `limit`; of one connector, or of all and the host.
    pub async fn latest_evidence(
        &self,
        connector: Option<&ConnectorName>,
        limit: u32,
    ) -> Result<Vec<EvidenceRow>, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        let rows = match connector {
            Some(connector) => {
                sqlx::query(
                    "SELECT * FROM evidence WHERE connector = ?1 ORDER BY seq DESC LIMIT ?2",
                )
                .bind(connector.as_str())
                .bind(limit)
                .fetch_all(&mut *reader)
                .await
            }
            None => {
                sqlx::query("SELECT * FROM evidence ORDER BY seq DESC LIMIT ?1")
                    .bind(limit)
                    .fetch_all(&mut *reader)
                    .await
            }
        };
        rows.map_err(query)?.iter().map(record).collect()
    }

    /// The newest records of some kinds of one connector, newest first, at most `limit`.
    pub async fn latest_of_kinds(
        &self,
        connector: &ConnectorName,
        kinds: [&str; 2],
        limit: u32,
    ) -> Result<Vec<EvidenceRow>, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        sqlx::query(
            "SELECT * FROM evidence WHERE connector = ?1 AND kind IN (?2, ?3)
             ORDER BY seq DESC LIMIT ?4",
        )
        .bind(connector.as_str())
        .bind(kinds[0])
        .bind(kinds[1])
        .bind(limit)
        .fetch_all(&mut *reader)
        .await
        .map_err(query)?
        .iter()
        .map(record)
        .collect()
    }

    /// The number of the newest record.
    pub async fn evidence_head(&self) -> Result<EvidenceSeq, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        Ok(head(&mut reader).await?.0)
    }

    /// Checks every record, in order, and every row that a record vouches for, and names the first
    /// that fails.
    pub async fn verify_chain(&self) -> Result<ChainReport, VerifyError> {
        let mut tx = self.read_tx(TABLE).await?;
        let report = verify(&mut tx, None).await?;
        witness::check(&mut tx).await?;
        Ok(report)
    }
}

fn query(source: sqlx::Error) -> ReadError {
    ReadError::Query { table: TABLE, source }
}

fn is_event_kind(kind: &str) -> bool {
    matches!(kind.len(), 1..=64)
        && kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
        && !kind::ALL.contains(&kind)
}

/// Appends a record. The caller's transaction holds the write lock, so the head cannot move.
pub(crate) async fn append(
    connection: &mut SqliteConnection,
    entry: Entry<'_>,
    now: Timestamp,
) -> Result<EvidenceSeq, WriteError> {
    let (last, prev_hash) = head(connection).await?;
    let mut record = EvidenceRow {
        seq: EvidenceSeq(last.0 + 1),
        time: kept_time(now),
        kind: entry.kind.to_owned(),
        connector: entry.connector.cloned(),
        actor: entry.actor.to_owned(),
        body: canonical_json(&entry.body),
        prev_hash,
        hash: [0; 32],
    };
    cells::bounded("the actor", &record.actor, LINE_BYTES_MAX)?;
    cells::bounded("the body of an evidence record", &record.body, TEXT_BYTES_MAX)?;
    record.hash = evidence_hash(&record);
    insert(connection, &record).await?;
    sqlx::query("UPDATE chain_head SET seq = ?1, hash = ?2 WHERE one = 1")
        .bind(cells::number("an evidence number", record.seq.0)?)
        .bind(record.hash.as_slice())
        .execute(connection)
        .await
        .map_err(|source| WriteError::Query { table: TABLE, source })?;
    Ok(record.seq)
}

/// Writes the first record and the head.
pub(crate) async fn create(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let mut record = EvidenceRow {
        seq: EvidenceSeq(1),
        time: kept_time(now),
        kind: kind::CREATED.to_owned(),
        connector: None,
        actor: SUPERVISOR.to_owned(),
        body: "{}".to_owned(),
        prev_hash: crate::first_prev_hash(),
        hash: [0; 32],
    };
    record.hash = evidence_hash(&record);
    insert_row(connection, &record, 1).await?;
    sqlx::query("INSERT INTO chain_head (one, seq, hash) VALUES (1, 1, ?1)")
        .bind(record.hash.as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert(connection: &mut SqliteConnection, record: &EvidenceRow) -> Result<(), WriteError> {
    let seq = cells::number("an evidence number", record.seq.0)?;
    insert_row(connection, record, seq)
        .await
        .map_err(|source| WriteError::Query { table: TABLE, source })
}

async fn insert_row(
    connection: &mut SqliteConnection,
    record: &EvidenceRow,
    seq: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO evidence (seq, time, kind, connector, actor, body, prev_hash, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(seq)
    .bind(record.time.as_microsecond())
    .bind(&record.kind)
    .bind(record.connector.as_ref().map(ConnectorName::as_str))
    .bind(&record.actor)
    .bind(&record.body)
    .bind(record.prev_hash.as_slice())
    .bind(record.hash.as_slice())
    .execute(connection)
    .await?;
    Ok(())
}

/// The newest record's number and hash, as the ledger remembers them.
pub(crate) async fn head(
    connection: &mut SqliteConnection,
) -> Result<(EvidenceSeq, [u8; 32]), ReadError> {
    let row = sqlx::query("SELECT seq, hash FROM chain_head WHERE one = 1")
        .fetch_one(connection)
        .await
        .map_err(|source| ReadError::Query { table: "chain head", source })?;
    let cells = Cells { table: "chain_head", row: &row };
    Ok((EvidenceSeq(cells.number("seq")?), cells.hash("hash")?))
}

/// One record by its number.
pub(crate) async fn get(
    connection: &mut SqliteConnection,
    seq: EvidenceSeq,
) -> Result<Option<EvidenceRow>, ReadError> {
    let row = sqlx::query("SELECT * FROM evidence WHERE seq = ?1")
        .bind(i64::try_from(seq.0).unwrap_or(i64::MAX))
        .fetch_optional(connection)
        .await
        .map_err(query)?;
    row.as_ref().map(record).transpose()
}

/// The newest record of a kind, of each connector that has one.
pub(crate) async fn newest(
    connection: &mut SqliteConnection,
    kind: &str,
) -> Result<Vec<EvidenceRow>, ReadError> {
    sqlx::query(
        "SELECT * FROM evidence WHERE seq IN (
             SELECT max(seq) FROM evidence WHERE kind = ?1 GROUP BY connector)",
    )
    .bind(kind)
    .fetch_all(connection)
    .await
    .map_err(query)?
    .iter()
    .map(record)
    .collect()
}

fn record(row: &SqliteRow) -> Result<EvidenceRow, ReadError> {
    let cells = Cells { table: TABLE, row };
    Ok(EvidenceRow {
        seq: EvidenceSeq(cells.number("seq")?),
        time: cells.time("time")?,
        kind: cells.text("kind")?,
        connector: cells.connector_or_none()?,
        actor: cells.text("actor")?,
        body: cells.text("body")?,
        prev_hash: cells.hash("prev_hash")?,
        hash: cells.hash("hash")?,
    })
}

/// Checks the chain: all of it, or only the newest `tail` records and the link before them.
pub(crate) async fn verify(
    connection: &mut SqliteConnection,
    tail: Option<u64>,
) -> Result<ChainReport, VerifyError> {
    let (head, hash) = head(connection).await?;
    let from = tail.map_or(1, |tail| head.0.saturating_sub(tail).saturating_add(1));
    let mut walk = Walk::from_start();
    if from > 1 {
        let before = EvidenceSeq(from - 1);
        let record = get(connection, before).await.map_err(|error| at(before, error))?;
        walk = Walk::after(&record.ok_or(ChainFault::Missing { seq: before })?);
    }
    {
        let mut rows = sqlx::query("SELECT * FROM evidence WHERE seq >= ?1 ORDER BY seq")
            .bind(i64::try_from(from).unwrap_or(i64::MAX))
            .fetch(connection);
        while let Some(row) = rows.try_next().await.map_err(query)? {
            let record = record(&row).map_err(|error| at(walk.next(), error))?;
            walk.step(&record)?;
        }
    }
    walk.end(head, hash)?;
    let extent = if from > 1 { Extent::Tail { from: EvidenceSeq(from) } } else { Extent::Whole };
    Ok(ChainReport { head, hash, extent })
}

/// A damaged value in a record is a fault of that record.
fn at(seq: EvidenceSeq, error: ReadError) -> VerifyError {
    match error {
        ReadError::Cell { column, .. } => ChainFault::Malformed { seq, column }.into(),
        ReadError::Query { .. } => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn a_tail_is_checked_with_its_link_to_the_record_before() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("cordon.db");
        let ledger = Ledger::open(&path, Timestamp::UNIX_EPOCH).await.unwrap();
        for _ in 0..9 {
            let now = Timestamp::UNIX_EPOCH;
            ledger.append_event("drill.note", None, "test", json!({}), now).await.unwrap();
        }
        let mut writer = ledger.writer.lock().await;
        let writer = &mut *writer;
        let report = verify(writer, Some(3)).await.unwrap();
        assert_eq!(report.extent, Extent::Tail { from: EvidenceSeq(8) });
        assert_eq!(verify(writer, Some(10)).await.unwrap().extent, Extent::Whole);

        sqlx::raw_sql("DROP TRIGGER evidence_is_never_changed")
            .execute(&mut *writer)
            .await
            .unwrap();
        for (seq, actor) in [(6, "eve"), (8, "eve")] {
            sqlx::query("UPDATE evidence SET actor = ?2 WHERE seq = ?1")
                .bind(seq)
                .bind(actor)
                .execute(&mut *writer)
                .await
                .unwrap();
            let fault = verify(writer, Some(3)).await.err().map(|error| error.to_string());
            let expected = "evidence record 8 does not match its hash: a part of it was changed";
            assert_eq!(fault.as_deref(), (seq == 8).then_some(expected));
        }
        // The hash of the record before the tail is what the tail hangs on.
        sqlx::query("UPDATE evidence SET hash = zeroblob(32) WHERE seq = 7")
            .execute(&mut *writer)
            .await
            .unwrap();
        let fault = verify(writer, Some(3)).await.unwrap_err();
        assert!(matches!(fault, VerifyError::Fault(ChainFault::Unlinked { seq: EvidenceSeq(8) })));
    }
}
