//! Spilled runs become indexes, and keys that appear twice are found.

use std::collections::HashMap;

use cordon_model::RecordKind;
use cordon_validate::{Defect, DefectKind};

use crate::disk::PathError;
use crate::finish::part::StagedPaths;
use crate::finish::{Misses, Part};
use crate::hash::KeyHash;
use crate::index::{Entry, IndexWriter, Merged, WrittenFile};
use crate::manifest::{FileColumn, FileEntry};
use crate::sorter::Sorted;
use crate::stage::{StageError, Staging, TypeStage};

/// A type's index, and its keys that appeared twice.
struct Indexed {
    file: WrittenFile,
    entries: u64,
    scopes: Vec<u32>,
    duplicates: Misses,
}

/// Ends indexes and files of all types that have records.
pub(super) fn close(staging: &mut Staging) -> Result<(Vec<Part>, Vec<Defect>), StageError> {
    let mut indexed = Vec::new();
    for of in &mut staging.types {
        let runs = of.index.take();
        if of.rows == 0 {
            indexed.push(None);
            continue;
        }
        let path = staging.dir.file(&format!("{}.idx", of.record_type));
        indexed.push(Some(index(runs.into_sorted()?, IndexWriter::create(path)?, of.rows)?));
    }
    // The encoder worked on while the runs were merged.
    let encoded = staging.encoder.finish()?;
    let mut parts = Vec::new();
    let mut duplicates = Vec::new();
    for ((of, indexed), encoded) in staging.types.iter().zip(indexed).zip(encoded) {
        let (Some(indexed), Some((data, rows))) = (indexed, encoded) else { continue };
        let names = indexed.scopes.iter().map(|ordinal| &staging.scopes[*ordinal as usize].name);
        let entry = FileEntry {
            record_type: of.record_type.clone(),
            rows,
            records: indexed.entries,
            confirmed: staging.spec.sync,
            row_bytes_max: of.row_bytes_max as u64,
            data: data.object,
            index: indexed.file.object,
            columns: file_columns(of),
            scopes: names.cloned().collect(),
            arrival: of.arrival.pieces(&indexed.scopes),
        };
        let staged = Some(StagedPaths { data: data.path, index: indexed.file.path });
        parts.push(Part { entry, staged, reported: true });
        duplicates.push(indexed.duplicates);
    }
    parts_by_type(&mut parts, &mut duplicates);
    across_types(staging, &parts, &mut duplicates)?;
    let mut defects = Vec::new();
    for (part, duplicates) in parts.iter().zip(duplicates) {
        if duplicates.count > 0 {
            defects.push(duplicates.into_defect(DefectKind::DuplicateKey, None, part)?);
        }
    }
    Ok((parts, defects))
}

/// Types may be announced in any order; manifests list them in one.
fn parts_by_type(parts: &mut Vec<Part>, duplicates: &mut Vec<Misses>) {
    let mut both: Vec<_> = parts.drain(..).zip(duplicates.drain(..)).collect();
    both.sort_by(|(a, _), (b, _)| a.entry.record_type.cmp(&b.entry.record_type));
    (*parts, *duplicates) = both.into_iter().unzip();
}

fn file_columns(of: &TypeStage) -> Vec<FileColumn> {
    let columns = of.columns.iter().zip(&of.tallies).map(|(column, tally)| FileColumn {
        name: column.name.clone(),
        value_type: column.value_type,
        present: tally.present,
        values: tally.values(),
    });
    columns.collect()
}

/// Writes sorted entries as an index. Of records with one key the first to arrive stays; scopes are
/// numbered by their first record, so that the same records make the same index.
fn index(
    mut sorted: Sorted<Entry>,
    mut writer: IndexWriter,
    rows: u32,
) -> Result<Indexed, PathError> {
    let mut duplicates = Misses { of: u64::from(rows), ..Misses::default() };
    let mut scopes = Vec::new();
    let mut places: HashMap<u32, u32> = HashMap::new();
    let mut last_scope = None;
    let mut last: Option<KeyHash> = None;
    while let Some(entry) = sorted.next()? {
        if last == Some(entry.key) {
            duplicates.add(entry.row);
            continue;
        }
        last = Some(entry.key);
        let place = match last_scope {
            Some((scope, place)) if scope == entry.scope() => place,
            _ => *places.entry(entry.scope()).or_insert_with(|| {
                scopes.push(entry.scope());
                scopes.len() as u32 - 1
            }),
        };
        last_scope = Some((entry.scope(), place));
        writer.push(&entry.moved(entry.row, place))?;
    }
    let (file, entries) = writer.finish()?;
    Ok(Indexed { file, entries, scopes, duplicates })
}

/// An entitlement's id is unique in its connector, whatever it is held on.
fn across_types(
    staging: &Staging,
    parts: &[Part],
    duplicates: &mut [Misses],
) -> Result<(), StageError> {
    let entitlements = parts.iter().enumerate();
    let entitlements: Vec<_> = entitlements
        .filter(|(_, part)| part.entry.record_type.kind == RecordKind::Entitlement)
        .collect();
    if entitlements.len() < 2 {
        return Ok(());
    }
    let readers = entitlements.iter().map(|(_, part)| part.index(&staging.store));
    let readers = readers.collect::<Result<_, _>>()?;
    let mut merged = Merged::new(readers)?;
    let mut last = None;
    while let Some(located) = merged.next()? {
        if last == Some(located.entry.key) {
            duplicates[entitlements[located.file as usize].0].add(located.entry.row);
        }
        last = Some(located.entry.key);
    }
    Ok(())
}
