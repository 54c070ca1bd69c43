//! The documents name every code that a verdict may bear.

use cordon_validate::codes;

#[test]
fn every_code_of_a_finding_stands_in_the_documents() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/findings.md");
    let text = std::fs::read_to_string(path).unwrap();
    let missing: Vec<&str> =
        codes::ALL.iter().map(|rule| rule.code).filter(|code| !text.contains(code)).collect();
    assert!(missing.is_empty(), "docs/findings.md says nothing of {missing:?}");
}
