//! Which server answered, and how current it is.
//!
//! The watermark's time is the moment up to which the source is told: on a primary that of the
//! transaction, on a standby that of the last change that it has replayed. A standby that fell behind,
//! or an old one that took over, is older than what was accepted. Its token is the place in the log
//! of changes (LSN), with the cluster that the log belongs to.

use cordon_sdk::{Error, Timestamp, Watermark};
use tokio_postgres::Transaction;

use crate::catalog::Dialect;
use crate::config::Config;
use crate::fact::moment;
use crate::fault::Trouble;
use crate::session::Waiting;

const WHAT: &str = "what the server is";
/// The oldest version that is read.
const VERSION_MIN: i32 = 130_000;

/// A server, as one transaction saw it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) dialect: Dialect,
    pub(crate) version: String,
    pub(crate) is_standby: bool,
    time: Option<Timestamp>,
    started: i64,
    log: Option<Log>,
}

/// Where the server is in the log of changes of which cluster.
#[derive(Debug, Clone)]
struct Log {
    cluster: String,
    position: u64,
}

impl Server {
    /// Asks the server; the first question of the transaction, so that nothing in it is older.
    pub(crate) async fn look(
        transaction: &mut Transaction<'_>,
        waiting: Waiting<'_>,
    ) -> Result<Self, Error> {
        let sql = "SELECT current_setting('server_version_num')::int4, \
                     split_part(current_setting('server_version'), ' ', 1), \
                     pg_is_in_recovery(), current_setting('track_commit_timestamp')::bool, \
                     (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8, \
                     (extract(epoch FROM transaction_timestamp()) * 1000000)::int8, \
                     (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::int8";
        let row = waiting.on(WHAT, transaction.query_one(sql, &[])).await?;
        let bad = |error: tokio_postgres::Error| {
            Error::bug("what the server is cannot be read").caused_by(error)
        };
        let version: i32 = row.try_get(0).map_err(bad)?;
        if version < VERSION_MIN {
            let shown: String = row.try_get(1).map_err(bad)?;
            let message = format!("PostgreSQL {shown} is not read, 13 and later are");
            return Err(Error::bad_config("", message));
        }
        let is_standby: bool = row.try_get(2).map_err(bad)?;
        let (now, replayed): (i64, Option<i64>) =
            (row.try_get(5).map_err(bad)?, row.try_get(6).map_err(bad)?);
        let mut server = Self {
            dialect: Dialect { version, tracks_commits: row.try_get(3).map_err(bad)? },
            version: row.try_get(1).map_err(bad)?,
            is_standby,
            time: if is_standby { replayed.and_then(moment) } else { moment(now) },
            started: row.try_get(4).map_err(bad)?,
            log: None,
        };
        let point = waiting.on(WHAT, transaction.savepoint("log")).await?;
        let sql = "SELECT (SELECT system_identifier::text FROM pg_control_system()), \
                     (SELECT (extract(epoch FROM checkpoint_time) * 1000000)::int8 \
                      FROM pg_control_checkpoint()), \
                     (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
                      ELSE pg_current_wal_lsn() END - '0/0')::text";
        match waiting.on(WHAT, point.query_one(sql, &[])).await {
            Ok(row) => {
                let position: Option<String> = row.try_get(2).map_err(bad)?;
                let position = position.and_then(|text| text.parse().ok());
                let cluster: String = row.try_get(0).map_err(bad)?;
                server.log = position.map(|position| Log { cluster, position });
                // A standby that replayed nothing yet is as old as the checkpoint that it began at.
                if is_standby {
                    let checkpoint: i64 = row.try_get(1).map_err(bad)?;
                    server.time = server.time.max(moment(checkpoint));
                }
                waiting.on(WHAT, point.commit()).await?;
            }
            // Some hosted servers do not say; then only the time tells how current they are.
            Err(Trouble::Denied(_)) => waiting.on(WHAT, point.rollback()).await?,
            Err(Trouble::Failed(error)) => return Err(error),
        }
        Ok(server)
    }

    /// Refuses another cluster than the configured one.
    pub(crate) fn expect(&self, config: &Config) -> Result<(), Error> {
        let Some(expected) = &config.system_identifier else { return Ok(()) };
        let found = self.log.as_ref().map(|log| log.cluster.as_str());
        if found == Some(expected.as_str()) {
            return Ok(());
        }
        let found = found.unwrap_or("one that it does not tell");
        Err(Error::auth(format!(
            "the server is cluster {found}, not {expected} of `system_identifier`; nothing of it is \
             read, what was reported before still holds"
        )))
    }

    /// Refuses a server that answers in the place of another one in the middle of a sync.
    pub(crate) fn expect_same(&self, first: &Self) -> Result<(), Error> {
        let log = |server: &Self| server.log.as_ref().map(|log| log.cluster.clone());
        if (self.started, log(self)) == (first.started, log(first)) {
            return Ok(());
        }
        let message = "another server answers than at the sync's beginning, or it was restarted";
        Err(Error::unavailable(message))
    }

    /// How current it is.
    pub(crate) fn watermark(&self) -> Watermark {
        let token = self.log.as_ref().map(|log| format!("lsn:{}@{}", log.cluster, log.position));
        Watermark { time: self.time, token }
    }

    /// In words.
    pub(crate) fn told(&self) -> String {
        let role = if self.is_standby { "a standby" } else { "the primary" };
        let cluster = match &self.log {
            Some(log) => format!("cluster {}", log.cluster),
            None => "it does not tell of which cluster".to_owned(),
        };
        let time = match self.time {
            Some(time) if self.is_standby => format!(", current as of {time}"),
            _ => String::new(),
        };
        format!("PostgreSQL {}, {role}, {cluster}{time}", self.version)
    }
}
