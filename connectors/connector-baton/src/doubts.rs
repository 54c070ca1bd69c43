//! Why a scope is not whole, in the words of its first few faults.

use crate::ids::cut;

/// Faults that are told.
const TOLD: usize = 3;
/// Bytes of each.
const FAULT_BYTES_MAX: usize = 150;

/// What keeps one scope from being complete.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    told: Vec<String>,
    more: u64,
}

impl Doubts {
    pub(crate) fn add(&mut self, fault: &str) {
        let fault = cut(fault, FAULT_BYTES_MAX);
        if self.told.iter().any(|told| told == fault) || self.told.len() == TOLD {
            self.more += 1;
        } else {
            self.told.push(fault.to_owned());
        }
    }

    /// None where there are none.
    pub(crate) fn reason(&self) -> Option<String> {
        let told = self.told.join("; ");
        match (self.told.is_empty(), self.more) {
            (true, _) => None,
            (false, 0) => Some(told),
            (false, more) => Some(format!("{told}; and {more} more")),
        }
    }
}
