//! What a Baton connector says, in Cordon's words.
//!
//! The schema is announced before anything is configured, so it is the same for every connector: the
//! traits that Baton has, and of a user's profile the attributes that are mapped.

use std::collections::BTreeMap;

use cordon_sdk::{
    AccountType, App, Attribute, Description, Entitlement, Grant, Group, IntoValue, Resource, Role,
    Schema, Secret, Status, Timestamp, User, Value,
};

use crate::annotations::find;
use crate::catalog::{Catalog, KINDS, Kind};
use crate::config::{Config, PROFILE_ATTRIBUTES};
use crate::ids::{self, cut};
use crate::wire::v2;

mod grant;
mod profile;

pub(crate) use grant::{external, grant};

/// Bytes of a name, a login, an address.
const NAME_BYTES_MAX: usize = 1_024;
/// Bytes of a description, and of a list of names.
const TEXT_BYTES_MAX: usize = 4_096;
/// The first and the last second of times that are meant as such: zero and the end of the calendar
/// say "never".
const TIMES: std::ops::Range<i64> = 1..7_258_118_400;

/// All that may be reported.
pub(crate) fn describe() -> Description {
    let named = |schema: Schema, names: &[&str]| {
        names.iter().fold(schema, |schema, name| schema.attribute(Attribute::text(name)))
    };
    let common = |schema: Schema| {
        named(schema, &["description", "status", "status_details"])
            .attribute(Attribute::text("baton_type").required())
            .attribute(Attribute::timestamp("created"))
    };
    let user = ["other_emails", "login_aliases", "given_name", "family_name", "employee_number"];
    let user = PROFILE_ATTRIBUTES.iter().chain(&user).fold(
        common(User::schema())
            .attribute(Attribute::boolean("mfa"))
            .attribute(Attribute::boolean("sso")),
        |schema, name| schema.attribute(Attribute::text(name)),
    );
    let secret = ["created_by", "credential_type", "credential_detail"];
    let mut description = Description::new("baton", env!("CARGO_PKG_VERSION"))
        .reports(user)
        .reports(common(Group::schema()))
        .reports(common(Role::schema()))
        .reports(common(App::schema()))
        .reports(named(common(Secret::schema()), &secret))
        .reports(common(Resource::schema(Kind::Other.record_type())))
        .reports(Resource::schema(Kind::External.record_type()))
        .looks_up_by_reading();
    for kind in KINDS {
        let of = kind.record_type();
        if kind != Kind::External {
            let entitlement =
                named(Entitlement::schema(of), &["description", "purpose", "slug", "grantable_to"]);
            description =
                description.reports(entitlement.attribute(Attribute::boolean("immutable")));
        }
        description = description.reports(
            Grant::schema(of)
                .attribute(Attribute::text("through"))
                .attribute(Attribute::boolean("inherited"))
                .attribute(Attribute::boolean("immutable")),
        );
    }
    description
}

/// What is known of one record beside its id, in an order that is always the same.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Facts {
    parent: Option<(Kind, String)>,
    attributes: Vec<(&'static str, Value)>,
}

impl Facts {
    fn set(&mut self, name: &'static str, value: impl IntoValue) {
        if let Some(value) = value.into_value() {
            self.attributes.push((name, value));
        }
    }

    /// Leaves an empty text out, and cuts a long one.
    fn text(&mut self, name: &'static str, text: &str, bytes_max: usize) {
        let text = cut(text.trim(), bytes_max);
        self.set(name, (!text.is_empty()).then_some(text));
    }

    fn texts<'a>(&mut self, name: &'static str, texts: impl Iterator<Item = &'a str>) {
        let mut texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
        texts.sort_unstable();
        self.text(name, &texts.join(" "), TEXT_BYTES_MAX);
    }

    fn time(&mut self, name: &'static str, time: Option<&prost_types::Timestamp>) {
        let time = time.filter(|time| TIMES.contains(&time.seconds));
        self.set(name, time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok()));
    }

    /// Tells whether two records say the same.
    pub(crate) fn content(&self) -> Vec<u8> {
        format!("{self:?}").into_bytes()
    }

    pub(crate) fn resource(self, kind: Kind, id: String) -> Resource<'static> {
        let mut resource = Resource::new(kind.record_type(), id);
        if let Some((kind, parent)) = self.parent {
            resource = resource.parent(kind.record_type(), parent);
        }
        let all = self.attributes.into_iter();
        all.fold(resource, |resource, (name, value)| resource.attribute(name, value))
    }

    pub(crate) fn entitlement(
        self,
        id: String,
        kind: Kind,
        resource: String,
    ) -> Entitlement<'static> {
        let entitlement = Entitlement::new(id, kind.record_type(), resource);
        let all = self.attributes.into_iter();
        all.fold(entitlement, |entitlement, (name, value)| entitlement.attribute(name, value))
    }
}

/// A reference as records write it.
fn reference(catalog: &Catalog, id: Option<&v2::ResourceId>) -> Option<String> {
    let id = id?;
    let of = catalog.kind(&id.resource_type).record_type();
    ids::of_resource(id).map(|id| format!("{of}:{id}"))
}

