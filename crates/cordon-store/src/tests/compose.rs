//! Parts of a candidate: exactly what was selected, and nothing that points at nothing.

use std::collections::{BTreeMap, BTreeSet};

use cordon_model::{Change, ChangeOp};
use cordon_validate::Selection;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::{ChangeCounts, ComposeError, Composed};

fn selection(ops: &[&str], labels: &[&str], keys: &[&str]) -> Selection {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    Selection::new(&words(ops), &words(labels), &words(keys)).unwrap()
}

fn changes(host: &Host, from: Option<&Snapshot>, to: &Snapshot) -> Vec<Change> {
    host.store.changes(from, to, 0).unwrap().collect::<Result<_, _>>().unwrap()
}

/// The changes as lines: operation and key, in the order of keys.
fn told(changes: &[Change]) -> Vec<String> {
    let mut told: Vec<_> =
        changes.iter().map(|change| format!("{} {}", change.op, change.key)).collect();
    told.sort();
    told
}

fn candidate(host: &Host, sync: u64) -> Snapshot {
    host.store.candidate(&hr(), SyncNumber(sync)).unwrap()
}

/// Ann stays and is renamed, bob leaves with his grant, cid joins with one.
struct Company {
    host: Host,
    first: Snapshot,
    next: Snapshot,
}

fn company() -> Company {
    let host = Host::new();
    let named = |id: &str, mail: &str| user_with("people", id, &[("mail", text(mail))]);
    let base = [group("groups", "ops"), entitlement("groups", "e", "ops", true)];
    let before = [
        named("ann", "a"),
        named("bob", "b"),
        grant("gives", "ann", "e"),
        grant("gives", "bob", "e"),
    ];
    let after = [
        named("ann", "a2"),
        named("cid", "c"),
        grant("gives", "ann", "e"),
        grant("gives", "cid", "e"),
    ];
    let first = host.publish(1, &[base.as_slice(), &before].concat(), None);
    let staged = host.stage(2, &[base.as_slice(), &after].concat(), Some(&first));
    assert_eq!(staged.candidate.sync, SyncNumber(2));
    let next = candidate(&host, 2);
    Company { host, first, next }
}

impl Company {
    fn compose(&self, selection: &Selection) -> Result<Composed, ComposeError> {
        self.host.store.compose(SyncNumber(3), Some(&self.first), &self.next, selection, None)
    }

    fn refused(&self, selection: &Selection) -> String {
        let error = self.compose(selection).unwrap_err().to_string();
        let missing = self.host.store.candidate(&hr(), SyncNumber(3));
        assert!(missing.is_err(), "nothing is composed of what is refused");
        error
    }
}

#[test]
fn a_part_is_the_last_known_good_and_exactly_the_selected_changes() {
    let company = company();
    let composed = company.compose(&Selection::without_removals()).unwrap();
    assert_eq!(composed.selected, ChangeCounts { added: 2, modified: 1, removed: 0 });
    assert_eq!(composed.left, ChangeCounts { added: 0, modified: 0, removed: 2 });
    let part = candidate(&company.host, 3);
    assert_eq!(*part.digest, composed.staged.candidate.digest);
    company.host.store.verify(&part).unwrap();
    assert_eq!(
        told(&changes(&company.host, Some(&company.first), &part)),
        ["added user:cid", "added user:cid -> e", "modified user:ann"]
    );
    let composition = part.manifest.composed.clone().unwrap();
    assert_eq!(composition.of, SyncNumber(2));
    assert_eq!(composition.of_digest, *company.next.digest);
    assert_eq!(composition.selection, Selection::without_removals());
    assert_eq!(part.manifest.against, Some(SyncNumber(1)));
    // Bob is served as he was known, so the part is no younger than that.
    assert_eq!(part.manifest.taken_at, company.first.manifest.taken_at);
    let delta = part.manifest.delta.as_ref().unwrap();
    assert!(delta.types.values().all(|step| step.carried == 0), "nothing is unknown");
}

