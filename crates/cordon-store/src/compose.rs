//! A candidate of its own from a part of another: the last known good and some of its changes.
//!
//! What is selected passes the staging as if a sync had reported it, so that its records, references
//! and counts are checked anew; all else is carried from the last known good as what an incomplete
//! scope held. So the judge is told of the part what it is told of every sync, and what was not
//! selected is in it exactly as it was.
//!
//! A part must hang together. Where a selected record points at one that was left out, or would lose
//! what a record points at that stays, the selection is refused and nothing is added to it: a person
//! answers for what they named, and for no more.

mod ends;
mod pick;
mod rebase;
mod withheld;

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::{Array, StringArray};
use cordon_model::{RecordType, SyncNumber};
use cordon_validate::{Defect, Selection};

use crate::ChangeCounts;
use crate::changes;
use crate::columns::SCOPE;
use crate::compose::pick::Picked;
use crate::finish::{self, Burial, Carried, Grace, Part, Ready};
use crate::manifest::{Composition, FileEntry, Manifest};
use crate::read_error::ReadError;
use crate::snapshot::Snapshot;
use crate::stage::{StageError, StageSpec, StageTimings, Staged, Staging, StagingDir};
use crate::store::Store;

/// Why nothing was composed. Candidate and last known good are as they were.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// A disk failed, or what is stored is damaged.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// There is no such change.
    #[error("sync {sync} has no change that fits: {selection}")]
    Nothing {
        /// The candidate.
        sync: SyncNumber,
        /// What was asked for.
        selection: Selection,
    },
    /// Selected records point at records that were left out.
    #[error(
        "selected records of {record_type} point by `{column}` at {count} that are not selected, for \
         example from {example}"
    )]
    PointsAtLeftOut {
        /// Kind and type of the records that point.
        record_type: RecordType,
        /// The column that points.
        column: String,
        /// How many different records are pointed at.
        count: u64,
        /// One that points.
        example: String,
    },
    /// Records that stay point at records whose removal is selected.
    #[error(
        "records of {record_type} would stay and point by `{column}` at {count} whose removal is \
         selected, for example {example}"
    )]
    PointsAtRemoved {
        /// Kind and type of the records that point.
        record_type: RecordType,
        /// The column that points.
        column: String,
        /// How many different records are pointed at.
        count: u64,
        /// One that points.
        example: String,
    },
    /// Changes of one record were torn apart, as of an entitlement that is held elsewhere now.
    #[error("{record_type} would change by {composed} records where {selected} were selected")]
    Torn {
        /// Kind and type.
        record_type: RecordType,
        /// Changes that the part would have.
        composed: u64,
        /// Changes that were selected.
        selected: u64,
    },
}

impl From<ReadError> for ComposeError {
    fn from(error: ReadError) -> Self {
        Self::Stage(error.into())
    }
}

/// A part of a candidate, staged under a number of its own.
#[derive(Debug, Clone)]
pub struct Composed {
    /// What the judge needs to know.
    pub staged: Staged,
    /// Changes that it has.
    pub selected: ChangeCounts,
    /// Changes of the candidate that it does not have.
    pub left: ChangeCounts,
}

impl Store {
    /// Composes the last known good and the selected changes of a candidate to a candidate that is
    /// numbered `sync`. A selection of everything gives the candidate's own content. Removals that are
    /// selected are pending as long as `grace` says; it ends for none.
    pub fn compose(
        &self,
        sync: SyncNumber,
        last_good: Option<&Snapshot>,
        candidate: &Snapshot,
        selection: &Selection,
        grace: Option<Grace>,
    ) -> Result<Composed, ComposeError> {
        let picked = Picked::new(self, last_good, candidate, selection)?;
        let (selected, left) = picked.counts();
        let of = &candidate.manifest;
        if selected == ChangeCounts::default() && left != ChangeCounts::default() {
            return Err(ComposeError::Nothing { sync: of.sync, selection: selection.clone() });
        }
        let composition = Composition {
            of: of.sync,
            of_digest: candidate.digest.to_string(),
            selection: selection.clone(),
        };
        let grace = grace.map(|grace| Grace { ends: false, ..grace });
        let staged = if left == ChangeCounts::default() {
            self.renumber(candidate, sync, composition, (last_good, grace))?
        } else {
            self.compose_part(sync, last_good, candidate, composition, &picked, grace)?
        };
        Ok(Composed { staged, selected, left })
    }

    /// Everything was selected: the same files under another number.
    fn renumber(
        &self,
        candidate: &Snapshot,
        sync: SyncNumber,
        composition: Composition,
        (last_good, grace): (Option<&Snapshot>, Option<Grace>),
    ) -> Result<Staged, StageError> {
        let of = &candidate.manifest;
        let composed = Some(composition);
        let (tombstones, pending, delivered) = (Vec::new(), None, None);
        let mut manifest =
            Manifest { sync, composed, tombstones, pending, delivered, ..(**of).clone() };
        let dir = StagingDir::make(self, &of.connector, sync)?;
        let reports = reports(of);
        let mut stones = Vec::new();
        if let Some(last_good) = last_good {
            let parts: Vec<Part> = of.files.iter().map(stored).collect();
            let began = of.taken_at;
            let burial =
                Burial { store: self, dir: &dir, sync, began, grace, reports: &reports, last_good };
            if let Some(buried) = burial.bury(&parts)? {
                stones = buried.put_into(&mut manifest);
            }
        }
        let _commit = self.commit_shared();
        self.check_files(candidate)?;
        finish::install(self, stones)?;
        let digest = finish::shelve(self, &manifest)?;
        Ok(finish::staged(manifest, digest, StageTimings::default()))
    }

