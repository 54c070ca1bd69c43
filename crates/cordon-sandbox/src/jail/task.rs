//! What the launcher was told, and holds while it climbs.

use std::{
    cell::Cell,
    fs::File,
    io::{self, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::fd::OwnedFd,
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use crate::plan::{JailPlan, JailWord, WORD_BYTES_MAX};

/// One start, from the launcher's side.
pub(super) struct Task {
    pub(super) plan: JailPlan,
    /// Closes at exec, which tells the supervisor that there was one.
    pub(super) control: File,
    /// The program's sealed bytes; closes at exec.
    pub(super) program: OwnedFd,
    /// Whether this process has a guard, and its supervisor is not its parent.
    pub(super) guarded: Cell<bool>,
    /// Whether what it mounts is seen by itself alone.
    pub(super) own_mounts: Cell<bool>,
}

impl Task {
    /// Reads the plan from the control socket. The program comes with its first byte.
    pub(super) fn read(mut control: File) -> Result<Self, (File, io::Error)> {
        let read = |control: &mut File| {
            let program = receive_descriptor(control)?;
            let mut text = Vec::new();
            control.take(WORD_BYTES_MAX).read_to_end(&mut text)?;
            Ok((program, serde_json::from_slice(&text)?))
        };
        match read(&mut control) {
            Ok((program, plan)) => Ok(Self {
                plan,
                control,
                program,
                guarded: Cell::new(false),
                own_mounts: Cell::new(false),
            }),
            Err(error) => Err((control, error)),
        }
    }

    /// Tells the supervisor one thing.
    pub(super) fn say(&self, word: &JailWord) -> io::Result<()> {
        say(&mut &self.control, word)
    }
}

/// One word a line.
pub(super) fn say(control: &mut impl Write, word: &JailWord) -> io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    control.write_all(&line)?;
    control.flush()
}

fn receive_descriptor(control: &File) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::net::recvmsg(control, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags)?;
    let received = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    received.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no program was sent"))
}
