//! Bounds that hold where nothing else does.
//!
//! Every process of a behaviour lights a fuse of its own, because a fork does not inherit it. When
//! the test that started all this is gone, the kernel ends each process at its time.

use std::time::Duration;

use nix::unistd::alarm;

/// Longer than this nothing here lives, whatever it was asked.
pub(crate) const SECONDS_MAX: u32 = 600;

/// The kernel kills this process after so many seconds. Not even one that ignores SIGTERM asks for
/// more: the signal is SIGALRM, which nothing here handles.
pub(crate) fn light(seconds: u32) {
    alarm::set(seconds.clamp(1, SECONDS_MAX));
}

/// What was to be done is done, and the process goes on.
pub(crate) fn put_out() {
    alarm::cancel();
}

/// Stays, doing nothing, until the fuse or somebody else ends the process.
pub(crate) fn stay() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(SECONDS_MAX.into()));
    }
}
