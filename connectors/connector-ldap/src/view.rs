//! What the last reading showed of how much this account may see.
//!
//! A server that hides an entry answers as one that does not have it. So "not found" means "absent"
//! only while nothing speaks of entries that this account cannot see: after a reading that was whole,
//! and in which no group named a member below the base that could not be found.

/// What the last reading showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct View {
    /// Members below the base that are named and cannot be found.
    pub(crate) unseen: u64,
    /// Groups that must have members and show none.
    pub(crate) silent_groups: u64,
    /// Whether every scope was read to its end.
    pub(crate) is_whole: bool,
}

impl View {
    /// Whether an entry that is not found is not there.
    pub(crate) fn proves_absence(self) -> bool {
        self.is_whole && self.unseen == 0 && self.silent_groups == 0
    }
}
