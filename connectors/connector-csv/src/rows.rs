//! Splits bytes into rows of fields, as RFC 4180 has it, in bounded memory.
//!
//! Written here because of what a feed must never do silently: a quote that nobody closes swallows
//! the rest of the file into one field. The csv crate reads that as one long, valid field; this
//! reader bounds every field, and says of each row that is not sound what is wrong with it.
//!
//! Fields are bytes: they are decoded one by one, so that one bad byte costs one row.

use std::io::{self, BufRead};

/// Bytes of one field, at most.
pub(crate) const FIELD_BYTES_MAX: usize = 64 * 1024;
/// Fields of one row, at most.
const FIELDS_MAX: usize = 1_024;
/// Bytes of one row, at most.
const ROW_BYTES_MAX: usize = 1024 * 1024;

/// What keeps a row from being read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RowFault {
    #[error("field {field} is longer than {FIELD_BYTES_MAX} bytes")]
    FieldTooLong { field: usize },
    #[error("the row is longer than {ROW_BYTES_MAX} bytes")]
    RowTooLong,
    #[error("the row has more than {FIELDS_MAX} fields")]
    TooManyFields,
    #[error("text follows the closing quote of field {field}")]
    TextAfterQuote { field: usize },
    #[error("the quote of field {field} is never closed, and swallows the rest of the file")]
    UnclosedQuote { field: usize },
}

/// One row. Reused from row to row, so that reading allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// Counted as a spreadsheet does: the first one is 1.
    pub(crate) number: u64,
    /// What keeps it from being read; its fields mean nothing then.
    pub(crate) fault: Option<RowFault>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    is_quoted: bool,
}

impl Row {
    /// The field at `index`.
    pub(crate) fn field(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let begin = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.get(begin..end)
    }

    /// All fields, in order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|index| self.field(index))
    }

    /// How many fields it has.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it is an empty line, which says nothing.
    pub(crate) fn is_blank(&self) -> bool {
        self.fault.is_none() && self.ends.len() == 1 && self.bytes.is_empty() && !self.is_quoted
    }

    fn clear(&mut self, number: u64) {
        *self = Self {
            number,
            bytes: std::mem::take(&mut self.bytes),
            ends: std::mem::take(&mut self.ends),
            ..Self::default()
        };
        self.bytes.clear();
        self.ends.clear();
    }

    fn push(&mut self, bytes: &[u8]) {
        let begin = self.ends.last().copied().unwrap_or(0);
        if self.bytes.len() - begin + bytes.len() > FIELD_BYTES_MAX {
            self.fails(RowFault::FieldTooLong { field: self.ends.len() + 1 });
        } else if self.bytes.len() + bytes.len() > ROW_BYTES_MAX {
            self.fails(RowFault::RowTooLong);
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn end_field(&mut self) {
        if self.ends.len() >= FIELDS_MAX {
            self.fails(RowFault::TooManyFields);
        } else {
            self.ends.push(self.bytes.len());
        }
    }

    /// Keeps the first fault: the others follow from it.
    fn fails(&mut self, fault: RowFault) {
        self.fault.get_or_insert(fault);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote inside of quotes: the end of the field, or half of a doubled quote.
    QuoteInQuoted,
}

/// Reads rows.
#[derive(Debug)]
pub(crate) struct Rows<R> {
    input: R,
    delimiter: u8,
    number: u64,
    /// The last row ended with a carriage return; a line feed after it belongs to that end.
    after_return: bool,
}

impl<R: BufRead> Rows<R> {
    pub(crate) fn new(input: R, delimiter: u8) -> Self {
        Self { input, delimiter, number: 0, after_return: false }
    }

    /// Gives the input back, at whatever place it is.
    pub(crate) fn into_inner(self) -> R {
        self.input
    }

    /// Reads the next row; false at the end.
    pub(crate) fn next(&mut self, row: &mut Row) -> io::Result<bool> {
        self.number += 1;
        row.clear(self.number);
        let mut state = State::FieldStart;
        let mut is_empty = true;
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                if is_empty {
                    return Ok(false);
                }
                if state == State::Quoted {
                    row.fails(RowFault::UnclosedQuote { field: row.len() + 1 });
                }
                row.end_field();
                return Ok(true);
            }
            let mut used = 0;
            if std::mem::take(&mut self.after_return) && buffer[0] == b'\n' {
                used = 1;
            }
            let mut is_done = false;
            while used < buffer.len() && !is_done {
                is_empty = false;
                let (taken, next, done) = step(state, &buffer[used..], self.delimiter, row);
                self.after_return = done && buffer[used + taken - 1] == b'\r';
                (state, is_done) = (next, done);
                used += taken;
            }
            self.input.consume(used);
            if is_done {
                return Ok(true);
            }
        }
    }
}

