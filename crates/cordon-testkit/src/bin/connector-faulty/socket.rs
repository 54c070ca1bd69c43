//! A socket that spoils what is written to it once it is told to.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use crate::acts::{Sabotage, Wire};

/// See the file.
pub(crate) struct Socket {
    stream: UnixStream,
    sabotage: Sabotage,
    random: fastrand::Rng,
    is_broken: bool,
}

impl Socket {
    pub(crate) fn new(stream: UnixStream, sabotage: Sabotage, seed: u64) -> Self {
        Self { stream, sabotage, random: fastrand::Rng::with_seed(seed), is_broken: false }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match self.sabotage.wire() {
            Wire::Honest => Pin::new(&mut self.stream).poll_write(context, bytes),
            Wire::Garbage => {
                let garbage: Vec<u8> = bytes.iter().map(|_| self.random.u8(..)).collect();
                Pin::new(&mut self.stream).poll_write(context, &garbage)
            }
            Wire::Half => {
                let half = bytes.len().div_ceil(2);
                let written = Pin::new(&mut self.stream).poll_write(context, &bytes[..half]);
                self.is_broken = matches!(written, Poll::Ready(Ok(_)));
                written
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
