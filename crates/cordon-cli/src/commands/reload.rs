//! `cordon reload`: take over the changed configuration, or nothing of it; `cordon plan`: what that
//! would do.

use cordon_wire::v1;

use crate::args::PlanArgs;
use crate::client::{Client, answer};
use crate::commands::order::evidence;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::{Page, Tone};

pub(super) async fn run(mut client: Client, out: &mut Output) -> Result<Exit, Failure> {
    let response = answer(client.reload(v1::ReloadRequest { dry_run: false })).await?;
    out.list(std::slice::from_ref(&response), &(), |_| page(&response))?;
    Ok(Exit::Done)
}

pub(super) async fn plan(
    mut client: Client,
    args: PlanArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let response = answer(client.reload(v1::ReloadRequest { dry_run: true })).await?;
    out.list(std::slice::from_ref(&response), &(), |_| plan_page(&response))?;
    let differs = !is_same(&response);
    Ok(if args.exit_code && differs { Exit::Attention } else { Exit::Done })
}

fn is_same(response: &v1::ReloadResponse) -> bool {
    let v1::ReloadResponse { added, removed, changed, rotated, settings, .. } = response;
    [added, removed, changed, rotated, settings].into_iter().all(Vec::is_empty)
}

fn plan_page(response: &v1::ReloadResponse) -> Page {
    let mut page = differences(response);
    if is_same(response) {
        page.line("a reload would change nothing");
    } else {
        page.push("nothing was changed; take it over with: ");
        page.styled(Tone::Strong, "cordon reload").end();
    }
    page
}

fn page(response: &v1::ReloadResponse) -> Page {
    let mut page = differences(response);
    for it in &response.hindsight {
        page.line(&format!("  {}: {}", it.connector, it.message));
    }
    let same = is_same(response);
    page.push(if same { "the configuration had not changed" } else { "configuration reloaded" });
    if response.evidence != 0 {
        evidence(&mut page, response.evidence);
    }
    page.end();
    page
}

/// What is new, gone or different, a line each.
fn differences(response: &v1::ReloadResponse) -> Page {
    let mut page = Page::new();
    let parts = [
        ("+", Tone::Good, &response.added),
        ("-", Tone::Bad, &response.removed),
        ("~", Tone::Warn, &response.changed),
    ];
    for (glyph, tone, names) in parts {
        for name in names {
            page.styled(tone, glyph).push(" ").push(name);
            let known = response.differences.iter().find(|it| it.name == *name);
            if let Some(difference) = known.filter(|it| !it.keys.is_empty()) {
                page.push(&format!("  {}", difference.keys.join(", ")));
            }
            page.end();
        }
    }
    for name in &response.rotated {
        page.styled(Tone::Warn, "~").push(" ").push(name).push("  another secret").end();
    }
    for setting in &response.settings {
        page.styled(Tone::Warn, "~").push(" ").push(setting).end();
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    fn response() -> v1::ReloadResponse {
        v1::ReloadResponse {
            added: vec!["github-acme".into()],
            removed: vec!["old-crm".into()],
            changed: vec!["ldap-corp".into()],
            differences: vec![v1::Difference {
                name: "ldap-corp".into(),
                keys: vec!["limits".into(), "guard".into()],
            }],
            rotated: vec!["okta".into()],
            settings: vec!["store.keep.last was 30 and is 5".into()],
            evidence: 7,
            hindsight: vec![sample::hindsight()],
        }
    }

    #[test]
    fn reload_says_what_it_touched() {
        insta::assert_snapshot!(page(&response()).plain(), @r#"
        + github-acme
        - old-crm
        ~ ldap-corp  limits, guard
        ~ okta  another secret
        ~ store.keep.last was 30 and is 5
          ldap-corp: the defaults would have held 1 of 12 stored syncs: 412 (CRD-D101); what was in force then held 0
        configuration reloaded   evidence #7
        "#);
        insta::assert_snapshot!(page(&v1::ReloadResponse::default()).plain(), @"the configuration had not changed");
    }

    #[test]
    fn a_plan_says_what_would_be_touched_and_that_nothing_was() {
        let plan = v1::ReloadResponse { rotated: Vec::new(), evidence: 0, ..response() };
        insta::assert_snapshot!(plan_page(&plan).plain(), @r"
        + github-acme
        - old-crm
        ~ ldap-corp  limits, guard
        ~ store.keep.last was 30 and is 5
        nothing was changed; take it over with: cordon reload
        ");
        let nothing = plan_page(&v1::ReloadResponse::default()).plain();
        insta::assert_snapshot!(nothing, @"a reload would change nothing");
    }

    #[test]
    fn a_reload_as_json_has_every_field() {
        insta::assert_snapshot!(sample::json(&response()), @r#"{"added":["github-acme"],"removed":["old-crm"],"changed":["ldap-corp"],"differences":[{"name":"ldap-corp","keys":["limits","guard"]}],"rotated":["okta"],"settings":["store.keep.last was 30 and is 5"],"evidence":7,"hindsight":[{"connector":"ldap-corp","state":"told","message":"the defaults would have held 1 of 12 stored syncs: 412 (CRD-D101); what was in force then held 0","defaults_in_force":true,"defaults":null,"tried":null,"held":[{"connector":"ldap-corp","sync":412,"against":411,"taken_at":"2026-03-02T06:56:00Z","outcome":"committed","verdict":"quarantined","codes":["CRD-D101"],"codes_then":[],"changes":{"added":12,"removed":7019,"modified":40},"difference":"newly-held","message":"users fell from 92 to 72"}],"unread":0}]}"#);
    }
}
