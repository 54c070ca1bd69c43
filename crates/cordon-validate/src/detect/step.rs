//! A step, measured: what is left of everything that was seen. Small whatever the sync's size, and
//! stored with the candidate, so that its judgement can be repeated.

use std::collections::BTreeMap;

use cordon_model::{RecordKind, Row};
use serde::{Deserialize, Serialize};

use super::attributes::switched;
use super::grants::Grants;
use super::observe::{ByHash, Key, Moved, Observer, Section};
use super::statistic::Statistic;

/// Records at the end of a listing from which on their loss together says something.
pub(super) const TAIL_MIN: u64 = 2;
/// Keys that went or came in one step and are remembered.
const KEYS_MAX: usize = 2_048;
pub(super) const EXAMPLES_MAX: usize = 5;
/// The type of principals that people are; where there is none, those who hold most are taken.
const PEOPLE: &str = "user";
/// One or two records that change alike are a person's doing.
pub(super) const SYSTEMATIC_MIN: u64 = 3;
/// What a person decides for up to four at a time is daily work.
pub(super) const MANY_MIN: u64 = 5;

/// One statistic of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Which.
    pub statistic: Statistic,
    /// Its value, as it is compared with history: a count by the square root of what it is out of, or
    /// powers of ten of improbability.
    pub value: f64,
    /// What it speaks of: a type's label, or an attribute as `label.attribute`.
    pub subject: String,
    /// How many records.
    pub count: u64,
    /// Out of how many.
    pub of: u64,
    /// Whether every loss it speaks of lies in scopes that were proven complete.
    pub proven: bool,
    /// A few of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

// Values are never NaN: they are made of counts, and of logarithms of what is above zero.
impl Eq for Measure {}

impl Measure {
    /// Another value of this statistic as a count of records, where it is an amount.
    pub(crate) fn as_count(&self, value: f64) -> u64 {
        if self.value <= 0.0 {
            return 0;
        }
        (value / self.value * self.count as f64).round() as u64
    }
}

impl Eq for Step {}

/// A step, measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Step {
    /// The largest value of each statistic that is not zero.
    pub measures: Vec<Measure>,
    /// Fingerprint of all content of the candidate. What is seen of a step does not tell it: whoever
    /// stores the content does.
    pub content: u64,
    /// Whether anything changed.
    pub changed: bool,
    /// Causes of loss, and out of how many records.
    pub causes: u64,
    /// Records of the largest type before.
    pub records: u64,
    /// Improbability of what was lost at the end of listings.
    pub tail: f64,
    /// Short hashes of some keys that went.
    pub went: Vec<u32>,
    /// Short hashes of some keys that came.
    pub came: Vec<u32>,
}

impl Step {
    /// What an observer saw, measured; its content is not told yet.
    pub fn of(observer: &mut Observer) -> Self {
        observer.sort();
        let mut work = Work::new(observer);
        work.resources();
        work.grants();
        work.values();
        work.finish()
    }

    /// A step in which nothing changed.
    pub fn unchanged(content: u64) -> Self {
        Self { content, ..Self::default() }
    }
}

/// A step while it is measured.
pub(super) struct Work<'a> {
    pub(super) seen: &'a Observer,
    /// The type of the principals that people are.
    pub(super) people: Option<&'a str>,
    best: BTreeMap<Statistic, Measure>,
    /// People who were switched on or off.
    pub(super) switched: ByHash<u64, ()>,
    /// Principals whose ids changed: the old hash, and the new one.
    pub(super) rekeyed: ByHash<u64, u64>,
    pub(super) causes: u64,
    pub(super) tail: f64,
    /// Nothing came and nothing changed: whatever is different is gone. Who works in a source does
    /// more than take away, a read that was cut does not.
    pub(super) only_lost: bool,
    /// Records that went because something else did.
    pub(super) along: u64,
    /// Those of them that are resources.
    pub(super) children: u64,
}

/// Names of changed records by key.
pub(super) type Rows<'a> = BTreeMap<Key, &'a Row>;

pub(super) fn by_key(rows: &[(Key, Row)]) -> Rows<'_> {
    rows.iter().map(|(key, row)| (*key, row)).collect()
}

pub(super) fn names(rows: &Rows<'_>, of: &[Moved]) -> Vec<String> {
    let rows = of.iter().filter_map(|moved| rows.get(&moved.key));
    rows.take(EXAMPLES_MAX).map(|row| row.key()).collect()
}

/// A count, made comparable between sources of other sizes.
fn scaled(count: u64, of: u64) -> f64 {
    count as f64 / (of.max(1) as f64).sqrt()
}

