//! Whoever can be reached: the supervisor, services of this host, others.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};

use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with};

use super::targets::{Targets, given};
use super::{Case, Outcome, case};

pub(super) const CASES: &[Case] = &[
    case("control_socket", |targets| match given(&targets.control_socket, "control-socket") {
        Ok(path) => Outcome::of("connect", UnixStream::connect(path)),
        Err(outcome) => outcome,
    }),
    case("loopback_tcp", |targets| match given(&targets.listener, "listener") {
        Ok(address) => begin_tcp(*address),
        Err(outcome) => outcome,
    }),
    case("abstract_socket", abstract_socket),
    case("metadata_tcp", |targets| begin_tcp(targets.metadata)),
    case("outside_tcp", |targets| begin_tcp(targets.outside)),
    case("outside_udp", |targets| send_udp(targets.outside, b"cordon-hostile")),
    case("outside_dns", |targets| send_udp(targets.outside, &QUESTION)),
    case("raw_socket", |_| {
        Outcome::of("raw socket", open(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)))
    }),
    case("packet_socket", |_| {
        Outcome::of("packet socket", open(AddressFamily::PACKET, SocketType::RAW, None))
    }),
];

/// A question for the address of `cordon.invalid`, as a resolver sends it. The name is one that
/// never exists.
const QUESTION: [u8; 32] = *b"\0\x2a\x01\0\0\x01\0\0\0\0\0\0\x06cordon\x07invalid\0\0\x01\0\x01";

fn open(
    family: AddressFamily,
    kind: SocketType,
    protocol: Option<rustix::net::Protocol>,
) -> io::Result<std::os::fd::OwnedFd> {
    Ok(socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, protocol)?)
}

fn family(address: SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

/// Begins a connection and does not wait for an answer: once the kernel sends the first packet, it
/// was allowed.
fn begin_tcp(address: SocketAddr) -> Outcome {
    let what = format!("connect to {address}");
    let socket = match open(family(address), SocketType::STREAM, None) {
        Ok(socket) => socket,
        Err(error) => return Outcome::Denied(format!("tcp socket: {error}")),
    };
    match connect(&socket, &address) {
        Err(rustix::io::Errno::INPROGRESS) => Outcome::Allowed(format!("{what} was begun")),
        tried => Outcome::of(&what, tried.map_err(io::Error::from)),
    }
}

fn send_udp(address: SocketAddr, content: &[u8]) -> Outcome {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let tried = UdpSocket::bind(any).and_then(|socket| socket.send_to(content, address));
    Outcome::of(&format!("send to {address}"), tried)
}

fn abstract_socket(targets: &Targets) -> Outcome {
    match given(&targets.abstract_socket, "abstract-socket") {
        Ok(name) => {
            let tried = UnixAddr::from_abstract_name(name)
                .and_then(|address| UnixStream::connect_addr(&address));
            Outcome::of("connect", tried)
        }
        Err(outcome) => outcome,
    }
}
