//! Makes text of others safe to show: it moves no cursor, sets no colour, begins no line, hides
//! nothing and keeps its direction.

use std::fmt::Write;

use cordon_model::is_hostile;

/// The same text in one line, with every character that a terminal or a pager would obey, or not
/// show, written by number.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => safe.push(' '),
            c if is_hostile(c) => {
                // Writing to a String does not fail.
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    safe
}
