//! The shape of a step tells a broken read from a changed source, where every fixed limit is kept.

use cordon_testkit::{Connector, Host, Scenario};
use serde_json::{Value, json};

use crate::export::{Export, Worker, csv, scattered, workers};
use crate::world::{believed_from, delivered, held_by, last_good, run_of};

/// An export of them is read under that guard, and was accepted.
#[track_caller]
fn accepted(guard: Value, workers: &[Worker]) -> Export {
    let export = Export::of_workers(guard);
    assert_eq!(export.sync(&csv(workers))["outcome"], "committed");
    export
}

/// A person is woken at once, and the source is not asked: what is shown is the shape alone.
fn alone() -> Value {
    json!({ "reread": { "times": 0 }, "lookup": { "keys": 0 } })
}

/// The same guard without the detector.
fn blind() -> Value {
    json!({ "reread": { "times": 0 }, "lookup": { "keys": 0 }, "shape": "off" })
}

/// The last so many of a listing are lost.
fn cut(workers: &[Worker], lost: usize) -> Vec<Worker> {
    workers[..workers.len() - lost].to_vec()
}

#[test]
fn a_lost_end_of_a_listing_below_every_fixed_limit_is_held() {
    let all = workers(300);
    let export = accepted(alone(), &all);
    delivered(&export.host);
    let run = export.sync(&csv(&cut(&all, 10)));
    assert_eq!(run["outcome"], "quarantined", "{run}");
    let held = held_by(&run);
    assert!(held.contains(&"CRD-D502".to_owned()), "{held:?}");
    assert!(held.iter().all(|code| code.starts_with("CRD-D5")), "a fixed limit noticed: {held:?}");
    let findings = run["findings"].as_array().unwrap();
    let told = findings.iter().find(|finding| finding["code"] == "CRD-D502").unwrap();
    assert_eq!((&told["subject"], &told["measured"]), (&json!("user"), &json!(10)));
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("10 of 300") && message.contains("no total of the source"), "{told}");
    assert!(told["examples"][0].as_str().unwrap().starts_with("user:w0"), "{told}");
    assert_eq!(last_good(&export.host, "hr"), 1);
    assert!(believed_from(&export.host, "hr").contains_key("user:w0299"));

    let text = export.host.cordon_as("table", &["diff", "hr"]).done().stdout;
    assert!(text.contains("CRD-D502") && text.contains("10 of 300"), "{text}");
    let page = export.host.cordon_as("table", &["explain", "CRD-D502"]).done().stdout;
    assert!(page.contains("CRD-D502"), "{page}");
}

#[test]
fn without_the_detector_the_same_loss_passes() {
    let all = workers(300);
    let export = accepted(blind(), &all);
    assert_eq!(export.sync(&csv(&cut(&all, 10)))["outcome"], "committed");
}

#[test]
fn as_many_leavers_from_all_over_the_listing_pass_beside_who_joins() {
    let all = workers(300);
    let export = accepted(alone(), &all);
    let mut staff = scattered(&all, 10);
    assert_eq!(staff.len(), 290);
    staff.extend(workers(306).split_off(300));
    let run = export.sync(&csv(&staff));
    assert_eq!(run["outcome"], "committed", "{run}");
}

/// Who works in a source does more than take away; a broken read only takes.
#[test]
fn the_same_leavers_in_a_sync_that_brings_nothing_are_held() {
    let all = workers(300);
    let export = accepted(alone(), &all);
    let run = export.sync(&csv(&scattered(&all, 10)));
    assert_eq!(run["outcome"], "quarantined", "{run}");
    let held = held_by(&run);
    assert!(held.iter().all(|code| code == "CRD-D501"), "a fixed limit noticed: {held:?}");
}

#[test]
fn a_total_of_the_source_turns_the_same_end_into_a_change() {
    let scenario = |users| Scenario { users, totals: true, ..Scenario::default() };
    let connector = Connector::faulty(&scenario(300)).set("guard", alone());
    let host = Host::setup().connector("src", connector).start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    host.play("src", &scenario(290));
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "committed", "the source counts what it gave: {run}");

    let blind = |users| Scenario { users, ..Scenario::default() };
    let connector = Connector::faulty(&blind(300)).set("guard", alone());
    let host = Host::setup().connector("src", connector).start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    host.play("src", &blind(290));
    let run = run_of(&host.sync("src").done());
    assert!(held_by(&run).contains(&"CRD-D502".to_owned()), "{run}");
}

