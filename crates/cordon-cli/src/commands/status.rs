//! `cordon status`: the connectors, worst first, and what waits for a person.

use cordon_wire::v1;
use serde::Serialize;

use crate::args::StatusArgs;
use crate::client::{Client, answer};
use crate::commands::select::labelled;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::json::{View, list, maybe};
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;
use crate::output::table::Grid;
use crate::output::words;
use crate::units;

/// Trust words, worst first.
const TRUST_ORDER: [&str; 7] =
    ["failing", "quarantined", "stale", "unproven", "paused", "released", "trusted"];

/// What the document has beside its items.
#[derive(Serialize)]
struct Extra<'a> {
    host: Option<View<'a, v1::Host>>,
    sinks: Vec<View<'a, v1::SinkStatus>>,
}

pub(super) async fn run(
    mut client: Client,
    args: StatusArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let labels = args.labels.label;
    let whole = args.names.is_empty() && labels.is_empty();
    let request = v1::StatusRequest { connectors: args.names };
    let mut response = answer(client.status(request)).await?;
    response.connectors = labelled(response.connectors, &labels)?;
    let extra = Extra { host: maybe(&response.host), sinks: list(&response.sinks) };
    out.list(&response.connectors, &extra, |scene| page(&response, scene))?;
    let attention = response.connectors.iter().any(needs_attention)
        || (whole && response.sinks.iter().any(|sink| sink.state == "failing"));
    Ok(if args.exit_code && attention { Exit::Attention } else { Exit::Done })
}

/// A pause is not a fault: someone wanted it. What is read again is not anybody's to look at yet.
pub(super) fn needs_attention(status: &v1::ConnectorStatus) -> bool {
    let reads_again = status.trust == "quarantined" && status.reread_at != 0;
    !reads_again && !matches!(status.trust.as_str(), "trusted" | "released" | "paused")
}

/// `1 quarantined  3 trusted`, worst first.
pub(super) fn tally(connectors: &[v1::ConnectorStatus]) -> String {
    let known = TRUST_ORDER
        .iter()
        .map(|word| (*word, connectors.iter().filter(|it| it.trust == *word).count()));
    let other = connectors.iter().filter(|it| !TRUST_ORDER.contains(&it.trust.as_str())).count();
    let parts: Vec<String> = known
        .chain([("unknown", other)])
        .filter(|(_, number)| *number > 0)
        .map(|(word, number)| format!("{number} {word}"))
        .collect();
    parts.join("  ")
}

fn page(response: &v1::StatusResponse, scene: &Scene) -> Page {
    // Ages are counted by the daemon's clock, which made the times.
    let mut scene = scene.clone();
    if let Some(host) = response.host.as_ref().filter(|host| host.now != 0) {
        scene.now = host.now;
    }
    let mut page = Page::new();
    head(&mut page, response, &scene);
    if !response.connectors.is_empty() {
        page.end();
        connectors(&response.connectors, &scene).write(&mut page, 0);
    }
    if !response.sinks.is_empty() {
        page.end();
        sinks(&mut page, &response.sinks, &scene);
    }
    decisions(&mut page, &response.connectors, &scene);
    page
}

fn head(page: &mut Page, response: &v1::StatusResponse, scene: &Scene) {
    let dot = scene.glyphs.dot();
    if let Some(host) = &response.host {
        page.styled(Tone::Strong, &format!("cordond {} on {}", host.version, host.hostname));
        page.push(&format!("{dot}up {}", scene.age(host.started_at)));
        if let Some(seconds) = scene.seconds_since(host.config_loaded_at) {
            page.push(&format!("{dot}config loaded {} ago", units::age_short(seconds)));
        }
        page.push(dot);
    }
    let number = response.connectors.len() as u64;
    page.push(&units::plural(number, "connector", "connectors"));
    if number > 0 {
        page.push(&format!(": {}", tally(&response.connectors)));
    }
    page.end();
}

fn connectors(statuses: &[v1::ConnectorStatus], scene: &Scene) -> Grid {
    let mut columns =
        vec!["NAME", "TRUST", "RUNTIME", "LAST GOOD", "NEXT", ">RECORDS", "LAST CHANGE"];
    if scene.wide {
        columns.extend([">SYNC", ">PID", ">RESTARTS", "USE", "LABELS"]);
    }
    columns.push("");
    let mut grid = Grid::new(&columns);
    for status in statuses {
        let mut cells = vec![
            status.name.clone(),
            trust(status, scene),
            runtime(status),
            scene.age(status.last_good_at),
            next(status, scene),
            if status.last_good_at == 0 { "-".into() } else { units::count(status.records) },
            units::changes(status.last_change.as_ref()),
        ];
        if scene.wide {
            cells.extend([
                nonzero(status.last_good_sync),
                nonzero(u64::from(status.pid)),
                units::count(u64::from(status.restarts)),
                status.r#use.clone(),
                labels(status),
            ]);
        }
        cells.push(note(status, scene));
        grid.marked(mark(status, scene), cells);
    }
    grid
}

