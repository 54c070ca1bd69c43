//! Records whose scope was not enumerated to its end are carried forward from the last known good.
//!
//! "Missing" means "unknown" for them. They keep their row, their scope's name and the sync that last
//! confirmed them. They go into files of their own, with the columns that they had: whatever the
//! connector announces today, a record that nobody spoke of stays as it was. A bitmap over the old
//! rows holds what is carried, so that memory is a bit and a half a row. A composed candidate carries
//! all that was not selected, in the same way.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use cordon_model::{RecordKind, SyncNumber};

use crate::columns::TypeColumns;
use crate::disk::PathError;
use crate::finish::chosen::Chosen;
use crate::finish::part::StagedPaths;
use crate::finish::{Part, Reports, is_open};
use crate::index::{IndexWriter, Located, Merged, Step, walk};
use crate::manifest::{FileColumn, FileEntry};
use crate::parquet_file::ParquetFile;
use crate::read_error::{Damage, ReadError};
use crate::snapshot::Snapshot;
use crate::stage::{StageError, Staging};

/// Adds a part for everything that is carried forward.
pub(super) fn carry(
    staging: &Staging,
    reports: &Reports,
    last_good: &Snapshot,
    carry: Carried<'_>,
    parts: &mut Vec<Part>,
) -> Result<(), StageError> {
    let files = &last_good.manifest.files;
    let mut carried = Vec::new();
    let mut first = 0;
    for files in files.chunk_by(|a, b| a.record_type == b.record_type) {
        let of_chunk = match carry {
            Carried::Unknown => Carried::Unknown,
            Carried::AllBut(dropped) => Carried::AllBut(&dropped[first..first + files.len()]),
        };
        first += files.len();
        let chosen = choose(staging, reports, files, of_chunk, parts)?;
        for group in groups(files, &chosen) {
            carried.push(carry_group(staging, &group, carried.len())?);
        }
    }
    parts.extend(carried);
    parts.sort_by(|a, b| a.entry.record_type.cmp(&b.entry.record_type));
    Ok(())
}

/// What is carried of the records that a sync did not report.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Carried<'a> {
    /// Those whose scope was not enumerated to its end.
    Unknown,
    /// All but these, by file of the last known good.
    AllBut(&'a [Chosen]),
}

/// Marks what is missing from the candidate and is carried.
fn choose(
    staging: &Staging,
    reports: &Reports,
    files: &[FileEntry],
    carry: Carried<'_>,
    parts: &[Part],
) -> Result<Vec<Chosen>, StageError> {
    let mut chosen: Vec<_> = files.iter().map(|file| Chosen::none(file.rows)).collect();
    let open: Vec<Vec<bool>> = files
        .iter()
        .map(|file| file.scopes.iter().map(|scope| is_open(reports, scope)).collect())
        .collect();
    if matches!(carry, Carried::Unknown) && !open.iter().flatten().any(|open| *open) {
        return Ok(chosen);
    }
    let Some(record_type) = files.first().map(|file| &file.record_type) else { return Ok(chosen) };
    let now = parts.iter().filter(|part| match record_type.kind {
        // An entitlement that is held on another type of resource now is the same entitlement.
        RecordKind::Entitlement => part.entry.record_type.kind == RecordKind::Entitlement,
        RecordKind::Resource | RecordKind::Grant => part.entry.record_type == *record_type,
    });
    let now = now.map(|part| part.index(&staging.store)).collect::<Result<_, _>>()?;
    walk(staging.store.merged(files)?, Merged::new(now)?, |step| {
        if let Step::Removed(Located { file, entry }) = step {
            let carried = match carry {
                Carried::Unknown => open[file as usize][entry.scope() as usize],
                Carried::AllBut(dropped) => !dropped[file as usize].has(entry.row),
            };
            if carried {
                chosen[file as usize].add(entry.row);
            }
        }
        Ok::<_, StageError>(())
    })?;
    Ok(chosen)
}

/// Old files with the same columns, and what of them is carried.
type Group<'a> = Vec<(&'a FileEntry, &'a Chosen)>;

fn groups<'a>(files: &'a [FileEntry], chosen: &'a [Chosen]) -> Vec<Group<'a>> {
    let same = |a: &FileEntry, b: &FileEntry| {
        let columns = |of: &FileEntry| -> Vec<_> {
            of.columns.iter().map(|column| (column.name.clone(), column.value_type)).collect()
        };
        columns(a) == columns(b)
    };
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (file, chosen) in files.iter().zip(chosen).filter(|(_, chosen)| chosen.count() > 0) {
        match groups.iter_mut().find(|group| same(group[0].0, file)) {
            Some(group) => group.push((file, chosen)),
            None => groups.push(vec![(file, chosen)]),
        }
    }
    groups
}

