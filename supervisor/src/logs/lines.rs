//! Cuts bytes into lines, and long lines short.

use crate::limits::LOG_LINE_BYTES;

/// The beginning of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawLine<'a> {
    /// What is kept of it, and as much beyond as must be seen to know what is kept.
    pub(super) bytes: &'a [u8],
    /// How much is not kept.
    pub(super) cut: u64,
}

/// The line that has begun.
pub(super) struct Lines {
    partial: Vec<u8>,
    /// Bytes of a line that are held, at most.
    held: usize,
    beyond: u64,
}

impl Lines {
    /// Holds so many bytes of a line beyond what is kept of it.
    pub(super) fn new(lookahead: usize) -> Self {
        Self { partial: Vec::new(), held: LOG_LINE_BYTES + lookahead, beyond: 0 }
    }

    /// Takes bytes and gives every line that they end.
    pub(super) fn take(&mut self, bytes: &[u8], mut give: impl FnMut(RawLine<'_>)) {
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = self.held - self.partial.len();
            self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
            self.beyond += piece.len().saturating_sub(room) as u64;
            if pieces.peek().is_some() {
                self.end(&mut give);
            }
        }
    }

    /// Bytes that are held.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.partial.len()
    }

    /// Gives the line that has begun, if it says anything.
    pub(super) fn end(&mut self, mut give: impl FnMut(RawLine<'_>)) {
        if !self.partial.is_empty() {
            let beyond_cut = self.partial.len().saturating_sub(LOG_LINE_BYTES) as u64;
            give(RawLine { bytes: &self.partial, cut: beyond_cut + self.beyond });
        }
        self.partial.clear();
        self.partial.shrink_to(LOG_LINE_BYTES);
        self.beyond = 0;
    }
}
