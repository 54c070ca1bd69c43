//! Reads who the members of a group are.
//!
//! A member names its type, or an address that tells it, or neither. Without either it is looked for
//! among what was read.

use serde_json::Value as Json;

use crate::collection::is_id;
use crate::discovery::Service;
use crate::path::{member, text};

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// The name of its resource type, where it is told.
    pub(crate) of: Option<String>,
}

/// Why the members of a group cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MembersFault {
    #[error("members of {group} are no list")]
    NoList { group: String },
    #[error("members of {group} hold one without a value, or with one that is no id")]
    NoId { group: String },
}

/// Who the members are, each once.
pub(crate) fn members(
    service: &Service,
    group: &str,
    json: &Json,
) -> Result<Vec<Member>, MembersFault> {
    let elements = match member(json, "members") {
        None => return Ok(vec![]),
        Some(Json::Array(elements)) => elements,
        Some(_) => return Err(MembersFault::NoList { group: group.to_owned() }),
    };
    let mut members = Vec::with_capacity(elements.len());
    let mut seen = std::collections::HashSet::with_capacity(elements.len());
    for element in elements {
        let value = match element {
            Json::String(value) => Some(value.as_str()),
            element => text(element, "value"),
        };
        let value = value.filter(|value| is_id(value));
        let id = value.ok_or_else(|| MembersFault::NoId { group: group.to_owned() })?;
        if !seen.insert(id) {
            continue;
        }
        let told = text(element, "type");
        let address = || service.type_at(text(element, "$ref")?);
        members.push(Member { id: id.to_owned(), of: told.or_else(address).map(str::to_owned) });
    }
    Ok(members)
}
