//! Who works in a company and what they hold, and the difference between two of its days.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::read::Delta;

/// A person of a directory.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Person {
    pub(super) surname: u32,
    pub(super) department: u32,
    pub(super) cost_center: u32,
    pub(super) title: u32,
    pub(super) manager: u32,
    pub(super) city: u32,
    pub(super) is_active: bool,
    pub(super) is_intern: bool,
    pub(super) joined: i64,
    pub(super) seen: i64,
    pub(super) password: i64,
}

/// A group: of a department, or of an application.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    pub(super) title: String,
    pub(super) parent: Option<String>,
}

/// Everyone and everything of a company on one day.
#[derive(Debug, Clone, Default)]
pub(super) struct Staff {
    pub(super) people: BTreeMap<u32, Person>,
    pub(super) groups: BTreeMap<String, Group>,
    /// Person and group; whether the person owns it.
    pub(super) members: BTreeMap<(u32, String), bool>,
}

impl Staff {
    /// Takes a person out, with all that the person holds.
    pub(super) fn remove(&mut self, person: u32) {
        self.people.remove(&person);
        self.strip(person);
    }

    /// Takes from a person all that the person holds.
    pub(super) fn strip(&mut self, person: u32) {
        self.members.retain(|(of, _), _| *of != person);
    }

    /// Takes a group out, with all its members.
    pub(super) fn dissolve(&mut self, group: &str) {
        self.groups.remove(group);
        self.members.retain(|(_, of), _| of != group);
    }

    /// Groups that a person is in.
    pub(super) fn groups_of(&self, person: u32) -> Vec<String> {
        let all = self.members.range((person, String::new())..);
        all.take_while(|((of, _), _)| *of == person).map(|((_, group), _)| group.clone()).collect()
    }
}

/// Ids are given out at random, as directories do: their order says nothing of when.
fn id(person: u32) -> String {
    format!("u{:08x}", person.wrapping_mul(0x9e37_79b1))
}

/// The second of a day at which a person did something: another one each day, and for each person.
fn second(number: u32, day: i64) -> i64 {
    let mixed = (u64::from(number) << 20 ^ day.unsigned_abs()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    day * 86_400 + 25_000 + ((mixed >> 33) % 36_000) as i64
}

fn attributes(number: u32, person: &Person, tells_logins: bool) -> Map<String, Value> {
    let login = format!("s{}.{number}", person.surname);
    let mut values = json!({
        "num": number,
        "login": login,
        "mail": format!("{login}@company.example"),
        "last_name": format!("Surname{}", person.surname),
        "department": format!("Department {}", person.department),
        "cost_center": format!("CC-{}", person.cost_center),
        "title": format!("Title {}", person.title),
        "manager": id(person.manager),
        "city": format!("City {}", person.city),
        "status": if person.is_active { "active" } else { "disabled" },
        "type": if person.is_intern { "intern" } else { "employee" },
        "joined_at": person.joined * 86_400,
        "password_at": second(number, person.password),
    });
    if tells_logins {
        values["seen_at"] = json!(second(number.wrapping_add(1), person.seen));
    }
    match values {
        Value::Object(values) => values,
        _ => Map::new(),
    }
}

/// What a sync of one day has that one of the day before has not.
pub(super) fn difference(before: &Staff, after: &Staff, tells_logins: bool) -> Delta {
    let mut delta = Delta::default();
    let role = |owner: bool| if owner { "owner" } else { "member" };
    for ((person, group), owner) in &before.members {
        if after.members.get(&(*person, group.clone())) != Some(owner) {
            delta.del.push(json!(["m", id(*person), group, role(*owner)]));
        }
    }
    for number in before.people.keys().filter(|number| !after.people.contains_key(*number)) {
        delta.del.push(json!(["u", id(*number)]));
    }
    for name in before.groups.keys().filter(|name| !after.groups.contains_key(*name)) {
        delta.del.push(json!(["g", name]));
    }
    for (name, group) in &after.groups {
        let mut values = json!({ "kind": "team", "name": group.title });
        if let Some(parent) = &group.parent {
            values["parent"] = json!(parent);
        }
        match before.groups.get(name) {
            None => delta.add.push(json!(["g", name, values])),
            Some(old) if old != group => delta.chg.push(json!(["g", name, values])),
            Some(_) => {}
        }
    }
    for (number, person) in &after.people {
        match before.people.get(number) {
            None => {
                let values = attributes(*number, person, tells_logins);
                delta.add.push(json!(["u", id(*number), values]));
            }
            Some(old) if old != person => {
                let old = attributes(*number, old, tells_logins);
                let mut values = attributes(*number, person, tells_logins);
                values.retain(|name, value| old.get(name) != Some(value));
                if !values.is_empty() {
                    delta.chg.push(json!(["u", id(*number), values]));
                }
            }
            Some(_) => {}
        }
    }
    for ((person, group), owner) in &after.members {
        if before.members.get(&(*person, group.clone())) != Some(owner) {
            delta.add.push(json!(["m", id(*person), group, role(*owner), {}]));
        }
    }
    delta
}
