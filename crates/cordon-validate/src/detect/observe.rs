//! What is seen of a step, record by record, in one pass.
//!
//! The pass is made for two indexes that are merged in the order of keys: of an unchanged record
//! nothing is known but its key, its place in the listing and its target, and a few counters are all
//! it costs. Rows are asked for only of records that changed. Nothing here grows with the number of
//! records: targets, changed records and rows are held up to their limits, and beyond them are
//! counted only. A step that large breaks the fixed limits of a policy long before.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use cordon_model::{RecordKind, RecordType, Row};

use super::targets::Targets;

/// Changed records whose places are held, of all types together: a source may announce many types.
pub const CHANGED_MAX: usize = 1 << 20;
/// Rows that are read of the changed records of a type, in each direction of change.
pub const ROWS_MAX: usize = 50_000;

/// Hash of a record's key. For a grant, `high` is that of its principal (the `high` of the
/// principal's own key) and `low` that of its entitlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The half that references to a resource bear.
    pub high: u64,
    /// The other half.
    pub low: u64,
}

/// A record on one side of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its number in the listing of its type, in order of arrival, from zero.
    pub position: u32,
    /// Hash of its row.
    pub hash: u64,
    /// The scope that it belongs to was proven complete: the source counts what arrived.
    pub proven: bool,
    /// It is a grant of a privileged entitlement.
    pub privileged: bool,
    /// Its position is that of the source's own listing, and not where the store put what it carried
    /// forward.
    pub listed: bool,
}

/// A record, on the sides where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its key.
    pub key: Key,
    /// Of a grant, the `high` of the key of the resource that its entitlement is held on, or that of
    /// the entitlement where this is not known. Zero for all other records.
    pub target: u64,
    /// Where the last known good has it.
    pub before: Option<Place>,
    /// Where the candidate has it. Of a removed record: whether the scope that held it is proven
    /// now is told by `before.proven`.
    pub after: Option<Place>,
}

/// Key hashes are spread already; hashing them again would only cost time.
#[derive(Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = self.0.rotate_left(32) ^ hash;
    }
}

/// A map by hashes.
pub(super) type ByHash<K, V> = HashMap<K, V, BuildHasherDefault<AsIs>>;

/// What entitlements are held on: by the `low` of their grants' keys, the `high` of the resource's.
#[derive(Debug, Default)]
pub struct HeldOn(pub(super) ByHash<u64, u64>);

impl HeldOn {
    /// Of how many entitlements it is known.
    pub fn known(&self) -> usize {
        self.0.len()
    }

    /// Notes it of one. What is noted last stands.
    pub fn note(&mut self, entitlement: u64, resource: u64) {
        self.0.insert(entitlement, resource);
    }
}

/// A changed record that is not modified: it is on one side only.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved {
    pub(super) key: Key,
    pub(super) target: u64,
    pub(super) position: u32,
    pub(super) proven: bool,
    pub(super) privileged: bool,
    pub(super) listed: bool,
}

impl Moved {
    /// Whether its place in the listing may say something.
    pub(super) fn has_shape(&self) -> bool {
        self.listed && !self.proven
    }
}

/// One kind and type, as far as it was seen.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) record_type: RecordType,
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) added: u64,
    pub(super) modified: u64,
    pub(super) removed: u64,
    pub(super) gone: Vec<Moved>,
    pub(super) came: Vec<Moved>,
    /// Privileged grants before.
    pub(super) privileged: u64,
    /// Grants that are still there, of principals that are not.
    pub(super) orphaned: u64,
    pub(super) lost_rows: Vec<(Key, Row)>,
    pub(super) new_rows: Vec<(Key, Row)>,
    pub(super) pairs: Vec<(Key, Row, Row)>,
    pub(super) columns: BTreeMap<String, [u64; 2]>,
}

/// Collects what is seen of a step. Feed it type by type in the order of [`RecordType`] (resources
/// before entitlements before grants): [`Observer::section`], then every record of the two sides
/// with [`Observer::see`], in any order, or [`Observer::keep`] and [`Observer::keep_grants`] of what
/// did not change. Then the rows of changed records with [`Observer::row`],
/// and the filling of columns with [`Observer::column`]. [`super::Step::of`] draws the conclusions.
#[derive(Debug, Default)]
pub struct Observer {
    pub(super) sections: Vec<Section>,
    pub(super) targets: Targets,
    /// Resources that are gone, by the `high` of their keys.
    pub(super) gone: ByHash<u64, ()>,
    /// Resources that are new.
    pub(super) came: ByHash<u64, ()>,
    /// Resources with other values.
    pub(super) changed: ByHash<u64, ()>,
    /// Changed records whose places are held.
    held: usize,
}

impl Observer {
    /// An observer that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// An observer that has seen nothing and knows what entitlements are held on.
    pub fn knowing(held_on: HeldOn) -> Self {
        Self { targets: Targets::knowing(held_on), ..Self::default() }
    }

    /// Begins a kind and type.
    pub fn section(&mut self, record_type: &RecordType) {
        if record_type.kind == RecordKind::Grant {
            self.targets.expect();
        }
        self.sections.push(Section {
            record_type: record_type.clone(),
            before: 0,
            after: 0,
            added: 0,
            modified: 0,
            removed: 0,
            gone: Vec::new(),
            came: Vec::new(),
            privileged: 0,
            orphaned: 0,
            lost_rows: Vec::new(),
            new_rows: Vec::new(),
            pairs: Vec::new(),
            columns: BTreeMap::new(),
        });
    }

