//! The programs that tests and benches are built on, run as processes over an inherited socket.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use cordon_sdk::testing::{Collected, Harness};
use cordon_sdk::{Error, ScopeOutcome};
use cordon_testkit::scenario::Scenario;
use serde_json::json;

const FAULTY: &str = env!("CARGO_BIN_EXE_connector-faulty");
const GENERATOR: &str = env!("CARGO_BIN_EXE_connector-generator");

/// A program at the other end of a socket; killed when dropped.
struct Program(Child);

impl Program {
    fn start(path: &str, arguments: &[&str]) -> (Self, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        let child = Command::new(path)
            .args(arguments)
            .env("CORDON_FD", "0")
            .stdin(OwnedFd::from(far))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        (Self(child), near)
    }

    async fn ends(&mut self, within: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < within {
            if let Some(status) = self.0.try_wait().unwrap() {
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn sync(scenario: &Scenario) -> (Collected, Result<(), Error>) {
    let (_program, socket) = Program::start(FAULTY, &[]);
    let mut harness = Harness::connect(socket).await.unwrap();
    harness.configure(&serde_json::to_value(scenario).unwrap()).await.unwrap();
    harness.sync().await
}

#[tokio::test]
async fn an_honest_scenario_keeps_the_contract() {
    let (collected, result) = sync(&Scenario { totals: true, ..Scenario::default() }).await;
    result.unwrap();
    // 100 users, 5 groups with an entitlement each, 2 grants a user.
    assert_eq!(collected.rows.len(), 100 + 5 * 2 + 200);
    assert_eq!(collected.scopes.len(), 2 + 5);
    for scope in &collected.scopes {
        assert_eq!(scope.outcome, ScopeOutcome::Complete);
        assert_eq!(scope.source_total, Some(scope.received));
    }
}

#[tokio::test]
async fn a_day_changes_as_many_users_as_days_have_passed() {
    let (first, _) = sync(&Scenario::default()).await;
    let (third, _) = sync(&Scenario::default().on_day(2)).await;
    let gone = first.rows.iter().filter(|row| third.row(&row.key()).is_none());
    let gone: Vec<String> =
        gone.map(cordon_sdk::Row::key).filter(|key| !key.contains(">")).collect();
    assert_eq!(gone, ["user:u0", "user:u1"]);
    let other =
        first.rows.iter().filter(|row| third.row(&row.key()).is_some_and(|now| now != *row));
    let other: Vec<String> = other.map(cordon_sdk::Row::key).collect();
    assert_eq!(other, ["user:u2", "user:u3"]);
}

#[tokio::test]
async fn a_lie_that_breaks_the_contract_is_seen_at_the_other_end() {
    for (at, act) in [
        ("page:1", "giant-batch"),
        ("page:1", "many-records"),
        ("scope-end:groups", "wrong-count"),
        ("sync-end", "wrong-sync-count"),
        ("scope-end", "unclosed-scope"),
        ("scope-end", "closed-twice"),
        ("scope-end", "batch-after-end"),
        ("page:1", "unknown-scope"),
        ("scope-begin", "scope-twice"),
        ("sync-end", "no-sync-end"),
        ("page:2", "bad-utf8"),
        ("page:2", "bad-lengths"),
        ("page:2", "garbage-bytes"),
        ("page:2", "half-message"),
        ("page:2", "exit-zero-mid-stream"),
        ("page:2", "crash"),
        ("page:2", "error:rate-limited"),
    ] {
        let (_, result) = sync(&Scenario::with(at, act)).await;
        assert!(result.is_err(), "{act} at {at} was not seen");
    }
}

#[tokio::test]
async fn a_lie_that_keeps_the_contract_changes_what_it_says_it_changes() {
    for (act, rows, gone) in [
        ("empty", 0, "user:u0"),
        ("truncate:60", 190, "user:u60"),
        ("duplicate-keys", 311, "user:u100"),
        ("rekey", 310, "user:u0"),
        ("dangling-grants", 310, "user:u0 -> g0:member"),
        ("incomplete:members of g3", 290, "user:u97 -> g3:member"),
        ("gone:members of g3", 270, "user:u3 -> g3:member"),
    ] {
        let (collected, result) = sync(&Scenario::with("start", act)).await;
        result.unwrap_or_else(|error| panic!("{act}: {error}"));
        assert_eq!(collected.rows.len(), rows, "{act}");
        assert!(collected.row(gone).is_none(), "{act} still has {gone}");
    }
}

#[tokio::test]
async fn a_scenario_in_a_file_is_read_again_at_each_sync() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |scenario: &Scenario| {
        std::fs::write(file.path(), serde_json::to_string(scenario).unwrap()).unwrap();
    };
    write(&Scenario::default());
    let (_program, socket) = Program::start(FAULTY, &[]);
    let mut harness = Harness::connect(socket).await.unwrap();
    harness.configure(&json!({ "file": file.path() })).await.unwrap();
    assert_eq!(harness.sync().await.0.rows.len(), 310);
    write(&Scenario::with("start", "empty"));
    assert_eq!(harness.sync().await.0.rows.len(), 0);
}

#[tokio::test]
async fn a_served_connector_ends_when_its_socket_closes() {
    let (mut program, socket) = Program::start(GENERATOR, &[]);
    let mut harness = Harness::connect(socket).await.unwrap();
    harness.configure(&json!({ "grants": 800 })).await.unwrap();
    assert_eq!(harness.sync().await.0.rows.len(), 100 + 8 * 2 + 800);
    drop(harness);
    let status =
        program.ends(Duration::from_secs(2)).await.expect("it goes on without a supervisor");
    assert!(status.success(), "{status}");
    let mut written = String::new();
    std::io::Read::read_to_string(&mut program.0.stdout.take().unwrap(), &mut written).unwrap();
    assert_eq!(written, "", "something was written to stdout");
}

#[tokio::test]
async fn a_served_connector_ends_its_sync_and_itself_on_sigterm() {
    let (mut program, socket) = Program::start(GENERATOR, &[]);
    let mut harness = Harness::connect(socket).await.unwrap();
    harness.configure(&json!({ "grants": 800_000_000 })).await.unwrap();
    let pid = nix::unistd::Pid::from_raw(program.0.id().try_into().unwrap());
    let term = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    };
    // Bounded: a sync that goes on would be collected until memory ends.
    let sync = tokio::time::timeout(Duration::from_secs(3), harness.sync());
    let (sync, ()) = tokio::join!(sync, term);
    let (collected, result) = sync.expect("the sync goes on");
    assert!(matches!(result, Err(Error::Incomplete { .. })), "{result:?}");
    let reason = "the sync was cancelled".to_owned();
    assert_eq!(collected.scopes[0].outcome, ScopeOutcome::Incomplete { reason });
    let status = program.ends(Duration::from_secs(5)).await.expect("it does not end");
    assert!(status.success(), "{status}");
}

#[test]
fn a_connector_that_was_not_started_by_a_supervisor_says_so() {
    for (fd, word) in [(None, "not set"), (Some("x"), "not a descriptor"), (Some("77"), "77")] {
        let mut command = Command::new(GENERATOR);
        command.env_remove("CORDON_FD").stdin(Stdio::null());
        if let Some(fd) = fd {
            command.env("CORDON_FD", fd);
        }
        let output = command.output().unwrap();
        assert!(!output.status.success());
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(word), "{fd:?}: {told}");
    }
}
