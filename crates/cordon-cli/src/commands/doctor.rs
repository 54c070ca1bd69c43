//! `cordon doctor`: what this host gives, and what to repair.

use cordon_wire::v1;

use crate::client::{Client, answer};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;
use crate::units;

pub(super) async fn run(mut client: Client, out: &mut Output) -> Result<Exit, Failure> {
    let items = answer(client.doctor(v1::DoctorRequest {})).await?.items;
    out.list(&items, &(), |scene| page(&items, scene))?;
    let failed = items.iter().any(|item| Health::of(item) == Health::Fail);
    Ok(if failed { Exit::Failed } else { Exit::Done })
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

fn page(items: &[v1::DoctorItem], scene: &Scene) -> Page {
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
    let number = |health| items.iter().filter(|item| Health::of(item) == health).count() as u64;
    page.line(&format!(
        "{}, {}, {} ok{}",
        units::plural(number(Health::Fail), "failure", "failures"),
        units::plural(number(Health::Warn), "warning", "warnings"),
        number(Health::Ok),
        if number(Health::Fail) > 0 {
            format!("{}exit 1", scene.glyphs.dot())
        } else {
            String::new()
        },
    ));
    page
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
        insta::assert_snapshot!(page(&items, &Scene::fixed()).plain(), @r#"
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
    fn a_check_as_json_has_every_field() {
        insta::assert_snapshot!(sample::json(&item("config", "ok", "fine", "")), @r#"{"name":"config","state":"ok","detail":"fine","fix":""}"#);
    }
}