    /// A record of the type that was begun last.
    pub fn see(&mut self, seen: &Seen) {
        let Some(section) = self.sections.last_mut() else { return };
        let kind = section.record_type.kind;
        section.before += u64::from(seen.before.is_some());
        section.after += u64::from(seen.after.is_some());
        if kind == RecordKind::Grant {
            section.privileged += u64::from(seen.before.is_some_and(|place| place.privileged));
            self.targets.see(seen);
        }
        match (seen.before, seen.after) {
            (Some(before), Some(after)) => {
                if before.hash != after.hash {
                    section.modified += 1;
                    if kind == RecordKind::Resource && self.changed.len() < CHANGED_MAX {
                        self.changed.insert(seen.key.high, ());
                    }
                }
                if kind == RecordKind::Grant {
                    section.orphaned += u64::from(self.gone.contains_key(&seen.key.high));
                }
            }
            (Some(place), None) => {
                section.removed += 1;
                hold(&mut section.gone, &mut self.held, seen, place);
                if kind == RecordKind::Resource && self.gone.len() < CHANGED_MAX {
                    self.gone.insert(seen.key.high, ());
                }
            }
            (None, Some(place)) => {
                section.added += 1;
                hold(&mut section.came, &mut self.held, seen, place);
                if kind == RecordKind::Resource && self.came.len() < CHANGED_MAX {
                    self.came.insert(seen.key.high, ());
                }
            }
            (None, None) => {}
        }
    }

    /// So many resources or entitlements of the type that was begun last that did not change: as
    /// [`Observer::see`] of both places of each.
    pub fn keep(&mut self, records: u64) {
        let Some(section) = self.sections.last_mut() else { return };
        section.before += records;
        section.after += records;
    }

    /// Grants of the type that was begun last that did not change, as [`Observer::see`] of both places
    /// of each: the `low` of its key and its position before. `principals` has the `high` of their
    /// keys, each with how many of the grants have it; so many of them are `privileged`. A grant's
    /// target is what [`Observer::held_on`] told of its entitlement.
    pub fn keep_grants(
        &mut self,
        grants: impl IntoIterator<Item = (u64, u32)>,
        principals: &[(u64, u32)],
        privileged: u64,
    ) {
        let Some(section) = self.sections.last_mut() else { return };
        for (principal, grants) in principals {
            if self.gone.contains_key(principal) {
                section.orphaned += u64::from(*grants);
            }
        }
        section.privileged += privileged;
        let mut kept = 0;
        for (entitlement, position) in grants {
            self.targets.keep(entitlement, position);
            kept += 1;
        }
        self.keep(kept);
    }

    /// Tells what more entitlements are held on, as [`HeldOn`] does, before any of their grants is
    /// seen. What is told first stands; what nothing is told of stands for itself.
    pub fn held_on(&mut self, told: impl IntoIterator<Item = (u64, u64)>) {
        self.targets.tell(told);
    }

    /// What an entitlement is held on, as far as it was told.
    pub fn target(&self, entitlement: u64) -> u64 {
        self.targets.of(entitlement)
    }

    /// The row of a changed record: before, when it is not new, and after, when it is not gone.
    pub fn row(&mut self, key: Key, before: Option<Row>, after: Option<Row>) {
        let Some(row) = before.as_ref().or(after.as_ref()) else { return };
        let mut sections = self.sections.iter_mut();
        let Some(section) = sections.find(|it| it.record_type == row.record_type) else { return };
        match (before, after) {
            (Some(before), Some(after)) if section.pairs.len() < ROWS_MAX => {
                section.pairs.push((key, before, after));
            }
            (Some(before), None) if section.lost_rows.len() < ROWS_MAX => {
                section.lost_rows.push((key, before));
            }
            (None, Some(after)) if section.new_rows.len() < ROWS_MAX => {
                section.new_rows.push((key, after));
            }
            _ => {}
        }
    }

    /// How many records of a type have a value in a column, before and after.
    pub fn column(&mut self, record_type: &RecordType, name: &str, before: u64, after: u64) {
        let section = self.sections.iter_mut().find(|s| s.record_type == *record_type);
        if let Some(section) = section {
            section.columns.insert(name.to_owned(), [before, after]);
        }
    }

    /// Ends the counting, and puts what was seen into an order of its own, so that the order of seeing
    /// has no effect.
    pub(super) fn sort(&mut self) {
        self.targets.count();
        for section in &mut self.sections {
            section.gone.sort_by_key(|moved| (moved.position, moved.key));
            section.came.sort_by_key(|moved| (moved.position, moved.key));
            section.lost_rows.sort_by_key(|(key, _)| *key);
            section.new_rows.sort_by_key(|(key, _)| *key);
            section.pairs.sort_by_key(|(key, _, _)| *key);
        }
    }
}

fn hold(list: &mut Vec<Moved>, held: &mut usize, seen: &Seen, place: Place) {
    if *held < CHANGED_MAX {
        *held += 1;
        list.push(Moved {
            key: seen.key,
            target: seen.target,
            position: place.position,
            proven: place.proven,
            privileged: place.privileged,
            listed: place.listed,
        });
    }
}
