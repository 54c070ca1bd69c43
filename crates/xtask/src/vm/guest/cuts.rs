//! The guest of the power cuts: commits without end, says on the serial line what was promised, and
//! checks at the next boot what the cut left of it.
//!
//! The state lies on a disk that survives; the host kills the machine at a random moment. The source
//! is a pure function of a round's number, and that number is in it, so that from what the sink holds
//! one can tell which round it should be and what exactly it should say. Every fifth round is a
//! source that was cut short: it waits in quarantine, and a word of it at the sink is a break.
//!
//! Runs as the child of the guest's first process, without systemd: a boot costs seconds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::shell::{cordon, put, sh, status, sync, until};
use super::world::{PAYLOAD, believed};
use crate::run::say;

const DATA: &str = "/data";
const CHANGES: &str = "/data/changes.ndjson";
const CONFIG: &str = "/run/cordon.toml";
const SOURCE: &str = "/run/source.csv";

/// Workers that are always there; some more come and go.
const WORKERS: u64 = 400;

/// What stands in every row of a source that was cut short.
const POISON: &str = "never-accepted";

/// What was promised before the cut, as the host read it from the serial line.
#[derive(Debug, Default)]
struct Promised {
    /// The last accepted round, and its sync and digest.
    round: u64,
    sync: u64,
    digest: String,
    /// The last round that the sink had acknowledged.
    delivered: u64,
    /// Whether to end after the check.
    last: bool,
}

pub(super) fn run() -> anyhow::Result<()> {
    let checked = prepare().and_then(|()| check());
    match checked {
        Ok(None) => Ok(()),
        Ok(Some(round)) => commit_without_end(round),
        Err(error) => {
            say(&format!("BROKEN {}", format!("{error:#}").replace('\n', " | ")));
            Err(error)
        }
    }
}

fn prepare() -> anyhow::Result<()> {
    sh(&format!("mkdir -p {DATA} && mount -t ext4 /dev/nvme3n1 {DATA}"))?;
    say("MOUNTED");
    sh(&format!("dpkg -x {PAYLOAD}/cordon.deb /"))?;
    // Forty workers get one new title in every round, which is unusual, and meant here.
    put(
        CONFIG,
        &format!(
            "version = 1\n[daemon]\nprofile = \"dev\"\ndata_dir = \"{DATA}/state\"\n[store.keep]\nlast = 5\n\
             [connector.hr]\nuse = \"csv\"\nisolation = {{ user = \"same\" }}\nidle_timeout = \"2h\"\n\
             limits = {{ start_timeout = \"10m\", call_timeout = \"10m\" }}\n\
             [connector.hr.config]\npath = \"{SOURCE}\"\nkey = \"key\"\n\
             [connector.hr.guard]\nremoved_24h_percent = 10000\nshape = \"off\"\n\
             [sink.changes]\ntype = \"file\"\npath = \"{CHANGES}\"\n"
        ),
    )
}

/// Holds what is there against what was promised; gives the round to go on from.
fn check() -> anyhow::Result<Option<u64>> {
    let promised = Promised::read(&fs::read_to_string("/proc/cmdline")?);
    let before = fs::read_to_string(CHANGES).unwrap_or_default();
    let at_sink = round_of(&believed(&before, "hr")?)?.unwrap_or(0);
    ensure!(
        at_sink >= promised.delivered,
        "round {} was delivered, the file holds round {at_sink}",
        promised.delivered
    );
    start_cordond()?;
    if promised.sync > 0 {
        let last_good = status("hr")?["last_good_sync"].as_u64().unwrap_or_default();
        ensure!(
            last_good >= promised.sync,
            "sync {} was accepted, the last known good is {last_good}",
            promised.sync
        );
        digest_is(promised.sync, &promised.digest)?;
    }
    for name in ["evidence", "snapshots"] {
        let document = cordon("doctor")?;
        let items = document["items"].as_array().cloned().unwrap_or_default();
        let item = items.iter().find(|item| item["name"] == name).context("no such item")?;
        ensure!(item["state"] == "ok", "doctor says {item}");
    }
    until("everything is delivered", || Ok(behind()? == 0))?;
    let text = fs::read_to_string(CHANGES).unwrap_or_default();
    ensure!(!text.contains(POISON), "the sink has rows that nobody accepted");
    let records = believed(&text, "hr")?;
    let round = round_of(&records)?.unwrap_or(0);
    ensure!(round >= promised.round, "round {} was accepted, now it is {round}", promised.round);
    is_whole(&records, round)?;
    say(&format!("CHECKED {round} rows {}", records.len()));
    Ok((!promised.last).then_some(round))
}

/// The sink holds that round, all of it and nothing else.
fn is_whole(records: &BTreeMap<String, Value>, round: u64) -> anyhow::Result<()> {
    if round == 0 {
        ensure!(records.is_empty(), "rows before the first round: {}", records.len());
        return Ok(());
    }
    let title = |record: &Value| record["title"].as_str().unwrap_or_default().to_owned();
    let found: BTreeMap<String, String> =
        records.iter().map(|(key, record)| (key.clone(), title(record))).collect();
    let expected: BTreeMap<String, String> =
        rows(round).into_iter().map(|(key, title)| (format!("user:{key}"), title)).collect();
    if found != expected {
        let odd = found.iter().find(|(key, title)| expected.get(*key) != Some(title));
        let missing = expected.keys().find(|key| !found.contains_key(*key));
        bail!("round {round} is not whole at the sink: odd {odd:?}, missing {missing:?}");
    }
    Ok(())
}

