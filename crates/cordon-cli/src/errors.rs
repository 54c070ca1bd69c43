//! Why a command failed: told to people in three parts, to scripts as a problem object.
//!
//! What happened, what still holds, what to do. The daemon writes most of these itself; here is
//! what only the command can know: that the daemon is not there, that the command line is wrong,
//! that the wait ran out.

use std::io;
use std::path::PathBuf;

use serde::Serialize;
use tonic::{Code, Status};

use cordon_wire::v1;

use crate::exit::Exit;
use crate::output::page::{Page, Tone};

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The daemon refused, or tried and failed.
    #[error("{}", .0.message)]
    Problem(Box<v1::Problem>),
    /// The daemon failed without saying why in its own terms.
    #[error("cordond answered {:?}: {}", .0.code(), .0.message())]
    Foreign(Box<Status>),
    /// Nobody serves the socket, or we may not use it.
    #[error("cannot reach cordond at {}: {source}", socket.display())]
    Unreachable { socket: PathBuf, source: io::Error },
    /// The daemon has the socket but says nothing.
    #[error("cordond does not answer: nothing within {seconds} s")]
    Silent { seconds: u64 },
    /// The connection broke before the answer was whole.
    #[error("cordond ended the connection before its answer was whole")]
    CutShort,
    /// The command line is wrong.
    #[error("{message}")]
    Usage { message: String, hint: String },
    /// What was waited for did not come in time.
    #[error("timed out after {waited} waiting for {condition} of `{connector}`: {blocking}")]
    TimedOut { connector: String, condition: String, waited: String, blocking: String },
    /// What was waited for ended, and not well.
    #[error("sync {sync} of `{connector}` was {outcome}{}", because(.reason))]
    SyncEnded { connector: String, sync: u64, outcome: String, reason: String },
    /// The person at the terminal did not confirm.
    #[error("not confirmed: the connector is called `{expected}`")]
    NotConfirmed { expected: String },
    /// What was asked about is not there, by the daemon's own answer.
    #[error("{message}")]
    NotFound { message: String, hint: String },
    /// The program that does the work could not be started.
    #[error("cannot run {}: {source}", program.display())]
    Program { program: PathBuf, source: io::Error },
    /// A file of the author's could not be made or written.
    #[error("cannot {what} {}: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    /// The result could not be written.
    #[error("cannot write the result: {0}")]
    Write(io::Error),
    /// The command could not begin.
    #[error("cannot start: {0}")]
    Start(io::Error),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

/// A failure in the words of the error contract.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    code: String,
    still: String,
    hint: String,
    exit: Exit,
}

/// RFC 9457, with the members that `cordon` adds.
#[derive(Serialize)]
struct ProblemObject<'a> {
    r#type: String,
    title: &'a str,
    code: &'a str,
    message: &'a str,
    still: &'a str,
    hint: &'a str,
    exit_code: u8,
}

impl Failure {
    /// How the command ends.
    pub(crate) fn exit(&self) -> Exit {
        self.told().exit
    }

    /// The reader of our output has gone, as in `cordon runs hr | head -1`.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Write(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The failure for a person.
    pub(crate) fn page(&self) -> Page {
        let told = self.told();
        let mut page = Page::new();
        if matches!(self, Self::Interrupted) {
            page.line("interrupted; what was ordered goes on in cordond");
            return page;
        }
        part(&mut page, Tone::Bad, "error: ", &self.to_string());
        part(&mut page, Tone::Strong, "  still: ", &told.still);
        part(&mut page, Tone::Strong, "  hint: ", &told.hint);
        page
    }

    /// The failure for a script: one line of JSON.
    pub(crate) fn json(&self) -> String {
        let told = self.told();
        let message = self.to_string();
        let object = ProblemObject {
            r#type: format!("urn:cordon:problem:{}", told.code),
            title: message.lines().next().unwrap_or_default(),
            code: &told.code,
            message: &message,
            still: &told.still,
            hint: &told.hint,
            exit_code: told.exit.code(),
        };
        // Strings and a number: nothing here can fail to serialize.
        serde_json::to_string(&object).unwrap_or_default()
    }

