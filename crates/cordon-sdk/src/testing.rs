//! Runs a connector inside a test, over a real socket and the real wire, and collects what it says.
//!
//! What is collected is what a supervisor would have read: the batches went through their bytes and
//! back. A stream that breaks the protocol is an [`Error::Bug`] here as it is there.

mod collector;

use std::sync::Arc;
use std::time::Duration;

use cordon_model::{Row, ScopeReport};
use cordon_wire::v1::connector_client::ConnectorClient;
use cordon_wire::v1::connector_server::ConnectorServer;
use cordon_wire::v1::{self, sync_message::Message as Payload};
use cordon_wire::{MESSAGE_BYTES_MAX, PROTOCOL};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use self::collector::Collector;
use crate::{Connector, Error, Presence, RecordKey, serve};

/// Messages between a sync that is drained and its drain.
const DRAIN_MESSAGES: usize = 4;
/// Bytes that are kept of what a connector says in words.
const TOLD_BYTES_MAX: usize = 4 << 20;

/// What one sync reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// Every record, in the order in which they came.
    pub rows: Vec<Row>,
    /// For each row the place of its scope in `scopes`.
    pub scope_of_row: Vec<usize>,
    /// Every scope that was opened, in that order. One that was never closed is incomplete.
    pub scopes: Vec<ScopeReport>,
}

impl Collected {
    /// The scope of that name.
    pub fn scope(&self, name: &str) -> Option<&ScopeReport> {
        self.scopes.iter().find(|scope| scope.name == name)
    }

    /// The record with that key, as [`Row::key`] writes it: `user:alice`.
    pub fn row(&self, key: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.key() == key)
    }

    /// The keys of all records, in the order in which they came.
    pub fn keys(&self) -> Vec<String> {
        self.rows.iter().map(Row::key).collect()
    }
}

/// How long a connector is waited for, and how much is taken of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the answer to one call, and for the next message of a sync.
    pub answer: Duration,
    /// For the end of a sync.
    pub sync: Duration,
    /// Records of one sync, at most.
    pub records: usize,
}

impl Default for Patience {
    fn default() -> Self {
        let (answer, sync) = (Duration::from_secs(60), Duration::from_secs(600));
        Self { answer, sync, records: usize::MAX }
    }
}

/// The supervisor's end of a connector's socket, and the connector itself when it is served inside
/// this process.
pub struct Harness {
    client: ConnectorClient<Channel>,
    channel: Channel,
    syncs: u64,
    patience: Patience,
    told: String,
    stop: Option<DropGuard>,
}

/// How a connection is used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Line {
    /// Bytes of an answer that may be sent ahead of what is read.
    pub(crate) window: Option<u32>,
    /// How often it is asked for a sign of life while it is silent.
    pub(crate) pings: Option<Duration>,
}

/// A sync that is begun and not read.
pub struct HeldSync {
    _stream: tonic::Streaming<v1::SyncMessage>,
}

impl Harness {
    /// Serves a connector that is not configured yet.
    pub async fn start<C: Connector>() -> Result<Self, Error> {
        let (socket, stop) = serve_here::<C>()?;
        let mut harness = Self::connect(socket).await?;
        harness.stop = Some(stop);
        Ok(harness)
    }

    /// Speaks to a connector at the other end of that socket, such as another process.
    pub async fn connect(socket: std::os::unix::net::UnixStream) -> Result<Self, Error> {
        Self::connect_with(socket, Line::default()).await
    }

    /// The same, over a connection that is not an ordinary one.
    pub(crate) async fn connect_with(
        socket: std::os::unix::net::UnixStream,
        line: Line,
    ) -> Result<Self, Error> {
        let socket = socket.set_nonblocking(true).and_then(|()| UnixStream::from_std(socket));
        let socket = socket.map_err(|error| Error::unavailable("no socket").caused_by(error))?;
        let mut socket = Some(TokioIo::new(socket));
        let mut endpoint = Endpoint::from_static("http://connector");
        if let Some(interval) = line.pings {
            endpoint = endpoint.http2_keep_alive_interval(interval).keep_alive_while_idle(true);
        }
        let channel = endpoint
            .initial_stream_window_size(line.window)
            .connect_with_connector(tower::service_fn(move |_| {
                // A connection that broke is not made a second time.
                let socket = socket.take();
                async move { socket.ok_or(std::io::Error::from(std::io::ErrorKind::NotConnected)) }
            }))
            .await
            .map_err(|error| Error::unavailable("the connector is not served").caused_by(error))?;
        let client = ConnectorClient::new(channel.clone());
        let client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        let (patience, told) = (Patience::default(), String::new());
        Ok(Self { client, channel, syncs: 0, patience, told, stop: None })
    }

