//! Cases on sources that are not in order, which only the author can lead to: `[test.NAME]` of the
//! settings.

use cordon_sdk::conformance::{Bench, Judged, Objection, are_well_formed};
use cordon_sdk::testing::Collected;
use cordon_sdk::{Error, ScopeOutcome, ScopeReport};

use super::Trial;

pub(super) async fn truncated(trial: &mut Trial) -> Judged {
    is_no_success(trial, "truncated").await
}

pub(super) async fn failing(trial: &mut Trial) -> Judged {
    is_no_success(trial, "failing").await
}

pub(super) async fn paging_loop(trial: &mut Trial) -> Judged {
    is_no_success(trial, "paging_loop").await
}

async fn is_no_success(trial: &mut Trial, source: &str) -> Judged {
    let within = trial.bench.patience().sync;
    let begun = std::time::Instant::now();
    let (collected, synced) = sync(trial, source).await?;
    if begun.elapsed() >= within {
        return Err(Objection::failed(format!("the sync goes on after {within:?}")));
    }
    match synced {
        Ok(()) if collected.scopes.iter().all(is_whole) => Err(Objection::failed(format!(
            "its {} records are told as complete",
            collected.rows.len()
        ))),
        Ok(()) => Ok(()),
        Err(error) => is_typed(&error),
    }
}

/// Whether a scope claims to be complete, and nothing that it says itself contradicts that: where the
/// source counts more records than came, the gate holds the sync.
fn is_whole(scope: &ScopeReport) -> bool {
    let counts_as_many = scope.source_total.is_none_or(|total| total == scope.received);
    scope.outcome == ScopeOutcome::Complete && counts_as_many
}

pub(super) async fn rate_limited(trial: &mut Trial) -> Judged {
    let (_, synced) = sync(trial, "rate_limited").await?;
    match synced {
        Ok(()) | Err(Error::RateLimited { .. }) => Ok(()),
        Err(error) => Err(Objection::failed(format!("not told as such: {}", error.chain()))),
    }
}

pub(super) async fn hostile(trial: &mut Trial) -> Judged {
    let (collected, synced) = sync(trial, "hostile").await?;
    match synced {
        Ok(()) => are_well_formed(&trial.bench.described().await?, &collected),
        Err(error) => is_typed(&error),
    }
}

/// Whether an error says what is wrong with the source, and not with the connector.
fn is_typed(error: &Error) -> Judged {
    match error {
        Error::Bug { .. } => Err(Objection::failed(format!("told as a bug: {}", error.chain()))),
        _ => Ok(()),
    }
}

async fn sync(
    trial: &mut Trial,
    source: &str,
) -> Result<(Collected, Result<(), Error>), Objection> {
    let Some(config) = trial.settings.config_of(source) else {
        let why = format!("no [test.{source}] in the settings leads to such a source");
        return Err(Objection::Unjudged(why));
    };
    let mut bench = Bench::new(trial.bench.subject(), config, trial.bench.patience());
    let mut live = bench.ready().await?;
    Ok(live.harness.sync().await)
}
