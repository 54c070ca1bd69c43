//! `cordon runs`: a connector's syncs and what they came to.

use cordon_wire::v1;

use crate::args::RunsArgs;
use crate::client::{Client, answer};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::Page;
use crate::output::scene::Scene;
use crate::output::table::Grid;
use crate::units;

pub(super) async fn run(
    mut client: Client,
    args: RunsArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let request = v1::RunsRequest {
        connector: args.name,
        limit: args.limit.unwrap_or_default(),
        since: units::since(args.since),
    };
    let runs = answer(client.runs(request)).await?.runs;
    out.list(&runs, &(), |scene| page(&runs, scene))?;
    if runs.is_empty() {
        let mut note = Page::new();
        note.line(if args.since.is_some() { "no sync since then" } else { "no sync yet" });
        out.note(note);
    }
    Ok(Exit::Done)
}

fn page(runs: &[v1::Run], scene: &Scene) -> Page {
    let mut page = Page::new();
    if !runs.is_empty() {
        grid(runs, scene).write(&mut page, 0);
    }
    page
}

/// Syncs as rows, in the order given.
pub(super) fn grid(runs: &[v1::Run], scene: &Scene) -> Grid {
    let mut columns = vec![">SYNC", "OUTCOME", "STARTED", ">TOOK", ">RECORDS", "CHANGES", "BY"];
    if scene.wide {
        columns.extend(["DIGEST", ">JUDGE", ">DIFF", ">COMMIT", ">SPAWN", ">PEAK"]);
    }
    columns.push("");
    let mut grid = Grid::new(&columns);
    for run in runs {
        let mut cells = vec![
            run.sync.to_string(),
            run.outcome.clone(),
            scene.clock(run.started_at),
            took(run, scene),
            units::count(run.records),
            units::changes(run.changes.as_ref()),
            run.trigger.clone(),
        ];
        if scene.wide {
            cells.extend([
                units::digest(&run.digest),
                micros(run.judge_us),
                micros(run.diff_us),
                micros(run.commit_us),
                micros(run.spawn_us),
                units::bytes(run.connector_peak_bytes),
            ]);
        }
        cells.push(why(run));
        grid.marked(scene.glyphs.outcome(&run.outcome), cells);
    }
    grid
}

fn took(run: &v1::Run, scene: &Scene) -> String {
    if run.started_at == 0 {
        return "-".into();
    }
    let end = if run.ended_at == 0 { scene.now } else { run.ended_at };
    units::took(end.saturating_sub(run.started_at))
}

fn micros(value: u64) -> String {
    if value == 0 { "-".into() } else { units::took(i64::try_from(value).unwrap_or(i64::MAX)) }
}

/// What it failed of, what stopped it, or who decided.
pub(super) fn why(run: &v1::Run) -> String {
    if !run.error.is_empty() {
        return run.error.clone();
    }
    if !run.decided_by.is_empty() {
        return format!("{}: \"{}\"", run.decided_by, run.decision_reason);
    }
    let blocking: Vec<&str> = run
        .findings
        .iter()
        .filter(|finding| matches!(finding.severity.as_str(), "quarantine" | "reject"))
        .map(|finding| finding.message.as_str())
        .collect();
    blocking.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    fn runs() -> Vec<v1::Run> {
        let mut failed = sample::run(416, "failed");
        failed.error = "killed: out of memory (limit 256 MiB)".into();
        let mut released = sample::run(415, "released");
        released.decided_by = "alice (uid 1000)".into();
        released.decision_reason = "INC-4411".into();
        let mut running = sample::run(419, "running");
        running.ended_at = 0;
        let mut quarantined = sample::run(418, "quarantined");
        quarantined.findings = sample::findings();
        vec![running, quarantined, sample::run(417, "committed"), failed, released]
    }

    #[test]
    fn runs_say_what_each_sync_came_to_and_why() {
        insta::assert_snapshot!(page(&runs(), &Scene::fixed()).plain(), @r#"
          SYNC  OUTCOME      STARTED     TOOK  RECORDS  CHANGES         BY
        >  419  running      06:56:00  2h 04m   11,197  +12 -7,019 ~40  schedule
        ✗  418  quarantined  06:56:00  3m 12s   11,197  +12 -7,019 ~40  schedule  read stopped at page 12 of 19; removed 7,019 of 18,204 (38.6 %)
        ✓  417  committed    06:56:00  3m 12s   11,197  +12 -7,019 ~40  schedule
        ✗  416  failed       06:56:00  3m 12s   11,197  +12 -7,019 ~40  schedule  killed: out of memory (limit 256 MiB)
        ✓  415  released     06:56:00  3m 12s   11,197  +12 -7,019 ~40  schedule  alice (uid 1000): "INC-4411"
        "#);
    }

    #[test]
    fn wide_runs_say_where_the_time_went() {
        let scene = Scene { wide: true, ..Scene::fixed() };
        insta::assert_snapshot!(page(&runs()[2..3], &scene).plain(), @r#"
          SYNC  OUTCOME    STARTED     TOOK  RECORDS  CHANGES         BY        DIGEST       JUDGE  DIFF  COMMIT  SPAWN     PEAK
        ✓  417  committed  06:56:00  3m 12s   11,197  +12 -7,019 ~40  schedule  b3:91fe04c2  812us  90ms    11ms    4ms  118 MiB
        "#);
    }

    #[test]
    fn a_run_as_json_has_every_field() {
        insta::assert_snapshot!(sample::json(&sample::run(417, "committed")), @r#"{"connector":"ldap-corp","sync":417,"outcome":"committed","started_at":"2026-03-02T06:56:00Z","ended_at":"2026-03-02T06:59:12Z","trigger":"schedule","records":11197,"changes":{"added":12,"removed":7019,"modified":40},"findings":[],"digest":"91fe04c2aabbccdd00112233445566778899aabbccddeeff0011223344556677","error":"","supervisor_ms":192000,"judge_us":812,"diff_us":90300,"connector_peak_bytes":123731968,"spawn_us":4100,"decided_by":"","decision_reason":"","commit_us":11000,"reason":"","gave_way_us":0}"#);
    }

    #[test]
    fn times_at_the_edge_of_the_calendar_do_no_harm() {
        let mut run = sample::run(1, "failed");
        run.started_at = i64::MIN;
        run.ended_at = i64::MAX;
        run.judge_us = u64::MAX;
        let scene = Scene { wide: true, ..Scene::fixed() };
        assert!(page(&[run], &scene).plain().contains("failed"));
    }
}
