//! The tour: six things that Cordon does, each observed from outside or the tour fails.
//!
//! Observed means: read from the JSON of the `cordon` command and from the sink's file, as any user
//! would. What is expected comes from the made-up company, which knows who joined and who left.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::Place;
use super::company::{Company, Day};
use crate::cordon::{Cli, Daemon};
use crate::run::{count, say};

/// How long a change may take from its commit to the sink's file.
const DELIVERY_MAX: Duration = Duration::from_secs(20);

pub(super) fn run(place: &Place) -> anyhow::Result<()> {
    let company = Company::new();
    company.write_export(&place.export())?;
    let cli = place.cli();
    let log = place.folder.join("cordond.log");
    let daemon = Daemon::start(&place.program("cordond"), &place.config, &log, &cli)?;
    say(&format!("cordond runs in {} (pid {})", place.folder.display(), daemon.pid()));
    place.say_what_is_left_out();
    let mut tour = Tour { export: place.export(), changes: place.changes(), cli, company };
    let toured = tour.walk();
    let stopped = daemon.stop();
    if toured.is_err() || stopped.is_err() {
        say(&format!("the log of cordond is {}", log.display()));
    }
    toured.and(stopped)?;
    say("✓ cordond stopped as it was told, with exit code 0");
    Ok(())
}

struct Tour {
    cli: Cli,
    company: Company,
    export: PathBuf,
    changes: PathBuf,
}

/// What must not move while another connector is in quarantine.
#[derive(Debug, PartialEq, Eq)]
struct Footing {
    pid: u64,
    restarts: u64,
    last_good_sync: u64,
    trust: String,
}

/// Changes of users of one connector in the sink's file, by what happened.
#[derive(Debug, Default, PartialEq, Eq)]
struct Delivered {
    added: BTreeSet<String>,
    removed: BTreeSet<String>,
    modified: BTreeSet<String>,
}

impl Tour {
    fn walk(&mut self) -> anyhow::Result<()> {
        step(1, "first syncs are accepted", self.first_syncs())?;
        let day = self.company.pass_a_day();
        step(2, "a normal day flows to the sink", self.normal_day(&day))?;
        let linux = self.footing("linux")?;
        let delivered = self.lines()?.len();
        let day = self.company.pass_a_day();
        let served = self.footing("hr")?.last_good_sync;
        step(3, "an export cut at 60 % is quarantined", self.cut_export(served))?;
        step(4, "the sink got nothing of it", self.nothing_delivered(delivered))?;
        step(5, "the other connector is untouched", self.other_untouched(&linux, delivered))?;
        step(6, "the repaired export recovers by itself", self.repaired(&day, delivered))
    }

    fn first_syncs(&self) -> anyhow::Result<String> {
        let mut shown = Vec::new();
        for name in ["hr", "linux"] {
            let run = self.sync(name)?;
            expect_text(&run, "outcome", "committed")?;
            let status = self.status(name)?;
            expect_text(&status, "trust", "trusted")?;
            let records = usize::try_from(number(&status, "records")?)?;
            shown.push(format!("{name} {} records", count(records)));
        }
        let expected = self.company.keys();
        self.wait_for_delivery(0, &Delivered { added: expected, ..Delivered::default() })?;
        let records = self.status("linux")?["records"].as_u64();
        eventually(|| {
            let lines = self.lines()?;
            let linux = lines.iter().filter(|line| line["connector"] == "linux").count();
            ensure!(Some(linux as u64) == records, "the sink has {linux} lines of linux");
            Ok(())
        })?;
        let lines = count(self.lines()?.len());
        Ok(format!("{}; {lines} changes in the sink", shown.join(", ")))
    }

    fn normal_day(&self, day: &Day) -> anyhow::Result<String> {
        let before = self.lines()?.len();
        self.company.write_export(&self.export)?;
        expect_text(&self.sync("hr")?, "outcome", "committed")?;
        self.wait_for_delivery(before, &Delivered::of(day))?;
        Ok(format!(
            "{} joined, {} left, {} were promoted: these lines and no others",
            day.joined.len(),
            day.left.len(),
            day.promoted.len()
        ))
    }

