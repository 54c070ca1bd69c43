//! A directory behind SCIM, through the whole of Cordon: what its server does never becomes a removal
//! that was not proven.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

use cordon_testkit::between::{Between, Turn};
use cordon_testkit::scim::{ENTERPRISE, ScimServer, Size, TOKEN, user};
use cordon_testkit::{Connector, Host, Setup};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{believed_from, delivered, held_by, last_good, newest_run, run_of};

/// Enough for several pages, and for losses that are no mere handful.
const SMALL: Size = Size { users: 240, groups: 60, members: 8 };
/// What a mid-sized organisation has: 5,000 users, 500 groups, 40,000 memberships.
const LARGE: Size = Size { users: 5_000, groups: 500, members: 80 };
/// Memory of the connector, and of all that it starts.
const MEMORY: &str = "64MiB";

/// A server, what stands before it, and a host that has read it once.
struct World {
    server: ScimServer,
    between: Between,
    host: Host,
    _secret: TempDir,
}

impl World {
    /// None where the server is not installed.
    fn start(size: Size) -> Option<Self> {
        Self::start_on(Host::setup(), size, |connector, _| connector)
    }

    /// On that host, with a connector that a test still changes, knowing the server's address.
    fn start_on(
        setup: Setup,
        size: Size,
        change: impl FnOnce(Connector, &str) -> Connector,
    ) -> Option<Self> {
        let server = ScimServer::start(size)?;
        let between = Between::start(server.address());
        let secret = tempfile::tempdir().unwrap();
        let token = secret.path().join("token");
        std::fs::write(&token, TOKEN).unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = json!({
            "base_url": format!("http://{}/v2", between.address()),
            "token": format!("file:{}", token.display()),
            "page_size": 200,
            "retries": 1,
        });
        let guard = json!({ "lookup": { "per_second": 10_000 } });
        let connector = Connector::program("connector-scim")
            .config(config)
            .set("guard", guard)
            .set("limits", json!({ "memory": MEMORY }))
            // A try by itself after a failure could be what a sync that a test asks for joins.
            .set("restart", json!({ "backoff": "1h..1h" }));
        let connector = change(connector, between.address());
        let host = setup.connector("corp", connector).file_sink("out").start();
        let run = run_of(&host.sync("corp").done());
        assert_eq!(run["outcome"], "committed", "{run}");
        delivered(&host);
        Some(Self { server, between, host, _secret: secret })
    }

    /// Syncs once more and gives the run.
    fn sync(&self) -> Value {
        self.host.sync("corp");
        newest_run(&self.host, "corp")
    }

    fn believed(&self) -> BTreeMap<String, Value> {
        delivered(&self.host);
        believed_from(&self.host, "corp")
    }
}

fn id(json: &Value) -> &str {
    json["id"].as_str().unwrap()
}

/// The keys of all records that a server's content has to become.
fn truth(server: &ScimServer) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for user in &server.users {
        keys.insert(format!("user:{}", id(user)));
        if !user["roles"].is_null() {
            keys.extend(["role:auditor", "entitlement:assigned:auditor"].map(str::to_owned));
            keys.insert(format!("user:{} -> assigned:auditor", id(user)));
        }
        if !user["entitlements"].is_null() {
            keys.extend(["app:service", "entitlement:entitlement:vpn"].map(str::to_owned));
            keys.insert(format!("user:{} -> entitlement:vpn", id(user)));
        }
    }
    let groups: BTreeSet<&str> = server.groups.iter().map(id).collect();
    for group in &server.groups {
        keys.insert(format!("group:{}", id(group)));
        keys.insert(format!("entitlement:member:{}", id(group)));
        for member in group["members"].as_array().unwrap() {
            let member = member["value"].as_str().unwrap();
            let kind = if groups.contains(member) { "group" } else { "user" };
            keys.insert(format!("{kind}:{member} -> member:{}", id(group)));
        }
    }
    keys
}