#[test]
fn a_part_can_be_named_by_the_keys_of_its_records() {
    let company = company();
    company.compose(&selection(&[], &[], &["user:cid*"])).unwrap();
    let part = candidate(&company.host, 3);
    assert_eq!(
        told(&changes(&company.host, Some(&company.first), &part)),
        ["added user:cid", "added user:cid -> e"]
    );
}

#[test]
fn a_grant_without_its_principal_is_refused_by_name() {
    let company = company();
    let error = company.refused(&selection(&["added"], &["grant"], &[]));
    assert_eq!(
        error,
        "selected records of grant.user point by `principal` at 1 that are not selected, for example \
         from user:cid -> e"
    );
}

#[test]
fn a_removal_that_leaves_its_grants_behind_is_refused_by_name() {
    let company = company();
    let error = company.refused(&selection(&["removed"], &["user"], &[]));
    assert_eq!(
        error,
        "records of grant.user would stay and point by `principal` at 1 whose removal is selected, \
         for example user:bob -> e"
    );
    company.compose(&selection(&["removed"], &["user", "grant"], &[])).unwrap();
    let part = candidate(&company.host, 3);
    assert_eq!(
        told(&changes(&company.host, Some(&company.first), &part)),
        ["removed user:bob", "removed user:bob -> e"]
    );
}

#[test]
fn a_removal_that_leaves_its_owned_records_behind_is_refused() {
    let host = Host::new();
    let owned = |by: &str| user_with("people", "bot", &[("owner", text(&format!("user:{by}")))]);
    let first =
        host.publish(1, &[user("people", "ann"), user("people", "bob"), owned("ann")], None);
    host.stage(2, &[user("people", "bob"), owned("bob")], Some(&first));
    let next = candidate(&host, 2);
    let remove = selection(&["removed"], &[], &[]);
    let error = host.store.compose(SyncNumber(3), Some(&first), &next, &remove, None).unwrap_err();
    let ComposeError::PointsAtRemoved { column, example, .. } = &error else { panic!("{error}") };
    assert_eq!((column.as_str(), example.as_str()), ("owner", "user:bot"));
}

#[test]
fn references_that_end_nowhere_in_the_candidate_either_are_told_to_the_judge() {
    let host = Host::new();
    let first = host.publish(1, &[user("people", "ann")], None);
    let stray = grant("gives", "ann", "nothing");
    host.stage(2, &[user("people", "ann"), stray, user("people", "bob")], Some(&first));
    let next = candidate(&host, 2);
    let grants = selection(&[], &["grant"], &[]);
    let composed = host.store.compose(SyncNumber(3), Some(&first), &next, &grants, None).unwrap();
    let defects = composed.staged.candidate.defects;
    assert_eq!(defects.len(), 1, "{defects:?}");
    assert_eq!(defects[0].column.as_deref(), Some("entitlement"));
}

#[test]
fn an_entitlement_that_moved_is_not_torn_apart() {
    let host = Host::new();
    let held_by = |of: &str, resource: &str| {
        record("gives", of, &[("id", text("e")), ("resource", text(resource))])
    };
    let first = host.publish(1, &[held_by("entitlement.group", "group:ops")], None);
    host.stage(2, &[held_by("entitlement.app", "group:ops")], Some(&first));
    let next = candidate(&host, 2);
    let added = selection(&["added"], &[], &[]);
    let error = host.store.compose(SyncNumber(3), Some(&first), &next, &added, None).unwrap_err();
    assert!(matches!(error, ComposeError::Torn { .. }), "{error}");
}

#[test]
fn a_selection_of_nothing_is_refused_and_one_of_everything_is_the_candidate_itself() {
    let company = company();
    let error = company.refused(&selection(&["removed"], &["group"], &[]));
    assert_eq!(error, "sync 2 has no change that fits: removed of group");
    let composed = company.compose(&Selection::all()).unwrap();
    assert_eq!(composed.left, ChangeCounts::default());
    assert_eq!(composed.staged.content_digest, company.next.content_digest());
    let part = candidate(&company.host, 3);
    assert_eq!(part.manifest.files, company.next.manifest.files);
    assert_eq!(part.manifest.taken_at, company.next.manifest.taken_at);
}

