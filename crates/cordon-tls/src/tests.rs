//! Handshakes in memory between a client of ours and servers with certificates of every kind.

use std::io;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConnection, ServerConfig, ServerConnection};
use tempfile::TempDir;

use super::*;

/// A server's certificate, and a file with the authority that signed it.
struct Server {
    certificate: CertificateDer<'static>,
    key: KeyPair,
    ca: PathBuf,
    _folder: TempDir,
}

fn server(names: &[&str]) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = CertificateParams::new(names).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().der().clone();
    Server { certificate, key, ca, _folder: folder }
}

impl Server {
    fn pin(&self) -> String {
        Fingerprint::of(&self.certificate).to_string()
    }

    /// Shakes hands with a client that means `dc1.corp.example`.
    fn greet(&self, tls: &Tls) -> Result<(), String> {
        self.meet(&tls.trust().map_err(|error| error.to_string())?)
    }

    fn meet(&self, trust: &Trust) -> Result<(), String> {
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key.into())
            .unwrap();
        let mut server = ServerConnection::new(Arc::new(config)).unwrap();
        let name = ServerName::try_from("dc1.corp.example").unwrap();
        let mut client = ClientConnection::new(Arc::new(trust.config()), name).unwrap();
        let shaken = shake(&mut client, &mut server);
        match (shaken, trust.refusal()) {
            (Ok(()), None) => Ok(()),
            (Err(_), Some(refusal)) => Err(refusal.to_string()),
            (shaken, refusal) => panic!("{shaken:?}, and {refusal:?} is told"),
        }
    }
}

fn shake(client: &mut ClientConnection, server: &mut ServerConnection) -> io::Result<()> {
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire)?;
        server.read_tls(&mut wire.as_slice())?;
        server.process_new_packets().map_err(io::Error::other)?;
        wire.clear();
        server.write_tls(&mut wire)?;
        client.read_tls(&mut wire.as_slice())?;
        client.process_new_packets().map_err(io::Error::other)?;
    }
    Ok(())
}

#[test]
fn an_authority_vouches_for_a_certificate_that_bears_the_name() {
    let named = server(&["dc1.corp.example"]);
    let tls = Tls { ca: Some(named.ca.clone()), ..Tls::default() };
    named.greet(&tls).unwrap();
    let told = server(&["dc2.corp.example"]).greet(&tls).unwrap_err();
    assert!(told.contains("no authority of tls.ca vouches for it"), "{told}");
    let other = server(&["dc2.corp.example"]);
    let tls = Tls { ca: Some(other.ca.clone()), ..Tls::default() };
    let told = other.greet(&tls).unwrap_err();
    assert!(told.contains("it does not name dc1.corp.example"), "{told}");
    let renamed = Tls { server_name: Some("dc2.corp.example".into()), ..tls };
    other.greet(&renamed).unwrap();
}

#[test]
fn a_certificate_without_a_name_is_refused_with_the_pin_that_would_accept_it() {
    let nameless = server(&[]);
    let told =
        nameless.greet(&Tls { ca: Some(nameless.ca.clone()), ..Tls::default() }).unwrap_err();
    assert!(told.contains("it names no host in a subjectAltName"), "{told}");
    let pin = nameless.pin();
    assert!(told.contains(&format!("tls = {{ fingerprint = \"{pin}\" }}")), "{told}");
    nameless.greet(&Tls { fingerprint: Some(pin), ..Tls::default() }).unwrap();
}

#[test]
fn a_pin_accepts_one_certificate_and_no_other() {
    let (pinned, other) = (server(&["dc1.corp.example"]), server(&["dc1.corp.example"]));
    let tls = Tls { fingerprint: Some(pinned.pin()), ..Tls::default() };
    pinned.greet(&tls).unwrap();
    let told = other.greet(&tls).unwrap_err();
    assert!(told.contains(&pinned.pin()) && told.contains(&other.pin()), "{told}");
}

#[test]
fn who_believes_nobody_believes_nobody() {
    let named = server(&["dc1.corp.example"]);
    assert!(
        named.meet(&Trust::in_nobody().unwrap()).unwrap_err().contains("no server is believed")
    );
}

#[test]
fn a_fingerprint_is_read_as_tools_show_it() {
    let plain = "ab".repeat(32);
    let colons = vec!["AB"; 32].join(":");
    let read = |text: &str| Fingerprint::parse(text);
    assert_eq!(read(&plain).unwrap(), read(&colons).unwrap());
    assert_eq!(read(&format!(" sha256:{plain}\n")).unwrap().to_string(), colons.to_lowercase());
    for text in ["", "ab", &"xy".repeat(32), &"ab".repeat(33), &"a".repeat(63), "ä"] {
        let told = read(text).unwrap_err().to_string();
        assert!(told.contains("64 hexadecimal digits"), "{text}: {told}");
    }
}

#[test]
fn keys_that_do_not_go_together_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").unwrap();
    let absent = folder.path().join("absent.pem");
    let pin = "ab".repeat(32);
    for (keys, words) in [
        (serde_json::json!({ "ca": empty, "fingerprint": pin }), "not both"),
        (serde_json::json!({ "ca": empty }), "holds no certificate in PEM"),
        (serde_json::json!({ "ca": absent }), "cannot be read"),
        (serde_json::json!({ "fingerprint": pin, "certificate": empty }), "needs its key"),
        (serde_json::json!({ "fingerprint": pin, "key": "k" }), "needs its certificate"),
        (serde_json::json!({ "fingerprint": pin, "server_name": "a b" }), "no name of a host"),
    ] {
        let tls: Tls = serde_json::from_value(keys.clone()).unwrap();
        let told = tls.trust().unwrap_err().to_string();
        assert!(told.contains(words), "{keys}: {told}");
    }
    assert!(serde_json::from_value::<Tls>(serde_json::json!({ "insecure": true })).is_err());
}
