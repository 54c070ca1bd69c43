//! Do parents, owners, entitlements and the ends of grants exist?
//!
//! Few sources are free of dead references, so a small share is only mentioned. A large one means
//! that a whole type was not read, however complete its scopes claim to be.

use cordon_model::Severity;

use super::Case;
use super::findings::{Findings, Noticed};
use crate::words::{count, share, shown};
use crate::{DefectKind, codes};

pub(super) fn check(case: Case<'_>, findings: &mut Findings) {
    let percent = case.policy.dangling_percent;
    for defect in &case.candidate.defects {
        if defect.kind != DefectKind::DanglingReference || defect.count == 0 {
            continue;
        }
        let limit = percent.of(defect.of);
        let severity = if defect.count > limit { Severity::Quarantine } else { Severity::Warning };
        let label = defect.record_type.label();
        let message = format!(
            "{} of {} targets ({}) of {label}.{} do not exist, limit {percent}",
            count(defect.count),
            count(defect.of),
            share(defect.count, defect.of),
            shown(defect.column.as_deref().unwrap_or("reference")),
        );
        findings.add(
            Noticed::new(&codes::DANGLING_REFERENCE, severity, label, message)
                .measured(defect.count, Some(limit))
                .examples(&defect.examples),
        );
    }
}
