//! What the detector is told of a step is what happened, wherever the rows lie.

use cordon_model::{ScopeReport, Value};
use cordon_validate::detect::{Measure, Statistic, Step};

use crate::layout::ObjectKind;
use crate::stage::StageError;
use crate::tests::{
    Host, Record, complete, entitlement, grant, group, incomplete, of, schemas, spec, stage, text,
    user, user_with,
};
use crate::{ReadError, Staged};

fn users(scope: &str, numbers: std::ops::Range<u32>) -> Vec<Record> {
    numbers.map(|number| user(scope, &format!("u{number:03}"))).collect()
}

fn step(staged: &Staged) -> &Step {
    staged.candidate.step.as_ref().expect("the step was measured")
}

#[track_caller]
fn measured(staged: &Staged, statistic: Statistic) -> &Measure {
    let found = step(staged).measures.iter().find(|measure| measure.statistic == statistic);
    found.unwrap_or_else(|| panic!("no {statistic:?} in {:?}", step(staged)))
}

fn has(staged: &Staged, statistic: Statistic) -> bool {
    step(staged).measures.iter().any(|measure| measure.statistic == statistic)
}

#[test]
fn a_lost_end_of_a_listing_is_seen_as_an_end_and_the_same_loss_scattered_is_not() {
    let host = Host::new();
    let first = host.publish(1, &users("all", 0..200), None);
    let cut = host.stage(2, &users("all", 0..192), Some(&first));
    let tail = measured(&cut, Statistic::Tail);
    assert_eq!((tail.count, tail.of, tail.subject.as_str(), tail.proven), (8, 200, "user", false));
    assert!(tail.value > 10.0, "by chance once in 10^{}", tail.value);
    assert_eq!(tail.examples[0], "user:u199");

    let scattered: Vec<_> =
        users("all", 0..200).into_iter().enumerate().filter(|(at, _)| at % 25 != 3).collect();
    let scattered: Vec<_> = scattered.into_iter().map(|(_, record)| record).collect();
    let left = host.stage(3, &scattered, Some(&first));
    assert_eq!(scattered.len(), 192);
    assert!(!has(&left, Statistic::Tail) && !has(&left, Statistic::Run));
    assert_eq!(measured(&left, Statistic::PeopleGone).count, 8);
}

/// Users of two scopes that arrive in turns, three at a time.
fn in_turns(of_a: u32, of_b: u32) -> Vec<Record> {
    let (mut a, mut b) = (users("a", 0..of_a), users("b", 500..500 + of_b));
    let mut records = Vec::new();
    while !a.is_empty() || !b.is_empty() {
        records.extend(a.drain(..a.len().min(3)));
        records.extend(b.drain(..b.len().min(3)));
    }
    records
}

#[test]
fn the_listing_of_a_scope_is_seen_whole_when_scopes_arrive_in_turns() {
    let host = Host::new();
    let first = host.publish(1, &in_turns(60, 60), None);
    assert!(!first.manifest.files[0].arrival.is_empty());
    for (of_a, of_b) in [(50, 60), (60, 50)] {
        let cut = host.stage(2, &in_turns(of_a, of_b), Some(&first));
        assert_eq!(measured(&cut, Statistic::Run).count, 10, "{of_a} and {of_b}");
    }
}

#[test]
fn scopes_that_arrive_one_after_the_other_take_no_room_for_their_order() {
    let host = Host::new();
    let records = [users("a", 0..10), users("b", 20..30)].concat();
    let first = host.publish(1, &records, None);
    assert!(first.manifest.files[0].arrival.is_empty());
}

fn counted(records: &[Record], total: u64) -> Vec<ScopeReport> {
    let mut reports = complete(records);
    for report in &mut reports {
        report.received = records.len() as u64;
        report.source_total = Some(total);
    }
    reports
}

#[test]
fn where_the_source_counts_what_came_a_loss_is_proven_and_has_no_shape() {
    let host = Host::new();
    let first = host.publish(1, &users("all", 0..200), None);
    let rest = users("all", 0..192);
    let agreed = stage(&host.store, 2, &rest, counted(&rest, 192), Some(&first), 3).unwrap();
    assert!(measured(&agreed, Statistic::PeopleGone).proven);
    assert!(!has(&agreed, Statistic::Tail));
    let differs = stage(&host.store, 3, &rest, counted(&rest, 200), Some(&first), 3).unwrap();
    assert!(!measured(&differs, Statistic::PeopleGone).proven);
    assert_eq!(measured(&differs, Statistic::Tail).count, 8);
}

