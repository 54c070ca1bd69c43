//! What an administrator can set, and what of it cannot work.

use std::collections::BTreeMap;
use std::path::Path;

use cordon_sdk::{AccountType, AttributeType, Error};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::charset::Charset;

/// Attributes that a column can be mapped to, with their types.
///
/// A connector announces its schema before it is configured, so the list is fixed: what has no name
/// of its own goes into one of the `custom` attributes.
pub(crate) const ATTRIBUTES: [(&str, AttributeType); 37] = {
    use AttributeType::{Boolean, Integer, Text, Timestamp};
    [
        ("name", Text),
        ("login", Text),
        ("email", Text),
        ("created", Timestamp),
        ("last_login", Timestamp),
        ("given_name", Text),
        ("family_name", Text),
        ("employee_number", Text),
        ("title", Text),
        ("department", Text),
        ("division", Text),
        ("cost_center", Text),
        ("company", Text),
        ("location", Text),
        ("country", Text),
        ("phone", Text),
        ("manager", Text),
        ("worker_type", Text),
        ("start_date", Timestamp),
        ("end_date", Timestamp),
        ("changed", Timestamp),
        ("grade", Integer),
        ("contractor", Boolean),
        ("custom_1", Text),
        ("custom_2", Text),
        ("custom_3", Text),
        ("custom_4", Text),
        ("custom_5", Text),
        ("custom_6", Text),
        ("custom_7", Text),
        ("custom_8", Text),
        ("custom_integer_1", Integer),
        ("custom_integer_2", Integer),
        ("custom_boolean_1", Boolean),
        ("custom_boolean_2", Boolean),
        ("custom_timestamp_1", Timestamp),
        ("custom_timestamp_2", Timestamp),
    ]
};

/// Configuration of connector-csv.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, as an absolute path; or a pattern with `*`, `?` or `[...]`, of which the newest
    /// file is read.
    pub(crate) path: String,
    /// What makes a file the newest of those that fit: its name (numbers count as numbers) or the
    /// time at which it was written.
    #[serde(default)]
    pub(crate) newest: Newest,
    /// The column that identifies a worker.
    pub(crate) key: String,
    /// What stands between two fields.
    #[serde(default = "comma")]
    pub(crate) delimiter: char,
    /// The file's encoding: `utf-8`, `utf-16`, or one of a byte a character such as
    /// `windows-1252`. A byte order mark in the file wins.
    #[serde(default = "utf_8")]
    pub(crate) encoding: String,
    /// The columns of attributes. Without it, columns whose names are attributes' names are taken.
    #[serde(default)]
    pub(crate) columns: Option<BTreeMap<String, Column>>,
    /// How to tell who is active. Without it no status is reported.
    #[serde(default)]
    pub(crate) status: Option<StatusColumn>,
    /// What the users of this feed are.
    #[serde(default)]
    pub(crate) account_type: AccountKind,
    /// The column with the key of the worker's manager, who becomes the user's owner.
    #[serde(default)]
    pub(crate) manager: Option<String>,
    /// The column that names what a worker belongs to; each name becomes a group.
    #[serde(default)]
    pub(crate) parent: Option<Parent>,
    /// The column with the groups that a worker is a member of.
    #[serde(default)]
    pub(crate) groups: Option<Membership>,
    /// Where the source says how many workers there are.
    #[serde(default)]
    pub(crate) total: Option<Total>,
}

/// What makes a file the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Newest {
    /// Its name comes last.
    #[default]
    Name,
    /// It was written last.
    Mtime,
}

/// The column of an attribute: its header, or that and how its values are written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a header, or a table with `column` and `format`")]
pub(crate) enum Column {
    /// The header.
    Header(String),
    /// The header, and more.
    Formatted(FormattedColumn),
}

/// A column whose values are written in a way of their own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FormattedColumn {
    /// The header.
    pub(crate) column: String,
    /// How times are written, e.g. `%d.%m.%Y`. Without it as in RFC 3339, or as `2026-03-02`.
    pub(crate) format: Option<String>,
}

impl Column {
    pub(crate) fn header(&self) -> &str {
        match self {
            Self::Header(header) | Self::Formatted(FormattedColumn { column: header, .. }) => {
                header
            }
        }
    }

    pub(crate) fn format(&self) -> Option<&str> {
        match self {
            Self::Header(_) => None,
            Self::Formatted(column) => column.format.as_deref(),
        }
    }
}

/// How to tell who is active.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusColumn {
    /// The header.
    pub(crate) column: String,
    /// Values of those who are.
    pub(crate) active: Vec<String>,
    /// Values of those who are not. Without it these are all other values; with it, a value that is
    /// in neither list is a fault of its row.
    #[serde(default)]
    pub(crate) disabled: Option<Vec<String>>,
}

/// What the users of a feed are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountKind {
    /// People.
    #[default]
    Human,
    /// Programs that act on their own.
    Service,
    /// Parts of the system itself.
    System,
    /// Programs that act for somebody and decide by themselves.
    Agent,
}

