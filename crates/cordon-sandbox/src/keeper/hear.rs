//! What a launcher says: lines of words, and descriptors that come with an empty one.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    net::TcpListener,
    os::fd::OwnedFd,
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use tokio::{io::Interest, net::UnixStream};

use crate::{
    egress::Relay,
    plan::{JailWord, WORD_BYTES_MAX},
    spec::Network,
};

/// All that was heard from one launcher.
#[derive(Default)]
pub(super) struct Heard {
    text: Vec<u8>,
    sockets: Vec<OwnedFd>,
}

impl Heard {
    /// Listens until the launcher's end closes.
    pub(super) async fn listen(&mut self, control: &UnixStream) -> io::Result<()> {
        loop {
            control.readable().await?;
            match control.try_io(Interest::READABLE, || self.receive(control)) {
                Ok(0) => return Ok(()),
                Ok(_) if self.text.len() as u64 > WORD_BYTES_MAX => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not end"));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn receive(&mut self, control: &UnixStream) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut buffer = [0; 16 << 10];
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let bytes = rustix::net::recvmsg(control, &mut parts, &mut ancillary, flags)?.bytes;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.sockets.extend(descriptors);
            }
        }
        self.text.extend_from_slice(&buffer[..bytes]);
        Ok(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Each line that is not empty.
    pub(super) fn words(&self) -> impl Iterator<Item = io::Result<JailWord>> {
        let lines = self.text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| Ok(serde_json::from_slice(line)?))
    }

    /// The sockets with what they stand for, in the order in which they were asked for. None when
    /// the step that makes them was not taken.
    pub(super) fn relays(&mut self, network: &Network) -> io::Result<Vec<Relay>> {
        let Network::Only(destinations) = network else { return Ok(Vec::new()) };
        let sockets = std::mem::take(&mut self.sockets);
        if sockets.is_empty() {
            return Ok(Vec::new());
        }
        if sockets.len() != destinations.len() {
            let text = format!("{} sockets for {}", sockets.len(), destinations.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let pairs = destinations.iter().cloned().zip(sockets);
        pairs
            .map(|(destination, socket)| {
                let listener = TcpListener::from(socket);
                listener.set_nonblocking(true)?;
                Ok(Relay { destination, listener })
            })
            .collect()
    }
}
