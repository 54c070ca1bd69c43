//! Systematic changes of values: many records whose attribute changed in the same way.
//!
//! People change one thing at a time; a connector that lost a right, an encoding or a column changes
//! the same thing everywhere. So each changed value is put into a class by what happened to it, and
//! the classes are counted by attribute.

use std::collections::BTreeMap;

use cordon_model::{Row, Value, columns};

use super::statistic::Statistic;

/// What changed records have in common: by statistic, the attribute, how many, and a few of them.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) by_way: BTreeMap<(Statistic, String), Changed>,
    shifted: std::collections::BTreeSet<(String, i128, i64)>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Changed {
    pub(super) records: u64,
    pub(super) examples: Vec<String>,
    /// Where the records share more than the way: by what they share.
    shared: BTreeMap<String, u64>,
}

/// Distinct values and spans that are counted of one attribute.
const SHARED_MAX: usize = 1_000;
const EXAMPLES_MAX: usize = 5;

impl Changes {
    /// Compares a record with itself, before and after.
    pub(super) fn add(&mut self, before: &Row, after: &Row) {
        let gained: Vec<&String> =
            after.values.keys().filter(|name| !before.values.contains_key(*name)).collect();
        for (name, old) in &before.values {
            match after.values.get(name) {
                Some(new) if new == old => {}
                Some(new) => self.changed(name, old, new, before, after),
                None => {
                    let moved = gained.iter().find(|other| after.values.get(**other) == Some(old));
                    let way = moved.map_or(Statistic::Cleared, |_| Statistic::Renamed);
                    self.put(way, name, after, None);
                }
            }
        }
    }

    fn changed(&mut self, name: &str, old: &Value, new: &Value, before: &Row, after: &Row) {
        let swapped = before.values.iter().any(|(other, value)| {
            other != name && value == new && after.values.get(other) == Some(old)
        });
        if swapped {
            return self.put(Statistic::Swapped, name, after, None);
        }
        match (old, new) {
            (Value::Text(old), Value::Text(new)) => self.text(name, old, new, after),
            (Value::Timestamp(old), Value::Timestamp(new)) => {
                let span = new.as_microsecond() - old.as_microsecond();
                self.shift(name, i128::from(span), new.as_microsecond(), after);
                if span < 0 {
                    self.put(Statistic::WentBack, name, after, None);
                }
            }
            (Value::Integer(old), Value::Integer(new)) => {
                let span = i128::from(*new) - i128::from(*old);
                self.shift(name, span, *new, after);
                self.put(Statistic::Rewritten, name, after, None);
            }
            (Value::Boolean(_), Value::Boolean(new)) => {
                self.put(Statistic::Flipped, name, after, Some(new.to_string()));
            }
            _ => self.put(Statistic::Retyped, name, after, None),
        }
    }

    fn text(&mut self, name: &str, old: &str, new: &str, after: &Row) {
        if old.to_lowercase() == new.to_lowercase() {
            self.put(Statistic::Recased, name, after, None);
        } else if !old.is_ascii() && plain(old) == plain(new) {
            self.put(Statistic::Reencoded, name, after, None);
        } else {
            self.put(Statistic::Rewritten, name, after, None);
            if is_switch(name) {
                self.put(Statistic::Flipped, name, after, Some(new.to_owned()));
            }
        }
    }

    /// Times that were one and the same and are so still were set together, not shifted; so only
    /// distinct new values count.
    fn shift(&mut self, name: &str, span: i128, new: i64, after: &Row) {
        if self.shifted.len() < SHARED_MAX * 100
            && self.shifted.insert((name.to_owned(), span, new))
        {
            self.put(Statistic::Shifted, name, after, Some(span.to_string()));
        }
    }

    fn put(&mut self, way: Statistic, name: &str, after: &Row, shared: Option<String>) {
        if name == columns::ID {
            return;
        }
        let changed = self.by_way.entry((way, name.to_owned())).or_default();
        changed.records += 1;
        if let Some(shared) = shared {
            let there = changed.shared.len() < SHARED_MAX || changed.shared.contains_key(&shared);
            if there {
                *changed.shared.entry(shared).or_default() += 1;
            }
        }
        if changed.examples.len() < EXAMPLES_MAX {
            changed.examples.push(after.key());
        }
    }
}

impl Changed {
    /// How many records changed in one and the same way.
    pub(super) fn alike(&self) -> u64 {
        self.shared.values().copied().max().unwrap_or(self.records)
    }
}

