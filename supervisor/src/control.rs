//! The control socket: what operators ask and order.
//!
//! Who asks is known by the credentials of the socket's other end. Each call is a few lines here:
//! find the connector, check the words, let the parts do it, answer. What is refused is refused with
//! what still holds and what to do.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context;
use cordon_wire::v1;
use cordon_wire::v1::control_server::{Control, ControlServer};
use tokio::net::UnixListener;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::host::Host;

mod accept;
mod backtest;
mod decide;
mod detail;
mod diff;
mod doctor;
mod follow;
mod hindsight;
mod orders;
mod peer;
mod policy;
mod problem;
mod render;
mod restart;
mod rules;
mod secret;
mod status;

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

/// The service behind the socket.
#[derive(Clone)]
pub(crate) struct Service {
    host: Arc<Host>,
}

/// Serves the socket until told to stop.
pub(crate) async fn serve(
    host: Arc<Host>,
    listener: UnixListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let gate = peer::Gate::new(host.loaded().config.daemon.socket_group.clone());
    let service =
        ControlServer::with_interceptor(Service { host }, move |request| gate.admit(request));
    tonic::transport::Server::builder()
        .serve_with_incoming_shutdown(
            service,
            Box::pin(accept::connections(listener)),
            stop.cancelled_owned(),
        )
        .await
        .context("the control socket failed")
}

/// Binds the socket; an old one that nobody listens on is replaced.
pub(crate) fn bind(path: &Path, group: Option<&str>) -> anyhow::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    if let Ok(known) = std::fs::symlink_metadata(path) {
        anyhow::ensure!(
            known.file_type().is_socket(),
            "{} exists and is no socket; it was left alone",
            path.display()
        );
        anyhow::ensure!(
            std::os::unix::net::UnixStream::connect(path).is_err(),
            "another service listens on {}",
            path.display()
        );
        std::fs::remove_file(path)?;
    }
    // Nobody but the owner, until the group is right.
    let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
    let bound = UnixListener::bind(path);
    nix::sys::stat::umask(before);
    let listener = bound.with_context(|| format!("cannot listen on {}", path.display()))?;
    if let Some(group) = group {
        let known = nix::unistd::Group::from_name(group)?.with_context(|| {
            format!("daemon.socket_group names {group:?}, which does not exist")
        })?;
        nix::unistd::chown(path, None, Some(known.gid))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    }
    Ok(listener)
}

#[tonic::async_trait]
impl Control for Service {
    type SyncStream = Streamed<v1::SyncEvent>;
    type LogsStream = Streamed<v1::LogLine>;
    type DiffStream = Streamed<v1::DiffPart>;
    type RemapStream = Streamed<v1::Renamed>;
    type EventsStream = Streamed<v1::Event>;

    async fn status(&self, request: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        self.answer_status(request.into_inner()).await.map(Response::new)
    }

    async fn describe(
        &self,
        request: Request<v1::DescribeConnectorRequest>,
    ) -> Answer<v1::ConnectorDetail> {
        self.answer_describe(request.into_inner()).await.map(Response::new)
    }

    async fn sync(&self, request: Request<v1::StartSyncRequest>) -> Answer<Self::SyncStream> {
        self.order_sync(request).await.map(Response::new)
    }

    async fn start(&self, request: Request<v1::OrderRequest>) -> Answer<v1::OrderResponse> {
        self.order_start(request).await.map(Response::new)
    }

    async fn stop(&self, request: Request<v1::OrderRequest>) -> Answer<v1::OrderResponse> {
        self.order_stop(request).await.map(Response::new)
    }

