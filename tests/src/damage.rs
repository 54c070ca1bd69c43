//! Every class of file in the state directory, damaged in every way: what is damaged is refused by
//! its name, other connectors keep what they have, and nothing is deleted.

use std::path::{Path, PathBuf};

use cordon_testkit::{Ended, Host, Scenario, Setup};
use serde_json::Value;

use crate::world::{delivered, last_good, run_of};

/// A host with two connectors, of which only `bad` will be damaged.
fn setup() -> Setup {
    let other = Scenario { seed: 2, users: 50, ..Scenario::default() };
    Host::setup().faulty("bad", &Scenario::default()).faulty("good", &other).file_sink("out")
}

/// A host whose connectors synced; the files of `bad` came last.
struct Synced {
    host: Host,
    of_bad: Vec<PathBuf>,
}

fn synced() -> Synced {
    let host = setup().start();
    host.sync("good").done();
    let before = files(&host.state());
    host.sync("bad").done();
    delivered(&host);
    let of_bad = files(&host.state()).into_iter().filter(|path| !before.contains(path)).collect();
    Synced { host, of_bad }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A way to damage a file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Damage {
    Flip(usize),
    Cut(usize),
    Gone,
}

fn damage(path: &Path, how: Damage) {
    let mut bytes = std::fs::read(path).unwrap();
    match how {
        Damage::Flip(at) => bytes[at] ^= 0x10,
        Damage::Cut(at) => bytes.truncate(at),
        Damage::Gone => return std::fs::remove_file(path).unwrap(),
    }
    std::fs::write(path, bytes).unwrap();
}

/// A few ways to damage a file of that size.
fn ways(path: &Path) -> Vec<Damage> {
    let len = usize::try_from(path.metadata().unwrap().len()).unwrap();
    let middle = len / 2;
    vec![
        Damage::Flip(0),
        Damage::Flip(middle),
        Damage::Flip(len - 1),
        Damage::Cut(0),
        Damage::Cut(middle),
        Damage::Cut(len - 1),
        Damage::Gone,
    ]
}

impl Synced {
    /// The file of `bad`, or of the host, whose path ends so.
    fn file(&self, suffix: &str) -> PathBuf {
        let all = files(&self.host.state());
        let mut paths = self.of_bad.iter().chain(&all);
        let path = paths.find(|path| path.to_string_lossy().ends_with(suffix));
        path.unwrap_or_else(|| panic!("no file ends with {suffix}")).clone()
    }

    /// A stopped copy with that file damaged, and the file's place in it. A day has passed at the
    /// source of `bad`: the same day would only write the same files again.
    fn damaged(&self, file: &Path, how: Damage) -> (Host, PathBuf) {
        let copy = setup().stopped();
        copy.take_state_of(&self.host);
        copy.play("bad", &Scenario::default().on_day(1));
        let path = copy.folder().join(file.strip_prefix(self.host.folder()).unwrap());
        damage(&path, how);
        (copy, path)
    }
}

/// Checks a start that was refused: it names the file, and every other file is there.
#[track_caller]
fn refused_by_name(host: &Host, ended: &Ended, file: &Path, how: Damage) {
    let name = file.file_name().unwrap().to_str().unwrap();
    assert_eq!(ended.status.code(), Some(78), "{name} {how:?}: {}", ended.log);
    assert!(ended.log.contains(name), "{name} {how:?} is not named: {}", ended.log);
    assert!(ended.log.contains("nothing was"), "{name} {how:?}: {}", ended.log);
    let objects = files(&host.state().join("store/objects")).len();
    assert!(objects >= 11, "{name} {how:?}: only {objects} files of data are left");
}

#[test]
fn a_damaged_manifest_or_secret_is_refused_by_name_in_every_way() {
    let mut synced = synced();
    synced.host.terminate();
    for suffix in ["snapshots/bad/1.json", "store/key"] {
        let file = synced.file(suffix);
        for how in ways(&file) {
            let (mut host, path) = synced.damaged(&file, how);
            let ended = host.try_start().expect_err(&format!("{suffix} {how:?}"));
            // Of a wrong secret only the manifests can tell.
            let named = if suffix == "store/key" && matches!(how, Damage::Flip(_)) {
                assert!(ended.log.contains("key"), "{}", ended.log);
                path.with_file_name("snapshots")
            } else {
                path
            };
            refused_by_name(&host, &ended, &named, how);
        }
    }
}

#[test]
fn damaged_data_stops_its_own_connector_and_no_other() {
    let mut synced = synced();
    synced.host.terminate();
    for suffix in [".parquet", ".idx"] {
        let file = synced.file(suffix);
        for how in ways(&file) {
            let (mut host, path) = synced.damaged(&file, how);
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            match how {
                // A length is seen at once, and the service is not started on half of its state.
                Damage::Cut(_) | Damage::Gone => {
                    let ended = host.try_start().expect_err(&format!("{suffix} {how:?}"));
                    refused_by_name(&host, &ended, &path, how);
                }
                // Content is read when it is needed: then only the connector that needs it stops.
                Damage::Flip(_) => {
                    host.start();
                    let told = host.sync("bad").exits(1).problem()["message"].to_string();
                    assert!(told.contains(&name) && told.contains("is damaged"), "{how:?}: {told}");
                    host.cordon(&["diff", "bad", "--full"]).exits(1);
                    let doctor = host.cordon(&["doctor"]).items();
                    let item = doctor.iter().find(|item| item["name"] == "snapshots").unwrap();
                    assert_eq!(item["state"], "fail", "{item}");
                    assert!(item["detail"].to_string().contains(&name), "{item}");
                    assert_eq!(run_of(&host.sync("good").done())["outcome"], "committed");
                    assert_eq!(last_good(&host, "bad"), 1);
                    assert!(path.exists(), "the damaged file was deleted");
                }
            }
        }
    }
}

/// What the ledger says, without what differs from start to start.
fn told(host: &Host) -> Vec<Value> {
    let mut told = Vec::new();
    for name in ["bad", "good"] {
        told.extend(host.cordon(&["runs", name]).done().items());
    }
    let events = host.cordon(&["events", "-n", "200"]).done().items();
    told.extend(
        events.into_iter().filter(|event| {
            event["kind"] != "service.started" && event["kind"] != "service.stopped"
        }),
    );
    told
}

#[test]
fn a_flipped_byte_of_the_ledger_is_refused_or_changes_nothing_that_it_says() {
    let mut synced = synced();
    let before = told(&synced.host);
    synced.host.terminate();
    let file = synced.file("cordon.db");
    let len = usize::try_from(file.metadata().unwrap().len()).unwrap();
    let mut refused = 0;
    // Each page once, at a place that moves through it. Many pages are newer in the log.
    for page in 0..len / 4_096 {
        let how = Damage::Flip(page * 4_096 + page * 977 % 4_096);
        let (mut host, path) = synced.damaged(&file, how);
        match host.try_start() {
            Err(ended) => {
                refused += 1;
                refused_by_name(&host, &ended, &path, how);
            }
            Ok(()) => assert_eq!(told(&host), before, "{how:?} was believed"),
        }
    }
    assert!(refused > 1, "only {refused} of {} flips were refused", len / 4_096);
}

#[test]
fn a_ledger_that_lost_its_log_is_refused_and_no_snapshot_is_taken_back() {
    let mut synced = synced();
    synced.host.kill();
    let file = synced.file("cordon.db-wal");
    for how in [Damage::Flip(0), Damage::Cut(0), Damage::Gone] {
        let (mut host, _) = synced.damaged(&file, how);
        let ended = host.try_start().expect_err(&format!("{how:?}"));
        refused_by_name(&host, &ended, &file.with_file_name("cordon.db"), how);
        assert!(ended.log.contains("lost its newest records"), "{how:?}: {}", ended.log);
        assert!(host.state().join("store/snapshots/bad/1.json").exists(), "{how:?}");
    }
}

#[test]
fn a_lock_that_says_nonsense_or_is_gone_is_made_anew() {
    let mut synced = synced();
    synced.host.terminate();
    let file = synced.file("state/lock");
    for how in [Damage::Flip(0), Damage::Cut(0), Damage::Gone] {
        let (mut host, _) = synced.damaged(&file, how);
        host.start();
        assert_eq!(last_good(&host, "bad"), 1, "{how:?}");
    }
}

#[test]
fn a_state_of_a_newer_version_is_refused() {
    let mut synced = synced();
    synced.host.terminate();
    let file = synced.host.state().join("cordon.db");
    // The log may hold a newer first page than the file.
    for beside in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{beside}", file.display()));
    }
    let mut bytes = std::fs::read(&file).unwrap();
    // Where SQLite keeps `user_version`.
    bytes[60..64].copy_from_slice(&9_999_u32.to_be_bytes());
    std::fs::write(&file, &bytes).unwrap();
    let ended = synced.host.try_start().expect_err("it must not start on a newer state");
    assert_eq!(ended.status.code(), Some(78), "{}", ended.log);
    assert!(ended.log.contains("9999") && ended.log.contains("newer"), "{}", ended.log);
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "it was touched");
}
