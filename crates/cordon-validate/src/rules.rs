//! Counting what operator rules select: rows go in one by one, counts and a few keys come out.
//!
//! A rule is fitted to the types that the connector announced, once; a rule that fits none of them
//! is told as one that nobody can evaluate, so that a misspelt attribute never reads as "nothing
//! found". Holds a few keys of each rule, whatever the sync's size.

use std::collections::BTreeMap;

use cordon_model::{AttributeType, Change, RecordSchema, RecordType, Row, columns};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::policy::{OperatorRule, RuleName, Seen, Watched};

/// Keys that are kept of each rule.
const EXAMPLES_MAX: usize = 10;

/// What a rule found in one sync.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RuleCount {
    /// Records that count.
    pub matched: u64,
    /// Out of how many: of changes, the records before; else the records now.
    pub of: u64,
    /// A few of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// Why it cannot be evaluated; none when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmet: Option<String>,
    /// The connector has no such types or attributes, and need not have them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passed_over: bool,
}

/// The types and columns that a connector announces, with those that every record has.
pub type Announced = BTreeMap<RecordType, BTreeMap<String, AttributeType>>;

/// What a connector announces, as rules are fitted to it.
pub fn announced(schemas: &[RecordSchema]) -> Announced {
    let known = |schema: &RecordSchema| {
        let fixed = columns::fixed(schema.record_type.kind).iter();
        let mut all: BTreeMap<String, AttributeType> =
            fixed.map(|(name, value_type, _)| ((*name).to_owned(), *value_type)).collect();
        let own = schema.attributes.iter();
        all.extend(own.map(|it| (it.name.as_str().to_owned(), it.value_type)));
        (schema.record_type.clone(), all)
    };
    schemas.iter().map(known).collect()
}

/// The types that a rule can be evaluated on, or why there is none.
pub fn fitted(rule: &OperatorRule, announced: &Announced) -> Result<Vec<RecordType>, String> {
    let targets: Vec<_> = announced.iter().filter(|(of, _)| rule.on.target.takes(of)).collect();
    if targets.is_empty() {
        return Err(format!("the connector announces no type {}", rule.on.target));
    }
    let mut why = None;
    let mut fits = Vec::new();
    for (record_type, known) in targets {
        let misfit = rule.tests().find_map(|(name, test)| match known.get(name.as_str()) {
            None => Some(format!("{record_type} has no attribute {name}")),
            Some(value_type) => test.misfit(*value_type).map(|what| {
                let is = match value_type {
                    AttributeType::Text => "text",
                    AttributeType::Integer => "a number",
                    AttributeType::Boolean => "true or false",
                    AttributeType::Timestamp => "a time",
                };
                format!("{name} of {record_type} is {is} and cannot be {what}")
            }),
        });
        match misfit {
            None => fits.push(record_type.clone()),
            Some(misfit) => why = why.or(Some(misfit)),
        }
    }
    match why {
        Some(why) if fits.is_empty() => Err(why),
        _ => Ok(fits),
    }
}

/// Counts what rules select in one sync.
#[derive(Debug)]
pub struct RuleCounter {
    rules: Vec<Fitted>,
    now: Timestamp,
}

#[derive(Debug)]
struct Fitted {
    name: RuleName,
    rule: OperatorRule,
    types: Vec<RecordType>,
    count: RuleCount,
}

impl RuleCounter {
    /// A counter for a connector that announces these types. Ages are taken at `now`.
    pub fn new(
        rules: &BTreeMap<RuleName, OperatorRule>,
        announced: &Announced,
        now: Timestamp,
    ) -> Self {
        let fit = |(name, rule): (&RuleName, &OperatorRule)| {
            let (types, unmet) = match fitted(rule, announced) {
                Ok(types) => (types, None),
                Err(why) => (Vec::new(), Some(why)),
            };
            let passed_over = unmet.is_some() && rule.where_it_fits;
            let unmet = unmet.filter(|_| !passed_over);
            let count = RuleCount { unmet, passed_over, ..RuleCount::default() };
            Fitted { name: name.clone(), rule: rule.clone(), types, count }
        };
        Self { rules: rules.iter().map(fit).collect(), now }
    }

    /// Whether some rule looks at changes.
    pub fn wants_changes(&self) -> bool {
        self.rules.iter().any(|it| it.rule.on.watched != Watched::Current && !it.types.is_empty())
    }

    /// Whether some rule looks at all records of a type.
    pub fn wants_current(&self, record_type: &RecordType) -> bool {
        let wants =
            |it: &Fitted| it.rule.on.watched == Watched::Current && it.types.contains(record_type);
        self.rules.iter().any(wants)
    }

    /// Counts a changed record.
    pub fn change(&mut self, change: &Change) {
        // What is gone is looked at as it was, all else as it is.
        let (row, before) = match (&change.after, &change.before) {
            (Some(after), before) => (after, before.as_ref()),
            (None, Some(before)) => (before, None),
            (None, None) => return,
        };
        let seen = Seen { row, before, now: self.now };
        for it in &mut self.rules {
            let looks = it.rule.on.watched.is(change.op) && it.types.contains(&change.record_type);
            if looks && it.rule.counts(seen) {
                it.count.add(|| change.key.clone());
            }
        }
    }

    /// Counts a record that there is now.
    pub fn current(&mut self, row: &Row) {
        let seen = Seen { row, before: None, now: self.now };
        for it in &mut self.rules {
            let looks =
                it.rule.on.watched == Watched::Current && it.types.contains(&row.record_type);
            if looks && it.rule.counts(seen) {
                it.count.add(|| row.key());
            }
        }
    }

    /// What was counted. `before` and `now` tell how many records of a type there were and are.
    pub fn finish(
        self,
        before: impl Fn(&RecordType) -> u64,
        now: impl Fn(&RecordType) -> u64,
    ) -> BTreeMap<RuleName, RuleCount> {
        let finished = self.rules.into_iter().map(|mut it| {
            let of = |record_type: &RecordType| match it.rule.on.watched {
                Watched::Current => now(record_type),
                Watched::Added | Watched::Removed | Watched::Changed => before(record_type),
            };
            it.count.of = it.types.iter().map(of).fold(0, u64::saturating_add);
            (it.name, it.count)
        });
        finished.collect()
    }
}

impl RuleCount {
    fn add(&mut self, key: impl FnOnce() -> String) {
        self.matched = self.matched.saturating_add(1);
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(key());
        }
    }
}
