//! The words of Cordon's domain as types.
//!
//! Every other crate speaks of records, scopes, findings and changes in these types, so that a word
//! means one thing from the wire to the sink. Absent on purpose: I/O, clocks, wire formats.

mod batch;
mod change;
mod finding;
mod name;
mod record;
mod scope;
mod text;

pub use batch::{BATCH_RECORDS_MAX, Batch, BatchError, Bits, Column, TEXT_BYTES_MAX, Values};
pub use change::{Change, ChangeOp, PendingRemoval};
pub use finding::{Finding, Outcome, Severity};
pub use name::{AttributeName, ConnectorName, NameError, SyncNumber, TypeName};
pub use record::{
    AttributeSchema, AttributeType, RecordKind, RecordSchema, RecordType, Row, Value,
};
pub use scope::{ScopeOutcome, ScopeReport, Watermark};
pub use text::is_hostile;

/// Columns that every kind of record knows, by name.
pub mod columns {
    use crate::{AttributeType, RecordKind};

    /// Identifies a resource within its type, or an entitlement within its connector.
    pub const ID: &str = "id";
    /// What people call a resource or an entitlement.
    pub const NAME: &str = "name";
    /// The resource (`type:id`) that a resource belongs to.
    pub const PARENT: &str = "parent";
    /// The resource (`type:id`) that answers for a resource, such as a key's user.
    pub const OWNER: &str = "owner";
    /// The resource (`type:id`) that an entitlement is held on.
    pub const RESOURCE: &str = "resource";
    /// Whether holding an entitlement gives power over others.
    pub const PRIVILEGED: &str = "privileged";
    /// The id of a grant's principal, of the type that the batch names.
    pub const PRINCIPAL: &str = "principal";
    /// The id of the entitlement that a grant gives.
    pub const ENTITLEMENT: &str = "entitlement";
    /// When a grant or a secret ends.
    pub const EXPIRES: &str = "expires";
    /// Who or what a user is: `human`, `service`, `system` or `agent`.
    pub const ACCOUNT_TYPE: &str = "account_type";
    /// Whether a user may act: `active` or `disabled`.
    pub const STATUS: &str = "status";

    /// The columns that every record of a kind has, announced or not: name, type of the values, and
    /// whether a value is required.
    pub fn fixed(kind: RecordKind) -> &'static [(&'static str, AttributeType, bool)] {
        match kind {
            RecordKind::Resource => &[
                (ID, AttributeType::Text, true),
                (NAME, AttributeType::Text, false),
                (PARENT, AttributeType::Text, false),
            ],
            RecordKind::Entitlement => &[
                (ID, AttributeType::Text, true),
                (RESOURCE, AttributeType::Text, true),
                (NAME, AttributeType::Text, false),
                (PRIVILEGED, AttributeType::Boolean, false),
            ],
            RecordKind::Grant => &[
                (PRINCIPAL, AttributeType::Text, true),
                (ENTITLEMENT, AttributeType::Text, true),
                (EXPIRES, AttributeType::Timestamp, false),
            ],
        }
    }

    /// Columns whose text refers to a resource as `type:id`.
    pub const REFERENCES: [&str; 3] = [PARENT, OWNER, RESOURCE];
}
