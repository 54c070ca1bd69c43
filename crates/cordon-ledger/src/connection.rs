//! The one connection that writes, the few that read, and how a transaction ends.

use std::path::Path;
use std::sync::Arc;

use sqlx::SqliteConnection;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{Sqlite, SqlitePool};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::faults::{FaultHook, FaultNames, Faults};
use crate::{ChainReport, ReadError, WriteError};

/// Takes the write lock at once. A transaction that reads first and locks later can fail in between.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// The ledger of one host. Clones share it.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(crate) path: Arc<Path>,
    pub(crate) writer: Arc<Mutex<SqliteConnection>>,
    pub(crate) readers: SqlitePool,
    pub(crate) opened: ChainReport,
    pub(crate) faults: Faults,
}

impl Ledger {
    /// The same ledger, calling a hook at every fault point that a write of this clone passes.
    #[must_use]
    pub fn with_faults(mut self, hook: FaultHook) -> Self {
        self.faults = Faults(Some(hook));
        self
    }

    /// Where the ledger is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was checked of the evidence when the ledger was opened.
    pub fn opened(&self) -> ChainReport {
        self.opened
    }

    /// Begins the one write transaction that there can be, waiting for the one before.
    pub(crate) async fn begin(&self, table: &'static str) -> Result<WriteTx, WriteError> {
        let connection = Arc::clone(&self.writer).lock_owned().await;
        let mut tx = WriteTx { connection: Some(connection), table };
        if sqlx::raw_sql(BEGIN).execute(tx.connection()).await.is_err() {
            // A transaction that could not be rolled back when it ended may still be open.
            rollback(tx.connection()).await;
            sqlx::raw_sql(BEGIN)
                .execute(tx.connection())
                .await
                .map_err(|source| WriteError::Query { table, source })?;
        }
        Ok(tx)
    }

    /// A connection to read from.
    pub(crate) async fn reader(
        &self,
        table: &'static str,
    ) -> Result<PoolConnection<Sqlite>, ReadError> {
        self.readers.acquire().await.map_err(|source| ReadError::Query { table, source })
    }

    /// A connection that sees one state of the ledger until it is dropped.
    pub(crate) async fn read_tx(
        &self,
        table: &'static str,
    ) -> Result<sqlx::Transaction<'static, Sqlite>, ReadError> {
        self.readers.begin().await.map_err(|source| ReadError::Query { table, source })
    }
}

/// A write transaction. Dropped, it is rolled back.
///
/// Not sqlx's own: that one counts open transactions, and when SQLite rolls back by itself (a full
/// disk) its count stays wrong and the connection never begins again.
pub(crate) struct WriteTx {
    connection: Option<OwnedMutexGuard<SqliteConnection>>,
    table: &'static str,
}

impl WriteTx {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("only `end` and drop take the connection away")
    }

    /// Commits what was done, or rolls it back when it failed.
    pub(crate) async fn end<T, E>(self, done: Result<T, E>) -> Result<T, E>
    where
        E: From<WriteError>,
    {
        self.end_with(done, &Faults::default(), None).await
    }

    /// As `end`, passing fault points.
    pub(crate) async fn end_with<T, E>(
        mut self,
        done: Result<T, E>,
        faults: &Faults,
        names: Option<&FaultNames>,
    ) -> Result<T, E>
    where
        E: From<WriteError>,
    {
        if done.is_err() {
            self.roll_back().await;
            return done;
        }
        if let Some(names) = names {
            faults.reach(names.written);
        }
        if let Err(source) = sqlx::raw_sql("COMMIT").execute(self.connection()).await {
            self.roll_back().await;
            return Err(WriteError::Query { table: self.table, source }.into());
        }
        self.connection = None;
        if let Some(names) = names {
            faults.reach(names.done);
        }
        done
    }

    async fn roll_back(&mut self) {
        rollback(self.connection()).await;
        self.connection = None;
    }
}

impl Drop for WriteTx {
    /// A future that was dropped, or that panicked, must not hold the lock of the file.
    fn drop(&mut self) {
        if let (Some(mut connection), Ok(runtime)) = (self.connection.take(), Handle::try_current())
        {
            runtime.spawn(async move { rollback(&mut connection).await });
        }
    }
}

/// Rolls back whatever is open. That nothing is open is no failure.
async fn rollback(connection: &mut SqliteConnection) {
    if let Err(error) = sqlx::raw_sql("ROLLBACK").execute(connection).await {
        tracing::debug!(%error, "nothing to roll back");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cordon_model::ConnectorName;
    use jiff::Timestamp;
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    /// Lets the file grow to so many pages and no further, as a full disk does.
    async fn limit_pages(ledger: &Ledger, pages: i64) {
        let mut writer = ledger.writer.lock().await;
        let sql = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::raw_sql(sql).execute(&mut *writer).await.unwrap();
    }

    #[tokio::test]
    async fn a_transaction_that_is_dropped_is_undone_and_holds_no_lock() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("cordon.db");
        let now = Timestamp::UNIX_EPOCH;
        let ledger = Ledger::open(&path, now).await.unwrap();
        let other = Ledger::open(&path, now).await.unwrap();
        let mut tx = ledger.begin("wanted").await.unwrap();
        sqlx::raw_sql("INSERT INTO connectors (connector) VALUES ('hr')")
            .execute(tx.connection())
            .await
            .unwrap();
        drop(tx);
        let write = other.append_event("drill.note", None, "test", json!({}), now);
        tokio::time::timeout(Duration::from_secs(20), write).await.unwrap().unwrap();
        let connectors: i64 = sqlx::query_scalar("SELECT count(*) FROM connectors")
            .fetch_one(&mut *other.reader("connectors").await.unwrap())
            .await
            .unwrap();
        assert_eq!(connectors, 0);
    }

    #[tokio::test]
    async fn a_transaction_has_the_lock_before_it_reads() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("cordon.db");
        let now = Timestamp::UNIX_EPOCH;
        let ledger = Ledger::open(&path, now).await.unwrap();
        let other = Ledger::open(&path, now).await.unwrap();
        let tx = ledger.begin("wanted").await.unwrap();
        let mut write = Box::pin(other.append_event("drill.note", None, "test", json!({}), now));
        let waited = tokio::time::timeout(Duration::from_millis(300), &mut write).await;
        assert!(waited.is_err(), "another writer got in between");
        tx.end(Ok::<_, WriteError>(())).await.unwrap();
        write.await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_fails_the_write_and_not_those_after_it() {
        let dir = TempDir::new().unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let ledger = Ledger::open(&dir.path().join("cordon.db"), now).await.unwrap();
        let hr = ConnectorName::new("hr").unwrap();
        let body = json!("x".repeat(1024 * 1024));
        for _ in 0..3 {
            limit_pages(&ledger, 1).await;
            let write = ledger.append_event("drill.note", None, "test", body.clone(), now);
            assert!(matches!(write.await, Err(WriteError::Query { .. })));
            limit_pages(&ledger, 1 << 20).await;
            ledger.begin_run(&hr, "schedule", now).await.unwrap();
        }
        assert_eq!(ledger.verify_chain().await.unwrap().head.0, 4);
    }
}