/// Whether an attribute of this name says that someone is on or off, so that one value for many takes
/// the access of many. A title or a unit has few values, too, and each day some get the same one.
pub(super) fn is_switch(name: &str) -> bool {
    let words = [columns::STATUS, "state", "active", "enabled", "disabled", "locked", "suspended"];
    words.iter().any(|word| name.eq_ignore_ascii_case(word))
}

/// Whether an attribute of this name names one record alone. Two people share a unit, a manager or a
/// family name, and a leaver and a joiner of one day may well.
fn is_naming(name: &str) -> bool {
    let name = name.to_lowercase();
    let part = ["first", "last", "given", "family", "middle", "manager", "type", "unit", "role"];
    let whole = ["name", "login", "mail", "upn", "num", "guid", "uuid", "sid", "key", "employee"];
    name != columns::ID
        && !part.iter().any(|word| name.contains(word))
        && whole.iter().any(|word| name.contains(word))
}

/// The letters that every encoding agrees on.
fn plain(text: &str) -> impl PartialEq + use<> {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == ' ').collect::<String>()
}

/// A role's name: of the text that names an entitlement, what follows the resource.
pub(super) fn role(row: &Row) -> Option<&str> {
    let Some(Value::Text(text)) = row.values.get(columns::ENTITLEMENT) else { return None };
    Some(text.rsplit([':', '/', '#']).next().unwrap_or(text))
}

/// A record that went under one id and came under another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Same {
    /// Which of those that went.
    pub lost: usize,
    /// Which of those that came.
    pub new: usize,
    /// The attribute whose value says so.
    pub by: String,
}

/// Records that went under one id and came under another, by values that one record alone has on
/// each side.
pub fn same_by_values(lost: &[&Row], new: &[&Row]) -> Vec<Same> {
    let unique = |rows: &[&Row]| -> BTreeMap<(String, String), Option<usize>> {
        let mut places = BTreeMap::new();
        for (place, row) in rows.iter().enumerate() {
            for (name, value) in &row.values {
                let text = value.to_string();
                // Short values are words such as `team`, which name nobody.
                let names = is_naming(name) && text.len() >= 4;
                let names = names && !matches!(value, Value::Boolean(_) | Value::Timestamp(_));
                if names {
                    let entry = places.entry((name.clone(), text)).or_insert(Some(place));
                    if *entry != Some(place) {
                        *entry = None;
                    }
                }
            }
        }
        places
    };
    let (before, after) = (unique(lost), unique(new));
    let mut pairs = BTreeMap::new();
    for (value, place) in before {
        let other = after.get(&value).copied().flatten();
        if let Some((old, new)) = place.zip(other) {
            pairs.entry(old).or_insert((new, value.0));
        }
    }
    pairs.into_iter().map(|(lost, (new, by))| Same { lost, new, by }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of ten users who all got this value are counted as switched alike.
    fn switched(name: &str, values: [&str; 2]) -> Option<u64> {
        let row = |id: u32, value: &str| Row {
            record_type: "resource.user".to_owned().try_into().unwrap(),
            values: [(columns::ID, format!("u{id}")), (name, value.to_owned())]
                .map(|(name, value)| (name.to_owned(), Value::Text(value)))
                .into(),
        };
        let mut changes = Changes::default();
        for id in 0..10 {
            changes.add(&row(id, values[0]), &row(id, values[1]));
        }
        changes.by_way.get(&(Statistic::Flipped, name.to_owned())).map(Changed::alike)
    }

    #[test]
    fn many_who_are_switched_off_are_counted_and_many_who_got_one_title_are_not() {
        assert_eq!(switched(columns::STATUS, ["active", "suspended"]), Some(10));
        assert_eq!(switched("Enabled", ["true", "false"]), Some(10));
        assert_eq!(switched("title", ["Engineer", "Senior engineer"]), None);
    }

    #[test]
    fn a_leaver_and_a_joiner_with_one_manager_are_two_people() {
        let row = |id: &str, mail: &str| Row {
            record_type: "resource.user".to_owned().try_into().unwrap(),
            values: [
                (columns::ID, id),
                ("mail", mail),
                ("manager", "w-0042"),
                ("last_name", "Okafor"),
            ]
            .map(|(name, value)| (name.to_owned(), Value::Text(value.to_owned())))
            .into(),
        };
        let left = row("u1", "a.okafor@corp.example");
        let same = |came: &Row| same_by_values(&[&left], &[came]);
        assert_eq!(same(&row("u2", "b.okafor@corp.example")), []);
        let found = Same { lost: 0, new: 0, by: "mail".to_owned() };
        assert_eq!(same(&row("u2", "a.okafor@corp.example")), [found]);
    }
}
