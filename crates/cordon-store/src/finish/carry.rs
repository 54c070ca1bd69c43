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
use cordon_model::{RecordKind, RecordType, SyncNumber};

use crate::columns::{TypeColumns, key_columns};
use crate::disk::PathError;
use crate::finish::chosen::Chosen;
use crate::finish::part::StagedPaths;
use crate::finish::{Part, Reports, is_open};
use crate::index::{IndexWriter, Located, Merged, Step, walk};
use crate::manifest::{FileColumn, FileEntry, Since};
use crate::parquet_file::ParquetFile;
use crate::read_error::{Damage, ReadError};
use crate::snapshot::Snapshot;
use crate::stage::{StageError, Staging, StagingDir};
use crate::store::Store;
use crate::tally::{Tally, tallies};

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
        let rows =
            files.iter().zip(&chosen).map(|(entry, chosen)| Taken { entry, chosen, of: &[] });
        for group in groups(rows) {
            let name = format!("carried-{}", carried.len());
            carried.push(copy_group(&Aside::of(staging), &group, &name)?.0);
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
    walk(staging.store.merged(files)?, now(&staging.store, parts, record_type)?, |step| {
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

/// The candidate's records that may be those of an old file.
pub(super) fn now(
    store: &Store,
    parts: &[Part],
    record_type: &RecordType,
) -> Result<Merged, ReadError> {
    let now = parts.iter().filter(|part| match record_type.kind {
        // An entitlement that is held on another type of resource now is the same entitlement.
        RecordKind::Entitlement => part.entry.record_type.kind == RecordKind::Entitlement,
        RecordKind::Resource | RecordKind::Grant => part.entry.record_type == *record_type,
    });
    Merged::new(now.map(|part| part.index(store)).collect::<Result<_, _>>()?)
}

/// Where files are written that a candidate has beside what its sync reported.
pub(super) struct Aside<'a> {
    pub(super) store: &'a Store,
    pub(super) dir: &'a StagingDir,
    /// The sync that they are written for.
    pub(super) sync: SyncNumber,
}

impl<'a> Aside<'a> {
    pub(super) fn of(staging: &'a Staging) -> Self {
        Self { store: &staging.store, dir: &staging.dir, sync: staging.spec.sync }
    }
}

/// What is taken of an old file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken<'a> {
    pub(super) entry: &'a FileEntry,
    pub(super) chosen: &'a Chosen,
    /// What is known beside the name of each of its scopes; empty: nothing.
    pub(super) of: &'a [Since],
}

impl<'a> Taken<'a> {
    fn scope(&self, ordinal: u32) -> (&'a str, Option<Since>) {
        let name = self.entry.scopes[ordinal as usize].as_str();
        (name, self.of.get(ordinal as usize).copied())
    }
}

/// Old files with the same columns, and what of them is taken.
type Group<'a> = Vec<Taken<'a>>;

pub(super) fn groups<'a>(files: impl Iterator<Item = Taken<'a>>) -> Vec<Group<'a>> {
    let same = |a: &FileEntry, b: &FileEntry| {
        let columns = |of: &FileEntry| -> Vec<_> {
            of.columns.iter().map(|column| (column.name.clone(), column.value_type)).collect()
        };
        columns(a) == columns(b)
    };
    let mut groups: Vec<Group<'a>> = Vec::new();
    for taken in files.filter(|taken| taken.chosen.count() > 0) {
        match groups.iter_mut().find(|group| same(group[0].entry, taken.entry)) {
            Some(group) => group.push(taken),
            None => groups.push(vec![taken]),
        }
    }
    groups
}

