//! Removals with a time of grace, against stores in temporary folders and against naive maps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cordon_model::{Change, ChangeOp};
use cordon_validate::{PendingRemovals, Selection};
use proptest::prelude::*;

use super::*;
use crate::{Grace, Keep};

const HOUR: i64 = 3_600;

/// When a sync of these tests begins: one an hour.
fn at(sync: u64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + sync as i64 * HOUR).unwrap()
}

/// Stages a sync that is accepted in the moment in which it begins; a grace in hours.
fn stage_in_hours(
    host: &Host,
    sync: u64,
    records: &[Record],
    reports: Vec<ScopeReport>,
    last: Option<&Snapshot>,
    grace: Option<u64>,
) -> Staged {
    let accepted_at = at(last.map_or(0, |last| last.manifest.sync.0));
    let grace = grace.map(|hours| Grace {
        span: Duration::from_secs(hours * HOUR as u64),
        accepted_at,
        ends: true,
    });
    let spec = StageSpec { started_at: at(sync), grace, ..spec(sync, schemas()) };
    let mut staging = host.store.stage(spec).unwrap();
    append(&mut staging, records, 3).unwrap();
    staging.finish(reports, last).unwrap()
}

struct Story {
    host: Host,
    last: Option<Snapshot>,
}

impl Story {
    fn new() -> Self {
        Self { host: Host::new(), last: None }
    }

    /// Publishes a sync; gives what goes out with it, and what is pending after it.
    fn sync(&mut self, sync: u64, records: &[Record], grace: Option<u64>) -> Vec<String> {
        let mut reports = complete(records);
        if !reports.iter().any(|report| report.name == "s") {
            reports.push(report("s", ScopeOutcome::Complete));
        }
        self.sync_with(sync, records, reports, grace)
    }

    fn sync_with(
        &mut self,
        sync: u64,
        records: &[Record],
        reports: Vec<ScopeReport>,
        grace: Option<u64>,
    ) -> Vec<String> {
        let staged = stage_in_hours(&self.host, sync, records, reports, self.last.as_ref(), grace);
        let next = self.host.publish_staged(&staged);
        let told = self.told(self.last.as_ref(), &next);
        self.last = Some(next);
        told
    }

    fn told(&self, from: Option<&Snapshot>, to: &Snapshot) -> Vec<String> {
        let changes = self.host.store.deliveries(from, to, 0).unwrap();
        let changes: Vec<Change> = changes.map(Result::unwrap).collect();
        if let Some(delivered) = to.manifest.delivered.filter(|_| from.is_some()) {
            assert_eq!(delivered.total(), changes.len() as u64, "numbers given out");
        }
        // Their order is that of rows in files, which is shown elsewhere.
        let mut told: Vec<String> = changes.iter().map(words).collect();
        told.sort();
        told
    }

    fn pending(&self) -> PendingRemovals {
        self.last.as_ref().unwrap().manifest.pending.unwrap()
    }
}

fn words(change: &Change) -> String {
    let Change { op, key, pending_removal, .. } = change;
    match pending_removal {
        None => format!("{op} {key}"),
        Some(pending) => format!("{op} {key}, pending since {}", pending.sync),
    }
}

fn users(ids: &[&str]) -> Vec<Record> {
    ids.iter().map(|id| user("s", id)).collect()
}

#[test]
fn a_removal_waits_for_its_grace_and_then_goes_out() {
    let mut story = Story::new();
    story.sync(1, &users(&["ann", "bob"]), Some(2));
    let told = story.sync(2, &users(&["ann"]), Some(2));
    assert_eq!(told, ["modified user:bob, pending since 2"]);
    assert_eq!(story.last.as_ref().unwrap().manifest.census.types[&of("resource.user")].records, 1);
    assert_eq!(
        story.pending(),
        PendingRemovals {
            waiting: 1,
            began: 1,
            final_from: Some(at(4)),
            ..PendingRemovals::default()
        }
    );
    assert_eq!(story.sync(3, &users(&["ann"]), Some(2)), Vec::<String>::new());
    assert_eq!(story.pending().waiting, 1);
    assert_eq!(story.sync(4, &users(&["ann"]), Some(2)), ["removed user:bob"]);
    assert_eq!(story.pending(), PendingRemovals { ended: 1, ..PendingRemovals::default() });
}

