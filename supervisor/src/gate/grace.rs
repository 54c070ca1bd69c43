//! How long what was accepted as removed can be taken back by the source.

use cordon_ledger::SnapshotRow;
use cordon_store::Grace;

use super::Gate;

impl Gate<'_> {
    /// The time of grace of a candidate's removals; none where the policy gives none. It counts from
    /// the commit, not from the sync: what waited for a person for days was not in force meanwhile.
    pub(super) fn grace(&self, last_good: Option<&SnapshotRow>) -> Option<Grace> {
        let span = self.connector.policy.grace.span()?.duration();
        let accepted_at = last_good?.committed_at;
        Some(Grace { span, accepted_at, ends: true })
    }
}
