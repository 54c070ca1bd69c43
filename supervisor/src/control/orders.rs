//! Orders to one connector: sync, start, stop, restart, pause, resume.
//!
//! What an operator wants is written down first and told to the connector's task second: an order
//! that was answered survives every crash, and one that a crash swallowed was not answered.

use cordon_ledger::Wanted;
use cordon_model::{ConnectorName, SyncNumber};
use cordon_wire::v1;
use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};

use super::problem::Refusal;
use super::status::{connector_status, progress};
use super::{Service, Streamed, peer, render};
use crate::host::{Finished, Handle};
use crate::runner::Command;

/// Bytes of a reason, at most.
const REASON_BYTES_MAX: usize = 1_000;
/// A pause ends within this many seconds, or by a person.
const PAUSE_SECONDS_MAX: u64 = 366 * 86_400;

/// A reason that says something and can be shown anywhere.
pub(super) fn check_reason(reason: &str) -> Result<(), Refusal> {
    if reason.trim().is_empty() {
        return Err(Refusal::invalid("CRD-H002", "a reason is needed").hint("say it with --reason"));
    }
    if reason.len() > REASON_BYTES_MAX || reason.contains(char::is_control) {
        let message = format!("a reason is one line of at most {REASON_BYTES_MAX} bytes");
        return Err(Refusal::invalid("CRD-H002", message));
    }
    Ok(())
}

/// The reason that was given; where none is needed, what was done.
pub(super) fn given_or(request: &Request<v1::OrderRequest>, done: &str) -> Result<String, Refusal> {
    match request.get_ref().reason.as_str() {
        "" => Ok(done.to_owned()),
        given => check_reason(given).map(|()| given.to_owned()),
    }
}

fn paused(name: &ConnectorName) -> Refusal {
    Refusal::invalid("CRD-H003", format!("`{name}` is paused"))
        .hint(format!("end the pause with `cordon resume {name}`"))
}

impl Service {
    /// What operators want of a connector, as it is written down: its task may hear of it a moment
    /// later.
    pub(super) async fn wanted(&self, name: &ConnectorName) -> Result<Wanted, Refusal> {
        Ok(self.host.ledger.wanted().await?.remove(name).unwrap_or(Wanted::Run))
    }

    pub(super) fn order_answer(
        &self,
        name: &ConnectorName,
        handle: &Handle,
        evidence: u64,
        message: impl Into<String>,
    ) -> v1::OrderResponse {
        v1::OrderResponse {
            evidence,
            message: message.into(),
            status: Some(connector_status(name, handle, Timestamp::now())),
        }
    }

    async fn want(
        &self,
        name: &ConnectorName,
        handle: &Handle,
        wanted: Wanted,
        actor: &str,
        reason: &str,
    ) -> Result<u64, Refusal> {
        let now = Timestamp::now();
        let ledger = &self.host.ledger;
        let evidence = ledger.set_wanted(name, wanted.clone(), actor, reason, now).await?;
        handle.tell(Command::Wanted(wanted)).await;
        self.host.bell.ring();
        Ok(evidence.0)
    }

    pub(super) async fn order_start(
        &self,
        request: Request<v1::OrderRequest>,
    ) -> Result<v1::OrderResponse, Status> {
        let actor = peer::actor(&request);
        let (name, handle) = self.find(&request.get_ref().connector)?;
        let wanted = self.wanted(&name).await?;
        match wanted {
            Wanted::Paused { .. } => Err(paused(&name).into()),
            Wanted::Run => Ok(self.order_answer(&name, &handle, 0, format!("{name} runs already"))),
            Wanted::Stopped => {
                let reason = given_or(&request, "started")?;
                let evidence = self.want(&name, &handle, Wanted::Run, &actor, &reason).await?;
                Ok(self.order_answer(&name, &handle, evidence, format!("{name} started")))
            }
        }
    }

    pub(super) async fn order_stop(
        &self,
        request: Request<v1::OrderRequest>,
    ) -> Result<v1::OrderResponse, Status> {
        let actor = peer::actor(&request);
        let (name, handle) = self.find(&request.get_ref().connector)?;
        // Stopped, it would deliver again what the pause holds back.
        if let Wanted::Paused { .. } = self.wanted(&name).await? {
            return Err(paused(&name).still("it neither syncs nor delivers").into());
        }
        let reason = given_or(&request, "stopped")?;
        let evidence = self.want(&name, &handle, Wanted::Stopped, &actor, &reason).await?;
        let message = format!("{name} stopped; what was accepted is still delivered");
        Ok(self.order_answer(&name, &handle, evidence, message))
    }

    pub(super) async fn order_pause(
        &self,
        request: Request<v1::PauseRequest>,
    ) -> Result<v1::OrderResponse, Status> {
        let actor = peer::actor(&request);
        let order = request.into_inner();
        let (name, handle) = self.find(&order.connector)?;
        check_reason(&order.reason)?;
        if order.seconds > PAUSE_SECONDS_MAX {
            return Err(
                Refusal::invalid("CRD-H002", "a pause with an end lasts a year at most").into()
            );
        }
        let since = Timestamp::now();
        let until = (order.seconds > 0)
            .then(|| since.checked_add(std::time::Duration::from_secs(order.seconds)).ok())
            .flatten();
        let wanted =
            Wanted::Paused { by: actor.clone(), reason: order.reason.clone(), since, until };
        let evidence = self.want(&name, &handle, wanted, &actor, &order.reason).await?;
        let message = format!("{name} paused: no sync, no delivery");
        Ok(self.order_answer(&name, &handle, evidence, message))
    }

