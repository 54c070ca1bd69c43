//! Why a sink cannot be opened, and why a batch was not delivered.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a sink cannot be opened. Nothing was delivered and nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SinkOpenError {
    /// A limit is 0.
    #[error("{field} is 0, it must be at least 1")]
    Zero {
        /// The configuration's field.
        field: &'static str,
    },
    /// Something other than a regular file is at the path.
    #[error("{path} is {found}, not a regular file")]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// The file ends in something that no sink wrote; cutting it could destroy another's data.
    #[error("{path} does not end in a line of changes; another program's file?")]
    NotOurs {
        /// The path.
        path: PathBuf,
    },
    /// Another process, or another sink, writes to the file.
    #[error("{path} is written by another sink or process")]
    Locked {
        /// The path.
        path: PathBuf,
    },
    /// The file cannot be opened, created or repaired.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or its folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The URL is none, or not one to deliver to.
    #[error("url is refused: {reason}")]
    Url {
        /// Why, without the URL: it may hold a secret.
        reason: String,
    },
    /// The secret is not `whsec_` and the base64 of 24 to 64 bytes.
    #[error("secret is refused: {reason}")]
    Secret {
        /// Why, without the secret.
        reason: &'static str,
    },
    /// The HTTP client cannot be made, for example because the host has no certificates.
    #[error("cannot make an HTTPS client")]
    Client {
        /// The cause.
        source: reqwest::Error,
    },
}

/// Why a batch was not delivered, or not surely.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// Trying again can help.
    #[error("{reason}")]
    Retry {
        /// How long the receiver asks to wait.
        after: Option<Duration>,
        /// What happened.
        reason: String,
    },
    /// The receiver does not prove who it is: nothing was sent to it, and a person is needed.
    #[error("{reason}")]
    Untrusted {
        /// What is wrong with its certificate.
        reason: String,
    },
    /// The receiver does not want it; a person is needed. Worth a rare try, not a quick one.
    #[error("{reason}")]
    Refused {
        /// What the receiver said.
        reason: String,
    },
}

impl DeliverError {
    /// A failure that may pass, with no word from the receiver on when.
    pub(crate) fn retry(reason: String) -> Self {
        Self::Retry { after: None, reason }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
