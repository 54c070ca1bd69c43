//! A control server with scripted answers, on a socket of its own, that remembers what it was asked.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use cordon_wire::error::problem_to_status;
use cordon_wire::v1;
use cordon_wire::v1::control_server::{Control, ControlServer};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

/// What the server says to each question.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) status: v1::StatusResponse,
    pub(crate) detail: v1::ConnectorDetail,
    pub(crate) sync: Vec<v1::SyncEvent>,
    pub(crate) order: v1::OrderResponse,
    pub(crate) runs: Vec<v1::Run>,
    pub(crate) logs: Vec<v1::LogLine>,
    pub(crate) diff: Vec<v1::DiffPart>,
    pub(crate) quarantine: Vec<v1::QuarantinedSync>,
    pub(crate) events: Vec<v1::Event>,
    pub(crate) doctor: Vec<v1::DoctorItem>,
    pub(crate) prove: Vec<v1::ProveResult>,
    pub(crate) reload: v1::ReloadResponse,
    /// Refuses every question with this.
    pub(crate) problem: Option<v1::Problem>,
    /// Ends streams with this instead of well.
    pub(crate) breaks: bool,
}

/// The running server; it ends with the test.
pub(crate) struct Daemon {
    pub(crate) socket: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
    _dir: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Daemon {
    pub(crate) fn start(script: Script) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("cordon.sock");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let service = Scripted { script, asked: Arc::clone(&asked) };
        let listener = runtime.block_on(async { UnixListener::bind(&socket).unwrap() });
        runtime.spawn(async move {
            let incoming = UnixListenerStream::new(listener);
            Server::builder().serve_with_incoming(ControlServer::new(service), incoming).await
        });
        Self { socket, asked, _dir: dir, _runtime: runtime }
    }

