//! What connectors print: kept for people, never read as data.
//!
//! A connector may print without end, without newlines, or in the colours of somebody else's log. So
//! lines are cut, escaped, counted and stamped here, in memory that does not grow and a file that is
//! rotated; what is dropped is told in numbers.

use std::collections::VecDeque;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::broadcast;

use crate::limits::{
    EVENTS_IN_FLIGHT, LOG_FILE_BYTES, LOG_LINE_BYTES, LOG_LINES, LOG_LINES_PER_SECOND,
};

/// One line that a connector printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// When it arrived.
    pub(crate) time: Timestamp,
    /// Which process printed it.
    pub(crate) pid: u32,
    /// The line, escaped; at most [`LOG_LINE_BYTES`] of the original.
    pub(crate) text: String,
}

/// The output of one connector.
pub(crate) struct Logs {
    path: PathBuf,
    recent: Mutex<VecDeque<Line>>,
    follow: broadcast::Sender<Line>,
}

impl Logs {
    /// Keeps lines in memory and in the file at `path`.
    pub(crate) fn new(path: PathBuf) -> Self {
        let (follow, _) = broadcast::channel(EVENTS_IN_FLIGHT);
        Self { path, recent: Mutex::default(), follow }
    }

    /// The newest lines, oldest first.
    pub(crate) fn recent(&self, lines: usize) -> Vec<Line> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().skip(recent.len().saturating_sub(lines)).cloned().collect()
    }

    /// Lines from now on; a slow follower misses some.
    pub(crate) fn follow(&self) -> broadcast::Receiver<Line> {
        self.follow.subscribe()
    }

    /// Reads a process's output to its end.
    pub(crate) async fn capture(self: Arc<Self>, pid: u32, mut output: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; 16 * 1024];
        let mut lines = Lines::default();
        let mut budget = Budget::new(Instant::now());
        loop {
            let read = match output.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            let mut kept = Vec::new();
            lines.take(&buffer[..read], |line| keep_line(&mut kept, line, &mut budget));
            self.keep(pid, kept);
        }
        let mut last = Vec::new();
        lines.end(|line| keep_line(&mut last, line, &mut budget));
        if budget.dropped > 0 {
            last.push(format!("… {} lines dropped at its end", budget.dropped));
        }
        self.keep(pid, last);
    }

    fn keep(&self, pid: u32, texts: Vec<String>) {
        if texts.is_empty() {
            return;
        }
        let time = Timestamp::now();
        let lines: Vec<Line> = texts.into_iter().map(|text| Line { time, pid, text }).collect();
        if let Err(error) = self.write(&lines) {
            tracing::warn!(path = %self.path.display(), %error, "cannot write a connector's log");
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines {
            if recent.len() == LOG_LINES {
                recent.pop_front();
            }
            let _ = self.follow.send(line.clone());
            recent.push_back(line);
        }
    }

    fn write(&self, lines: &[Line]) -> std::io::Result<()> {
        if std::fs::metadata(&self.path).is_ok_and(|file| file.len() > LOG_FILE_BYTES) {
            std::fs::rename(&self.path, self.path.with_extension("log.1"))?;
        }
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.path)?;
        let mut text = String::new();
        for line in lines {
            text.push_str(&format!("{} [{}] {}\n", line.time, line.pid, line.text));
        }
        file.write_all(text.as_bytes())
    }
}

/// Keeps a line for which there is room; what is dropped is not even looked at.
fn keep_line(kept: &mut Vec<String>, line: RawLine<'_>, budget: &mut Budget) {
    let Some(dropped) = budget.spend(Instant::now()) else { return };
    if dropped > 0 {
        let limit = LOG_LINES_PER_SECOND;
        kept.push(format!("… {dropped} lines dropped: more than {limit} a second"));
    }
    let mut text = escape(line.bytes);
    if line.overlong > 0 {
        text.push_str(&format!(" … {} bytes dropped", line.overlong));
    }
    kept.push(text);
}

