//! Retention: whose files must stay, and which snapshots are forgotten.

use std::collections::{BTreeMap, BTreeSet};

use cordon_model::{ConnectorName, SyncNumber};
use jiff::Timestamp;
use serde_json::json;
use sqlx::SqliteConnection;

use crate::cells::{self, Cells};
use crate::evidence::{self, Entry, SUPERVISOR, kind};
use crate::{Ledger, ReadError, WriteError, outbox, quarantine, snapshots};

const TABLE: &str = "snapshots";

/// A sink receives the changes of a connector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    /// The sink.
    pub sink: String,
    /// The connector.
    pub connector: ConnectorName,
}

/// Whose files must stay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// Snapshots; each of them is there.
    pub snapshots: BTreeSet<(ConnectorName, SyncNumber)>,
    /// What waits in quarantine, and what a running sync may have staged.
    pub candidates: BTreeSet<(ConnectorName, SyncNumber)>,
}

impl Ledger {
    /// Forgets the snapshots that nothing needs any more and says whose files must stay: of each
    /// connector the newest few, the last known good, and all that a sink did not take yet.
    ///
    /// The answer is true for the runs that had begun. Sweep the files before the next run begins,
    /// or its files are swept, too.
    pub async fn retain(
        &self,
        newest: u32,
        deliveries: &[Delivery],
        now: Timestamp,
    ) -> Result<Kept, WriteError> {
        let mut tx = self.begin(TABLE).await?;
        let done = retain(tx.connection(), newest, deliveries, now).await;
        tx.end(done).await
    }
}

async fn retain(
    connection: &mut SqliteConnection,
    newest: u32,
    deliveries: &[Delivery],
    now: Timestamp,
) -> Result<Kept, WriteError> {
    let mut needed: BTreeSet<_> = snapshots::all_current(connection).await?.into_iter().collect();
    needed.extend(undelivered(connection, deliveries).await?);
    let mut all: BTreeMap<ConnectorName, Vec<SyncNumber>> = BTreeMap::new();
    for row in snapshots::all_kept(connection).await? {
        all.entry(row.connector).or_default().push(row.sync);
    }
    let mut kept = in_progress(connection).await?;
    for (connector, syncs) in all {
        let newest_from = syncs.len().saturating_sub(newest as usize);
        let mut forgotten = Vec::new();
        for (at, sync) in syncs.into_iter().enumerate() {
            let snapshot = (connector.clone(), sync);
            if at >= newest_from || needed.contains(&snapshot) {
                kept.snapshots.insert(snapshot);
            } else {
                forgotten.push(sync);
            }
        }
        if !forgotten.is_empty() {
            forget(connection, &connector, &forgotten, now).await?;
        }
    }
    Ok(kept)
}

/// The snapshots that undelivered changes lie between.
async fn undelivered(
    connection: &mut SqliteConnection,
    deliveries: &[Delivery],
) -> Result<BTreeSet<(ConnectorName, SyncNumber)>, ReadError> {
    let mut cursors: BTreeMap<&ConnectorName, u64> = BTreeMap::new();
    for Delivery { sink, connector } in deliveries {
        let seq = outbox::cursor(connection, sink, connector).await?.seq;
        let least = cursors.entry(connector).or_insert(seq);
        *least = seq.min(*least);
    }
    let mut needed = BTreeSet::new();
    for (connector, seq) in cursors {
        let rows = sqlx::query(
            "SELECT from_sync, to_sync FROM outbox WHERE connector = ?1 AND last_seq > ?2",
        )
        .bind(connector.as_str())
        .bind(i64::try_from(seq).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await
        .map_err(|source| ReadError::Query { table: "outbox", source })?;
        for row in &rows {
            let cells = Cells { table: "outbox", row };
            let from = cells.sync_or_none("from_sync")?;
            needed.extend(from.into_iter().map(|sync| (connector.clone(), sync)));
            needed.insert((connector.clone(), cells.sync("to_sync")?));
        }
    }
    Ok(needed)
}

/// Syncs that may have staged something.
async fn in_progress(connection: &mut SqliteConnection) -> Result<Kept, ReadError> {
    let mut syncs: BTreeSet<_> = quarantine::open(connection, None)
        .await?
        .into_iter()
        .map(|row| (row.connector, row.sync))
        .collect();
    let rows = sqlx::query("SELECT connector, sync FROM runs WHERE outcome = 'running'")
        .fetch_all(connection)
        .await
        .map_err(|source| ReadError::Query { table: "runs", source })?;
    for row in &rows {
        let cells = Cells { table: "runs", row };
        syncs.insert((cells.connector()?, cells.sync("sync")?));
    }
    Ok(Kept { snapshots: BTreeSet::new(), candidates: syncs })
}

async fn forget(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    syncs: &[SyncNumber],
    now: Timestamp,
) -> Result<(), WriteError> {
    for sync in syncs {
        sqlx::query("UPDATE snapshots SET kept = 0 WHERE connector = ?1 AND sync = ?2")
            .bind(connector.as_str())
            .bind(cells::sync_key(*sync))
            .execute(&mut *connection)
            .await
            .map_err(|source| WriteError::Query { table: TABLE, source })?;
    }
    let body = json!({ "snapshots": syncs });
    let entry =
        Entry { kind: kind::FORGOTTEN, connector: Some(connector), actor: SUPERVISOR, body };
    evidence::append(connection, entry, now).await?;
    Ok(())
}
