//! How fast each connector that reads a server does so, and how much of the time it waits for it.
//!
//! Real servers of some thousand users, started here, and the real way to a committed snapshot: each
//! source is synced twice, and the second time counts, when nothing has to be started or filled. A
//! server that is not installed is passed over and said to be. What a connector waited it says itself,
//! in the line of its log that ends a reading.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use cordon_testkit::ldap::{Access, BASE, READER, Samba, SambaSeed, Seed, Slapd};
use cordon_testkit::postgres::{POPULATED, Postgres};
use cordon_testkit::scim::{ScimServer, Size, TOKEN};
use cordon_testkit::{Connector, Host, programs};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Limits at which a large source is still welcome.
const MEMORY: &str = "128MiB";

fn main() -> std::io::Result<()> {
    let secrets = tempfile::tempdir()?;
    if let Some(server) = Slapd::start(&Seed::large(), &Access::default()) {
        let config = json!({
            "url": server.url(), "bind_dn": READER, "bind_password": "secret", "base": BASE,
            "plaintext": true, "placeholders": [format!("cn=nobody,{BASE}")],
        });
        tell("ldap", "slapd", &measured(Connector::program("connector-ldap").config(config)))?;
    }
    if let Some(server) = Samba::start(&SambaSeed::large()) {
        tell("ldap", "samba", &measured(domain(&server)))?;
    }
    if let Some(server) = ScimServer::start(Size { users: 5_000, groups: 500, members: 80 }) {
        let config = json!({
            "base_url": format!("http://{}/v2", server.address()), "token": secret(&secrets, "scim", TOKEN)?,
            "page_size": 200,
        });
        let connector = Connector::program("connector-scim").config(config);
        tell("scim", "scim2-server", &measured(connector))?;
    }
    if let Some(server) = Postgres::start(POPULATED, &[]) {
        let config = json!({
            "host": "127.0.0.1", "port": server.port(), "plaintext": true, "user": "cordon",
            "password": secret(&secrets, "postgres", "reads-only")?,
        });
        let connector = Connector::program("connector-postgres").config(config);
        tell("postgres", "postgresql", &measured(connector))?;
    }
    let program = programs::path("baton-source");
    let config = json!({
        "program": program,
        "secrets": { "api-token": secret(&secrets, "baton", "open sesame")? },
        "settings": { "users": 5_000, "teams": 500, "day": 1, "fault": "" },
    });
    let connector = Connector::program("connector-baton").config(config);
    let allow = json!({ "read": [program], "loopback": true });
    tell("baton", "one of the tests' own", &measured(connector.set("allow", allow)))
}

/// A reference to a secret in a file of that folder.
fn secret(folder: &TempDir, name: &str, value: &str) -> std::io::Result<String> {
    let path = folder.path().join(name);
    std::fs::write(&path, value)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(format!("file:{}", path.display()))
}

/// A domain controller, whose certificate is pinned as the refusal without a pin says.
fn domain(server: &Samba) -> Connector {
    let (name, password) = Samba::reader();
    let connector = |tls: Value| {
        Connector::program("connector-ldap").config(json!({
            "url": format!("ldaps://{}:636", server.address()), "bind_dn": name,
            "bind_password": password, "base": Samba::base(), "tls": tls,
        }))
    };
    let host = Host::setup().connector("source", connector(json!({}))).start();
    let told = host.sync("source").problem().to_string();
    let pin: String = told
        .split("fingerprint = ")
        .nth(1)
        .unwrap_or_else(|| panic!("no pin is told: {told}"))
        .chars()
        .skip_while(|character| !character.is_ascii_hexdigit())
        .take_while(|character| character.is_ascii_hexdigit() || *character == ':')
        .collect();
    connector(json!({ "fingerprint": pin }))
}

/// The second of two syncs, and the last line by which the connector told of a reading.
fn measured(connector: Connector) -> (Value, String) {
    let connector = connector
        .set("idle_timeout", "1h")
        .set("limits", json!({ "memory": MEMORY }))
        .set("guard", json!({ "shape": "off" }));
    let host = Host::setup().connector("source", connector).start();
    host.sync("source").done();
    let run = host.sync("source").done().items().remove(0);
    let log = host.cordon(&["logs", "source", "-n", "200"]).done().stdout;
    let line = log.lines().rev().find(|line| line.contains("waited_ms="));
    (run, line.unwrap_or_else(|| panic!("it tells of no reading: {log}")).to_owned())
}

fn tell(connector: &str, server: &str, (run, line): &(Value, String)) -> std::io::Result<()> {
    let number = |name: &str| -> u64 {
        let after = line.split(name).nth(1).unwrap_or_default();
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("no {name} in {line}"))
    };
    let told = json!({
        "connector": connector, "server": server, "records": run["records"],
        "sync_ms": run["supervisor_ms"], "reading_ms": number("took_ms="),
        "waited_ms": number("waited_ms="), "peak_bytes": run["connector_peak_bytes"],
    });
    writeln!(std::io::stdout(), "{told}")
}
