//! The state of a source on one day: its records, in the order in which it lists them.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use cordon_model::{RecordType, Row, Value as Cell};
use jiff::Timestamp;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::read::Delta;

/// Roles that give power over others, as the membership files of the feeds call them.
const PRIVILEGED: [&str; 8] =
    ["admin", "owner", "maintainer", "maintain", "root", "sudo", "wheel", "administrator"];

/// What sort of thing a record of a feed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Of {
    User,
    Group,
    Resource,
}

impl Of {
    pub(crate) const ALL: [Self; 3] = [Self::User, Self::Group, Self::Resource];

    fn named(text: &str) -> Option<Self> {
        Some(match text {
            "u" => Self::User,
            "g" => Self::Group,
            "r" => Self::Resource,
            _ => return None,
        })
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Resource => "resource",
        }
    }
}

/// A grant's key: principal, target, role.
pub(crate) type GrantKey = (Rc<str>, Rc<str>, Rc<str>);

/// One record: where it was added, and its values.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) since: u64,
    pub(crate) row: Rc<Row>,
    pub(crate) hash: u64,
}

impl Record {
    fn new(since: u64, row: Row) -> Self {
        let hash = row_hash(&row);
        Self { since, row: Rc::new(row), hash }
    }
}

/// Every record of a source.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) things: [HashMap<Rc<str>, Record>; 3],
    pub(crate) grants: HashMap<GrantKey, Record>,
    next: u64,
}

/// Why a delta does not fit its state.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {}", short(record))]
pub(crate) struct DeltaError {
    what: &'static str,
    record: String,
}

fn short(text: &str) -> String {
    text.chars().take(120).collect()
}

fn misfit(what: &'static str, record: &Value) -> DeltaError {
    DeltaError { what, record: record.to_string() }
}

impl State {
    /// The state after a delta.
    pub(crate) fn apply(&mut self, delta: &Delta) -> Result<(), DeltaError> {
        for record in &delta.del {
            self.delete(record).ok_or_else(|| misfit("what is removed is not there", record))?;
        }
        for record in &delta.add {
            self.add(record).ok_or_else(|| misfit("not a record that can be added", record))?;
        }
        for record in &delta.chg {
            self.change(record).ok_or_else(|| misfit("what is changed is not there", record))?;
        }
        Ok(())
    }

    fn delete(&mut self, record: &Value) -> Option<()> {
        let parts = record.as_array()?;
        match Of::named(parts.first()?.as_str()?) {
            Some(of) => {
                self.things.get_mut(of as usize)?.remove(parts.get(1)?.as_str()?)?;
            }
            None => {
                self.grants.remove(&grant_key(parts)?)?;
            }
        }
        Some(())
    }

    fn add(&mut self, record: &Value) -> Option<()> {
        let parts = record.as_array()?;
        self.next += 1;
        match Of::named(parts.first()?.as_str()?) {
            Some(of) => {
                let id = parts.get(1)?.as_str()?;
                let mut row =
                    row_of(record_type("resource", of.word()), parts.get(2)?.as_object()?);
                row.values.insert("id".to_owned(), Cell::Text(id.to_owned()));
                let record = Record::new(self.next, row);
                self.things.get_mut(of as usize)?.insert(id.into(), record);
            }
            None => {
                let key = grant_key(parts)?;
                let empty = Map::new();
                let attributes = parts.get(4).map_or(Some(&empty), Value::as_object)?;
                let of = if self.is_group(&key.0) { Of::Group } else { Of::User };
                let mut row = row_of(record_type("grant", of.word()), attributes);
                row.values.remove("role");
                row.values.insert("principal".to_owned(), Cell::Text(key.0.to_string()));
                let entitlement = format!("{}:{}", key.1, key.2);
                row.values.insert("entitlement".to_owned(), Cell::Text(entitlement));
                self.grants.insert(key, Record::new(self.next, row));
            }
        }
        Some(())
    }

    fn change(&mut self, record: &Value) -> Option<()> {
        let parts = record.as_array()?;
        let (held, at) = match Of::named(parts.first()?.as_str()?) {
            Some(of) => (self.things.get_mut(of as usize)?.get_mut(parts.get(1)?.as_str()?)?, 2),
            None => (self.grants.get_mut(&grant_key(parts)?)?, 4),
        };
        let mut row = Row::clone(&held.row);
        for (name, value) in parts.get(at)?.as_object()? {
            match cell(name, value) {
                Some(cell) => row.values.insert(name.clone(), cell),
                None => row.values.remove(name),
            };
        }
        if let Some(gone) = parts.get(at + 1) {
            for name in gone.as_array()? {
                row.values.remove(name.as_str()?);
            }
        }
        *held = Record::new(held.since, row);
        Some(())
    }

    /// Whether a grant's principal is a group.
    pub(crate) fn is_group(&self, id: &str) -> bool {
        self.things[Of::Group as usize].contains_key(id)
    }
}

fn grant_key(parts: &[Value]) -> Option<GrantKey> {
    let text = |at: usize| Some(Rc::from(parts.get(at)?.as_str()?));
    if parts.first()?.as_str()? != "m" {
        return None;
    }
    Some((text(1)?, text(2)?, text(3)?))
}

pub(crate) fn is_privileged(role: &str) -> bool {
    PRIVILEGED.contains(&role)
}

pub(crate) fn record_type(kind: &str, name: &str) -> RecordType {
    let text = format!("{kind}.{name}");
    RecordType::try_from(text).unwrap_or_else(|_| RecordType {
        kind: cordon_model::RecordKind::Resource,
        name: unreachable_name(),
    })
}

/// The words above are names; this is what stands in should one ever not be.
fn unreachable_name() -> cordon_model::TypeName {
    cordon_model::TypeName::new("user").unwrap_or_else(|_| std::process::abort())
}

fn row_of(record_type: RecordType, attributes: &Map<String, Value>) -> Row {
    let cells =
        attributes.iter().filter_map(|(name, value)| Some((name.clone(), cell(name, value)?)));
    let values: BTreeMap<String, Cell> = cells.collect();
    Row { record_type, values }
}

/// A value as a connector would report it: moments as moments, references by type and id.
fn cell(name: &str, value: &Value) -> Option<Cell> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(yes) => Cell::Boolean(*yes),
        Value::Number(number) => match number.as_i64() {
            Some(seconds) if name.ends_with("_at") => {
                Timestamp::from_second(seconds).map_or(Cell::Integer(seconds), Cell::Timestamp)
            }
            Some(number) => Cell::Integer(number),
            None => Cell::Text(number.to_string()),
        },
        Value::String(text) if name == "parent" => Cell::Text(format!("group:{text}")),
        Value::String(text) => Cell::Text(text.clone()),
        nested => Cell::Text(nested.to_string()),
    })
}

fn row_hash(row: &Row) -> u64 {
    let mut text = String::new();
    for (name, value) in &row.values {
        text.push_str(name);
        text.push('\u{0}');
        text.push(match value {
            Cell::Text(_) => 't',
            Cell::Integer(_) => 'i',
            Cell::Boolean(_) => 'b',
            Cell::Timestamp(_) => 'm',
        });
        text.push_str(&value.to_string());
        text.push('\u{1}');
    }
    hash(&text)
}

/// The hash of a text, as the store would hash it under a secret.
pub(crate) fn hash(text: &str) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), 0x5eed)
}
