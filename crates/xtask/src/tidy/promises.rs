//! Every promise names the test that holds us to it.
//!
//! In PROMISES.md, and in the table of what is tried against containment, a promise is a list item or
//! a row of a table. It names tests between backticks, alone or with their path
//! (`cordon_validate::judge::tests::an_empty_sync_is_quarantined`), or it says `pending`, or for a
//! row that no test can hold `no test:` and why.

use std::collections::BTreeSet;

use super::Tree;

const FILE: &str = "PROMISES.md";

/// What connectors and hosts were made to do, row by row.
const TRIALS: &str = "docs/containment.md";

pub(super) fn check(tree: &Tree) -> Vec<String> {
    let Some(text) = tree.text(FILE) else { return vec![format!("{FILE} is missing")] };
    let tests: BTreeSet<&str> =
        tree.with_end(".rs").flat_map(|(_, source)| tests_in(source)).collect();
    let mut findings = check_file(FILE, text, &tests);
    if let Some(text) = tree.text(TRIALS) {
        findings.extend(check_file(TRIALS, text, &tests));
    }
    findings
}

fn check_file(file: &str, text: &str, tests: &BTreeSet<&str>) -> Vec<String> {
    let mut findings = Vec::new();
    for (line, promise) in promises(text) {
        let named: Vec<&str> =
            promise.split('`').skip(1).step_by(2).filter(|code| is_test_name(code)).collect();
        // A promise may speak of what is pending; the mark stands where its tests would.
        let marks = [": pending", "| pending", "no test:"];
        let excused = marks.iter().any(|mark| promise.contains(mark));
        if named.is_empty() && !excused {
            findings.push(format!("{file}:{line} names no test and is not marked pending"));
        }
        for name in named {
            let function = name.rsplit("::").next().unwrap_or(name);
            if !tests.contains(function) {
                findings.push(format!("{file}:{line} names {name}, and no test has that name"));
            }
        }
    }
    findings
}

/// Line and text of every promise, with the lines that continue it.
fn promises(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut in_item = false;
    let mut rows = 0;
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with('|') {
            // A table begins with its head and a line of dashes.
            rows += 1;
            in_item = false;
            if rows > 2 {
                found.push((number, line.to_owned()));
            }
            continue;
        }
        rows = 0;
        if is_item(line) {
            found.push((number, line.to_owned()));
            in_item = true;
        } else if in_item && line.starts_with(' ') {
            if let Some((_, promise)) = found.last_mut() {
                promise.push('\n');
                promise.push_str(line);
            }
        } else {
            in_item = false;
        }
    }
    found
}

fn is_item(line: &str) -> bool {
    let number = line.split_once(". ").map(|(number, _)| number);
    line.starts_with("- ")
        || number.is_some_and(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a piece of code reads like a test: names of tests are sentences.
fn is_test_name(code: &str) -> bool {
    let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':');
    code.contains('_') && !code.contains(":::") && code.bytes().all(is_name_byte)
}

/// Names of the functions that stand under a test attribute.
fn tests_in(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        }
        let declared = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "));
        if let Some(declared) = declared {
            let end = declared.find(|c: char| !c.is_alphanumeric() && c != '_');
            if std::mem::take(&mut is_test) {
                found.push(&declared[..end.unwrap_or(declared.len())]);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "
        #[test]
        fn a_sync_is_held() {}
        #[tokio::test(start_paused = true)]
        async fn a_pause_is_kept() {}
        fn not_a_test() {}
    ";

    fn check_text(promises: &str) -> Vec<String> {
        check(&Tree::of(&[("PROMISES.md", promises), ("a/src/lib.rs", SOURCE)]))
    }

    #[test]
    fn a_promise_with_its_test_or_marked_pending_passes() {
        let text = "\
# Promises
1. Gate: `a_sync_is_held` and
   `cordond::unit::tests::a_pause_is_kept`, see `judge`.
- Later: pending

| promise | test |
| --- | --- |
| Stop | `a_pause_is_kept` |
";
        assert_eq!(check_text(text), Vec::<String>::new());
    }

    #[test]
    fn a_trial_without_a_test_says_why() {
        let trials = "\
| what it does | what shows it |
| --- | --- |
| forks | `a_sync_is_held` |
| leaks | no test: nothing to measure |
| lies | trust us |
| hides | `a_sync_was_held` |
";
        let tree = Tree::of(&[("PROMISES.md", ""), (TRIALS, trials), ("a/src/lib.rs", SOURCE)]);
        assert_eq!(
            check(&tree),
            [
                "docs/containment.md:5 names no test and is not marked pending",
                "docs/containment.md:6 names a_sync_was_held, and no test has that name",
            ]
        );
    }

    #[test]
    fn a_promise_without_a_test_or_with_one_that_is_gone_is_found() {
        let text = "\
1. Gate: trust us
2. Gate: `a_sync_was_held`
| promise | test |
| --- | --- |
| Stop | `cordond::not_a_test` |
- What is pending is shown
";
        assert_eq!(
            check_text(text),
            [
                "PROMISES.md:1 names no test and is not marked pending",
                "PROMISES.md:2 names a_sync_was_held, and no test has that name",
                "PROMISES.md:5 names cordond::not_a_test, and no test has that name",
                "PROMISES.md:6 names no test and is not marked pending",
            ]
        );
    }
}