#[test]
fn what_comes_back_within_its_grace_was_never_removed() {
    let mut story = Story::new();
    story.sync(1, &users(&["ann", "bob"]), Some(24));
    story.sync(2, &users(&["ann"]), Some(24));
    assert_eq!(story.sync(3, &users(&["ann", "bob"]), Some(24)), ["modified user:bob"]);
    assert_eq!(story.pending(), PendingRemovals { returned: 1, ..PendingRemovals::default() });
    // A removal after that waits from its own beginning.
    story.sync(4, &users(&["ann"]), Some(24));
    assert_eq!(story.sync(27, &users(&["ann"]), Some(24)), Vec::<String>::new());
    assert_eq!(story.sync(28, &users(&["ann"]), Some(24)), ["removed user:bob"]);
}

#[test]
fn a_removal_is_final_only_by_a_sync_that_read_its_scope() {
    let mut story = Story::new();
    let both = [user("s", "ann"), user("t", "bob"), user("t", "cid")];
    story.sync(1, &both, Some(1));
    story.sync(2, &both[..2], Some(1));
    // Two hours later the grace is over; the scope is cut short, and then not reported at all.
    let told = story.sync_with(
        4,
        &both[..1],
        vec![report("s", ScopeOutcome::Complete), incomplete("t")],
        Some(1),
    );
    assert_eq!(told, Vec::<String>::new());
    let told = story.sync_with(5, &both[..1], vec![report("s", ScopeOutcome::Complete)], Some(1));
    assert_eq!(told, Vec::<String>::new());
    assert_eq!(story.pending().waiting, 1);
    assert_eq!(story.sync(6, &both[..2], Some(1)), ["removed user:cid"]);
}

#[test]
fn without_a_grace_removals_are_final_and_what_is_pending_is_too() {
    let mut story = Story::new();
    story.sync(1, &users(&["ann", "bob", "cid"]), Some(24));
    story.sync(2, &users(&["ann", "bob"]), Some(24));
    assert_eq!(story.sync(3, &users(&["ann"]), None), ["removed user:bob", "removed user:cid"]);
    let manifest = &story.last.as_ref().unwrap().manifest;
    assert_eq!(manifest.tombstones, []);
    assert_eq!(story.sync(4, &users(&[]), None), ["removed user:ann"]);
    assert_eq!(story.last.as_ref().unwrap().manifest.pending, None);
}

#[test]
fn the_judge_is_told_the_same_with_and_without_a_grace() {
    let host = Host::new();
    let first = host.publish(1, &users(&["ann", "bob", "cid"]), None);
    let reports = || vec![report("s", ScopeOutcome::Complete)];
    let with = stage_in_hours(&host, 2, &users(&["ann"]), reports(), Some(&first), Some(24));
    let without = stage_in_hours(&host, 2, &users(&["ann"]), reports(), Some(&first), None);
    assert_eq!(with.content_digest, without.content_digest);
    assert_ne!(with.candidate.digest, without.candidate.digest);
    assert_eq!(with.candidate.pending.unwrap().began, 2);
    let told = |staged: &Staged| Candidate {
        digest: String::new(),
        pending: None,
        ..staged.candidate.clone()
    };
    assert_eq!(told(&with), told(&without));
}

#[test]
fn an_entitlement_that_is_held_elsewhere_now_is_not_pending() {
    let mut story = Story::new();
    let held_on = |of: &str| {
        let resource = text(&format!("{of}:ops"));
        let values =
            [("id", text("vpn")), ("resource", resource), ("privileged", Value::Boolean(false))];
        record("s", &format!("entitlement.{of}"), &values)
    };
    story.sync(1, &[group("s", "ops"), held_on("group")], Some(24));
    let told = story.sync(2, &[group("s", "ops"), held_on("app")], Some(24));
    assert_eq!(told, ["added vpn", "removed vpn"].map(|it| it.replace("vpn", &key_of_vpn())));
}

fn key_of_vpn() -> String {
    entitlement("s", "vpn", "ops", false).row.key()
}

