//! Processor, descriptors, and a process that does not answer.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, raise};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::{Pid, getppid};

use super::{Bounds, Reached};
use crate::fuse;
use crate::process::{ignore_requests_to_end, in_child};

/// Where a connector finds its channel.
pub(super) const CHANNEL: RawFd = 3;
/// Descriptors that the kernel takes with one message.
const DESCRIPTORS_A_MESSAGE: usize = 250;

pub(super) fn spin(bounds: &Bounds) -> Reached {
    let deadline = bounds.deadline();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads: Vec<_> = (0..processors * 2)
        .map(|_| {
            std::thread::Builder::new().spawn(move || {
                while Instant::now() < deadline {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    let amount = threads.iter().flatten().count() as u64;
    for thread in threads.into_iter().flatten() {
        let _ = thread.join();
    }
    Reached { what: "threads", amount, stopped_by: "its bound".to_owned() }
}

pub(super) fn exhaust_descriptors(bounds: &Bounds) -> io::Result<Reached> {
    let most = bounds.count(1_000_000, 1_000_000);
    let first = io::stdin();
    let mut open = Vec::new();
    let mut stopped_by = "its bound".to_owned();
    while (open.len() as u64) < most {
        match rustix::io::dup(&first) {
            Ok(descriptor) => open.push(descriptor),
            Err(error) => {
                stopped_by = error.to_string();
                break;
            }
        }
    }
    Ok(Reached { what: "descriptors", amount: open.len() as u64, stopped_by })
}

/// A stopped process is not ended by its fuse, so a child ends it.
pub(super) fn watch_from_outside(seconds: u32) -> io::Result<()> {
    let parent = Pid::this();
    let seconds = seconds.min(fuse::SECONDS_MAX);
    in_child(move || {
        fuse::light(seconds + 5);
        std::thread::sleep(Duration::from_secs(seconds.into()));
        // As long as it is our parent, its number is its own.
        if getppid() == parent {
            let _ = kill(parent, Signal::SIGKILL);
        }
        0
    })?;
    Ok(())
}

/// Stops this process.
pub(crate) fn stop_self() {
    let _ = raise(Signal::SIGSTOP);
}

/// From now on nothing but SIGKILL ends this process.
pub(crate) fn ignore_requests() {
    ignore_requests_to_end();
}

/// Sends so many descriptors over a socket, for whoever reads there to keep by mistake.
pub(super) fn pass_descriptors(socket: RawFd, bounds: &Bounds) -> Reached {
    let most = bounds.count(1_000, 10_000);
    let mut amount = 0;
    let mut stopped_by = "its bound".to_owned();
    let Ok(file) = File::open("/dev/null").or_else(|_| File::open(".")) else {
        return Reached { what: "passed", amount, stopped_by: "nothing to pass".to_owned() };
    };
    while amount < most {
        let descriptors = [file.as_raw_fd(); DESCRIPTORS_A_MESSAGE];
        // The byte that goes with them: a descriptor does not travel alone.
        let sent = sendmsg::<()>(
            socket,
            &[IoSlice::new(&[0])],
            &[ControlMessage::ScmRights(&descriptors)],
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            None,
        );
        match sent {
            Ok(_) => amount += DESCRIPTORS_A_MESSAGE as u64,
            Err(errno) => {
                stopped_by = errno.to_string();
                break;
            }
        }
    }
    Reached { what: "passed", amount, stopped_by }
}
