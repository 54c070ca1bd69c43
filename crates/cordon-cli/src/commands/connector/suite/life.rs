//! Cases about the life of a process: how it ends, and what it does meanwhile.

use std::time::Duration;

use cordon_sdk::Error;
use cordon_sdk::conformance::{Judged, Live, Objection};
use nix::sys::signal::Signal;

use super::{Trial, process};

/// How long an end may take.
const END_WITHIN: Duration = Duration::from_secs(5);
/// After which nothing that belonged to a sync should be going on.
const CALM: Duration = Duration::from_millis(500);
/// How often its rest is looked at, and how long in between.
const LOOKS: u32 = 20;
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// How long a silent connection is pinged, once a second.
const PINGED: Duration = Duration::from_secs(6);

fn failed(error: &Error) -> Objection {
    Objection::failed(error.chain())
}

pub(super) async fn terminate(trial: &mut Trial) -> Judged {
    let Live { harness, mut life } = trial.bench.ready().await?;
    life.signal(Signal::SIGTERM);
    if !life.ends(END_WITHIN).await {
        return Err(Objection::failed("idle, it went on for five seconds"));
    }
    drop(harness);
    trial.bench.synced().await?;
    let Live { mut harness, mut life } = trial.bench.held().await?;
    let held = harness.hold_sync().await.map_err(|error| failed(&error))?;
    life.signal(Signal::SIGTERM);
    let ended = life.ends(END_WITHIN).await;
    drop(held);
    if ended { Ok(()) } else { Err(Objection::failed("in a sync, it went on for five seconds")) }
}

pub(super) async fn hang_up(trial: &mut Trial) -> Judged {
    let Live { harness, mut life } = trial.bench.ready().await?;
    life.expect_end();
    drop(harness);
    if life.ends(END_WITHIN).await {
        return Ok(());
    }
    Err(Objection::failed("its socket was closed, and it went on for five seconds"))
}

pub(super) async fn killed(trial: &mut Trial) -> Judged {
    let mut wanted = trial.bench.synced().await?.keys();
    let Live { mut harness, mut life } = trial.bench.held().await?;
    let held = harness.hold_sync().await.map_err(|error| failed(&error))?;
    life.signal(Signal::SIGKILL);
    life.ends(END_WITHIN).await;
    drop((held, harness));
    let mut live = trial.bench.ready().await?;
    let (collected, synced) = live.harness.sync().await;
    synced.map_err(|error| failed(&error))?;
    let mut got = collected.keys();
    wanted.sort_unstable();
    got.sort_unstable();
    if got == wanted {
        return Ok(());
    }
    let (before, after) = (wanted.len(), got.len());
    Err(Objection::failed(format!("{before} records before, and other {after} after the kill")))
}

pub(super) async fn leftovers(trial: &mut Trial) -> Judged {
    let Live { mut harness, mut life } = trial.bench.ready().await?;
    let _ = harness.sync().await;
    life.signal(Signal::SIGTERM);
    drop(harness);
    life.ends(END_WITHIN).await;
    drop(life);
    process::settle().await;
    let left = process::end_orphans();
    if left.is_empty() {
        return Ok(());
    }
    Err(Objection::failed(format!("{} went on: {}", left.len(), left.join("; "))))
}

pub(super) async fn rests(trial: &mut Trial) -> Judged {
    trial.bench.synced().await?;
    let mut live = trial.bench.ready().await?;
    let (_, synced) = live.harness.sync().await;
    synced.map_err(|error| failed(&error))?;
    tokio::time::sleep(CALM).await;
    // Not its share of a processor: on a busy machine that is small whatever it does.
    let mut busy = 0;
    for _ in 0..LOOKS {
        tokio::time::sleep(LOOK_PAUSE).await;
        busy += u32::from(live.life.is_busy());
    }
    if busy <= LOOKS / 2 {
        return Ok(());
    }
    Err(Objection::failed(format!(
        "at {busy} of {LOOKS} looks in a second after a sync it was busy"
    )))
}

pub(super) async fn pinged(trial: &mut Trial) -> Judged {
    let mut live = trial.bench.pinged().await?;
    tokio::time::sleep(PINGED).await;
    live.harness.check().await.map(drop).map_err(|error| {
        let why = error.chain();
        Objection::failed(format!("a connection that is pinged once a second breaks: {why}"))
    })
}
