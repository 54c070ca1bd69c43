//! `cordon rule list` and `cordon rule test`: the operators' rules, and what they would have found.

use cordon_wire::v1;

use crate::args::{RuleListArgs, RuleTestArgs};
use crate::client::{Client, answer};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::Page;
use crate::output::scene::Scene;
use crate::output::table::{Grid, Mark};
use crate::units;

pub(super) async fn list(
    mut client: Client,
    args: RuleListArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let request = v1::RulesRequest { connector: args.name.unwrap_or_default() };
    let rules = answer(client.rules(request)).await?.rules;
    out.list(&rules, &(), |scene| listed(&rules, scene))?;
    if rules.is_empty() {
        let mut note = Page::new();
        note.line("no rule is configured; one stands in [guard.rule.NAME]");
        out.note(note);
    }
    Ok(Exit::Done)
}

pub(super) async fn test(
    mut client: Client,
    args: RuleTestArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let request = v1::RuleTestRequest {
        connector: args.name,
        rule: args.rule.unwrap_or_default(),
        sync: args.sync.unwrap_or_default(),
    };
    let results = answer(client.rule_test(request)).await?.results;
    out.list(&results, &(), |scene| tested(&results, scene))?;
    let held =
        results.iter().any(|it| matches!(it.result.as_str(), "quarantine" | "not-evaluated"));
    Ok(if held && args.exit_code { Exit::Attention } else { Exit::Done })
}

fn listed(rules: &[v1::OperatorRule], scene: &Scene) -> Page {
    let mut page = Page::new();
    let mut grid = Grid::new(&["RULE", "CONNECTOR", "STATE", "COUNTS", "ALLOWS"]);
    for rule in rules {
        let mark = match rule.state.as_str() {
            "applies" => scene.glyphs.good(),
            "passed-over" => scene.glyphs.held(),
            "unmet" => scene.glyphs.bad(),
            _ => scene.glyphs.warn(),
        };
        let cells = [&rule.name, &rule.connector, &rule.state, &rule.selects, &rule.demands];
        grid.marked(mark, cells.map(String::clone));
    }
    if !grid.is_empty() {
        grid.write(&mut page, 0);
    }
    for rule in rules.iter().filter(|rule| matches!(rule.state.as_str(), "unmet" | "unknown")) {
        page.line(&format!("{} on {}: {}", rule.name, rule.connector, rule.detail));
    }
    page
}

fn mark(result: &str, scene: &Scene) -> Mark {
    match result {
        "ok" => scene.glyphs.good(),
        "quarantine" => scene.glyphs.bad(),
        _ => scene.glyphs.warn(),
    }
}

fn tested(results: &[v1::RuleResult], scene: &Scene) -> Page {
    let mut page = Page::new();
    let mut grid = Grid::new(&[">SYNC", "TAKEN", "OUTCOME", "RULE", ">FOUND", ">OF", "RESULT"]);
    for it in results {
        let cells = [
            it.sync.to_string(),
            scene.clock(it.taken_at),
            it.outcome.clone(),
            it.rule.clone(),
            units::count(it.found),
            units::count(it.of),
            it.result.clone(),
        ];
        grid.marked(mark(&it.result, scene), cells);
    }
    if !grid.is_empty() {
        grid.write(&mut page, 0);
    }
    for it in results.iter().filter(|it| it.result != "ok") {
        page.line(&format!("sync {}: {}", it.sync, it.message));
        for example in &it.examples {
            page.line(&format!("  {example}"));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    fn rule(state: &str) -> v1::OperatorRule {
        v1::OperatorRule {
            connector: "hr-csv".into(),
            name: "no-mass-admin".into(),
            on: "added.grant".into(),
            selects: "added grants where entitlement is \"*admin*\"".into(),
            demands: "at most 5, else quarantine".into(),
            message: "more than five new admins".into(),
            state: state.into(),
            detail: "grant.user has no attribute entitlment".into(),
        }
    }

    fn result(result: &str, found: u64) -> v1::RuleResult {
        v1::RuleResult {
            connector: "hr-csv".into(),
            sync: 418,
            against: 417,
            taken_at: sample::run(418, "committed").started_at,
            outcome: "committed".into(),
            rule: "no-mass-admin".into(),
            result: result.into(),
            found,
            of: 4_212,
            message: "rule no-mass-admin: 7 grants".into(),
            examples: vec!["user:u1 -> admin".into()],
        }
    }

    #[test]
    fn a_rule_that_cannot_be_evaluated_says_why() {
        insta::assert_snapshot!(listed(&[rule("applies"), rule("unmet")], &Scene::fixed()).plain(), @r#"
          RULE           CONNECTOR  STATE    COUNTS                                       ALLOWS
        ✓ no-mass-admin  hr-csv     applies  added grants where entitlement is "*admin*"  at most 5, else quarantine
        ✗ no-mass-admin  hr-csv     unmet    added grants where entitlement is "*admin*"  at most 5, else quarantine
        no-mass-admin on hr-csv: grant.user has no attribute entitlment
        "#);
    }

    #[test]
    fn a_test_shows_each_sync_and_explains_what_is_not_ok() {
        insta::assert_snapshot!(tested(&[result("ok", 3), result("quarantine", 7)], &Scene::fixed()).plain(), @r#"
          SYNC  TAKEN     OUTCOME    RULE           FOUND     OF  RESULT
        ✓  418  06:56:00  committed  no-mass-admin      3  4,212  ok
        ✗  418  06:56:00  committed  no-mass-admin      7  4,212  quarantine
        sync 418: rule no-mass-admin: 7 grants
          user:u1 -> admin
        "#);
    }

    #[test]
    fn rules_and_results_as_json_have_every_field() {
        insta::assert_snapshot!(sample::json(&rule("applies")), @r#"{"connector":"hr-csv","name":"no-mass-admin","on":"added.grant","selects":"added grants where entitlement is \"*admin*\"","demands":"at most 5, else quarantine","message":"more than five new admins","state":"applies","detail":"grant.user has no attribute entitlment"}"#);
        insta::assert_snapshot!(sample::json(&result("ok", 3)), @r#"{"connector":"hr-csv","sync":418,"against":417,"taken_at":"2026-03-02T06:56:00Z","outcome":"committed","rule":"no-mass-admin","result":"ok","found":3,"of":4212,"message":"rule no-mass-admin: 7 grants","examples":["user:u1 -> admin"]}"#);
    }
}
