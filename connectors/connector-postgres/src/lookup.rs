//! The server's word on single records.
//!
//! A key says which objects to ask about, and the questions of a sync are asked again, about these
//! alone. What comes is compared with the keys. A record is absent only if its question was answered
//! in full; where a right is missing, a database cannot be entered or is not configured, nothing is
//! said.

use std::collections::{BTreeMap, HashMap, HashSet};

use cordon_sdk::{Error, Presence, RecordKey, RecordKind};
use tokio_postgres::Transaction;

use crate::catalog::{self, Family};
use crate::config::{Include, Tables};
use crate::fact::{Fact, Part};
use crate::postgres::Postgres;
use crate::reading::{self, Taker};
use crate::roles::{Known, PUBLIC};
use crate::server::Server;
use crate::session::{LoginError, Waiting};
use crate::targets;

/// What was seen of the keys that are asked for.
pub(crate) struct Seen<'k> {
    /// The places of each in `is_there`.
    asked: HashMap<(RecordKind, &'k str, &'k str, &'k str), Vec<usize>>,
    is_there: Vec<bool>,
    /// Scopes of the question at hand that were not answered in full.
    lacking: HashSet<Part>,
}

impl Seen<'_> {
    pub(crate) fn take(&mut self, fact: &Fact) {
        for place in self.asked.get(&fact.key()).into_iter().flatten() {
            if let Some(is_there) = self.is_there.get_mut(*place) {
                *is_there = true;
            }
        }
    }

    pub(crate) fn lacks(&mut self, parts: &[Part]) {
        self.lacking.extend(parts);
    }
}

/// Where a record is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Everywhere, without a question.
    Fixed,
    /// Among the roles; its number.
    Role(u32),
    /// Among the memberships of that member.
    Member(u32),
    /// Among the passwords, of that role.
    Password(u32),
    /// Among the databases.
    Database(u32),
    /// In that database, among the schemas.
    Schema(u32, u32),
    /// In that database, among the tables of a schema.
    TablesOf(u32, u32),
    /// In that database, among the tables.
    Table(u32, u32),
    /// In that database, among the default privileges of a creator.
    Default(u32, u32),
    /// Nowhere: no record of ours has such a key.
    Nowhere,
    /// Records of this kind are none of ours.
    Foreign,
}

fn place(key: &RecordKey) -> Place {
    let type_name = key.record_type.name.as_str();
    let found = match key.record_type.kind {
        RecordKind::Resource => match type_name {
            "app" => Some(Place::Fixed),
            "group" if key.id == PUBLIC => Some(Place::Fixed),
            "user" | "group" => number(&key.id).map(Place::Role),
            "secret" => key.id.strip_prefix("password:").and_then(number).map(Place::Password),
            "database" => number(&key.id).map(Place::Database),
            "schema" => pair(&key.id).map(|(database, it)| Place::Schema(database, it)),
            "table" => pair(&key.id).map(|(database, it)| Place::Table(database, it)),
            _ => Some(Place::Foreign),
        },
        RecordKind::Entitlement => entitlement(&key.id, None),
        RecordKind::Grant => {
            let holder = number(&key.id);
            let is_holder = holder.is_some() || key.id == PUBLIC;
            let held = entitlement(&key.entitlement, Some(holder.unwrap_or_default()));
            held.filter(|_| is_holder)
        }
    };
    found.unwrap_or(Place::Nowhere)
}

/// Where an entitlement is found, or, with a holder, its grant.
fn entitlement(id: &str, holder: Option<u32>) -> Option<Place> {
    let (what, rest) = id.split_once(':')?;
    match what {
        "member" | "admin" => {
            let role = number(rest)?;
            Some(holder.map_or(Place::Role(role), Place::Member))
        }
        catalog::CLUSTER => Some(holder.map_or(Place::Fixed, Place::Role)),
        _ => {
            let (object, rest) = rest.split_once(':')?;
            match what {
                "database" => number(object).map(Place::Database),
                "schema" => pair(object).map(|(database, it)| Place::Schema(database, it)),
                "tables" => pair(object).map(|(database, it)| Place::TablesOf(database, it)),
                "table" => pair(object).map(|(database, it)| Place::Table(database, it)),
                "default" => {
                    let database = match pair(object) {
                        Some((database, _)) => database,
                        None => number(object)?,
                    };
                    let creator = number(rest.split_once(':')?.0)?;
                    Some(Place::Default(database, creator))
                }
                _ => None,
            }
        }
    }
}

/// A number as ids are written: without sign or zeros in front.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

