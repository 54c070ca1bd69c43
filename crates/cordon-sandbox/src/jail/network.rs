//! The connector's own network: a loopback on which the places that it may connect to listen.
//!
//! The sockets are bound here, inside, and belong to this network for ever; they are accepted on by
//! the supervisor, outside, which gets their descriptors.

use std::{
    io::{self, IoSlice},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType,
};

use super::{
    ladder::{Done, Failure},
    task::Task,
};
use crate::{egress, report::ItemState, spec::Network};

/// Brings the loopback up, listens for every destination, and hands the sockets out.
pub(super) fn relays(task: &Task) -> Result<Done, Failure> {
    let Network::Only(destinations) = &task.plan.network else {
        return Ok(Done::new(ItemState::NotAsked));
    };
    let loopback = Loopback::open().map_err(|error| Failure::new(&error, "loopback"))?;
    loopback.bring_up().map_err(|error| Failure::new(&error, "bring the loopback up"))?;
    let mut sockets: Vec<OwnedFd> = Vec::new();
    let places = egress::places(destinations);
    for (index, (place, destination)) in places.iter().zip(destinations).enumerate() {
        let refused =
            |error: io::Error| Failure::new(&error, format!("listen for {destination} on {place}"));
        let known = places[..index].iter().any(|other| other.ip() == place.ip());
        if !known {
            loopback.add(place.ip(), index).map_err(refused)?;
        }
        sockets.push(TcpListener::bind(*place).map_err(refused)?.into());
    }
    send(task, &sockets).map_err(|error| Failure::new(&error, "hand the sockets out"))?;
    let shown: Vec<String> = destinations.iter().map(ToString::to_string).collect();
    Ok(Done::applied().detail(if shown.is_empty() { "none".to_owned() } else { shown.join(" ") }))
}

/// An empty line of words, with the sockets.
fn send(task: &Task, sockets: &[OwnedFd]) -> io::Result<()> {
    if sockets.is_empty() {
        return Ok(());
    }
    let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let line = [IoSlice::new(b"\n")];
    rustix::net::sendmsg(&task.control, &line, &mut ancillary, SendFlags::empty())?;
    Ok(())
}

/// Asks the kernel to change the loopback. By `ioctl`, because what it takes is a name, an address
/// and a flag, and a conversation in netlink would be longer than this file.
struct Loopback {
    v4: OwnedFd,
}

/// Of an address that is all its own network.
const V6_PREFIX: u32 = 128;

#[repr(C)]
struct V6Request {
    address: libc::in6_addr,
    prefix: u32,
    index: i32,
}

impl Loopback {
    fn open() -> io::Result<Self> {
        Ok(Self { v4: rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)? })
    }

    fn bring_up(&self) -> io::Result<()> {
        let mut request = named(b"lo");
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
        ask(&self.v4, libc::SIOCSIFFLAGS, &request)
    }

    /// Gives the loopback an address that it does not have by being up.
    fn add(&self, address: IpAddr, number: usize) -> io::Result<()> {
        match address {
            address if address.is_loopback() => Ok(()),
            IpAddr::V4(address) => self.add_v4(address, number),
            IpAddr::V6(address) => add_v6(address),
        }
    }

    fn add_v4(&self, address: Ipv4Addr, number: usize) -> io::Result<()> {
        let mut request = named(format!("lo:{number}").as_bytes());
        request.ifr_ifru.ifru_addr = socket_address(address);
        ask(&self.v4, libc::SIOCSIFADDR, &request)?;
        request.ifr_ifru.ifru_netmask = socket_address(Ipv4Addr::BROADCAST);
        ask(&self.v4, libc::SIOCSIFNETMASK, &request)
    }
}

fn add_v6(address: Ipv6Addr) -> io::Result<()> {
    let socket = rustix::net::socket(AddressFamily::INET6, SocketType::DGRAM, None)?;
    let address = libc::in6_addr { s6_addr: address.octets() };
    // The loopback is the first interface of every network.
    ask(&socket, libc::SIOCSIFADDR, &V6Request { address, prefix: V6_PREFIX, index: 1 })
}

/// A request for the interface of that name.
#[allow(unsafe_code)]
fn named(name: &[u8]) -> libc::ifreq {
    // SAFETY: plain data, for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name) {
        *to = *from as libc::c_char;
    }
    request
}

#[allow(unsafe_code)]
fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let internet = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
        sin_zero: [0; 8],
    };
    // SAFETY: both are plain data of 16 bytes, and the first is one form of the second.
    unsafe { std::mem::transmute(internet) }
}

#[allow(unsafe_code)]
fn ask<T>(socket: &OwnedFd, request: libc::Ioctl, argument: &T) -> io::Result<()> {
    // SAFETY: each of these requests reads a structure of the type that its caller passes, which
    // lives through the call, and writes nothing.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), request, std::ptr::from_ref(argument)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
