//! `restart`: a fresh process, and, for those who wait, whether it came to be one.
//!
//! An order to restart is obeyed at once and never counts as a failure. Whoever waits is told when
//! the new process has answered, or why it will not: nobody should learn from the next sync that a
//! restart of last night came to nothing.

use cordon_ledger::Wanted;
use cordon_model::ConnectorName;
use cordon_wire::v1;
use jiff::Timestamp;
use tonic::{Request, Status};

use super::problem::Refusal;
use super::{Service, orders, peer};
use crate::host::Handle;
use crate::limits::RESTART_WAIT;
use crate::runner::Command;
use crate::unit::{Phase, StartNumber};
use crate::view::View;

impl Service {
    pub(super) async fn order_restart(
        &self,
        request: Request<v1::OrderRequest>,
    ) -> Result<v1::OrderResponse, Status> {
        let actor = peer::actor(&request);
        let wait = request.get_ref().wait;
        let (name, handle) = self.find(&request.get_ref().connector)?;
        let reason = orders::given_or(&request, "restarted")?;
        if wait {
            self.can_start(&name).await?;
        }
        let before = handle.view.borrow().unit.start;
        let body = serde_json::json!({ "reason": reason });
        let told = self
            .host
            .ledger
            .append_event("connector.restarted", Some(&name), &actor, body, Timestamp::now())
            .await
            .map_err(Refusal::from)?;
        self.host.bell.ring();
        handle.tell(Command::Restart).await;
        if !wait {
            return Ok(self.order_answer(&name, &handle, told.0, format!("{name} restarts")));
        }
        let pid = ready_after(&name, &handle, before).await?;
        let message = format!("{name} restarted; process {pid} is ready");
        Ok(self.order_answer(&name, &handle, told.0, message))
    }

    /// Refuses to wait for what will not come.
    async fn can_start(&self, name: &ConnectorName) -> Result<(), Refusal> {
        let refused =
            |message| Err(Refusal::invalid("CRD-H003", message).still("nothing was restarted"));
        match self.wanted(name).await? {
            Wanted::Run => Ok(()),
            Wanted::Stopped => refused(format!("`{name}` is stopped, so no process would start"))
                .map_err(|refusal: Refusal| {
                    refusal.hint(format!("start it with `cordon start {name}`"))
                }),
            Wanted::Paused { by, reason, .. } => {
                refused(format!("`{name}` is paused by {by}: {reason}; no process would start"))
                    .map_err(|refusal: Refusal| {
                        refusal.hint(format!("end the pause with `cordon resume {name}`"))
                    })
            }
        }
    }
}

/// Waits for a start after that one to be ready, or to fail.
async fn ready_after(
    name: &ConnectorName,
    handle: &Handle,
    before: StartNumber,
) -> Result<u32, Refusal> {
    let mut seen = handle.view.clone();
    let came = tokio::time::timeout(RESTART_WAIT, async {
        let view = seen.wait_for(|view| outcome(view, before).is_some()).await.ok()?;
        outcome(&view, before)
    });
    let failed = |message: String| {
        Refusal::failed(message)
            .still("the last known good stays; other connectors were not touched")
            .hint(format!("look with `cordon describe {name}` and `cordon logs {name}`"))
    };
    match came.await {
        Ok(Some(Ok(pid))) => Ok(pid),
        Ok(Some(Err(why))) => Err(failed(format!("`{name}` did not become ready: {why}"))),
        Ok(None) => Err(failed(format!("`{name}` was taken out of the configuration"))),
        Err(_) => Err(failed(format!(
            "`{name}` is not ready after {} s; it may still wait for its turn",
            RESTART_WAIT.as_secs()
        ))),
    }
}

/// What came of a start after that one; none while nothing did.
fn outcome(view: &View, before: StartNumber) -> Option<Result<u32, String>> {
    if let Some((start, why)) = &view.start_failed
        && *start > before
    {
        return Some(Err(why.clone()));
    }
    if view.unit.wanted != crate::unit::Wanted::Run {
        return Some(Err("it was paused or stopped meanwhile".into()));
    }
    let runs = matches!(view.unit.phase, Phase::Up | Phase::Syncing(_));
    let pid = view.pid.filter(|_| runs && view.unit.start > before)?;
    Some(Ok(pid))
}
