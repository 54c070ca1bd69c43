//! A scene: the last known good, a candidate and a policy that fit together, for tests to disturb.
//!
//! Every builder keeps census and step consistent, so that a verdict speaks of the one thing that
//! its test changed.

use std::collections::BTreeMap;

use cordon_model::{
    AttributeType, ConnectorName, RecordType, ScopeOutcome, ScopeReport, SyncNumber, Watermark,
};
use cordon_validate::{
    Candidate, Census, ColumnCensus, Defect, DefectKind, Delta, History, Judged, Policy,
    PolicyPatch, ScopeCensus, TimeSpan, TypeCensus, ValueCounts, Values, Verdict, Window, judge,
};

/// What happened to records of one type in one scope.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Move {
    pub(crate) before: u64,
    pub(crate) removed: u64,
    pub(crate) added: u64,
    pub(crate) modified: u64,
}

impl Move {
    /// Records that stay as they are, but for so many that go.
    pub(crate) fn removing(before: u64, removed: u64) -> Self {
        Self { before, removed, ..Self::default() }
    }

    fn after(self) -> u64 {
        self.before - self.removed + self.added
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) last_good: Option<Census>,
    pub(crate) candidate: Candidate,
    pub(crate) history: History,
    pub(crate) policy: Policy,
}

pub(crate) fn digest() -> String {
    "91fe04c2".repeat(8)
}

pub(crate) fn record_type(text: &str) -> RecordType {
    RecordType::try_from(text.to_owned()).unwrap()
}

impl Scene {
    /// A first sync that holds nothing yet.
    pub(crate) fn first() -> Self {
        Self {
            last_good: None,
            candidate: Candidate {
                connector: ConnectorName::new("hr-csv").unwrap(),
                sync: SyncNumber(418),
                digest: digest(),
                against: None,
                census: Census::default(),
                delta: None,
                defects: Vec::new(),
                step: None,
                pending: None,
            },
            history: History::default(),
            policy: Policy::default(),
        }
    }

    /// A sync after an accepted one.
    pub(crate) fn next() -> Self {
        let mut scene = Self::first();
        scene.last_good = Some(Census::default());
        scene.candidate.delta = Some(Delta::default());
        scene.candidate.against = Some(SyncNumber(417));
        scene
    }

    /// A step of users alone, in one scope of their own.
    pub(crate) fn users(step: Move) -> Self {
        Self::next().with("users", "resource.user", step)
    }

    /// A first sync that holds these records in a complete scope.
    pub(crate) fn holding(mut self, scope: &str, of: &str, records: u64) -> Self {
        let of = record_type(of);
        let census = &mut self.candidate.census;
        census.types.entry(of.clone()).or_default().records += records;
        let scope = census.scopes.entry(scope.to_owned()).or_insert_with(|| empty_scope(scope));
        scope.report.received += records;
        scope.report.declared += records;
        *scope.records.entry(of).or_default() += records;
        self
    }

    /// A scope that reported itself complete, and what happened in it.
    pub(crate) fn with(mut self, scope: &str, of: &str, step: Move) -> Self {
        let last_good = self.last_good.as_mut().expect("a first sync has no step");
        let before = Scene::first().holding(scope, of, step.before).candidate.census;
        merge(last_good, before);
        self = self.holding(scope, of, step.after());

        let delta = self.candidate.delta.as_mut().unwrap();
        let sum = delta.types.entry(record_type(of)).or_default();
        sum.before += step.before;
        sum.after += step.after();
        sum.added += step.added;
        sum.modified += step.modified;
        sum.removed += step.removed;
        if step.removed > 0 {
            sum.removed_examples.push(format!("{}:gone", record_type(of).name));
        }
        let sum = delta.scopes.entry(scope.to_owned()).or_default();
        sum.before += step.before;
        sum.after += step.after();
        sum.added += step.added;
        sum.removed += step.removed;
        self
    }

    pub(crate) fn scope(&mut self, name: &str) -> &mut ScopeCensus {
        self.candidate.census.scopes.get_mut(name).unwrap()
    }

    /// The same scene, with this scope cut short.
    pub(crate) fn cut_short(mut self, scope: &str) -> Self {
        let reason = "page 3 of 5 timed out".to_owned();
        self.scope(scope).report.outcome = ScopeOutcome::Incomplete { reason };
        self
    }

    /// The same scene, in which this scope reported nothing.
    pub(crate) fn unreported(mut self, scope: &str) -> Self {
        self.candidate.census.scopes.remove(scope);
        self.candidate.delta.as_mut().unwrap().unreported_scopes.push(scope.to_owned());
        self
    }

