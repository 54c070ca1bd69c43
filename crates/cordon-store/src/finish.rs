//! The end of a sync: what was staged becomes a candidate.
//!
//! The order matters. Indexes are merged first, because all later steps walk them; records are
//! carried forward next, because references may end in them and the comparison must not count them as
//! removed; the files are synced before the manifest that names them is written.

mod carry;
mod census;
mod chosen;
mod commit;
mod part;
mod references;
mod runs;
mod sides;
mod step;
mod tombstones;
mod watch;

use std::collections::BTreeMap;
use std::time::Instant;

use cordon_model::{ScopeReport, SyncNumber};
use cordon_validate::detect::Step;
use cordon_validate::{Candidate, Defect, DefectKind};

use crate::hash::KeyHasher;
use crate::limits::EXAMPLES_MAX;
use crate::manifest::Manifest;
use crate::read_error::ReadError;
use crate::snapshot::Snapshot;
use crate::stage::{StageError, StageTimings, Staged, Staging};

pub(crate) use carry::Carried;
pub(crate) use census::delta_between;
pub(crate) use chosen::Chosen;
pub(crate) use commit::{install, shelve};
pub(crate) use part::Part;
pub(crate) use step::{Stepped, step};
pub(crate) use tombstones::Burial;
pub use tombstones::Grace;
pub(crate) use watch::Watch;

/// What was said of each scope, by name.
pub(crate) type Reports = BTreeMap<String, ScopeReport>;

pub(crate) fn finish(
    staging: Staging,
    reports: Vec<ScopeReport>,
    last_good: Option<&Snapshot>,
) -> Result<Staged, StageError> {
    merge(staging, reports, last_good, Carried::Unknown, &[])?.commit()
}

/// A candidate that is whole and compared, and not yet durable.
pub(crate) struct Ready {
    staging: Staging,
    parts: Vec<Part>,
    early: commit::EarlySync,
    timings: StageTimings,
    lap: Lap,
    pub(crate) manifest: Manifest,
    /// References that end in `beyond` and nowhere in the candidate.
    pub(crate) cut: Vec<Defect>,
}

/// Merges what was staged with what is carried, and compares. References that end nowhere are looked
/// up in `beyond`, too.
pub(crate) fn merge(
    mut staging: Staging,
    reports: Vec<ScopeReport>,
    last_good: Option<&Snapshot>,
    carried: Carried<'_>,
    beyond: &[Part],
) -> Result<Ready, StageError> {
    let mut timings = StageTimings::default();
    let mut lap = Lap(Instant::now());
    let reports = by_name(&staging, reports)?;
    let (mut parts, mut defects) = runs::close(&mut staging)?;
    timings.index = lap.take();
    let early = commit::start_sync(&staging.store, &parts);
    if let Some(last_good) = last_good {
        carry::carry(&staging, &reports, last_good, carried, &mut parts)?;
    }
    timings.carry = lap.take();
    let targets = staging.take_targets()?;
    let watch = watch(&mut staging, &reports, last_good);
    // Both only read indexes, so they share the two cores that hashing and encoding had.
    let (dangling, step) = std::thread::scope(|scope| {
        let dangling = scope.spawn(|| {
            let mut lap = Lap(Instant::now());
            let found = references::dangling(&staging, targets, &parts, beyond);
            (found, lap.take())
        });
        let step = step(&staging.store, last_good, &parts, watch);
        timings.diff = lap.take();
        (dangling.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), step)
    });
    timings.references = dangling.1;
    let references::Dangling { missed, cut } = dangling.0?;
    defects.extend(missed);
    let step = step?;
    lap.take();
    for of in &mut staging.types {
        let rows = u64::from(of.rows);
        defects.extend(std::mem::take(&mut of.defects).into_defects(&of.record_type, rows));
    }
    defects.sort_by(|a, b| {
        (&a.record_type, a.kind, &a.column).cmp(&(&b.record_type, b.kind, &b.column))
    });
    let mut manifest = manifest(&staging, &reports, last_good, &parts, step, defects);
    if let Some(last_good) = last_good
        && let Some(buried) = Burial::of(&staging, &reports, last_good).bury(&parts)?
    {
        parts.extend(buried.put_into(&mut manifest));
    }
    Ok(Ready { staging, parts, early, timings, lap, manifest, cut })
}

