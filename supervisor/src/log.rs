//! Where the service's own log goes: to the journal where it runs as a service, in lines to stderr
//! else.
//!
//! Events carry words of connectors, so each passes [`clean`] on its way, whichever way that is. What
//! a connector prints never comes here; see `logs`.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

mod journal;
mod lines;

use journal::Journal;
use lines::Lines;

use crate::{logs, secrets};

/// Starts logging, as `CORDON_LOG` says.
pub(crate) fn begin() {
    let filter = EnvFilter::try_from_env("CORDON_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    match Journal::of_stderr() {
        Some(journal) => registry.with(journal).init(),
        None => {
            let lines = tracing_subscriber::fmt::layer()
                .with_writer(Lines)
                // Colours would have to be told from those that a connector sent.
                .with_ansi(false);
            registry.with(lines).init();
        }
    }
}

/// A text without line breaks, escape sequences and the secrets of any connector.
fn clean(text: &str) -> String {
    // Once more afterwards: an escape can put together what it stood between.
    secrets::redact_known(&logs::escape(&secrets::redact_known(text)))
}