    /// The same scene, with so many of so many users wrong.
    pub(crate) fn defect(mut self, kind: DefectKind, column: &str, count: u64, of: u64) -> Self {
        self.candidate.defects.push(Defect {
            kind,
            record_type: record_type("resource.user"),
            column: Some(column.to_owned()),
            count,
            of,
            examples: vec!["user:u1042".to_owned()],
        });
        self
    }

    /// The same scene, in which so many users have (before, now) an optional column.
    pub(crate) fn column(mut self, name: &str, before: Option<u64>, now: Option<u64>) -> Self {
        let column = |present| ColumnCensus {
            value_type: AttributeType::Text,
            required: false,
            present,
            values: None,
        };
        let sides = [(self.last_good.as_mut(), before), (Some(&mut self.candidate.census), now)];
        for (census, present) in sides {
            if let (Some(census), Some(present)) = (census, present) {
                let users = census.types.entry(record_type("resource.user")).or_default();
                users.columns.insert(name.to_owned(), column(present));
            }
        }
        self
    }

    /// The same scene, in which that column of users had these values in so many snapshots, and has
    /// those now.
    pub(crate) fn values(
        mut self,
        name: &str,
        before: &[(&str, u64)],
        snapshots: u32,
        now: Option<&[(&str, u64)]>,
    ) -> Self {
        let counts = |of: &[(&str, u64)]| -> ValueCounts {
            of.iter().map(|(value, records)| ((*value).to_owned(), *records)).collect()
        };
        let first = Values::first(counts(before));
        let known = (1..snapshots).fold(first, |known, _| Values::after(counts(before), &known));
        let [column_before, column_now] = self.columns(name);
        column_now.values = now.map(|now| Values::after(counts(now), &known));
        column_before.values = Some(known);
        self
    }

    /// The column of users on both sides, where it is.
    pub(crate) fn columns(&mut self, name: &str) -> [&mut ColumnCensus; 2] {
        let users = record_type("resource.user");
        let before = self.last_good.as_mut().unwrap().types.get_mut(&users).unwrap();
        let now = self.candidate.census.types.get_mut(&users).unwrap();
        [before.columns.get_mut(name).unwrap(), now.columns.get_mut(name).unwrap()]
    }

    /// The same scene, with privileged grants.
    pub(crate) fn privileged(mut self, before: u64, appeared: u64, vanished: u64) -> Self {
        let step = &mut self.candidate.delta.as_mut().unwrap().privileged;
        step.before = before;
        step.after = before + appeared - vanished;
        step.appeared = appeared;
        step.vanished = vanished;
        step.examples = vec!["user:alice -> sudo:ALL".to_owned()];
        self
    }

    /// The same scene, in which users' source was current at these times (before, now).
    pub(crate) fn watermarks(mut self, before: Option<&str>, now: Option<&str>) -> Self {
        let watermark = |time: Option<&str>| Watermark {
            time: time.map(|time| time.parse().unwrap()),
            token: None,
        };
        self.history.watermarks.insert("users".to_owned(), watermark(before));
        self.scope("users").report.watermark = watermark(now);
        self
    }

    /// What was removed within a time.
    pub(crate) fn window(&mut self, within: &str) -> &mut Window {
        let within = TimeSpan::try_from(within.to_owned()).unwrap();
        self.history.windows.entry(within).or_default()
    }

    /// The same scene, with a `[guard]` upon the default policy.
    pub(crate) fn guard(mut self, toml: &str) -> Self {
        let patch: PolicyPatch = toml::from_str(toml).unwrap();
        self.policy = Policy::default().overlaid(&patch);
        self
    }

    pub(crate) fn judged(&self) -> Judged {
        judge(self.last_good.as_ref(), self.candidate.clone(), &self.history, &self.policy)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.judged().verdict().clone()
    }

    /// The verdict as text: the outcome, then a line for each finding.
    pub(crate) fn check(&self) -> String {
        let verdict = self.verdict();
        let mut text = verdict.outcome.to_string();
        for finding in verdict.findings {
            text += &format!("\n{} {}: {}", finding.severity, finding.code, finding.message);
        }
        text
    }
}

fn empty_scope(name: &str) -> ScopeCensus {
    ScopeCensus {
        report: ScopeReport {
            name: name.to_owned(),
            outcome: ScopeOutcome::Complete,
            received: 0,
            declared: 0,
            source_total: None,
            watermark: Watermark::default(),
        },
        records: BTreeMap::new(),
    }
}

fn merge(into: &mut Census, from: Census) {
    for (of, census) in from.types {
        let TypeCensus { records, .. } = census;
        into.types.entry(of).or_default().records += records;
    }
    for (name, scope) in from.scopes {
        let known = into.scopes.entry(name.clone()).or_insert_with(|| empty_scope(&name));
        for (of, records) in scope.records {
            *known.records.entry(of).or_default() += records;
        }
    }
}
