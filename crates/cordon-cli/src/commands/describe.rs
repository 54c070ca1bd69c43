//! `cordon describe`: all about one connector, on one page.

use cordon_wire::v1;

use crate::args::DescribeArgs;
use crate::client::{Client, answer};
use crate::commands::{events, runs, status};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;
use crate::output::table::Grid;
use crate::units;

/// Where values begin.
const LABEL_WIDTH: usize = 11;
/// Findings, syncs and events that a page shows unless it is wide.
const ROWS_MAX: usize = 10;

pub(super) async fn run(
    mut client: Client,
    args: DescribeArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let request = v1::DescribeConnectorRequest { connector: args.name };
    let detail = answer(client.describe(request)).await?;
    out.list(std::slice::from_ref(&detail), &(), |scene| page(&detail, scene))?;
    Ok(Exit::Done)
}

fn page(detail: &v1::ConnectorDetail, scene: &Scene) -> Page {
    let mut page = Page::new();
    let empty = v1::ConnectorStatus::default();
    let status = detail.status.as_ref().unwrap_or(&empty);
    summary(&mut page, detail, status, scene);
    pairs(&mut page, "Policy", detail.policy.iter().map(|it| (it.name.as_str(), it.value.clone())));
    if let Some(hindsight) = &detail.hindsight {
        history(&mut page, hindsight);
    }
    let standing = checks(&status.standing, scene);
    section(&mut page, "Standing", &standing, status.standing.len(), scene);
    pairs(&mut page, "Isolation", isolation(&detail.isolation, scene).into_iter());
    pairs(&mut page, "Network", flows(&detail.flows, scene).into_iter());
    section(&mut page, "Checks", &checks(&detail.findings, scene), detail.findings.len(), scene);
    section(&mut page, "Scopes", &scopes(&detail.scopes, scene), detail.scopes.len(), scene);
    section(&mut page, "Syncs", &syncs(&detail.runs, scene), detail.runs.len(), scene);
    section(&mut page, "Events", &past(&detail.events, scene), detail.events.len(), scene);
    page.end();
    label(&mut page, "Next");
    page.push(&next(status, scene)).end();
    page
}

fn summary(
    page: &mut Page,
    detail: &v1::ConnectorDetail,
    status: &v1::ConnectorStatus,
    scene: &Scene,
) {
    label(page, "Name");
    page.styled(Tone::Strong, &status.name);
    let program = program(detail, status);
    if !program.is_empty() {
        page.push(&format!("    ({program})"));
    }
    let labels = status::labels(status);
    if !labels.is_empty() {
        page.push(&format!("    labels {labels}"));
    }
    page.end();

    label(page, "Trust");
    let mark = scene.glyphs.trust(&status.trust);
    page.styled(mark.tone, &format!("{} {}", mark.glyph, status.trust));
    if status.trust_since != 0 {
        page.push(&format!(" since {}", scene.clock(status.trust_since)));
    }
    if !status.trust_reasons.is_empty() {
        page.push(&format!("    {}", status.trust_reasons.join(", ")));
    }
    page.end();

    label(page, "Serving");
    page.line(&serving(status, scene));
    if let Some(pending) = &status.pending_removals {
        label(page, "Pending");
        page.line(&pending.message);
    }
    if let Some(pause) = &status.pause {
        label(page, "Paused");
        let until = if pause.until == 0 {
            "until resumed".into()
        } else {
            format!("until {}", scene.clock(pause.until))
        };
        page.line(&format!(
            "by {} since {} {until}: {}",
            pause.by,
            scene.clock(pause.since),
            pause.reason
        ));
    }
    label(page, "Runtime");
    page.line(&runtime(status));
    if detail.rereads > 0 || status.reread_at != 0 {
        label(page, "Read again");
        page.line(&rereads(detail, status, scene));
    }
    label(page, "Schedule");
    let schedule = if detail.schedule.is_empty() { "on demand" } else { &detail.schedule };
    page.line(&format!("{schedule}    next {}", scene.ahead(status.next_sync_at)));
    if !detail.limits.is_empty() {
        label(page, "Limits");
        page.line(&detail.limits);
    }
}

