//! Where is the change? Finds the group of records that explains it: "7,007 of 7,019 removed users
//! have ou = EMEA, and all of that group are gone".
//!
//! A number says how much was lost, a group says by whose doing: one unit, one company, one day of
//! joining or one group's members point at a right or a page, scattered people at real departures.
//! Attributes, domains of addresses, days, parents and the two ends of grants are tried alike. The
//! records that changed are read once and the most frequent values kept, then the records before are
//! read once and counted: memory is bounded whatever the records hold.
//!
//! Absent on purpose: any weight in a verdict, and combinations of two attributes.

use std::collections::{BTreeMap, HashSet};

use cordon_model::{Change, ChangeOp, RecordType, Row};

mod features;
mod frequent;

use features::{Feature, features};
use frequent::Frequent;

/// Columns of one type that are looked at, at most.
const COLUMNS_MAX: usize = 64;
/// Groups that are told of one type and operation, at most.
const GROUPS_MAX: usize = 3;
/// Changes of one type and operation below which a group is chance.
pub const CHANGES_MIN: u64 = 5;
/// Principals that are remembered to tell whose grants went with them.
const PRINCIPALS_MAX: usize = 1_000_000;

/// A group of records, and how much of the change it explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What happened.
    pub op: ChangeOp,
    /// To records of this kind and type.
    pub record_type: RecordType,
    /// The attribute that the group has in common; of modifications the one that changed.
    pub attribute: String,
    /// Its value; none of modifications.
    pub value: Option<String>,
    /// Changes in this group; at least so many when `is_exact` is false.
    pub changed: u64,
    /// All changes of this operation and type.
    pub of_changed: u64,
    /// Records of the group on the side where the changed records are: before a removal, after an
    /// addition. None when they were not counted.
    pub of_group: Option<u64>,
    /// Whether `changed` is exact.
    pub is_exact: bool,
}

/// Values that changed records have in common, while they are being read.
#[derive(Debug, Default)]
pub struct Contrast {
    masked: HashSet<(RecordType, String)>,
    of: BTreeMap<(ChangeOp, RecordType), Tally>,
    /// Principals of removed grants by type and hash, with their grants; none when there were too many.
    losers: Option<BTreeMap<(RecordType, u64), u64>>,
    /// Resources that are removed, by type and hash of the id.
    gone: HashSet<(String, u64)>,
}

/// What is counted of one operation and type.
#[derive(Debug, Default)]
struct Tally {
    changes: u64,
    columns: BTreeMap<String, Frequent>,
}

impl Contrast {
    /// Looks for groups, but never by attributes that are to be masked.
    pub fn new(masked: impl IntoIterator<Item = (RecordType, String)>) -> Self {
        let masked = masked.into_iter().collect();
        Self { masked, losers: Some(BTreeMap::new()), ..Self::default() }
    }

    /// Notes a change.
    pub fn note(&mut self, change: &Change) {
        let of = &change.record_type;
        let tally = self.of.entry((change.op, of.clone())).or_default();
        tally.changes += 1;
        match (change.op, &change.before, &change.after) {
            (ChangeOp::Removed, Some(row), _) => {
                tally.note(&self.masked, row);
                self.note_loss(row);
            }
            (ChangeOp::Added, _, Some(row)) => tally.note(&self.masked, row),
            (ChangeOp::Modified, Some(before), Some(after)) => tally.note_changed(before, after),
            _ => {}
        }
    }

    fn note_loss(&mut self, row: &Row) {
        if let Some(principal) = features::principal(row) {
            let Some(losers) = &mut self.losers else { return };
            *losers.entry((row.record_type.clone(), principal)).or_default() += 1;
            if losers.len() > PRINCIPALS_MAX {
                self.losers = None;
            }
        } else if let Some(id) = features::resource(row)
            && self.gone.len() < PRINCIPALS_MAX
        {
            self.gone.insert((row.record_type.name.to_string(), id));
        }
    }

    /// Which groups are worth counting on the side of all records.
    pub fn suspects(self) -> Suspects {
        let mut suspects = Suspects { groups: BTreeMap::new(), totals: BTreeMap::new() };
        self.grants_of_the_removed(&mut suspects);
        for ((op, of), tally) in self.of {
            suspects.totals.insert((op, of.clone()), (tally.changes, 0));
            if tally.changes < CHANGES_MIN && op != ChangeOp::Modified {
                continue;
            }
            for (column, values) in tally.columns {
                let is_exact = values.is_exact();
                for (value, changed) in values.into_most_frequent() {
                    // What holds less than half of a change does not explain it.
                    if changed * 2 < tally.changes && op != ChangeOp::Modified {
                        break;
                    }
                    let key = (op, of.clone(), column.clone(), value);
                    suspects.groups.insert(key, Count { changed, of_group: 0, is_exact });
                }
            }
        }
        suspects
    }

