//! Makes a worker of a row, or says which field keeps it from being one.

use std::borrow::Cow;

use cordon_sdk::{AttributeType, Status, Timestamp, Value};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use crate::charset::{Charset, Undecodable};
use crate::config::{Config, StatusColumn};
use crate::header::{Layout, Place};
use crate::rows::{FIELD_BYTES_MAX, Row, RowFault};

/// Bytes of an id, at most; what a member's entitlement adds to it stays below the gate's bound.
const ID_BYTES_MAX: usize = 900;

/// What one row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) id: String,
    pub(crate) attributes: Vec<(&'static str, Value)>,
    pub(crate) status: Option<Status>,
    pub(crate) manager: Option<String>,
    pub(crate) parent: Option<String>,
    pub(crate) groups: Vec<String>,
}

/// Why a row is no worker. Values are shown short.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WorkerFault {
    #[error("{0}")]
    Row(#[from] RowFault),
    #[error("{found} fields where the header has {fields}")]
    Ragged { found: usize, fields: usize },
    #[error("column `{column}`: {source}")]
    Undecodable { column: String, source: Undecodable },
    #[error("column `{column}` is empty")]
    Empty { column: String },
    #[error(
        "column `{column}`: {value:?} is no id: control characters, or longer than {ID_BYTES_MAX} bytes"
    )]
    BadId { column: String, value: String },
    #[error("column `{column}`: {value:?} is not {wanted}")]
    BadValue { column: String, value: String, wanted: &'static str },
    #[error("column `{column}` is longer than {FIELD_BYTES_MAX} bytes")]
    TooLong { column: String },
}

/// Reads a row.
pub(crate) fn worker(
    config: &Config,
    layout: &Layout,
    charset: Charset,
    row: &Row,
) -> Result<Worker, WorkerFault> {
    if let Some(fault) = &row.fault {
        return Err(fault.clone().into());
    }
    if row.len() != layout.fields {
        return Err(WorkerFault::Ragged { found: row.len(), fields: layout.fields });
    }
    let text = |place: &Place| text(charset, row, place);
    let id = text(&layout.key)?;
    if id.is_empty() {
        return Err(WorkerFault::Empty { column: layout.key.header.clone() });
    }
    let reference = |place: &Option<Place>| match place {
        None => Ok(None),
        Some(place) => {
            let id = text(place)?;
            if id.is_empty() { Ok(None) } else { checked_id(place, &id).map(Some) }
        }
    };
    let mut attributes = Vec::with_capacity(layout.attributes.len());
    for attribute in &layout.attributes {
        let text = text(&attribute.place)?;
        if text.is_empty() {
            continue;
        }
        let value = value(&text, attribute.kind, attribute.format.as_deref());
        let value = value.map_err(|wanted| bad_value(&attribute.place, &text, wanted))?;
        attributes.push((attribute.name, value));
    }
    let status = match (&config.status, &layout.status) {
        (Some(column), Some(place)) => Some(status(column, place, &text(place)?)?),
        _ => None,
    };
    Ok(Worker {
        id: checked_id(&layout.key, &id)?,
        attributes,
        status,
        manager: reference(&layout.manager)?,
        parent: reference(&layout.parent)?,
        groups: match &layout.groups {
            None => vec![],
            Some(place) => groups(config, place, &text(place)?)?,
        },
    })
}

/// A field as text, without blanks around it.
fn text<'r>(charset: Charset, row: &'r Row, place: &Place) -> Result<Cow<'r, str>, WorkerFault> {
    let bytes = row.field(place.index).unwrap_or_default();
    let text = charset
        .decode(bytes)
        .map_err(|source| WorkerFault::Undecodable { column: place.header.clone(), source })?;
    // One byte of a legacy encoding may be three of UTF-8.
    if text.len() > FIELD_BYTES_MAX {
        return Err(WorkerFault::TooLong { column: place.header.clone() });
    }
    Ok(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    })
}

fn checked_id(place: &Place, id: &str) -> Result<String, WorkerFault> {
    if id.len() > ID_BYTES_MAX || id.chars().any(char::is_control) {
        let value = short(id);
        return Err(WorkerFault::BadId { column: place.header.clone(), value });
    }
    Ok(id.to_owned())
}

fn groups(config: &Config, place: &Place, text: &str) -> Result<Vec<String>, WorkerFault> {
    let separator = config.groups.as_ref().and_then(|groups| groups.separator.as_deref());
    let names: Vec<&str> = separator.map_or_else(|| vec![text], |by| text.split(by).collect());
    let mut groups: Vec<String> = vec![];
    for name in names.into_iter().map(str::trim).filter(|name| !name.is_empty()) {
        let id = checked_id(place, name)?;
        if !groups.contains(&id) {
            groups.push(id);
        }
    }
    Ok(groups)
}

