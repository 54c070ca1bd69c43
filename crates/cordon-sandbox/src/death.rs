//! How a connector ended, as the kernel recorded it and never guessed.

use std::{fmt, time::Duration};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

/// Why the supervisor killed a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillReason {
    /// An operator or the schedule wanted it stopped.
    Requested,
    /// A sync or call took longer than its deadline.
    Timeout,
    /// It lived and made no progress.
    Stalled,
    /// It worked, but below the rate that it was to keep.
    TooSlow,
    /// Its first process was stopped by a signal.
    Stopped,
    /// It was not ready in time after its start.
    StartTimeout,
    /// It broke the protocol.
    Protocol,
    /// It went on asking for more than its limits give.
    Limit,
    /// The supervisor itself stops.
    Shutdown,
}

impl fmt::Display for KillReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "stopped by order",
            Self::Timeout => "killed: deadline passed",
            Self::Stalled => "killed: no progress",
            Self::TooSlow => "killed: too slow",
            Self::Stopped => "killed: it was stopped by a signal",
            Self::StartTimeout => "killed: not ready in time",
            Self::Protocol => "killed: broke the protocol",
            Self::Limit => "killed: asked for more than its limits",
            Self::Shutdown => "stopped with the supervisor",
        })
    }
}

/// What a connector's first process ended by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DeathCause {
    /// It returned this code.
    Exit {
        /// The code.
        code: i32,
    },
    /// A signal that the supervisor did not send.
    Signal {
        /// The signal's number.
        signal: i32,
    },
    /// The kernel killed it for its group's memory.
    OutOfMemory {
        /// The group's limit.
        limit_bytes: Option<u64>,
    },
    /// It ran into a limit that the kernel answers with a signal.
    LimitHit {
        /// Which limit, with its value.
        limit: String,
    },
    /// The supervisor killed it.
    Killed {
        /// Why.
        reason: KillReason,
    },
}

impl fmt::Display for DeathCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit { code } => write!(f, "exited with code {code}"),
            Self::Signal { signal } => match Signal::try_from(*signal) {
                Ok(known) => write!(f, "killed by signal {signal} ({})", known.as_str()),
                Err(_) => write!(f, "killed by signal {signal}"),
            },
            Self::OutOfMemory { limit_bytes: Some(limit) } => {
                write!(f, "out of memory (limit {})", Bytes(*limit))
            }
            Self::OutOfMemory { limit_bytes: None } => f.write_str("out of memory"),
            Self::LimitHit { limit } => write!(f, "hit its limit: {limit}"),
            Self::Killed { reason } => reason.fmt(f),
        }
    }
}

/// The end of one start: cause, and what it used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// What its first process ended by.
    pub cause: DeathCause,
    /// Most memory in use at once: of the tree where it had a group, else of its largest process.
    pub memory_peak_bytes: Option<u64>,
    /// Processor time: of the tree where it had a group, else of what its first process waited for.
    pub cpu_time: Option<Duration>,
    /// Processes of the tree that the kernel killed for memory.
    pub oom_kills: u64,
    /// Times that a new task was denied.
    pub pids_denied: u64,
    /// Processes of the tree that could not be ended within the time for it.
    pub survivors: u32,
}

/// What is known of a death when its first process is collected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence {
    /// As `waitpid` gives it.
    pub(crate) wait_status: i32,
    /// The reason of the supervisor's own kill, if it ordered one while the process lived.
    pub(crate) ordered: Option<KillReason>,
    pub(crate) oom_kills: u64,
    pub(crate) memory_bytes_max: Option<u64>,
    pub(crate) file_size_bytes_max: Option<u64>,
    pub(crate) cpu_seconds_max: Option<u64>,
}

impl Evidence {
    /// The cause. An order explains only the signal that carried it out: a connector that still
    /// returned by itself is reported by what it returned.
    pub(crate) fn cause(&self) -> DeathCause {
        if libc::WIFEXITED(self.wait_status) {
            return DeathCause::Exit { code: libc::WEXITSTATUS(self.wait_status) };
        }
        let signal = libc::WTERMSIG(self.wait_status);
        match (signal, self.file_size_bytes_max, self.cpu_seconds_max) {
            (libc::SIGKILL, ..) => match self.ordered {
                Some(reason) => DeathCause::Killed { reason },
                None if self.oom_kills > 0 => {
                    DeathCause::OutOfMemory { limit_bytes: self.memory_bytes_max }
                }
                None => DeathCause::Signal { signal },
            },
            (libc::SIGXFSZ, Some(limit), _) => {
                DeathCause::LimitHit { limit: format!("file size {}", Bytes(limit)) }
            }
            (libc::SIGXCPU, _, Some(limit)) => {
                DeathCause::LimitHit { limit: format!("processor time {limit} s") }
            }
            _ => DeathCause::Signal { signal },
        }
    }
}

/// A number of bytes, in the largest binary unit that shows it exactly.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            let whole = self.0 >> shift;
            if whole > 0 && whole << shift == self.0 {
                return write!(f, "{whole} {unit}");
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIDENCE: Evidence = Evidence {
        wait_status: 0,
        ordered: None,
        oom_kills: 0,
        memory_bytes_max: Some(64 << 20),
        file_size_bytes_max: Some(1 << 20),
        cpu_seconds_max: None,
    };

    fn told(evidence: Evidence) -> String {
        evidence.cause().to_string()
    }

    #[test]
    fn a_signal_is_the_supervisors_only_when_it_ordered_it() {
        let killed = Evidence { wait_status: libc::SIGKILL, ..EVIDENCE };
        assert_eq!(told(killed), "killed by signal 9 (SIGKILL)");
        let ordered = Evidence { ordered: Some(KillReason::Stalled), oom_kills: 1, ..killed };
        assert_eq!(told(ordered), "killed: no progress");
    }

    #[test]
    fn memory_is_the_cause_only_when_the_group_counted_a_kill() {
        let killed = Evidence { wait_status: libc::SIGKILL, oom_kills: 1, ..EVIDENCE };
        assert_eq!(told(killed), "out of memory (limit 64 MiB)");
        let crashed = Evidence { wait_status: libc::SIGSEGV, oom_kills: 1, ..EVIDENCE };
        assert_eq!(told(crashed), "killed by signal 11 (SIGSEGV)");
    }

    #[test]
    fn a_connector_that_returned_by_itself_is_reported_by_its_code() {
        let code =
            Evidence { wait_status: 3 << 8, ordered: Some(KillReason::Shutdown), ..EVIDENCE };
        assert_eq!(told(code), "exited with code 3");
    }

    #[test]
    fn a_limits_signal_without_that_limit_is_only_a_signal() {
        let file = Evidence { wait_status: libc::SIGXFSZ, ..EVIDENCE };
        assert_eq!(told(file), "hit its limit: file size 1 MiB");
        let cpu = Evidence { wait_status: libc::SIGXCPU, ..EVIDENCE };
        assert_eq!(told(cpu), "killed by signal 24 (SIGXCPU)");
        let cpu = Evidence { cpu_seconds_max: Some(2), ..cpu };
        assert_eq!(told(cpu), "hit its limit: processor time 2 s");
    }
}
