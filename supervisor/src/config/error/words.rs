//! What a TOML reader says of a value, in the words of docs/configuration.md.

/// The message of a reader, said of the key that it is about.
pub(super) fn told(message: &str, key: Option<&str>) -> String {
    let Some(key) = key else { return message.to_owned() };
    // These name the key themselves, or speak of one that is not there.
    if message.starts_with("unknown field") || message.starts_with("missing field") {
        return message.to_owned();
    }
    if let Some((found, expected)) =
        message.strip_prefix("invalid type: ").and_then(|it| it.split_once(", expected "))
    {
        return format!(
            "`{key}` is {} and has to be {}",
            found_word(found),
            expected_word(expected)
        );
    }
    if message == "wanted string or table" {
        return format!("`{key}` has to be a text");
    }
    if message.starts_with("failed to parse input in the \"friendly\" duration format") {
        return format!("`{key}` is no time span; write it like \"6h\" or \"2h 30m\"");
    }
    format!("`{key}`: {message}")
}

/// What was found. Its value is left out: it stands in the line that is shown, where it may be shown.
fn found_word(found: &str) -> &'static str {
    match found.split([' ', '`']).next().unwrap_or_default() {
        "integer" | "floating" => "a number",
        "string" => "a text",
        "boolean" => "true or false",
        "map" => "a table",
        "sequence" => "a list",
        _ => "something else",
    }
}

fn expected_word(expected: &str) -> &str {
    match expected {
        "a string" | "a borrowed string" | "string" => "a text",
        "a sequence" => "a list",
        "a map" => "a table",
        "a boolean" => "true or false",
        "i64" | "u64" | "u32" | "u16" | "usize" | "f64" => "a number",
        "an unsigned duration string" => "a time span such as \"6h\"",
        other => other,
    }
}
