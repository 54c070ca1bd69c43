//! What the detector remembers of a connector's accepted syncs: one row, written by the commit that
//! it learnt from and vouched for by that commit's evidence.
//!
//! The ledger does not read it. It keeps the text and refuses one that is too long: whoever learns
//! keeps it bounded, and a mistake there must not fill the disk.

use cordon_model::ConnectorName;
use sqlx::SqliteConnection;

use crate::cells::{self, Cells};
use crate::chain::text_sha256;
use crate::{EvidenceSeq, Ledger, ReadError, WriteError};

const TABLE: &str = "memory";

/// The member of a commit's evidence that says what it left.
pub(crate) const VOUCHED: &str = "memory_sha256";

/// Bytes of one connector's memory, at most.
pub const MEMORY_BYTES_MAX: usize = 1 << 20;

pub(crate) struct MemoryRow {
    pub(crate) connector: ConnectorName,
    pub(crate) memory: String,
}

impl Ledger {
    /// What is remembered of a connector, as it was written; none before the first sync that taught
    /// something.
    pub async fn memory(&self, connector: &ConnectorName) -> Result<Option<String>, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        of(&mut reader, connector).await
    }
}

fn query(source: sqlx::Error) -> ReadError {
    ReadError::Query { table: TABLE, source }
}

async fn of(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
) -> Result<Option<String>, ReadError> {
    let row = sqlx::query("SELECT memory FROM memory WHERE connector = ?1")
        .bind(connector.as_str())
        .fetch_optional(connection)
        .await
        .map_err(query)?;
    row.as_ref().map(|row| Cells { table: TABLE, row }.text("memory")).transpose()
}

/// Every memory that there is.
pub(crate) async fn all(connection: &mut SqliteConnection) -> Result<Vec<MemoryRow>, ReadError> {
    let rows = sqlx::query("SELECT connector, memory FROM memory ORDER BY connector")
        .fetch_all(connection)
        .await
        .map_err(query)?;
    let rows = rows.iter().map(|row| {
        let cells = Cells { table: TABLE, row };
        Ok(MemoryRow { connector: cells.connector()?, memory: cells.text("memory")? })
    });
    rows.collect()
}

/// What the evidence of a commit says of the memory that it leaves: the new one, else the one there is.
pub(crate) async fn vouched(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    learnt: Option<&str>,
) -> Result<Option<String>, WriteError> {
    let Some(learnt) = learnt else {
        return Ok(of(connection, connector).await?.as_deref().map(text_sha256));
    };
    if learnt.len() > MEMORY_BYTES_MAX {
        return Err(WriteError::MemoryTooLong {
            connector: connector.clone(),
            bytes: learnt.len(),
            bytes_max: MEMORY_BYTES_MAX,
        });
    }
    Ok(Some(text_sha256(learnt)))
}

/// Puts the memory in place of the one before.
pub(crate) async fn put(
    connection: &mut SqliteConnection,
    connector: &ConnectorName,
    learnt: &str,
    evidence: EvidenceSeq,
) -> Result<(), WriteError> {
    sqlx::query(
        "INSERT INTO memory (connector, memory, evidence) VALUES (?1, ?2, ?3)
         ON CONFLICT (connector) DO UPDATE SET memory = ?2, evidence = ?3",
    )
    .bind(connector.as_str())
    .bind(learnt)
    .bind(cells::number("an evidence number", evidence.0)?)
    .execute(connection)
    .await
    .map_err(|source| WriteError::Query { table: TABLE, source })?;
    Ok(())
}
