//! The targets.

use std::cell::OnceCell;

use cordon_model::{ConnectorName, SyncNumber, Values};
use cordon_store::{Provenance, StageSpec, Store};
use cordon_wire::v1;
use jiff::Timestamp;
use prost::Message;
use tempfile::TempDir;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::secrets::Redactor;
use crate::seeds;
use crate::session::protocol::{Protocol, Step};

/// Records that a stream may send.
const RECORDS_MAX: u64 = 10_000;

/// One fuzz target.
pub struct Target {
    /// Its name, as `cargo xtask fuzz` takes it.
    pub name: &'static str,
    /// Holds a reader to its promises over these bytes; panics when it breaks one.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Mutations that the tests run.
    pub rounds: u64,
}

/// Every target.
pub static TARGETS: [Target; 6] = [
    Target { name: "batch", run: batch, seeds: seeds::batches, rounds: 100_000 },
    Target { name: "stream", run: stream, seeds: seeds::streams, rounds: 3_000 },
    Target { name: "describe", run: describe, seeds: seeds::descriptions, rounds: 40_000 },
    Target { name: "status", run: status, seeds: seeds::errors, rounds: 6_000 },
    Target { name: "lookup", run: lookup, seeds: seeds::lookups, rounds: 20_000 },
    Target { name: "manifest", run: manifest, seeds: seeds::manifests, rounds: 10_000 },
];

/// A batch that is believed has columns as long as it says, and survives the wire.
fn batch(bytes: &[u8]) {
    let Ok(wire) = v1::Batch::decode(bytes) else { return };
    let Ok(batch) = cordon_wire::batch::from_wire(wire) else { return };
    for column in batch.columns() {
        let len = match &column.values {
            Values::Text { offsets, .. } => offsets.len() - 1,
            Values::Integer(numbers) | Values::Timestamp(numbers) => numbers.len(),
            Values::Boolean(bits) => bits.len(),
        };
        assert_eq!(len, batch.records());
        for index in 0..batch.records() {
            let (_, _) = (column.is_present(index), column.text(index));
        }
    }
    let again = cordon_wire::batch::from_wire(cordon_wire::batch::to_wire(batch.clone()));
    assert_eq!(again.as_ref(), Ok(&batch));
}

/// A stream of messages, each behind its length as in a file, goes through the session's checks and
/// into a staging; what ends well is a candidate that counts exactly what came.
fn stream(mut bytes: &[u8]) {
    thread_local!(static STORE: OnceCell<(TempDir, Store)> = const { OnceCell::new() });
    STORE.with(|cell| {
        let (_, store) = cell.get_or_init(fresh_store);
        let mut protocol = Protocol::new(RECORDS_MAX, Redactor::default());
        let mut staging = match store.stage(spec()) {
            Ok(staging) => staging,
            Err(error) => panic!("no staging: {error}"),
        };
        let mut records = 0;
        while let Ok(message) = v1::SyncMessage::decode_length_delimited(&mut bytes) {
            let done = match protocol.take(message) {
                Err(violation) => {
                    assert!(violation.code.starts_with("CRD-P"), "{violation:?}");
                    return;
                }
                Ok(Step::BeginScope { scope, name }) => staging.begin_scope(scope, &name),
                Ok(Step::Append(batch)) => {
                    records += batch.records() as u64;
                    staging.append(batch)
                }
                Ok(Step::End(reports)) => {
                    let staged = match staging.finish(reports, None) {
                        Ok(staged) => staged,
                        Err(error) => return assert!(error.is_protocol(), "{error:?}"),
                    };
                    let census = staged.candidate.census.types.values();
                    let counted: u64 = census.map(|census| census.records).sum();
                    // Records of one key are counted once.
                    assert!(counted <= records, "{counted} of {records}");
                    let found = store.candidate(&connector(), SyncNumber(1));
                    let found = found.unwrap_or_else(|error| panic!("no candidate: {error}"));
                    assert_eq!(*found.digest, staged.candidate.digest);
                    return;
                }
                Ok(Step::Progress { .. } | Step::Nothing) => Ok(()),
            };
            if let Err(error) = done {
                return assert!(error.is_protocol(), "{error:?}");
            }
        }
        assert_eq!(protocol.ended_early().code, "CRD-P101");
    });
}

