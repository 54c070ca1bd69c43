//! The service's own log as lines: one event, one line, and no secret in it.
//!
//! Events carry words of connectors, such as why a sync failed. A line break in one would let a
//! connector write an event of its own, an escape sequence drive the terminal, a password stay in a
//! file for years. So each event passes through here on its way out.

use std::io::Write;

use tracing_subscriber::fmt::MakeWriter;

use super::clean;

/// Writes to stderr.
pub(super) struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Event;

    fn make_writer(&'a self) -> Event {
        Event
    }
}

/// Takes whole events: the formatter writes each at once.
pub(super) struct Event;

impl Write for Event {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::stderr().lock().write_all(line(bytes).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// An event as its line.
fn line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut line = clean(text.strip_suffix('\n').unwrap_or(&text));
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets;

    #[test]
    fn an_event_stays_one_line_whatever_a_connector_says() {
        let event = "WARN sync failed error=\"no\n2026-01-01T00:00:00Z  INFO cordond: fine\u{85}\u{1b}[2J\"\n";
        let line = line(event.as_bytes());
        assert_eq!(line.matches(['\n', '\u{85}', '\u{1b}']).count(), 1, "{line:?}");
        assert!(line.ends_with('\n'));
    }

    #[test]
    fn an_event_has_no_secret_of_any_connector() {
        let value = secrecy::SecretString::from("correct-horse");
        let _held = secrets::Redactor::new([&value].into_iter());
        assert_eq!(line(b"x=correct-horse y=Y29ycmVjdC1ob3JzZQ\n"), "x=*** y=***Q\n");
    }
}
