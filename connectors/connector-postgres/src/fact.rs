//! A record together with its key: what a sync reports, and what a lookup looks for.
//!
//! Both are made of the same rows by the same code, so that they cannot disagree.

use cordon_sdk::{
    App, Entitlement, Error, Grant, Group, IntoValue, RecordKind, Resource, Scope, Secret,
    Timestamp, User,
};

/// The scope to which a record belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Part {
    Users,
    Groups,
    Attributes,
    Memberships,
    Databases,
    Schemas,
    Tables,
    DefaultPrivileges,
    Passwords,
}

impl Part {
    /// The name of the scope.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Groups => "groups",
            Self::Attributes => "attributes",
            Self::Memberships => "memberships",
            Self::Databases => "databases",
            Self::Schemas => "schemas",
            Self::Tables => "tables",
            Self::DefaultPrivileges => "default_privileges",
            Self::Passwords => "passwords",
        }
    }
}

/// One record.
pub(crate) struct Fact {
    pub(crate) part: Part,
    kind: RecordKind,
    type_name: &'static str,
    id: String,
    /// A grant's entitlement.
    entitlement: String,
    record: Record,
}

/// A record as the SDK takes it.
enum Record {
    User(User<'static>),
    Group(Group<'static>),
    App(App<'static>),
    Secret(Secret<'static>),
    Resource(Resource<'static>),
    Entitlement(Entitlement<'static>),
    Grant(Grant<'static>),
}

/// Who holds something: the type and the id of its record.
pub(crate) type Holder = (&'static str, String);

impl Fact {
    pub(crate) fn user(id: String, user: User<'static>) -> Self {
        Self::resource_of(Part::Users, "user", id, Record::User(user))
    }

    pub(crate) fn group(id: String, group: Group<'static>) -> Self {
        Self::resource_of(Part::Groups, "group", id, Record::Group(group))
    }

    pub(crate) fn app(part: Part, id: String, app: App<'static>) -> Self {
        Self::resource_of(part, "app", id, Record::App(app))
    }

    pub(crate) fn secret(part: Part, id: String, secret: Secret<'static>) -> Self {
        Self::resource_of(part, "secret", id, Record::Secret(secret))
    }

    pub(crate) fn resource(
        part: Part,
        type_name: &'static str,
        id: String,
        resource: Resource<'static>,
    ) -> Self {
        Self::resource_of(part, type_name, id, Record::Resource(resource))
    }

    fn resource_of(part: Part, type_name: &'static str, id: String, record: Record) -> Self {
        let (kind, entitlement) = (RecordKind::Resource, String::new());
        Self { part, kind, type_name, id, entitlement, record }
    }

    /// The entitlement of that id and name, held on a resource of that type and id.
    pub(crate) fn entitlement(
        part: Part,
        id: String,
        name: impl Into<String>,
        is_privileged: bool,
        on: (&'static str, &str),
    ) -> Self {
        let record = Entitlement::new(id.clone(), on.0, on.1.to_owned())
            .name(name.into())
            .privileged(is_privileged);
        Self {
            part,
            kind: RecordKind::Entitlement,
            type_name: on.0,
            id,
            entitlement: String::new(),
            record: Record::Entitlement(record),
        }
    }

    /// The holder holds the entitlement.
    pub(crate) fn grant(part: Part, holder: Holder, entitlement: String) -> Self {
        let (type_name, id) = holder;
        let grant = Grant::new(type_name, id.clone(), entitlement.clone());
        let (kind, record) = (RecordKind::Grant, Record::Grant(grant));
        Self { part, kind, type_name, id, entitlement, record }
    }

    /// Sets an attribute of a grant or an entitlement.
    pub(crate) fn with(mut self, name: &'static str, value: impl IntoValue) -> Self {
        self.record = match self.record {
            Record::Grant(grant) => Record::Grant(grant.attribute(name, value)),
            Record::Entitlement(it) => Record::Entitlement(it.attribute(name, value)),
            other => other,
        };
        self
    }

    /// Its key: kind, type, id, and a grant's entitlement.
    pub(crate) fn key(&self) -> (RecordKind, &str, &str, &str) {
        (self.kind, self.type_name, &self.id, &self.entitlement)
    }

    pub(crate) async fn push(self, scope: &mut Scope) -> Result<(), Error> {
        match self.record {
            Record::User(user) => scope.push(user).await,
            Record::Group(group) => scope.push(group).await,
            Record::App(app) => scope.push(app).await,
            Record::Secret(secret) => scope.push(secret).await,
            Record::Resource(resource) => scope.push(resource).await,
            Record::Entitlement(entitlement) => scope.push(entitlement).await,
            Record::Grant(grant) => scope.push(grant).await,
        }
    }
}

/// A moment in microseconds. The server's years reach further than anybody's plans: what lies
/// outside of the model's is cut by the question.
pub(crate) fn moment(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
}
