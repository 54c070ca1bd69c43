//! Why a start or a sync came to its end, in one word, and what the word means for the next try.
//!
//! A death, a broken contract, an error of the source and an order all end in one closed list, so
//! that evidence, runs, status, logs and the restart policy speak of the same thing by the same
//! word. The words are stable: alerts match on them. Pure.
//!
//! Absent: what exactly happened. That is the error's own text, which follows the word.

use cordon_sandbox::{Death, DeathCause, KillReason, SpawnError};
use cordon_wire::v1;

use crate::process::StartError;
use crate::session::{SessionError, Violation};

/// The exit code by which a program says that its configuration is wrong, as sysexits.h has it.
const EXIT_CONFIG: i32 = 78;

/// What a reason says about the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The connector failed: later and later, until the breaker opens.
    Crash,
    /// It needs more memory than it has: a few tries, then a person.
    Memory,
    /// Nothing changes until the configuration does.
    Config,
    /// The source refused the credentials: slowly, for each try may lock an account.
    Credentials,
    /// Not the connector's doing: later and later, and no breaker.
    Elsewhere,
    /// Somebody ordered it: no failure.
    Order,
}

/// The table: a reason, its word, and its class.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $word:literal $class:ident;)*) => {
        /// Why a start or a sync came to its end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// The reason in one word.
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// What it says about the next try.
            pub(crate) fn class(self) -> Class {
                match self {
                    $(Self::$name => Class::$class,)*
                }
            }

            fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    /// The kernel killed it for its memory.
    Oom "oom" Memory;
    /// A signal that nobody here sent.
    Signal "signal" Crash;
    /// It returned.
    Exit "exit" Crash;
    /// It was not ready in time.
    StartTimeout "start_timeout" Crash;
    /// It could not be started.
    Spawn "spawn" Crash;
    /// It lived and did not get further.
    Stalled "stalled" Crash;
    /// It was stopped by a signal.
    Stopped "stopped" Crash;
    /// It got further, below its least rate.
    TooSlow "too_slow" Crash;
    /// The sync was not finished in time.
    Deadline "deadline" Crash;
    /// It broke the contract.
    Protocol "protocol" Crash;
    /// It ran into a limit: of the kernel, or of the records of a sync.
    Limit "limit" Crash;
    /// It says that it failed, and not why.
    Bug "bug" Crash;
    /// The supervisor's own task for it panicked.
    Panicked "panicked" Crash;
    /// The source refused the credentials, or there are none.
    Auth "auth" Credentials;
    /// The configuration is wrong.
    Config "config" Config;
    /// The source limits the rate.
    RateLimited "rate_limited" Elsewhere;
    /// The source is not available.
    Unavailable "unavailable" Elsewhere;
    /// The source could not be read whole.
    Incomplete "incomplete" Elsewhere;
    /// What came was invalid.
    Rejected "rejected" Elsewhere;
    /// A secret of its configuration has no value.
    Secret "secret" Elsewhere;
    /// This host could not stage it or write it down.
    Host "host" Elsewhere;
    /// An operator, or the schedule, ended it.
    Requested "requested" Order;
    /// The supervisor ends.
    Shutdown "shutdown" Order;
}

impl Reason {
    /// The text of a run: the word, then what happened.
    pub(crate) fn tell(self, happened: &str) -> String {
        format!("{}: {happened}", self.as_str())
    }

    /// The reason that a run's text begins with; none of a run that an older version wrote.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        Self::parse(text.split_once(':')?.0)
    }

    /// The reason of an error that the source gave.
    pub(crate) fn of_kind(kind: v1::ErrorKind) -> Self {
        match kind {
            v1::ErrorKind::Auth => Self::Auth,
            v1::ErrorKind::BadConfig => Self::Config,
            v1::ErrorKind::RateLimited => Self::RateLimited,
            v1::ErrorKind::Unavailable => Self::Unavailable,
            v1::ErrorKind::Incomplete => Self::Incomplete,
            v1::ErrorKind::Bug | v1::ErrorKind::Unspecified => Self::Bug,
        }
    }
}

