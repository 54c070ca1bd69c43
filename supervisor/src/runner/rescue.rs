//! A panic in one connector's task, and how the task goes on.
//!
//! Whatever panicked, nothing that it left half done is trusted: the process is ended, the run is
//! failed, and the state machine is told of a failure like any other, so that a task that panics
//! each time ends in the breaker. Only the orders that waited are kept. Other connectors have tasks
//! of their own and hear nothing of it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::PoisonError;
use std::time::Duration;

use cordon_sandbox::KillReason;
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::gate::Gate;
use crate::reason::Reason;
use crate::unit::{Event, Failure, Phase};

/// A task that panics outside of every start and sync is not started again faster than this.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a process that is being ended is waited for; the sandbox ends it in any case.
const END_WAIT: Duration = Duration::from_secs(15);

impl Runner {
    /// Runs until told to shut down and everything of it is gone, also through panics.
    pub(crate) async fn run(mut self) {
        let mut panicked: Option<String> = None;
        loop {
            // What is half done after a panic is thrown away by `after_panic`.
            let lived = AssertUnwindSafe(async {
                if let Some(why) = panicked.take() {
                    self.after_panic(&why).await;
                }
                self.live().await;
            });
            match lived.catch_unwind().await {
                Ok(()) => return,
                Err(panic) => panicked = Some(words(&*panic)),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn after_panic(&mut self, why: &str) {
        let name = self.connector.name.clone();
        tracing::error!(connector = %name, why, "a connector's task panicked; it starts anew");
        self.cancel.cancel();
        self.cancel = CancellationToken::new();
        self.job = None;
        self.attempt = None;
        self.permit = None;
        self.progress.send_replace(None);
        let starting = self.spawned.borrow().clone();
        if let Some(killer) = starting {
            killer.kill(KillReason::Requested);
        }
        let process = self.process.take();
        if let Some(process) = &process {
            process.kill(KillReason::Requested);
            let _ = tokio::time::timeout(END_WAIT, process.gone()).await;
        }
        let open = self.begun.lock().unwrap_or_else(PoisonError::into_inner).take();
        let told = format!("the supervisor's task for it panicked: {why}");
        if let Some(sync) = open {
            let gate = Gate::new(&self.host, &self.connector);
            if let Err(error) = gate.fail(sync, Reason::Panicked, &told, process.as_ref()).await {
                tracing::warn!(connector = %name, %sync, %error, "its run had come to an end");
            }
        }
        let body = serde_json::json!({ "reason": Reason::Panicked.as_str(), "error": told });
        self.note("connector.task-panicked", body).await;
        self.fails(Reason::Panicked);
        let (start, roll) = (self.unit.start, fastrand::f64());
        let event = match self.unit.phase {
            Phase::Starting | Phase::Syncing(_) => {
                let failure = Failure { reason: Reason::Panicked, retry_after: None };
                Event::Failed { start, failure, alive: false, roll }
            }
            _ => Event::Gone { start, reason: Reason::Panicked, roll },
        };
        self.take(event).await;
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