#[test]
fn what_is_carried_forward_is_no_loss() {
    let host = Host::new();
    let first = host.publish(1, &users("all", 0..200), None);
    let cut =
        stage(&host.store, 2, &users("all", 0..100), vec![incomplete("all")], Some(&first), 3)
            .unwrap();
    assert!(!step(&cut).changed && step(&cut).measures.is_empty(), "{:?}", step(&cut));
    let again = host.stage(3, &users("all", 0..200), Some(&first));
    assert_eq!(step(&cut).content, step(&again).content);
}

#[test]
fn a_content_is_known_by_what_the_records_are_and_not_by_their_order() {
    let host = Host::new();
    let named = |names: [&str; 3]| -> Vec<Record> {
        let users = ["u0", "u1", "u2"].into_iter().zip(names);
        users.map(|(id, name)| user_with("all", id, &[("mail", text(name))])).collect()
    };
    let first = host.publish(1, &named(["x", "y", "z"]), None);
    let content =
        |sync, records: &[Record], last| step(&host.stage(sync, records, Some(last))).content;
    let known = content(2, &named(["ada", "bob", "cyd"]), &first);
    let mut turned = named(["ada", "bob", "cyd"]);
    turned.reverse();
    assert_eq!(content(3, &turned, &first), known);
    for (sync, other) in (4..).zip([["ada", "bob", "dan"], ["bob", "ada", "cyd"], ["x", "y", "z"]])
    {
        assert_ne!(content(sync, &named(other), &first), known, "{other:?}");
    }
    // Whatever it is compared with.
    let other = host.publish(7, &users("all", 0..40), Some(&first));
    assert_eq!(content(8, &turned, &other), known);
}

#[test]
fn the_end_of_a_listing_is_its_end_beside_what_was_carried_forward() {
    let host = Host::new();
    let (a, b) = (users("a", 0..100), users("b", 200..220));
    let first = host.publish(1, &[a.clone(), b.clone()].concat(), None);
    let mut reports = complete(&a);
    reports.push(incomplete("b"));
    let half = stage(&host.store, 2, &a, reports, Some(&first), 3).unwrap();
    let half = host.publish_staged(&half);
    assert_eq!(half.manifest.files.len(), 2);
    let cut = host.stage(3, &[users("a", 0..92), b].concat(), Some(&half));
    let tail = measured(&cut, Statistic::Tail);
    assert_eq!((tail.count, tail.of), (8, 120));
}

/// Users in groups, each with a plain and a privileged entitlement; members hold the plain one.
fn members(of: &[(&str, std::ops::Range<u32>)]) -> Vec<Record> {
    let mut records = users("all", 0..30);
    for (name, _) in of {
        records.push(group("all", name));
    }
    for (name, _) in of {
        records.push(entitlement("all", &format!("{name}:member"), name, false));
        records.push(entitlement("all", &format!("{name}:owner"), name, true));
    }
    for (name, numbers) in of {
        for number in numbers.clone() {
            records.push(grant("all", &format!("u{number:03}"), &format!("{name}:member")));
        }
    }
    records
}

#[test]
fn grants_are_seen_at_the_group_that_their_entitlement_is_held_on() {
    let host = Host::new();
    let before = members(&[("dev", 0..12), ("ops", 10..25)]);
    let first = host.publish(1, &before, None);
    let emptied = host.stage(2, &members(&[("dev", 0..12), ("ops", 0..0)]), Some(&first));
    let told = measured(&emptied, Statistic::Emptied);
    // Of the twelve and fifteen grants that there were.
    assert_eq!((told.count, told.of), (15, 27));

    // All of them become owners: the group is not empty, and nobody left.
    let mut raised = before;
    for record in &mut raised {
        if record.row.values.get("entitlement") == Some(&text("ops:member")) {
            record.row.values.insert("entitlement".to_owned(), text("ops:owner"));
        }
    }
    let raised = host.stage(3, &raised, Some(&first));
    assert!(!has(&raised, Statistic::Emptied), "{:?}", step(&raised));
    assert_eq!(measured(&raised, Statistic::PrivilegedCame).count, 15);
}

#[test]
fn of_what_is_kept_the_grants_of_who_is_gone_and_the_privileged_ones_are_counted() {
    let host = Host::new();
    let owners = |numbers: std::ops::Range<u32>| {
        numbers.map(|number| grant("all", &format!("u{number:03}"), "dev:owner"))
    };
    let mut before = members(&[("dev", 0..12)]);
    before.extend(owners(0..3));
    let first = host.publish(1, &before, None);
    // Two grants of members stay, and that of an owner.
    let gone = [text("u001"), text("u005")];
    let mut orphaned = before.clone();
    orphaned.retain(|record| {
        record.row.record_type != of("resource.user")
            || !record.row.values.get("id").is_some_and(|id| gone.contains(id))
    });
    let orphaned = host.stage(2, &orphaned, Some(&first));
    assert_eq!(measured(&orphaned, Statistic::Orphaned).count, 3);

    let mut more = before;
    more.extend(owners(4..10));
    let more = host.stage(3, &more, Some(&first));
    let came = measured(&more, Statistic::PrivilegedCame);
    assert_eq!((came.count, came.of), (6, 3));
}