fn mark(status: &v1::ConnectorStatus, scene: &Scene) -> crate::output::table::Mark {
    let trust = scene.glyphs.trust(&status.trust);
    let held = matches!(status.runtime.as_str(), "crash-loop" | "held");
    let crashing = held && trust == scene.glyphs.good();
    if crashing { scene.glyphs.warn() } else { trust }
}

fn trust(status: &v1::ConnectorStatus, scene: &Scene) -> String {
    match scene.seconds_since(status.trust_since) {
        Some(seconds) if needs_attention(status) => {
            format!("{} {}", status.trust, units::age_short(seconds))
        }
        _ => status.trust.clone(),
    }
}

pub(super) fn runtime(status: &v1::ConnectorStatus) -> String {
    match &status.progress {
        Some(progress) if status.runtime == "syncing" && progress.total > 0 => {
            let share = u128::from(progress.done) * 100 / u128::from(progress.total);
            format!("syncing {} %", share.min(100))
        }
        Some(progress) if status.runtime == "syncing" && progress.records > 0 => {
            format!("syncing {}", units::count(progress.records))
        }
        _ => status.runtime.clone(),
    }
}

fn next(status: &v1::ConnectorStatus, scene: &Scene) -> String {
    if status.pause.is_some() { "paused".into() } else { scene.ahead(status.next_sync_at) }
}

