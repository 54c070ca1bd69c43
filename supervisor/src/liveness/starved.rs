//! Whether a sync that is late was held back by what is not its fault.
//!
//! Killing a connector because this host had no time for it makes the host busier: it starts again
//! and does the same work anew. So before it is ended, what the kernel measured over the time that
//! it is late with is looked at. Pure: numbers in, a word out.

use std::fmt;
use std::time::Duration;

use crate::schedule::in_words;

/// What was measured at one moment. Durations are sums since some beginning; only differences mean
/// something. None: this host does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Readings {
    /// Time that does not count sleep of the host.
    pub(super) at: Duration,
    /// Time that does.
    pub(super) with_sleep: Duration,
    /// How much later than asked for this was measured.
    pub(super) held_up_by: Duration,
    /// All such delays.
    pub(super) held_up: Duration,
    /// How long the connector's group was kept from a processor by its limit.
    pub(super) throttled: Option<Duration>,
    /// How long all of the connector's group waited for memory.
    pub(super) short_of_memory: Option<Duration>,
    /// How many tasks beyond its limit the connector's group asked for.
    pub(super) tasks_denied: Option<u64>,
    /// How long something on this host waited for a processor.
    pub(super) host_cpu: Option<Duration>,
    /// How long all of this host waited for memory.
    pub(super) host_memory: Option<Duration>,
    /// How long all of this host waited for its disks.
    pub(super) host_io: Option<Duration>,
    /// Runnable tasks for each processor, over the last minute.
    pub(super) load: Option<f64>,
}

/// What held it back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Starved {
    /// The host slept.
    Slept(Duration),
    /// The supervisor itself did not run.
    HeldUp(Duration),
    /// Its limit of processor time.
    Throttled(Duration),
    /// Its limit of memory.
    Memory(Duration),
    /// Others on this host used its processors.
    HostCpu(Duration),
    /// This host was out of memory.
    HostMemory(Duration),
    /// The disks of this host were slow.
    HostIo(Duration),
    /// So many tasks wanted each processor.
    Load(f64),
}

/// Sleep that counts; clocks differ by less.
const SLEEP_LEAST: Duration = Duration::from_secs(1);
/// Something waits for a processor now and then on every host that is used.
const HOST_CPU_SHARE: f64 = 0.75;
/// A share of the time in which all stood still.
const FULL_SHARE: f64 = 0.25;
/// Tasks for each processor that say the same where the kernel measures no pressure.
const LOAD_LEAST: f64 = 4.0;

/// Says what held a sync back between two moments; none when nothing did.
pub(super) fn judge(since: &Readings, now: &Readings) -> Option<Starved> {
    let span = now.at.saturating_sub(since.at);
    let share = |least: f64, before: Option<Duration>, after: Option<Duration>| {
        let waited = after?.saturating_sub(before?);
        (waited > Duration::ZERO && waited >= span.mul_f64(least)).then_some(waited)
    };
    let full = |before, after| share(FULL_SHARE, before, after);
    let slept = now.with_sleep.saturating_sub(since.with_sleep).saturating_sub(span);
    if slept >= SLEEP_LEAST {
        return Some(Starved::Slept(slept));
    }
    let host_cpu = || match (since.host_cpu, now.host_cpu) {
        (Some(before), Some(after)) => {
            share(HOST_CPU_SHARE, Some(before), Some(after)).map(Starved::HostCpu)
        }
        _ => now.load.filter(|load| *load >= LOAD_LEAST).map(Starved::Load),
    };
    full(Some(since.held_up), Some(now.held_up))
        .map(Starved::HeldUp)
        .or_else(|| full(since.throttled, now.throttled).map(Starved::Throttled))
        .or_else(|| full(since.short_of_memory, now.short_of_memory).map(Starved::Memory))
        .or_else(|| full(since.host_memory, now.host_memory).map(Starved::HostMemory))
        .or_else(|| full(since.host_io, now.host_io).map(Starved::HostIo))
        .or_else(host_cpu)
}

impl fmt::Display for Starved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |span: &Duration| in_words(Duration::from_millis(span.as_millis() as u64));
        match self {
            Self::Slept(span) => write!(f, "the host slept for {}", words(span)),
            Self::HeldUp(span) => write!(f, "the supervisor was held up for {}", words(span)),
            Self::Throttled(span) => {
                write!(f, "its processor limit held it back for {}", words(span))
            }
            Self::Memory(span) => write!(f, "its memory limit held it back for {}", words(span)),
            Self::HostCpu(span) => {
                write!(f, "the host's processors were wanted by others for {}", words(span))
            }
            Self::HostMemory(span) => {
                write!(f, "the host was out of memory for {}", words(span))
            }
            Self::HostIo(span) => write!(f, "the host waited {} for its disks", words(span)),
            Self::Load(load) => write!(f, "{load:.1} tasks wanted each processor of the host"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judges ten seconds in which `change` happened.
    fn check(change: impl FnOnce(&mut Readings)) -> String {
        let zero = Some(Duration::ZERO);
        let since = Readings {
            throttled: zero,
            short_of_memory: zero,
            host_cpu: zero,
            host_memory: zero,
            host_io: zero,
            ..Readings::default()
        };
        let mut now =
            Readings { at: Duration::from_secs(10), with_sleep: Duration::from_secs(10), ..since };
        change(&mut now);
        judge(&since, &now).map_or_else(|| "to blame".to_owned(), |why| why.to_string())
    }

    fn secs(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn a_host_that_had_time_for_it_is_no_excuse() {
        assert_eq!(check(|_| {}), "to blame");
        assert_eq!(check(|now| now.host_cpu = secs(7)), "to blame");
        assert_eq!(check(|now| now.throttled = secs(2)), "to blame");
        assert_eq!(check(|now| now.held_up = Duration::from_secs(2)), "to blame");
        assert_eq!(check(|now| now.load = Some(9.0)), "to blame", "pressure says more than load");
    }

    #[test]
    fn what_held_it_back_is_named() {
        assert_eq!(
            check(|now| now.with_sleep = Duration::from_secs(3_610)),
            "the host slept for 1h"
        );
        assert_eq!(
            check(|now| now.held_up = Duration::from_secs(3)),
            "the supervisor was held up for 3s"
        );
        assert_eq!(check(|now| now.throttled = secs(5)), "its processor limit held it back for 5s");
        assert_eq!(
            check(|now| now.short_of_memory = secs(5)),
            "its memory limit held it back for 5s"
        );
        assert_eq!(
            check(|now| now.host_cpu = secs(8)),
            "the host's processors were wanted by others for 8s"
        );
        assert_eq!(check(|now| now.host_memory = secs(3)), "the host was out of memory for 3s");
        assert_eq!(check(|now| now.host_io = secs(3)), "the host waited 3s for its disks");
    }

    #[test]
    fn where_the_kernel_measures_no_pressure_the_load_speaks() {
        let told = check(|now| {
            now.host_cpu = None;
            now.load = Some(6.5);
        });
        assert_eq!(told, "6.5 tasks wanted each processor of the host");
        let told = check(|now| {
            now.host_cpu = None;
            now.load = Some(2.0);
        });
        assert_eq!(told, "to blame");
    }

    #[test]
    fn a_host_that_tells_nothing_is_no_excuse() {
        let now = Readings { at: Duration::from_secs(10), ..Readings::default() };
        assert_eq!(judge(&Readings::default(), &now), None);
    }
}