/// Takes at least one byte: how many, what state follows, and whether the row ended.
fn step(state: State, bytes: &[u8], delimiter: u8, row: &mut Row) -> (usize, State, bool) {
    let first = bytes[0];
    let is_end = matches!(first, b'\n' | b'\r');
    match state {
        State::Quoted => {
            let plain = bytes.iter().position(|byte| *byte == b'"').unwrap_or(bytes.len());
            row.push(&bytes[..plain]);
            if plain == 0 {
                (1, State::QuoteInQuoted, false)
            } else {
                (plain, State::Quoted, false)
            }
        }
        State::QuoteInQuoted if first == b'"' => {
            row.push(b"\"");
            (1, State::Quoted, false)
        }
        State::FieldStart if first == b'"' => {
            row.is_quoted = true;
            (1, State::Quoted, false)
        }
        _ if first == delimiter => {
            row.end_field();
            (1, State::FieldStart, false)
        }
        _ if is_end => {
            row.end_field();
            (1, State::FieldStart, true)
        }
        State::QuoteInQuoted => {
            row.fails(RowFault::TextAfterQuote { field: row.len() + 1 });
            (1, State::Plain, false)
        }
        State::FieldStart | State::Plain => {
            let special = |byte: &u8| *byte == delimiter || matches!(byte, b'\n' | b'\r');
            let plain = bytes.iter().position(special).unwrap_or(bytes.len());
            row.push(&bytes[..plain]);
            (plain, State::Plain, false)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// Renders every row, fields in brackets, read with a buffer of that size.
    fn rendered(bytes: &[u8], buffer: usize) -> Vec<String> {
        let mut rows = Rows::new(BufReader::with_capacity(buffer, bytes), b',');
        let mut row = Row::default();
        let mut all = vec![];
        while rows.next(&mut row).unwrap() {
            let fields: String =
                row.fields().map(|field| format!("[{}]", String::from_utf8_lossy(field))).collect();
            let fault = row.fault.as_ref().map_or_else(String::new, |fault| format!(" !{fault}"));
            all.push(format!("{} {fields}{fault}", row.number));
        }
        all
    }

    #[test]
    fn rows_are_split_whatever_the_buffer_cuts() {
        for (text, expected) in [
            ("a,b\nc,d\n", vec!["1 [a][b]", "2 [c][d]"]),
            ("a,b\r\nc,d", vec!["1 [a][b]", "2 [c][d]"]),
            ("a\rb\r", vec!["1 [a]", "2 [b]"]),
            ("a,\n,\n", vec!["1 [a][]", "2 [][]"]),
            ("\"a,b\",\"c\nd\"\ne", vec!["1 [a,b][c\nd]", "2 [e]"]),
            ("\"a \"\"b\"\" c\",\"\"\n", vec!["1 [a \"b\" c][]"]),
            ("a\"b,c\n", vec!["1 [a\"b][c]"]),
            ("a\n\nb\n", vec!["1 [a]", "2 []", "3 [b]"]),
            ("", vec![]),
            ("\n", vec!["1 []"]),
            ("\"\"", vec!["1 []"]),
            (",", vec!["1 [][]"]),
        ] {
            for buffer in [1, 2, 3, 7, 64] {
                assert_eq!(rendered(text.as_bytes(), buffer), expected, "{text:?} by {buffer}");
            }
        }
    }

    #[test]
    fn a_row_that_is_not_sound_says_why_and_the_next_one_is_read() {
        let long = format!("a,{}\nb,c\n", "x".repeat(FIELD_BYTES_MAX + 1));
        let rows = rendered(long.as_bytes(), 8192);
        assert!(rows[0].ends_with("!field 2 is longer than 65536 bytes"), "{}", &rows[0][..40]);
        assert!(rows[1].ends_with("[b][c]"));

        let rows = rendered(b"\"a\"b,c\nd,e\n", 64);
        assert!(rows[0].ends_with("!text follows the closing quote of field 1"), "{rows:?}");
        assert_eq!(rows[1], "2 [d][e]");

        let rows = rendered(b"a,b\nc,\"d\ne,f\n", 64);
        let expected = "!the quote of field 2 is never closed, and swallows the rest of the file";
        assert!(rows[1].ends_with(expected), "{rows:?}");
        assert_eq!(rows.len(), 2);

        let wide = format!("{},z\na\n", vec!["x".repeat(60_000); 20].join(","));
        let rows = rendered(wide.as_bytes(), 8192);
        assert!(rows[0].ends_with("!the row is longer than 1048576 bytes"));
        assert_eq!(rows[1], "2 [a]");

        let many = ",".repeat(2_000) + "\na\n";
        let rows = rendered(many.as_bytes(), 64);
        assert!(rows[0].ends_with("!the row has more than 1024 fields"));
        assert_eq!(rows[1], "2 [a]");
    }

    #[test]
    fn a_field_at_the_bound_is_read() {
        let text = format!("{},b\n", "x".repeat(FIELD_BYTES_MAX));
        assert!(!rendered(text.as_bytes(), 100)[0].contains('!'));
    }

    #[test]
    fn an_endless_quote_does_not_fill_the_memory() {
        let text = format!("\"{}", "x".repeat(8 * 1024 * 1024));
        let mut rows = Rows::new(text.as_bytes(), b',');
        let mut row = Row::default();
        assert!(rows.next(&mut row).unwrap());
        assert!(row.bytes.capacity() <= 2 * ROW_BYTES_MAX, "{} bytes", row.bytes.capacity());
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_no_byte_is_left_behind() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..5_000 {
            let bytes: Vec<u8> = (0..40)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    b"\",\n\rab\0\xff"[usize::try_from(state >> 61).unwrap()]
                })
                .collect();
            assert_eq!(rendered(&bytes, 3), rendered(&bytes, 64), "{bytes:?}");
        }
    }
}
