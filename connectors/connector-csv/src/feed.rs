//! Reads one file from its header to its end, and says what that reading is worth.
//!
//! Runs on a thread of its own, so that a slow disk holds nobody up, and hands workers on in small
//! lots over a bounded queue: memory does not grow with the file.

use std::io;
use std::path::PathBuf;

use cordon_sdk::{Error, Watermark};
use tokio::sync::mpsc::Sender;

use crate::charset::Charset;
use crate::config::{Config, Total};
use crate::header::{self, HeaderFault, Layout};
use crate::manifest::{self, Manifest};
use crate::rows::{Row, Rows};
use crate::source::{self, Input, Source};
use crate::worker::{self, Worker};

/// Workers handed on at once.
const LOT: usize = 256;
/// Faults that a reason spells out; the others are counted.
const FAULTS_SHOWN_MAX: usize = 3;

/// What the reading of a file is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    /// Why it is not the whole file; none when it is.
    pub(crate) reason: Option<String>,
    /// Workers as the source counts them.
    pub(crate) total: Option<u64>,
    pub(crate) watermark: Watermark,
}

/// A file that was opened and whose header fits.
pub(crate) struct Feed {
    source: Source,
    manifest: Option<Manifest>,
    rows: Rows<Input>,
    charset: Charset,
    layout: Layout,
}

/// Why a file was not opened as a feed.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// By an error that needs no more words.
    Error(Error),
    /// Its header does not fit.
    Header(HeaderFault),
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Feed {
    /// Finds the file, its manifest and its columns.
    pub(crate) fn open(config: &Config) -> Result<Self, OpenError> {
        let path = source::choose(&config.path, config.newest)?;
        let manifest = config.total.as_ref().and_then(|total| total.manifest.as_deref());
        let manifest =
            manifest.map(|name| manifest::read(&manifest::path_of(&path, name))).transpose()?;
        let (source, file) = Source::open(&path)?;
        let unread = |error: io::Error| OpenError::Error(source::unreadable(&path, &error));
        let configured = Charset::named(&config.encoding).ok_or_else(|| {
            Error::bad_config("encoding", format!("`{}` cannot be read", config.encoding))
        })?;
        let (input, charset) = Input::new(file, configured).map_err(unread)?;
        let mut rows = Rows::new(input, config.delimiter());
        let mut row = Row::default();
        let mut has_header = rows.next(&mut row).map_err(unread)?;
        while has_header && row.is_blank() {
            has_header = rows.next(&mut row).map_err(unread)?;
        }
        if !has_header {
            let message = format!(
                "{} is empty, without even a header: what was reported before still holds",
                path.display()
            );
            return Err(Error::incomplete(message).into());
        }
        let layout = header::layout(config, &path, charset, &row).map_err(OpenError::Header)?;
        Ok(Self { source, manifest, rows, charset, layout })
    }

    /// What a person may want to know before a sync.
    pub(crate) fn notes(&self) -> Vec<String> {
        let attributes: Vec<String> = self
            .layout
            .attributes
            .iter()
            .map(|attribute| format!("{} from `{}`", attribute.name, attribute.place.header))
            .collect();
        let path = self.source.path.display();
        let mut notes = vec![
            format!("{path}, written {}, {}", self.source.modified, self.charset.name()),
            format!("{} columns; {}", self.layout.fields, attributes.join(", ")),
        ];
        if let Some(manifest) = &self.manifest {
            notes.push(format!("its manifest counts {} rows", manifest.rows));
        }
        notes
    }

    /// How many workers the manifest announces.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.manifest.as_ref().map(|manifest| manifest.rows)
    }

    /// Reads all rows and hands the workers on. Ends early when nobody takes them.
    pub(crate) fn read(mut self, config: &Config, lots: &Sender<Vec<Worker>>) -> Ending {
        let mut reading = Reading::new(config, self.source.path.clone());
        let mut row = Row::default();
        let mut lot = Vec::with_capacity(LOT);
        loop {
            match self.rows.next(&mut row) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    reading.stopped = Some(format!(
                        "row {} and all after it cannot be read: {error}",
                        row.number
                    ));
                    break;
                }
            }
            if row.is_blank() || reading.is_trailer(&row, self.charset) {
                continue;
            }
            match worker::worker(config, &self.layout, self.charset, &row) {
                Ok(worker) => lot.push(worker),
                Err(fault) => reading.fault(row.number, &fault.to_string()),
            }
            reading.rows += 1;
            if lot.len() == LOT {
                let full = std::mem::replace(&mut lot, Vec::with_capacity(LOT));
                if lots.blocking_send(full).is_err() {
                    reading.stopped = Some("nobody takes the rows any more".to_owned());
                    break;
                }
            }
        }
        if !lot.is_empty() && lots.blocking_send(lot).is_err() {
            reading.stopped = Some("nobody takes the rows any more".to_owned());
        }
        self.finish(reading)
    }

    /// Compares what was read with what the file is now and with what its manifest says.
    fn finish(self, reading: Reading<'_>) -> Ending {
        let counted = self.announced();
        let content = self.source.close(self.rows.into_inner().into_hashed());
        let is_whole = reading.stopped.is_none() && content.changed.is_none();
        let mut causes: Vec<String> = content.changed.into_iter().collect();
        // Half of a file has another digest, which says nothing more.
        let announced = self.manifest.as_ref().and_then(|manifest| manifest.sha256.as_deref());
        if let Some(announced) = announced.filter(|_| is_whole)
            && !announced.eq_ignore_ascii_case(&content.sha256)
        {
            causes.push(format!(
                "{} has SHA-256 {}, its manifest says {announced}",
                self.source.path.display(),
                content.sha256
            ));
        }
        let generated_at = self.manifest.as_ref().and_then(|manifest| manifest.generated_at);
        let watermark = Watermark {
            time: Some(generated_at.unwrap_or(self.source.modified)),
            token: Some(format!("sha256:{}", content.sha256)),
        };
        reading.end(causes, counted, watermark)
    }
}

