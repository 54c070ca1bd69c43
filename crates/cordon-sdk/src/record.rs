//! Records as an author writes them: plain structs that borrow what they can.
//!
//! Each knows its base schema; what is special to a source goes in by name and must be declared in
//! the description. References are given as type and id, never as a text to be put together.

use std::borrow::Cow;

use cordon_model::{RecordKind, Value, columns};
use jiff::Timestamp;

use crate::pack::Packer;
use crate::{Attribute, Error, Schema};

/// A record that can be pushed into a scope.
pub trait Record: pack::Pack {}

impl<R: pack::Pack> Record for R {}

pub(crate) mod pack {
    use cordon_model::RecordKind;

    use crate::Error;
    use crate::pack::Packer;

    /// Writes a record into columns.
    pub trait Pack: Send {
        /// The record's kind.
        fn kind(&self) -> RecordKind;
        /// The record's type.
        fn type_name(&self) -> &str;
        /// Writes every value into its column.
        fn pack(&self, packer: &mut Packer) -> Result<(), Error>;
    }
}

/// What can be a value of an attribute. An `Option` that is none leaves the attribute absent.
pub trait IntoValue {
    /// The value; none = absent.
    fn into_value(self) -> Option<Value>;
}

macro_rules! into_value {
    ($($type:ty => |$value:ident| $make:expr),* $(,)?) => {$(
        impl IntoValue for $type {
            fn into_value(self) -> Option<Value> {
                let $value = self;
                Some($make)
            }
        }
    )*};
}

into_value! {
    &str => |text| Value::Text(text.to_owned()),
    &String => |text| Value::Text(text.clone()),
    String => |text| Value::Text(text),
    Cow<'_, str> => |text| Value::Text(text.into_owned()),
    i64 => |number| Value::Integer(number),
    i32 => |number| Value::Integer(number.into()),
    u32 => |number| Value::Integer(number.into()),
    bool => |yes| Value::Boolean(yes),
    Timestamp => |time| Value::Timestamp(time),
    Value => |value| value,
}

impl<V: IntoValue> IntoValue for Option<V> {
    fn into_value(self) -> Option<Value> {
        self.and_then(IntoValue::into_value)
    }
}

/// Who or what a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountType {
    /// A person.
    Human,
    /// A program that acts on its own.
    Service,
    /// Part of the system itself.
    System,
    /// A program that acts for somebody and decides by itself.
    Agent,
}

impl AccountType {
    /// The word for it in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Service => "service",
            Self::System => "system",
            Self::Agent => "agent",
        }
    }
}

/// Whether a user may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It may.
    Active,
    /// It may not, but still exists.
    Disabled,
}

impl Status {
    /// The word for it in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

#[derive(Debug, Clone)]
enum Field<'a> {
    Text(Cow<'a, str>),
    Reference(Cow<'a, str>, Cow<'a, str>),
    Value(Value),
}

impl Field<'_> {
    fn pack(&self, packer: &mut Packer, place: usize, name: &str) -> Result<(), Error> {
        match self {
            Self::Text(text) => packer.text(place, name, &[text]),
            Self::Reference(type_name, id) => packer.text(place, name, &[type_name, ":", id]),
            Self::Value(value) => packer.value(place, name, value),
        }
    }
}

