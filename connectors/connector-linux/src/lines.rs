//! What the line-by-line parsers share: entries, and the lines that could not be read.
//!
//! A line that cannot be read is a value and not an error: the rest of the file still counts, and
//! the scope it belongs to is incomplete for as long as one is left.

use std::fmt;

/// Texts of one fault that people read, at most; a hostile line may be megabytes long.
const SHOWN_CHARS_MAX: usize = 60;

/// A line that could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Counted from 1.
    pub(crate) line: usize,
    /// What is wrong, as a lower-case fragment.
    pub(crate) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// What a file of one entry a line holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parsed<T> {
    /// What could be read, in the file's order.
    pub(crate) entries: Vec<T>,
    /// What could not.
    pub(crate) faults: Vec<Fault>,
}

/// Reads each line that is neither blank nor a comment with `parse`.
pub(crate) fn parse_lines<T>(
    bytes: &[u8],
    mut parse: impl FnMut(usize, &[u8]) -> Result<T, String>,
) -> Parsed<T> {
    let mut parsed = Parsed { entries: vec![], faults: vec![] };
    for (number, line) in content_lines(bytes) {
        match parse(number, line) {
            Ok(entry) => parsed.entries.push(entry),
            Err(what) => parsed.faults.push(Fault { line: number, what }),
        }
    }
    parsed
}

/// Lines that say something, numbered from 1: neither blank nor a comment.
pub(crate) fn content_lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    bytes
        .split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim_ascii()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
}

/// A text as people should see it in a message: short, and without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("`{}`", short.escape_debug())
}

/// A name of an account or a group: not empty, valid UTF-8, no control characters, not too long.
pub(crate) fn name(bytes: &[u8], what: &str) -> Result<String, String> {
    /// Longer names cannot be looked up on any system that Linux runs on.
    const NAME_BYTES_MAX: usize = 256;
    let Ok(name) = std::str::from_utf8(bytes) else {
        return Err(format!(
            "the {what} name {} is not UTF-8",
            shown(&String::from_utf8_lossy(bytes))
        ));
    };
    if name.is_empty() {
        return Err(format!("the {what} name is empty"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("the {what} name {} has {} bytes", shown(name), name.len()));
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("the {what} name {} has blanks or control characters", shown(name)));
    }
    // `+` and `-` ask the C library to merge NIS entries here, which no file lists.
    if name.starts_with(['+', '-']) {
        return Err(format!("{} asks for NIS entries, which no file lists", shown(name)));
    }
    Ok(name.to_owned())
}

/// A user or group number.
pub(crate) fn number(bytes: &[u8], what: &str) -> Result<u32, String> {
    std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            format!("the {what} {} is not a number", shown(&String::from_utf8_lossy(bytes)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_line_is_shown_short_and_harmless() {
        let text = shown(&format!("\u{1b}[2J{}", "x".repeat(1_000_000)));
        assert!(text.len() < 300, "{} bytes", text.len());
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn comments_and_blank_lines_keep_their_numbers() {
        let lines: Vec<_> = content_lines(b"# a\n\nroot:x\r\n  \nbob:x").collect();
        assert_eq!(lines, [(3, b"root:x".as_slice()), (5, b"bob:x".as_slice())]);
    }
}
