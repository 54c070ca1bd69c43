//! A secret reaches the connector that it is for, and nothing else: no file, no log, no answer, no
//! other process. Whoever holds an old value starts afresh, and nobody else.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_testkit::{
    Connector, Host, Receiver, Scenario, leak, process, programs, wait_for, wait_until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{delivered, ended_run, last_good, newest_run, run_of};

const LONG: Duration = Duration::from_secs(60);

/// What must be found nowhere, by the field that refers to it.
const CANARIES: [(&str, &str); 5] = [
    ("by_file", "canary-file:p@ss/w0rd+\"1\""),
    ("by_variable", "canary variable & more=%41"),
    ("by_program", "canary-program\\n~tilde"),
    (
        "by_credential",
        "-----BEGIN CANARY-----\nMIIcanaryLineOne/+==\nMIIcanaryLineTwo\n-----END CANARY-----",
    ),
    ("by_long_file", "canary-long-0123456789-0123456789-0123456789-0123456789-0123456789"),
];

fn put(folder: &Path, name: &str, content: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

/// Where the canaries are kept, and the connector's fields that refer to them.
fn keep(canaries: &[(&str, &str); 5]) -> (TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    let [(_, file), _, (_, program), (_, credential), (_, long)] = canaries;
    let file = put(folder.path(), "file", file, 0o600);
    let long = put(folder.path(), "long", long, 0o640);
    put(folder.path(), "credential", credential, 0o400);
    put(folder.path(), "given", program, 0o600);
    let given = folder.path().join("given");
    let script = format!("#!/bin/sh\nexec cat {}\n", given.display());
    let program = put(folder.path(), "keeper", &script, 0o700);
    let fields = json!({
        "by_file": format!("file:{}", file.display()),
        "by_variable": "env:CORDON_TEST_CANARY",
        "by_program": format!("exec:{} --of this", program.display()),
        "by_credential": "cred:credential",
        "by_long_file": format!("file:{}", long.display()),
    });
    (folder, fields)
}

/// All that a host has let out while a connector gave everything away.
struct Spill {
    host: Host,
    seen: Vec<(String, Vec<u8>)>,
}

impl Spill {
    fn take(&mut self, what: &str, bytes: impl AsRef<[u8]>) {
        self.seen.push((what.to_owned(), bytes.as_ref().to_owned()));
    }

    /// Syncs by a scenario with a fresh process; gives the run's outcome.
    fn sync(&mut self, scenario: &Scenario) -> String {
        self.host.play("leaky", scenario);
        self.host.cordon(&["restart", "leaky", "--reason", "drill"]).done();
        let what = format!("sync by {:?}", scenario.faults);
        let answer = self.host.sync("leaky");
        self.take(&what, format!("{}{}", answer.stdout, answer.stderr));
        self.ask();
        ended_run(&self.host, "leaky")["outcome"].as_str().unwrap().to_owned()
    }

    /// Asks everything there is to ask.
    fn ask(&mut self) {
        let questions: [&[&str]; 9] = [
            &["status"],
            &["describe", "leaky"],
            &["logs", "leaky", "-n", "1000"],
            &["events", "-n", "500"],
            &["runs", "leaky"],
            &["doctor"],
            &["diff", "leaky"],
            &["quarantine"],
            &["secret", "check"],
        ];
        for question in questions {
            for format in ["json", "wide"] {
                let answer = self.host.cordon_as(format, question);
                self.take(&question.join(" "), format!("{}{}", answer.stdout, answer.stderr));
            }
        }
        if let Some(pid) = self.host.status("leaky")["pid"].as_u64().filter(|pid| *pid > 0) {
            for file in ["cmdline", "environ"] {
                let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                self.take(&format!("{file} of the connector"), bytes);
            }
        }
    }

    /// Looks for the canaries in all that was seen and in every file of the host.
    #[track_caller]
    fn check(mut self) {
        let mut folders = vec![self.host.folder().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = std::fs::read(&path) {
                    self.take(&path.display().to_string(), bytes);
                }
            }
        }
        let mut found = Vec::new();
        for (what, bytes) in &self.seen {
            // What is no UTF-8 stands for nothing that is looked for.
            let text = String::from_utf8_lossy(bytes);
            for (field, canary) in CANARIES {
                for form in leak::forms(canary) {
                    if text.contains(&form) {
                        found.push(format!("{field} as {form:?} in {what}"));
                    }
                }
            }
        }
        found.dedup();
        assert!(found.is_empty(), "{} places:\n{}", found.len(), found.join("\n"));
    }
}