impl AccountKind {
    pub(crate) fn account_type(self) -> AccountType {
        match self {
            Self::Human => AccountType::Human,
            Self::Service => AccountType::Service,
            Self::System => AccountType::System,
            Self::Agent => AccountType::Agent,
        }
    }
}

/// What a worker belongs to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parent {
    /// The header.
    pub(crate) column: String,
    /// What the names become.
    #[serde(default, rename = "type")]
    #[allow(dead_code, reason = "one value today; the configuration already says which")]
    pub(crate) kind: ParentKind,
}

/// What the names of parents become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ParentKind {
    /// Groups.
    #[default]
    Group,
}

/// The groups that a worker is a member of.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Membership {
    /// The header.
    pub(crate) column: String,
    /// What stands between two groups of one worker; without it a field is one group.
    #[serde(default)]
    pub(crate) separator: Option<String>,
}

/// Where the source says how many workers there are: in a trailer or in a manifest.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Total {
    /// What the file's last line begins with, e.g. `TRAILER,`.
    #[serde(default)]
    pub(crate) trailer: Option<String>,
    /// Which field of the trailer is the number; the first one is 1. Without it the second.
    #[serde(default)]
    pub(crate) column: Option<usize>,
    /// A JSON file in the folder of the CSV file with `rows`, and possibly `sha256` and
    /// `generated_at`. `{stem}` stands for the CSV file's name without its extension.
    #[serde(default)]
    pub(crate) manifest: Option<String>,
}

fn comma() -> char {
    ','
}

fn utf_8() -> String {
    "utf-8".to_owned()
}

impl Config {
    /// Refuses what cannot work whatever the file holds.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !Path::new(&self.path).is_absolute() {
            return Err(Error::bad_config(
                "path",
                format!("{} is not an absolute path", self.path),
            ));
        }
        if let Err(error) = glob::Pattern::new(&self.path) {
            return Err(
                Error::bad_config("path", format!("{} is no pattern", self.path)).caused_by(error)
            );
        }
        if !self.delimiter.is_ascii() || matches!(self.delimiter, '"' | '\n' | '\r' | '\0') {
            let message = format!("{:?} cannot stand between fields", self.delimiter);
            return Err(Error::bad_config("delimiter", message));
        }
        if Charset::named(&self.encoding).is_none() {
            let message = format!(
                "`{}` is not an encoding that can be read: utf-8, utf-16le, utf-16be, windows-1252 \
                 and others of one byte a character can",
                self.encoding
            );
            return Err(Error::bad_config("encoding", message));
        }
        for (attribute, column) in self.columns.iter().flatten() {
            check_attribute(attribute, column)?;
        }
        if let Some(total) = &self.total {
            total.check()?;
        }
        let separator = self.groups.as_ref().and_then(|groups| groups.separator.as_deref());
        if separator == Some("") {
            return Err(Error::bad_config("groups.separator", "an empty text separates nothing"));
        }
        Ok(())
    }

    /// The delimiter as the byte that it is in every encoding that is read.
    pub(crate) fn delimiter(&self) -> u8 {
        // `check` refused all that is not ASCII.
        u8::try_from(self.delimiter).unwrap_or(b',')
    }
}

fn check_attribute(attribute: &str, column: &Column) -> Result<(), Error> {
    let field = format!("columns.{attribute}");
    let Some((_, kind)) = ATTRIBUTES.iter().find(|(name, _)| *name == attribute) else {
        let names = ATTRIBUTES.iter().map(|(name, _)| *name);
        let near = nearest(attribute, names).map(|near| format!("; did you mean `{near}`?"));
        let message = format!(
            "`{attribute}` is not an attribute that can be mapped{}",
            near.unwrap_or_else(|| "; `custom_1` to `custom_8` are for what has no name".to_owned())
        );
        return Err(Error::bad_config(field, message));
    };
    if column.format().is_some() && *kind != AttributeType::Timestamp {
        return Err(Error::bad_config(
            format!("{field}.format"),
            format!("`{attribute}` is not a time, only times have a format"),
        ));
    }
    Ok(())
}

impl Total {
    fn check(&self) -> Result<(), Error> {
        match (&self.trailer, &self.manifest) {
            (Some(_), Some(_)) => {
                Err(Error::bad_config("total", "a trailer or a manifest, not both"))
            }
            (None, None) => Err(Error::bad_config("total", "name a `trailer` or a `manifest`")),
            (Some(trailer), None) if trailer.is_empty() => Err(Error::bad_config(
                "total.trailer",
                "an empty text is the beginning of every line",
            )),
            (Some(_), None) if self.column == Some(0) => {
                Err(Error::bad_config("total.column", "the first field is 1"))
            }
            (None, Some(_)) if self.column.is_some() => {
                Err(Error::bad_config("total.column", "only a trailer has columns"))
            }
            (None, Some(manifest)) if manifest.contains('/') || manifest.is_empty() => {
                let message = "a manifest is a file in the folder of the CSV file";
                Err(Error::bad_config("total.manifest", message))
            }
            _ => Ok(()),
        }
    }
}

/// The name that somebody may have meant.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Below it two words have little in common.
    const LIKENESS_MIN: f64 = 0.75;
    let wanted = wanted.to_lowercase();
    names
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}
