//! `cordon diff`: what a sync changes. Why it is held → where the change is → what a release
//! does → a sample → the total → what to do.
//!
//! The changes come as a stream and are written as they come: a diff may be larger than memory.

use cordon_wire::v1;
use cordon_wire::v1::diff_part::Part;
use serde::Serialize;
use tokio_stream::StreamExt;

use crate::args::{DiffArgs, Op};
use crate::client::{Client, answer};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::json::{self, View, maybe};
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;
use crate::output::table::Grid;
use crate::output::words;
use crate::output::{Format, Output};
use crate::units;

mod change;
mod effect;
mod groups;
mod remap;

/// Changes shown to a person who did not say how many.
const SAMPLE_CHANGES: u64 = 20;

/// What the document has beside its items.
#[derive(Serialize)]
struct Extra<'a> {
    header: Option<View<'a, v1::DiffHeader>>,
}

pub(super) async fn run(
    mut client: Client,
    args: DiffArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    if args.remap {
        return remap::run(client, &args, out).await;
    }
    let request = request(&args, out.format);
    let mut seen = Seen { selection: selection(&args), selected: None, changes: 0 };
    let mut parts = answer(client.diff(request)).await?;
    let mut header: Option<v1::DiffHeader> = None;
    while let Some(part) = parts.next().await {
        match part?.part {
            Some(Part::Header(first)) if header.is_none() => {
                begin(&first, out)?;
                header = Some(first);
            }
            Some(Part::Change(change)) => {
                out.item(&change, |scene| change::page(&change, scene))?;
                seen.changes += 1;
            }
            Some(Part::Selected(counts)) => seen.selected = Some(counts),
            _ => {}
        }
    }
    // A header comes even where nothing changed: without one the answer was cut.
    let header = header.ok_or(Failure::CutShort)?;
    out.close()?;
    if out.format.is_for_people() {
        let foot = foot(&header, &seen, &out.scene);
        out.page(foot)?;
        out.flush()?;
    }
    let total = units::changes_sum(&header.total.unwrap_or_default());
    let is_empty = seen.changes == 0 && (!seen.selection.is_empty() || total == 0);
    Ok(if args.exit_code && !is_empty { Exit::Attention } else { Exit::Done })
}

/// What was asked for, and how much of it came.
struct Seen {
    /// The words that select, as they are typed; empty where everything was asked for.
    selection: String,
    /// How many changes they take.
    selected: Option<v1::ChangeCounts>,
    changes: u64,
}

/// What selects changes, as it is typed for a release, too.
fn selection(args: &DiffArgs) -> String {
    let mut words = String::new();
    if !args.only.is_empty() {
        let only: Vec<&str> = args.only.iter().map(|op| op.word()).collect();
        words += &format!(" --only {}", only.join(","));
    }
    if !args.kind.is_empty() {
        words += &format!(" --kind {}", args.kind.join(","));
    }
    for pattern in &args.select {
        words += &format!(" --select '{}'", pattern.replace('\'', r"'\''"));
    }
    words
}

fn request(args: &DiffArgs, format: Format) -> v1::DiffRequest {
    let unless_told = if format.is_for_people() { SAMPLE_CHANGES } else { 0 };
    v1::DiffRequest {
        connector: args.name.clone(),
        sync: args.sync.unwrap_or_default(),
        against: args.against.unwrap_or_default(),
        ops: args.only.iter().copied().map(Op::wire).map(str::to_owned).collect(),
        types: args.kind.clone(),
        keys: args.select.clone(),
        delivered: args.delivered,
        limit: if args.full { 0 } else { args.limit.unwrap_or(unless_told) },
    }
}

fn begin(header: &v1::DiffHeader, out: &mut Output) -> Result<(), Failure> {
    let some = Some(header.clone());
    let extra = Extra { header: maybe(&some) };
    out.open::<v1::RecordChange, _>(&extra)?;
    match out.format {
        Format::Table | Format::Wide => {
            let page = head(header, &out.scene);
            out.page(page)
        }
        // The first line of a stream tells what the others are part of.
        Format::Ndjson => out.raw(&json::line(&extra)),
        _ => Ok(()),
    }
}

