//! What keeps a sink from delivering, and what to do about it.

use cordon_sinks::DeliverError;

use super::OutboxError;
use crate::config::SinkKind;

/// What keeps a sink from delivering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What happened.
    pub(crate) reason: String,
    /// What to do about it.
    pub(crate) fix: &'static str,
}

impl Trouble {
    /// It could not be opened.
    pub(super) fn unopened(reason: String) -> Self {
        Self { reason, fix: "correct the sink in the configuration, or what it names" }
    }

    /// Its receiver does not want what it was sent.
    pub(super) fn refused(reason: String) -> Self {
        Self { reason, fix: "see the receiver's own log" }
    }

    /// A delivery failed.
    pub(super) fn of(error: &OutboxError, kind: &SinkKind) -> Self {
        let fix = match (error, kind) {
            (OutboxError::Deliver(DeliverError::Untrusted { .. }), _) => {
                "renew the receiver's certificate, or let this host trust its issuer (/etc/ssl/certs)"
            }
            (OutboxError::Deliver(_), SinkKind::Webhook { .. }) => {
                "is the receiver up, and is its address reached from this host? See its own log"
            }
            (OutboxError::Deliver(_), SinkKind::File { .. }) => {
                "look at the file's folder and disk: full, read-only or failing?"
            }
            _ => "look at the disk of the state directory, and at the log of cordond",
        };
        Self { reason: error.to_string(), fix }
    }
}
