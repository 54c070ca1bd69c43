//! Wakes whoever waits for something to change, without saying what: they look for themselves.

use tokio::sync::watch;

/// Rung whenever the ledger says something new.
#[derive(Debug, Clone)]
pub(crate) struct Bell(watch::Sender<()>);

impl Bell {
    /// A bell that nobody rang.
    pub(crate) fn new() -> Self {
        Self(watch::channel(()).0)
    }

    /// Wakes all who wait.
    pub(crate) fn ring(&self) {
        self.0.send_replace(());
    }

    /// Hears every ring from now on, also one between two waits.
    pub(crate) fn listen(&self) -> Ear {
        Ear(self.0.subscribe())
    }
}

/// Somebody who waits.
#[derive(Debug)]
pub(crate) struct Ear(watch::Receiver<()>);

impl Ear {
    /// Until the next ring.
    pub(crate) async fn rung(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
