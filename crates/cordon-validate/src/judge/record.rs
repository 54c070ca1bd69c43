//! Are the records themselves in order?
//!
//! What makes a record impossible to identify is invalid: keys are what every diff, grant and
//! removal hangs on, so nobody may accept it. What makes a record poorer waits for a person, who
//! may know that the source is like that.

use cordon_model::{RecordKind, RecordType, Severity, columns};

use super::Case;
use super::findings::{Findings, Noticed};
use crate::codes::{self, Rule};
use crate::words::{count, counted, plural, share, shown};
use crate::{Census, Defect, DefectKind, Percent, RequiredAttribute};

/// Records of a type with impossible timestamps that need nobody: a few forgotten dates are usual.
const IMPLAUSIBLE_TIME_MAX: Percent = Percent::whole(1);

pub(super) fn check(case: Case<'_>, findings: &mut Findings) {
    for defect in &case.candidate.defects {
        if let Some((rule, severity)) = weighed(defect) {
            findings.add(
                Noticed::new(rule, severity, defect.record_type.label(), described(defect))
                    .measured(defect.count, limit(defect.kind, defect.of))
                    .examples(&defect.examples),
            );
        }
    }
    for required in &case.policy.required {
        required_by_policy(required, &case.candidate.census, findings);
    }
}

/// The rule that a defect breaks, and how badly; none for what `references` weighs, and for defects
/// of no record.
fn weighed(defect: &Defect) -> Option<(&'static Rule, Severity)> {
    if defect.count == 0 {
        return None;
    }
    Some(match defect.kind {
        DefectKind::DuplicateKey => (&codes::DUPLICATE_KEY, Severity::Reject),
        DefectKind::MalformedId => (&codes::MALFORMED_ID, Severity::Reject),
        DefectKind::MalformedReference => (&codes::MALFORMED_REFERENCE, Severity::Reject),
        DefectKind::MissingRequired if is_key(&defect.record_type, defect.column.as_deref()) => {
            (&codes::MISSING_KEY, Severity::Reject)
        }
        DefectKind::MissingRequired => (&codes::MISSING_REQUIRED, Severity::Quarantine),
        DefectKind::ImplausibleTime if defect.count > IMPLAUSIBLE_TIME_MAX.of(defect.of) => {
            (&codes::IMPLAUSIBLE_TIME, Severity::Quarantine)
        }
        DefectKind::ImplausibleTime => (&codes::IMPLAUSIBLE_TIME, Severity::Warning),
        DefectKind::DanglingReference => return None,
    })
}

fn is_key(record_type: &RecordType, column: Option<&str>) -> bool {
    let keys: &[&str] = match record_type.kind {
        RecordKind::Resource | RecordKind::Entitlement => &[columns::ID],
        RecordKind::Grant => &[columns::PRINCIPAL, columns::ENTITLEMENT],
    };
    column.is_some_and(|column| keys.contains(&column))
}

fn limit(kind: DefectKind, of: u64) -> Option<u64> {
    match kind {
        DefectKind::ImplausibleTime => Some(IMPLAUSIBLE_TIME_MAX.of(of)),
        _ => Some(0),
    }
}

fn described(defect: &Defect) -> String {
    let label = defect.record_type.label();
    let column = shown(defect.column.as_deref().unwrap_or(columns::ID));
    let some = format!(
        "{} of {} ({})",
        count(defect.count),
        counted(defect.of, label),
        share(defect.count, defect.of)
    );
    match defect.kind {
        DefectKind::DuplicateKey => {
            format!("{} appear more than once", counted(defect.count, &format!("{label} key")))
        }
        DefectKind::MalformedId => format!("the {column} of {some} is malformed"),
        DefectKind::MissingRequired => format!("{some} have no {column}, which is required"),
        DefectKind::ImplausibleTime => format!(
            "the {column} of {some} lies before 1970 or after 2200, limit {IMPLAUSIBLE_TIME_MAX}"
        ),
        DefectKind::MalformedReference => {
            format!("the {column} of {some} is not of the form type:id")
        }
        DefectKind::DanglingReference => format!("the {column} of {some} points at nothing"),
    }
}

/// What the policy requires beyond what the connector announces.
fn required_by_policy(required: &RequiredAttribute, census: &Census, findings: &mut Findings) {
    let attribute = required.attribute.as_str();
    let types = census.types.iter().filter(|(t, _)| t.label() == required.label.as_str());
    let (mut records, mut present) = (0_u64, 0_u64);
    for (_, counted) in types {
        let has = counted.columns.get(attribute).map_or(0, |column| column.present);
        records = records.saturating_add(counted.records);
        present = present.saturating_add(has);
    }
    if present >= records {
        return;
    }
    let missing = records - present;
    let message = format!(
        "{} of {} {} ({}) have no {attribute}, which the policy requires",
        count(missing),
        count(records),
        plural(required.label.as_str()),
        share(missing, records)
    );
    findings.add(
        Noticed::new(
            &codes::MISSING_REQUIRED,
            Severity::Quarantine,
            required.label.as_str(),
            message,
        )
        .measured(missing, Some(0)),
    );
}
