//! `cordon backtest`: what another policy would have done with the syncs whose records are kept.

use std::path::Path;

use cordon_wire::v1;
use serde::Serialize;

use crate::args::BacktestArgs;
use crate::client::{Client, answer};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::json::{View, maybe};
use crate::output::page::Page;
use crate::output::scene::Scene;
use crate::output::table::{Grid, Mark};
use crate::units;

/// Bytes of a configuration, at most; the daemon reads no more either.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What stands beside the syncs in a document.
#[derive(Serialize)]
struct Extra<'a> {
    summary: Option<View<'a, v1::BacktestSummary>>,
}

pub(super) async fn run(
    mut client: Client,
    args: BacktestArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let policy = match &args.policy {
        None => String::new(),
        Some(path) => read(path)?,
    };
    let request = v1::BacktestRequest { connector: args.name, policy };
    let v1::BacktestResponse { syncs, summary } = answer(client.backtest(request)).await?;
    let extra = Extra { summary: maybe(&summary) };
    let told = summary.clone().unwrap_or_default();
    out.list(&syncs, &extra, |scene| page(&syncs, &told, scene))?;
    let differs = syncs.iter().any(|sync| !["same", "unknown"].contains(&sync.difference.as_str()));
    Ok(if differs && args.exit_code { Exit::Attention } else { Exit::Done })
}

/// Reads a configuration, to be sent.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let usage = |why: String| Failure::Usage {
        message: format!("cannot read the policy {}: {why}", path.display()),
        hint: "name a configuration file, such as /etc/cordon/cordon.toml".into(),
    };
    let length = std::fs::metadata(path).map_err(|error| usage(error.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(usage(format!("{length} bytes are more than a configuration has")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| usage(error.to_string()))?;
    if text.trim().is_empty() {
        return Err(usage("it is empty".to_owned()));
    }
    Ok(text)
}

fn mark(difference: &str, scene: &Scene) -> Mark {
    match difference {
        "same" => scene.glyphs.good(),
        "newly-held" | "no-longer-held" => scene.glyphs.bad(),
        _ => scene.glyphs.warn(),
    }
}

fn page(syncs: &[v1::BacktestSync], summary: &v1::BacktestSummary, scene: &Scene) -> Page {
    let mut page = Page::new();
    let mut grid =
        Grid::new(&[">SYNC", "TAKEN", "THEN", "NOW", "CHANGES", "CODES THEN", "CODES NOW"]);
    for sync in syncs {
        let cells = [
            sync.sync.to_string(),
            scene.clock(sync.taken_at),
            sync.outcome.clone(),
            sync.verdict.clone(),
            units::changes(sync.changes.as_ref()),
            sync.codes_then.join(" "),
            sync.codes.join(" "),
        ];
        grid.marked(mark(&sync.difference, scene), cells);
    }
    if !grid.is_empty() {
        grid.write(&mut page, 0);
    }
    for sync in syncs.iter().filter(|sync| sync.difference.starts_with("newly-")) {
        page.line(&format!("sync {}: {}", sync.sync, sync.message));
    }
    page.line(&format!(
        "under {}: {} judged, {} held ({} then), {} newly, {} no longer; removals held {} ({} then)",
        summary.policy,
        units::plural(summary.judged, "sync", "syncs"),
        units::count(summary.held),
        units::count(summary.held_then),
        units::count(summary.newly_held),
        units::count(summary.no_longer_held),
        units::count(summary.removals_held),
        units::count(summary.removals_held_then),
    ));
    if summary.read_again + summary.read_again_then > 0 {
        page.line(&format!(
            "read again before anybody is asked: {} ({} then)",
            units::plural(summary.read_again, "sync", "syncs"),
            units::count(summary.read_again_then),
        ));
    }
    if summary.unknown > 0 {
        let unknown = units::plural(summary.unknown, "sync", "syncs");
        page.line(&format!("{unknown} cannot be judged again: {}", summary.missing));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    fn sync(number: u64, verdict: &str, difference: &str) -> v1::BacktestSync {
        let run = sample::run(number, "committed");
        v1::BacktestSync {
            connector: "hr-csv".into(),
            sync: number,
            against: number - 1,
            taken_at: run.started_at,
            outcome: run.outcome,
            verdict: verdict.into(),
            codes: if verdict == "accepted" { vec![] } else { vec!["CRD-D101".into()] },
            codes_then: Vec::new(),
            changes: run.changes,
            difference: difference.into(),
            message: "users fell from 100 to 90".into(),
        }
    }

    fn summary() -> v1::BacktestSummary {
        v1::BacktestSummary {
            policy: "the given policy".into(),
            judged: 2,
            held: 1,
            held_then: 0,
            newly_held: 1,
            no_longer_held: 0,
            removals_held: 7_019,
            removals_held_then: 0,
            unknown: 1,
            missing: "records are no longer kept".into(),
            read_again: 3,
            read_again_then: 0,
        }
    }

    #[test]
    fn a_backtest_shows_each_sync_and_sums_up_the_effect() {
        let syncs = [sync(417, "accepted", "same"), sync(418, "quarantined", "newly-held")];
        insta::assert_snapshot!(page(&syncs, &summary(), &Scene::fixed()).plain(), @r#"
          SYNC  TAKEN     THEN       NOW          CHANGES         CODES THEN  CODES NOW
        ✓  417  06:56:00  committed  accepted     +12 -7,019 ~40
        ✗  418  06:56:00  committed  quarantined  +12 -7,019 ~40              CRD-D101
        sync 418: users fell from 100 to 90
        under the given policy: 2 syncs judged, 1 held (0 then), 1 newly, 0 no longer; removals held 7,019 (0 then)
        read again before anybody is asked: 3 syncs (0 then)
        1 sync cannot be judged again: records are no longer kept
        "#);
    }

    #[test]
    fn a_backtest_as_json_has_every_field() {
        insta::assert_snapshot!(sample::json(&sync(418, "accepted", "same")), @r#"{"connector":"hr-csv","sync":418,"against":417,"taken_at":"2026-03-02T06:56:00Z","outcome":"committed","verdict":"accepted","codes":[],"codes_then":[],"changes":{"added":12,"removed":7019,"modified":40},"difference":"same","message":"users fell from 100 to 90"}"#);
        insta::assert_snapshot!(sample::json(&summary()), @r#"{"policy":"the given policy","judged":2,"held":1,"held_then":0,"newly_held":1,"no_longer_held":0,"removals_held":7019,"removals_held_then":0,"unknown":1,"missing":"records are no longer kept","read_again":3,"read_again_then":0}"#);
    }
}