fn head(header: &v1::DiffHeader, scene: &Scene) -> Page {
    let mut page = Page::new();
    let mark = scene.glyphs.outcome(&header.outcome);
    page.styled(mark.tone, &format!("{} {}", mark.glyph, header.outcome));
    let against = match header.against {
        0 => "nothing: there was no last known good".to_owned(),
        sync => format!("sync {sync}"),
    };
    page.push(&format!("  {} sync {} against {against}", header.connector, header.sync));
    page.push("      + add   - remove   ~ change").end();
    why(&mut page, header, scene);
    let types = types(&header.types);
    if !types.is_empty() {
        page.section("Where the change is");
        types.write(&mut page, 2);
        groups::write(&header.groups, &mut page);
        if !header.not_grouped.is_empty() {
            page.line(&format!("  {}", header.not_grouped));
        }
    }
    effect::write(header, &mut page);
    page.section("Changes");
    page
}

fn why(page: &mut Page, header: &v1::DiffHeader, scene: &Scene) {
    let found = header.findings.iter();
    let (asked, objections): (Vec<_>, Vec<_>) = found
        .filter(|finding| finding.severity != "info" || is_of_the_source(finding))
        .partition(|finding| finding.severity != "quarantine" && is_of_the_source(finding));
    let title = if header.outcome == "quarantined" {
        "Why it is quarantined"
    } else {
        "What the checks found"
    };
    findings(page, title, &objections, scene);
    findings(page, "What the source itself says", &asked, scene);
}

/// Whether a finding tells what came of asking the source again.
fn is_of_the_source(finding: &v1::Finding) -> bool {
    finding.code.starts_with("CRD-V")
}

/// Whether a finding counts removals that are accepted and not final.
fn is_of_pending(finding: &v1::Finding) -> bool {
    finding.code == "CRD-C204"
}

fn findings(page: &mut Page, title: &str, findings: &[&v1::Finding], scene: &Scene) {
    if findings.is_empty() {
        return;
    }
    page.section(title);
    let mut grid = Grid::new(&["CODE", "SUBJECT", "FOUND", ">LIMIT", "EXAMPLES"]);
    for finding in findings {
        grid.row_in_lines(
            Some(scene.glyphs.severity(&finding.severity)),
            [
                finding.code.clone(),
                finding.subject.clone(),
                finding.message.clone(),
                finding.limit.map_or_else(|| "-".into(), units::count),
                finding.examples.iter().take(3).cloned().collect::<Vec<_>>().join(", "),
            ],
            2,
        );
    }
    grid.write(page, 2);
}

fn types(types: &[v1::TypeChange]) -> Grid {
    let mut grid =
        Grid::new(&["TYPE", ">BEFORE", ">AFTER", ">+", ">-", ">~", ">CARRIED", "SHARE REMOVED"]);
    for kind in types {
        let counts = kind.counts.unwrap_or_default();
        if kind.before == 0 && kind.after == 0 && units::changes_sum(&counts) == 0 {
            continue;
        }
        grid.row([
            kind.label.clone(),
            units::count(kind.before),
            units::count(kind.after),
            units::count(counts.added),
            units::count(counts.removed),
            units::count(counts.modified),
            if kind.carried == 0 { "-".into() } else { units::count(kind.carried) },
            share(counts.removed, kind.before),
        ]);
    }
    grid
}

fn share(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "-".into();
    }
    let rounded = (u128::from(part) * 1_000 + u128::from(whole) / 2) / u128::from(whole);
    // All but one is not all.
    let permille = if part < whole { rounded.min(999) } else { rounded };
    format!("{}.{} %", permille / 10, permille % 10)
}

