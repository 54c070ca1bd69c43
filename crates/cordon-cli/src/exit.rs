//! The exit codes, all of them: scripts and monitoring build on these numbers.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

/// What Ctrl-C sends.
const SIGINT: i32 = 2;

/// How `cordon` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was done.
    Done = 0,
    /// It was tried and failed.
    Failed = 1,
    /// The command line or the configuration is wrong; nothing was tried.
    Usage = 2,
    /// It was done, and the answer needs attention. Only with `--exit-code`.
    Attention = 3,
    /// What was named does not exist.
    NotFound = 4,
    /// The caller may not do this, or a second person is needed.
    NotAllowed = 5,
    /// What was looked at has changed since.
    Changed = 6,
    /// `cordond` does not answer.
    Unreachable = 7,
    /// The wait ended before what was waited for.
    TimedOut = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    const ALL: [Self; 10] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Attention,
        Self::NotFound,
        Self::NotAllowed,
        Self::Changed,
        Self::Unreachable,
        Self::TimedOut,
        Self::Interrupted,
    ];

    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// The exit that a problem of the daemon asks for. A problem is never a success, and a number
    /// without a meaning here is a plain failure.
    pub(crate) fn of_problem(code: u32) -> Self {
        Self::of_code(code).filter(|exit| *exit != Self::Done).unwrap_or(Self::Failed)
    }

    /// The exit of a program that was run in our place.
    pub(crate) fn of_child(status: ExitStatus) -> Self {
        if status.signal() == Some(SIGINT) {
            return Self::Interrupted;
        }
        let code = status.code().and_then(|code| u32::try_from(code).ok());
        code.and_then(Self::of_code).unwrap_or(Self::Failed)
    }

    fn of_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| u32::from(exit.code()) == code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_exits_with_its_own_code() {
        for code in [1, 2, 3, 4, 5, 6, 7, 8, 130] {
            assert_eq!(u32::from(Exit::of_problem(code).code()), code);
        }
    }

    #[test]
    fn a_problem_without_a_known_code_is_a_failure_and_never_a_success() {
        for code in [0, 9, 77, 131, 256, u32::MAX] {
            assert_eq!(Exit::of_problem(code), Exit::Failed, "{code}");
        }
    }

    #[test]
    fn a_program_run_in_our_place_decides_the_exit() {
        let of = |raw| Exit::of_child(ExitStatus::from_raw(raw));
        assert_eq!(of(0), Exit::Done);
        assert_eq!(of(2 << 8), Exit::Usage);
        assert_eq!(of(99 << 8), Exit::Failed);
        assert_eq!(of(9), Exit::Failed);
        assert_eq!(of(SIGINT), Exit::Interrupted);
    }
}
