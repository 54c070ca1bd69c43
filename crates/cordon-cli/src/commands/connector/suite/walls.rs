//! Cases about limits: what walls and a reader that stands still do to a connector.

use std::time::Duration;

use cordon_sdk::conformance::{Bench, Judged, Objection};
use cordon_wire::v1;

use super::Trial;
use crate::commands::connector::run::{self, Tried};
use crate::commands::connector::settings::Settings;
use crate::commands::runs;
use crate::units;

/// Fewer records do not try a limit of memory.
const LARGE: u64 = 100_000;
/// How long the reader stands still, after a moment to fill what lies between.
const FILL: Duration = Duration::from_millis(500);
const STILL: Duration = Duration::from_secs(2);
/// How far memory may grow meanwhile.
const GROWTH_BYTES_MAX: u64 = 32 << 20;
/// What keeps `allow`.
const WALLS: [&str; 4] = ["mount_namespace", "view", "network_namespace", "relays"];

pub(super) async fn slow_reader(trial: &mut Trial) -> Judged {
    let Some(config) = trial.settings.config_of("large") else {
        return Err(Objection::unjudged("no [test.large] in the settings leads to a large source"));
    };
    let mut bench = Bench::new(trial.bench.subject(), config, trial.bench.patience());
    let mut live = bench.held().await?;
    let failed = |error: cordon_sdk::Error| Objection::failed(error.chain());
    let _held = live.harness.hold_sync().await.map_err(failed)?;
    tokio::time::sleep(FILL).await;
    let before = live.life.memory_bytes();
    tokio::time::sleep(STILL).await;
    let growth = live.life.memory_bytes().saturating_sub(before);
    if growth <= GROWTH_BYTES_MAX {
        return Ok(());
    }
    let growth = units::bytes(growth);
    Err(Objection::failed(format!("its memory grew by {growth} while nobody read")))
}

pub(super) async fn walls(trial: &mut Trial) -> Judged {
    if !trial.settings.is_walled {
        return Err(Objection::unjudged("--no-sandbox"));
    }
    // What fails without walls says nothing of them.
    trial.bench.synced().await?;
    let tried = try_walled(&trial.settings).await?;
    is_accepted(&tried)?;
    let is_in_force = |name: &str| {
        tried.detail.isolation.iter().any(|item| item.name == name && item.state == "applied")
    };
    match WALLS.iter().find(|name| !is_in_force(name)) {
        None => Ok(()),
        Some(name) => Err(Objection::unjudged(format!("this host does not give {name}"))),
    }
}

pub(super) async fn memory(trial: &mut Trial) -> Judged {
    if !trial.settings.is_walled {
        return Err(Objection::unjudged("--no-sandbox"));
    }
    let Some(settings) = trial.settings.of("large") else {
        return Err(Objection::unjudged("no [test.large] in the settings leads to a large source"));
    };
    let tried = try_walled(&settings).await?;
    is_accepted(&tried)?;
    let records = tried.run.records;
    if records < LARGE {
        let records = units::count(records);
        return Err(Objection::unjudged(format!("{records} records do not try its limit")));
    }
    let limits = ["limit_memory", "group_memory"];
    let item = |item: &&v1::IsolationItem| limits.contains(&item.name.as_str());
    match tried.detail.isolation.iter().filter(item).any(|item| item.state == "applied") {
        true => Ok(()),
        false => Err(Objection::unjudged("this host does not limit memory")),
    }
}

async fn try_walled(settings: &Settings) -> Result<Tried, Objection> {
    let folder = tempfile::Builder::new().prefix("cordon-test-").tempdir();
    let folder = folder.map_err(|error| Objection::unjudged(error.to_string()))?;
    let tried = run::try_once(settings, folder.path(), false).await;
    tried.map_err(|failure| Objection::unjudged(format!("cordond could not try it: {failure}")))
}

fn is_accepted(tried: &Tried) -> Judged {
    if tried.run.outcome == "committed" {
        return Ok(());
    }
    let mut why = format!("the sync was {}: {}", tried.run.outcome, runs::why(&tried.run));
    if let Some(last) = tried.log.last() {
        why = format!("{why}; its last word was {:?}", last.line);
    }
    Err(Objection::Failed(why))
}
