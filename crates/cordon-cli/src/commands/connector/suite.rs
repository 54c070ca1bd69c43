//! The conformance suite on a program: the cases of the SDK, which any connector is held to, and those
//! that only a process can be asked.
//!
//! The program is started as a plain child of this command, so that its signals, memory and output are
//! seen as they are; what walls do to it is tried by a private cordond. A case that cannot be judged
//! says why and is not passed.

mod heard;
mod life;
mod output;
mod process;
mod secrets;
mod sources;
mod walls;

use std::time::Instant;

use cordon_sdk::conformance::{Bench, Case, Judged, Objection};
use cordon_sdk::testing::Patience;
use serde_json::Value as Json;

use super::settings::Settings;
use process::Program;

/// Records of the source that the suite is run on, at most: they are kept in memory.
pub(super) const RECORDS_MAX: usize = 200_000;

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// One case that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) name: &'static str,
    pub(super) promise: &'static str,
    pub(super) outcome: Outcome,
    pub(super) took_us: u64,
}

macro_rules! own_cases {
    ($($variant:ident $name:ident $promise:literal => $judge:path;)*) => {
        /// A case that only a process can be asked.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Own { $($variant,)* }

        impl Own {
            const ALL: &[Self] = &[$(Self::$variant),*];

            fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($name),)* }
            }

            fn promise(self) -> &'static str {
                match self { $(Self::$variant => $promise,)* }
            }

            async fn judge(self, trial: &mut Trial) -> Judged {
                match self { $(Self::$variant => $judge(trial).await,)* }
            }
        }
    };
}

own_cases! {
    Truncated a_truncated_source_is_incomplete
        "A source that is cut short ends as an error or an incomplete scope." => sources::truncated;
    Failing a_failing_source_is_no_short_success
        "A source that fails in the middle ends as an error or an incomplete scope." => sources::failing;
    PagingLoop a_paging_loop_ends
        "A source whose pages go round ends as an error or an incomplete scope." => sources::paging_loop;
    RateLimited a_rate_limit_is_honoured
        "A source that limits the rate is waited for, or told as such." => sources::rate_limited;
    Hostile hostile_attributes_are_survived
        "Hostile values of a source come as well-formed records, or as a typed error." => sources::hostile;
    Terminate it_ends_when_asked
        "SIGTERM ends it within five seconds, idle and in the middle of a sync." => life::terminate;
    HangUp it_ends_with_its_supervisor
        "It ends within five seconds once its socket is closed." => life::hang_up;
    Killed a_killed_one_starts_afresh
        "After SIGKILL in the middle of a sync, the next start reports the same records." => life::killed;
    Leftovers it_leaves_no_process_behind
        "No process of its own outlives it." => life::leftovers;
    Rests it_rests_between_syncs
        "Between syncs no thread of it keeps a processor busy." => life::rests;
    Pinged it_bears_pings
        "A connection that is silent may be pinged once a second, and goes on." => life::pinged;
    SlowMemory a_slow_reader_costs_no_memory
        "While nobody reads a large sync, its memory does not grow." => walls::slow_reader;
    Walls it_runs_behind_its_walls
        "A sync is accepted behind the walls of a host, with what `allow` names and no more." => walls::walls;
    Memory it_keeps_its_memory_limit
        "A sync of 100,000 records or more stays under `limits.memory`." => walls::memory;
    Secrets no_secret_is_told
        "No secret of its configuration is in its log, its errors or its words." => secrets::untold;
    Stdout nothing_is_written_to_stdout
        "Standard output stays empty: logs go to standard error." => output::stdout;
    Log its_log_can_be_kept
        "Its log is text in lines of up to 4,096 bytes, 200 a second, and stays open." => output::log;
}

/// A program on trial.
pub(super) struct Trial {
    settings: Settings,
    bench: Bench<Program>,
}

/// The names of all cases, in the order in which they are run.
pub(super) fn names() -> Vec<&'static str> {
    let shared = Case::ALL.iter().map(|case| case.name());
    shared.chain(Own::ALL.iter().map(|case| case.name())).collect()
}

impl Trial {
    /// A program that is not started yet, and the values of its configuration.
    pub(super) fn new(
        settings: Settings,
        config: Json,
        patience: Patience,
    ) -> std::io::Result<Self> {
        process::adopt_orphans();
        let program = Program::new(&settings)?;
        Ok(Self { settings, bench: Bench::new(program, config, patience) })
    }

    /// Its name and version, if it says them.
    pub(super) async fn who(&mut self) -> (String, String) {
        match self.bench.described().await {
            Ok(described) => (described.name, described.version),
            Err(_) => Default::default(),
        }
    }

    /// Tries one case, by its name.
    pub(super) async fn judge(&mut self, name: &str) -> Option<Tried> {
        let begun = Instant::now();
        let shared = Case::ALL.iter().find(|case| case.name() == name);
        let own = Own::ALL.iter().find(|case| case.name() == name);
        let (name, promise, judged) = match (shared, own) {
            (Some(case), _) => (case.name(), case.promise(), case.judge(&mut self.bench).await),
            (None, Some(own)) => (own.name(), own.promise(), own.judge(self).await),
            (None, None) => return None,
        };
        if matches!(judged, Err(Objection::Failed(_))) {
            process::settle().await;
        }
        let end = self.bench.subject().end_of_its_own();
        let outcome = match judged {
            Ok(()) => Outcome::Passed,
            Err(Objection::Unjudged(why)) => Outcome::Skipped(why),
            Err(Objection::Failed(why)) => Outcome::Failed(match end {
                Some(end) => format!("{why} ({end})"),
                None => why,
            }),
        };
        let took_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        Some(Tried { name, promise, outcome, took_us })
    }

    /// Ends what the program left behind.
    pub(super) fn clean_up(&self) {
        process::end_orphans();
    }
}
