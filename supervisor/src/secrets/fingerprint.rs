//! Tells whether values changed without keeping them.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::OnceLock;

use secrecy::{ExposeSecret, SecretString};

/// A keyed hash of values. The key is random, lives in this process alone and is never written down,
/// so a fingerprint that leaked would tell nothing even of a guessable value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(blake3::Hash);

static KEY: OnceLock<[u8; 32]> = OnceLock::new();

impl Fingerprint {
    /// Of one value.
    pub(crate) fn of_one(reference: &str, value: &SecretString) -> Self {
        Self::hash([(reference, value)].into_iter())
    }

    /// Of values by their references.
    pub(super) fn of(values: &BTreeMap<String, SecretString>) -> Self {
        Self::hash(values.iter().map(|(reference, value)| (reference.as_str(), value)))
    }

    fn hash<'a>(values: impl Iterator<Item = (&'a str, &'a SecretString)>) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(KEY.get_or_init(key));
        for (reference, value) in values {
            for part in [reference, value.expose_secret()] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
        }
        Self(hasher.finalize())
    }
}

fn key() -> [u8; 32] {
    let mut key = [0; 32];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut key));
    if read.is_err() {
        // Without the device, the seed of the standard library's hash maps is as secret.
        use std::hash::{BuildHasher, Hasher, RandomState};
        for piece in key.chunks_mut(8) {
            piece.copy_from_slice(&RandomState::new().build_hasher().finish().to_le_bytes());
        }
    }
    key
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprint(***)")
    }
}
