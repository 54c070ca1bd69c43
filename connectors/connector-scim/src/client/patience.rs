//! How long a service is waited for, and how often it is asked again.
//!
//! What a service asks for is done and told, within a bound; what fails is tried again a few times,
//! each time after a longer wait.

use std::time::Duration;

use cordon_sdk::Sync;

use super::AskError;

/// The first wait after a failure; it doubles with each.
const BACKOFF: Duration = Duration::from_millis(500);
/// The longest wait after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(15);
/// How often one request may be told to come back later.
const THROTTLES_MAX: u32 = 20;

/// On whose behalf the service is asked.
#[derive(Clone, Copy)]
pub(crate) enum Patience<'a> {
    /// A sync, which is told of waits and may be cancelled.
    Sync(&'a Sync),
    /// A question, which whoever asks may drop.
    Question,
}

impl Patience<'_> {
    /// Returns when nobody wants the answer any more.
    pub(super) async fn cancelled(self) {
        match self {
            Self::Sync(sync) => sync.cancelled().await,
            Self::Question => std::future::pending().await,
        }
    }

    pub(super) async fn wait(self, wait: Duration) -> Result<(), AskError> {
        match self {
            Self::Sync(sync) => sync.throttled(wait).await.map_err(|_| AskError::Cancelled),
            Self::Question => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
        }
    }
}

/// What to do after a try that failed.
#[derive(Debug)]
pub(super) enum Next {
    Wait(Duration, AskError),
    GiveUp(AskError),
}

/// The tries of one request.
pub(super) struct Tries {
    failures_left: u32,
    throttles_left: u32,
    wait_max: Duration,
    backoff: Duration,
}

impl Tries {
    pub(super) fn new(retries: u32, wait_max: Duration) -> Self {
        Self { failures_left: retries, throttles_left: THROTTLES_MAX, wait_max, backoff: BACKOFF }
    }

    pub(super) fn after(&mut self, error: AskError) -> Next {
        let (left, asked) = match &error {
            AskError::Throttled { after, .. } => (&mut self.throttles_left, *after),
            AskError::Failed { after, .. } => (&mut self.failures_left, *after),
            AskError::Unanswered { .. } => (&mut self.failures_left, None),
            _ => return Next::GiveUp(error),
        };
        let wait = match asked {
            Some(asked) => asked,
            None => {
                let wait = self.backoff;
                self.backoff = (wait * 2).min(BACKOFF_MAX);
                // Many that failed together must not come back together.
                wait.mul_f64(0.5 + fastrand::f64() / 2.0)
            }
        };
        if *left == 0 || wait > self.wait_max {
            return Next::GiveUp(error);
        }
        *left -= 1;
        Next::Wait(wait, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttled(seconds: Option<u64>) -> AskError {
        AskError::Throttled { said: String::new(), after: seconds.map(Duration::from_secs) }
    }

    #[test]
    fn what_the_service_asks_for_is_waited_within_the_bound() {
        let mut tries = Tries::new(0, Duration::from_secs(60));
        for _ in 0..THROTTLES_MAX {
            let Next::Wait(wait, _) = tries.after(throttled(Some(60))) else { panic!("given up") };
            assert_eq!(wait, Duration::from_secs(60));
        }
        assert!(matches!(tries.after(throttled(Some(1))), Next::GiveUp(_)));
        let mut tries = Tries::new(0, Duration::from_secs(60));
        assert!(matches!(tries.after(throttled(Some(61))), Next::GiveUp(_)));
    }

    #[test]
    fn failures_are_tried_again_a_few_times_after_longer_waits() {
        let mut tries = Tries::new(4, Duration::from_secs(60));
        let failed = || AskError::Failed { said: String::new(), after: None };
        for millis in [500, 1_000, 2_000, 4_000] {
            let Next::Wait(wait, _) = tries.after(failed()) else { panic!("given up") };
            let bounds = Duration::from_millis(millis / 2)..=Duration::from_millis(millis);
            assert!(bounds.contains(&wait), "{wait:?}");
        }
        assert!(matches!(tries.after(failed()), Next::GiveUp(_)));
    }

    #[test]
    fn a_refusal_is_not_tried_again() {
        let mut tries = Tries::new(4, Duration::from_secs(60));
        let denied = AskError::Denied { said: String::new() };
        assert!(matches!(tries.after(denied), Next::GiveUp(_)));
    }
}