fn program(detail: &v1::ConnectorDetail, status: &v1::ConnectorStatus) -> String {
    let name = if detail.program.is_empty() { &status.r#use } else { &detail.program };
    let version = format!("{name} {}", detail.program_version).trim().to_owned();
    let digest = match detail.program_digest.as_str() {
        "" => String::new(),
        digest => units::digest(digest),
    };
    [version, digest].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

fn serving(status: &v1::ConnectorStatus, scene: &Scene) -> String {
    if status.last_good_at == 0 {
        return "nothing yet: no sync was accepted".into();
    }
    format!(
        "sync {} from {} ({} old), {}",
        status.last_good_sync,
        scene.clock(status.last_good_at),
        scene.age(status.last_good_at),
        units::plural(status.records, "record", "records"),
    )
}

fn runtime(status: &v1::ConnectorStatus) -> String {
    let mut parts = vec![status::runtime(status)];
    if status.pid != 0 {
        parts.push(format!("pid {}", status.pid));
    }
    parts.push(units::plural(u64::from(status.restarts), "restart", "restarts"));
    if !status.runtime_detail.is_empty() {
        parts.push(status.runtime_detail.clone());
    }
    parts.join(", ")
}

/// How often a suspicious source was read again, and whether it is about to be.
fn rereads(detail: &v1::ConnectorDetail, status: &v1::ConnectorStatus, scene: &Scene) -> String {
    let again = units::plural(detail.rereads, "time", "times");
    let past = format!("{again}, {} of them it had been a passing fault", detail.rereads_transient);
    match status.reread_at {
        0 => past,
        at => format!("{past}; sync {} {}", status.quarantined_sync, scene.ahead(at)),
    }
}

/// What the defaults would have done with its syncs; of each that they would have held, why.
fn history(page: &mut Page, hindsight: &v1::Hindsight) {
    page.end();
    label(page, "History");
    page.line(&hindsight.message);
    for sync in &hindsight.held {
        let then = if sync.codes_then.is_empty() { "passed then" } else { "held then, too" };
        label(page, "");
        page.line(&format!("  {} {then}: {}", sync.sync, sync.message));
    }
}

/// What is missing, item by item; what is in force and what was not asked, in a line each, unless the
/// page is wide.
pub(super) fn isolation<'a>(
    items: &'a [v1::IsolationItem],
    scene: &Scene,
) -> Vec<(&'a str, String)> {
    let named = |item: &'a v1::IsolationItem| {
        let value = item.in_force.map(units::count).unwrap_or_default();
        let words = [item.state.as_str(), &value, &item.detail];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        (item.name.as_str(), words.join("  "))
    };
    if scene.wide {
        return items.iter().map(named).collect();
    }
    let of = |state: &str| items.iter().filter(|item| item.state == state).collect::<Vec<_>>();
    let (applied, not_asked) = (of("applied"), of("not-asked"));
    let mut lines = Vec::new();
    if !applied.is_empty() {
        let measures = units::plural(applied.len() as u64, "measure", "measures");
        lines.push(("applied", format!("{measures} (-o wide names them)")));
    }
    if !not_asked.is_empty() {
        let names: Vec<&str> = not_asked.iter().map(|item| item.name.as_str()).collect();
        lines.push(("not asked", names.join(" ")));
    }
    let missing = |item: &&v1::IsolationItem| item.state != "applied" && item.state != "not-asked";
    lines.extend(items.iter().filter(missing).map(named));
    lines
}

/// What went out, by destination.
pub(super) fn flows<'a>(flows: &'a [v1::Flow], scene: &Scene) -> Vec<(&'a str, String)> {
    let line = |flow: &'a v1::Flow| {
        let made = units::plural(flow.connections, "connection", "connections");
        let mut words = format!(
            "{made}, {} out, {} in, last {} ago",
            units::bytes(flow.sent_bytes),
            units::bytes(flow.received_bytes),
            scene.age(flow.last_at),
        );
        if flow.failures > 0 {
            words.push_str(&format!(", {} not made: {}", flow.failures, flow.trouble));
        }
        (flow.destination.as_str(), words)
    };
    flows.iter().map(line).collect()
}

fn pairs<'a>(page: &mut Page, name: &str, pairs: impl Iterator<Item = (&'a str, String)>) {
    let pairs: Vec<_> = pairs.collect();
    let width =
        pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default().min(40);
    for (index, (key, value)) in pairs.iter().enumerate() {
        if index == 0 {
            page.end();
        }
        label(page, if index == 0 { name } else { "" });
        page.line(&format!("{key:width$}  {value}"));
    }
}

fn label(page: &mut Page, name: &str) {
    page.styled(Tone::Strong, &format!("{name:LABEL_WIDTH$}"));
}

