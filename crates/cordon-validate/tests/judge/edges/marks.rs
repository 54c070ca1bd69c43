//! What a policy singles out, asked for one record at a time.

use cordon_model::{ChangeOp, Row, Value};
use cordon_validate::lookup::{Answers, Lookup};
use cordon_validate::{Percent, Policy, PolicyPatch, Selection};

use crate::scene::{digest, record_type};

fn policy(guard: &str) -> Policy {
    let patch: PolicyPatch = toml::from_str(guard).unwrap();
    Policy::default().overlaid(&patch)
}

#[test]
fn removals_are_looked_at_one_by_one_only_where_some_key_is_protected() {
    assert!(!policy("").guards_single_records());
    assert!(policy("protected = [\"user:root\"]").guards_single_records());
    // What is protected by what it is like is a rule, and counted as one.
    let like = policy("protected_where = [{ of = \"user\", where = { a = 1 } }]");
    assert!(!like.guards_single_records());
}

#[test]
fn entitlements_are_privileged_by_id_or_by_what_they_are_like() {
    let by_id = policy("privileged_entitlements = [\"*admin*\"]");
    let like = policy("privileged_where = [{ of = \"entitlement\", where = { tier = 0 } }]");
    assert!(by_id.marks_entitlements() && like.marks_entitlements());
    assert!(!policy("").marks_entitlements());
    assert!(by_id.marks_id("aws-admin") && !by_id.marks_id("wiki") && !like.marks_id("aws-admin"));
    let row = |of: &str, tier: i64| Row {
        record_type: record_type(of),
        values: [("tier".to_owned(), Value::Integer(tier))].into(),
    };
    let marks =
        |policy: &Policy, row: &Row| policy.marks(row, "2026-03-02T12:00:00Z".parse().unwrap());
    assert!(marks(&like, &row("entitlement.app", 0)));
    assert!(!marks(&like, &row("entitlement.app", 1)), "of another tier");
    assert!(!marks(&like, &row("resource.user", 0)), "no entitlement");
    assert!(!marks(&by_id, &row("entitlement.app", 0)));
}

#[test]
fn an_attribute_is_required_of_its_label_alone_and_a_key_is_protected_by_its_pattern_alone() {
    let policy = policy("schema.required = [\"user.mail\"]\nprotected = [\"user:root\"]");
    assert!(policy.requires("user", "mail"));
    for (label, attribute) in [("user", "name"), ("group", "mail"), ("group", "name")] {
        assert!(!policy.requires(label, attribute), "{label}.{attribute}");
    }
    assert!(policy.protects("user:root") && !policy.protects("user:anna"));
    assert!(!Policy::default().protects("user:root"));
}

#[test]
fn a_selection_knows_what_it_asks_for() {
    let of = |ops: &[&str], labels: &[&str], keys: &[&str]| {
        let words =
            |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Selection::new(&words(ops), &words(labels), &words(keys)).unwrap()
    };
    let keys = of(&[], &[], &["user:u7*"]);
    assert!(keys.asks_for_keys() && keys.fits("user:u71") && !keys.fits("user:u8"));
    assert!(!Selection::all().asks_for_keys() && Selection::all().is_all());
    for some in [of(&["added"], &[], &[]), of(&[], &["user"], &[]), keys] {
        assert!(!some.is_all(), "{some}");
    }
    let users = of(&[], &["user"], &[]);
    for op in [ChangeOp::Added, ChangeOp::Modified, ChangeOp::Removed] {
        assert!(users.takes(op, "user") && !users.takes(op, "group"));
        let own = of(&[op.as_str()], &[], &[]);
        for other in [ChangeOp::Added, ChangeOp::Modified, ChangeOp::Removed] {
            assert_eq!(own.takes(other, "user"), op == other);
        }
    }
}

#[test]
fn one_record_that_is_still_there_is_enough_to_say_so() {
    let answers = |present: u64| Answers {
        record_type: record_type("resource.user"),
        missing: 4,
        asked: 4,
        present,
        absent: 4 - present,
        known: 5,
        known_present: 5,
        invented_present: false,
        present_examples: Vec::new(),
        absent_examples: Vec::new(),
    };
    let lookup = |types: Vec<Answers>, trouble: Option<&str>| Lookup {
        digest: digest(),
        confidence: Percent::whole(95),
        types,
        trouble: trouble.map(ToOwned::to_owned),
    };
    let says = |lookup: Lookup| (lookup.is_still_there(), lookup.is_gone());
    assert_eq!(says(lookup(vec![answers(0), answers(0)], None)), (false, true));
    assert_eq!(says(lookup(vec![answers(0), answers(1)], None)), (true, false));
    assert_eq!(says(lookup(vec![answers(0)], Some("it did not answer in time"))), (false, false));
    assert_eq!(says(lookup(Vec::new(), None)), (false, false));
    let unclear = Answers { absent: 3, ..answers(0) };
    assert_eq!(says(lookup(vec![unclear, answers(0)], None)), (false, false));
}
