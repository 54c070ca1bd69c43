//! The scopes of one sync: what goes into each, and whether it was all of it.

use std::collections::BTreeMap;

use cordon_sdk::{Error, Scope, Sync, Watermark};

use crate::fact::{Fact, Part};
use crate::fault::Fault;

/// Faults that a reason spells out; the others are counted.
const FAULTS_SHOWN_MAX: usize = 3;

/// The scopes that are being written.
pub(crate) struct Report<'s> {
    sync: &'s Sync,
    scopes: BTreeMap<Part, Open>,
    done: u64,
}

struct Open {
    scope: Scope,
    /// Records as the server counts them.
    total: u64,
    /// Why it is not all of it.
    reasons: Vec<String>,
    faults: u64,
}

impl<'s> Report<'s> {
    pub(crate) async fn open(
        sync: &'s Sync,
        parts: &[Part],
        watermark: &Watermark,
    ) -> Result<Self, Error> {
        let mut scopes = BTreeMap::new();
        for part in parts {
            let mut scope = sync.scope(part.name()).await?;
            scope.watermark(watermark.clone());
            let open = Open { scope, total: 0, reasons: Vec::new(), faults: 0 };
            scopes.insert(*part, open);
        }
        Ok(Self { sync, scopes, done: 0 })
    }

    pub(crate) async fn take(&mut self, fact: Fact) -> Result<(), Error> {
        self.done += 1;
        match self.scopes.get_mut(&fact.part) {
            Some(open) => fact.push(&mut open.scope).await,
            None => Err(Error::bug(format!("scope {} is not open", fact.part.name()))),
        }
    }

    /// Says that work was done.
    pub(crate) async fn progress(&self, what: &str) -> Result<(), Error> {
        self.sync.progress(self.done, None, what).await
    }

    /// Records that the server counts in a scope, beside those of other databases.
    pub(crate) fn count(&mut self, part: Part, records: u64) {
        if let Some(open) = self.scopes.get_mut(&part) {
            open.total += records;
        }
    }

    /// A row became no record.
    pub(crate) fn fault(&mut self, parts: &[Part], fault: &Fault) {
        for part in parts {
            let Some(open) = self.scopes.get_mut(part) else { continue };
            match fault {
                // It was made after this sync began, and the count is later than that, too.
                Fault::Younger => open.total = open.total.saturating_sub(1),
                fault => {
                    open.faults += 1;
                    if open.reasons.len() < FAULTS_SHOWN_MAX {
                        open.reasons.push(fault.to_string());
                    }
                }
            }
        }
    }

    /// Something could not be read at all.
    pub(crate) fn lacks(&mut self, parts: &[Part], reason: &str) {
        for part in parts {
            if let Some(open) = self.scopes.get_mut(part) {
                open.faults += 1;
                open.reasons.push(reason.to_owned());
            }
        }
    }

    /// Why a scope is not whole, if it is not.
    pub(crate) fn lack(&self, part: Part) -> Option<&str> {
        self.scopes.get(&part)?.reasons.first().map(String::as_str)
    }

    pub(crate) fn records(&self) -> u64 {
        self.done
    }

    pub(crate) async fn close(self) -> Result<(), Error> {
        for open in self.scopes.into_values() {
            open.close().await?;
        }
        Ok(())
    }
}

impl Open {
    async fn close(mut self) -> Result<(), Error> {
        if self.faults == 0 {
            self.scope.source_total(self.total);
            return self.scope.complete().await;
        }
        let hidden = self.faults.saturating_sub(self.reasons.len() as u64);
        if hidden > 0 {
            self.reasons.push(format!("and {hidden} more"));
        }
        self.scope.incomplete(self.reasons.join("; ")).await
    }
}