#[test]
fn what_is_left_is_compared_with_the_part_and_keeps_its_number_and_records() {
    let company = company();
    let Company { host, next, .. } = &company;
    company.compose(&Selection::without_removals()).unwrap();
    let part = candidate(host, 3);
    let left = host.store.rebase(next, &part).unwrap();
    assert_eq!(*candidate(host, 2).digest, *next.digest, "nobody knows of it yet");
    let settled = host.store.settle(&hr(), SyncNumber(2), &left.candidate.digest).unwrap();
    assert_eq!(settled.content_digest(), next.content_digest());
    assert_eq!(settled.manifest.files, next.manifest.files);
    assert_eq!(settled.manifest.against, Some(SyncNumber(3)));
    assert_eq!(
        told(&changes(host, Some(&part), &settled)),
        ["removed user:bob", "removed user:bob -> e"]
    );
    let delta = settled.manifest.delta.as_ref().unwrap();
    let removed: u64 = delta.types.values().map(|step| step.removed).sum();
    let others: u64 = delta.types.values().map(|step| step.added + step.modified).sum();
    assert_eq!((removed, others), (2, 0));
    assert_eq!(delta.scopes["people"].removed, 1);
    assert_eq!(delta.privileged.vanished, 1);
    let error = host.store.settle(&hr(), SyncNumber(2), &"00".repeat(32)).unwrap_err();
    assert!(matches!(error, crate::ReadError::Damaged { .. }), "{error}");
}

#[test]
fn a_crash_leaves_the_candidate_that_the_ledger_means() {
    let company = company();
    let Company { host, next, .. } = &company;
    company.compose(&Selection::without_removals()).unwrap();
    let part = candidate(host, 3);
    let left = host.store.rebase(next, &part).unwrap().candidate.digest;
    // The ledger's transaction did not come: the old candidate counts, and the new one is removed.
    let old = host.store.settle(&hr(), SyncNumber(2), &next.digest).unwrap();
    assert_eq!(old.digest, next.digest);
    let files = tree(host.path());
    assert!(!files.keys().any(|name| name.ends_with(".next")), "{:?}", files.keys());
    // It came, and the crash came before the rename; then once more after it.
    assert_eq!(host.store.rebase(next, &part).unwrap().candidate.digest, left, "always the same");
    for _ in 0..2 {
        assert_eq!(*host.store.settle(&hr(), SyncNumber(2), &left).unwrap().digest, *left);
    }
}

#[test]
fn a_sweep_leaves_what_may_still_count_and_removes_the_rest() {
    let company = company();
    let Company { host, next, .. } = &company;
    company.compose(&Selection::without_removals()).unwrap();
    let left = host.store.rebase(next, &candidate(host, 3)).unwrap().candidate.digest;
    let snapshots = BTreeSet::from([(hr(), SyncNumber(1))]);
    let waiting = BTreeSet::from([(hr(), SyncNumber(2))]);
    let keep = crate::Keep { snapshots: snapshots.clone(), candidates: waiting };
    let store = Store::open(host.path()).unwrap();
    assert_eq!(store.sweep(&keep).unwrap().unknown, [""; 0].map(std::path::PathBuf::from));
    let settled = store.settle(&hr(), SyncNumber(2), &left).unwrap();
    store.verify(&settled).unwrap();
    store.rebase(&settled, &company.first).unwrap();
    store.sweep(&crate::Keep { snapshots, ..crate::Keep::default() }).unwrap();
    let files = tree(host.path());
    assert!(!files.keys().any(|name| name.contains("candidates/")), "{:?}", files.keys());
}

