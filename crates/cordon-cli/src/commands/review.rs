//! `quarantine`, `release`, `reject`: a person decides about a sync that was held back.
//!
//! A release is the one act that lets data past the gate, so on a terminal it repeats what will
//! happen and asks for the connector's name; without one it must be told not to ask.

use std::io::IsTerminal;

use cordon_wire::v1;

use crate::args::{Op, QuarantineArgs, RejectArgs, ReleaseArgs};
use crate::client::{Client, answer};
use crate::commands::order;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;
use crate::output::table::Grid;
use crate::output::words;
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
    notes(&mut page, syncs, scene);
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
        output::say(question(sync, &args));
        prompt::confirm(&args.name).await?;
    }
    let request = v1::ReleaseRequest {
        connector: args.name,
        sync: args.sync,
        digest: args.digest,
        reason: args.reason,
        ops: args.only.iter().copied().map(Op::wire).map(str::to_owned).collect(),
        types: args.kind,
        keys: args.select,
    };
    let response = answer(client.release(request)).await?;
    order::show(&response, out)
}

/// What will happen, before it does.
fn question(sync: &v1::QuarantinedSync, args: &ReleaseArgs) -> Page {
    let mut page = Page::new();
    let counts = sync.changes.unwrap_or_default();
    page.styled(Tone::Strong, &format!("Release sync {} of {}", sync.sync, sync.connector));
    page.push(&format!(" ({})", units::digest(&sync.digest))).end();
    if let Some(selection) = selection(args) {
        page.line(&format!("  only {selection}; what is not released goes on waiting, out of"));
    }
    if let Some(asked) = &sync.asked {
        page.line(&format!("  {} asked for: {} ({})", asked.by, asked.selection, asked.reason));
    }
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

/// What is to be released, in the words of the command; none when it is everything.
fn selection(args: &ReleaseArgs) -> Option<String> {
    let ops: Vec<&str> = args.only.iter().copied().map(Op::wire).collect();
    let words = [
        (!ops.is_empty()).then(|| ops.join(", ")),
        (!args.kind.is_empty()).then(|| format!("of {}", args.kind.join(", "))),
        (!args.select.is_empty()).then(|| format!("with key {}", args.select.join(" or "))),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// What is left of a sync and who has to agree, below the table.
fn notes(page: &mut Page, syncs: &[v1::QuarantinedSync], scene: &Scene) {
    for sync in syncs {
        if let Some(rest) = &sync.rest {
            page.line(&words::rest(&sync.connector, sync.sync, rest));
        }
        if let Some(asked) = &sync.asked {
            let until = scene.clock(asked.expires_at);
            page.line(&words::asked(&sync.connector, sync.sync, asked, &until));
        }
    }
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
        insta::assert_snapshot!(question(&sample::waiting(), &args(&[])).plain(), @r#"
        Release sync 418 of ldap-corp (b3:91fe04c2)
          12 to add, 7,019 to remove, 40 to change; sinks receive them at once
          CRD-P203  read stopped at page 12 of 19
          CRD-D101  removed 7,019 of 18,204 (38.6 %)
        "#);
    }

    fn args(more: &[&str]) -> ReleaseArgs {
        use clap::Parser;
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: ReleaseArgs,
        }
        let line = ["release", "ldap-corp", "418", "--digest", "91fe04c2", "--reason", "INC-1"];
        Line::parse_from(line.iter().chain(more)).args
    }

    #[test]
    fn the_question_before_a_partial_release_says_of_what_it_is_a_part_and_who_asked() {
        let waiting = v1::QuarantinedSync { asked: Some(sample::asked()), ..sample::waiting() };
        let part = args(&["--only", "added,changed", "--kind", "user", "--select", "user:u7*"]);
        insta::assert_snapshot!(question(&waiting, &part).plain(), @r#"
        Release sync 418 of ldap-corp (b3:91fe04c2)
          only added, modified of user with key user:u7*; what is not released goes on waiting, out of
          operator-1 (uid 1000) asked for: added, modified (INC-4411)
          12 to add, 7,019 to remove, 40 to change; sinks receive them at once
          CRD-P203  read stopped at page 12 of 19
          CRD-D101  removed 7,019 of 18,204 (38.6 %)
        "#);
    }

    #[test]
    fn quarantine_says_what_is_held_and_whose_word_is_missing() {
        let (rest, asked) = (Some(sample::rest()), Some(sample::asked()));
        let waiting = v1::QuarantinedSync { rest, asked, ..sample::waiting() };
        let page = page(&[waiting], &Scene::fixed()).plain();
        let told: Vec<&str> = page.lines().skip(2).take(2).collect();
        assert_eq!(
            told,
            [
                "ldap-corp 418: 52 changes passed, 7,019 removals are held",
                "ldap-corp 418: operator-1 (uid 1000) asked to release added, modified (\"INC-4411\"); a second person has until 16:00:00",
            ]
        );
    }

    #[test]
    fn a_quarantined_sync_as_json_has_every_field() {
        insta::assert_snapshot!(sample::json(&sample::waiting()), @r#"{"connector":"ldap-corp","sync":418,"digest":"91fe04c2aabbccdd00112233445566778899aabbccddeeff0011223344556677","against":417,"since":"2026-03-02T07:00:00Z","findings":[{"code":"CRD-P203","severity":"quarantine","subject":"members","message":"read stopped at page 12 of 19","measured":null,"limit":null,"examples":[]},{"code":"CRD-D101","severity":"quarantine","subject":"user","message":"removed 7,019 of 18,204 (38.6 %)","measured":7019,"limit":50,"examples":["u1042","u1043"]},{"code":"CRD-F401","severity":"info","subject":"","message":"finished in 3m 12s","measured":null,"limit":null,"examples":[]}],"changes":{"added":12,"removed":7019,"modified":40},"repeats":1,"rest":null,"asked":null}"#);
    }
}
