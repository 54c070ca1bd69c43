//! Indexes: a record in forty bytes, in the order of key hashes.
//!
//! Everything that compares records reads indexes only: two snapshots are compared by walking both
//! once. An index is believed entry by entry: order, row numbers and scopes are measured as they are
//! read, and at its end the digest of all bytes must be the one in the manifest.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::disk::{self, AtPath, PathError};
use crate::hash::{KeyHash, RowHash};
use crate::layout::ObjectKind;
use crate::manifest::{FileEntry, ObjectRef};
use crate::read_error::{Damage, ReadError};
use crate::sorter::Fixed;
use crate::store::Store;

/// Bytes of an entry.
pub(crate) const ENTRY_BYTES: usize = 40;
const BUFFER_ENTRIES: usize = 4 << 10;
/// Marks a privileged entitlement beside its scope.
const PRIVILEGED: u32 = 1 << 31;

/// A record: its key's hash, its row's hash, where its row is, and its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: KeyHash,
    pub(crate) hash: RowHash,
    pub(crate) row: u32,
    scope: u32,
}

impl Entry {
    pub(crate) fn new(key: KeyHash, hash: RowHash, row: u32, scope: u32, privileged: bool) -> Self {
        let mark = if privileged { PRIVILEGED } else { 0 };
        Self { key, hash, row, scope: scope | mark }
    }

    /// The ordinal of its scope in its file.
    pub(crate) fn scope(&self) -> u32 {
        self.scope & !PRIVILEGED
    }

    /// Whether it is an entitlement that gives power over others.
    pub(crate) fn is_privileged(&self) -> bool {
        self.scope & PRIVILEGED != 0
    }

    /// The same record in another row and under another scope ordinal.
    pub(crate) fn moved(&self, row: u32, scope: u32) -> Self {
        Self::new(self.key, self.hash, row, scope, self.is_privileged())
    }
}

impl Fixed for Entry {
    type Key = (u64, u64, u32);
    const BYTES: usize = ENTRY_BYTES;

    fn key(&self) -> Self::Key {
        (self.key.high, self.key.low, self.row)
    }

    fn put(&self, out: &mut [u8]) {
        out[0..8].copy_from_slice(&self.key.high.to_le_bytes());
        out[8..16].copy_from_slice(&self.key.low.to_le_bytes());
        out[16..32].copy_from_slice(&self.hash);
        out[32..36].copy_from_slice(&self.row.to_le_bytes());
        out[36..40].copy_from_slice(&self.scope.to_le_bytes());
    }

    fn get(bytes: &[u8]) -> Self {
        let (high, rest) = bytes.split_first_chunk().expect("an entry has 40 bytes");
        let (low, rest) = rest.split_first_chunk().expect("an entry has 40 bytes");
        let (hash, rest) = rest.split_first_chunk().expect("an entry has 40 bytes");
        let (row, rest) = rest.split_first_chunk().expect("an entry has 40 bytes");
        let scope = rest.first_chunk().expect("an entry has 40 bytes");
        Self {
            key: KeyHash { high: u64::from_le_bytes(*high), low: u64::from_le_bytes(*low) },
            hash: *hash,
            row: u32::from_le_bytes(*row),
            scope: u32::from_le_bytes(*scope),
        }
    }
}

/// Writes an index.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
    entries: u64,
}

/// A file that was written and is not synced yet.
#[derive(Debug)]
pub(crate) struct WrittenFile {
    pub(crate) path: PathBuf,
    pub(crate) object: ObjectRef,
}

impl IndexWriter {
    pub(crate) fn create(path: PathBuf) -> Result<Self, PathError> {
        let file = disk::create_new(&path)?;
        let buffer = Vec::with_capacity(BUFFER_ENTRIES * ENTRY_BYTES);
        Ok(Self { path, file, buffer, hasher: blake3::Hasher::new(), entries: 0 })
    }

    pub(crate) fn push(&mut self, entry: &Entry) -> Result<(), PathError> {
        let mut bytes = [0; ENTRY_BYTES];
        entry.put(&mut bytes);
        self.buffer.extend_from_slice(&bytes);
        self.entries += 1;
        if self.buffer.len() == BUFFER_ENTRIES * ENTRY_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), PathError> {
        self.hasher.update(&self.buffer);
        self.file.write_all(&self.buffer).at(&self.path)?;
        self.buffer.clear();
        Ok(())
    }

    /// The file and how many entries it has.
    pub(crate) fn finish(mut self) -> Result<(WrittenFile, u64), PathError> {
        self.flush()?;
        let digest = self.hasher.finalize().to_hex().to_string();
        let object = ObjectRef { digest, bytes: self.entries * ENTRY_BYTES as u64 };
        Ok((WrittenFile { path: self.path, object }, self.entries))
    }
}

/// Reads an index from its beginning to its end.
#[derive(Debug)]
pub(crate) struct IndexReader {
    path: PathBuf,
    file: File,
    expected: ObjectRef,
    /// None: this process wrote the file itself.
    hasher: Option<blake3::Hasher>,
    buffer: Vec<u8>,
    used: usize,
    left: u64,
    rows: u64,
    scopes: u64,
    read: u64,
    last: Option<KeyHash>,
}

