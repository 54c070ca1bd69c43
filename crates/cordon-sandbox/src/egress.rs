//! The way out of a network in which there is nothing.
//!
//! A connector with a network of its own finds each place that it may connect to as a listening
//! socket on its loopback, bound by the launcher before the connector exists: an address as itself,
//! a name as an address of its own that `/etc/hosts` gives. So any program in any language connects
//! as it always does, and the supervisor, which got the sockets, decides, resolves and dials.
//!
//! Left out: dialling and counting, which are the supervisor's; UDP, of which nothing gets out.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Bytes of a host name, at most (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// A place that a connector may connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Destination {
    host: String,
    port: u16,
}

/// Why a text is no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not host:port, such as db.example:5432, 192.0.2.1:443 or [2001:db8::1]:636")]
pub struct DestinationError {
    text: String,
}

impl Destination {
    /// Reads `host:port`.
    ///
    /// # Errors
    /// When the host is neither an address nor a host name, or the port is not 1 to 65535.
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        let refused = || DestinationError { text: text.chars().take(HOST_BYTES_MAX).collect() };
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        let port = u16::from_str(port).ok().filter(|port| *port > 0).ok_or_else(refused)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(inner) => {
                let address: IpAddr = inner.parse().map_err(|_| refused())?;
                address.to_string()
            }
            None if host.parse::<Ipv4Addr>().is_ok() || is_name(host) => host.to_ascii_lowercase(),
            None => return Err(refused()),
        };
        Ok(Self { host, port })
    }

    /// The host: a name in lower case, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host as an address, when it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Letters, digits, hyphens and dots, and not all digits: that would be a mistyped address.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let plain = host.len() <= HOST_BYTES_MAX && host.split('.').all(label);
    plain && host.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Where each destination listens in the connector's network. Equal hosts share an address.
pub(crate) fn places(destinations: &[Destination]) -> Vec<SocketAddr> {
    let mut names: Vec<&str> = Vec::new();
    let mut places = Vec::new();
    for destination in destinations {
        let address = match destination.address() {
            Some(address) => address,
            None if destination.host == "localhost" => Ipv4Addr::LOCALHOST.into(),
            None => {
                let known = names.iter().position(|name| *name == destination.host);
                let index = known.unwrap_or_else(|| {
                    names.push(&destination.host);
                    names.len() - 1
                });
                // All of 127.0.0.0/8 is there as soon as the loopback is up.
                let last = u8::try_from(index + 1).unwrap_or(u8::MAX);
                Ipv4Addr::new(127, 77, 0, last).into()
            }
        };
        places.push(SocketAddr::new(address, destination.port));
    }
    places
}

/// The lines of the connector's `/etc/hosts`.
pub(crate) fn hosts(destinations: &[Destination]) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
    for (destination, place) in destinations.iter().zip(places(destinations)) {
        let line = format!("{} {}\n", place.ip(), destination.host);
        let named = destination.address().is_none() && destination.host != "localhost";
        if named && !text.contains(&line) {
            text.push_str(&line);
        }
    }
    text
}

/// One destination and the socket on which the connector asks for it.
#[derive(Debug)]
pub struct Relay {
    /// Where a connection has to lead.
    pub destination: Destination,
    /// Listens in the connector's network; non-blocking.
    pub listener: TcpListener,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Destination::parse(text).map_or_else(|error| error.to_string(), |it| it.to_string())
    }

    #[test]
    fn a_destination_is_a_name_or_an_address_with_a_port() {
        assert_eq!(shown("DC1.corp.example:636"), "dc1.corp.example:636");
        assert_eq!(shown("192.0.2.1:443"), "192.0.2.1:443");
        assert_eq!(shown("[2001:DB8::1]:636"), "[2001:db8::1]:636");
        for wrong in [
            "",
            "db",
            "db:",
            ":1",
            "db:0",
            "db:65536",
            "db:-1",
            "a b:1",
            "300.1.1.1:1",
            "1.2:3",
            "-a:1",
            "a-:1",
            "a..b:1",
            "::1:2",
            "[db]:1",
            "http://db:1",
            "a_b:1",
            "db:1\n",
        ] {
            assert!(Destination::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn each_name_has_one_address_and_an_address_is_itself() {
        let texts = [
            "a.example:1",
            "b.example:1",
            "a.example:2",
            "192.0.2.1:443",
            "[::1]:5",
            "localhost:6",
        ];
        let all: Vec<Destination> =
            texts.iter().map(|text| Destination::parse(text).unwrap()).collect();
        let found: Vec<String> = places(&all).iter().map(ToString::to_string).collect();
        let expected = [
            "127.77.0.1:1",
            "127.77.0.2:1",
            "127.77.0.1:2",
            "192.0.2.1:443",
            "[::1]:5",
            "127.0.0.1:6",
        ];
        assert_eq!(found, expected);
        let lines =
            "127.0.0.1 localhost\n::1 localhost\n127.77.0.1 a.example\n127.77.0.2 b.example\n";
        assert_eq!(hosts(&all), lines);
    }
}
