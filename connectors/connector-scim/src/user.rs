//! Makes a user of a resource, or says what of it cannot be read.
//!
//! A value in another form than it should have is a fault of its user: what was known of that user
//! stays, rather than to lose an attribute.

use cordon_sdk::{AccountType, AttributeType, Status, Timestamp, Value};
use serde_json::Value as Json;

use crate::attributes::ENTERPRISE;
use crate::collection::is_id;
use crate::config::Checked;
use crate::path::{member, text, truth};

/// Bytes of a text, at most.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// What a resource says of a user.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) account_type: AccountType,
    pub(crate) attributes: Vec<(&'static str, Value)>,
    pub(crate) status: Option<Status>,
    pub(crate) manager: Option<String>,
    pub(crate) roles: Vec<Held>,
    pub(crate) entitlements: Vec<Held>,
}

/// A role or an entitlement that a user holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
}

/// Why a resource is no user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccountFault {
    #[error("`{path}` of {id} is not {wanted}")]
    BadValue { id: String, path: String, wanted: &'static str },
    #[error("`{path}` of {id} is longer than {TEXT_BYTES_MAX} bytes")]
    TooLong { id: String, path: String },
    #[error("{list} of {id} hold one without a value, or with one that is no id")]
    NoId { id: String, list: &'static str },
}

/// Reads a resource.
pub(crate) fn account(
    checked: &Checked,
    kind: AccountType,
    id: &str,
    json: &Json,
) -> Result<Account, AccountFault> {
    let mut attributes = Vec::with_capacity(checked.attributes.len());
    for (name, of, paths) in &checked.attributes {
        let found = paths.iter().find_map(|path| Some((path, path.pick(json)?)));
        let Some((path, found)) = found else { continue };
        let refuse = |fault: Refused| match fault {
            Refused::Wanted(wanted) => {
                AccountFault::BadValue { id: id.to_owned(), path: path.text().to_owned(), wanted }
            }
            Refused::TooLong => {
                AccountFault::TooLong { id: id.to_owned(), path: path.text().to_owned() }
            }
        };
        if let Some(value) = value(found, *of).map_err(refuse)? {
            attributes.push((*name, value));
        }
    }
    let status = match member(json, "active") {
        None => None,
        Some(active) => Some(match truth(active) {
            Some(true) => Status::Active,
            Some(false) => Status::Disabled,
            None => {
                let (id, path) = (id.to_owned(), "active".to_owned());
                return Err(AccountFault::BadValue { id, path, wanted: "true or false" });
            }
        }),
    };
    let login = text(json, "userName").unwrap_or_default();
    let is_service = checked.service_accounts.iter().any(|pattern| pattern.matches(login));
    Ok(Account {
        id: id.to_owned(),
        account_type: if is_service { AccountType::Service } else { kind },
        attributes,
        status,
        manager: manager(id, json)?,
        roles: held(id, json, "roles")?,
        entitlements: held(id, json, "entitlements")?,
    })
}

fn manager(id: &str, json: &Json) -> Result<Option<String>, AccountFault> {
    let manager = member(json, ENTERPRISE).and_then(|enterprise| member(enterprise, "manager"));
    let value = match manager {
        // Some services write the id alone.
        Some(Json::String(value)) => Some(value.as_str()),
        Some(manager) => text(manager, "value"),
        None => None,
    };
    match value {
        None | Some("") => Ok(None),
        Some(value) if is_id(value) => Ok(Some(value.to_owned())),
        Some(_) => Err(AccountFault::NoId { id: id.to_owned(), list: "managers" }),
    }
}

/// The roles or entitlements of a user, each once.
fn held(id: &str, json: &Json, list: &'static str) -> Result<Vec<Held>, AccountFault> {
    let mut held: Vec<Held> = vec![];
    let elements = match member(json, list) {
        None => return Ok(held),
        Some(Json::Array(elements)) => elements.as_slice(),
        Some(single) => std::slice::from_ref(single),
    };
    for element in elements {
        let (value, name) = match element {
            Json::String(value) => (Some(value.as_str()), None),
            element => (text(element, "value"), text(element, "display")),
        };
        let value = value.filter(|value| is_id(value));
        let value = value.ok_or_else(|| AccountFault::NoId { id: id.to_owned(), list })?;
        if !held.iter().any(|known| known.id == value) {
            held.push(Held { id: value.to_owned(), name: name.map(str::to_owned) });
        }
    }
    Ok(held)
}

enum Refused {
    Wanted(&'static str),
    TooLong,
}

/// A value in the type that was announced; none where the text is empty.
fn value(found: &Json, of: AttributeType) -> Result<Option<Value>, Refused> {
    let value = match (of, found) {
        (_, Json::String(text)) if text.is_empty() => return Ok(None),
        (AttributeType::Text, Json::String(text)) if text.len() > TEXT_BYTES_MAX => {
            return Err(Refused::TooLong);
        }
        (AttributeType::Text, Json::String(text)) => Value::Text(text.clone()),
        (AttributeType::Text, Json::Number(number)) => Value::Text(number.to_string()),
        (AttributeType::Text, Json::Bool(truth)) => Value::Text(truth.to_string()),
        (AttributeType::Text, _) => return Err(Refused::Wanted("text")),
        (AttributeType::Integer, found) => {
            let number = match found {
                Json::String(text) => text.trim().parse().ok(),
                found => found.as_i64(),
            };
            Value::Integer(number.ok_or(Refused::Wanted("a whole number"))?)
        }
        (AttributeType::Boolean, found) => {
            Value::Boolean(truth(found).ok_or(Refused::Wanted("true or false"))?)
        }
        (AttributeType::Timestamp, found) => {
            let time = found.as_str().and_then(time);
            Value::Timestamp(time.ok_or(Refused::Wanted("a time"))?)
        }
    };
    Ok(Some(value))
}

/// A moment; a time without a zone is one of UTC, a date its first moment.
fn time(text: &str) -> Option<Timestamp> {
    use jiff::civil::{Date, DateTime};
    use jiff::tz::TimeZone;
    let civil = |time: DateTime| Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp());
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| civil(text.parse::<DateTime>().ok()?))
        .or_else(|| civil(text.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::midnight())))
}