/// What is known of a resource.
pub(crate) fn resource(
    config: &Config,
    catalog: &Catalog,
    kind: Kind,
    resource: &v2::Resource,
) -> Facts {
    let mut facts = Facts::default();
    let parent = resource.parent_resource_id.as_ref();
    facts.parent =
        parent.and_then(|id| Some((catalog.kind(&id.resource_type), ids::of_resource(id)?)));
    let own_type = resource.id.as_ref().map_or("", |id| id.resource_type.as_str());
    facts.set("baton_type", cut(own_type, NAME_BYTES_MAX));
    facts.text("name", &resource.display_name, NAME_BYTES_MAX);
    facts.text("description", &resource.description, TEXT_BYTES_MAX);
    let mut status = resource.status.clone();
    let mut created = resource.created_at;
    match kind {
        Kind::User | Kind::Agent => {
            let user: v2::UserTrait = find(&resource.annotations, "UserTrait").unwrap_or_default();
            status = known(status).or(user.status.clone());
            created = created.or(user.created_at);
            user_facts(&mut facts, kind, &user);
            let profile = resource.profile.as_ref().or(user.profile.as_ref());
            profile::facts(&mut facts, config.profile.as_ref(), profile);
        }
        Kind::Secret => {
            let secret = find(&resource.annotations, "SecretTrait").unwrap_or_default();
            secret_facts(&mut facts, catalog, &secret);
            created = created.or(secret.created_at);
        }
        Kind::Group | Kind::Role | Kind::App | Kind::Other | Kind::External => {}
    }
    if kind == Kind::Agent {
        let agent: Option<v2::AgentTrait> = find(&resource.annotations, "AgentTrait");
        let identity = agent.and_then(|agent| agent.identity_resource_id);
        facts.set("owner", reference(catalog, identity.as_ref()));
    }
    if let Some(status) = known(status) {
        let word = match status.status() {
            v2::StatusWord::Enabled => Some(Status::Active),
            v2::StatusWord::Disabled | v2::StatusWord::Deleted => Some(Status::Disabled),
            v2::StatusWord::Unspecified => None,
        };
        facts.set("status", word.map(Status::as_str));
        let details = match status.status() {
            v2::StatusWord::Deleted if status.details.is_empty() => "deleted",
            _ => status.details.as_str(),
        };
        facts.text("status_details", details, NAME_BYTES_MAX);
    }
    facts.time("created", created.as_ref());
    facts
}

fn known(status: Option<v2::ResourceStatus>) -> Option<v2::ResourceStatus> {
    status.filter(|status| status.status() != v2::StatusWord::Unspecified)
}

fn user_facts(facts: &mut Facts, kind: Kind, user: &v2::UserTrait) {
    let account_type = match (kind, user.account_type()) {
        (Kind::Agent, _) => Some(AccountType::Agent),
        (_, v2::AccountType::Human) => Some(AccountType::Human),
        (_, v2::AccountType::Service) => Some(AccountType::Service),
        (_, v2::AccountType::System) => Some(AccountType::System),
        (_, v2::AccountType::Unspecified) => None,
    };
    facts.set("account_type", account_type.map(AccountType::as_str));
    facts.text("login", &user.login, NAME_BYTES_MAX);
    facts.texts("login_aliases", user.login_aliases.iter().map(String::as_str));
    let primary = user.emails.iter().find(|email| email.is_primary).or(user.emails.first());
    let address = primary.map_or("", |email| email.address.as_str());
    facts.text("email", address, NAME_BYTES_MAX);
    let others = user.emails.iter().map(|email| email.address.as_str());
    facts.texts("other_emails", others.filter(|other| *other != address));
    if let Some(name) = &user.structured_name {
        facts.text("given_name", &name.given_name, NAME_BYTES_MAX);
        facts.text("family_name", &name.family_name, NAME_BYTES_MAX);
    }
    facts.texts("employee_number", user.employee_ids.iter().map(String::as_str));
    facts.set("mfa", user.mfa_status.as_ref().map(|it| it.mfa_enabled));
    facts.set("sso", user.sso_status.as_ref().map(|it| it.sso_enabled));
    facts.time("last_login", user.last_login.as_ref());
}

fn secret_facts(facts: &mut Facts, catalog: &Catalog, secret: &v2::SecretTrait) {
    facts.set("owner", reference(catalog, secret.identity_id.as_ref()));
    facts.set("created_by", reference(catalog, secret.created_by_id.as_ref()));
    facts.time("expires", secret.expires_at.as_ref());
    facts.time("last_used", secret.last_used_at.as_ref());
    let of = match secret.credential_type() {
        v2::CredentialType::StaticSecret => Some("static-secret"),
        v2::CredentialType::AsymmetricKey => Some("asymmetric-key"),
        v2::CredentialType::Certificate => Some("certificate"),
        v2::CredentialType::Unspecified => None,
    };
    facts.set("credential_type", of);
    facts.text("credential_detail", &secret.credential_detail, NAME_BYTES_MAX);
}

/// What is known of an entitlement.
pub(crate) fn entitlement(entitlement: &v2::Entitlement) -> Facts {
    let mut facts = Facts::default();
    let name = [&entitlement.display_name, &entitlement.slug].into_iter().find(|it| !it.is_empty());
    facts.text("name", name.map_or("", |name| name), NAME_BYTES_MAX);
    facts.text("description", &entitlement.description, TEXT_BYTES_MAX);
    let purpose = match entitlement.purpose() {
        v2::Purpose::Assignment => Some("assignment"),
        v2::Purpose::Permission => Some("permission"),
        v2::Purpose::Ownership => Some("ownership"),
        v2::Purpose::Unspecified => None,
    };
    facts.set("purpose", purpose);
    facts.text("slug", &entitlement.slug, NAME_BYTES_MAX);
    facts.texts("grantable_to", entitlement.grantable_to.iter().map(|of| of.id.as_str()));
    if crate::annotations::has(&entitlement.annotations, "EntitlementImmutable") {
        facts.set("immutable", true);
    }
    facts
}

/// Attribute names of profiles by attributes.
type Mapping = BTreeMap<String, String>;
