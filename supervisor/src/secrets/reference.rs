//! What a reference may be, and how it is shown.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::{SecretError, file, program};

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A credential of the service manager.
    Credential(String),
    /// A file.
    File(PathBuf),
    /// A variable of this process.
    Variable(String),
    /// What a program prints.
    Program {
        /// The program.
        path: PathBuf,
        /// Its arguments.
        args: Vec<String>,
    },
}

impl Reference {
    /// Whether a text of a connector's configuration is meant as a reference. `file:` and `exec:`
    /// only with an absolute path, so that an ordinary text is not taken for one.
    pub(crate) fn is_meant(text: &str) -> bool {
        ["cred:", "env:", "file:/", "exec:/"].iter().any(|start| text.starts_with(start))
    }

    /// Reads a reference. Nothing is looked up.
    pub(crate) fn parse(text: &str) -> Result<Self, SecretError> {
        let (kind, rest) = text.split_once(':').ok_or(SecretError::NotAReference)?;
        if rest.is_empty() || rest.contains('\0') {
            return Err(SecretError::NotAReference);
        }
        match kind {
            "cred" if rest.contains('/') || rest == "." || rest == ".." => {
                Err(SecretError::BadName(rest.to_owned()))
            }
            "cred" => Ok(Self::Credential(rest.to_owned())),
            "env" if !rest.contains('=') => Ok(Self::Variable(rest.to_owned())),
            "file" if rest.starts_with('/') => Ok(Self::File(rest.into())),
            "exec" if rest.starts_with('/') => {
                // No shell and no quotes: what stands between spaces is an argument.
                let mut words = rest.split_ascii_whitespace();
                let path = words.next().ok_or(SecretError::NotAReference)?.into();
                Ok(Self::Program { path, args: words.map(str::to_owned).collect() })
            }
            _ => Err(SecretError::NotAReference),
        }
    }

    /// The value. Waits for files and programs.
    pub(crate) fn resolve(&self) -> Result<SecretString, SecretError> {
        let value = match self {
            Self::Credential(name) => {
                let directory = std::env::var_os("CREDENTIALS_DIRECTORY")
                    .ok_or_else(|| SecretError::NoDirectory(name.clone()))?;
                file::read(&Path::new(&directory).join(name))?
            }
            Self::File(path) => file::read(path)?,
            Self::Variable(name) => std::env::var(name)
                .map(SecretString::from)
                .map_err(|_| SecretError::NotSet(name.clone()))?,
            Self::Program { path, args } => program::run(path, args, program::DEADLINE)?,
        };
        if secrecy::ExposeSecret::expose_secret(&value).is_empty() {
            return Err(SecretError::Empty { what: self.to_string() });
        }
        Ok(value)
    }
}

/// Without a program's arguments: they are nobody's business who reads an error.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "cred:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Variable(name) => write!(f, "env:{name}"),
            Self::Program { path, .. } => write!(f, "exec:{}", path.display()),
        }
    }
}
