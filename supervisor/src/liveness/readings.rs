//! Reads what the kernel measured of a connector's groups, of the host, and of our own delays.
//!
//! A file that is not there, or says something else than expected, is no reading: not every host
//! has pressure files, and not every connector a group. Nothing is judged here.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::starved::Readings;
use crate::clock;

/// Reads for one sync.
pub(super) struct Reader {
    groups: Vec<PathBuf>,
    begun: Instant,
    last: Instant,
    held_up: Duration,
    cores: f64,
}

impl Reader {
    /// A reader for a process in these groups.
    pub(super) fn new(groups: Vec<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let now = Instant::now();
        Self { groups, begun: now, last: now, held_up: Duration::ZERO, cores: cores as f64 }
    }

    /// Reads everything; `asked` is how long after the reading before this one was to be.
    pub(super) fn read(&mut self, asked: Duration) -> Readings {
        let now = Instant::now();
        let held_up_by = (now - self.last).saturating_sub(asked);
        self.last = now;
        self.held_up += held_up_by;
        Readings {
            at: now - self.begun,
            with_sleep: clock::since_boot(),
            held_up_by,
            held_up: self.held_up,
            throttled: self.of_group("cpu.stat", throttled),
            short_of_memory: self.of_group("memory.pressure", full),
            tasks_denied: self.of_group("pids.events", denied),
            host_cpu: of_file("/proc/pressure/cpu", some),
            host_memory: of_file("/proc/pressure/memory", full),
            host_io: of_file("/proc/pressure/io", full),
            load: of_file("/proc/loadavg", load).map(|load| load / self.cores),
        }
    }

    fn of_group<T>(&self, file: &str, parse: fn(&str) -> Option<T>) -> Option<T> {
        self.groups.iter().find_map(|group| parse(&fs::read_to_string(group.join(file)).ok()?))
    }
}

fn of_file<T>(path: &str, parse: fn(&str) -> Option<T>) -> Option<T> {
    parse(&fs::read_to_string(path).ok()?)
}

/// Version 2 counts microseconds, version 1 nanoseconds, under different names.
fn throttled(text: &str) -> Option<Duration> {
    let number = |name: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    number("throttled_usec ")
        .map(Duration::from_micros)
        .or_else(|| number("throttled_time ").map(Duration::from_nanos))
}

fn denied(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("max ")?.trim().parse().ok())
}

fn some(text: &str) -> Option<Duration> {
    pressure(text, "some ")
}

fn full(text: &str) -> Option<Duration> {
    pressure(text, "full ")
}

fn pressure(text: &str, kind: &str) -> Option<Duration> {
    let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
    let total = line.split_whitespace().find_map(|word| word.strip_prefix("total="))?;
    total.parse().ok().map(Duration::from_micros)
}

fn load(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_tell_how_long_a_limit_held_back() {
        let second = "usage_usec 9\nnr_periods 3\nnr_throttled 2\nthrottled_usec 1500000\n";
        assert_eq!(throttled(second), Some(Duration::from_millis(1_500)));
        let first = "nr_periods 22\nnr_throttled 21\nthrottled_time 1500000000\n";
        assert_eq!(throttled(first), Some(Duration::from_millis(1_500)));
        assert_eq!(throttled("usage_usec 9\n"), None);
    }

    #[test]
    fn refused_tasks_are_read_of_both_versions() {
        assert_eq!(denied("max 26\n"), Some(26));
        assert_eq!(denied("max\n"), None);
        assert_eq!(denied(""), None);
    }

    #[test]
    fn pressure_and_load_are_read_and_nonsense_is_not() {
        let text = "some avg10=2.98 avg60=2.88 avg300=2.36 total=127521925\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(some(text), Some(Duration::from_micros(127_521_925)));
        assert_eq!(full(text), Some(Duration::from_micros(7)));
        assert_eq!(full("some total=1"), None);
        assert_eq!(some("some total=x"), None);
        assert_eq!(load("2.75 1.60 0.70 3/400 12345"), Some(2.75));
        assert_eq!(load(""), None);
    }

    #[test]
    fn a_delay_of_our_own_is_added_up() {
        let mut reader = Reader::new(Vec::new());
        reader.last -= Duration::from_secs(5);
        let now = reader.read(Duration::from_secs(1));
        assert!(now.held_up_by >= Duration::from_secs(4), "{:?}", now.held_up_by);
        assert_eq!(now.held_up, now.held_up_by);
    }
}
