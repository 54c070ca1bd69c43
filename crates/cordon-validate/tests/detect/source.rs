//! A source of users, groups and memberships, and its step from one day to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use cordon_model::{RecordType, Row, Value};
use cordon_validate::detect::{Assessed, Key, Memory, Observer, Place, Prior, Seen, Step, assess};

/// Users by number, and who is in which group. Both are listed in order of their numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    pub(crate) users: BTreeMap<u32, String>,
    pub(crate) groups: BTreeSet<u32>,
    pub(crate) members: BTreeSet<(u32, u32)>,
    /// Users that are switched off.
    pub(crate) off: BTreeSet<u32>,
}

pub(crate) fn record_type(text: &str) -> RecordType {
    RecordType::try_from(text.to_owned()).unwrap()
}

/// Spreads a number as a hash would.
fn spread(number: u64) -> u64 {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn user(id: u32) -> u64 {
    spread(u64::from(id))
}

fn group(id: u32) -> u64 {
    spread(1 << 40 | u64::from(id))
}

impl Source {
    /// So many users; group `g` has every user whose number leaves no rest by `g + 2`.
    pub(crate) fn of(users: u32, groups: u32) -> Self {
        let members = (0..groups)
            .flat_map(|g| (0..users).filter(move |u| u % (g + 2) == 0).map(move |u| (g, u)));
        Self {
            users: (0..users).map(|u| (u, format!("name-{u}"))).collect(),
            groups: (0..groups).collect(),
            members: members.collect(),
            off: BTreeSet::new(),
        }
    }

    /// Without a user, and all that the user holds.
    pub(crate) fn without(&self, leavers: &[u32]) -> Self {
        let mut left = self.clone();
        for leaver in leavers {
            left.users.remove(leaver);
            left.members.retain(|(_, user)| user != leaver);
        }
        left
    }

    /// What a sync would show of each record, in the order of listing: type, record, row.
    fn listed(&self) -> Vec<(usize, Key, u64, Row)> {
        let mut listed = Vec::new();
        let row = |kind: &str, values: &[(&str, String)]| Row {
            record_type: record_type(kind),
            values: values.iter().map(|(n, v)| ((*n).to_owned(), Value::Text(v.clone()))).collect(),
        };
        for id in &self.groups {
            let values = [("id", format!("g{id}"))];
            listed.push((0, Key { high: group(*id), low: 1 }, 0, row("resource.group", &values)));
        }
        for (id, name) in &self.users {
            let status = if self.off.contains(id) { "disabled" } else { "active" };
            let values =
                [("id", format!("u{id}")), ("login", name.clone()), ("status", status.to_owned())];
            listed.push((1, Key { high: user(*id), low: 1 }, 0, row("resource.user", &values)));
        }
        for (g, u) in &self.members {
            let values =
                [("principal", format!("u{u}")), ("entitlement", format!("group:g{g}:member"))];
            let key = Key { high: user(*u), low: spread(1 << 50 | u64::from(*g)) };
            listed.push((2, key, group(*g), row("grant.user", &values)));
        }
        listed
    }
}

/// The step between two days, as an observer sees it; `proven` says that totals agree. `order`
/// rearranges what is seen within a type.
pub(crate) fn step(
    before: &Source,
    after: &Source,
    proven: bool,
    order: impl Fn(&mut Vec<(Seen, Option<Row>, Option<Row>)>),
) -> Step {
    let mut observer = Observer::new();
    let (old, new) = (before.listed(), after.listed());
    for (index, name) in ["resource.group", "resource.user", "grant.user"].into_iter().enumerate() {
        let kind = record_type(name);
        observer.section(&kind);
        let mut seen: BTreeMap<Key, (Seen, Option<Row>, Option<Row>)> = BTreeMap::new();
        for (listed, is_old) in [(&old, true), (&new, false)] {
            let of = listed.iter().filter(|(at, ..)| *at == index);
            for (position, (_, key, target, row)) in of.enumerate() {
                let hash = row.values.values().fold(7, |hash: u64, value| {
                    value.to_string().bytes().fold(hash, |h, b| h.wrapping_mul(31) + u64::from(b))
                });
                let place = Place {
                    position: position as u32,
                    hash,
                    proven,
                    privileged: false,
                    listed: true,
                };
                let entry = seen.entry(*key).or_insert((
                    Seen { key: *key, target: *target, before: None, after: None },
                    None,
                    None,
                ));
                if is_old {
                    entry.0.before = Some(place);
                    entry.1 = Some(row.clone());
                } else {
                    entry.0.after = Some(place);
                    entry.2 = Some(row.clone());
                }
            }
        }
        let mut seen: Vec<_> = seen.into_values().collect();
        order(&mut seen);
        for (seen, _, _) in &seen {
            observer.see(seen);
        }
        for (seen, old, new) in &seen {
            let changed = seen.before.map(|p| p.hash) != seen.after.map(|p| p.hash);
            if changed {
                observer.row(seen.key, old.clone(), new.clone());
            }
        }
        let filled = |of: &Source| if index == 1 { of.users.len() as u64 } else { 0 };
        if index == 1 {
            observer.column(&kind, "login", filled(before), filled(after));
        }
    }
    // Of whatever is there now, in any order.
    let content = new.iter().map(|(_, key, _, row)| {
        let mut hasher = DefaultHasher::new();
        (key, row.key(), &row.values).hash(&mut hasher);
        hasher.finish()
    });
    Step { content: content.fold(0, u64::wrapping_add), ..Step::of(&mut observer) }
}

pub(crate) fn in_order(_: &mut Vec<(Seen, Option<Row>, Option<Row>)>) {}

/// The step, assessed by a detector that knows nothing of this source.
pub(crate) fn assessed(before: &Source, after: &Source, proven: bool) -> Vec<Assessed> {
    assess(&step(before, after, proven, in_order), &Memory::default(), Prior::shipped())
}

pub(crate) fn score(before: &Source, after: &Source) -> f64 {
    assessed(before, after, false).first().map_or(0.0, |most| most.score)
}
