//! One change on one line: what it is, whose, and which values.

use cordon_wire::v1;
use serde_json::{Map, Value};

use crate::escape::clip;
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;

/// Characters of one value.
const VALUE_CHARS_MAX: usize = 32;
/// Values of one line, unless it is wide.
const VALUES_MAX: usize = 4;

/// The change as a line.
pub(super) fn page(change: &v1::RecordChange, scene: &Scene) -> Page {
    let mut page = Page::new();
    let (tone, sign) = match change.op.as_str() {
        "added" => (Tone::Good, "+"),
        "removed" => (Tone::Bad, "-"),
        "modified" => (Tone::Warn, "~"),
        _ => (Tone::Plain, "?"),
    };
    let kind = change.record_type.rsplit('.').next().unwrap_or_default();
    page.push("  ").styled(tone, sign).push(&format!(" {kind}  "));
    page.styled(Tone::Strong, &change.key);
    let limit = if scene.wide { usize::MAX } else { VALUES_MAX };
    let values = match change.op.as_str() {
        "modified" => differences(&columns(&change.before), &columns(&change.after)),
        "removed" => values(&columns(&change.before)),
        _ => values(&columns(&change.after)),
    };
    for value in values.iter().take(limit) {
        page.push("  ").push(value);
    }
    if values.len() > limit {
        page.push(&format!("  ({} more)", values.len() - limit));
    }
    if change.pending_since > 0 {
        page.push(&format!("  removal pending since sync {}", change.pending_since));
    }
    page.end();
    page
}

/// Values by column; what is no object has none.
fn columns(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

fn values(columns: &Map<String, Value>) -> Vec<String> {
    let present = columns.iter().filter(|(_, value)| !value.is_null());
    present
        .map(|(name, value)| format!("{}={}", clip(name, VALUE_CHARS_MAX), show(value)))
        .collect()
}

fn differences(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
    let new = after.keys().filter(|name| !before.contains_key(*name));
    let names = before.keys().chain(new);
    let value = |columns: &Map<String, Value>, name: &String| {
        columns.get(name).cloned().unwrap_or(Value::Null)
    };
    names
        .map(|name| (name, value(before, name), value(after, name)))
        .filter(|(_, was, is)| was != is)
        .map(|(name, was, is)| {
            format!("{} {} -> {}", clip(name, VALUE_CHARS_MAX), show(&was), show(&is))
        })
        .collect()
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        // In quotes, so that the text `none` is not the value none.
        Value::String(text) => format!("\"{}\"", clip(text, VALUE_CHARS_MAX)),
        other => clip(&other.to_string(), VALUE_CHARS_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(op: &str, before: &str, after: &str) -> String {
        let change = v1::RecordChange {
            op: op.into(),
            record_type: "resource.user".into(),
            key: "u1".into(),
            before: before.into(),
            after: after.into(),
            pending_since: 0,
        };
        page(&change, &Scene::fixed()).plain()
    }

    #[test]
    fn a_modified_record_shows_only_what_differs() {
        let text =
            line("modified", r#"{"a":1,"b":"x","c":true}"#, r#"{"a":1,"b":"y","d":null,"e":2}"#);
        assert_eq!(text, "  ~ user  u1  b \"x\" -> \"y\"  c true -> none  e none -> 2\n");
    }

    #[test]
    fn the_text_none_is_not_the_value_none() {
        assert!(line("modified", r#"{"a":"none"}"#, "{}").contains("a \"none\" -> none"));
    }

    #[test]
    fn records_with_many_or_broken_values_stay_one_line() {
        let many: Map<String, Value> =
            (0..500).map(|n| (format!("c{n}"), Value::from(n))).collect();
        let text = line("added", "", &Value::Object(many).to_string());
        assert!(text.ends_with("(496 more)\n") && text.lines().count() == 1, "{text}");
        assert_eq!(line("added", "", "{not json"), "  + user  u1\n");
        assert_eq!(line("removed", "[1,2]", ""), "  - user  u1\n");
    }
}
