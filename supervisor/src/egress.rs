//! The far ends of a connector's relays: decides, resolves, dials, copies, and keeps count.
//!
//! What arrives on a relay's socket is meant for its one destination. Names are resolved here, by the
//! host's resolver and for each connection anew; a name that leads to this host or its link is
//! refused, because whoever answers for a name must not open what the configuration did not.
//!
//! Left out: a look into what is sent. Most of it is TLS, and the connector's business.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cordon_model::ConnectorName;
use cordon_sandbox::{Destination, Relay};
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::limits::{EGRESS_CONNECTIONS, EGRESS_DIAL_TIMEOUT};

/// What went to one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Connections that were made.
    pub(crate) connections: u64,
    /// Connections that were not.
    pub(crate) failures: u64,
    /// Bytes from the connector.
    pub(crate) sent: u64,
    /// Bytes to the connector.
    pub(crate) received: u64,
    /// Where the last one led.
    pub(crate) address: Option<SocketAddr>,
    /// When the last one began.
    pub(crate) last: Option<Timestamp>,
    /// Why the last failure came.
    pub(crate) trouble: String,
}

/// What went out of one connector since this service began, by destination.
#[derive(Debug, Default)]
pub(crate) struct Flows(Mutex<BTreeMap<Destination, Flow>>);

impl Flows {
    /// All of it.
    pub(crate) fn all(&self) -> BTreeMap<Destination, Flow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, destination: &Destination, note: impl FnOnce(&mut Flow)) {
        let mut flows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        note(flows.entry(destination.clone()).or_default());
    }
}

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("{destination} cannot be resolved: {source}")]
    Resolve { destination: Destination, source: std::io::Error },
    #[error("{destination} leads to {address}, which is this host or its link")]
    Inward { destination: Destination, address: IpAddr },
    #[error("{destination} has no address")]
    Nowhere { destination: Destination },
    #[error("{destination} ({address}) cannot be reached: {source}")]
    Connect { destination: Destination, address: SocketAddr, source: std::io::Error },
    #[error("{destination} does not answer")]
    Slow { destination: Destination },
}

/// Serves the relays of one process until `gone`.
pub(crate) fn serve(
    connector: &ConnectorName,
    relays: Vec<Relay>,
    flows: &Arc<Flows>,
    gone: &CancellationToken,
) {
    let turns = Arc::new(Semaphore::new(EGRESS_CONNECTIONS));
    for relay in relays {
        let listener = match TcpListener::from_std(relay.listener) {
            Ok(listener) => listener,
            Err(error) => {
                let to = relay.destination;
                tracing::error!(%connector, %to, %error, "a relay cannot be served");
                continue;
            }
        };
        let way = Way {
            connector: connector.clone(),
            destination: relay.destination,
            flows: flows.clone(),
            turns: turns.clone(),
        };
        let gone = gone.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = way.accept(listener, &gone) => {}
                () = gone.cancelled() => {}
            }
        });
    }
}

/// The way to one destination.
#[derive(Clone)]
struct Way {
    connector: ConnectorName,
    destination: Destination,
    flows: Arc<Flows>,
    turns: Arc<Semaphore>,
}

impl Way {
    async fn accept(&self, listener: TcpListener, gone: &CancellationToken) {
        loop {
            // Without a free turn nothing is accepted, and the connector waits in its own kernel.
            let Ok(turn) = self.turns.clone().acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: others may give some back.
                    tracing::warn!(connector = %self.connector, %error, "a relay cannot accept");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let (way, gone) = (self.clone(), gone.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = way.carry(stream) => {}
                    () = gone.cancelled() => {}
                }
                drop(turn);
            });
        }
    }

    /// One connection, to its end.
    async fn carry(&self, mut near: TcpStream) {
        let (connector, to) = (&self.connector, &self.destination);
        let now = Timestamp::now();
        let dialled = tokio::time::timeout(EGRESS_DIAL_TIMEOUT, dial(to)).await;
        let dialled = dialled.unwrap_or_else(|_| Err(DialError::Slow { destination: to.clone() }));
        let (mut far, address) = match dialled {
            Ok(dialled) => dialled,
            Err(error) => {
                tracing::warn!(%connector, %to, %error, "a connector's connection was not made");
                self.flows.note(to, |flow| {
                    flow.failures += 1;
                    flow.last = Some(now);
                    flow.trouble = error.to_string();
                });
                return;
            }
        };
        tracing::debug!(%connector, %to, %address, "a connector connects");
        self.flows.note(to, |flow| {
            flow.connections += 1;
            flow.address = Some(address);
            flow.last = Some(now);
        });
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        // However it ends, an end is all that there is to pass on.
        if let Ok((sent, received)) = tokio::io::copy_bidirectional(&mut near, &mut far).await {
            self.flows.note(to, |flow| {
                flow.sent += sent;
                flow.received += received;
            });
        }
    }
}

