//! `cordon wait`: return when a connector is in a state, or say what stands in the way.

use std::path::Path;
use std::time::Duration;

use cordon_wire::v1;
use serde::ser::{Serialize, SerializeMap, Serializer};
use tokio::time::Instant;

use crate::args::{Condition, WaitArgs};
use crate::client::{self, Client, answer};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::json::{Item, View};
use crate::output::page::Page;
use crate::output::scene::Scene;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// A condition that holds.
pub(super) struct Reached {
    condition: Condition,
    status: v1::ConnectorStatus,
}

impl Item for Reached {
    const KIND: &'static str = "ConditionList";

    fn name(&self) -> String {
        self.status.name.clone()
    }
}

impl Serialize for View<'_, Reached> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("condition", &self.0.condition.to_string())?;
        map.serialize_entry("status", &View(&self.0.status))?;
        map.end()
    }
}

pub(super) async fn run(socket: &Path, args: WaitArgs, out: &mut Output) -> Result<Exit, Failure> {
    let deadline = Instant::now() + args.timeout.unsigned_abs();
    let mut client = client::connect(socket).await?;
    let mut blocking = "cordond has not answered".to_owned();
    loop {
        let Ok(seen) = tokio::time::timeout_at(deadline, look(&mut client, &args.name)).await
        else {
            return Err(timed_out(&args, blocking));
        };
        blocking = match seen {
            Ok(status) => match obstacle(&args.condition, &status) {
                None => return reached(args.condition, status, out),
                Some(obstacle) => obstacle,
            },
            // It may be restarting: that is what some wait for.
            Err(lost) if lost.exit() == Exit::Unreachable => {
                if let Ok(again) = client::connect(socket).await {
                    client = again;
                }
                lost.to_string()
            }
            Err(failure) => return Err(failure),
        };
        if Instant::now() + INTERVAL > deadline {
            return Err(timed_out(&args, blocking));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn reached(
    condition: Condition,
    status: v1::ConnectorStatus,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let reached = Reached { condition, status };
    out.list(std::slice::from_ref(&reached), &(), |scene| page(&reached, scene))?;
    Ok(Exit::Done)
}

fn timed_out(args: &WaitArgs, blocking: String) -> Failure {
    Failure::TimedOut {
        connector: args.name.clone(),
        condition: args.condition.to_string(),
        waited: format!("{:#}", args.timeout),
        blocking,
    }
}

async fn look(client: &mut Client, name: &str) -> Result<v1::ConnectorStatus, Failure> {
    let request = v1::StatusRequest { connectors: vec![name.to_owned()] };
    let response = answer(client.status(request)).await?;
    response.connectors.into_iter().next().ok_or_else(|| Failure::NotFound {
        message: format!("cordond knows no connector `{name}`"),
        hint: "see them all with `cordon status`".into(),
    })
}

/// What stands between a connector and the condition; none if it holds.
fn obstacle(condition: &Condition, status: &v1::ConnectorStatus) -> Option<String> {
    let holds = match condition {
        Condition::Trust(word) => status.trust == *word,
        Condition::Runtime(word) => status.runtime == *word,
        Condition::Sync(sync) => status.last_good_sync >= *sync,
    };
    if holds {
        return None;
    }
    let mut parts = match condition {
        Condition::Runtime(_) => vec![format!("its runtime is {}", status.runtime)],
        Condition::Trust(_) => {
            vec![format!("its trust is {}, its runtime {}", status.trust, status.runtime)]
        }
        Condition::Sync(_) => {
            vec![format!("its last known good is sync {}", status.last_good_sync)]
        }
    };
    if status.quarantined_sync != 0 {
        parts.push(format!(
            "sync {} is quarantined and waits for {}",
            status.quarantined_sync,
            if status.reread_at == 0 { "a decision" } else { "a second reading" }
        ));
    }
    if let Some(pause) = &status.pause {
        parts.push(format!("paused by {}: {}", pause.by, pause.reason));
    }
    parts.extend(status.trust_reasons.first().cloned());
    if !status.runtime_detail.is_empty() {
        parts.push(status.runtime_detail.clone());
    }
    Some(parts.join("; "))
}

fn page(reached: &Reached, scene: &Scene) -> Page {
    let mut page = Page::new();
    let mark = scene.glyphs.good();
    page.styled(mark.tone, mark.glyph);
    page.line(&format!(" {} {}", reached.status.name, reached.condition));
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    #[test]
    fn a_wait_names_what_stands_in_the_way() {
        let trusted = Condition::Trust("trusted".into());
        insta::assert_snapshot!(obstacle(&trusted, &sample::quarantined()).unwrap(), @r#"its trust is quarantined, its runtime idle; sync 418 is quarantined and waits for a decision; PartialRead"#);
        let paused = &sample::status().connectors[4];
        insta::assert_snapshot!(obstacle(&Condition::Runtime("idle".into()), paused).unwrap(), @r#"its runtime is paused; paused by operator-3: cert swap"#);
        insta::assert_snapshot!(obstacle(&Condition::Sync(418), &sample::quarantined()).unwrap(), @r#"its last known good is sync 417; sync 418 is quarantined and waits for a decision; PartialRead"#);
    }

    #[test]
    fn a_later_sync_serves_as_well_as_the_one_waited_for() {
        assert_eq!(obstacle(&Condition::Sync(417), &sample::quarantined()), None);
        assert_eq!(obstacle(&Condition::Sync(400), &sample::quarantined()), None);
        assert!(obstacle(&Condition::Sync(418), &sample::quarantined()).is_some());
    }
}
