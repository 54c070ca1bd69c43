//! Each behaviour, in small: it does what it says, and ends by itself.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use cordon_testkit::{process, wait_for, wait_until};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::rig::HOSTILE;

/// Far more than any of these is given.
const DEADLINE: Duration = Duration::from_secs(60);

#[track_caller]
fn run(words: &str) -> Output {
    let own = tempfile::tempdir().unwrap();
    let output = Command::new(HOSTILE)
        .args(words.split_whitespace())
        .env("TMPDIR", own.path())
        .output()
        .unwrap();
    let left = std::fs::read_dir(own.path()).unwrap().count();
    assert_eq!(left, 0, "files of {words}");
    output
}

/// How far a behaviour came: the last line that it printed.
#[track_caller]
fn reached(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_else(|| panic!("nothing was printed: {output:?}"));
    serde_json::from_str(line).unwrap()
}

#[test]
fn a_bomb_stops_at_its_number_and_all_of_it_ends_at_its_time() {
    // A name for its processes that no other test has.
    let words = "fork-bomb --count 23 --seconds 2";
    let output = run(words);
    assert_eq!(reached(&output)["processes"], 23, "{output:?}");
    wait_until("the bomb's processes end by themselves", DEADLINE, || {
        process::with_command_line(words).is_empty()
    });
}

#[test]
fn a_daemon_outlives_its_parent_and_sigterm_but_not_its_fuse() {
    let words = "double-fork-daemon --seconds 4";
    // Without pipes, which it would hold open.
    let mut command = Command::new(HOSTILE);
    command.args(words.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    let daemons = || process::with_command_line(words);
    let pid = *daemons().first().expect("it outlives its parent");
    wait_until("it ignores requests to end", DEADLINE, || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
        let asked = [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT];
        asked.iter().all(|signal| ignored >> (*signal as u32 - 1) & 1 == 1)
    });
    wait_until("its fuse ends it", DEADLINE, || daemons().is_empty());
}

#[test]
fn what_ignores_requests_to_end_is_ended_by_its_fuse() {
    let mut child = Command::new(HOSTILE).args(["ignore-term", "--seconds", "1"]).spawn().unwrap();
    let status = wait_for("its fuse ends it", DEADLINE, || child.try_wait().unwrap());
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGALRM));
}

#[test]
fn one_that_stopped_itself_is_ended_from_outside() {
    let mut child = Command::new(HOSTILE).args(["stop-self", "--seconds", "1"]).spawn().unwrap();
    let status = wait_for("its watcher ends it", DEADLINE, || child.try_wait().unwrap());
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
}

#[test]
fn forks_that_race_against_a_kill_end_with_their_time() {
    let words = "fork-while-killed --seconds 1";
    let output = run(words);
    assert!(reached(&output)["forks"].as_u64().unwrap() > 10, "{output:?}");
    wait_until("all end", DEADLINE, || process::with_command_line(words).is_empty());
}

#[test]
fn children_that_nobody_waits_for_are_made() {
    assert_eq!(reached(&run("zombies --count 7 --seconds 1"))["children"], 7);
}

#[test]
fn memory_is_taken_from_every_source_up_to_its_bound() {
    for source in ["anon", "page-cache", "tmpfs", "memfd", "shm"] {
        let output = run(&format!("memory-hog --from {source} --bytes 8388608 --seconds 1"));
        assert_eq!(reached(&output)["bytes"], 8_388_608, "{source}: {output:?}");
    }
    assert_eq!(reached(&run("leak --bytes 1 --seconds 1"))["bytes"], 1 << 20);
}

#[test]
fn a_reservation_of_64_gib_is_no_use_of_memory() {
    let output = run("reserve");
    assert!(output.status.success());
    assert_eq!(reached(&output)["bytes"], 64u64 << 30);
}

#[test]
fn descriptors_and_file_sizes_meet_the_limits_of_the_process() {
    let limited = |limit: &str, words: &str| {
        let own = tempfile::tempdir().unwrap();
        let script = format!("ulimit {limit}; exec \"$0\" {words}");
        let mut command = Command::new("sh");
        command.args(["-c", &script, HOSTILE]).env("TMPDIR", own.path());
        reached(&command.output().unwrap())
    };
    let files = limited("-n 40", "fd-exhaust");
    // Beside those that it has already.
    let opened = files["descriptors"].as_u64().unwrap();
    assert!((20..40).contains(&opened), "{files}");
    assert!(files["stopped_by"].as_str().unwrap().contains("Too many open files"), "{files}");
    // At the limit of one file it goes on with the next.
    let disk = limited("-f 1024", "disk-fill --bytes 3145728");
    assert_eq!(disk["bytes"], 3_145_728, "{disk}");
}

#[test]
fn files_without_content_are_made_and_removed() {
    assert_eq!(reached(&run("inode-fill --count 2500"))["files"], 2_500);
}

#[test]
fn a_log_is_flooded_without_lines_and_with_tricks() {
    let long = run("endless-line --bytes 200000");
    let end = long.stderr.iter().position(|byte| *byte == b'\n');
    assert!(end.is_some_and(|end| end >= 200_000 && end + 1 == long.stderr.len()));
    let tricks = run("ansi");
    assert!(tricks.stderr.contains(&0x1b) && std::str::from_utf8(&tricks.stderr).is_err());
    let flood = run("log-flood --bytes 200000");
    assert!(flood.stderr.iter().filter(|byte| **byte == b'\n').count() > 1_000);
}

#[test]
fn a_flood_ends_when_nobody_reads_it() {
    let mut child = Command::new(HOSTILE)
        .args(["log-flood", "--seconds", "600"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    wait_for("a broken pipe ends it", DEADLINE, || child.try_wait().unwrap());
}

#[test]
fn a_log_that_is_closed_is_closed_for_its_reader() {
    use std::io::Read;
    let mut child = Command::new(HOSTILE)
        .args(["close-output", "--seconds", "600"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    // Comes to its end although the process lives.
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}
