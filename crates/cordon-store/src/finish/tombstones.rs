//! Removals that were accepted wait as tombstones until their time of grace is over.
//!
//! A snapshot holds what its source holds, with or without a time of grace: who is missing is missing,
//! and the judge never hears of tombstones. They lie beside the records, in files of their own, and
//! only what goes out to sinks knows both. So a grace moves the moment in which a removal is carried
//! out and nothing else: no limit, no budget and no verdict depends on it.
//!
//! A tombstone goes when a sync has the record again, or when a sync that began after its grace, and
//! that read its scope to the end, still misses it.

use std::time::Duration;

use cordon_model::{RecordType, SyncNumber};
use cordon_validate::PendingRemovals;
use jiff::Timestamp;

use crate::ChangeCounts;
use crate::changes::{self, Sides};
use crate::finish::carry::{Aside, Taken, copy_group, groups, now};
use crate::finish::{Chosen, Part, Reports};
use crate::index::{Located, Merged, Step, walk};
use crate::manifest::{FileEntry, Manifest, Since, Tombstones};
use crate::read_error::ReadError;
use crate::snapshot::Snapshot;
use crate::stage::{StageError, Staging, StagingDir};
use crate::store::Store;

/// How long a removal that was accepted can be taken back by the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    /// From the moment in which it was accepted.
    pub span: Duration,
    /// When the last known good was accepted.
    pub accepted_at: Timestamp,
    /// Whether the candidate may end it. One that was composed of parts may not: no sync brought it.
    pub ends: bool,
}

/// Tombstones on their way into a candidate.
pub(crate) struct Buried {
    /// Their files.
    pub(crate) parts: Vec<Part>,
    tombstones: Vec<Tombstones>,
    pending: PendingRemovals,
    delivered: ChangeCounts,
}

impl Buried {
    /// Says so in the manifest; gives the files that have to reach the disk with it.
    pub(crate) fn put_into(self, manifest: &mut Manifest) -> Vec<Part> {
        manifest.tombstones = self.tombstones;
        manifest.pending = Some(self.pending);
        manifest.delivered = Some(self.delivered);
        self.parts
    }
}

/// What a candidate's tombstones follow from.
pub(crate) struct Burial<'a> {
    pub(crate) store: &'a Store,
    pub(crate) dir: &'a StagingDir,
    pub(crate) sync: SyncNumber,
    /// When it began to read its source.
    pub(crate) began: Timestamp,
    pub(crate) grace: Option<Grace>,
    pub(crate) reports: &'a Reports,
    pub(crate) last_good: &'a Snapshot,
}

impl<'a> Burial<'a> {
    pub(super) fn of(staging: &'a Staging, reports: &'a Reports, last_good: &'a Snapshot) -> Self {
        let spec = &staging.spec;
        let (store, dir, grace) = (&staging.store, &staging.dir, spec.grace);
        Self { store, dir, sync: spec.sync, began: spec.started_at, grace, reports, last_good }
    }

    /// Finds what is missing and what is over. Nothing where nobody wants tombstones and none stand.
    pub(crate) fn bury(&self, parts: &[Part]) -> Result<Option<Buried>, StageError> {
        let old = &self.last_good.manifest;
        if self.grace.is_none() && old.tombstones.is_empty() {
            return Ok(None);
        }
        let mut buried = Buried {
            parts: Vec::new(),
            tombstones: Vec::new(),
            pending: PendingRemovals::default(),
            delivered: ChangeCounts::default(),
        };
        let mut types: Vec<&RecordType> = old.all_files().map(|file| &file.record_type).collect();
        types.extend(parts.iter().map(|part| &part.entry.record_type));
        types.sort();
        types.dedup();
        for record_type in types {
            self.bury_type(record_type, parts, &mut buried)?;
        }
        Ok(Some(buried))
    }

