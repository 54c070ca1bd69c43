//! A connector that is careless with its secrets: every text below `secrets` in its configuration.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use cordon_testkit::leak::forms;
use cordon_wire::v1::{self, sync_message::Message as Payload};
use serde_json::Value;
use tonic::Status;

/// The configuration as it came.
static CONFIGURATION: Mutex<String> = Mutex::new(String::new());

/// Bytes of filling that bring a secret across the place where a long text is cut.
const FILLINGS: [usize; 4] = [2_040, 2_046, 4_080, 4_092];

pub(crate) fn remember(configuration: &str) {
    configuration.clone_into(&mut CONFIGURATION.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Gives the secrets away by a way that needs no message of a sync.
pub(crate) fn leak(way: &str) -> Result<(), Status> {
    match way {
        "error" => Err(cordon_wire::error::error_to_status(&v1::Error {
            kind: v1::ErrorKind::Unavailable.into(),
            message: words(),
            field: first(),
            retry_after_ms: 0,
        })),
        "status" => Err(Status::unavailable(words())),
        // One that a text of bounded length is cut through.
        "long-error" => Err(Status::unavailable(format!("{}{}", "x".repeat(FILLINGS[0]), first()))),
        _ => {
            print();
            Ok(())
        }
    }
}

/// Puts the secrets into the next message of a sync, or gives one to send before it.
pub(crate) fn spoil(way: &str, next: &mut Payload) -> Result<Option<Payload>, Status> {
    match (way, next) {
        ("progress", _) => {
            let progress = v1::Progress { done: 1, total: 2, phase: words(), throttled_ms: 0 };
            return Ok(Some(Payload::Progress(progress)));
        }
        ("reason", Payload::ScopeEnd(end)) => {
            end.outcome = v1::ScopeOutcome::Incomplete.into();
            end.reason = words().chars().take(400).collect();
            end.watermark = Some(v1::Watermark { time: 0, token: first() });
        }
        ("scope", Payload::ScopeBegin(begin)) => begin.name = format!("members of {}", first()),
        (way, _) => leak(way)?,
    }
    Ok(None)
}

fn secrets() -> Vec<(String, String)> {
    let text = CONFIGURATION.lock().unwrap_or_else(PoisonError::into_inner);
    let config: Value = serde_json::from_str(&text).unwrap_or_default();
    let secrets = config["secrets"].as_object().into_iter().flatten();
    secrets.filter_map(|(name, secret)| Some((name.clone(), secret.as_str()?.to_owned()))).collect()
}

/// The first secret that stands in one line.
fn first() -> String {
    let mut secrets = secrets().into_iter().map(|(_, secret)| secret);
    secrets.find(|secret| !secret.contains('\n')).unwrap_or_default()
}

/// All forms of all secrets.
fn words() -> String {
    secrets().iter().flat_map(|(_, secret)| forms(secret)).collect::<Vec<_>>().join(" ")
}

fn print() {
    let mut stderr = std::io::stderr().lock();
    let mut stdout = std::io::stdout().lock();
    let configuration = CONFIGURATION.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let _ = writeln!(stderr, "configuration: {configuration}");
    for (name, secret) in secrets() {
        let _ = writeln!(stderr, "secret {name} has {} bytes", secret.len());
        for form in forms(&secret) {
            let _ = writeln!(stdout, "{name}={form}&");
            let _ = stdout.flush();
            // Byte by byte, so that a reader gets it in pieces.
            for byte in format!("{name}: {form}\n").bytes() {
                let _ = stderr.write_all(&[byte]);
            }
        }
        for filling in FILLINGS {
            let _ = writeln!(stderr, "{}{secret}", "x".repeat(filling));
        }
    }
    let _ = writeln!(stderr, "all is told");
}
