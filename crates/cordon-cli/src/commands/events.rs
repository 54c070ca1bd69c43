//! `cordon events`: the evidence, for people.

use cordon_wire::v1;
use tokio_stream::StreamExt;

use crate::args::EventsArgs;
use crate::client::{Client, answer};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;
use crate::output::table::Grid;
use crate::units;

/// Records shown to whoever did not say how many.
const EVENTS_SHOWN: u32 = 50;

pub(super) async fn run(
    mut client: Client,
    args: EventsArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let request = v1::EventsRequest {
        connector: args.name.unwrap_or_default(),
        follow: args.follow,
        limit: match args.since {
            Some(_) => args.limit.unwrap_or_default(),
            None => args.limit.unwrap_or(EVENTS_SHOWN),
        },
        since: units::since(args.since),
        after: args.after,
    };
    let mut events = answer(client.events(request)).await?;
    if args.follow || !out.format.is_for_people() {
        out.open::<v1::Event, _>(&())?;
        while let Some(event) = events.next().await {
            let event = event?;
            out.item(&event, |scene| line(&event, scene))?;
            if args.follow {
                out.flush()?;
            }
        }
        out.close()?;
        return Ok(Exit::Done);
    }
    // A table is as wide as its widest cell: it needs all rows first. Their number is bounded.
    let mut all = Vec::new();
    while let Some(event) = events.next().await {
        all.push(event?);
    }
    out.list(&all, &(), |scene| page(&all, scene))?;
    Ok(Exit::Done)
}

fn page(events: &[v1::Event], scene: &Scene) -> Page {
    let mut page = Page::new();
    if !events.is_empty() {
        grid(events, scene).write(&mut page, 0);
    }
    page
}

/// Evidence records as rows, in the order given.
pub(super) fn grid(events: &[v1::Event], scene: &Scene) -> Grid {
    let mut columns = vec!["TIME", ">EVIDENCE", "CONNECTOR", "KIND", "BY", "WHAT"];
    if scene.wide {
        columns.push("HASH");
    }
    let mut grid = Grid::new(&columns);
    for event in events {
        let mut cells = vec![
            scene.clock(event.time),
            format!("#{}", event.seq),
            if event.connector.is_empty() { "-".into() } else { event.connector.clone() },
            event.kind.clone(),
            event.actor.clone(),
            event.message.clone(),
        ];
        if scene.wide {
            cells.push(event.hash.clone());
        }
        grid.row(cells);
    }
    grid
}

/// One event while following: columns of a fixed width, as the next row is not known.
fn line(event: &v1::Event, scene: &Scene) -> Page {
    let mut page = Page::new();
    page.styled(Tone::Dim, &scene.clock(event.time));
    page.push(&format!("  #{:<6} {:<16} {:<20} ", event.seq, event.connector, event.kind));
    page.push(&format!("{}: {}", event.actor, event.message)).end();
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    #[test]
    fn events_name_their_evidence_record() {
        insta::assert_snapshot!(page(&[sample::event()], &Scene::fixed()).plain(), @r#"
        TIME      EVIDENCE  CONNECTOR  KIND              BY       WHAT
        07:00:00    #48211  ldap-corp  sync-quarantined  cordond  sync 418: 2 checks
        "#);
    }

    #[test]
    fn a_followed_event_is_one_line() {
        insta::assert_snapshot!(line(&sample::event(), &Scene::fixed()).plain(), @r#"07:00:00  #48211  ldap-corp        sync-quarantined     cordond: sync 418: 2 checks"#);
    }

    #[test]
    fn an_event_as_json_has_every_field() {
        insta::assert_snapshot!(sample::json(&sample::event()), @r#"{"seq":48211,"time":"2026-03-02T07:00:00Z","connector":"ldap-corp","kind":"sync-quarantined","actor":"cordond","message":"sync 418: 2 checks","hash":"77a0","body":"{\"sync\":418}"}"#);
    }
}
