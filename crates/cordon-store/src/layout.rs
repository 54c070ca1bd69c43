//! Where things lie in the store's folder.

use std::path::{Path, PathBuf};

use cordon_model::{ConnectorName, SyncNumber};

use crate::disk::{self, PathError};
use crate::manifest::ObjectRef;

/// What kind of content a content-addressed file has; its name's ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    Data,
    Index,
}

impl ObjectKind {
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Data => "parquet",
            Self::Index => "idx",
        }
    }
}

/// A shelf of manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shelf {
    Candidates,
    Snapshots,
}

/// The store's folders.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes the folders that are missing.
    pub(crate) fn make(root: &Path) -> Result<Self, PathError> {
        let layout = Self { root: root.to_owned() };
        for dir in [layout.objects(), layout.staging()] {
            disk::make_dir(&dir)?;
        }
        for shelf in [Shelf::Candidates, Shelf::Snapshots] {
            disk::make_dir(&layout.shelf(shelf))?;
        }
        disk::sync_dir(root)?;
        Ok(layout)
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    pub(crate) fn shelf(&self, shelf: Shelf) -> PathBuf {
        self.root.join(match shelf {
            Shelf::Candidates => "candidates",
            Shelf::Snapshots => "snapshots",
        })
    }

    pub(crate) fn connector(&self, shelf: Shelf, connector: &ConnectorName) -> PathBuf {
        self.shelf(shelf).join(connector.as_str())
    }

    pub(crate) fn manifest(
        &self,
        shelf: Shelf,
        connector: &ConnectorName,
        sync: SyncNumber,
    ) -> PathBuf {
        self.connector(shelf, connector).join(format!("{sync}.json"))
    }

    /// Where a candidate's manifest waits that was compared anew: beside the one that it may replace.
    pub(crate) fn rebased(&self, connector: &ConnectorName, sync: SyncNumber) -> PathBuf {
        let folder = self.connector(Shelf::Candidates, connector);
        folder.join(format!("{sync}.json{REBASED}"))
    }

    /// The path of a content-addressed file. A digest that is none (its manifest is checked, but was
    /// perhaps written by someone else) leads to a name that does not exist, never out of the folder.
    pub(crate) fn object(&self, kind: ObjectKind, object: &ObjectRef) -> PathBuf {
        let digest = &object.digest;
        let hex = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        let (shard, name) = if hex { (&digest[..2], digest.as_str()) } else { ("xx", "none") };
        self.objects().join(shard).join(format!("{name}.{}", kind.extension()))
    }
}

/// Ends the name of a manifest that may replace the one beside it.
const REBASED: &str = ".next";

/// The sync's number in the name of a manifest that may replace the one beside it, or was about to be
/// written as such.
pub(crate) fn rebased_number(name: &str) -> Option<SyncNumber> {
    let name = name.strip_suffix(".tmp").unwrap_or(name);
    manifest_number(name.strip_suffix(REBASED)?)
}

/// The sync's number in a manifest's file name; none for a name that is not ours.
pub(crate) fn manifest_number(name: &str) -> Option<SyncNumber> {
    let number = name.strip_suffix(".json")?;
    let plain = !number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit());
    if plain { number.parse().ok().map(SyncNumber) } else { None }
}

/// The digest and kind in an object's file name; none for a name that is not ours.
pub(crate) fn object_name(name: &str) -> Option<(&str, ObjectKind)> {
    let (digest, extension) = name.split_once('.')?;
    let kind = match extension {
        "parquet" => ObjectKind::Data,
        "idx" => ObjectKind::Index,
        _ => return None,
    };
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (digest.len() == 64 && digest.bytes().all(hex)).then_some((digest, kind))
}
