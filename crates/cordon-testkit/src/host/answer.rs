//! What a command answered.

use std::process::Output;

use serde_json::Value;

/// What `cordon` answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    command: String,
}

impl Answer {
    pub(super) fn new(arguments: &[&str], output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            command: format!("cordon {}", arguments.join(" ")),
        }
    }

    /// The answer, if the command did what it was asked.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn done(self) -> Self {
        self.exits(0)
    }

    /// The answer, if the command ended with that exit code.
    ///
    /// # Panics
    /// When it ended with another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "exit code of `{}`\nstdout: {}\nstderr: {}",
            self.command, self.stdout, self.stderr
        );
        self
    }

    /// The JSON on stdout.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        self.parse(&self.stdout)
    }

    /// The problem on stderr of a command that failed.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn problem(&self) -> Value {
        self.parse(&self.stderr)
    }

    /// The `items` of the JSON on stdout.
    ///
    /// # Panics
    /// When there are none.
    #[track_caller]
    pub fn items(&self) -> Vec<Value> {
        match self.json().get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            other => panic!("`{}` gave no list of items but {other:?}", self.command),
        }
    }

    #[track_caller]
    fn parse(&self, text: &str) -> Value {
        serde_json::from_str(text).unwrap_or_else(|error| {
            panic!(
                "`{}` gave no JSON ({error})\nstdout: {}\nstderr: {}",
                self.command, self.stdout, self.stderr
            )
        })
    }
}
