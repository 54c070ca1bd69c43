//! The columns of one kind and type: fixed ones and those that the connector announced.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use cordon_model::{AttributeType, RecordKind, RecordSchema, RecordType, columns};

use crate::limits::COLUMNS_MAX;
use crate::manifest::FileColumn;
use crate::stage::StageError;

/// The scope that reported a row.
pub(crate) const SCOPE: &str = "_scope";
/// The sync that last confirmed a row; null: the sync of the snapshot that first held the file.
pub(crate) const CONFIRMED: &str = "_confirmed";

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypeColumn {
    pub(crate) name: String,
    pub(crate) value_type: AttributeType,
    pub(crate) required: bool,
    /// What precedes its values in a row's hash.
    pub(crate) head: Vec<u8>,
}

impl TypeColumn {
    fn new(name: &str, value_type: AttributeType, required: bool) -> Self {
        Self { name: name.to_owned(), value_type, required, head: head(name, value_type) }
    }

    /// Whether its texts point at resources.
    pub(crate) fn is_reference(&self) -> bool {
        columns::REFERENCES.contains(&self.name.as_str())
    }
}

/// All columns of a kind and type, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypeColumns(Vec<TypeColumn>);

impl Deref for TypeColumns {
    type Target = [TypeColumn];

    fn deref(&self) -> &[TypeColumn] {
        &self.0
    }
}

impl TypeColumns {
    /// The fixed columns of a kind together with what the connector announced.
    pub(crate) fn announced(schema: &RecordSchema) -> Result<Self, StageError> {
        let record_type = &schema.record_type;
        let found = schema.attributes.len();
        if found > COLUMNS_MAX {
            let what = "columns of a type";
            return Err(StageError::TooMuchAnnounced { what, found, max: COLUMNS_MAX });
        }
        let mut by_name: BTreeMap<&str, TypeColumn> = columns::fixed(record_type.kind)
            .iter()
            .map(|(name, value_type, required)| {
                (*name, TypeColumn::new(name, *value_type, *required))
            })
            .collect();
        let mut seen = std::collections::BTreeSet::new();
        for attribute in &schema.attributes {
            let name = attribute.name.as_str();
            let column = || name.to_owned();
            if !seen.insert(name) {
                let record_type = record_type.clone();
                return Err(StageError::RepeatedColumn { record_type, column: column() });
            }
            let given = by_name
                .get(name)
                .map(|fixed| fixed.value_type)
                .or_else(|| columns::REFERENCES.contains(&name).then_some(AttributeType::Text));
            if let Some(expected) = given.filter(|given| *given != attribute.value_type) {
                return Err(StageError::WrongType {
                    record_type: record_type.clone(),
                    column: column(),
                    expected,
                    found: attribute.value_type,
                });
            }
            let entry = by_name
                .entry(name)
                .or_insert_with(|| TypeColumn::new(name, attribute.value_type, false));
            entry.required |= attribute.required;
        }
        Ok(Self(by_name.into_values().collect()))
    }

    /// The columns of a stored file.
    pub(crate) fn stored(columns: &[FileColumn]) -> Self {
        let columns = columns.iter();
        Self(columns.map(|c| TypeColumn::new(&c.name, c.value_type, false)).collect())
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.0.binary_search_by(|column| column.name.as_str().cmp(name)).ok()
    }

    /// The columns of a file: attributes, then scope and confirmation.
    pub(crate) fn file_schema(&self, scope: DataType) -> SchemaRef {
        let attributes = self.0.iter().map(|c| Field::new(&c.name, data_type(c.value_type), true));
        let added = [Field::new(SCOPE, scope, false), Field::new(CONFIRMED, DataType::Int64, true)];
        Arc::new(Schema::new(attributes.chain(added).collect::<Vec<_>>()))
    }
}

/// The columns whose texts name a record: one of a resource or entitlement, two of a grant.
pub(crate) fn key_columns(record_type: &RecordType) -> &'static [&'static str] {
    match record_type.kind {
        RecordKind::Resource | RecordKind::Entitlement => &[columns::ID],
        RecordKind::Grant => &[columns::PRINCIPAL, columns::ENTITLEMENT],
    }
}

/// Names a record for people, as [`cordon_model::Row::key`] does.
pub(crate) fn key_text(record_type: &RecordType, first: &str, second: &str) -> String {
    // A well-formed id is never longer; a hostile one is shown short.
    let short = |text: &str| -> String { text.chars().take(1024).collect() };
    let (first, second) = (short(first), short(second));
    match record_type.kind {
        RecordKind::Resource => format!("{}:{first}", record_type.name),
        RecordKind::Entitlement => format!("entitlement:{first}"),
        RecordKind::Grant => format!("{}:{first} -> {second}", record_type.name),
    }
}

pub(crate) fn data_type(value_type: AttributeType) -> DataType {
    match value_type {
        AttributeType::Text => DataType::Utf8,
        AttributeType::Integer => DataType::Int64,
        AttributeType::Boolean => DataType::Boolean,
        AttributeType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

/// Columns of most rows have a code instead of their name, so that a grant fits one block of
/// SHA-256. Names are at most 64 bytes, so no length of a name meets a code.
const CODES: [(&str, u8); 9] = [
    (columns::ID, 0x80),
    (columns::NAME, 0x81),
    (columns::PARENT, 0x82),
    (columns::OWNER, 0x83),
    (columns::RESOURCE, 0x84),
    (columns::PRIVILEGED, 0x85),
    (columns::PRINCIPAL, 0x86),
    (columns::ENTITLEMENT, 0x87),
    (columns::EXPIRES, 0x88),
];

fn head(name: &str, value_type: AttributeType) -> Vec<u8> {
    let mut head = match CODES.iter().find(|(known, _)| *known == name) {
        Some((_, code)) => vec![*code],
        None => {
            // An attribute's name has at most 64 bytes; a stored one was such a name.
            let mut head = vec![name.len().min(0x7f) as u8];
            head.extend_from_slice(name.as_bytes());
            head
        }
    };
    head.push(match value_type {
        AttributeType::Text => b't',
        AttributeType::Integer => b'i',
        AttributeType::Boolean => b'b',
        AttributeType::Timestamp => b's',
    });
    head
}
