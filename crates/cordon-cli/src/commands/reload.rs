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
    let nothing = parts.iter().all(|(_, _, names)| names.is_empty()) && response.rotated.is_empty();
    for (glyph, tone, names) in parts {
        for name in names {
            page.styled(tone, glyph).push(" ").push(name).end();
        }
    }
    for name in &response.rotated {
        page.styled(Tone::Warn, "~").push(" ").push(name).push("  another secret").end();
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
            evidence: 7,
        }
    }

    #[test]
    fn reload_says_what_it_touched() {
        insta::assert_snapshot!(page(&response()).plain(), @r#"
        + github-acme
        - old-crm
        ~ ldap-corp
        ~ okta  another secret
        configuration reloaded   evidence #7
        "#);
        insta::assert_snapshot!(page(&v1::ReloadResponse::default()).plain(), @"the configuration had not changed");
    }

    #[test]
    fn a_reload_as_json_has_every_field() {
        insta::assert_snapshot!(sample::json(&response()), @r#"{"added":["github-acme"],"removed":["old-crm"],"changed":["ldap-corp"],"rotated":["okta"],"evidence":7}"#);
    }
}