fn status(column: &StatusColumn, place: &Place, text: &str) -> Result<Status, WorkerFault> {
    let is_in = |list: &[String]| list.iter().any(|value| value == text);
    if is_in(&column.active) {
        return Ok(Status::Active);
    }
    match &column.disabled {
        Some(disabled) if is_in(disabled) => Ok(Status::Disabled),
        Some(_) => Err(bad_value(place, text, "among `status.active` or `status.disabled`")),
        // An empty field is a value that was lost, and must not lock anybody out.
        None if text.is_empty() => Err(WorkerFault::Empty { column: place.header.clone() }),
        None => Ok(Status::Disabled),
    }
}

fn value(text: &str, kind: AttributeType, format: Option<&str>) -> Result<Value, &'static str> {
    match kind {
        AttributeType::Text => Ok(Value::Text(text.to_owned())),
        AttributeType::Integer => text.parse().map(Value::Integer).map_err(|_| "a whole number"),
        AttributeType::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "1" => Ok(Value::Boolean(true)),
            "false" | "no" | "n" | "0" => Ok(Value::Boolean(false)),
            _ => Err("yes or no"),
        },
        AttributeType::Timestamp => {
            time(text, format).map(Value::Timestamp).ok_or("a time in the configured format")
        }
    }
}

/// A moment; a time without a zone is one of UTC, a date its first moment.
fn time(text: &str, format: Option<&str>) -> Option<Timestamp> {
    let at = |time: DateTime| Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp());
    let Some(format) = format else {
        return text
            .parse::<Timestamp>()
            .ok()
            .or_else(|| at(text.parse::<Date>().ok()?.to_datetime(Time::midnight())));
    };
    let parsed = jiff::fmt::strtime::parse(format, text).ok()?;
    parsed
        .to_timestamp()
        .ok()
        .or_else(|| at(parsed.to_datetime().ok()?))
        .or_else(|| at(parsed.to_date().ok()?.to_datetime(Time::midnight())))
}

fn bad_value(place: &Place, value: &str, wanted: &'static str) -> WorkerFault {
    WorkerFault::BadValue { column: place.header.clone(), value: short(value), wanted }
}

fn short(value: &str) -> String {
    let mut short: String = value.chars().take(40).collect();
    if short.len() < value.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_type() {
        let moment = |text: &str| Ok(Value::Timestamp(text.parse().unwrap()));
        for (text, kind, format, expected) in [
            ("x", AttributeType::Text, None, Ok(Value::Text("x".to_owned()))),
            ("-7", AttributeType::Integer, None, Ok(Value::Integer(-7))),
            ("7.5", AttributeType::Integer, None, Err("a whole number")),
            ("99999999999999999999", AttributeType::Integer, None, Err("a whole number")),
            ("Y", AttributeType::Boolean, None, Ok(Value::Boolean(true))),
            ("0", AttributeType::Boolean, None, Ok(Value::Boolean(false))),
            ("maybe", AttributeType::Boolean, None, Err("yes or no")),
            ("2026-03-02", AttributeType::Timestamp, None, moment("2026-03-02T00:00:00Z")),
            (
                "2026-03-02T04:00:00+02:00",
                AttributeType::Timestamp,
                None,
                moment("2026-03-02T02:00:00Z"),
            ),
            (
                "02.03.2026",
                AttributeType::Timestamp,
                Some("%d.%m.%Y"),
                moment("2026-03-02T00:00:00Z"),
            ),
            (
                "02.03.2026 04:05",
                AttributeType::Timestamp,
                Some("%d.%m.%Y %H:%M"),
                moment("2026-03-02T04:05:00Z"),
            ),
            (
                "20260302 0405 +0100",
                AttributeType::Timestamp,
                Some("%Y%m%d %H%M %z"),
                moment("2026-03-02T03:05:00Z"),
            ),
            (
                "31.02.2026",
                AttributeType::Timestamp,
                Some("%d.%m.%Y"),
                Err("a time in the configured format"),
            ),
            ("soon", AttributeType::Timestamp, None, Err("a time in the configured format")),
        ] {
            assert_eq!(value(text, kind, format), expected, "{text} {format:?}");
        }
    }

    #[test]
    fn an_unknown_or_lost_status_locks_nobody_out() {
        let place = Place { index: 0, header: "state".to_owned() };
        let column = |disabled: Option<&[&str]>| StatusColumn {
            column: "state".to_owned(),
            active: vec!["A".to_owned(), "L".to_owned()],
            disabled: disabled.map(|list| list.iter().map(|text| (*text).to_owned()).collect()),
        };
        let read = |disabled, text| {
            status(&column(disabled), &place, text).map_err(|fault| fault.to_string())
        };
        assert_eq!(read(None, "L"), Ok(Status::Active));
        assert_eq!(read(None, "T"), Ok(Status::Disabled));
        assert_eq!(read(None, ""), Err("column `state` is empty".to_owned()));
        assert_eq!(read(Some(&["T", ""]), ""), Ok(Status::Disabled));
        let unknown = "column `state`: \"X\" is not among `status.active` or `status.disabled`";
        assert_eq!(read(Some(&["T"]), "X"), Err(unknown.to_owned()));
    }
}
