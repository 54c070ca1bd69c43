//! Members that are neither a user nor a group that was read.
//!
//! Some are entries of another kind, such as contacts, or lie elsewhere: they are reported as what
//! they are, a `principal`, so that what they hold stays in sight. Others are named below the base and
//! cannot be found: either they are hidden from this account, or they are gone and a group still names
//! them. Their grants are reported with a holder that is not, which the gate counts as dangling
//! references; to drop them in silence would turn a rule that hides a department into leavers.

use std::collections::HashMap;

use crate::connection::{Connection, Search};
use crate::dialect::{Dialect, ExtendedName};
use crate::dn::{self, Key};
use crate::entry::Entry;
use crate::fault::Fault;
use crate::guid::Guid;

/// Members that are kept, and memberships of them.
const MEMBERS_MAX: usize = 50_000;
const MEMBERSHIPS_MAX: usize = 1_000_000;
/// Members that are asked for one by one, at a server that cannot be asked for several.
const ASKED_MAX: usize = 2_000;
/// Ids in one filter.
const IDS_AT_ONCE: usize = 50;
/// Bytes of an id, at most; what a member's entitlement adds to it stays below the gate's bound.
const ID_BYTES_MAX: usize = 800;

/// Members that were not read, with the groups that name them.
#[derive(Default)]
pub(crate) struct Unread {
    names: HashMap<Key, String>,
    memberships: Vec<(Key, Guid)>,
    /// Memberships that were too many to keep.
    pub(crate) dropped: u64,
}

/// What a member is that was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// An entry of another kind.
    Entry { id: String, dn: String, class: Option<String> },
    /// Somebody outside of what is read, of whom only the name is known.
    Elsewhere { id: String, dn: String },
    /// Named below the base, and not to be found.
    Unseen { id: String },
    /// Not asked for: there were too many.
    Unasked,
}

impl Unread {
    /// Keeps a member of a group.
    pub(crate) fn add(&mut self, key: Key, name: &str, group: Guid) {
        let is_new = !self.names.contains_key(&key);
        let is_full = self.memberships.len() >= MEMBERSHIPS_MAX;
        if is_full || (is_new && self.names.len() >= MEMBERS_MAX) {
            self.dropped += 1;
            return;
        }
        if is_new {
            self.names.insert(key, name.to_owned());
        }
        self.memberships.push((key, group));
    }

    /// All memberships of those that were not read.
    pub(crate) fn memberships(&self) -> &[(Key, Guid)] {
        &self.memberships
    }

    /// Asks the server what they are. `bases` are those of the users and groups that are read.
    pub(crate) async fn look(
        &self,
        connection: &mut Connection,
        dialect: Dialect,
        context: &str,
        bases: [&str; 2],
    ) -> Result<HashMap<Key, Found>, Fault> {
        match dialect {
            Dialect::ActiveDirectory => self.look_by_id(connection, context).await,
            Dialect::Standard => self.look_by_name(connection, bases).await,
        }
    }

    async fn look_by_id(
        &self,
        connection: &mut Connection,
        context: &str,
    ) -> Result<HashMap<Key, Found>, Fault> {
        let dialect = Dialect::ActiveDirectory;
        let mut found = HashMap::new();
        // A link leads to an entry of this controller for as long as the entry is there, so one whose
        // entry is not found is hidden.
        for (key, name) in &self.names {
            let read = ExtendedName::read(name);
            let id = read.guid.map_or_else(|| id_of_name(read.dn), |guid| guid.to_string());
            found.insert(*key, Found::Unseen { id });
        }
        let ids: Vec<Guid> =
            self.names.values().filter_map(|name| ExtendedName::read(name).guid).collect();
        for some in ids.chunks(IDS_AT_ONCE) {
            let conditions: String = some.iter().map(|id| dialect.is(*id)).collect();
            let filter = format!("(|{conditions})");
            let search = Search {
                base: context,
                scope: ldap3::Scope::Subtree,
                filter: &filter,
                attributes: &["objectGUID", "objectClass"],
                controls: dialect.controls(),
                entries_max: IDS_AT_ONCE as u32,
            };
            for entry in connection.search(search).await?.entries {
                found.insert(dialect.key(&entry.dn), seen(dialect, &entry));
            }
        }
        Ok(found)
    }

    async fn look_by_name(
        &self,
        connection: &mut Connection,
        bases: [&str; 2],
    ) -> Result<HashMap<Key, Found>, Fault> {
        let dialect = Dialect::Standard;
        let mut found = HashMap::new();
        for (asked, (key, name)) in self.names.iter().enumerate() {
            if asked >= ASKED_MAX {
                found.insert(*key, Found::Unasked);
                continue;
            }
            let entry = connection.entry(name, &["entryUUID", "objectClass"], vec![]).await;
            let what = match entry {
                Ok(Some(entry)) => seen(dialect, &entry),
                Ok(None) | Err(Fault::Refused { code: 50, .. } | Fault::Referred(_)) => {
                    let id = id_of_name(name);
                    match bases.iter().any(|base| dn::is_below(name, base)) {
                        true => Found::Unseen { id },
                        false => Found::Elsewhere { id, dn: name.clone() },
                    }
                }
                Err(fault) => return Err(fault),
            };
            found.insert(*key, what);
        }
        Ok(found)
    }
}

fn seen(dialect: Dialect, entry: &Entry) -> Found {
    let dn = ExtendedName::read(&entry.dn).dn.to_owned();
    let id = dialect.id(entry).map_or_else(|| id_of_name(&dn), |id| id.to_string());
    let class = entry.values("objectClass").last();
    let class = class.and_then(|class| String::from_utf8(class.clone()).ok());
    Found::Entry { id, dn, class }
}

/// The id of somebody of whom only the name is known.
pub(crate) fn id_of_name(name: &str) -> String {
    let id = dn::normalized(name);
    if id.len() <= ID_BYTES_MAX { id } else { format!("dn:{:032x}", dn::key(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_an_end_and_what_is_not_is_counted() {
        let group = Guid::parse("00000000-0000-0000-0000-000000000001").unwrap();
        let mut unread = Unread::default();
        for member in 0..MEMBERS_MAX as u128 {
            unread.add(member, "cn=a", group);
        }
        unread.add(7, "cn=a", group);
        unread.add(u128::MAX, "cn=b", group);
        assert_eq!((unread.names.len(), unread.dropped), (MEMBERS_MAX, 1));
        assert_eq!(unread.memberships().len(), MEMBERS_MAX + 1);
    }

    #[test]
    fn an_id_made_of_a_name_is_its_one_spelling_and_never_too_long() {
        assert_eq!(id_of_name("UID=Bob, DC=x"), "uid=bob,dc=x");
        let long = format!("cn={},dc=x", "a".repeat(1_000));
        assert_eq!(id_of_name(&long).len(), 35);
    }
}
