//! The folder of one staging. It goes when its staging goes, however that ends; what a crash leaves
//! is swept.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cordon_model::{ConnectorName, SyncNumber};

use crate::disk::{AtPath, PathError};
use crate::store::{Store, in_flight};

#[derive(Debug)]
pub(crate) struct StagingDir {
    path: PathBuf,
    store: Store,
}

impl StagingDir {
    pub(crate) fn make(
        store: &Store,
        connector: &ConnectorName,
        sync: SyncNumber,
    ) -> Result<Self, PathError> {
        let staging = store.shared.layout.staging();
        // Held while the folder is made, so that no sweep sees a folder that nobody claims.
        let mut in_flight = in_flight(&store.shared);
        let dir = tempfile::Builder::new()
            .prefix(&format!("{connector}.{sync}."))
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&staging)
            .at(&staging)?;
        let path = dir.keep();
        in_flight.staging.insert(path.clone());
        drop(in_flight);
        Ok(Self { path, store: store.clone() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for StagingDir {
    fn drop(&mut self) {
        // The folder goes first: as long as it is listed as ours, no sweep looks at it.
        let path = &self.path;
        if let Err(error) = fs::remove_dir_all(path) {
            tracing::warn!(path = %path.display(), %error, "staging folder left for the next sweep");
        }
        in_flight(&self.store.shared).staging.remove(path);
    }
}
