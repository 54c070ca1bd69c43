//! What the service manager is told: that a start goes on, how the service stands, and that work
//! goes round.
//!
//! All of it comes from the main loop. A timer with a task of its own would go on ticking beside a
//! service that does nothing any more; here a missed turn is a missed word, and the service manager
//! acts on that. Without a service manager nothing of this is sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use sd_notify::NotifyState;
use tokio::time::Instant;

use crate::host::Host;
use crate::limits;

/// Waits for the start to be done, and asks the service manager for patience meanwhile.
///
/// A ledger of years takes longer to check than any fixed limit allows. The asking ends with
/// [`limits::RECOVERY_MAX`], so that a start that hangs is seen to hang.
pub(crate) async fn start<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let mut turn = tokio::time::interval(limits::START_TURN);
    let begun = Instant::now();
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = turn.tick() => {
                if begun.elapsed() < limits::RECOVERY_MAX {
                    let patience = (limits::START_TURN * 8).as_micros().try_into();
                    tell(&[
                        NotifyState::ExtendTimeoutUsec(patience.unwrap_or(u32::MAX)),
                        NotifyState::Status("checking the state of the last run"),
                    ]);
                }
            }
        }
    }
}

/// The service answers from now on.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The service ends; syncs that run may come to their end.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping: running syncs may end")]);
}

/// The beat of the main loop.
#[derive(Default)]
pub(crate) struct Heart {
    told: String,
    missed: bool,
}

impl Heart {
    /// One turn: when the parts that a sync needs go round, the service manager hears so. A turn
    /// that fails is not fatal by itself; the service manager ends a service that misses too many.
    pub(crate) async fn beat(&mut self, host: &Arc<Host>) {
        (host.faults)("main.heartbeat");
        match turn(host).await {
            Ok(()) => {
                if std::mem::take(&mut self.missed) {
                    tracing::info!("the main loop goes round again");
                }
                tell(&[NotifyState::Watchdog]);
            }
            Err(error) if !self.missed => {
                self.missed = true;
                tracing::error!(error = format!("{error:#}"), "a turn of the main loop failed");
            }
            Err(_) => {}
        }
        let status = status(host);
        if status != self.told {
            tell(&[NotifyState::Status(&status)]);
            self.told = status;
        }
    }
}

/// The ledger answers, and the threads that run connectors' tasks take up work.
async fn turn(host: &Arc<Host>) -> anyhow::Result<()> {
    host.ledger.evidence_head().await.context("the ledger does not answer")?;
    tokio::spawn(async {}).await.context("no task is taken up")
}

/// How everything stands, in a line: `2 connectors (1 quarantined, 1 trusted), 1 syncing; 1 sink`.
fn status(host: &Arc<Host>) -> String {
    let now = Timestamp::now();
    let mut trust: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut syncing = 0;
    for handle in host.connectors().values() {
        let view = handle.view.borrow().clone();
        *trust.entry(view.trust(&handle.facts(), now).trust.as_str()).or_default() += 1;
        syncing += usize::from(view.runtime() == "syncing");
    }
    let sinks = host.sinks();
    let failing = sinks.iter().filter(|sink| sink.trouble.is_some()).count();
    sentence(&trust, syncing, sinks.len(), failing)
}

fn sentence(
    trust: &BTreeMap<&'static str, usize>,
    syncing: usize,
    sinks: usize,
    failing: usize,
) -> String {
    let counted = |count: usize, one: &str| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {one}s"),
    };
    let mut text = counted(trust.values().sum(), "connector");
    if !trust.is_empty() {
        let parts: Vec<String> =
            trust.iter().map(|(state, count)| format!("{count} {state}")).collect();
        text += &format!(" ({})", parts.join(", "));
    }
    if syncing > 0 {
        text += &format!(", {syncing} syncing");
    }
    text += &format!("; {}", counted(sinks, "sink"));
    if failing > 0 {
        text += &format!(" ({failing} failing)");
    }
    text
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_says_what_an_operator_would_ask_first() {
        let none = BTreeMap::new();
        assert_eq!(sentence(&none, 0, 0, 0), "0 connectors; 0 sinks");
        let some = BTreeMap::from([("trusted", 2), ("quarantined", 1)]);
        assert_eq!(
            sentence(&some, 1, 2, 1),
            "3 connectors (1 quarantined, 2 trusted), 1 syncing; 2 sinks (1 failing)"
        );
    }
}
