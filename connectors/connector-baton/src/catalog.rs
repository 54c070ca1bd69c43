//! The types of resources of a Baton connector, and what each is in Cordon.

use std::collections::HashMap;

use cordon_sdk::Error;

use crate::annotations::has;
use crate::failure::{self, Failed};
use crate::link::Link;
use crate::pages::Pages;
use crate::wire::v2::{ListResourceTypesRequest, ResourceType, Trait};

/// Types of one connector, at most.
const TYPES_MAX: usize = 1_000;

/// What a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    User,
    Agent,
    Group,
    Role,
    App,
    Secret,
    Other,
    /// Not of this source: whom a grant describes instead of naming.
    External,
}

/// Those that have a type of their own in Cordon.
pub(crate) const KINDS: [Kind; 7] =
    [Kind::User, Kind::Group, Kind::Role, Kind::App, Kind::Secret, Kind::Other, Kind::External];

impl Kind {
    /// The type of its records.
    pub(crate) fn record_type(self) -> &'static str {
        match self {
            Self::User | Self::Agent => "user",
            Self::Group => "group",
            Self::Role => "role",
            Self::App => "app",
            Self::Secret => "secret",
            Self::Other => "other",
            Self::External => "external",
        }
    }

    /// Of several traits the first here counts.
    fn of(traits: impl Fn(Trait) -> bool) -> Self {
        let order = [
            (Trait::User, Self::User),
            (Trait::Agent, Self::Agent),
            (Trait::Group, Self::Group),
            (Trait::Role, Self::Role),
            (Trait::App, Self::App),
            (Trait::Secret, Self::Secret),
        ];
        order.into_iter().find(|(it, _)| traits(*it)).map_or(Self::Other, |(_, kind)| kind)
    }
}

/// One type.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// Whether its resources are asked for entitlements, and for grants.
    pub(crate) entitlements: Reading,
    pub(crate) grants: Reading,
}

/// How something is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Not at all: the type has none.
    Not,
    /// Resource by resource.
    Each,
    /// For the whole type at once.
    Whole,
}

impl Type {
    pub(crate) fn new(from: &ResourceType) -> Self {
        let skips = |name: &str| has(&from.annotations, name);
        let both = skips("SkipEntitlementsAndGrants");
        let reading = |skipped: bool, whole: &str| match skips(whole) {
            true => Reading::Whole,
            false if skipped || both => Reading::Not,
            false => Reading::Each,
        };
        Self {
            id: from.id.clone(),
            kind: Kind::of(|it| from.traits().any(|of| of == it)),
            entitlements: reading(skips("SkipEntitlements"), "TypeScopedEntitlements"),
            grants: reading(skips("SkipGrants"), "TypeScopedGrants"),
        }
    }
}

/// All types of a connector, in its order.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) types: Vec<Type>,
    places: HashMap<String, usize>,
}

impl Catalog {
    /// Asks for them. Without all of them nothing can be reported.
    pub(crate) async fn read(link: &Link, sync: Option<&cordon_sdk::Sync>) -> Result<Self, Error> {
        const CALL: &str = "ListResourceTypes";
        let mut catalog = Self::default();
        let mut pages = Pages::new();
        while let Some(page_token) = pages.next() {
            let active_sync_id = link.sync_id.clone();
            let request = ListResourceTypesRequest { page_token, active_sync_id, page_size: 0 };
            let answer = link.list_resource_types(CALL, sync, request).await;
            let answer = answer.map_err(|(failed, code)| failure::whole(CALL, failed, code))?;
            for of in &answer.list {
                catalog.add(Type::new(of))?;
            }
            pages.more([answer.next_page_token.as_str()].into_iter()).map_err(|error| {
                failure::whole(CALL, Failed::Here(format!("{CALL}: {error}")), None)
            })?;
        }
        Ok(catalog)
    }

    pub(crate) fn add(&mut self, of: Type) -> Result<(), Error> {
        if of.id.is_empty() {
            return Err(Error::bug("it has a type of resources without an id"));
        }
        if self.places.contains_key(&of.id) {
            return Ok(());
        }
        if self.types.len() == TYPES_MAX {
            let message = format!("it has more than {TYPES_MAX} types of resources");
            return Err(Error::incomplete(message));
        }
        self.places.insert(of.id.clone(), self.types.len());
        self.types.push(of);
        Ok(())
    }

    /// The place of a type.
    pub(crate) fn place(&self, id: &str) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// What resources of a type are; of one that is not listed nothing is known.
    pub(crate) fn kind(&self, id: &str) -> Kind {
        let of = self.place(id).and_then(|place| self.types.get(place));
        of.map_or(Kind::Other, |of| of.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotations::empty;

    fn of(traits: &[Trait], annotations: &[&str]) -> Type {
        let traits = traits.iter().map(|it| *it as i32).collect();
        let annotations = annotations.iter().map(|name| empty(name)).collect();
        Type::new(&ResourceType { id: "x".into(), traits, annotations, ..Default::default() })
    }

    #[test]
    fn a_type_is_what_its_strongest_trait_says() {
        for (traits, kind) in [
            (&[Trait::App, Trait::User][..], Kind::User),
            (&[Trait::Agent], Kind::Agent),
            (&[Trait::Secret], Kind::Secret),
            (&[Trait::Unspecified], Kind::Other),
            (&[], Kind::Other),
        ] {
            assert_eq!(of(traits, &[]).kind, kind);
        }
    }

    #[test]
    fn what_a_type_does_not_have_is_not_asked_for_and_what_it_lists_itself_is_asked_once() {
        for (annotations, entitlements, grants) in [
            (&[][..], Reading::Each, Reading::Each),
            (&["SkipEntitlementsAndGrants"], Reading::Not, Reading::Not),
            (&["SkipEntitlements"], Reading::Not, Reading::Each),
            (&["SkipGrants"], Reading::Each, Reading::Not),
            (&["TypeScopedGrants", "SkipEntitlements"], Reading::Not, Reading::Whole),
        ] {
            let of = of(&[Trait::Group], annotations);
            assert_eq!((of.entitlements, of.grants), (entitlements, grants), "{annotations:?}");
        }
    }
}
