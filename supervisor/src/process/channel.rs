//! The one connection to a connector, and the calls that make it ready.
//!
//! HTTP/2 over the inherited socket; there is nothing to dial again when it breaks. Each call before
//! a sync has a deadline of its own, so that the one that hung is named. A ping shows a connector
//! whose process no longer runs; one that runs and does nothing is the business of `liveness`.

mod line;

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use cordon_wire::v1::connector_client::ConnectorClient;
use cordon_wire::{MESSAGE_BYTES_MAX, PROTOCOL, v1};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

pub(crate) use self::line::Ending;
use self::line::Line;
use super::StartError;
use crate::secrets::Redactor;
use crate::session::Violation;

/// When a silent connection is asked for a sign of life, and how long the sign may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pings {
    /// Silence before it is asked.
    pub(super) after: Duration,
    /// From there to the answer.
    pub(super) answer: Duration,
}

/// How a connector is spoken to before its first sync.
pub(super) struct Terms<'a> {
    /// When its channel is asked for a sign of life.
    pub(super) pings: Pings,
    /// What each call has to answer.
    pub(super) call: Duration,
    /// Finds secrets in what it answers.
    pub(super) redactor: &'a Redactor,
}

/// A client of a connector's service.
pub(super) type Client = ConnectorClient<Channel>;

/// Opens the channel, and asks the connector what it is.
pub(super) async fn open(
    channel: Option<StdUnixStream>,
    terms: &Terms<'_>,
) -> Result<(Client, v1::DescribeResponse, Ending), StartError> {
    let ending = Ending::default();
    let channel = connect(channel, terms.pings, ending.clone()).await.map_err(|error| {
        let why = terms.redactor.text(&crate::session::chain(&*error));
        StartError::Broken { call: "connect", why }
    })?;
    let mut client = Client::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let described = in_time("Describe", terms, client.describe(v1::DescribeRequest {})).await;
    // The library that saw such bytes before it sent the call says only that nothing is connected.
    let described = match described {
        Err(_) if ending.is_foreign() => {
            let why = "its first bytes do not begin an HTTP/2 connection".to_owned();
            return Err(StartError::Broken { call: "Describe", why });
        }
        described => described?,
    };
    let (min, max) = (described.protocol_min, described.protocol_max);
    if !(min..=max).contains(&PROTOCOL) {
        return Err(StartError::Version { min, max });
    }
    Ok((client, described, ending))
}

/// Hands the configuration over.
pub(super) async fn configure(
    client: &mut Client,
    configuration: String,
    terms: &Terms<'_>,
) -> Result<(), StartError> {
    let request = v1::ConfigureRequest { protocol: PROTOCOL, configuration };
    in_time("Configure", terms, client.configure(request)).await.map(drop)
}

async fn in_time<T>(
    call: &'static str,
    terms: &Terms<'_>,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, StartError> {
    let clean = |text: &str| terms.redactor.text(text);
    match tokio::time::timeout(terms.call, answer).await {
        Err(_) => Err(StartError::Timeout { call, within: terms.call }),
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(match Violation::of_status(&status) {
            Some(violation) => StartError::Broken { call, why: clean(&violation.message) },
            None => StartError::Refused {
                call,
                error: Box::new(cordon_wire::error::error_from_status_cleaned(&status, clean)),
                answered: crate::session::carries_error(&status),
            },
        }),
    }
}

