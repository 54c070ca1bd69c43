//! The store against a naive one: maps, loops and nothing clever.

use std::collections::{BTreeMap, BTreeSet};

use cordon_model::{Change, ChangeOp, Value};
use cordon_validate::DefectKind;
use proptest::prelude::*;

use super::*;
use crate::ChangeCounts;

type Held = BTreeMap<(RecordType, String), Record>;

fn held(records: &[Record]) -> Held {
    let mut held = Held::new();
    for record in records {
        // Of two records with one key the first counts.
        let key = (record.row.record_type.clone(), record.row.key());
        held.entry(key).or_insert_with(|| record.clone());
    }
    held
}

/// How a scope ends in the next sync; none: it does not report.
type Ending = Option<ScopeOutcome>;

const SCOPES: [&str; 3] = ["s0", "s1", "s2"];

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        3 => Just(Some(ScopeOutcome::Complete)),
        2 => Just(Some(ScopeOutcome::Incomplete { reason: String::new() })),
        1 => Just(Some(ScopeOutcome::Gone)),
        1 => Just(None),
    ]
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let scope = || (0..3usize).prop_map(|n| SCOPES[n]);
    let users = prop::collection::btree_map(0..12u8, (scope(), 0..4i64, any::<bool>()), 0..12);
    let gives = prop::collection::btree_map(0..4u8, (scope(), any::<bool>()), 0..4);
    let grants = prop::collection::btree_map((0..12u8, 0..4u8), scope(), 0..20);
    (users, gives, grants).prop_map(|(users, gives, grants)| {
        let mut records = Vec::new();
        for (n, (scope, age, mail)) in users {
            let mut record = user(scope, &format!("u{n}"));
            if age > 0 {
                record.row.values.insert("age".to_owned(), Value::Integer(age));
            }
            if mail {
                record.row.values.insert("mail".to_owned(), text("m"));
            }
            records.push(record);
        }
        for (n, (scope, privileged)) in gives {
            records.push(entitlement(scope, &format!("e{n}"), "ops", privileged));
        }
        for ((u, e), scope) in grants {
            records.push(grant(scope, &format!("u{u}"), &format!("e{e}")));
        }
        records
    })
}

/// Records as a sync with these endings may report them, and its reports.
fn reported(records: Vec<Record>, endings: &[Ending]) -> (Vec<Record>, Vec<ScopeReport>) {
    let outcome = |scope: &str| {
        let place = SCOPES.iter().position(|name| *name == scope).unwrap();
        endings[place].clone()
    };
    let speaks = |record: &Record| {
        outcome(&record.scope).is_some_and(|outcome| outcome != ScopeOutcome::Gone)
    };
    let reports = SCOPES.iter().filter_map(|name| Some(report(name, outcome(name)?)));
    let reports = reports.collect();
    (records.into_iter().filter(speaks).collect(), reports)
}

/// What a snapshot should hold after a sync.
fn naive_next(before: &Held, now: &[Record], reports: &[ScopeReport]) -> Held {
    let mut next = held(now);
    for (key, record) in before {
        let report = reports.iter().find(|report| report.name == record.scope);
        let unknown = report.is_none_or(|report| !report.outcome.proves_absence());
        if unknown {
            next.entry(key.clone()).or_insert_with(|| record.clone());
        }
    }
    next
}

fn naive_changes(before: &Held, after: &Held) -> BTreeMap<(RecordType, String), Change> {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
    let mut changes = BTreeMap::new();
    for key in keys {
        let (old, new) = (before.get(&key), after.get(&key));
        let op = match (old, new) {
            (Some(old), Some(new)) if old.row == new.row => continue,
            (Some(_), Some(_)) => ChangeOp::Modified,
            (Some(_), None) => ChangeOp::Removed,
            (None, _) => ChangeOp::Added,
        };
        let change = Change {
            op,
            record_type: key.0.clone(),
            key: key.1.clone(),
            before: old.map(|record| record.row.clone()),
            after: new.map(|record| record.row.clone()),
            pending_removal: None,
        };
        changes.insert(key, change);
    }
    changes
}

fn privileged(held: &Held) -> BTreeSet<String> {
    let text = |record: &Record, name: &str| record.row.values[name].to_string();
    let gives: BTreeSet<_> = held
        .values()
        .filter(|record| record.row.values.get("privileged") == Some(&Value::Boolean(true)))
        .map(|record| text(record, "id"))
        .collect();
    held.values()
        .filter(|record| record.row.record_type == of("grant.user"))
        .filter(|record| gives.contains(&text(record, "entitlement")))
        .map(|record| record.row.key())
        .collect()
}

