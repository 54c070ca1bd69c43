//! Processes: too many of them, unwanted ones, and those that will not end.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use rustix::process::setsid;

use super::{Bounds, Reached};
use crate::fuse;
use crate::process::{ignore_requests_to_end, in_child};

const PROCESSES_MAX: u64 = 2_000;
/// Of forks in a row: far more than a kill takes.
const GENERATIONS_MAX: u64 = 1_000_000;

/// A number that all descendants count in, so that a bomb has a bound.
#[allow(unsafe_code)]
fn shared_counter() -> io::Result<&'static AtomicU32> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    let bytes = size_of::<AtomicU32>();
    // SAFETY: a new mapping of zeros where the kernel likes, aligned to a page, never unmapped, and
    // used by nobody but through the reference; zero is a valid value.
    unsafe {
        let place = mmap_anonymous(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED)?;
        Ok(&*place.cast::<AtomicU32>())
    }
}

pub(super) fn fork_bomb(bounds: &Bounds) -> io::Result<Reached> {
    let bomb = Bomb {
        most: bounds.count(200, PROCESSES_MAX) as u32,
        seconds: bounds.seconds,
        deadline: bounds.deadline(),
        begun: shared_counter()?,
        started: shared_counter()?,
        refused: shared_counter()?,
    };
    explode(&bomb);
    let refused = bomb.refused.load(Ordering::Relaxed);
    let stopped_by = format!("its bound; {refused} forks were refused");
    let amount = bomb.started.load(Ordering::Relaxed).into();
    Ok(Reached { what: "processes", amount, stopped_by })
}

struct Bomb {
    most: u32,
    seconds: u32,
    deadline: Instant,
    /// Forks that were begun and not refused; never more than `most` of them succeed.
    begun: &'static AtomicU32,
    started: &'static AtomicU32,
    refused: &'static AtomicU32,
}

/// Forks until the bound; every child does the same. Where forks are refused it goes on trying.
fn explode(bomb: &Bomb) {
    while Instant::now() < bomb.deadline {
        if bomb.begun.fetch_add(1, Ordering::Relaxed) >= bomb.most {
            bomb.begun.fetch_sub(1, Ordering::Relaxed);
            let left = bomb.deadline.saturating_duration_since(Instant::now());
            std::thread::sleep(left.min(Duration::from_secs(1)));
            continue;
        }
        let child = in_child(|| {
            fuse::light(bomb.seconds);
            bomb.started.fetch_add(1, Ordering::Relaxed);
            let _ = setsid();
            ignore_requests_to_end();
            explode(bomb);
            0
        });
        if child.is_err() {
            bomb.begun.fetch_sub(1, Ordering::Relaxed);
            bomb.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The parent ends at once, the middle too; who is left has no parent, session or terminal of ours.
pub(super) fn daemon(bounds: &Bounds) -> io::Result<Reached> {
    let seconds = bounds.seconds;
    let middle = in_child(|| {
        let _ = setsid();
        let daemon = in_child(|| {
            fuse::light(seconds);
            ignore_requests_to_end();
            fuse::stay()
        });
        u8::from(daemon.is_err())
    })?;
    let _ = nix::sys::wait::waitpid(middle, None);
    Ok(Reached { what: "daemons", amount: 1, stopped_by: "its bound".to_owned() })
}

/// At any moment there is a newest process that nobody has seen yet.
pub(super) fn fork_while_killed(bounds: &Bounds) -> io::Result<Reached> {
    let deadline = bounds.deadline();
    let mut amount = 0;
    while amount < GENERATIONS_MAX && Instant::now() < deadline {
        let child = in_child(|| {
            fuse::light(bounds.seconds);
            let _ = setsid();
            ignore_requests_to_end();
            let grandchild = in_child(|| {
                fuse::light(1);
                fuse::stay()
            });
            u8::from(grandchild.is_err())
        });
        match child {
            Ok(child) => {
                amount += 1;
                let _ = nix::sys::wait::waitpid(child, None);
            }
            // The limit of processes is reached: some of them end within a second.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    Ok(Reached { what: "forks", amount, stopped_by: "its bound".to_owned() })
}

pub(super) fn zombies(bounds: &Bounds) -> io::Result<Reached> {
    let most = bounds.count(100, PROCESSES_MAX);
    let mut amount = 0;
    let mut stopped_by = "its bound".to_owned();
    while amount < most {
        // Each leaves an orphan that ends too, which somebody else has to wait for.
        let child = in_child(|| u8::from(in_child(|| 0).is_err()));
        if let Err(error) = child {
            stopped_by = error.to_string();
            break;
        }
        amount += 1;
    }
    let left = bounds.deadline().saturating_duration_since(Instant::now());
    super::report("zombies", &Reached { what: "children", amount, stopped_by: stopped_by.clone() });
    std::thread::sleep(left);
    Ok(Reached { what: "children", amount, stopped_by })
}
