//! The thread that encodes rows, so that hashing and compressing share two cores.
//!
//! Its queue is short: a sync that arrives faster than Parquet is written waits in `append`.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::index::WrittenFile;
use crate::limits::{BATCHES_QUEUED_MAX, ENCODED_BYTES_MAX};
use crate::parquet_file::ParquetFile;
use crate::stage::StageError;

/// Where the rows of one type go.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) path: PathBuf,
    pub(crate) schema: SchemaRef,
}

/// Per slot the file and its rows; none where no row came.
pub(crate) type Encoded = Vec<Option<(WrittenFile, u64)>>;

struct Rows {
    slot: usize,
    batch: RecordBatch,
}

/// Hands rows to the thread.
#[derive(Debug)]
pub(crate) struct Encoder {
    queue: Option<SyncSender<Rows>>,
    thread: Option<JoinHandle<Result<Encoded, StageError>>>,
}

impl Encoder {
    pub(crate) fn start(slots: Vec<Slot>, bytes_max: u64) -> io::Result<Self> {
        let (queue, rows) = sync_channel(BATCHES_QUEUED_MAX);
        let thread = std::thread::Builder::new()
            .name("encode".to_owned())
            .spawn(move || encode(&slots, &rows, bytes_max))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues rows; waits while the queue is full. An error of the thread comes out here.
    pub(crate) fn send(&mut self, slot: usize, batch: RecordBatch) -> Result<(), StageError> {
        let Some(queue) = &self.queue else { return Ok(()) };
        if queue.send(Rows { slot, batch }).is_ok() {
            return Ok(());
        }
        self.finish().map(drop)
    }

    /// Waits for the thread and takes its files.
    pub(crate) fn finish(&mut self) -> Result<Encoded, StageError> {
        self.queue = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(encoded)) => encoded,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(Encoded::new()),
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // The files go away with their folder; whether they were written well is nobody's matter.
            let _ = thread.join();
        }
    }
}

fn encode(slots: &[Slot], rows: &Receiver<Rows>, bytes_max: u64) -> Result<Encoded, StageError> {
    let mut files: Vec<Option<ParquetFile>> = slots.iter().map(|_| None).collect();
    while let Ok(Rows { slot, batch }) = rows.recv() {
        let file = match &mut files[slot] {
            Some(file) => file,
            none => {
                let Slot { path, schema } = slots[slot].clone();
                none.insert(ParquetFile::create(path, schema, bytes_max)?)
            }
        };
        file.write(&batch)?;
        flush_largest(&mut files)?;
    }
    files.into_iter().map(|file| file.map(ParquetFile::finish).transpose()).collect()
}

/// Keeps the unfinished row groups of all types under one bound.
fn flush_largest(files: &mut [Option<ParquetFile>]) -> Result<(), StageError> {
    let open = || files.iter().flatten().map(ParquetFile::memory);
    if open().sum::<usize>() <= ENCODED_BYTES_MAX {
        return Ok(());
    }
    match files.iter_mut().flatten().max_by_key(|file| file.memory()) {
        Some(file) => file.flush(),
        None => Ok(()),
    }
}