impl<'a> Work<'a> {
    fn new(seen: &'a Observer) -> Self {
        let grants = seen.sections.iter().filter(|s| s.record_type.kind == RecordKind::Grant);
        let people = grants.max_by_key(|section| {
            let users = section.record_type.name.as_str() == PEOPLE;
            (users && section.before > 0, section.before.max(section.after))
        });
        // A source without grants still lists people.
        let people = people.or_else(|| {
            let mut resources = seen.sections.iter();
            resources.find(|s| {
                s.record_type.kind == RecordKind::Resource && s.record_type.name.as_str() == PEOPLE
            })
        });
        let people = people.map(|section| section.record_type.name.as_str());
        Self {
            seen,
            people,
            switched: switched(seen, people),
            best: BTreeMap::new(),
            rekeyed: ByHash::default(),
            causes: 0,
            tail: 0.0,
            only_lost: seen.sections.iter().all(|section| section.added + section.modified == 0),
            along: 0,
            children: 0,
        }
    }

    pub(super) fn put(&mut self, statistic: Statistic, value: f64, what: Told<'_>) {
        if value <= 0.0 || self.best.get(&statistic).is_some_and(|held| held.value >= value) {
            return;
        }
        let Told { subject, count, of, proven, examples } = what;
        let subject = subject.to_owned();
        self.best
            .insert(statistic, Measure { statistic, value, subject, count, of, proven, examples });
    }

    pub(super) fn put_count(&mut self, statistic: Statistic, what: Told<'_>) {
        self.put(statistic, scaled(what.count, what.of), what);
    }

    /// How many principals there were of the kind that holds these grants.
    pub(super) fn principals(&self, grants: &Section) -> u64 {
        let of = self.seen.sections.iter().find(|section| {
            section.record_type.kind == RecordKind::Resource
                && section.record_type.name == grants.record_type.name
        });
        of.map_or(0, |section| section.before)
    }

    fn grants(&mut self) {
        let seen = self.seen;
        for section in &seen.sections {
            if section.record_type.kind == RecordKind::Grant {
                let of = Grants::new(self, section);
                self.along += of.along;
                if section.before > 0 && section.after == 0 {
                    let told =
                        Told::new(section.record_type.label(), section.before, section.before);
                    self.put_count(Statistic::TypeGone, told);
                }
                of.amounts(self);
                of.shape(self);
                of.targets(self);
                of.gains(self);
            }
        }
    }

    fn finish(mut self) -> Step {
        let seen = self.seen;
        let sections = &seen.sections;
        let all: u64 = sections.iter().map(|section| section.before).sum();
        // A thing that goes with its grants is one thing; a parent that takes its children is more.
        let taken = self.children > 0 && self.along >= MANY_MIN;
        let along = if taken { self.along } else { 0 };
        let records = all;
        self.put_count(Statistic::Along, Told::new("", along, records));
        if self.only_lost && self.causes > 1 {
            let proven = sections.iter().all(|s| s.gone.is_empty() || all_proven(&s.gone));
            let rows = sections.iter().flat_map(|section| &section.lost_rows);
            let examples = rows.take(EXAMPLES_MAX).map(|(_, row)| row.key()).collect();
            let told = Told::new("", self.causes, records).proven(proven);
            self.put_count(Statistic::LossAlone, told.examples(examples));
        }
        let short = |moved: &Moved| (moved.key.high ^ moved.key.low.rotate_left(32)) as u32;
        let keys = |of: fn(&Section) -> &Vec<Moved>| -> Vec<u32> {
            let resources = sections.iter().filter(|s| s.record_type.kind == RecordKind::Resource);
            let grants = sections.iter().filter(|s| s.record_type.kind == RecordKind::Grant);
            let all = resources.chain(grants).flat_map(of);
            all.take(KEYS_MAX).map(short).collect()
        };
        Step {
            measures: self.best.into_values().collect(),
            content: 0,
            changed: sections.iter().any(|s| s.added + s.removed + s.modified > 0),
            causes: self.causes,
            records: sections.iter().map(|s| s.before).max().unwrap_or_default(),
            tail: self.tail,
            went: keys(|section| &section.gone),
            came: keys(|section| &section.came),
        }
    }
}

pub(super) fn all_proven(of: &[Moved]) -> bool {
    !of.is_empty() && of.iter().all(|moved| moved.proven)
}

/// What a measure says beside its value.
pub(super) struct Told<'a> {
    subject: &'a str,
    pub(super) count: u64,
    pub(super) of: u64,
    proven: bool,
    examples: Vec<String>,
}

impl<'a> Told<'a> {
    pub(super) fn new(subject: &'a str, count: u64, of: u64) -> Self {
        Self { subject, count, of, proven: false, examples: Vec::new() }
    }

    pub(super) fn proven(self, proven: bool) -> Self {
        Self { proven, ..self }
    }

    pub(super) fn examples(self, examples: Vec<String>) -> Self {
        Self { examples, ..self }
    }
}
