//! Paths of attributes in a SCIM resource: `name.givenName`, `emails[type eq "work"].value`,
//! `urn:example:2.0:User:badge`.
//!
//! Of RFC 7644's paths what a mapping needs: one attribute, of it the element that a comparison
//! selects, of that one sub-attribute. Names are compared without regard to case, as the RFC has it.

use serde_json::{Map, Value};

/// Where the core schemas end and an extension's own container begins.
const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:";

/// A path that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    text: String,
    /// The extension whose container holds the attribute; none for the core.
    extension: Option<String>,
    attribute: String,
    select: Option<Select>,
    sub: Option<String>,
}

/// Which element of a multi-valued attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Select {
    attribute: String,
    value: Value,
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("`{0}` is no name of an attribute")]
    Name(String),
    #[error("`[{0}]` is not of the form `[type eq \"work\"]`")]
    Select(String),
    #[error("`[` is never closed")]
    Open,
}

impl Path {
    /// Reads a path.
    pub(crate) fn parse(text: &str) -> Result<Self, PathError> {
        let (before, select) = match text.split_once('[') {
            None => (text, None),
            Some((before, rest)) => {
                let (inside, after) = rest.rsplit_once(']').ok_or(PathError::Open)?;
                (before, Some((inside, after)))
            }
        };
        let is_urn = before.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:"));
        let (urn, names) = match before.rsplit_once(':') {
            Some((urn, names)) if is_urn => (Some(urn), names),
            _ => (None, before),
        };
        let (attribute, mut sub) = match names.split_once('.') {
            Some((attribute, sub)) => (attribute, Some(sub)),
            None => (names, None),
        };
        let select = match select {
            None => None,
            Some((inside, after)) => {
                if sub.is_some() {
                    return Err(PathError::Name(names.to_owned()));
                }
                sub = match after.strip_prefix('.') {
                    Some(name) => Some(name),
                    None if after.is_empty() => None,
                    None => return Err(PathError::Name(after.to_owned())),
                };
                Some(Select::parse(inside)?)
            }
        };
        let extension = urn.filter(|urn| !starts_with(urn, CORE));
        Ok(Self {
            text: text.to_owned(),
            extension: extension.map(str::to_owned),
            attribute: name(attribute)?,
            select,
            sub: sub.map(name).transpose()?,
        })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The extension that it leads into; none for the core.
    pub(crate) fn extension(&self) -> Option<&str> {
        self.extension.as_deref()
    }

    /// The attribute, and its part.
    pub(crate) fn names(&self) -> (&str, Option<&str>) {
        (&self.attribute, self.sub.as_deref())
    }

    /// What stands there; none where there is nothing, or an explicit nothing.
    pub(crate) fn pick<'v>(&self, resource: &'v Value) -> Option<&'v Value> {
        let container = match &self.extension {
            None => resource,
            Some(extension) => member(resource, extension)?,
        };
        let found = member(container, &self.attribute)?;
        let found = match found {
            Value::Array(elements) => self.element(elements)?,
            single => single,
        };
        match &self.sub {
            Some(sub) => member(found, sub),
            None => Some(found),
        }
    }

    /// The element that is selected; without a selection the primary one, else the first.
    fn element<'v>(&self, elements: &'v [Value]) -> Option<&'v Value> {
        match &self.select {
            Some(select) => elements.iter().find(|element| select.fits(element)),
            None => {
                let is_primary =
                    |element: &&Value| member(element, "primary").and_then(truth).unwrap_or(false);
                elements.iter().find(is_primary).or_else(|| elements.first())
            }
        }
    }
}

impl Select {
    fn parse(text: &str) -> Result<Self, PathError> {
        let bad = || PathError::Select(text.to_owned());
        let mut words = text.trim().splitn(3, ' ');
        let (attribute, operator) = (words.next(), words.next());
        let value = words.next().ok_or_else(bad)?;
        if !operator.is_some_and(|operator| operator.eq_ignore_ascii_case("eq")) {
            return Err(bad());
        }
        let value: Value = serde_json::from_str(value.trim()).map_err(|_| bad())?;
        if !matches!(value, Value::String(_) | Value::Bool(_)) {
            return Err(bad());
        }
        Ok(Self { attribute: name(attribute.unwrap_or_default())?, value })
    }

    fn fits(&self, element: &Value) -> bool {
        let Some(found) = member(element, &self.attribute) else { return false };
        match (&self.value, found) {
            (Value::String(wanted), Value::String(found)) => wanted.eq_ignore_ascii_case(found),
            (Value::Bool(wanted), found) => truth(found) == Some(*wanted),
            _ => false,
        }
    }
}

/// A member of an object, its name compared without regard to case.
pub(crate) fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let object: &Map<String, Value> = value.as_object()?;
    let found = object.get(name).or_else(|| {
        object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    });
    found.filter(|value| !value.is_null())
}

/// A member that is text and not empty.
pub(crate) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    member(value, name)?.as_str().filter(|text| !text.is_empty())
}

/// Yes or no, also where a service writes it as text.
pub(crate) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn name(text: &str) -> Result<String, PathError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '$' | '-' | '_');
    if text.is_empty() || !text.chars().all(fits) {
        return Err(PathError::Name(text.to_owned()));
    }
    Ok(text.to_owned())
}

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn picked(path: &str) -> Option<Value> {
        let user = json!({
            "userName": "ada",
            "name": { "givenName": "Ada", "middleName": null },
            "emails": [
                { "value": "ada@home", "type": "home" },
                { "value": "ada@work", "type": "Work", "primary": "True" },
                { "value": "ada@other", "type": "other", "primary": false },
            ],
            "tags": ["b", "a"],
            "urn:example:2.0:User": { "badge": 7, "boss": { "value": "u2" } },
        });
        Path::parse(path).unwrap().pick(&user).cloned()
    }

    #[test]
    fn a_path_leads_to_what_it_names() {
        for (path, expected) in [
            ("userName", json!("ada")),
            ("USERNAME", json!("ada")),
            ("urn:ietf:params:scim:schemas:core:2.0:User:userName", json!("ada")),
            ("name.givenName", json!("Ada")),
            ("emails[type eq \"work\"].value", json!("ada@work")),
            ("emails[primary eq true].value", json!("ada@work")),
            ("emails[primary eq false].value", json!("ada@other")),
            ("emails.value", json!("ada@work")),
            ("tags", json!("b")),
            ("urn:example:2.0:User:badge", json!(7)),
            ("URN:Example:2.0:user:boss.value", json!("u2")),
        ] {
            assert_eq!(picked(path), Some(expected), "{path}");
        }
        for path in ["nickName", "name.middleName", "emails[type eq \"x\"].value", "urn:other:a"] {
            assert_eq!(picked(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in [
            "",
            "name.",
            "a b",
            "emails[type eq \"work\"",
            "emails[type ne \"work\"].value",
            "emails[type eq work].value",
            "emails[type eq 3].value",
            "emails[type eq \"work\"]value",
            "emails.value[type eq \"work\"]",
            "urn:example:2.0:User:",
        ] {
            assert!(Path::parse(path).is_err(), "{path:?} was taken");
        }
    }
}