impl IndexReader {
    /// Opens the index at `path` that `entry` speaks of.
    pub(crate) fn open(path: &Path, entry: &FileEntry) -> Result<Self, ReadError> {
        let file = File::open(path).at(path)?;
        let found = file.metadata().at(path)?.len();
        let expected = entry.records.saturating_mul(ENTRY_BYTES as u64);
        if found != expected || found != entry.index.bytes {
            return Err(ReadError::damaged(path, Damage::Size { expected, found }));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            expected: entry.index.clone(),
            hasher: Some(blake3::Hasher::new()),
            buffer: Vec::new(),
            used: 0,
            left: found,
            rows: entry.rows,
            scopes: entry.scopes.len() as u64,
            read: 0,
            last: None,
        })
    }

    /// Opens an index that this process wrote a moment ago: its digest is not computed again.
    pub(crate) fn open_own(path: &Path, entry: &FileEntry) -> Result<Self, ReadError> {
        Ok(Self { hasher: None, ..Self::open(path, entry)? })
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, ReadError> {
        if self.used == self.buffer.len() && !self.fill()? {
            return Ok(None);
        }
        let entry = Entry::get(&self.buffer[self.used..self.used + ENTRY_BYTES]);
        self.used += ENTRY_BYTES;
        self.check(&entry)?;
        self.last = Some(entry.key);
        self.read += 1;
        Ok(Some(entry))
    }

    /// Reads on; at the end compares the digest.
    fn fill(&mut self) -> Result<bool, ReadError> {
        let bytes = self.left.min((BUFFER_ENTRIES * ENTRY_BYTES) as u64) as usize;
        if bytes == 0 {
            let Some(hasher) = self.hasher.take() else { return Ok(false) };
            let found = hasher.finalize().to_hex().to_string();
            if found != self.expected.digest {
                let expected = self.expected.digest.clone();
                let damage = Damage::Digest { expected, found };
                return Err(ReadError::damaged(&self.path, damage));
            }
            return Ok(false);
        }
        self.buffer.resize(bytes, 0);
        self.file.read_exact(&mut self.buffer).at(&self.path)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&self.buffer);
        }
        self.left -= bytes as u64;
        self.used = 0;
        Ok(true)
    }

    fn check(&self, entry: &Entry) -> Result<(), ReadError> {
        let number = self.read;
        let damage = if self.last.is_some_and(|last| last >= entry.key) {
            Damage::Order { entry: number }
        } else if u64::from(entry.row) >= self.rows {
            Damage::Range { entry: number, what: "row", number: entry.row, count: self.rows }
        } else if u64::from(entry.scope()) >= self.scopes {
            let scope = entry.scope();
            Damage::Range { entry: number, what: "scope", number: scope, count: self.scopes }
        } else {
            return Ok(());
        };
        Err(ReadError::damaged(&self.path, damage))
    }
}

/// An index entry and which of its snapshot's files it is in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Located {
    /// Position in the slice of files that was opened together.
    pub(crate) file: u32,
    pub(crate) entry: Entry,
}

/// Several indexes read as one, in the order of keys.
#[derive(Debug)]
pub(crate) struct Merged {
    readers: Vec<IndexReader>,
    /// The next entry of each, unless there is only one.
    heads: Vec<Option<Entry>>,
    head: Option<Located>,
}

impl Merged {
    pub(crate) fn new(mut readers: Vec<IndexReader>) -> Result<Self, ReadError> {
        let mut heads = Vec::with_capacity(readers.len());
        if readers.len() > 1 {
            for reader in &mut readers {
                heads.push(reader.next()?);
            }
        }
        let mut merged = Self { readers, heads, head: None };
        merged.head = merged.take_smallest()?;
        Ok(merged)
    }

    /// The next entry.
    pub(crate) fn head(&self) -> Option<&Located> {
        self.head.as_ref()
    }

    /// Takes the next entry.
    pub(crate) fn next(&mut self) -> Result<Option<Located>, ReadError> {
        let Some(head) = self.head else { return Ok(None) };
        self.head = self.take_smallest()?;
        Ok(Some(head))
    }

    fn take_smallest(&mut self) -> Result<Option<Located>, ReadError> {
        if let [reader] = self.readers.as_mut_slice() {
            let entry = reader.next()?;
            return Ok(entry.map(|entry| Located { file: 0, entry }));
        }
        let present = self.heads.iter().enumerate();
        let present = present.filter_map(|(file, head)| head.map(|entry| (entry.key, file)));
        let Some((_, file)) = present.min() else { return Ok(None) };
        let next = self.readers[file].next()?;
        let entry = std::mem::replace(&mut self.heads[file], next);
        Ok(entry.map(|entry| Located { file: file as u32, entry }))
    }
}

impl Store {
    /// Opens the indexes of several files as one.
    pub(crate) fn merged<'a>(
        &self,
        files: impl IntoIterator<Item = &'a FileEntry>,
    ) -> Result<Merged, ReadError> {
        let readers = files.into_iter().map(|entry| {
            let path = self.shared.layout.object(ObjectKind::Index, &entry.index);
            IndexReader::open(&path, entry)
        });
        Merged::new(readers.collect::<Result<_, _>>()?)
    }
}

/// What two indexes say of one key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// Only the later one has it.
    Added(Located),
    /// Only the earlier one has it.
    Removed(Located),
    /// Both have it.
    Both { before: Located, after: Located },
}

/// Walks two indexes once, in the order of keys.
pub(crate) fn walk<E: From<ReadError>>(
    mut before: Merged,
    mut after: Merged,
    mut each: impl FnMut(Step) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        let step = match (before.head(), after.head()) {
            (None, None) => return Ok(()),
            (Some(old), None) => Step::Removed(*old),
            (None, Some(new)) => Step::Added(*new),
            (Some(old), Some(new)) => match old.entry.key.cmp(&new.entry.key) {
                std::cmp::Ordering::Less => Step::Removed(*old),
                std::cmp::Ordering::Greater => Step::Added(*new),
                std::cmp::Ordering::Equal => Step::Both { before: *old, after: *new },
            },
        };
        if matches!(step, Step::Removed(_) | Step::Both { .. }) {
            before.next()?;
        }
        if matches!(step, Step::Added(_) | Step::Both { .. }) {
            after.next()?;
        }
        each(step)?;
    }
}
