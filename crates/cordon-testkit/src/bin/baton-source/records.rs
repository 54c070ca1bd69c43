//! The directory as Baton's messages.

use cordon_testkit::baton::{self, Directory};
use prost::Message;
use prost::bytes::Bytes;
use prost_types::{Any, Struct, Timestamp, Value, value::Kind};

use crate::wire::v2::{
    self, AccountType, ChildResourceType, Entitlement, ExternalResourceMatch, Grant,
    GrantExpandable, Principal, Purpose, Resource, ResourceId, ResourceStatus, ResourceType,
    SecretTrait, StatusWord, Trait, UserTrait,
};

pub(crate) fn any(name: &str, message: &impl Message) -> Any {
    let type_url = format!("type.googleapis.com/c1.connector.v2.{name}");
    Any { type_url, value: message.encode_to_vec() }
}

pub(crate) fn mark(name: &str) -> Any {
    any(name, &v2::ValidateRequest {})
}

pub(crate) fn id(of: &str, resource: impl Into<String>) -> ResourceId {
    ResourceId { resource_type: of.to_owned(), resource: resource.into() }
}

pub(crate) fn types() -> Vec<ResourceType> {
    let of = |id: &str, traits: &[Trait], annotations: Vec<Any>| ResourceType {
        id: id.to_owned(),
        traits: traits.iter().map(|it| *it as i32).collect(),
        annotations,
        ..ResourceType::default()
    };
    let nothing = || vec![mark("SkipEntitlementsAndGrants")];
    vec![
        of("user", &[Trait::User], nothing()),
        of("team", &[Trait::Group], Vec::new()),
        of("role", &[Trait::Role], vec![mark("TypeScopedGrants"), mark("SkipEntitlements")]),
        of("project", &[], nothing()),
        of("key", &[Trait::Secret], nothing()),
    ]
}

fn time(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

pub(crate) fn user(directory: &Directory, user: u32) -> Resource {
    let department = format!("Department {}", baton::department(user));
    let fields = [("department", department), ("costCode", format!("C{}", user % 3))];
    let text = |text: String| Value { kind: Some(Kind::StringValue(text)) };
    let profile = fields.into_iter().map(|(name, value)| (name.to_owned(), text(value)));
    let email = |address: String, is_primary| v2::user_trait::Email { address, is_primary };
    let of = if baton::is_service(user) { AccountType::Service } else { AccountType::Human };
    let user_trait = UserTrait {
        emails: vec![
            email(format!("alias{user}@example.org"), false),
            email(format!("user{user}@example.org"), true),
        ],
        profile: Some(Struct { fields: profile.collect() }),
        account_type: of.into(),
        login: format!("login{user}"),
        last_login: time(1_700_000_000 + i64::from(user)),
        mfa_status: Some(v2::user_trait::MfaStatus { mfa_enabled: user.is_multiple_of(2) }),
        structured_name: Some(v2::user_trait::StructuredName {
            given_name: format!("Given{user}"),
            family_name: format!("Family{user}"),
        }),
        employee_ids: vec![format!("E{user}")],
        ..UserTrait::default()
    };
    let word = if baton::is_disabled(user) { StatusWord::Disabled } else { StatusWord::Enabled };
    Resource {
        id: Some(id("user", format!("u{user}"))),
        display_name: directory.name(user),
        annotations: vec![any("UserTrait", &user_trait)],
        status: Some(ResourceStatus { status: word.into(), details: String::new() }),
        created_at: time(1_600_000_000),
        ..Resource::default()
    }
}

pub(crate) fn team(team: u32) -> Resource {
    let below = ChildResourceType { resource_type_id: "project".to_owned() };
    let annotations = if team == 0 { vec![any("ChildResourceType", &below)] } else { Vec::new() };
    Resource {
        id: Some(id("team", team.to_string())),
        display_name: format!("Team {team}"),
        description: format!("The team of number {team}"),
        annotations,
        ..Resource::default()
    }
}

pub(crate) fn role(role: &str) -> Resource {
    let id = Some(id("role", role));
    Resource { id, display_name: role.to_uppercase(), ..Resource::default() }
}

pub(crate) fn project(project: u32) -> Resource {
    Resource {
        id: Some(id("project", project.to_string())),
        parent_resource_id: Some(id("team", "0")),
        display_name: format!("Project {project}"),
        ..Resource::default()
    }
}

pub(crate) fn key(user: u32) -> Resource {
    let secret = SecretTrait {
        expires_at: time(1_900_000_000),
        last_used_at: time(1_750_000_000),
        identity_id: Some(id("user", format!("u{user}"))),
        credential_type: v2::CredentialType::StaticSecret.into(),
        ..SecretTrait::default()
    };
    Resource {
        id: Some(id("key", format!("k{user}"))),
        display_name: format!("Key {user}"),
        annotations: vec![any("SecretTrait", &secret)],
        ..Resource::default()
    }
}

pub(crate) fn bytes(resource: &Resource) -> Bytes {
    resource.encode_to_vec().into()
}

/// The entitlement of a team, or what every role has.
pub(crate) fn entitlement(resource: &Resource, slug: &str) -> Entitlement {
    let own = resource.id.clone().unwrap_or_default();
    Entitlement {
        resource: bytes(resource),
        id: format!("{}:{}:{slug}", own.resource_type, own.resource),
        display_name: format!("{} {slug}", resource.display_name),
        purpose: Purpose::Assignment.into(),
        slug: slug.to_owned(),
        grantable_to: vec![ResourceType { id: "user".to_owned(), ..ResourceType::default() }],
        ..Entitlement::default()
    }
}

pub(crate) fn grant(entitlement: &Entitlement, principal: ResourceId) -> Grant {
    Grant {
        id: format!("{}:{}:{}", entitlement.id, principal.resource_type, principal.resource),
        entitlement: Some(entitlement.clone()),
        principal: Some(Principal { id: Some(principal) }),
        ..Grant::default()
    }
}

/// The grants of a team: its members; and of the first, the members of the second.
pub(crate) fn team_grants(team: &Resource, number: u32, members: &[u32]) -> Vec<Grant> {
    let member = entitlement(team, "member");
    let mut grants: Vec<Grant> =
        members.iter().map(|user| grant(&member, id("user", format!("u{user}")))).collect();
    if number == 0 {
        let through = GrantExpandable { entitlement_ids: vec!["team:1:member".to_owned()] };
        let mut nested = grant(&member, id("team", "1"));
        nested.annotations.push(any("GrantExpandable", &through));
        grants.push(nested);
    }
    grants
}

/// The grants of all roles: the first people, one of them twice, and somebody of another source.
pub(crate) fn role_grants(directory: &Directory) -> Vec<Grant> {
    let admin = entitlement(&role("admin"), "assigned");
    let admins = directory.people().take_while(|user| *user < baton::ADMINS);
    let mut grants: Vec<Grant> =
        admins.map(|user| grant(&admin, id("user", format!("u{user}")))).collect();
    if let Some(again) = grants.first().cloned() {
        grants.push(Grant { id: format!("{}:again", again.id), ..again });
    }
    let outsider = ExternalResourceMatch {
        resource_type: Trait::User.into(),
        key: "email".to_owned(),
        value: "boss@elsewhere.example".to_owned(),
    };
    let mut external = grant(&admin, id("user", "placeholder"));
    external.annotations.push(any("ExternalResourceMatch", &outsider));
    grants.push(external);
    grants
}
