//! What is found wrong with single records and with references.

use cordon_validate::{Defect, DefectKind};

use super::*;

fn defects(records: &[Record]) -> Vec<Defect> {
    Host::new().stage(1, records, None).candidate.defects
}

/// Kind, column, count, out of how many, and examples.
fn short(defects: &[Defect]) -> Vec<String> {
    let line = |defect: &Defect| {
        let column = defect.column.as_deref().unwrap_or("-");
        let Defect { kind, count, of, examples, .. } = defect;
        format!("{kind:?} {column} {count}/{of} {examples:?}")
    };
    defects.iter().map(line).collect()
}

#[test]
fn sound_records_have_no_defects() {
    let records = [
        user_with("a", "Zoë Ünal", &[("owner", text("user:Zoë Ünal"))]),
        group("a", "ops:eu"),
        entitlement("a", "e1", "ops:eu", true),
        grant("a", "Zoë Ünal", "e1"),
    ];
    assert_eq!(defects(&records), []);
}

#[test]
fn a_repeated_key_is_a_duplicate_even_when_the_rows_are_equal() {
    let records = [user("a", "ann"), user("a", "bob"), user("b", "ann"), user("b", "ann")];
    assert_eq!(short(&defects(&records)), [r#"DuplicateKey - 2/4 ["user:ann", "user:ann"]"#]);
}

#[test]
fn one_entitlement_id_on_two_types_of_resource_is_a_duplicate() {
    let app = |id: &str| {
        let values = [("id", text(id)), ("resource", text("group:ops"))];
        record("a", "entitlement.app", &values)
    };
    let records = [group("a", "ops"), entitlement("a", "e1", "ops", false), app("e1"), app("e2")];
    let found = defects(&records);
    assert_eq!(short(&found), [r#"DuplicateKey - 1/1 ["entitlement:e1"]"#]);
}

#[test]
fn ids_that_are_empty_too_long_or_hold_control_characters_are_malformed() {
    let long = "x".repeat(1025);
    let longest = "x".repeat(1024);
    for id in ["", "a\nb", "a\u{7f}", "a\u{85}b", "\0", &long] {
        let found = defects(&[user("a", "ann"), user("a", id)]);
        assert_eq!(found.len(), 1, "{id:?}");
        assert_eq!((found[0].kind, found[0].count, found[0].of), (DefectKind::MalformedId, 1, 2));
    }
    for id in [&longest, "a b", "Â", "\u{a0}"] {
        assert_eq!(defects(&[user("a", id)]), [], "{id:?}");
    }
}

#[test]
fn both_ends_of_a_grant_are_ids_too() {
    let found = defects(&[grant("a", "a\tb", "\u{9f}")]);
    let malformed = found.iter().filter(|defect| defect.kind == DefectKind::MalformedId);
    let columns: Vec<_> = malformed.map(|defect| defect.column.as_deref().unwrap()).collect();
    assert_eq!(columns, ["entitlement", "principal"]);
}

#[test]
fn a_required_attribute_that_is_absent_is_counted_with_its_records() {
    let bare = |id: &str| record("a", "entitlement.group", &[("id", text(id))]);
    let records = [group("a", "ops"), entitlement("a", "e0", "ops", false), bare("e1"), bare("e2")];
    let expected = r#"MissingRequired resource 2/3 ["entitlement:e1", "entitlement:e2"]"#;
    assert_eq!(short(&defects(&records)), [expected]);
}

#[test]
fn an_attribute_that_is_announced_as_required_is_required() {
    let host = Host::new();
    let mut mail = attribute("mail", AttributeType::Text);
    mail.required = true;
    let announced = vec![RecordSchema { record_type: of("resource.user"), attributes: vec![mail] }];
    let mut staging = host.store.stage(spec(1, announced)).unwrap();
    let records = [user_with("a", "ann", &[("mail", text(""))]), user("a", "bob")];
    append(&mut staging, &records, 2).unwrap();
    let staged = staging.finish(complete(&records), None).unwrap();
    assert_eq!(short(&staged.candidate.defects), [r#"MissingRequired mail 1/2 ["user:bob"]"#]);
    assert!(staged.candidate.census.types[&of("resource.user")].columns["mail"].required);
}

#[test]
fn times_before_1970_and_from_2200_on_are_implausible() {
    let at = |id: &str, micros: i64| {
        let time = Timestamp::from_microsecond(micros).unwrap();
        user_with("a", id, &[("hired", Value::Timestamp(time))])
    };
    let last = "2200-01-01T00:00:00Z".parse::<Timestamp>().unwrap().as_microsecond();
    let records = [
        at("early", -1),
        at("first", 0),
        at("last", last),
        at("late", last + 1),
        user("a", "none"),
    ];
    let expected = r#"ImplausibleTime hired 2/5 ["user:early", "user:late"]"#;
    assert_eq!(short(&defects(&records)), [expected]);
}

#[test]
fn a_time_that_no_calendar_holds_does_not_stop_the_sync() {
    let host = Host::new();
    let mut staging = host.store.stage(spec(1, schemas())).unwrap();
    staging.begin_scope(0, "a").unwrap();
    let column = |name: &str, values| Column {
        name: AttributeName::new(name).unwrap(),
        presence: None,
        values,
    };
    let id = Values::Text { offsets: vec![0, 1], data: "x".to_owned() };
    let columns = vec![column("id", id), column("hired", Values::Timestamp(vec![i64::MAX]))];
    staging.append(Batch::new(0, of("resource.user"), 1, columns).unwrap()).unwrap();
    let staged = staging.finish(vec![report("a", ScopeOutcome::Complete)], None).unwrap();
    assert_eq!(staged.candidate.defects[0].kind, DefectKind::ImplausibleTime);
    let candidate = host.store.candidate(&hr(), SyncNumber(1)).unwrap();
    let change = host.store.changes(None, &candidate, 0).unwrap().next().unwrap().unwrap();
    assert_eq!(change.after.unwrap().values["hired"], Value::Integer(i64::MAX));
}

#[test]
fn a_reference_that_is_not_type_and_id_is_malformed_and_not_dangling() {
    for wrong in ["", "ann", "user:", ":ann", "User:ann", "user ann", "user:a\nb", "9x:ann"] {
        let found = defects(&[user_with("a", "ann", &[("owner", text(wrong))])]);
        let expected = format!("MalformedReference owner 1/1 {:?}", ["user:ann"]);
        assert_eq!(short(&found), [expected], "{wrong:?}");
    }
}

#[test]
fn a_dangling_reference_is_named_by_a_record_that_has_it() {
    let records = [
        user("a", "ann"),
        group("a", "ops"),
        entitlement("a", "e1", "ops", false),
        entitlement("a", "e2", "lost", false),
        grant("a", "ann", "e1"),
        grant("a", "ann", "e3"),
        grant("a", "bob", "e1"),
        grant("a", "bob", "e3"),
    ];
    let found = short(&defects(&records));
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[0], r#"DanglingReference resource 1/2 ["entitlement:e2"]"#);
    assert_eq!(found[1], r#"DanglingReference entitlement 1/2 ["user:ann -> e3"]"#);
    assert!(found[2].starts_with(r#"DanglingReference principal 1/2 ["user:bob -> "#));
}

#[test]
fn a_reference_may_end_in_what_is_carried_forward() {
    let host = Host::new();
    let old = [user("people", "ann"), group("g", "ops"), entitlement("g", "e1", "ops", false)];
    let first = host.publish(1, &old, None);
    let records =
        [user_with("new", "bob", &[("owner", text("user:ann"))]), grant("new", "ann", "e1")];
    let mut reports = complete(&records);
    reports.push(incomplete("people"));
    let staged = stage(&host.store, 2, &records, reports, Some(&first), 3).unwrap();
    assert_eq!(staged.candidate.defects, []);
    // The same sync, had the scopes been enumerated to their ends.
    let mut reports = complete(&records);
    reports.extend(complete(&old));
    let staged = stage(&host.store, 3, &records, reports, Some(&first), 3).unwrap();
    let dangling = |defect: &Defect| defect.kind == DefectKind::DanglingReference;
    assert_eq!(staged.candidate.defects.iter().filter(|defect| dangling(defect)).count(), 3);
}

#[test]
fn no_more_than_five_records_are_quoted() {
    let records: Vec<_> = (0..20).map(|n| user("a", &format!("\n{n}"))).collect();
    let found = defects(&records);
    assert_eq!((found[0].count, found[0].examples.len()), (20, 5));
}