    /// Serves a connector and configures it.
    pub async fn configured<C: Connector>(config: &serde_json::Value) -> Result<Self, Error> {
        let mut harness = Self::start::<C>().await?;
        harness.configure(config).await?;
        Ok(harness)
    }

    /// Waits no longer, and takes no more, than that.
    pub fn be_patient(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// What it said so far in words: notes, phases, names of scopes, reasons and errors, a line each.
    pub fn told(&self) -> &str {
        &self.told
    }

    /// Hands the configuration over.
    pub async fn configure(&mut self, config: &serde_json::Value) -> Result<(), Error> {
        self.configure_as(PROTOCOL, config).await
    }

    pub(crate) async fn configure_as(
        &mut self,
        protocol: u32,
        config: &serde_json::Value,
    ) -> Result<(), Error> {
        let request = v1::ConfigureRequest { protocol, configuration: config.to_string() };
        let mut client = self.client.clone();
        self.answer("Configure", client.configure(request)).await.map(drop)
    }

    /// Asks whether the source can be reached.
    pub async fn check(&mut self) -> Result<Vec<String>, Error> {
        let mut client = self.client.clone();
        let notes = self.answer("Check", client.check(v1::CheckRequest {})).await?.notes;
        notes.iter().for_each(|note| self.hear(note));
        Ok(notes)
    }

    /// Whether the connector says that it is in good health.
    pub async fn is_healthy(&self) -> Result<bool, Error> {
        let service = <ConnectorServer<()> as tonic::server::NamedService>::NAME.to_owned();
        let mut health = HealthClient::new(self.channel.clone());
        let answer = health.check(HealthCheckRequest { service }).await;
        let answer = answer.map_err(|status| Error::from_status(&status))?.into_inner();
        Ok(answer.status() == ServingStatus::Serving)
    }

    /// Runs one sync and collects it, up to its end or its error.
    pub async fn sync(&mut self) -> (Collected, Result<(), Error>) {
        match self.begin_sync().await {
            Ok(stream) => self.sync_on(stream).await,
            Err(error) => (Collected::default(), Err(error)),
        }
    }

    /// Reads a sync that was begun, up to its end or its error.
    pub(crate) async fn sync_on(
        &mut self,
        stream: tonic::Streaming<v1::SyncMessage>,
    ) -> (Collected, Result<(), Error>) {
        let mut collector = Collector::default();
        let within = self.patience.sync;
        let collecting = self.collect(stream, &mut collector);
        let result = match tokio::time::timeout(within, collecting).await {
            Ok(result) => result,
            Err(_) => Err(Error::unavailable(format!("the sync did not end within {within:?}"))),
        };
        (collector.collected, result)
    }

    /// Begins a sync, hears its first word, and reads no further. Dropped, the sync is cancelled.
    pub async fn hold_sync(&mut self) -> Result<HeldSync, Error> {
        let mut stream = self.begin_sync().await?;
        match self.next(&mut stream).await? {
            Some(_) => Ok(HeldSync { _stream: stream }),
            None => Err(Error::bug("the stream ended without SyncEnd")),
        }
    }

    /// Asks for the source's word on single records.
    pub async fn lookup(&mut self, keys: &[RecordKey]) -> Result<Vec<Presence>, Error> {
        let keys = keys.iter().map(|key| v1::RecordKey {
            kind: cordon_wire::batch::kind_to_wire(key.record_type.kind).into(),
            r#type: key.record_type.name.to_string(),
            id: key.id.clone(),
            entitlement: key.entitlement.clone(),
        });
        let keys: Vec<_> = keys.collect();
        let asked = keys.len();
        let mut client = self.client.clone();
        let answer = self.answer("Lookup", client.lookup(v1::LookupRequest { keys })).await?;
        let presences = cordon_wire::lookup::presences_from_wire(&answer, asked)
            .map_err(|error| Error::bug("an answer that fits no question").caused_by(error))?;
        let presence = |word| match word {
            v1::Presence::Unspecified => Presence::Unknown,
            v1::Presence::Present => Presence::Present,
            v1::Presence::Absent => Presence::Absent,
        };
        Ok(presences.into_iter().map(presence).collect())
    }

    pub(crate) async fn describe(&mut self) -> Result<v1::DescribeResponse, Error> {
        let mut client = self.client.clone();
        self.answer("Describe", client.describe(v1::DescribeRequest {})).await
    }

    pub(crate) async fn begin_sync(&mut self) -> Result<tonic::Streaming<v1::SyncMessage>, Error> {
        self.syncs += 1;
        let mode = v1::SyncMode::Full.into();
        let request = v1::SyncRequest { sync: self.syncs, mode, checkpoint: Vec::new() };
        let mut client = self.client.clone();
        self.answer("Sync", client.sync(request)).await
    }

    /// The next message of a sync; none at the end of its stream.
    pub(crate) async fn next(
        &mut self,
        stream: &mut tonic::Streaming<v1::SyncMessage>,
    ) -> Result<Option<v1::SyncMessage>, Error> {
        let within = self.patience.answer;
        match tokio::time::timeout(within, stream.message()).await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(status)) => Err(self.failed(&status)),
            Err(_) => Err(Error::unavailable(format!("the sync said nothing for {within:?}"))),
        }
    }

    async fn collect(
        &mut self,
        mut stream: tonic::Streaming<v1::SyncMessage>,
        collector: &mut Collector,
    ) -> Result<(), Error> {
        loop {
            let message = self.next(&mut stream).await?.and_then(|message| message.message);
            let Some(message) = message else {
                return Err(Error::bug("the stream ended without SyncEnd"));
            };
            if let Payload::SyncEnd(end) = &message {
                collector.end(end)?;
                return match self.next(&mut stream).await? {
                    None => Ok(()),
                    Some(_) => Err(Error::bug("the stream goes on after SyncEnd")),
                };
            }
            match &message {
                Payload::ScopeBegin(begin) => self.hear(&begin.name),
                Payload::ScopeEnd(end) => {
                    self.hear(&end.reason);
                    self.hear(end.watermark.as_ref().map_or("", |mark| &mark.token));
                }
                Payload::Progress(progress) => self.hear(&progress.phase),
                Payload::Batch(_) | Payload::Checkpoint(_) | Payload::SyncEnd(_) => {}
            }
            collector.take(message)?;
            let most = self.patience.records;
            if collector.collected.rows.len() > most {
                return Err(Error::bug(format!("the sync brings more than {most} records")));
            }
        }
    }

    async fn answer<T>(
        &mut self,
        call: &str,
        answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, Error> {
        let within = self.patience.answer;
        match tokio::time::timeout(within, answer).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.failed(&status)),
            Err(_) => Err(Error::unavailable(format!("{call} is not answered within {within:?}"))),
        }
    }

    fn failed(&mut self, status: &tonic::Status) -> Error {
        let error = Error::from_status(status);
        self.hear(status.message());
        self.hear(&error.chain());
        if let Error::BadConfig { field, .. } = &error {
            self.hear(field);
        }
        error
    }

    fn hear(&mut self, words: &str) {
        if self.told.len() < TOLD_BYTES_MAX {
            self.told.push_str(words);
            self.told.push('\n');
        }
    }
}