#[test]
fn five_thousand_users_with_forty_thousand_memberships_arrive_as_they_are_and_so_does_a_day() {
    let Some(mut world) = World::start(LARGE) else { return };
    let before = world.believed();
    let truth = truth(&world.server);
    assert!(truth.len() > 46_000);
    let believed: BTreeSet<String> = before.keys().cloned().collect();
    let differing: Vec<_> = truth.symmetric_difference(&believed).take(5).collect();
    assert!(differing.is_empty(), "{differing:?}");
    for user in &world.server.users {
        let record = &before[&format!("user:{}", id(user))];
        assert_eq!(record["login"], user["userName"]);
        assert_eq!(record["department"], user[ENTERPRISE]["department"]);
        let status = if user["active"] == true { "active" } else { "disabled" };
        assert_eq!(record["status"], status);
    }

    let boss = world.server.users[0]["id"].clone();
    let comer = world.server.add_user(user(9_001, Some(&boss)));
    let goer = id(&world.server.users[4_003]).to_owned();
    let locked = id(&world.server.users[4_004]).to_owned();
    let mut gone = vec![format!("user:{goer}")];
    let patch = |operation: Value| {
        let schema = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
        json!({ "schemas": [schema], "Operations": [operation] })
    };
    for group in &world.server.groups {
        let members = group["members"].as_array().unwrap();
        if members.iter().any(|member| member["value"] == goer) {
            let leave = format!("members[value eq \"{goer}\"]");
            let leave = patch(json!({ "op": "remove", "path": leave }));
            world.server.ask("PATCH", &format!("/v2/Groups/{}", id(group)), Some(&leave));
            gone.push(format!("user:{goer} -> member:{}", id(group)));
        }
    }
    gone.sort();
    world.server.delete("Users", &goer);
    let lock = patch(json!({ "op": "replace", "path": "active", "value": false }));
    world.server.ask("PATCH", &format!("/v2/Users/{locked}"), Some(&lock));
    let run = world.sync();
    assert_eq!(run["outcome"], "committed", "{run}");
    let after = world.believed();
    let added: Vec<_> = after.keys().filter(|key| !before.contains_key(*key)).collect();
    let removed: Vec<_> = before.keys().filter(|key| !after.contains_key(*key)).cloned().collect();
    let changed: Vec<_> =
        after.iter().filter(|(key, now)| before.get(*key).is_some_and(|was| was != *now)).collect();
    assert_eq!(added, [&format!("user:{comer}")]);
    assert_eq!(removed, gone);
    assert_eq!(changed.len(), 1);
    assert_eq!(*changed[0].0, format!("user:{locked}"));
    assert_eq!(changed[0].1["status"], "disabled");
    // Where the time went is told, for whoever wonders.
    let logs = world.host.cordon_as("table", &["logs", "corp"]).done().stdout;
    let told: Vec<&str> =
        logs.lines().filter(|line| line.contains("the service was read")).collect();
    assert_eq!(told.len(), 2, "{logs}");
    assert!(told.iter().all(|line| line.contains("waited_ms=")), "{told:?}");
    told.iter().for_each(|line| eprintln!("{line}"));
}

#[test]
fn a_directory_is_read_through_the_walls_of_a_service() {
    if !crate::walls::is_root() {
        return;
    }
    let setup = Host::setup().set("daemon", "profile", "service");
    let allow = |connector: Connector, address: &str| {
        connector.set("allow", json!({ "connect": [address] }))
    };
    let Some(world) = World::start_on(setup, SMALL, allow) else { return };
    assert_eq!(world.believed().into_keys().collect::<BTreeSet<_>>(), truth(&world.server));
}

