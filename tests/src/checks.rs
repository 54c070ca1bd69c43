//! Each check speaks: a source for each code that no other test here shows, from its connector to what
//! a person reads.
//!
//! Where a row is about a fixed limit the detector is off, so that its code has to hold alone. Rows about
//! the detector leave the fixed limits as they are, and others may speak beside it.

use std::collections::BTreeSet;

use cordon_testkit::{Answer, Connector, Host, Scenario, Setup};
use serde_json::{Value, json};

use crate::company::Company;
use crate::partial::reorganised;
use crate::world::{held_by, newest_run, run_of, without_detector};

/// A source day by day. All days but the last are accepted.
enum Days {
    /// The scripted connector. What it announces it says once, so it is started anew for each.
    Scripted(Vec<Scenario>),
    /// People and their teams, as connector-example reads them.
    Teams(Vec<Value>),
    /// An export that connector-csv reads with these settings.
    Export(Value, Vec<String>),
}

/// What the last day has to make a check say, and how severely.
struct Row {
    code: &'static str,
    severity: &'static str,
    says: &'static str,
    guard: Value,
    days: Days,
}

/// All sources on one host, each with a connector of its own.
#[track_caller]
fn check(rows: Vec<Row>) {
    let folder = tempfile::tempdir().unwrap();
    let named: Vec<(String, Row)> =
        (1..).zip(rows).map(|(number, row)| (format!("row-{number}"), row)).collect();
    let at = |name: &str| folder.path().join(name);
    let setup = named.iter().fold(Host::setup(), |setup: Setup, (name, row)| {
        let connector = match &row.days {
            Days::Scripted(days) => Connector::faulty(&days[0]),
            Days::Teams(_) => {
                Connector::program("connector-example").config(json!({ "path": at(name) }))
            }
            Days::Export(config, _) => {
                let mut config = config.clone();
                config["path"] = json!(at(name));
                config["key"] = json!("id");
                Connector::program("connector-csv").config(config)
            }
        };
        setup.connector(name, connector.set("guard", &row.guard))
    });
    let host = setup.start();
    for (name, row) in &named {
        let texts: Vec<String> = match &row.days {
            Days::Scripted(days) => days.iter().map(|_| String::new()).collect(),
            Days::Teams(days) => days.iter().map(Value::to_string).collect(),
            Days::Export(_, days) => days.clone(),
        };
        for (day, text) in texts.iter().enumerate() {
            if let Days::Scripted(days) = &row.days {
                host.play(name, &days[day]);
                host.cordon(&["restart", name, "--reason", "another version"]).done();
            } else {
                std::fs::write(at(name), text).unwrap();
            }
            let run = run_of(&host.sync(name).done());
            if day + 1 < texts.len() {
                assert_eq!(run["outcome"], "committed", "{} day {day}: {run}", row.code);
            }
        }
        row.is_told(&host, name, &newest_run(&host, name));
    }
}

impl Row {
    /// This run has the finding, and so has every page that a person opens about it.
    #[track_caller]
    fn is_told(&self, host: &Host, connector: &str, run: &Value) {
        self.is_found(run);
        let is_held = self.severity == "quarantine";
        let outcome = if is_held { "quarantined" } else { "committed" };
        assert_eq!(run["outcome"], outcome, "{}: {run}", self.code);
        // The fixed limits speak alone: nothing else about the source is odd.
        if is_held && self.guard["shape"] == "off" {
            let held: BTreeSet<String> = held_by(run).into_iter().collect();
            assert_eq!(held.into_iter().collect::<Vec<_>>(), [self.code], "{run}");
        }
        self.is_shown(&host.cordon_as("wide", &["describe", connector]));
        if is_held {
            self.is_shown(&host.cordon_as("table", &["diff", connector]));
        }
        self.is_shown(&host.cordon_as("table", &["explain", self.code]));
    }

    /// With this severity and in these words.
    #[track_caller]
    fn is_found(&self, of: &Value) {
        let found = of["findings"].as_array().unwrap().iter().find(|it| it["code"] == self.code);
        let found = found.unwrap_or_else(|| panic!("{} is silent: {of}", self.code));
        assert_eq!(found["severity"], self.severity, "{found}");
        let message = found["message"].as_str().unwrap();
        assert!(message.contains(self.says), "{message:?} does not say {:?}", self.says);
    }

