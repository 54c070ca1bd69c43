//! The check of a server's certificate during a handshake, and the words for what it refused.
//!
//! A library that connects tells of a refused certificate in its own way, or not at all; so the
//! verifier keeps its words for whoever tells the operator.

use std::sync::{Arc, Mutex, PoisonError};

use cordon_sdk::Error;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, SignatureScheme,
};

use crate::Fingerprint;

/// What a connection is made with.
#[derive(Debug, Clone)]
pub struct Trust {
    config: ClientConfig,
    verifier: Arc<Verifier>,
}

impl Trust {
    pub(crate) fn new(config: ClientConfig, verifier: Arc<Verifier>) -> Self {
        Self { config, verifier }
    }

    /// Believes no server.
    ///
    /// # Errors
    /// Where no version of TLS can be spoken.
    pub fn in_nobody() -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Verifier::new(Rule::Nobody, None, provider));
        let config = client(&verifier)?.with_no_client_auth();
        Ok(Self::new(config, verifier))
    }

    /// For whatever connects.
    pub fn config(&self) -> ClientConfig {
        self.config.clone()
    }

    /// Why the last connection was refused, if its certificate was; once.
    pub fn refusal(&self) -> Option<Error> {
        self.verifier.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Whom to believe.
#[derive(Debug)]
pub(crate) enum Rule {
    Nobody,
    Vouched(Arc<WebPkiServerVerifier>),
    Pinned(Fingerprint),
}

#[derive(Debug)]
pub(crate) struct Verifier {
    rule: Rule,
    name: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
    refusal: Mutex<Option<Error>>,
}

impl Verifier {
    pub(crate) fn new(
        rule: Rule,
        name: Option<ServerName<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        Self { rule, name, provider, refusal: Mutex::new(None) }
    }

    fn refuse(&self, message: String, cause: rustls::Error) -> rustls::Error {
        let error = Error::auth(message.clone()).caused_by(cause);
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        rustls::Error::General(message)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = Fingerprint::of(certificate);
        match &self.rule {
            Rule::Nobody => {
                let cause = CertificateError::ApplicationVerificationFailure;
                Err(self.refuse("no server is believed here".to_owned(), cause.into()))
            }
            Rule::Pinned(pin) if *pin == found => Ok(ServerCertVerified::assertion()),
            Rule::Pinned(pin) => {
                let message = format!(
                    "the server's certificate has the fingerprint {found}, and {pin} is \
                     configured; if it was renewed, compare it at the server and change \
                     tls.fingerprint"
                );
                let cause = CertificateError::ApplicationVerificationFailure;
                Err(self.refuse(message, cause.into()))
            }
            Rule::Vouched(verifier) => {
                let name = self.name.as_ref().unwrap_or(server_name);
                verifier
                    .verify_server_cert(certificate, between, name, ocsp, now)
                    .map_err(|cause| self.refuse(refused(&cause, found, name), cause))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A client that asks that verifier.
pub(crate) fn client(
    verifier: &Arc<Verifier>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    Ok(ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::bug("no version of TLS is spoken").caused_by(error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone()))
}

/// Why authorities did not accept a certificate, and what to do.
fn refused(cause: &rustls::Error, found: Fingerprint, name: &ServerName<'_>) -> String {
    let name = name.to_str();
    let why = match cause {
        rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            presented,
            ..
        }) if presented.is_empty() => format!(
            "it names no host in a subjectAltName, so it cannot prove to be {name} (certificates \
             that servers make for themselves are like that)"
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("it does not name {name}"),
        // The second is an authority of the same name with another key.
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "no authority of tls.ca vouches for it".to_owned(),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "its time is over".to_owned(),
        cause => cause.to_string(),
    };
    format!(
        "the server's certificate is refused: {why}; name its authority in tls.ca, or compare its \
         fingerprint at the server and pin it: tls = {{ fingerprint = \"{found}\" }}"
    )
}
