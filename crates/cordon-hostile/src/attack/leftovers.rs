//! Shared memory and queues that outlive a process.
//!
//! Whether ours would stay on the host when we are gone is the same question as whether we see the
//! host's: they are one set, or two.

use std::ffi::CString;
use std::io;

use super::targets::{Targets, given};
use super::{Case, Outcome, case};

pub(super) const CASES: &[Case] = &[case("sysv_shm", shared_memory), case("posix_mq", queue)];

#[allow(unsafe_code)]
fn shared_memory(targets: &Targets) -> Outcome {
    let key = match given(&targets.shm_key, "shm-key") {
        Ok(key) => *key,
        Err(outcome) => return outcome,
    };
    // SAFETY: numbers alone; nothing is made or attached.
    let found = unsafe { libc::shmget(key, 0, 0) };
    Outcome::of("the host's shared memory", told(found))
}

#[allow(unsafe_code)]
fn queue(targets: &Targets) -> Outcome {
    let name = match given(&targets.mq_name, "mq-name") {
        Ok(name) => name.as_str(),
        Err(outcome) => return outcome,
    };
    let Ok(name) = CString::new(name) else { return Outcome::skipped("the name holds NUL") };
    // SAFETY: a string that ends with NUL; what is opened ends with this process.
    let found = unsafe { libc::mq_open(name.as_ptr(), libc::O_RDONLY | libc::O_NONBLOCK) };
    Outcome::of("the host's message queue", told(found))
}

fn told(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
