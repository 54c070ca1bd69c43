//! What a connector says of itself, on the wire.

use cordon_model::{
    AttributeName, AttributeSchema, AttributeType, NameError, RecordSchema, RecordType, TypeName,
};

use crate::batch::{kind_from_wire, kind_to_wire};
use crate::v1;

/// Schemas of one connector, at most.
const SCHEMAS_MAX: usize = 256;
/// Attributes of one schema, at most.
const ATTRIBUTES_MAX: usize = 256;

/// Why a schema cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireSchemaError {
    /// A name is not one.
    #[error("bad name")]
    Name(#[from] NameError),
    /// The kind is none of the known ones.
    #[error("unknown record kind {0}")]
    Kind(i32),
    /// The type is none of the known ones.
    #[error("attribute {name} has unknown type {value}")]
    Type {
        /// The attribute.
        name: AttributeName,
        /// The number it came with.
        value: i32,
    },
    /// A list is longer than it may be.
    #[error("{count} {what}, more than {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// Two schemas speak of the same records, or of the same attribute.
    #[error("{0} is announced twice")]
    Twice(String),
}

/// Reads what a connector can report.
pub fn schemas_from_wire(
    schemas: &[v1::RecordSchema],
) -> Result<Vec<RecordSchema>, WireSchemaError> {
    check_count("schemas", schemas.len(), SCHEMAS_MAX)?;
    let mut read: Vec<RecordSchema> = Vec::with_capacity(schemas.len());
    for schema in schemas {
        let schema = schema_from_wire(schema)?;
        if read.iter().any(|earlier| earlier.record_type == schema.record_type) {
            return Err(WireSchemaError::Twice(schema.record_type.to_string()));
        }
        read.push(schema);
    }
    Ok(read)
}

fn schema_from_wire(schema: &v1::RecordSchema) -> Result<RecordSchema, WireSchemaError> {
    check_count("attributes", schema.attributes.len(), ATTRIBUTES_MAX)?;
    let kind = kind_from_wire(schema.kind).ok_or(WireSchemaError::Kind(schema.kind))?;
    let record_type = RecordType { kind, name: TypeName::new(&schema.r#type)? };
    let mut attributes: Vec<AttributeSchema> = Vec::with_capacity(schema.attributes.len());
    for attribute in &schema.attributes {
        let name = AttributeName::new(&attribute.name)?;
        if attributes.iter().any(|earlier| earlier.name == name) {
            return Err(WireSchemaError::Twice(format!("{record_type} {name}")));
        }
        let value_type = match v1::AttributeType::try_from(attribute.r#type) {
            Ok(v1::AttributeType::Text) => AttributeType::Text,
            Ok(v1::AttributeType::Integer) => AttributeType::Integer,
            Ok(v1::AttributeType::Boolean) => AttributeType::Boolean,
            Ok(v1::AttributeType::Timestamp) => AttributeType::Timestamp,
            Ok(v1::AttributeType::Unspecified) | Err(_) => {
                return Err(WireSchemaError::Type { name, value: attribute.r#type });
            }
        };
        attributes.push(AttributeSchema {
            name,
            value_type,
            required: attribute.required,
            sensitive: attribute.sensitive,
            natural_key: attribute.natural_key,
        });
    }
    Ok(RecordSchema { record_type, attributes })
}

/// Puts a schema on the wire.
pub fn schema_to_wire(schema: &RecordSchema) -> v1::RecordSchema {
    v1::RecordSchema {
        kind: kind_to_wire(schema.record_type.kind).into(),
        r#type: schema.record_type.name.to_string(),
        attributes: schema.attributes.iter().map(attribute_to_wire).collect(),
    }
}

fn attribute_to_wire(attribute: &AttributeSchema) -> v1::AttributeSchema {
    let value_type = match attribute.value_type {
        AttributeType::Text => v1::AttributeType::Text,
        AttributeType::Integer => v1::AttributeType::Integer,
        AttributeType::Boolean => v1::AttributeType::Boolean,
        AttributeType::Timestamp => v1::AttributeType::Timestamp,
    };
    v1::AttributeSchema {
        name: attribute.name.to_string(),
        r#type: value_type.into(),
        required: attribute.required,
        sensitive: attribute.sensitive,
        natural_key: attribute.natural_key,
    }
}

fn check_count(what: &'static str, count: usize, max: usize) -> Result<(), WireSchemaError> {
    if count > max {
        return Err(WireSchemaError::TooMany { what, count, max });
    }
    Ok(())
}
