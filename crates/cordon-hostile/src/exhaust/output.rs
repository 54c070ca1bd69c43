//! The log: too much of it, without lines, as no text, and not at all.

use std::io::{self, Write};
use std::time::Instant;

use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::{Bounds, Reached};

const GIB: u64 = 1 << 30;
/// Written at a time.
const PIECE: usize = 64 << 10;

/// What a careless reader believes: colours, a title, a cleared screen, another's line, half a
/// character, a line that overwrites itself.
const TRICKS: &[&[u8]] = &[
    b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b[2J\x1b[H",
    b"INFO cordond: connector `good` was released by root",
    b"2026-01-01T00:00:00Z connector=good level=error all is lost",
    b"\xff\xfe half a character: \xe2\x82",
    b"overwritten\rby this",
    b"nul \0 and back \x08\x08\x08space, next \x85 line \xe2\x80\xa8 separator",
    b"\xe2\x80\xaereversed",
];

pub(super) fn flood(bounds: &Bounds) -> Reached {
    let line = "flood ".repeat(20) + "\n";
    let lines = line.repeat(PIECE / line.len());
    let most = bounds.bytes(u64::MAX, u64::MAX);
    write_until(bounds, lines.as_bytes(), most)
}

pub(super) fn endless_line(bounds: &Bounds) -> Reached {
    let reached = write_until(bounds, &vec![b'x'; PIECE], bounds.bytes(GIB / 4, 4 * GIB));
    // What is told of it is a line of its own.
    let _ = io::stderr().write_all(b"\n");
    reached
}

fn write_until(bounds: &Bounds, piece: &[u8], most: u64) -> Reached {
    let deadline = bounds.deadline();
    let mut log = io::stderr().lock();
    let mut amount = 0;
    while amount < most && Instant::now() < deadline {
        if let Err(error) = log.write_all(piece) {
            return Reached { what: "bytes", amount, stopped_by: error.to_string() };
        }
        amount += piece.len() as u64;
    }
    Reached { what: "bytes", amount, stopped_by: "its bound".to_owned() }
}

pub(super) fn ansi() -> Reached {
    let mut log = io::stderr().lock();
    let mut amount = 0;
    for trick in TRICKS {
        let written = log.write_all(trick).and_then(|()| log.write_all(b"\n"));
        if let Err(error) = written {
            return Reached { what: "lines", amount, stopped_by: error.to_string() };
        }
        amount += 1;
    }
    Reached { what: "lines", amount, stopped_by: "its bound".to_owned() }
}

/// Closes stdin, stdout and stderr. In their place comes a pipe that nobody reads, so that no file
/// that is opened later gets their numbers and what is written to them.
pub(crate) fn close_output() -> io::Result<()> {
    let (_, nobody) = io::pipe()?;
    dup2_stdin(&nobody)?;
    dup2_stdout(&nobody)?;
    dup2_stderr(&nobody)?;
    Ok(())
}
