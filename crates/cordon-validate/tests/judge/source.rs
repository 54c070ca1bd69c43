//! A source that is made up: what it says of single records, worked out for each policy as the gate does.

use std::collections::BTreeMap;

use cordon_model::{AttributeType, Change, ChangeOp, Outcome, RecordType, Row, Value};
use cordon_validate::lookup::{Answers, Lookup, asks_the_source, questions};
use cordon_validate::{Announced, History, MarkedGrants, Policy, RuleCount, RuleCounter, judge};
use proptest::prelude::*;

use crate::scene::{Scene, record_type};

/// Records that the sync removes.
const REMOVED: [&str; 3] = ["breakglass-1", "root", "admins"];
/// Entitlements of the grants that the sync adds.
const GRANTED: [&str; 5] = ["sudo:ALL", "aws-admin", "gcp-admin", "vpn", "wiki"];
/// Controls of each type that is asked for.
const KNOWN: u64 = 5;

#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Chooses how many records a rule finds.
    found: u64,
    /// It announces what marks ask for.
    announces: bool,
    /// Whether records are marked, and their tier.
    marks: Vec<(bool, i64)>,
    /// Of the missing records of a type in the order of asking, the first that it still has.
    still_there: Option<u64>,
    /// It knows so many of what it has just reported, and what was made up.
    known: u64,
    knows_all: bool,
}

pub(crate) fn sources() -> impl Strategy<Value = Source> {
    let marks = prop::collection::vec((any::<bool>(), 0..3_i64), GRANTED.len());
    let known = prop_oneof![5 => Just(KNOWN), 1 => 0..KNOWN];
    let answers = (prop::option::of(0..400_u64), known, prop::bool::weighted(0.1));
    (any::<u64>(), any::<bool>(), marks, answers).prop_map(
        |(found, announces, marks, (still_there, known, knows_all))| Source {
            found,
            announces,
            marks,
            still_there,
            known,
            knows_all,
        },
    )
}

impl Source {
    fn rows(&self, of: &str, ids: &[&str]) -> Vec<Row> {
        let rows = ids.iter().zip(&self.marks).map(|(id, (is_marked, tier))| {
            let id = ("id".to_owned(), Value::Text((*id).to_owned()));
            let mark = ("break_glass".to_owned(), Value::Boolean(*is_marked));
            let tier = ("tier".to_owned(), Value::Integer(*tier));
            Row { record_type: record_type(of), values: BTreeMap::from([id, mark, tier]) }
        });
        rows.collect()
    }

    fn announced(&self) -> Announced {
        let mut columns = BTreeMap::from([("id".to_owned(), AttributeType::Text)]);
        if self.announces {
            columns.insert("break_glass".to_owned(), AttributeType::Boolean);
            columns.insert("tier".to_owned(), AttributeType::Integer);
        }
        let types = ["resource.user", "entitlement.group"].map(record_type);
        types.into_iter().map(|of| (of, columns.clone())).collect()
    }

    /// What is known of single records, as far as the policy asks.
    fn told(&self, scene: &Scene, policy: &Policy) -> History {
        let mut history = scene.history.clone();
        let now = "2026-03-05T12:00:00Z".parse().unwrap();
        history.judged_at = Some(now);
        let gone = self.rows("resource.user", &REMOVED);
        let keys = gone.iter().map(Row::key);
        history.protected_removed = keys.filter(|key| policy.protects(key)).collect();
        let granted = self.rows("entitlement.group", &GRANTED);
        let is_marked = |(id, row): &(&str, &Row)| policy.marks_id(id) || policy.marks(row, now);
        let appeared = GRANTED.into_iter().zip(&granted).filter(is_marked).count() as u64;
        history.marked_grants = MarkedGrants { appeared, ..MarkedGrants::default() };

        let counted = policy.counted_rules();
        let mut counter = RuleCounter::new(&counted, &self.announced(), now);
        for row in gone {
            counter.change(&Change {
                op: ChangeOp::Removed,
                record_type: row.record_type.clone(),
                key: row.key(),
                before: Some(row),
                after: None,
                pending_removal: None,
            });
        }
        granted.iter().for_each(|row| counter.current(row));
        history.rules = counter.finish(|_| 100, |_| 100);
        for (name, rule) in &policy.rules {
            // The same records for the same selection, whatever is allowed of them.
            let matched = self.found.wrapping_mul(rule.subject().len() as u64) % 40;
            let count = RuleCount { matched, of: 100, ..RuleCount::default() };
            history.rules.insert(name.clone(), count);
        }
        history
    }

    /// What it says of the records that are missing; none where the policy asks for none.
    fn looked_up(&self, scene: &Scene, policy: &Policy) -> Option<Lookup> {
        let lookups = policy.lookup;
        let types = scene.candidate.delta.iter().flat_map(|delta| &delta.types);
        let missing: BTreeMap<RecordType, u64> = types
            .filter(|(_, step)| step.removed > 0)
            .map(|(of, step)| (of.clone(), step.removed))
            .collect();
        let asked = questions(&missing, &lookups);
        // So many have an answer in time.
        let mut in_time = u64::from(lookups.per_second) * lookups.deadline.as_secs();
        if lookups.keys == 0 || in_time == 0 {
            return None;
        }
        let is_in_time = asked.values().sum::<u64>() <= in_time;
        let answers = missing.into_iter().map(|(of, missing)| {
            let asked = asked[&of];
            let answered = asked.min(in_time);
            in_time -= answered;
            let present = u64::from(self.still_there.is_some_and(|first| first < answered));
            Answers {
                record_type: of,
                missing,
                asked,
                present,
                absent: answered - present,
                known: KNOWN,
                known_present: self.known,
                invented_present: self.knows_all,
                present_examples: Vec::new(),
                absent_examples: Vec::new(),
            }
        });
        Some(Lookup {
            digest: scene.candidate.digest.clone(),
            confidence: lookups.confidence,
            types: answers.collect(),
            trouble: (!is_in_time).then(|| "it took too long".to_owned()),
        })
    }

    /// What comes of the scene under a policy.
    pub(crate) fn under(&self, scene: &Scene, policy: &Policy) -> Outcome {
        let mut history = self.told(scene, policy);
        let last_good = scene.last_good.as_ref();
        let judged = judge(last_good, scene.candidate.clone(), &history, policy);
        let types = scene.candidate.delta.iter().flat_map(|delta| delta.types.values());
        let removed = types.map(|step| step.removed).sum();
        if last_good.is_none() || !asks_the_source(judged.verdict(), removed, policy) {
            return judged.verdict().outcome;
        }
        history.lookup = self.looked_up(scene, policy);
        judge(last_good, scene.candidate.clone(), &history, policy).verdict().outcome
    }
}