    fn compose_part(
        &self,
        sync: SyncNumber,
        last_good: Option<&Snapshot>,
        candidate: &Snapshot,
        composition: Composition,
        picked: &Picked,
        grace: Option<Grace>,
    ) -> Result<Staged, ComposeError> {
        let of = &candidate.manifest;
        let mut staging = self.stage(StageSpec {
            connector: of.connector.clone(),
            sync,
            schemas: of.schemas.clone(),
            provenance: of.provenance.clone(),
            // It is as old as the oldest of what it holds.
            started_at: last_good.map_or(of.taken_at, |known| known.manifest.taken_at),
            shape: of.step.is_some(),
            grace,
        })?;
        self.append_taken(&mut staging, candidate, picked)?;
        ends::check_left(&mut staging, last_good, picked)?;
        let beyond: Vec<Part> = of.files.iter().map(stored).collect();
        let reports = of.census.scopes.values().map(|scope| scope.report.clone()).collect();
        let carried = Carried::AllBut(&picked.dropped);
        let mut ready = finish::merge(staging, reports, last_good, carried, &beyond)?;
        check(&ready, last_good, candidate, picked)?;
        adjust(&mut ready.manifest, of, last_good, composition);
        Ok(ready.commit()?)
    }

    /// Stages the selected rows of the candidate, each under its scope.
    fn append_taken(
        &self,
        staging: &mut Staging,
        candidate: &Snapshot,
        picked: &Picked,
    ) -> Result<(), StageError> {
        let mut ordinals: BTreeMap<String, u32> = BTreeMap::new();
        for (entry, taken) in candidate.manifest.files.iter().zip(&picked.taken) {
            if taken.count() == 0 {
                continue;
            }
            let data = self.open_data(entry)?;
            for batch in data.select(taken.mask(entry.rows))? {
                let batch = batch.map_err(|error| data.parquet_error(error.into()))?;
                let scopes = batch.column_by_name(SCOPE).and_then(|c| c.as_string_opt::<i32>());
                let Some(scopes) = scopes.cloned() else { return Err(no_scope(&data)) };
                for (from, to) in runs(&scopes) {
                    let name = scopes.value(from);
                    let next = ordinals.len() as u32;
                    let ordinal = *ordinals.entry(name.to_owned()).or_insert(next);
                    if ordinal == next {
                        staging.begin_scope(ordinal, name)?;
                    }
                    let rows = batch.slice(from, to - from);
                    staging.append_stored(ordinal, &entry.record_type, &data.columns, &rows)?;
                }
            }
        }
        Ok(())
    }
}

fn no_scope(data: &crate::rows::DataFile) -> StageError {
    let damage = crate::read_error::Damage::Column { column: SCOPE.to_owned() };
    ReadError::damaged(data.path(), damage).into()
}

/// Rows of one scope that lie together, as ranges.
fn runs(scopes: &StringArray) -> Vec<(usize, usize)> {
    let mut runs = Vec::new();
    let mut from = 0;
    for at in 1..=scopes.len() {
        if at == scopes.len() || scopes.value(at) != scopes.value(from) {
            runs.push((from, at));
            from = at;
        }
    }
    runs
}

/// What was said of each scope of a candidate.
fn reports(of: &Manifest) -> finish::Reports {
    let scopes = of.census.scopes.iter();
    scopes.map(|(name, scope)| (name.clone(), scope.report.clone())).collect()
}

/// A file of a stored candidate or snapshot.
fn stored(entry: &FileEntry) -> Part {
    Part { entry: entry.clone(), staged: None, reported: false }
}

/// The part hangs together, and is exactly what was selected.
fn check(
    ready: &Ready,
    last_good: Option<&Snapshot>,
    candidate: &Snapshot,
    picked: &Picked,
) -> Result<(), ComposeError> {
    if let Some(cut) = ready.cut.first() {
        let Defect { record_type, column, count, examples, .. } = cut.clone();
        return Err(ComposeError::PointsAtLeftOut {
            record_type,
            column: column.unwrap_or_default(),
            count,
            example: examples.into_iter().next().unwrap_or_default(),
        });
    }
    // Without a last known good everything is an addition, and was counted as such.
    let Some(delta) = &ready.manifest.delta else { return Ok(()) };
    for record_type in changes::types(last_good, candidate) {
        let step = delta.types.get(&record_type);
        let step = step.map_or_else(ChangeCounts::default, |step| ChangeCounts {
            added: step.added,
            modified: step.modified,
            removed: step.removed,
        });
        let selected = picked.selected.get(&record_type).copied().unwrap_or_default();
        if step != selected {
            let (composed, selected) = (step.total(), selected.total());
            return Err(ComposeError::Torn { record_type, composed, selected });
        }
    }
    Ok(())
}

/// What a part says of itself where it differs from a sync: records that were not selected are not
/// unknown, and a scope of which something may have been left out was not enumerated.
fn adjust(
    manifest: &mut Manifest,
    of: &Manifest,
    last_good: Option<&Snapshot>,
    composition: Composition,
) {
    for (record_type, census) in &mut manifest.census.types {
        census.carried = of.census.types.get(record_type).map_or(0, |census| census.carried);
    }
    for (record_type, step) in manifest.delta.iter_mut().flat_map(|delta| &mut delta.types) {
        let delta = of.delta.as_ref().and_then(|delta| delta.types.get(record_type));
        step.carried = delta.map_or(0, |step| step.carried);
    }
    let before = last_good.map(|snapshot| &*snapshot.manifest);
    for scope in &mut manifest.scopes {
        scope.completed = finish::completed(before, &scope.name);
    }
    manifest.composed = Some(composition);
}