fn pair(text: &str) -> Option<(u32, u32)> {
    let (database, object) = text.split_once('.')?;
    Some((number(database)?, number(object)?))
}

/// Answers for every key, in their order.
pub(crate) async fn presences(
    connector: &Postgres,
    keys: &[RecordKey],
) -> Result<Vec<Presence>, Error> {
    let places: Vec<Place> = keys.iter().map(place).collect();
    let mut asked: HashMap<_, Vec<usize>> = HashMap::new();
    for (at, key) in keys.iter().enumerate() {
        let second = match key.record_type.kind {
            RecordKind::Grant => key.entitlement.as_str(),
            RecordKind::Resource | RecordKind::Entitlement => "",
        };
        let name = key.record_type.name.as_str();
        let key = (key.record_type.kind, name, key.id.as_str(), second);
        asked.entry(key).or_default().push(at);
    }
    let seen = Seen { asked, is_there: vec![false; keys.len()], lacking: HashSet::new() };
    let mut question = Question { connector, keys, places: &places, seen, unsaid: HashSet::new() };
    question.ask().await?;
    let Question { seen, unsaid, .. } = question;
    let presence = |(at, place): (usize, &Place)| match place {
        Place::Foreign => Presence::Unknown,
        _ if seen.is_there.get(at) == Some(&true) => Presence::Present,
        _ if unsaid.contains(&at) => Presence::Unknown,
        _ => Presence::Absent,
    };
    Ok(places.iter().enumerate().map(presence).collect())
}

struct Question<'k> {
    connector: &'k Postgres,
    keys: &'k [RecordKey],
    places: &'k [Place],
    seen: Seen<'k>,
    /// Places of keys to which there is no answer.
    unsaid: HashSet<usize>,
}

