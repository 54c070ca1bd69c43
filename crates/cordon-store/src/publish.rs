//! A candidate becomes a snapshot.
//!
//! Everything it consists of is on disk already; what is left is one rename. Before it the old
//! snapshot is the newest, after it the new one is, and there is nothing in between.

use std::io;
use std::path::PathBuf;
use std::sync::PoisonError;

use cordon_model::{ConnectorName, SyncNumber};
use cordon_validate::{Accepted, Release, Verdict};

use crate::disk::{self, AtPath, PathError};
use crate::layout::{ObjectKind, Shelf, manifest_number};
use crate::manifest::ObjectRef;
use crate::read_error::{Damage, ReadError};
use crate::snapshot::Snapshot;
use crate::store::{Store, in_flight};

/// A snapshot that is published now, and why it was allowed to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Whose it is.
    pub connector: ConnectorName,
    /// Its number.
    pub sync: SyncNumber,
    /// BLAKE3 of its manifest, in hex.
    pub digest: String,
    /// What was noticed of it.
    pub verdict: Verdict,
    /// Who let it pass; none when the policy did.
    pub released_by: Option<Release>,
}

/// Why a snapshot was not published. In every case the previous one stays the newest.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The manifest cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another snapshot became the newest since the candidate was judged.
    #[error(
        "sync {sync} of {connector} was judged against {}, but {} is the newest snapshot by now",
        number(*judged), number(*current)
    )]
    Outrun {
        /// Whose sync it is.
        connector: ConnectorName,
        /// Its number.
        sync: SyncNumber,
        /// The snapshot it was judged against.
        judged: Option<SyncNumber>,
        /// The newest snapshot.
        current: Option<SyncNumber>,
    },
    /// What is stored is not what was accepted.
    #[error("sync {sync} of {connector} was accepted as {accepted}, but {found} is stored")]
    OtherContent {
        /// Whose sync it is.
        connector: ConnectorName,
        /// Its number.
        sync: SyncNumber,
        /// The digest that was accepted.
        accepted: String,
        /// The digest that is stored.
        found: String,
    },
    /// The candidate or one of its files is missing or damaged.
    #[error(transparent)]
    Missing(ReadError),
}

impl From<PathError> for PublishError {
    fn from(PathError { path, source }: PathError) -> Self {
        Self::Write { path, source }
    }
}

impl From<ReadError> for PublishError {
    fn from(error: ReadError) -> Self {
        Self::Missing(error)
    }
}

fn number(sync: Option<SyncNumber>) -> String {
    sync.map_or_else(|| "nothing".to_owned(), |sync| format!("snapshot {sync}"))
}

impl Store {
    /// Makes an accepted candidate the newest snapshot of its connector. Doing it again with the same
    /// content changes nothing, so a crash before the ledger knew of it is repaired by repeating.
    // By value: the proof is used up.
    #[allow(clippy::needless_pass_by_value)]
    pub fn publish(&self, accepted: Accepted) -> Result<Published, PublishError> {
        let _commit = self.commit_shared();
        let _one = self.shared.publish.lock().unwrap_or_else(PoisonError::into_inner);
        let (connector, sync) = (accepted.connector(), accepted.sync());
        match self.snapshot(connector, sync) {
            Ok(published) => {
                same_content(&accepted, &published)?;
                // Whoever renamed it may have died before the folder was synced.
                disk::sync_dir(&self.shared.layout.connector(Shelf::Snapshots, connector))?;
            }
            Err(ReadError::Missing { .. }) => self.publish_candidate(&accepted)?,
            Err(error) => return Err(error.into()),
        }
        self.forget_candidate(connector, sync)?;
        Ok(Published {
            connector: connector.clone(),
            sync,
            digest: accepted.digest().to_owned(),
            verdict: accepted.verdict().clone(),
            released_by: accepted.released_by().cloned(),
        })
    }

