//! What the walk tells the watch, from one thread to the other.
//!
//! A sync waits for the walk, and another core has less to do: so the walk only notes what it passes,
//! and what that says is somebody else's work. Notes go in batches that return when they were
//! read, so that a few are enough for any number of records. A watch that ended early, since it could
//! not read, is told nothing more; whoever waits for it hears why.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use cordon_model::RecordKind;

use crate::finish::sides::Opened;
use crate::index::Located;

/// Grants and changed records of a batch.
const BATCH_RECORDS: usize = 4 << 10;
/// Batches that wait for the watch.
const BATCHES_WAITING_MAX: usize = 4;

/// What the watch is told.
pub(super) enum Told<'a> {
    /// A kind and type begins, and the one before has ended.
    Type(Arc<Opened<'a>>),
    /// Records of it.
    Records(Batch),
}

/// Some records of a type that the walk passed.
#[derive(Default)]
pub(super) struct Batch {
    /// Resources and entitlements that both sides have with one and the same row.
    pub(super) kept: u64,
    /// Grants that both sides have with one and the same row.
    pub(super) grants: Vec<KeptGrant>,
    /// The halves of their keys that principals have, each with how many of them have it: a
    /// principal's grants come together.
    pub(super) principals: Vec<(u64, u32)>,
    /// How many of them were of a privileged entitlement.
    pub(super) privileged: u64,
    pub(super) changed: Vec<Changed>,
}

/// What the last known good has of a grant. The walk writes one for nearly each, and another core has to
/// fetch it: so it has 16 bytes.
pub(super) struct KeptGrant {
    /// The half of its key that its entitlement has.
    pub(super) entitlement: u64,
    pub(super) file: u32,
    pub(super) row: u32,
}

impl Batch {
    #[inline]
    fn keep(&mut self, old: &Located, privileged: bool) {
        let Located { file, entry } = old;
        self.grants.push(KeptGrant { entitlement: entry.key.low, file: *file, row: entry.row });
        self.privileged += u64::from(privileged);
        match self.principals.last_mut() {
            Some((principal, grants)) if *principal == entry.key.high => *grants += 1,
            _ => self.principals.push((entry.key.high, 1)),
        }
    }

    fn is_full(&self) -> bool {
        self.grants.len() + self.changed.len() >= BATCH_RECORDS
    }

    fn clear(&mut self) {
        self.kept = 0;
        self.grants.clear();
        self.principals.clear();
        self.privileged = 0;
        self.changed.clear();
    }
}

/// A record that one side has, or both with different rows.
#[derive(Clone, Copy)]
pub(super) struct Changed {
    pub(super) old: Option<Located>,
    pub(super) new: Option<Located>,
    /// On which of them it is a grant of a privileged entitlement.
    pub(super) privileged: (bool, bool),
}

/// Tells the watch.
pub(crate) struct Teller<'a> {
    batch: Batch,
    watch: SyncSender<Told<'a>>,
    read: Receiver<Batch>,
}

/// Hears what the walk tells.
pub(super) struct Listener<'a> {
    pub(super) told: Receiver<Told<'a>>,
    read: Sender<Batch>,
}

impl Listener<'_> {
    /// Gives back a batch that was read.
    pub(super) fn give_back(&self, mut batch: Batch) {
        batch.clear();
        // When the walk has ended nobody needs it.
        let _ = self.read.send(batch);
    }
}

pub(super) fn telling<'a>() -> (Teller<'a>, Listener<'a>) {
    let (watch, told) = sync_channel(BATCHES_WAITING_MAX);
    let (give_back, read) = channel();
    (Teller { batch: Batch::default(), watch, read }, Listener { told, read: give_back })
}

impl<'a> Teller<'a> {
    /// Begins a kind and type.
    pub(in crate::finish) fn begin(&mut self, opened: &Arc<Opened<'a>>) {
        self.flush();
        let _ = self.watch.send(Told::Type(Arc::clone(opened)));
    }

    /// Tells of a record that was found on one side or both. `privileged` says on which of them it is
    /// a grant of a privileged entitlement.
    #[inline]
    pub(in crate::finish) fn see(
        &mut self,
        kind: RecordKind,
        old: Option<&Located>,
        new: Option<&Located>,
        privileged: (bool, bool),
    ) {
        match old.zip(new) {
            Some((old, new)) if old.entry.hash == new.entry.hash => match kind {
                RecordKind::Grant => self.batch.keep(old, privileged.0),
                RecordKind::Resource | RecordKind::Entitlement => self.batch.kept += 1,
            },
            _ => {
                let (old, new) = (old.copied(), new.copied());
                self.batch.changed.push(Changed { old, new, privileged });
            }
        }
        if self.batch.is_full() {
            self.flush();
        }
    }

    /// Tells what was noted.
    fn flush(&mut self) {
        let next = self.read.try_recv().unwrap_or_default();
        let batch = std::mem::replace(&mut self.batch, next);
        let _ = self.watch.send(Told::Records(batch));
    }
}

impl Drop for Teller<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}
