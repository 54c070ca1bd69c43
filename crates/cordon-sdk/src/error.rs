//! Why a connector could not do what it was asked.
//!
//! The kind decides retry, wording and who is told, so there is one list for all connectors and no
//! free-text kind. The cause goes along as `source`; the wire carries the chain as one message.

use std::time::Duration;

use cordon_wire::v1;

/// A cause of any type.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why a connector could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source refuses the credentials, or what they may see; a person must act.
    #[error("{message}")]
    Auth {
        /// What happened, as a lower-case fragment.
        message: String,
        /// What caused it.
        source: Option<Cause>,
    },
    /// The source asks to come back later.
    #[error("{message}")]
    RateLimited {
        /// What happened, as a lower-case fragment.
        message: String,
        /// How long the source wants to be left alone.
        retry_after: Duration,
        /// What caused it.
        source: Option<Cause>,
    },
    /// The source cannot be reached or answers with an error; worth another try.
    #[error("{message}")]
    Unavailable {
        /// What happened, as a lower-case fragment.
        message: String,
        /// What caused it.
        source: Option<Cause>,
    },
    /// The source answered with less than it has.
    #[error("{message}")]
    Incomplete {
        /// What happened, as a lower-case fragment.
        message: String,
        /// What caused it.
        source: Option<Cause>,
    },
    /// The configuration cannot be used.
    #[error("{message}")]
    BadConfig {
        /// Path of the field, e.g. `columns.id`; empty for the whole.
        field: String,
        /// What is wrong with it, as a lower-case fragment.
        message: String,
        /// What caused it.
        source: Option<Cause>,
    },
    /// The connector is wrong.
    #[error("{message}")]
    Bug {
        /// What happened, as a lower-case fragment.
        message: String,
        /// What caused it.
        source: Option<Cause>,
    },
    /// The supervisor wants no more; the sync should end at once.
    #[error("the sync was cancelled")]
    Cancelled,
}

impl Error {
    /// The source refuses the credentials.
    pub fn auth(message: impl Into<String>) -> Self {
        Self::Auth { message: message.into(), source: None }
    }

    /// The source asks to be left alone for a while.
    pub fn rate_limited(message: impl Into<String>, retry_after: Duration) -> Self {
        Self::RateLimited { message: message.into(), retry_after, source: None }
    }

    /// The source cannot be reached.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into(), source: None }
    }

    /// The source answered with less than it has.
    pub fn incomplete(message: impl Into<String>) -> Self {
        Self::Incomplete { message: message.into(), source: None }
    }

    /// A field of the configuration cannot be used.
    pub fn bad_config(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::BadConfig { field: field.into(), message: message.into(), source: None }
    }

    /// The connector is wrong.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::Bug { message: message.into(), source: None }
    }

    /// Adds what caused it. A cancellation has no cause.
    pub fn caused_by(mut self, cause: impl Into<Cause>) -> Self {
        match &mut self {
            Self::Auth { source, .. }
            | Self::RateLimited { source, .. }
            | Self::Unavailable { source, .. }
            | Self::Incomplete { source, .. }
            | Self::BadConfig { source, .. }
            | Self::Bug { source, .. } => *source = Some(cause.into()),
            Self::Cancelled => {}
        }
        self
    }

    /// The whole chain as one text: `cannot list users: connection refused`.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    pub(crate) fn to_wire(&self) -> v1::Error {
        let kind = match self {
            Self::Auth { .. } => v1::ErrorKind::Auth,
            Self::RateLimited { .. } => v1::ErrorKind::RateLimited,
            Self::Unavailable { .. } => v1::ErrorKind::Unavailable,
            Self::Incomplete { .. } | Self::Cancelled => v1::ErrorKind::Incomplete,
            Self::BadConfig { .. } => v1::ErrorKind::BadConfig,
            Self::Bug { .. } => v1::ErrorKind::Bug,
        };
        let mut error =
            v1::Error { kind: kind.into(), message: self.chain(), ..v1::Error::default() };
        match self {
            Self::BadConfig { field, .. } => error.field.clone_from(field),
            Self::RateLimited { retry_after, .. } => {
                error.retry_after_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
            }
            _ => {}
        }
        error
    }

    pub(crate) fn from_wire(error: v1::Error) -> Self {
        let kind = error.kind();
        let v1::Error { message, field, retry_after_ms, .. } = error;
        match kind {
            v1::ErrorKind::Auth => Self::auth(message),
            v1::ErrorKind::RateLimited => {
                Self::rate_limited(message, Duration::from_millis(retry_after_ms))
            }
            v1::ErrorKind::Unavailable => Self::unavailable(message),
            v1::ErrorKind::Incomplete => Self::incomplete(message),
            v1::ErrorKind::BadConfig => Self::bad_config(field, message),
            v1::ErrorKind::Bug | v1::ErrorKind::Unspecified => Self::bug(message),
        }
    }

    pub(crate) fn to_status(&self) -> tonic::Status {
        cordon_wire::error::error_to_status(&self.to_wire())
    }

    pub(crate) fn from_status(status: &tonic::Status) -> Self {
        Self::from_wire(cordon_wire::error::error_from_status(status))
    }
}
