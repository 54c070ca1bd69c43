//! Grants: who holds what, and how that came.
//!
//! A group that holds an entitlement is a grant of the group, and whoever follows from it is for the
//! consumer to work out: what is reported is what the source has. A grant to somebody whom another
//! source is said to know is reported as one to a resource of the type `external`, so that the right
//! stays in sight although its holder is not known here.

use cordon_sdk::{Grant, Resource};

use super::{NAME_BYTES_MAX, TEXT_BYTES_MAX};
use crate::annotations::{find, has};
use crate::catalog::{Catalog, Kind};
use crate::ids::{self, bounded, cut};
use crate::wire::v2;

/// A grant, ready to be reported.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) kind: Kind,
    pub(crate) principal: String,
    pub(crate) entitlement: String,
    through: String,
    inherited: Option<bool>,
    immutable: Option<bool>,
}

impl Held {
    pub(crate) fn record(&self) -> Grant<'_> {
        let grant =
            Grant::new(self.kind.record_type(), self.principal.as_str(), self.entitlement.as_str());
        let through = (!self.through.is_empty()).then_some(&self.through);
        grant
            .attribute("through", through)
            .attribute("inherited", self.inherited)
            .attribute("immutable", self.immutable)
    }
}

/// Reads a grant; says what it lacks.
pub(crate) fn grant(catalog: &Catalog, grant: &v2::Grant) -> Result<Held, &'static str> {
    let entitlement = grant.entitlement.as_ref().map_or("", |it| it.id.as_str());
    let entitlement_id =
        ids::of_entitlement(entitlement).ok_or("a grant without an entitlement")?;
    let (kind, principal) = match outsider(grant) {
        Some(outsider) => (Kind::External, outsider),
        None => {
            let id = grant.principal.as_ref().and_then(|principal| principal.id.as_ref());
            let id = id.ok_or("a grant without a principal")?;
            let principal = ids::of_resource(id).ok_or("a grant without a principal")?;
            (catalog.kind(&id.resource_type), principal)
        }
    };
    let expandable: Option<v2::GrantExpandable> = find(&grant.annotations, "GrantExpandable");
    let mut through = expandable.unwrap_or_default().entitlement_ids;
    through.sort_unstable();
    let sources = grant.sources.as_ref().map(|it| &it.sources).filter(|it| !it.is_empty());
    // What follows from another entitlement and was not given itself.
    let inherited =
        sources.map(|it| !it.iter().any(|(from, source)| from == entitlement || source.is_direct));
    Ok(Held {
        kind,
        principal,
        entitlement: entitlement_id,
        through: cut(&through.join(" "), TEXT_BYTES_MAX).to_owned(),
        inherited: inherited.filter(|inherited| *inherited),
        immutable: has(&grant.annotations, "GrantImmutable").then_some(true),
    })
}

/// Somebody of another source, where a grant only describes its principal.
fn outsider(grant: &v2::Grant) -> Option<String> {
    let all = &grant.annotations;
    if let Some(v2::ExternalResourceMatchId { id }) = find(all, "ExternalResourceMatchID") {
        return Some(bounded(&format!("id={id}"), NAME_BYTES_MAX));
    }
    if let Some(found) = find::<v2::ExternalResourceMatch>(all, "ExternalResourceMatch") {
        let of = word(found.resource_type());
        let who = format!("{of}/{}={}", found.key, found.value);
        return Some(bounded(&who, NAME_BYTES_MAX));
    }
    let everybody = find::<v2::ExternalResourceMatchAll>(all, "ExternalResourceMatchAll")?;
    Some(format!("{}/*", word(everybody.resource_type())))
}

fn word(of: v2::Trait) -> &'static str {
    match of {
        v2::Trait::User => "user",
        v2::Trait::Group => "group",
        v2::Trait::Role => "role",
        v2::Trait::App => "app",
        v2::Trait::Secret => "secret",
        v2::Trait::Agent => "agent",
        v2::Trait::Unspecified => "any",
    }
}

/// The record of somebody of another source.
pub(crate) fn external(id: &str) -> Resource<'_> {
    Resource::new(Kind::External.record_type(), id).name(id)
}