async fn dial(destination: &Destination) -> Result<(TcpStream, SocketAddr), DialError> {
    let addresses = match destination.address() {
        Some(address) => vec![SocketAddr::new(address, destination.port())],
        None => tokio::net::lookup_host((destination.host(), destination.port()))
            .await
            .map_err(|source| DialError::Resolve { destination: destination.clone(), source })?
            .collect(),
    };
    connect(destination, addresses).await
}

/// Connects to the first of the addresses that a destination leads to, unless one leads inward.
async fn connect(
    destination: &Destination,
    addresses: Vec<SocketAddr>,
) -> Result<(TcpStream, SocketAddr), DialError> {
    // Who writes an address, or this host's own name, means it.
    let meant = destination.address().is_some() || destination.host() == "localhost";
    if let Some(inward) = addresses.iter().find(|address| !meant && is_inward(address.ip())) {
        let (destination, address) = (destination.clone(), inward.ip());
        return Err(DialError::Inward { destination, address });
    }
    let mut failure = DialError::Nowhere { destination: destination.clone() };
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok((stream, address)),
            Err(source) => {
                let destination = destination.clone();
                failure = DialError::Connect { destination, address, source };
            }
        }
    }
    Err(failure)
}

/// This host, its link (where cloud hosts hand out credentials), or nobody in particular.
fn is_inward(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn a_name_may_not_lead_inward() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "::",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_inward(address.parse().unwrap()), "{address}");
        }
        for address in ["192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1"] {
            assert!(!is_inward(address.parse().unwrap()), "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_host_is_not_connected_and_an_address_is() {
        let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = far.local_addr().unwrap();
        let connects = async |host: &str| {
            let destination = Destination::parse(&format!("{host}:{}", here.port())).unwrap();
            connect(&destination, vec![here]).await.map(|(_, address)| address)
        };
        let refused = connects("db.example").await.unwrap_err();
        assert!(matches!(refused, DialError::Inward { .. }), "{refused}");
        assert_eq!(connects("127.0.0.1").await.unwrap(), here);
        assert_eq!(connects("localhost").await.unwrap(), here);
    }

    async fn relay(destination: &str) -> (SocketAddr, Arc<Flows>, CancellationToken) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let at = listener.local_addr().unwrap();
        let destination = Destination::parse(destination).unwrap();
        let (flows, gone) = (Arc::new(Flows::default()), CancellationToken::new());
        let name = ConnectorName::new("hr").unwrap();
        serve(&name, vec![Relay { destination, listener }], &flows, &gone);
        (at, flows, gone)
    }

    #[tokio::test]
    async fn what_is_sent_arrives_and_is_counted() {
        let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, flows, _gone) = relay(&far.local_addr().unwrap().to_string()).await;
        let mut near = TcpStream::connect(at).await.unwrap();
        near.write_all(b"ask").await.unwrap();
        let (mut there, _) = far.accept().await.unwrap();
        let mut asked = [0; 3];
        there.read_exact(&mut asked).await.unwrap();
        there.write_all(b"answer").await.unwrap();
        drop(there);
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        drop(near);
        assert_eq!((&asked, answer.as_str()), (b"ask", "answer"));
        let counted = || flows.all().values().next().cloned().unwrap_or_default();
        while counted().received == 0 {
            tokio::task::yield_now().await;
        }
        let flow = counted();
        assert_eq!((flow.connections, flow.sent, flow.received), (1, 3, 6));
    }

    #[tokio::test]
    async fn a_place_that_is_not_there_is_a_closed_connection_and_a_reason() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (at, flows, _gone) = relay(&closed.to_string()).await;
        let mut near = TcpStream::connect(at).await.unwrap();
        let mut answer = Vec::new();
        let _ = near.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
        let flow = flows.all().values().next().cloned().unwrap();
        assert_eq!(flow.failures, 1);
        assert!(flow.trouble.contains("cannot be reached"), "{}", flow.trouble);
    }

    #[tokio::test]
    async fn the_end_of_the_process_ends_its_connections() {
        let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, _flows, gone) = relay(&far.local_addr().unwrap().to_string()).await;
        let _near = TcpStream::connect(at).await.unwrap();
        let (mut there, _) = far.accept().await.unwrap();
        gone.cancel();
        let mut rest = Vec::new();
        let _ = there.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    }
}