fn commit_without_end(mut round: u64) -> anyhow::Result<()> {
    loop {
        round += 1;
        let held = round % 5 == 4;
        put(SOURCE, &source(round, held))?;
        let run = sync("hr")?;
        let (sync, outcome) = (run["sync"].as_u64().unwrap_or_default(), &run["outcome"]);
        let expected = if held { "quarantined" } else { "committed" };
        if outcome != expected {
            say(&format!("BROKEN round {round} is {outcome}, not {expected}: {run}"));
            bail!("a wrong verdict");
        }
        if !held {
            let digest = run["digest"].as_str().unwrap_or_default();
            say(&format!("ACCEPTED {round} {sync} {digest}"));
        }
        if behind()? == 0 {
            say(&format!("DELIVERED {}", if held { round - 1 } else { round }));
        }
    }
}

/// The rows of a round: each round changes a tenth of the workers, brings one and loses one.
fn rows(round: u64) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::from([("round".to_owned(), format!("r{round}"))]);
    for worker in 0..WORKERS {
        let changed = round.saturating_sub((round + 10 - worker % 10) % 10);
        rows.insert(format!("w{worker}"), format!("t{changed}"));
    }
    for guest in round.saturating_sub(4)..=round {
        rows.insert(format!("g{guest}"), "guest".to_owned());
    }
    rows
}

fn source(round: u64, cut_short: bool) -> String {
    let rows = rows(round);
    let kept = if cut_short { rows.len() / 2 } else { rows.len() };
    let mut text = "key,title\n".to_owned();
    for (key, title) in rows.iter().take(kept) {
        let title = if cut_short { POISON } else { title };
        let _ = writeln!(text, "{key},{title}");
    }
    text
}

/// The round that a consumer would name.
fn round_of(records: &BTreeMap<String, Value>) -> anyhow::Result<Option<u64>> {
    let Some(record) = records.get("user:round") else { return Ok(None) };
    let title = record["title"].as_str().unwrap_or_default();
    Ok(Some(title.trim_start_matches('r').parse().context("the round is no number")?))
}

fn behind() -> anyhow::Result<u64> {
    let document = cordon("status")?;
    document["sinks"][0]["behind"].as_u64().context("no sink")
}

/// The run still says what the serial line said of it.
fn digest_is(sync: u64, digest: &str) -> anyhow::Result<()> {
    let document = cordon("runs hr -n 50")?;
    let runs = document["items"].as_array().cloned().unwrap_or_default();
    let run = runs.iter().find(|run| run["sync"] == sync).context("the accepted run is gone")?;
    ensure!(run["digest"] == digest, "sync {sync} had digest {digest}, now {}", run["digest"]);
    ensure!(run["outcome"] == "committed", "sync {sync} is {}", run["outcome"]);
    Ok(())
}

fn start_cordond() -> anyhow::Result<()> {
    let log = fs::File::create("/run/cordond.log")?;
    let mut child = Command::new("/usr/bin/cordond")
        .args(["--config", CONFIG])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start cordond")?;
    until("cordond answers", || answers(&mut child))
}

fn answers(child: &mut Child) -> anyhow::Result<bool> {
    if let Some(status) = child.try_wait()? {
        let log = fs::read_to_string("/run/cordond.log").unwrap_or_default();
        // The wait would only go on for a service that refused what the cut left.
        say(&format!("BROKEN cordond ended with {status}: {}", log.replace('\n', " | ")));
        bail!("cordond does not start");
    }
    Ok(cordon("status").is_ok())
}

impl Promised {
    /// From the kernel's command line.
    fn read(line: &str) -> Self {
        let mut promised = Self::default();
        for word in line.split_whitespace() {
            match word.strip_prefix("cordon.").and_then(|word| word.split_once('=')) {
                Some(("round", value)) => promised.round = value.parse().unwrap_or(0),
                Some(("sync", value)) => promised.sync = value.parse().unwrap_or(0),
                Some(("digest", value)) => promised.digest = value.to_owned(),
                Some(("delivered", value)) => promised.delivered = value.parse().unwrap_or(0),
                Some(("last", value)) => promised.last = value == "1",
                _ => {}
            }
        }
        promised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_changes_some_rows_and_is_found_whole_only_when_it_is() {
        let at_sink = |round: u64| -> BTreeMap<String, Value> {
            let rows = rows(round).into_iter();
            rows.map(|(key, title)| (format!("user:{key}"), serde_json::json!({ "title": title })))
                .collect()
        };
        for round in [1, 7, 10, 23] {
            assert_eq!(round_of(&at_sink(round)).unwrap(), Some(round));
            is_whole(&at_sink(round), round).unwrap();
            assert!(is_whole(&at_sink(round + 1), round).is_err());
            let mut less = at_sink(round);
            less.remove("user:w5");
            assert!(is_whole(&less, round).is_err());
            let mut more = at_sink(round);
            more.insert("user:x".into(), Value::Null);
            assert!(is_whole(&more, round).is_err());
        }
        let (before, now) = (rows(22), rows(23));
        let changed = now.iter().filter(|(key, title)| before.get(*key) != Some(title)).count();
        assert_eq!(changed, 1 + 40 + 1, "the number, a tenth of the workers, one guest");
    }

    #[test]
    fn a_source_that_was_cut_short_is_marked_in_every_row() {
        let text = source(9, true);
        assert!(text.lines().skip(1).all(|line| line.ends_with(POISON)));
        assert!(text.lines().count() < source(9, false).lines().count() * 6 / 10);
        assert!(!source(9, false).contains(POISON));
    }
}
