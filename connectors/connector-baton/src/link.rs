//! A started Baton connector and the calls to it.
//!
//! Every call has a deadline, is asked again where the source wants patience, and ends at once when
//! the child does. Answers have the size that Baton's own tool takes at most.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_sdk::{Error, Sync};
use hyper_util::rt::TokioIo;
use prost::Message;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use crate::child::Child;
use crate::config::Config;
use crate::credentials::{ADDRESS, Credentials};
use crate::failure::{self, Failed, Next};
use crate::program::Program;
use crate::sessions::Sessions;
use crate::wire::start::ServerConfig;
use crate::wire::v2::connector_service_client::ConnectorServiceClient;
use crate::wire::v2::entitlements_service_client::EntitlementsServiceClient;
use crate::wire::v2::grants_service_client::GrantsServiceClient;
use crate::wire::v2::resource_types_service_client::ResourceTypesServiceClient;
use crate::wire::v2::resources_service_client::ResourcesServiceClient;
use crate::wire::v2::{
    GetMetadataRequest, GetMetadataResponse, ListEntitlementsRequest, ListEntitlementsResponse,
    ListGrantsRequest, ListGrantsResponse, ListResourceTypesRequest, ListResourceTypesResponse,
    ListResourcesRequest, ListResourcesResponse, ListStaticEntitlementsRequest,
    ListStaticEntitlementsResponse, ValidateRequest, ValidateResponse,
};

/// Bytes of an answer: what gRPC takes in Go, and so in Baton's own tool.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Bytes that may be under way.
const WINDOW_BYTES: u32 = 4 << 20;
/// How often a call is asked.
const ATTEMPTS_MAX: u32 = 5;
/// How long an end may take to be noticed after a call has failed for it.
const END_WITHIN: Duration = Duration::from_millis(500);
/// Letters and digits of a sync's name.
const SYNC_ID_CHARACTERS: usize = 27;

/// A started Baton connector. Dropped, it is killed.
pub(crate) struct Link {
    channel: Channel,
    child: Child,
    _sessions: AbortOnDropHandle<()>,
    /// What it calls this sync.
    pub(crate) sync_id: String,
    /// SHA-256 of its program.
    pub(crate) digest: String,
    call_within: Duration,
    calls: AtomicU64,
    /// Microseconds spent waiting for answers.
    waited: AtomicU64,
}

impl Link {
    /// Starts it and waits until it answers that its settings can be used.
    pub(crate) async fn start(config: &Config) -> Result<(Self, ValidateResponse), Error> {
        let link = Self::connect(config).await?;
        let validate = link.call("Validate", None, || {
            let mut service = ConnectorServiceClient::new(link.channel.clone());
            async move { service.validate(ValidateRequest {}).await }
        });
        match validate.await {
            Ok(valid) => Ok((link, valid)),
            Err((failed, code)) => {
                let error = failure::whole("Validate", failed, code);
                link.end().await;
                Err(error)
            }
        }
    }

    async fn connect(config: &Config) -> Result<Self, Error> {
        let (path, sha256) = (config.program.clone(), config.sha256.clone());
        let reading =
            tokio::task::spawn_blocking(move || Program::read(&path, sha256.as_deref())).await;
        let program = reading
            .map_err(|error| Error::bug("reading the program failed").caused_by(error))??;
        let credentials = Credentials::make()
            .map_err(|error| Error::bug("no credentials for the child").caused_by(error))?;
        let (listener, port) = listen()?;
        let (session_listener, session_port) = listen()?;
        let sessions = Sessions::default()
            .serve(session_listener, Arc::clone(&credentials.server))
            .map_err(|error| Error::unavailable("cannot serve sessions").caused_by(error))?;
        let start = ServerConfig {
            credential: Some(credentials.child),
            listen_port: port.into(),
            session_store_listen_port: session_port.into(),
        };
        let line = STANDARD.encode(start.encode_to_vec());
        let child = Child::start(config, &program, listener, &line).await?;
        let channel = tokio::select! {
            channel = channel(port, credentials.client) => channel,
            error = child.ended() => Err(error),
            () = tokio::time::sleep(config.start_within()) => {
                let seconds = config.start_seconds_max;
                let message = format!("the Baton connector does not answer within {seconds} s");
                Err(Error::unavailable(message))
            }
        };
        match channel {
            Ok(channel) => Ok(Self {
                channel,
                child,
                _sessions: sessions,
                sync_id: sync_id(),
                digest: program.digest,
                call_within: config.call_within(),
                calls: AtomicU64::new(0),
                waited: AtomicU64::new(0),
            }),
            Err(error) => {
                // The connection to a process that died fails a moment before its death is told,
                // and how it died says more.
                let died = tokio::time::timeout(END_WITHIN, child.ended()).await;
                child.end().await;
                Err(died.unwrap_or(error))
            }
        }
    }

    /// How many calls were answered, and how long it was waited for them.
    pub(crate) fn waited(&self) -> (u64, Duration) {
        let micros = Duration::from_micros(self.waited.load(Ordering::Relaxed));
        (self.calls.load(Ordering::Relaxed), micros)
    }

    /// Kills it and waits until nothing of it is left.
    pub(crate) async fn end(self) {
        self.child.end().await;
    }

