//! `cordon reload`: take over the changed configuration, or nothing of it.

use cordon_wire::v1;

use crate::client::{Client, answer};
use crate::commands::order::evidence;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::{Page, Tone};

pub(super) async fn run(mut client: Client, out: &mut Output) -> Result<Exit, Failure> {
    let response = answer(client.reload(v1::ReloadRequest {})).await?;
    out.list(std::slice::from_ref(&response), &(), |_| page(&response))?;
    Ok(Exit::Done)
}

fn page(response: &v1::ReloadResponse) -> Page {
    let mut page = Page::new();
    let parts = [
        ("+", Tone::Good, &response.added),
        ("-", Tone::Bad, &response.removed),
        ("~", Tone::Warn, &response.changed),
    ];
    let same = parts.iter().all(|(_, _, names)| names.is_empty());
    let nothing = same && response.rotated.is_empty() && response.settings.is_empty();
    for (glyph, tone, names) in parts {
        for name in names {
            page.styled(tone, glyph).push(" ").push(name).end();
        }
    }
    for name in &response.rotated {
        page.styled(Tone::Warn, "~").push(" ").push(name).push("  another secret").end();
    }
    for setting in &response.settings {
        page.styled(Tone::Warn, "~").push(" ").push(setting).end();
    }
    for it in &response.hindsight {
        page.line(&format!("  {}: {}", it.connector, it.message));
    }
    page.push(if nothing { "the configuration had not changed" } else { "configuration reloaded" });
    if response.evidence != 0 {
        evidence(&mut page, response.evidence);
    }
    page.end();
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
        ~ ldap-corp
        ~ okta  another secret
        ~ store.keep.last was 30 and is 5
          ldap-corp: the defaults would have held 1 of 12 stored syncs: 412 (CRD-D101); what was in force then held 0
        configuration reloaded   evidence #7
        "#);
        insta::assert_snapshot!(page(&v1::ReloadResponse::default()).plain(), @"the configuration had not changed");
    }

    #[test]
    fn a_reload_as_json_has_every_field() {
        insta::assert_snapshot!(sample::json(&response()), @r#"{"added":["github-acme"],"removed":["old-crm"],"changed":["ldap-corp"],"rotated":["okta"],"settings":["store.keep.last was 30 and is 5"],"evidence":7,"hindsight":[{"connector":"ldap-corp","state":"told","message":"the defaults would have held 1 of 12 stored syncs: 412 (CRD-D101); what was in force then held 0","defaults_in_force":true,"defaults":null,"tried":null,"held":[{"connector":"ldap-corp","sync":412,"against":411,"taken_at":"2026-03-02T06:56:00Z","outcome":"committed","verdict":"quarantined","codes":["CRD-D101"],"codes_then":[],"changes":{"added":12,"removed":7019,"modified":40},"difference":"newly-held","message":"users fell from 92 to 72"}],"unread":0}]}"#);
    }
}
