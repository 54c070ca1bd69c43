//! The state directory: one owner, whole or refused by name, and nothing deleted.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use cordon_testkit::{Host, Scenario};

use crate::world::{delivered, last_good, newest_run, run_of};

fn synced() -> Host {
    let host = Host::setup().faulty("src", &Scenario::default()).file_sink("out").start();
    host.sync("src").done();
    delivered(&host);
    host
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.clone(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_second_supervisor_on_one_state_directory_refuses() {
    let mut host = synced();
    let ended = host.second();
    assert_eq!(ended.status.code(), Some(78), "{}", ended.log);
    assert!(ended.log.contains("is in use by another cordond"), "{}", ended.log);
    assert!(ended.log.contains(&host.pid().to_string()), "it names the other: {}", ended.log);
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
}

#[test]
fn a_clean_stop_ends_with_zero_and_leaves_no_process() {
    let mut host = synced();
    let pid = host.pid();
    let status = host.terminate();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    assert!(!cordon_testkit::process::is_alive(pid));
    host.start();
    assert_eq!(last_good(&host, "src"), 1);
}

/// Damages one file of a stopped host; the next start must refuse, name the file, and leave every
/// byte as it is.
#[track_caller]
fn refuses_damage(pick: impl Fn(&Path) -> bool) {
    let mut host = synced();
    host.terminate();
    let all = files(&host.state());
    let (path, bytes) = all.iter().find(|(path, _)| pick(path)).expect("there is such a file");
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged.truncate(middle);
    std::fs::write(path, &damaged).unwrap();
    let before = files(&host.state());
    let ended = host.try_start().expect_err("it must not start on half of its state");
    assert_eq!(ended.status.code(), Some(78), "{}", ended.log);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(ended.log.contains(name), "the damaged file {name} is not named: {}", ended.log);
    let names = |files: &[(PathBuf, Vec<u8>)]| -> Vec<PathBuf> {
        let kept = files.iter().map(|(path, _)| path.clone());
        // SQLite makes its own side files when it looks.
        kept.filter(|path| !path.to_string_lossy().contains("cordon.db-")).collect()
    };
    assert_eq!(names(&files(&host.state())), names(&before), "nothing was deleted");
    assert_eq!(std::fs::read(path).unwrap(), damaged, "the damaged file is as it was");
}

#[test]
fn a_damaged_ledger_is_refused_by_name_and_nothing_is_deleted() {
    refuses_damage(|path| path.ends_with("cordon.db"));
}

#[test]
fn a_damaged_manifest_is_refused_by_name_and_nothing_is_deleted() {
    refuses_damage(|path| path.to_string_lossy().contains("/snapshots/"));
}

#[test]
fn a_damaged_snapshot_file_is_refused_by_name_and_nothing_is_deleted() {
    refuses_damage(|path| path.extension().is_some_and(|extension| extension == "parquet"));
}

#[test]
fn a_full_disk_fails_the_sync_and_the_service_lives() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(folder.path(), "24m") else {
        cordon_testkit::capability::skipped("mount");
        return;
    };
    let data_dir = folder.path().join("state");
    let mut host = Host::setup()
        .faulty("src", &Scenario { users: 200, ..Scenario::default() })
        .file_sink("out")
        .stopped();
    let text = std::fs::read_to_string(host.config()).unwrap();
    let own = format!("data_dir = \"{}\"", host.state().display());
    let small = format!("data_dir = \"{}\"", data_dir.display());
    host.put("cordon.toml", text.replace(&own, &small));
    host.start();
    host.sync("src").done();
    std::fs::write(folder.path().join("filler"), vec![0; 20 << 20]).unwrap();
    host.play("src", &Scenario { users: 150_000, grants_per_user: 5, ..Scenario::default() });
    host.sync("src");
    let run = newest_run(&host, "src");
    assert_eq!(run["outcome"], "failed", "{run}");
    assert_eq!(last_good(&host, "src"), 1);
    std::fs::remove_file(folder.path().join("filler")).unwrap();
    host.play("src", &Scenario { users: 201, ..Scenario::default() });
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
}

/// A small file system of its own, for as long as it lives.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it; none where this test may not.
    pub(crate) fn mount(folder: &Path, size: &str) -> Option<Self> {
        let options = format!("size={size},mode=755");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder)
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