/// Accounts of a host, half of them with a second group, and twenty of them in the group `night`.
fn accounts(root: &std::path::Path, night: std::ops::Range<u32>) {
    let etc = root.join("etc");
    std::fs::create_dir_all(&etc).unwrap();
    let account = |n: u32| format!("u{n}:x:{}:100:Account {n}:/home/u{n}:/bin/sh\n", 2_000 + n);
    let passwd: String = (0..300).map(account).collect();
    std::fs::write(etc.join("passwd"), passwd).unwrap();
    let names = |of: &mut dyn Iterator<Item = u32>| {
        of.map(|n| format!("u{n}")).collect::<Vec<_>>().join(",")
    };
    let mut groups = "users:x:100:\n".to_owned();
    for team in 0..10 {
        let members = names(&mut (0..300).filter(|n| n % 20 == team));
        groups.push_str(&format!("team{team}:x:{}:{members}\n", 500 + team));
    }
    groups.push_str(&format!("night:x:600:{}\n", names(&mut night.map(|n| n * 7))));
    std::fs::write(etc.join("group"), groups).unwrap();
}

#[test]
fn a_group_that_lost_all_its_members_is_held_where_one_that_lost_two_is_not() {
    for (guard, left, held) in
        [(alone(), 0..0, true), (alone(), 2..20, false), (blind(), 0..0, false)]
    {
        let folder = tempfile::tempdir().unwrap();
        accounts(folder.path(), 0..20);
        let config = json!({ "root": folder.path(), "include": ["users", "groups"] });
        let connector =
            Connector::program("connector-linux").config(config).set("guard", guard.clone());
        let host = Host::setup().connector("host", connector).start();
        assert_eq!(run_of(&host.sync("host").done())["outcome"], "committed");
        accounts(folder.path(), left);
        let run = run_of(&host.sync("host").done());
        assert_eq!(run["outcome"] == "quarantined", held, "{guard} {run}");
        assert_eq!(held_by(&run).contains(&"CRD-D503".to_owned()), held, "{run}");
    }
}

#[test]
fn another_tenants_records_in_a_sync_are_held() {
    let known = workers(220);
    let export = accepted(alone(), &known);
    // A joiner or two are a normal day.
    let mut joined = known.clone();
    joined.extend(workers(222).split_off(220));
    assert_eq!(export.sync(&csv(&joined))["outcome"], "committed");
    let others = (0..60_u32).map(|number| Worker {
        id: format!("x{number:04}"),
        mail: format!("someone{number}@other.example"),
        teams: format!("o{}", number % 5),
    });
    let mixed: Vec<Worker> = joined.iter().cloned().chain(others).collect();
    let run = export.sync(&csv(&mixed));
    assert_eq!(run["outcome"], "quarantined", "{run}");
    assert!(held_by(&run).contains(&"CRD-D601".to_owned()), "{run}");
    delivered(&export.host);
    let believed = believed_from(&export.host, "hr");
    assert!(believed.keys().all(|key| !key.contains("x00")), "nothing of theirs went out");
}

#[test]
fn an_attribute_that_all_lost_or_that_came_in_capitals_is_held() {
    let all = workers(300);
    let with = |mail: &dyn Fn(&str) -> String| -> Vec<Worker> {
        let changed = |worker: &Worker| Worker { mail: mail(&worker.mail), ..worker.clone() };
        all.iter().map(changed).collect()
    };
    for changed in [with(&|_| String::new()), with(&str::to_uppercase)] {
        let export = accepted(alone(), &all);
        let run = export.sync(&csv(&changed));
        assert_eq!(run["outcome"], "quarantined", "{run}");
        assert!(held_by(&run).contains(&"CRD-S401".to_owned()), "{run}");
        let export = accepted(blind(), &all);
        let codes = held_by(&export.sync(&csv(&changed)));
        assert!(!codes.contains(&"CRD-S401".to_owned()), "{codes:?}");
    }
}

