//! The connection: TLS with certificates on both sides, HTTP/2, and a path for each service.

use std::convert::Infallible;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use anyhow::Context;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::sync::OnceCell;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, StdError, http};
use tonic::transport::{Channel, Endpoint};

use crate::Source;
use crate::fault::Fault;
use crate::service::Shared;
use crate::wire::session::baton_session_service_client::BatonSessionServiceClient;
use crate::wire::session::{GetRequest, SetRequest};
use crate::wire::start::Credential;
use crate::wire::v2::connector_service_server::ConnectorServiceServer;
use crate::wire::v2::entitlements_service_server::EntitlementsServiceServer;
use crate::wire::v2::grants_service_server::GrantsServiceServer;
use crate::wire::v2::resource_types_service_server::ResourceTypesServiceServer;
use crate::wire::v2::resources_service_server::ResourcesServiceServer;

/// An Ed25519 key in PKCS #8, up to its seed.
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// What this side shows and whom it believes.
pub(crate) struct Tls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Tls {
    pub(crate) fn new(credential: &Credential, fault: Fault) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(credential.ca_cert.to_vec()))?;
        let roots = Arc::new(roots);
        let seed = credential.key.get(..32).filter(|_| credential.key.len() == 64);
        let mut key = [&PKCS8[..], seed.context("a key of 64 bytes")?].concat();
        let chain = vec![CertificateDer::from(credential.cert.to_vec())];
        if fault == Fault::OtherCertificate {
            // Somebody else's key: what is signed with it fits no certificate of this start.
            key[16] ^= 1;
        }
        let key = || PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.clone()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let server = server.with_client_cert_verifier(verifier.build()?);
        let signing = provider.key_provider.load_private_key(key())?;
        let certified = Arc::new(rustls::sign::CertifiedKey::new(chain.clone(), signing));
        let mut server = server.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
            rustls::sign::CertifiedKey::clone(&certified),
        )));
        server.alpn_protocols = vec![b"h2".to_vec()];
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
                rustls::sign::CertifiedKey::clone(&certified),
            )));
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { server: Arc::new(server), client: Arc::new(client) })
    }

    pub(crate) fn session_client(&self, port: u32) -> anyhow::Result<SessionClient> {
        let tls = TlsConnector::from(Arc::clone(&self.client));
        Ok(SessionClient { port: u16::try_from(port)?, tls, channel: OnceCell::new() })
    }
}

/// Keeps something with whoever started this, and asks for it.
pub(crate) struct SessionClient {
    port: u16,
    tls: TlsConnector,
    channel: OnceCell<Channel>,
}

impl SessionClient {
    async fn channel(&self) -> Result<Channel, Status> {
        let connect = async || {
            let stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
            stream.set_nodelay(true)?;
            let address = ServerName::from(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST));
            let mut stream = Some(TokioIo::new(self.tls.connect(address, stream).await?));
            let once = tower::service_fn(move |_| {
                let stream = stream.take();
                async move { stream.ok_or(std::io::Error::from(std::io::ErrorKind::NotConnected)) }
            });
            anyhow::Ok(Endpoint::from_static("http://sessions").connect_with_connector(once).await?)
        };
        let channel = self.channel.get_or_try_init(connect).await;
        channel
            .cloned()
            .map_err(|error| Status::failed_precondition(format!("sessions: {error:#}")))
    }

    pub(crate) async fn set(&self, sync: &str, key: &str) -> Result<(), Status> {
        let mut client = BatonSessionServiceClient::new(self.channel().await?);
        let (sync_id, key, prefix) = (sync.to_owned(), key.to_owned(), "tests".to_owned());
        let value = vec![1].into();
        client.set(SetRequest { sync_id, key, value, prefix }).await.map(drop)
    }

    pub(crate) async fn get(&self, sync: &str, key: &str) -> Result<(), Status> {
        let mut client = BatonSessionServiceClient::new(self.channel().await?);
        let (sync_id, key, prefix) = (sync.to_owned(), key.to_owned(), "tests".to_owned());
        let found = client.get(GetRequest { sync_id, key, prefix }).await?.into_inner().found;
        if found { Ok(()) } else { Err(Status::failed_precondition("what was kept is gone")) }
    }
}

/// Serves until the process ends.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Tls,
    source: Arc<Source>,
) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let acceptor = TlsAcceptor::from(tls.server);
    let routes = Routes::new(Shared(source));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (acceptor, routes) = (acceptor.clone(), routes.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let connection = auto::Builder::new(TokioExecutor::new()).http2_only();
            let service = TowerToHyperService::new(routes);
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Leads a call to the service that its path names.
#[derive(Clone)]
struct Routes {
    connector: ConnectorServiceServer<Shared>,
    types: ResourceTypesServiceServer<Shared>,
    resources: ResourcesServiceServer<Shared>,
    entitlements: EntitlementsServiceServer<Shared>,
    grants: GrantsServiceServer<Shared>,
}

impl Routes {
    fn new(shared: Shared) -> Self {
        let bytes = 16 << 20;
        Self {
            connector: ConnectorServiceServer::new(shared.clone()),
            types: ResourceTypesServiceServer::new(shared.clone()),
            resources: ResourcesServiceServer::new(shared.clone()).max_encoding_message_size(bytes),
            entitlements: EntitlementsServiceServer::new(shared.clone()),
            grants: GrantsServiceServer::new(shared),
        }
    }
}

impl<B> tower::Service<http::Request<B>> for Routes
where
    B: tonic::codegen::Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _task: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let path = request.uri().path();
        let service = path.trim_start_matches("/c1.connector.v2.").split('/').next();
        match service.unwrap_or_default() {
            "ResourceTypesService" => self.types.call(request),
            "ResourcesService" => self.resources.call(request),
            "EntitlementsService" => self.entitlements.call(request),
            "GrantsService" => self.grants.call(request),
            _ => self.connector.call(request),
        }
    }
}
