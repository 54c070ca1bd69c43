//! Leads a call to the service that its path names.
//!
//! Two services and one prefix need no router, and an author's build none of its dependencies.

use std::convert::Infallible;
use std::task::{Context, Poll};

use cordon_wire::v1::connector_server::ConnectorServer;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, StdError, http};
use tonic_health::pb::health_server::{Health, HealthServer};

use crate::Connector;
use crate::service::Service;

/// Where calls for the health service begin.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// A connector and its health.
pub(crate) struct Routes<C: Connector, H> {
    pub(crate) connector: ConnectorServer<Service<C>>,
    pub(crate) health: HealthServer<H>,
}

impl<C: Connector, H> Clone for Routes<C, H> {
    fn clone(&self) -> Self {
        Self { connector: self.connector.clone(), health: self.health.clone() }
    }
}

impl<C, H, B> tower::Service<http::Request<B>> for Routes<C, H>
where
    C: Connector,
    H: Health,
    B: tonic::codegen::Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.uri().path().starts_with(HEALTH) {
            self.health.call(request)
        } else {
            self.connector.call(request)
        }
    }
}
