//! TLS with an authority, with a pin, and refused; and what a configuration may not ask for.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::*;

/// Certificates in a folder: an authority, a server's that it vouches for, and one like domain
/// controllers make for themselves, which names its host in the subject alone.
struct Certificates(TempDir);

impl Certificates {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let mut authority = CertificateParams::new(vec![]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "Corp CA");
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        folder.write("ca.pem", &authority.pem());
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let named = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        folder.write("named.pem", &named.pem());
        folder.write("named.key", &key.serialize_pem());
        let mut nameless = CertificateParams::new(vec![]).unwrap();
        nameless.distinguished_name.push(DnType::CommonName, "dc1.corp.example");
        let nameless = nameless.signed_by(&key, &authority).unwrap();
        folder.write("nameless.pem", &nameless.pem());
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn access(&self, certificate: &str) -> Access {
        let lines = vec![
            format!("TLSCertificateFile {}", self.path(certificate)),
            format!("TLSCertificateKeyFile {}", self.path("named.key")),
        ];
        Access { lines, ..Access::default() }
    }
}

fn secure(url: &str, tls: &Json) -> Json {
    config(url, &json!({ "tls": tls, "plaintext": false }))
}

async fn refused(config: &Json) -> String {
    let error = failed(config).await;
    assert!(matches!(error, Error::Auth { .. }), "{error:?}");
    error.chain()
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_or_by_its_pin_and_else_refused() {
    let certificates = Certificates::new();
    let seed = Seed::small();
    let Some(mut server) = Slapd::start(&seed, &certificates.access("named.pem")) else { return };
    let authority = json!({ "ca": certificates.path("ca.pem") });
    let truth = seed.truth();
    // From the first byte, and by StartTLS; by address, and by name.
    let (tls, start) = (server.tls_url(), server.url());
    for url in [&tls, &tls.replace("127.0.0.1", "localhost"), &start] {
        equal(&records(&synced(&secure(url, &authority)).await), &truth);
    }
    let strangers = json!({ "ca": "/etc/ssl/certs/ca-certificates.crt" });
    if std::path::Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        for url in [&tls, &start] {
            let said = refused(&secure(url, &strangers)).await;
            assert!(said.contains("no authority of tls.ca vouches for it"), "{said}");
        }
    }
    // Without a name that is checked only the pin helps, and the error says which.
    server.allow(&certificates.access("nameless.pem"));
    let said = refused(&secure(&tls, &authority)).await;
    assert!(said.contains("it names no host in a subjectAltName"), "{said}");
    let pin = said.split("tls = { fingerprint = \"").nth(1).unwrap().split('"').next().unwrap();
    for url in [&tls, &start] {
        let pinned = secure(url, &json!({ "fingerprint": pin }));
        equal(&records(&synced(&pinned).await), &truth);
    }
    // Another certificate than the one that was pinned.
    server.allow(&certificates.access("named.pem"));
    let said = refused(&secure(&tls, &json!({ "fingerprint": pin }))).await;
    assert!(said.contains("is configured; if it was renewed, compare it"), "{said}");
    assert!(said.contains(pin), "{said}");
}

#[tokio::test]
async fn a_server_without_tls_gets_no_password_unless_somebody_says_so_in_words() {
    let Some(server) = Slapd::start(&Seed::small(), &Access::default()) else { return };
    let error = failed(&secure(&server.url(), &json!({ "fingerprint": "ab".repeat(32) }))).await;
    let said = error.chain();
    assert!(said.contains("does not start TLS"), "{said}");
    assert!(said.contains("set plaintext if nothing on the way can listen"), "{said}");
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_its_field() {
    for (more, field, message) in [
        (json!({ "url": "http://dc1" }), "url", "http is neither ldap nor ldaps"),
        (json!({ "url": "ldap://u:p@dc1" }), "url", "credentials belong into bind_dn"),
        (json!({ "url": "ldap://dc1/dc=x" }), "url", "a search belongs into base"),
        (json!({ "url": "ldaps://dc1" }), "plaintext", "the url is ldaps"),
        (json!({ "bind_password": "" }), "bind_password", "a bind without a password"),
        (json!({ "bind_dn": null }), "bind_dn", "there is a password, but nobody's"),
        (json!({ "users": { "filter": "(uid=" } }), "users.filter", "(uid= is no filter"),
        (json!({ "page_size": 0 }), "page_size", "1 to 1000, not 0"),
        (json!({ "timeout_seconds": 601 }), "timeout_seconds", "1 to 600, not 601"),
        (
            json!({ "tls": { "fingerprint": "ab" } }),
            "tls.fingerprint",
            "it is SHA-256 of the certificate",
        ),
    ] {
        let config = config("ldap://dc1", &more);
        let refused = Harness::configured::<Directory>(&config).await.map(|_| ()).unwrap_err();
        let Error::BadConfig { field: found, message: said, .. } = &refused else {
            panic!("{more}: {refused:?}");
        };
        assert_eq!(found, field, "{more}");
        assert!(said.starts_with(message), "{more}: {said}");
    }
}