/// Copies what is taken into one file; gives what is known of each of its scopes, too.
pub(super) fn copy_group(
    aside: &Aside<'_>,
    group: &Group<'_>,
    name: &str,
) -> Result<(Part, Vec<Option<Since>>), StageError> {
    // A whole file is taken as it is. Only alone: else files would add up from sync to sync.
    if let [taken] = group.as_slice()
        && taken.chosen.count() == taken.entry.rows
    {
        let part = Part { entry: taken.entry.clone(), staged: None, reported: false };
        let known = (0..taken.entry.scopes.len() as u32).map(|scope| taken.scope(scope).1);
        return Ok((part, known.collect()));
    }
    let first = group[0].entry;
    let record_type = &first.record_type;
    let data = aside.dir.file(&format!("{record_type}.{name}.parquet"));
    let index = aside.dir.file(&format!("{record_type}.{name}.idx"));
    let stored = TypeColumns::stored(&first.columns);
    let schema = stored.file_schema(DataType::Utf8);
    let mut file = ParquetFile::create(data, schema, aside.store.limits.file_bytes_max)?;
    let mut counted = tallies(&stored, key_columns(record_type));
    for taken in group {
        copy_rows(aside, taken, &mut file, &mut counted)?;
    }
    let (data, rows) = file.finish()?;
    let (index, records, scopes) = copy_index(aside, group, IndexWriter::create(index)?)?;
    let columns = stored.iter().zip(counted).map(|(column, tally)| FileColumn {
        name: column.name.clone(),
        value_type: column.value_type,
        present: tally.present,
        values: tally.values(),
    });
    let entry = FileEntry {
        record_type: record_type.clone(),
        rows,
        records,
        // Every row that was copied says by itself who confirmed it.
        confirmed: aside.sync,
        row_bytes_max: group.iter().map(|taken| taken.entry.row_bytes_max).max().unwrap_or(0),
        data: data.object,
        index: index.object,
        columns: columns.collect(),
        scopes: scopes.iter().map(|(name, _)| (*name).to_owned()).collect(),
        arrival: Vec::new(),
    };
    let staged = Some(StagedPaths { data: data.path, index: index.path });
    let known = scopes.into_iter().map(|(_, since)| since).collect();
    Ok((Part { entry, staged, reported: false }, known))
}

fn copy_rows(
    aside: &Aside<'_>,
    &Taken { entry, chosen, .. }: &Taken<'_>,
    file: &mut ParquetFile,
    counted: &mut [Tally],
) -> Result<(), StageError> {
    let data = aside.store.open_data(entry)?;
    let schema = data.columns.file_schema(DataType::Utf8);
    let mut copied = 0;
    for batch in data.select(chosen.mask(entry.rows))? {
        let batch = batch.map_err(|error| data.parquet_error(error.into()))?;
        for (tally, array) in counted.iter_mut().zip(batch.columns()) {
            tally.add(array);
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

/// What stands for a scope: its name, and what is known beside it.
type Scope<'a> = (&'a str, Option<Since>);

fn copy_index<'a>(
    aside: &Aside<'_>,
    group: &Group<'a>,
    mut writer: IndexWriter,
) -> Result<(crate::index::WrittenFile, u64, Vec<Scope<'a>>), StageError> {
    let ranks: Vec<_> = group.iter().map(|taken| taken.chosen.ranks()).collect();
    let mut first_rows = Vec::with_capacity(group.len());
    let mut rows = 0;
    for taken in group {
        first_rows.push(rows);
        rows += taken.chosen.count() as u32;
    }
    let mut scopes: Vec<Scope<'a>> = Vec::new();
    let mut places: HashMap<(u32, u32), u32> = HashMap::new();
    let mut by_name: HashMap<Scope<'a>, u32> = HashMap::new();
    let mut merged = aside.store.merged(group.iter().map(|taken| taken.entry))?;
    while let Some(Located { file, entry }) = merged.next()? {
        let taken = &group[file as usize];
        if !taken.chosen.has(entry.row) {
            continue;
        }
        let place = *places.entry((file, entry.scope())).or_insert_with(|| {
            let scope = taken.scope(entry.scope());
            *by_name.entry(scope).or_insert_with(|| {
                scopes.push(scope);
                scopes.len() as u32 - 1
            })
        });
        let row = first_rows[file as usize] + taken.chosen.rank(&ranks[file as usize], entry.row);
        writer.push(&entry.moved(row, place))?;
    }
    let (file, entries) = writer.finish().map_err(|error: PathError| StageError::from(error))?;
    Ok((file, entries, scopes))
}
