//! What other products let through, against Cordon as it ships: no guard is written.
//!
//! Each loss is read again before a person is woken; that it comes twice changes nothing about it. The
//! same complaints under a policy of one's own are in `policy`, a directory's are in `ldap`.

use cordon_testkit::{Connector, Host, Scenario};
use serde_json::json;

use crate::export::{Export, csv, scattered, workers};
use crate::world::{delivered, held_by, last_good, newest_run, run_of};

/// The scripted source, synced once while it was honest.
fn synced(source: &Scenario) -> Host {
    let host = Host::setup().connector("src", Connector::faulty(source)).file_sink("out").start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    delivered(&host);
    host
}

/// Both readings of what the source says now are held, the first until the second, and the second for
/// a person; nothing of them goes out. Gives what holds.
#[track_caller]
fn held(host: &Host, now: &Scenario) -> Vec<String> {
    let (before, good) = (host.changes("out"), last_good(host, "src"));
    host.play("src", now);
    let first = run_of(&host.sync("src").done());
    assert_eq!(first["outcome"], "quarantined", "{first}");
    assert_eq!(host.cordon(&["status", "src", "--exit-code"]).code, 0, "it is read again first");
    let second = run_of(&host.sync("src").done());
    assert_eq!(second["outcome"], "quarantined", "{second}");
    assert_eq!(host.cordon(&["status", "src", "--exit-code"]).code, 3, "now a person is needed");
    assert_eq!(last_good(host, "src"), good);
    assert_eq!(host.changes("out"), before, "the sink got nothing");
    held_by(&first)
}

#[track_caller]
fn names(held: &[String], code: &str) {
    assert!(held.iter().any(|it| it == code), "no {code} in {held:?}");
}

fn users(users: u32) -> Scenario {
    Scenario { users, groups: 0, grants_per_user: 0, ..Scenario::default() }
}

fn without(source: &Scenario, lost: std::ops::Range<u32>) -> Scenario {
    Scenario { without: lost.map(|user| format!("u{user}")).collect(), ..source.clone() }
}

#[test]
fn as_shipped_an_empty_list_a_page_cap_and_a_fifth_less_each_cycle_are_held() {
    let source = Scenario::default();
    let empty = held(&synced(&source), &Scenario::with("sync-end", "empty"));
    names(&empty, "CRD-C201");
    names(&empty, "CRD-C202");
    // The source gives 800 of 1,000 and says that this is all.
    let source = users(1_000);
    let faults = Scenario::with("sync-end", "truncate:80").faults;
    names(&held(&synced(&source), &Scenario { faults, ..source.clone() }), "CRD-D101");
    // A limit of 20 % a cycle, as others have it, never sees this; here the first cycle waits.
    let source = users(100);
    let host = synced(&source);
    names(&held(&host, &without(&source, 0..19)), "CRD-D101");
    names(&held_by(&newest_run(&host, "src")), "CRD-D101");
    assert_eq!(last_good(&host, "src"), 1);
}

#[test]
fn as_shipped_an_attribute_that_all_lost_and_a_rename_of_all_ids_are_held() {
    let source = Scenario::default();
    let lost = Scenario::with("sync-end", "null-attribute:email");
    names(&held(&synced(&source), &lost), "CRD-S302");
    names(&held(&synced(&source), &Scenario::with("sync-end", "rekey")), "CRD-D401");
}

#[test]
fn as_shipped_another_tenants_records_are_held() {
    let own = workers(220);
    let export = Export::of_workers(json!({}));
    assert_eq!(export.sync(&csv(&own))["outcome"], "committed");
    delivered(&export.host);
    let before = export.host.changes("out");
    let mut mixed = own.clone();
    mixed.extend(workers(280).split_off(220).into_iter().map(|mut other| {
        other.id = format!("x{}", other.id);
        other.mail = other.mail.replace("corp", "other");
        other.teams = other.teams.replace('t', "o");
        other
    }));
    for _ in 0..2 {
        let run = export.sync(&csv(&mixed));
        assert_eq!(run["outcome"], "quarantined", "{run}");
        names(&held_by(&run), "CRD-D601");
    }
    assert_eq!(export.host.changes("out"), before);
}

/// A thousand workers, after sixty syncs without a change.
fn quiet() -> Export {
    let export = Export::of_workers(json!({}));
    for _ in 0..60 {
        assert_eq!(export.sync(&csv(&workers(1_000)))["outcome"], "committed");
    }
    export
}

#[test]
fn as_shipped_half_a_percent_lost_by_a_source_that_only_loses_is_held_at_once() {
    let export = quiet();
    let run = export.sync(&csv(&scattered(&workers(1_000), 5)));
    assert_eq!(run["outcome"], "quarantined", "{run}");
    names(&held_by(&run), "CRD-D501");
}

/// While somebody joins with every sync, too, each loss is a day like any other, and passes when the
/// second reading brings the same. What they add up to is not made usual by that.
#[test]
fn as_shipped_half_a_percent_lost_every_sync_beside_joiners_is_held_before_a_twentieth_is_gone() {
    let export = quiet();
    let mut staff = workers(1_000);
    let held = (1..=9).find(|sync| {
        staff = scattered(&staff, 5);
        staff.extend(workers(1_000 + sync).split_off(999 + *sync as usize));
        let mut run = export.sync(&csv(&staff));
        if held_by(&run) == ["CRD-V301"] {
            assert!(run["findings"].to_string().contains("CRD-D506"), "{run}");
            run = export.sync(&csv(&staff));
        }
        if run["outcome"] == "quarantined" {
            assert_eq!(held_by(&run), ["CRD-D506"], "{run}");
        }
        run["outcome"] == "quarantined"
    });
    assert!(held.is_some(), "forty-five of a thousand are gone, and nobody was asked");
}

#[test]
fn as_shipped_a_reorganisation_that_was_released_is_not_asked_about_again() {
    let all = workers(300);
    let export = Export::of_workers(json!({}));
    assert_eq!(export.sync(&csv(&all))["outcome"], "committed");
    // Every fifth worker goes with a site that was sold.
    let left = scattered(&all, 60);
    let run = export.sync(&csv(&left));
    names(&held_by(&run), "CRD-D101");
    export.release(&run);
    let again = export.sync(&csv(&left));
    assert_eq!((&again["outcome"], held_by(&again)), (&json!("committed"), Vec::new()));
    // Ordinary leavers of the same day pass beside one who joins.
    let mut later = scattered(&left, 3);
    later.extend(workers(301).split_off(300));
    let run = export.sync(&csv(&later));
    assert_eq!(run["outcome"], "committed", "{run}");
    // As many in a sync that brings nothing are asked about for themselves, not for the site.
    let run = export.sync(&csv(&scattered(&later, 3)));
    assert_eq!(held_by(&run), ["CRD-D501"], "{run}");
    // A second wave is another matter.
    let run = export.sync(&csv(&scattered(&later, 48)));
    names(&held_by(&run), "CRD-D101");
    assert_eq!(run["outcome"], "quarantined");
}