#[test]
fn a_secret_that_a_connector_gives_away_is_nowhere_on_this_host() {
    let (kept, fields) = keep(&CANARIES);
    let leaky = Connector::faulty(&Scenario::with("configure", "leak-secret:log"))
        .config(json!({ "secrets": fields }))
        .set("idle_timeout", "1h")
        .set("restart", json!({ "backoff": "1h..1h" }));
    let host = Host::setup()
        .env("CORDON_TEST_CANARY", CANARIES[1].1)
        .env("CREDENTIALS_DIRECTORY", &kept.path().display().to_string())
        .connector("leaky", leaky)
        .file_sink("out")
        .start();
    let mut spill = Spill { host, seen: Vec::new() };
    assert_eq!(run_of(&spill.host.sync("leaky").done())["outcome"], "committed");
    spill.ask();
    let printed = spill.host.cordon(&["logs", "leaky", "-n", "1000"]).done().stdout;
    for (field, canary) in CANARIES {
        let line = format!("secret {field} has {} bytes", canary.len());
        assert!(printed.contains(&line), "the connector got it: {line}\n{printed}");
    }
    assert!(printed.contains("by_file=***"), "{printed}");
    let doctor = spill.host.cordon(&["doctor"]).items();
    let secrets = doctor.iter().find(|item| item["name"] == "secrets").unwrap();
    assert_eq!(secrets["state"], "warn");
    assert!(secrets["detail"].as_str().unwrap().contains("leaky config.secrets.by_variable"));

    let leak = |at: &str, way: &str| Scenario::with(at, &format!("leak-secret:{way}"));
    for (at, way, outcome) in [
        ("page:1", "log", "committed"),
        ("page:1", "progress", "committed"),
        ("scope-end", "reason", "committed"),
        ("page:2", "error", "failed"),
        ("page:2", "status", "failed"),
        ("page:2", "long-error", "failed"),
        ("configure", "error", "failed"),
    ] {
        assert_eq!(spill.sync(&leak(at, way)), outcome, "{way} at {at}");
        let error = ended_run(&spill.host, "leaky")["error"].as_str().unwrap().to_owned();
        let said = error.contains("Configure failed") || error.contains("is not available");
        assert!(outcome == "committed" || said, "its own words are told: {error}");
    }
    spill.sync(&leak("scope-begin", "scope"));
    spill.sync(&leak("page:1", "log").and("page:2", "crash"));
    assert_eq!(spill.sync(&leak("page:1", "log").and("sync-end", "truncate:50")), "quarantined");
    // While it syncs, progress is what everybody sees.
    spill.host.play("leaky", &leak("page:1", "progress").and("page:2", "hang"));
    spill.host.cordon(&["restart", "leaky", "--reason", "drill"]).done();
    spill.host.cordon(&["sync", "leaky"]).done();
    let phase = wait_for("its progress", LONG, || {
        let phase = spill.host.status("leaky")["progress"]["phase"].as_str()?.to_owned();
        (!["starting", "reading"].contains(&phase.as_str())).then_some(phase)
    });
    spill.take("progress", phase);
    spill.ask();
    let waited = spill.host.cordon(&["wait", "leaky", "--for", "sync=999", "--timeout", "1s"]);
    spill.take("wait", format!("{}{}", waited.stdout, waited.stderr));
    spill.host.cordon(&["reload"]).done();
    spill.host.cordon(&["pause", "leaky", "--reason", "drill"]).done();
    spill.ask();
    spill.host.cordon(&["resume", "leaky"]).done();
    spill.host.play("leaky", &leak("configure", "log"));
    spill.host.cordon(&["restart", "leaky", "--reason", "drill"]).done();
    spill.host.sync("leaky");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", spill.host.pid())).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().take(2).collect::<Vec<_>>(), ["0", "0"], "no core is left");
    spill.host.kill();
    spill.host.start();
    spill.host.sync("leaky");
    spill.ask();
    spill.check();
}

