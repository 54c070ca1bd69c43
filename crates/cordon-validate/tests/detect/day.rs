//! A day of a source of any shape, record by record, and the step from one to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use cordon_model::{RecordKind, RecordType, Row, Value};
use cordon_validate::detect::{Key, Measure, Observer, Place, Seen, Statistic, Step};

use super::source::record_type;

/// A record as the source lists it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    row: Row,
    /// What a grant is held on, as `type:id`.
    held_on: String,
    privileged: bool,
    proven: bool,
    listed: bool,
}

/// Every record, in the order of listing.
pub(crate) type Day = Vec<Record>;

pub(crate) fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

/// A resource without values but its id.
pub(crate) fn thing(kind: &str, id: impl Into<String>) -> Record {
    let values = BTreeMap::from([("id".to_owned(), text(id))]);
    let row = Row { record_type: record_type(&format!("resource.{kind}")), values };
    Record { row, held_on: String::new(), privileged: false, proven: false, listed: true }
}

pub(crate) fn user(number: u32) -> Record {
    thing("user", format!("u{number}"))
}

pub(crate) fn group(number: u32) -> Record {
    thing("group", format!("g{number}"))
}

/// Users and groups by number, and nothing else.
pub(crate) fn listed(users: u32, groups: u32) -> Day {
    (0..groups).map(group).chain((0..users).map(user)).collect()
}

/// A user's role in a group.
pub(crate) fn role(user: u32, group: u32, role: &str) -> Record {
    held_by("user", user, group, role)
}

pub(crate) fn member(user: u32, group: u32) -> Record {
    role(user, group, "member")
}

/// A role in a group of what is called `u7`, and may be no user.
pub(crate) fn held_by(kind: &str, principal: u32, group: u32, role: &str) -> Record {
    let held_on = format!("group:g{group}");
    let entitlement = text(format!("{held_on}:{role}"));
    let values = BTreeMap::from([
        ("principal".to_owned(), text(format!("u{principal}"))),
        ("entitlement".to_owned(), entitlement),
    ]);
    let row = Row { record_type: record_type(&format!("grant.{kind}")), values };
    Record { row, held_on, ..thing("group", "") }
}

impl Record {
    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.row.values.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.row.values.remove(name);
        self
    }

    pub(crate) fn privileged(self) -> Self {
        Self { privileged: true, ..self }
    }

    /// The source counts what arrived in the scope that holds it.
    pub(crate) fn proven(self) -> Self {
        Self { proven: true, ..self }
    }

    /// Its place is not the source's own.
    pub(crate) fn unlisted(self) -> Self {
        Self { listed: false, ..self }
    }

    pub(crate) fn name(&self) -> String {
        self.row.key()
    }

    fn key(&self) -> Key {
        if self.row.record_type.kind == RecordKind::Grant {
            let kind = self.row.record_type.name.as_str();
            let principal = format!("{kind}:{}", self.row.values["principal"]);
            Key { high: hash(&principal), low: hash(&self.row.values["entitlement"]) }
        } else {
            Key { high: hash(&self.name()), low: 1 }
        }
    }

    fn place(&self, position: usize) -> Place {
        Place {
            position: position as u32,
            hash: hash(&self.row.values),
            proven: self.proven,
            privileged: self.privileged,
            listed: self.listed,
        }
    }
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// The records of a type, each with its place.
fn of_type<'a>(day: &'a [Record], kind: &RecordType) -> BTreeMap<Key, (Place, &'a Record)> {
    let of = day.iter().filter(|record| record.row.record_type == *kind);
    of.enumerate().map(|(at, record)| (record.key(), (record.place(at), record))).collect()
}

/// The step between two days.
pub(crate) fn step(before: &[Record], after: &[Record]) -> Step {
    step_showing(before, after, usize::MAX)
}

/// The same where no more rows are read.
pub(crate) fn step_showing(before: &[Record], after: &[Record], mut rows: usize) -> Step {
    let mut observer = Observer::new();
    let types: BTreeSet<&RecordType> =
        before.iter().chain(after).map(|record| &record.row.record_type).collect();
    for kind in types {
        observer.section(kind);
        let (old, new) = (of_type(before, kind), of_type(after, kind));
        let keys: BTreeSet<&Key> = old.keys().chain(new.keys()).collect();
        let mut columns: BTreeMap<&String, [u64; 2]> = BTreeMap::new();
        for key in keys {
            let sides = [old.get(key), new.get(key)];
            let [before, after] = sides.map(|side| side.map(|(place, _)| *place));
            let held_on = sides.into_iter().flatten().map(|(_, record)| &record.held_on).next();
            let target = held_on.filter(|held_on| !held_on.is_empty()).map_or(0, hash);
            observer.see(&Seen { key: *key, target, before, after });
            let [old, new] = sides.map(|side| side.map(|(_, record)| &record.row));
            if old != new && rows > 0 {
                observer.row(*key, old.cloned(), new.cloned());
                rows -= 1;
            }
            for (side, row) in [old, new].into_iter().enumerate() {
                for name in row.into_iter().flat_map(|row| row.values.keys()) {
                    columns.entry(name).or_default()[side] += 1;
                }
            }
        }
        for (name, [before, after]) in columns {
            observer.column(kind, name, before, after);
        }
    }
    // Of whatever is there now, in any order.
    let content = after.iter().map(|record| hash(&(record.key(), &record.row.values)));
    Step { content: content.fold(0, u64::wrapping_add), ..Step::of(&mut observer) }
}

/// What is measured of one statistic.
pub(crate) fn measure(
    before: &[Record],
    after: &[Record],
    statistic: Statistic,
) -> Option<Measure> {
    let measures = step(before, after).measures;
    measures.into_iter().find(|measure| measure.statistic == statistic)
}

/// How many records it speaks of, and out of how many.
pub(crate) fn counted(
    before: &[Record],
    after: &[Record],
    statistic: Statistic,
) -> Option<(u64, u64)> {
    measure(before, after, statistic).map(|measure| (measure.count, measure.of))
}

/// The same day without what is named.
pub(crate) fn without(day: &[Record], gone: &[Record]) -> Day {
    let left: Day = day.iter().filter(|record| !gone.contains(record)).cloned().collect();
    assert_eq!(left.len() + gone.len(), day.len(), "all of them were there");
    left
}

/// The same day with more at its end.
pub(crate) fn and(day: &[Record], more: impl IntoIterator<Item = Record>) -> Day {
    day.iter().cloned().chain(more).collect()
}
