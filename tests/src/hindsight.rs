//! What the defaults would have done with the syncs there are is told where a connector is set up.

use cordon_testkit::{Connector, Host, Scenario};
use serde_json::{Value, json};

fn users(users: u32) -> Scenario {
    Scenario { users, groups: 0, grants_per_user: 0, ..Scenario::default() }
}

/// A host whose policy let its source lose 3, then 5, then 20 of 100 users.
fn with_history() -> Host {
    let guard = json!({
        "shape": "off", "removed": { "user": { "percent": 50 } }, "budget": [{ "within": "24h" }],
    });
    let connector = Connector::faulty(&users(100)).set("guard", guard);
    let host = Host::setup().connector("src", connector).start();
    for lost in [0, 3, 8, 28] {
        let without = (0..lost).map(|user| format!("u{user}")).collect();
        host.play("src", &Scenario { without, ..users(100) });
        host.sync("src").done();
    }
    host
}

fn described(host: &Host, name: &str) -> Value {
    host.cordon(&["describe", name]).done().items().remove(0)["hindsight"].take()
}

/// The configuration of a host under another name, with `from` replaced.
fn changed(host: &Host, name: &str, from: &str, to: &str) -> String {
    let text = std::fs::read_to_string(host.config()).unwrap();
    assert!(text.contains(from), "{text}");
    host.put(name, text.replace(from, to));
    host.path(name).display().to_string()
}

#[test]
fn what_the_defaults_would_have_held_is_told_beside_what_was_done() {
    let host = with_history();
    let told = described(&host, "src");
    let backtest = host.cordon(&["backtest", "src"]).done().json();
    assert_eq!(told["defaults"], backtest["summary"], "it is what backtest tells");
    assert_eq!((&told["state"], &told["defaults_in_force"]), (&json!("told"), &json!(false)));
    let last = told["held"][0].clone();
    assert_eq!((&last["sync"], &last["codes_then"]), (&json!(4), &json!([])));
    assert!(last["codes"].as_array().unwrap().contains(&json!("CRD-D101")), "{last}");
    let message = told["message"].as_str().unwrap();
    assert!(message.starts_with("the defaults would have held "), "{message}");
    assert!(message.contains(" of 4 stored syncs: 4 (CRD-D101"), "{message}");
    assert!(message.ends_with("what was in force then held 0"), "{message}");
    let page = host.cordon_as("table", &["describe", "src"]).done().stdout;
    assert!(page.contains(&format!("History    {message}")), "{page}");
}

#[test]
fn a_connector_without_history_says_so() {
    let host = Host::setup().connector("src", Connector::faulty(&users(100))).start();
    let told = described(&host, "src");
    assert_eq!((&told["state"], &told["defaults_in_force"]), (&json!("none"), &json!(true)));
    assert_eq!(told["defaults"], Value::Null);
    let page = host.cordon_as("table", &["describe", "src"]).done().stdout;
    assert!(page.contains("no sync was judged yet"), "{page}");
    // Nor does a file that names one that is new here.
    let text = std::fs::read_to_string(host.config()).unwrap();
    host.put("new.toml", format!("{text}\n[connector.new]\nuse = \"csv\"\n"));
    let file = host.path("new.toml").display().to_string();
    let items = host.cordon(&["config", "check", &file]).done().items();
    let states: Vec<_> = items.iter().map(|it| (&it["connector"], &it["state"])).collect();
    assert_eq!(states, [(&json!("src"), &json!("none")), (&json!("new"), &json!("none"))]);
}

#[test]
fn a_file_that_is_checked_is_tried_on_the_history_and_changes_nothing() {
    let host = with_history();
    let before = host.cordon(&["events"]).done().items().len();
    let strict = changed(&host, "strict.toml", "percent = 50", "percent = 4\nfloor = 0");
    let told = host.cordon(&["config", "check", &strict]).done().items().remove(0);
    assert_eq!(told["tried"]["held"], 2, "{told}");
    assert!(told["message"].as_str().unwrap().contains("; this policy 2; "), "{told}");
    let page = host.cordon_as("table", &["config", "check", &strict]).done().stdout;
    assert!(page.contains("src: the defaults would have held "), "{page}");
    assert_eq!(host.cordon(&["events"]).done().items().len(), before);
}

#[test]
fn a_reload_tells_what_the_new_policy_would_have_held() {
    let host = with_history();
    changed(&host, "cordon.toml", "percent = 50", "percent = 4\nfloor = 0");
    let told = host.cordon(&["reload"]).done().items().remove(0);
    let hindsight = &told["hindsight"][0];
    assert_eq!((&hindsight["connector"], &hindsight["tried"]["held"]), (&json!("src"), &json!(2)));
    // Nothing was changed, and nothing is told.
    let told = host.cordon(&["reload"]).done().items().remove(0);
    assert_eq!(told["hindsight"], json!([]));
}

#[test]
fn a_file_is_checked_also_where_no_cordond_answers() {
    let mut host = with_history();
    host.terminate();
    let config = host.config().display().to_string();
    assert_eq!(host.cordon(&["config", "check", &config]).done().items().len(), 0);
    let told = host.cordon_as("table", &["config", "check", &config]).done();
    assert!(told.stderr.contains("were not looked at"), "{}", told.stderr);
}
