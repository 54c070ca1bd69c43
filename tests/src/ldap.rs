//! A directory from its server to a sink: what is there arrives, and what is hidden, cut off or lost
//! on the way is no removal.

use std::collections::BTreeSet;
use std::time::Duration;

use cordon_testkit::ldap::{Access, BASE, Cut, READER, Seed, Slapd};
use cordon_testkit::{Connector, Host, wait_until};
use serde_json::{Value, json};

use crate::world::{believed_from, delivered, held_by, last_good, newest_run, run_of};

/// A connector that reads a server without TLS.
fn connector(url: &str, more: &Value) -> Connector {
    let mut config = json!({
        "url": url,
        "bind_dn": READER,
        "bind_password": "secret",
        "base": BASE,
        "plaintext": true,
        "placeholders": [format!("cn=nobody,{BASE}")],
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    // A try by itself after a failure could be what a sync that a test asks for joins.
    Connector::program("connector-ldap")
        .config(config)
        .set("restart", json!({ "backoff": "1h..1h" }))
}

fn host(connector: Connector) -> Host {
    Host::setup().connector("dir", connector).file_sink("out").start()
}

/// A small directory that was read and accepted once.
fn accepted(more: &Value) -> Option<(Slapd, Host)> {
    let server = Slapd::start(&Seed::small(), &Access::default())?;
    let host = host(connector(&server.url(), more));
    assert_eq!(run_of(&host.sync("dir").done())["outcome"], "committed");
    delivered(&host);
    Some((server, host))
}

/// Keys that were removed at the sink after so many changes.
fn removed(host: &Host, before: usize) -> Vec<String> {
    let changes = host.changes("out");
    let removed = changes.iter().skip(before).filter(|change| change["op"] == "removed");
    removed.map(|change| change["key"].as_str().unwrap().to_owned()).collect()
}

/// What a scope of the newest run was found to be.
fn findings(run: &Value, code: &str) -> Vec<String> {
    let all = run["findings"].as_array().cloned().unwrap_or_default();
    let of_code = all.iter().filter(|finding| finding["code"] == code);
    of_code.map(|finding| finding["message"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_directory_arrives_whole_from_inside_its_walls_and_within_its_memory() {
    let seed = Seed::large();
    let Some(server) = Slapd::start(&seed, &Access::default()) else { return };
    let is_root = std::fs::metadata("/proc/self")
        .is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let limits = json!({ "memory": "96MiB" });
    let mut reads = connector(&server.url(), &json!({})).set("limits", limits);
    let mut setup = Host::setup().file_sink("out");
    if is_root {
        // No network but the server, no files but the host's libraries, a user of its own.
        let place = server.url().replace("ldap://", "");
        reads = reads.set("allow", json!({ "connect": [place] }));
        setup = setup.set("daemon", "profile", "service");
    }
    let host = setup.connector("dir", reads).start();
    let run = run_of(&host.sync("dir").done());
    assert_eq!(run["outcome"], "committed", "{run}");
    delivered(&host);
    let believed: BTreeSet<String> = believed_from(&host, "dir").into_keys().collect();
    let truth: BTreeSet<String> = seed.truth().into_keys().collect();
    let differing: Vec<_> = believed.symmetric_difference(&truth).take(5).collect();
    assert!(differing.is_empty(), "{differing:?}");
    let peak = run["connector_peak_bytes"].as_u64().unwrap();
    assert!(peak < 96 << 20, "{peak}");
    let log = host.cordon(&["logs", "dir"]).done().stdout;
    assert!(log.contains("the directory was read"), "{log}");
}

#[test]
fn a_changed_day_arrives_as_what_changed_and_a_move_is_no_leaver() {
    let Some((server, host)) = accepted(&json!({})) else { return };
    let (before, seed) = (host.changes("out").len(), Seed::small());
    server.modify(&format!(
        "dn: {}\nchangetype: modrdn\nnewrdn: uid=u{}\ndeleteoldrdn: 1\nnewsuperior: {}\n\ndn: {}\n\
         changetype: modify\nreplace: title\ntitle: Director\n\ndn: {}\nchangetype: modify\nadd: \
         member\nmember: {}\n",
        // In no group that names members by DN, so nothing else speaks of where it was.
        lone(&seed),
        lone_user(&seed),
        Seed::department(5),
        seed.user_dn(21),
        Seed::group_dn(0),
        seed.user_dn(399),
    ));
    let run = run_of(&host.sync("dir").done());
    assert_eq!(run["outcome"], "committed", "{run}");
    delivered(&host);
    let changes = host.changes("out");
    let what: BTreeSet<String> = changes[before..]
        .iter()
        .map(|it| format!("{} {}", it["op"].as_str().unwrap(), it["key"].as_str().unwrap()))
        .collect();
    let expected = BTreeSet::from([
        format!("modified user:{}", Seed::user_id(lone_user(&seed))),
        format!("modified user:{}", Seed::user_id(21)),
        format!("added user:{} -> member:{}", Seed::user_id(399), Seed::group_id(0)),
    ]);
    assert_eq!(what, expected);
}

/// A user that is a member of no group by DN, and nobody's manager.
fn lone_user(seed: &Seed) -> usize {
    let named: BTreeSet<usize> = (0..seed.groups)
        .filter(|group| group % 20 != 7)
        .flat_map(|group| seed.members_of(group))
        .collect();
    (40..seed.users).find(|user| user % 100 != 99 && !named.contains(user)).unwrap()
}

fn lone(seed: &Seed) -> String {
    seed.user_dn(lone_user(seed))
}

#[test]
fn a_department_that_is_hidden_in_silence_is_quarantined_and_its_people_are_not_confirmed_gone() {
    // Even a policy that believes the source does not: it cannot say that they are gone.
    let Some(mut server) = Slapd::start(&Seed::small(), &Access::default()) else { return };
    let reads = connector(&server.url(), &json!({}))
        .set("guard", json!({ "removals_verified": "accept", "reread": { "times": 0 } }));
    let host = host(reads);
    assert_eq!(run_of(&host.sync("dir").done())["outcome"], "committed");
    delivered(&host);
    let before = host.changes("out");
    server.allow(&Access::without(&format!("dn.subtree={} by * none", Seed::department(3))));
    host.sync("dir");
    let run = newest_run(&host, "dir");
    assert_eq!(run["outcome"], "quarantined", "{run}");
    let held = held_by(&run);
    assert!(held.contains(&"CRD-D101".to_owned()), "{held:?}");
    assert!(held.contains(&"CRD-F101".to_owned()), "{held:?}");
    assert!(findings(&run, "CRD-V201").is_empty(), "the loss was confirmed: {run}");
    assert_eq!(last_good(&host, "dir"), 1);
    assert_eq!(host.changes("out"), before, "the sink got nothing");
    // The right is given back: nothing was lost.
    server.allow(&Access::default());
    assert_eq!(run_of(&host.sync("dir").done())["outcome"], "committed");
    assert_eq!(host.changes("out"), before);
}

#[test]
fn a_server_that_answers_with_an_empty_list_changes_nothing() {
    let Some((mut server, host)) = accepted(&json!({})) else { return };
    let before = host.changes("out");
    // Without a right to anything below the base a server answers every search with success.
    server.allow(&Access::without(&format!("dn.children={BASE} by anonymous auth by * none")));
    host.sync("dir");
    let run = newest_run(&host, "dir");
    assert_eq!(run["outcome"], "quarantined", "{run}");
    let held = held_by(&run);
    for code in ["CRD-C201", "CRD-C202"] {
        assert!(held.contains(&code.to_owned()), "no {code} in {held:?}");
    }
    // The connector itself does not believe in a directory without people.
    let why = findings(&run, "CRD-C102").join("\n");
    assert!(why.contains("no user is found"), "{why}");
    assert_eq!((last_good(&host, "dir"), host.changes("out")), (1, before.clone()));
    // Without one to the base itself it says that there is no such thing: nothing is known, so nothing
    // is gone.
    server.allow(&Access::without(&format!("dn.subtree={BASE} by anonymous auth by * none")));
    host.sync("dir");
    let run = newest_run(&host, "dir");
    assert_eq!(findings(&run, "CRD-C102").len(), 3, "{run}");
    delivered(&host);
    assert_eq!(removed(&host, before.len()), Vec::<String>::new());
    // The right is given back: nothing was lost.
    server.allow(&Access::default());
    assert_eq!(run_of(&host.sync("dir").done())["outcome"], "committed");
    delivered(&host);
    assert_eq!(host.changes("out"), before);
}

#[test]
fn a_first_sync_that_does_not_see_a_department_is_not_believed() {
    let rule = format!("dn.subtree={} by * none", Seed::department(3));
    let Some(server) = Slapd::start(&Seed::small(), &Access::without(&rule)) else { return };
    let host = host(connector(&server.url(), &json!({})));
    host.sync("dir");
    let run = newest_run(&host, "dir");
    assert_eq!(run["outcome"], "quarantined", "{run}");
    assert!(held_by(&run).contains(&"CRD-F101".to_owned()), "{run}");
    assert!(host.changes("out").is_empty());
}

#[test]
fn a_first_sync_that_sees_no_members_is_not_believed() {
    let hidden = Access::without("attrs=member by * none");
    let Some(server) = Slapd::start(&Seed::small(), &hidden) else { return };
    let host = host(connector(&server.url(), &json!({})));
    host.sync("dir");
    let run = newest_run(&host, "dir");
    assert_eq!(run["outcome"], "quarantined", "{run}");
    let why = findings(&run, "CRD-C102").join("\n");
    assert!(why.contains("must have members and show none"), "{run}");
}

#[test]
fn members_that_are_hidden_later_stay_and_where_nothing_speaks_of_it_a_person_is_asked() {
    let Some((mut server, host)) = accepted(&json!({})) else { return };
    let before = host.changes("out").len();
    server.allow(&Access::without("attrs=member by * none"));
    host.sync("dir");
    let run = newest_run(&host, "dir");
    assert_eq!(last_good(&host, "dir"), if run["outcome"] == "committed" { 2 } else { 1 });
    delivered(&host);
    assert_eq!(removed(&host, before), Vec::<String>::new());
    // Groups of logins may be empty, so here the server's success is all there is.
    let logins = json!({ "groups": { "filter": "(objectClass=posixGroup)" } });
    let Some((mut server, host)) = accepted(&logins) else { return };
    let before = host.changes("out").len();
    server.allow(&Access::without("attrs=memberUid by * none"));
    host.sync("dir");
    let run = newest_run(&host, "dir");
    assert_eq!(run["outcome"], "quarantined", "{run}");
    assert!(held_by(&run).iter().any(|code| code.starts_with("CRD-C2")), "{run}");
    assert_eq!((last_good(&host, "dir"), host.changes("out").len()), (1, before));
}

#[test]
fn a_limit_of_the_server_removes_nothing() {
    let Some((mut server, host)) = accepted(&json!({})) else { return };
    let before = host.changes("out").len();
    let limits = Some("size=unlimited size.prtotal=100".to_owned());
    server.allow(&Access { limits, ..Access::default() });
    host.sync("dir");
    let run = newest_run(&host, "dir");
    let why = findings(&run, "CRD-C102").join("\n");
    assert!(why.contains("LimitExceeded"), "{run}");
    assert_eq!(removed(&host, before), Vec::<String>::new());
}

#[test]
fn a_server_that_dies_in_the_middle_fails_the_sync_and_the_next_one_is_whole() {
    let Some(mut server) = Slapd::start(&Seed::small(), &Access::default()) else { return };
    let pid = server.pid().to_string();
    let kill = move || {
        std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap();
    };
    // Every reading of this directory is some 300 kB; the second one is cut.
    let wire = Cut::after(450_000, server.port(), kill);
    let host = host(connector(&wire.url(), &json!({})));
    assert_eq!(run_of(&host.sync("dir").done())["outcome"], "committed");
    delivered(&host);
    let before = host.changes("out");
    for _ in 0..5 {
        host.sync("dir");
        if newest_run(&host, "dir")["outcome"] == "failed" {
            break;
        }
    }
    let run = newest_run(&host, "dir");
    assert_eq!(run["outcome"], "failed", "{run}");
    assert_eq!(host.changes("out"), before);
    server.allow(&Access::default());
    wait_until("the directory is read again", Duration::from_secs(60), || {
        host.sync("dir").code == 0
    });
    assert_eq!(host.changes("out"), before);
}
