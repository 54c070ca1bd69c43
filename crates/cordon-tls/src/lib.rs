//! How a connector knows that its server is the one it means, the same for every connector that
//! speaks TLS: the keys of `tls` in its configuration, and what becomes of them.
//!
//! Either authorities vouch for the server's certificate and its name, or the certificate is the one
//! that was written down. The second is needed: domain controllers of Active Directory and fresh
//! installations of databases come with certificates that no library of today accepts. A refusal says
//! what to write down, so that nobody has to look for a way to switch the checks off; there is none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cordon_sdk::Error;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{RootCertStore, client::WebPkiServerVerifier};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

mod fingerprint;
mod trust;

pub use fingerprint::Fingerprint;
pub use trust::Trust;
use trust::{Rule, Verifier, client};

/// Where hosts keep the authorities that they trust.
const OF_THE_HOST: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// A file of certificates, at most.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The table `tls` of a connector's configuration.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// A file with the certificates of the authorities that may vouch for the server, in PEM. Without
    /// it those of the host may.
    pub ca: Option<PathBuf>,
    /// SHA-256 of the server's own certificate, in hexadecimal; colons are passed over. Then nobody
    /// needs to vouch for it, and its names and dates do not count.
    pub fingerprint: Option<String>,
    /// The name that the certificate must bear, where it is not the host's.
    pub server_name: Option<String>,
    /// A file with the connector's own certificate and those that vouch for it, in PEM.
    pub certificate: Option<PathBuf>,
    /// The private key of `certificate`, in PEM.
    #[schemars(with = "Option<String>", extend("writeOnly" = true))]
    pub key: Option<SecretString>,
}

impl Tls {
    /// Whether the keys go together. No file is read.
    ///
    /// # Errors
    /// When they do not; names the key.
    pub fn check(&self) -> Result<(), Error> {
        if self.ca.is_some() && self.fingerprint.is_some() {
            return Err(Error::bad_config("tls", "a `ca` or a `fingerprint`, not both"));
        }
        if let Some(text) = &self.fingerprint {
            Fingerprint::parse(text)?;
        }
        if let Some(name) = &self.server_name {
            name_of(name)?;
        }
        match (&self.certificate, &self.key) {
            (Some(_), None) => Err(Error::bad_config("tls.key", "a certificate needs its key")),
            (None, Some(_)) => {
                Err(Error::bad_config("tls.certificate", "a key needs its certificate"))
            }
            _ => Ok(()),
        }
    }

    /// Reads the files, and gives what a connection is made with.
    ///
    /// # Errors
    /// When the keys do not go together, or a file is not what it should be; names the key.
    pub fn trust(&self) -> Result<Trust, Error> {
        self.check()?;
        let provider = Arc::new(ring::default_provider());
        let rule = match &self.fingerprint {
            Some(text) => Rule::Pinned(Fingerprint::parse(text)?),
            None => Rule::Vouched(self.authorities(&provider)?),
        };
        let name = self.server_name.as_deref().map(name_of).transpose()?;
        let verifier = Arc::new(Verifier::new(rule, name, provider));
        let builder = client(&verifier)?;
        let config = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate, "tls.certificate")?;
                let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes())
                    .map_err(|_| Error::bad_config("tls.key", "it is no private key in PEM"))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    let message = "key and certificate do not go together";
                    Error::bad_config("tls.key", message).caused_by(error)
                })?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(Trust::new(config, verifier))
    }

    fn authorities(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<WebPkiServerVerifier>, Error> {
        let of_the_host = || OF_THE_HOST.iter().map(PathBuf::from).find(|path| path.is_file());
        let path = self.ca.clone().or_else(of_the_host).ok_or_else(|| {
            let message = "this host has no list of authorities; name a `ca` or a `fingerprint`";
            Error::bad_config("tls", message)
        })?;
        let bad =
            |message: &str| Error::bad_config("tls.ca", format!("{} {message}", path.display()));
        let mut roots = RootCertStore::empty();
        // One that cannot be used vouches for nobody; the others still do.
        let (used, _) = roots.add_parsable_certificates(certificates(&path, "tls.ca")?);
        if used == 0 {
            return Err(bad("holds no certificate that can be used"));
        }
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| bad("vouches for nobody").caused_by(error))
    }
}

fn name_of(name: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(name.to_owned()).map_err(|error| {
        Error::bad_config("tls.server_name", "it is no name of a host").caused_by(error)
    })
}

fn certificates(path: &Path, field: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bad = |message: &str| Error::bad_config(field, format!("{} {message}", path.display()));
    let unread = "cannot be read; may the connector see it (allow.read)?";
    let length = std::fs::metadata(path).map_err(|error| bad(unread).caused_by(error))?.len();
    if length > FILE_BYTES_MAX {
        return Err(bad("is larger than 4 MiB"));
    }
    let text = std::fs::read(path).map_err(|error| bad(unread).caused_by(error))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|_| bad("is no list of certificates in PEM"))?;
    if certificates.is_empty() {
        return Err(bad("holds no certificate in PEM"));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests;
