//! `cordon doctor`: what this host gives, and what to repair.

use cordon_wire::v1;
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::client::{Client, answer};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::json::{self, View};
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;
use crate::output::{Format, Output};
use crate::units;

pub(super) async fn run(
    mut client: Client,
    args: DoctorArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let request = v1::DoctorRequest { prove: args.prove };
    let v1::DoctorResponse { items, prove } = answer(client.doctor(request)).await?;
    let beside = Beside { prove: args.prove.then(|| json::list(&prove)) };
    out.list(&items, &beside, |scene| page(&items, &prove, scene))?;
    if matches!(out.format, Format::Ndjson | Format::Name) {
        for result in &prove {
            out.item(result, |_| Page::new())?;
        }
        out.flush()?;
    }
    Ok(if failed(&items, &prove) { Exit::Failed } else { Exit::Done })
}

fn failed(items: &[v1::DoctorItem], prove: &[v1::ProveResult]) -> bool {
    let fails = items.iter().any(|item| Health::of(item) == Health::Fail);
    fails || prove.iter().any(|result| Proof::of(result) == Proof::Allowed)
}

/// What a document has beside its items.
#[derive(Serialize)]
struct Beside<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    prove: Option<Vec<View<'a, v1::ProveResult>>>,
}

/// What became of an attack.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Denied,
    Skipped,
    Allowed,
}

impl Proof {
    /// A result that is not known is not taken for a denial.
    fn of(result: &v1::ProveResult) -> Self {
        match result.result.as_str() {
            "denied" => Self::Denied,
            skipped if skipped.starts_with("skipped: ") => Self::Skipped,
            _ => Self::Allowed,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Ok,
    Warn,
    Fail,
}

impl Health {
    /// A state that is not known is not taken for health.
    fn of(item: &v1::DoctorItem) -> Self {
        match item.state.as_str() {
            "ok" => Self::Ok,
            "warn" => Self::Warn,
            _ => Self::Fail,
        }
    }
}

fn page(items: &[v1::DoctorItem], prove: &[v1::ProveResult], scene: &Scene) -> Page {
    let mut page = Page::new();
    let width =
        items.iter().map(|item| item.name.chars().count()).max().unwrap_or_default().min(32);
    for item in items {
        let (tone, box_text) = match Health::of(item) {
            Health::Ok => (Tone::Good, "[ ok ]"),
            Health::Warn => (Tone::Warn, "[warn]"),
            Health::Fail => (Tone::Bad, "[FAIL]"),
        };
        page.styled(tone, box_text).push(&format!("  {:width$}  {}", item.name, item.detail)).end();
        if !item.fix.is_empty() {
            page.push(&" ".repeat(width + 10)).styled(Tone::Strong, "fix: ").push(&item.fix).end();
        }
    }
    prove_lines(&mut page, prove);
    let number = |health| items.iter().filter(|item| Health::of(item) == health).count() as u64;
    page.line(&format!(
        "{}, {}, {} ok{}",
        units::plural(number(Health::Fail), "failure", "failures"),
        units::plural(number(Health::Warn), "warning", "warnings"),
        number(Health::Ok),
        if failed(items, prove) { format!("{}exit 1", scene.glyphs.dot()) } else { String::new() },
    ));
    page
}

/// A line an attack, and how many of each there are.
fn prove_lines(page: &mut Page, prove: &[v1::ProveResult]) {
    let width = prove.iter().map(|result| result.case.chars().count()).max().unwrap_or_default();
    for result in prove {
        let (tone, word, detail) = match Proof::of(result) {
            Proof::Denied => (Tone::Good, "denied ", &*result.detail),
            Proof::Skipped => {
                (Tone::Warn, "skipped", result.result.trim_start_matches("skipped: "))
            }
            Proof::Allowed => (Tone::Bad, "ALLOWED", &*result.detail),
        };
        let text = format!("  {:width$}  {detail}", result.case);
        page.styled(tone, word).push(text.trim_end()).end();
    }
    if !prove.is_empty() {
        let number = |proof| prove.iter().filter(|result| Proof::of(result) == proof).count();
        page.line(&format!(
            "{} denied, {} ALLOWED, {} skipped",
            number(Proof::Denied),
            number(Proof::Allowed),
            number(Proof::Skipped)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    fn item(name: &str, state: &str, detail: &str, fix: &str) -> v1::DoctorItem {
        v1::DoctorItem {
            name: name.into(),
            state: state.into(),
            detail: detail.into(),
            fix: fix.into(),
        }
    }

    #[test]
    fn doctor_says_what_fails_and_how_to_repair_it() {
        let items = [
            item("config", "ok", "/etc/cordon/cordon.toml, 5 connectors", ""),
            item("kernel", "warn", "no cgroup v2", "delegate a cgroup: Delegate=yes"),
            item("sink siem", "fail", "TLS: certificate expired", "renew siem.example.com"),
        ];
        insta::assert_snapshot!(page(&items, &[], &Scene::fixed()).plain(), @r#"
        [ ok ]  config     /etc/cordon/cordon.toml, 5 connectors
        [warn]  kernel     no cgroup v2
                           fix: delegate a cgroup: Delegate=yes
        [FAIL]  sink siem  TLS: certificate expired
                           fix: renew siem.example.com
        1 failure, 1 warning, 1 ok · exit 1
        "#);
    }

    #[test]
    fn a_state_that_is_not_known_is_not_taken_for_health() {
        assert!(Health::of(&item("x", "", "", "")) == Health::Fail);
    }

    #[test]
    fn an_attack_that_is_allowed_stands_out_and_fails() {
        let result = |case: &str, result: &str, detail: &str| v1::ProveResult {
            case: case.into(),
            result: result.into(),
            detail: detail.into(),
        };
        let prove = [
            result("ptrace", "denied", "PTRACE_SEIZE: Operation not permitted"),
            result("outside_udp", "ALLOWED", "network_namespace: not-asked"),
            result("abi_x32", "skipped: this processor has no such way", ""),
        ];
        let items = [item("config", "ok", "5 connectors", "")];
        insta::assert_snapshot!(page(&items, &prove, &Scene::fixed()).plain(), @r#"
        [ ok ]  config  5 connectors
        denied   ptrace       PTRACE_SEIZE: Operation not permitted
        ALLOWED  outside_udp  network_namespace: not-asked
        skipped  abi_x32      this processor has no such way
        1 denied, 1 ALLOWED, 1 skipped
        0 failures, 0 warnings, 1 ok · exit 1
        "#);
        assert!(
            failed(&[], &prove[1..2]) && !failed(&[], &prove[..1]) && !failed(&[], &prove[2..])
        );
    }

    #[test]
    fn a_result_that_is_not_known_is_not_taken_for_a_denial() {
        let unknown = v1::ProveResult { result: "fine".into(), ..Default::default() };
        assert!(failed(&[], &[unknown]));
    }

    #[test]
    fn a_check_as_json_has_every_field() {
        insta::assert_snapshot!(sample::json(&item("config", "ok", "fine", "")), @r#"{"name":"config","state":"ok","detail":"fine","fix":""}"#);
    }
}
