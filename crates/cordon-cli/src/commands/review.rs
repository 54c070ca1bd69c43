//! `quarantine`, `release`, `reject`: a person decides about a sync that was held back.
//!
//! A release is the one act that lets data past the gate, so on a terminal it repeats what will
//! happen and asks for the connector's name; without one it must be told not to ask.

use std::io::IsTerminal;

use cordon_wire::v1;

use crate::args::{QuarantineArgs, RejectArgs, ReleaseArgs};
use crate::client::{Client, answer};
use crate::commands::order;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;
use crate::output::table::Grid;
use crate::{output, prompt, units};

pub(super) async fn list(
    mut client: Client,
    args: QuarantineArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let request = v1::QuarantineRequest { connector: args.name.unwrap_or_default() };
    let syncs = answer(client.quarantine(request)).await?.syncs;
    out.list(&syncs, &(), |scene| page(&syncs, scene))?;
    if syncs.is_empty() {
        let mut note = Page::new();
        note.line("nothing waits for a decision");
        out.note(note);
    }
    Ok(Exit::Done)
}

fn page(syncs: &[v1::QuarantinedSync], scene: &Scene) -> Page {
    let mut page = Page::new();
    let Some(first) = syncs.first() else {
        return page;
    };
    let mut grid =
        Grid::new(&["NAME", ">SYNC", "SINCE", ">AGAINST", "CHANGES", ">REPEATS", "DIGEST", "WHY"]);
    for sync in syncs {
        grid.marked(
            scene.glyphs.bad(),
            [
                sync.connector.clone(),
                sync.sync.to_string(),
                scene.clock(sync.since),
                if sync.against == 0 { "-".into() } else { sync.against.to_string() },
                units::changes(sync.changes.as_ref()),
                units::count(u64::from(sync.repeats)),
                units::digest(&sync.digest),
                why(&sync.findings),
            ],
        );
    }
    grid.write(&mut page, 0);
    page.end().push("next: ");
    page.styled(Tone::Strong, &format!("cordon diff {} {}", first.connector, first.sync)).end();
    page
}

fn why(findings: &[v1::Finding]) -> String {
    let blocking = |it: &&v1::Finding| matches!(it.severity.as_str(), "quarantine" | "reject");
    let messages: Vec<&str> =
        findings.iter().filter(blocking).map(|finding| finding.message.as_str()).collect();
    messages.join("; ")
}

/// Refuses, before anything is asked of the daemon, a release that can neither ask nor was told not
/// to.
pub(super) fn may_ask(args: &ReleaseArgs) -> Result<(), Failure> {
    let is_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if args.yes || is_terminal {
        return Ok(());
    }
    Err(Failure::Usage {
        message: "there is no terminal to ask for confirmation".into(),
        hint: "give --yes to release without being asked".into(),
    })
}

pub(super) async fn release(
    mut client: Client,
    args: ReleaseArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    if !args.yes {
        let request = v1::QuarantineRequest { connector: args.name.clone() };
        let syncs = answer(client.quarantine(request)).await?.syncs;
        let sync =
            syncs.iter().find(|it| it.sync == args.sync).ok_or_else(|| Failure::NotFound {
                message: format!("sync {} of `{}` is not in quarantine", args.sync, args.name),
                hint: "see what waits with `cordon quarantine`".into(),
            })?;
        output::say(question(sync));
        prompt::confirm(&args.name).await?;
    }
    let request = v1::ReleaseRequest {
        connector: args.name,
        sync: args.sync,
        digest: args.digest,
        reason: args.reason,
    };
    let response = answer(client.release(request)).await?;
    order::show(&response, out)
}

/// What will happen, before it does.
fn question(sync: &v1::QuarantinedSync) -> Page {
    let mut page = Page::new();
    let counts = sync.changes.unwrap_or_default();
    page.styled(Tone::Strong, &format!("Release sync {} of {}", sync.sync, sync.connector));
    page.push(&format!(" ({})", units::digest(&sync.digest))).end();
    page.line(&format!(
        "  {} to add, {} to remove, {} to change; sinks receive them at once",
        units::count(counts.added),
        units::count(counts.removed),
        units::count(counts.modified),
    ));
    for finding in sync.findings.iter().filter(|it| it.severity != "info").take(10) {
        page.push("  ")
            .styled(Tone::Bad, &finding.code)
            .push(&format!("  {}", finding.message))
            .end();
    }
    page
}

pub(super) async fn reject(
    mut client: Client,
    args: RejectArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let request = v1::RejectRequest {
        connector: args.name,
        sync: args.sync,
        reason: args.reason,
        retry: args.retry,
    };
    let response = answer(client.reject(request)).await?;
    order::show(&response, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    #[test]
    fn quarantine_says_why_each_sync_waits_and_what_to_do() {
        insta::assert_snapshot!(page(&[sample::waiting()], &Scene::fixed()).plain(), @r#"
          NAME       SYNC  SINCE     AGAINST  CHANGES         REPEATS  DIGEST       WHY
        ✗ ldap-corp   418  07:00:00      417  +12 -7,019 ~40        1  b3:91fe04c2  read stopped at page 12 of 19; removed 7,019 of 18,204 (38.6 %)

        next: cordon diff ldap-corp 418
        "#);
    }

    #[test]
    fn an_empty_quarantine_prints_nothing() {
        assert_eq!(page(&[], &Scene::fixed()).plain(), "");
    }

    #[test]
    fn the_question_before_a_release_repeats_what_it_does() {
        insta::assert_snapshot!(question(&sample::waiting()).plain(), @r#"
        Release sync 418 of ldap-corp (b3:91fe04c2)
          12 to add, 7,019 to remove, 40 to change; sinks receive them at once
          CRD-P203  read stopped at page 12 of 19
          CRD-D101  removed 7,019 of 18,204 (38.6 %)
        "#);
    }

    #[test]
    fn a_quarantined_sync_as_json_has_every_field() {
        insta::assert_snapshot!(sample::json(&sample::waiting()), @r#"{"connector":"ldap-corp","sync":418,"digest":"91fe04c2aabbccdd00112233445566778899aabbccddeeff0011223344556677","against":417,"since":"2026-03-02T07:00:00Z","findings":[{"code":"CRD-P203","severity":"quarantine","subject":"members","message":"read stopped at page 12 of 19","measured":null,"limit":null,"examples":[]},{"code":"CRD-D101","severity":"quarantine","subject":"user","message":"removed 7,019 of 18,204 (38.6 %)","measured":7019,"limit":50,"examples":["u1042","u1043"]},{"code":"CRD-F401","severity":"info","subject":"","message":"finished in 3m 12s","measured":null,"limit":null,"examples":[]}],"changes":{"added":12,"removed":7019,"modified":40},"repeats":1}"#);
    }
}