    #[track_caller]
    fn is_shown(&self, page: &Answer) {
        assert_eq!(page.code, 0, "{}", page.stderr);
        assert!(page.stdout.contains(self.code), "{} is not on the page: {page:?}", self.code);
    }
}

/// A person is woken at once, and the source is not asked.
fn alone() -> Value {
    json!({ "reread": { "times": 0 }, "lookup": { "keys": 0 } })
}

/// The same, of fixed limits alone.
fn fixed(more: &Value) -> Value {
    let mut guard = alone();
    without_detector(&mut guard);
    for (key, value) in more.as_object().unwrap() {
        guard[key] = value.clone();
    }
    guard
}

fn scripted(users: u32) -> Scenario {
    Scenario { users, ..Scenario::default() }
}

/// The same, one of whose groups gives power: of every five users two are in it, of the ten after the
/// two hundredth the first, the fifth, the sixth and the tenth.
fn privileged(users: u32) -> Scenario {
    Scenario { privileged_groups: 1, ..scripted(users) }
}

#[test]
fn limits_of_scopes_additions_changes_and_privileged_grants_speak() {
    let quarantine = |code, says, guard, days| {
        let days = Days::Scripted(days);
        Row { code, severity: "quarantine", says, guard: fixed(&guard), days }
    };
    // Every fifth user, up to the sixth: six of a hundred, and six of the forty in each of two groups.
    let without: Vec<String> = (0..6).map(|user| format!("u{}", user * 5)).collect();
    let fewer = Scenario { without, ..scripted(100) };
    let five = |of: &str| json!({ of: { "user": { "count": 4 } } });
    check(vec![
        quarantine("CRD-D102", "members of g", json!({}), vec![scripted(100), fewer]),
        quarantine("CRD-D201", "5 added", five("added"), vec![scripted(100), scripted(105)]),
        quarantine(
            "CRD-D202",
            "5 of 100 users modified",
            five("modified"),
            vec![scripted(100), scripted(100).on_day(5)],
        ),
        quarantine(
            "CRD-D301",
            "4 appeared and 0 vanished, limit 3",
            json!({}),
            vec![privileged(200), privileged(210)],
        ),
    ]);
}

#[test]
fn three_new_privileged_grants_pass_by_default_and_a_fourth_waits() {
    let mut guard = json!({});
    without_detector(&mut guard);
    for (users, outcome) in [(209, "committed"), (210, "quarantined")] {
        let connector = Connector::faulty(&privileged(200)).set("guard", &guard);
        let host = Host::setup().connector("src", connector).start();
        assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
        host.play("src", &privileged(users));
        assert_eq!(run_of(&host.sync("src").done())["outcome"], outcome, "{users}");
    }
}

