//! Characters of sudoers: logical lines without comments, and a cursor over one of them.

use crate::lines::shown;

/// A line after continuations were joined and comments cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogicalLine {
    /// Of its first physical line, counted from 1.
    pub(crate) number: usize,
    /// Without blanks around it, never empty; escapes and quotes are as in the file.
    pub(crate) text: String,
}

/// Splits a file into logical lines.
///
/// A backslash at the end of a line joins the next one; but not in a comment, which ends with its
/// line whatever its last character is.
pub(crate) fn logical_lines(text: &str) -> Vec<LogicalLine> {
    let mut lines = vec![];
    let mut current = LogicalLine { number: 1, text: String::new() };
    let mut finish = |line: &mut LogicalLine, next: usize| {
        let text = line.text.trim();
        if !text.is_empty() {
            lines.push(LogicalLine { number: line.number, text: text.to_owned() });
        }
        *line = LogicalLine { number: next, text: String::new() };
    };
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let line = if current.text.is_empty() { line } else { line.trim_start() };
        let is_first = current.text.trim().is_empty();
        let content = &line[..comment_start(line, is_first)];
        let backslashes = content.bytes().rev().take_while(|byte| *byte == b'\\').count();
        if content.len() == line.len() && backslashes % 2 == 1 {
            current.text.push_str(&content[..content.len() - 1]);
            // A joined line must not look empty, or its number would move on.
            current.text.push(' ');
        } else {
            current.text.push_str(content);
            finish(&mut current, index + 2);
        }
    }
    finish(&mut current, 0);
    lines
}

/// Where the comment of a line begins, or the line's end. `#` before a number names an id, and at
/// the beginning of a line it may be an include.
fn comment_start(line: &str, is_first: bool) -> usize {
    let bytes = line.as_bytes();
    if is_first && (line.trim_start().starts_with("#include")) {
        return line.len();
    }
    let (mut quoted, mut escaped) = (false, false);
    for (position, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'#' if !quoted => {
                let is_id = bytes.get(position + 1).is_some_and(u8::is_ascii_digit);
                if !is_id {
                    return position;
                }
            }
            _ => {}
        }
    }
    line.len()
}

/// A place in a logical line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// What is left, without blanks before it.
    pub(crate) fn rest(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    pub(crate) fn is_at_end(&mut self) -> bool {
        self.rest().is_empty()
    }

    /// Takes a text if it comes next, after blanks.
    pub(crate) fn eat(&mut self, text: &str) -> bool {
        match self.rest().strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes a text, or says what stands in its place.
    pub(crate) fn expect(&mut self, text: &str) -> Result<(), String> {
        if self.eat(text) { Ok(()) } else { Err(self.unexpected(&format!("`{text}`"))) }
    }

    /// Takes characters for as long as they fit.
    pub(crate) fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        self.skip(end)
    }

    /// Takes that many bytes, which must end with a character.
    pub(crate) fn skip(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    /// Takes a word up to a blank or one of `ends`, with quotes and escapes removed.
    pub(crate) fn word(&mut self, ends: &str) -> Result<String, String> {
        let rest = self.rest();
        let (mut word, mut quoted, mut escaped) = (String::new(), false, false);
        let mut end = rest.len();
        for (position, c) in rest.char_indices() {
            match c {
                // `\x2d` and its like are rare: a word that has one is refused, not misread.
                'x' if escaped => return Err(format!("{} has a \\x escape", shown(rest))),
                _ if escaped => {
                    word.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => quoted = !quoted,
                _ if !quoted && (c.is_whitespace() || ends.contains(c)) => {
                    end = position;
                    break;
                }
                _ => word.push(c),
            }
        }
        if quoted {
            return Err(format!("a quote is not closed in {}", shown(rest)));
        }
        if escaped {
            return Err(format!("a backslash escapes nothing in {}", shown(rest)));
        }
        self.skip(end);
        Ok(word)
    }

    /// What to say when something else should stand here.
    pub(crate) fn unexpected(&mut self, wanted: &str) -> String {
        match self.rest() {
            "" => format!("expected {wanted} at the end of the line"),
            rest => format!("expected {wanted} before {}", shown(rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(usize, String)> {
        logical_lines(text).into_iter().map(|line| (line.number, line.text)).collect()
    }

    #[test]
    fn lines_are_joined_and_comments_cut() {
        for (text, expected) in [
            ("a b # c\n\n  d\n", vec![(1, "a b"), (3, "d")]),
            ("a \\\n  b\\\n c\nd", vec![(1, "a  b c"), (4, "d")]),
            ("# note \\\nbob ALL=ALL", vec![(2, "bob ALL=ALL")]),
            ("a # note \\\nb", vec![(1, "a"), (2, "b")]),
            ("a\\\\\nb", vec![(1, "a\\\\"), (2, "b")]),
            ("#1000 ALL=ALL", vec![(1, "#1000 ALL=ALL")]),
            ("%#27 ALL=ALL # x", vec![(1, "%#27 ALL=ALL")]),
            ("a \\# b", vec![(1, "a \\# b")]),
            ("\"a # b\" c", vec![(1, "\"a # b\" c")]),
            ("#include /x\n#includedir /y", vec![(1, "#include /x"), (2, "#includedir /y")]),
            ("a\r\nb\r\n", vec![(1, "a"), (2, "b")]),
            ("\\\n\\\na", vec![(1, "a")]),
            ("a \\", vec![(1, "a")]),
            ("", vec![]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(n, t)| (n, t.to_owned())).collect();
            assert_eq!(lines(text), expected, "{text:?}");
        }
    }

    #[test]
    fn words_lose_quotes_and_escapes() {
        for (text, expected, rest) in [
            ("alice, bob", "alice", ", bob"),
            (r#""CORP\\domain users" ALL"#, r"CORP\domain users", " ALL"),
            (r"%corp\\domain\ users ALL", r"%corp\domain users", " ALL"),
            (r#"%"two words"=x"#, "%two words", "=x"),
        ] {
            let mut cursor = Cursor::new(text);
            assert_eq!(cursor.word(",=").unwrap(), expected);
            assert_eq!(cursor.rest, rest);
        }
        assert!(Cursor::new("\"open").word("").is_err());
        assert!(Cursor::new("open\\").word("").is_err());
    }
}