fn foot(header: &v1::DiffHeader, seen: &Seen, scene: &Scene) -> Page {
    let mut page = Page::new();
    let total = header.total.unwrap_or_default();
    let taken = seen.selected.as_ref().unwrap_or(&total);
    let rest = units::changes_sum(taken).saturating_sub(seen.changes);
    if seen.changes == 0 {
        page.line("  none");
    }
    if rest > 0 {
        let rest = units::count(rest);
        let narrower = if seen.selection.is_empty() { " --only removed, --kind user," } else { "" };
        page.line(&format!("    {rest} more: --full,{narrower} -o ndjson"));
    }
    if let Some(selected) = &seen.selected {
        page.line(&format!("  selected: {}", in_words(selected)));
    }
    page.end();
    page.styled(Tone::Strong, &in_words(&total));
    let digest = units::digest(&header.digest);
    let is_quarantined = header.outcome == "quarantined";
    if is_quarantined {
        let none_passed = header.rest.is_none();
        let sent = if none_passed { "Nothing has" } else { "None of this has" };
        page.push(&format!(" {sent} been sent downstream."));
    }
    page.push(&format!(" digest {digest}")).end();
    for finding in header.findings.iter().filter(|finding| is_of_pending(finding)) {
        page.line(&format!("  {}", finding.message));
    }
    if is_quarantined {
        let (name, sync) = (&header.connector, header.sync);
        let etc = scene.glyphs.pick("…", "...");
        if let Some(rest) = &header.rest {
            page.line(&format!("  {}", words::rest(name, sync, rest)));
        }
        if let Some(asked) = &header.asked {
            let until = scene.clock(asked.expires_at);
            page.line(&format!("  {}", words::asked(name, sync, asked, &until)));
        }
        let worst = header.findings.iter().find(|finding| finding.severity == "quarantine");
        if let Some(finding) = worst {
            page.line(&format!("  explain  cordon explain {}", finding.code));
        }
        page.line(&format!("  reject   cordon reject  {name} {sync} --retry --reason \"{etc}\""));
        let people = if header.people > 1 { "   2 people" } else { "" };
        let selection = &seen.selection;
        page.line(&format!(
            "  release  cordon release {name} {sync} --digest {digest}{selection} --reason \"{etc}\"{people}"
        ));
    }
    page
}

