//! The terminal of whoever started the supervisor.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;

use super::targets::Targets;
use super::{Case, Outcome, case};

pub(super) const CASES: &[Case] =
    &[case("controlling_terminal", controlling), case("tiocsti", type_into)];

fn controlling(_: &Targets) -> Outcome {
    Outcome::of("/dev/tty", OpenOptions::new().read(true).write(true).open("/dev/tty"))
}

/// Types into the terminal what its owner's shell would then read. A line's end alone does no harm.
#[allow(unsafe_code)]
fn type_into(_: &Targets) -> Outcome {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").ok();
    let descriptors = terminal.as_ref().map(AsRawFd::as_raw_fd).into_iter().chain(0..3);
    let tried = descriptors.map(|number| {
        // SAFETY: one byte is read, which lives through the call; a number that is no terminal is
        // refused.
        let result = unsafe { libc::ioctl(number, libc::TIOCSTI, c"\n".as_ptr()) };
        let tried = if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
        Outcome::of(&format!("TIOCSTI on {number}"), tried)
    });
    Outcome::worst(tried)
}
