//! Runs the built `cordon` as a shell would.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::daemon::Daemon;

/// What came of a command.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Stdout as one JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// Stderr as a problem object.
    pub(crate) fn problem(&self) -> Value {
        serde_json::from_str(&self.stderr)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stderr))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The command with nothing of our environment in it.
pub(crate) fn command(socket: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cordon"));
    command
        .args(args)
        .env_clear()
        .env("CORDON_SOCKET", socket)
        .env("LANG", "C.UTF-8")
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    command
}

/// Runs a command line, its words parted by spaces.
pub(crate) fn cordon(daemon: &Daemon, line: &str) -> Ran {
    let words: Vec<&str> = line.split_whitespace().collect();
    command(daemon.socket(), &words).output().unwrap().into()
}