/// What is known of a file while it is read.
struct Reading<'a> {
    path: PathBuf,
    delimiter: u8,
    trailer: Option<(&'a str, usize)>,
    /// What the trailer counts, and its row.
    counted: Option<(Result<u64, String>, u64)>,
    /// Rows of data, read or not.
    rows: u64,
    faults: u64,
    shown: Vec<String>,
    stopped: Option<String>,
}

impl<'a> Reading<'a> {
    fn new(config: &'a Config, path: PathBuf) -> Self {
        /// The first field of a trailer says that it is one.
        const COLUMN_DEFAULT: usize = 2;
        let trailer = config.total.as_ref().and_then(|total: &Total| {
            Some((total.trailer.as_deref()?, total.column.unwrap_or(COLUMN_DEFAULT)))
        });
        Self {
            path,
            delimiter: config.delimiter(),
            trailer,
            counted: None,
            rows: 0,
            faults: 0,
            shown: vec![],
            stopped: None,
        }
    }

    /// Takes a trailer; true when the row is one.
    fn is_trailer(&mut self, row: &Row, charset: Charset) -> bool {
        let Some((prefix, column)) = self.trailer else { return false };
        if let Some((_, number)) = &self.counted {
            // What follows a trailer is not what it counted.
            self.stopped.get_or_insert(format!("row {number} is the trailer, but more follow it"));
            return false;
        }
        if row.fault.is_some() || !begins(row, prefix, self.delimiter) {
            return false;
        }
        let text = row.field(column - 1).and_then(|field| charset.decode(field).ok());
        let text = text.unwrap_or_default();
        let counted = text.trim().parse().map_err(|_| {
            format!("field {column} of the trailer in row {} is not a number", row.number)
        });
        self.counted = Some((counted, row.number));
        true
    }

    fn fault(&mut self, row: u64, what: &str) {
        self.faults += 1;
        if self.shown.len() < FAULTS_SHOWN_MAX {
            self.shown.push(format!("row {row}: {what}"));
        }
    }

    fn end(self, mut causes: Vec<String>, announced: Option<u64>, watermark: Watermark) -> Ending {
        let path = self.path.display();
        if let Some(stopped) = self.stopped {
            causes.push(format!("{path}: {stopped}"));
        }
        if self.faults > 0 {
            let hidden = self.faults - self.shown.len() as u64;
            let more = if hidden > 0 { format!("; and {hidden} more") } else { String::new() };
            causes.push(format!(
                "{} of {} rows of {path} cannot be read: {}{more}",
                self.faults,
                self.rows,
                self.shown.join("; ")
            ));
        }
        let total = match (self.trailer, self.counted) {
            (None, _) => announced,
            (Some(_), Some((Ok(total), _))) => Some(total),
            (Some(_), Some((Err(what), _))) => {
                causes.push(format!("{path}: {what}"));
                None
            }
            (Some((prefix, _)), None) => {
                causes.push(format!("{path} ends without its trailer `{prefix}`: it may be cut"));
                None
            }
        };
        // Nobody said that there is nobody: an export that failed looks like this.
        if self.rows == 0 && total.is_none() && causes.is_empty() {
            causes.push(format!("{path} has a header and no rows, and nothing says so"));
        } else if self.rows == 0 && total.is_some_and(|total| total > 0) {
            causes.push(format!(
                "{path} has a header and no rows, the source counts {}",
                total.unwrap_or(0)
            ));
        }
        // A total that differs from what was read does not make the reading incomplete: the file
        // was read to its end, and what it lacks is exactly what the gate should show.
        let reason = (!causes.is_empty()).then(|| causes.join("; "));
        Ending { reason, total, watermark }
    }
}

/// Whether a line begins with `prefix`, which may reach over several of its fields.
fn begins(row: &Row, prefix: &str, delimiter: u8) -> bool {
    let mut rest = prefix.as_bytes();
    for field in row.fields() {
        if rest.len() <= field.len() {
            return field.starts_with(rest);
        }
        match rest.strip_prefix(field) {
            Some([next, after @ ..]) if *next == delimiter => rest = after,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_is_told_by_how_its_line_begins() {
        for (line, prefix, expected) in [
            ("TRAILER,5", "TRAILER,", true),
            ("TRAILER,5", "TRAILER", true),
            ("TRAILER,5", "TRAILER,5", true),
            ("TRAILER", "TRAILER,", false),
            ("TRAILERS,5", "TRAILER,", false),
            ("TRAILER;5", "TRAILER,", false),
            ("A,TRAILER,5", "TRAILER,", false),
            ("#,END,5", "#,END,", true),
            ("", "TRAILER,", false),
        ] {
            let mut row = Row::default();
            Rows::new(line.as_bytes(), b',').next(&mut row).unwrap();
            assert_eq!(begins(&row, prefix, b','), expected, "{line} {prefix}");
        }
    }
}
