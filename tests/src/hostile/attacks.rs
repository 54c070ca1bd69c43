//! The attack table, from inside the jail that a connector gets.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cordon_testkit::{Connector, Host, programs, wait_until};
use serde_json::{Value, json};

use super::{GENEROUS, is_root, lacks};

/// Result and detail of each attack.
fn prove(host: &Host) -> BTreeMap<String, (String, String)> {
    let answer = host.cordon(&["doctor", "--prove"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let document = answer.json();
    let attacks = document["prove"].as_array().expect("a result for each attack");
    let found: BTreeMap<_, _> = attacks
        .iter()
        .map(|it| (text(&it["case"]), (text(&it["result"]), text(&it["detail"]))))
        .collect();
    let allowed = found.values().any(|(result, _)| result == "ALLOWED");
    let failed = document["items"].as_array().unwrap().iter().any(|item| item["state"] == "fail");
    assert_eq!(answer.code, i32::from(allowed || failed), "the exit code tells it");
    found
}

/// Attacks that were not denied, but for those in `known`.
#[track_caller]
fn check(found: &BTreeMap<String, (String, String)>, known: &[(&str, &str)]) {
    assert!(found.len() >= 75, "only {} attacks", found.len());
    let open: Vec<String> = found
        .iter()
        .filter(|(case, (result, _))| {
            result != "denied" && !known.iter().any(|(name, _)| name == case)
        })
        .map(|(case, (result, detail))| format!("{case}: {result}: {detail}"))
        .collect();
    assert_eq!(open, [""; 0]);
    for (case, (result, detail)) in found {
        eprintln!("{result:8} {case}: {detail}");
    }
}

#[test]
fn every_attack_from_inside_a_services_jail_is_denied() {
    if !is_root() {
        eprintln!("skipped: root");
        return;
    }
    let host = Host::setup().set("daemon", "profile", "service").start();
    check(&prove(&host), &[]);
}

/// Where there are no control groups and no second user, what is written under `allow` still walls a
/// connector in.
#[test]
fn every_attack_is_denied_also_where_the_supervisor_has_no_rights() {
    if is_root() {
        const NAME: &str = concat!(
            "hostile::attacks::",
            "every_attack_is_denied_also_where_the_supervisor_has_no_rights"
        );
        let output = Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env_remove("TMPDIR")
            .current_dir("/")
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        let trouble = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && shown.contains("1 passed"), "{shown}\n{trouble}");
        eprintln!("{trouble}");
        return;
    }
    const TARGETS: &str = "@targets@";
    let words = format!("attack all {TARGETS}");
    let bad = Connector::program("cordon-hostile")
        .set("args", ["connector"])
        .set("allow", json!({}))
        .config(json!({ "behaviour": words, "hold_ms": 60_000 }));
    let mut host = Host::setup().connector("bad", bad).file("neighbour/secret", "1").stopped();
    let victim = Victim::start(host.folder());
    // Where everything is, is known only now.
    let config = std::fs::read_to_string(host.config()).unwrap();
    host.put("cordon.toml", config.replace(TARGETS, &victim.targets(&host)));
    host.start();
    if lacks(&host, "namespaces") {
        return;
    }
    host.cordon(&["sync", "bad"]).done();
    let found = || outcomes(&host);
    // The last of all cases.
    wait_until("every attack was tried", GENEROUS, || found().contains_key("setuid_program"));
    let known = [("setuid_program", "there is no other user whose program it could be")];
    check(&found(), &known);
}

/// A process to attack, and the host's things that it made.
struct Victim {
    child: Child,
    told: Value,
}

impl Victim {
    #[track_caller]
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(programs::path("cordon-hostile"))
            .arg("victim")
            .arg("--dir")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, told: serde_json::from_str(&line).expect("the victim tells where it is") }
    }

    /// The words that aim an attack at it, and at a host.
    fn targets(&self, host: &Host) -> String {
        let told = [
            ("victim-pid", "pid"),
            ("victim-address", "address"),
            ("listener", "listener"),
            ("abstract-socket", "abstract_socket"),
            ("shm-key", "shm_key"),
            ("mq-name", "mq_name"),
            ("outside-dir", "outside_dir"),
            ("setuid-program", "setuid_program"),
        ];
        let plain = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut words: Vec<String> = told
            .iter()
            .map(|(option, name)| format!("--{option} {}", plain(&self.told[*name])))
            .collect();
        for (option, path) in [
            ("state-dir", host.state()),
            ("config", host.config()),
            ("control-socket", host.socket()),
            ("neighbour-dir", host.path("neighbour")),
        ] {
            words.push(format!("--{option} {}", path.display()));
        }
        words.join(" ")
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// What the connector printed of its attacks.
fn outcomes(host: &Host) -> BTreeMap<String, (String, String)> {
    let lines = host.cordon(&["logs", "bad", "-n", "500"]).done().items();
    let lines = lines.iter().filter_map(|line| {
        let outcome: Value = serde_json::from_str(line["line"].as_str()?).ok()?;
        let text = |name: &str| outcome[name].as_str().map(str::to_owned);
        Some((text("case")?, (text("result")?, text("detail")?)))
    });
    lines.collect()
}

/// A denial in the other tests means something only if an attack can be allowed.
#[test]
fn an_attack_that_no_wall_stands_against_is_allowed_and_names_the_wall() {
    let host = Host::setup().set("daemon", "profile", "dev").start();
    let found = prove(&host);
    let (result, detail) = &found["loopback_tcp"];
    assert_eq!(result, "ALLOWED", "a workstation's connectors have the host's network: {detail}");
    assert!(detail.contains("network_namespace is not-asked"), "{detail}");
}
