//! Events for the systemd journal, in its own protocol.
//!
//! A message reads like the line that stderr would have got, with all its fields, and each field can
//! also be asked for by itself (`journalctl CORDON_CONNECTOR=hr`). Values come from connectors too:
//! each travels with its length, so that none can end early and begin a field of its own.
//!
//! Absent: files and lines of the source, spans, and values beyond [`VALUE_BYTES_MAX`].

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::secrets;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Names fields of ours among all of the journal.
const PREFIX: &str = "CORDON_";
/// Bytes of one value. A message must fit into one datagram.
const VALUE_BYTES_MAX: usize = 8 * 1024;

/// The journal of this host.
pub(super) struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    /// The journal, if it is what stderr leads to. The service manager names its stream by device
    /// and inode; a stderr that was led elsewhere is another.
    pub(super) fn of_stderr() -> Option<Self> {
        let named = std::env::var("JOURNAL_STREAM").ok()?;
        let stderr = std::fs::metadata("/proc/self/fd/2").ok()?;
        if named != format!("{}:{}", stderr.dev(), stderr.ino()) {
            return None;
        }
        let socket = UnixDatagram::unbound().ok()?;
        socket.connect(SOCKET).ok()?;
        Some(Self { socket })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut entry = Entry::default();
        event.record(&mut entry);
        if self.socket.send(&entry.encode(*event.metadata().level())).is_err() {
            // The journal is away; stderr is kept for it by the service manager.
            let _ = writeln!(std::io::stderr(), "{}", entry.line());
        }
    }
}

/// An event's message and its other fields.
#[derive(Default)]
struct Entry {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Entry {
    fn take(&mut self, field: &Field, value: &str) {
        // Before it is cut: half a secret is none that could be known.
        let mut value = secrets::redact_known(value);
        if value.len() > VALUE_BYTES_MAX {
            let end = (0..=VALUE_BYTES_MAX).rev().find(|end| value.is_char_boundary(*end));
            value.truncate(end.unwrap_or(0));
        }
        match field.name() {
            "message" => self.message = value,
            name => self.fields.push((name, value)),
        }
    }

    /// The message with its fields behind it. Control characters would make one line look like two.
    fn line(&self) -> String {
        let mut line = self.message.clone();
        for (name, value) in &self.fields {
            let _ = write!(line, " {name}={value}");
        }
        super::clean(&line)
    }

    fn encode(&self, level: Level) -> Vec<u8> {
        let priority = match level {
            Level::ERROR => "3",
            Level::WARN => "4",
            Level::INFO => "6",
            Level::DEBUG | Level::TRACE => "7",
        };
        let mut bytes = Vec::new();
        put(&mut bytes, "PRIORITY", priority);
        put(&mut bytes, "SYSLOG_IDENTIFIER", "cordond");
        put(&mut bytes, "MESSAGE", &self.line());
        for (name, value) in &self.fields {
            let upper =
                |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
            let name: String = PREFIX.chars().chain(name.chars().map(upper)).collect();
            put(&mut bytes, &name, value);
        }
        bytes
    }
}

/// One field: its name, the length of its value, its value.
fn put(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.take(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// The fields that the journal gets of what `log` logs.
    fn logged(log: impl FnOnce()) -> Vec<(String, String)> {
        let (ours, journal) = UnixDatagram::pair().unwrap();
        let subscriber = tracing_subscriber::registry().with(Journal { socket: ours });
        tracing::subscriber::with_default(subscriber, log);
        let mut datagram = vec![0; 64 * 1024];
        let length = journal.recv(&mut datagram).unwrap();
        let mut rest = &datagram[..length];
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
            let name = String::from_utf8(rest[..end].to_vec()).unwrap();
            let (size, behind) = rest[end + 1..].split_at(8);
            let size = u64::from_le_bytes(size.try_into().unwrap()) as usize;
            fields.push((name, String::from_utf8(behind[..size].to_vec()).unwrap()));
            assert_eq!(behind[size], b'\n');
            rest = &behind[size + 1..];
        }
        fields
    }

    #[test]
    fn an_event_reads_as_a_line_and_can_be_asked_for_by_field() {
        let fields = logged(|| tracing::warn!(connector = %"hr", sync = 7, "sync quarantined"));
        let of = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(of("PRIORITY"), Some("4"));
        assert_eq!(of("SYSLOG_IDENTIFIER"), Some("cordond"));
        assert_eq!(of("MESSAGE"), Some("sync quarantined connector=hr sync=7"));
        assert_eq!((of("CORDON_CONNECTOR"), of("CORDON_SYNC")), (Some("hr"), Some("7")));
    }

    #[test]
    fn a_value_can_forge_neither_a_line_nor_a_field() {
        let forged = "gone\nPRIORITY=0\nCORDON_CONNECTOR=other\u{1b}[2J";
        let fields = logged(|| tracing::error!(error = forged, "sync failed"));
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["PRIORITY", "SYSLOG_IDENTIFIER", "MESSAGE", "CORDON_ERROR"]);
        assert_eq!(
            fields[2].1,
            r"sync failed error=gone\u{a}PRIORITY=0\u{a}CORDON_CONNECTOR=other\u{1b}[2J"
        );
    }

    #[test]
    fn a_value_without_end_is_cut() {
        let fields = logged(|| tracing::info!(error = "ü".repeat(VALUE_BYTES_MAX), "long"));
        assert!(fields.iter().all(|(_, value)| value.len() <= VALUE_BYTES_MAX + 16));
    }
}