/// A table under its name, which an empty one does not have.
fn section(page: &mut Page, name: &str, grid: &Grid, rows: usize, scene: &Scene) {
    if grid.is_empty() {
        return;
    }
    page.section(name);
    grid.write(page, 2);
    let rest = rows.saturating_sub(ROWS_MAX);
    if rest > 0 && !scene.wide {
        page.line(&format!("    ({rest} more: -o wide)"));
    }
}

fn shown<'a, T>(items: &'a [T], scene: &Scene) -> &'a [T] {
    if scene.wide { items } else { &items[..items.len().min(ROWS_MAX)] }
}

pub(super) fn checks(findings: &[v1::Finding], scene: &Scene) -> Grid {
    let mut grid = Grid::new(&["CODE", "RESULT", "SUBJECT", "FOUND", ">MEASURED", ">LIMIT"]);
    let number = |value: Option<u64>| value.map_or_else(|| "-".into(), units::count);
    for finding in shown(findings, scene) {
        let result = if finding.severity == "info" { "ok" } else { &finding.severity };
        grid.row_in_lines(
            Some(scene.glyphs.severity(&finding.severity)),
            [
                finding.code.clone(),
                result.to_owned(),
                if finding.subject.is_empty() { "-".into() } else { finding.subject.clone() },
                finding.message.clone(),
                number(finding.measured),
                number(finding.limit),
            ],
            3,
        );
    }
    grid
}

pub(super) fn scopes(scopes: &[v1::ScopeDetail], scene: &Scene) -> Grid {
    let mut grid =
        Grid::new(&["SCOPE", "OUTCOME", ">RECORDS", ">SOURCE SAYS", "WATERMARK", "REASON"]);
    for scope in shown(scopes, scene) {
        let mark =
            if scope.outcome == "complete" { scene.glyphs.good() } else { scene.glyphs.warn() };
        grid.marked(
            mark,
            [
                scope.name.clone(),
                scope.outcome.clone(),
                units::count(scope.records),
                scope.source_total.map_or_else(|| "-".into(), units::count),
                watermark(scope, scene),
                scope.reason.clone(),
            ],
        );
    }
    grid
}

fn watermark(scope: &v1::ScopeDetail, scene: &Scene) -> String {
    match (scope.watermark_time, scope.watermark_token.as_str()) {
        (0, "") => "-".into(),
        (0, token) => crate::escape::clip(token, 24),
        (time, _) => scene.clock(time),
    }
}

fn syncs(list: &[v1::Run], scene: &Scene) -> Grid {
    runs::grid(shown(list, scene), scene)
}

fn past(list: &[v1::Event], scene: &Scene) -> Grid {
    events::grid(shown(list, scene), scene)
}

