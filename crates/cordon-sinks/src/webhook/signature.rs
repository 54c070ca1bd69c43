//! Signatures by Standard Webhooks: HMAC-SHA256 over `<id>.<timestamp>.<body>`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;

use crate::SinkOpenError;

const PREFIX: &str = "whsec_";
/// What the standard asks of a secret.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Holds the secret and signs with it.
#[derive(Debug)]
pub(super) struct Signer {
    key: SecretSlice<u8>,
}

impl Signer {
    pub(super) fn new(secret: &SecretString) -> Result<Self, SinkOpenError> {
        let refuse = |reason| SinkOpenError::Secret { reason };
        let text = secret.expose_secret();
        let encoded =
            text.strip_prefix(PREFIX).ok_or_else(|| refuse("it does not begin with whsec_"))?;
        let key: SecretSlice<u8> = STANDARD
            .decode(encoded)
            .map_err(|_| refuse("what follows whsec_ is not base64"))?
            .into();
        if !SECRET_BYTES.contains(&key.expose_secret().len()) {
            return Err(refuse("it does not hold 24 to 64 bytes"));
        }
        Ok(Self { key })
    }

    /// The `webhook-signature` header of a message.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose_secret())
            .expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(secret: &str) -> Result<Signer, SinkOpenError> {
        Signer::new(&SecretString::from(secret))
    }

    #[test]
    fn the_published_vector_of_standard_webhooks_is_reproduced() {
        let signature = signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap().sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_that_the_standard_does_not_allow_is_refused_without_showing_it() {
        for secret in [
            "",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_",
            "whsec_not base64!",
            "whsec_c2hvcnQ=",
            &format!("whsec_{}", STANDARD.encode([7; 65])),
        ] {
            let error = signer(secret).expect_err(secret).to_string();
            let tail = secret.trim_start_matches(PREFIX);
            assert!(tail.is_empty() || !error.contains(tail), "{error}");
        }
        assert!(signer(&format!("whsec_{}", STANDARD.encode([7; 64]))).is_ok());
    }

    #[test]
    fn debug_output_does_not_show_the_secret() {
        let shown = format!("{:?}", signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
        assert!(shown.contains("REDACTED"), "{shown}");
        assert!(!shown.contains("49, 242"), "{shown}");
    }
}
