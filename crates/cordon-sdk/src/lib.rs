//! All that the author of a connector imports: one trait, typed records, one `serve`, one test suite.
//!
//! A connector implements [`Connector`], pushes records into scopes of a [`Sync`], and its `main` is
//! `cordon_sdk::serve::<MyConnector>()`. Columns, gRPC, the socket and the signals stay in here. Its
//! tests call [`conformance!`] and [`testing::sync_once`].
//!
//! Absent on purpose: arrow, the store, and every judgement; a connector reports what it saw.

mod config;
pub mod conformance;
mod connector;
mod description;
mod error;
mod pack;
mod reading;
mod record;
mod routes;
mod serve;
mod service;
mod sync;
pub mod testing;

pub use connector::{Connector, Presence, RecordKey};
pub use cordon_model::{
    AttributeType, RecordKind, RecordType, Row, ScopeOutcome, ScopeReport, Value, Watermark,
};
pub use description::{Attribute, Description, Schema};
pub use error::{Cause, Error};
pub use jiff::Timestamp;
pub use reading::look_up_by_reading;
pub use record::{
    AccountType, App, Entitlement, Grant, Group, IntoValue, Record, Resource, Role, Secret, Status,
    User,
};
pub use serve::serve;
pub use sync::{Scope, Sync};

/// What travels from a sync to the stream that answers for it.
type Message = Result<cordon_wire::v1::SyncMessage, tonic::Status>;