impl From<&DeathCause> for Reason {
    fn from(cause: &DeathCause) -> Self {
        match cause {
            DeathCause::Exit { code: EXIT_CONFIG } => Self::Config,
            DeathCause::Exit { .. } => Self::Exit,
            DeathCause::Signal { .. } => Self::Signal,
            DeathCause::OutOfMemory { .. } => Self::Oom,
            DeathCause::LimitHit { .. } => Self::Limit,
            DeathCause::Killed { reason } => match reason {
                KillReason::Requested => Self::Requested,
                KillReason::Timeout => Self::Deadline,
                KillReason::Stalled => Self::Stalled,
                KillReason::TooSlow => Self::TooSlow,
                KillReason::Stopped => Self::Stopped,
                KillReason::StartTimeout => Self::StartTimeout,
                KillReason::Protocol => Self::Protocol,
                KillReason::Limit => Self::Limit,
                KillReason::Shutdown => Self::Shutdown,
            },
        }
    }
}

impl From<&Violation> for Reason {
    fn from(violation: &Violation) -> Self {
        if violation.is_of_budget() { Self::Limit } else { Self::Protocol }
    }
}

impl From<&StartError> for Reason {
    fn from(error: &StartError) -> Self {
        match error {
            StartError::Secret(_) => Self::Secret,
            StartError::Descriptors(_) => Self::Host,
            StartError::User(_) | StartError::Version { .. } | StartError::Literal(_) => {
                Self::Config
            }
            StartError::Spawn {
                source: SpawnError::Pin { .. } | SpawnError::Spec { .. }, ..
            } => Self::Config,
            StartError::Spawn { .. } => Self::Spawn,
            StartError::Timeout { .. } => Self::StartTimeout,
            StartError::Died(death) => (&death.cause).into(),
            StartError::Refused { error, .. } => Self::of_kind(error.kind()),
            StartError::Broken { .. } | StartError::Schema(_) => Self::Protocol,
        }
    }
}

impl From<&SessionError> for Reason {
    fn from(error: &SessionError) -> Self {
        match error {
            SessionError::Protocol(violation) => violation.into(),
            SessionError::Source(error) => Self::of_kind(error.kind()),
            SessionError::Died(death) => (&death.cause).into(),
            SessionError::Late { late, .. } => late.reason(),
            SessionError::Bomb(_) => Self::Limit,
            SessionError::Unresponsive(_) => Self::Stalled,
            SessionError::Cancelled => Self::Requested,
            SessionError::Stage(_) | SessionError::StagingLost => Self::Host,
        }
    }
}

/// A death in words: its cause and, where memory was the cause, what would have been enough to ask
/// for.
pub(crate) fn death_in_words(death: &Death) -> String {
    let mut words = death.cause.to_string();
    if let DeathCause::OutOfMemory { limit_bytes: Some(limit) } = death.cause {
        let peak = death.memory_peak_bytes.unwrap_or(limit);
        words.push_str(&format!(
            "; it used {} MiB at its peak; give it more: limits.memory = \"{}MiB\"",
            peak >> 20,
            suggested_mib(limit, peak)
        ));
    }
    words
}

