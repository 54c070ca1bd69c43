//! The step that the detector sees is that of the records, wherever they were stored.

use cordon_validate::detect::{Measure, Statistic, Step};

use super::*;

fn of_step(step: &Step, statistic: Statistic) -> Option<&Measure> {
    step.measures.iter().find(|measure| measure.statistic == statistic)
}

/// Two hundred users, ten groups with an entitlement each, and three grants a user.
fn company() -> Vec<Record> {
    let mut records: Vec<Record> = (0..200).map(|n| user("users", &format!("u{n:03}"))).collect();
    records.extend((0..10).map(|n| group("groups", &format!("g{n}"))));
    let entitlements =
        (0..10).map(|n| entitlement("groups", &format!("e{n}"), &format!("g{n}"), n == 0));
    records.extend(entitlements);
    for of in 0..10 {
        let members = (0..200).filter(|user| (user + of) % 3 == 0 || user % 10 == of);
        records.extend(members.map(|n| grant("grants", &format!("u{n:03}"), &format!("e{of}"))));
    }
    records
}

fn step_to(records: &[Record], reports: Vec<ScopeReport>) -> Step {
    let place = Host::new();
    let first = place.publish(1, &company(), None);
    let staged = stage(&place.store, 2, records, reports, Some(&first), 50).unwrap();
    staged.candidate.step.unwrap()
}

fn is_of(record: &Record, kind: &str, column: &str, text: &str) -> bool {
    record.row.record_type == of(kind) && record.row.values.get(column) == Some(&super::text(text))
}

#[test]
fn the_end_of_a_listing_that_is_missing_is_measured_as_that() {
    let mut records = company();
    let gone = |record: &Record| {
        (194..200).any(|n| {
            let id = format!("u{n:03}");
            is_of(record, "resource.user", "id", &id)
                || is_of(record, "grant.user", "principal", &id)
        })
    };
    records.retain(|record| !gone(record));
    let reports = complete(&records);
    let step = step_to(&records, reports.clone());
    let tail = of_step(&step, Statistic::Tail).unwrap();
    assert_eq!((tail.count, tail.of, tail.subject.as_str()), (6, 200, "user"));
    assert!(tail.examples.contains(&"user:u199".to_owned()), "{tail:?}");
    // What they held went with them, and is no loss of its own.
    assert_eq!(of_step(&step, Statistic::GrantsGone), None);

    let proven = reports.into_iter().map(|mut report| {
        report.received = 1;
        report.source_total = Some(1);
        report
    });
    let step = step_to(&records, proven.collect());
    assert_eq!(of_step(&step, Statistic::Tail), None, "a total that agrees leaves no shape");
    assert!(of_step(&step, Statistic::PeopleGone).unwrap().proven);
}

#[test]
fn a_group_without_members_is_told_from_one_that_went() {
    let mut records = company();
    let members = records.iter().filter(|r| is_of(r, "grant.user", "entitlement", "e4")).count();
    records.retain(|record| !is_of(record, "grant.user", "entitlement", "e4"));
    let step = step_to(&records, complete(&records));
    assert_eq!(of_step(&step, Statistic::Emptied).unwrap().count, members as u64);

    records.retain(|record| !is_of(record, "resource.group", "id", "g4"));
    records.retain(|record| !is_of(record, "entitlement.group", "id", "e4"));
    let step = step_to(&records, complete(&records));
    assert_eq!(of_step(&step, Statistic::Emptied), None, "its grants are known by their resource");
}

#[test]
fn records_that_changed_alike_are_read_and_compared() {
    let mail = |n: u32, upper: bool| {
        let mail = format!("u{n:03}@example.org");
        let mail = if upper { mail.to_uppercase() } else { mail };
        user_with("users", &format!("u{n:03}"), &[("mail", text(&mail))])
    };
    let place = Host::new();
    let before: Vec<Record> = (0..100).map(|n| mail(n, false)).collect();
    let first = place.publish(1, &before, None);
    let after: Vec<Record> = (0..100).map(|n| mail(n, n % 2 == 0)).collect();
    let staged = stage(&place.store, 2, &after, complete(&after), Some(&first), 50).unwrap();
    let step = staged.candidate.step.unwrap();
    let recased = of_step(&step, Statistic::Recased).unwrap();
    assert_eq!((recased.count, recased.subject.as_str()), (50, "user.mail"));
}

#[test]
fn what_was_carried_forward_is_neither_gone_nor_new() {
    let mut records = company();
    records.retain(|record| record.scope != "users" || record.row.key().as_str() < "user:u150");
    let reports = complete(&records)
        .into_iter()
        .map(|report| if report.name == "users" { incomplete("users") } else { report });
    let step = step_to(&records, reports.collect());
    assert!(!step.changed, "{step:?}");
}

#[test]
fn what_was_judged_is_published_byte_by_byte_whatever_fractions_it_has() {
    use cordon_validate::detect::{Measure, Statistic, Step};

    let host = Host::new();
    let staged = host.stage(1, &[user("a", "ann")], None);
    let mut manifest = (*host.store.candidate(&hr(), SyncNumber(1)).unwrap().manifest).clone();
    // Fractions of as many digits as a measured step has: some are read as their neighbour.
    let measures = (2..20_000_u64).map(|of| Measure {
        statistic: Statistic::PeopleGone,
        value: 98_736.0 / (of as f64).sqrt(),
        subject: String::new(),
        count: 98_736,
        of,
        proven: false,
        examples: Vec::new(),
    });
    manifest.step = Some(Step { measures: measures.collect(), ..Step::default() });
    let digest = crate::finish::shelve(&host.store, &manifest).unwrap();
    let published = host.publish_staged(&Staged {
        candidate: Candidate { digest: digest.clone(), ..staged.candidate.clone() },
        ..staged
    });
    assert_eq!(*published.digest, *digest);
}
