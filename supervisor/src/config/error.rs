//! What is wrong with a configuration, where, and what may have been meant.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

mod key;
mod words;

/// Why a configuration was not taken. The one in force stays in force.
#[derive(Debug)]
pub(crate) struct ConfigError {
    file: PathBuf,
    place: Option<Place>,
    message: String,
    hint: Option<String>,
}

#[derive(Debug)]
struct Place {
    line: usize,
    column: usize,
    text: String,
    width: usize,
}

impl ConfigError {
    /// A fault of the whole file.
    pub(crate) fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), place: None, message: message.into(), hint: None }
    }

    /// A fault that a TOML reader found.
    pub(crate) fn of_toml(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let message = error.message().trim();
        let key = error.span().and_then(|span| key::key_at(text, span.start));
        Self {
            file: file.to_owned(),
            place: error.span().map(|span| Place::find(text, span)),
            hint: nearest(message),
            message: words::told(message, key.as_deref()),
        }
    }

    /// Adds what to do.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What to do, where that is known.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What is wrong and where, without what to do.
    pub(crate) fn fault(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| self.write_fault(f))
    }

    fn write_fault(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.message)?;
        let Some(place) = &self.place else { return write!(f, "  --> {}", self.file.display()) };
        let gutter = place.line.to_string().len();
        writeln!(f, "  --> {}:{}:{}", self.file.display(), place.line, place.column)?;
        writeln!(f, "   {} | {}", place.line, place.text)?;
        write!(
            f,
            "   {:gutter$} | {:indent$}{}",
            "",
            "",
            "^".repeat(place.width),
            indent = place.column - 1
        )
    }
}

impl Place {
    fn find(text: &str, span: Range<usize>) -> Self {
        let start = span.start.min(text.len());
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
        let width = span.end.saturating_sub(span.start).max(1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            text: line.to_owned(),
            width: width.min(line.len().saturating_sub(start - line_start).max(1)),
        }
    }
}

/// The name that was likely meant, from serde's "unknown field `x`, expected one of `y`, `z`".
fn nearest(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if !message.starts_with("unknown ") {
        return None;
    }
    let unknown = quoted.next()?;
    let (name, score) = quoted
        .map(|known| (known, strsim::jaro_winkler(unknown, known)))
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    (score > 0.7).then(|| format!("did you mean `{name}`?"))
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_fault(f)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}