fn carry_group(staging: &Staging, group: &Group<'_>, number: usize) -> Result<Part, StageError> {
    // A whole file is carried as it is. Only alone: else files would add up from sync to sync.
    if let [(file, chosen)] = group.as_slice()
        && chosen.count() == file.rows
    {
        return Ok(Part { entry: (*file).clone(), staged: None, reported: false });
    }
    let record_type = &group[0].0.record_type;
    let data = staging.dir.file(&format!("{record_type}.carried-{number}.parquet"));
    let index = staging.dir.file(&format!("{record_type}.carried-{number}.idx"));
    let stored = TypeColumns::stored(&group[0].0.columns);
    let schema = stored.file_schema(DataType::Utf8);
    let mut file = ParquetFile::create(data, schema, staging.store.limits.file_bytes_max)?;
    let mut present = vec![0; stored.len()];
    for (entry, chosen) in group {
        copy_rows(staging, entry, chosen, &mut file, &mut present)?;
    }
    let (data, rows) = file.finish()?;
    let (index, records, scopes) = copy_index(staging, group, IndexWriter::create(index)?)?;
    let columns = stored.iter().zip(present).map(|(column, present)| FileColumn {
        name: column.name.clone(),
        value_type: column.value_type,
        present,
    });
    let entry = FileEntry {
        record_type: record_type.clone(),
        rows,
        records,
        // Every carried row says by itself who confirmed it.
        confirmed: staging.spec.sync,
        row_bytes_max: group.iter().map(|(file, _)| file.row_bytes_max).max().unwrap_or(0),
        data: data.object,
        index: index.object,
        columns: columns.collect(),
        scopes,
        arrival: Vec::new(),
    };
    let staged = Some(StagedPaths { data: data.path, index: index.path });
    Ok(Part { entry, staged, reported: false })
}

fn copy_rows(
    staging: &Staging,
    entry: &FileEntry,
    chosen: &Chosen,
    file: &mut ParquetFile,
    present: &mut [u64],
) -> Result<(), StageError> {
    let data = staging.store.open_data(entry)?;
    let schema = data.columns.file_schema(DataType::Utf8);
    let mut copied = 0;
    for batch in data.select(chosen.mask(entry.rows))? {
        let batch = batch.map_err(|error| data.parquet_error(error.into()))?;
        for (present, array) in present.iter_mut().zip(batch.columns()) {
            *present += (array.len() - array.null_count()) as u64;
        }
        let mut arrays = batch.columns().to_vec();
        if let Some(confirmed) = arrays.last_mut() {
            *confirmed = confirm(confirmed, entry.confirmed);
        }
        let rows = RecordBatch::try_new(schema.clone(), arrays)
            .map_err(|error| data.parquet_error(error.into()))?;
        file.write(&rows)?;
        copied += rows.num_rows() as u64;
    }
    if copied != chosen.count() {
        let damage = Damage::Rows { expected: chosen.count(), found: copied };
        return Err(ReadError::damaged(data.path(), damage).into());
    }
    Ok(())
}

/// Says for every row which sync confirmed it.
fn confirm(confirmed: &ArrayRef, sync: SyncNumber) -> ArrayRef {
    let sync = sync.0 as i64;
    match confirmed.as_primitive_opt::<Int64Type>() {
        Some(known) => {
            Arc::new(Int64Array::from_iter_values(known.iter().map(|known| known.unwrap_or(sync))))
        }
        None => Arc::new(Int64Array::from_value(sync, confirmed.len())),
    }
}

fn copy_index(
    staging: &Staging,
    group: &Group<'_>,
    mut writer: IndexWriter,
) -> Result<(crate::index::WrittenFile, u64, Vec<String>), StageError> {
    let ranks: Vec<_> = group.iter().map(|(_, chosen)| chosen.ranks()).collect();
    let mut first_rows = Vec::with_capacity(group.len());
    let mut rows = 0;
    for (_, chosen) in group {
        first_rows.push(rows);
        rows += chosen.count() as u32;
    }
    let mut scopes: Vec<String> = Vec::new();
    let mut places: HashMap<(u32, u32), u32> = HashMap::new();
    let mut by_name: HashMap<&str, u32> = HashMap::new();
    let mut merged = staging.store.merged(group.iter().map(|(entry, _)| *entry))?;
    while let Some(Located { file, entry }) = merged.next()? {
        let (old, chosen) = &group[file as usize];
        if !chosen.has(entry.row) {
            continue;
        }
        let place = *places.entry((file, entry.scope())).or_insert_with(|| {
            let name = old.scopes[entry.scope() as usize].as_str();
            *by_name.entry(name).or_insert_with(|| {
                scopes.push(name.to_owned());
                scopes.len() as u32 - 1
            })
        });
        let row = first_rows[file as usize] + chosen.rank(&ranks[file as usize], entry.row);
        writer.push(&entry.moved(row, place))?;
    }
    let (file, entries) = writer.finish().map_err(|error: PathError| StageError::from(error))?;
    Ok((file, entries, scopes))
}
