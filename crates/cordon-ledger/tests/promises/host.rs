//! A ledger in a folder of its own, and the shortest way to each of its steps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cordon_ledger::{
    Acceptance, ChangeCounts, Commit, CommitError, Committed, Entered, Ledger, Measured, OpenError,
    QuarantinedRun,
};
use cordon_model::{ConnectorName, Finding, Severity, SyncNumber};
use jiff::{SignedDuration, Timestamp};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use tempfile::TempDir;

/// So many minutes after the tests' beginning of time.
pub(crate) fn at(minutes: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

pub(crate) fn name(text: &str) -> ConnectorName {
    ConnectorName::new(text).unwrap()
}

pub(crate) struct Host {
    pub(crate) dir: TempDir,
    pub(crate) ledger: Ledger,
}

impl Host {
    pub(crate) async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let ledger = Ledger::open(&dir.path().join("cordon.db"), at(0)).await.unwrap();
        Self { dir, ledger }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("cordon.db")
    }

    /// Opens the same file again, as a restart does.
    pub(crate) async fn reopen(&self) -> Result<Ledger, OpenError> {
        Ledger::open(&self.path(), at(0)).await
    }

    /// Begins a run and returns its number.
    pub(crate) async fn begin(&self, connector: &str, minutes: i64) -> SyncNumber {
        self.ledger.begin_run(&name(connector), "schedule", at(minutes)).await.unwrap()
    }

    /// Runs a sync and commits it against the last known good.
    pub(crate) async fn commit(&self, connector: &str, changes: u64, minutes: i64) -> Committed {
        let sync = self.begin(connector, minutes).await;
        self.try_commit(&self.step(connector, sync, changes).await, minutes).await.unwrap()
    }

    pub(crate) async fn try_commit(
        &self,
        commit: &Commit,
        minutes: i64,
    ) -> Result<Committed, CommitError> {
        self.ledger.commit(commit, at(minutes)).await
    }

    /// The step from the last known good to a sync, accepted by policy.
    pub(crate) async fn step(&self, connector: &str, sync: SyncNumber, changes: u64) -> Commit {
        let last_good = self.ledger.last_good(&name(connector)).await.unwrap();
        Commit {
            connector: name(connector),
            sync,
            digest: format!("digest-{sync}"),
            content_digest: format!("content-{sync}"),
            from: last_good.map(|row| row.sync),
            taken_at: at(sync.0 as i64),
            counts: ChangeCounts { added: changes, modified: 0, removed: 0 },
            delivered: changes,
            pending: None,
            records: 100,
            label_counts: BTreeMap::from([("user".to_owned(), 100)]),
            removed_by_label: BTreeMap::new(),
            watermarks: BTreeMap::new(),
            memory: None,
            acceptance: by_policy(),
        }
    }

    /// Runs a sync whose candidate goes into quarantine with this content.
    pub(crate) async fn hold(
        &self,
        connector: &str,
        content: &str,
        minutes: i64,
    ) -> (SyncNumber, Entered) {
        let sync = self.begin(connector, minutes).await;
        let run = self.held(connector, sync, content).await;
        let (_, entered) = self.ledger.quarantine_run(&run, at(minutes)).await.unwrap();
        (sync, entered)
    }

    /// A candidate of a sync, held against the last known good.
    pub(crate) async fn held(
        &self,
        connector: &str,
        sync: SyncNumber,
        content: &str,
    ) -> QuarantinedRun {
        let last_good = self.ledger.last_good(&name(connector)).await.unwrap();
        QuarantinedRun {
            connector: name(connector),
            sync,
            digest: format!("digest-{sync}"),
            content_digest: content.to_owned(),
            against: last_good.map(|row| row.sync),
            verdict_json: r#"{"outcome":"quarantined"}"#.to_owned(),
            findings: vec![finding()],
            counts: ChangeCounts { added: 0, modified: 0, removed: 40 },
            left_by: None,
            measured: measured(),
        }
    }

    /// The release of a candidate that `hold` put into quarantine.
    pub(crate) async fn release(&self, connector: &str, sync: SyncNumber, content: &str) -> Commit {
        Commit {
            content_digest: content.to_owned(),
            acceptance: Acceptance::Release {
                by: "alice".to_owned(),
                reason: "the source was emptied on purpose".to_owned(),
                asked_by: None,
            },
            ..self.step(connector, sync, 40).await
        }
    }

    /// Runs SQL on the file, past the ledger and past its triggers.
    pub(crate) async fn tamper(&self, sql: &str) {
        let mut connection = self.intruder().await;
        let changed =
            sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        assert!(changed.rows_affected() > 0, "{sql:?} changed nothing");
        connection.close().await.unwrap();
    }

    /// A connection that keeps no rule.
    pub(crate) async fn intruder(&self) -> SqliteConnection {
        let mut connection = SqliteConnectOptions::new()
            .filename(self.path())
            .foreign_keys(false)
            .pragma("ignore_check_constraints", "ON")
            .connect()
            .await
            .unwrap();
        for trigger in ["changed", "deleted"] {
            let sql = format!("DROP TRIGGER IF EXISTS evidence_is_never_{trigger}");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        }
        connection
    }
}

pub(crate) fn by_policy() -> Acceptance {
    Acceptance::Policy {
        verdict_json: r#"{"outcome":"accepted"}"#.to_owned(),
        findings: Vec::new(),
        measured: measured(),
    }
}

pub(crate) fn measured() -> Measured {
    Measured {
        records: 100,
        timings_us: BTreeMap::from([("stage".to_owned(), 1_500)]),
        peak_bytes: Some(1 << 20),
        jail_report: Some(r#"{"cgroup":"v2"}"#.to_owned()),
    }
}

pub(crate) fn finding() -> Finding {
    Finding {
        code: "CRD-D101".to_owned(),
        severity: Severity::Quarantine,
        subject: "user".to_owned(),
        message: "40 removed, limit 10".to_owned(),
        measured: Some(40),
        limit: Some(10),
        examples: vec!["user:a".to_owned()],
    }
}

impl Host {
    /// Sets the schema version, past the ledger.
    pub(crate) async fn tamper_version(&self, version: i64) {
        let mut connection = self.intruder().await;
        let sql = format!("PRAGMA user_version = {version}");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// A connection to a database of another program, made if it is not there.
    pub(crate) async fn intruder_of(&self, path: &Path) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        options.connect().await.unwrap()
    }
}
