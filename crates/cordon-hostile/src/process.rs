//! Forks, for a program that has one thread, and what became of the child.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// Between two looks at a child.
const PAUSE: Duration = Duration::from_millis(5);

/// Runs `child` in a process of its own, which ends with what that returns.
///
/// Must be called while this process has one thread; all that forks here does so before any other
/// thread is started.
#[allow(unsafe_code)]
pub(crate) fn in_child(child: impl FnOnce() -> u8) -> io::Result<Pid> {
    // SAFETY: there is one thread, see above, so no lock is held by a thread that the child lacks.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: `_exit` takes no pointers; what runs at an ordinary exit is the parent's.
            unsafe { libc::_exit(code.unwrap_or(EXIT_PANIC).into()) }
        }
    }
}

/// What a child exits with whose code panicked, as the language's own programs do.
const EXIT_PANIC: u8 = 101;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Exit(i32),
    Signal {
        signal: Signal,
        dumped_core: bool,
    },
    /// It did not end in time and was killed.
    Late,
}

/// Waits for a child's end; at the deadline it is killed.
pub(crate) fn end_of(child: Pid, deadline: Instant) -> io::Result<End> {
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(_, code) => return Ok(End::Exit(code)),
            WaitStatus::Signaled(_, signal, dumped_core) => {
                return Ok(End::Signal { signal, dumped_core });
            }
            _ if Instant::now() > deadline => {
                let _ = kill(child, Signal::SIGKILL);
                let _ = waitpid(child, None);
                return Ok(End::Late);
            }
            _ => std::thread::sleep(PAUSE),
        }
    }
}

/// Ignores every signal by which one asks a process to end.
#[allow(unsafe_code)]
pub(crate) fn ignore_requests_to_end() {
    for asked in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        // SAFETY: to ignore a signal installs no handler that could run at a bad moment.
        let _ = unsafe { signal(asked, SigHandler::SigIgn) };
    }
}
