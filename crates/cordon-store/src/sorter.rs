//! Sorting more than fits into memory.
//!
//! Entries gather in a buffer; a full buffer is sorted and spilled as a run into an unnamed file,
//! which no crash can leave behind. At the end the runs are merged. The read buffers of all runs
//! together have a fixed size, so memory does not grow with their number.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::Write;
use std::marker::PhantomData;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::disk::{AtPath, PathError};

/// Bytes of all read buffers of a merge.
const MERGE_BYTES: usize = 16 << 20;
const RUN_READ_BYTES: usize = 512 << 10;

/// Something of fixed size that is sorted.
pub(crate) trait Fixed: Copy {
    /// What it is sorted by. Keys that are equal stay in the order of arrival between runs.
    type Key: Ord + Copy + std::fmt::Debug;
    /// Its length on disk.
    const BYTES: usize;

    fn key(&self) -> Self::Key;

    /// Whether of two neighbours one is enough.
    fn repeats(&self, _earlier: &Self) -> bool {
        false
    }

    /// `out` has [`Fixed::BYTES`].
    fn put(&self, out: &mut [u8]);

    /// `bytes` has [`Fixed::BYTES`].
    fn get(bytes: &[u8]) -> Self;
}

/// Takes entries in any order.
#[derive(Debug)]
pub(crate) struct Sorter<F> {
    dir: PathBuf,
    buffer: Vec<F>,
    spill: Option<Spill>,
}

#[derive(Debug)]
struct Spill {
    file: File,
    /// Where each run begins and ends, in bytes.
    runs: Vec<(u64, u64)>,
    bytes: u64,
}

impl<F: Fixed> Sorter<F> {
    /// Spills go into unnamed files of `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), buffer: Vec::new(), spill: None }
    }

    /// What was pushed so far; nothing remains.
    pub(crate) fn take(&mut self) -> Self {
        let empty = Self::new(&self.dir);
        std::mem::replace(self, empty)
    }

    /// Adds an entry; the caller bounds the buffer with [`Sorter::spill`].
    pub(crate) fn push(&mut self, entry: F) {
        self.buffer.push(entry);
    }

    /// Entries in memory.
    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Drops repetitions from the buffer; spills it when that frees less than half of `max` entries.
    pub(crate) fn shrink(&mut self, max: usize) -> Result<(), PathError> {
        if self.buffer.len() < max {
            return Ok(());
        }
        sort_run(&mut self.buffer);
        if self.buffer.len() > max / 2 { self.write_run() } else { Ok(()) }
    }

    /// Writes the buffer as a run.
    pub(crate) fn spill(&mut self) -> Result<(), PathError> {
        sort_run(&mut self.buffer);
        self.write_run()
    }

    fn write_run(&mut self) -> Result<(), PathError> {
        let dir = &self.dir;
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => {
                let file = tempfile::tempfile_in(dir).at(dir)?;
                none.insert(Spill { file, runs: Vec::new(), bytes: 0 })
            }
        };
        let begin = spill.bytes;
        let mut bytes = vec![0; RUN_READ_BYTES / F::BYTES * F::BYTES];
        for entries in self.buffer.chunks(bytes.len() / F::BYTES) {
            for (entry, out) in entries.iter().zip(bytes.chunks_exact_mut(F::BYTES)) {
                entry.put(out);
            }
            let used = &bytes[..entries.len() * F::BYTES];
            spill.file.write_all(used).at(dir)?;
            spill.bytes += used.len() as u64;
        }
        spill.runs.push((begin, spill.bytes));
        self.buffer.clear();
        Ok(())
    }

    /// Everything that was pushed, in order.
    pub(crate) fn into_sorted(mut self) -> Result<Sorted<F>, PathError> {
        sort_run(&mut self.buffer);
        let buffer = std::mem::take(&mut self.buffer);
        let mut sources: Vec<Source<F>> = Vec::new();
        if let Some(spill) = self.spill {
            let file = std::sync::Arc::new(spill.file);
            let entries = (MERGE_BYTES / spill.runs.len()).min(RUN_READ_BYTES) / F::BYTES;
            for (begin, end) in spill.runs {
                sources.push(Source::Run(Run {
                    file: file.clone(),
                    at: begin,
                    end,
                    bytes: Vec::new(),
                    used: 0,
                    chunk: entries.max(1) * F::BYTES,
                    entries: PhantomData,
                }));
            }
        }
        sources.push(Source::Memory(buffer.into_iter()));
        Sorted::new(self.dir, sources)
    }
}

