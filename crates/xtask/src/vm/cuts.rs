//! The host's side of the power cuts: waits, kills the machine, remembers what it had promised, and
//! boots it again with that in hand.
//!
//! A cut is real for the guest: what it had not written to its disk is gone. It is kinder than a
//! power failure in one thing: the emulated disk loses nothing that it had taken, and reorders
//! nothing.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::machine::{Boot, Machine};
use super::{Place, empty, image};
use crate::run::say;

/// Rounds that the guest is let accept before a cut, at most.
const ROUNDS_MAX: u32 = 3;
/// How soon after its last round, or after its disk was mounted, a cut comes.
const MOMENT_MAX_MS: u64 = 6_000;
/// A boot that says nothing for so long has failed, or its kernel stands still.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// One cut in so many comes while the guest still looks at what the last one left.
const DURING_RECOVERY: u32 = 5;

/// What came of the cuts.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    pub(super) made: u32,
    pub(super) during_recovery: u32,
    /// Cuts of a machine whose own kernel stood still.
    pub(super) still: u32,
    pub(super) rounds: u64,
    pub(super) checks: u32,
    pub(super) seed: u64,
    pub(super) took: Duration,
    pub(super) broken: Vec<String>,
}

/// What the guest said before the cut.
#[derive(Debug, Default, Clone)]
struct Promised {
    round: u64,
    sync: u64,
    digest: String,
    delivered: u64,
}

impl Promised {
    /// Takes a line of the guest's.
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
        match (words.first().copied(), number(1), number(2)) {
            (Some("ACCEPTED"), Some(round), Some(sync)) => {
                self.round = round;
                self.sync = sync;
                self.digest = words.get(3).copied().unwrap_or_default().to_owned();
            }
            (Some("DELIVERED"), Some(round), _) => self.delivered = self.delivered.max(round),
            _ => {}
        }
    }

    fn words(&self, last: bool) -> String {
        format!(
            "init=/usr/local/sbin/cordon-vm-cuts softlockup_panic=1 cordon.round={} cordon.sync={} \
             cordon.digest={} cordon.delivered={} cordon.last={}",
            self.round,
            self.sync,
            self.digest,
            self.delivered,
            u8::from(last)
        )
    }
}

pub(super) fn run(place: &Place, wanted: u32, seed: u64) -> anyhow::Result<Cuts> {
    let folder = place.folder.join("cuts");
    fs::create_dir_all(&folder)?;
    let (results, data) = (folder.join("results.tar"), folder.join("data.ext4"));
    empty(&results, "1M")?;
    image::make_disk(&data, "1G", None)?;
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut cuts = Cuts { seed, ..Cuts::default() };
    let mut promised = Promised::default();
    let begun = Instant::now();
    while cuts.broken.is_empty() {
        let last = cuts.made >= wanted;
        let words = promised.words(last);
        let boot = Boot {
            image: &place.image,
            folder: &folder,
            payload: &place.payload,
            results: &results,
            data: &data,
            words: &words,
        };
        let mut machine = boot.start()?;
        let followed = one_boot(&mut machine, &mut cuts, &mut promised, &mut dice, last);
        machine.cut();
        let still = followed.is_err() && machine.stands_still();
        if still {
            // The power is the only way out of it, and a cut like any other.
            cuts.still += 1;
        } else {
            followed.with_context(|| format!("boot {} of the power cuts", cuts.made + 1))?;
        }
        if last && !still {
            break;
        }
        cuts.made += 1;
        let told = format!("round {}, delivered {}", promised.round, promised.delivered);
        say(&format!("cut {} of {wanted}: {told}, {} s", cuts.made, begun.elapsed().as_secs()));
        remember(&folder, &promised)?;
    }
    cuts.rounds = promised.round;
    cuts.took = begun.elapsed();
    Ok(cuts)
}

/// Follows one boot until its moment has come.
fn one_boot(
    machine: &mut Machine,
    cuts: &mut Cuts,
    promised: &mut Promised,
    dice: &mut fastrand::Rng,
    last: bool,
) -> anyhow::Result<()> {
    let early = !last && cuts.made > 0 && dice.u32(0..DURING_RECOVERY) == 0;
    // Counted in what it did, not in time: an emulated machine beside other work is slow.
    let (mark, mut marks) =
        if early { ("MOUNTED", 1) } else { ("ACCEPTED", dice.u32(0..=ROUNDS_MAX)) };
    let wait = Duration::from_millis(dice.u64(0..MOMENT_MAX_MS));
    machine.follow(PATIENCE, |line| {
        hear(line, cuts, promised);
        let off = line.starts_with("END") || !cuts.broken.is_empty();
        let ready = early || line.starts_with("CHECKED") || line.starts_with("ACCEPTED");
        if ready && line.starts_with(mark) {
            marks = marks.saturating_sub(1);
        }
        !(off || (!last && ready && marks == 0))
    })?;
    if last || !cuts.broken.is_empty() {
        return Ok(());
    }
    let until = Instant::now() + wait;
    while Instant::now() < until {
        for line in machine.lines()? {
            hear(&line, cuts, promised);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    machine.cut();
    // What it said before its end counts.
    for line in machine.lines()? {
        hear(&line, cuts, promised);
    }
    cuts.during_recovery += u32::from(early);
    Ok(())
}

fn hear(line: &str, cuts: &mut Cuts, promised: &mut Promised) {
    promised.hear(line);
    if line.starts_with("CHECKED") {
        cuts.checks += 1;
    }
    if let Some(what) = line.strip_prefix("BROKEN ") {
        say(line);
        cuts.broken.push(what.to_owned());
    }
}

/// For whoever looks at a break: what the disk beside it had to hold.
fn remember(folder: &Path, promised: &Promised) -> anyhow::Result<()> {
    fs::write(folder.join("promised"), format!("{promised:#?}\n")).context("cannot note a promise")
}

#[cfg(test)]
mod tests {
    use super::Promised;

    #[test]
    fn a_promise_is_what_was_said_last_and_travels_on_the_command_line() {
        let mut promised = Promised::default();
        for line in ["MOUNTED", "ACCEPTED 3 7 ab12", "DELIVERED 3", "ACCEPTED 5 9 cd34", "ACC"] {
            promised.hear(line);
        }
        let words = promised.words(false);
        assert!(words.contains("cordon.round=5 cordon.sync=9 cordon.digest=cd34"), "{words}");
        assert!(words.ends_with("cordon.delivered=3 cordon.last=0"), "{words}");
    }
}
