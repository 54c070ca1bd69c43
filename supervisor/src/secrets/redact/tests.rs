//! No secret passes, in whatever form and pieces it comes.

use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

fn redactor(values: &[&str]) -> Redactor {
    let values: Vec<SecretString> = values.iter().map(|value| (*value).into()).collect();
    Redactor::new(values.iter())
}

/// How a program may write a secret.
pub(crate) fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    for before in ["", "x", "xy"] {
        forms.push(STANDARD.encode(format!("{before}{secret}")));
        forms.push(URL_SAFE_NO_PAD.encode(format!("{before}{secret}:z")));
    }
    let each = |encode: &dyn Fn(u8) -> String| secret.bytes().map(encode).collect::<String>();
    let letter = |byte: u8| char::from(byte).to_string();
    forms.push(each(&|byte| format!("%{byte:02X}")));
    forms.push(each(&|byte| format!("%{byte:02x}")));
    forms.push(each(&|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => letter(byte),
        b' ' => "+".to_owned(),
        byte => format!("%{byte:02X}"),
    }));
    forms.push(serde_json::to_string(secret).unwrap());
    forms
}

#[test]
fn every_form_of_a_secret_is_masked() {
    let secret = "p@ss w+rd/\"q\"%41é";
    let redactor = redactor(&[secret]);
    for form in forms(secret) {
        let text = redactor.text(&format!("before {form} after"));
        assert!(text.contains("***"), "{form} passed: {text}");
        assert!(!text.contains(&form), "{form} passed: {text}");
        assert!(text.starts_with("before ") && text.ends_with(" after"), "{text}");
    }
}

#[test]
fn each_line_of_a_secret_of_several_lines_is_masked_and_short_ones_are_not() {
    let redactor = redactor(&["-----BEGIN KEY-----\nMIIabcdef\nab\n", "four"]);
    assert_eq!(redactor.text("MIIabcdef ab four -----BEGIN KEY-----"), "*** ab four ***");
}

#[test]
fn secrets_that_overlap_are_masked_together() {
    let redactor = redactor(&["abcdefgh", "efghijkl", "ghijklmnop"]);
    assert_eq!(redactor.text("<abcdefghijklmnop>"), "<***>");
}

#[test]
fn a_secret_that_the_cut_goes_through_leaves_not_even_its_beginning() {
    let redactor = redactor(&["correct-horse"]);
    let line = b"user=x password=correct-horse and more";
    for keep in 16..29 {
        let kept = redactor.bytes(line, keep);
        let wanted: &[u8] = if keep == 16 { b"user=x password=" } else { b"user=x password=***" };
        assert_eq!(*kept, *wanted, "cut at {keep}");
    }
}

#[test]
fn without_secrets_text_stays_as_it_is() {
    assert_eq!(Redactor::default().text("100% +x %zz"), "100% +x %zz");
    assert_eq!(redactor(&["hunter2"]).text("100% +x %zz %4"), "100% +x %zz %4");
}

#[test]
fn a_percent_sign_before_a_secret_hides_nothing_of_it() {
    let redactor = redactor(&["a00:AA"]);
    assert_eq!(redactor.text("%a00%3AAA"), "%***");
    assert_eq!(redactor.text("100%a00:AA %a0"), "100%*** %a0");
}

/// The value of 64 KiB with the most lines that are looked for.
#[test]
fn the_largest_secret_costs_bounded_memory_and_is_found() {
    let lines: Vec<String> = (0..9_000).map(|line| format!("{line:06}")).collect();
    let value = lines.join("\n");
    let redactor = redactor(&[&value]);
    let automata = redactor.0.as_ref().and_then(|patterns| patterns.automata.as_ref()).unwrap();
    let bytes = automata.plain.memory_usage() + automata.decoded.memory_usage();
    assert!(bytes < 64 * 1024 * 1024, "{bytes} bytes");
    assert_eq!(redactor.text("x 008999 y"), "x *** y");
}

proptest! {
    /// Whatever stands around it, nothing of it is left.
    #[test]
    fn no_form_of_a_secret_is_left_in_any_text(
        secret in "[ -)+-~]{6,40}",
        before in "[ -)+-~]{0,20}",
        after in "[ -)+-~]{0,20}",
        pick in any::<prop::sample::Index>(),
    ) {
        let trimmed = secret.trim();
        prop_assume!(trimmed.len() >= VALUE_BYTES_MIN);
        let forms = forms(trimmed);
        let form = pick.get(&forms);
        let text = redactor(&[&secret]).text(&format!("{before}{form}{after}"));
        prop_assert!(!text.contains(trimmed), "{text:?}");
        prop_assert!(!text.contains(form.as_str()), "{text:?}");
    }
}