fn sort_run<F: Fixed>(buffer: &mut Vec<F>) {
    buffer.sort_unstable_by_key(F::key);
    buffer.dedup_by(|later, earlier| later.repeats(earlier));
}

#[derive(Debug)]
enum Source<F> {
    Memory(std::vec::IntoIter<F>),
    Run(Run<F>),
}

#[derive(Debug)]
struct Run<F> {
    file: std::sync::Arc<File>,
    at: u64,
    end: u64,
    bytes: Vec<u8>,
    used: usize,
    chunk: usize,
    entries: PhantomData<F>,
}

impl<F: Fixed> Source<F> {
    fn next(&mut self, dir: &Path) -> Result<Option<F>, PathError> {
        match self {
            Self::Memory(entries) => Ok(entries.next()),
            Self::Run(run) => run.next(dir),
        }
    }
}

impl<F: Fixed> Run<F> {
    fn next(&mut self, dir: &Path) -> Result<Option<F>, PathError> {
        if self.used == self.bytes.len() {
            let left = (self.end - self.at).min(self.chunk as u64) as usize;
            if left == 0 {
                return Ok(None);
            }
            self.bytes.resize(left, 0);
            self.file.read_exact_at(&mut self.bytes, self.at).at(dir)?;
            self.at += left as u64;
            self.used = 0;
        }
        let entry = F::get(&self.bytes[self.used..self.used + F::BYTES]);
        self.used += F::BYTES;
        Ok(Some(entry))
    }
}

/// Sorted entries, one at a time.
#[derive(Debug)]
pub(crate) struct Sorted<F: Fixed> {
    dir: PathBuf,
    sources: Vec<Source<F>>,
    /// The smallest key of each source; the source breaks ties, so that runs keep their order.
    keys: BinaryHeap<Reverse<(F::Key, usize)>>,
    /// The entry of each of those keys, by source.
    heads: Vec<Option<F>>,
    last: Option<F>,
}

impl<F: Fixed> Sorted<F> {
    fn new(dir: PathBuf, mut sources: Vec<Source<F>>) -> Result<Self, PathError> {
        let mut keys = BinaryHeap::with_capacity(sources.len());
        let mut heads = Vec::with_capacity(sources.len());
        for (source, entries) in sources.iter_mut().enumerate() {
            let head = entries.next(&dir)?;
            keys.extend(head.map(|entry| Reverse((entry.key(), source))));
            heads.push(head);
        }
        Ok(Self { dir, sources, keys, heads, last: None })
    }

    pub(crate) fn next(&mut self) -> Result<Option<F>, PathError> {
        loop {
            let Some(entry) = self.pop()? else { return Ok(None) };
            if self.last.is_some_and(|last| entry.repeats(&last)) {
                continue;
            }
            self.last = Some(entry);
            return Ok(Some(entry));
        }
    }

    fn pop(&mut self) -> Result<Option<F>, PathError> {
        let Some(mut smallest) = self.keys.peek_mut() else { return Ok(None) };
        let source = smallest.0.1;
        let next = self.sources[source].next(&self.dir)?;
        match &next {
            Some(next) => smallest.0.0 = next.key(),
            None => {
                PeekMut::pop(smallest);
            }
        }
        Ok(std::mem::replace(&mut self.heads[source], next))
    }
}