/// Serves a connector inside this process, until the guard is dropped.
pub(crate) fn serve_here<C: Connector>()
-> Result<(std::os::unix::net::UnixStream, DropGuard), Error> {
    let no_pair = |error| Error::unavailable("no pair of sockets").caused_by(error);
    let (near, far) = std::os::unix::net::UnixStream::pair().map_err(no_pair)?;
    far.set_nonblocking(true).map_err(no_pair)?;
    let far = UnixStream::from_std(far).map_err(no_pair)?;
    let stop = CancellationToken::new();
    let guard = stop.clone().drop_guard();
    C::describe().schemas()?;
    tokio::spawn(async move {
        if let Err(error) = serve::serve_on::<C, _>(far, stop).await {
            tracing::debug!(%error, "the served connection ended");
        }
    });
    Ok((near, guard))
}

/// Runs a connector once with that configuration and collects what it reports.
pub async fn sync_once<C: Connector>(config: serde_json::Value) -> Result<Collected, Error> {
    let (collected, result) = Harness::configured::<C>(&config).await?.sync().await;
    result.map(|()| collected)
}

/// Runs a connector once and throws away what it reports, packed but never sent: what reporting
/// itself costs. Gives the number of records.
pub async fn drain<C: Connector>(config: serde_json::Value) -> Result<u64, Error> {
    let schemas = C::describe().schemas()?.into();
    let connector = Arc::new(C::open(crate::config::parse(&config.to_string())?).await?);
    let (outbox, mut stream) = tokio::sync::mpsc::channel(DRAIN_MESSAGES);
    let sync = crate::Sync::new(1, schemas, outbox, CancellationToken::new());
    tokio::spawn(crate::service::run(connector, sync));
    while let Some(message) = stream.recv().await {
        let message = message.map_err(|status| Error::from_status(&status))?;
        if let Some(Payload::SyncEnd(end)) = message.message {
            return Ok(end.records);
        }
    }
    Err(Error::bug("the stream ended without SyncEnd"))
}

