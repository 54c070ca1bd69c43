//! Who the server is: a certificate that somebody vouches for, or one that is pinned.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::*;

fn openssl(folder: &Path, arguments: &str) -> String {
    let output = Command::new("openssl")
        .current_dir(folder)
        .args(arguments.split(' '))
        .output()
        .unwrap_or_else(|error| panic!("openssl: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {told}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Certificates of an authority, and of a server that it vouches for by the name db.example.
fn certificates() -> TempDir {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30";
    openssl(at, &format!("{new} -subj /CN=authority -keyout ca.key -out ca.pem"));
    openssl(at, &format!("{new} -subj /CN=other -keyout other.key -out other.pem"));
    for (file, name) in [("server", "db.example"), ("client", "cordon")] {
        let more = format!("-addext subjectAltName=DNS:{name} -CA ca.pem -CAkey ca.key");
        let files = format!("-keyout {file}.key -out {file}.pem");
        openssl(
            at,
            &format!("{new} -subj /CN={name} {more} -addext basicConstraints=CA:FALSE {files}"),
        );
    }
    folder
}

/// A server that speaks TLS with such a certificate.
fn server(certificates: &TempDir) -> Option<Server> {
    let mut server = Server::start(SMALL, &[])?;
    server.stop();
    let owner = std::os::unix::fs::MetadataExt::uid(&server.folder().metadata().unwrap());
    for file in ["server.pem", "server.key", "ca.pem"] {
        let to = server.folder().join(file);
        std::fs::copy(certificates.path().join(file), &to).unwrap();
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&to, Some(owner), None).unwrap();
    }
    let settings = "ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\n\
                    ssl_ca_file = 'ca.pem'\n";
    let rules = "local all all trust\nhostssl all cordon 127.0.0.1/32 scram-sha-256\n\
                 hostssl all bob 127.0.0.1/32 cert map=people\n";
    for (file, text) in [
        ("postgresql.auto.conf", settings),
        ("pg_hba.conf", rules),
        ("pg_ident.conf", "people cordon bob\n"),
    ] {
        std::fs::write(server.folder().join(file), text).unwrap();
    }
    server.start_again();
    Some(server)
}

#[tokio::test]
async fn the_server_proves_who_it_is_by_an_authority_or_by_its_fingerprint() {
    let certificates = certificates();
    let Some(server) = server(&certificates) else { return };
    let at = certificates.path();
    let file = |name: &str| at.join(name);
    let fingerprint = openssl(at, "x509 -in server.pem -noout -fingerprint -sha256");
    let (_, fingerprint) = fingerprint.split_once('=').unwrap();
    let with =
        |tls: Json| config(&server, &json!({ "plaintext": null, "include": [], "tls": tls }));
    for tls in [
        json!({ "ca": file("ca.pem"), "server_name": "db.example" }),
        json!({ "fingerprint": fingerprint }),
    ] {
        let collected = sync_once::<Postgres>(with(tls)).await.unwrap();
        all_complete(&collected);
    }
    let pin = fingerprint.to_lowercase();
    let pinned = format!("tls = {{ fingerprint = \"{pin}\" }}");
    for (tls, told) in [
        (json!({ "ca": file("other.pem"), "server_name": "db.example" }), "vouches for it"),
        (json!({ "ca": file("other.pem"), "server_name": "db.example" }), pinned.as_str()),
        // The certificate bears another name than 127.0.0.1.
        (json!({ "ca": file("ca.pem") }), "it does not name 127.0.0.1"),
        (json!({ "fingerprint": "00".repeat(32) }), pin.as_str()),
        (json!({ "fingerprint": "00".repeat(32) }), "is configured"),
    ] {
        let (kind, text) = failure(with(tls.clone())).await;
        assert_eq!(kind, "auth", "{text}");
        assert!(text.contains(told), "{tls}: {text}");
    }
    // Nothing is sent to a server before it has proven itself: no login was tried.
    assert!(!server.peer().log().contains("password authentication failed"));
    let (kind, text) = failure(config(&server, &json!({}))).await;
    assert_eq!(kind, "auth", "{text}");
    assert!(text.contains("no encryption"), "{text}");
}

#[tokio::test]
async fn the_connector_proves_who_it_is_by_a_certificate() {
    let certificates = certificates();
    let Some(server) = server(&certificates) else { return };
    let file = |name: &str| certificates.path().join(name);
    let key = std::fs::read_to_string(file("client.key")).unwrap();
    let with = |key: &str| {
        let tls = json!({
            "ca": file("ca.pem"),
            "server_name": "db.example",
            "certificate": file("client.pem"),
            "key": key,
        });
        let more = json!({ "plaintext": null, "password": null, "user": "bob", "tls": tls });
        config(&server, &more)
    };
    all_complete(&sync_once::<Postgres>(with(&key)).await.unwrap());
    let other = std::fs::read_to_string(file("other.key")).unwrap();
    for (key, told) in [(other.as_str(), "do not go together"), ("x", "no private key")] {
        let (kind, text) = failure(with(key)).await;
        assert_eq!(kind, "bad config");
        assert!(text.contains(told), "{text}");
    }
}

#[tokio::test]
async fn a_socket_of_this_host_needs_no_password() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let more = json!({
        "host": null, "plaintext": null, "password": null, "socket": server.folder(),
    });
    all_complete(&sync(&server, more).await);
}

#[tokio::test]
async fn a_configuration_that_cannot_work_names_its_field() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    for (more, field, message) in [
        (json!({ "plaintext": null }), "tls", "`plaintext = true` to send everything unencrypted"),
        (json!({ "host": null }), "host", "name a `host` or a `socket`"),
        (json!({ "socket": "/run" }), "socket", "a host or a socket, not both"),
        (json!({ "host": null, "socket": "run" }), "socket", "run is not an absolute path"),
        (json!({ "host": null, "socket": "/run" }), "plaintext", "a socket is never encrypted"),
        (json!({ "tls": {} }), "plaintext", "with `tls` nothing is plain"),
        (
            json!({ "plaintext": null, "tls": { "ca": "/x", "fingerprint": "00".repeat(32) } }),
            "tls",
            "a `ca` or a `fingerprint`, not both",
        ),
        (
            json!({ "plaintext": null, "tls": { "fingerprint": "12" } }),
            "tls.fingerprint",
            "64 hexadecimal digits",
        ),
        (
            json!({ "plaintext": null, "tls": { "ca": "/nowhere.pem" } }),
            "tls.ca",
            "/nowhere.pem cannot be read",
        ),
        (
            json!({ "plaintext": null, "tls": { "ca": "/x", "key": "x" } }),
            "tls.certificate",
            "a key needs its certificate",
        ),
        (json!({ "user": "" }), "user", "it is empty"),
        (json!({ "databases": [] }), "databases", "an empty list reads no database"),
        (json!({ "statement_timeout": "0s" }), "statement_timeout", "from 1s to 1h"),
        (json!({ "service_accounts": ["a", "***"] }), "service_accounts[1]", "is no pattern"),
        (json!({ "include": ["everything"] }), "include[0]", "unknown variant"),
        (
            json!({ "include": ["default_privileges"] }),
            "include",
            "`default_privileges` are held on schemas",
        ),
    ] {
        let error = Harness::configured::<Postgres>(&config(&server, &more)).await.err();
        let Some(Error::BadConfig { field: found, message: text, .. }) = &error else {
            panic!("{more}: {error:?}")
        };
        assert_eq!(found, field, "{more}: {text}");
        assert!(text.contains(message), "{more}: {text}");
    }
}
