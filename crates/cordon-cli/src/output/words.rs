//! Sentences that several commands say of what waits: what is left of a sync, and whose word is
//! missing.

use cordon_wire::v1;

use crate::units;

/// `ldap-corp 418: 52 changes passed, 7,019 removals are held`.
pub(crate) fn rest(connector: &str, sync: u64, rest: &v1::RestOfSync) -> String {
    let left = rest.left.unwrap_or_default();
    let passed = units::changes_sum(&rest.released.unwrap_or_default());
    let waits = if units::changes_sum(&left) == left.removed {
        units::plural(left.removed, "removal", "removals")
    } else {
        units::plural(units::changes_sum(&left), "change", "changes")
    };
    let how = if rest.left_by == "policy" { "held" } else { "not released" };
    let verb = if waits.starts_with("1 ") { "is" } else { "are" };
    format!(
        "{connector} {sync}: {} passed, {waits} {verb} {how}",
        units::plural(passed, "change", "changes")
    )
}

/// `ldap-corp 418: ann asked to release all changes ("INC-1"); a second person has until 17:00:00`.
pub(crate) fn asked(connector: &str, sync: u64, asked: &v1::ReleaseAsked, until: &str) -> String {
    format!(
        "{connector} {sync}: {} asked to release {} (\"{}\"); a second person has until {until}",
        asked.by, asked.selection, asked.reason
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(left_by: &str, released: u64, removed: u64, added: u64) -> String {
        let counts = |added, removed| Some(v1::ChangeCounts { added, removed, modified: 0 });
        let of = v1::RestOfSync {
            left_by: left_by.into(),
            released: counts(released, 0),
            left: counts(added, removed),
        };
        rest("ldap-corp", 418, &of)
    }

    #[test]
    fn what_is_left_says_how_much_passed_and_who_left_it() {
        assert_eq!(
            left("policy", 52, 7_019, 0),
            "ldap-corp 418: 52 changes passed, 7,019 removals are held"
        );
        assert_eq!(
            left("person", 1, 1, 0),
            "ldap-corp 418: 1 change passed, 1 removal is not released"
        );
        assert_eq!(
            left("person", 0, 1, 1),
            "ldap-corp 418: 0 changes passed, 2 changes are not released"
        );
    }
}