    /// Grants whose principals were removed as well went with them.
    fn grants_of_the_removed(&self, suspects: &mut Suspects) {
        let mut with_principal: BTreeMap<&RecordType, u64> = BTreeMap::new();
        for ((of, principal), grants) in self.losers.iter().flatten() {
            if self.gone.contains(&(of.name.to_string(), *principal)) {
                *with_principal.entry(of).or_default() += grants;
            }
        }
        for (of, changed) in with_principal {
            let all = self.of.get(&(ChangeOp::Removed, of.clone())).map_or(0, |it| it.changes);
            if changed >= CHANGES_MIN && changed * 2 >= all {
                let key = (
                    ChangeOp::Removed,
                    of.clone(),
                    features::PRINCIPAL.to_owned(),
                    GONE.to_owned(),
                );
                suspects.groups.insert(key, Count { changed, of_group: 0, is_exact: true });
            }
        }
    }
}

/// The value of a principal that is removed itself.
const GONE: &str = "removed as well";

impl Tally {
    fn note(&mut self, masked: &HashSet<(RecordType, String)>, row: &Row) {
        for Feature { column, value } in features(row) {
            let source = column.split(' ').next().unwrap_or_default();
            if masked.contains(&(row.record_type.clone(), source.to_owned())) {
                continue;
            }
            if self.columns.contains_key(&column) || self.columns.len() < COLUMNS_MAX {
                self.columns.entry(column).or_default().note(value);
            }
        }
    }

    /// Of a modification it is the attribute that counts, not its value.
    fn note_changed(&mut self, before: &Row, after: &Row) {
        let names: HashSet<&String> = before.values.keys().chain(after.values.keys()).collect();
        for name in names {
            if before.values.get(name) != after.values.get(name) {
                self.columns.entry(String::new()).or_default().note(name.clone());
            }
        }
    }
}

/// Operation, type, attribute and value.
type Key = (ChangeOp, RecordType, String, String);

#[derive(Debug, Clone, Copy)]
struct Count {
    changed: u64,
    of_group: u64,
    is_exact: bool,
}

/// Groups that hold at least half of a change, while all records are being counted.
#[derive(Debug)]
pub struct Suspects {
    groups: BTreeMap<Key, Count>,
    /// Of each operation and type: changes, and records that were counted.
    totals: BTreeMap<(ChangeOp, RecordType), (u64, u64)>,
}

impl Suspects {
    /// The types whose records have to be counted: those before for removals, those after for
    /// additions.
    pub fn types(&self, op: ChangeOp) -> Vec<RecordType> {
        let mut types: Vec<_> = self.groups.keys().filter(|key| key.0 == op).collect();
        types.dedup_by(|a, b| a.1 == b.1);
        types.into_iter().map(|key| key.1.clone()).collect()
    }

    /// Counts a record of the side where that operation's records are.
    pub fn count(&mut self, op: ChangeOp, row: &Row) {
        let of = (op, row.record_type.clone());
        let Some(total) = self.totals.get_mut(&of) else { return };
        total.1 += 1;
        for Feature { column, value } in features(row) {
            let key = (op, row.record_type.clone(), column, value);
            if let Some(count) = self.groups.get_mut(&key) {
                count.of_group += 1;
            }
        }
    }

    /// The groups that explain the change, the best of each operation and type first.
    pub fn into_groups(self) -> Vec<Group> {
        let mut found: BTreeMap<(ChangeOp, RecordType), Vec<(f64, Group)>> = BTreeMap::new();
        for ((op, record_type, attribute, value), count) in self.groups {
            let of = (op, record_type.clone());
            let (changes, counted) = self.totals.get(&of).copied().unwrap_or_default();
            let is_modified = op == ChangeOp::Modified;
            let group = Group {
                op,
                record_type,
                attribute: if is_modified { value.clone() } else { attribute },
                value: (!is_modified).then_some(value),
                changed: count.changed,
                of_changed: changes,
                of_group: (counted > 0 && count.of_group > 0).then_some(count.of_group),
                is_exact: count.is_exact,
            };
            if let Some(score) = score(&group, counted) {
                found.entry(of).or_default().push((score, group));
            }
        }
        let best = found.into_values().flat_map(|mut groups| {
            groups.sort_by(|a, b| {
                let order = b.0.total_cmp(&a.0);
                order.then_with(|| (&a.1.attribute, &a.1.value).cmp(&(&b.1.attribute, &b.1.value)))
            });
            groups.truncate(GROUPS_MAX);
            groups.into_iter().map(|(_, group)| group)
        });
        best.collect()
    }
}

/// How well a group explains a change, from 0 to 1: the harmonic mean of the share of the change that
/// it holds and the share of the group that changed. None where the group is hit no harder than the
/// rest: that nearly all users are human explains no loss of users.
fn score(group: &Group, counted: u64) -> Option<f64> {
    /// How much harder than the whole type a group has to be hit.
    const HARDER: f64 = 1.5;
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    let covers = share(group.changed, group.of_changed);
    let Some(of_group) = group.of_group else {
        // Nothing to compare with: of what was modified, and of grants that went with their principal.
        let is_told = group.op == ChangeOp::Modified || group.value.as_deref() == Some(GONE);
        return is_told.then_some(covers);
    };
    let (hit, usual) = (share(group.changed, of_group), share(group.of_changed, counted));
    (hit >= usual * HARDER).then(|| 2.0 * covers * hit / (covers + hit))
}

#[cfg(test)]
mod tests;
