//! `cordon sync`: start a sync, or join the one that runs; with `--wait`, see it to its end.

use cordon_wire::v1;
use cordon_wire::v1::sync_event;
use tokio_stream::StreamExt;

use crate::args::SyncArgs;
use crate::client::{Client, answer};
use crate::commands::runs::why;
use crate::commands::select::{self, Each};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;
use crate::output::table::Grid;
use crate::progress::Progress;
use crate::units;

/// The outcome of a dry run that was judged.
const DRY_RUN: &str = "dry-run";
/// Findings shown of a sync that did not pass.
const FINDINGS_MAX: usize = 10;

pub(super) async fn run(
    mut client: Client,
    args: SyncArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let wait = args.wait || args.dry_run;
    if args.exit_code && !wait {
        return Err(Failure::Usage {
            message: "--exit-code says how a sync ends, and nobody waits for the end".into(),
            hint: "add --wait or --dry-run".into(),
        });
    }
    let names = select::names(&mut client, args.selection).await?;
    if !wait {
        let each = select::each(names, async |connector| begin(&mut client, connector).await);
        return started(each.await, out);
    }
    let mut runs = Vec::new();
    let each = select::each(names, async |connector| {
        let run = follow(&mut client, connector, args.dry_run, out).await?;
        if out.format.is_for_people() {
            let page = page(&run, &out.scene);
            out.page(page)?;
            out.flush()?;
        }
        runs.push(run.clone());
        end(run, args.exit_code)
    });
    let each = each.await;
    // A document has its end after all of them; people saw each as it ended.
    if !out.format.is_for_people() && !runs.is_empty() {
        out.list(&runs, &(), |_| Page::new())?;
    }
    let attention = each.done.contains(&Exit::Attention);
    each.end(if attention { Exit::Attention } else { Exit::Done }, out)
}

/// Starts a sync; gives the first that is heard of it.
async fn begin(client: &mut Client, connector: String) -> Result<Started, Failure> {
    let name = connector.clone();
    let request = v1::StartSyncRequest { connector, wait: false, dry_run: false };
    let mut events = answer(client.sync(request)).await?;
    while let Some(event) = events.next().await {
        // What a newer daemon may say beside these is passed over.
        match event?.event {
            Some(sync_event::Event::Progress(progress)) => {
                return Ok(Started { name, verb: "runs", progress });
            }
            // It ended before anything was heard of it.
            Some(sync_event::Event::Run(run)) => {
                let (sync, phase, records) = (run.sync, run.outcome.clone(), run.records);
                end(run, false)?;
                let progress =
                    v1::SyncProgress { sync, phase, records, ..v1::SyncProgress::default() };
                return Ok(Started { name, verb: "ended", progress });
            }
            None => {}
        }
    }
    Err(Failure::CutShort)
}

/// A sync that runs, or has ended by now, and whose it is.
struct Started {
    name: String,
    verb: &'static str,
    progress: v1::SyncProgress,
}

/// Sees a sync to its end.
async fn follow(
    client: &mut Client,
    connector: String,
    dry_run: bool,
    out: &Output,
) -> Result<v1::Run, Failure> {
    let name = connector.clone();
    let request = v1::StartSyncRequest { connector, wait: true, dry_run };
    let mut events = answer(client.sync(request)).await?;
    let mut progress = Progress::new(out.is_talkative());
    let ended = loop {
        let Some(event) = events.next().await else {
            break None;
        };
        match event.inspect_err(|_| progress.finish())?.event {
            Some(sync_event::Event::Run(run)) => break Some(run),
            Some(sync_event::Event::Progress(now)) => progress.observe(&name, &now),
            // What a newer daemon may say is no end.
            None => {}
        }
    };
    progress.finish();
    ended.ok_or(Failure::CutShort)
}

fn started(each: Each<Started>, out: &mut Output) -> Result<Exit, Failure> {
    let syncs: Vec<v1::SyncProgress> = each.done.iter().map(|it| it.progress.clone()).collect();
    if !syncs.is_empty() {
        out.list(&syncs, &(), |scene| {
            let mut page = Page::new();
            let mark = scene.glyphs.good();
            for Started { name, verb, progress } in &each.done {
                page.styled(mark.tone, mark.glyph);
                page.line(&format!(" {name} sync {} {verb} ({})", progress.sync, progress.phase));
            }
            page
        })?;
    }
    for Started { name, .. } in &each.done {
        let mut hint = Page::new();
        hint.line(&format!("see it to its end with: cordon sync {name} --wait"));
        out.note(hint);
    }
    each.end(Exit::Done, out)
}

