//! Manifests: what a candidate or a snapshot consists of.
//!
//! A manifest is two lines: a header with the BLAKE3 digest of the second line, and the content as
//! JSON. The digest binds every later decision to exactly this content, provenance and times included.
//! Whether two syncs hold the same records is another question, answered by
//! [`Manifest::content_digest`], which leaves out numbers, times and the order of arrival.

use std::collections::BTreeMap;
use std::path::Path;

use cordon_model::{AttributeType, ConnectorName, RecordSchema, RecordType, SyncNumber};
use cordon_validate::detect::Step;
use cordon_validate::{Census, Defect, Delta, PendingRemovals, Selection, ValueCounts};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ChangeCounts;
use crate::read_error::{Damage, ReadError};

/// The format that this build writes and reads.
pub(crate) const FORMAT: u32 = 1;
/// Bytes of a manifest, at most: a hundred thousand scopes need about 40 MiB.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// Where the records came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The connector's name for itself.
    pub connector_program: String,
    /// Its version.
    pub connector_version: String,
    /// Digest of the program that ran.
    pub program_digest: String,
    /// Digest of the report on how it was isolated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub jail_report_digest: Option<String>,
    /// The isolation that was in force: each step that was asked for, and what became of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub isolation: BTreeMap<String, String>,
}

/// A snapshot that no sync brought as it is: the last known good and some changes of a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Composition {
    /// The candidate that the changes come from.
    pub of: SyncNumber,
    /// BLAKE3 of its manifest, in hex: what was reviewed.
    pub of_digest: String,
    /// Which of its changes.
    pub selection: Selection,
}

/// A content-addressed file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRef {
    /// BLAKE3 of its bytes, in hex. Its name in the store.
    pub digest: String,
    /// Its length.
    pub bytes: u64,
}

/// A column of a stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileColumn {
    /// Its name.
    pub name: String,
    /// The type of its values.
    #[serde(rename = "type")]
    pub value_type: AttributeType,
    /// Rows that have a value.
    pub present: u64,
    /// How many have each, where the values are few words; none: they are many, or were not counted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub values: Option<ValueCounts>,
}

/// Records of one kind and type: a Parquet file and its index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Which records.
    pub record_type: RecordType,
    /// Rows of the Parquet file.
    pub rows: u64,
    /// Entries of the index: fewer than rows where keys appear twice.
    pub records: u64,
    /// The sync that confirmed the rows whose `_confirmed` is null.
    pub confirmed: SyncNumber,
    /// Bytes of its largest row, about.
    pub row_bytes_max: u64,
    /// The rows, as Parquet.
    pub data: ObjectRef,
    /// The index: 40 bytes a record in the order of key hashes.
    pub index: ObjectRef,
    /// The attribute columns, in the order of their names.
    pub columns: Vec<FileColumn>,
    /// The scopes' names, by the ordinals of the index.
    pub scopes: Vec<String>,
    /// In which order they arrived, where scopes took turns; empty: one after the other, or in too
    /// many pieces to be kept.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub arrival: Vec<Piece>,
}

/// Rows of one scope that arrived together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The scope's ordinal.
    pub scope: u32,
    /// How many rows.
    pub rows: u32,
}

/// Since when the removal of a record is pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Since {
    /// The sync that no longer had it.
    pub sync: SyncNumber,
    /// When the removal was accepted; none: with this snapshot.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at: Option<Timestamp>,
}

/// Records of one kind and type whose removal is accepted and not final: they are no records of the
/// snapshot any more, and nobody was told to take them away yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstones {
    /// Their rows, as they last were, and their index.
    pub file: FileEntry,
    /// Since when, for each of the file's scopes; one name stands there once for each sync.
    pub since: Vec<Since>,
}

/// A scope, across syncs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeState {
    /// Its name.
    pub name: String,
    /// The last sync that enumerated it to its end; none when none did.
    pub completed: Option<SyncNumber>,
    /// It no longer exists.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub gone: bool,
}

