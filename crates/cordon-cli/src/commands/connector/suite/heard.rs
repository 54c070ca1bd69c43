//! What a program writes beside its socket.

use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::watch;

/// Bytes that are kept of each.
const KEPT_BYTES: usize = 4 << 20;
/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1_024;
/// From the end of a process's log to its own.
pub(super) const END_WAIT: Duration = Duration::from_millis(300);

/// What all processes of a program wrote.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    /// On standard output.
    pub(super) stdout: Vec<u8>,
    /// On standard error.
    pub(super) log: Vec<u8>,
    /// Bytes of the longest line of it.
    pub(super) longest_line: usize,
    /// Most lines that one process wrote within a second.
    pub(super) lines_in_a_second: usize,
    /// Whether a process closed its log and went on.
    pub(super) is_closed_early: bool,
}

/// Reads a process's standard output to its end.
pub(super) async fn output(mut pipe: ChildStdout, heard: Arc<Mutex<Heard>>) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(bytes @ 1..) = pipe.read(&mut buffer).await {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        keep(&mut heard.stdout, buffer.get(..bytes).unwrap_or_default());
    }
}

/// Reads a process's log to its end.
pub(super) async fn log(
    mut pipe: ChildStderr,
    heard: Arc<Mutex<Heard>>,
    exit: watch::Receiver<Option<ExitStatus>>,
) {
    let mut buffer = vec![0; READ_BYTES];
    let (mut line, mut lines, mut second) = (0, 0, Instant::now());
    while let Ok(bytes @ 1..) = pipe.read(&mut buffer).await {
        let bytes = buffer.get(..bytes).unwrap_or_default();
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in bytes {
            if second.elapsed() >= Duration::from_secs(1) {
                (lines, second) = (0, Instant::now());
            }
            if *byte == b'\n' {
                (line, lines) = (0, lines + 1);
            } else {
                line += 1;
            }
            heard.longest_line = heard.longest_line.max(line);
            heard.lines_in_a_second = heard.lines_in_a_second.max(lines);
        }
        keep(&mut heard.log, bytes);
    }
    tokio::time::sleep(END_WAIT).await;
    if exit.borrow().is_none() {
        heard.lock().unwrap_or_else(PoisonError::into_inner).is_closed_early = true;
    }
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = KEPT_BYTES.saturating_sub(kept.len());
    kept.extend(bytes.iter().take(room));
}