fn check_step(host: &Host, from: Option<(&Snapshot, &Held)>, to: &Snapshot, after: &Held) {
    let nothing = Held::new();
    let before = from.map_or(&nothing, |(_, held)| held);
    let expected = naive_changes(before, after);
    let from = from.map(|(snapshot, _)| snapshot);
    let changes: Vec<Change> =
        host.store.changes(from, to, 0).unwrap().collect::<Result<_, _>>().unwrap();
    let found: BTreeMap<_, _> = changes
        .iter()
        .map(|change| ((change.record_type.clone(), change.key.clone()), change.clone()))
        .collect();
    assert_eq!(found.len(), changes.len(), "a change came twice");
    assert_eq!(found, expected);
    for skip in [1, changes.len() / 3, changes.len() / 2, changes.len() + 1] {
        let rest: Vec<Change> =
            host.store.changes(from, to, skip as u64).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(rest, changes[skip.min(changes.len())..]);
    }
    let mut counts: BTreeMap<RecordType, ChangeCounts> = BTreeMap::new();
    for change in expected.values() {
        let counts = counts.entry(change.record_type.clone()).or_default();
        match change.op {
            ChangeOp::Added => counts.added += 1,
            ChangeOp::Modified => counts.modified += 1,
            ChangeOp::Removed => counts.removed += 1,
        }
    }
    assert_eq!(host.store.change_counts(from, to).unwrap(), counts);
}

fn check_delta(
    candidate: &Candidate,
    before: &Held,
    after: &Held,
    counts: &BTreeMap<RecordType, ChangeCounts>,
) {
    let delta = candidate.delta.as_ref().unwrap();
    let changes = naive_changes(before, after);
    for (record_type, found) in &delta.types {
        let of_type = |held: &Held| held.keys().filter(|key| key.0 == *record_type).count() as u64;
        let counts = counts.get(record_type).copied().unwrap_or_default();
        assert_eq!((found.before, found.after), (of_type(before), of_type(after)));
        assert_eq!(
            (found.added, found.modified, found.removed),
            (counts.added, counts.modified, counts.removed)
        );
        for example in &found.removed_examples {
            let key = (record_type.clone(), example.clone());
            assert_eq!(changes[&key].op, ChangeOp::Removed);
        }
        for example in &found.added_examples {
            let key = (record_type.clone(), example.clone());
            assert_eq!(changes[&key].op, ChangeOp::Added);
        }
        assert_eq!(found.removed_examples.len() as u64, found.removed.min(5));
        assert_eq!(found.added_examples.len() as u64, found.added.min(5));
    }
    for scope in SCOPES {
        let found = delta.scopes.get(scope).cloned().unwrap_or_default();
        let of_scope = |held: &Held| held.values().filter(|r| r.scope == scope).count() as u64;
        let by = |op, side: &Held| {
            let ours = changes.iter().filter(|(_, change)| change.op == op);
            ours.filter(|(key, _)| side[*key].scope == scope).count() as u64
        };
        assert_eq!((found.before, found.after), (of_scope(before), of_scope(after)));
        assert_eq!(found.removed, by(ChangeOp::Removed, before));
        assert_eq!(found.added, by(ChangeOp::Added, after));
    }
    let (old, new) = (privileged(before), privileged(after));
    let found = &delta.privileged;
    assert_eq!((found.before, found.after), (old.len() as u64, new.len() as u64));
    assert_eq!(found.appeared, new.difference(&old).count() as u64);
    assert_eq!(found.vanished, old.difference(&new).count() as u64);
    for example in &found.examples {
        assert!(old.contains(example) != new.contains(example), "{example}");
    }
}

