//! The few values of an attribute, counted while records arrive and carried along from snapshot to
//! snapshot.

use super::*;

/// What a snapshot knows of the words that users have in `mail`.
fn known(snapshot: &Snapshot) -> Option<cordon_validate::Values> {
    snapshot.manifest.census.types[&of("resource.user")].columns["mail"].values.clone()
}

fn counts(snapshot: &Snapshot) -> Vec<(String, u64)> {
    known(snapshot).unwrap().now.into_iter().collect()
}

/// Users of a scope, each with one of these words.
fn users(scope: &str, words: &[&str]) -> Vec<Record> {
    let users = words.iter().enumerate();
    users
        .map(|(at, word)| user_with(scope, &format!("{scope}{at}"), &[("mail", text(word))]))
        .collect()
}

fn pair(word: &str, records: u64) -> (String, u64) {
    (word.to_owned(), records)
}

#[test]
fn a_few_values_are_counted_and_what_they_were_goes_along() {
    let host = Host::new();
    let first = host.publish(1, &users("a", &["on", "off", "on", "on"]), None);
    assert_eq!(counts(&first), [pair("off", 1), pair("on", 3)]);
    let second = host.publish(2, &users("a", &["on", "on", "on", "on"]), Some(&first));
    let third = host.publish(3, &users("a", &["1", "on", "on", "on"]), Some(&second));
    let told = known(&second).unwrap();
    assert_eq!((told.earlier, told.steady), (vec!["off".to_owned()], 1));
    let told = known(&third).unwrap();
    assert_eq!((told.earlier, told.steady), (vec!["off".to_owned()], 0));
}

#[test]
fn values_are_counted_across_what_was_carried_forward() {
    let host = Host::new();
    let both = [users("a", &["on", "on"]), users("b", &["off", "on", "off"])].concat();
    let first = host.publish(1, &both, None);
    // One scope reports two of its three, cut short: the third is carried, in a file of its own.
    let now = [users("a", &["on", "on"]), users("b", &["x", "on"])].concat();
    let reports = vec![report("a", ScopeOutcome::Complete), incomplete("b")];
    let staged = stage(&host.store, 2, &now, reports, Some(&first), 3).unwrap();
    let second = host.store.candidate(&hr(), SyncNumber(2)).unwrap();
    assert_eq!(staged.candidate.census, second.manifest.census);
    assert_eq!(counts(&second), [pair("off", 1), pair("on", 3), pair("x", 1)]);
}

#[test]
fn more_than_a_few_values_and_long_ones_are_not_kept() {
    let first = |words: &[&str]| Host::new().publish(1, &users("a", words), None);
    let words: Vec<String> = (0..13).map(|word| word.to_string()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(known(&first(&words)), None);
    assert_eq!(counts(&first(&words[..12])).len(), 12);
    let long = "x".repeat(33);
    assert_eq!(known(&first(&[&long])), None);
    assert_eq!(counts(&first(&[&long[..32]])).len(), 1);
}

#[test]
fn neither_ids_nor_references_nor_numbers_are_words() {
    let host = Host::new();
    let owned = user_with("a", "x", &[("owner", text("user:x")), ("age", Value::Integer(3))]);
    let columns =
        &host.publish(1, &[owned], None).manifest.census.types[&of("resource.user")].columns;
    for name in ["id", "owner", "age"] {
        assert_eq!(columns[name].values, None, "{name}");
    }
}