/// What a candidate or a snapshot consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Whose it is.
    pub connector: ConnectorName,
    /// The sync that made it.
    pub sync: SyncNumber,
    /// When the sync began.
    pub taken_at: Timestamp,
    /// The snapshot that it was compared with and that records were carried forward from.
    pub against: Option<SyncNumber>,
    /// Its files, by kind and type; more than one of a type where records were carried forward.
    pub files: Vec<FileEntry>,
    /// Removals that are accepted and not final, where the policy gives a time of grace.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tombstones: Vec<Tombstones>,
    /// How many those are; none: the policy gives no time of grace, and there are none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending: Option<PendingRemovals>,
    /// Changes that go out with it, where tombstones make them others than those of the step.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivered: Option<ChangeCounts>,
    /// Digests of its records.
    pub contents: Contents,
    /// Every scope that reported or holds records, in the order of names.
    pub scopes: Vec<ScopeState>,
    /// What it holds, counted.
    pub census: Census,
    /// The step from the snapshot that it was compared with.
    pub delta: Option<Delta>,
    /// The shape of that step, measured; none where the policy wants none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub step: Option<Step>,
    /// What is wrong with its records.
    pub defects: Vec<Defect>,
    /// What the connector announced.
    pub schemas: Vec<RecordSchema>,
    /// Where it came from.
    pub provenance: Provenance,
    /// What it was composed of, where no sync brought it as it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub composed: Option<Composition>,
    /// Tells which secret its indexes were made with, without revealing it.
    pub key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    cordon_manifest: u32,
    digest: String,
}

/// BLAKE3 by kind and type over keys, rows and scopes in the order of key hashes.
pub(crate) type Contents = BTreeMap<RecordType, String>;

/// What the detector knows a content by: the same records in the same scopes have the same, in any order.
pub(crate) fn fingerprint(contents: &Contents) -> u64 {
    let mut hasher = blake3::Hasher::new();
    add_contents(&mut hasher, contents);
    u64::from_le_bytes(*hasher.finalize().as_bytes().first_chunk().expect("BLAKE3 has 32 bytes"))
}

fn add_contents(hasher: &mut blake3::Hasher, contents: &Contents) {
    for (record_type, digest) in contents {
        hasher.update(format!("{record_type} {digest}\n").as_bytes());
    }
}

impl Manifest {
    /// Every file that it refers to.
    pub(crate) fn all_files(&self) -> impl Iterator<Item = &FileEntry> {
        self.files.iter().chain(self.tombstones.iter().map(|stones| &stones.file))
    }

    /// What the detector knows its content by.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(&self.contents)
    }

    /// Tells whether two syncs of a store hold the same: records, their scopes, and how each scope
    /// ended. Sync numbers, times, watermarks, tombstones and the order of arrival do not
    /// enter.
    pub fn content_digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        add_contents(&mut hasher, &self.contents);
        for (name, scope) in &self.census.scopes {
            let complete = scope.report.outcome.proves_absence();
            let ended = if complete { "to its end" } else { "not to its end" };
            hasher.update(format!("{name:?} {ended}\n").as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The manifest's bytes and the digest of its content.
    pub(crate) fn encode(&self) -> (Vec<u8>, String) {
        let content =
            serde_json::to_vec(self).expect("a manifest has no map that JSON cannot hold");
        let digest = blake3::hash(&content).to_hex().to_string();
        let header = Header { cordon_manifest: FORMAT, digest: digest.clone() };
        let mut bytes = serde_json::to_vec(&header).expect("a header is two plain fields");
        bytes.push(b'\n');
        bytes.extend_from_slice(&content);
        bytes.push(b'\n');
        (bytes, digest)
    }

    /// Reads what [`Manifest::encode`] wrote, and refuses anything else.
    pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<(Self, String), ReadError> {
        let damaged = |damage| ReadError::damaged(path, damage);
        let line = bytes.iter().position(|byte| *byte == b'\n');
        let (header, content) = bytes.split_at(line.ok_or_else(|| damaged(Damage::Header))?);
        let header: Header = serde_json::from_slice(header).map_err(|_| damaged(Damage::Header))?;
        if header.cordon_manifest != FORMAT {
            let found = header.cordon_manifest;
            return Err(damaged(Damage::Format { found, known: FORMAT }));
        }
        let content = content.strip_prefix(b"\n").and_then(|rest| rest.strip_suffix(b"\n"));
        let content = content.ok_or_else(|| damaged(Damage::Header))?;
        let found = blake3::hash(content).to_hex().to_string();
        if found != header.digest {
            return Err(damaged(Damage::Digest { expected: header.digest, found }));
        }
        let manifest =
            serde_json::from_slice(content).map_err(|error| damaged(Damage::Manifest(error)))?;
        Ok((manifest, found))
    }
}
