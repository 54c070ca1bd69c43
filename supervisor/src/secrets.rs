//! References to secrets, and the only place that turns them into values.
//!
//! A configuration holds references, never secrets. The value goes to the connector in `Configure`,
//! over a socket that nobody else can reach: never by argument, environment or disk. Each start
//! resolves anew, so that a value that was changed is the one that counts; what is remembered of a
//! value is a keyed hash, to notice the change, and the patterns by which [`Redactor`] finds it in
//! what the connector prints and says.
//!
//! Absent on purpose: a cache of values.

use std::path::PathBuf;

use secrecy::SecretString;

mod file;
mod fill;
mod fingerprint;
mod held;
mod program;
mod redact;
mod reference;
mod schema;

pub(crate) use fill::{Named, Resolved, check_all, named, resolve_all};
pub(crate) use fingerprint::Fingerprint;
pub(crate) use held::Held;
pub(crate) use redact::{Redactor, redact_known};
pub(crate) use reference::Reference;
pub(crate) use schema::literals;

/// Bytes of a secret, at most.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Why a reference has no value. No message repeats a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The text is not a reference.
    #[error(
        "a secret is written as a reference: cred:NAME, file:/path, env:NAME or exec:/program arguments"
    )]
    NotAReference,
    /// A credential's name leaves its directory.
    #[error("credential name {0:?} is not a plain file name")]
    BadName(String),
    /// There is no directory of credentials.
    #[error("cred:{0} needs $CREDENTIALS_DIRECTORY, which the service manager sets")]
    NoDirectory(String),
    /// The variable is not set.
    #[error("env:{0} is not set, or is no UTF-8")]
    NotSet(String),
    /// The file cannot be read.
    #[error("cannot read the secret in {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The path leads to something else than a file.
    #[error("{path} is {what}; a secret is read from a regular file that is named by its own path")]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Others may change or read the file.
    #[error("{path} may be read or written by others (mode {mode:o}); make it 0640 or less")]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Somebody else's file.
    #[error("{path} belongs to user id {owner}; it must be root's, or that of cordond's own user")]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// More than a secret has.
    #[error("{what} gives more than {SECRET_BYTES_MAX} bytes, which no secret has")]
    TooLarge {
        /// The file or program.
        what: String,
    },
    /// Nothing is no secret.
    #[error("{what} gives an empty value")]
    Empty {
        /// The reference.
        what: String,
    },
    /// Text goes to a connector, bytes do not.
    #[error("{what} gives bytes that are no UTF-8")]
    NotText {
        /// The file or program.
        what: String,
    },
    /// The program cannot be trusted with a secret.
    #[error("{path} may be replaced by others than root and cordond's own user: {why}")]
    ProgramOpen {
        /// The program, or a folder above it.
        path: PathBuf,
        /// What lets them.
        why: String,
    },
    /// The program did not run.
    #[error("cannot run {path}")]
    ProgramRun {
        /// The program.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The program did not end.
    #[error("{path} did not end within {seconds} s and was killed{stderr}")]
    ProgramSlow {
        /// The program.
        path: PathBuf,
        /// The time that it had.
        seconds: u64,
        /// What it complained of.
        stderr: String,
    },
    /// The program says that it failed.
    #[error("{path} ended with {status}{stderr}")]
    ProgramFailed {
        /// The program.
        path: PathBuf,
        /// Its exit code, or the signal.
        status: std::process::ExitStatus,
        /// What it complained of.
        stderr: String,
    },
    /// Resolving took too long, whatever it waits for.
    #[error("not resolved within {0} s")]
    Slow(u64),
    /// The thread that resolves ended without a word.
    #[error("the thread that resolves secrets panicked")]
    Lost,
    /// Which one of a configuration.
    #[error("{place} ({reference})")]
    At {
        /// Where in the configuration.
        place: String,
        /// The reference, as far as it may be shown.
        reference: String,
        /// Why.
        #[source]
        source: Box<SecretError>,
    },
}

/// Whether a text is a reference.
pub(crate) fn check_reference(text: &str) -> Result<(), SecretError> {
    Reference::parse(text).map(drop)
}

/// The value behind a reference. Waits for files and programs.
pub(crate) fn resolve(reference: &str) -> Result<SecretString, SecretError> {
    Reference::parse(reference)?.resolve()
}

#[cfg(test)]
pub(crate) use redact::tests::forms as test_forms;

#[cfg(test)]
mod tests;