#[test]
fn changes_that_were_left_out_before_are_counted_again_and_no_others() {
    let company = company();
    let Company { host, next, .. } = &company;
    company.compose(&selection(&["added"], &[], &[])).unwrap();
    let part = candidate(host, 3);
    let repeated = |sync: u64, records: &[Record]| {
        host.stage(sync, records, Some(&part));
        host.store.repeated(&part, next, &candidate(host, sync)).unwrap()
    };
    let base = [group("groups", "ops"), entitlement("groups", "e", "ops", true)];
    let named = |id: &str, mail: &str| user_with("people", id, &[("mail", text(mail))]);
    let cid = [named("cid", "c"), grant("gives", "cid", "e")];
    let ann = |mail| [named("ann", mail), grant("gives", "ann", "e")];
    let bob = [named("bob", "b"), grant("gives", "bob", "e")];
    let all = |parts: &[&[Record]]| parts.concat();
    // Bob and his grant are missing again, and ann has the mail again.
    assert_eq!(repeated(4, &all(&[&base, &cid, &ann("a2")])), 3);
    assert_eq!(repeated(5, &all(&[&base, &cid, &ann("a3")])), 2, "another mail is another change");
    assert_eq!(repeated(6, &all(&[&base, &cid, &ann("a"), &bob])), 0, "nothing has changed");
    assert_eq!(repeated(7, &all(&[&base, &ann("a"), &bob])), 0, "cid was not left out");
}

#[test]
fn a_part_of_a_first_sync_is_a_first_snapshot() {
    let host = Host::new();
    host.stage(1, &[user("people", "ann"), group("groups", "ops")], None);
    let next = candidate(&host, 1);
    let users = selection(&[], &["user"], &[]);
    let composed = host.store.compose(SyncNumber(2), None, &next, &users, None).unwrap();
    assert_eq!(composed.staged.candidate.against, None);
    let part = candidate(&host, 2);
    assert_eq!(told(&changes(&host, None, &part)), ["added user:ann"]);
    let left = host.store.rebase(&next, &part).unwrap();
    let settled = host.store.settle(&hr(), SyncNumber(1), &left.candidate.digest).unwrap();
    assert_eq!(told(&changes(&host, Some(&part), &settled)), ["added group:ops"]);
}

fn people() -> impl Strategy<Value = Vec<Record>> {
    let scope = || select(vec!["s0", "s1"]);
    let users =
        prop::collection::btree_map(0..10u8, (scope(), 0..3i64, prop::option::of(0..10u8)), 0..10);
    let grants = prop::collection::btree_map((0..10u8, 0..3u8), scope(), 0..14);
    (users, prop::collection::btree_map(0..3u8, scope(), 0..3), grants).prop_map(
        |(users, gives, grants)| {
            let mut records = Vec::new();
            for (n, (scope, age, owner)) in &users {
                let mut record = user(scope, &format!("u{n}"));
                record.row.values.insert("age".to_owned(), Value::Integer(*age));
                // A sound source: whoever is pointed at is there.
                if let Some(owner) = owner.filter(|owner| users.contains_key(owner)) {
                    record.row.values.insert("owner".to_owned(), text(&format!("user:u{owner}")));
                }
                records.push(record);
            }
            for (n, scope) in &gives {
                records.push(record(
                    scope,
                    "entitlement.group",
                    &[("id", text(&format!("e{n}"))), ("name", text(scope))],
                ));
            }
            for ((u, e), scope) in grants {
                if users.contains_key(&u) && gives.contains_key(&e) {
                    records.push(grant(scope, &format!("u{u}"), &format!("e{e}")));
                }
            }
            records
        },
    )
}

type Held = BTreeMap<String, Record>;

fn held(records: &[Record]) -> Held {
    records.iter().map(|record| (record.row.key(), record.clone())).collect()
}

