//! Records: what a connector reports, and what a snapshot holds.
//!
//! Three kinds, one shape: a record is a row of named values whose columns its schema lists. Humans,
//! services, keys and agents differ in attributes, not in machinery, so that all of them travel the
//! same gate. Lists and nested values are absent: a list is grants, a nested value is attributes.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AttributeName, NameError, TypeName, columns};

/// What sort of statement a record makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordKind {
    /// A typed thing with an id exists.
    Resource,
    /// Something can be held on a resource.
    Entitlement,
    /// A principal holds an entitlement.
    Grant,
}

impl RecordKind {
    /// The kind in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Entitlement => "entitlement",
            Self::Grant => "grant",
        }
    }
}

/// Kind and type of a record; written `resource.user`, `grant.user`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordType {
    /// The kind.
    pub kind: RecordKind,
    /// A resource's type; of an entitlement the type of its resource, of a grant that of its
    /// principal.
    pub name: TypeName,
}

impl RecordType {
    /// The word by which policies and people count it: a resource by its type, the rest by kind.
    pub fn label(&self) -> &str {
        match self.kind {
            RecordKind::Resource => self.name.as_str(),
            RecordKind::Entitlement => "entitlement",
            RecordKind::Grant => "grant",
        }
    }

    /// The word with which the keys of its records begin; see [`Row::key`].
    pub fn key_type(&self) -> &str {
        match self.kind {
            RecordKind::Resource | RecordKind::Grant => self.name.as_str(),
            RecordKind::Entitlement => "entitlement",
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind.as_str(), self.name)
    }
}

impl From<RecordType> for String {
    fn from(record_type: RecordType) -> String {
        record_type.to_string()
    }
}

impl TryFrom<String> for RecordType {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let (kind, name) = text.split_once('.').unwrap_or((&text, ""));
        let kind = match kind {
            "resource" => RecordKind::Resource,
            "entitlement" => RecordKind::Entitlement,
            "grant" => RecordKind::Grant,
            _ => return Err(NameError::record_type(&text)),
        };
        Ok(Self { kind, name: TypeName::new(name)? })
    }
}

/// One value of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Yes or no.
    Boolean(bool),
    /// A moment, to the microsecond.
    Timestamp(Timestamp),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Boolean(yes) => yes.fmt(f),
            Self::Timestamp(time) => time.fmt(f),
        }
    }
}

/// The type of an attribute's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributeType {
    /// UTF-8 text.
    Text,
    /// 64-bit signed.
    Integer,
    /// Yes or no.
    Boolean,
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
}

/// What a connector announces of one attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeSchema {
    /// Its name.
    pub name: AttributeName,
    /// The type of its values.
    #[serde(rename = "type")]
    pub value_type: AttributeType,
    /// Every record has it.
    #[serde(default)]
    pub required: bool,
    /// Masked wherever people look.
    #[serde(default)]
    pub sensitive: bool,
    /// Names the thing for people and survives a change of id.
    #[serde(default)]
    pub natural_key: bool,
}

/// What a connector announces of one kind and type of record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSchema {
    /// Of which records it speaks.
    pub record_type: RecordType,
    /// Their attributes, fixed columns included.
    pub attributes: Vec<AttributeSchema>,
}

/// One record, by value: for people, sinks and tests. A sync moves columns instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its kind and type.
    pub record_type: RecordType,
    /// Its values by column; an absent value has no entry.
    pub values: BTreeMap<String, Value>,
}

impl Row {
    /// Names the record for people: `user:alice`, `entitlement:sudo:ALL`,
    /// `user:alice -> sudo:ALL`.
    pub fn key(&self) -> String {
        let text = |column: &str| match self.values.get(column) {
            Some(Value::Text(text)) => text.as_str(),
            _ => "",
        };
        let of = self.record_type.key_type();
        match self.record_type.kind {
            RecordKind::Resource | RecordKind::Entitlement => format!("{of}:{}", text(columns::ID)),
            RecordKind::Grant => {
                format!("{of}:{} -> {}", text(columns::PRINCIPAL), text(columns::ENTITLEMENT))
            }
        }
    }
}
