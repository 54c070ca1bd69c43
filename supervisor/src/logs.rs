//! What connectors print: kept for people, never read as data.
//!
//! A connector may print without end, without newlines, in the colours of somebody else's log, or
//! its own password. So lines are cut, freed of secrets, escaped, counted and stamped here, in
//! memory that does not grow and a file that is rotated; what is dropped is told in numbers. The
//! pipe is read whatever the disk does: the file is written by a thread that may wait, and what does
//! not fit in front of it is dropped, too.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::broadcast;

use crate::limits::{EVENTS_IN_FLIGHT, LOG_LINE_BYTES, LOG_LINES};
use crate::secrets::Redactor;

mod budget;
mod escape;
mod file;
mod lines;

pub(crate) use escape::escape;

use budget::{Budget, Pace};
use file::LogFile;
use lines::{Lines, RawLine};

/// Bytes of a connector's output that are read at a time; what a pipe holds.
const READ_BYTES: usize = 64 * 1024;
/// Between two reads of a connector that prints faster than anybody can want.
const FLOOD_PAUSE: Duration = Duration::from_millis(1);

/// One line that a connector printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// When it arrived.
    pub(crate) time: Timestamp,
    /// Which process printed it; none when the supervisor says something of the output.
    pub(crate) pid: Option<u32>,
    /// The line, escaped; at most [`LOG_LINE_BYTES`] of the original.
    pub(crate) text: String,
}

/// The output of one connector.
pub(crate) struct Logs {
    file: Arc<LogFile>,
    recent: Mutex<VecDeque<Line>>,
    follow: broadcast::Sender<Line>,
}

impl Logs {
    /// Keeps lines in memory and in the file at `path`.
    pub(crate) fn new(path: PathBuf) -> Self {
        let (follow, _) = broadcast::channel(EVENTS_IN_FLIGHT);
        Self { file: Arc::new(LogFile::new(path)), recent: Mutex::default(), follow }
    }

    /// All lines that are kept, oldest first.
    pub(crate) fn recent(&self) -> Vec<Line> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().cloned().collect()
    }

    /// Lines from now on; a slow follower misses some.
    pub(crate) fn follow(&self) -> broadcast::Receiver<Line> {
        self.follow.subscribe()
    }

    /// Reads a process's output to its end, and keeps no secret that `redactor` knows.
    pub(crate) async fn capture(
        self: Arc<Self>,
        pid: u32,
        mut output: impl AsyncRead + Unpin,
        redactor: Redactor,
    ) {
        let mut buffer = vec![0; READ_BYTES];
        let mut lines = Lines::new(redactor.lookahead());
        let mut taken = Taken { pid, redactor, budget: Budget::new(Instant::now()), kept: vec![] };
        let mut pace = Pace::new(Instant::now());
        loop {
            let read = match output.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            lines.take(&buffer[..read], |line| taken.line(line));
            self.keep(&mut taken.kept);
            if pace.is_flood(Instant::now(), read) {
                tokio::time::sleep(FLOOD_PAUSE).await;
            }
        }
        lines.end(|line| taken.line(line));
        taken.end();
        self.keep(&mut taken.kept);
    }

    fn keep(&self, lines: &mut Vec<Line>) {
        if lines.is_empty() {
            return;
        }
        self.file.append(lines);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines.drain(..) {
            if recent.len() == LOG_LINES {
                recent.pop_front();
            }
            let _ = self.follow.send(line.clone());
            recent.push_back(line);
        }
    }
}

/// Lines of one process on their way to be kept.
struct Taken {
    pid: u32,
    redactor: Redactor,
    budget: Budget,
    kept: Vec<Line>,
}

impl Taken {
    /// Keeps a line for which there is room; what is dropped is not even looked at.
    fn line(&mut self, line: RawLine<'_>) {
        let bytes = line.bytes.len().min(LOG_LINE_BYTES);
        let Some(dropped) = self.budget.spend(Instant::now(), bytes) else { return };
        if dropped > 0 {
            self.say(format!("{dropped} lines dropped: more than is kept in a second"));
        }
        let text =
            escape(&String::from_utf8_lossy(&self.redactor.bytes(line.bytes, LOG_LINE_BYTES)));
        // Once more as it will stand there: what was escaped may now read as a secret.
        let mut text = self.redactor.text(&text);
        if line.cut > 0 {
            text.push_str(&format!(" … {} bytes dropped", line.cut));
        }
        self.kept.push(Line { time: Timestamp::now(), pid: Some(self.pid), text });
    }

    fn end(&mut self) {
        let dropped = self.budget.dropped();
        if dropped > 0 {
            self.say(format!("{dropped} lines dropped at the end of process {}", self.pid));
        }
    }

    /// A word of the supervisor's own, which no connector can forge: it has no process.
    fn say(&mut self, text: String) {
        self.kept.push(Line { time: Timestamp::now(), pid: None, text });
    }
}

#[cfg(test)]
mod tests;
