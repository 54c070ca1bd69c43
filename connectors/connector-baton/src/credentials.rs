//! Keys and certificates of one start: the child and this process know each other by them.
//!
//! Whatever else runs inside the jail could connect to the same sockets. So a certificate authority is
//! made for each start, signs one certificate for either side, and is forgotten. They have no end of
//! their own: the keys go with the process.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version::TLS13};

use crate::wire::start::Credential;

/// Where each side is found.
pub(crate) const ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::LOCALHOST;
/// The protocol inside TLS.
const ALPN: &[u8] = b"h2";
/// The seed's place in PKCS #8, behind algorithm and the headers of two strings of bytes.
const SEED_AT: usize = 16;
const SEED_BYTES: usize = 32;
/// What stands before the seed: a string of 34 bytes that holds a string of 32.
const SEED_HEADERS: [u8; 4] = [0x04, 0x22, 0x04, 0x20];

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error("no certificate can be made")]
    Certificate(#[from] rcgen::Error),
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    #[error("clients cannot be verified")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    #[error("the new key has another form than Ed25519 keys have")]
    Key,
}

/// What both sides need.
pub(crate) struct Credentials {
    /// For the child.
    pub(crate) child: Credential,
    /// For calls to it.
    pub(crate) client: Arc<ClientConfig>,
    /// For its calls.
    pub(crate) server: Arc<ServerConfig>,
}

impl Credentials {
    pub(crate) fn make() -> Result<Self, CredentialsError> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name = named("cordon start");
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let authority = CertifiedIssuer::self_signed(params, key)?;

        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone())?;
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::ring::default_provider());

        let own = Leaf::signed_by(&authority, "cordon")?;
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(Arc::clone(&roots))
            .with_client_auth_cert(own.chain(), own.key())?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(own.chain(), own.key())?;
        server.alpn_protocols = vec![ALPN.to_vec()];

        let leaf = Leaf::signed_by(&authority, "baton")?;
        let child = Credential {
            ca_cert: authority.der().to_vec().into(),
            key: leaf.seed_and_public()?.into(),
            cert: leaf.certificate.to_vec().into(),
        };
        Ok(Self { child, client: Arc::new(client), server: Arc::new(server) })
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

struct Leaf {
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

impl Leaf {
    fn signed_by(
        authority: &CertifiedIssuer<'_, KeyPair>,
        name: &str,
    ) -> Result<Self, CredentialsError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.subject_alt_names = vec![SanType::IpAddress(ADDRESS.into())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let certificate = params.signed_by(&key, authority)?.der().clone();
        Ok(Self { key, certificate })
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    fn seed_and_public(&self) -> Result<Vec<u8>, CredentialsError> {
        let der = self.key.serialize_der();
        let headers = der.get(SEED_AT - SEED_HEADERS.len()..SEED_AT);
        let seed = der.get(SEED_AT..SEED_AT + SEED_BYTES);
        match (headers, seed) {
            (Some(headers), Some(seed)) if *headers == SEED_HEADERS => {
                Ok([seed, self.key.public_key_raw()].concat())
            }
            _ => Err(CredentialsError::Key),
        }
    }
}