    fn cut_export(&self, served: u64) -> anyhow::Result<String> {
        let rows = self.company.len() * 6 / 10;
        self.company.write_cut_export(&self.export, rows)?;
        let run = self.sync("hr")?;
        expect_text(&run, "outcome", "quarantined")?;
        let status = self.status("hr")?;
        expect_text(&status, "trust", "quarantined")?;
        let still = number(&status, "last_good_sync")?;
        ensure!(still == served, "sync {still} is served, not {served}");

        let waiting = self.cli.item(&["quarantine", "hr"])?;
        let reasons = reasons(&waiting);
        ensure!(!reasons.is_empty(), "no finding says why: {waiting}");

        let removed = self.cli.items(&["diff", "hr", "--only", "removed"])?;
        let found: BTreeSet<String> =
            removed.iter().filter_map(|change| change["key"].as_str()).map(str::to_owned).collect();
        let exported = self.company.first_keys(rows);
        let missing: BTreeSet<String> =
            self.delivered(0)?.present().difference(&exported).cloned().collect();
        expect_keys("removed by the diff", &found, &missing)?;
        let missing = count(missing.len());
        Ok(format!("{}; the diff names exactly the {missing} missing", reasons.join("; ")))
    }

    fn nothing_delivered(&self, delivered: usize) -> anyhow::Result<String> {
        let now = self.lines()?.len();
        ensure!(now == delivered, "the sink has {now} lines, {delivered} before the cut");
        Ok(format!("{} lines, as before", count(now)))
    }

    fn other_untouched(&self, before: &Footing, delivered: usize) -> anyhow::Result<String> {
        let now = self.footing("linux")?;
        ensure!(now.pid != 0 && now == *before, "linux was {before:?} and is {now:?}");
        let run = self.sync("linux")?;
        expect_text(&run, "outcome", "committed")?;
        let after = self.footing("linux")?;
        ensure!(after.trust == "trusted", "linux is {}", after.trust);
        ensure!(
            after.last_good_sync > before.last_good_sync && after.restarts == before.restarts,
            "linux was {before:?} and is {after:?}"
        );
        // The sink has seen a later sync by now, and still nothing of the quarantined one.
        let hr =
            self.lines()?.iter().skip(delivered).filter(|line| line["connector"] == "hr").count();
        ensure!(hr == 0, "the sink got {hr} lines of hr");
        Ok(format!(
            "linux kept pid {} and snapshot {}, and its next sync {} was accepted",
            before.pid, before.last_good_sync, after.last_good_sync
        ))
    }

    fn repaired(&self, day: &Day, delivered: usize) -> anyhow::Result<String> {
        self.company.write_export(&self.export)?;
        let run = self.sync("hr")?;
        expect_text(&run, "outcome", "committed")?;
        expect_text(&self.status("hr")?, "trust", "trusted")?;
        let waiting = self.cli.items(&["quarantine", "hr"])?;
        ensure!(waiting.is_empty(), "{} syncs still wait", waiting.len());
        self.wait_for_delivery(delivered, &Delivered::of(day))?;
        Ok(format!("sync {} committed; only that day's own changes arrived", number(&run, "sync")?))
    }

    /// Syncs and waits. A failed sync is an error of the tour, a quarantined one is not.
    fn sync(&self, name: &str) -> anyhow::Result<Value> {
        self.cli.item(&["sync", name, "--wait"])
    }

    fn status(&self, name: &str) -> anyhow::Result<Value> {
        self.cli.item(&["status", name])
    }

