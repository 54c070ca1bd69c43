//! A receiver whose certificate proves nothing gets nothing, and the reason says what is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cordon_sinks::{DeliverError, WebhookConfig};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::deliveries;
use crate::webhook::{config, open};

/// Serves TLS with a certificate that it signed itself; counts the bytes that it was told in it.
async fn receiver() -> (String, Arc<AtomicUsize>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap().der().clone();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/in", listener.local_addr().unwrap().port());
    let told = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&told);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut bytes = Vec::new();
                let _ = stream.read_to_end(&mut bytes).await;
                heard.fetch_add(bytes.len(), Ordering::SeqCst);
            }
        }
    });
    (url, told)
}

#[tokio::test]
async fn a_receiver_with_a_certificate_that_nobody_vouches_for_gets_nothing_and_the_reason_says_so()
{
    let (url, told) = receiver().await;
    let config = WebhookConfig { timeout: Duration::from_secs(5), ..config(&url) };
    let mut sink = open(config).unwrap();
    let reason = "nothing was sent: the receiver's certificate is by an issuer that this host does not trust";
    let untrusted = Err(DeliverError::Untrusted { reason: reason.to_owned() });
    assert_eq!(sink.deliver(&deliveries(1..=1)).await, untrusted);
    assert_eq!(sink.check().await, untrusted);
    assert_eq!(told.load(Ordering::SeqCst), 0);
}