/// The beginning of a line, and how much of it was cut off.
#[derive(Clone, Copy)]
struct RawLine<'a> {
    bytes: &'a [u8],
    overlong: u64,
}

/// Cuts bytes into lines, and long lines short.
#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
    overlong: u64,
}

impl Lines {
    /// Takes bytes and gives every line that they end.
    fn take(&mut self, bytes: &[u8], mut give: impl FnMut(RawLine<'_>)) {
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = LOG_LINE_BYTES - self.partial.len();
            self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
            self.overlong += piece.len().saturating_sub(room) as u64;
            if pieces.peek().is_some() {
                self.end(&mut give);
            }
        }
    }

    /// Gives the line that has begun, if it says anything.
    fn end(&mut self, mut give: impl FnMut(RawLine<'_>)) {
        if !self.partial.is_empty() {
            give(RawLine { bytes: &self.partial, overlong: self.overlong });
        }
        self.partial.clear();
        self.overlong = 0;
    }
}

/// Text that moves no cursor, sets no colour and begins no line.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for c in String::from_utf8_lossy(bytes).chars() {
        let reorders = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
        match c {
            '\t' => text.push(' '),
            c if c.is_control() || reorders => text.extend(c.escape_unicode()),
            c => text.push(c),
        }
    }
    text
}

/// So many lines a second.
struct Budget {
    window: Instant,
    spent: u32,
    dropped: u64,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self { window: now, spent: 0, dropped: 0 }
    }

    /// Whether one more line may be kept; if so, how many were dropped before it.
    fn spend(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.window) >= Duration::from_secs(1) {
            self.window = now;
            self.spent = 0;
        }
        if self.spent >= LOG_LINES_PER_SECOND {
            self.dropped += 1;
            return None;
        }
        self.spent += 1;
        Some(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(lines: &mut Lines, bytes: &[u8]) -> Vec<String> {
        let mut budget = Budget::new(Instant::now());
        let mut kept = Vec::new();
        lines.take(bytes, |line| keep_line(&mut kept, line, &mut budget));
        kept
    }

    #[test]
    fn a_line_without_end_is_cut_and_counted() {
        let mut lines = Lines::default();
        for _ in 0..1_000 {
            assert!(kept(&mut lines, &[b'x'; 1_000]).is_empty());
            assert!(lines.partial.len() <= LOG_LINE_BYTES);
        }
        let line = kept(&mut lines, b"\n").remove(0);
        assert!(line.ends_with("… 995904 bytes dropped"), "{}", &line[line.len() - 40..]);
    }

    #[test]
    fn a_line_cannot_forge_another_or_move_the_cursor() {
        let taken = kept(&mut Lines::default(), b"ok\r2026-01-01 [1] forged\x1b[2J\n\xff\n");
        assert_eq!(taken[0], "ok\\u{d}2026-01-01 [1] forged\\u{1b}[2J");
        assert_eq!(taken[1], "\u{fffd}");
    }

    #[test]
    fn a_flood_is_dropped_and_the_count_is_told() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let kept = (0..10_000).filter(|_| budget.spend(start).is_some()).count();
        assert_eq!(kept, LOG_LINES_PER_SECOND as usize);
        let later = start + Duration::from_secs(1);
        assert_eq!(budget.spend(later), Some(10_000 - u64::from(LOG_LINES_PER_SECOND)));
    }

    #[tokio::test]
    async fn a_flood_grows_neither_memory_nor_the_file_without_bound() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Arc::new(Logs::new(dir.path().join("x.log")));
        let flood = AsyncReadExt::take(tokio::io::repeat(b'\n'), 50_000_000);
        let noisy: Vec<u8> = b"noise\n".repeat(200_000);
        logs.clone().capture(1, flood).await;
        logs.clone().capture(1, noisy.as_slice()).await;
        assert!(logs.recent(usize::MAX).len() <= LOG_LINES);
        assert!(std::fs::metadata(dir.path().join("x.log")).unwrap().len() < 2 * LOG_FILE_BYTES);
    }
}
