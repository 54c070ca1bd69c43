//! What the file sink promises to those who read its file.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use cordon_sinks::{DeliverError, FileConfig, Sink, SinkConfig, SinkOpenError};
use tempfile::TempDir;

use crate::{deliveries, delivery_of};

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("changes.ndjson");
    (folder, path)
}

fn open_with(path: &Path, rotate_bytes: u64, keep: u32) -> Result<Sink, SinkOpenError> {
    Sink::open("changes", SinkConfig::File(FileConfig { path: path.into(), rotate_bytes, keep }))
}

fn open(path: &Path) -> Result<Sink, SinkOpenError> {
    open_with(path, 1 << 20, 3)
}

/// The numbers of the changes in a file, which must be whole lines of JSON.
fn seqs(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    assert!(text.is_empty() || text.ends_with('\n'), "{path:?} ends in the middle of a line");
    let seq = |line: &str| {
        let change: serde_json::Value = serde_json::from_str(line).unwrap();
        change["seq"].as_u64().unwrap()
    };
    text.lines().map(seq).collect()
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    PathBuf::from(format!("{}.{number}", path.display()))
}

#[tokio::test]
async fn delivered_changes_are_in_the_file_in_order_one_line_each() {
    let (_folder, path) = folder();
    let mut sink = open(&path).unwrap();
    sink.deliver(&deliveries(1..=3)).await.unwrap();
    sink.deliver(&[]).await.unwrap();
    sink.deliver(&deliveries(4..=5)).await.unwrap();
    assert_eq!(seqs(&path), [1, 2, 3, 4, 5]);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(r#"{"v":1,"id":"hr/1","seq":1,"#), "{text}");
}

#[tokio::test]
async fn a_sink_that_is_opened_again_appends() {
    let (_folder, path) = folder();
    open(&path).unwrap().deliver(&deliveries(1..=2)).await.unwrap();
    open(&path).unwrap().deliver(&deliveries(3..=3)).await.unwrap();
    assert_eq!(seqs(&path), [1, 2, 3]);
}

#[tokio::test]
async fn a_line_torn_by_a_crash_is_cut_and_the_batch_can_be_sent_again() {
    let (_folder, path) = folder();
    let mut sink = open(&path).unwrap();
    sink.deliver(&deliveries(1..=2)).await.unwrap();
    // Longer than one step of the search for its beginning.
    sink.deliver(&[delivery_of(3, 200_000)]).await.unwrap();
    drop(sink);
    let whole = fs::read(&path).unwrap();
    let third = whole.len() - 200_000;
    for torn in [whole.len() - 1, whole.len() - 100, third, third - 60] {
        fs::write(&path, &whole[..torn]).unwrap();
        let mut sink = open(&path).unwrap();
        assert_eq!(seqs(&path), [1, 2], "cut at {torn}");
        sink.deliver(&deliveries(3..=3)).await.unwrap();
        assert_eq!(seqs(&path), [1, 2, 3], "cut at {torn}");
    }
}

#[test]
fn a_file_that_is_nothing_but_a_torn_line_becomes_empty() {
    for torn in [r#"{"#, r#"{"v":1,"#, r#"{"v":1,"id":"h"#, "\0\0\0\0\0\0\0\0\0"] {
        let (_folder, path) = folder();
        fs::write(&path, torn).unwrap();
        open(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"", "{torn:?}");
    }
}

#[test]
fn a_file_that_no_sink_wrote_is_refused_and_left_as_it_is() {
    for foreign in ["root:x:0:0", "one\ntwo", "{\"v\":2", "{\"v\":1,\"id\":1}\nnot json"] {
        let (_folder, path) = folder();
        fs::write(&path, foreign).unwrap();
        let error = open(&path).unwrap_err();
        assert!(matches!(error, SinkOpenError::NotOurs { .. }), "{foreign:?} gave {error:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
    }
}

#[test]
fn a_new_file_can_be_read_by_its_group_and_not_by_others() {
    for umask in ["umask 000", "umask 077"] {
        run_under(umask, "file::a_new_file_can_be_read_by_its_group_and_not_by_others", || {
            let (_folder, path) = folder();
            open(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        });
    }
}

#[test]
fn a_link_a_folder_or_a_pipe_in_place_of_the_file_is_refused() {
    let (folder, path) = folder();
    let target = folder.path().join("target");
    fs::write(&target, "").unwrap();
    let check = |found: &str| {
        let error = open(&path).unwrap_err();
        assert!(matches!(error, SinkOpenError::NotAFile { .. }), "{found} gave {error:?}");
        assert!(error.to_string().contains(found), "{error}");
    };

    symlink(&target, &path).unwrap();
    check("a symbolic link");
    fs::remove_file(&path).unwrap();

    symlink(folder.path().join("nothing"), &path).unwrap();
    check("a symbolic link");
    fs::remove_file(&path).unwrap();

    fs::create_dir(&path).unwrap();
    check("a folder");
    fs::remove_dir(&path).unwrap();

    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    check("a pipe");
    assert_eq!(fs::read(&target).unwrap(), b"");
}

#[test]
fn a_file_that_another_sink_writes_is_refused() {
    let (_folder, path) = folder();
    let first = open(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, SinkOpenError::Locked { .. }), "{error:?}");
    drop(first);
    open(&path).unwrap();
}

#[test]
fn limits_of_0_are_refused() {
    let (_folder, path) = folder();
    for (rotate_bytes, keep, field) in [(0, 1, "rotate_bytes"), (1, 0, "keep")] {
        let error = open_with(&path, rotate_bytes, keep).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
    assert!(!path.exists());
}

#[tokio::test]
async fn a_full_file_is_rotated_between_lines_and_the_oldest_goes() {
    let (_folder, path) = folder();
    let line = format!("{}\n", delivery_of(1, 0).to_json()).len() as u64;
    // Two lines a file, and nearly three.
    let mut sink = open_with(&path, line * 3 - 1, 2).unwrap();
    sink.deliver(&deliveries(1..=5)).await.unwrap();
    assert_eq!(seqs(&path), [5]);
    assert_eq!(seqs(&numbered(&path, 1)), [3, 4]);
    assert_eq!(seqs(&numbered(&path, 2)), [1, 2]);

    sink.deliver(&deliveries(6..=7)).await.unwrap();
    assert_eq!(seqs(&path), [7]);
    assert_eq!(seqs(&numbered(&path, 1)), [5, 6]);
    assert_eq!(seqs(&numbered(&path, 2)), [3, 4]);
    assert!(!numbered(&path, 3).exists());
}

#[tokio::test]
async fn a_line_longer_than_a_file_may_be_is_delivered_in_a_file_of_its_own() {
    let (_folder, path) = folder();
    let mut sink = open_with(&path, 300, 9).unwrap();
    sink.deliver(&[delivery_of(1, 0), delivery_of(2, 5_000), delivery_of(3, 0)]).await.unwrap();
    assert_eq!(seqs(&numbered(&path, 2)), [1]);
    assert_eq!(seqs(&numbered(&path, 1)), [2]);
    assert_eq!(seqs(&path), [3]);
}

#[tokio::test]
async fn a_rotation_that_a_crash_cut_short_loses_no_file() {
    let (_folder, path) = folder();
    let mut sink = open_with(&path, 1, 3).unwrap();
    sink.deliver(&deliveries(1..=3)).await.unwrap();
    drop(sink);
    // The crash came after `.1` had moved on and before the current file took its place.
    fs::rename(numbered(&path, 2), numbered(&path, 3)).unwrap();
    fs::rename(numbered(&path, 1), numbered(&path, 2)).unwrap();
    let mut sink = open_with(&path, 1, 3).unwrap();
    sink.deliver(&deliveries(4..=4)).await.unwrap();
    let all: Vec<u64> = (1..=3).rev().flat_map(|n| seqs(&numbered(&path, n))).collect();
    assert_eq!(all, [1, 2, 3]);
    assert_eq!(seqs(&path), [4]);
}

#[tokio::test]
async fn a_file_that_its_reader_moved_away_is_followed_by_a_new_one() {
    let (folder, path) = folder();
    let mut sink = open(&path).unwrap();
    sink.deliver(&deliveries(1..=1)).await.unwrap();
    let moved = folder.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    sink.deliver(&deliveries(2..=2)).await.unwrap();
    assert_eq!(seqs(&moved), [1]);
    assert_eq!(seqs(&path), [2]);

    fs::remove_file(&path).unwrap();
    sink.deliver(&deliveries(3..=3)).await.unwrap();
    assert_eq!(seqs(&path), [3]);
}

#[tokio::test]
async fn bytes_that_another_program_appended_are_not_joined_to_a_change() {
    let (_folder, path) = folder();
    let mut sink = open(&path).unwrap();
    sink.deliver(&deliveries(1..=1)).await.unwrap();
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"junk").unwrap();
    let error = sink.deliver(&deliveries(2..=2)).await.unwrap_err();
    assert!(matches!(error, DeliverError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_link_put_in_place_of_the_file_while_running_is_not_followed() {
    let (folder, path) = folder();
    let mut sink = open(&path).unwrap();
    let target = folder.path().join("target");
    fs::write(&target, "").unwrap();
    fs::remove_file(&path).unwrap();
    symlink(&target, &path).unwrap();
    let error = sink.deliver(&deliveries(1..=1)).await.unwrap_err();
    assert!(matches!(&error, DeliverError::Refused { .. }), "{error:?}");
    assert_eq!(fs::read(&target).unwrap(), b"");
}

#[tokio::test]
async fn a_folder_that_vanished_is_tried_again() {
    let (folder, path) = folder();
    let mut sink = open(&path).unwrap();
    assert_eq!(sink.check().await, Ok(()));
    fs::remove_dir_all(folder.path()).unwrap();
    let error = sink.deliver(&deliveries(1..=1)).await.unwrap_err();
    assert!(matches!(&error, DeliverError::Retry { after: None, .. }), "{error:?}");
    assert!(sink.check().await.is_err());
    fs::create_dir(folder.path()).unwrap();
    sink.deliver(&deliveries(1..=1)).await.unwrap();
    assert_eq!(seqs(&path), [1]);
}

/// A limit on the size of files is what a full disk looks like without one: the first bytes of a
/// batch are written and then no more.
#[test]
fn a_write_that_fails_midway_leaves_only_whole_acknowledged_lines_and_the_next_succeeds() {
    let name = "file::a_write_that_fails_midway_leaves_only_whole_acknowledged_lines_and_the_next_succeeds";
    run_under("trap '' XFSZ; ulimit -f 16", name, || {
        let (_folder, path) = folder();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut sink = open(&path).unwrap();
            sink.deliver(&deliveries(1..=1)).await.unwrap();
            let batch = [delivery_of(2, 0), delivery_of(3, 100_000)];
            let error = sink.deliver(&batch).await.unwrap_err();
            assert!(matches!(&error, DeliverError::Retry { .. }), "{error:?}");
            assert_eq!(seqs(&path), [1]);
            sink.deliver(&deliveries(2..=2)).await.unwrap();
            assert_eq!(seqs(&path), [1, 2]);
        });
    });
}

/// Runs the named test again in a process of its own, started by a shell that first does `setup`;
/// there the same call runs `test`. Limits and masks belong to a process, not to a thread.
fn run_under(setup: &str, name: &str, test: impl FnOnce()) {
    const INSIDE: &str = "CORDON_SINKS_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let inside = Command::new("sh")
        .args(["-c", &format!(r#"{setup}; exec "$0" --exact "$1""#)])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inside.stdout);
    assert!(inside.status.success() && said.contains("1 passed"), "{setup}: {said}");
}
