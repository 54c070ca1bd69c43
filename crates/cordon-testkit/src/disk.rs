//! Faults of the disk and deaths between two writes, brought about from outside.
//!
//! `disk-faults`, a program of this crate, attaches to a running `cordond` as a debugger does, sees
//! every call by which it changes its state, and at the n-th of them kills it or lets the call fail.
//! So a commit can be interrupted at every single step without a line of code in what ships.
//!
//! Not strace: that one counts for each thread by itself, and cannot tell the calls on the state
//! directory from all others. Only `cordond` and its threads are seen, no connector.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Host, programs};

/// How long attaching may take.
const ATTACH_DEADLINE: Duration = Duration::from_secs(30);

/// What a call does to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Brings a file or a folder to disk: `fsync`, `fdatasync`.
    Sync,
    /// Gives it another name.
    Rename,
    /// Takes a name away, of a file or a folder.
    Remove,
    /// Makes a file shorter or longer.
    Truncate,
    /// Writes into it.
    Write,
    /// Makes a file, a folder or a second name.
    Make,
    /// Closes it. Seen, so that it can be told whether a descriptor is still the same, never counted.
    Close,
}

/// A call on the state of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its place among the calls that count, from 1; 0 when it does not count.
    pub number: u64,
    /// What it does.
    pub deed: Deed,
    /// To which file.
    pub path: String,
    /// Through which descriptor, if through one.
    pub descriptor: Option<u64>,
    /// The service was killed or stopped before it, or it was made to fail.
    pub hit: bool,
}

/// What happens when the time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harm {
    /// The service is killed before the call is made.
    Kill,
    /// The service is asked to end, as a service manager asks it, and the call is made.
    Stop,
    /// The call fails with this error number, and those after it do not.
    Fail(i32),
    /// The call fails with this error number, and so does every one after it.
    FailOn(i32),
}

/// Calls by which it is told how far the service has come, however many calls that took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What the call does.
    pub deed: Deed,
    /// What its file's path holds.
    pub path: String,
}

/// What `disk-faults` is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The process.
    pub pid: u32,
    /// Only calls on paths that begin so are seen.
    pub paths: Vec<String>,
    /// Only these count.
    pub deeds: Vec<Deed>,
    /// Calls that must have been made, one after the other, before any counts. The last is the first
    /// that does.
    pub from: Vec<Mark>,
    /// What happens at which call that counts.
    pub harms: Vec<(u64, Harm)>,
}

/// A service that is watched. Dropped, it is left alone again.
#[derive(Debug)]
pub struct Watch(Tracer);

/// A program that watches another and tells of it in lines.
#[derive(Debug)]
pub(crate) struct Tracer {
    process: Child,
    lines: Receiver<String>,
}

impl Host {
    /// Watches the running service, and does harm at these of the calls of these deeds on its ledger, its
    /// store or the file sink `out`. None where this test may not watch processes.
    ///
    /// # Panics
    /// When attaching takes too long.
    #[track_caller]
    pub fn watch(&self, deeds: &[Deed], harms: &[(u64, Harm)]) -> Option<Watch> {
        self.watch_process(self.pid(), deeds, &[], harms)
    }

    /// The same, counted from a call on: how many come before it differs from run to run.
    ///
    /// # Panics
    /// When attaching takes too long.
    #[track_caller]
    pub fn watch_from(
        &self,
        from: &[Mark],
        deeds: &[Deed],
        harms: &[(u64, Harm)],
    ) -> Option<Watch> {
        self.watch_process(self.pid(), deeds, from, harms)
    }

    #[track_caller]
    pub(crate) fn watch_process(
        &self,
        pid: u32,
        deeds: &[Deed],
        from: &[Mark],
        harms: &[(u64, Harm)],
    ) -> Option<Watch> {
        let folder = self.folder().canonicalize().unwrap_or_else(|error| panic!("{error}"));
        let paths = ["state/store", "state/cordon.db", "out.ndjson"];
        let paths = paths.map(|path| folder.join(path).display().to_string());
        let (deeds, from, harms) = (deeds.to_vec(), from.to_vec(), harms.to_vec());
        let order = Order { pid, paths: paths.to_vec(), deeds, from, harms };
        let order = serde_json::to_string(&order).unwrap_or_else(|error| panic!("{error}"));
        Tracer::attach(Command::new(programs::path("disk-faults")).arg(order)).map(Watch)
    }
}

impl Watch {
    /// Leaves the service alone and tells what was seen.
    ///
    /// # Panics
    /// When a line of the report cannot be read.
    #[track_caller]
    pub fn end(self) -> Vec<Call> {
        let read = |line: &String| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
        };
        self.0.end().iter().map(read).collect()
    }
}

impl Tracer {
    /// Starts a tracer and waits until it watches; none when it may not.
    #[track_caller]
    pub(crate) fn attach(command: &mut Command) -> Option<Self> {
        let (lines_out, lines_in) = std::io::pipe().unwrap_or_else(|error| panic!("{error}"));
        let process = command
            .stdin(Stdio::null())
            .stdout(lines_in)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run a tracer: {error}"));
        // What the command holds of the pipe would keep it open.
        command.stdout(Stdio::null());
        let (sender, lines) = channel();
        let tracer = Self { process, lines };
        std::thread::spawn(move || {
            for line in BufReader::new(lines_out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        match tracer.lines.recv_timeout(ATTACH_DEADLINE) {
            Ok(line) if line == "ready" => Some(tracer),
            Ok(line) => panic!("the tracer says {line:?}"),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(error) => panic!("the tracer does not attach: {error}"),
        }
    }

    /// Ends it and gives what it told.
    pub(crate) fn end(mut self) -> Vec<String> {
        self.stop();
        self.lines.iter().collect()
    }

    fn stop(&mut self) {
        // The kernel lets go of whatever a tracer held when that ends.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.stop();
    }
}
