//! Finds the columns that the configuration names in a file's header.

use std::path::Path;

use cordon_sdk::{AttributeType, Error};

use crate::charset::Charset;
use crate::config::{ATTRIBUTES, Config, nearest};
use crate::rows::Row;

/// Headers that a message lists; a file may have a thousand.
const SHOWN_MAX: usize = 40;

/// Which field is what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Fields of every row.
    pub(crate) fields: usize,
    pub(crate) key: Place,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) status: Option<Place>,
    pub(crate) manager: Option<Place>,
    pub(crate) parent: Option<Place>,
    pub(crate) groups: Option<Place>,
}

/// A field, and the header that it stands under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) index: usize,
    pub(crate) header: String,
}

/// A field that becomes an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    pub(crate) kind: AttributeType,
    pub(crate) format: Option<String>,
    pub(crate) place: Place,
}

/// Why a header does not fit the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct HeaderFault {
    /// The configuration's field that names the column; empty for the header as a whole.
    pub(crate) field: String,
    pub(crate) message: String,
}

impl HeaderFault {
    /// As the error of a sync. The file is as likely to be wrong as the configuration, and may be
    /// right the next time: so it is tried again.
    pub(crate) fn into_sync_error(self) -> Error {
        Error::incomplete(self.message)
    }

    /// As the error of a check, which somebody makes who can change the configuration.
    pub(crate) fn into_check_error(self) -> Error {
        if self.field.is_empty() {
            Error::incomplete(self.message)
        } else {
            Error::bad_config(self.field, self.message)
        }
    }
}

/// Reads a header.
pub(crate) fn layout(
    config: &Config,
    file: &Path,
    charset: Charset,
    row: &Row,
) -> Result<Layout, HeaderFault> {
    let whole = |message| HeaderFault { field: String::new(), message };
    if let Some(fault) = &row.fault {
        return Err(whole(format!("the header of {} cannot be read: {fault}", file.display())));
    }
    let mut headers = vec![];
    for field in row.fields() {
        let header = charset.decode(field).map_err(|error| {
            whole(format!("the header of {} cannot be read: {error}", file.display()))
        })?;
        headers.push(header.trim().to_owned());
    }
    let found = Found { file, headers: &headers };
    let attributes = match &config.columns {
        None => found.named_alike(config)?,
        Some(columns) => {
            let mut attributes = vec![];
            for (name, column) in columns {
                let place = found.place(&format!("columns.{name}"), column.header())?;
                // `Config::check` refused every name that is not in the list.
                let Some((name, kind)) = ATTRIBUTES.into_iter().find(|(known, _)| known == name)
                else {
                    continue;
                };
                let format = column.format().map(str::to_owned);
                attributes.push(Attribute { name, kind, format, place });
            }
            attributes
        }
    };
    let optional = |field: &str, header: Option<&str>| {
        header.map(|header| found.place(field, header)).transpose()
    };
    Ok(Layout {
        fields: headers.len(),
        key: found.place("key", &config.key)?,
        attributes,
        status: optional("status.column", config.status.as_ref().map(|s| s.column.as_str()))?,
        manager: optional("manager", config.manager.as_deref())?,
        parent: optional("parent.column", config.parent.as_ref().map(|p| p.column.as_str()))?,
        groups: optional("groups.column", config.groups.as_ref().map(|g| g.column.as_str()))?,
    })
}

struct Found<'a> {
    file: &'a Path,
    headers: &'a [String],
}

impl Found<'_> {
    fn place(&self, field: &str, header: &str) -> Result<Place, HeaderFault> {
        let same = |(index, found): (usize, &String)| (found == header).then_some(index);
        let mut places = self.headers.iter().enumerate().filter_map(same);
        let fault = |message| Err(HeaderFault { field: field.to_owned(), message });
        let Some(index) = places.next() else { return fault(self.missing(field, header)) };
        if let Some(second) = places.next() {
            return fault(format!(
                "{} has column `{header}` ({field}) twice, as field {} and as field {}",
                self.file.display(),
                index + 1,
                second + 1
            ));
        }
        Ok(Place { index, header: header.to_owned() })
    }

    fn missing(&self, field: &str, header: &str) -> String {
        let shown: Vec<String> =
            self.headers.iter().take(SHOWN_MAX).map(|header| quoted(header)).collect();
        let more = self.headers.len().saturating_sub(SHOWN_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let near = nearest(header, self.headers.iter().map(String::as_str))
            .map(|near| format!("; did you mean {}?", quoted(near)))
            .unwrap_or_default();
        format!(
            "{} has no column {} ({field}); its header is {}{more}{near}",
            self.file.display(),
            quoted(header),
            shown.join(", ")
        )
    }

    /// Columns whose headers are attributes' names and that nothing else is made of.
    fn named_alike(&self, config: &Config) -> Result<Vec<Attribute>, HeaderFault> {
        let mut attributes = vec![];
        for (name, kind) in ATTRIBUTES {
            let is_taken = name == config.key || config.manager.as_deref() == Some(name);
            if !is_taken && self.headers.iter().any(|header| header == name) {
                let place = self.place(name, name)?;
                attributes.push(Attribute { name, kind, format: None, place });
            }
        }
        Ok(attributes)
    }
}

/// A header as people should see it: short, and without control characters.
fn quoted(header: &str) -> String {
    let short: String = header.chars().take(60).collect();
    format!("`{}`", short.escape_debug())
}
