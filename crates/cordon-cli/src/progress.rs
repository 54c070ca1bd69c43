//! How a sync goes, told on stderr: a moving line on a terminal, else a line a phase and one every
//! half minute, so that a log neither floods nor looks dead.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use cordon_wire::v1;
use indicatif::{ProgressBar, ProgressStyle};

use crate::escape::clip;
use crate::output;
use crate::output::page::Page;
use crate::units;

/// Time between two lines of the same phase.
const LINE_INTERVAL: Duration = Duration::from_secs(30);
/// Characters of a connector's own word for what it does.
const PHASE_CHARS_MAX: usize = 40;

/// Tells how a sync goes.
pub(crate) enum Progress {
    /// Not at all: the result is for a machine, or quiet was asked for.
    Silent,
    /// A moving line.
    Bar(ProgressBar),
    /// A line now and then.
    Lines(Lines),
}

impl Progress {
    /// Fit for where stderr goes.
    pub(crate) fn new(is_talkative: bool) -> Self {
        if !is_talkative {
            return Self::Silent;
        }
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::no_length();
            bar.enable_steady_tick(Duration::from_millis(120));
            return Self::Bar(bar);
        }
        Self::Lines(Lines::default())
    }

    /// Takes in how far the sync is.
    pub(crate) fn observe(&mut self, connector: &str, progress: &v1::SyncProgress) {
        match self {
            Self::Silent => {}
            Self::Bar(bar) => move_bar(bar, connector, progress),
            Self::Lines(lines) => {
                if let Some(line) = lines.observe(connector, progress, Instant::now()) {
                    let mut page = Page::new();
                    page.line(&line);
                    output::say(page);
                }
            }
        }
    }

    /// Clears the moving line, if there is one.
    pub(crate) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// A bar where the end is known, a counter where it is not: no bar pretends.
fn move_bar(bar: &ProgressBar, connector: &str, progress: &v1::SyncProgress) {
    let template = if progress.total > 0 {
        "{spinner} {prefix} {bar:24} {percent}% {msg}"
    } else {
        "{spinner} {prefix} {msg}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_length(progress.total);
    bar.set_position(progress.done.min(progress.total));
    bar.set_prefix(clip(connector, PHASE_CHARS_MAX));
    bar.set_message(describe(progress));
}

fn describe(progress: &v1::SyncProgress) -> String {
    let phase = clip(&progress.phase, PHASE_CHARS_MAX);
    let records = units::plural(progress.records, "record", "records");
    if progress.total == 0 {
        return format!("{phase}: {records}");
    }
    let (done, total) = (units::count(progress.done), units::count(progress.total));
    format!("{phase}: {done} of {total}, {records}")
}

/// Which lines are due.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    phase: String,
    told: Option<Instant>,
}

impl Lines {
    fn observe(
        &mut self,
        connector: &str,
        progress: &v1::SyncProgress,
        now: Instant,
    ) -> Option<String> {
        // A connector that invents a phase a record must not flood the log.
        let is_new = self.phase != progress.phase;
        let since = self.told.map(|told| now.saturating_duration_since(told));
        let is_due = match since {
            None => true,
            Some(since) => {
                since >= LINE_INTERVAL || (is_new && since >= Duration::from_millis(200))
            }
        };
        if !is_due {
            return None;
        }
        self.phase = clip(&progress.phase, PHASE_CHARS_MAX);
        self.told = Some(now);
        Some(format!("{connector} sync {}: {}", progress.sync, describe(progress)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(phase: &str, records: u64, done: u64, total: u64) -> v1::SyncProgress {
        v1::SyncProgress { sync: 418, phase: phase.into(), records, done, total }
    }

    #[test]
    fn a_log_gets_a_line_a_phase_and_one_every_half_minute() {
        let mut lines = Lines::default();
        let start = Instant::now();
        let mut told = Vec::new();
        for (second, phase) in [
            (0, "starting"),
            (1, "reading"),
            (2, "reading"),
            (30, "reading"),
            (31, "reading"),
            (62, "reading"),
            (63, "judging"),
        ] {
            let now = start + Duration::from_secs(second);
            told.extend(
                lines.observe("hr", &at(phase, second * 100, second, 100), now).map(|_| second),
            );
        }
        assert_eq!(told, [0, 1, 31, 62, 63]);
    }

    #[test]
    fn a_connector_that_invents_a_phase_a_record_does_not_flood() {
        let mut lines = Lines::default();
        let start = Instant::now();
        let told = (0..10_000)
            .filter(|n| {
                let now = start + Duration::from_micros(*n);
                lines.observe("hr", &at(&format!("phase {n}"), *n, 0, 0), now).is_some()
            })
            .count();
        assert_eq!(told, 1);
    }

    #[test]
    fn without_a_total_there_is_a_counter_and_no_share() {
        assert_eq!(describe(&at("reading", 12_345, 9, 0)), "reading: 12,345 records");
        assert_eq!(describe(&at("reading", 1, 9, 19)), "reading: 9 of 19, 1 record");
    }

    #[test]
    fn a_phase_is_escaped_and_cut() {
        let text = describe(&at(&format!("\u{1b}[2J{}", "x".repeat(500)), 0, 0, 0));
        assert!(text.starts_with("\\u{1b}[2Jxx") && text.len() < 80, "{text}");
    }
}
