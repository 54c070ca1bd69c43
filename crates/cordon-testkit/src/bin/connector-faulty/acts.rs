//! Faults in what the process does: it dies, hangs, floods, hogs, forks.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use cordon_testkit::scenario::Act;
use cordon_wire::v1;
use nix::sys::signal::{Signal, raise};
use tokio::signal::unix::{SignalKind, signal};
use tonic::Status;

use crate::leaks;

/// The argument by which a child is told to leave the session and stay.
pub(crate) const LINGER: &str = "--linger";
/// How long a child stays that nobody ends.
const LINGER_TIME: Duration = Duration::from_secs(3_600);
/// How long an answer is waited for.
const DIAL_TIME: Duration = Duration::from_secs(10);
/// Bytes that a hog takes at a time.
const HOG_BYTES: usize = 16 * 1024 * 1024;
/// How often; 4 GiB in all, so that a host without limits survives the test that shows it.
const HOG_PIECES: usize = 256;

/// What the socket does with what is written to it.
#[derive(Clone, Default)]
pub(crate) struct Sabotage(Arc<AtomicU8>);

/// See [`Sabotage`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Passes it on.
    Honest,
    /// Writes other bytes.
    Garbage,
    /// Writes half of it and closes.
    Half,
}

impl Sabotage {
    pub(crate) fn wire(&self) -> Wire {
        match self.0.load(Ordering::SeqCst) {
            0 => Wire::Honest,
            1 => Wire::Garbage,
            _ => Wire::Half,
        }
    }

    fn set(&self, wire: Wire) {
        self.0.store(wire as u8, Ordering::SeqCst);
    }
}

/// Does what one call or one message can suffer. Faults that last for the rest of a sync are done by
/// the sync itself.
pub(crate) async fn perform(act: &Act, sabotage: &Sabotage) -> Result<(), Status> {
    match act {
        Act::Crash => {
            // The first only unsets the handler by which the runtime tells stack overflows.
            let _ = raise(Signal::SIGSEGV);
            let _ = raise(Signal::SIGSEGV);
        }
        Act::Abort => std::process::abort(),
        Act::Exit(code) => exit(*code),
        Act::ExitZeroMidStream => exit(0),
        Act::Hang => std::future::pending().await,
        Act::HangIgnoreTerm => {
            // Kept for the rest of the process: a signal that somebody listens for kills nobody.
            std::mem::forget(signal(SignalKind::terminate()));
            std::future::pending().await
        }
        Act::GarbageBytes => sabotage.set(Wire::Garbage),
        Act::HalfMessage => sabotage.set(Wire::Half),
        Act::Error(kind) => return Err(error(kind)),
        Act::LogFlood => {
            std::thread::spawn(log_flood);
        }
        Act::LogLine(bytes) => log_line(*bytes),
        Act::LeakSecret(way) => leaks::leak(way)?,
        Act::CloseOutput => {
            for output in [1, 2] {
                let _ = nix::unistd::close(output);
            }
        }
        Act::MemoryHog => {
            std::thread::spawn(memory_hog);
            std::future::pending().await
        }
        Act::CpuHog => {
            for _ in 0..2 {
                std::thread::spawn(|| {
                    loop {
                        std::hint::spin_loop();
                    }
                });
            }
        }
        Act::ForkChildren(count) => fork_children(*count),
        Act::Dial(place) => {
            let _ = writeln!(std::io::stderr(), "dialled {place}: {}", dial(place));
        }
        Act::StopSelf => {
            let _ = raise(Signal::SIGSTOP);
        }
        // The rest is said, not done.
        _ => {}
    }
    Ok(())
}

#[expect(clippy::exit, reason = "a fault that a supervisor has to survive")]
fn exit(code: i32) -> ! {
    std::process::exit(code)
}

fn error(kind: &str) -> Status {
    let kind = match kind {
        "auth" => v1::ErrorKind::Auth,
        "rate-limited" => v1::ErrorKind::RateLimited,
        "unavailable" => v1::ErrorKind::Unavailable,
        "incomplete" => v1::ErrorKind::Incomplete,
        "bad-config" => v1::ErrorKind::BadConfig,
        _ => v1::ErrorKind::Bug,
    };
    cordon_wire::error::error_to_status(&v1::Error {
        kind: kind.into(),
        message: format!("scripted {} error", kind.as_str_name()),
        field: if kind == v1::ErrorKind::BadConfig { "faults".to_owned() } else { String::new() },
        retry_after_ms: if kind == v1::ErrorKind::RateLimited { 1_000 } else { 0 },
    })
}

fn log_flood() {
    let line = format!("{}\n", "flood ".repeat(40));
    let mut stderr = std::io::stderr().lock();
    while stderr.write_all(line.as_bytes()).is_ok() {}
}

fn log_line(bytes: u64) {
    let mut stderr = std::io::stderr().lock();
    let mut left = bytes;
    while left > 0 {
        let piece = left.min(64 * 1024);
        if stderr.write_all(&vec![b'x'; piece as usize]).is_err() {
            return;
        }
        left -= piece;
    }
    let _ = stderr.write_all(b"\n");
}

fn memory_hog() {
    let mut taken = Vec::new();
    for _ in 0..HOG_PIECES {
        // Written, so that the kernel has to give the pages.
        taken.push(vec![1u8; HOG_BYTES]);
        std::hint::black_box(&taken);
    }
    loop {
        std::thread::park();
    }
}

/// Asks a server for a line, as any client would; what came of it in words.
fn dial(place: &str) -> String {
    let asked = || -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(place)?;
        stream.set_read_timeout(Some(DIAL_TIME))?;
        stream.write_all(b"ping\n")?;
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer)?;
        Ok(answer.trim().to_owned())
    };
    asked().unwrap_or_else(|error| error.to_string())
}

fn fork_children(count: u32) {
    for _ in 0..count {
        // By the name that it was started under: what it runs from has no other.
        let Some(program) = std::env::args_os().next() else { return };
        // It holds on to stderr, as a careless daemon does.
        let child = Command::new(program).arg(LINGER).stdin(Stdio::null()).spawn();
        if let Err(error) = child {
            let _ = writeln!(std::io::stderr(), "a child was refused: {error}");
        }
    }
}

/// The life of such a child: a session of its own, and no end.
pub(crate) fn linger() {
    let _ = rustix::process::setsid();
    std::thread::sleep(LINGER_TIME);
}
