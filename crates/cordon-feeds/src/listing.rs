//! A state as a sync lists it: every record with its key, its place and its row.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use cordon_model::{RecordType, Row};
use cordon_validate::detect::{Key, Observer, Place, Seen, Step};

use crate::read::Order;
use crate::state::{GrantKey, Of, Record, State, hash, is_privileged, record_type};

/// One record of a listing.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) key: Key,
    pub(crate) target: u64,
    pub(crate) place: Place,
    pub(crate) row: Rc<Row>,
}

/// The records of one type.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) record_type: RecordType,
    pub(crate) items: Vec<Item>,
    by_key: HashMap<Key, usize>,
    /// Records with a value, by attribute.
    pub(crate) columns: BTreeMap<String, u64>,
}

/// A whole sync.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) sections: Vec<Section>,
}

impl Section {
    fn new(record_type: RecordType) -> Self {
        Self { record_type, items: Vec::new(), by_key: HashMap::new(), columns: BTreeMap::new() }
    }

    fn push(&mut self, key: Key, target: u64, record: &Record, privileged: bool) {
        let position = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        let place = Place { position, hash: record.hash, proven: false, privileged, listed: true };
        for name in record.row.values.keys() {
            match self.columns.get_mut(name) {
                Some(count) => *count += 1,
                None => {
                    self.columns.insert(name.clone(), 1);
                }
            }
        }
        self.by_key.insert(key, self.items.len());
        self.items.push(Item { key, target, place, row: Rc::clone(&record.row) });
    }

    pub(crate) fn find(&self, key: Key) -> Option<&Item> {
        self.items.get(*self.by_key.get(&key)?)
    }
}

impl Listing {
    pub(crate) fn of(state: &State, order: Order) -> Self {
        let mut places: [HashMap<&str, usize>; 3] = Default::default();
        let mut sections = Vec::new();
        for of in Of::ALL {
            let mut records: Vec<(&Rc<str>, &Record)> = state.things[of as usize].iter().collect();
            match order {
                Order::Created => records.sort_by_key(|(_, record)| record.since),
                Order::Id => records.sort_by_key(|(id, _)| *id),
            }
            let mut section = Section::new(record_type("resource", of.word()));
            for (place, (id, record)) in records.iter().enumerate() {
                places[of as usize].insert(id, place);
                section.push(resource_key(of, id), 0, record, false);
            }
            sections.push(section);
        }
        // In the order of record types.
        sections.sort_by(|a, b| a.record_type.cmp(&b.record_type));
        let rank = |of: Of, id: &str| places[of as usize].get(id).copied();
        let mut grants: Vec<(&GrantKey, &Record)> = state.grants.iter().collect();
        grants.sort_by_cached_key(|((principal, target, role), record)| {
            let group = rank(Of::Group, target).map(|place| (0, place));
            let resource = rank(Of::Resource, target).map(|place| (1, place));
            let user = rank(Of::User, principal).map(|place| (0, place));
            let of_group = rank(Of::Group, principal).map(|place| (1, place));
            let target_rank = group.or(resource).unwrap_or((2, 0));
            let rank = user.or(of_group).unwrap_or((2, 0));
            (
                target_rank,
                Rc::clone(target),
                rank,
                Rc::clone(principal),
                Rc::clone(role),
                record.since,
            )
        });
        let mut of_groups = Section::new(record_type("grant", "group"));
        let mut of_users = Section::new(record_type("grant", "user"));
        for ((principal, target, role), record) in grants {
            let by_group = record.row.record_type.name.as_str() == Of::Group.word();
            let of = if by_group { Of::Group } else { Of::User };
            let at = if state.is_group(target) { Of::Group } else { Of::Resource };
            let low = hash(&format!("\u{0}{target}:{role}"));
            let key = Key { high: resource_key(of, principal).high, low };
            let target = resource_key(at, target).high;
            let section = if by_group { &mut of_groups } else { &mut of_users };
            section.push(key, target, record, is_privileged(role));
        }
        sections.extend([of_groups, of_users]);
        Self { sections }
    }
}

fn resource_key(of: Of, id: &str) -> Key {
    let text = format!("{}:{id}", of.word());
    Key { high: hash(&text), low: hash(&format!("{text}\u{0}")) }
}

/// The step from one listing to the next, measured.
pub(crate) fn step(before: &Listing, after: &Listing) -> Step {
    Step { content: content(after), ..Step::of(&mut observe(before, after)) }
}

/// The fingerprint of a listing's content, whatever its order.
fn content(of: &Listing) -> u64 {
    let items = of.sections.iter().flat_map(|section| &section.items);
    items.fold(0, |sum, item| sum.wrapping_add(spread(item.key, item.place.hash)))
}

/// A record's share of the fingerprint. Summed, so that no order matters.
fn spread(key: Key, hash: u64) -> u64 {
    let mut mixed = key.high ^ key.low.rotate_left(29) ^ hash.rotate_left(47);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Shows an observer the step from one listing to the next.
fn observe(before: &Listing, after: &Listing) -> Observer {
    let mut observer = Observer::new();
    for (old, new) in before.sections.iter().zip(&after.sections) {
        observer.section(&old.record_type);
        for item in &old.items {
            let now = new.find(item.key);
            observer.see(&Seen {
                key: item.key,
                target: item.target,
                before: Some(item.place),
                after: now.map(|now| now.place),
            });
            match now {
                None => observer.row(item.key, Some((*item.row).clone()), None),
                Some(now) if now.place.hash != item.place.hash => {
                    observer.row(item.key, Some((*item.row).clone()), Some((*now.row).clone()));
                }
                Some(_) => {}
            }
        }
        for item in new.items.iter().filter(|item| old.find(item.key).is_none()) {
            observer.see(&Seen {
                key: item.key,
                target: item.target,
                before: None,
                after: Some(item.place),
            });
            observer.row(item.key, None, Some((*item.row).clone()));
        }
        let names = old.columns.keys().chain(new.columns.keys());
        for name in names {
            let count = |section: &Section| section.columns.get(name).copied().unwrap_or_default();
            observer.column(&old.record_type, name, count(old), count(new));
        }
    }
    observer
}
