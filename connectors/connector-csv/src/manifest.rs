//! Reads the side-car file in which a source says what its export holds.
//!
//! Keys that are not known are left alone: the file is the source's, not Cordon's.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cordon_sdk::{Error, Timestamp};
use nix::fcntl::OFlag;
use serde::Deserialize;

use crate::source::unreadable;

/// Bytes of a manifest, at most.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024;

/// What the source says of its export.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Manifest {
    /// Rows of data; the header does not count.
    pub(crate) rows: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub(crate) sha256: Option<String>,
    /// When the source was current.
    pub(crate) generated_at: Option<Timestamp>,
}

/// Where the manifest of a file lies.
pub(crate) fn path_of(file: &Path, name: &str) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    file.with_file_name(name.replace("{stem}", &stem))
}

/// Reads a manifest.
pub(crate) fn read(path: &Path) -> Result<Manifest, Error> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::unavailable(format!(
            "{} is not there: the export may not be finished, what was reported before still holds",
            path.display()
        )),
        _ => unreadable(path, &error),
    };
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Error::unavailable(format!("{} is not a regular file", path.display())));
    }
    let mut bytes = vec![];
    file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    parse(path, &bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Manifest, Error> {
    let path = path.display();
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        let message = format!("{path} is longer than {MANIFEST_BYTES_MAX} bytes, and no manifest");
        return Err(Error::incomplete(message));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| {
        Error::incomplete(format!("{path} cannot be read as a manifest")).caused_by(error)
    })?;
    let is_digest =
        |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if manifest.sha256.as_ref().is_some_and(|digest| !is_digest(digest)) {
        return Err(Error::incomplete(format!("{path}: `sha256` is not 64 hexadecimal digits")));
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Manifest, String> {
        parse(Path::new("/x/m.json"), text.as_bytes()).map_err(|error| error.chain())
    }

    #[test]
    fn a_manifest_says_how_much_there_is_and_how_current_it_is() {
        let digest = "A".repeat(64);
        let text = format!(
            "\u{feff}{{\"rows\": 3, \"sha256\": \"{digest}\", \
             \"generated_at\": \"2026-03-02T04:00:00Z\", \"by\": \"hr\"}}"
        );
        let manifest = parsed(&text).unwrap();
        assert_eq!((manifest.rows, manifest.sha256), (3, Some(digest)));
        assert_eq!(manifest.generated_at.unwrap().to_string(), "2026-03-02T04:00:00Z");
        let least = Manifest { rows: 0, sha256: None, generated_at: None };
        assert_eq!(parsed("{\"rows\":0}").unwrap(), least);
    }

    #[test]
    fn a_manifest_that_cannot_be_read_is_named_with_line_and_reason() {
        let error = parsed("{\"rows\":").unwrap_err();
        assert!(error.starts_with("/x/m.json cannot be read as a manifest: EOF"), "{error}");
        assert!(error.contains("line 1 column 8"), "{error}");
        let error = parsed("{}").unwrap_err();
        assert!(error.contains("missing field `rows`"), "{error}");
        for text in
            ["{\"rows\":-1}", "{\"rows\":\"3\"}", "[]", "", "{\"rows\":1,\"generated_at\":5}"]
        {
            assert!(parsed(text).is_err(), "{text}");
        }
        let error = parsed("{\"rows\":1,\"sha256\":\"abc\"}").unwrap_err();
        assert_eq!(error, "/x/m.json: `sha256` is not 64 hexadecimal digits");
        let error = parsed(&" ".repeat(70_000)).unwrap_err();
        assert_eq!(error, "/x/m.json is longer than 65536 bytes, and no manifest");
    }

    #[test]
    fn the_manifest_lies_beside_its_file() {
        let file = Path::new("/x/workers-1.csv");
        assert_eq!(path_of(file, "{stem}.manifest.json"), Path::new("/x/workers-1.manifest.json"));
        assert_eq!(path_of(file, "all.json"), Path::new("/x/all.json"));
    }
}
