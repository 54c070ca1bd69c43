//! `cordon explain`: what a finding means, in full, without asking the daemon.
//!
//! The text is that of docs/findings.md and docs/explain.md themselves, taken into the program as it
//! is built: there is no second copy that could say something else.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::args::ExplainArgs;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::json::{Item, View};
use crate::output::page::{Page, Tone};
use crate::output::table::Grid;

const TABLES: &str = include_str!("../../../../docs/findings.md");
const PAGES: &str = include_str!("../../../../docs/explain.md");

/// How a code begins.
const PREFIX: &str = "CRD-";
/// Codes that are near enough to one that does not exist.
const NEAR_MAX: usize = 3;
/// Columns of a page's text.
const WIDTH: usize = 96;

/// All that is known of one code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Explanation {
    code: String,
    meaning: String,
    effect: String,
    set_by: String,
    action: String,
    why: String,
    causes: String,
    steps: String,
    example: String,
}

impl Item for Explanation {
    const KIND: &'static str = "ExplanationList";

    fn name(&self) -> String {
        self.code.clone()
    }
}

impl Serialize for View<'_, Explanation> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let it = self.0;
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in [
            ("code", &it.code),
            ("meaning", &it.meaning),
            ("effect", &it.effect),
            ("set_by", &it.set_by),
            ("action", &it.action),
            ("why", &it.why),
            ("causes", &it.causes),
            ("steps", &it.steps),
            ("example", &it.example),
        ] {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Every code there is, with its meaning; for completion.
pub(crate) fn codes() -> Vec<(String, String)> {
    all().into_iter().map(|it| (it.code, it.meaning)).collect()
}

pub(super) fn run(args: &ExplainArgs, out: &mut Output) -> Result<Exit, Failure> {
    let all = all();
    let Some(asked) = &args.code else {
        out.list(&all, &(), |_| overview(&all))?;
        return Ok(Exit::Done);
    };
    let code = spelt_out(asked);
    let Some(found) = all.iter().find(|it| it.code == code) else {
        return Err(unknown(asked, &code, &all));
    };
    out.list(std::slice::from_ref(found), &(), |_| page(found))?;
    Ok(Exit::Done)
}

/// `d101` is `CRD-D101`.
fn spelt_out(asked: &str) -> String {
    let code = asked.trim().to_ascii_uppercase();
    if code.starts_with(PREFIX) { code } else { format!("{PREFIX}{code}") }
}

fn unknown(asked: &str, code: &str, all: &[Explanation]) -> Failure {
    let mut near: Vec<(usize, &str)> = all
        .iter()
        .map(|it| (strsim::damerau_levenshtein(code, &it.code), it.code.as_str()))
        .collect();
    near.sort_unstable();
    let near = near.iter().take_while(|(distance, _)| *distance <= 2).take(NEAR_MAX);
    let names: Vec<String> = near.map(|(_, code)| format!("`{code}`")).collect();
    let hint = match names.as_slice() {
        [] => "`cordon explain` lists all codes".to_owned(),
        names => format!("near it: {}; `cordon explain` lists all codes", names.join(", ")),
    };
    let asked: String = asked.chars().take(80).collect();
    Failure::NotFound { message: format!("no finding has the code `{asked}`"), hint }
}

/// Every code, in the order of the tables.
fn all() -> Vec<Explanation> {
    TABLES.lines().filter_map(row).collect()
}

/// A row of a table that speaks of a code, together with its page.
fn row(line: &str) -> Option<Explanation> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
    let [code, meaning, effect, set_by, action] = cells.as_slice() else { return None };
    let code = code.trim();
    if !code.starts_with(PREFIX) {
        return None;
    }
    let text = |cell: &str| cell.trim().to_owned();
    let section = section(code).unwrap_or_default();
    Some(Explanation {
        code: code.to_owned(),
        meaning: text(meaning),
        effect: text(effect),
        set_by: text(set_by),
        action: text(action),
        why: part(section, "Why it matters."),
        causes: part(section, "What usually causes it."),
        steps: part(section, "Steps."),
        example: example(section),
    })
}

fn section(code: &str) -> Option<&'static str> {
    PAGES.split("\n## ").find_map(|section| section.strip_prefix(code)?.strip_prefix('\n'))
}

