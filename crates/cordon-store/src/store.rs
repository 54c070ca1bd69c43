//! The store: a folder with a secret, and what every operation on it shares.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use cordon_model::{ConnectorName, SyncNumber};

use crate::disk::{self, AtPath, PathError};
use crate::faults::{FaultHook, Faults};
use crate::hash::KeyHasher;
use crate::layout::{Layout, Shelf};
use crate::limits::Limits;
use crate::read_error::Damage;

/// Bytes of the store's secret.
pub(crate) const KEY_BYTES: usize = 32;

/// Why a store was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder or the secret cannot be made or read.
    #[error("cannot open the store at {}", path.display())]
    Open {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The secret is not what was written.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The secret's file.
        path: PathBuf,
        /// The check that failed.
        #[source]
        damage: Damage,
    },
    /// There are snapshots, but the secret that their indexes were made with is gone.
    #[error("{} is missing, and the snapshots in {} cannot be compared without it", path.display(), snapshots.display())]
    KeyLost {
        /// Where the secret should be.
        path: PathBuf,
        /// Where the snapshots are.
        snapshots: PathBuf,
    },
}

impl From<PathError> for OpenError {
    fn from(PathError { path, source }: PathError) -> Self {
        Self::Open { path, source }
    }
}

/// What this process knows and the disk does not: which files are in use though nothing refers to
/// them yet.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    /// Folders of stagings that live.
    pub(crate) staging: BTreeSet<PathBuf>,
    /// Manifests written by this process that no [`crate::Keep`] has named so far.
    pub(crate) fresh: BTreeSet<(ConnectorName, SyncNumber)>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) layout: Layout,
    pub(crate) key: [u8; KEY_BYTES],
    pub(crate) in_flight: Mutex<InFlight>,
    /// Held for reading while objects are renamed and a manifest does not name them yet; a sweep
    /// takes it for writing.
    pub(crate) commit: RwLock<()>,
    /// One snapshot is published at a time.
    pub(crate) publish: Mutex<()>,
}

/// Locks what is in flight. A panic elsewhere leaves the sets whole: each change is one call.
pub(crate) fn in_flight(shared: &Shared) -> MutexGuard<'_, InFlight> {
    shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Staging, snapshots and publishing in one folder. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    pub(crate) faults: Faults,
    pub(crate) limits: Limits,
}

impl Store {
    /// Opens the store in a folder; makes the folder, its layout and its secret where they are
    /// missing. One process at a time may have it open: the caller holds the lock.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        disk::make_dir(dir)?;
        let layout = Layout::make(dir)?;
        let key = open_key(dir, &layout)?;
        let shared = Shared {
            layout,
            key,
            in_flight: Mutex::new(InFlight::default()),
            commit: RwLock::new(()),
            publish: Mutex::new(()),
        };
        Ok(Self { shared: Arc::new(shared), faults: Faults::default(), limits: Limits::default() })
    }

    /// The same store with other limits.
    #[cfg(test)]
    pub(crate) fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    pub(crate) fn fingerprint(&self) -> String {
        KeyHasher::fingerprint(&self.shared.key)
    }

    /// Keeps sweeps away while it is held.
    pub(crate) fn commit_shared(&self) -> RwLockReadGuard<'_, ()> {
        self.shared.commit.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same store, calling `hook` at every one of [`crate::FAULT_POINTS`].
    pub fn with_faults(self, hook: FaultHook) -> Self {
        Self { faults: Faults::new(hook), ..self }
    }
}

/// Reads the secret, or makes it in a store that has nothing to compare with.
fn open_key(dir: &Path, layout: &Layout) -> Result<[u8; KEY_BYTES], OpenError> {
    let path = dir.join("key");
    match disk::read_bounded(&path, KEY_BYTES as u64) {
        Ok(Some(bytes)) => {
            let found = bytes.len() as u64;
            let damage = Damage::Key { found };
            bytes.try_into().map_err(|_| OpenError::Damaged { path, damage })
        }
        Ok(None) => {
            let damage = Damage::TooLarge { bytes_max: KEY_BYTES as u64 };
            Err(OpenError::Damaged { path, damage })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(dir, &path, layout),
        Err(source) => Err(OpenError::Open { path, source }),
    }
}

fn make_key(dir: &Path, path: &Path, layout: &Layout) -> Result<[u8; KEY_BYTES], OpenError> {
    let snapshots = layout.shelf(Shelf::Snapshots);
    let mut entries = std::fs::read_dir(&snapshots).at(&snapshots)?;
    if entries.next().is_some() {
        return Err(OpenError::KeyLost { path: path.to_owned(), snapshots });
    }
    let random = Path::new("/dev/urandom");
    let mut key = [0; KEY_BYTES];
    File::open(random).and_then(|mut file| file.read_exact(&mut key)).at(random)?;
    let beside = disk::write_beside(path, &key)?;
    // A link, unlike a rename, never replaces a key that someone else made meanwhile.
    std::fs::hard_link(&beside, path).at(path)?;
    std::fs::remove_file(&beside).at(&beside)?;
    disk::sync_dir(dir)?;
    Ok(key)
}