/// Whether everything that a record points at is there.
fn hangs_together(held: &Held) -> bool {
    held.values().all(|record| {
        let text = |name: &str| record.row.values.get(name).map(ToString::to_string);
        let principal = text("principal").map(|id| format!("user:{id}"));
        let entitlement = text("entitlement").map(|id| format!("entitlement:{id}"));
        [text("owner"), principal, entitlement]
            .into_iter()
            .flatten()
            .all(|key| held.contains_key(&key))
    })
}

fn selections() -> impl Strategy<Value = Selection> {
    let words = |of: &'static [&'static str]| prop::sample::subsequence(of, 0..=of.len());
    let keys = words(&["user:u1*", "user:u3", "user:*e1", "entitlement:*"]);
    (words(&["added", "modified", "removed"]), words(&["user", "grant", "entitlement"]), keys)
        .prop_map(|(ops, labels, keys)| selection(&ops, &labels, &keys))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn a_part_is_what_naive_maps_compose_or_is_refused_because_it_points_at_nothing(
        before in people(), after in people(), selection in selections(), batch in 1..4usize,
    ) {
        let host = Host::new();
        let scopes = || vec![report("s0", ScopeOutcome::Complete), report("s1", ScopeOutcome::Complete)];
        let first = stage(&host.store, 1, &before, scopes(), None, batch).unwrap();
        let first = host.publish_staged(&first);
        stage(&host.store, 2, &after, scopes(), Some(&first), batch).unwrap();
        let next = candidate(&host, 2);
        let (old, new) = (held(&before), held(&after));

        let all = changes(&host, Some(&first), &next);
        let (chosen, left): (Vec<Change>, Vec<Change>) = all.into_iter().partition(|change| {
            selection.takes(change.op, change.record_type.label()) && selection.fits(&change.key)
        });
        let mut expected = old.clone();
        for change in &chosen {
            match change.op {
                ChangeOp::Removed => expected.remove(&change.key),
                _ => expected.insert(change.key.clone(), new[&change.key].clone()),
            };
        }
        let composed = host.store.compose(SyncNumber(3), Some(&first), &next, &selection, None);
        if chosen.is_empty() && !left.is_empty() {
            let nothing = matches!(composed, Err(ComposeError::Nothing { .. }));
            prop_assert!(nothing);
            return Ok(());
        }
        if !hangs_together(&expected) {
            let error = composed.unwrap_err();
            let points = matches!(
                error,
                ComposeError::PointsAtLeftOut { .. } | ComposeError::PointsAtRemoved { .. }
            );
            prop_assert!(points, "{}", error);
            return Ok(());
        }
        let composed = composed.unwrap();
        prop_assert_eq!(composed.selected.total(), chosen.len() as u64);
        prop_assert_eq!(composed.left.total(), left.len() as u64);
        let part = candidate(&host, 3);
        host.store.verify(&part).unwrap();
        let found: BTreeMap<String, Row> = changes(&host, None, &part)
            .into_iter().map(|change| (change.key, change.after.unwrap())).collect();
        let expected: BTreeMap<_, _> =
            expected.into_iter().map(|(key, record)| (key, record.row)).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(told(&changes(&host, Some(&first), &part)), told(&chosen));
        let delta = composed.staged.candidate.delta.unwrap();
        let removed = |op| chosen.iter().filter(|change| change.op == op).count() as u64;
        prop_assert_eq!(delta.types.values().map(|t| t.removed).sum::<u64>(), removed(ChangeOp::Removed));
        prop_assert_eq!(delta.scopes.values().map(|s| s.removed).sum::<u64>(), removed(ChangeOp::Removed));

        let rest = host.store.rebase(&next, &part).unwrap();
        let rest = host.store.settle(&hr(), SyncNumber(2), &rest.candidate.digest).unwrap();
        prop_assert_eq!(told(&changes(&host, Some(&part), &rest)), told(&left));
        let repeated = host.store.repeated(&part, &rest, &rest).unwrap();
        prop_assert_eq!(repeated, left.len() as u64);
    }
}
