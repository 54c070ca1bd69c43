//! Attributes from a user's profile, which each connector fills as it likes.

use prost_types::Struct;
use prost_types::value::Kind;

use super::{Facts, Mapping, NAME_BYTES_MAX};
use crate::config::PROFILE_ATTRIBUTES;

/// Adds what the profile says of the mapped attributes, or of those that have the same name there.
pub(super) fn facts(facts: &mut Facts, mapping: Option<&Mapping>, profile: Option<&Struct>) {
    let Some(profile) = profile else { return };
    for attribute in PROFILE_ATTRIBUTES {
        let name = match mapping {
            Some(mapping) => mapping.get(attribute).map(String::as_str),
            None => Some(attribute),
        };
        let value = name.and_then(|name| profile.fields.get(name)?.kind.as_ref());
        let text = match value {
            Some(Kind::StringValue(text)) => text.clone(),
            // A number of a profile is a double; whole ones are written as such.
            Some(Kind::NumberValue(number)) => number.to_string(),
            Some(Kind::BoolValue(yes)) => yes.to_string(),
            Some(Kind::NullValue(_) | Kind::StructValue(_) | Kind::ListValue(_)) | None => continue,
        };
        facts.text(attribute, &text, NAME_BYTES_MAX);
    }
}
