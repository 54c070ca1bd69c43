//! A jail whose every system call of one kind fails, brought about from outside.

use std::process::Command;

use crate::disk::Tracer;
use crate::{Host, programs};

/// Calls by which a jail restricts itself, and the last one, by which it becomes the connector.
#[cfg(target_arch = "x86_64")]
pub const CALLS: [(&str, i64); 13] = {
    use nix::libc;
    [
        ("setsid", libc::SYS_setsid),
        ("close_range", libc::SYS_close_range),
        ("prlimit64", libc::SYS_prlimit64),
        ("prctl", libc::SYS_prctl),
        ("capset", libc::SYS_capset),
        ("setgroups", libc::SYS_setgroups),
        ("setresgid", libc::SYS_setresgid),
        ("setresuid", libc::SYS_setresuid),
        ("chdir", libc::SYS_chdir),
        ("unshare", libc::SYS_unshare),
        ("landlock_restrict_self", libc::SYS_landlock_restrict_self),
        ("seccomp", libc::SYS_seccomp),
        ("execveat", libc::SYS_execveat),
    ]
};
/// None is known on other processors.
#[cfg(not(target_arch = "x86_64"))]
pub const CALLS: [(&str, i64); 0] = [];

/// A service whose jails fail. Dropped, they do not fail any more.
#[derive(Debug)]
pub struct FailingJails(Tracer);

/// What happened in the jails that were started meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JailsSeen {
    /// Calls that were made to fail.
    pub failed: usize,
    /// Jails that went on to become a program.
    pub became: usize,
}

impl Host {
    /// Lets one of [`CALLS`] fail with that error number in every jail that the service starts from
    /// now on. None where this test may not watch processes.
    ///
    /// # Panics
    /// When attaching takes too long.
    #[track_caller]
    pub fn fail_jails(&self, call: i64, errno: i32) -> Option<FailingJails> {
        let numbers = [i64::from(self.pid()), call, errno.into()].map(|number| number.to_string());
        let mut command = Command::new(programs::path("jail-faults"));
        Tracer::attach(command.args(numbers)).map(FailingJails)
    }
}

impl FailingJails {
    /// Lets jails be, and tells what was seen.
    pub fn end(self) -> JailsSeen {
        let lines = self.0.end();
        let count = |word: &str| lines.iter().filter(|line| *line == word).count();
        JailsSeen { failed: count("failed"), became: count("exec") }
    }
}
