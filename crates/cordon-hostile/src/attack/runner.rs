//! Runs one case in a process of its own and hears what came of it.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use super::{Case, Outcome, Targets};
use crate::fuse;
use crate::process::{self, End};

/// How long one case may take. None waits for anything that is far away.
const CASE_SECONDS: u32 = 10;

/// What a case's process writes.
#[derive(Serialize, Deserialize)]
enum Word {
    Denied(String),
    Allowed(String),
    Skipped(String),
}

pub(super) fn run(case: &Case, targets: &Targets) -> Outcome {
    run_apart(case, targets)
        .unwrap_or_else(|error| Outcome::skipped(format!("no process for it: {error}")))
}

fn run_apart(case: &Case, targets: &Targets) -> io::Result<Outcome> {
    let (mut reader, writer) = io::pipe()?;
    let child = process::in_child(|| {
        fuse::light(CASE_SECONDS * 2);
        say(writer, (case.attempt)(targets))
    })?;
    let deadline = Instant::now() + Duration::from_secs(CASE_SECONDS.into());
    // The writer went with the closure: moved into the child, dropped here.
    let heard = hear(&mut reader, deadline);
    let end = process::end_of(child, deadline)?;
    Ok(match (heard, end) {
        (Some(outcome), _) => outcome,
        (None, End::Signal { signal: Signal::SIGSYS, .. }) => {
            Outcome::Denied("the process was killed by SIGSYS".to_owned())
        }
        (None, End::Late) => Outcome::skipped(format!("no answer within {CASE_SECONDS} s")),
        (None, end) => Outcome::skipped(format!("it ended before it could tell: {end:?}")),
    })
}

fn say(mut writer: io::PipeWriter, outcome: Outcome) -> u8 {
    let word = match outcome {
        Outcome::Denied(text) => Word::Denied(text),
        Outcome::Allowed(text) => Word::Allowed(text),
        Outcome::Skipped(text) => Word::Skipped(text),
    };
    let line = serde_json::to_string(&word).unwrap_or_default() + "\n";
    u8::from(writer.write_all(line.as_bytes()).is_err())
}

/// Reads one line, and not the end of the stream: what an attack left running may hold it open.
fn hear(reader: &mut io::PipeReader, deadline: Instant) -> Option<Outcome> {
    let mut text = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok()?;
        let mut ready = [PollFd::new(&*reader, PollFlags::IN)];
        if poll(&mut ready, Some(&left)).ok()? == 0 {
            return None;
        }
        let mut piece = [0; 4096];
        let count = reader.read(&mut piece).ok()?;
        text.extend_from_slice(&piece[..count]);
        if count == 0 || text.ends_with(b"\n") {
            break;
        }
    }
    Some(match serde_json::from_slice(&text).ok()? {
        Word::Denied(text) => Outcome::Denied(text),
        Word::Allowed(text) => Outcome::Allowed(text),
        Word::Skipped(text) => Outcome::Skipped(text),
    })
}
