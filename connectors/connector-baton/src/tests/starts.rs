//! How a Baton connector is started and ended.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::credentials::{ADDRESS, Credentials};
use crate::sessions::Sessions;

/// How soon nothing of a child may be left after its sync was called off.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Processes that this test has started or inherited and that have not ended.
fn descendants() -> Vec<String> {
    let mut stats = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let (head, rest) = stat.rsplit_once(") ").unwrap();
        let (pid, name) = head.split_once(" (").unwrap();
        let mut rest = rest.split(' ');
        let (state, parent) = (rest.next().unwrap(), rest.next().unwrap());
        if state != "Z" {
            stats.push((pid.to_owned(), parent.to_owned(), name.to_owned()));
        }
    }
    let mut family = BTreeSet::from([std::process::id().to_string()]);
    let mut names = Vec::new();
    loop {
        let more: Vec<_> = stats
            .iter()
            .filter(|(pid, parent, _)| family.contains(parent) && !family.contains(pid))
            .cloned()
            .collect();
        if more.is_empty() {
            return names;
        }
        for (pid, _, name) in more {
            family.insert(pid);
            names.push(name);
        }
    }
}

#[tokio::test]
async fn nothing_that_a_connector_started_outlives_its_sync() {
    let (_, result) = read("breeds").await;
    result.unwrap();
    assert_eq!(descendants(), Vec::<String>::new());
}

#[tokio::test]
async fn a_sync_that_is_called_off_ends_at_once_with_the_whole_tree() {
    let mut harness = Harness::configured::<Bridge>(&faulty("hangs")).await.unwrap();
    // Called off by whoever does not read on.
    let reading = tokio::time::timeout(Duration::from_secs(3), harness.sync()).await;
    assert!(reading.is_err(), "it did not hang");
    assert_eq!(descendants().len(), 1, "it was not running");
    drop(harness);
    let begun = Instant::now();
    while !descendants().is_empty() {
        assert!(begun.elapsed() < ENDS_WITHIN, "{:?} live on", descendants());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_connector_that_ends_or_hangs_before_it_serves_is_told_with_its_own_word() {
    let mut config = faulty("dies-at-start");
    config["start_seconds_max"] = json!(5);
    for (fault, word) in [
        ("dies-at-start", "exit status 1: Error: required flag(s) \"domain\" not set"),
        ("never-ready", "does not answer within 5 s"),
        ("other-certificate", "does not speak TLS as it should"),
    ] {
        config["settings"]["fault"] = json!(fault);
        let mut harness = Harness::configured::<Bridge>(&config).await.unwrap();
        let (collected, result) = harness.sync().await;
        let told = result.unwrap_err().chain();
        assert!(told.contains(word), "{fault}: {told}");
        assert!(collected.scopes.is_empty(), "{fault}");
        assert_eq!(descendants(), Vec::<String>::new(), "{fault}");
    }
}

#[tokio::test]
async fn a_connector_that_prints_without_end_is_read_all_the_same() {
    let (collected, result) = read("floods").await;
    result.unwrap();
    assert_same(&records(&collected), &Truth::of(&directory(1)));
}

#[tokio::test]
async fn a_program_with_another_digest_is_not_started() {
    let mut config = config(&json!({}));
    config["sha256"] = json!("0".repeat(64));
    let mut harness = Harness::configured::<Bridge>(&config).await.unwrap();
    match harness.sync().await.1.unwrap_err() {
        Error::BadConfig { field, message, .. } => {
            assert_eq!(field, "sha256");
            assert!(message.contains("has the SHA-256"), "{message}");
        }
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn sessions_are_for_whoever_shows_the_certificate_of_this_start() {
    let (one, other) = (Credentials::make().unwrap(), Credentials::make().unwrap());
    let listener = std::net::TcpListener::bind((ADDRESS, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let _serving = Sessions::default().serve(listener, Arc::clone(&one.server)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(one.child.ca_cert.to_vec().into()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let nobody = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    for (client, is_served) in
        [(Arc::clone(&one.client), true), (Arc::new(nobody), false), (other.client, false)]
    {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = ServerName::from(std::net::IpAddr::V4(ADDRESS));
        let connected = tokio_rustls::TlsConnector::from(client).connect(name, stream).await;
        // A client learns that it is refused when it reads.
        let answer = async {
            let mut stream = connected?;
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
            stream.read_exact(&mut [0; 9]).await
        };
        assert_eq!(answer.await.is_ok(), is_served);
    }
}