#[test]
fn the_same_people_under_new_ids_are_told_from_leavers_and_joiners() {
    let all = workers(300);
    let mut moved = all.clone();
    for worker in moved.iter_mut().skip(100).take(20) {
        worker.id = format!("x{}", worker.id);
    }
    let export = accepted(alone(), &all);
    let run = export.sync(&csv(&moved));
    assert!(held_by(&run).contains(&"CRD-D604".to_owned()), "{run}");
    let findings = run["findings"].as_array().unwrap();
    let told = findings.iter().find(|finding| finding["code"] == "CRD-D604").unwrap();
    assert_eq!(told["measured"], 20);
    let example = told["examples"][0].as_str().unwrap();
    assert!(example.contains("user:w01") && example.contains("user:xw01"), "{told}");

    let mapping = export.host.cordon(&["diff", "hr", "--remap"]).done().items();
    let pairs =
        mapping.iter().map(|it| [&it["old"], &it["new"], &it["by"]].map(|it| it.as_str().unwrap()));
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_unstable();
    let expected: Vec<_> = (100..120)
        .map(|number| {
            [format!("user:w{number:04}"), format!("user:xw{number:04}"), "email".to_owned()]
        })
        .collect();
    let expected: Vec<_> = expected.iter().map(|it| it.each_ref().map(String::as_str)).collect();
    assert_eq!(pairs, expected);
    let page = export.host.cordon_as("table", &["diff", "hr", "--remap"]).done().stdout;
    assert!(page.contains("20 records of resource.user went and came under another id"), "{page}");
    assert!(
        export.host.cordon(&["diff", "hr", "--remap", "--kind", "group"]).done().items().is_empty()
    );
}

#[test]
fn a_suspicion_is_read_again_by_itself_and_a_fault_that_passes_wakes_nobody() {
    let all = workers(300);
    let guard = json!({ "reread": { "after": "4s" }, "lookup": { "keys": 0 } });
    let export = accepted(guard, &all);
    let run = export.sync(&csv(&cut(&all, 12)));
    assert!(held_by(&run).contains(&"CRD-D502".to_owned()), "{run}");
    assert!(export.host.status("hr")["reread_at"].is_string());
    export.write(&csv(&all));
    cordon_testkit::wait_until("it is read again", std::time::Duration::from_secs(20), || {
        last_good(&export.host, "hr") > 1
    });
    assert!(!export.host.log().contains("sync quarantined"), "somebody was woken");
}

#[test]
fn where_the_source_confirms_what_is_gone_an_unusual_loss_passes() {
    let all = workers(300);
    let guard = json!({ "reread": { "times": 0 }, "removals_verified": "accept" });
    let export = accepted(guard, &all);
    let run = export.sync(&csv(&cut(&all, 12)));
    let codes: Vec<_> = run["findings"].as_array().unwrap().iter().map(|it| &it["code"]).collect();
    assert!(codes.contains(&&json!("CRD-D502")) && codes.contains(&&json!("CRD-V201")), "{run}");
    assert_eq!(run["outcome"], "committed", "{run}");
}

#[test]
fn what_was_released_is_learnt_across_a_restart_and_a_mass_loss_is_asked_about_each_time() {
    // A limit that is wide open: only the detector speaks.
    let guard = json!({
        "reread": { "times": 0 }, "lookup": { "keys": 0 }, "removed_24h_percent": 100,
        "removed": { "default": { "percent": 100 } },
    });
    let all = workers(300);
    let mut export = accepted(guard, &all);
    let first = scattered(&all, 60);
    let run = export.sync(&csv(&first));
    assert_eq!(run["outcome"], "quarantined", "{run}");
    export.release(&run);
    export.host.kill();
    export.host.start();
    assert_eq!(
        export.sync(&csv(&first))["outcome"],
        "committed",
        "what was released is not asked again"
    );
    let again = export.sync(&csv(&scattered(&first, 60)));
    assert_eq!(again["outcome"], "quarantined", "another loss of its size is: {again}");
}

#[test]
fn what_was_not_accepted_teaches_nothing() {
    let all = workers(300);
    let export = accepted(alone(), &all);
    for _ in 0..3 {
        let run = export.sync(&csv(&cut(&all, 12)));
        assert_eq!(run["outcome"], "quarantined", "{run}");
        export.sync(&csv(&all));
    }
    assert_eq!(export.sync(&csv(&cut(&all, 12)))["outcome"], "quarantined");
}