impl Ready {
    /// Makes it durable.
    pub(crate) fn commit(self) -> Result<Staged, StageError> {
        let Self { staging, parts, early, mut timings, mut lap, manifest, .. } = self;
        early.wait()?;
        let digest = commit::commit(&staging, parts, &manifest)?;
        timings.commit = lap.take();
        Ok(staged(manifest, digest, timings))
    }
}

/// What the judge is told of a manifest.
pub(crate) fn staged(manifest: Manifest, digest: String, timings: StageTimings) -> Staged {
    let content_digest = manifest.content_digest();
    let candidate = Candidate {
        connector: manifest.connector,
        sync: manifest.sync,
        digest,
        against: manifest.against,
        census: manifest.census,
        delta: manifest.delta,
        defects: manifest.defects,
        step: manifest.step,
        pending: manifest.pending,
    };
    Staged { candidate, content_digest, timings }
}

/// What watches the step; nothing where nothing is there to be compared with.
fn watch(staging: &mut Staging, reports: &Reports, last_good: Option<&Snapshot>) -> Option<Watch> {
    let held_on = staging.references.held_on.take()?;
    last_good?;
    let hasher = KeyHasher::new(&staging.store.shared.key);
    Some(Watch::new(reports, held_on, hasher))
}

struct Lap(Instant);

impl Lap {
    fn take(&mut self) -> std::time::Duration {
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut self.0, now))
    }
}

/// Sorts reports by name; every scope that was begun has exactly one.
fn by_name(staging: &Staging, reports: Vec<ScopeReport>) -> Result<Reports, StageError> {
    let mut named = Reports::new();
    for report in reports {
        if let Some(earlier) = named.insert(report.name.clone(), report) {
            return Err(StageError::RepeatedReport { name: earlier.name });
        }
    }
    match staging.scopes.iter().find(|scope| !named.contains_key(&scope.name)) {
        Some(scope) => Err(StageError::UnreportedScope { name: scope.name.clone() }),
        None => Ok(named),
    }
}

fn manifest(
    staging: &Staging,
    reports: &Reports,
    last_good: Option<&Snapshot>,
    parts: &[Part],
    (step, shape): (Stepped, Option<Step>),
    defects: Vec<Defect>,
) -> Manifest {
    let before = last_good.map(|snapshot| &*snapshot.manifest);
    let census = census::census(staging, reports, before.map(|it| &it.census), parts, &step);
    Manifest {
        connector: staging.spec.connector.clone(),
        sync: staging.spec.sync,
        taken_at: staging.spec.started_at,
        against: before.map(|manifest| manifest.sync),
        files: parts.iter().map(|part| part.entry.clone()).collect(),
        scopes: census::scopes(staging.spec.sync, reports, before, &step),
        delta: before.map(|before| census::delta(reports, before, parts, &step)),
        tombstones: Vec::new(),
        pending: None,
        delivered: None,
        contents: step.contents,
        step: shape,
        census,
        defects,
        schemas: staging.spec.schemas.clone(),
        provenance: staging.spec.provenance.clone(),
        composed: None,
        key: staging.store.fingerprint(),
    }
}

/// Rows that are wrong, of which a few will be quoted.
#[derive(Debug, Default)]
struct Misses {
    count: u64,
    of: u64,
    rows: Vec<u32>,
}

impl Misses {
    fn add(&mut self, row: u32) {
        self.count += 1;
        if self.rows.len() < EXAMPLES_MAX {
            self.rows.push(row);
        }
    }

    /// The defect, its examples fetched from the part that the rows are in.
    fn into_defect(
        self,
        kind: DefectKind,
        column: Option<String>,
        part: &Part,
    ) -> Result<Defect, ReadError> {
        Ok(Defect {
            kind,
            record_type: part.entry.record_type.clone(),
            column,
            count: self.count,
            of: self.of,
            examples: part.own_data()?.key_texts(&self.rows)?,
        })
    }
}

/// Whether a record that is missing from the scope is unknown, not gone.
fn is_open(reports: &Reports, scope: &str) -> bool {
    reports.get(scope).is_none_or(|report| !report.outcome.proves_absence())
}

/// The sync that an old snapshot's scope was last enumerated in.
pub(crate) fn completed(before: Option<&Manifest>, scope: &str) -> Option<SyncNumber> {
    before?.scopes.iter().find(|state| state.name == scope)?.completed
}
