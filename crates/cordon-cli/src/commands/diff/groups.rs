//! Where a change is: what the records that changed have in common, and how much that explains.

use cordon_wire::v1;

use super::share;
use crate::escape::clip;
use crate::output::page::Page;
use crate::output::table::Grid;
use crate::units;

/// Characters of what a group has in common.
const COMMON_CHARS_MAX: usize = 60;
/// Of so many thousandths of a change a group is said to explain it.
const EXPLAINS_MIN: u128 = 500;

/// Adds the groups as lines below the table of types.
pub(super) fn write(groups: &[v1::ChangeGroup], page: &mut Page) {
    if groups.is_empty() {
        return;
    }
    page.end();
    let mut grid = Grid::new(&["", ">CHANGED", "TYPE", "IN COMMON", ">OF THAT GROUP", ""]);
    for group in groups {
        grid.row([
            sign(&group.op).to_owned(),
            count(group),
            group.record_type.rsplit('.').next().unwrap_or_default().to_owned(),
            common(group),
            group.of_group.map_or_else(|| "-".into(), |of| share(group.changed, of)),
            explains(group),
        ]);
    }
    grid.write(page, 2);
}

fn sign(op: &str) -> &'static str {
    match op {
        "added" => "+",
        "removed" => "-",
        "modified" => "~",
        _ => "?",
    }
}

fn count(group: &v1::ChangeGroup) -> String {
    let few = if group.at_least { ">= " } else { "" };
    format!("{few}{}", units::count(group.changed))
}

fn common(group: &v1::ChangeGroup) -> String {
    let text = if group.value.is_empty() {
        group.attribute.clone()
    } else {
        format!("{} = {}", group.attribute, group.value)
    };
    clip(&text, COMMON_CHARS_MAX)
}

/// `<- explains 99.8 % of removals`; nothing of a group that holds less than half of them.
fn explains(group: &v1::ChangeGroup) -> String {
    let whole = u128::from(group.of_changed.max(1));
    if u128::from(group.changed) * 1_000 < whole * EXPLAINS_MIN {
        return String::new();
    }
    let what = match group.op.as_str() {
        "added" => "additions",
        "removed" => "removals",
        _ => "changes",
    };
    let share = match share(group.changed, group.of_changed).as_str() {
        "100.0 %" => "all".to_owned(),
        share => format!("{share} of"),
    };
    format!("<- explains {share} {what}")
}