    fn footing(&self, name: &str) -> anyhow::Result<Footing> {
        let status = self.status(name)?;
        Ok(Footing {
            pid: number(&status, "pid")?,
            restarts: number(&status, "restarts")?,
            last_good_sync: number(&status, "last_good_sync")?,
            trust: status["trust"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// The sink's lines; a last one that is still being written is not yet one.
    fn lines(&self) -> anyhow::Result<Vec<Value>> {
        let text = fs::read_to_string(&self.changes)
            .with_context(|| format!("cannot read {:?}", self.changes))?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).context("a line is no JSON")).collect()
    }

    /// What the sink got of hr's users after the first `skip` lines.
    fn delivered(&self, skip: usize) -> anyhow::Result<Delivered> {
        let mut delivered = Delivered::default();
        for line in self.lines()?.into_iter().skip(skip) {
            if line["connector"] == "hr" && line["type"] == "user" {
                delivered.take(&line)?;
            }
        }
        Ok(delivered)
    }

    fn wait_for_delivery(&self, skip: usize, expected: &Delivered) -> anyhow::Result<()> {
        eventually(|| {
            let delivered = self.delivered(skip)?;
            expect_keys("added in the sink", &delivered.added, &expected.added)?;
            expect_keys("removed in the sink", &delivered.removed, &expected.removed)?;
            expect_keys("modified in the sink", &delivered.modified, &expected.modified)
        })
    }
}

impl Delivered {
    fn of(day: &Day) -> Self {
        Self {
            added: day.joined.clone(),
            removed: day.left.clone(),
            modified: day.promoted.clone(),
        }
    }

    fn take(&mut self, line: &Value) -> anyhow::Result<()> {
        let key = line["key"].as_str().context("a line without a key")?.to_owned();
        match line["op"].as_str() {
            Some("added") => self.added.insert(key),
            Some("removed") => self.removed.insert(key),
            Some("modified") => self.modified.insert(key),
            other => bail!("a line with op {other:?}"),
        };
        Ok(())
    }

    /// Who is there after all of it.
    fn present(self) -> BTreeSet<String> {
        self.added.difference(&self.removed).cloned().collect()
    }
}

fn step(number: u32, name: &str, observed: anyhow::Result<String>) -> anyhow::Result<()> {
    match observed {
        Ok(evidence) => {
            say(&format!("✓ {number} {name}: {evidence}"));
            Ok(())
        }
        Err(error) => {
            say(&format!("✗ {number} {name}"));
            Err(error.context(format!("step {number} was not observed")))
        }
    }
}

/// Tries until a check passes; fails with its last word.
fn eventually(check: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        match check() {
            Err(_) if begun.elapsed() < DELIVERY_MAX => {
                std::thread::sleep(Duration::from_millis(100));
            }
            done => return done,
        }
    }
}

fn number(item: &Value, field: &str) -> anyhow::Result<u64> {
    item[field].as_u64().with_context(|| format!("no number `{field}` in {item}"))
}

fn expect_text(item: &Value, field: &str, expected: &str) -> anyhow::Result<()> {
    ensure!(item[field] == expected, "`{field}` is {}, not {expected}, in {item}", item[field]);
    Ok(())
}

/// Why a sync waits, in the words of its findings.
fn reasons(waiting: &Value) -> Vec<String> {
    let findings = waiting["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap_or("?").to_owned();
    findings
        .iter()
        .filter(|finding| finding["severity"] == "quarantine")
        .map(|finding| format!("{} {}", text(finding, "code"), text(finding, "message")))
        .collect()
}

fn expect_keys(
    what: &str,
    found: &BTreeSet<String>,
    expected: &BTreeSet<String>,
) -> anyhow::Result<()> {
    let examples = |keys: &BTreeSet<String>, others: &BTreeSet<String>| {
        keys.difference(others).take(3).cloned().collect::<Vec<_>>().join(", ")
    };
    ensure!(
        found == expected,
        "{} {what}, expected {}; too many: [{}], missing: [{}]",
        found.len(),
        expected.len(),
        examples(found, expected),
        examples(expected, found)
    );
    Ok(())
}
