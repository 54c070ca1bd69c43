//! Secrets that have other values now: whoever holds an old one starts afresh, and nobody else.

use std::sync::Arc;

use futures::future::join_all;

use super::reload::Reloaded;
use super::{Handle, Host};
use crate::runner::Command;
use crate::secrets;
use crate::session::chain;

impl Host {
    /// Restarts each connector and each sink that a reload did not touch and whose references
    /// resolve to other values than it was given.
    pub(super) async fn rotate(self: &Arc<Self>, done: &mut Reloaded) {
        let connectors = self.connectors();
        let touched = |name: &str| done.added.iter().chain(&done.changed).any(|it| it == name);
        let looked = connectors
            .iter()
            .filter(|(name, _)| !touched(name.as_str()))
            .map(|(name, handle)| async move { (name, handle, is_outdated(handle).await) });
        let outdated: Vec<_> =
            join_all(looked).await.into_iter().filter(|(_, _, outdated)| *outdated).collect();
        for (name, handle, _) in outdated {
            let connector = handle.view.borrow().connector.clone();
            handle.tell(Command::Reconfigure(connector)).await;
            done.rotated.push(name.to_string());
        }
        self.rotate_sinks(done).await;
    }

    async fn rotate_sinks(self: &Arc<Self>, done: &mut Reloaded) {
        for view in self.sinks() {
            let Some(given) = view.secret else { continue };
            let (name, sink) = (view.sink.name.clone(), view.sink.clone());
            let now = tokio::task::spawn_blocking(move || sink.kind.secret_fingerprint());
            match now.await {
                Ok(Some(Ok(now))) if now != given => {
                    self.stop_sink(&name).await;
                    self.start_sink((*view.sink).clone());
                    done.rotated.push(name);
                }
                Ok(Some(Err(error))) => {
                    let error = chain(&error);
                    tracing::warn!(sink = %name, error, "a secret has no value now; the sink goes on with the old one");
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// Whether a start now would be given other secrets than the last.
async fn is_outdated(handle: &Handle) -> bool {
    let (connector, held) = {
        let view = handle.view.borrow();
        (view.connector.clone(), view.secrets.clone())
    };
    if secrets::named(&connector.config).is_empty() {
        return false;
    }
    match secrets::resolve_all(&connector.config).await {
        Ok(now) => held.differs(now.fingerprint),
        Err(error) => {
            let error = chain(&error);
            tracing::warn!(connector = %connector.name, error, "a secret has no value now; the connector goes on as it is");
            false
        }
    }
}
