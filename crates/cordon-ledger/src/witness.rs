//! Compares the rows that decide what happens next with the evidence that vouches for them.
//!
//! A chain that holds says nothing of a row beside it. So a pause, a last known good, a candidate in
//! quarantine, an outbox entry and what the detector remembers each have a record that says the same,
//! and opening a ledger looks at both. Absent: rows that only people read, such as timings.

use std::collections::{BTreeMap, BTreeSet};

use cordon_model::ConnectorName;
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use crate::cells::Cells;
use crate::chain::{evidence_hash, text_sha256};
use crate::evidence::{self, kind};
use crate::{
    ChainFault, EvidenceRow, EvidenceSeq, ReadError, VerifyError, commit, memory, quarantine,
    requests, rest, snapshots, wanted,
};

/// Finds the first row that its evidence does not vouch for.
pub(crate) async fn check(connection: &mut SqliteConnection) -> Result<(), VerifyError> {
    check_memory(connection).await?;
    check_wanted(connection).await?;
    check_snapshots(connection).await?;
    check_outbox(connection).await?;
    check_quarantine(connection).await?;
    check_requests(connection).await?;
    check_counters(connection).await?;
    check_cursors(connection).await
}

async fn check_wanted(connection: &mut SqliteConnection) -> Result<(), VerifyError> {
    let mut newest = newest(connection, &[kind::WANTED]).await?;
    for row in wanted::all(connection).await? {
        let name = format!("the wanted state of {}", row.connector);
        let record = vouching(newest.remove(&row.connector), row.evidence, &name)?;
        same(&record, "wanted", &row.wanted.body(), &name)?;
    }
    none_left(&newest, "the wanted state")
}

async fn check_snapshots(connection: &mut SqliteConnection) -> Result<(), VerifyError> {
    let mut kept = BTreeSet::new();
    for row in snapshots::all_kept(connection).await? {
        let name = format!("snapshot {} of {}", row.sync, row.connector);
        let record = evidence::get(connection, row.evidence).await?;
        let record = vouching(record, row.evidence, &name)?;
        is_of(&record, kind::COMMITTED, &row.connector, &name)?;
        same(&record, "sync", &json!(row.sync), &name)?;
        let body = commit::snapshot_body(&row);
        same(&record, "snapshot", &body, &name)?;
        kept.insert((row.connector, row.sync));
    }
    let mut newest = newest(connection, &[kind::COMMITTED]).await?;
    for (connector, sync) in snapshots::all_current(connection).await? {
        let name = format!("the last known good of {connector}");
        let Some(record) = newest.remove(&connector) else {
            return Err(ChainFault::Unvouched { row: name }.into());
        };
        same(&record, "sync", &json!(sync), &name)?;
        if !kept.contains(&(connector, sync)) {
            return Err(ChainFault::Contradicted { seq: record.seq, row: name }.into());
        }
    }
    none_left(&newest, "the last known good")
}

/// What is remembered of a connector is what its newest commit left.
async fn check_memory(connection: &mut SqliteConnection) -> Result<(), VerifyError> {
    let mut newest = newest(connection, &[kind::COMMITTED]).await?;
    for row in memory::all(connection).await? {
        let name = format!("the memory of {}", row.connector);
        let record = newest.remove(&row.connector);
        let record = record.ok_or_else(|| ChainFault::Unvouched { row: name.clone() })?;
        same(&record, memory::VOUCHED, &json!(text_sha256(&row.memory)), &name)?;
    }
    for record in newest.values() {
        let connector = record.connector.as_ref().map(ConnectorName::as_str).unwrap_or_default();
        same(record, memory::VOUCHED, &Value::Null, &format!("the memory of {connector}"))?;
    }
    Ok(())
}

