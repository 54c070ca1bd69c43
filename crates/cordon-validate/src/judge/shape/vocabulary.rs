//! Does an attribute that has only a few values still have those?
//!
//! One new title in one record is a day like any other. That most records left every word that was ever
//! seen, from one sync to the next, is not: somebody turned `active` into `A`, or another column has the
//! name now, and whoever asks for `active` finds nobody.

use cordon_model::{RecordType, Severity};

use super::super::findings::{Findings, Noticed};
use crate::values::VALUES_MAX;
use crate::words::{count, counted, shown};
use crate::{ColumnCensus, Values, codes};

/// Of so many records one has a new value before that is more than something to know.
const MANY_SHARE: u64 = 10;
/// And so many have it at least.
const MANY_MIN: u64 = 5;
/// Values that are told, at most.
const TOLD_MAX: usize = 5;

pub(super) fn check(
    record_type: &RecordType,
    name: &str,
    before: &ColumnCensus,
    now: Option<&ColumnCensus>,
    findings: &mut Findings,
) {
    let Some((known, now)) = before.values.as_ref().zip(now) else { return };
    if !known.is_closed() || now.present == 0 || now.value_type != before.value_type {
        return;
    }
    let label = record_type.label();
    let subject = format!("{label}.{name}");
    let rule = &codes::VALUES_NEW;
    let Some(values) = &now.values else {
        let message = format!(
            "semantic: {subject} has more than {VALUES_MAX} values now, or longer ones; {}",
            history(known)
        );
        let noticed = Noticed::new(rule, Severity::Warning, &subject, message);
        return findings.add(noticed.measured(now.present, None));
    };
    let new: Vec<(&str, u64)> = values.new_since(known).collect();
    if new.is_empty() {
        return;
    }
    let records = new.iter().map(|(_, records)| *records).fold(0, u64::saturating_add);
    let is_many = records >= MANY_MIN && records.saturating_mul(MANY_SHARE) >= now.present;
    let severity = match () {
        () if values.replaces(known) => Severity::Quarantine,
        () if is_many => Severity::Warning,
        () => Severity::Info,
    };
    let message = format!(
        "semantic: {subject} is {} in {} of {}, never seen before; {}",
        list(new.iter().map(|(value, _)| *value)),
        count(records),
        counted(now.present, label),
        history(known)
    );
    findings.add(
        Noticed::new(rule, severity, &subject, message).measured(records, Some(now.present / 2)),
    );
}

fn history(known: &Values) -> String {
    let values = list(known.now.keys().map(String::as_str));
    format!("{} snapshots in a row had nothing but {values}", count(u64::from(known.snapshots())))
}

/// Values as people read them: they are a source's own words.
fn list<'a>(values: impl ExactSizeIterator<Item = &'a str>) -> String {
    let all = values.len();
    let mut told: Vec<String> =
        values.take(TOLD_MAX).map(|value| format!("`{}`", shown(value))).collect();
    if all > TOLD_MAX {
        told.push(format!("{} more", all - TOLD_MAX));
    }
    told.join(", ")
}
