//! What a connector says of itself: its name, its version and the schema of all it may report.
//!
//! Typed records bring their own base schema ([`crate::User::schema`] and its neighbours), so that an
//! author lists only what is special to the source. Names are checked when the description is
//! served, not while it is built: a description reads as a list and not as a chain of `?`.

use cordon_model::{
    AttributeName, AttributeSchema, AttributeType, RecordKind, RecordSchema, RecordType, TypeName,
};
use cordon_wire::v1;

use crate::Error;

/// What a connector says of itself.
#[derive(Debug, Clone)]
pub struct Description {
    name: String,
    version: String,
    schemas: Vec<Schema>,
    lookup: Lookup,
}

/// Whether single records can be looked up, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lookup {
    Never,
    /// Each by itself.
    Single,
    /// By reading the whole source.
    Reading,
}

impl Description {
    /// A connector of that name (`linux`) and version (`env!("CARGO_PKG_VERSION")`).
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            schemas: vec![],
            lookup: Lookup::Never,
        }
    }

    /// Says that records of this schema may be reported.
    pub fn reports(mut self, schema: Schema) -> Self {
        self.schemas.push(schema);
        self
    }

    /// Says that single records can be looked up.
    pub fn looks_up(mut self) -> Self {
        self.lookup = Lookup::Single;
        self
    }

    /// Says that records can be looked up, by [reading](crate::look_up_by_reading) the whole source:
    /// the supervisor then asks few large questions.
    pub fn looks_up_by_reading(mut self) -> Self {
        self.lookup = Lookup::Reading;
        self
    }

    /// The connector's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The connector's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn can_look_up(&self) -> bool {
        self.lookup != Lookup::Never
    }

    /// Checks every name and makes the schemas of the model.
    pub(crate) fn schemas(&self) -> Result<Vec<RecordSchema>, Error> {
        if self.name.is_empty() || self.version.is_empty() {
            return Err(Error::bug("a description needs a name and a version"));
        }
        if self.schemas.is_empty() {
            return Err(Error::bug("the description reports nothing"));
        }
        let mut checked: Vec<RecordSchema> = Vec::with_capacity(self.schemas.len());
        for schema in &self.schemas {
            let schema = schema.check()?;
            if checked.iter().any(|earlier| earlier.record_type == schema.record_type) {
                return Err(Error::bug(format!("{} is described twice", schema.record_type)));
            }
            checked.push(schema);
        }
        Ok(checked)
    }

    pub(crate) fn to_wire(
        &self,
        schemas: &[RecordSchema],
        configuration_schema: String,
    ) -> v1::DescribeResponse {
        let capabilities = match self.lookup {
            Lookup::Never => vec![],
            Lookup::Single => vec![v1::Capability::Lookup.into()],
            Lookup::Reading => {
                vec![v1::Capability::Lookup.into(), v1::Capability::LookupByReading.into()]
            }
        };
        v1::DescribeResponse {
            name: self.name.clone(),
            version: self.version.clone(),
            protocol_min: cordon_wire::PROTOCOL,
            protocol_max: cordon_wire::PROTOCOL,
            capabilities,
            schemas: schemas.iter().map(cordon_wire::describe::schema_to_wire).collect(),
            configuration_schema,
        }
    }
}

/// The attributes of one kind and type of record.
#[derive(Debug, Clone)]
pub struct Schema {
    kind: RecordKind,
    type_name: String,
    attributes: Vec<Attribute>,
}

impl Schema {
    pub(crate) fn new(kind: RecordKind, type_name: &str, attributes: Vec<Attribute>) -> Self {
        Self { kind, type_name: type_name.to_owned(), attributes }
    }

    /// Adds an attribute, or says of one that is there already that it is required, sensitive or a
    /// natural key.
    pub fn attribute(mut self, attribute: Attribute) -> Self {
        let same = |known: &&mut Attribute| {
            known.name == attribute.name && known.value_type == attribute.value_type
        };
        match self.attributes.iter_mut().find(same) {
            Some(known) => {
                known.required |= attribute.required;
                known.sensitive |= attribute.sensitive;
                known.natural_key |= attribute.natural_key;
            }
            None => self.attributes.push(attribute),
        }
        self
    }

    fn check(&self) -> Result<RecordSchema, Error> {
        let bad_name = |name: &str, error| {
            Error::bug(format!("{} {name:?} cannot be described", self.kind.as_str()))
                .caused_by(error)
        };
        let name = TypeName::new(&self.type_name)
            .map_err(|error| bad_name(&self.type_name, Box::new(error)))?;
        let record_type = RecordType { kind: self.kind, name };
        let mut attributes: Vec<AttributeSchema> = Vec::with_capacity(self.attributes.len());
        for attribute in &self.attributes {
            let name = AttributeName::new(&attribute.name).map_err(|error| {
                Error::bug(format!("an attribute of {record_type} has no good name"))
                    .caused_by(error)
            })?;
            if attributes.iter().any(|earlier| earlier.name == name) {
                return Err(Error::bug(format!("{record_type} has two attributes {name}")));
            }
            attributes.push(AttributeSchema {
                name,
                value_type: attribute.value_type,
                required: attribute.required,
                sensitive: attribute.sensitive,
                natural_key: attribute.natural_key,
            });
        }
        Ok(RecordSchema { record_type, attributes })
    }
}

/// One attribute of a schema.
#[derive(Debug, Clone)]
pub struct Attribute {
    name: String,
    value_type: AttributeType,
    required: bool,
    sensitive: bool,
    natural_key: bool,
}

impl Attribute {
    /// An attribute that holds text.
    pub fn text(name: &str) -> Self {
        Self::new(name, AttributeType::Text)
    }

    /// An attribute that holds whole numbers.
    pub fn integer(name: &str) -> Self {
        Self::new(name, AttributeType::Integer)
    }

    /// An attribute that holds yes or no.
    pub fn boolean(name: &str) -> Self {
        Self::new(name, AttributeType::Boolean)
    }

    /// An attribute that holds a moment.
    pub fn timestamp(name: &str) -> Self {
        Self::new(name, AttributeType::Timestamp)
    }

    fn new(name: &str, value_type: AttributeType) -> Self {
        let name = name.to_owned();
        Self { name, value_type, required: false, sensitive: false, natural_key: false }
    }

    /// Every record has it.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// It is masked wherever people look.
    pub fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// It names the thing for people and survives a change of id.
    pub fn natural_key(mut self) -> Self {
        self.natural_key = true;
        self
    }
}
