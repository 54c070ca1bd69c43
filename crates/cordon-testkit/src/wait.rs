//! Waits for a condition, never for a time.

use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until the condition holds.
///
/// # Panics
/// When it does not hold within the deadline.
#[track_caller]
pub fn wait_until(what: &str, deadline: Duration, mut holds: impl FnMut() -> bool) {
    wait_for(what, deadline, || holds().then_some(()));
}

/// Looks until there is something, and gives it.
///
/// # Panics
/// When there is nothing within the deadline.
#[track_caller]
pub fn wait_for<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < deadline, "waited {deadline:?} in vain: {what}");
        std::thread::sleep(PAUSE);
    }
}