fn next(status: &v1::ConnectorStatus, scene: &Scene) -> String {
    let name = &status.name;
    let mut commands = Vec::new();
    if status.quarantined_sync != 0 {
        commands.push(format!("cordon diff {name}"));
    } else if status.pause.is_some() {
        commands.push(format!("cordon resume {name}"));
    } else if status::needs_attention(status) {
        commands.push(format!("cordon sync {name} --wait"));
    } else if status.last_good_sync > 0 {
        // What the defaults would have made of the syncs there are.
        commands.push(format!("cordon backtest {name}"));
    }
    commands.push(format!("cordon logs {name}"));
    commands.push(format!("cordon runs {name}"));
    commands.join(scene.glyphs.dot())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    fn detail() -> v1::ConnectorDetail {
        v1::ConnectorDetail {
            status: Some(sample::quarantined()),
            program: "/usr/lib/cordon/connectors/ldap".into(),
            program_version: "1.4.2".into(),
            program_digest: sample::DIGEST.into(),
            schedule: "at minute 5, past every 2nd hour".into(),
            limits: "memory 256 MiB, cpu 50 %, tasks 32".into(),
            policy: vec![v1::Pair { name: "removed.user".into(), value: "50 or 10 %".into() }],
            isolation: vec![
                v1::IsolationItem {
                    name: "limit_memory".into(),
                    state: "applied".into(),
                    level: "L1".into(),
                    asked: Some(268_435_456),
                    in_force: Some(268_435_456),
                    ..Default::default()
                },
                v1::IsolationItem {
                    name: "landlock_scope".into(),
                    state: "unavailable".into(),
                    detail: "this kernel has no Landlock of version 6 or later".into(),
                    level: "L3".into(),
                    errno: Some(95),
                    ..Default::default()
                },
            ],
            flows: vec![v1::Flow {
                destination: "dc1.corp.example:636".into(),
                connections: 2,
                failures: 1,
                sent_bytes: 2_048,
                received_bytes: 5 << 20,
                address: "192.0.2.7:636".into(),
                last_at: sample::ago(120_000_000),
                trouble: "dc1.corp.example:636 does not answer".into(),
            }],
            findings: sample::findings(),
            runs: vec![sample::run(418, "quarantined"), sample::run(417, "committed")],
            events: vec![sample::event()],
            scopes: vec![v1::ScopeDetail {
                name: "users".into(),
                outcome: "incomplete".into(),
                reason: "page cookie lost".into(),
                records: 11_197,
                source_total: Some(18_204),
                watermark_time: 0,
                watermark_token: "usn:99".into(),
            }],
            rereads: 3,
            rereads_transient: 2,
            hindsight: Some(sample::hindsight()),
        }
    }

    #[test]
    fn describe_tells_trust_what_is_served_and_why() {
        insta::assert_snapshot!(page(&detail(), &Scene::fixed()).plain(), @r#"
        Name       ldap-corp    (/usr/lib/cordon/connectors/ldap 1.4.2, b3:91fe04c2)    labels owner=iam
        Trust      ✗ quarantined since 07:00:00    PartialRead, RemovedOverLimit
        Serving    sync 417 from 06:49:00 (2h 11m old), 18,204 records
        Runtime    idle, pid 41877, 0 restarts
        Read again 3 times, 2 of them it had been a passing fault
        Schedule   at minute 5, past every 2nd hour    next in 49m
        Limits     memory 256 MiB, cpu 50 %, tasks 32

        Policy     removed.user  50 or 10 %

        History    the defaults would have held 1 of 12 stored syncs: 412 (CRD-D101); what was in force then held 0
                     412 passed then: users fell from 92 to 72

        Isolation  applied         1 measure (-o wide names them)
                   landlock_scope  unavailable  this kernel has no Landlock of version 6 or later

        Network    dc1.corp.example:636  2 connections, 2,048 B out, 5,120 KiB in, last 2m ago, 1 not made: dc1.corp.example:636 does not answer

        Checks
            CODE      RESULT      SUBJECT  FOUND                             MEASURED  LIMIT
          ✗ CRD-P203  quarantine  members  read stopped at page 12 of 19            -      -
          ✗ CRD-D101  quarantine  user     removed 7,019 of 18,204 (38.6 %)     7,019     50
          ✓ CRD-F401  ok          -        finished in 3m 12s                       -      -

        Scopes
            SCOPE  OUTCOME     RECORDS  SOURCE SAYS  WATERMARK  REASON
          ! users  incomplete   11,197       18,204  usn:99     page cookie lost

        Syncs
            SYNC  OUTCOME      STARTED     TOOK  RECORDS  CHANGES         BY
          ✗  418  quarantined  06:56:00  3m 12s   11,197  +12 -7,019 ~40  schedule
          ✓  417  committed    06:56:00  3m 12s   11,197  +12 -7,019 ~40  schedule

        Events
          TIME      EVIDENCE  CONNECTOR  KIND              BY       WHAT
          07:00:00    #48211  ldap-corp  sync-quarantined  cordond  sync 418: 2 checks

        Next       cordon diff ldap-corp · cordon logs ldap-corp · cordon runs ldap-corp
        "#);
    }

    #[test]
    fn describe_as_json_has_every_field() {
        insta::assert_snapshot!(sample::json(&detail()), @r#"{"status":{"name":"ldap-corp","trust":"quarantined","trust_reasons":["PartialRead","RemovedOverLimit"],"trust_since":"2026-03-02T07:00:00Z","runtime":"idle","runtime_detail":"","last_good_at":"2026-03-02T06:49:00Z","last_good_sync":417,"next_sync_at":"2026-03-02T09:49:00Z","records":18204,"last_change":{"added":12,"removed":7019,"modified":40},"pause":null,"pid":41877,"restarts":0,"use":"ldap","labels":{"owner":"iam"},"progress":null,"quarantined_sync":418,"quarantined_digest":"91fe04c2aabbccdd00112233445566778899aabbccddeeff0011223344556677","reason":"","standing":[],"reread_at":null,"rest":null,"asked":null,"pending_removals":null},"program":"/usr/lib/cordon/connectors/ldap","program_version":"1.4.2","program_digest":"91fe04c2aabbccdd00112233445566778899aabbccddeeff0011223344556677","schedule":"at minute 5, past every 2nd hour","limits":"memory 256 MiB, cpu 50 %, tasks 32","policy":[{"name":"removed.user","value":"50 or 10 %"}],"isolation":[{"name":"limit_memory","state":"applied","detail":"","level":"L1","required":false,"asked":268435456,"in_force":268435456,"errno":null},{"name":"landlock_scope","state":"unavailable","detail":"this kernel has no Landlock of version 6 or later","level":"L3","required":false,"asked":null,"in_force":null,"errno":95}],"findings":[{"code":"CRD-P203","severity":"quarantine","subject":"members","message":"read stopped at page 12 of 19","measured":null,"limit":null,"examples":[]},{"code":"CRD-D101","severity":"quarantine","subject":"user","message":"removed 7,019 of 18,204 (38.6 %)","measured":7019,"limit":50,"examples":["u1042","u1043"]},{"code":"CRD-F401","severity":"info","subject":"","message":"finished in 3m 12s","measured":null,"limit":null,"examples":[]}],"runs":[{"connector":"ldap-corp","sync":418,"outcome":"quarantined","started_at":"2026-03-02T06:56:00Z","ended_at":"2026-03-02T06:59:12Z","trigger":"schedule","records":11197,"changes":{"added":12,"removed":7019,"modified":40},"findings":[],"digest":"91fe04c2aabbccdd00112233445566778899aabbccddeeff0011223344556677","error":"","supervisor_ms":192000,"judge_us":812,"diff_us":90300,"connector_peak_bytes":123731968,"spawn_us":4100,"decided_by":"","decision_reason":"","commit_us":11000,"reason":"","gave_way_us":0},{"connector":"ldap-corp","sync":417,"outcome":"committed","started_at":"2026-03-02T06:56:00Z","ended_at":"2026-03-02T06:59:12Z","trigger":"schedule","records":11197,"changes":{"added":12,"removed":7019,"modified":40},"findings":[],"digest":"91fe04c2aabbccdd00112233445566778899aabbccddeeff0011223344556677","error":"","supervisor_ms":192000,"judge_us":812,"diff_us":90300,"connector_peak_bytes":123731968,"spawn_us":4100,"decided_by":"","decision_reason":"","commit_us":11000,"reason":"","gave_way_us":0}],"events":[{"seq":48211,"time":"2026-03-02T07:00:00Z","connector":"ldap-corp","kind":"sync-quarantined","actor":"cordond","message":"sync 418: 2 checks","hash":"77a0","body":"{\"sync\":418}"}],"scopes":[{"name":"users","outcome":"incomplete","reason":"page cookie lost","records":11197,"source_total":18204,"watermark_time":null,"watermark_token":"usn:99"}],"flows":[{"destination":"dc1.corp.example:636","connections":2,"failures":1,"sent_bytes":2048,"received_bytes":5242880,"address":"192.0.2.7:636","last_at":"2026-03-02T08:58:00Z","trouble":"dc1.corp.example:636 does not answer"}],"rereads":3,"rereads_transient":2,"hindsight":{"connector":"ldap-corp","state":"told","message":"the defaults would have held 1 of 12 stored syncs: 412 (CRD-D101); what was in force then held 0","defaults_in_force":true,"defaults":null,"tried":null,"held":[{"connector":"ldap-corp","sync":412,"against":411,"taken_at":"2026-03-02T06:56:00Z","outcome":"committed","verdict":"quarantined","codes":["CRD-D101"],"codes_then":[],"changes":{"added":12,"removed":7019,"modified":40},"difference":"newly-held","message":"users fell from 92 to 72"}],"unread":0}}"#);
    }

    #[test]
    fn a_connector_that_never_synced_is_told_so() {
        let status = v1::ConnectorStatus {
            name: "new".into(),
            trust: "unproven".into(),
            runtime: "idle".into(),
            ..Default::default()
        };
        let detail = v1::ConnectorDetail { status: Some(status), ..Default::default() };
        insta::assert_snapshot!(page(&detail, &Scene::fixed()).plain(), @r#"
        Name       new
        Trust      ! unproven
        Serving    nothing yet: no sync was accepted
        Runtime    idle, 0 restarts
        Schedule   on demand    next -

        Next       cordon sync new --wait · cordon logs new · cordon runs new
        "#);
    }

    #[test]
    fn a_thousand_findings_do_not_flood_the_page() {
        let mut detail = detail();
        detail.findings = vec![sample::findings()[0].clone(); 1_000];
        let text = page(&detail, &Scene::fixed()).plain();
        assert!(text.contains("(990 more: -o wide)"), "{text}");
        assert!(text.lines().count() < 60);
    }
}
