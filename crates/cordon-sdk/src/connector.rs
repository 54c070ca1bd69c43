//! The one trait that a connector is.

use std::future::Future;

use cordon_model::RecordType;

use crate::{Description, Error, Sync};

/// A connector: opened once with its configuration, then asked to check or to sync, any number of
/// times, one sync at a time.
pub trait Connector: Send + std::marker::Sync + Sized + 'static {
    /// The configuration. Refuse unknown keys: `#[serde(deny_unknown_fields)]`.
    type Config: serde::de::DeserializeOwned + schemars::JsonSchema + Send;

    /// What this connector is and what it can report.
    fn describe() -> Description;

    /// Takes the configuration. Fields that cannot be used are [`Error::BadConfig`]; the source need
    /// not answer yet.
    fn open(config: Self::Config) -> impl Future<Output = Result<Self, Error>> + Send;

    /// Can the source be reached with these credentials? Says in words what they may see.
    fn check(&self) -> impl Future<Output = Result<Vec<String>, Error>> + Send;

    /// Reports the source once, scope by scope.
    fn sync(&self, sync: &mut Sync) -> impl Future<Output = Result<(), Error>> + Send;

    /// The source's word on single records, one for each key, in the order of the keys. Called only
    /// when the description [`looks_up`](Description::looks_up), also while nothing else runs.
    ///
    /// It decides whether a loss is believed, so it says [`Presence::Absent`] only where the source
    /// itself denies the record; a right that is missing, a page that did not come or a record of
    /// another kind is [`Presence::Unknown`]. A source that can only be read whole is read again, see
    /// [`look_up_by_reading`](crate::look_up_by_reading).
    fn lookup(
        &self,
        keys: &[RecordKey],
    ) -> impl Future<Output = Result<Vec<Presence>, Error>> + Send {
        let _ = keys;
        async { Err(Error::bug("the description looks up records, but `lookup` is not written")) }
    }
}

/// Names one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordKey {
    /// Its kind and type.
    pub record_type: RecordType,
    /// The id of a resource or an entitlement, or a grant's principal.
    pub id: String,
    /// A grant's entitlement; else empty.
    pub entitlement: String,
}

/// The source's word on one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The source did not say.
    Unknown,
    /// It is there.
    Present,
    /// It is not there.
    Absent,
}
