//! `cordon diff --remap`: which records are those that went, under other ids.

use std::collections::BTreeMap;

use cordon_wire::v1;
use serde::Serialize;
use tokio_stream::StreamExt;

use crate::args::DiffArgs;
use crate::client::{Client, answer};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::{Page, Tone};
use crate::output::table::Grid;
use crate::units;

#[derive(Serialize)]
struct Extra {}

pub(super) async fn run(
    mut client: Client,
    args: &DiffArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let request = v1::RemapRequest {
        connector: args.name.clone(),
        sync: args.sync.unwrap_or_default(),
        against: args.against.unwrap_or_default(),
        types: args.kind.clone(),
    };
    let mut answers = answer(client.remap(request)).await?;
    let mut renamed = Vec::new();
    while let Some(one) = answers.next().await {
        renamed.push(one?);
    }
    out.list(&renamed, &Extra {}, |_| page(&renamed))?;
    Ok(if args.exit_code && !renamed.is_empty() { Exit::Attention } else { Exit::Done })
}

fn page(renamed: &[v1::Renamed]) -> Page {
    let mut page = Page::new();
    if renamed.is_empty() {
        page.line("no record that went is known under another id");
        return page;
    }
    let mut grid = Grid::new(&["OLD", "NEW", "KNOWN BY"]);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for one in renamed {
        grid.row([one.old.clone(), one.new.clone(), one.by.clone()]);
        *counts.entry(one.record_type.as_str()).or_default() += 1;
    }
    grid.write(&mut page, 0);
    page.end();
    for (of, count) in counts {
        let records = units::plural(count, "record", "records");
        page.styled(Tone::Strong, &format!("{records} of {of} went and came under another id."));
        page.push(" A proposal: nothing acts on it.").end();
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    fn renamed(number: u64) -> v1::Renamed {
        v1::Renamed {
            record_type: "resource.user".into(),
            old: format!("user:u{number}"),
            new: format!("user:c9f1\u{1b}{number}"),
            by: "mail".into(),
        }
    }

    #[test]
    fn a_mapping_says_who_is_who_and_by_what() {
        let renamed = [renamed(7), renamed(42)];
        insta::assert_snapshot!(page(&renamed).plain(), @r#"
        OLD       NEW                KNOWN BY
        user:u7   user:c9f1\u{1b}7   mail
        user:u42  user:c9f1\u{1b}42  mail

        2 records of resource.user went and came under another id. A proposal: nothing acts on it.
        "#);
        insta::assert_snapshot!(page(&[]).plain(), @"no record that went is known under another id");
        insta::assert_snapshot!(sample::json(&renamed[0]), @r#"{"record_type":"resource.user","old":"user:u7","new":"user:c9f1\u001b7","by":"mail"}"#);
    }
}
