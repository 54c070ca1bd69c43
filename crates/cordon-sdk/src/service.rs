//! Serves a connector over the wire.
//!
//! Here the author's code meets the supervisor: versions are compared, a panic becomes a typed
//! error, one sync runs at a time, and a stream that nobody reads any more cancels its sync.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cordon_model::{RecordSchema, RecordType, TypeName};
use cordon_wire::v1::connector_server::{Connector as Rpc, ConnectorServer};
use cordon_wire::{MESSAGE_BYTES_MAX, PROTOCOL, v1};
use futures::{FutureExt, Stream};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::Health;

use crate::routes::Routes;
use crate::{Connector, Description, Error, Message, Presence, RecordKey, Sync, config};

/// Messages between a sync and its stream: enough that packing and sending overlap, little enough
/// that a slow supervisor is felt at once.
const OUTBOX_MESSAGES: usize = 4;
/// How long a cancelled sync may take to notice.
const CANCEL_GRACE: Duration = Duration::from_secs(2);
/// Keys of one lookup, at most.
const LOOKUP_KEYS_MAX: usize = 10_000;

/// One connector, before and after it is configured.
pub(crate) struct Service<C: Connector> {
    description: Description,
    schemas: Arc<[RecordSchema]>,
    configuration_schema: String,
    connector: OnceLock<Arc<C>>,
    configuring: tokio::sync::Mutex<()>,
    syncing: Arc<Semaphore>,
    stop: CancellationToken,
}

impl<C: Connector> Service<C> {
    pub(crate) fn new(stop: CancellationToken) -> Result<Self, Error> {
        let description = C::describe();
        let schemas = description.schemas()?.into();
        let configuration_schema = serde_json::to_string(&schemars::schema_for!(C::Config))
            .map_err(|error| Error::bug("the configuration has no schema").caused_by(error))?;
        Ok(Self {
            description,
            schemas,
            configuration_schema,
            connector: OnceLock::new(),
            configuring: tokio::sync::Mutex::new(()),
            syncing: Arc::new(Semaphore::new(1)),
            stop,
        })
    }

    /// All that is served on a connection: the connector and its health.
    pub(crate) async fn routes(self) -> Routes<C, impl Health> {
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_serving::<ConnectorServer<Self>>().await;
        let server = ConnectorServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Routes { connector: server, health }
    }

    fn connector(&self) -> Result<Arc<C>, Error> {
        self.connector.get().cloned().ok_or_else(|| Error::bug("the connector is not configured"))
    }

    async fn open(&self, request: v1::ConfigureRequest) -> Result<(), Error> {
        if request.protocol != PROTOCOL {
            return Err(Error::bug(format!(
                "protocol {} is asked for, but only {PROTOCOL} is spoken here",
                request.protocol
            )));
        }
        let _alone = self.configuring.lock().await;
        if self.connector.get().is_some() {
            return Err(Error::bug("the connector is configured already"));
        }
        let config = config::parse(&request.configuration)?;
        let connector = catch_panic(C::open(config)).await?;
        // Nobody else sets it while the lock is held.
        let _ = self.connector.set(Arc::new(connector));
        Ok(())
    }

    async fn look_up(&self, keys: &[v1::RecordKey]) -> Result<Vec<Presence>, Error> {
        if keys.len() > LOOKUP_KEYS_MAX {
            let count = keys.len();
            return Err(Error::bug(format!("{count} keys, more than {LOOKUP_KEYS_MAX}")));
        }
        let keys = keys.iter().map(key_from_wire).collect::<Result<Vec<_>, _>>()?;
        let connector = self.connector()?;
        let presences = catch_panic(connector.lookup(&keys)).await?;
        if presences.len() != keys.len() {
            return Err(Error::bug(format!(
                "{} keys were asked for, {} answers came",
                keys.len(),
                presences.len()
            )));
        }
        Ok(presences)
    }
}

#[tonic::async_trait]
impl<C: Connector> Rpc for Service<C> {
    type SyncStream = Pin<Box<dyn Stream<Item = Message> + Send>>;

    async fn describe(
        &self,
        _request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        let schema = self.configuration_schema.clone();
        Ok(Response::new(self.description.to_wire(&self.schemas, schema)))
    }

