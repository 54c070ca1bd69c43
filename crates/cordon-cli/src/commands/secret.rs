//! `cordon secret check`: does each reference have a value? No value is ever shown.

use cordon_wire::v1;

use crate::args::SecretCheckArgs;
use crate::client::{Client, answer};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::{Page, Tone};
use crate::units;

pub(super) async fn check(
    mut client: Client,
    args: SecretCheckArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let request = v1::SecretCheckRequest { name: args.name.unwrap_or_default() };
    let secrets = answer(client.secret_check(request)).await?.secrets;
    out.list(&secrets, &(), |_| page(&secrets))?;
    Ok(if secrets.iter().all(is_ok) { Exit::Done } else { Exit::Failed })
}

/// A state that is not known is not taken for success.
fn is_ok(secret: &v1::SecretCheck) -> bool {
    secret.state == "ok"
}

fn page(secrets: &[v1::SecretCheck]) -> Page {
    let mut page = Page::new();
    for secret in secrets {
        let (tone, mark) =
            if is_ok(secret) { (Tone::Good, "[ ok ]") } else { (Tone::Bad, "[FAIL]") };
        let what = format!("  {}  {}  {}", secret.owner, secret.place, secret.reference);
        page.styled(tone, mark).push(&what).end();
        if !secret.detail.is_empty() {
            page.line(&format!("        {}", secret.detail));
        }
    }
    let failed = secrets.iter().filter(|secret| !is_ok(secret)).count() as u64;
    let all = units::plural(secrets.len() as u64, "reference", "references");
    page.line(&match failed {
        0 => format!("{all}, each has a value"),
        failed => format!("{all}, {failed} without a value"),
    });
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    fn secret(owner: &str, state: &str, detail: &str) -> v1::SecretCheck {
        v1::SecretCheck {
            owner: owner.into(),
            place: "config.password".into(),
            reference: "cred:ldap".into(),
            state: state.into(),
            detail: detail.into(),
        }
    }

    #[test]
    fn a_secret_check_says_which_reference_has_no_value_and_why() {
        let secrets = [secret("ldap", "ok", ""), secret("okta", "fail", "cred:okta is not there")];
        insta::assert_snapshot!(page(&secrets).plain(), @r"
        [ ok ]  ldap  config.password  cred:ldap
        [FAIL]  okta  config.password  cred:ldap
                cred:okta is not there
        2 references, 1 without a value
        ");
    }

    #[test]
    fn a_state_that_is_not_known_is_not_taken_for_success() {
        assert!(!is_ok(&secret("x", "", "")));
    }

    #[test]
    fn a_secret_check_as_json_has_every_field() {
        insta::assert_snapshot!(sample::json(&secret("ldap", "ok", "")), @r#"{"owner":"ldap","place":"config.password","reference":"cred:ldap","state":"ok","detail":""}"#);
    }
}