#[test]
fn a_part_that_is_released_has_pending_removals_and_ends_none() {
    let mut story = Story::new();
    story.sync(1, &users(&["ann", "bob", "cid", "dan"]), Some(1));
    story.sync(2, &users(&["ann", "bob", "cid"]), Some(1));
    let last = story.last.clone().unwrap();
    let reports = vec![report("s", ScopeOutcome::Complete)];
    let now = users(&["ann", "eve"]);
    stage_in_hours(&story.host, 5, &now, reports, Some(&last), Some(1));
    let store = &story.host.store;
    let whole = store.candidate(&hr(), SyncNumber(5)).unwrap();
    let grace = Grace { span: Duration::from_secs(3_600), accepted_at: at(2), ends: true };
    let bob = Selection::new(&[], &[], &["user:bob".to_owned()]).unwrap();
    let composed = store.compose(SyncNumber(6), Some(&last), &whole, &bob, Some(grace)).unwrap();
    let part = story.host.publish_staged(&composed.staged);
    assert_eq!(story.told(Some(&last), &part), ["modified user:bob, pending since 6"]);
    assert_eq!(part.manifest.pending.unwrap().waiting, 2, "bob, and dan who was before him");
    // What is left is compared with the part, and then released whole.
    let rest = store.rebase(&whole, &part).unwrap();
    let rest = store.settle(&hr(), SyncNumber(5), &rest.candidate.digest).unwrap();
    let grace = Grace { accepted_at: at(6), ..grace };
    let all = Selection::all();
    let composed = store.compose(SyncNumber(7), Some(&part), &rest, &all, Some(grace)).unwrap();
    let whole = story.host.publish_staged(&composed.staged);
    let told = story.told(Some(&part), &whole);
    assert_eq!(told, ["added user:eve", "modified user:cid, pending since 7"]);
    story.last = Some(whole);
    let told = story.sync(9, &now, Some(1));
    assert_eq!(told, ["removed user:bob", "removed user:cid", "removed user:dan"]);
}

#[test]
fn a_whole_snapshot_goes_out_with_its_tombstones_marked() {
    let mut story = Story::new();
    story.sync(1, &users(&["ann", "bob"]), Some(24));
    story.sync(2, &users(&["ann"]), Some(24));
    let told = story.told(None, story.last.as_ref().unwrap());
    assert_eq!(told, ["added user:ann", "added user:bob, pending since 2"]);
}

#[test]
fn tombstones_survive_a_sweep_and_their_damage_is_found() {
    let mut story = Story::new();
    story.sync(1, &users(&["ann", "bob", "cid"]), Some(24));
    story.sync(2, &users(&["ann", "bob"]), Some(24));
    story.sync(3, &users(&["ann"]), Some(24));
    let last = story.last.clone().unwrap();
    let keep = Keep { snapshots: [(hr(), SyncNumber(3))].into(), ..Keep::default() };
    story.host.store.sweep(&keep).unwrap();
    story.host.store.verify(&last).unwrap();
    let told = story.told(None, &last);
    assert_eq!(told.len(), 3);
    let stone = &last.manifest.tombstones[0].file;
    let path = story.host.store.shared.layout.object(crate::layout::ObjectKind::Data, &stone.data);
    std::fs::remove_file(&path).unwrap();
    assert!(story.host.store.check_files(&last).is_err());
    assert!(story.host.store.verify(&last).is_err());
}

/// Who is there in each of several syncs, and which hours lie between them.
fn histories() -> impl Strategy<Value = Vec<(BTreeSet<u8>, bool, u64)>> {
    let who = prop::collection::btree_set(0..6_u8, 0..6);
    prop::collection::vec((who, prop::bool::weighted(0.8), 1..4_u64), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn a_sink_loses_exactly_who_was_missing_for_the_whole_grace(history in histories()) {
        const GRACE: u64 = 4;
        let mut story = Story::new();
        // What naive maps say: who is there, and who is missing since when.
        let mut there: BTreeSet<u8> = BTreeSet::new();
        let mut missing: BTreeMap<u8, u64> = BTreeMap::new();
        // What a sink knows that applies what it is told.
        let mut sink: BTreeMap<String, Option<u64>> = BTreeMap::new();
        let mut now = 0;
        for (who, is_whole, hours) in history {
            now += hours;
            let ids: Vec<String> = who.iter().map(|id| format!("u{id}")).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let scope = if is_whole { report("s", ScopeOutcome::Complete) } else { incomplete("s") };
            let reports = vec![scope];
            let last = story.last.clone();
            story.sync_with(now, &users(&ids), reports, Some(GRACE));
            let next = story.last.as_ref().unwrap();
            for change in story.host.store.deliveries(last.as_ref(), next, 0).unwrap() {
                let change = change.unwrap();
                match change.op {
                    ChangeOp::Removed => drop(sink.remove(&change.key).unwrap()),
                    _ => drop(sink.insert(change.key, change.pending_removal.map(|it| it.sync.0))),
                }
            }
            if is_whole {
                for id in there.difference(&who) {
                    missing.insert(*id, now);
                }
                there = who.clone();
                missing.retain(|id, since| !who.contains(id) && now < *since + GRACE);
            } else {
                there.extend(&who);
                missing.retain(|id, _| !who.contains(id));
            }
            let mut expected: BTreeMap<String, Option<u64>> =
                there.iter().map(|id| (format!("user:u{id}"), None)).collect();
            expected.extend(missing.iter().map(|(id, since)| (format!("user:u{id}"), Some(*since))));
            prop_assert_eq!(&sink, &expected);
        }
    }
}
