//! The launcher by itself, given plans that no supervisor makes.

use std::{
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    process::{Command, Stdio},
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde_json::{Value, json};

use crate::rig::JAIL;

fn plan(private_dir: &Path) -> Value {
    json!({
        "supervisor_pid": std::process::id(),
        "program": "/bin/sh",
        "script": false,
        "args": ["-c", "touch ran"],
        "env": [["PATH", "/usr/bin:/bin"]],
        "private_dir": private_dir,
        "limits": {},
        "identity": null,
        "groups": [],
        "mark": 700_000,
        "view": "shared",
        "hide": [],
        "network": "host",
        "loopback": false,
        "require": [],
    })
}

/// Runs the launcher with these bytes as its plan; gives its last word and whether the program ran.
fn launch(private_dir: &Path, plan: &[u8]) -> (Value, bool) {
    let (channel, _ours) = UnixStream::pair().unwrap();
    let (mut control, theirs) = UnixStream::pair().unwrap();
    let mut command = Command::new(JAIL);
    command.stdin(OwnedFd::from(channel)).stdout(OwnedFd::from(theirs)).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    send_program(&control, Path::new("/bin/sh"));
    // A launcher that gave up early does not read it; its word tells why.
    let _ = control.write_all(plan);
    let _ = control.shutdown(std::net::Shutdown::Write);
    let mut heard = Vec::new();
    let _ = control.read_to_end(&mut heard);
    child.wait().unwrap();
    let text = String::from_utf8(heard).unwrap();
    let word = text.lines().last().map_or(Value::Null, |line| serde_json::from_str(line).unwrap());
    (word, private_dir.join("ran").exists())
}

/// Sends a program with a byte that is no part of the plan.
fn send_program(control: &UnixStream, program: &Path) {
    let file = std::fs::File::open(program).unwrap();
    let descriptors = [file.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    let _ = rustix::net::sendmsg(
        control,
        &[std::io::IoSlice::new(b" ")],
        &mut ancillary,
        SendFlags::empty(),
    );
}

#[test]
fn a_good_plan_runs_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let (word, ran) = launch(dir.path(), plan(dir.path()).to_string().as_bytes());
    assert_eq!((word["word"].as_str(), ran), (Some("ready"), true), "{word}");
}

#[test]
fn a_launcher_whose_supervisor_is_gone_does_not_become_the_connector() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan(dir.path());
    plan["supervisor_pid"] = json!(1);
    let (word, ran) = launch(dir.path(), plan.to_string().as_bytes());
    assert_eq!(word["step"], "parent_death", "{word}");
    assert!(!ran);
}

#[test]
fn a_group_that_cannot_be_joined_is_reported_and_not_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan(dir.path());
    plan["groups"] = json!([["group_memory", "/nowhere/cgroup.procs"]]);
    let (word, ran) = launch(dir.path(), plan.to_string().as_bytes());
    let items = word["items"].as_array().unwrap();
    let item = items.iter().find(|item| item["step"] == "group_memory").unwrap();
    assert_eq!((item["state"].as_str(), item["errno"].as_i64()), (Some("refused"), Some(2)));
    assert!(ran);
}

#[test]
fn a_plan_cut_short_or_garbled_runs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let whole = plan(dir.path()).to_string();
    for bytes in [&whole.as_bytes()[..whole.len() / 2], b"", b"\xff\xfe{}", b"null"] {
        let (word, ran) = launch(dir.path(), bytes);
        assert_eq!(word["word"], "failed", "{word}");
        assert!(!ran);
    }
}
