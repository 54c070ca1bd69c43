//! SHA-256 of a certificate, as tools show it.

use std::fmt;

use cordon_sdk::Error;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

/// Names one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Reads hexadecimal as openssl and browsers show it: with or without colons, in either case.
    ///
    /// # Errors
    /// When it is no SHA-256; names `tls.fingerprint`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = || {
            let message = "it is SHA-256 of the certificate, 64 hexadecimal digits, as \
                           `openssl x509 -noout -fingerprint -sha256` prints it";
            Error::bad_config("tls.fingerprint", message)
        };
        let text = text.trim();
        let text = text.strip_prefix("sha256:").unwrap_or(text);
        let digits: Vec<u8> = text
            .chars()
            .filter(|character| *character != ':')
            .map(|character| character.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()
            .ok_or_else(bad)?;
        let (pairs, rest) = digits.as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        match <[u8; 32]>::try_from(bytes) {
            Ok(bytes) if rest.is_empty() => Ok(Self(bytes)),
            _ => Err(bad()),
        }
    }

    /// That of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let colon = if at > 0 { ":" } else { "" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}
