//! The types and attributes that a policy names, so that a misspelt one can be told.
//!
//! A limit of a type that nobody reports is never broken, and a pattern over keys of such a type fits
//! none: both read like a protection and protect nobody.

use std::collections::BTreeSet;

use super::{Limits, Policy};
use crate::Announced;

/// Something that a policy names, and the line of the guard that names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// As it is written, e.g. `removed.user`.
    pub line: String,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// All records of a label.
    Label(String),
    /// An attribute of them.
    Attribute(String, String),
    /// Records by their keys.
    Keys(String),
}

/// Why what a policy names is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misnamed {
    /// In a sentence.
    pub why: String,
    /// The word that nobody knows.
    pub unknown: String,
    /// Those that were possible there.
    pub known: BTreeSet<String>,
}

impl Policy {
    /// What this policy names, besides what its rules select: those are fitted by themselves.
    pub fn named(&self) -> BTreeSet<Named> {
        let limits =
            [("removed", &self.removed), ("added", &self.added), ("modified", &self.modified)];
        let limits = limits.into_iter().flat_map(|(of, limits)| labels(of, limits));
        let budgets = self.budgets.iter().filter_map(|budget| budget.of.as_ref());
        let budgets = budgets.map(|label| named("budget", What::Label(label.to_string())));
        let required = self.required.iter().map(|it| {
            let what = What::Attribute(it.label.to_string(), it.attribute.to_string());
            named("schema.required", what)
        });
        let protected = self.protected.iter();
        let protected = protected.map(|glob| named("protected", What::Keys(glob.to_string())));
        limits.chain(budgets).chain(required).chain(protected).collect()
    }
}

fn labels<'a>(of: &'a str, limits: &'a Limits) -> impl Iterator<Item = Named> + 'a {
    let labels = limits.labels.keys();
    labels.map(move |label| named(&format!("{of}.{label}"), What::Label(label.to_string())))
}

fn named(line: &str, what: What) -> Named {
    Named { line: line.to_owned(), what }
}

impl Named {
    /// Why a connector that announces these types has no such thing; none where it has.
    pub fn misnamed(&self, announced: &Announced) -> Option<Misnamed> {
        match &self.what {
            What::Label(label) => no_label(label, announced),
            What::Attribute(label, attribute) => {
                no_label(label, announced).or_else(|| no_attribute(label, attribute, announced))
            }
            What::Keys(pattern) => no_keys(pattern, announced),
        }
    }
}

fn no_label(label: &str, announced: &Announced) -> Option<Misnamed> {
    let known: BTreeSet<String> = announced.keys().map(|it| it.label().to_owned()).collect();
    (!known.contains(label)).then(|| no_type(label, known))
}

fn no_type(unknown: &str, known: BTreeSet<String>) -> Misnamed {
    let why = format!("the connector announces no type {unknown}");
    Misnamed { why, unknown: unknown.to_owned(), known }
}

fn no_attribute(label: &str, attribute: &str, announced: &Announced) -> Option<Misnamed> {
    let types = announced.iter().filter(|(of, _)| of.label() == label);
    let known: BTreeSet<String> = types.flat_map(|(_, columns)| columns.keys().cloned()).collect();
    (!known.contains(attribute)).then(|| Misnamed {
        why: format!("{label} has no attribute {attribute}"),
        unknown: attribute.to_owned(),
        known,
    })
}

/// A key begins with its type and a colon, so what stands before the first `*` tells which types a
/// pattern can fit.
fn no_keys(pattern: &str, announced: &Announced) -> Option<Misnamed> {
    let known: BTreeSet<String> = announced.keys().map(|it| it.key_type().to_owned()).collect();
    let (head, is_open) = match pattern.split_once('*') {
        Some((head, _)) => (head, true),
        None => (pattern, false),
    };
    match head.split_once(':') {
        Some((of, _)) if known.contains(of) => None,
        Some((of, _)) => Some(no_type(of, known)),
        None if is_open && known.iter().any(|of| format!("{of}:").starts_with(head)) => None,
        None => Some(Misnamed {
            why: format!("no key begins like {pattern:?}: a key is a type, a colon and an id"),
            unknown: head.to_owned(),
            known,
        }),
    }
}

#[cfg(test)]
mod tests {
    use cordon_model::{RecordKind, RecordType, TypeName};

    use super::*;

    /// What a connector with users, their entitlements and grants, and groups has not of a guard.
    fn misnamed(guard: &str) -> String {
        let of = |kind, name| RecordType { kind, name: TypeName::new(name).unwrap() };
        let columns = |names: &[&str]| {
            let text = cordon_model::AttributeType::Text;
            names.iter().map(|name| ((*name).to_owned(), text)).collect()
        };
        let announced = Announced::from([
            (of(RecordKind::Resource, "user"), columns(&["id", "mail"])),
            (of(RecordKind::Resource, "group"), columns(&["id"])),
            (of(RecordKind::Entitlement, "group"), columns(&["id"])),
            (of(RecordKind::Grant, "user"), columns(&["principal", "entitlement"])),
        ]);
        let policy = Policy::default().overlaid(&toml::from_str(guard).unwrap());
        let told = policy.named().into_iter().filter_map(|named| {
            named.misnamed(&announced).map(|it| format!("{}: {}", named.line, it.why))
        });
        told.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn the_defaults_name_nothing() {
        assert_eq!(Policy::default().named(), BTreeSet::new());
    }

    #[test]
    fn a_type_that_nobody_announces_is_told_wherever_it_is_named() {
        for guard in [
            "removed.user = { count = 1 }\nadded.grant = { count = 1 }\nremoved.default = { count = 9 }",
            "modified.entitlement = { count = 1 }\nbudget = [{ within = \"7d\", percent = 5 }]",
            "schema.required = [\"user.mail\", \"grant.principal\"]",
        ] {
            assert_eq!(misnamed(guard), "", "{guard}");
        }
        for (guard, line) in [
            ("removed.usr = { count = 1 }", "removed.usr"),
            ("added.usr = { count = 1 }", "added.usr"),
            ("modified.usr = { count = 1 }", "modified.usr"),
            ("budget = [{ within = \"7d\", percent = 5, of = \"usr\" }]", "budget"),
            ("schema.required = [\"usr.mail\"]", "schema.required"),
        ] {
            assert_eq!(misnamed(guard), format!("{line}: the connector announces no type usr"));
        }
    }

    #[test]
    fn an_attribute_that_nobody_announces_is_told() {
        let told = misnamed("schema.required = [\"user.mial\"]");
        assert_eq!(told, "schema.required: user has no attribute mial");
    }

    #[test]
    fn a_pattern_that_fits_no_key_of_any_type_is_told() {
        for fits in ["user:breakglass*", "*", "*admin*", "us*", "user*", "entitlement:vpn", "user:"]
        {
            assert_eq!(misnamed(&format!("protected = [\"{fits}\"]")), "", "{fits}");
        }
        let told = misnamed("protected = [\"usr:breakglass*\"]");
        assert_eq!(told, "protected: the connector announces no type usr");
        for fits_none in ["breakglass*", "user", "users*", "u1"] {
            let told = misnamed(&format!("protected = [\"{fits_none}\"]"));
            assert!(told.contains("a key is a type, a colon and an id"), "{fits_none}: {told}");
        }
    }
}