/// How the command ends when the sync has.
fn end(run: v1::Run, exit_code: bool) -> Result<Exit, Failure> {
    let would_be_held = run.outcome == DRY_RUN && holds(&run);
    match run.outcome.as_str() {
        "quarantined" if exit_code => Ok(Exit::Attention),
        DRY_RUN if exit_code && would_be_held => Ok(Exit::Attention),
        DRY_RUN => Ok(Exit::Done),
        "committed" | "released" | "superseded" | "quarantined" => Ok(Exit::Done),
        _ => Err(Failure::SyncEnded {
            reason: why(&run),
            connector: run.connector,
            sync: run.sync,
            outcome: run.outcome,
        }),
    }
}

/// Whether something would hold it back.
fn holds(run: &v1::Run) -> bool {
    run.findings.iter().any(|it| matches!(it.severity.as_str(), "quarantine" | "reject"))
}

fn page(run: &v1::Run, scene: &Scene) -> Page {
    let mut page = outcome(run, scene);
    if run.outcome == DRY_RUN {
        let would = if holds(run) { "It would be held back." } else { "It would be committed." };
        page.line(&format!("  {would} Nothing of it was kept, and nothing was changed."));
    }
    if run.outcome == "quarantined" {
        page.line("  Nothing has been sent downstream; the last known good stays.");
        page.push("  next: ");
        page.styled(Tone::Strong, &format!("cordon diff {} {}", run.connector, run.sync)).end();
    }
    page
}

/// How a sync ended, and what was found.
pub(super) fn outcome(run: &v1::Run, scene: &Scene) -> Page {
    let mut page = Page::new();
    let mark = match run.outcome.as_str() {
        DRY_RUN if holds(run) => scene.glyphs.bad(),
        DRY_RUN => scene.glyphs.good(),
        outcome => scene.glyphs.outcome(outcome),
    };
    page.styled(mark.tone, &format!("{} {}", mark.glyph, run.outcome));
    page.push(&format!(
        "  {} sync {}: {}, {} in {}",
        run.connector,
        run.sync,
        units::plural(run.records, "record", "records"),
        units::changes(run.changes.as_ref()),
        units::took(run.ended_at.saturating_sub(run.started_at)),
    ));
    page.end();
    let mut grid = Grid::new(&["CODE", "RESULT", "SUBJECT", "FOUND"]);
    let objections = run.findings.iter().filter(|finding| finding.severity != "info");
    for finding in objections.take(FINDINGS_MAX) {
        let cells = [&finding.code, &finding.severity, &finding.subject, &finding.message];
        grid.row_in_lines(None, cells.map(String::clone), 3);
    }
    if !grid.is_empty() {
        grid.write(&mut page, 2);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    #[test]
    fn a_committed_sync_is_told_in_one_line() {
        insta::assert_snapshot!(page(&sample::run(417, "committed"), &Scene::fixed()).plain(), @r#"✓ committed  ldap-corp sync 417: 11,197 records, +12 -7,019 ~40 in 3m 12s"#);
    }

    #[test]
    fn a_quarantined_sync_says_why_and_what_to_do() {
        let mut run = sample::run(418, "quarantined");
        run.findings = sample::findings();
        insta::assert_snapshot!(page(&run, &Scene::fixed()).plain(), @r#"
        ✗ quarantined  ldap-corp sync 418: 11,197 records, +12 -7,019 ~40 in 3m 12s
          CODE      RESULT      SUBJECT  FOUND
          CRD-P203  quarantine  members  read stopped at page 12 of 19
          CRD-D101  quarantine  user     removed 7,019 of 18,204 (38.6 %)
          Nothing has been sent downstream; the last known good stays.
          next: cordon diff ldap-corp 418
        "#);
    }

    #[test]
    fn a_dry_run_says_what_it_would_have_come_to() {
        let mut run = sample::run(418, "dry-run");
        insta::assert_snapshot!(page(&run, &Scene::fixed()).plain(), @r#"
        ✓ dry-run  ldap-corp sync 418: 11,197 records, +12 -7,019 ~40 in 3m 12s
          It would be committed. Nothing of it was kept, and nothing was changed.
        "#);
        assert_eq!(end(run.clone(), true).map_err(|it| it.exit()), Ok(Exit::Done));
        run.findings = sample::findings();
        assert!(page(&run, &Scene::fixed()).plain().contains("It would be held back."));
        assert_eq!(end(run.clone(), true).map_err(|it| it.exit()), Ok(Exit::Attention));
        assert_eq!(end(run, false).map_err(|it| it.exit()), Ok(Exit::Done));
    }

    #[test]
    fn a_quarantined_sync_needs_attention_only_where_that_was_asked() {
        let exit =
            |outcome: &str, asked| end(sample::run(1, outcome), asked).map_err(|it| it.exit());
        assert_eq!(exit("committed", true), Ok(Exit::Done));
        assert_eq!(exit("quarantined", false), Ok(Exit::Done));
        assert_eq!(exit("quarantined", true), Ok(Exit::Attention));
        assert_eq!(exit("failed", false), Err(Exit::Failed));
        assert_eq!(exit("rejected", true), Err(Exit::Failed));
        assert_eq!(exit("running", false), Err(Exit::Failed));
    }
}
