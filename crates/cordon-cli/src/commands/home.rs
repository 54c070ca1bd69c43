//! `cordon` alone: the state in one line, and the one thing to do next.

use cordon_wire::v1;

use crate::args::StatusArgs;
use crate::client::{Client, answer};
use crate::commands::status::{self, tally};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;
use crate::units;

pub(super) async fn run(mut client: Client, out: &mut Output) -> Result<Exit, Failure> {
    if !out.format.is_for_people() {
        return status::run(client, StatusArgs::default(), out).await;
    }
    let response = answer(client.status(v1::StatusRequest::default())).await?;
    let page = page(&response, &out.scene);
    out.page(page)?;
    out.flush()?;
    let mut hint = Page::new();
    hint.line("all commands: cordon --help");
    out.note(hint);
    Ok(Exit::Done)
}

fn page(response: &v1::StatusResponse, scene: &Scene) -> Page {
    let mut page = Page::new();
    let host = response.host.as_ref().map(|host| host.hostname.as_str()).unwrap_or_default();
    let number = units::plural(response.connectors.len() as u64, "connector", "connectors");
    page.styled(Tone::Strong, &format!("{number} on {host}"));
    if !response.connectors.is_empty() {
        page.push(&format!(": {}", tally(&response.connectors)));
    }
    let broken = response.sinks.iter().filter(|sink| sink.state == "failing").count();
    if broken > 0 {
        let sinks = units::plural(broken as u64, "sink fails", "sinks fail");
        page.push(&format!("{}{sinks}", scene.glyphs.dot()));
    }
    page.end();
    let (command, why) = next(response);
    page.push("next: ").styled(Tone::Strong, &command);
    if !why.is_empty() {
        page.push(&format!("   {why}"));
    }
    page.end();
    page
}

/// The one thing to do: a decision first, then what fails, then what has no data yet.
fn next(response: &v1::StatusResponse) -> (String, String) {
    let all = &response.connectors;
    if let Some(it) = all.iter().find(|it| status::waits_for_a_person(it)) {
        let sync = it.quarantined_sync;
        return (format!("cordon diff {}", it.name), format!("sync {sync} waits for a decision"));
    }
    let with = |word: &str| all.iter().find(|it| it.trust == word || it.runtime == word);
    if let Some(it) = with("failing").or_else(|| with("crash-loop")).or_else(|| with("held")) {
        return (format!("cordon describe {}", it.name), "its syncs fail".into());
    }
    if let Some(sink) = response.sinks.iter().find(|sink| sink.state == "failing") {
        return ("cordon status".into(), format!("nothing reaches sink {}", sink.name));
    }
    if let Some(it) = with("stale") {
        return (format!("cordon describe {}", it.name), "its data is older than allowed".into());
    }
    if let Some(it) = with("unproven") {
        return (format!("cordon sync {} --wait", it.name), "it has no accepted sync yet".into());
    }
    if all.is_empty() {
        let path = response.host.as_ref().map(|host| host.config_path.as_str()).unwrap_or_default();
        return ("cordon reload".into(), format!("after adding a connector to {path}"));
    }
    ("cordon status".into(), "nothing waits for you".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    #[test]
    fn a_decision_that_waits_comes_first() {
        insta::assert_snapshot!(page(&sample::status(), &Scene::fixed()).plain(), @r#"
        5 connectors on idm-01: 1 quarantined  1 stale  1 unproven  1 paused  1 trusted
        next: cordon diff ldap-corp   sync 418 waits for a decision
        "#);
    }

    #[test]
    fn what_to_do_follows_the_worst_state() {
        let mut response = sample::status();
        let mut seen = Vec::new();
        while !response.connectors.is_empty() {
            seen.push(next(&response).0);
            response.connectors.remove(0);
        }
        seen.push(next(&response).0);
        insta::assert_snapshot!(seen.join("\n"), @r#"
        cordon diff ldap-corp
        cordon describe github-acme
        cordon sync new-crm --wait
        cordon status
        cordon status
        cordon reload
        "#);
    }
}
