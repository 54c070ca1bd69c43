//! How many connectors may be starting at a time.
//!
//! Fifty that are due at the same moment, as after a boot, would all hash their programs, fork and
//! configure at once, be slow together, and miss their deadlines together. So starts take turns;
//! those that find others at it also wait a random moment, so that what failed together does not
//! come back together. A start that an operator waits for takes its turn like any other, without
//! that moment.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Turns at starting.
pub(crate) struct Starts {
    turns: Semaphore,
    at_a_time: usize,
    spread: Duration,
}

/// One turn, until it is dropped.
pub(crate) struct Turn<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

impl Starts {
    /// So many at a time; one that finds others waits a random part of `spread` first.
    pub(crate) fn new(at_a_time: usize, spread: Duration) -> Self {
        Self { turns: Semaphore::new(at_a_time), at_a_time, spread }
    }

    /// Waits for a turn.
    pub(crate) async fn turn(&self, may_wait: bool) -> Turn<'_> {
        if may_wait && self.turns.available_permits() < self.at_a_time {
            tokio::time::sleep(self.spread.mul_f64(fastrand::f64())).await;
        }
        Turn { _permit: self.turns.acquire().await.ok() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn fifty_that_are_due_at_once_start_a_few_at_a_time_and_all_start() {
        let starts = Arc::new(Starts::new(3, Duration::from_millis(5)));
        let (now, most, done) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(0)),
        );
        let tasks = (0..50).map(|_| {
            let (starts, now, most, done) =
                (starts.clone(), now.clone(), most.clone(), done.clone());
            tokio::spawn(async move {
                let _turn = starts.turn(true).await;
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
            })
        });
        futures::future::join_all(tasks).await;
        assert_eq!(done.load(Ordering::SeqCst), 50);
        let most = most.load(Ordering::SeqCst);
        assert!((2..=3).contains(&most), "{most} at a time");
    }
}
