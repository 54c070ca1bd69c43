//! The control socket: how `cordon` asks `cordond`.
//!
//! The socket is connected by hand first, so that the reason why it cannot be is the system's own
//! and not a channel's summary of it.

use std::io;
use std::path::Path;
use std::time::Duration;

use cordon_wire::MESSAGE_BYTES_MAX;
use cordon_wire::v1::control_client::ControlClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Response, Status};

use crate::errors::Failure;

/// Longest wait for an answer. A stop waits for a process that takes its time, so this is long.
const ANSWER_SECONDS: u64 = 60;
/// A followed stream may be silent for hours; this tells a quiet daemon from a hung one.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// The daemon's control service over its socket.
pub(crate) type Client = ControlClient<Channel>;

/// Connects to the daemon.
pub(crate) async fn connect(socket: &Path) -> Result<Client, Failure> {
    let unreachable = |source| Failure::Unreachable { socket: socket.to_owned(), source };
    let stream = UnixStream::connect(socket).await.map_err(unreachable)?;
    let mut stream = Some(TokioIo::new(stream));
    // One connection, one command: a second connect would mean that the first broke.
    let connector = tower::service_fn(move |_: Uri| {
        let stream = stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset));
        async move { stream }
    });
    let channel = Endpoint::from_static("http://cordond.invalid")
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .connect_with_connector(connector)
        .await
        .map_err(|error| unreachable(io::Error::other(error)))?;
    Ok(ControlClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

/// Waits for the answer to a call, within bounds.
pub(crate) async fn answer<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(Duration::from_secs(ANSWER_SECONDS), call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(Failure::Silent { seconds: ANSWER_SECONDS }),
    }
}