fn check_census(candidate: &Candidate, now: &[Record], after: &Held) {
    for (record_type, found) in &candidate.census.types {
        let ours = after.iter().filter(|(key, _)| key.0 == *record_type);
        let carried = ours.clone().filter(|(key, _)| !held(now).contains_key(*key));
        assert_eq!(found.carried, carried.count() as u64);
        assert_eq!(found.records, ours.clone().count() as u64);
        for (name, column) in &found.columns {
            let present = ours.clone().filter(|(_, record)| record.row.values.contains_key(name));
            assert_eq!(column.present, present.count() as u64, "{record_type} {name}");
        }
    }
    for (name, scope) in &candidate.census.scopes {
        let ours = after.values().filter(|record| record.scope == *name);
        assert_eq!(scope.records.values().sum::<u64>(), ours.count() as u64);
    }
    assert_eq!(candidate.census.privileged.grants, privileged(after).len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn three_syncs_with_scopes_that_end_in_any_way_step_as_naive_maps_do(
        syncs in prop::collection::vec(
            (records(), prop::collection::vec(ending(), 3), 1..4usize), 3),
    ) {
        let host = Host::new();
        let mut last: Option<(Snapshot, Held)> = None;
        for (number, (records, endings, batch)) in syncs.into_iter().enumerate() {
            let (now, reports) = reported(records, &endings);
            let sync = number as u64 + 1;
            let snapshot = last.as_ref().map(|(snapshot, _)| snapshot);
            let staged = stage(&host.store, sync, &now, reports.clone(), snapshot, batch).unwrap();
            let nothing = Held::new();
            let before = last.as_ref().map_or(&nothing, |(_, held)| held);
            let after = naive_next(before, &now, &reports);
            check_census(&staged.candidate, &now, &after);
            let next = host.publish_staged(&staged);
            host.store.verify(&next).unwrap();
            check_step(&host, last.as_ref().map(|(snapshot, held)| (snapshot, held)), &next, &after);
            check_step(&host, None, &next, &after);
            if let Some((snapshot, before)) = &last {
                let counts = host.store.change_counts(Some(snapshot), &next).unwrap();
                check_delta(&staged.candidate, before, &after, &counts);
            }
            last = Some((next, after));
        }
    }

    #[test]
    fn the_order_of_arrival_and_the_files_do_not_enter_the_digest_of_a_type(
        records in records(), seed in any::<u64>(), batch in 1..5usize,
    ) {
        let host = Host::new();
        let one = host.stage(1, &records, None);
        let mut shuffled = records.clone();
        let mut state = seed | 1;
        for i in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(i, (state >> 33) as usize % (i + 1));
        }
        let two = stage(&host.store, 2, &shuffled, complete(&records), None, batch).unwrap();
        prop_assert_eq!(&one.content_digest, &two.content_digest);
        prop_assert_ne!(&one.candidate.digest, &two.candidate.digest);
        // One record less is another content.
        if let Some((_, fewer)) = shuffled.split_first() {
            let three = stage(&host.store, 3, fewer, complete(&records), None, batch).unwrap();
            prop_assert_ne!(one.content_digest, three.content_digest);
        }
    }

    #[test]
    fn duplicates_and_dangling_references_are_those_that_a_naive_search_finds(
        users in prop::collection::vec((0..8u8, 0..10u8), 0..16),
        gives in prop::collection::vec((0..4u8, 0..3u8), 0..6),
        grants in prop::collection::vec((0..10u8, 0..5u8), 0..40),
        groups in prop::collection::btree_set(0..3u8, 0..3),
        batch in 1..5usize,
    ) {
        let host = Host::new();
        let mut records: Vec<Record> = groups.iter().map(|n| group("a", &format!("g{n}"))).collect();
        for (n, owner) in &users {
            let owner = text(&format!("user:u{owner}"));
            records.push(user_with("a", &format!("u{n}"), &[("owner", owner)]));
        }
        for (n, resource) in &gives {
            records.push(entitlement("a", &format!("e{n}"), &format!("g{resource}"), false));
        }
        for (user, give) in &grants {
            records.push(grant("a", &format!("u{user}"), &format!("e{give}")));
        }
        let staged = stage(&host.store, 1, &records, complete(&records), None, batch).unwrap();
        let found: BTreeMap<_, _> = staged.candidate.defects.iter().map(|defect| {
            let of = (defect.record_type.to_string(), defect.column.clone().unwrap_or_default());
            (of, (defect.kind, defect.count, defect.of))
        }).collect();

        let mut expected = BTreeMap::new();
        let mut duplicate = |record_type: &str, all: usize, distinct: usize| {
            if all > distinct {
                let counts = (DefectKind::DuplicateKey, (all - distinct) as u64, all as u64);
                expected.insert((record_type.to_owned(), String::new()), counts);
            }
        };
        let ids: BTreeSet<_> = users.iter().map(|(n, _)| *n).collect();
        let given: BTreeSet<_> = gives.iter().map(|(n, _)| *n).collect();
        let held: BTreeSet<_> = grants.iter().copied().collect();
        duplicate("resource.user", users.len(), ids.len());
        duplicate("entitlement.group", gives.len(), given.len());
        duplicate("grant.user", grants.len(), held.len());
        let mut dangling = |record_type: &str, column: &str, targets: BTreeSet<u8>, ends: &BTreeSet<u8>| {
            let missing = targets.difference(ends).count() as u64;
            if missing > 0 {
                let counts = (DefectKind::DanglingReference, missing, targets.len() as u64);
                expected.insert((record_type.to_owned(), column.to_owned()), counts);
            }
        };
        dangling("resource.user", "owner", users.iter().map(|(_, o)| *o).collect(), &ids);
        dangling("entitlement.group", "resource", gives.iter().map(|(_, g)| *g).collect(), &groups);
        dangling("grant.user", "principal", grants.iter().map(|(u, _)| *u).collect(), &ids);
        dangling("grant.user", "entitlement", grants.iter().map(|(_, e)| *e).collect(), &given);
        prop_assert_eq!(found, expected);
    }
}