/// Half as much again as it had, or used, in steps of 64 MiB: what it would have needed cannot be
/// measured, for it was killed before.
fn suggested_mib(limit: u64, peak: u64) -> u64 {
    const STEP: u64 = 64 << 20;
    let more = limit.max(peak).saturating_add(limit.max(peak) / 2);
    (more.div_ceil(STEP).saturating_mul(STEP)) >> 20
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::liveness::Late;

    fn death(cause: DeathCause) -> Death {
        Death {
            cause,
            memory_peak_bytes: Some(96 << 20),
            cpu_time: None,
            oom_kills: 0,
            pids_denied: 0,
            survivors: 0,
        }
    }

    fn of_death(cause: DeathCause) -> &'static str {
        Reason::from(&SessionError::Died(death(cause))).as_str()
    }

    fn of_source(kind: v1::ErrorKind) -> &'static str {
        let error = v1::Error { kind: kind.into(), ..Default::default() };
        Reason::from(&SessionError::Source(Box::new(error))).as_str()
    }

    #[test]
    fn a_word_is_snake_case_and_read_back_from_a_runs_text() {
        for reason in Reason::ALL {
            let word = reason.as_str();
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{word}");
            assert_eq!(Reason::of_text(&reason.tell("it: happened")), Some(*reason));
        }
        assert_eq!(Reason::of_text("the connector died: out of memory"), None);
        assert_eq!(Reason::of_text(""), None);
    }

    #[test]
    fn a_death_has_the_reason_that_the_kernel_or_the_order_gave() {
        let killed = |reason| of_death(DeathCause::Killed { reason });
        assert_eq!(of_death(DeathCause::OutOfMemory { limit_bytes: None }), "oom");
        assert_eq!(of_death(DeathCause::Signal { signal: 11 }), "signal");
        assert_eq!(of_death(DeathCause::Exit { code: 0 }), "exit");
        assert_eq!(of_death(DeathCause::Exit { code: 78 }), "config");
        assert_eq!(of_death(DeathCause::LimitHit { limit: String::new() }), "limit");
        assert_eq!(killed(KillReason::Stopped), "stopped");
        assert_eq!(killed(KillReason::Stalled), "stalled");
        assert_eq!(killed(KillReason::TooSlow), "too_slow");
        assert_eq!(killed(KillReason::Timeout), "deadline");
        assert_eq!(killed(KillReason::StartTimeout), "start_timeout");
        assert_eq!(killed(KillReason::Requested), "requested");
        assert_eq!(killed(KillReason::Shutdown), "shutdown");
    }

    #[test]
    fn what_the_source_says_is_not_taken_for_a_crash() {
        assert_eq!(of_source(v1::ErrorKind::Auth), "auth");
        assert_eq!(of_source(v1::ErrorKind::BadConfig), "config");
        assert_eq!(of_source(v1::ErrorKind::RateLimited), "rate_limited");
        assert_eq!(of_source(v1::ErrorKind::Unavailable), "unavailable");
        assert_eq!(of_source(v1::ErrorKind::Incomplete), "incomplete");
        assert_eq!(of_source(v1::ErrorKind::Bug), "bug");
        for kind in [v1::ErrorKind::Unavailable, v1::ErrorKind::RateLimited] {
            assert_eq!(Reason::of_kind(kind).class(), Class::Elsewhere);
        }
    }

    #[test]
    fn a_connector_that_is_late_has_the_reason_of_what_it_missed() {
        let of = |late: Late| Reason::from(&SessionError::Late { late, extended: None }).as_str();
        assert_eq!(of(Late::Stalled(Duration::ZERO)), "stalled");
        assert_eq!(of(Late::Deadline(Duration::ZERO)), "deadline");
        let rate = crate::liveness::Rate { units: 1, per: Duration::from_secs(60) };
        assert_eq!(of(Late::TooSlow { units: 0, rate }), "too_slow");
    }

    #[test]
    fn a_memory_death_says_what_it_used_and_what_to_ask_for() {
        let hog = death(DeathCause::OutOfMemory { limit_bytes: Some(96 << 20) });
        assert_eq!(
            death_in_words(&hog),
            "out of memory (limit 96 MiB); it used 96 MiB at its peak; give it more: \
             limits.memory = \"192MiB\""
        );
        assert_eq!(suggested_mib(512 << 20, 0), 768);
        assert_eq!(death_in_words(&death(DeathCause::Exit { code: 3 })), "exited with code 3");
    }
}