#[test]
fn where_a_group_lost_members_in_its_listing_is_told_by_where_the_kept_ones_stand() {
    let host = Host::new();
    let whole = members(&[("a", 0..30), ("b", 0..30), ("c", 0..30)]);
    let first = host.publish(1, &whole, None);
    let left = |lost: std::ops::Range<u32>| {
        let lost: Vec<Value> = lost.map(|number| text(&format!("u{number:03}"))).collect();
        let mut left = whole.clone();
        left.retain(|record| {
            let principal = record.row.values.get("principal");
            !principal.is_some_and(|principal| lost.contains(principal))
        });
        left
    };
    let ends = host.stage(2, &left(26..30), Some(&first));
    assert_eq!(measured(&ends, Statistic::TargetTails).count, 3);
    let middles = host.stage(3, &left(10..14), Some(&first));
    assert_eq!(measured(&middles, Statistic::GrantsGone).count, 3 * 4);
    assert!(!has(&middles, Statistic::TargetTails), "{:?}", step(&middles));
}

#[test]
fn a_group_that_goes_with_its_grants_and_entitlements_is_one_cause() {
    let host = Host::new();
    let first = host.publish(1, &members(&[("dev", 0..12), ("ops", 10..25)]), None);
    let gone = host.stage(2, &members(&[("dev", 0..12)]), Some(&first));
    assert_eq!(step(&gone).causes, 1, "{:?}", step(&gone));
    assert!(!has(&gone, Statistic::Emptied));
}

#[test]
fn values_are_seen_before_and_after() {
    let host = Host::new();
    let with = |mail: &dyn Fn(u32) -> Option<String>| -> Vec<Record> {
        let users = (0..60).map(|number| {
            let mail = mail(number).map(|mail| ("mail", Value::Text(mail)));
            user_with("all", &format!("u{number:03}"), mail.as_slice())
        });
        users.collect()
    };
    let first = host.publish(1, &with(&|number| Some(format!("u{number}@corp.example"))), None);
    let shouted =
        host.stage(2, &with(&|number| Some(format!("U{number}@CORP.EXAMPLE"))), Some(&first));
    let recased = measured(&shouted, Statistic::Recased);
    assert_eq!((recased.count, recased.subject.as_str()), (60, "user.mail"));
    let partly =
        |number: u32| (!number.is_multiple_of(3)).then(|| format!("u{number}@corp.example"));
    let cleared = host.stage(3, &with(&partly), Some(&first));
    let stripped = measured(&cleared, Statistic::Stripped);
    assert_eq!((stripped.count, stripped.subject.as_str()), (20, "user.mail"));
}

#[test]
fn values_of_a_type_are_seen_though_the_walk_ends_with_others_while_they_are_read() {
    let host = Host::new();
    let with = |mail: &dyn Fn(&str) -> String| {
        // So many that the rest is walked before they are read.
        let mut records = users("all", 0..4_000);
        for record in &mut records {
            let mail = mail(&record.row.key());
            record.row.values.insert("mail".to_owned(), Value::Text(mail));
        }
        records.push(group("all", "dev"));
        records.push(entitlement("all", "dev:member", "dev", false));
        records.push(grant("all", "u007", "dev:member"));
        records
    };
    let first = host.publish(1, &with(&|key| format!("{key}@corp.example")), None);
    let shouted = host.stage(2, &with(&|key| format!("{key}@CORP.EXAMPLE")), Some(&first));
    assert_eq!(measured(&shouted, Statistic::Recased).count, 4_000);
}

#[test]
fn a_first_sync_and_one_that_nobody_wants_measured_have_no_step_and_old_manifests_had_none() {
    let host = Host::new();
    let records = users("all", 0..20);
    let staged = host.stage(1, &records, None);
    assert_eq!(staged.candidate.step, None);
    let first = host.publish_staged(&staged);
    let text = serde_json::to_string(&*first.manifest).unwrap();
    assert!(!text.contains("\"step\"") && !text.contains("\"arrival\""), "{text}");
    assert_eq!(serde_json::from_str::<crate::Manifest>(&text).unwrap(), *first.manifest);

    let mut staging =
        host.store.stage(crate::StageSpec { shape: false, ..spec(2, schemas()) }).unwrap();
    crate::tests::append(&mut staging, &records[..10], 3).unwrap();
    let unmeasured = staging.finish(complete(&records[..10]), Some(&first)).unwrap();
    assert_eq!(unmeasured.candidate.step, None);
}

