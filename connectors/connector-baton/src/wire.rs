//! Generated from proto/baton.

#![allow(dead_code, missing_docs, unreachable_pub, unused_qualifications, clippy::all)]

/// The connector's own services.
pub(crate) mod v2 {
    tonic::include_proto!("c1.connector.v2");
}

/// Sessions, which it asks its parent for.
pub(crate) mod session {
    tonic::include_proto!("c1.connectorapi.baton.v1");
}

/// How it is started.
pub(crate) mod start {
    tonic::include_proto!("cordon.baton");
}
