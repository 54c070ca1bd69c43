//! Speaks the wire without the SDK, which would not let most faults pass.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cordon_testkit::scenario::{Act, Point, Scenario};
use cordon_wire::v1::connector_server::Connector;
use cordon_wire::v1::{self, sync_message::Message as Payload};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::acts::{self, Sabotage};
use crate::{leaks, lies};

/// Messages between the script and the stream.
const OUTBOX_MESSAGES: usize = 4;
/// Between two messages of progress that are all there is.
const PROGRESS_PAUSE: Duration = Duration::from_millis(100);
/// Records of a batch that never ends.
const ENDLESS_RECORDS: u64 = 1_000;
/// Records of a bulky batch, and bytes of the name of each: below 4 MiB together.
const BULKY_RECORDS: u32 = 1_000;
const BULKY_BYTES: usize = 3_500;

type Message = Result<v1::SyncMessage, Status>;
type Outbox = mpsc::Sender<Message>;

/// Where the scenario is.
#[derive(Clone)]
pub(crate) enum Source {
    /// In the configuration.
    Given(Box<Scenario>),
    /// In a file, read again for each call, so that a test changes it without a restart.
    File(PathBuf),
}

impl Source {
    fn read(&self) -> Result<Scenario, Status> {
        let bad = |text: String| bad_config("", &text);
        match self {
            Self::Given(scenario) => Ok(Scenario::clone(scenario)),
            Self::File(path) => {
                let shown = path.display();
                let text = std::fs::read_to_string(path)
                    .map_err(|error| bad(format!("cannot read {shown}: {error}")))?;
                serde_json::from_str(&text).map_err(|error| bad(format!("{shown}: {error}")))
            }
        }
    }

    /// Reads it from the configuration: a scenario, or `{"file": path}` and secrets beside it.
    fn from_config(text: &str) -> Result<Option<Self>, Status> {
        let config: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text).map_err(|error| bad_config("", &error.to_string()))?;
        if config.is_empty() {
            return Ok(None);
        }
        let file = match config.get("file") {
            None => {
                let scenario = serde_json::from_value(config.into());
                return scenario.map(|it| Some(Self::Given(Box::new(it)))).map_err(refused);
            }
            Some(file) => file.as_str().ok_or_else(|| bad_config("file", "it is no path"))?,
        };
        match config.keys().find(|key| !matches!(key.as_str(), "file" | "password" | "secrets")) {
            Some(unknown) => Err(bad_config(unknown, "there is no such key")),
            None => Ok(Some(Self::File(file.into()))),
        }
    }
}

fn bad_config(field: &str, message: &str) -> Status {
    cordon_wire::error::error_to_status(&v1::Error {
        kind: v1::ErrorKind::BadConfig.into(),
        message: message.to_owned(),
        field: field.to_owned(),
        retry_after_ms: 0,
    })
}

/// Why a scenario cannot be read, with the key that nobody knows.
#[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
fn refused(error: serde_json::Error) -> Status {
    let message = error.to_string();
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    bad_config(unknown.map_or("", |(field, _)| field), &message)
}

/// The connector.
pub(crate) struct Faulty {
    source: Mutex<Source>,
    sabotage: Sabotage,
}

impl Faulty {
    pub(crate) fn new(source: Source, sabotage: Sabotage) -> Self {
        Self { source: Mutex::new(source), sabotage }
    }

