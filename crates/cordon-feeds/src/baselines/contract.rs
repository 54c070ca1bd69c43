//! Contract tests, as a careful user of such a tool has them.
//!
//! What each sync has to meet is written down in the first thirty days of a source: an attribute is
//! required if every record of its type had a value on all of them. A requirement that an honest day
//! broke was a false alarm once; it is taken out then, and is none every day after.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cordon_model::{RecordKind, Value};

use crate::listing::{Listing, Section};

/// What was written down.
#[derive(Default)]
pub(crate) struct Contract {
    /// By type, attributes that were full on some day of the set-up.
    full: BTreeSet<(String, String)>,
    /// Those that were not, on a day of the set-up or an honest one after it.
    partial: BTreeSet<(String, String)>,
    /// The most grants of nobody on an honest day: some sources have a few, always.
    dangling: usize,
}

impl Contract {
    /// An honest day. In the set-up it adds to what is required; later it can only take away.
    pub(crate) fn see(&mut self, listing: &Listing, setting_up: bool) {
        self.dangling = self.dangling.max(dangling(listing));
        for section in listing.sections.iter().filter(|section| !section.items.is_empty()) {
            let of = section.record_type.to_string();
            let known = self.full.iter().filter(|(of_type, _)| *of_type == of);
            let gone: Vec<_> = known.filter(|(_, name)| !is_full(section, name)).cloned().collect();
            self.partial.extend(gone);
            for name in section.columns.keys().filter(|_| setting_up) {
                let column = (of.clone(), name.clone());
                if is_full(section, name) {
                    self.full.insert(column);
                } else {
                    self.partial.insert(column);
                }
            }
        }
    }

    /// Whether a sync breaks it: a key that is repeated, a type that has no records left, a required
    /// value that is missing, an attribute of another type, more grants of nobody than ever.
    pub(crate) fn is_broken(&self, before: &Listing, after: &Listing, repeated: u64) -> bool {
        repeated > 0
            || before.sections.iter().zip(&after.sections).any(|(old, new)| {
                (!old.items.is_empty() && new.items.is_empty()) || retyped(old, new)
            })
            || after.sections.iter().any(|section| self.lacks_values(section))
            || dangling(after) > self.dangling
    }

    fn lacks_values(&self, section: &Section) -> bool {
        let of = section.record_type.to_string();
        !section.items.is_empty()
            && self.full.iter().any(|column| {
                column.0 == of && !self.partial.contains(column) && !is_full(section, &column.1)
            })
    }
}

fn is_full(section: &Section, name: &str) -> bool {
    section.columns.get(name).copied().unwrap_or_default() == section.items.len() as u64
}

fn retyped(old: &Section, new: &Section) -> bool {
    if old.items.iter().zip(&new.items).all(|(a, b)| a.place.hash == b.place.hash) {
        return false;
    }
    let now = kinds(new);
    kinds(old).iter().any(|(name, kind)| now.get(name).is_some_and(|now| now != kind))
}

fn kinds(section: &Section) -> BTreeMap<&str, u8> {
    let mut kinds = BTreeMap::new();
    for (name, value) in section.items.iter().flat_map(|item| &item.row.values) {
        kinds.entry(name.as_str()).or_insert_with(|| kind(value));
    }
    kinds
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Text(_) => 0,
        Value::Integer(_) => 1,
        Value::Boolean(_) => 2,
        Value::Timestamp(_) => 3,
    }
}

/// Grants whose principals are not there.
fn dangling(listing: &Listing) -> usize {
    let of = |kind| listing.sections.iter().filter(move |s| s.record_type.kind == kind);
    let ids: HashSet<u64> =
        of(RecordKind::Resource).flat_map(|s| &s.items).map(|item| item.key.high).collect();
    let grants = of(RecordKind::Grant).flat_map(|s| &s.items);
    grants.filter(|item| !ids.contains(&item.key.high)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::{Delta, Order};
    use crate::state::State;

    /// Users, each with a mail or without, and grants, each with its principal.
    fn listing(mails: &[bool], principals: &[&str]) -> Listing {
        let group = serde_json::json!(["g", "g", {}]);
        let users = (0..).zip(mails).map(|(n, has_mail)| {
            let id = format!("u{n}");
            let mail = has_mail.then_some(&id);
            serde_json::json!(["u", id, { "mail": mail }])
        });
        let grants = principals.iter().map(|one| serde_json::json!(["m", one, "g", "member"]));
        let add = std::iter::once(group).chain(users).chain(grants).collect();
        let mut state = State::default();
        state.apply(&Delta { add, ..Delta::default() }).unwrap();
        Listing::of(&state, Order::Id)
    }

    #[test]
    fn what_every_day_of_the_set_up_had_is_required_until_an_honest_day_breaks_it() {
        let (full, partly) = (listing(&[true, true], &[]), listing(&[true, false], &[]));
        let mut contract = Contract::default();
        contract.see(&full, true);
        assert!(contract.is_broken(&full, &partly, 0));
        contract.see(&partly, false);
        assert!(!contract.is_broken(&full, &partly, 0));

        let mut contract = Contract::default();
        contract.see(&partly, true);
        contract.see(&full, true);
        assert!(!contract.is_broken(&full, &partly, 0));
    }

    #[test]
    fn keys_types_and_references_are_required() {
        let (full, none) = (listing(&[true], &["u0"]), listing(&[], &[]));
        let mut contract = Contract::default();
        contract.see(&full, true);
        assert!(!contract.is_broken(&full, &full, 0));
        assert!(contract.is_broken(&full, &full, 1));
        assert!(contract.is_broken(&full, &none, 0));
        let dangling = listing(&[true], &["u0", "u7"]);
        assert!(contract.is_broken(&full, &dangling, 0));
        contract.see(&dangling, false);
        assert!(!contract.is_broken(&full, &dangling, 0));
        assert!(contract.is_broken(&full, &listing(&[true], &["u0", "u7", "u8"]), 0));
    }
}
