//! `start`, `stop`, `restart`, `pause`, `resume`: an order to one connector or several, and the
//! evidence that it was given.

use cordon_wire::v1;

use crate::args::{AcknowledgeArgs, OrderArgs, PauseArgs, RestartArgs};
use crate::client::{Client, answer};
use crate::commands::select::{self, Each};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;

/// Orders that need only a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Start,
    Stop,
    Resume,
}

pub(super) async fn run(
    mut client: Client,
    order: Order,
    args: OrderArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let reason = args.reason.unwrap_or_default();
    let names = select::names(&mut client, args.selection).await?;
    let each = select::each(names, async |connector| {
        let request = v1::OrderRequest { connector, reason: reason.clone(), wait: false };
        match order {
            Order::Start => answer(client.start(request)).await,
            Order::Stop => answer(client.stop(request)).await,
            Order::Resume => answer(client.resume(request)).await,
        }
    });
    show_each(each.await, out)
}

pub(super) async fn restart(
    mut client: Client,
    args: RestartArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let reason = args.order.reason.unwrap_or_default();
    let names = select::names(&mut client, args.order.selection).await?;
    let each = select::each(names, async |connector| {
        let request = v1::OrderRequest { connector, reason: reason.clone(), wait: args.wait };
        answer(client.restart(request)).await
    });
    show_each(each.await, out)
}

pub(super) async fn acknowledge(
    mut client: Client,
    args: AcknowledgeArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let AcknowledgeArgs { name: connector, reason } = args;
    let request = v1::OrderRequest { connector, reason, wait: false };
    let response = answer(client.acknowledge_policy(request)).await?;
    show(&response, out)
}

pub(super) async fn pause(
    mut client: Client,
    args: PauseArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let seconds = args.duration.map_or(0, |duration| duration.as_secs().unsigned_abs());
    let names = select::names(&mut client, args.selection).await?;
    let each = select::each(names, async |connector| {
        let request = v1::PauseRequest { connector, reason: args.reason.clone(), seconds };
        answer(client.pause(request)).await
    });
    show_each(each.await, out)
}

/// Shows what an order did.
pub(super) fn show(response: &v1::OrderResponse, out: &mut Output) -> Result<Exit, Failure> {
    show_each(Each::of(response.clone()), out)
}

fn show_each(each: Each<v1::OrderResponse>, out: &mut Output) -> Result<Exit, Failure> {
    // Where nothing was done there is no result.
    if !each.done.is_empty() {
        out.list(&each.done, &(), |scene| page(&each.done, scene))?;
    }
    each.end(Exit::Done, out)
}

fn page(responses: &[v1::OrderResponse], scene: &Scene) -> Page {
    let mut page = Page::new();
    for response in responses {
        line(&mut page, response, scene);
    }
    page
}

fn line(page: &mut Page, response: &v1::OrderResponse, scene: &Scene) {
    let mark = if response.evidence == 0 { scene.glyphs.held() } else { scene.glyphs.good() };
    page.styled(mark.tone, mark.glyph).push(" ").push(&response.message);
    evidence(page, response.evidence);
    page.end();
}

/// The number under which an act is kept.
pub(super) fn evidence(page: &mut Page, evidence: u64) {
    let text = match evidence {
        0 => "   nothing had to be done".to_owned(),
        number => format!("   evidence #{number}"),
    };
    page.styled(Tone::Dim, &text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    fn response(evidence: u64, message: &str) -> v1::OrderResponse {
        v1::OrderResponse { evidence, message: message.into(), status: Some(sample::quarantined()) }
    }

    #[test]
    fn an_order_prints_its_evidence_number() {
        let done = response(48_219, "paused ldap-corp until 18:00");
        insta::assert_snapshot!(page(&[done], &Scene::fixed()).plain(), @"✓ paused ldap-corp until 18:00   evidence #48219");
        let nothing = response(0, "ldap-corp was not paused");
        insta::assert_snapshot!(page(&[nothing], &Scene::fixed()).plain(), @"‖ ldap-corp was not paused   nothing had to be done");
    }

    #[test]
    fn an_order_as_json_has_the_new_status() {
        insta::assert_snapshot!(sample::json(&response(1, "stopped ldap-corp")), @r#"{"evidence":1,"message":"stopped ldap-corp","status":{"name":"ldap-corp","trust":"quarantined","trust_reasons":["PartialRead","RemovedOverLimit"],"trust_since":"2026-03-02T07:00:00Z","runtime":"idle","runtime_detail":"","last_good_at":"2026-03-02T06:49:00Z","last_good_sync":417,"next_sync_at":"2026-03-02T09:49:00Z","records":18204,"last_change":{"added":12,"removed":7019,"modified":40},"pause":null,"pid":41877,"restarts":0,"use":"ldap","labels":{"owner":"iam"},"progress":null,"quarantined_sync":418,"quarantined_digest":"91fe04c2aabbccdd00112233445566778899aabbccddeeff0011223344556677","reason":"","standing":[],"reread_at":null,"rest":null,"asked":null,"pending_removals":null}}"#);
    }
}