/// Gives a record its setters, each with the place of its column in the base schema.
macro_rules! setters {
    () => {};
    ($(#[$doc:meta])* text $setter:ident = $place:literal $name:expr; $($rest:tt)*) => {
        $(#[$doc])*
        pub fn $setter(mut self, $setter: impl Into<Cow<'a, str>>) -> Self {
            self.set($place, $name, Field::Text($setter.into()));
            self
        }
        setters! { $($rest)* }
    };
    ($(#[$doc:meta])* reference $setter:ident = $place:literal $name:expr; $($rest:tt)*) => {
        $(#[$doc])*
        pub fn $setter(
            mut self,
            type_name: impl Into<Cow<'a, str>>,
            id: impl Into<Cow<'a, str>>,
        ) -> Self {
            self.set($place, $name, Field::Reference(type_name.into(), id.into()));
            self
        }
        setters! { $($rest)* }
    };
    ($(#[$doc:meta])* time $setter:ident = $place:literal $name:expr; $($rest:tt)*) => {
        $(#[$doc])*
        pub fn $setter(mut self, $setter: Timestamp) -> Self {
            self.set($place, $name, Field::Value(Value::Timestamp($setter)));
            self
        }
        setters! { $($rest)* }
    };
    ($(#[$doc:meta])* word $setter:ident: $type:ty = $place:literal $name:expr; $($rest:tt)*) => {
        $(#[$doc])*
        pub fn $setter(mut self, $setter: $type) -> Self {
            self.set($place, $name, Field::Text(Cow::Borrowed($setter.as_str())));
            self
        }
        setters! { $($rest)* }
    };
}

/// Defines a record whose kind is resource and whose type is fixed.
macro_rules! resource {
    (
        $(#[$doc:meta])* $record:ident, $type:literal, [$($attribute:expr),* $(,)?],
        { $($setters:tt)* }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $record<'a>(Resource<'a>);

        impl<'a> $record<'a> {
            /// The base schema of such records.
            pub fn schema() -> Schema {
                let mut schema = Resource::schema($type);
                $( schema = schema.attribute($attribute); )*
                schema
            }

            /// A record with that id.
            pub fn new(id: impl Into<Cow<'a, str>>) -> Self {
                Self(Resource::new($type, id))
            }

            fn set(&mut self, place: usize, name: &'static str, field: Field<'a>) {
                self.0.set(place, name, field);
            }

            setters! {
                /// What people call it.
                text name = 1 columns::NAME;
                /// The resource that it belongs to, by type and id.
                reference parent = 2 columns::PARENT;
                $($setters)*
            }

            /// Sets an attribute that the description declares.
            pub fn attribute(mut self, name: impl Into<Cow<'a, str>>, value: impl IntoValue) -> Self {
                self.0 = self.0.attribute(name, value);
                self
            }
        }

        impl pack::Pack for $record<'_> {
            fn kind(&self) -> RecordKind {
                RecordKind::Resource
            }

            fn type_name(&self) -> &str {
                $type
            }

            fn pack(&self, packer: &mut Packer) -> Result<(), Error> {
                self.0.pack(packer)
            }
        }
    };
}

/// A resource of any type. Those with a struct of their own are better reported by it.
#[derive(Debug, Clone)]
pub struct Resource<'a> {
    type_name: Cow<'a, str>,
    id: Cow<'a, str>,
    fields: Vec<(usize, Cow<'a, str>, Field<'a>)>,
}

impl<'a> Resource<'a> {
    /// The base schema of resources of that type: `id`, `name`, `parent`.
    pub fn schema(type_name: &str) -> Schema {
        let attributes = vec![
            Attribute::text(columns::ID).required(),
            Attribute::text(columns::NAME),
            Attribute::text(columns::PARENT),
        ];
        Schema::new(RecordKind::Resource, type_name, attributes)
    }

    /// A resource of that type with that id.
    pub fn new(type_name: impl Into<Cow<'a, str>>, id: impl Into<Cow<'a, str>>) -> Self {
        Self { type_name: type_name.into(), id: id.into(), fields: Vec::new() }
    }

    fn set(&mut self, place: usize, name: &'static str, field: Field<'a>) {
        self.fields.push((place, Cow::Borrowed(name), field));
    }

    setters! {
        /// What people call it.
        text name = 1 columns::NAME;
        /// The resource that it belongs to, by type and id.
        reference parent = 2 columns::PARENT;
    }

    /// Sets an attribute that the description declares.
    pub fn attribute(mut self, name: impl Into<Cow<'a, str>>, value: impl IntoValue) -> Self {
        if let Some(value) = value.into_value() {
            self.fields.push((usize::MAX, name.into(), Field::Value(value)));
        }
        self
    }
}

impl pack::Pack for Resource<'_> {
    fn kind(&self) -> RecordKind {
        RecordKind::Resource
    }

    fn type_name(&self) -> &str {
        &self.type_name
    }

    fn pack(&self, packer: &mut Packer) -> Result<(), Error> {
        packer.text(0, columns::ID, &[&self.id])?;
        for (place, name, field) in &self.fields {
            field.pack(packer, *place, name)?;
        }
        packer.end_row()
    }
}

resource! {
    /// A user: a person, a service, a part of the system, or an agent.
    User, "user",
    [
        Attribute::text(columns::ACCOUNT_TYPE),
        Attribute::text(columns::STATUS),
        Attribute::text("login").natural_key(),
        Attribute::text("email").natural_key(),
        Attribute::text(columns::OWNER),
        Attribute::timestamp("created"),
        Attribute::timestamp("last_login"),
    ],
    {
        /// Who or what it is.
        word account_type: AccountType = 3 columns::ACCOUNT_TYPE;
        /// Whether it may act.
        word status: Status = 4 columns::STATUS;
        /// The name by which it logs in.
        text login = 5 "login";
        /// Its mail address.
        text email = 6 "email";
        /// The resource that answers for it, by type and id.
        reference owner = 7 columns::OWNER;
        /// When it was made.
        time created = 8 "created";
        /// When it was last used.
        time last_login = 9 "last_login";
    }
}

resource! {
    /// A group, whose members hold an entitlement on it.
    Group, "group", [Attribute::text(columns::OWNER)],
    {
        /// The resource that answers for it, by type and id.
        reference owner = 3 columns::OWNER;
    }
}

resource! {
    /// A role, which bundles entitlements.
    Role, "role", [Attribute::text(columns::OWNER)],
    {
        /// The resource that answers for it, by type and id.
        reference owner = 3 columns::OWNER;
    }
}

resource! {
    /// An application.
    App, "app", [Attribute::text(columns::OWNER)],
    {
        /// The resource that answers for it, by type and id.
        reference owner = 3 columns::OWNER;
    }
}

resource! {
    /// A secret that gives access: an API key, a certificate, a token. Never its value.
    Secret, "secret",
    [
        Attribute::text(columns::OWNER),
        Attribute::timestamp("created"),
        Attribute::timestamp(columns::EXPIRES),
        Attribute::timestamp("last_used"),
    ],
    {
        /// The resource that it gives access as, by type and id.
        reference owner = 3 columns::OWNER;
        /// When it was made.
        time created = 4 "created";
        /// When it ends.
        time expires = 5 columns::EXPIRES;
        /// When it was last used.
        time last_used = 6 "last_used";
    }
}

/// Something that can be held on a resource: `member` of a group, `admin` of a database.
#[derive(Debug, Clone)]
pub struct Entitlement<'a> {
    id: Cow<'a, str>,
    resource_type: Cow<'a, str>,
    resource: Cow<'a, str>,
    fields: Vec<(usize, Cow<'a, str>, Field<'a>)>,
}

impl<'a> Entitlement<'a> {
    /// The base schema of entitlements on resources of that type.
    pub fn schema(resource_type: &str) -> Schema {
        let attributes = vec![
            Attribute::text(columns::ID).required(),
            Attribute::text(columns::RESOURCE).required(),
            Attribute::text(columns::NAME),
            Attribute::boolean(columns::PRIVILEGED),
        ];
        Schema::new(RecordKind::Entitlement, resource_type, attributes)
    }

    /// An entitlement with that id, held on the resource of that type and id.
    pub fn new(
        id: impl Into<Cow<'a, str>>,
        resource_type: impl Into<Cow<'a, str>>,
        resource: impl Into<Cow<'a, str>>,
    ) -> Self {
        Self {
            id: id.into(),
            resource_type: resource_type.into(),
            resource: resource.into(),
            fields: Vec::new(),
        }
    }

    fn set(&mut self, place: usize, name: &'static str, field: Field<'a>) {
        self.fields.push((place, Cow::Borrowed(name), field));
    }

    setters! {
        /// What people call it: `member`, `admin`.
        text name = 2 columns::NAME;
    }

    /// Whether holding it gives power over others.
    pub fn privileged(mut self, privileged: bool) -> Self {
        self.set(3, columns::PRIVILEGED, Field::Value(Value::Boolean(privileged)));
        self
    }

    /// Sets an attribute that the description declares.
    pub fn attribute(mut self, name: impl Into<Cow<'a, str>>, value: impl IntoValue) -> Self {
        if let Some(value) = value.into_value() {
            self.fields.push((usize::MAX, name.into(), Field::Value(value)));
        }
        self
    }
}

impl pack::Pack for Entitlement<'_> {
    fn kind(&self) -> RecordKind {
        RecordKind::Entitlement
    }

    fn type_name(&self) -> &str {
        &self.resource_type
    }

    fn pack(&self, packer: &mut Packer) -> Result<(), Error> {
        packer.text(0, columns::ID, &[&self.id])?;
        packer.text(1, columns::RESOURCE, &[&self.resource_type, ":", &self.resource])?;
        for (place, name, field) in &self.fields {
            field.pack(packer, *place, name)?;
        }
        packer.end_row()
    }
}

/// A principal holds an entitlement.
#[derive(Debug, Clone)]
pub struct Grant<'a> {
    principal_type: Cow<'a, str>,
    principal: Cow<'a, str>,
    entitlement: Cow<'a, str>,
    expires: Option<Timestamp>,
    fields: Vec<(Cow<'a, str>, Value)>,
}

impl<'a> Grant<'a> {
    /// The base schema of grants whose principals are of that type.
    pub fn schema(principal_type: &str) -> Schema {
        let attributes = vec![
            Attribute::text(columns::PRINCIPAL).required(),
            Attribute::text(columns::ENTITLEMENT).required(),
            Attribute::timestamp(columns::EXPIRES),
        ];
        Schema::new(RecordKind::Grant, principal_type, attributes)
    }

    /// The principal of that type and id holds the entitlement of that id.
    pub fn new(
        principal_type: impl Into<Cow<'a, str>>,
        principal: impl Into<Cow<'a, str>>,
        entitlement: impl Into<Cow<'a, str>>,
    ) -> Self {
        Self {
            principal_type: principal_type.into(),
            principal: principal.into(),
            entitlement: entitlement.into(),
            expires: None,
            fields: Vec::new(),
        }
    }

    /// When it ends by itself.
    pub fn expires(mut self, expires: Timestamp) -> Self {
        self.expires = Some(expires);
        self
    }

    /// Sets an attribute that the description declares.
    pub fn attribute(mut self, name: impl Into<Cow<'a, str>>, value: impl IntoValue) -> Self {
        if let Some(value) = value.into_value() {
            self.fields.push((name.into(), value));
        }
        self
    }
}

impl pack::Pack for Grant<'_> {
    fn kind(&self) -> RecordKind {
        RecordKind::Grant
    }

    fn type_name(&self) -> &str {
        &self.principal_type
    }

    #[inline]
    fn pack(&self, packer: &mut Packer) -> Result<(), Error> {
        packer.text(0, columns::PRINCIPAL, &[&self.principal])?;
        packer.text(1, columns::ENTITLEMENT, &[&self.entitlement])?;
        if let Some(expires) = self.expires {
            packer.value(2, columns::EXPIRES, &Value::Timestamp(expires))?;
        }
        for (name, value) in &self.fields {
            packer.value(usize::MAX, name, value)?;
        }
        packer.end_row()
    }
}