/// Connects once over the inherited socket.
async fn connect(
    channel: Option<StdUnixStream>,
    pings: Pings,
    ending: Ending,
) -> Result<Channel, Box<dyn std::error::Error + Send + Sync>> {
    let stream = channel.ok_or("the channel was taken already")?;
    stream.set_nonblocking(true)?;
    let mut stream = Some(Line::new(UnixStream::from_std(stream)?, ending));
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = stream.take().ok_or_else(|| io::Error::other("the channel is closed"));
        async move { stream.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://connector.invalid")
        // Ten million grants pass here; small windows would cost a round trip every 64 KiB.
        .initial_stream_window_size(4 * 1024 * 1024)
        .initial_connection_window_size(8 * 1024 * 1024)
        .http2_keep_alive_interval(pings.after)
        .keep_alive_timeout(pings.answer)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await?;
    Ok(channel)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::process::{Child, Command, Stdio};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::*;

    /// A process whose other end of the socket is its standard input; killed when dropped.
    struct Peer(
        Child,
        #[expect(dead_code, reason = "read by the process")] tempfile::NamedTempFile,
    );

    impl Peer {
        /// The faulty connector under that scenario.
        fn start(scenario: &str) -> (Self, StdUnixStream) {
            let (near, far) = StdUnixStream::pair().unwrap();
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), scenario).unwrap();
            let child = Command::new(cordon_testkit::programs::path("connector-faulty"))
                .arg("--scenario")
                .arg(file.path())
                .env("CORDON_FD", "0")
                .stdin(OwnedFd::from(far))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            (Self(child, file), near)
        }

        fn signal(&self, signal: Signal) {
            kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
        }
    }

    impl Drop for Peer {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    const PINGS: Pings =
        Pings { after: Duration::from_millis(200), answer: Duration::from_millis(500) };
    const LONG: Duration = Duration::from_secs(60);

    /// The whole way to a connector that is ready.
    async fn handshake(
        channel: Option<StdUnixStream>,
        pings: Pings,
        call: Duration,
    ) -> Result<(Client, Ending), StartError> {
        let redactor = Redactor::default();
        let terms = Terms { pings, call, redactor: &redactor };
        let (mut client, _, ending) = open(channel, &terms).await?;
        configure(&mut client, "{}".to_owned(), &terms).await?;
        Ok((client, ending))
    }

    async fn error_of(scenario: &str, call: Duration) -> StartError {
        let (_peer, socket) = Peer::start(scenario);
        let begun = handshake(Some(socket), PINGS, call).await;
        begun.map(drop).unwrap_err()
    }

    #[tokio::test]
    async fn a_stopped_process_is_noticed_by_its_silence_alone() {
        let hang = r#"{"faults":[{"at":"page:1","do":"hang"}]}"#;
        let (peer, socket) = Peer::start(hang);
        let (mut client, ending) = handshake(Some(socket), PINGS, LONG).await.unwrap();
        let mut stream = client.sync(v1::SyncRequest::default()).await.unwrap().into_inner();
        // Its script hangs, its event loop answers: the channel has nothing to object.
        assert!(stream.message().await.unwrap().is_some(), "the first scope begins");
        let quiet = PINGS.after + PINGS.answer * 3;
        assert!(tokio::time::timeout(quiet, stream.message()).await.is_err(), "it is alive");
        peer.signal(Signal::SIGSTOP);
        let ended = tokio::time::timeout(LONG, stream.message()).await;
        let status = ended.expect("nobody notices that it is stopped").unwrap_err();
        assert!(ending.is_silence(&status), "{status:?}");
    }

    #[tokio::test]
    async fn a_process_that_hung_up_is_not_taken_for_a_silent_one() {
        for act in ["exit:0", "half-message"] {
            let fault = format!(r#"{{"faults":[{{"at":"page:1","do":"{act}"}}]}}"#);
            let (_peer, socket) = Peer::start(&fault);
            let (mut client, ending) = handshake(Some(socket), PINGS, LONG).await.unwrap();
            let status = match client.sync(v1::SyncRequest::default()).await {
                Err(status) => status,
                Ok(stream) => {
                    let mut stream = stream.into_inner();
                    loop {
                        match stream.message().await {
                            Ok(message) => assert!(message.is_some(), "{act}: it ended well"),
                            Err(status) => break status,
                        }
                    }
                }
            };
            assert!(!ending.is_silence(&status), "{act}: {status:?}");
        }
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_named() {
        for (point, name) in [("describe", "Describe"), ("configure", "Configure")] {
            let hang = format!(r#"{{"faults":[{{"at":"{point}","do":"hang"}}]}}"#);
            let error = error_of(&hang, Duration::from_millis(500)).await;
            assert!(matches!(error, StartError::Timeout { call, .. } if call == name), "{error}");
        }
    }

    #[tokio::test]
    async fn bytes_that_are_no_http_break_the_contract() {
        let error = error_of(r#"{"faults":[{"at":"start","do":"garbage-bytes"}]}"#, LONG).await;
        assert!(matches!(error, StartError::Broken { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn bytes_that_came_before_the_first_call_break_it_too() {
        let (near, mut far) = StdUnixStream::pair().unwrap();
        io::Write::write_all(&mut far, b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
        let error = handshake(Some(near), PINGS, LONG).await.map(drop).unwrap_err();
        assert!(matches!(error, StartError::Broken { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn the_protocol_is_agreed_once_and_a_future_one_is_refused() {
        let error = error_of(r#"{"faults":[{"at":"start","do":"future-protocol"}]}"#, LONG).await;
        assert!(matches!(error, StartError::Version { min: 2.., .. }), "{error}");
    }
}
