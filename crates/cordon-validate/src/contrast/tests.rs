//! What a contrast names, and what it does not.

use cordon_model::Value;
use proptest::prelude::*;

use super::*;

fn of(text: &str) -> RecordType {
    RecordType::try_from(text.to_owned()).unwrap()
}

/// A user with these attributes.
fn user(id: u32, attributes: &[(&str, &str)]) -> Row {
    let mut values: BTreeMap<String, Value> = attributes
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::Text((*value).to_owned())))
        .collect();
    values.insert("id".to_owned(), Value::Text(format!("u{id}")));
    Row { record_type: of("resource.user"), values }
}

fn grant(principal: &str, entitlement: &str) -> Row {
    let text = |text: &str| Value::Text(text.to_owned());
    let values = BTreeMap::from([
        ("principal".to_owned(), text(principal)),
        ("entitlement".to_owned(), text(entitlement)),
    ]);
    Row { record_type: of("grant.user"), values }
}

fn removal(row: &Row) -> Change {
    let record_type = row.record_type.clone();
    Change {
        op: ChangeOp::Removed,
        record_type,
        key: row.key(),
        before: Some(row.clone()),
        after: None,
        pending_removal: None,
    }
}

/// The groups that explain why those of `before` are gone that `is_gone` names.
fn explain(before: &[Row], is_gone: impl Fn(usize, &Row) -> bool) -> Vec<Group> {
    let mut contrast = Contrast::new([]);
    let gone = before.iter().enumerate().filter(|(at, row)| is_gone(*at, row));
    gone.for_each(|(_, row)| contrast.note(&removal(row)));
    let mut suspects = contrast.suspects();
    before.iter().for_each(|row| suspects.count(ChangeOp::Removed, row));
    suspects.into_groups()
}

fn words(groups: &[Group]) -> Vec<String> {
    let word = |group: &Group| {
        format!(
            "{}/{} of {:?}: {} = {}",
            group.changed,
            group.of_changed,
            group.of_group,
            group.attribute,
            group.value.as_deref().unwrap_or_default()
        )
    };
    groups.iter().map(word).collect()
}

fn region(id: u32) -> &'static str {
    if id < 400 { "EMEA" } else { "NA" }
}

#[test]
fn the_unit_that_was_lost_is_found_and_what_everybody_has_in_common_is_not() {
    let users: Vec<Row> = (0..1_000)
        .map(|id| {
            user(id, &[("ou", region(id)), ("account_type", "human"), ("name", &id.to_string())])
        })
        .collect();
    // All of EMEA, and two of NA.
    let groups = explain(&users, |at, _| at < 400 || at == 500 || at == 600);
    assert_eq!(words(&groups), ["400/402 of Some(400): ou = EMEA"]);
}

#[test]
fn scattered_losses_have_no_group() {
    let users: Vec<Row> = (0..1_000).map(|id| user(id, &[("ou", region(id))])).collect();
    assert!(explain(&users, |at, _| at % 10 == 0).is_empty());
    assert!(explain(&users, |at, _| at < 4).is_empty(), "four are chance");
}

#[test]
fn domains_parents_and_the_ends_of_grants_are_groups_too() {
    let users: Vec<Row> = (0..100)
        .map(|id| {
            let domain = if id < 30 { "old.example" } else { "example.com" };
            user(id, &[("email", &format!("u{id}@{domain}")), ("parent", "group:g1")])
        })
        .collect();
    let groups = explain(&users, |at, _| at < 30);
    assert_eq!(words(&groups), ["30/30 of Some(30): email domain = old.example"]);
    let grants: Vec<Row> =
        (0..100).map(|id| grant(&format!("u{id}"), if id < 40 { "vpn" } else { "mail" })).collect();
    let groups = explain(&grants, |at, _| at < 40);
    assert_eq!(words(&groups), ["40/40 of Some(40): entitlement = vpn"]);
}

#[test]
fn grants_that_went_with_their_principals_are_said_to() {
    let mut all: Vec<Row> = (0..100).map(|id| user(id, &[("ou", "x")])).collect();
    all.extend((0..100).map(|id| grant(&format!("u{id}"), &format!("g{}", id % 10))));
    let groups = explain(&all, |at, _| at % 100 < 20);
    let of_grants: Vec<_> = groups.iter().filter(|it| it.record_type == of("grant.user")).collect();
    assert_eq!(of_grants.len(), 1);
    assert_eq!(of_grants[0].value.as_deref(), Some("removed as well"));
    assert_eq!((of_grants[0].changed, of_grants[0].of_changed), (20, 20));
}

#[test]
fn attributes_that_are_masked_name_no_group() {
    let users: Vec<Row> = (0..100)
        .map(|id| user(id, &[("salary", if id < 20 { "9" } else { "1" }), ("mail", "a@b.example")]))
        .collect();
    let masked = ["salary", "mail"].map(|name| (of("resource.user"), name.to_owned()));
    let mut contrast = Contrast::new(masked);
    users[..20].iter().for_each(|row| contrast.note(&removal(row)));
    let mut suspects = contrast.suspects();
    users.iter().for_each(|row| suspects.count(ChangeOp::Removed, row));
    assert!(suspects.into_groups().is_empty());
}

#[test]
fn of_modifications_the_attributes_that_changed_are_told() {
    let mut contrast = Contrast::new([]);
    for id in 0..40 {
        let before = user(id, &[("title", "SRE"), ("mail", "a")]);
        let after = if id < 31 {
            user(id, &[("title", "Staff SRE"), ("mail", "a")])
        } else {
            user(id, &[("title", "SRE")])
        };
        contrast.note(&Change {
            op: ChangeOp::Modified,
            record_type: of("resource.user"),
            key: before.key(),
            before: Some(before),
            after: Some(after),
            pending_removal: None,
        });
    }
    let groups = contrast.suspects().into_groups();
    assert_eq!(words(&groups), ["31/40 of None: title = ", "9/40 of None: mail = "]);
}

proptest! {
    /// Whichever unit is lost whole, and however many others leave, it is the first to be named, and
    /// the order of records does not matter.
    #[test]
    fn a_unit_that_was_lost_whole_is_named_first(
        sizes in prop::collection::vec(20_usize..60, 3..8), lost in any::<prop::sample::Index>(),
        others in prop::collection::vec(any::<prop::sample::Index>(), 0..8), turn in 0_u32..3,
    ) {
        let lost = lost.index(sizes.len());
        let mut users = Vec::new();
        for (unit, size) in sizes.iter().enumerate() {
            for _ in 0..*size {
                let id = users.len() as u32;
                // Every third user, so that no floor holds a unit and little else.
                let floor = ((id + turn) % 3).to_string();
                users.push(user(id, &[("unit", &format!("unit {unit}")), ("floor", &floor)]));
            }
        }
        let leavers: Vec<usize> = others.iter().map(|at| at.index(users.len())).collect();
        let name = Value::Text(format!("unit {lost}"));
        let is_gone = |at: usize, row: &Row| row.values["unit"] == name || leavers.contains(&at);
        let groups = explain(&users, is_gone);
        prop_assert_eq!(&groups[0].attribute, "unit");
        prop_assert_eq!(groups[0].value.clone(), Some(format!("unit {lost}")));
        prop_assert_eq!(groups[0].changed, sizes[lost] as u64);
        prop_assert_eq!(groups[0].of_group, Some(sizes[lost] as u64));
        let mut turned = users.clone();
        turned.reverse();
        let last = users.len() - 1;
        prop_assert_eq!(explain(&turned, |at, row| is_gone(last - at, row)), groups);
    }
}
