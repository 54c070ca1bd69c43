//! What is left of a candidate, once a part of it is published.
//!
//! The candidate keeps its records, its files and its number, and is compared with the newer snapshot:
//! its step, and so its verdict, speaks of what is left. The new manifest is written beside the old
//! one and takes its place only when the ledger knows it, so that after a crash the one that the
//! ledger means is there, whichever that is.

use std::path::PathBuf;

use cordon_model::{ConnectorName, SyncNumber};

use crate::compose::{reports, stored};
use crate::disk;
use crate::finish::{self, Part};
use crate::hash::KeyHasher;
use crate::layout::Shelf;
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest};
use crate::read_error::{Damage, ReadError};
use crate::snapshot::Snapshot;
use crate::stage::{HeldOn, StageError, StageTimings, Staged};
use crate::store::Store;

impl Store {
    /// Compares a candidate with another snapshot, or with a candidate that is about to be one.
    /// [`Store::settle`] makes the result the candidate.
    pub fn rebase(&self, candidate: &Snapshot, onto: &Snapshot) -> Result<Staged, StageError> {
        let old = &candidate.manifest;
        let parts: Vec<Part> = old.files.iter().map(stored).collect();
        let reports = reports(old);
        let watch = old.step.as_ref().map(|_| {
            finish::Watch::new(&reports, HeldOn::default(), KeyHasher::new(&self.shared.key))
        });
        let (step, shape) = finish::step(self, Some(onto), &parts, watch)?;
        let mut delta = finish::delta_between(&old.census, &onto.manifest, &step);
        for (record_type, types) in &mut delta.types {
            let known = old.delta.as_ref().and_then(|delta| delta.types.get(record_type));
            types.carried = known.map_or(0, |step| step.carried);
        }
        let manifest = Manifest {
            against: Some(onto.manifest.sync),
            delta: Some(delta),
            step: shape,
            // They follow from the snapshot that it is compared with, and are made anew when what is
            // left is published.
            tombstones: Vec::new(),
            pending: None,
            delivered: None,
            ..(**old).clone()
        };
        let (bytes, digest) = manifest.encode();
        let beside = self.beside(&manifest.connector, manifest.sync);
        let written = disk::write_beside(&beside, &bytes)?;
        disk::install(&written, &beside)?;
        disk::sync_dir(&self.shared.layout.connector(Shelf::Candidates, &manifest.connector))?;
        self.faults.pass("store.rebase.written");
        Ok(finish::staged(manifest, digest, StageTimings::default()))
    }

    /// Makes the manifest with this digest the candidate's only one, wherever it lies.
    pub fn settle(
        &self,
        connector: &ConnectorName,
        sync: SyncNumber,
        digest: &str,
    ) -> Result<Snapshot, ReadError> {
        let layout = &self.shared.layout;
        let path = layout.manifest(Shelf::Candidates, connector, sync);
        let beside = self.beside(connector, sync);
        let known = self.candidate(connector, sync)?;
        if *known.digest == *digest {
            disk::remove(&beside)?;
            return Ok(known);
        }
        let waiting = disk::read_bounded(&beside, MANIFEST_BYTES_MAX).ok().flatten();
        let found = match waiting.map(|bytes| Manifest::decode(&beside, &bytes)) {
            Some(Ok((_, found))) if found == digest => found,
            _ => {
                let expected = digest.to_owned();
                let damage = Damage::Digest { expected, found: known.digest.to_string() };
                return Err(ReadError::damaged(path, damage));
            }
        };
        disk::install(&beside, &path)?;
        disk::sync_dir(&layout.connector(Shelf::Candidates, connector))?;
        self.faults.pass("store.rebase.settled");
        tracing::debug!(%connector, %sync, digest = found, "candidate compared anew");
        self.candidate(connector, sync)
    }

    fn beside(&self, connector: &ConnectorName, sync: SyncNumber) -> PathBuf {
        self.shared.layout.rebased(connector, sync)
    }
}
