//! A Baton connector, run unchanged in a jail: what it reports is what a consumer believes, and what
//! goes wrong with it removes nothing.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use cordon_testkit::baton::{self, Directory};
use cordon_testkit::{Connector, Host, programs, wait_for, wait_until};
use serde_json::{Value, json};

use crate::world::{believed_from, delivered, held_by, last_good, newest_run, run_of};

const USERS: u32 = 5_000;
const TEAMS: u32 = 500;

fn is_root() -> bool {
    let own = std::fs::metadata("/proc/self");
    let root = own.is_ok_and(|own| own.uid() == 0);
    if !root {
        cordon_testkit::capability::skipped("root");
    }
    root
}

/// A host under the service profile whose only connector runs the Baton connector of the tests, over
/// so many people and teams.
fn host(users: u32, teams: u32, guard: Value) -> Host {
    let program = programs::path("baton-source");
    let connector = Connector::program("connector-baton")
        .set("allow", json!({ "read": [&program], "loopback": true }))
        .set("guard", guard)
        // A try by itself after a failure could be what a sync that a test asks for joins.
        .set("restart", json!({ "backoff": "1h..1h" }))
        .config(json!({
            "program": program,
            "secrets": { "api-token": "env:BATON_SOURCE_TOKEN" },
            "settings": { "users": users, "teams": teams, "day": 1, "fault": "" },
            "profile": { "department": "department" },
        }));
    Host::setup()
        .set("daemon", "profile", "service")
        .env("BATON_SOURCE_TOKEN", "open sesame")
        .connector("acme", connector)
        .file_sink("out")
        .start()
}

/// Writes another value for a setting of the Baton connector and lets the service read it.
fn turn(host: &Host, was: &str, is: &str) {
    let text = std::fs::read_to_string(host.config()).unwrap();
    assert!(text.contains(was), "{was} is not in {text}");
    std::fs::write(host.config(), text.replacen(was, is, 1)).unwrap();
    host.cordon(&["reload"]).done();
}

fn directory(day: u32) -> Directory {
    Directory { users: USERS, teams: TEAMS, day, hidden: None }
}

/// The keys of all that a directory has, as a consumer knows them.
fn keys(directory: &Directory) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for user in directory.people() {
        keys.insert(format!("user:user/u{user}"));
        for team in directory.teams_of(user) {
            keys.insert(format!("user:user/u{user} -> team:{team}:member"));
        }
        if user < baton::KEYS {
            keys.insert(format!("secret:key/k{user}"));
        }
        if user < baton::ADMINS {
            keys.insert(format!("user:user/u{user} -> role:admin:assigned"));
        }
    }
    for team in 0..directory.teams {
        keys.insert(format!("group:team/{team}"));
        keys.insert(format!("entitlement:team:{team}:member"));
    }
    for role in ["admin", "auditor"] {
        keys.insert(format!("role:role/{role}"));
        keys.insert(format!("entitlement:role:{role}:assigned"));
    }
    keys.extend((0..baton::PROJECTS).map(|project| format!("other:project/{project}")));
    keys.insert("group:team/1 -> team:0:member".to_owned());
    let outsider = "external:user/email=boss@elsewhere.example";
    keys.insert(outsider.to_owned());
    keys.insert(format!("{outsider} -> role:admin:assigned"));
    keys
}

#[track_caller]
fn assert_believed(host: &Host, directory: &Directory) {
    delivered(host);
    let believed = believed_from(host, "acme");
    let found: BTreeSet<String> = believed.keys().cloned().collect();
    let expected = keys(directory);
    let missing: Vec<_> = expected.difference(&found).take(5).collect();
    let surplus: Vec<_> = found.difference(&expected).take(5).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing {missing:?}, surplus {surplus:?}");
    for user in directory.people() {
        let record = &believed[&format!("user:user/u{user}")];
        let told = [&record["name"], &record["department"]];
        let department = format!("Department {}", baton::department(user));
        assert_eq!(told, [&json!(directory.name(user)), &json!(department)], "{record}");
    }
}

#[test]
fn a_baton_connector_in_a_jail_reports_every_record_and_a_day_later_what_changed() {
    if !is_root() {
        return;
    }
    // The second day is about what changed and not about whether that much is usual.
    let host = host(USERS, TEAMS, json!({ "shape": "off" }));
    let run = run_of(&host.sync("acme").done());
    assert_eq!(run["outcome"], "committed", "{run}");
    assert_eq!(run["records"], keys(&directory(1)).len(), "{run}");
    assert_believed(&host, &directory(1));

    turn(&host, "day = 1", "day = 2");
    let run = run_of(&host.sync("acme").done());
    assert_eq!(run["outcome"], "committed", "{run}");
    assert_believed(&host, &directory(2));
    let (was, is) = (keys(&directory(1)), keys(&directory(2)));
    let (gone, new) = (was.difference(&is).count(), is.difference(&was).count());
    let changes = host.changes("out");
    let count = |op: &str| changes.iter().filter(|change| change["op"] == op).count();
    let renamed = directory(2).people().filter(|user| *user < USERS && user % 100 == 13).count();
    let counted = (count("removed"), count("added"), count("modified"));
    assert_eq!(counted, (gone, was.len() + new, renamed));
}

