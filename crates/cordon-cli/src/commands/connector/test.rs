//! `cordon connector test`: holds a program to what every connector promises, and says what came of
//! each case, to people, as JSON and as JUnit.

mod junit;
mod values;

use std::time::Duration;

use cordon_sdk::testing::Patience;
use jiff::SignedDuration;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::settings::Settings;
use super::suite::{self, Outcome, RECORDS_MAX, Trial, Tried};
use crate::args::ConnectorTestArgs;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::json::{Item, View};
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;
use crate::units;

/// Columns of a case's name.
const NAME_WIDTH: usize = 38;

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }

    fn why(&self) -> &str {
        match self {
            Self::Passed => "",
            Self::Failed(why) | Self::Skipped(why) => why,
        }
    }
}

impl Item for Tried {
    const KIND: &'static str = "ConformanceCaseList";

    fn name(&self) -> String {
        self.name.to_owned()
    }
}

impl Serialize for View<'_, Tried> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Tried { name, promise, outcome, took_us } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", name)?;
        map.serialize_entry("promise", promise)?;
        map.serialize_entry("result", outcome.word())?;
        map.serialize_entry("why", outcome.why())?;
        map.serialize_entry("took_us", took_us)?;
        map.end()
    }
}

/// What was tried.
#[derive(Serialize)]
struct Whose {
    program: String,
    connector: String,
    version: String,
}

pub(super) async fn run(args: ConnectorTestArgs, out: &mut Output) -> Result<Exit, Failure> {
    let settings = Settings::read(&args.program)?;
    let names = chosen(&args)?;
    let config = values::resolved(settings.config())?;
    let patience = Patience {
        answer: std_duration(args.call_timeout),
        sync: std_duration(args.sync_timeout),
        records: RECORDS_MAX,
    };
    let program = settings.program.display().to_string();
    let mut trial = Trial::new(settings, config, patience).map_err(Failure::Start)?;
    let (connector, version) = trial.who().await;
    let whose = Whose { program, connector, version };
    if out.format.is_for_people() {
        out.page(head(&whose))?;
        out.flush()?;
    }
    out.open::<Tried, _>(&whose)?;
    let mut all = Vec::new();
    for name in names {
        let left_out = args.skip.iter().find(|(case, _)| case == name);
        let tried = match left_out {
            Some((_, why)) => Some(Tried {
                name,
                promise: "",
                outcome: Outcome::Skipped(format!("left out: {why}")),
                took_us: 0,
            }),
            None => trial.judge(name).await,
        };
        all.extend(tried);
        if let Some(tried) = all.last() {
            out.item(tried, |scene| line(tried, scene))?;
            out.flush()?;
        }
    }
    trial.clean_up();
    out.close()?;
    if out.format.is_for_people() {
        out.page(foot(&all))?;
        out.flush()?;
    }
    if let Some(path) = &args.junit {
        let report = junit::report(&whose.connector, &all);
        std::fs::write(path, report).map_err(|source| Failure::File {
            what: "write",
            path: path.clone(),
            source,
        })?;
    }
    Ok(exit(&all, args.exit_code))
}

fn std_duration(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or(Duration::MAX)
}

/// The cases that are run, and those that are left out, in their order.
fn chosen(args: &ConnectorTestArgs) -> Result<Vec<&'static str>, Failure> {
    let names = suite::names();
    let asked = args.only.iter().chain(args.skip.iter().map(|(case, _)| case));
    for case in asked {
        if !names.contains(&case.as_str()) {
            let near = |name: &&&str| (strsim::jaro_winkler(name, case) * 1_000.0) as u32;
            let near = names.iter().max_by_key(near).copied().unwrap_or_default();
            return Err(Failure::Usage {
                message: format!("there is no case `{case}`"),
                hint: format!("did you mean `{near}`? There are {}", names.join(", ")),
            });
        }
    }
    let is_chosen = |name: &str| args.only.is_empty() || args.only.iter().any(|it| it == name);
    Ok(names.into_iter().filter(|name| is_chosen(name)).collect())
}

fn exit(all: &[Tried], exit_code: bool) -> Exit {
    let any = |word: &str| all.iter().any(|tried| tried.outcome.word() == word);
    if any("failed") {
        Exit::Failed
    } else if exit_code && any("skipped") {
        Exit::Attention
    } else {
        Exit::Done
    }
}

fn head(whose: &Whose) -> Page {
    let mut page = Page::new();
    page.styled(Tone::Strong, &format!("{} {}", whose.connector, whose.version));
    page.line(&format!("  {}", whose.program));
    page
}

fn line(tried: &Tried, scene: &Scene) -> Page {
    let mark = match tried.outcome {
        Outcome::Passed => scene.glyphs.good(),
        Outcome::Failed(_) => scene.glyphs.bad(),
        Outcome::Skipped(_) => scene.glyphs.held(),
    };
    let mut page = Page::new();
    page.styled(mark.tone, &format!("{} {:7}", mark.glyph, tried.outcome.word()));
    page.push(&format!("  {:NAME_WIDTH$}", tried.name));
    match tried.outcome.why() {
        "" => page.styled(Tone::Dim, &units::took(tried.took_us.try_into().unwrap_or(i64::MAX))),
        why => page.push(why),
    };
    page.end();
    page
}

fn foot(all: &[Tried]) -> Page {
    let count = |word: &str| all.iter().filter(|tried| tried.outcome.word() == word).count() as u64;
    let (passed, failed, skipped) = (count("passed"), count("failed"), count("skipped"));
    let mut page = Page::new();
    page.line(&format!(
        "{passed} passed, {failed} failed, {skipped} could not be judged and are not passed"
    ));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(outcome: Outcome) -> Tried {
        let name = "no_grant_dangles";
        Tried { name, promise: "Both ends are there.", outcome, took_us: 12_000 }
    }

    #[test]
    fn what_was_skipped_is_not_passed_and_says_why() {
        let all = [tried(Outcome::Passed), tried(Outcome::Skipped("no grants".into()))];
        let text: String = all.iter().map(|it| line(it, &Scene::fixed()).plain()).collect();
        insta::assert_snapshot!(text + &foot(&all).plain(), @r"
        ✓ passed   no_grant_dangles                      12ms
        ‖ skipped  no_grant_dangles                      no grants
        1 passed, 0 failed, 1 could not be judged and are not passed
        ");
        assert_eq!(exit(&all, false), Exit::Done);
        assert_eq!(exit(&all, true), Exit::Attention);
    }

    #[test]
    fn a_failed_case_fails_the_command_whatever_else_passed() {
        let all = [tried(Outcome::Passed), tried(Outcome::Failed("u1 -> g1".into()))];
        assert_eq!((exit(&all, false), exit(&all, true)), (Exit::Failed, Exit::Failed));
    }

    #[test]
    fn a_case_that_does_not_exist_is_answered_with_the_near_one() {
        let args = |text: &str| {
            use clap::Parser;
            let line = ["cordon", "connector", "test", "p", "--only", text];
            match crate::args::Cli::try_parse_from(line).unwrap().command {
                Some(crate::args::Command::Connector(crate::args::ConnectorCommand::Test(
                    args,
                ))) => args,
                _ => panic!("another command"),
            }
        };
        assert_eq!(chosen(&args("no_grant_dangles")).unwrap(), ["no_grant_dangles"]);
        match chosen(&args("no_grant_dangle")).unwrap_err() {
            Failure::Usage { hint, .. } => assert!(hint.contains("`no_grant_dangles`"), "{hint}"),
            other => panic!("{other}"),
        }
    }
}
