//! What a release would do: which sinks get what.

use cordon_wire::v1;

use crate::output::page::Page;
use crate::output::table::Grid;
use crate::units;

/// Says it of a sync that waits; of any other there is nothing to say.
pub(super) fn write(header: &v1::DiffHeader, page: &mut Page) {
    let Some(told) = &header.told else { return };
    page.section("If you release it");
    if header.sinks.is_empty() {
        page.line("  no sink takes what this connector reports");
        return;
    }
    let mut grid = Grid::new(&["SINK", "TYPE", ">ADD", ">REMOVE", ">CHANGE", "STATE"]);
    for sink in &header.sinks {
        grid.row([
            sink.name.clone(),
            sink.r#type.clone(),
            units::count(told.added),
            units::count(told.removed),
            units::count(told.modified),
            state(sink),
        ]);
    }
    grid.write(page, 2);
    if header.total.is_some_and(|total| total != *told) {
        page.line(
            "  other numbers than below: removals are pending first, as the time of grace says",
        );
    }
}

/// How the sink is, and what it gets first.
fn state(sink: &v1::SinkStatus) -> String {
    match sink.behind {
        0 => sink.state.clone(),
        behind => format!("{}, after {} that wait", sink.state, units::count(behind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(
        total: (u64, u64, u64),
        told: Option<(u64, u64, u64)>,
        sinks: &[(&str, u64)],
    ) -> String {
        let counts = |(added, removed, modified)| v1::ChangeCounts { added, removed, modified };
        let sink = |(state, behind): &(&str, u64)| v1::SinkStatus {
            name: "entra".into(),
            r#type: "webhook".into(),
            state: (*state).into(),
            behind: *behind,
            ..Default::default()
        };
        let header = v1::DiffHeader {
            total: Some(counts(total)),
            told: told.map(counts),
            sinks: sinks.iter().map(sink).collect(),
            ..Default::default()
        };
        let mut page = Page::new();
        write(&header, &mut page);
        page.plain()
    }

    #[test]
    fn a_release_says_what_each_sink_would_get_and_what_stands_before_it() {
        let told = Some((12, 7_019, 40));
        let text = effect((12, 7_019, 40), told, &[("live", 0), ("failing", 443)]);
        insta::assert_snapshot!(text, @r"
        If you release it
          SINK   TYPE     ADD  REMOVE  CHANGE  STATE
          entra  webhook   12   7,019      40  live
          entra  webhook   12   7,019      40  failing, after 443 that wait
        ");
    }

    #[test]
    fn where_sinks_are_told_of_other_numbers_than_the_diff_has_that_is_said() {
        let of = |told| effect((0, 3, 1), Some(told), &[("live", 0)]);
        assert!(of((0, 0, 4)).contains("as the time of grace says"), "{}", of((0, 0, 4)));
        assert!(!of((0, 3, 1)).contains("as the time of grace says"));
    }

    #[test]
    fn that_nobody_gets_it_is_said_and_of_what_does_not_wait_nothing() {
        assert!(effect((1, 0, 0), Some((1, 0, 0)), &[]).contains("no sink takes"));
        assert_eq!(effect((1, 0, 0), None, &[("live", 0)]), "");
    }
}
