//! What came of a run, for the terminal and for docs/vm-results.md.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::cuts::Cuts;
use super::image::SUITE;
use crate::run::say;

/// Cases and cuts, as far as they were run.
#[derive(Default)]
pub(super) struct Report {
    planned: usize,
    passed: Vec<String>,
    failed: Vec<String>,
    /// Kernel and service manager of the guest.
    guest: Option<String>,
    ended: bool,
    pub(super) suite_took: Option<Duration>,
    pub(super) cuts: Option<Cuts>,
}

impl Report {
    /// Takes a line of the guest's; `false` once it is the last.
    pub(super) fn hear(&mut self, line: &str) -> bool {
        let name = |rest: &str| {
            let rest = rest.split(" # ").next().unwrap_or(rest);
            rest.split_once(" - ").map_or(rest, |(_, name)| name).to_owned()
        };
        if let Some(count) = line.strip_prefix("1..") {
            self.planned = count.parse().unwrap_or(0);
        } else if let Some(rest) = line.strip_prefix("ok ") {
            self.passed.push(name(rest));
        } else if let Some(rest) = line.strip_prefix("not ok ") {
            self.failed.push(name(rest));
        } else if let Some(rest) = line.strip_prefix("END ") {
            self.guest = rest.split_once(' ').map(|(_, guest)| guest.to_owned());
            self.ended = true;
        }
        !self.ended
    }

    /// Whether everything that was to be run was run, and held.
    pub(super) fn is_good(&self) -> bool {
        let suite = self.suite_took.is_none()
            || (self.ended && self.failed.is_empty() && self.passed.len() == self.planned);
        suite && self.cuts.as_ref().is_none_or(|cuts| cuts.broken.is_empty())
    }

    /// The counts, last.
    pub(super) fn say(&self) {
        if let Some(cuts) = &self.cuts {
            say(&format!("power cuts: {}", counts(cuts)));
            cuts.broken.iter().for_each(|broken| say(&format!("  {broken}")));
        }
        if self.suite_took.is_some() {
            say(&format!(
                "{} passed, {} failed",
                self.passed.len(),
                self.planned - self.passed.len()
            ));
        }
    }

    /// Keeps what the last run says, of the part that was run.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let old = fs::read_to_string(path).unwrap_or_default();
        let part = |heading: &str| {
            let from = old.find(heading)?;
            let rest = &old[from..];
            let end =
                rest[heading.len()..].find("\n## ").map_or(rest.len(), |at| heading.len() + at);
            Some(rest[..end].trim_end().to_owned())
        };
        let suite = self.suite_text().or_else(|| part("## Cases")).unwrap_or_default();
        let cuts = self.cuts_text().or_else(|| part("## Power cuts")).unwrap_or_default();
        let text = format!(
            "# What the virtual machine last said\n\nWritten by `cargo xtask vm --record`; how to run \
             it stands in [service.md](service.md).\n\n{suite}\n\n{cuts}\n"
        );
        fs::write(path, text).with_context(|| format!("cannot write {path:?}"))
    }

    fn suite_text(&self) -> Option<String> {
        let took = self.suite_took?;
        let mut text = format!(
            "## Cases\n\n{}, Debian {SUITE} (Linux {}), emulated on two cores: {} of {} cases held, in {} s.\n\n",
            jiff::Zoned::now().date(),
            self.guest.as_deref().unwrap_or("unknown"),
            self.passed.len(),
            self.planned,
            took.as_secs()
        );
        for name in &self.passed {
            let _ = writeln!(text, "- `{name}`");
        }
        for name in &self.failed {
            let _ = writeln!(text, "- **failed**: `{name}`");
        }
        Some(text.trim_end().to_owned())
    }

    fn cuts_text(&self) -> Option<String> {
        let cuts = self.cuts.as_ref()?;
        let mut text =
            format!("## Power cuts\n\n{}: {}.\n", jiff::Zoned::now().date(), counts(cuts));
        for broken in &cuts.broken {
            let _ = writeln!(text, "- **broken**: {broken}");
        }
        Some(text.trim_end().to_owned())
    }
}

fn counts(cuts: &Cuts) -> String {
    let still = match cuts.still {
        0 => String::new(),
        still => format!(", {still} since the emulated kernel itself stood still"),
    };
    format!(
        "{} cuts (seed {}), {} of them before the guest had looked at what the last one left{still}; \
         {} boots checked every invariant, {} rounds, {} breaks, {} s",
        cuts.made,
        cuts.seed,
        cuts.during_recovery,
        cuts.checks,
        cuts.rounds,
        cuts.broken.len(),
        cuts.took.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(lines: &[&str]) -> Report {
        let mut report = Report { suite_took: Some(Duration::from_secs(1)), ..Report::default() };
        lines.iter().for_each(|line| {
            report.hear(line);
        });
        report
    }

    #[test]
    fn a_suite_is_good_only_when_every_planned_case_was_run_and_held() {
        let end = "END 0 6.1.0-x systemd 252";
        assert!(heard(&["1..2", "ok 1 - a # 1 s", "ok 2 - b", end]).is_good());
        assert!(!heard(&["1..2", "ok 1 - a", end]).is_good(), "one was not run");
        assert!(!heard(&["1..1", "ok 1 - a"]).is_good(), "it did not end");
        let failed = heard(&["1..2", "ok 1 - a", "not ok 2 - b # 2 s", "# why", end]);
        assert!(!failed.is_good());
        assert!(failed.suite_text().unwrap().contains("- **failed**: `b`"));
    }
}
