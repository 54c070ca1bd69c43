//! Takes a descriptor over by its number.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use anyhow::Context;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
};

/// The kernel passes it from this process to itself, so that a number is never believed.
pub(crate) fn inherit(fd: RawFd) -> anyhow::Result<OwnedFd> {
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
    let into = &mut [IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(&far, into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    nix::unistd::close(fd)?;
    received.context("no descriptor came back")
}