/// Why the row is as it is.
fn note(status: &v1::ConnectorStatus, scene: &Scene) -> String {
    if let Some(pause) = &status.pause {
        let until = match pause.until {
            0 => String::new(),
            until => format!(" until {}", scene.clock(until)),
        };
        return format!("{}: \"{}\"{until}", pause.by, pause.reason);
    }
    let reasons = status.trust_reasons.join(", ");
    let weaker = match status.standing.len() as u64 {
        0 => String::new(),
        number => units::plural(number, "standing finding", "standing findings"),
    };
    let reread = match status.reread_at {
        0 => String::new(),
        at => format!("read again {}", scene.ahead(at)),
    };
    let pending = match status.pending_removals.as_ref().and_then(|it| it.measured) {
        None | Some(0) => String::new(),
        Some(number) => units::plural(number, "removal pending", "removals pending"),
    };
    [reasons, reread, status.runtime_detail.clone(), weaker, pending]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

pub(super) fn labels(status: &v1::ConnectorStatus) -> String {
    let mut labels: Vec<String> =
        status.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    labels.sort_unstable();
    labels.join(",")
}

fn nonzero(value: u64) -> String {
    if value == 0 { "-".into() } else { value.to_string() }
}

fn sinks(page: &mut Page, sinks: &[v1::SinkStatus], scene: &Scene) {
    page.push("  sinks");
    for sink in sinks {
        page.push(&format!("   {} ", sink.name));
        let tone = match sink.state.as_str() {
            "live" => Tone::Good,
            "behind" => Tone::Warn,
            _ => Tone::Bad,
        };
        page.styled(tone, &sink.state);
        if sink.behind > 0 {
            let oldest = scene.seconds_since(sink.oldest_at).map(units::age);
            let oldest = oldest.map(|age| format!(" (oldest {age})")).unwrap_or_default();
            page.push(&format!(" {}{oldest}", units::count(sink.behind)));
        }
        if sink.state != "live" && !sink.detail.is_empty() {
            page.push(&format!(": {}", crate::escape::clip(&sink.detail, 80)));
        }
    }
    page.end();
}

/// Whether a sync waits for a person, and not for a second reading.
pub(super) fn waits_for_a_person(status: &v1::ConnectorStatus) -> bool {
    status.quarantined_sync != 0 && status.reread_at == 0
}

fn decisions(page: &mut Page, statuses: &[v1::ConnectorStatus], scene: &Scene) {
    for status in statuses {
        let (name, sync) = (&status.name, status.quarantined_sync);
        if let Some(rest) = &status.rest {
            page.line(&format!("  {}", words::rest(name, sync, rest)));
        }
        if let Some(asked) = &status.asked {
            let until = scene.clock(asked.expires_at);
            page.line(&format!("  {}", words::asked(name, sync, asked, &until)));
        }
    }
    let waiting: Vec<&str> =
        statuses.iter().filter(|it| waits_for_a_person(it)).map(|it| it.name.as_str()).collect();
    let Some(first) = waiting.first() else {
        return;
    };
    let verb = if waiting.len() == 1 { "decision waits" } else { "decisions wait" };
    page.push(&format!("  {} {verb}:  ", waiting.len()));
    page.styled(Tone::Strong, &format!("cordon diff {first}")).end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    #[test]
    fn status_shows_the_daemons_order_the_sinks_and_the_next_command() {
        insta::assert_snapshot!(page(&sample::status(), &Scene::fixed()).plain(), @r#"
        cordond 0.1.0 on idm-01 · up 12d 4h · config loaded 3d ago · 5 connectors: 1 quarantined  1 stale  1 unproven  1 paused  1 trusted

          NAME         TRUST           RUNTIME       LAST GOOD  NEXT    RECORDS  LAST CHANGE
        ✗ ldap-corp    quarantined 2h  idle          2h 11m     in 49m   18,204  +12 -7,019 ~40  PartialRead, RemovedOverLimit
        ! github-acme  stale 1h        backing-off   7h 40m     in 4m     2,310  -               rate limited, 3 attempts
        ! new-crm      unproven        idle          -          -             -  -
        ✓ hr-csv       trusted         syncing 62 %  14m        -         8,412  +3 -1 ~9
        ‖ pg-core      paused          paused        1h 02m     paused      316  -               operator-3: "cert swap" until 12:00:00

          sinks   entra live   siem behind 212 (oldest 40s): HTTP 503
          1 decision waits:  cordon diff ldap-corp
        "#);
    }

    #[test]
    fn wide_adds_columns_and_ascii_has_no_other_glyphs() {
        let mut scene = Scene::fixed();
        scene.wide = true;
        scene.glyphs = crate::output::scene::Glyphs::Ascii;
        let text = page(&sample::status(), &scene).plain();
        assert!(text.is_ascii(), "{text}");
        insta::assert_snapshot!(text, @r#"
        cordond 0.1.0 on idm-01 | up 12d 4h | config loaded 3d ago | 5 connectors: 1 quarantined  1 stale  1 unproven  1 paused  1 trusted

          NAME         TRUST           RUNTIME       LAST GOOD  NEXT    RECORDS  LAST CHANGE     SYNC    PID  RESTARTS  USE       LABELS
        x ldap-corp    quarantined 2h  idle          2h 11m     in 49m   18,204  +12 -7,019 ~40   417  41877         0  ldap      owner=iam  PartialRead, RemovedOverLimit
        ! github-acme  stale 1h        backing-off   7h 40m     in 4m     2,310  -                 90      -         3  github               rate limited, 3 attempts
        ! new-crm      unproven        idle          -          -             -  -                  -      -         0  crm
        * hr-csv       trusted         syncing 62 %  14m        -         8,412  +3 -1 ~9        1204     77         0  csv
        = pg-core      paused          paused        1h 02m     paused      316  -                 12      -         0  postgres             operator-3: "cert swap" until 12:00:00

          sinks   entra live   siem behind 212 (oldest 40s): HTTP 503
          1 decision waits:  cordon diff ldap-corp
        "#);
    }

    #[test]
    fn a_host_without_connectors_is_not_an_empty_table() {
        let mut response = sample::status();
        response.connectors.clear();
        response.sinks.clear();
        insta::assert_snapshot!(page(&response, &Scene::fixed()).plain(), @"cordond 0.1.0 on idm-01 · up 12d 4h · config loaded 3d ago · 0 connectors");
    }

    #[test]
    fn hostile_text_of_a_connector_stays_in_its_line() {
        let mut response = sample::status();
        response.connectors[0].runtime_detail = "x\u{1b}[2J\n✓ hr-csv trusted".into();
        let lines = page(&sample::status(), &Scene::fixed()).plain().lines().count();
        let text = page(&response, &Scene::fixed()).plain();
        assert_eq!(text.lines().count(), lines);
        assert!(text.contains("x\\u{1b}[2J\\n"), "{text}");
    }

    #[test]
    fn a_pause_is_no_fault_and_a_stale_connector_is_one() {
        let with = |trust: &str| v1::ConnectorStatus { trust: trust.into(), ..Default::default() };
        for trust in ["trusted", "released", "paused"] {
            assert!(!needs_attention(&with(trust)), "{trust}");
        }
        for trust in ["stale", "quarantined", "failing", "unproven", "something-new"] {
            assert!(needs_attention(&with(trust)), "{trust}");
        }
    }

    #[test]
    fn progress_cannot_pass_the_end_or_divide_by_nothing() {
        let with = |done, total| v1::ConnectorStatus {
            runtime: "syncing".into(),
            progress: Some(v1::SyncProgress { done, total, records: 12_345, ..Default::default() }),
            ..Default::default()
        };
        assert_eq!(runtime(&with(62, 100)), "syncing 62 %");
        assert_eq!(runtime(&with(u64::MAX, 3)), "syncing 100 %");
        assert_eq!(runtime(&with(5, 0)), "syncing 12,345");
    }
}
