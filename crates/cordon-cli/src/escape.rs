//! Makes text that others wrote safe to show on a terminal.
//!
//! What a terminal would obey or hide is shown by number, never obeyed. JSON and YAML have their own
//! escapes and carry the text as it is.

use std::borrow::Cow;
use std::fmt::Write;

use cordon_model::is_hostile;

/// Stands for what was cut off; every terminal can show it.
const CUT: &str = "...";

/// The same text with every character that a terminal would obey, or not show, written by number.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        match char {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            _ if is_hostile(char) => {
                // Writing to a String does not fail.
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(char));
            }
            _ => safe.push(char),
        }
    }
    Cow::Owned(safe)
}

/// The text escaped and cut to `chars_max` characters, for a place of limited width.
pub(crate) fn clip(text: &str, chars_max: usize) -> String {
    // Cut before escaping too: a megabyte of hostile text is not worth expanding.
    let ahead = text.char_indices().nth(chars_max).map_or(text, |(end, _)| &text[..end]);
    let safe = escape(ahead);
    let whole = ahead.len() == text.len() && safe.chars().count() <= chars_max;
    if whole {
        return safe.into_owned();
    }
    let mut cut: String = safe.chars().take(chars_max.saturating_sub(CUT.len())).collect();
    cut.push_str(CUT);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_of_any_script_is_left_alone() {
        for text in ["", "u1042", "Łukasz Müller", "山田 太郎", "a\\b", "😀"] {
            assert_eq!(escape(text), text);
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_survives() {
        assert_eq!(escape("\u{1b}[2J\u{1b}]0;pwned\u{7}"), "\\u{1b}[2J\\u{1b}]0;pwned\\u{7}");
        assert_eq!(
            escape("a\nerror: b\r\tc\u{9b}31m\u{7f}"),
            "a\\nerror: b\\r\\tc\\u{9b}31m\\u{7f}"
        );
    }

    #[test]
    fn text_cannot_change_its_direction_or_hide() {
        assert_eq!(escape("\u{202e}nimda"), "\\u{202e}nimda");
        assert_eq!(escape("ad\u{200b}min\u{2066}"), "ad\\u{200b}min\\u{2066}");
        assert_eq!(escape("\u{e0041}"), "\\u{e0041}");
    }

    #[test]
    fn escaping_twice_is_escaping_once() {
        let once = escape("\u{1b}[2J\n").into_owned();
        assert_eq!(escape(&once), once);
    }

    #[test]
    fn clipped_text_has_at_most_the_given_width_and_shows_the_cut() {
        assert_eq!(clip("abcdef", 6), "abcdef");
        assert_eq!(clip("abcdefg", 6), "abc...");
        assert_eq!(clip("\u{1b}\u{1b}", 6), "\\u{...");
        assert_eq!(clip(&"é".repeat(1_000_000), 4), "é...");
    }
}
