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

/// Lines of a text that is longer than its place, at most.
const LINES_MAX: usize = 12;

/// The text escaped and broken between words into lines of at most `chars_max` characters; a word that
/// is longer is broken where it has to be.
pub(crate) fn wrapped(text: &str, chars_max: usize) -> Vec<String> {
    let safe = clip(text, chars_max.saturating_mul(LINES_MAX));
    let mut lines = vec![String::new()];
    for word in safe.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 {
            if used + 1 + word.len() <= chars_max {
                lines.last_mut().into_iter().for_each(|line| line.push(' '));
            } else {
                lines.push(String::new());
            }
        }
        while word.len() > chars_max.max(1) {
            let rest = word.split_off(chars_max.max(1));
            lines.last_mut().into_iter().for_each(|line| line.extend(word.iter()));
            lines.push(String::new());
            word = rest;
        }
        lines.last_mut().into_iter().for_each(|line| line.extend(word.iter()));
    }
    lines
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
    fn a_long_text_goes_on_in_further_lines_and_loses_nothing() {
        let text = "removed 7,019 of 18,204 users: more than 10 % at once";
        let lines = wrapped(text, 20);
        assert_eq!(lines, ["removed 7,019 of", "18,204 users: more", "than 10 % at once"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrapped("", 3), [""]);
        let hostile = wrapped(&"\u{1b}".repeat(100_000), 10);
        assert!(hostile.len() <= LINES_MAX + 1, "{}", hostile.len());
        assert!(hostile.iter().all(|line| line.chars().count() <= 10));
    }

    #[test]
    fn clipped_text_has_at_most_the_given_width_and_shows_the_cut() {
        assert_eq!(clip("abcdef", 6), "abcdef");
        assert_eq!(clip("abcdefg", 6), "abc...");
        assert_eq!(clip("\u{1b}\u{1b}", 6), "\\u{...");
        assert_eq!(clip(&"é".repeat(1_000_000), 4), "é...");
    }
}
