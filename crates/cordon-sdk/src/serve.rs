//! Serves a connector on the socket that its supervisor handed down.
//!
//! The socket is connected already and nobody else can reach it. When it closes, the supervisor is
//! gone or wants no more, and the process ends: there is nothing that it could do alone.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::service::Service;
use crate::{Cause, Connector};

/// Names the descriptor of the connected socket.
const SOCKET_VARIABLE: &str = "CORDON_FD";
/// Names what is logged, e.g. `debug` or `my_connector=trace`.
const LOG_VARIABLE: &str = "CORDON_LOG";
/// Bytes of one HTTP/2 frame; larger frames than the default save system calls.
const FRAME_BYTES: u32 = 256 * 1024;
/// How long a process that was asked to end waits for what is still written: with [`LINGER`] well below
/// the five seconds that it has.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// How long the supervisor may take to read what was said last.
const LINGER: Duration = Duration::from_millis(500);

/// Why a connector could not be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(
        "{SOCKET_VARIABLE} is not set; a connector is started by cordond, which hands it a socket"
    )]
    NotStarted,
    #[error("{SOCKET_VARIABLE} is {0:?}, not a descriptor's number")]
    NotNumber(String),
    #[error("descriptor {fd} cannot be taken over")]
    Inherit { fd: RawFd, source: std::io::Error },
    #[error("the process cannot be closed to its own user")]
    Expose(#[source] std::io::Error),
    #[error("the runtime cannot start")]
    Runtime(#[source] std::io::Error),
    #[error("the connector cannot be described")]
    Describe(#[source] crate::Error),
    #[error("the connection failed")]
    Connection(#[source] Cause),
}

/// Serves a connector until its supervisor closes the connection or asks it to end. The whole of a
/// connector's `main`. Logs go to stderr; nothing is written to stdout.
pub fn serve<C: Connector>() -> ExitCode {
    log_to_stderr();
    match start::<C>() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(cause, "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Plain directives only: a filter that also reads expressions costs every idle connector a parser.
fn log_to_stderr() {
    let asked = std::env::var(LOG_VARIABLE).ok().and_then(|text| text.parse::<Targets>().ok());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time();
    let filter = asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    tracing_subscriber::registry().with(filter).with(lines).init();
}

fn start<C: Connector>() -> Result<(), ServeError> {
    // The launcher's own setting ended with the exec. Without it, whoever shares the user could read
    // this process's memory, and the secrets in it.
    let hidden = DumpableBehavior::NotDumpable;
    set_dumpable_behavior(hidden).map_err(|errno| ServeError::Expose(errno.into()))?;
    let socket = inherited()?;
    let open = socket.try_clone().map_err(ServeError::Runtime)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let served = runtime.block_on(async {
        let socket = tokio::net::UnixStream::from_std(socket).map_err(ServeError::Runtime)?;
        let stop = CancellationToken::new();
        let mut term = signal(SignalKind::terminate()).map_err(ServeError::Runtime)?;
        let asked = stop.clone();
        tokio::spawn(async move {
            term.recv().await;
            asked.cancel();
        });
        serve_on::<C, _>(socket, stop).await
    });
    linger(&open);
    // Code that blocks a thread must not keep the process alive.
    runtime.shutdown_background();
    served
}

/// Reads on until the supervisor has read all and hangs up, or does not within a moment. What it
/// still writes would fail on a closed socket, and it would then drop what it has not read yet: how
/// the sync ended.
fn linger(socket: &StdUnixStream) {
    let until = Instant::now() + LINGER;
    let mut rest = [0; 4096];
    let _ = socket.set_nonblocking(false);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
            return;
        }
        let mut socket = socket;
        if !std::io::Read::read(&mut socket, &mut rest).is_ok_and(|bytes| bytes > 0) {
            return;
        }
    }
}

/// Serves a connector on one connection, until that closes or `stop` is cancelled.
pub(crate) async fn serve_on<C, S>(stream: S, stop: CancellationToken) -> Result<(), ServeError>
where
    C: Connector,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = Service::<C>::new(stop.clone()).map_err(ServeError::Describe)?;
    let routes = TowerToHyperService::new(service.routes().await);
    let mut server = auto::Builder::new(TokioExecutor::new()).http2_only();
    server.http2().max_frame_size(FRAME_BYTES);
    let connection = server.serve_connection(TokioIo::new(stream), routes);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        served = connection.as_mut() => return ended(served),
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    match tokio::time::timeout(STOP_GRACE, connection).await {
        Ok(served) => ended(served),
        Err(_) => Ok(()),
    }
}

/// A supervisor that hangs up is the orderly end, whatever it left unread or half written. A local
/// socket fails for no other reason, so only what breaks the protocol is an error.
fn ended(served: Result<(), Cause>) -> Result<(), ServeError> {
    match served {
        Err(cause) if !is_hang_up(cause.as_ref()) => Err(ServeError::Connection(cause)),
        _ => Ok(()),
    }
}

fn is_hang_up(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.is::<std::io::Error>())
}

/// The socket that the supervisor handed down.
pub(crate) fn inherited() -> Result<StdUnixStream, ServeError> {
    let socket = std::env::var(SOCKET_VARIABLE).map_err(|_| ServeError::NotStarted)?;
    let fd: RawFd = match socket.parse() {
        Ok(fd) if fd >= 0 => fd,
        _ => return Err(ServeError::NotNumber(socket)),
    };
    inherit(fd).map_err(|source| ServeError::Inherit { fd, source })
}

/// Takes over a descriptor by its number, without a number ever becoming a descriptor unchecked: the
/// kernel passes it from this process to itself, and hands back one that is owned and closed on
/// exec.
fn inherit(fd: RawFd) -> std::io::Result<StdUnixStream> {
    let (near, far) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    nix::sys::socket::sendmsg::<()>(
        near.as_raw_fd(),
        &[IoSlice::new(&[0])],
        &[nix::sys::socket::ControlMessage::ScmRights(&[fd])],
        nix::sys::socket::MsgFlags::empty(),
        None,
    )?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(
        &far,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let socket: OwnedFd = received.ok_or(std::io::ErrorKind::InvalidData)?;
    nix::unistd::close(fd)?;
    let socket = StdUnixStream::from(socket);
    socket.set_nonblocking(true)?;
    // Fails on anything but a connected Unix socket.
    socket.peer_addr()?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::{Description, Error, User};

    /// What begins every connection, then settings without a setting.
    const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    /// The first half of the header of a frame.
    const HALF: &[u8] = b"\0\0\x08\x06";
    /// A ping on a stream of its own, which is against the protocol.
    const WRONG: &[u8] = b"\0\0\x08\x06\0\0\0\0\x01cordond!";

    struct Idle;

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Config {}

    impl Connector for Idle {
        type Config = Config;

        fn describe() -> Description {
            Description::new("idle", "1").reports(User::schema())
        }

        async fn open(_config: Config) -> Result<Self, Error> {
            Ok(Self)
        }

        async fn check(&self) -> Result<Vec<String>, Error> {
            Ok(Vec::new())
        }

        async fn sync(&self, _sync: &mut crate::Sync) -> Result<(), Error> {
            Ok(())
        }
    }

    /// How serving ends for a peer that says that and then does the rest by itself.
    async fn served(
        said: &'static [u8],
        peer: impl FnOnce(StdUnixStream) + Send + 'static,
    ) -> Result<(), ServeError> {
        let (near, mut far) = StdUnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let near = tokio::net::UnixStream::from_std(near).unwrap();
        let peer = tokio::task::spawn_blocking(move || {
            far.write_all(said).unwrap();
            peer(far);
        });
        let served = serve_on::<Idle, _>(near, CancellationToken::new()).await;
        peer.await.unwrap();
        served
    }

    /// Goes while the server's own settings lie unread in the socket.
    fn leave_unread(peer: StdUnixStream) {
        let mut byte = [MaybeUninit::uninit()];
        rustix::net::recv(&peer, &mut byte, RecvFlags::PEEK).unwrap();
        drop(peer);
    }

    /// Reads on until the server is gone.
    fn hear_out(mut peer: StdUnixStream) {
        let _ = peer.read_to_end(&mut Vec::new());
    }

    #[tokio::test]
    async fn a_supervisor_that_hangs_up_is_the_orderly_end_whatever_it_left_unread() {
        served(HELLO, leave_unread).await.unwrap();
    }

    #[tokio::test]
    async fn a_supervisor_that_hangs_up_in_the_middle_of_a_frame_is_the_orderly_end() {
        let half = |peer: StdUnixStream| {
            (&peer).write_all(HALF).unwrap();
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            hear_out(peer);
        };
        served(HELLO, half).await.unwrap();
    }

    #[tokio::test]
    async fn a_supervisor_that_goes_before_a_word_is_the_orderly_end() {
        served(b"", leave_unread).await.unwrap();
        served(b"PRI * HT", leave_unread).await.unwrap();
    }

    #[tokio::test]
    async fn a_peer_that_breaks_the_protocol_is_an_error() {
        let wrong = |peer: StdUnixStream| {
            (&peer).write_all(WRONG).unwrap();
            hear_out(peer);
        };
        let error = served(HELLO, wrong).await.unwrap_err();
        assert!(matches!(error, ServeError::Connection(_)), "{error}");
    }
}
