//! The `file` sink: one JSON line a change, appended, synced a batch at a time, rotated by size.
//!
//! A line is in the file whole or not at all, also after a crash: what was written but not yet
//! acknowledged may end in the middle of a line, so opening the file cuts a last line that has no
//! end. Nothing is lost by it, because an unacknowledged batch is sent again. Whole lines of such a
//! batch stay and then appear twice; `id` tells.
//!
//! Rotation renames `path` to `path.1`, `path.1` to `path.2` and so on, and replaces the oldest once
//! there are `keep` of them. It happens between two lines. Readers may also move the file away
//! themselves: the sink notices before each batch and begins a new one.
//!
//! The path must be a regular file, not a link, so that nobody who can write its folder turns the
//! sink against another file. A new file has mode 0640.

mod open;
mod rotation;

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::chain;
use crate::{DeliverError, Delivery, SinkOpenError};

/// Changes that one batch should hold, at most: enough that a sync of the disk is small beside them.
pub(crate) const BATCH_MAX: usize = 1_000;

/// Where the lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileConfig {
    /// The file. Its folder must exist.
    pub path: PathBuf,
    /// The file is rotated before a line that would take it past this size.
    pub rotate_bytes: u64,
    /// Rotated files that are kept beside the current one, at least 1.
    pub keep: u32,
}

/// Appends changes to a file.
#[derive(Debug)]
pub struct FileSink {
    // Shared with the blocking task of a delivery whose future was dropped: the next delivery waits
    // for it instead of writing into its lines.
    appender: Arc<Mutex<Appender>>,
}

impl FileSink {
    /// Opens or creates the file, and cuts a last line that was not finished. Blocks on the disk.
    pub fn open(name: &str, config: FileConfig) -> Result<Self, SinkOpenError> {
        if config.rotate_bytes == 0 {
            return Err(SinkOpenError::Zero { field: "rotate_bytes" });
        }
        if config.keep == 0 {
            return Err(SinkOpenError::Zero { field: "keep" });
        }
        let mut appender = Appender { sink: name.to_owned(), config, current: None };
        appender.ready()?;
        Ok(Self { appender: Arc::new(Mutex::new(appender)) })
    }

    pub(crate) async fn deliver(&mut self, batch: &[Delivery]) -> Result<(), DeliverError> {
        let lines = Lines::new(batch);
        self.on_disk(move |appender| appender.append(&lines)).await
    }

    pub(crate) async fn check(&self) -> Result<(), DeliverError> {
        self.on_disk(|appender| appender.ready().map(drop).map_err(AppendError::Open)).await
    }

    async fn on_disk(
        &self,
        work: impl FnOnce(&mut Appender) -> Result<(), AppendError> + Send + 'static,
    ) -> Result<(), DeliverError> {
        let appender = Arc::clone(&self.appender);
        let done = tokio::task::spawn_blocking(move || {
            // A panic in an earlier delivery left at worst an unfinished line, which `ready` cuts
            // because the file's length is then not the one it remembers.
            work(&mut appender.lock().unwrap_or_else(PoisonError::into_inner))
        });
        match done.await {
            Ok(result) => result.map_err(AppendError::into_deliver_error),
            Err(stopped) => Err(DeliverError::retry(format!("the write did not end: {stopped}"))),
        }
    }
}

/// A batch as it goes into the file.
struct Lines {
    bytes: Vec<u8>,
    /// Where each line ends in `bytes`.
    ends: Vec<usize>,
}

impl Lines {
    fn new(batch: &[Delivery]) -> Self {
        let mut lines = Self { bytes: Vec::new(), ends: Vec::with_capacity(batch.len()) };
        for delivery in batch {
            serde_json::to_writer(&mut lines.bytes, &delivery.envelope())
                .expect("memory takes every write, and texts and numbers are JSON");
            lines.bytes.push(b'\n');
            lines.ends.push(lines.bytes.len());
        }
        lines
    }
}

/// Why lines are not in the file.
enum AppendError {
    Open(SinkOpenError),
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl AppendError {
    fn into_deliver_error(self) -> DeliverError {
        match self {
            Self::Open(
                error @ (SinkOpenError::NotAFile { .. } | SinkOpenError::NotOurs { .. }),
            ) => DeliverError::Refused { reason: chain(&error) },
            Self::Open(error) => DeliverError::retry(chain(&error)),
            Self::Io { action, path, source } => {
                DeliverError::retry(format!("cannot {action} {}: {source}", path.display()))
            }
        }
    }
}

/// The file and where it stands; lives on blocking threads.
#[derive(Debug)]
struct Appender {
    sink: String,
    config: FileConfig,
    current: Option<Current>,
}

/// An open file of whole lines, all of them synced.
#[derive(Debug)]
struct Current {
    file: File,
    len: u64,
}

impl Appender {
    /// The file at the path, opened again when it is not the one we know as we know it: a reader
    /// may have moved or cut it, and lines appended to a file without a name would be lost.
    fn ready(&mut self) -> Result<&mut Current, SinkOpenError> {
        let known = self.current.take().filter(|current| current.is_at(&self.config.path));
        let current = match known {
            Some(current) => current,
            None => open::open(&self.sink, &self.config.path)?,
        };
        Ok(self.current.insert(current))
    }

    fn append(&mut self, lines: &Lines) -> Result<(), AppendError> {
        let mut start = 0;
        let mut next_line = 0;
        while next_line < lines.ends.len() {
            let rotate_bytes = self.config.rotate_bytes;
            let len = self.ready().map_err(AppendError::Open)?.len;
            let fits = |end: usize| len + (end - start) as u64 <= rotate_bytes;
            let mut stop = next_line + lines.ends[next_line..].partition_point(|end| fits(*end));
            if stop == next_line {
                if len > 0 {
                    self.rotate()?;
                    continue;
                }
                // A line longer than a whole file has a file of its own.
                stop += 1;
            }
            let end = lines.ends[stop - 1];
            self.write_synced(&lines.bytes[start..end])?;
            (start, next_line) = (end, stop);
        }
        Ok(())
    }

    fn write_synced(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        let current = self.ready().map_err(AppendError::Open)?;
        let written = current.file.write_all(bytes).and_then(|()| current.file.sync_data());
        match written {
            Ok(()) => {
                current.len += bytes.len() as u64;
                Ok(())
            }
            Err(source) => {
                // Take back what reached the file, so that readers never see half a line, and a
                // sync that failed once (and would succeed the second time without having written)
                // leaves nothing that only looks durable. The next delivery opens the file anew.
                let _ = current.file.set_len(current.len);
                self.current = None;
                Err(AppendError::Io { action: "write", path: self.config.path.clone(), source })
            }
        }
    }

    fn rotate(&mut self) -> Result<(), AppendError> {
        self.current = None;
        rotation::rotate(&self.config.path, self.config.keep).map_err(|source| AppendError::Io {
            action: "rotate",
            path: self.config.path.clone(),
            source,
        })
    }
}

impl Current {
    fn is_at(&self, path: &std::path::Path) -> bool {
        let (Ok(ours), Ok(there)) = (self.file.metadata(), path.symlink_metadata()) else {
            return false;
        };
        (ours.dev(), ours.ino(), self.len) == (there.dev(), there.ino(), there.len())
    }
}
