//! Who there is: every user and group of a first reading, by name, so that a member of a group leads
//! to its id without a search.
//!
//! About 100 bytes an entry, whatever else it has. Names are kept as digests: a directory of a million
//! entries has names of a hundred bytes each.

use std::collections::HashMap;

use crate::dialect::{self, Dialect, Kind};
use crate::dn::{self, Key};
use crate::entry::Entry;
use crate::guid::Guid;

/// The place of a principal in the order in which they were found.
pub(crate) type Place = u32;

/// Marks a name that leads to more than one entry.
const AMBIGUOUS: Place = Place::MAX;

/// A user or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) id: Guid,
    pub(crate) kind: Kind,
    /// The number of a user's primary group, or of a group.
    number: Option<u32>,
    /// Whether the second reading has found it as well.
    is_confirmed: bool,
}

/// Where a member's name leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    Known(Place),
    /// To more than one entry.
    Ambiguous,
    /// To none that was found.
    Unread(Key),
}

/// All users and groups.
pub(crate) struct Principals {
    dialect: Dialect,
    list: Vec<Principal>,
    by_name: HashMap<Key, Place>,
    by_login: HashMap<Key, Place>,
    /// Users by the number of their primary group.
    primary: HashMap<u32, Vec<Place>>,
}

impl Principals {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            list: vec![],
            by_name: HashMap::new(),
            by_login: HashMap::new(),
            primary: HashMap::new(),
        }
    }

    /// Attributes that are needed of an entry.
    pub(crate) fn attributes(dialect: Dialect, kind: Kind) -> &'static [&'static str] {
        match (dialect, kind) {
            (Dialect::ActiveDirectory, Kind::User) => &["objectGUID", "primaryGroupID"],
            (Dialect::ActiveDirectory, Kind::Group) => &["objectGUID", "objectSid"],
            (Dialect::Standard, Kind::User) => &["entryUUID", "uid", "gidNumber"],
            (Dialect::Standard, Kind::Group) => &["entryUUID", "gidNumber"],
        }
    }

    /// Adds an entry; false where it has no id that can be seen. One that is there already stays what
    /// it was first.
    pub(crate) fn add(&mut self, kind: Kind, entry: &Entry) -> bool {
        let Some(id) = self.dialect.id(entry) else { return false };
        let place = self.list.len() as Place;
        let name = self.dialect.key(&entry.dn);
        match self.by_name.get(&name).and_then(|place| self.list.get(*place as usize)) {
            Some(known) if known.id == id => return true,
            // Two entries of one name: one was renamed while the other took its name.
            Some(_) => {
                self.by_name.insert(name, AMBIGUOUS);
            }
            None if self.by_name.contains_key(&name) => {}
            None => {
                self.by_name.insert(name, place);
            }
        }
        let number = number_of(self.dialect, kind, entry);
        if let (Kind::User, Some(number)) = (kind, number) {
            self.primary.entry(number).or_default().push(place);
        }
        if let (Kind::User, Dialect::Standard) = (kind, self.dialect) {
            for login in entry.values("uid") {
                let login = dn::key_of(&String::from_utf8_lossy(login));
                let taken = self.by_login.insert(login, place);
                if taken.is_some_and(|other| other != place) {
                    self.by_login.insert(login, AMBIGUOUS);
                }
            }
        }
        self.list.push(Principal { id, kind, number, is_confirmed: false });
        true
    }

    /// How many there are of a kind.
    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.list.iter().filter(|it| it.kind == kind).count() as u64
    }

    pub(crate) fn get(&self, place: Place) -> Option<Principal> {
        self.list.get(place as usize).copied()
    }

    /// The principal that a name leads to.
    pub(crate) fn named(&self, name: &str) -> Holder {
        self.holder(&self.by_name, self.dialect.key(name))
    }

    /// The user that logs in by that name.
    pub(crate) fn with_login(&self, login: &str) -> Holder {
        self.holder(&self.by_login, dn::key_of(login))
    }

    fn holder(&self, names: &HashMap<Key, Place>, key: Key) -> Holder {
        match names.get(&key) {
            None => Holder::Unread(key),
            Some(&AMBIGUOUS) => Holder::Ambiguous,
            Some(&place) => Holder::Known(place),
        }
    }

    /// The users whose primary group an entry is.
    pub(crate) fn primary_members(&self, group: &Entry) -> &[Place] {
        let number = number_of(self.dialect, Kind::Group, group);
        number.and_then(|number| self.primary.get(&number)).map_or(&[], Vec::as_slice)
    }

    /// Notes that the second reading found an entry; false where the first had not.
    pub(crate) fn confirm(&mut self, entry: &Entry) -> bool {
        let Some(&place) = self.by_name.get(&self.dialect.key(&entry.dn)) else { return false };
        let Some(principal) = self.list.get_mut(place as usize) else { return false };
        principal.is_confirmed = true;
        true
    }

    /// Those of a kind that the second reading did not find.
    pub(crate) fn unconfirmed(&self, kind: Kind) -> u64 {
        self.list.iter().filter(|it| it.kind == kind && !it.is_confirmed).count() as u64
    }
}