#[test]
fn a_department_that_a_baton_connector_hides_is_quarantined() {
    if !is_root() {
        return;
    }
    let host = host(USERS, TEAMS, json!({ "reread": { "times": 0 } }));
    assert_eq!(run_of(&host.sync("acme").done())["outcome"], "committed");
    turn(&host, "day = 1", "day = 1\nhidden = 3");
    let run = run_of(&host.sync("acme").done());
    assert_eq!(run["outcome"], "quarantined", "{run}");
    assert!(!held_by(&run).is_empty() && last_good(&host, "acme") == 1, "{run}");
    assert_believed(&host, &directory(1));
}

#[test]
fn what_goes_wrong_with_a_baton_connector_removes_nothing() {
    if !is_root() {
        return;
    }
    let host = host(400, 40, json!({}));
    assert_eq!(run_of(&host.sync("acme").done())["outcome"], "committed");
    let small = Directory { users: 400, teams: 40, day: 1, hidden: None };
    let mut was = "";
    for (fault, outcome, word) in [
        ("not-found", "committed", "not found: no team 7"),
        ("repeats", "committed", "came a second time"),
        ("denied", "committed", "teams.read"),
        ("leaves-out", "committed", "did not change"),
        ("crashes", "failed", "exit status 3"),
    ] {
        turn(&host, &format!("fault = \"{was}\""), &format!("fault = \"{fault}\""));
        was = fault;
        let _ = host.sync("acme");
        let run = newest_run(&host, "acme");
        assert_eq!(run["outcome"], outcome, "{fault}: {run}");
        assert!(run.to_string().contains(word), "{fault}: {run}");
        assert_believed(&host, &small);
    }
}

/// Processes of the Baton connector of this test.
fn children(program: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        let arguments: Vec<&str> = command.split('\0').collect();
        if arguments.first() == Some(&program) && arguments.contains(&"_connector-service") {
            found.push(pid);
        }
    }
    found
}

#[test]
fn a_baton_connector_is_closed_to_its_own_user_and_ends_with_what_it_started_when_it_is_called_off()
{
    if !is_root() {
        return;
    }
    let host = host(400, 40, json!({}));
    // A path of this test alone, so that its processes are told from those of others.
    let program = host.folder().join("baton-mine");
    std::fs::copy(programs::path("baton-source"), &program).unwrap();
    let (was, is) = (programs::path("baton-source"), program.clone());
    let text = std::fs::read_to_string(host.config()).unwrap();
    let text = text.replace(&was.display().to_string(), &is.display().to_string());
    std::fs::write(host.config(), text.replace("fault = \"\"", "fault = \"hangs\"")).unwrap();
    host.cordon(&["reload"]).done();
    let program = program.display().to_string();
    host.cordon(&["sync", "acme"]).done();
    let running = || Some(children(&program)).filter(|found| !found.is_empty());
    let pid = wait_for("the Baton connector runs", Duration::from_secs(20), running)[0];
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:\t")).unwrap();
    assert!(!user.starts_with("0\t"), "{user}");
    let owner = std::fs::metadata(format!("/proc/{pid}/environ")).unwrap().uid();
    assert_eq!(owner, 0, "whoever runs as its user can read its secrets");
    let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(!arguments.contains("sesame"), "{arguments}");
    host.cordon(&["pause", "acme", "--reason", "test"]).done();
    let gone = || children(&program).is_empty();
    wait_until("nothing of it is left", Duration::from_secs(2), gone);
}

#[test]
fn a_jail_without_a_loopback_is_told_with_the_key_that_opens_it() {
    if !is_root() {
        return;
    }
    let host = host(400, 40, json!({}));
    turn(&host, "loopback = true", "loopback = false");
    let _ = host.sync("acme");
    let run = newest_run(&host, "acme");
    if run["outcome"] == "committed" {
        // Nothing holds ports here: the kernel has no Landlock that knows them.
        return cordon_testkit::capability::skipped("landlock-ports");
    }
    let error = run["error"].as_str().unwrap();
    assert!(error.contains("add `loopback = true` to `allow`"), "{error}");
}
