//! The documents name every code that a verdict may bear.

use cordon_validate::codes;

/// The headings of docs/explain.md, sorted.
fn explained() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/explain.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut codes: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    codes.sort();
    codes
}

#[test]
fn every_rule_is_explained_on_a_page_of_its_own_and_no_other_is() {
    let mut codes: Vec<&str> = codes::ALL.iter().map(|rule| rule.code).collect();
    codes.sort_unstable();
    assert_eq!(explained(), codes);
}

#[test]
fn every_code_of_a_finding_stands_in_the_documents() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/findings.md");
    let text = std::fs::read_to_string(path).unwrap();
    let missing: Vec<&str> =
        codes::ALL.iter().map(|rule| rule.code).filter(|code| !text.contains(code)).collect();
    assert!(missing.is_empty(), "docs/findings.md says nothing of {missing:?}");
    for rule in codes::ALL {
        let row = text.lines().find(|line| line.starts_with(&format!("| {} |", rule.code)));
        let row = row.unwrap_or_else(|| panic!("{} has no row", rule.code));
        assert!(row.contains(rule.meaning) && row.contains(rule.action), "{row} says otherwise");
    }
}
