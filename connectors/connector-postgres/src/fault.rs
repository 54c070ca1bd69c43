//! What goes wrong between this connector and a server, in the words of the SDK.
//!
//! A right that is missing is kept apart from every other failure: it makes a scope incomplete and
//! is named, while the rest of the sync goes on.

use std::time::Duration;

use cordon_sdk::Error;
use tokio_postgres::error::SqlState;

/// How long a server that has no room for us is left alone.
const NO_ROOM: Duration = Duration::from_secs(30);

/// Why a question got no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The server does not let this role see it, or shows something that is no text.
    Denied(String),
    /// Anything else: the sync ends.
    Failed(Error),
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Denied(message) => Self::auth(message),
            Trouble::Failed(error) => error,
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Why a row became no record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It names a role that the server does not list.
    #[error("{holds} is held by the role with the number {role}, which the server does not list")]
    Stranger {
        /// What it holds.
        holds: String,
        /// Its number.
        role: u32,
    },
    /// It names a role that was made after the sync began: next time it is there.
    #[error("it names a role that is younger than this sync")]
    Younger,
    /// A value of it cannot be read.
    #[error("a row cannot be read: {0}")]
    Unreadable(#[from] tokio_postgres::Error),
}

/// What a failure to log in is.
pub(crate) fn of_login(error: &tokio_postgres::Error, place: &str, database: &str) -> Error {
    let text = said(error);
    let message = format!("cannot log in to database `{database}` at {place}: {text}");
    let Some(code) = error.code() else {
        return Error::unavailable(message);
    };
    match *code {
        SqlState::TOO_MANY_CONNECTIONS => Error::rate_limited(message, NO_ROOM),
        SqlState::UNDEFINED_DATABASE => Error::bad_config("database", message),
        SqlState::INSUFFICIENT_PRIVILEGE => Error::auth(message),
        _ if code.code().starts_with("28") => Error::auth(message),
        _ => Error::unavailable(message),
    }
}

/// What a failure to get an answer is.
pub(crate) fn of_question(error: &tokio_postgres::Error, what: &str) -> Trouble {
    let text = said(error);
    let message = format!("cannot read {what}: {text}");
    let Some(code) = error.code() else {
        return Error::unavailable(message).into();
    };
    match *code {
        SqlState::INSUFFICIENT_PRIVILEGE
        | SqlState::CHARACTER_NOT_IN_REPERTOIRE
        | SqlState::UNTRANSLATABLE_CHARACTER => Trouble::Denied(message),
        SqlState::QUERY_CANCELED | SqlState::LOCK_NOT_AVAILABLE => Error::unavailable(format!(
            "{message}; the server is busy or locked, what was reported before still holds"
        ))
        .into(),
        _ => Error::unavailable(message).into(),
    }
}

/// Whether a login failed for a reason that lies in one database alone.
pub(crate) fn is_of_one_database(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        matches!(
            *code,
            SqlState::UNDEFINED_DATABASE
                | SqlState::INSUFFICIENT_PRIVILEGE
                | SqlState::INVALID_AUTHORIZATION_SPECIFICATION
                | SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE
        )
    })
}

/// What the server or the way to it said, once.
fn said(error: &tokio_postgres::Error) -> String {
    if let Some(told) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", told.message(), told.code().code());
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