/// A connector whose log tells the length of its secret.
fn told(reference: &str) -> Connector {
    Connector::faulty(&Scenario::with("configure", "leak-secret:log"))
        .config(json!({ "secrets": { "key": reference } }))
        .set("idle_timeout", "1h")
        .set("restart", json!({ "backoff": "10ms..50ms" }))
}

fn printed(host: &Host, connector: &str) -> String {
    host.cordon(&["logs", connector, "-n", "1000"]).done().stdout
}

#[test]
fn a_secret_that_changed_restarts_whoever_holds_it_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let first = put(folder.path(), "first", "0123456789", 0o600);
    let second = put(folder.path(), "second", "abcdefghij", 0o600);
    let host = Host::setup()
        .connector("first", told(&format!("file:{}", first.display())))
        .connector("second", told(&format!("file:{}", second.display())))
        .start();
    let pid = |name: &str| host.status(name)["pid"].as_u64().unwrap();
    for name in ["first", "second"] {
        host.sync(name).done();
    }
    let (old, other) = (pid("first"), pid("second"));
    let reload = host.cordon(&["reload"]).done().items().remove(0);
    assert_eq!(reload["rotated"], json!([]), "nothing changed");
    assert_eq!((pid("first"), pid("second")), (old, other));

    put(folder.path(), "first", "0123456789abcdef", 0o600);
    let reload = host.cordon(&["reload"]).done().items().remove(0);
    assert_eq!(reload["rotated"], json!(["first"]));
    wait_until("the old process is gone", LONG, || !process::is_alive(old as u32));
    host.sync("first").done();
    assert!(printed(&host, "first").contains("secret key has 16 bytes"));
    assert!(!printed(&host, "first").contains("abcdef"), "the new value is masked, too");
    assert_eq!(pid("second"), other, "the other goes on");

    // The same by a signal.
    let old = pid("first");
    put(folder.path(), "first", "0123456789abcdef-0123456789abcdef", 0o600);
    process::hang_up(host.pid());
    wait_until("the old process is gone", LONG, || !process::is_alive(old as u32));
    host.sync("first").done();
    assert!(printed(&host, "first").contains("secret key has 33 bytes"));
    assert_eq!(pid("second"), other, "the other goes on");
}

#[test]
fn a_sink_signs_with_the_secret_that_a_reload_found() {
    let receiver = Receiver::start();
    let host = Host::setup()
        .faulty("src", &Scenario::default())
        .webhook_sink("hook", &receiver)
        .file_sink("out")
        .start();
    host.sync("src").done();
    delivered(&host);
    let reload = || host.cordon(&["reload"]).done().items().remove(0)["rotated"].clone();
    assert_eq!(reload(), json!([]));
    // It keeps the mode that a secret needs.
    let other = "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU=";
    std::fs::write(host.path("webhook.secret"), other).unwrap();
    assert_eq!(reload(), json!(["hook"]));
    host.play("src", &Scenario::default().on_day(1));
    host.sync("src").done();
    delivered(&host);
    assert_eq!(reload(), json!([]), "the new one is in use");
}