/// A paragraph of a page by its title, on one line.
fn part(section: &str, title: &str) -> String {
    let mark = format!("**{title}**");
    let text = section.split_once(&mark).map(|(_, rest)| rest).unwrap_or_default();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn example(section: &str) -> String {
    let text = section.split_once("**Example.**").map(|(_, rest)| rest).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
    lines.collect::<Vec<_>>().join("\n")
}

fn overview(all: &[Explanation]) -> Page {
    let mut page = Page::new();
    let mut grid = Grid::new(&["CODE", "EFFECT", "MEANING"]);
    for it in all {
        grid.row([it.code.clone(), it.effect.clone(), it.meaning.clone()]);
    }
    grid.write(&mut page, 0);
    page
}

fn page(it: &Explanation) -> Page {
    let mut page = Page::new();
    page.styled(Tone::Strong, &it.code).push(&format!("  {}", it.meaning)).end();
    page.line(&format!("  effect  {}", it.effect));
    if !it.set_by.is_empty() {
        page.line(&format!("  set by  {}", it.set_by));
    }
    let what_to_do = format!("{} {}", it.action, it.steps);
    for (title, text) in [
        ("Why it matters", &it.why),
        ("What usually causes it", &it.causes),
        ("What to do", &what_to_do),
    ] {
        page.section(title);
        for line in wrapped(text, WIDTH) {
            page.line(&format!("  {line}"));
        }
    }
    page.section("Example");
    for line in it.example.lines() {
        page.line(&format!("  {line}"));
    }
    page
}

/// A text in lines of so many characters, as far as its words allow.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_with_every_part() {
        let all = all();
        assert!(all.len() >= 48, "{} codes were found", all.len());
        for it in &all {
            let parts = [&it.meaning, &it.effect, &it.action, &it.why, &it.causes, &it.steps];
            for part in parts.into_iter().chain([&it.example]) {
                assert!(part.trim().len() > 3, "{} lacks a part: {it:?}", it.code);
            }
            assert!(it.example.contains(&it.code), "{}: the example is of another", it.code);
        }
    }

    #[test]
    fn every_page_is_of_a_code() {
        let known = all();
        for title in PAGES.split("\n## ").skip(1).filter_map(|section| section.lines().next()) {
            assert!(known.iter().any(|it| it.code == title), "no table has {title}");
        }
    }

    #[test]
    fn a_page_tells_what_why_what_from_what_to_do_and_how_it_looks() {
        let all = all();
        let it = all.iter().find(|it| it.code == "CRD-D104").unwrap();
        insta::assert_snapshot!(page(it).plain(), @r"
        CRD-D104  Protected records would be removed.
          effect  quarantine
          set by  `protected`, `protected_where`

        Why it matters
          Protected records are those that you need when everything else fails: break-glass accounts, the
          service account of your backup. They never go unattended.

        What usually causes it
          A truncated read that hit them among others, or somebody who removed them.

        What to do
          Make sure that they may really go; protected records never go unattended. Ask whoever answers
          for these accounts, before anything else. What the source confirms does not answer this.

        Example
          quarantine CRD-D104: 1 protected record would be removed: user:breakglass-1
        ");
    }

    #[test]
    fn a_code_may_be_written_short_and_in_any_case() {
        for asked in ["CRD-D101", "crd-d101", "d101", " D101 "] {
            assert_eq!(spelt_out(asked), "CRD-D101");
        }
    }

    #[test]
    fn an_unknown_code_is_answered_with_near_ones() {
        let all = all();
        let told = |asked: &str| {
            let failure = unknown(asked, &spelt_out(asked), &all);
            assert_eq!(failure.exit(), Exit::NotFound);
            match failure {
                Failure::NotFound { hint, .. } => hint,
                other => panic!("{other}"),
            }
        };
        assert!(told("CRD-D110").contains("`CRD-D101`"), "{}", told("CRD-D110"));
        assert!(told("CRD-C20").contains("`CRD-C201`"), "{}", told("CRD-C20"));
        assert_eq!(told("no such thing"), "`cordon explain` lists all codes");
    }
}