#[test]
fn a_server_that_answers_success_while_it_hides_a_department_is_quarantined() {
    let Some(world) = World::start(SMALL) else { return };
    let before = world.believed();
    // The server itself selects, so pages and totals agree: nothing in the answers is odd.
    let hidden = format!("{ENTERPRISE}:department ne \"department 3\"");
    let hidden = hidden.replace(' ', "%20").replace('"', "%22");
    world.between.script(move |asked| match asked.path.starts_with("/v2/Users?") {
        true => Turn::Rewrite(format!("{}&filter={hidden}", asked.path)),
        false => Turn::Pass,
    });
    let run = world.sync();
    assert_eq!(run["outcome"], "quarantined", "{run}");
    let codes = held_by(&run);
    for code in ["CRD-D101", "CRD-V101"] {
        assert!(codes.contains(&code.to_owned()), "{code} is not among {codes:?}");
    }
    let proof = run["findings"].as_array().unwrap().iter().find(|it| it["code"] == "CRD-V101");
    assert_eq!(proof.unwrap()["measured"], 30, "an eighth of 240 are still there: {run}");
    assert_eq!(last_good(&world.host, "corp"), 1);
    assert_eq!(world.believed(), before);

    world.between.script(|_| Turn::Pass);
    assert_eq!(world.sync()["outcome"], "committed");
    assert_eq!(world.believed(), before);
}

#[test]
fn a_server_that_hides_the_members_of_groups_is_quarantined() {
    let Some(world) = World::start(SMALL) else { return };
    let before = world.believed();
    world.between.script(|asked| match asked.path.starts_with("/v2/Groups?") {
        true => Turn::Edit(Box::new(|list| {
            for group in list["Resources"].as_array_mut().into_iter().flatten() {
                group.as_object_mut().unwrap().remove("members");
            }
        })),
        false => Turn::Pass,
    });
    let run = world.sync();
    assert_eq!(run["outcome"], "quarantined", "{run}");
    let codes = held_by(&run);
    assert!(codes.contains(&"CRD-D101".to_owned()), "{codes:?}");
    assert!(codes.contains(&"CRD-V101".to_owned()), "{codes:?}");
    assert_eq!(last_good(&world.host, "corp"), 1);
    assert_eq!(world.believed(), before);
}

#[test]
fn what_a_server_does_in_the_middle_of_a_sync_removes_nothing() {
    let Some(world) = World::start(SMALL) else { return };
    let before = world.believed();
    let later = |path: &str| path.starts_with("/v2/Users?") && !path.contains("startIndex=1&");
    let check = |what: &str, outcome: &str| {
        let run = world.sync();
        assert_eq!(run["outcome"], outcome, "{what}: {run}");
        assert_eq!(world.believed(), before, "{what}");
        run
    };
    // Read as far as it goes: what is missing is unknown.
    world.between.script(move |asked| match later(&asked.path) {
        true => Turn::Say(500, vec![], vec![]),
        false => Turn::Pass,
    });
    check("a page that fails", "committed");
    world.between.script(|asked| match asked.path.starts_with("/v2/Groups") {
        true => Turn::Say(403, vec![], vec![]),
        false => Turn::Pass,
    });
    let run = check("a right that was taken away", "committed");
    let findings = run["findings"].as_array().cloned().unwrap_or_default();
    let told = findings.iter().filter(|it| it["code"] == "CRD-C102");
    let told: Vec<&str> = told.filter_map(|it| it["message"].as_str()).collect();
    assert!(told.iter().any(|it| it.contains("may not be read: 403 Forbidden")), "{told:?}");
    world.between.script(move |asked| match later(&asked.path) {
        true => Turn::Edit(Box::new(|list| list["totalResults"] = json!(201))),
        false => Turn::Pass,
    });
    check("a total that was cut", "committed");
    // Nothing can be read: the sync fails.
    world.between.script(|asked| match asked.path.starts_with("/v2/") {
        true => Turn::Say(401, vec![], vec![]),
        false => Turn::Pass,
    });
    let run = check("credentials that were revoked", "failed");
    assert!(run["error"].as_str().unwrap().contains("refuses the credentials"), "{run}");
    let pid = world.server.peer().pid().to_string();
    world.between.script(move |asked| {
        if later(&asked.path) {
            std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        }
        Turn::Pass
    });
    check("a server that dies", "failed");
}
