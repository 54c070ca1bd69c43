//! The result of a bench: for people a table, for machines JSON.

use serde::Serialize;

use super::size::Size;

/// One line of the result.
#[derive(Serialize)]
pub(super) struct Line {
    /// `commit`, `second`, `diff`, `judge` or `spawn`.
    pub(super) work: &'static str,
    /// Grants in the source.
    pub(super) size: u64,
    pub(super) seconds: f64,
    /// None for work that is not done record by record.
    pub(super) records_per_second: Option<f64>,
    pub(super) supervisor_peak_bytes: u64,
    pub(super) connector_peak_bytes: u64,
}

/// What one size came to.
pub(super) struct Measured {
    pub(super) size: Size,
    pub(super) lines: Vec<Line>,
    /// Seconds that the generator needs to make and pack the same records, sent nowhere.
    pub(super) generator_seconds: f64,
    /// Seconds of the commit that this is a share of.
    pub(super) commit_seconds: f64,
}

#[derive(Default)]
pub(super) struct Report {
    measured: Vec<Measured>,
}

impl Report {
    pub(super) fn add(&mut self, measured: Measured) {
        self.measured.push(measured);
    }

    pub(super) fn json(&self) -> String {
        let lines: Vec<&Line> = self.measured.iter().flat_map(|one| &one.lines).collect();
        let generator: Vec<_> = self
            .measured
            .iter()
            .map(|one| serde_json::json!({ "size": one.size.0, "seconds": one.generator_seconds }))
            .collect();
        serde_json::json!({ "results": lines, "generator_alone": generator }).to_string()
    }

    pub(super) fn table(&self) -> String {
        let mut text = format!(
            "{:<8}{:>8}{:>12}{:>14}{:>18}{:>17}\n",
            "WORK", "SIZE", "SECONDS", "RECORDS/S", "SUPERVISOR PEAK", "CONNECTOR PEAK"
        );
        for one in &self.measured {
            for line in &one.lines {
                let rate = line.records_per_second.map_or("-".into(), |rate| format!("{rate:.0}"));
                text.push_str(&format!(
                    "{:<8}{:>8}{:>12.4}{:>14}{:>18}{:>17}\n",
                    line.work,
                    one.size,
                    line.seconds,
                    rate,
                    mebibytes(line.supervisor_peak_bytes),
                    mebibytes(line.connector_peak_bytes),
                ));
            }
        }
        for one in &self.measured {
            let share = 100.0 * one.generator_seconds / one.commit_seconds;
            text.push_str(&format!(
                "\n{} grants: the generator alone takes {:.2} s, {share:.0} % of the commit's time",
                one.size, one.generator_seconds
            ));
        }
        text
    }
}

fn mebibytes(bytes: u64) -> String {
    if bytes == 0 { "-".to_owned() } else { format!("{} MiB", bytes >> 20) }
}
