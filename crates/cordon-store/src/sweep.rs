//! Removal of what nobody refers to any more.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use cordon_model::{ConnectorName, SyncNumber};

use crate::disk::{self, AtPath, PathError};
use crate::layout::{ObjectKind, Shelf, manifest_number, object_name, rebased_number};
use crate::read_error::ReadError;
use crate::store::{Store, in_flight};

/// What a sweep must leave.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Published snapshots.
    pub snapshots: BTreeSet<(ConnectorName, SyncNumber)>,
    /// Candidates.
    pub candidates: BTreeSet<(ConnectorName, SyncNumber)>,
}

/// What a sweep did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    /// Folders of stagings that nobody works on.
    pub staging: u64,
    /// Manifests that are not kept.
    pub manifests: u64,
    /// Files that no manifest refers to.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files left alone because their names are not the store's.
    pub unknown: Vec<PathBuf>,
}

/// Why a sweep stopped. What it had removed was removable.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A folder cannot be read or a file cannot be removed.
    #[error("cannot sweep {}", path.display())]
    Sweep {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A manifest cannot be read, so no file can be said to be unused.
    #[error("cannot tell which files are in use")]
    Manifest(#[source] ReadError),
}

impl From<PathError> for SweepError {
    fn from(PathError { path, source }: PathError) -> Self {
        Self::Sweep { path, source }
    }
}

/// A manifest on a shelf.
struct Shelved {
    path: PathBuf,
    kept: bool,
}

impl Store {
    /// Removes leftovers of stagings, manifests that are not kept, and files that no remaining
    /// manifest refers to. A manifest that this process wrote stays until a `keep` has named it once
    /// or it is discarded, so a sweep may run while other connectors sync. A file with an unknown
    /// name stays. A manifest that cannot be read stays too, and with it every file there is.
    pub fn sweep(&self, keep: &Keep) -> Result<Swept, SweepError> {
        let _alone = self.shared.commit.write().unwrap_or_else(PoisonError::into_inner);
        let mut swept = Swept::default();
        self.sweep_staging(&mut swept)?;
        let mut used = BTreeSet::new();
        let mut shelved = Vec::new();
        for shelf in [Shelf::Candidates, Shelf::Snapshots] {
            self.read_shelf(shelf, keep, &mut shelved, &mut used, &mut swept)?;
        }
        for (connector, sync) in &keep.snapshots {
            let path = self.shared.layout.manifest(Shelf::Snapshots, connector, *sync);
            if !shelved.iter().any(|manifest| manifest.path == path) {
                return Err(SweepError::Manifest(ReadError::Missing { path }));
            }
        }
        for manifest in shelved.iter().filter(|manifest| !manifest.kept) {
            swept.manifests += u64::from(disk::remove(&manifest.path)?);
        }
        for shelf in [Shelf::Candidates, Shelf::Snapshots] {
            disk::sync_dir(&self.shared.layout.shelf(shelf))?;
        }
        self.sweep_objects(&used, &mut swept)?;
        let named = |of: &(ConnectorName, SyncNumber)| {
            keep.snapshots.contains(of) || keep.candidates.contains(of)
        };
        in_flight(&self.shared).fresh.retain(|of| !named(of));
        Ok(swept)
    }

    /// Removes a candidate's manifest; its files go with the next sweep.
    pub fn discard_candidate(
        &self,
        connector: &ConnectorName,
        sync: SyncNumber,
    ) -> Result<(), SweepError> {
        let path = self.shared.layout.manifest(Shelf::Candidates, connector, sync);
        if disk::remove(&path)? {
            disk::sync_dir(&self.shared.layout.connector(Shelf::Candidates, connector))?;
        }
        if !self.shared.layout.manifest(Shelf::Snapshots, connector, sync).exists() {
            in_flight(&self.shared).fresh.remove(&(connector.clone(), sync));
        }
        Ok(())
    }

    fn sweep_staging(&self, swept: &mut Swept) -> Result<(), SweepError> {
        let in_flight = in_flight(&self.shared);
        for (path, name) in list(&self.shared.layout.staging())? {
            if in_flight.staging.contains(&path) {
                continue;
            }
            if is_staging_name(&name) && path.is_dir() {
                fs::remove_dir_all(&path).at(&path)?;
                swept.staging += 1;
            } else {
                swept.unknown.push(path);
            }
        }
        Ok(())
    }

    /// Reads every manifest before anything is removed: one that cannot be read ends the sweep.
    fn read_shelf(
        &self,
        shelf: Shelf,
        keep: &Keep,
        shelved: &mut Vec<Shelved>,
        used: &mut BTreeSet<(String, &'static str)>,
        swept: &mut Swept,
    ) -> Result<(), SweepError> {
        let kept = match shelf {
            Shelf::Candidates => &keep.candidates,
            Shelf::Snapshots => &keep.snapshots,
        };
        for (folder, name) in list(&self.shared.layout.shelf(shelf))? {
            let Some(connector) = ConnectorName::new(&name).ok().filter(|_| folder.is_dir()) else {
                swept.unknown.push(folder);
                continue;
            };
            for (path, name) in list(&folder)? {
                let Some(sync) = manifest_number(&name) else {
                    if let Some(sync) = rebased_number(&name) {
                        // Of a candidate that is kept, the ledger knows whether it counts.
                        if !kept.contains(&(connector.clone(), sync)) {
                            disk::remove(&path)?;
                        }
                        continue;
                    }
                    match name.strip_suffix(".tmp").and_then(manifest_number) {
                        // The leftover of a write that a crash interrupted.
                        Some(_) => drop(disk::remove(&path)?),
                        None => swept.unknown.push(path),
                    }
                    continue;
                };
                let manifest = self.read_manifest(shelf, &connector, sync);
                let manifest = manifest.map_err(SweepError::Manifest)?.manifest;
                let of = (connector.clone(), sync);
                let kept = kept.contains(&of) || in_flight(&self.shared).fresh.contains(&of);
                if kept {
                    for file in manifest.all_files() {
                        used.insert((file.data.digest.clone(), ObjectKind::Data.extension()));
                        used.insert((file.index.digest.clone(), ObjectKind::Index.extension()));
                    }
                }
                shelved.push(Shelved { path, kept });
            }
        }
        Ok(())
    }

    fn sweep_objects(
        &self,
        used: &BTreeSet<(String, &'static str)>,
        swept: &mut Swept,
    ) -> Result<(), SweepError> {
        for (shard, _) in list(&self.shared.layout.objects())? {
            if !shard.is_dir() {
                swept.unknown.push(shard);
                continue;
            }
            for (path, name) in list(&shard)? {
                let Some((digest, kind)) = object_name(&name) else {
                    swept.unknown.push(path);
                    continue;
                };
                if used.contains(&(digest.to_owned(), kind.extension())) {
                    continue;
                }
                let bytes = fs::metadata(&path).at(&path)?.len();
                if disk::remove(&path)? {
                    swept.objects += 1;
                    swept.bytes += bytes;
                }
            }
        }
        Ok(())
    }
}

/// The entries of a folder in the order of their names; a name that is not UTF-8 is shown, and then
/// is none of ours.
fn list(folder: &Path) -> Result<Vec<(PathBuf, String)>, PathError> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).at(folder)? {
        let entry = entry.at(folder)?;
        entries.push((entry.path(), entry.file_name().to_string_lossy().into_owned()));
    }
    entries.sort();
    Ok(entries)
}

/// Whether a folder's name is that of a staging: connector, sync, and something random.
fn is_staging_name(name: &str) -> bool {
    let mut parts = name.splitn(3, '.');
    let connector = parts.next().is_some_and(|part| ConnectorName::new(part).is_ok());
    let sync = parts.next().is_some_and(|part| part.parse::<u64>().is_ok());
    connector && sync && parts.next().is_some_and(|part| !part.is_empty())
}
