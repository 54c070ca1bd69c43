//! Connections to the control socket, one after the other, as long as the service lives.
//!
//! A process that is out of descriptors cannot accept. That passes: the connection waits in the
//! kernel, and this waits, too, instead of asking again as fast as it can.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::net::{UnixListener, UnixStream};
use tokio_stream::Stream;

/// Between two tries when a connection cannot be accepted.
const PAUSE: Duration = Duration::from_millis(200);
/// How long it stays untold again.
const SILENCE: Duration = Duration::from_secs(60);

/// Every connection that comes.
pub(super) fn connections(
    listener: UnixListener,
) -> impl Stream<Item = std::io::Result<UnixStream>> {
    futures::stream::unfold((listener, None), |(listener, mut told)| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((Ok(stream), (listener, told))),
                // That one is gone; the next is not.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if told.is_none_or(|told: Instant| told.elapsed() > SILENCE) {
                        told = Some(Instant::now());
                        tracing::warn!(%error, "the control socket cannot accept; trying again");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}