/// Every entry whose snapshot is kept says what the commit said.
async fn check_outbox(connection: &mut SqliteConnection) -> Result<(), VerifyError> {
    let rows = sqlx::query(
        "SELECT s.connector, s.sync, s.evidence, o.position, o.from_sync, o.first_seq, o.last_seq
         FROM snapshots s
         LEFT JOIN outbox o ON o.connector = s.connector AND o.to_sync = s.sync
         WHERE s.kept = 1 ORDER BY s.connector, s.sync",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(|source| ReadError::Query { table: "outbox", source })?;
    for row in &rows {
        let cells = Cells { table: "outbox", row };
        let (connector, sync) = (cells.connector()?, cells.sync("sync")?);
        let name = format!("the outbox entry of snapshot {sync} of {connector}");
        let seq = EvidenceSeq(cells.number("evidence")?);
        let record = vouching(evidence::get(connection, seq).await?, seq, &name)?;
        same(&record, "position", &json!(cells.number_or_none("position")?), &name)?;
        same(&record, "from", &json!(cells.sync_or_none("from_sync")?), &name)?;
        same(&record, "first_seq", &json!(cells.number_or_none("first_seq")?), &name)?;
        same(&record, "last_seq", &json!(cells.number_or_none("last_seq")?), &name)?;
    }
    Ok(())
}

/// A candidate waits if and only if the newest word on the connector put one into quarantine or left
/// one there.
async fn check_quarantine(connection: &mut SqliteConnection) -> Result<(), VerifyError> {
    let words = [kind::QUARANTINED, kind::COMMITTED, kind::QUARANTINE_REJECTED, kind::REMAINS];
    let mut newest = newest(connection, &words).await?;
    newest.retain(|_, record| record.kind == kind::QUARANTINED || record.kind == kind::REMAINS);
    for row in quarantine::open(connection, None).await? {
        let name = format!("sync {} of {} in quarantine", row.sync, row.connector);
        let Some(last) = newest.remove(&row.connector) else {
            return Err(ChainFault::Unvouched { row: name }.into());
        };
        let brought = if last.kind == kind::REMAINS { "last_sync" } else { "sync" };
        same(&last, brought, &json!(row.last_sync), &name)?;
        let record = evidence::get(connection, row.evidence).await?;
        let record = vouching(record, row.evidence, &name)?;
        let remains = record.kind == kind::REMAINS;
        let put_there = if remains { kind::REMAINS } else { kind::QUARANTINED };
        is_of(&record, put_there, &row.connector, &name)?;
        same(&record, "sync", &json!(row.sync), &name)?;
        same(&record, "digest", &json!(row.digest), &name)?;
        same(&record, "content_digest", &json!(row.content_digest), &name)?;
        same(&record, "against", &json!(row.against), &name)?;
        same(&record, "changes", &json!(row.counts), &name)?;
        same(&record, "rest", &rest::body(row.rest), &name)?;
        let judgement = json!({
            "verdict_sha256": text_sha256(&row.verdict_json),
            "findings_sha256": text_sha256(&row.findings_json),
        });
        same(&record, "judgement", &judgement, &name)?;
    }
    none_left(&newest, "the quarantine")
}

/// A request is the newest of its connector, and says what its record says: a forged one would be
/// the word of a person who never gave it.
async fn check_requests(connection: &mut SqliteConnection) -> Result<(), VerifyError> {
    let mut newest = newest(connection, &[kind::REQUESTED]).await?;
    for row in requests::all(connection, None).await? {
        let name = format!("the request to release sync {} of {}", row.sync, row.connector);
        let record = vouching(newest.remove(&row.connector), row.evidence, &name)?;
        let body: Value = serde_json::from_str(&record.body)
            .map_err(|_| ChainFault::Malformed { seq: record.seq, column: "body" })?;
        if record.actor != row.by || record.time != row.at || body != row.body() {
            return Err(ChainFault::Contradicted { seq: record.seq, row: name }.into());
        }
    }
    Ok(())
}

/// Counters stand where the newest commit left them, and no cursor is past them.
async fn check_counters(connection: &mut SqliteConnection) -> Result<(), VerifyError> {
    let newest = newest(connection, &[kind::COMMITTED]).await?;
    let rows = sqlx::query(
        "SELECT c.*,
             (SELECT coalesce(max(sync), 0) FROM runs r WHERE r.connector = c.connector) AS sync,
             (SELECT coalesce(max(seq), 0) FROM cursors s WHERE s.connector = c.connector) AS cursor
         FROM connectors c ORDER BY connector",
    )
    .fetch_all(connection)
    .await
    .map_err(|source| ReadError::Query { table: "connectors", source })?;
    for row in &rows {
        let cells = Cells { table: "connectors", row };
        let connector = cells.connector()?;
        let last_seq = cells.number("last_seq")?;
        let name = format!("the counters of {connector}");
        match newest.get(&connector) {
            Some(record) => {
                same(record, "last_seq", &json!(last_seq), &name)?;
                same(record, "position", &json!(cells.number("last_position")?), &name)?;
            }
            None if last_seq == 0 && cells.number("last_position")? == 0 => {}
            None => return Err(ChainFault::Unvouched { row: name }.into()),
        }
        if cells.number("last_sync")? != cells.number("sync")? || cells.number("cursor")? > last_seq
        {
            return Err(ChainFault::Unvouched { row: name }.into());
        }
    }
    Ok(())
}

/// A cursor is past an entry if and only if the evidence says that the sink took it.
async fn check_cursors(connection: &mut SqliteConnection) -> Result<(), VerifyError> {
    let rows = sqlx::query(
        "SELECT c.sink, c.connector,
             (SELECT coalesce(max(o.last_seq), 0) FROM outbox o
              WHERE o.connector = c.connector AND o.last_seq <= c.seq) AS completed,
             (SELECT e.seq FROM evidence e
              WHERE e.kind = ?1 AND e.connector = c.connector
                  AND json_extract(e.body, '$.sink') = c.sink
              ORDER BY e.seq DESC LIMIT 1) AS evidence
         FROM cursors c ORDER BY c.sink, c.connector",
    )
    .bind(kind::DELIVERED)
    .fetch_all(&mut *connection)
    .await
    .map_err(|source| ReadError::Query { table: "cursors", source })?;
    for row in &rows {
        let cells = Cells { table: "cursors", row };
        let name = format!("the cursor of {:?} in {}", cells.text("sink")?, cells.connector()?);
        let completed = cells.number("completed")?;
        match cells.number_or_none("evidence")?.map(EvidenceSeq) {
            Some(seq) => {
                let record = vouching(evidence::get(connection, seq).await?, seq, &name)?;
                same(&record, "last_seq", &json!(completed), &name)?;
            }
            None if completed == 0 => {}
            None => return Err(ChainFault::Unvouched { row: name }.into()),
        }
    }
    Ok(())
}

/// The newest record of some kinds, of each connector that has one.
async fn newest(
    connection: &mut SqliteConnection,
    kinds: &[&str],
) -> Result<BTreeMap<ConnectorName, EvidenceRow>, VerifyError> {
    let mut newest: BTreeMap<ConnectorName, EvidenceRow> = BTreeMap::new();
    for kind in kinds {
        for record in evidence::newest(connection, kind).await? {
            let record = whole(record)?;
            let Some(connector) = record.connector.clone() else { continue };
            match newest.get(&connector) {
                Some(known) if known.seq > record.seq => {}
                _ => {
                    newest.insert(connector, record);
                }
            }
        }
    }
    Ok(newest)
}

/// The record that a row names, if it is there and whole. The walk along the chain may have begun
/// after it.
fn vouching(
    record: Option<EvidenceRow>,
    seq: EvidenceSeq,
    row: &str,
) -> Result<EvidenceRow, ChainFault> {
    match record {
        Some(record) if record.seq != seq => {
            Err(ChainFault::Contradicted { seq: record.seq, row: row.to_owned() })
        }
        Some(record) => whole(record),
        None => Err(ChainFault::Unvouched { row: row.to_owned() }),
    }
}

fn whole(record: EvidenceRow) -> Result<EvidenceRow, ChainFault> {
    if evidence_hash(&record) != record.hash {
        return Err(ChainFault::Changed { seq: record.seq });
    }
    Ok(record)
}

/// The record speaks of this connector, in this way.
fn is_of(
    record: &EvidenceRow,
    kind: &str,
    connector: &ConnectorName,
    row: &str,
) -> Result<(), ChainFault> {
    if record.kind != kind || record.connector.as_ref() != Some(connector) {
        return Err(ChainFault::Contradicted { seq: record.seq, row: row.to_owned() });
    }
    Ok(())
}

/// A member of the record's body says what the row says.
fn same(record: &EvidenceRow, member: &str, value: &Value, row: &str) -> Result<(), ChainFault> {
    let body: Value = serde_json::from_str(&record.body)
        .map_err(|_| ChainFault::Malformed { seq: record.seq, column: "body" })?;
    if body.get(member).unwrap_or(&Value::Null) != value {
        return Err(ChainFault::Contradicted { seq: record.seq, row: row.to_owned() });
    }
    Ok(())
}

/// A record whose row is gone.
fn none_left(left: &BTreeMap<ConnectorName, EvidenceRow>, what: &str) -> Result<(), VerifyError> {
    match left.first_key_value() {
        Some((connector, _)) => {
            Err(ChainFault::Unvouched { row: format!("{what} of {connector}") }.into())
        }
        None => Ok(()),
    }
}
