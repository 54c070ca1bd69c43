//! What the newest process of a connector was given: enough to notice another value and to find the
//! value in text, and not the value.

use std::sync::{Mutex, PoisonError};

use super::{Fingerprint, Redactor, Resolved};

/// See the file.
#[derive(Default)]
pub(crate) struct Held(Mutex<State>);

#[derive(Default)]
struct State {
    last: Last,
    redactor: Redactor,
}

/// How resolving ended when it was last tried.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// It was never tried.
    #[default]
    Never,
    /// There was no value.
    Failed,
    /// There was.
    Given(Fingerprint),
}

impl Held {
    /// A start has resolved its references.
    pub(crate) fn given(&self, resolved: &Resolved) {
        let mut state = self.lock();
        state.last = Last::Given(resolved.fingerprint);
        state.redactor = resolved.redactor.clone();
    }

    /// A start could not. What is known of the values before stays known: their process may have
    /// left text behind.
    pub(crate) fn failed(&self) {
        self.lock().last = Last::Failed;
    }

    /// Whether a new start would be given something else than the newest was.
    pub(crate) fn differs(&self, now: Fingerprint) -> bool {
        let last = self.lock().last;
        last != Last::Never && last != Last::Given(now)
    }

    /// Finds the values in text.
    pub(crate) fn redactor(&self) -> Redactor {
        self.lock().redactor.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