    async fn restart(&self, request: Request<v1::OrderRequest>) -> Answer<v1::OrderResponse> {
        self.order_restart(request).await.map(Response::new)
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Answer<v1::OrderResponse> {
        self.order_pause(request).await.map(Response::new)
    }

    async fn resume(&self, request: Request<v1::OrderRequest>) -> Answer<v1::OrderResponse> {
        self.order_resume(request).await.map(Response::new)
    }

    async fn runs(&self, request: Request<v1::RunsRequest>) -> Answer<v1::RunsResponse> {
        self.answer_runs(request.into_inner()).await.map(Response::new)
    }

    async fn logs(&self, request: Request<v1::LogsRequest>) -> Answer<Self::LogsStream> {
        self.follow_logs(request.get_ref()).await.map(Response::new)
    }

    async fn diff(&self, request: Request<v1::DiffRequest>) -> Answer<Self::DiffStream> {
        self.answer_diff(request.into_inner()).await.map(Response::new)
    }

    async fn remap(&self, request: Request<v1::RemapRequest>) -> Answer<Self::RemapStream> {
        self.answer_remap(request.into_inner()).await.map(Response::new)
    }

    async fn quarantine(
        &self,
        request: Request<v1::QuarantineRequest>,
    ) -> Answer<v1::QuarantineResponse> {
        self.answer_quarantine(request.into_inner()).await.map(Response::new)
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Answer<v1::OrderResponse> {
        self.decide_release(request).await.map(Response::new)
    }

    async fn reject(&self, request: Request<v1::RejectRequest>) -> Answer<v1::OrderResponse> {
        self.decide_reject(request).await.map(Response::new)
    }

    async fn events(&self, request: Request<v1::EventsRequest>) -> Answer<Self::EventsStream> {
        self.follow_events(request.into_inner()).await.map(Response::new)
    }

    async fn doctor(&self, request: Request<v1::DoctorRequest>) -> Answer<v1::DoctorResponse> {
        self.answer_doctor(request.into_inner()).await.map(Response::new)
    }

    async fn secret_check(
        &self,
        request: Request<v1::SecretCheckRequest>,
    ) -> Answer<v1::SecretCheckResponse> {
        self.answer_secret_check(request.into_inner()).await.map(Response::new)
    }

    async fn rules(&self, request: Request<v1::RulesRequest>) -> Answer<v1::RulesResponse> {
        self.answer_rules(request.into_inner()).await.map(Response::new)
    }

    async fn rule_test(
        &self,
        request: Request<v1::RuleTestRequest>,
    ) -> Answer<v1::RuleTestResponse> {
        self.answer_rule_test(request.into_inner()).await.map(Response::new)
    }

    async fn acknowledge_policy(
        &self,
        request: Request<v1::OrderRequest>,
    ) -> Answer<v1::OrderResponse> {
        self.order_acknowledge(request).await.map(Response::new)
    }

    async fn backtest(
        &self,
        request: Request<v1::BacktestRequest>,
    ) -> Answer<v1::BacktestResponse> {
        self.answer_backtest(request.into_inner()).await.map(Response::new)
    }

    async fn hindsight(
        &self,
        request: Request<v1::HindsightRequest>,
    ) -> Answer<v1::HindsightResponse> {
        self.answer_hindsight(request.into_inner()).await.map(Response::new)
    }

    async fn reload(&self, request: Request<v1::ReloadRequest>) -> Answer<v1::ReloadResponse> {
        let actor = peer::actor(&request);
        let is_plan = request.get_ref().dry_run;
        let done = match is_plan {
            true => self.host.plan().await,
            false => self.host.reload(&actor).await,
        };
        let done = done.map_err(|error| {
            problem::Refusal::configuration(&error)
                .still("the running configuration was not changed")
        })?;
        let touched = done.added.iter().chain(&done.changed).filter(|_| !is_plan);
        let hindsight = self.hindsight_of(touched.cloned().collect()).await;
        let difference = |(name, keys): (String, Vec<&str>)| v1::Difference {
            name,
            keys: keys.into_iter().map(str::to_owned).collect(),
        };
        Ok(Response::new(v1::ReloadResponse {
            hindsight,
            differences: done.differences.into_iter().map(difference).collect(),
            added: done.added,
            removed: done.removed,
            changed: done.changed,
            rotated: done.rotated,
            settings: done.settings,
            evidence: done.evidence,
        }))
    }
}