    /// Asks until there is an answer or no hope of one. Waits are told to the sync, where there is
    /// one. The code is that of the last failure.
    async fn call<A, F>(
        &self,
        what: &str,
        sync: Option<&Sync>,
        ask: impl Fn() -> F,
    ) -> Result<A, (Failed, Option<Code>)>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let asked = Instant::now();
            let answer = tokio::select! {
                answer = tokio::time::timeout(self.call_within, ask()) => answer,
                error = self.child.ended() => return Err((Failed::Sync(error), None)),
            };
            let micros = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.waited.fetch_add(micros, Ordering::Relaxed);
            self.calls.fetch_add(1, Ordering::Relaxed);
            let Ok(answer) = answer else {
                let seconds = self.call_within.as_secs();
                let error = Error::unavailable(format!("{what}: no answer within {seconds} s"));
                return Err((Failed::Sync(error), None));
            };
            let status = match answer {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => status,
            };
            // The connection of a process that died fails a moment before its death is told.
            if let Ok(error) =
                tokio::time::timeout(self.patience(&status), self.child.ended()).await
            {
                return Err((Failed::Sync(error), None));
            }
            match failure::next(what, &status, attempt, ATTEMPTS_MAX) {
                Next::Fail(failed) => return Err((failed, Some(status.code()))),
                Next::Again(wait) => {
                    tracing::info!(call = what, code = ?status.code(), ?wait, "asking again");
                    let waited = match sync {
                        Some(sync) => sync.throttled(wait).await,
                        None => {
                            tokio::time::sleep(wait).await;
                            Ok(())
                        }
                    };
                    waited.map_err(|error| (Failed::Sync(error), None))?;
                }
            }
        }
    }

    /// Only what the connection itself reports may be a death that is not told yet.
    fn patience(&self, status: &Status) -> Duration {
        let own = std::error::Error::source(status).is_some();
        if own { END_WITHIN } else { Duration::ZERO }
    }
}

/// Makes a method of one call of the protocol.
macro_rules! calls {
    ($($method:ident: $client:ident, $request:ident => $response:ident;)*) => {
        impl Link {$(
            pub(crate) async fn $method(
                &self,
                what: &str,
                sync: Option<&Sync>,
                request: $request,
            ) -> Result<$response, (Failed, Option<Code>)> {
                self.call(what, sync, || {
                    let client = $client::new(self.channel.clone());
                    let mut client = client.max_decoding_message_size(ANSWER_BYTES_MAX);
                    let request = request.clone();
                    async move { client.$method(request).await }
                })
                .await
            }
        )*}
    };
}

calls! {
    get_metadata: ConnectorServiceClient, GetMetadataRequest => GetMetadataResponse;
    list_resource_types: ResourceTypesServiceClient,
        ListResourceTypesRequest => ListResourceTypesResponse;
    list_resources: ResourcesServiceClient, ListResourcesRequest => ListResourcesResponse;
    list_entitlements: EntitlementsServiceClient,
        ListEntitlementsRequest => ListEntitlementsResponse;
    list_static_entitlements: EntitlementsServiceClient,
        ListStaticEntitlementsRequest => ListStaticEntitlementsResponse;
    list_grants: GrantsServiceClient, ListGrantsRequest => ListGrantsResponse;
}

/// A socket inside this network, and its port.
fn listen() -> Result<(TcpListener, u16), Error> {
    let listening = TcpListener::bind((ADDRESS, 0))
        .and_then(|listener| listener.local_addr().map(|address| (listener, address.port())));
    listening.map_err(|error| not_allowed("cannot listen", error))
}

fn not_allowed(what: &str, error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        let message = format!(
            "{what} on the loopback, which a Baton connector is spoken with over; add `loopback = \
             true` to `allow`"
        );
        return Error::bad_config("", message).caused_by(error);
    }
    Error::unavailable(format!("{what} on the loopback")).caused_by(error)
}

/// The connection to the child, which answers when it is ready. One that broke is not made again.
async fn channel(port: u16, tls: Arc<ClientConfig>) -> Result<Channel, Error> {
    let stream = TcpStream::connect((ADDRESS, port))
        .await
        .map_err(|error| not_allowed("cannot connect", error))?;
    let broken = |error: Error| move |cause: std::io::Error| error.caused_by(cause);
    // Without it each call waits for an acknowledgement that is held back.
    stream.set_nodelay(true).map_err(broken(Error::unavailable("cannot set up the connection")))?;
    let stream = TlsConnector::from(tls)
        .connect(ServerName::from(std::net::IpAddr::V4(ADDRESS)), stream)
        .await
        .map_err(broken(Error::bug("the Baton connector does not speak TLS as it should")))?;
    let mut stream = Some(TokioIo::new(stream));
    Endpoint::from_static("http://127.0.0.1")
        .origin("https://127.0.0.1".parse().unwrap_or_default())
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .connect_with_connector(tower::service_fn(move |_| {
            let stream = stream.take();
            async move { stream.ok_or(std::io::Error::from(std::io::ErrorKind::NotConnected)) }
        }))
        .await
        .map_err(|error| Error::bug("the Baton connector does not answer").caused_by(error))
}

/// A name that every version takes: letters and digits, and no number above those that it may hold.
fn sync_id() -> String {
    let rest = std::iter::repeat_with(fastrand::alphanumeric).take(SYNC_ID_CHARACTERS - 1);
    std::iter::once('1').chain(rest).collect()
}
