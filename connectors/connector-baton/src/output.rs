//! What a child prints: passed on to the log line by line, within bounds, and the last of it kept.
//!
//! The child must never wait for its log, so both of its outputs are read for as long as they are
//! open. The supervisor bounds, escapes and masks what comes on; here a line and what is kept have an
//! end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::ids::cut;

/// Bytes of a line; the rest of a longer one is left out.
const LINE_BYTES_MAX: usize = 4_096;
/// Lines that are kept.
const LINES_KEPT: usize = 50;
/// Bytes of the line that explains an end.
const WORD_BYTES_MAX: usize = 300;
/// What a line holds that says why a program ended.
const TELLING: [&str; 5] =
    ["Error:", "panic:", "fatal error:", "\"level\":\"fatal\"", "\"level\":\"error\""];

/// The last lines that a child printed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Output(Arc<Mutex<VecDeque<String>>>);

impl Output {
    /// Reads one of its outputs to the end.
    pub(crate) async fn follow(self, mut from: impl AsyncRead + Unpin) {
        let mut line = Vec::new();
        let mut buffer = vec![0; 16 << 10];
        while let Ok(read) = from.read(&mut buffer).await {
            if read == 0 {
                break;
            }
            for byte in buffer.iter().take(read) {
                if *byte == b'\n' {
                    self.line(&line);
                    line.clear();
                } else if line.len() < LINE_BYTES_MAX {
                    line.push(*byte);
                }
            }
        }
        self.line(&line);
    }

    fn line(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        tracing::info!(target: "baton", "{line}");
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    /// The line that explains best why it ended; empty when it said nothing.
    pub(crate) fn last_word(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let telling = |line: &&String| TELLING.iter().any(|word| line.contains(word));
        let word = lines.iter().rev().find(telling).or(lines.back());
        word.map_or_else(String::new, |line| cut(line, WORD_BYTES_MAX).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_bounded_and_the_one_that_explains_is_found_before_the_usage() {
        let output = Output::default();
        let long = "x".repeat(3 * LINE_BYTES_MAX);
        let many = "usage\n".repeat(LINES_KEPT - 1);
        let text = format!("first\n{long}\nError: unknown flag\n{many}");
        output.clone().follow(text.as_bytes()).await;
        assert_eq!(output.last_word(), "Error: unknown flag");
        let lines = output.0.lock().unwrap().clone();
        assert_eq!(lines.len(), LINES_KEPT);
        let other = Output::default();
        other.clone().follow(format!("{long}\nlast").as_bytes()).await;
        assert_eq!(other.last_word(), "last");
        assert_eq!(other.0.lock().unwrap().front().unwrap().len(), LINE_BYTES_MAX);
    }
}