fn describe(bytes: &[u8]) {
    let Ok(said) = v1::DescribeResponse::decode(bytes) else { return };
    let Ok(schemas) = cordon_wire::describe::schemas_from_wire(&said.schemas) else { return };
    assert_eq!(schemas.len(), said.schemas.len());
    for (place, schema) in schemas.iter().enumerate() {
        let others = &schemas[place + 1..];
        assert!(others.iter().all(|other| other.record_type != schema.record_type));
    }
}

/// A typed error has a kind and a bounded message, whatever its trailer holds.
fn status(bytes: &[u8]) {
    let (code, trailer) = bytes.split_first().unwrap_or((&0, &[]));
    let text = String::from_utf8_lossy(trailer).into_owned();
    let mut status = Status::new(Code::from_i32(i32::from(*code) % 17), text);
    for key in ["cordon-error-bin", "cordon-problem-bin"] {
        status.metadata_mut().insert_bin(key, MetadataValue::from_bytes(trailer));
    }
    let error = cordon_wire::error::error_from_status(&status);
    let _ = error.kind();
    assert!(error.message.len() < 4_096, "{} bytes", error.message.len());
    let _ = cordon_wire::error::problem_from_status(&status);
}

/// An answer speaks of every key that was asked, and of no other.
fn lookup(bytes: &[u8]) {
    let (keys, answer) = bytes.split_first().unwrap_or((&0, &[]));
    let Ok(answer) = v1::LookupResponse::decode(answer) else { return };
    let keys = usize::from(*keys);
    if let Ok(presences) = cordon_wire::lookup::presences_from_wire(&answer, keys) {
        assert_eq!(presences.len(), keys);
        for (read, word) in presences.iter().zip(&answer.presences) {
            let is_known = v1::Presence::try_from(*word).is_ok();
            assert!(!is_known || i32::from(*read) == *word);
        }
    }
}

/// A manifest on the disk is what was written or is refused; reading it never panics.
fn manifest(bytes: &[u8]) {
    thread_local!(static STORE: OnceCell<(TempDir, Store)> = const { OnceCell::new() });
    STORE.with(|cell| {
        let (dir, store) = cell.get_or_init(fresh_store);
        let folder = dir.path().join("candidates").join(connector().as_str());
        let written = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join("1.json"), bytes));
        written.unwrap_or_else(|error| panic!("{error}"));
        if let Ok(found) = store.candidate(&connector(), SyncNumber(1)) {
            let _ = store.check_files(&found);
            let _ = store.verify(&found);
            let changes = store.changes(None, &found, 0);
            for change in changes.into_iter().flatten().take(100) {
                let _ = change;
            }
        }
    });
}

fn fresh_store() -> (TempDir, Store) {
    // In memory where there is such a place: a candidate is synced file by file.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let dir = dir.unwrap_or_else(|error| panic!("no folder for a store: {error}"));
    let store = Store::open(dir.path()).unwrap_or_else(|error| panic!("no store: {error}"));
    (dir, store)
}

pub(crate) fn connector() -> ConnectorName {
    ConnectorName::new("src").unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn spec() -> StageSpec {
    let schemas = cordon_wire::describe::schemas_from_wire(&seeds::schemas());
    StageSpec {
        shape: true,
        grace: None,
        connector: connector(),
        sync: SyncNumber(1),
        schemas: schemas.unwrap_or_else(|error| panic!("{error}")),
        provenance: Provenance {
            connector_program: "seed".to_owned(),
            connector_version: "1".to_owned(),
            program_digest: "0".repeat(64),
            jail_report_digest: None,
            isolation: std::collections::BTreeMap::new(),
        },
        started_at: Timestamp::UNIX_EPOCH,
    }
}

/// Stages a stream that is honest, and gives its manifest's bytes.
pub(crate) fn staged_manifest(stream: &[u8]) -> Option<Vec<u8>> {
    let (dir, store) = fresh_store();
    let mut staging = store.stage(spec()).ok()?;
    let (mut protocol, mut bytes) = (Protocol::new(RECORDS_MAX, Redactor::default()), stream);
    while let Ok(message) = v1::SyncMessage::decode_length_delimited(&mut bytes) {
        match protocol.take(message).ok()? {
            Step::BeginScope { scope, name } => staging.begin_scope(scope, &name).ok()?,
            Step::Append(batch) => staging.append(batch).ok()?,
            Step::Progress { .. } | Step::Nothing => {}
            Step::End(reports) => {
                staging.finish(reports, None).ok()?;
                return std::fs::read(dir.path().join("candidates/src/1.json")).ok();
            }
        }
    }
    None
}