#[test]
fn a_scope_that_is_gone_or_no_longer_reported_is_told() {
    // Five members each.
    let groups = Scenario { groups: 40, ..scripted(100) };
    let gone = groups.clone().and("sync-end", "gone:members of g0");
    check(vec![Row {
        code: "CRD-C203",
        severity: "info",
        says: "scope members of g0 is gone, and its 5 records with it",
        guard: fixed(&json!({})),
        days: Days::Scripted(vec![groups, gone]),
    }]);

    // Whoever stops reading groups does not take them from anybody.
    let folder = tempfile::tempdir().unwrap();
    let etc = folder.path().join("etc");
    std::fs::create_dir_all(&etc).unwrap();
    let account = |n: u32| format!("u{n}:x:{}:100:Account {n}:/home/u{n}:/bin/sh\n", 2_000 + n);
    std::fs::write(etc.join("passwd"), (0..30).map(account).collect::<String>()).unwrap();
    std::fs::write(etc.join("group"), "users:x:100:\nstaff:x:101:u1,u2,u3\n").unwrap();
    let config = json!({ "root": folder.path(), "include": ["users", "groups"] });
    let connector = Connector::program("connector-linux").config(config);
    let host = Host::setup().connector("host", connector).file_sink("out").start();
    assert_eq!(run_of(&host.sync("host").done())["outcome"], "committed");
    let config = std::fs::read_to_string(host.config()).unwrap();
    let include = r#"include = ["users", "groups"]"#;
    assert!(config.contains(include), "{config}");
    host.put("cordon.toml", config.replace(include, r#"include = ["users"]"#));
    host.cordon(&["reload"]).done();
    let run = run_of(&host.sync("host").done());
    assert_eq!(run["changes"]["removed"], 0, "{run}");
    let row = Row {
        code: "CRD-C103",
        severity: "warning",
        says: "carried forward",
        guard: json!({}),
        days: Days::Scripted(Vec::new()),
    };
    row.is_told(&host, "host", &run);
}

#[test]
fn a_change_of_columns_says_whether_it_adds_narrows_or_breaks() {
    let row = |code, severity, says, days| Row {
        code,
        severity,
        says,
        guard: alone(),
        days: Days::Scripted(days),
    };
    let announces = |act: &str| Scenario::with("describe", act);
    let honest = Scenario::default;
    let mails = |without: u32| {
        let mail = |id: u32| match id % 100 < without {
            true => String::new(),
            false => format!("worker{id}@corp.example"),
        };
        let rows: String = (0..100).map(|id| format!("w{id:03},{}\n", mail(id))).collect();
        format!("id,mail\n{rows}")
    };
    check(vec![
        row(
            "CRD-S101",
            "info",
            "additive: user.email is new",
            vec![announces("schema-drop:email"), honest()],
        ),
        row(
            "CRD-S201",
            "warning",
            "narrowing: user.email is no longer announced as required",
            vec![announces("schema-require:email"), honest()],
        ),
        row(
            "CRD-S301",
            "quarantine",
            "breaking: user.email was text, and is a whole number now",
            vec![honest(), announces("schema-type:email")],
        ),
        row(
            "CRD-S302",
            "quarantine",
            "breaking: user.email is gone from all 100 users; 100 of 100 had it",
            vec![honest(), announces("schema-drop:email")],
        ),
        Row {
            code: "CRD-S303",
            severity: "quarantine",
            // Eleven of a hundred: the limit is ten.
            says: "narrowing: user.email fell from 100 % to 89 % of users, limit 10 points",
            guard: fixed(&json!({})),
            days: Days::Export(
                json!({ "columns": { "email": "mail" } }),
                vec![mails(0), mails(11)],
            ),
        },
    ]);
}

/// An export of three hundred, one row each.
fn export(header: &str, row: impl Fn(u32) -> String) -> String {
    let rows: String = (0..300).map(|id| format!("w{id:03},{}\n", row(id))).collect();
    format!("id,{header}\n{rows}")
}

/// Five of three hundred have left by each of so many days, and one has joined: a day like any other.
fn losing(days: u32) -> Vec<String> {
    let there = |day: u32| (0..300 + day).filter(move |id| *id % 60 >= day || *id >= 300);
    let day = |day: u32| there(day).map(|id| format!("w{id:03},Worker {id}\n")).collect::<String>();
    (0..=days).map(|number| format!("id,name\n{}", day(number))).collect()
}

#[test]
fn losses_that_go_on_are_a_leak_though_no_sync_of_them_is_odd() {
    check(vec![Row {
        code: "CRD-D506",
        severity: "warning",
        says: "causes of loss in the last twenty syncs: 15 of",
        guard: alone(),
        days: Days::Export(json!({ "columns": { "name": "name" } }), losing(3)),
    }]);
}

#[test]
fn text_in_a_wrong_encoding_and_a_mass_disabling_are_held() {
    // What becomes of UTF-8 that somebody read as Latin-1.
    let named = |family: &'static str| export("name", move |id| format!("{family} {id}"));
    let state = |off: u32| {
        export("name,state", move |id| {
            format!("Worker {id},{}", if id % 10 < off { "T" } else { "A" })
        })
    };
    let status = json!({ "column": "state", "active": ["A"], "disabled": ["T"] });
    let held = |says, config, days| Row {
        code: "CRD-S401",
        severity: "quarantine",
        says,
        guard: alone(),
        days: Days::Export(config, days),
    };
    check(vec![
        held(
            "semantic drift: values whose letters beyond ASCII changed: 300 of 300",
            json!({ "columns": { "name": "name" } }),
            vec![named("Müller-Lüdenscheidt"), named("MÃ¼ller-LÃ¼denscheidt")],
        ),
        held(
            "semantic drift: principals switched to one and the same state: 60 of 300",
            json!({ "columns": { "name": "name" }, "status": status }),
            vec![state(1), state(3)],
        ),
    ]);
}

#[test]
fn what_the_detector_finds_in_who_belongs_where_is_held_by_its_code() {
    let held = |code, says, days: Vec<Company>| Row {
        code,
        severity: "quarantine",
        says,
        guard: alone(),
        days: Days::Teams(days.iter().map(Company::json).collect()),
    };
    let company = Company::new;
    // Their rows are not listed any more; their teams still name them.
    let mut orphaned = company();
    orphaned.people.retain(|person| !(60..=80).contains(person));
    // Each of them is in one team.
    let flapping = [51, 57, 69, 87];
    let mut everywhere = company();
    for team in &mut everywhere.teams {
        team.members.retain(|person| *person != 299);
        team.members.push(299);
    }
    let mut elevated = company();
    for team in &mut elevated.teams {
        let raised: Vec<u32> = team.members.drain(5..7).collect();
        team.leads.extend(raised);
    }
    check(vec![
        held("CRD-D504", "grants whose principals are gone", vec![company(), orphaned]),
        // They leave, come back and leave again, while others join each day.
        held(
            "CRD-D505",
            "records that left again shortly after they came back",
            vec![
                company(),
                company().with(1).without(&flapping),
                company().with(2),
                company().with(3).without(&flapping),
            ],
        ),
        held(
            "CRD-D507",
            "accepted contents since which this one was not seen: 2 of",
            // It is the first that comes back.
            vec![company(), company().with(1), company().with(2), company()],
        ),
        held("CRD-D602", "targets that one principal gained", vec![company(), everywhere]),
        held("CRD-D603", "grants whose role became privileged", vec![company(), elevated]),
    ]);
}

/// A scripted source under a guard: an honest sync, then these, each of which is held.
#[track_caller]
fn after(guard: Value, syncs: &[Scenario]) -> Host {
    let connector = Connector::faulty(&Scenario::default()).set("guard", guard);
    let host = Host::setup().connector("src", connector).start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    for scenario in syncs {
        host.play("src", scenario);
        assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
    }
    host
}

fn waits(code: &'static str, says: &'static str) -> Row {
    let days = Days::Scripted(Vec::new());
    Row { code, severity: "quarantine", says, guard: json!({}), days }
}

#[test]
fn a_clean_sync_that_a_person_has_to_end_a_quarantine_for_says_so() {
    let guard = fixed(&json!({ "recover": "review" }));
    let cut = Scenario::with("sync-end", "truncate:60");
    let host = after(guard, &[cut, Scenario::default()]);
    let row = waits("CRD-C303", "sync 2 is in quarantine, and only a person ends it");
    let run = newest_run(&host, "src");
    row.is_told(&host, "src", &run);
    assert_eq!(held_by(&run), ["CRD-C303"]);
}

#[test]
fn removals_that_are_held_while_the_rest_passed_say_so() {
    let guard = fixed(&json!({ "on_suspicion": "hold-removals" }));
    // More people join meanwhile, and pass as the first ones did.
    let host = after(guard, &[reorganised(30, 5), reorganised(30, 7)]);
    let row = waits("CRD-C312", "90 removals held while the rest of their sync passed");
    row.is_found(&host.cordon(&["quarantine", "src"]).done().items()[0]);
    row.is_shown(&host.cordon_as("table", &["diff", "src"]));
    row.is_shown(&host.cordon_as("wide", &["describe", "src"]));
    row.is_shown(&host.cordon_as("table", &["explain", "CRD-C312"]));
}