    /// What it was asked, in order.
    pub(crate) fn asked(&self) -> MutexGuard<'_, Vec<String>> {
        self.asked.lock().unwrap()
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

struct Scripted {
    script: Script,
    asked: Arc<Mutex<Vec<String>>>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Scripted {
    fn hear<T: std::fmt::Debug>(&self, request: Request<T>) -> Result<T, Status> {
        let request = request.into_inner();
        self.asked.lock().unwrap().push(format!("{request:?}"));
        match &self.script.problem {
            Some(problem) => Err(problem_to_status(Code::FailedPrecondition, problem)),
            None => Ok(request),
        }
    }

    /// The items, then silence where the asker follows.
    fn stream<T: Send + 'static>(&self, items: Vec<T>, follow: bool) -> Response<Answers<T>> {
        let breaks = self.script.breaks.then(|| Err(Status::unavailable("gone")));
        let items = tokio_stream::iter(items.into_iter().map(Ok).chain(breaks));
        if follow {
            return Response::new(Box::pin(items.chain(tokio_stream::pending())));
        }
        Response::new(Box::pin(items))
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Control for Scripted {
    type SyncStream = Answers<v1::SyncEvent>;
    type LogsStream = Answers<v1::LogLine>;
    type DiffStream = Answers<v1::DiffPart>;
    type RemapStream = Answers<v1::Renamed>;
    type EventsStream = Answers<v1::Event>;

    async fn status(&self, request: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        let wanted = self.hear(request)?.connectors;
        let mut response = self.script.status.clone();
        response.connectors.retain(|it| wanted.is_empty() || wanted.contains(&it.name));
        Ok(Response::new(response))
    }

    async fn describe(
        &self,
        request: Request<v1::DescribeConnectorRequest>,
    ) -> Answer<v1::ConnectorDetail> {
        self.hear(request)?;
        Ok(Response::new(self.script.detail.clone()))
    }

    async fn sync(&self, request: Request<v1::StartSyncRequest>) -> Answer<Self::SyncStream> {
        let wait = self.hear(request)?.wait;
        let events = self.script.sync.iter().take(if wait { usize::MAX } else { 1 });
        Ok(self.stream(events.cloned().collect(), false))
    }

    async fn start(&self, request: Request<v1::OrderRequest>) -> Answer<v1::OrderResponse> {
        self.order("start", request)
    }

    async fn stop(&self, request: Request<v1::OrderRequest>) -> Answer<v1::OrderResponse> {
        self.order("stop", request)
    }

    async fn restart(&self, request: Request<v1::OrderRequest>) -> Answer<v1::OrderResponse> {
        self.order("restart", request)
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Answer<v1::OrderResponse> {
        self.order("pause", request)
    }

    async fn resume(&self, request: Request<v1::OrderRequest>) -> Answer<v1::OrderResponse> {
        self.order("resume", request)
    }

    async fn runs(&self, request: Request<v1::RunsRequest>) -> Answer<v1::RunsResponse> {
        self.hear(request)?;
        Ok(Response::new(v1::RunsResponse { runs: self.script.runs.clone() }))
    }

    async fn logs(&self, request: Request<v1::LogsRequest>) -> Answer<Self::LogsStream> {
        let follow = self.hear(request)?.follow;
        Ok(self.stream(self.script.logs.clone(), follow))
    }

    async fn diff(&self, request: Request<v1::DiffRequest>) -> Answer<Self::DiffStream> {
        self.hear(request)?;
        Ok(self.stream(self.script.diff.clone(), false))
    }

    async fn remap(&self, request: Request<v1::RemapRequest>) -> Answer<Self::RemapStream> {
        self.hear(request)?;
        Ok(self.stream(Vec::new(), false))
    }

    async fn quarantine(
        &self,
        request: Request<v1::QuarantineRequest>,
    ) -> Answer<v1::QuarantineResponse> {
        self.hear(request)?;
        Ok(Response::new(v1::QuarantineResponse { syncs: self.script.quarantine.clone() }))
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Answer<v1::OrderResponse> {
        self.order("release", request)
    }

    async fn reject(&self, request: Request<v1::RejectRequest>) -> Answer<v1::OrderResponse> {
        self.order("reject", request)
    }

    async fn events(&self, request: Request<v1::EventsRequest>) -> Answer<Self::EventsStream> {
        let follow = self.hear(request)?.follow;
        Ok(self.stream(self.script.events.clone(), follow))
    }

    async fn doctor(&self, request: Request<v1::DoctorRequest>) -> Answer<v1::DoctorResponse> {
        let v1::DoctorRequest { prove } = self.hear(request)?;
        let prove = if prove { self.script.prove.clone() } else { Vec::new() };
        Ok(Response::new(v1::DoctorResponse { items: self.script.doctor.clone(), prove }))
    }

    async fn secret_check(
        &self,
        request: Request<v1::SecretCheckRequest>,
    ) -> Answer<v1::SecretCheckResponse> {
        self.hear(request)?;
        Ok(Response::new(v1::SecretCheckResponse::default()))
    }

    async fn rules(&self, request: Request<v1::RulesRequest>) -> Answer<v1::RulesResponse> {
        self.hear(request)?;
        Ok(Response::new(v1::RulesResponse::default()))
    }

    async fn rule_test(
        &self,
        request: Request<v1::RuleTestRequest>,
    ) -> Answer<v1::RuleTestResponse> {
        self.hear(request)?;
        Ok(Response::new(v1::RuleTestResponse::default()))
    }

    async fn acknowledge_policy(
        &self,
        request: Request<v1::OrderRequest>,
    ) -> Answer<v1::OrderResponse> {
        self.order("acknowledge", request)
    }

    async fn backtest(
        &self,
        request: Request<v1::BacktestRequest>,
    ) -> Answer<v1::BacktestResponse> {
        self.hear(request)?;
        Ok(Response::new(v1::BacktestResponse::default()))
    }

    async fn hindsight(
        &self,
        request: Request<v1::HindsightRequest>,
    ) -> Answer<v1::HindsightResponse> {
        self.hear(request)?;
        Ok(Response::new(v1::HindsightResponse::default()))
    }

    async fn reload(&self, request: Request<v1::ReloadRequest>) -> Answer<v1::ReloadResponse> {
        self.hear(request)?;
        Ok(Response::new(self.script.reload.clone()))
    }
}

impl Scripted {
    fn order<T: std::fmt::Debug>(
        &self,
        verb: &str,
        request: Request<T>,
    ) -> Answer<v1::OrderResponse> {
        self.hear(request)?;
        if let Some(last) = self.asked.lock().unwrap().last_mut() {
            last.insert_str(0, &format!("{verb} "));
        }
        Ok(Response::new(self.script.order.clone()))
    }
}