    fn told(&self) -> Told {
        match self {
            Self::Problem(problem) => Told {
                code: if problem.code.is_empty() { "failed".into() } else { problem.code.clone() },
                still: problem.still.clone(),
                hint: problem.hint.clone(),
                exit: Exit::of_problem(problem.exit_code),
            },
            Self::Foreign(status) => foreign(status),
            Self::Unreachable { source, .. } => unreachable(source.kind()),
            Self::Silent { .. } => told(
                "daemon-silent",
                "what was ordered may still be done; nothing is published without its verdict",
                "look with `systemctl status cordond` and its log, then ask again",
                Exit::Unreachable,
            ),
            Self::CutShort => told(
                "connection-lost",
                "the last known good of every connector stays as it was",
                "cordond may have been stopped: look with `cordon status`, then ask again",
                Exit::Unreachable,
            ),
            Self::Usage { hint, .. } => told("usage", "nothing was done", hint, Exit::Usage),
            Self::TimedOut { connector, .. } => told(
                "timed-out",
                "cordond goes on; only the wait ended",
                &format!("look with `cordon describe {connector}`, or wait longer with --timeout"),
                Exit::TimedOut,
            ),
            Self::SyncEnded { connector, sync, .. } => told(
                "sync-ended",
                "the last known good stays as it was; nothing of this sync was delivered",
                &format!(
                    "look with `cordon logs {connector}` and `cordon runs {connector}` (sync {sync})"
                ),
                Exit::Failed,
            ),
            Self::NotConfirmed { .. } => told(
                "not-confirmed",
                "nothing was released",
                "type the connector's name as shown, or give --yes",
                Exit::Failed,
            ),
            Self::NotFound { hint, .. } => told("not-found", "", hint, Exit::NotFound),
            Self::Program { .. } => told(
                "program-missing",
                "nothing was checked, the running configuration is untouched",
                "cordond is looked for beside cordon, then on PATH: install it there",
                Exit::Failed,
            ),
            Self::File { source, .. } => told(
                "file",
                "nothing that was there is changed",
                match source.kind() {
                    io::ErrorKind::AlreadyExists => "take another name, or move what is there",
                    _ => "",
                },
                Exit::Failed,
            ),
            Self::Write(_) => told(
                "write",
                "what was ordered is done; only its report was lost",
                "look with `cordon status`",
                Exit::Failed,
            ),
            Self::Start(_) => told("start", "nothing was done", "", Exit::Failed),
            Self::Interrupted => {
                told("interrupted", "what was ordered goes on in cordond", "", Exit::Interrupted)
            }
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        if let Some(problem) = cordon_wire::error::problem_from_status(&status) {
            return Self::Problem(Box::new(problem));
        }
        // A status with a cause was made on this side: the channel broke, whatever its code says.
        let lost = matches!(status.code(), Code::Unavailable | Code::Cancelled)
            || std::error::Error::source(&status).is_some();
        if lost { Self::CutShort } else { Self::Foreign(Box::new(status)) }
    }
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

fn told(code: &str, still: &str, hint: &str, exit: Exit) -> Told {
    Told { code: code.into(), still: still.into(), hint: hint.into(), exit }
}

fn foreign(status: &Status) -> Told {
    let exit = match status.code() {
        Code::NotFound => Exit::NotFound,
        Code::InvalidArgument | Code::OutOfRange => Exit::Usage,
        Code::PermissionDenied | Code::Unauthenticated => Exit::NotAllowed,
        Code::Aborted => Exit::Changed,
        Code::DeadlineExceeded => Exit::TimedOut,
        _ => Exit::Failed,
    };
    let hint = match status.code() {
        Code::Unimplemented => {
            "this cordond is older than the command: compare with `cordon version`"
        }
        _ => "the log of cordond says more",
    };
    told("daemon-error", "the last known good of every connector stays as it was", hint, exit)
}

fn unreachable(kind: io::ErrorKind) -> Told {
    let (code, still, hint) = match kind {
        io::ErrorKind::PermissionDenied => (
            "daemon-not-allowed",
            "cordond may well be running; you may not use its control socket",
            "join the group that owns the socket (see it with `ls -l`), or run as root",
        ),
        io::ErrorKind::NotFound => (
            "daemon-unreachable",
            "published snapshots and what sinks received stay as they are",
            "is cordond running? See `systemctl status cordond`, or name its socket with --socket or \
             CORDON_SOCKET",
        ),
        io::ErrorKind::ConnectionRefused => (
            "daemon-unreachable",
            "published snapshots and what sinks received stay as they are",
            "the socket is left over and nobody serves it: start cordond (`systemctl start cordond`)",
        ),
        _ => (
            "daemon-unreachable",
            "published snapshots and what sinks received stay as they are",
            "is this the socket of cordond? Name another with --socket or CORDON_SOCKET",
        ),
    };
    told(code, still, hint, Exit::Unreachable)
}

/// One part of an error. Further lines are set in, so that no text can pose as a part of its own.
fn part(page: &mut Page, tone: Tone, head: &str, text: &str) {
    let mut lines = text.lines();
    let Some(first) = lines.next() else {
        return;
    };
    page.styled(tone, head).push(first).end();
    for line in lines {
        page.push("    ").push(line).end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(message: &str, exit_code: u32) -> Failure {
        Failure::Problem(Box::new(v1::Problem {
            code: "unknown-connector".into(),
            message: message.into(),
            still: "nothing was changed".into(),
            hint: "did you mean `hr-csv`?".into(),
            exit_code,
        }))
    }

    #[test]
    fn a_person_reads_what_happened_what_holds_and_what_to_do() {
        insta::assert_snapshot!(problem("no connector `hr-cvs`", 4).page().plain(), @r"
        error: no connector `hr-cvs`
          still: nothing was changed
          hint: did you mean `hr-csv`?
        ");
    }

    #[test]
    fn a_script_reads_a_problem_object() {
        insta::assert_snapshot!(problem("no connector `hr-cvs`", 4).json(), @r#"{"type":"urn:cordon:problem:unknown-connector","title":"no connector `hr-cvs`","code":"unknown-connector","message":"no connector `hr-cvs`","still":"nothing was changed","hint":"did you mean `hr-csv`?","exit_code":4}"#);
    }

    #[test]
    fn the_daemons_problem_decides_the_exit_code() {
        assert_eq!(problem("x", 6).exit(), Exit::Changed);
        assert_eq!(problem("x", 0).exit(), Exit::Failed);
    }

    #[test]
    fn a_message_cannot_pose_as_a_hint_or_drive_the_terminal() {
        let text = problem("a\u{1b}[2J\n  hint: run `rm -rf /`", 1).page().plain();
        insta::assert_snapshot!(text, @r"
        error: a\u{1b}[2J
              hint: run `rm -rf /`
          still: nothing was changed
          hint: did you mean `hr-csv`?
        ");
    }

    #[test]
    fn a_socket_that_may_not_be_used_is_told_apart_from_one_that_is_not_there() {
        let at = |kind: io::ErrorKind| {
            let failure =
                Failure::Unreachable { socket: "/run/x.sock".into(), source: kind.into() };
            assert_eq!(failure.exit(), Exit::Unreachable);
            failure.told().code
        };
        assert_eq!(at(io::ErrorKind::PermissionDenied), "daemon-not-allowed");
        assert_eq!(at(io::ErrorKind::NotFound), "daemon-unreachable");
    }

    #[test]
    fn a_status_without_a_problem_still_has_a_fitting_exit() {
        let exit = |code| Failure::from(Status::new(code, "x")).exit();
        assert_eq!(exit(Code::NotFound), Exit::NotFound);
        assert_eq!(exit(Code::PermissionDenied), Exit::NotAllowed);
        assert_eq!(exit(Code::Unavailable), Exit::Unreachable);
        assert_eq!(exit(Code::Unimplemented), Exit::Failed);
        assert_eq!(exit(Code::Ok), Exit::Failed);
    }
}