impl Question<'_> {
    async fn ask(&mut self) -> Result<(), Error> {
        let config = &self.connector.config;
        for fact in catalog::fixed() {
            self.seen.take(&fact);
        }
        let mut session = self.connector.access.log_in(&config.database, None).await?;
        let (mut transaction, waiting) = session.begin(None).await?;
        let server = Server::look(&mut transaction, waiting).await?;
        server.expect(config)?;
        let mut known = self.connector.known()?.only_some();
        self.ask_cluster(&mut transaction, waiting, &server, &mut known).await?;
        let databases = self.databases();
        if !databases.is_empty() {
            let all = targets::databases(&transaction, waiting).await?;
            let (chosen, _) = targets::chosen(config, &all);
            for oid in databases {
                let target = chosen.iter().find(|database| database.oid == oid);
                known.database = oid;
                match target {
                    Some(target) if target.is_here => {
                        self.ask_database(&mut transaction, waiting, &mut known).await?;
                    }
                    Some(target) => self.visit(&target.name, &server, &mut known).await?,
                    // A database that was dropped has nothing any more; others we do not enter.
                    None if all.iter().all(|database| database.oid != oid) => {}
                    None => self.leave_unsaid(oid),
                }
            }
        }
        Ok(waiting.on("the server", transaction.rollback()).await?)
    }

    /// The numbers of the objects that keys speak of, and the places of those keys.
    fn only(&self, of: impl Fn(Place) -> Option<u32>) -> (Vec<u32>, Vec<usize>) {
        let (mut oids, mut at) = (Vec::new(), Vec::new());
        for (place, oid) in self.places.iter().map(|place| of(*place)).enumerate() {
            if let Some(oid) = oid {
                oids.push(oid);
                at.push(place);
            }
        }
        oids.sort_unstable();
        oids.dedup();
        (oids, at)
    }

    async fn ask_cluster(
        &mut self,
        transaction: &mut Transaction<'_>,
        waiting: Waiting<'_>,
        server: &Server,
        known: &mut Known,
    ) -> Result<(), Error> {
        let config = &self.connector.config;
        let bounds = &config.bounds;
        // Holders first: what they are decides under which key the rest is reported.
        let mut holders = self.only(|place| match place {
            Place::Role(role) | Place::Member(role) | Place::Password(role) => Some(role),
            _ => None,
        });
        let grants = self.keys.iter().filter(|key| key.record_type.kind == RecordKind::Grant);
        holders.0.extend(grants.filter_map(|key| number(&key.id)));
        let roles = catalog::roles(server.dialect, bounds);
        self.put(transaction, waiting, &roles, known, holders).await?;
        if !self.seen.lacking.is_empty() {
            // Who cannot be told from a group can be denied nothing.
            self.unsaid.extend(0..self.keys.len());
            return Ok(());
        }
        let members = self.only(|place| match place {
            Place::Member(member) => Some(member),
            _ => None,
        });
        let family = catalog::memberships(server.dialect, bounds);
        self.put(transaction, waiting, &family, known, members).await?;

        let databases = self.only(|place| match place {
            Place::Database(oid) => Some(oid),
            _ => None,
        });
        if config.includes(Include::Privileges) {
            self.put(transaction, waiting, &catalog::databases(bounds), known, databases).await?;
        } else {
            self.unsaid.extend(databases.1);
        }
        let passwords = self.only(|place| match place {
            Place::Password(role) => Some(role),
            _ => None,
        });
        if config.includes(Include::Passwords) {
            let family = catalog::passwords(server.dialect, bounds);
            self.put(transaction, waiting, &family, known, passwords).await?;
        } else {
            self.unsaid.extend(passwords.1);
        }
        Ok(())
    }

    /// The databases that have to be entered.
    fn databases(&self) -> Vec<u32> {
        let oids: BTreeMap<u32, ()> =
            self.places.iter().filter_map(|place| Some((database_of(*place)?, ()))).collect();
        oids.into_keys().collect()
    }

    fn leave_unsaid(&mut self, database: u32) {
        let places = self.places.iter().enumerate();
        let inside = places.filter(|(_, place)| database_of(**place) == Some(database));
        self.unsaid.extend(inside.map(|(at, _)| at));
    }

    async fn visit(&mut self, name: &str, first: &Server, known: &mut Known) -> Result<(), Error> {
        let mut session = match self.connector.access.log_in(name, None).await {
            Ok(session) => session,
            Err(LoginError::Database(_)) => {
                self.leave_unsaid(known.database);
                return Ok(());
            }
            Err(LoginError::Failed(error)) => return Err(error),
        };
        let (mut transaction, waiting) = session.begin(None).await?;
        Server::look(&mut transaction, waiting).await?.expect_same(first)?;
        self.ask_database(&mut transaction, waiting, known).await?;
        Ok(waiting.on("the server", transaction.rollback()).await?)
    }

    async fn ask_database(
        &mut self,
        transaction: &mut Transaction<'_>,
        waiting: Waiting<'_>,
        known: &mut Known,
    ) -> Result<(), Error> {
        let (config, database) = (&self.connector.config, known.database);
        let bounds = &config.bounds;
        let schemas = self.only(|place| match place {
            Place::Schema(of, it) if of == database => Some(it),
            _ => None,
        });
        let tables_of = self.only(|place| match place {
            Place::TablesOf(of, it) if of == database => Some(it),
            _ => None,
        });
        let tables = self.only(|place| match place {
            Place::Table(of, it) if of == database => Some(it),
            _ => None,
        });
        let defaults = self.only(|place| match place {
            Place::Default(of, creator) if of == database => Some(creator),
            _ => None,
        });
        let has_privileges = config.includes(Include::Privileges);
        let is_by_schema = config.tables == Tables::Schema;
        let has_defaults = config.includes(Include::DefaultPrivileges);
        for (family, asked, is_read) in [
            (catalog::schemas(bounds), schemas, has_privileges),
            (catalog::tables(Tables::Schema, bounds), tables_of, has_privileges && is_by_schema),
            (catalog::tables(Tables::Table, bounds), tables, has_privileges && !is_by_schema),
            (catalog::defaults(bounds), defaults, has_defaults),
        ] {
            if is_read {
                self.put(transaction, waiting, &family, known, asked).await?;
            } else {
                self.unsaid.extend(asked.1);
            }
        }
        Ok(())
    }

    /// Asks one question about the objects with these numbers, which the keys at these places speak
    /// of.
    async fn put(
        &mut self,
        transaction: &mut Transaction<'_>,
        waiting: Waiting<'_>,
        family: &Family,
        known: &mut Known,
        (oids, at): (Vec<u32>, Vec<usize>),
    ) -> Result<(), Error> {
        self.seen.lacking.clear();
        if oids.is_empty() {
            return Ok(());
        }
        let mut taker = Taker::Seen(&mut self.seen);
        reading::read(transaction, waiting, family, known, Some(&oids), &mut taker).await?;
        if !self.seen.lacking.is_empty() {
            self.unsaid.extend(at);
        }
        Ok(())
    }
}

/// The database that has to be entered for a record.
fn database_of(place: Place) -> Option<u32> {
    match place {
        Place::Schema(database, _)
        | Place::TablesOf(database, _)
        | Place::Table(database, _)
        | Place::Default(database, _) => Some(database),
        _ => None,
    }
}