    async fn configure(
        &self,
        request: Request<v1::ConfigureRequest>,
    ) -> Result<Response<v1::ConfigureResponse>, Status> {
        self.open(request.into_inner()).await.map_err(|error| error.to_status())?;
        Ok(Response::new(v1::ConfigureResponse {}))
    }

    async fn check(
        &self,
        _request: Request<v1::CheckRequest>,
    ) -> Result<Response<v1::CheckResponse>, Status> {
        let connector = self.connector().map_err(|error| error.to_status())?;
        let notes = catch_panic(connector.check()).await.map_err(|error| error.to_status())?;
        Ok(Response::new(v1::CheckResponse { notes }))
    }

    async fn sync(
        &self,
        request: Request<v1::SyncRequest>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let request = request.into_inner();
        if request.mode() == v1::SyncMode::Incremental {
            return Err(Error::bug("incremental syncs are not announced").to_status());
        }
        let connector = self.connector().map_err(|error| error.to_status())?;
        // A sync that was cancelled just now may still be ending.
        let turn = Arc::clone(&self.syncing).acquire_owned();
        let turn = tokio::time::timeout(CANCEL_GRACE * 2, turn)
            .await
            .map_err(|_| Error::unavailable("another sync is running").to_status())?
            .map_err(|_| Error::unavailable("the connector is stopping").to_status())?;
        let (outbox, stream) = mpsc::channel(OUTBOX_MESSAGES);
        let cancel = self.stop.child_token();
        let sync = Sync::new(request.sync, Arc::clone(&self.schemas), outbox, cancel);
        tokio::spawn(async move {
            run(connector, sync).await;
            drop(turn);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn lookup(
        &self,
        request: Request<v1::LookupRequest>,
    ) -> Result<Response<v1::LookupResponse>, Status> {
        if !self.description.can_look_up() {
            return Err(Status::unimplemented("this connector does not look up records"));
        }
        let presences = self.look_up(&request.into_inner().keys).await;
        let presences = presences.map_err(|error| error.to_status())?;
        let presences = presences.into_iter().map(|presence| match presence {
            Presence::Unknown => v1::Presence::Unspecified.into(),
            Presence::Present => v1::Presence::Present.into(),
            Presence::Absent => v1::Presence::Absent.into(),
        });
        Ok(Response::new(v1::LookupResponse { presences: presences.collect() }))
    }

    async fn apply(
        &self,
        _request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        Err(Status::unimplemented("this connector does not change its source"))
    }
}

/// How a sync's code came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself.
    Returned,
    /// It was cancelled, did not notice in time and was dropped.
    Dropped,
}

/// Runs one sync to its end, whatever the author's code does.
pub(crate) async fn run<C: Connector>(connector: Arc<C>, mut sync: Sync) -> Ended {
    let shared = sync.shared();
    let cancel = shared.cancel().clone();
    let mut code = tokio::spawn(async move { catch_panic(connector.sync(&mut sync)).await });
    let noticed = async {
        tokio::select! {
            () = shared.stream_closed() => cancel.cancel(),
            () = cancel.cancelled() => {}
        }
        tokio::time::sleep(CANCEL_GRACE).await;
    };
    let (result, ended) = tokio::select! {
        result = &mut code => (result, Ended::Returned),
        () = noticed => {
            tracing::warn!("the sync did not notice its cancellation and is dropped");
            code.abort();
            (code.await, Ended::Dropped)
        }
    };
    // Only an abort is left: panics are caught inside.
    let result = result.unwrap_or(Err(Error::Cancelled));
    if let Err(error) = &result {
        tracing::warn!(error = error.chain(), "the sync failed");
    }
    shared.end(result).await;
    ended
}

/// Makes a panic an error that names it.
async fn catch_panic<T>(code: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    AssertUnwindSafe(code).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        Err(Error::bug(format!("the connector panicked: {text}")))
    })
}

fn key_from_wire(key: &v1::RecordKey) -> Result<RecordKey, Error> {
    let kind = cordon_wire::batch::kind_from_wire(key.kind)
        .ok_or_else(|| Error::bug(format!("a key of unknown kind {}", key.kind)))?;
    let name = TypeName::new(&key.r#type)
        .map_err(|error| Error::bug("a key without a type").caused_by(error))?;
    Ok(RecordKey {
        record_type: RecordType { kind, name },
        id: key.id.clone(),
        entitlement: key.entitlement.clone(),
    })
}
