//! Several connectors at once: by name, by label, or all of them.

use cordon_wire::v1;

use super::answers::script;
use super::daemon::{Daemon, Script};
use super::run::cordon;

/// A host of two connectors that different people own.
fn owned() -> Script {
    let mut script = script();
    for connector in &mut script.status.connectors {
        let owner = if connector.name == "hr-csv" { "people-ops" } else { "iam" };
        connector.labels.insert("owner".into(), owner.into());
    }
    script
}

/// The connectors that an order went to, in turn.
fn ordered(line: &str) -> Vec<String> {
    let daemon = Daemon::start(owned());
    let ran = cordon(&daemon, line);
    assert_eq!(ran.code, Some(0), "{line}: {}", ran.stderr);
    let asked = daemon.asked();
    let orders = asked.iter().filter_map(|asked| asked.split("connector: \"").nth(1));
    orders.filter_map(|order| order.split('"').next()).map(str::to_owned).collect()
}

#[test]
fn an_order_goes_to_each_that_was_named_labelled_or_to_all() {
    assert_eq!(ordered("stop -l owner=iam"), ["ldap-corp"]);
    assert_eq!(ordered("pause --label owner=people-ops --reason x"), ["hr-csv"]);
    assert_eq!(ordered("restart --all"), ["hr-csv", "ldap-corp"]);
    assert_eq!(ordered("start ldap-corp hr-csv ldap-corp"), ["ldap-corp", "hr-csv"]);
    assert_eq!(ordered("resume --all --reason x"), ["hr-csv", "ldap-corp"]);
    assert_eq!(ordered("sync -l owner=iam"), ["ldap-corp"]);
    assert_eq!(ordered("sync --all --wait"), ["hr-csv", "ldap-corp"]);
}

#[test]
fn all_has_to_be_said_and_excludes_names_and_labels() {
    for line in [
        "stop",
        "sync --wait",
        "pause --reason x",
        "stop hr-csv --all",
        "stop hr-csv -l owner=iam",
        "stop --all -l owner=iam",
        "stop -l owner",
        "stop -l =iam",
    ] {
        let daemon = Daemon::start(owned());
        assert_eq!(cordon(&daemon, line).code, Some(2), "{line}");
        assert!(daemon.asked().is_empty(), "{line}: {:?}", daemon.asked());
    }
}

#[test]
fn a_label_that_nobody_bears_orders_nothing_and_names_those_there_are() {
    let daemon = Daemon::start(owned());
    for line in ["stop -l owner=ops", "status -l owner=ops", "sync -l owner=iam,tier=two"] {
        let ran = cordon(&daemon, line);
        assert_eq!(ran.code, Some(4), "{line}");
        assert!(ran.stderr.contains("owner=iam, owner=people-ops"), "{line}: {}", ran.stderr);
    }
    assert!(daemon.asked().iter().all(|asked| asked.starts_with("StatusRequest")));
}

#[test]
fn a_status_of_labelled_connectors_speaks_of_those_alone() {
    let mut script = owned();
    script.status.sinks = vec![v1::SinkStatus { state: "failing".into(), ..Default::default() }];
    let daemon = Daemon::start(script);
    let names = |line: &str| cordon(&daemon, &format!("{line} -o name")).stdout;
    assert_eq!(names("status -l owner=people-ops"), "hr-csv\n");
    // One is quarantined, and a sink fails; neither is what was asked about.
    assert_eq!(cordon(&daemon, "status -l owner=people-ops --exit-code").code, Some(0));
    assert_eq!(cordon(&daemon, "status -l owner=iam --exit-code").code, Some(3));
}
