//! What was counted, in the words that the judge reads.

use std::collections::BTreeMap;

use cordon_model::{AttributeType, RecordType, ScopeOutcome, SyncNumber};
use cordon_validate::{
    Census, ColumnCensus, Delta, ScopeCensus, TypeCensus, VALUES_MAX, ValueCounts, Values,
};

use crate::finish::step::Stepped;
use crate::finish::{Part, Reports, completed};
use crate::manifest::{Manifest, ScopeState};
use crate::stage::Staging;

pub(super) fn census(
    staging: &Staging,
    reports: &Reports,
    before: Option<&Census>,
    parts: &[Part],
    step: &Stepped,
) -> Census {
    let mut types: BTreeMap<RecordType, TypeCensus> = BTreeMap::new();
    for of in &staging.types {
        let columns = of
            .columns
            .iter()
            .map(|column| (column.name.clone(), empty(column.value_type, column.required)));
        let columns = columns.collect();
        types.insert(of.record_type.clone(), TypeCensus { columns, ..TypeCensus::default() });
    }
    for part in parts {
        let of = types.entry(part.entry.record_type.clone()).or_default();
        of.records += part.entry.records;
        if !part.reported {
            of.carried += part.entry.records;
        }
        for column in &part.entry.columns {
            let known =
                of.columns.entry(column.name.clone()).or_insert(empty(column.value_type, false));
            known.present += column.present;
            if column.present > 0 {
                known.values = known.values.take().zip(column.values.as_ref()).and_then(together);
            }
        }
    }
    for (record_type, of) in &mut types {
        let before = before.and_then(|before| before.types.get(record_type));
        for (name, column) in &mut of.columns {
            let known = before.and_then(|before| before.columns.get(name)?.values.as_ref());
            // What no record has any more is still known.
            column.values = match (column.values.take(), known) {
                (None, _) => None,
                (Some(values), None) if values.now.is_empty() => None,
                (Some(values), None) => Some(values),
                (Some(values), Some(known)) => Some(Values::after(values.now, known)),
            };
        }
    }
    let scopes = reports.iter().map(|(name, report)| {
        let records = step.held.get(name).cloned().unwrap_or_default();
        (name.clone(), ScopeCensus { report: report.clone(), records })
    });
    Census { types, scopes: scopes.collect(), privileged: step.privileged_now.clone() }
}

/// A column of which nothing was counted yet.
fn empty(value_type: AttributeType, required: bool) -> ColumnCensus {
    ColumnCensus { value_type, required, present: 0, values: Some(Values::default()) }
}

/// The values of several files; none where they are no longer few.
fn together((mut values, more): (Values, &ValueCounts)) -> Option<Values> {
    for (value, rows) in more {
        *values.now.entry(value.clone()).or_default() += rows;
    }
    (values.now.len() <= VALUES_MAX).then_some(values)
}

pub(super) fn delta(reports: &Reports, before: &Manifest, parts: &[Part], step: &Stepped) -> Delta {
    let mut delta = between(|scope| reports.contains_key(scope), before, step);
    for part in parts.iter().filter(|part| !part.reported) {
        if let Some(of) = delta.types.get_mut(&part.entry.record_type) {
            of.carried += part.entry.records;
        }
    }
    delta
}

/// The step from a snapshot to a candidate whose scopes reported long ago.
pub(crate) fn delta_between(census: &Census, before: &Manifest, step: &Stepped) -> Delta {
    between(|scope| census.scopes.contains_key(scope), before, step)
}

fn between(reported: impl Fn(&str) -> bool, before: &Manifest, step: &Stepped) -> Delta {
    let unreported = before.scopes.iter().filter(|state| !state.gone);
    let unreported = unreported.filter(|state| !reported(&state.name));
    Delta {
        types: step.types.clone(),
        scopes: step.scopes.iter().map(|(name, delta)| (name.clone(), delta.clone())).collect(),
        privileged: step.privileged.clone(),
        unreported_scopes: unreported.map(|state| state.name.clone()).collect(),
    }
}

/// Every scope that reported or holds records.
pub(super) fn scopes(
    sync: SyncNumber,
    reports: &Reports,
    before: Option<&Manifest>,
    step: &Stepped,
) -> Vec<ScopeState> {
    let mut names: Vec<&String> = reports.keys().chain(step.held.keys()).collect();
    names.sort();
    names.dedup();
    let states = names.into_iter().map(|name| {
        let outcome = reports.get(name).map(|report| &report.outcome);
        let ended = outcome.is_some_and(ScopeOutcome::proves_absence);
        ScopeState {
            name: name.clone(),
            completed: if ended { Some(sync) } else { completed(before, name) },
            gone: outcome == Some(&ScopeOutcome::Gone),
        }
    });
    states.collect()
}
