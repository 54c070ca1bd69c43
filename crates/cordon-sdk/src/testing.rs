//! Runs a connector inside a test, over a real socket and the real wire, and collects what it says.
//!
//! What is collected is what a supervisor would have read: the batches went through their bytes and
//! back. A stream that breaks the protocol is an [`Error::Bug`] here as it is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use cordon_model::{Batch, Row, ScopeOutcome, ScopeReport, Value, Values, Watermark};
use cordon_wire::v1::connector_client::ConnectorClient;
use cordon_wire::v1::connector_server::ConnectorServer;
use cordon_wire::v1::{self, sync_message::Message as Payload};
use cordon_wire::{MESSAGE_BYTES_MAX, PROTOCOL};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::UnixStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::{Connector, Error, Presence, RecordKey, serve};

/// Messages between a sync that is drained and its drain.
const DRAIN_MESSAGES: usize = 4;

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

/// The supervisor's end of a connector's socket, and the connector itself when it is served inside
/// this process.
pub struct Harness {
    client: ConnectorClient<Channel>,
    channel: Channel,
    syncs: u64,
    stop: Option<DropGuard>,
}

impl Harness {
    /// Serves a connector that is not configured yet.
    pub async fn start<C: Connector>() -> Result<Self, Error> {
        let (near, far) = UnixStream::pair()
            .map_err(|error| Error::unavailable("no pair of sockets").caused_by(error))?;
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        C::describe().schemas()?;
        tokio::spawn(async move {
            if let Err(error) = serve::serve_on::<C, _>(far, stop).await {
                tracing::debug!(%error, "the served connection ended");
            }
        });
        let mut harness = Self::over(near).await?;
        harness.stop = Some(guard);
        Ok(harness)
    }

    /// Speaks to a connector at the other end of that socket, such as another process.
    pub async fn connect(socket: std::os::unix::net::UnixStream) -> Result<Self, Error> {
        let socket = socket.set_nonblocking(true).and_then(|()| UnixStream::from_std(socket));
        let socket = socket.map_err(|error| Error::unavailable("no socket").caused_by(error))?;
        Self::over(socket).await
    }

    async fn over(socket: UnixStream) -> Result<Self, Error> {
        let mut socket = Some(TokioIo::new(socket));
        let channel = Endpoint::from_static("http://connector")
            .connect_with_connector(tower::service_fn(move |_| {
                // A connection that broke is not made a second time.
                let socket = socket.take();
                async move { socket.ok_or(std::io::Error::from(std::io::ErrorKind::NotConnected)) }
            }))
            .await
            .map_err(|error| Error::unavailable("the connector is not served").caused_by(error))?;
        let client = ConnectorClient::new(channel.clone());
        let client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { client, channel, syncs: 0, stop: None })
    }

    /// Serves a connector and configures it.
    pub async fn configured<C: Connector>(config: &serde_json::Value) -> Result<Self, Error> {
        let mut harness = Self::start::<C>().await?;
        harness.configure(config).await?;
        Ok(harness)
    }

    /// Hands the configuration over.
    pub async fn configure(&mut self, config: &serde_json::Value) -> Result<(), Error> {
        let request =
            v1::ConfigureRequest { protocol: PROTOCOL, configuration: config.to_string() };
        self.client.configure(request).await.map_err(|status| Error::from_status(&status))?;
        Ok(())
    }

    /// Asks whether the source can be reached.
    pub async fn check(&mut self) -> Result<Vec<String>, Error> {
        let answer = self.client.check(v1::CheckRequest {}).await;
        Ok(answer.map_err(|status| Error::from_status(&status))?.into_inner().notes)
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
        let mut collector = Collector::default();
        let result = self.collect(&mut collector).await;
        (collector.collected, result)
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
        let answer = self.client.lookup(v1::LookupRequest { keys }).await;
        let answer = answer.map_err(|status| Error::from_status(&status))?.into_inner();
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
        let answer = self.client.describe(v1::DescribeRequest {}).await;
        Ok(answer.map_err(|status| Error::from_status(&status))?.into_inner())
    }

    async fn begin_sync(&mut self) -> Result<tonic::Streaming<v1::SyncMessage>, Error> {
        self.syncs += 1;
        let mode = v1::SyncMode::Full.into();
        let request = v1::SyncRequest { sync: self.syncs, mode, checkpoint: Vec::new() };
        let answer = self.client.sync(request).await;
        Ok(answer.map_err(|status| Error::from_status(&status))?.into_inner())
    }

    async fn collect(&mut self, collector: &mut Collector) -> Result<(), Error> {
        let mut stream = self.begin_sync().await?;
        loop {
            let message = stream.message().await.map_err(|status| Error::from_status(&status))?;
            let Some(message) = message.and_then(|message| message.message) else {
                return Err(Error::bug("the stream ended without SyncEnd"));
            };
            if let Payload::SyncEnd(end) = &message {
                return collector.end(end);
            }
            collector.take(message)?;
        }
    }
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

