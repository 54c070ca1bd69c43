//! Leaves the connector exactly four descriptors: 0 the null device, 1 and 2 the log, 3 the
//! channel.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd},
    stdio::{dup2_stdin, dup2_stdout, stderr, stdin, stdout},
};

use super::{keep_open, ladder::Failure};
use crate::plan::CHANNEL_FD;

/// Closes what was inherited and moves what stays. Gives the control socket, which closes at exec.
/// Descriptor 1 is replaced last, so that until then a failure can be told on it.
pub(super) fn arrange() -> Result<OwnedFd, Failure> {
    close_inherited().map_err(|error| Failure::new(&error, "close_range"))?;
    let told =
        |what: &'static str| move |errno: rustix::io::Errno| Failure::new(&errno.into(), what);

    let channel = fcntl_dupfd_cloexec(stdin(), CHANNEL_FD).map_err(told("move the channel"))?;
    if channel.as_raw_fd() != CHANNEL_FD {
        let detail = format!("the channel is on descriptor {}", channel.as_raw_fd());
        return Err(Failure { errno: libc::EBUSY, detail });
    }
    let control =
        fcntl_dupfd_cloexec(stdout(), CHANNEL_FD + 1).map_err(told("move the control"))?;
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(told("open /dev/null"))?;
    dup2_stdin(&null).map_err(told("put /dev/null on 0"))?;
    fcntl_setfd(&channel, FdFlags::empty()).map_err(told("pass the channel on"))?;
    dup2_stdout(stderr()).map_err(told("put the log on 1"))?;
    keep_open(channel);
    Ok(control)
}

/// Closes every descriptor above the standard three.
fn close_inherited() -> io::Result<()> {
    close_from(CHANNEL_FD)
}

/// Closes every descriptor, for a process that only waits.
pub(super) fn close_all() -> io::Result<()> {
    close_from(0)
}

#[allow(unsafe_code)]
fn close_from(first: i32) -> io::Result<()> {
    let first = libc::c_uint::try_from(first).unwrap_or(libc::c_uint::MAX);
    // SAFETY: when the launcher begins, no object in it owns a descriptor above 2, and the runtime
    // keeps none open. A process that only waits never comes back to the objects that own the
    // others, nor drops them. It has one thread, and the call takes no pointers.
    let result = unsafe { libc::close_range(first, libc::c_uint::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
