//! Cases about what a program writes beside its socket. They look at all that was written so far, so
//! they come last.

use cordon_sdk::conformance::{Judged, Objection};

use super::{Trial, heard};

/// Bytes of a line, at most: a host keeps no more.
const LINE_BYTES_MAX: usize = 4_096;
/// Lines a second, at most: a host keeps no more.
const LINES_PER_SECOND_MAX: usize = 200;
/// Bytes of an example.
const EXAMPLE_BYTES: usize = 80;

pub(super) async fn stdout(trial: &mut Trial) -> Judged {
    has_synced(trial).await?;
    let heard = trial.bench.subject().heard();
    if heard.stdout.is_empty() {
        return Ok(());
    }
    let example = heard.stdout.get(..EXAMPLE_BYTES.min(heard.stdout.len())).unwrap_or_default();
    let example = String::from_utf8_lossy(example);
    Err(Objection::failed(format!("{} bytes, that begin {example:?}", heard.stdout.len())))
}

pub(super) async fn log(trial: &mut Trial) -> Judged {
    has_synced(trial).await?;
    let heard = trial.bench.subject().heard();
    let why = if heard.longest_line > LINE_BYTES_MAX {
        format!("a line of {} bytes", heard.longest_line)
    } else if heard.lines_in_a_second > LINES_PER_SECOND_MAX {
        format!("{} lines within a second", heard.lines_in_a_second)
    } else if std::str::from_utf8(&heard.log).is_err() && heard.log.len() < LINE_BYTES_MAX * 256 {
        "it holds bytes that are no UTF-8".to_owned()
    } else if heard.is_closed_early {
        "it was closed, and the process went on".to_owned()
    } else {
        return Ok(());
    };
    Err(Objection::Failed(why))
}

/// Makes sure that there was something to write about, whichever cases ran before.
async fn has_synced(trial: &mut Trial) -> Result<(), Objection> {
    let mut live = trial.bench.ready().await?;
    let (_, synced) = live.harness.sync().await;
    // A log that was closed is noticed while its process goes on.
    tokio::time::sleep(heard::END_WAIT * 2).await;
    drop(live);
    match synced {
        Ok(()) => Ok(()),
        // What it wrote until then counts.
        Err(_) if !trial.bench.subject().heard().log.is_empty() => Ok(()),
        Err(_) => Err(Objection::unjudged("its sync fails")),
    }
}