#[test]
fn a_keeper_of_secrets_that_is_down_holds_its_connector_only_and_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let given = folder.path().join("given");
    let script = format!("#!/bin/sh\nexec cat {}\n", given.display());
    let keeper = put(folder.path(), "keeper", &script, 0o700);
    let host = Host::setup()
        .connector("held", told(&format!("exec:{} --for held", keeper.display())))
        .faulty("good", &Scenario::default())
        .start();
    host.sync("held");
    let run = ended_run(&host, "held");
    let error = run["error"].as_str().unwrap();
    assert_eq!(run["outcome"], "failed");
    assert!(error.contains("config.secrets.key"), "it is named: {error}");
    assert!(error.contains("No such file or directory"), "and why: {error}");
    assert_eq!(host.status("held")["trust_reasons"][0], "secret");
    assert_eq!(run_of(&host.sync("good").done())["outcome"], "committed");
    let check = host.cordon(&["secret", "check"]).exits(1).items();
    assert_eq!(check.len(), 1, "{check:?}");
    assert_eq!((&check[0]["owner"], &check[0]["state"]), (&json!("held"), &json!("fail")));

    std::fs::write(&given, "at last, a secret").unwrap();
    wait_until("it is asked again", LONG, || last_good(&host, "held") > 0);
    let check = host.cordon(&["secret", "check", "held"]).done().items();
    assert_eq!(check[0]["state"], "ok");
    assert!(!format!("{check:?}").contains("at last"), "no value is shown");
}

#[test]
fn a_literal_where_the_schema_wants_a_secret_is_refused_outside_development() {
    let careless = || {
        Connector::faulty(&Scenario::with("describe", "secret-field:password"))
            .config(json!({ "password": "hunter2-hunter2" }))
    };
    let host = Host::setup().connector("src", careless()).in_production().start();
    host.sync("src");
    let run = newest_run(&host, "src");
    let error = run["error"].as_str().unwrap();
    assert!(error.contains("config.password holds a secret"), "{error}");
    assert!(!run.to_string().contains("hunter2"), "{run}");
    let status = host.status("src");
    let detail = status["runtime_detail"].as_str().unwrap();
    assert!(detail.contains("waits for another configuration"), "{detail}");
    assert_eq!(status["trust_reasons"][0], "config");

    // A check of the file says so before anything runs.
    let checked = std::process::Command::new(programs::path("cordond"))
        .args(["--check", "--config"])
        .arg(host.config())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(2), "{told}");
    assert!(told.contains("connector `src`: config.password holds a secret"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");

    let host = Host::setup().connector("src", careless()).start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
}

#[test]
fn a_connector_that_closes_its_output_harms_nothing() {
    let closed = Scenario::with("configure", "close-output").and("page:1", "log-line:100000");
    let host = Host::setup().faulty("mute", &closed).faulty("good", &Scenario::default()).start();
    assert_eq!(run_of(&host.sync("mute").done())["outcome"], "committed");
    assert_eq!(run_of(&host.sync("mute").done())["outcome"], "committed");
    assert_eq!(run_of(&host.sync("good").done())["outcome"], "committed");
    host.cordon(&["logs", "mute"]).done();
}

#[test]
fn logs_of_one_sync_are_those_that_came_while_it_ran() {
    let folder = tempfile::tempdir().unwrap();
    let key = put(folder.path(), "key", "0123456789", 0o600);
    let host = Host::setup().connector("src", told(&format!("file:{}", key.display()))).start();
    host.sync("src").done();
    let of = |sync: &str| host.cordon(&["logs", "src", "--sync", sync, "-n", "1000"]);
    assert!(of("1").done().stdout.contains("secret key has 10 bytes"));
    host.sync("src").done();
    assert!(!of("2").done().stdout.contains("secret key"), "its process had started before");
    of("9").exits(4);
    let line = wait_for("its lines", LONG, || {
        host.cordon(&["logs", "src", "--since", "1h", "-n", "1"]).done().items().pop()
    });
    assert_eq!(line["line"], "all is told");
}
