//! Which accepted removals are not final yet? Told, and never weighed: the step has every removal when
//! it comes, and how long sinks are not told of it changes no verdict.

use cordon_model::Severity;

use super::Case;
use super::findings::{Findings, Noticed};
use crate::words::{count, counted};
use crate::{PendingRemovals, codes};

pub(super) fn check(case: Case<'_>, findings: &mut Findings) {
    let Some(pending) = case.candidate.pending else { return };
    let PendingRemovals { waiting, began, returned, ended, final_from } = pending;
    if waiting == 0 && returned == 0 && ended == 0 {
        return;
    }
    let mut message = format!("{} pending", counted(waiting, "removal"));
    let parts = [(began, "new"), (returned, "taken back"), (ended, "final now")];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<_> = parts.map(|(number, what)| format!("{} {what}", count(*number))).collect();
    if !parts.is_empty() {
        message.push_str(&format!(" ({})", parts.join(", ")));
    }
    if let Some(from) = final_from.filter(|_| waiting > 0) {
        message.push_str(&format!("; none is final before {}", from.strftime("%F %H:%M UTC")));
    }
    findings.add(
        Noticed::new(&codes::PENDING_REMOVALS, Severity::Info, "", message).measured(waiting, None),
    );
}
