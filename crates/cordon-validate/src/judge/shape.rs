//! Do records still look as they did?
//!
//! A connector that lost one right goes on reporting every user, without `mail`. Counts match, and
//! four thousand accounts lose their address; so columns are compared one by one. Each finding names the
//! class of the drift, which says who has to change something: nobody, whoever relies on the attribute,
//! or whoever reads it. That values mean something else under the same name and type, the semantic
//! drift, shows where they are a few words and others take their place ([`vocabulary`]); else it is for
//! the detector to see.

mod vocabulary;

use std::fmt;

use cordon_model::{AttributeType, RecordType, Severity};

use super::Case;
use super::findings::{Findings, Noticed};
use crate::words::{count, counted, plural, share};
use crate::{ColumnCensus, PERCENT_RECORDS_MIN, TypeCensus, codes};

/// What a change of the columns means for those who read them.
#[derive(Clone, Copy)]
enum Drift {
    /// There is more: whoever read the records can go on.
    Additive,
    /// There is less of it: whoever relies on the attribute has to look.
    Narrowing,
    /// It cannot be read as it was.
    Breaking,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Additive => "additive",
            Self::Narrowing => "narrowing",
            Self::Breaking => "breaking",
        })
    }
}

/// How many of a hundred records may lose an attribute at once.
const LOST_POINTS_MAX: u64 = 10;
/// Records of a small type that may lose an attribute at once.
const LOST_SMALL_MAX: u64 = 5;

pub(super) fn check(case: Case<'_>, findings: &mut Findings) {
    let Some((last_good, _)) = case.step() else { return };
    for (record_type, now) in &case.candidate.census.types {
        let Some(before) = last_good.types.get(record_type) else { continue };
        // What has no records has no columns; that it is empty is for `completeness` to say.
        if before.records == 0 || now.records == 0 {
            continue;
        }
        for (name, column) in &before.columns {
            let step = ColumnStep {
                record_type,
                name,
                records_before: before.records,
                records_now: now.records,
                before: column,
                now: now.columns.get(name),
                required: column.required || case.policy.requires(record_type.label(), name),
            };
            step.check(findings);
            vocabulary::check(record_type, name, column, now.columns.get(name), findings);
        }
        new_columns(record_type, before, now, findings);
    }
}

fn new_columns(
    record_type: &RecordType,
    before: &TypeCensus,
    now: &TypeCensus,
    findings: &mut Findings,
) {
    let label = record_type.label();
    for name in now.columns.keys().filter(|name| !before.columns.contains_key(*name)) {
        let message = format!("{}: {label}.{name} is new", Drift::Additive);
        findings.add(Noticed::new(&codes::COLUMN_NEW, Severity::Info, label, message));
    }
}

/// One column of one type, before and now.
struct ColumnStep<'a> {
    record_type: &'a RecordType,
    name: &'a str,
    records_before: u64,
    records_now: u64,
    before: &'a ColumnCensus,
    now: Option<&'a ColumnCensus>,
    required: bool,
}

impl ColumnStep<'_> {
    fn check(&self, findings: &mut Findings) {
        let label = self.record_type.label();
        if let Some(now) = self.now {
            if now.value_type != self.before.value_type {
                let message = format!(
                    "{}: {label}.{} was {}, and is {} now",
                    Drift::Breaking,
                    self.name,
                    type_name(self.before.value_type),
                    type_name(now.value_type)
                );
                let rule = &codes::COLUMN_TYPE_CHANGED;
                findings.add(Noticed::new(rule, Severity::Quarantine, label, message));
            }
            if self.before.required && !now.required {
                let message = format!(
                    "{}: {label}.{} is no longer announced as required",
                    Drift::Narrowing,
                    self.name
                );
                let rule = &codes::NO_LONGER_REQUIRED;
                findings.add(Noticed::new(rule, Severity::Warning, label, message));
            }
        }
        if self.vanished() {
            let message = format!(
                "{}: {label}.{} is gone from all {}; {} of {} had it",
                Drift::Breaking,
                self.name,
                counted(self.records_now, label),
                count(self.before.present),
                count(self.records_before)
            );
            findings.add(
                Noticed::new(&codes::COLUMN_VANISHED, Severity::Quarantine, label, message)
                    .measured(0, Some(1)),
            );
        } else if self.values_lost() {
            let message = format!(
                "{}: {label}.{} fell from {} to {} of {}, limit {LOST_POINTS_MAX} points",
                Drift::Narrowing,
                self.name,
                share(self.before.present, self.records_before),
                share(self.present(), self.records_now),
                plural(label)
            );
            findings.add(
                Noticed::new(&codes::VALUES_LOST, Severity::Quarantine, label, message)
                    .measured(self.present(), Some(self.least_present())),
            );
        }
    }

    fn present(&self) -> u64 {
        self.now.map_or(0, |column| column.present)
    }

    /// No record has it: either the column is not sent any more, or more values went than a few
    /// people can lose on one day.
    fn vanished(&self) -> bool {
        match self.now {
            None => self.before.present > 0,
            Some(now) => now.present == 0 && self.before.present >= PERCENT_RECORDS_MIN,
        }
    }

    fn values_lost(&self) -> bool {
        let lost = self.before.present.saturating_sub(self.present());
        if self.present() >= self.least_present() {
            return false;
        }
        if self.records_before < PERCENT_RECORDS_MIN {
            return lost > LOST_SMALL_MAX;
        }
        // New records without an optional attribute thin its share out; nobody lost a value.
        self.required || lost > 0
    }

    /// Records that must have the attribute for its share to have fallen by the limit and no more.
    fn least_present(&self) -> u64 {
        let [present, before, now] =
            [self.before.present, self.records_before, self.records_now].map(u128::from);
        let limit = u128::from(LOST_POINTS_MAX);
        // now * (present / before - limit / 100), rounded up; saturating, since a count of this size
        // is no count.
        let kept = (present * 100).saturating_sub(before * limit);
        let least = now.saturating_mul(kept).div_ceil((before * 100).max(1));
        u64::try_from(least).unwrap_or(u64::MAX)
    }
}

fn type_name(value_type: AttributeType) -> &'static str {
    match value_type {
        AttributeType::Text => "text",
        AttributeType::Integer => "a whole number",
        AttributeType::Boolean => "yes or no",
        AttributeType::Timestamp => "a timestamp",
    }
}