/// The socket that the supervisor handed down to this process, for programs in tests that speak the
/// wire themselves. To be taken once.
pub fn inherited_socket() -> Result<std::os::unix::net::UnixStream, Error> {
    serve::inherited().map_err(|error| Error::unavailable("no socket").caused_by(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Description, User};

    struct Slow;

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Config {}

    impl Connector for Slow {
        type Config = Config;

        fn describe() -> Description {
            Description::new("slow", "1").reports(User::schema())
        }

        async fn open(_config: Config) -> Result<Self, Error> {
            Ok(Self)
        }

        async fn check(&self) -> Result<Vec<String>, Error> {
            Ok(Vec::new())
        }

        async fn sync(&self, sync: &mut crate::Sync) -> Result<(), Error> {
            let _users = sync.scope("users").await?;
            sync.cancelled().await;
            Err(Error::Cancelled)
        }
    }

    #[tokio::test]
    async fn a_protocol_that_is_not_spoken_is_refused() {
        let mut harness = Harness::start::<Slow>().await.unwrap();
        let request = v1::ConfigureRequest { protocol: 2, configuration: "{}".to_owned() };
        let status = harness.client.configure(request).await.unwrap_err();
        let error = Error::from_status(&status).to_string();
        assert_eq!(error, "protocol 2 is asked for, but only 1 is spoken here");
    }

    #[tokio::test]
    async fn a_connector_is_configured_once_and_before_it_syncs() {
        let mut harness = Harness::start::<Slow>().await.unwrap();
        let error = harness.sync().await.1.unwrap_err();
        assert_eq!(error.to_string(), "the connector is not configured");
        harness.configure(&serde_json::json!({})).await.unwrap();
        let error = harness.configure(&serde_json::json!({})).await.unwrap_err();
        assert_eq!(error.to_string(), "the connector is configured already");
    }

    #[tokio::test]
    async fn one_sync_runs_at_a_time_and_one_that_is_left_makes_room() {
        let mut harness = Harness::configured::<Slow>(&serde_json::json!({})).await.unwrap();
        let first = harness.begin_sync().await.unwrap();
        let error = harness.begin_sync().await.unwrap_err();
        assert_eq!(error.to_string(), "another sync is running");
        drop(first);
        harness.begin_sync().await.unwrap();
    }

    #[tokio::test]
    async fn a_connector_that_is_served_is_healthy() {
        let harness = Harness::start::<Slow>().await.unwrap();
        assert!(harness.is_healthy().await.unwrap());
    }
}
