//! The server's word on single records.
//!
//! It decides whether a loss is believed, so it is careful with "absent": an entry that cannot be
//! found is absent only where the last reading showed nothing that this account may not see, and a
//! membership only where the group shows members at all.

use std::collections::HashMap;

use cordon_sdk::{Error, Presence, RecordKey, RecordKind};
use ldap3::ldap_escape;

use crate::config::Config;
use crate::connection::{Connection, Search};
use crate::dialect::{self, Dialect, ExtendedName, Kind};
use crate::entry::Entry;
use crate::fault::Fault;
use crate::guid::Guid;
use crate::report::PRINCIPAL;
use crate::root::Root;
use crate::view::View;

/// Ids in one filter.
const IDS_AT_ONCE: usize = 50;
/// What is needed of an entry to say what it is a member of.
const DOMAIN: [&str; 3] = ["objectGUID", "objectSid", "primaryGroupID"];
const STANDARD: [&str; 3] = ["entryUUID", "uid", "gidNumber"];

/// Where a record's entry is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Kind(Kind),
    /// Anywhere.
    Context,
}

/// Who a key speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Entry(Place, Guid),
    /// Somebody who is known by name alone.
    Name(String),
    /// Nobody: no entry can have such an id.
    Nobody,
}

/// Answers for each key, in their order.
pub(crate) async fn look_up(
    config: &Config,
    view: Option<View>,
    keys: &[RecordKey],
) -> Result<Vec<Presence>, Error> {
    let mut connection = Connection::open(config).await?;
    let root = Root::read(&mut connection).await?;
    let not_found = match view.is_some_and(View::proves_absence) {
        true => Presence::Absent,
        false => Presence::Unknown,
    };
    let mut lookup = Lookup { config, connection, root, not_found, entries: HashMap::new() };
    lookup.answer(keys).await.map_err(|fault| fault.into_error("look up records"))
}

struct Lookup<'a> {
    config: &'a Config,
    connection: Connection,
    root: Root,
    /// What it means that an entry is not found.
    not_found: Presence,
    entries: HashMap<(Place, Guid), Entry>,
}

impl Lookup<'_> {
    async fn answer(&mut self, keys: &[RecordKey]) -> Result<Vec<Presence>, Fault> {
        let wanted: Vec<(Who, Option<Who>)> = keys.iter().map(who).collect();
        let mut ids: HashMap<Place, Vec<Guid>> = HashMap::new();
        for who in wanted.iter().flat_map(|(who, group)| [Some(who), group.as_ref()]).flatten() {
            if let Who::Entry(place, id) = who {
                let ids = ids.entry(*place).or_default();
                if !ids.contains(id) {
                    ids.push(*id);
                }
            }
        }
        for (place, ids) in ids {
            for some in ids.chunks(IDS_AT_ONCE) {
                self.find(place, some).await?;
            }
        }
        let mut answers = Vec::with_capacity(keys.len());
        for (who, group) in &wanted {
            answers.push(match group {
                None => self.resource(who).await?,
                Some(group) => self.grant(who, group).await?,
            });
        }
        Ok(answers)
    }

    /// Where a reading would look, and by which condition.
    fn place(&self, place: Place) -> (&str, String) {
        let Place::Kind(kind) = place else {
            return (self.root.context_of(&self.config.base), "(objectClass=*)".to_owned());
        };
        let selection = match kind {
            Kind::User => &self.config.users,
            Kind::Group => &self.config.groups,
        };
        let filter = selection.filter.as_deref();
        let filter = filter.unwrap_or_else(|| self.root.dialect.filter(kind)).to_owned();
        let filter = if filter.starts_with('(') { filter } else { format!("({filter})") };
        (self.config.base_of(selection), filter)
    }

    async fn find(&mut self, place: Place, ids: &[Guid]) -> Result<(), Fault> {
        let dialect = self.root.dialect;
        let conditions: String = ids.iter().map(|id| dialect.is(*id)).collect();
        let (base, filter) = self.place(place);
        let (base, filter) = (base.to_owned(), format!("(&{filter}(|{conditions}))"));
        let attributes = match dialect {
            Dialect::ActiveDirectory => &DOMAIN,
            Dialect::Standard => &STANDARD,
        };
        for entry in self.search(&base, &filter, attributes).await? {
            if let Some(id) = dialect.id(&entry) {
                self.entries.insert((place, id), entry);
            }
        }
        Ok(())
    }

    async fn search(
        &mut self,
        base: &str,
        filter: &str,
        attributes: &[&str],
    ) -> Result<Vec<Entry>, Fault> {
        let search = Search {
            base,
            scope: ldap3::Scope::Subtree,
            filter,
            attributes,
            controls: self.root.dialect.controls(),
            entries_max: IDS_AT_ONCE as u32,
        };
        Ok(self.connection.search(search).await?.entries)
    }

    async fn resource(&mut self, who: &Who) -> Result<Presence, Fault> {
        Ok(match who {
            Who::Entry(place, id) if self.entries.contains_key(&(*place, *id)) => Presence::Present,
            Who::Entry(..) => self.not_found,
            Who::Nobody => Presence::Absent,
            // Reported because a group names it.
            Who::Name(name) => {
                let (base, filter) = self.place(Place::Kind(Kind::Group));
                let (base, filter) = (base.to_owned(), format!("(&{filter}(|{}))", of_name(name)));
                match self.exists(&base, &filter).await? {
                    true => Presence::Present,
                    false => self.not_found,
                }
            }
        })
    }

    /// Whether a filter finds anything; there may be more than is asked for.
    async fn exists(&mut self, base: &str, filter: &str) -> Result<bool, Fault> {
        match self.search(base, filter, &["1.1"]).await {
            Ok(found) => Ok(!found.is_empty()),
            Err(Fault::Flood { .. }) => Ok(true),
            Err(fault) => Err(fault),
        }
    }

    async fn grant(&mut self, who: &Who, group: &Who) -> Result<Presence, Fault> {
        let Who::Entry(place, group_id) = group else { return Ok(Presence::Absent) };
        let Some(group) = self.entries.get(&(*place, *group_id)) else { return Ok(self.not_found) };
        let holds = match who {
            Who::Nobody => return Ok(Presence::Absent),
            Who::Name(name) => of_name(name),
            Who::Entry(place, id) => {
                let Some(entry) = self.entries.get(&(*place, *id)) else {
                    return Ok(self.not_found);
                };
                if self.root.dialect == Dialect::ActiveDirectory {
                    if is_primary(entry, group) {
                        return Ok(Presence::Present);
                    }
                    format!("(member=<GUID={id}>)")
                } else {
                    of_entry(entry)
                }
            }
        };
        let (base, _) = self.place(*place);
        let (base, is_group) = (base.to_owned(), self.root.dialect.is(*group_id));
        if self.exists(&base, &format!("(&{is_group}(|{holds}))")).await? {
            return Ok(Presence::Present);
        }
        // A group that shows nobody may be empty, or its members hidden.
        let shows = "(|(member=*)(uniqueMember=*)(memberUid=*))";
        Ok(match self.exists(&base, &format!("(&{is_group}{shows})")).await? {
            true => Presence::Absent,
            false => Presence::Unknown,
        })
    }
}