#[derive(Default)]
struct Collector {
    collected: Collected,
    is_closed: Vec<bool>,
}

impl Collector {
    fn take(&mut self, message: Payload) -> Result<(), Error> {
        match message {
            Payload::ScopeBegin(begin) => self.begin(begin),
            Payload::Batch(batch) => {
                let batch = cordon_wire::batch::from_wire(batch)
                    .map_err(|error| Error::bug("a batch cannot be read").caused_by(error))?;
                self.batch(&batch)
            }
            Payload::ScopeEnd(end) => self.end_scope(&end),
            Payload::Progress(_) | Payload::Checkpoint(_) | Payload::SyncEnd(_) => Ok(()),
        }
    }

    fn begin(&mut self, begin: v1::ScopeBegin) -> Result<(), Error> {
        if begin.scope as usize != self.collected.scopes.len() {
            return Err(Error::bug(format!("scope {} is opened out of order", begin.scope)));
        }
        if self.collected.scope(&begin.name).is_some() {
            return Err(Error::bug(format!("scope {:?} is opened twice", begin.name)));
        }
        self.is_closed.push(false);
        self.collected.scopes.push(ScopeReport {
            name: begin.name,
            outcome: ScopeOutcome::Incomplete { reason: "never closed".to_owned() },
            received: 0,
            declared: 0,
            source_total: None,
            watermark: Watermark::default(),
        });
        Ok(())
    }

    /// The place of a scope that is open.
    fn open(&self, scope: u32) -> Result<usize, Error> {
        match self.is_closed.get(scope as usize) {
            Some(false) => Ok(scope as usize),
            Some(true) => Err(Error::bug(format!("scope {scope} goes on after its end"))),
            None => Err(Error::bug(format!("scope {scope} was never opened"))),
        }
    }

    fn batch(&mut self, batch: &Batch) -> Result<(), Error> {
        let place = self.open(batch.scope())?;
        for index in 0..batch.records() {
            self.collected.rows.push(row(batch, index)?);
            self.collected.scope_of_row.push(place);
        }
        self.collected.scopes[place].received += batch.records() as u64;
        Ok(())
    }

    fn end_scope(&mut self, end: &v1::ScopeEnd) -> Result<(), Error> {
        let place = self.open(end.scope)?;
        let bad = |error| Error::bug("the end of a scope cannot be read").caused_by(error);
        let outcome =
            cordon_wire::scope::outcome_from_wire(end).map_err(|error| bad(Box::new(error)))?;
        let watermark = cordon_wire::scope::watermark_from_wire(end.watermark.as_ref())
            .map_err(|error| bad(Box::new(error)))?;
        self.is_closed[place] = true;
        let scope = &mut self.collected.scopes[place];
        scope.outcome = outcome;
        scope.declared = end.records;
        scope.source_total = end.source_total;
        scope.watermark = watermark;
        if scope.declared != scope.received {
            return Err(Error::bug(format!(
                "scope {:?} declares {} records, {} came",
                scope.name, scope.declared, scope.received
            )));
        }
        Ok(())
    }

    fn end(&mut self, end: &v1::SyncEnd) -> Result<(), Error> {
        if let Some(open) = self.is_closed.iter().position(|closed| !closed) {
            let name = &self.collected.scopes[open].name;
            return Err(Error::bug(format!("scope {name:?} is open at the end of the sync")));
        }
        let (scopes, records) = (self.collected.scopes.len(), self.collected.rows.len());
        if (end.scopes as usize, end.records) != (scopes, records as u64) {
            return Err(Error::bug(format!(
                "the sync declares {} scopes and {} records, {scopes} and {records} came",
                end.scopes, end.records
            )));
        }
        Ok(())
    }
}

fn row(batch: &Batch, index: usize) -> Result<Row, Error> {
    let mut values = BTreeMap::new();
    for column in batch.columns() {
        if !column.is_present(index) {
            continue;
        }
        let value = match &column.values {
            Values::Text { .. } => Value::Text(column.text(index).unwrap_or_default().to_owned()),
            Values::Integer(numbers) => Value::Integer(numbers[index]),
            Values::Boolean(bits) => Value::Boolean(bits.get(index)),
            Values::Timestamp(times) => {
                let time = Timestamp::from_microsecond(times[index])
                    .map_err(|error| Error::bug("a timestamp is no date").caused_by(error))?;
                Value::Timestamp(time)
            }
        };
        values.insert(column.name.to_string(), value);
    }
    Ok(Row { record_type: batch.record_type().clone(), values })
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
