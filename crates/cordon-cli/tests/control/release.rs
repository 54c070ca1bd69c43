//! A release is never an accident: it is confirmed by name, or told not to ask.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags};
use rustix::pty;

use super::answers::script;
use super::daemon::{Daemon, Script};
use super::run::{command, cordon};

const LINE: [&str; 7] =
    ["release", "ldap-corp", "418", "--digest", "91fe04c2", "--reason", "INC-1"];

/// Releases at a terminal, where someone types `answer`; gives the exit code and what they saw.
fn release_at_a_terminal(daemon: &Daemon, answer: &str) -> (Option<i32>, String) {
    let main = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY).unwrap();
    pty::grantpt(&main).unwrap();
    pty::unlockpt(&main).unwrap();
    let name = pty::ptsname(&main, Vec::new()).unwrap();
    let side: OwnedFd =
        rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut command = command(daemon.socket(), &LINE);
    command.stdin(Stdio::from(side.try_clone().unwrap())).stderr(Stdio::from(side));
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(command);
    let mut terminal = File::from(main);
    let mut seen = String::new();
    let mut bytes = [0; 1_024];
    while !seen.contains("to go on: ") {
        // A terminal whose last program has ended reads as an error: there was no question.
        let Ok(read) = terminal.read(&mut bytes) else { break };
        seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    if seen.contains("to go on: ") {
        writeln!(terminal, "{answer}").unwrap();
    }
    let output = child.wait_with_output().unwrap();
    seen.push_str(&String::from_utf8_lossy(&output.stdout));
    (output.status.code(), seen)
}

fn released(daemon: &Daemon) -> bool {
    daemon.asked().iter().any(|request| request.starts_with("release"))
}

#[test]
fn without_a_terminal_a_release_must_be_told_not_to_ask() {
    let daemon = Daemon::start(script());
    let ran = cordon(&daemon, &LINE.join(" "));
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("--yes"), "{}", ran.stderr);
    assert!(daemon.asked().is_empty(), "{:?}", daemon.asked());
    let ran = cordon(&daemon, &format!("{} --yes", LINE.join(" ")));
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.contains("evidence #48219"), "{}", ran.stdout);
    assert!(released(&daemon));
}

#[test]
fn at_a_terminal_a_release_repeats_the_counts_and_wants_the_name() {
    let daemon = Daemon::start(script());
    let (code, seen) = release_at_a_terminal(&daemon, "ldap-corp");
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("7,019 to remove") && seen.contains("evidence #48219"), "{seen}");
    assert!(released(&daemon));
}

#[test]
fn any_other_answer_releases_nothing() {
    for answer in ["y", "yes", "", "ldap-corp2", "LDAP-CORP", "hr-csv"] {
        let daemon = Daemon::start(script());
        let (code, seen) = release_at_a_terminal(&daemon, answer);
        assert_eq!(code, Some(1), "{answer}: {seen}");
        assert!(!released(&daemon), "{answer}");
    }
}

#[test]
fn a_sync_that_no_longer_waits_is_not_asked_about() {
    let daemon = Daemon::start(Script { quarantine: Vec::new(), ..script() });
    let (code, seen) = release_at_a_terminal(&daemon, "ldap-corp");
    assert_eq!(code, Some(4), "{seen}");
    assert!(seen.contains("sync 418 of `ldap-corp` is not in quarantine"), "{seen}");
    assert!(!released(&daemon));
}
