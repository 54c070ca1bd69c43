//! Decisions on what waits in quarantine.

use cordon_ledger::QuarantinedRow;
use cordon_model::ConnectorName;
use cordon_validate::Release;
use cordon_wire::v1;
use jiff::Timestamp;
use tonic::{Request, Status};

use super::orders::check_reason;
use super::problem::Refusal;
use super::{Service, peer, render};
use crate::gate::Gate;
use crate::runner::Command;

impl Service {
    pub(super) async fn answer_quarantine(
        &self,
        request: v1::QuarantineRequest,
    ) -> Result<v1::QuarantineResponse, Status> {
        let name = match request.connector.as_str() {
            "" => None,
            name => Some(self.find(name)?.0),
        };
        let waiting = self.host.ledger.quarantined(name.as_ref()).await.map_err(Refusal::from)?;
        Ok(v1::QuarantineResponse { syncs: waiting.iter().map(render::quarantined).collect() })
    }

    /// What waits under this number, or a refusal that says what waits instead.
    async fn waiting(&self, name: &ConnectorName, sync: u64) -> Result<QuarantinedRow, Refusal> {
        let waiting = self.host.ledger.quarantined(Some(name)).await?;
        match waiting.into_iter().next() {
            Some(row) if row.sync.0 == sync => Ok(row),
            Some(row) => Err(Refusal::changed(format!(
                "sync {sync} of `{name}` does not wait for a decision, sync {} does",
                row.sync
            ))
            .still("nothing was decided")
            .hint(format!("look with `cordon diff {name}`"))),
            None => Err(Refusal::not_found(format!("no sync of `{name}` waits for a decision"))
                .still("nothing was decided")),
        }
    }

    pub(super) async fn decide_release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<v1::OrderResponse, Status> {
        let by = peer::actor(&request);
        let order = request.into_inner();
        let (name, handle) = self.find(&order.connector)?;
        check_reason(&order.reason)?;
        let waiting = self.waiting(&name, order.sync).await?;
        let counts = waiting.counts;
        let release =
            Release { by, reason: order.reason, digest: order.digest, at: Timestamp::now() };
        let connector = handle.view.borrow().connector.clone();
        Gate::new(&self.host, &connector).release(waiting, release).await.map_err(Refusal::from)?;
        let evidence = handle.facts().last_good.map_or(0, |row| row.evidence.0);
        let message = format!(
            "released sync {} of {name}: {} added, {} removed, {} modified",
            order.sync, counts.added, counts.removed, counts.modified
        );
        Ok(self.order_answer(&name, &handle, evidence, message))
    }

    pub(super) async fn decide_reject(
        &self,
        request: Request<v1::RejectRequest>,
    ) -> Result<v1::OrderResponse, Status> {
        let by = peer::actor(&request);
        let order = request.into_inner();
        let (name, handle) = self.find(&order.connector)?;
        check_reason(&order.reason)?;
        let waiting = self.waiting(&name, order.sync).await?;
        let connector = handle.view.borrow().connector.clone();
        let gate = Gate::new(&self.host, &connector);
        let evidence = gate.refuse(&waiting, &by, &order.reason).await.map_err(Refusal::from)?;
        if order.retry {
            handle.tell(Command::Sync).await;
        }
        let message = format!("rejected sync {} of {name}; the last known good stays", order.sync);
        Ok(self.order_answer(&name, &handle, evidence, message))
    }
}