    fn publish_candidate(&self, accepted: &Accepted) -> Result<(), PublishError> {
        let (connector, sync) = (accepted.connector(), accepted.sync());
        // The bytes that were judged, not the same content written anew: what is read of a fraction may
        // be its neighbour, and then it has another digest than the ledger knows.
        let (candidate, bytes) = self.read_manifest_bytes(Shelf::Candidates, connector, sync)?;
        same_content(accepted, &candidate)?;
        let current = self.newest(connector)?;
        let judged = accepted.against();
        if current != judged {
            let connector = connector.clone();
            return Err(PublishError::Outrun { connector, sync, judged, current });
        }
        self.check_files(&candidate)?;
        let layout = &self.shared.layout;
        let folder = layout.connector(Shelf::Snapshots, connector);
        disk::make_dir(&folder)?;
        disk::sync_dir(&layout.shelf(Shelf::Snapshots))?;
        let path = layout.manifest(Shelf::Snapshots, connector, sync);
        let beside = disk::write_beside(&path, &bytes)?;
        self.faults.pass("store.publish.manifest-written");
        in_flight(&self.shared).fresh.insert((connector.clone(), sync));
        disk::install(&beside, &path)?;
        self.faults.pass("store.publish.renamed");
        disk::sync_dir(&folder)?;
        self.faults.pass("store.publish.synced");
        Ok(())
    }

    /// Takes back a publication that the ledger never heard of: the newest snapshot is a candidate
    /// again, so that it can wait for a person, be published anew, or be swept.
    pub fn withdraw(
        &self,
        connector: &ConnectorName,
        sync: SyncNumber,
    ) -> Result<(), PublishError> {
        let _commit = self.commit_shared();
        let _one = self.shared.publish.lock().unwrap_or_else(PoisonError::into_inner);
        let layout = &self.shared.layout;
        let published = layout.manifest(Shelf::Snapshots, connector, sync);
        let folder = layout.connector(Shelf::Candidates, connector);
        disk::make_dir(&folder)?;
        std::fs::rename(&published, layout.manifest(Shelf::Candidates, connector, sync))
            .at(&published)?;
        disk::sync_dir(&folder)?;
        disk::sync_dir(&layout.connector(Shelf::Snapshots, connector))?;
        Ok(())
    }

    /// Every connector that has a published snapshot, or had one.
    pub fn connectors(&self) -> Result<Vec<ConnectorName>, ReadError> {
        let shelf = self.shared.layout.shelf(Shelf::Snapshots);
        let entries = match std::fs::read_dir(&shelf) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.at(&shelf)?,
        };
        let mut connectors = Vec::new();
        for entry in entries {
            let name = entry.at(&shelf)?.file_name();
            connectors.extend(name.to_str().and_then(|name| ConnectorName::new(name).ok()));
        }
        Ok(connectors)
    }

    /// The number of a connector's newest published snapshot.
    pub fn newest(&self, connector: &ConnectorName) -> Result<Option<SyncNumber>, ReadError> {
        let folder = self.shared.layout.connector(Shelf::Snapshots, connector);
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            entries => entries.at(&folder)?,
        };
        let mut newest = None;
        for entry in entries {
            let name = entry.at(&folder)?.file_name();
            newest = newest.max(name.to_str().and_then(manifest_number));
        }
        Ok(newest)
    }

    /// Measures every file of a snapshot by its length; [`Store::verify`] reads them.
    pub fn check_files(&self, snapshot: &Snapshot) -> Result<(), ReadError> {
        for file in snapshot.manifest.all_files() {
            self.check_length(ObjectKind::Data, &file.data)?;
            self.check_length(ObjectKind::Index, &file.index)?;
        }
        Ok(())
    }

    fn check_length(&self, kind: ObjectKind, object: &ObjectRef) -> Result<(), ReadError> {
        let path = self.shared.layout.object(kind, object);
        let found = std::fs::metadata(&path).at(&path)?.len();
        if found == object.bytes {
            return Ok(());
        }
        Err(ReadError::damaged(path, Damage::Size { expected: object.bytes, found }))
    }

    /// The candidate's manifest has become the snapshot's.
    fn forget_candidate(
        &self,
        connector: &ConnectorName,
        sync: SyncNumber,
    ) -> Result<(), PathError> {
        let path = self.shared.layout.manifest(Shelf::Candidates, connector, sync);
        disk::remove(&path).map(drop)
    }
}

fn same_content(accepted: &Accepted, stored: &Snapshot) -> Result<(), PublishError> {
    if *accepted.digest() == *stored.digest {
        return Ok(());
    }
    Err(PublishError::OtherContent {
        connector: accepted.connector().clone(),
        sync: accepted.sync(),
        accepted: accepted.digest().to_owned(),
        found: stored.digest.to_string(),
    })
}
