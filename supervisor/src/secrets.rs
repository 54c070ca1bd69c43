//! References to secrets, and the only place that turns one into its value.
//!
//! A configuration holds references, never secrets. The value goes to the connector in `Configure`,
//! over a socket that nobody else can reach: never by argument, environment or disk.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// Bytes of a secret, at most.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Why a reference has no value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The text is not a reference.
    #[error("a secret is written as a reference: cred:NAME, file:/path or env:NAME")]
    NotAReference,
    /// A credential's name leaves its directory.
    #[error("credential name {0:?} is not a plain file name")]
    BadName(String),
    /// There is no directory of credentials.
    #[error("cred:{0} needs $CREDENTIALS_DIRECTORY, which the service manager sets")]
    NoDirectory(String),
    /// The variable is not set.
    #[error("env:{0} is not set")]
    NotSet(String),
    /// The file cannot be read.
    #[error("cannot read the secret in {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others may read the file.
    #[error("{path} may be read by others (mode {mode:o}); make it 0640 or less")]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is too large.
    #[error("{path} has {bytes} bytes, more than a secret has")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
}

/// Whether a text is a reference.
pub(crate) fn check_reference(text: &str) -> Result<(), SecretError> {
    match text.split_once(':') {
        Some(("cred" | "file" | "env", rest)) if !rest.is_empty() => Ok(()),
        _ => Err(SecretError::NotAReference),
    }
}

/// The value behind a reference.
pub(crate) fn resolve(reference: &str) -> Result<SecretString, SecretError> {
    check_reference(reference)?;
    match reference.split_once(':') {
        Some(("cred", name)) => {
            if name.contains('/') || name == ".." {
                return Err(SecretError::BadName(name.into()));
            }
            let directory = std::env::var_os("CREDENTIALS_DIRECTORY")
                .ok_or_else(|| SecretError::NoDirectory(name.into()))?;
            read(&Path::new(&directory).join(name))
        }
        Some(("file", path)) => {
            let path = Path::new(path);
            let mode = metadata(path)?.mode() & 0o777;
            if mode & 0o027 != 0 {
                return Err(SecretError::TooOpen { path: path.into(), mode });
            }
            read(path)
        }
        Some(("env", name)) => {
            std::env::var(name).map(Into::into).map_err(|_| SecretError::NotSet(name.into()))
        }
        _ => Err(SecretError::NotAReference),
    }
}

/// A connector's configuration with every reference replaced by its value.
///
/// A text is a reference when it is one exactly; `file:` only with an absolute path, so that an
/// ordinary text is not taken for one.
pub(crate) fn resolve_all(config: &serde_json::Value) -> Result<serde_json::Value, SecretError> {
    use secrecy::ExposeSecret;
    use serde_json::Value;
    Ok(match config {
        Value::String(text)
            if text.starts_with("cred:")
                || text.starts_with("env:")
                || text.starts_with("file:/") =>
        {
            Value::String(resolve(text)?.expose_secret().to_owned())
        }
        Value::Array(values) => {
            Value::Array(values.iter().map(resolve_all).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| Ok((name.clone(), resolve_all(value)?)))
                .collect::<Result<_, SecretError>>()?,
        ),
        plain => plain.clone(),
    })
}

fn metadata(path: &Path) -> Result<std::fs::Metadata, SecretError> {
    std::fs::metadata(path).map_err(|source| SecretError::Read { path: path.into(), source })
}

fn read(path: &Path) -> Result<SecretString, SecretError> {
    let bytes = metadata(path)?.len();
    if bytes > SECRET_BYTES_MAX {
        return Err(SecretError::TooLarge { path: path.into(), bytes });
    }
    let text = std::fs::read_to_string(path)
        .map_err(|source| SecretError::Read { path: path.into(), source })?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned().into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_secret_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "hush\n").unwrap();
        let reference = format!("file:{}", path.display());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(resolve(&reference), Err(SecretError::TooOpen { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(resolve(&reference).unwrap().expose_secret(), "hush");
    }

    #[test]
    fn a_credential_cannot_leave_its_directory() {
        assert!(matches!(resolve("cred:../shadow"), Err(SecretError::BadName(_))));
    }

    #[test]
    fn a_literal_is_not_a_reference() {
        assert!(matches!(check_reference("hunter2"), Err(SecretError::NotAReference)));
        let config = serde_json::json!({"path": "file: a note", "list": ["x", 1]});
        assert_eq!(resolve_all(&config).unwrap(), config);
    }
}