/// Who a key speaks of, and of a grant the group.
fn who(key: &RecordKey) -> (Who, Option<Who>) {
    let group = |id: &str| match id.strip_prefix("member:").and_then(Guid::parse) {
        Some(id) => Who::Entry(Place::Kind(Kind::Group), id),
        None => Who::Nobody,
    };
    let named = |type_name: &str, id: &str| {
        let place = match type_name {
            "user" => Place::Kind(Kind::User),
            "group" => Place::Kind(Kind::Group),
            PRINCIPAL => Place::Context,
            _ => return Who::Nobody,
        };
        match Guid::parse(id) {
            Some(id) => Who::Entry(place, id),
            // A login that no user has, or a name.
            None if place == Place::Context || id.contains('=') => Who::Name(id.to_owned()),
            None => Who::Nobody,
        }
    };
    let type_name = key.record_type.name.as_str();
    match key.record_type.kind {
        RecordKind::Resource => (named(type_name, &key.id), None),
        RecordKind::Entitlement => (group(&key.id), None),
        RecordKind::Grant => (named(type_name, &key.id), Some(group(&key.entitlement))),
    }
}

/// Whether a group of a domain is a user's primary group, which its members do not say.
fn is_primary(user: &Entry, group: &Entry) -> bool {
    let group = group.bytes_of("objectSid").and_then(dialect::relative_id);
    let primary = user.number_of("primaryGroupID");
    group.is_some_and(|(number, is_builtin)| !is_builtin && primary == Some(number.into()))
}

fn of_name(name: &str) -> String {
    let name = ldap_escape(name);
    format!("(member={name})(uniqueMember={name})(memberUid={name})")
}

/// The ways in which a group may name an entry.
fn of_entry(entry: &Entry) -> String {
    let mut ways = of_name(ExtendedName::read(&entry.dn).dn);
    for login in entry.values("uid") {
        let login = String::from_utf8_lossy(login).into_owned();
        ways.push_str(&format!("(memberUid={})", ldap_escape(login)));
    }
    if let Some(number) = entry.number_of("gidNumber") {
        ways.push_str(&format!("(gidNumber={number})"));
    }
    ways
}
