//! What was known when each sync was judged, run by run from the first on.

use std::collections::HashMap;

use cordon_ledger::{Ledger, ReadError, RunOutcome, RunRow, SnapshotRow};
use cordon_model::{ConnectorName, Finding, SyncNumber};
use cordon_store::Snapshot;
use cordon_validate::detect::{Learned, Memory, Step};
use cordon_validate::lookup::Lookup;
use cordon_validate::reading::{Earlier, Waiting};
use cordon_validate::{History, Policy, TimeSpan, Verdict, Window};
use jiff::Timestamp;

use super::{RUNS_MAX, judged_at};
use crate::gate::{LOOKED_UP, LookedUp};

/// All that was known when a sync was judged.
pub(super) struct Then {
    snapshots: Vec<SnapshotRow>,
    released: Vec<SyncNumber>,
    /// What the source said of missing records, by the sync that missed them.
    answers: HashMap<SyncNumber, Lookup>,
    waited: Option<Waited>,
    /// What the detector learnt of those that are kept, from the first on.
    memory: Memory,
}

/// A sync that waited when the next was judged.
#[derive(Clone)]
pub(super) struct Waited {
    sync: SyncNumber,
    content_digest: String,
    against: Option<SyncNumber>,
    findings: Vec<Finding>,
    repeats: u64,
}

impl Waited {
    /// What the next sync is told of it, where it is the reading that this one waited for.
    pub(super) fn as_earlier(
        &self,
        content_digest: &str,
        against: Option<SyncNumber>,
        policy: &Policy,
    ) -> Option<Earlier> {
        let is_same = self.content_digest == content_digest && self.against == against;
        let waiting = Waiting { findings: &self.findings, repeats: self.repeats };
        waiting.as_earlier(self.sync, is_same, policy)
    }
}

impl Then {
    /// Before the first of these runs, which are a connector's in their order.
    pub(super) async fn read(
        ledger: &Ledger,
        name: &ConnectorName,
        runs: &[RunRow],
    ) -> Result<Self, ReadError> {
        let released = runs.iter().filter(|run| run.outcome == RunOutcome::Released);
        let told = ledger.latest_of_kinds(name, [LOOKED_UP, LOOKED_UP], RUNS_MAX).await?;
        // One that cannot be read, of another version, says nothing.
        let told = told.iter().filter_map(|row| serde_json::from_str::<LookedUp>(&row.body).ok());
        Ok(Self {
            snapshots: ledger.all_snapshots(name).await?,
            released: released.map(|run| run.sync).collect(),
            answers: told.map(|told| (told.sync(), told.into())).collect(),
            waited: None,
            memory: Memory::default(),
        })
    }

    /// What the source said then of the records that a sync missed.
    pub(super) fn answers(&self, sync: SyncNumber) -> Option<Lookup> {
        self.answers.get(&sync).cloned()
    }

    /// The sync that waits for a person or a second reading.
    pub(super) fn waited(&self) -> Option<&Waited> {
        self.waited.as_ref()
    }

    /// What earlier syncs told when a run was judged. What single records say is added later.
    pub(super) fn of(&self, run: &RunRow, policy: &Policy) -> History {
        let at = judged_at(run);
        let earlier = || self.snapshots.iter().filter(|row| row.sync < run.sync);
        let last_good = self.last_good(run.sync);
        let content = run.content_digest.as_deref().unwrap_or_default();
        let replays = earlier().rfind(|row| row.content_digest == content);
        let replays = replays.filter(|_| last_good.is_some_and(|it| it.content_digest != content));
        let windows = policy
            .budgets
            .iter()
            .map(|budget| (budget.within, self.window(run.sync, at, budget.within)));
        History {
            accepted: earlier().count() as u64,
            windows: windows.collect(),
            replays: replays.map(|row| row.sync),
            watermarks: last_good.map(|row| row.watermarks.clone()).unwrap_or_default(),
            quarantined: self.waited.as_ref().map(|waited| waited.sync),
            memory: Some(self.memory.clone()),
            judged_at: Some(at),
            ..History::default()
        }
    }

    /// What was the last known good when a sync was judged: the newest before it.
    fn last_good(&self, sync: SyncNumber) -> Option<&SnapshotRow> {
        self.snapshots.iter().rfind(|row| row.sync < sync)
    }

    fn window(&self, sync: SyncNumber, at: Timestamp, within: TimeSpan) -> Window {
        let since = at.checked_sub(within.duration()).unwrap_or(Timestamp::MIN);
        let mut window = Window::default();
        let earlier = || self.snapshots.iter().filter(|row| row.sync < sync);
        for row in earlier().filter(|row| row.committed_at > since) {
            let is_released = self.released.contains(&row.sync);
            let sums = if is_released { &mut window.released } else { &mut window.removed };
            for (label, removed) in &row.removed_by_label {
                let sum = sums.entry(label.clone()).or_default();
                *sum = sum.saturating_add(*removed);
            }
        }
        let then = earlier().rfind(|row| row.committed_at <= since).or(earlier().next());
        window.records_then = then.map(|row| row.label_counts.clone()).unwrap_or_default();
        window
    }

    /// Notes a run that brought what waits once more.
    pub(super) fn repeated(&mut self, waiting: SyncNumber) {
        if let Some(waited) = self.waited.as_mut().filter(|waited| waited.sync == waiting) {
            waited.repeats += 1;
        }
    }

    /// Notes what became of a run, and what it came to when it was judged again.
    pub(super) fn step(&mut self, run: &RunRow, judged: Option<(&Snapshot, &Verdict)>) {
        let learned = match run.outcome {
            RunOutcome::Committed => Some(Learned::Accepted),
            RunOutcome::Released => Some(Learned::Released),
            _ => None,
        };
        let manifest = judged.map(|(snapshot, _)| &snapshot.manifest);
        let step = manifest.and_then(|manifest| match &manifest.step {
            None if manifest.against.is_none() => Some(Step::unchanged(manifest.fingerprint())),
            step => step.clone(),
        });
        if let Some((step, learned)) = step.zip(learned) {
            self.memory = std::mem::take(&mut self.memory).learn(&step, learned);
        }
        match run.outcome {
            RunOutcome::Quarantined | RunOutcome::Superseded => {
                let findings = judged.map_or(&run.findings, |(_, verdict)| &verdict.findings);
                self.waited = Some(Waited {
                    sync: run.sync,
                    content_digest: run.content_digest.clone().unwrap_or_default(),
                    against: self.last_good(run.sync).map(|row| row.sync),
                    findings: findings.clone(),
                    repeats: 0,
                });
            }
            RunOutcome::Committed | RunOutcome::Released => self.waited = None,
            RunOutcome::Running | RunOutcome::Failed | RunOutcome::Rejected => {}
        }
    }
}
