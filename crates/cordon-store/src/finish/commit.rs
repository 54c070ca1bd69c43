//! Files and manifest reach the disk in an order that no crash can turn into half a candidate.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crate::disk::{self, AtPath, PathError};
use crate::finish::Part;
use crate::layout::{ObjectKind, Shelf};
use crate::manifest::{Manifest, ObjectRef};
use crate::stage::{StageError, Staging};
use crate::store::{Store, in_flight};

/// Syncs that began early and are waited for before the commit.
pub(super) struct EarlySync(Option<JoinHandle<Result<(), PathError>>>);

/// Begins to bring files to disk while the candidate is still compared. The commit syncs them again,
/// but a failure that was told here is told nowhere else: the kernel forgets it, and the next sync
/// of that file succeeds without its data.
pub(super) fn start_sync(store: &Store, parts: &[Part]) -> EarlySync {
    let mut paths = Vec::new();
    for part in parts {
        let Some(staged) = &part.staged else { continue };
        let files = [
            (ObjectKind::Data, &part.entry.data, &staged.data),
            (ObjectKind::Index, &part.entry.index, &staged.index),
        ];
        for (kind, object, path) in files {
            // Content that the store has already will be dropped, not synced.
            if !store.shared.layout.object(kind, object).exists() {
                paths.push(path.clone());
            }
        }
    }
    EarlySync(Some(std::thread::spawn(move || {
        for path in paths {
            File::open(&path).and_then(|file| file.sync_data()).at(&path)?;
        }
        Ok(())
    })))
}

impl EarlySync {
    pub(super) fn wait(mut self) -> Result<(), PathError> {
        match self.0.take().map(JoinHandle::join) {
            Some(Ok(synced)) => synced,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for EarlySync {
    fn drop(&mut self) {
        // Whatever else failed is told already.
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

/// Makes the candidate durable; returns its digest.
pub(super) fn commit(
    staging: &Staging,
    parts: Vec<Part>,
    manifest: &Manifest,
) -> Result<String, StageError> {
    let store = &staging.store;
    // No sweep may run between a file that nothing refers to yet and the manifest that does.
    let _commit = store.commit_shared();
    install(store, parts)?;
    Ok(shelve(store, manifest)?)
}

/// Makes files durable under the names of their content.
pub(crate) fn install(store: &Store, parts: Vec<Part>) -> Result<(), PathError> {
    let mut shards = BTreeSet::new();
    for part in parts {
        let Some(paths) = part.staged else { continue };
        shards.insert(install_file(store, ObjectKind::Data, &part.entry.data, &paths.data)?);
        shards.insert(install_file(store, ObjectKind::Index, &part.entry.index, &paths.index)?);
    }
    for shard in &shards {
        disk::sync_dir(shard)?;
    }
    disk::sync_dir(&store.shared.layout.objects())
}

/// Puts the manifest of a candidate whose files are durable on its shelf; returns its digest.
pub(crate) fn shelve(store: &Store, manifest: &Manifest) -> Result<String, PathError> {
    let layout = &store.shared.layout;
    let shelf = Shelf::Candidates;
    let folder = layout.connector(shelf, &manifest.connector);
    disk::make_dir(&folder)?;
    disk::sync_dir(&layout.shelf(shelf))?;
    let (bytes, digest) = manifest.encode();
    let path = layout.manifest(shelf, &manifest.connector, manifest.sync);
    let beside = disk::write_beside(&path, &bytes)?;
    store.faults.pass("store.stage.manifest-written");
    in_flight(&store.shared).fresh.insert((manifest.connector.clone(), manifest.sync));
    disk::install(&beside, &path)?;
    disk::sync_dir(&folder)?;
    store.faults.pass("store.stage.done");
    Ok(digest)
}

/// Moves a file to its name; returns the folder that must be synced. Where the same content is there
/// already and whole, that stays and ours goes with the staging folder; a damaged one is replaced.
/// The folder is synced even then: whoever put the file there may have died before that.
fn install_file(
    store: &Store,
    kind: ObjectKind,
    object: &ObjectRef,
    from: &Path,
) -> Result<PathBuf, PathError> {
    store.faults.pass("store.stage.file-written");
    let path = store.shared.layout.object(kind, object);
    let shard = path.parent().expect("an object lies in a folder").to_owned();
    if store.open_object(kind, object).is_ok() {
        return Ok(shard);
    }
    File::open(from).and_then(|file| file.sync_all()).at(from)?;
    store.faults.pass("store.stage.file-synced");
    disk::make_dir(&shard)?;
    disk::install(from, &path)?;
    store.faults.pass("store.stage.object-renamed");
    Ok(shard)
}
