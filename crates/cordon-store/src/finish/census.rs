//! What was counted, in the words that the judge reads.

use std::collections::BTreeMap;

use cordon_model::{RecordType, ScopeOutcome, SyncNumber};
use cordon_validate::{Census, ColumnCensus, Delta, ScopeCensus, TypeCensus};

use crate::finish::step::Stepped;
use crate::finish::{Part, Reports, completed};
use crate::manifest::{Manifest, ScopeState};
use crate::stage::Staging;

pub(super) fn census(
    staging: &Staging,
    reports: &Reports,
    parts: &[Part],
    step: &Stepped,
) -> Census {
    let mut types: BTreeMap<RecordType, TypeCensus> = BTreeMap::new();
    for of in &staging.types {
        let columns = of.columns.iter().map(|column| {
            let (value_type, required) = (column.value_type, column.required);
            (column.name.clone(), ColumnCensus { value_type, required, present: 0 })
        });
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
            let known = of.columns.entry(column.name.clone()).or_insert(ColumnCensus {
                value_type: column.value_type,
                required: false,
                present: 0,
            });
            known.present += column.present;
        }
    }
    let scopes = reports.iter().map(|(name, report)| {
        let records = step.held.get(name).cloned().unwrap_or_default();
        (name.clone(), ScopeCensus { report: report.clone(), records })
    });
    Census { types, scopes: scopes.collect(), privileged: step.privileged_now.clone() }
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
