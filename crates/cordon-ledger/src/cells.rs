//! Values of the domain to values of SQLite and back.
//!
//! What comes back is not believed: a number may be negative and a name malformed when someone
//! edited the file, and such a value is an error that names its column.

use std::fmt;

use cordon_model::{ConnectorName, SyncNumber};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{ReadError, WriteError};

/// Longest text that a column takes. Verdicts and findings grow with what a connector sends.
pub(crate) const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Longest reason, actor or trigger.
pub(crate) const LINE_BYTES_MAX: usize = 4 * 1024;

/// Longest error text that is kept whole; connectors write them.
const ERROR_BYTES_MAX: usize = 16 * 1024;

/// The cells of one row of one table.
pub(crate) struct Cells<'r> {
    pub(crate) table: &'static str,
    pub(crate) row: &'r SqliteRow,
}

impl Cells<'_> {
    fn bad(&self, column: &'static str, why: impl fmt::Display) -> ReadError {
        ReadError::Cell { table: self.table, column, why: why.to_string() }
    }

    fn get<'a, T>(&'a self, column: &'static str) -> Result<T, ReadError>
    where
        T: sqlx::Decode<'a, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.row.try_get(column).map_err(|error| self.bad(column, error))
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String, ReadError> {
        self.get(column)
    }

    pub(crate) fn text_or_none(&self, column: &'static str) -> Result<Option<String>, ReadError> {
        self.get(column)
    }

    pub(crate) fn hash(&self, column: &'static str) -> Result<[u8; 32], ReadError> {
        let bytes: &[u8] = self.get(column)?;
        bytes
            .try_into()
            .map_err(|_| self.bad(column, format_args!("{} bytes, not 32", bytes.len())))
    }

    pub(crate) fn number(&self, column: &'static str) -> Result<u64, ReadError> {
        let number: i64 = self.get(column)?;
        u64::try_from(number).map_err(|error| self.bad(column, error))
    }

    pub(crate) fn number_or_none(&self, column: &'static str) -> Result<Option<u64>, ReadError> {
        let number: Option<i64> = self.get(column)?;
        number.map(u64::try_from).transpose().map_err(|error| self.bad(column, error))
    }

    pub(crate) fn sync(&self, column: &'static str) -> Result<SyncNumber, ReadError> {
        self.number(column).map(SyncNumber)
    }

    pub(crate) fn sync_or_none(
        &self,
        column: &'static str,
    ) -> Result<Option<SyncNumber>, ReadError> {
        Ok(self.number_or_none(column)?.map(SyncNumber))
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, ReadError> {
        let time: i64 = self.get(column)?;
        Timestamp::from_microsecond(time).map_err(|error| self.bad(column, error))
    }

    pub(crate) fn time_or_none(
        &self,
        column: &'static str,
    ) -> Result<Option<Timestamp>, ReadError> {
        let time: Option<i64> = self.get(column)?;
        time.map(Timestamp::from_microsecond).transpose().map_err(|error| self.bad(column, error))
    }

    pub(crate) fn connector(&self) -> Result<ConnectorName, ReadError> {
        let name: String = self.get("connector")?;
        ConnectorName::new(&name).map_err(|error| self.bad("connector", error))
    }

    pub(crate) fn connector_or_none(&self) -> Result<Option<ConnectorName>, ReadError> {
        let name: Option<String> = self.get("connector")?;
        name.map(|name| ConnectorName::new(&name))
            .transpose()
            .map_err(|error| self.bad("connector", error))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, ReadError> {
        let text: &str = self.get(column)?;
        serde_json::from_str(text).map_err(|error| self.bad(column, error))
    }

    pub(crate) fn parsed<T>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ReadError> {
        let text: &str = self.get(column)?;
        parse(text).ok_or_else(|| self.bad(column, format_args!("unknown word {text:?}")))
    }
}

/// A number as SQLite keeps it.
pub(crate) fn number(what: &'static str, value: u64) -> Result<i64, WriteError> {
    i64::try_from(value).map_err(|_| WriteError::TooGreat { what, value })
}

/// The number of a sync as SQLite keeps it. One that is too great was never given to a sync, and the
/// greatest number never will be: it finds nothing.
pub(crate) fn sync_key(sync: SyncNumber) -> i64 {
    i64::try_from(sync.0).unwrap_or(i64::MAX)
}

/// A value as JSON text of bounded length.
pub(crate) fn json<T: Serialize>(what: &'static str, value: &T) -> Result<String, WriteError> {
    let text = serde_json::to_string(value)
        .expect("plain maps, lists and numbers with text keys always have a JSON form");
    bounded(what, &text, TEXT_BYTES_MAX)?;
    Ok(text)
}

/// Refuses a text that is longer than it may be.
pub(crate) fn bounded(what: &'static str, text: &str, bytes_max: usize) -> Result<(), WriteError> {
    if text.len() > bytes_max {
        return Err(WriteError::TooLong { what, bytes: text.len(), bytes_max });
    }
    Ok(())
}

/// An error text cut to what is kept. A failure must be recorded whatever its text.
pub(crate) fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(ERROR_BYTES_MAX)]
}

/// Refuses a decision without a reason, and one whose texts are too long.
pub(crate) fn reasoned(actor: &str, reason: &str) -> Result<(), WriteError> {
    bounded("the actor", actor, LINE_BYTES_MAX)?;
    bounded("the reason", reason, LINE_BYTES_MAX)?;
    if reason.trim().is_empty() {
        return Err(WriteError::NoReason { actor: actor.to_owned() });
    }
    Ok(())
}
