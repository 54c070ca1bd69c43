//! The connectors that read a server, each against a real one.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cordon_testkit::ldap::{Access, BASE, READER, Seed, Slapd};
use cordon_testkit::postgres::Postgres;
use cordon_testkit::programs;
use cordon_testkit::scim::{ScimServer, Size, TOKEN};

use super::{BROKEN_SOURCES, folder, passes};

/// A file that only its owner may read, as the suite demands of secrets.
fn secret(folder: &Path, value: &str) -> PathBuf {
    let path = folder.join("secret");
    std::fs::write(&path, value).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// What only a source of the author's own can show.
fn unjudged() -> Vec<&'static str> {
    let large = ["a_slow_reader_costs_no_memory", "it_keeps_its_memory_limit"];
    BROKEN_SOURCES.into_iter().chain(large).collect()
}

#[test]
fn connector_ldap_conforms() {
    let Some(server) = Slapd::start(&Seed::small(), &Access::default()) else { return };
    let folder = folder();
    let password = secret(folder.path(), "secret");
    let (url, password) = (server.url(), password.display());
    let place = url.trim_start_matches("ldap://").to_owned();
    let settings = format!(
        "config = {{ url = \"{url}\", bind_dn = \"{READER}\", bind_password = \"file:{password}\", \
         base = \"{BASE}\", plaintext = true }}\nallow = {{ connect = [\"{place}\"] }}\n"
    );
    passes("connector-ldap", &settings, &unjudged());
}

#[test]
fn connector_scim_conforms() {
    let size = Size { users: 120, groups: 30, members: 8 };
    let Some(server) = ScimServer::start(size) else { return };
    let folder = folder();
    let token = secret(folder.path(), TOKEN);
    let (address, token) = (server.address(), token.display());
    let settings = format!(
        "config = {{ base_url = \"http://{address}/v2\", token = \"file:{token}\" }}\n\
         allow = {{ connect = [\"{address}\"] }}\n"
    );
    passes("connector-scim", &settings, &unjudged());
}

#[test]
fn connector_postgres_conforms() {
    let roles = "CREATE ROLE cordon LOGIN PASSWORD 'reads-only'; CREATE ROLE staff; \
                 CREATE ROLE ann LOGIN; GRANT staff TO ann;";
    let Some(server) = Postgres::start(roles, &[]) else { return };
    let folder = folder();
    let password = secret(folder.path(), "reads-only");
    let (port, password) = (server.port(), password.display());
    let settings = format!(
        "config = {{ host = \"127.0.0.1\", port = {port}, plaintext = true, user = \"cordon\", \
         password = \"file:{password}\" }}\nallow = {{ connect = [\"127.0.0.1:{port}\"] }}\n"
    );
    passes("connector-postgres", &settings, &unjudged());
}

#[test]
fn connector_baton_conforms() {
    let folder = folder();
    let token = secret(folder.path(), "open sesame");
    let (program, token) = (programs::path("baton-source"), token.display());
    let program = program.display();
    let settings = format!(
        "config = {{ program = \"{program}\", secrets = {{ api-token = \"file:{token}\" }}, \
         settings = {{ users = 60, teams = 12, day = 1, fault = \"\" }} }}\n\
         allow = {{ read = [\"{program}\"], loopback = true }}\n"
    );
    // A Baton connector tells no time of its source, and which of its settings are secret stands in
    // no schema.
    let mut unjudged = unjudged();
    unjudged.insert(0, "no_watermark_goes_back");
    unjudged.push("no_secret_is_told");
    passes("connector-baton", &settings, &unjudged);
}