/// The number by which users name their primary group.
fn number_of(dialect: Dialect, kind: Kind, entry: &Entry) -> Option<u32> {
    let number = |name: &str| entry.text_of(name)?.parse().ok();
    match (dialect, kind) {
        (Dialect::ActiveDirectory, Kind::User) => number("primaryGroupID"),
        // A builtin group has a number of its own kind; nobody's primary group is one.
        (Dialect::ActiveDirectory, Kind::Group) => {
            let (number, is_builtin) = dialect::relative_id(entry.bytes_of("objectSid")?)?;
            (!is_builtin).then_some(number)
        }
        (Dialect::Standard, _) => number("gidNumber"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(dn: &str, id: u8, more: &[(&str, &str)]) -> Entry {
        let id = format!("00000000-0000-0000-0000-0000000000{id:02x}");
        let mut attributes = vec![("entryUUID", id.as_str())];
        attributes.extend(more);
        Entry::new(dn, &attributes)
    }

    #[test]
    fn members_lead_to_ids_whatever_way_they_are_written() {
        let mut all = Principals::new(Dialect::Standard);
        assert!(
            all.add(Kind::User, &entry("uid=bob,dc=x", 1, &[("uid", "bob"), ("gidNumber", "7")]))
        );
        assert!(all.add(Kind::Group, &entry("cn=staff,dc=x", 2, &[("gidNumber", "7")])));
        assert!(!all.add(Kind::User, &Entry::new("uid=hidden,dc=x", &[])));
        assert_eq!(all.named("UID=Bob, DC=x"), Holder::Known(0));
        assert_eq!(all.named("cn=staff,dc=x"), Holder::Known(1));
        assert_eq!(all.with_login("bob"), Holder::Known(0));
        assert!(matches!(all.with_login("Bob"), Holder::Unread(_)));
        assert!(matches!(all.named("uid=hidden,dc=x"), Holder::Unread(_)));
        let staff = entry("cn=staff,dc=x", 2, &[("gidNumber", "7")]);
        assert_eq!(all.primary_members(&staff), [0]);
        assert_eq!((all.count(Kind::User), all.unconfirmed(Kind::User)), (1, 1));
        assert!(all.confirm(&entry("uid=bob,dc=x", 1, &[])));
        assert_eq!((all.unconfirmed(Kind::User), all.unconfirmed(Kind::Group)), (0, 1));
    }

    #[test]
    fn a_name_that_two_entries_bear_leads_to_neither() {
        let mut all = Principals::new(Dialect::Standard);
        all.add(Kind::User, &entry("uid=bob,dc=x", 1, &[("uid", "bob")]));
        all.add(Kind::User, &entry("uid=bob,ou=b,dc=x", 2, &[("uid", "bob")]));
        all.add(Kind::User, &entry("uid=Bob,dc=x", 3, &[]));
        all.add(Kind::User, &entry("uid=bob,dc=x", 4, &[]));
        assert_eq!(all.with_login("bob"), Holder::Ambiguous);
        assert_eq!(all.named("uid=bob,dc=x"), Holder::Ambiguous);
        assert_eq!(all.count(Kind::User), 4);
    }
}
