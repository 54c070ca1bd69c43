//! Policies that name what no connector has: refused, with what may have been meant.

use cordon_testkit::{Host, Scenario};

use crate::world::run_of;

fn synced() -> Host {
    let host = Host::setup().faulty("src", &Scenario::default()).file_sink("out").start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    host
}

/// Adds lines to the configuration, takes it over, and gives why it was refused, if it was.
#[track_caller]
fn reloaded_with(host: &Host, lines: &str) -> Option<String> {
    let before = std::fs::read_to_string(host.config()).unwrap();
    host.put("cordon.toml", format!("{before}\n{lines}\n"));
    let answer = host.cordon(&["reload"]);
    let config = host.config().display().to_string();
    let checked = host.cordon(&["config", "check", &config]);
    assert_eq!(checked.code, answer.code, "{}", checked.stderr);
    host.put("cordon.toml", before);
    if answer.code == 0 {
        return None;
    }
    let problem = answer.exits(2).problem();
    assert_eq!(problem["still"], "the running configuration was not changed");
    let told = problem["message"].as_str().unwrap().to_owned();
    let first = told.lines().next().unwrap();
    assert!(checked.stderr.contains(first), "whoever asks beforehand: {}", checked.stderr);
    Some(told)
}

#[test]
fn a_limit_of_a_type_that_its_connector_has_not_is_refused_with_the_nearest() {
    let host = synced();
    let told = reloaded_with(&host, "[connector.src.guard.removed.usr]\ncount = 1").unwrap();
    let line = "connector `src`: guard.removed.usr: the connector announces no type usr; did you mean user?";
    assert!(told.contains(line), "{told}");
    assert_eq!(reloaded_with(&host, "[connector.src.guard.removed.user]\ncount = 1"), None);
}

#[test]
fn a_protection_that_fits_no_key_is_refused_and_says_how_keys_begin() {
    let host = synced();
    let guard = "[connector.src.guard]\nprotected";
    let told = reloaded_with(&host, &format!("{guard} = [\"breakglass*\"]")).unwrap();
    assert!(told.contains("a key is a type, a colon and an id"), "{told}");
    let told = reloaded_with(&host, &format!("{guard} = [\"uesr:breakglass*\"]")).unwrap();
    assert!(told.contains("did you mean user?"), "{told}");
    assert_eq!(reloaded_with(&host, &format!("{guard} = [\"user:breakglass*\"]")), None);
}

#[test]
fn a_policy_of_the_host_has_to_fit_one_of_its_connectors() {
    let host = synced();
    let told = reloaded_with(&host, "[guard.removed.usr]\ncount = 1").unwrap();
    assert!(told.contains("guard.removed.usr fits no connector of this host"), "{told}");
    let told = reloaded_with(&host, "[guard]\nschema.required = [\"user.emial\"]").unwrap();
    assert!(told.contains("user has no attribute emial; did you mean email?"), "{told}");
    assert_eq!(reloaded_with(&host, "[guard.removed.group]\ncount = 1"), None);
}

#[test]
fn a_service_that_starts_with_such_a_line_says_so_at_its_connector() {
    let mut host = Host::setup().faulty("src", &Scenario::default()).stopped();
    let text = std::fs::read_to_string(host.config()).unwrap();
    host.put("cordon.toml", format!("{text}\n[connector.src.guard.removed.usr]\ncount = 1\n"));
    host.start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    let standing = host.status("src")["standing"].clone();
    assert_eq!(
        (&standing[0]["code"], &standing[0]["subject"]),
        (&"CRD-O203".into(), &"removed.usr".into())
    );
    host.terminate();
    host.start();
    assert!(host.log().contains("names nothing and protects nothing"), "{}", host.log());
    assert_eq!(host.status("src")["standing"][0]["code"], "CRD-O203");
}
