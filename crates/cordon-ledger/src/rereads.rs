//! How often a source was read again because a sync was suspicious, counted in the evidence: it stays
//! when runs are forgotten.

use cordon_model::ConnectorName;

use crate::cells::Cells;
use crate::{Ledger, ReadError};

const TABLE: &str = "evidence";

/// The kind of the evidence that says what a second reading brought. Its body tells in `transient`
/// whether that was something else, and accepted.
pub const READ_AGAIN: &str = "sync.read-again";

/// Second readings of one connector's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rereads {
    /// All of them.
    pub all: u64,
    /// Those that brought something else, which was accepted.
    pub transient: u64,
}

impl Ledger {
    /// How often the source of a connector was read again.
    pub async fn rereads(&self, connector: &ConnectorName) -> Result<Rereads, ReadError> {
        let mut reader = self.reader(TABLE).await?;
        let row = sqlx::query(
            "SELECT count(*) AS readings,
                 coalesce(sum(json_extract(body, '$.transient')), 0) AS transient
             FROM evidence WHERE connector = ?1 AND kind = ?2",
        )
        .bind(connector.as_str())
        .bind(READ_AGAIN)
        .fetch_one(&mut *reader)
        .await
        .map_err(|source| ReadError::Query { table: TABLE, source })?;
        let cells = Cells { table: TABLE, row: &row };
        Ok(Rereads { all: cells.number("readings")?, transient: cells.number("transient")? })
    }
}