    fn scenario(&self) -> Result<Scenario, Status> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner).read()
    }

    /// Does what goes wrong at a point of a call.
    async fn pass(&self, point: &Point) -> Result<(), Status> {
        let scenario = self.scenario()?;
        for fault in scenario.faults.iter().filter(|fault| fault.at == *point) {
            acts::perform(&fault.act, &self.sabotage).await?;
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Connector for Faulty {
    type SyncStream = ReceiverStream<Message>;

    async fn describe(
        &self,
        _request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        self.pass(&Point::Describe).await?;
        Ok(Response::new(lies::description(&self.scenario()?)))
    }

    async fn configure(
        &self,
        request: Request<v1::ConfigureRequest>,
    ) -> Result<Response<v1::ConfigureResponse>, Status> {
        let v1::ConfigureRequest { protocol, configuration } = request.into_inner();
        if protocol != cordon_wire::PROTOCOL {
            return Err(Status::unimplemented(format!("protocol {protocol} is not spoken here")));
        }
        leaks::remember(&configuration);
        let source = Source::from_config(&configuration)?;
        if let Some(source) = source {
            *self.source.lock().unwrap_or_else(PoisonError::into_inner) = source;
        }
        self.pass(&Point::Configure).await?;
        Ok(Response::new(v1::ConfigureResponse {}))
    }

    async fn check(
        &self,
        _request: Request<v1::CheckRequest>,
    ) -> Result<Response<v1::CheckResponse>, Status> {
        self.pass(&Point::Check).await?;
        Ok(Response::new(v1::CheckResponse { notes: vec!["a scripted source".to_owned()] }))
    }

    async fn sync(
        &self,
        _request: Request<v1::SyncRequest>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let scenario = self.scenario()?;
        let (outbox, stream) = mpsc::channel(OUTBOX_MESSAGES);
        let sabotage = self.sabotage.clone();
        tokio::spawn(async move {
            if let Err(status) = run(&scenario, &sabotage, &outbox).await {
                let _ = outbox.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn lookup(
        &self,
        request: Request<v1::LookupRequest>,
    ) -> Result<Response<v1::LookupResponse>, Status> {
        if !self.scenario()?.looks_up {
            return Err(Status::unimplemented("single records are not looked up"));
        }
        self.pass(&Point::Lookup).await?;
        Ok(Response::new(lies::lookup(&self.scenario()?, &request.into_inner().keys)))
    }

    async fn apply(
        &self,
        _request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}

/// Plays the messages, and at each point what goes wrong there.
async fn run(scenario: &Scenario, sabotage: &Sabotage, outbox: &Outbox) -> Result<(), Status> {
    let mut position = Position::default();
    let mut pause = None;
    for mut payload in lies::sync(scenario) {
        position.advance(&payload);
        for fault in scenario.faults.iter().filter(|fault| position.is_at(&fault.at)) {
            match &fault.act {
                Act::Slow(millis) => pause = Some(Duration::from_millis(*millis)),
                Act::Endless => return endless(position.scope, outbox).await,
                Act::ProgressOnly => return progress(1, outbox).await,
                Act::ProgressStuck => return progress(0, outbox).await,
                Act::LeakSecret(way) => {
                    if let Some(before) = leaks::spoil(way, &mut payload)? {
                        send(outbox, before).await?;
                    }
                }
                Act::Checkpoints => return checkpoints(outbox).await,
                Act::EmptyBatches => return empty_batches(position.scope, outbox).await,
                Act::Bulky(batches) => bulky(position.scope, *batches, outbox).await?,
                act => acts::perform(act, sabotage).await?,
            }
        }
        match (pause, payload) {
            (Some(pause), Payload::Batch(batch)) => slowly(batch, pause, outbox).await?,
            (_, payload) => send(outbox, payload).await?,
        }
    }
    Ok(())
}

/// Where a sync is: before the message at hand.
#[derive(Default)]
struct Position {
    names: Vec<String>,
    scope: u32,
    pages: u32,
    ends: u32,
    here: Option<Here>,
}

/// What comes next.
enum Here {
    Begin,
    Page,
    End,
    SyncEnd,
}

impl Position {
    fn advance(&mut self, next: &Payload) {
        self.here = match next {
            Payload::ScopeBegin(begin) => {
                self.names.push(begin.name.clone());
                self.scope = begin.scope;
                Some(Here::Begin)
            }
            Payload::Batch(batch) => {
                self.pages += 1;
                self.scope = batch.scope;
                Some(Here::Page)
            }
            Payload::ScopeEnd(end) => {
                self.ends += 1;
                self.scope = end.scope;
                Some(Here::End)
            }
            Payload::SyncEnd(_) => Some(Here::SyncEnd),
            Payload::Progress(_) | Payload::Checkpoint(_) => None,
        };
    }

    fn is_at(&self, point: &Point) -> bool {
        let named = |name: &String, count: u32| {
            if name.is_empty() {
                return count == 1;
            }
            self.names.get(self.scope as usize) == Some(name)
        };
        match (&self.here, point) {
            (Some(Here::Begin), Point::ScopeBegin(name)) => named(name, self.names.len() as u32),
            (Some(Here::Page), Point::Page(page)) => *page == self.pages,
            (Some(Here::End), Point::ScopeEnd(name)) => named(name, self.ends),
            (Some(Here::SyncEnd), Point::SyncEnd) => true,
            _ => false,
        }
    }
}

async fn send(outbox: &Outbox, payload: Payload) -> Result<(), Status> {
    let message = v1::SyncMessage { message: Some(payload) };
    outbox.send(Ok(message)).await.map_err(|_| Status::cancelled("nobody reads"))
}

/// Sends a batch one record at a time.
async fn slowly(batch: v1::Batch, pause: Duration, outbox: &Outbox) -> Result<(), Status> {
    for record in lies::singles(&batch) {
        tokio::time::sleep(pause).await;
        send(outbox, Payload::Batch(record)).await?;
    }
    Ok(())
}

async fn endless(scope: u32, outbox: &Outbox) -> Result<(), Status> {
    for page in 0u64.. {
        let first = page * ENDLESS_RECORDS;
        let ids: Vec<String> =
            (first..first + ENDLESS_RECORDS).map(|id| format!("endless{id}")).collect();
        let batch = users(scope, vec![lies::texts("id", &ids)], ENDLESS_RECORDS as u32);
        send(outbox, Payload::Batch(batch)).await?;
    }
    Ok(())
}

async fn checkpoints(outbox: &Outbox) -> Result<(), Status> {
    loop {
        send(outbox, Payload::Checkpoint(v1::Checkpoint::default())).await?;
        tokio::time::sleep(PROGRESS_PAUSE).await;
    }
}

async fn empty_batches(scope: u32, outbox: &Outbox) -> Result<(), Status> {
    loop {
        let batch = users(scope, vec![lies::texts("id", &[])], 0);
        send(outbox, Payload::Batch(batch)).await?;
        tokio::time::sleep(PROGRESS_PAUSE).await;
    }
}

async fn bulky(scope: u32, batches: u32, outbox: &Outbox) -> Result<(), Status> {
    for batch in 0..batches {
        let ids: Vec<String> =
            (0..BULKY_RECORDS).map(|record| format!("bulky{batch}-{record}")).collect();
        let names: Vec<String> = ids.iter().map(|id| id.repeat(BULKY_BYTES / id.len())).collect();
        let columns = vec![lies::texts("id", &ids), lies::texts("name", &names)];
        send(outbox, Payload::Batch(users(scope, columns, BULKY_RECORDS))).await?;
    }
    Ok(())
}

fn users(scope: u32, columns: Vec<v1::Column>, records: u32) -> v1::Batch {
    v1::Batch {
        scope,
        kind: v1::RecordKind::Resource.into(),
        r#type: "user".to_owned(),
        records,
        columns,
    }
}

async fn progress(step: u64, outbox: &Outbox) -> Result<(), Status> {
    let mut progress = v1::Progress { phase: "waiting".to_owned(), ..v1::Progress::default() };
    loop {
        progress.done += step;
        send(outbox, Payload::Progress(progress.clone())).await?;
        tokio::time::sleep(PROGRESS_PAUSE).await;
    }
}