    fn bury_type(
        &self,
        record_type: &RecordType,
        parts: &[Part],
        buried: &mut Buried,
    ) -> Result<(), StageError> {
        let old = &self.last_good.manifest;
        let live = old.files.iter().filter(|file| file.record_type == *record_type);
        let live: Vec<&FileEntry> = live.collect();
        let dead = old.tombstones.iter().filter(|dead| dead.file.record_type == *record_type);
        let dead: Vec<(&FileEntry, Vec<Since>)> =
            dead.map(|dead| (&dead.file, self.accepted(&dead.since))).collect();
        let mut files = live.clone();
        files.extend(dead.iter().map(|(file, _)| *file));
        let new = Since { sync: self.sync, at: None };
        let since: Vec<Vec<Since>> = live
            .iter()
            .map(|file| vec![new; file.scopes.len()])
            .chain(dead.into_iter().map(|(_, since)| since))
            .collect();
        let mut chosen: Vec<_> = files.iter().map(|file| Chosen::none(file.rows)).collect();
        let missing = self.store.merged(files.iter().copied())?;
        walk(missing, now(self.store, parts, record_type)?, |step| {
            match step {
                Step::Removed(Located { file, entry }) => {
                    let (at, scope) = (file as usize, entry.scope() as usize);
                    let waits = if at < live.len() {
                        self.grace.is_some()
                    } else {
                        let name = files[at].scopes[scope].as_str();
                        let over = self.is_over(since[at].get(scope), name);
                        buried.pending.ended += u64::from(over);
                        !over
                    };
                    if waits {
                        buried.pending.began += u64::from(at < live.len());
                        chosen[at].add(entry.row);
                        buried.note(since[at].get(scope).copied().unwrap_or(new), self);
                    }
                }
                Step::Both { before, .. } if before.file as usize >= live.len() => {
                    buried.pending.returned += 1;
                }
                Step::Both { .. } | Step::Added(_) => {}
            }
            Ok::<_, StageError>(())
        })?;
        let taken = files.iter().zip(&chosen).zip(&since);
        let taken = taken.map(|((entry, chosen), of)| Taken { entry, chosen, of });
        let aside = Aside { store: self.store, dir: self.dir, sync: self.sync };
        let first = buried.parts.len();
        for group in groups(taken) {
            let name = format!("pending-{}", buried.parts.len());
            let (part, since) = copy_group(&aside, &group, &name)?;
            let since = since.into_iter().map(|since| since.unwrap_or(new)).collect();
            buried.tombstones.push(Tombstones { file: part.entry.clone(), since });
            buried.parts.push(part);
        }
        let reported = parts.iter().filter(|part| part.entry.record_type == *record_type);
        let (reported, stones): (Vec<_>, _) = (reported.collect(), &buried.parts[first..]);
        let sides = Sides { before: live.len(), after: reported.len() };
        let after = reported.into_iter().chain(stones).map(|part| part.index(self.store));
        let after = Merged::new(after.collect::<Result<Vec<_>, ReadError>>()?)?;
        let counts = changes::count(sides, self.store.merged(files)?, after)?;
        buried.delivered.added += counts.added;
        buried.delivered.modified += counts.modified;
        buried.delivered.removed += counts.removed;
        Ok(())
    }

    /// What the last known good made pending is accepted since it is the last known good.
    fn accepted(&self, since: &[Since]) -> Vec<Since> {
        let accepted_at = self.grace.map(|grace| grace.accepted_at);
        since.iter().map(|since| Since { at: since.at.or(accepted_at), ..*since }).collect()
    }

    /// Whether a removal that is still missing is final.
    fn is_over(&self, since: Option<&Since>, scope: &str) -> bool {
        let Some(grace) = self.grace else { return true };
        let unknown = match self.reports.get(scope) {
            Some(report) => !report.outcome.proves_absence(),
            None => {
                let known = self.last_good.manifest.scopes.iter();
                known.into_iter().any(|state| state.name == scope && !state.gone)
            }
        };
        let over = since.and_then(|since| self.final_from(*since));
        grace.ends && !unknown && over.is_some_and(|over| self.began >= over)
    }

    /// When a removal may become final; of one that is not accepted yet, when it could at the
    /// earliest.
    fn final_from(&self, since: Since) -> Option<Timestamp> {
        let span = self.grace?.span;
        Some(since.at.unwrap_or(self.began).checked_add(span).unwrap_or(Timestamp::MAX))
    }
}

impl Buried {
    fn note(&mut self, since: Since, burial: &Burial<'_>) {
        self.pending.waiting += 1;
        let first = burial.final_from(since);
        self.pending.final_from = match (self.pending.final_from, first) {
            (Some(known), Some(first)) => Some(known.min(first)),
            (known, first) => known.or(first),
        };
    }
}
