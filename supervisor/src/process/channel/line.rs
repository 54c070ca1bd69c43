//! The inherited socket, watched as it is read and written.
//!
//! The HTTP/2 library says little of why a connection ended; the bytes say it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tonic::{Code, Status};

/// How a channel ended, where the library tells by one error what are three causes: the other end
/// closed it, or never spoke HTTP/2, or was given up here because a ping had no answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending {
    closed: Arc<AtomicBool>,
    foreign: Arc<AtomicBool>,
}

impl Ending {
    /// Whether a call that failed so failed because the other end was silent.
    pub(crate) fn is_silence(&self, status: &Status) -> bool {
        // A status that the connector sent has no source, and one of garbage another code.
        let by_the_library = std::error::Error::source(status).is_some();
        by_the_library && status.code() == Code::Unknown && !self.closed.load(Ordering::SeqCst)
    }

    /// Whether its first bytes were none that may begin a connection.
    pub(super) fn is_foreign(&self) -> bool {
        self.foreign.load(Ordering::SeqCst)
    }

    fn note(&self, ended: bool) {
        if ended {
            self.closed.store(true, Ordering::SeqCst);
        }
    }
}

/// The socket, which notes when its other end closed.
pub(super) struct Line {
    stream: UnixStream,
    ending: Ending,
    opening: Opening,
}

impl Line {
    pub(super) fn new(stream: UnixStream, ending: Ending) -> Self {
        Self { stream, ending, opening: Opening::default() }
    }
}

/// Looks at the head of the first frame. A server's connection begins with a SETTINGS frame
/// (RFC 9113, section 3.4), whose type is the fourth byte (section 4.1).
#[derive(Default)]
struct Opening {
    seen: usize,
}

impl Opening {
    const TYPE_AT: usize = 3;
    const SETTINGS: u8 = 4;

    /// Whether these bytes, which follow those before, show that it is another kind of peer.
    fn is_foreign(&mut self, bytes: &[u8]) -> bool {
        let at = Self::TYPE_AT.checked_sub(self.seen);
        self.seen = self.seen.saturating_add(bytes.len());
        at.and_then(|at| bytes.get(at)).is_some_and(|kind| *kind != Self::SETTINGS)
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let ended = match &read {
            Poll::Ready(Ok(())) => room > 0 && buffer.filled().len() == before,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        self.ending.note(ended);
        let came = buffer.filled().get(before..).unwrap_or_default();
        if self.opening.is_foreign(came) {
            self.ending.foreign.store(true, Ordering::SeqCst);
        }
        read
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.ending.note(matches!(written, Poll::Ready(Err(_))));
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.ending.note(matches!(written, Poll::Ready(Err(_))));
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_settings_begins_a_connection_however_it_is_cut() {
        let frame = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
        for cut in 0..frame.len() {
            let mut opening = Opening::default();
            assert!(!opening.is_foreign(&frame[..cut]), "cut at {cut}");
            assert!(!opening.is_foreign(&frame[cut..]), "cut at {cut}");
        }
    }

    #[test]
    fn anything_else_does_not_and_is_seen_once() {
        let text = b"SSH-2.0";
        for cut in 0..=3 {
            let mut opening = Opening::default();
            assert!(!opening.is_foreign(&text[..cut]), "cut at {cut}");
            assert!(opening.is_foreign(&text[cut..]), "cut at {cut}");
            assert!(!opening.is_foreign(text), "only the first frame is looked at");
        }
    }
}
