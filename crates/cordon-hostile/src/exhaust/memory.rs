//! Memory, in every way in which it is counted.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use super::{Bounds, Reached};

const GIB: u64 = 1 << 30;
const BYTES_DEFAULT: u64 = GIB;
const BYTES_MAX: u64 = 4 * GIB;
/// Taken at a time.
const PIECE: usize = 4 << 20;

/// Where memory is taken from.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Source {
    /// Of the process itself
    Anon,
    /// What the kernel keeps of a file
    PageCache,
    /// A file that lives in memory, where the directory is such
    Tmpfs,
    /// A file without a name
    Memfd,
    /// Shared memory
    Shm,
}

pub(super) fn hog(source: Source, bounds: &Bounds) -> anyhow::Result<Reached> {
    let most = bounds.bytes(BYTES_DEFAULT, BYTES_MAX);
    let (amount, stopped_by) = match source {
        Source::Anon => anonymous(most),
        Source::PageCache | Source::Tmpfs => file(most, bounds)?,
        Source::Memfd => {
            let file = memfd_create("hog", MemfdFlags::CLOEXEC).context("no memfd")?;
            let mut file = File::from(file);
            let written = fill(&mut file, most);
            hold(bounds, written)
        }
        Source::Shm => shared(most, bounds)?,
    };
    Ok(Reached { what: "bytes", amount, stopped_by })
}

/// Keeps what was taken for a while, so that the peak is seen from outside.
fn hold(bounds: &Bounds, reached: (u64, String)) -> (u64, String) {
    let left = bounds.deadline().saturating_duration_since(Instant::now());
    std::thread::sleep(left.min(Duration::from_secs(1)));
    reached
}

fn anonymous(most: u64) -> (u64, String) {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    let pieces = most.div_ceil(PIECE as u64);
    for _ in 0..pieces {
        let mut piece: Vec<u8> = Vec::new();
        if let Err(error) = piece.try_reserve_exact(PIECE) {
            return (taken.len() as u64 * PIECE as u64, error.to_string());
        }
        // Written, so that the kernel has to give the pages.
        piece.resize(PIECE, 1);
        taken.push(std::hint::black_box(piece));
    }
    (taken.len() as u64 * PIECE as u64, "its bound".to_owned())
}

fn file(most: u64, bounds: &Bounds) -> anyhow::Result<(u64, String)> {
    let path = bounds.dir().join(format!("hog-{}", std::process::id()));
    let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
    let reached = fill(&mut file, most);
    file.rewind()?;
    let mut piece = vec![0; PIECE];
    while file.read(&mut piece)? > 0 {}
    let reached = hold(bounds, reached);
    fs::remove_file(&path)?;
    Ok(reached)
}

fn fill(file: &mut File, most: u64) -> (u64, String) {
    let piece = vec![1; PIECE];
    let mut written = 0;
    while written < most {
        match file.write(&piece) {
            Ok(count) => written += count as u64,
            Err(error) => return (written, error.to_string()),
        }
    }
    (written, "its bound".to_owned())
}

#[allow(unsafe_code)]
fn shared(most: u64, bounds: &Bounds) -> anyhow::Result<(u64, String)> {
    let bytes = usize::try_from(most)?;
    // SAFETY: a new segment of our own, removed at once by its number, which leaves it to those who
    // are attached: to us, for as long as we live.
    let place = unsafe {
        let id = libc::shmget(libc::IPC_PRIVATE, bytes, libc::IPC_CREAT | 0o600);
        if id < 0 {
            return Ok((0, io::Error::last_os_error().to_string()));
        }
        let place = libc::shmat(id, std::ptr::null(), 0);
        libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut());
        place
    };
    if place.addr() == usize::MAX {
        return Ok((0, io::Error::last_os_error().to_string()));
    }
    // SAFETY: the segment has so many bytes, is attached to be written, and nothing else knows of it.
    unsafe { place.cast::<u8>().write_bytes(1, bytes) };
    Ok(hold(bounds, (most, "its bound".to_owned())))
}

/// Slow enough that a limit is not met at once, and a warning comes first.
pub(super) fn leak(bounds: &Bounds) -> Reached {
    const MIB: usize = 1 << 20;
    let deadline = bounds.deadline();
    let most = bounds.bytes(BYTES_DEFAULT, BYTES_MAX);
    let mut lost = Vec::new();
    while Instant::now() < deadline && (lost.len() * MIB) as u64 <= most {
        lost.push(std::hint::black_box(vec![1u8; MIB]));
        std::thread::sleep(Duration::from_secs(1));
    }
    let amount = (lost.len() * MIB) as u64;
    Reached { what: "bytes", amount, stopped_by: "its bound".to_owned() }
}

/// Runtimes with garbage collection reserve far more than they use; a limit must not be about that.
#[allow(unsafe_code)]
pub(super) fn reserve(bounds: &Bounds) -> anyhow::Result<Reached> {
    let bytes = bounds.bytes(64 * GIB, 1 << 40);
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping where the kernel likes, which nobody may touch.
    let reserved = unsafe {
        let nowhere = std::ptr::null_mut();
        mmap_anonymous(nowhere, usize::try_from(bytes)?, ProtFlags::empty(), flags)
    };
    reserved.with_context(|| format!("cannot reserve {bytes} bytes"))?;
    Ok(Reached { what: "bytes", amount: bytes, stopped_by: "its bound".to_owned() })
}
