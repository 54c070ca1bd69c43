//! How much of a connector's output is kept, and how fast it is read.

use std::time::{Duration, Instant};

use crate::limits::{LOG_BYTES_PER_SECOND, LOG_FLOOD_BYTES_PER_SECOND, LOG_LINES_PER_SECOND};

const SECOND: Duration = Duration::from_secs(1);

/// So many lines and bytes a second.
pub(super) struct Budget {
    window: Instant,
    lines: u32,
    bytes: usize,
    dropped: u64,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self { window: now, lines: 0, bytes: 0, dropped: 0 }
    }

    /// Whether one more line of so many bytes may be kept; if so, how many were dropped before it.
    pub(super) fn spend(&mut self, now: Instant, bytes: usize) -> Option<u64> {
        if now.duration_since(self.window) >= SECOND {
            (self.window, self.lines, self.bytes) = (now, 0, 0);
        }
        if self.lines >= LOG_LINES_PER_SECOND || self.bytes + bytes > LOG_BYTES_PER_SECOND {
            self.dropped += 1;
            return None;
        }
        self.lines += 1;
        self.bytes += bytes;
        Some(std::mem::take(&mut self.dropped))
    }

    /// How many were dropped since the last that was kept.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Notices output that would cost the supervisor its processor.
pub(super) struct Pace {
    window: Instant,
    bytes: usize,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { window: now, bytes: 0 }
    }

    /// Takes note of a read; says whether the reader should rest, and so let the writer wait.
    pub(super) fn is_flood(&mut self, now: Instant, read: usize) -> bool {
        if now.duration_since(self.window) >= SECOND {
            (self.window, self.bytes) = (now, 0);
        }
        self.bytes = self.bytes.saturating_add(read);
        self.bytes > LOG_FLOOD_BYTES_PER_SECOND
    }
}
