//! Reading candidates and snapshots back.

use std::sync::Arc;

use cordon_model::{ConnectorName, SyncNumber};

use crate::disk;
use crate::layout::{ObjectKind, Shelf};
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest, ObjectRef};
use crate::read_error::{Damage, ReadError};
use crate::store::Store;

/// A candidate or a published snapshot, its manifest verified. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What it consists of.
    pub manifest: Arc<Manifest>,
    /// BLAKE3 of the manifest's content, in hex.
    pub digest: Arc<str>,
}

impl Snapshot {
    /// See [`Manifest::content_digest`].
    pub fn content_digest(&self) -> String {
        self.manifest.content_digest()
    }
}

impl Store {
    /// A stored candidate.
    pub fn candidate(
        &self,
        connector: &ConnectorName,
        sync: SyncNumber,
    ) -> Result<Snapshot, ReadError> {
        self.read_manifest(Shelf::Candidates, connector, sync)
    }

    /// A published snapshot.
    pub fn snapshot(
        &self,
        connector: &ConnectorName,
        sync: SyncNumber,
    ) -> Result<Snapshot, ReadError> {
        self.read_manifest(Shelf::Snapshots, connector, sync)
    }

    /// Reads every file of a snapshot and refuses by name one that is missing or differs.
    pub fn verify(&self, snapshot: &Snapshot) -> Result<(), ReadError> {
        for entry in snapshot.manifest.all_files() {
            self.verify_object(ObjectKind::Data, &entry.data)?;
            self.verify_object(ObjectKind::Index, &entry.index)?;
        }
        Ok(())
    }

    pub(crate) fn read_manifest(
        &self,
        shelf: Shelf,
        connector: &ConnectorName,
        sync: SyncNumber,
    ) -> Result<Snapshot, ReadError> {
        self.read_manifest_bytes(shelf, connector, sync).map(|(snapshot, _)| snapshot)
    }

    /// The same with the bytes that it was read from.
    pub(crate) fn read_manifest_bytes(
        &self,
        shelf: Shelf,
        connector: &ConnectorName,
        sync: SyncNumber,
    ) -> Result<(Snapshot, Vec<u8>), ReadError> {
        let path = self.shared.layout.manifest(shelf, connector, sync);
        let bytes = disk::read_bounded(&path, MANIFEST_BYTES_MAX)
            .map_err(|source| disk::PathError { path: path.clone(), source })?;
        let Some(bytes) = bytes else {
            let damage = Damage::TooLarge { bytes_max: MANIFEST_BYTES_MAX };
            return Err(ReadError::damaged(path, damage));
        };
        let (manifest, digest) = Manifest::decode(&path, &bytes)?;
        if manifest.connector != *connector || manifest.sync != sync {
            let damage = Damage::Name {
                expected: format!("{connector} {sync}"),
                found: format!("{} {}", manifest.connector, manifest.sync),
            };
            return Err(ReadError::damaged(path, damage));
        }
        let expected = self.fingerprint();
        if manifest.key != expected {
            let damage = Damage::OtherKey { expected, found: manifest.key };
            return Err(ReadError::damaged(path, damage));
        }
        Ok((Snapshot { manifest: Arc::new(manifest), digest: digest.into() }, bytes))
    }

    /// Opens a content-addressed file after comparing its whole content with its digest.
    pub(crate) fn open_object(
        &self,
        kind: ObjectKind,
        object: &ObjectRef,
    ) -> Result<std::fs::File, ReadError> {
        let path = self.shared.layout.object(kind, object);
        let file = std::fs::File::open(&path)
            .map_err(|source| disk::PathError { path: path.clone(), source })?;
        let (found, bytes) = disk::digest_file(&file)
            .map_err(|source| disk::PathError { path: path.clone(), source })?;
        if bytes != object.bytes {
            let damage = Damage::Size { expected: object.bytes, found: bytes };
            return Err(ReadError::damaged(path, damage));
        }
        if found != object.digest {
            let damage = Damage::Digest { expected: object.digest.clone(), found };
            return Err(ReadError::damaged(path, damage));
        }
        Ok(file)
    }

    fn verify_object(&self, kind: ObjectKind, object: &ObjectRef) -> Result<(), ReadError> {
        self.open_object(kind, object).map(drop)
    }
}