    pub(super) async fn order_resume(
        &self,
        request: Request<v1::OrderRequest>,
    ) -> Result<v1::OrderResponse, Status> {
        let actor = peer::actor(&request);
        let (name, handle) = self.find(&request.get_ref().connector)?;
        let wanted = self.wanted(&name).await?;
        if !matches!(wanted, Wanted::Paused { .. }) {
            return Ok(self.order_answer(&name, &handle, 0, format!("{name} is not paused")));
        }
        let reason = given_or(&request, "resumed")?;
        let ledger = &self.host.ledger;
        let (wanted, evidence) = ledger
            .end_pause(&name, &actor, &reason, Timestamp::now())
            .await
            .map_err(Refusal::from)?;
        let message = match wanted {
            Wanted::Stopped => format!("{name} resumed; it is stopped, as it was before the pause"),
            Wanted::Run | Wanted::Paused { .. } => format!("{name} resumed"),
        };
        handle.tell(Command::Wanted(wanted)).await;
        self.host.bell.ring();
        Ok(self.order_answer(&name, &handle, evidence.0, message))
    }

    pub(super) async fn order_sync(
        &self,
        request: Request<v1::StartSyncRequest>,
    ) -> Result<Streamed<v1::SyncEvent>, Status> {
        let order = request.into_inner();
        let (name, handle) = self.find(&order.connector)?;
        match self.wanted(&name).await? {
            Wanted::Run => {}
            Wanted::Paused { by, reason, .. } => {
                let message = format!("`{name}` is paused by {by}: {reason}");
                return Err(Refusal::invalid("CRD-H003", message)
                    .still("its last known good is unchanged")
                    .hint(format!("end the pause with `cordon resume {name}`"))
                    .into());
            }
            Wanted::Stopped => {
                return Err(Refusal::invalid("CRD-H003", format!("`{name}` is stopped"))
                    .hint(format!("start it with `cordon start {name}`"))
                    .into());
            }
        }
        let finished = self.host.finished.subscribe();
        // Whoever asks while a sync runs gets the end of that one.
        let runs = handle.progress.borrow().is_some();
        match order.dry_run {
            true if runs => {
                let message =
                    format!("a sync of `{name}` runs, which would be taken for a dry run");
                return Err(Refusal::invalid("CRD-H003", message)
                    .still("the sync goes on")
                    .hint(format!("see it to its end with `cordon sync {name} --wait`"))
                    .into());
            }
            true => handle.tell(Command::DryRun).await,
            false if runs => {}
            false => handle.tell(Command::Sync).await,
        }
        let (events, stream) = mpsc::channel(16);
        let service = self.clone();
        tokio::spawn(async move {
            let _ = service.tell_of_sync(&name, &handle, finished, order.wait, events).await;
        });
        Ok(Box::pin(ReceiverStream::new(stream)))
    }

    async fn tell_of_sync(
        &self,
        name: &ConnectorName,
        handle: &Handle,
        mut finished: broadcast::Receiver<(ConnectorName, Finished)>,
        wait: bool,
        events: mpsc::Sender<Result<v1::SyncEvent, Status>>,
    ) -> Result<(), mpsc::error::SendError<Result<v1::SyncEvent, Status>>> {
        let mut seen = handle.progress.clone();
        loop {
            if let Some(progress) = progress(handle) {
                let event = Some(v1::sync_event::Event::Progress(progress));
                events.send(Ok(v1::SyncEvent { event })).await?;
                if !wait {
                    return Ok(());
                }
            }
            tokio::select! {
                () = events.closed() => return Ok(()),
                changed = seen.changed() => if changed.is_err() { return Ok(()) },
                ended = finished.recv() => match ended {
                    Ok((who, Finished::Noted(sync))) if who == *name => {
                        return events.send(self.end_of_sync(name, sync).await).await;
                    }
                    Ok((who, Finished::Unnoted(why))) if who == *name => {
                        return events.send(Err(unnoted(name, &why).into())).await;
                    }
                    Ok((who, Finished::NotBegun)) if who == *name => {
                        return events.send(Err(not_begun(name).into())).await;
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
            }
        }
    }

    async fn end_of_sync(
        &self,
        name: &ConnectorName,
        sync: SyncNumber,
    ) -> Result<v1::SyncEvent, Status> {
        let run = self.host.ledger.run(name, sync).await.map_err(Refusal::from)?;
        let event = run.map(|run| v1::sync_event::Event::Run(render::run(&run)));
        Ok(v1::SyncEvent { event })
    }
}

fn not_begun(name: &ConnectorName) -> Refusal {
    Refusal::invalid("CRD-H003", format!("`{name}` was stopped or paused before the sync began"))
        .still("its last known good is unchanged; the sync stays due")
        .hint(format!("see who did, and why, with `cordon describe {name}`"))
}

fn unnoted(name: &ConnectorName, why: &str) -> Refusal {
    Refusal::failed(format!("the sync of `{name}` could not be written down: {why}"))
        .still("its last known good is unchanged; the sync is tried again by itself")
        .hint("look at the disk of the state directory: full, read-only or failing?")
}
