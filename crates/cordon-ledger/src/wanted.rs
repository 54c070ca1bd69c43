//! Wanted states: what a person asked of a connector, kept across restarts.

use std::collections::BTreeMap;

use cordon_model::ConnectorName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::cells::{self, Cells};
use crate::chain::kept_time;
use crate::evidence::{self, Entry, kind};
use crate::{EvidenceSeq, Ledger, ReadError, WriteError, runs};

const TABLE: &str = "wanted";

/// What is wanted of a connector. One that nobody spoke of has no row: it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Wanted {
    /// It runs on its schedule.
    Run,
    /// It has no process and starts no sync; what was committed is still delivered.
    Stopped,
    /// Nothing is synced and nothing is delivered.
    Paused {
        /// Who paused it.
        by: String,
        /// Why.
        reason: String,
        /// Since when.
        since: Timestamp,
        /// Until when; none: until a person resumes it.
        until: Option<Timestamp>,
    },
}

impl Wanted {
    fn state(&self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Stopped => "stopped",
            Self::Paused { .. } => "paused",
        }
    }

    /// As the ledger gives it back: with times to the microsecond.
    fn kept(self) -> Self {
        match self {
            Self::Paused { by, reason, since, until } => {
                Self::Paused { by, reason, since: kept_time(since), until: until.map(kept_time) }
            }
            plain => plain,
        }
    }

    /// As it stands in the evidence.
    pub(crate) fn body(&self) -> Value {
        match self {
            Self::Run | Self::Stopped => json!({ "state": self.state() }),
            Self::Paused { by, reason, since, until } => json!({
                "state": self.state(),
                "by": by,
                "reason": reason,
                "since": since.as_microsecond(),
                "until": until.map(Timestamp::as_microsecond),
            }),
        }
    }
}

impl Ledger {
    /// Sets what is wanted of a connector. The reason is required, for a pause and for its end.
    pub async fn set_wanted(
        &self,
        connector: &ConnectorName,
        wanted: Wanted,
        actor: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<EvidenceSeq, WriteError> {
        cells::reasoned(actor, reason)?;
        if let Wanted::Paused { by, reason, .. } = &wanted {
            cells::reasoned(by, reason)?;
        }
        let wanted = wanted.kept();
        let mut tx = self.begin(TABLE).await?;
        let done = set(tx.connection(), connector, &wanted, (actor, reason), now).await;
        tx.end(done).await
    }

    /// Ends a pause: what was wanted before it is wanted again, so that a connector that was stopped
    /// stays stopped. Without a pause nothing is written, and what is wanted is told.
    pub async fn end_pause(
        &self,
        connector: &ConnectorName,
        actor: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(Wanted, EvidenceSeq), WriteError> {
        cells::reasoned(actor, reason)?;
        let mut tx = self.begin(TABLE).await?;
        let done = end_pause(tx.connection(), connector, (actor, reason), now).await;
        tx.end(done).await
    }

    /// What is wanted, of every connector that somebody spoke of.
    pub async fn wanted(&self) -> Result<BTreeMap<ConnectorName, Wanted>, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        Ok(all(&mut reader).await?.into_iter().map(|row| (row.connector, row.wanted)).collect())
    }
}

async fn set(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    wanted: &Wanted,
    (actor, why): (&str, &str),
    now: Timestamp,
) -> Result<EvidenceSeq, WriteError> {
    runs::know(connection, connector).await?;
    let mut body = json!({ "wanted": wanted.body(), "reason": why });
    if matches!(wanted, Wanted::Paused { .. }) {
        let before = before_pause(connection, connector).await?;
        if before != Wanted::Run {
            body["before"] = before.body();
        }
    }
    let entry = Entry { kind: kind::WANTED, connector: Some(connector), actor, body };
    let seq = evidence::append(connection, entry, now).await?;
    let (by, reason, since, until) = match wanted {
        Wanted::Run | Wanted::Stopped => (None, None, None, None),
        Wanted::Paused { by, reason, since, until } => {
            (Some(by), Some(reason), Some(*since), *until)
        }
    };
    sqlx::query(
        "INSERT OR REPLACE INTO wanted (connector, state, by, reason, since, until, evidence)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )
    .bind(connector.as_str())
    .bind(wanted.state())
    .bind(by)
    .bind(reason)
    .bind(since.map(Timestamp::as_microsecond))
    .bind(until.map(Timestamp::as_microsecond))
    .bind(cells::number("an evidence number", seq.0)?)
    .execute(connection)
    .await
    .map_err(|source| WriteError::Query { table: TABLE, source })?;
    Ok(seq)
}

async fn end_pause(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    why: (&str, &str),
    now: Timestamp,
) -> Result<(Wanted, EvidenceSeq), WriteError> {
    match get(connection, connector).await? {
        Some(WantedRow { wanted: Wanted::Paused { .. }, .. }) => {
            let wanted = before_pause(connection, connector).await?;
            let seq = set(connection, connector, &wanted, why, now).await?;
            Ok((wanted, seq))
        }
        Some(row) => Ok((row.wanted, row.evidence)),
        None => Ok((Wanted::Run, EvidenceSeq(0))),
    }
}

/// What is wanted once no pause holds it. The record of a pause says it where that is not to run.
async fn before_pause(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
) -> Result<Wanted, ReadError> {
    let Some(row) = get(connection, connector).await? else { return Ok(Wanted::Run) };
    if !matches!(row.wanted, Wanted::Paused { .. }) {
        return Ok(row.wanted);
    }
    let record = evidence::get(connection, row.evidence).await?;
    let body = record.and_then(|record| serde_json::from_str::<Value>(&record.body).ok());
    let stopped = body.is_some_and(|body| body["before"] == Wanted::Stopped.body());
    Ok(if stopped { Wanted::Stopped } else { Wanted::Run })
}

async fn get(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
) -> Result<Option<WantedRow>, ReadError> {
    let row = sqlx::query("SELECT * FROM wanted WHERE connector = ?1")
        .bind(connector.as_str())
        .fetch_optional(connection)
        .await
        .map_err(|source| ReadError::Query { table: TABLE, source })?;
    row.as_ref().map(wanted).transpose()
}

/// A row, with the record that vouches for it.
pub(crate) struct WantedRow {
    pub(crate) connector: ConnectorName,
    pub(crate) wanted: Wanted,
    pub(crate) evidence: EvidenceSeq,
}

pub(crate) async fn all(connection: &mut SqliteConnection) -> Result<Vec<WantedRow>, ReadError> {
    sqlx::query("SELECT * FROM wanted ORDER BY connector")
        .fetch_all(connection)
        .await
        .map_err(|source| ReadError::Query { table: TABLE, source })?
        .iter()
        .map(wanted)
        .collect()
}

fn wanted(row: &SqliteRow) -> Result<WantedRow, ReadError> {
    let cells = Cells { table: TABLE, row };
    let state = cells.parsed("state", |word| match word {
        "run" => Some(Wanted::Run),
        "stopped" => Some(Wanted::Stopped),
        "paused" => Some(Wanted::Paused {
            by: String::new(),
            reason: String::new(),
            since: Timestamp::UNIX_EPOCH,
            until: None,
        }),
        _ => None,
    })?;
    let wanted = match state {
        Wanted::Paused { .. } => Wanted::Paused {
            by: cells.text("by")?,
            reason: cells.text("reason")?,
            since: cells.time("since")?,
            until: cells.time_or_none("until")?,
        },
        plain => plain,
    };
    Ok(WantedRow {
        connector: cells.connector()?,
        wanted,
        evidence: EvidenceSeq(cells.number("evidence")?),
    })
}