fn in_words(counts: &v1::ChangeCounts) -> String {
    let [added, removed, modified] =
        [counts.added, counts.removed, counts.modified].map(units::count);
    format!("{added} to add, {removed} to remove, {modified} to change.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    fn whole(header: &v1::DiffHeader, changes: &[v1::RecordChange]) -> String {
        let scene = Scene::fixed();
        let mut text = head(header, &scene).plain();
        for change in changes {
            text += &change::page(change, &scene).plain();
        }
        let changes = changes.len() as u64;
        let seen = Seen { selection: String::new(), selected: None, changes };
        text + &foot(header, &seen, &scene).plain()
    }

    #[test]
    fn a_diff_says_why_where_what_how_much_and_what_to_do() {
        insta::assert_snapshot!(whole(&sample::diff_header(), &sample::changes()), @r#"
        ✗ quarantined  ldap-corp sync 418 against sync 417      + add   - remove   ~ change

        Why it is quarantined
            CODE      SUBJECT  FOUND                             LIMIT  EXAMPLES
          ✗ CRD-P203  members  read stopped at page 12 of 19         -
          ✗ CRD-D101  user     removed 7,019 of 18,204 (38.6 %)     50  u1042, u1043

        Where the change is
          TYPE   BEFORE   AFTER   +      -   ~  CARRIED  SHARE REMOVED
          user   18,204  11,197  12  7,019  40        -  38.6 %
          grant     100     100   0      0   0       25  -

             CHANGED  TYPE  IN COMMON  OF THAT GROUP
          -    7,007  user  ou = EMEA        100.0 %  <- explains 99.8 % of removals
          ~    >= 19  user  title                  -

        If you release it
          SINK   TYPE     ADD  REMOVE  CHANGE  STATE
          entra  webhook   12   7,019      40  live

        Changes
          - user  u1042  mail="a@corp.example"  ou="EMEA"
          ~ user  u1044  title "SRE" -> "Staff SRE"
          + user  u\u{1b}[2J9  ou="NA\n"
            7,068 more: --full, --only removed, --kind user, -o ndjson

        12 to add, 7,019 to remove, 40 to change. Nothing has been sent downstream. digest b3:91fe04c2
          explain  cordon explain CRD-P203
          reject   cordon reject  ldap-corp 418 --retry --reason "…"
          release  cordon release ldap-corp 418 --digest b3:91fe04c2 --reason "…"
        "#);
    }

    #[test]
    fn a_diff_of_what_is_left_says_what_passed_and_how_many_have_to_agree() {
        let (rest, asked) = (Some(sample::rest()), Some(sample::asked()));
        let header = v1::DiffHeader { rest, asked, people: 2, ..sample::diff_header() };
        let selection = " --only added,changed --select 'user:u7*'".to_owned();
        let seen = Seen { selection, selected: sample::counts(3, 0, 40), changes: 20 };
        insta::assert_snapshot!(foot(&header, &seen, &Scene::fixed()).plain(), @r#"
            23 more: --full, -o ndjson
          selected: 3 to add, 0 to remove, 40 to change.

        12 to add, 7,019 to remove, 40 to change. None of this has been sent downstream. digest b3:91fe04c2
          ldap-corp 418: 52 changes passed, 7,019 removals are held
          ldap-corp 418: operator-1 (uid 1000) asked to release added, modified ("INC-4411"); a second person has until 16:00:00
          explain  cordon explain CRD-P203
          reject   cordon reject  ldap-corp 418 --retry --reason "…"
          release  cordon release ldap-corp 418 --digest b3:91fe04c2 --only added,changed --select 'user:u7*' --reason "…"   2 people
        "#);
    }

    #[test]
    fn a_committed_diff_asks_for_no_decision() {
        let mut header = sample::diff_header();
        header.outcome = "committed".into();
        header.findings.clear();
        header.total = sample::counts(0, 0, 0);
        header.told = None;
        header.types.clear();
        header.groups.clear();
        insta::assert_snapshot!(whole(&header, &[]), @r#"
        ✓ committed  ldap-corp sync 418 against sync 417      + add   - remove   ~ change

        Changes
          none

        0 to add, 0 to remove, 0 to change. digest b3:91fe04c2
        "#);
    }

    #[test]
    fn a_change_as_json_has_its_records_as_objects() {
        insta::assert_snapshot!(sample::json(&sample::changes()[1]), @r#"{"op":"modified","record_type":"resource.user","key":"u1044","before":{"ou":"NA","title":"SRE"},"after":{"ou":"NA","title":"Staff SRE"},"pending_since":0}"#);
        insta::assert_snapshot!(sample::json(&sample::diff_header()), @r#"{"connector":"ldap-corp","sync":418,"against":417,"digest":"91fe04c2aabbccdd00112233445566778899aabbccddeeff0011223344556677","outcome":"quarantined","findings":[{"code":"CRD-P203","severity":"quarantine","subject":"members","message":"read stopped at page 12 of 19","measured":null,"limit":null,"examples":[]},{"code":"CRD-D101","severity":"quarantine","subject":"user","message":"removed 7,019 of 18,204 (38.6 %)","measured":7019,"limit":50,"examples":["u1042","u1043"]},{"code":"CRD-F401","severity":"info","subject":"","message":"finished in 3m 12s","measured":null,"limit":null,"examples":[]}],"types":[{"label":"user","before":18204,"after":11197,"counts":{"added":12,"removed":7019,"modified":40},"carried":0},{"label":"grant","before":100,"after":100,"counts":{"added":0,"removed":0,"modified":0},"carried":25}],"total":{"added":12,"removed":7019,"modified":40},"groups":[{"op":"removed","record_type":"resource.user","attribute":"ou","value":"EMEA","changed":7007,"of_changed":7019,"of_group":7007,"at_least":false},{"op":"modified","record_type":"resource.user","attribute":"title","value":"","changed":19,"of_changed":40,"of_group":null,"at_least":true}],"not_grouped":"","rest":null,"asked":null,"people":1,"sinks":[{"name":"entra","type":"webhook","state":"live","detail":"","behind":0,"oldest_at":null,"delivered":0}],"told":{"added":12,"removed":7019,"modified":40}}"#);
    }

    #[test]
    fn shares_are_right_at_the_edges() {
        assert_eq!(share(7_019, 18_204), "38.6 %");
        assert_eq!(share(1, 0), "-");
        assert_eq!(share(9_999, 10_000), "99.9 %");
        assert_eq!(share(u64::MAX, u64::MAX), "100.0 %");
    }
}
