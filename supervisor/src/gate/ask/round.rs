//! The asking itself: so many keys at a time, so many a second, until all is answered, the time is
//! over, or an order comes between. What was answered until then counts.

use std::fmt;
use std::time::Duration;

use cordon_model::SyncNumber;
use cordon_wire::v1;

use super::{Asking, Question};
use crate::limits::{LOOKUP_KEYS, LOOKUP_KEYS_BY_READING};
use crate::session::{Progress, Violation};

/// The least that a source is left alone that asks for patience and does not say how long.
const PATIENCE_MIN: Duration = Duration::from_secs(1);

/// Why not everything was answered.
pub(super) enum Trouble {
    /// The time is over.
    Late(Duration),
    /// An order came between.
    CalledOff,
    /// The process is gone.
    Died,
    /// The answer fits no question.
    Broken(String),
    /// The connector says why.
    Refused(Box<v1::Error>),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(within) => {
                write!(f, "no answer within {}", crate::schedule::in_words(*within))
            }
            Self::CalledOff => f.write_str("called off by an order"),
            Self::Died => f.write_str("the connector died"),
            Self::Broken(why) => write!(f, "the connector broke the contract: {why}"),
            Self::Refused(error) => f.write_str(&crate::session::source_words(error)),
        }
    }
}

/// Questions that are being asked, and their answers.
pub(super) struct Round<'a> {
    sync: SyncNumber,
    questions: &'a [Question],
    per_second: u32,
    /// One a question; none where it was not answered.
    pub(super) answers: Vec<Option<v1::Presence>>,
    /// Calls that were made.
    pub(super) calls: u64,
}

impl<'a> Round<'a> {
    pub(super) fn new(sync: SyncNumber, questions: &'a [Question], per_second: u32) -> Self {
        Self { sync, questions, per_second, answers: vec![None; questions.len()], calls: 0 }
    }

    /// Asks; gives why not everything was answered.
    pub(super) async fn run(&mut self, asking: &Asking<'_>, within: Duration) -> Option<Trouble> {
        tokio::select! {
            asked = self.ask(asking) => asked.err(),
            () = asking.cancel.cancelled() => Some(Trouble::CalledOff),
            () = tokio::time::sleep(within) => Some(Trouble::Late(within)),
            _ = asking.process.gone() => Some(Trouble::Died),
        }
    }

    async fn ask(&mut self, asking: &Asking<'_>) -> Result<(), Trouble> {
        // One that reads its whole source each time is spared by few calls, others by few keys.
        let by_reading = asking.process.announced.looks_up_by_reading;
        let lot = if by_reading {
            LOOKUP_KEYS_BY_READING
        } else {
            LOOKUP_KEYS.min(self.per_second as usize).max(1)
        };
        let pause = if by_reading {
            Duration::from_secs(1)
        } else {
            Duration::from_secs(1) * lot as u32 / self.per_second
        };
        let mut client = asking.process.client();
        let mut done = 0;
        for (questions, answers) in self.questions.chunks(lot).zip(self.answers.chunks_mut(lot)) {
            if done > 0 {
                // What the lot before was allowed to take.
                tokio::time::sleep(pause).await;
            }
            let progress = Progress {
                phase: "verifying".to_owned(),
                done,
                total: self.questions.len() as u64,
                ..Progress::default()
            };
            asking.progress.send_replace(Some((self.sync, progress)));
            let keys: Vec<_> = questions.iter().map(|question| question.key.clone()).collect();
            let answer = loop {
                self.calls += 1;
                let request = v1::LookupRequest { keys: keys.clone() };
                match client.lookup(request).await {
                    Ok(answer) => break answer.into_inner(),
                    Err(status) => tokio::time::sleep(patience(asking, &status).await?).await,
                }
            };
            let presences = cordon_wire::lookup::presences_from_wire(&answer, keys.len())
                .map_err(|error| Trouble::Broken(error.to_string()))?;
            for (answer, presence) in answers.iter_mut().zip(presences) {
                *answer = Some(presence);
            }
            done += questions.len() as u64;
        }
        Ok(())
    }
}

/// How long a source wants to be left alone; an error where it wants something else.
async fn patience(asking: &Asking<'_>, status: &tonic::Status) -> Result<Duration, Trouble> {
    if !crate::session::carries_error(status) && asking.process.death_soon().await.is_some() {
        return Err(Trouble::Died);
    }
    if let Some(violation) = Violation::of_status(status) {
        return Err(Trouble::Broken(violation.cleaned(&asking.process.redactor).message));
    }
    let clean = |text: &str| asking.process.redactor.text(text);
    let error = cordon_wire::error::error_from_status_cleaned(status, clean);
    if error.kind() != v1::ErrorKind::RateLimited {
        return Err(Trouble::Refused(Box::new(error)));
    }
    Ok(Duration::from_millis(error.retry_after_ms).max(PATIENCE_MIN))
}
