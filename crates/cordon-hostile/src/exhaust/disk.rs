//! Disk: bytes and files.

use std::fs::{self, File};
use std::io::{self, Write};
use std::time::Instant;

use nix::sys::signal::{SigHandler, Signal, signal};

use super::{Bounds, Reached};

const GIB: u64 = 1 << 30;
const PIECE: usize = 1 << 20;
/// Files of one directory.
const FILES_A_DIR: u64 = 1_000;

/// Writes files until nothing more is taken. At a file's own limit it begins another.
#[allow(unsafe_code)]
pub(super) fn fill(bounds: &Bounds) -> io::Result<Reached> {
    // SAFETY: to ignore a signal installs no handler. The kernel then answers with an error instead.
    let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
    let (most, deadline) = (bounds.bytes(GIB, 4 * GIB), bounds.deadline());
    let dir = bounds.dir().join(format!("fill-{}", std::process::id()));
    fs::create_dir(&dir)?;
    let piece = vec![1; PIECE];
    let (mut amount, mut files) = (0, 0u32);
    let mut stopped_by = "its bound".to_owned();
    'files: while amount < most {
        let mut file = match File::create(dir.join(files.to_string())) {
            Ok(file) => file,
            Err(error) => {
                stopped_by = error.to_string();
                break;
            }
        };
        files += 1;
        while amount < most {
            if Instant::now() > deadline {
                break 'files;
            }
            match file.write(&piece) {
                Ok(count) => amount += count as u64,
                Err(error) if error.raw_os_error() == Some(libc::EFBIG) => continue 'files,
                Err(error) => {
                    stopped_by = error.to_string();
                    break 'files;
                }
            }
        }
    }
    super::report("disk-fill", &Reached { what: "bytes", amount, stopped_by: stopped_by.clone() });
    fs::remove_dir_all(&dir)?;
    Ok(Reached { what: "bytes", amount, stopped_by })
}

pub(super) fn fill_inodes(bounds: &Bounds) -> io::Result<Reached> {
    let (most, deadline) = (bounds.count(100_000, 1_000_000), bounds.deadline());
    let dir = bounds.dir().join(format!("inodes-{}", std::process::id()));
    fs::create_dir(&dir)?;
    let mut amount = 0;
    let mut stopped_by = "its bound".to_owned();
    while amount < most && Instant::now() < deadline {
        let below = dir.join((amount / FILES_A_DIR).to_string());
        let made = match amount % FILES_A_DIR {
            0 => fs::create_dir(&below),
            _ => Ok(()),
        };
        let made = made.and_then(|()| File::create(below.join(amount.to_string())));
        if let Err(error) = made {
            stopped_by = error.to_string();
            break;
        }
        amount += 1;
    }
    super::report("inode-fill", &Reached { what: "files", amount, stopped_by: stopped_by.clone() });
    fs::remove_dir_all(&dir)?;
    Ok(Reached { what: "files", amount, stopped_by })
}
