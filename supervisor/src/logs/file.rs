//! The file of a connector's lines: bounded, private, and written by a thread that may wait.
//!
//! Lines queue in memory while the disk is slow, up to a bound; what comes beyond, or cannot be
//! written, is lost to the file and told in it once there is room again. A link that somebody put in
//! the file's place is not followed.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use nix::fcntl::OFlag;

use super::Line;
use crate::limits::{LOG_FILE_BYTES, LOG_QUEUE_BYTES};

/// Only the service reads it.
const MODE: u32 = 0o600;

/// See the file.
pub(super) struct LogFile {
    path: PathBuf,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    text: String,
    /// Lines that are in neither the file nor the queue, since the last that was written.
    lost: u64,
    is_writing: bool,
    is_failing: bool,
}

impl LogFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, queue: Mutex::default() }
    }

    /// Queues lines to be written; never waits for the disk.
    pub(super) fn append(self: &Arc<Self>, lines: &[Line]) {
        let mut queue = self.lock();
        for line in lines {
            let text = stamped(line);
            if queue.text.len() + text.len() > LOG_QUEUE_BYTES {
                queue.lost += 1;
            } else {
                queue.text.push_str(&text);
            }
        }
        if !std::mem::replace(&mut queue.is_writing, true) {
            let file = self.clone();
            tokio::task::spawn_blocking(move || file.drain());
        }
    }

    /// Writes until nothing waits.
    fn drain(&self) {
        loop {
            let (mut text, lost) = {
                let mut queue = self.lock();
                if queue.text.is_empty() {
                    queue.is_writing = false;
                    return;
                }
                (std::mem::take(&mut queue.text), std::mem::take(&mut queue.lost))
            };
            let lines = text.matches('\n').count() as u64;
            if lost > 0 {
                let notice = format!("{lost} lines were not written: the disk is slow or full");
                text.insert_str(
                    0,
                    &stamped(&Line { time: Timestamp::now(), pid: None, text: notice }),
                );
            }
            let written = self.write(text.as_bytes());
            let mut queue = self.lock();
            let was_failing = std::mem::replace(&mut queue.is_failing, written.is_err());
            if let Err(error) = written {
                queue.lost += lines + lost;
                // Once: a disk that stays full would fill the service's own log next.
                if !was_failing {
                    let path = self.path.display();
                    tracing::warn!(%path, %error, "a connector's log cannot be written; lines are dropped");
                }
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|file| file.len() > LOG_FILE_BYTES) {
            std::fs::rename(&self.path, self.path.with_extension("log.1"))?;
        }
        let mut file = self.open()?;
        let before = file.metadata()?.len();
        let written = file.write_all(bytes);
        if written.is_err() {
            // Half a line would run into the next one.
            let _ = file.set_len(before);
        }
        written
    }

    fn open(&self) -> std::io::Result<File> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(MODE).custom_flags(flags.bits());
        let file = options.open(&self.path)?;
        let known = file.metadata()?;
        let own = known.uid() == nix::unistd::geteuid().as_raw();
        if !known.is_file() || known.nlink() != 1 || !own {
            return Err(std::io::Error::other("it is not a file of its own"));
        }
        if known.mode() & 0o7777 != MODE {
            file.set_permissions(Permissions::from_mode(MODE))?;
        }
        Ok(file)
    }

    /// Whether lines wait for the disk.
    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        self.lock().is_writing
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamped(line: &Line) -> String {
    match line.pid {
        Some(pid) => format!("{} [{pid}] {}\n", line.time, line.text),
        None => format!("{} [cordond] {}\n", line.time, line.text),
    }
}