#[test]
fn the_measured_step_stays_with_the_snapshot() {
    let host = Host::new();
    let first = host.publish(1, &users("all", 0..40), None);
    let staged = host.stage(2, &users("all", 0..38), Some(&first));
    let second = host.publish_staged(&staged);
    assert_eq!(second.manifest.step, staged.candidate.step);
    assert!(step(&staged).changed);
}

/// More grants than the walk tells in all the batches that may wait: 240 users who hold a hundred
/// entitlements on ten groups, but what `without` leaves out.
fn crowd(without: impl Fn(u32, u32) -> bool) -> Vec<Record> {
    let mut records = users("all", 0..240);
    records.extend((0..10).map(|number| group("all", &format!("g{number}"))));
    let id = |number: u32| format!("e{number:03}");
    let of = |number: u32| entitlement("all", &id(number), &format!("g{}", number % 10), false);
    records.extend((0..100).map(of));
    for number in 0..100 {
        let holders = (0..240).filter(|user| !without(number, *user));
        records.extend(holders.map(|user| grant("all", &format!("u{user:03}"), &id(number))));
    }
    records
}

#[test]
fn of_many_records_each_is_seen_once() {
    let host = Host::new();
    let whole = crowd(|_, _| false);
    let first = host.publish(1, &whole, None);
    let same = host.stage(2, &whole, Some(&first));
    assert!(!step(&same).changed && step(&same).measures.is_empty(), "{:?}", step(&same));
    // On group 3 one user is left, and on group 4 a single grant is gone.
    let cut = crowd(|number, user| (number % 10 == 3 && user != 5) || (number == 4 && user == 9));
    let cut = host.stage(3, &cut, Some(&first));
    let gone = measured(&cut, Statistic::GrantsGone);
    assert_eq!((gone.count, gone.of), (10 * 239 + 1, 24_000));
    assert!(!gone.examples.is_empty(), "rows that are read beside the walk are shown in the end");
    assert!(!has(&cut, Statistic::Emptied), "one holder is left: {:?}", step(&cut));
    assert_ne!(step(&cut).content, step(&same).content);
    let emptied = host.stage(4, &crowd(|number, _| number % 10 == 3), Some(&first));
    assert_eq!(measured(&emptied, Statistic::Emptied).count, 10 * 240);
}

/// Batches come back and are used again: what one told is not told twice.
#[test]
fn of_many_kept_grants_those_of_who_is_gone_and_the_privileged_ones_are_counted_once() {
    let host = Host::new();
    let privileged = |mut records: Vec<Record>| {
        let first = (0..10).map(|number| text(&format!("e{number:03}")));
        let first: Vec<Value> = first.collect();
        for record in records.iter_mut().filter(|it| it.row.record_type == of("entitlement.group"))
        {
            let is_first = record.row.values.get("id").is_some_and(|id| first.contains(id));
            record.row.values.insert("privileged".to_owned(), Value::Boolean(is_first));
        }
        records
    };
    let before = privileged(crowd(|number, user| number == 0 && user < 6));
    let first = host.publish(1, &before, None);
    let mut after = privileged(crowd(|_, _| false));
    let gone: Vec<Value> = (100..140).map(|user| text(&format!("u{user:03}"))).collect();
    after.retain(|record| {
        record.row.record_type != of("resource.user")
            || !record.row.values.get("id").is_some_and(|id| gone.contains(id))
    });
    let after = host.stage(2, &after, Some(&first));
    // Forty users held a hundred each; ten entitlements are held by 240, but for six.
    assert_eq!(measured(&after, Statistic::Orphaned).count, 40 * 100);
    let came = measured(&after, Statistic::PrivilegedCame);
    assert_eq!((came.count, came.of), (6, 10 * 240 - 6));
}

#[test]
fn a_row_that_cannot_be_read_ends_the_sync_while_the_walk_goes_on() {
    let host = Host::new();
    let whole = crowd(|_, _| false);
    let first = host.publish(1, &whole, None);
    let changes = [
        ("resource.user", "mail", text("u@corp.example")),
        ("entitlement.group", "privileged", Value::Boolean(true)),
    ];
    for (kind, column, value) in changes {
        let mut records = whole.clone();
        let record = records.iter_mut().find(|record| record.row.record_type == of(kind)).unwrap();
        record.row.values.insert(column.to_owned(), value);
        let file = first.manifest.files.iter().find(|file| file.record_type == of(kind)).unwrap();
        let path = host.store.shared.layout.object(ObjectKind::Data, &file.data);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[1..]).unwrap();
        let staged = stage(&host.store, 2, &records, complete(&records), Some(&first), 3);
        let Err(StageError::Read(error)) = staged else { panic!("{kind} was read") };
        assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
        std::fs::write(&path, &bytes).unwrap();
        host.stage(3, &records, Some(&first));
    }
}
