//! The attributes of users that are announced, and where in a SCIM user they are by default.
//!
//! A connector announces its schema before it is configured, so the list is fixed: what a service
//! has besides goes into one of the `custom` attributes, by its path. Names are those of the other
//! connectors, so that one rule of the gate fits all.

use cordon_sdk::{Attribute, AttributeType, Schema, User};

use AttributeType::{Boolean, Integer, Text, Timestamp};

/// The enterprise extension of RFC 7643.
pub(crate) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// An attribute: its name, its type, and the paths of which the first that leads somewhere counts.
pub(crate) type Mapped = (&'static str, AttributeType, &'static [&'static str]);

/// All attributes that can be mapped.
pub(crate) const ATTRIBUTES: [Mapped; 41] = [
    ("name", Text, &["displayName", "name.formatted"]),
    ("login", Text, &["userName"]),
    (
        "email",
        Text,
        &["emails[primary eq true].value", "emails[type eq \"work\"].value", "emails.value"],
    ),
    ("created", Timestamp, &["meta.created"]),
    ("last_login", Timestamp, &[]),
    ("external_id", Text, &["externalId"]),
    ("given_name", Text, &["name.givenName"]),
    ("family_name", Text, &["name.familyName"]),
    ("nickname", Text, &["nickName"]),
    (
        "employee_number",
        Text,
        &["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber"],
    ),
    ("title", Text, &["title"]),
    (
        "department",
        Text,
        &["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"],
    ),
    ("division", Text, &["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:division"]),
    (
        "cost_center",
        Text,
        &["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter"],
    ),
    ("company", Text, &["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:organization"]),
    ("location", Text, &["addresses[type eq \"work\"].locality", "addresses.locality"]),
    ("country", Text, &["addresses[type eq \"work\"].country", "addresses.country"]),
    ("phone", Text, &["phoneNumbers[type eq \"work\"].value", "phoneNumbers.value"]),
    ("language", Text, &["preferredLanguage"]),
    ("timezone", Text, &["timezone"]),
    (
        "manager",
        Text,
        &["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.displayName"],
    ),
    ("worker_type", Text, &["userType"]),
    ("start_date", Timestamp, &[]),
    ("end_date", Timestamp, &[]),
    ("changed", Timestamp, &[]),
    ("grade", Integer, &[]),
    ("contractor", Boolean, &[]),
    ("custom_1", Text, &[]),
    ("custom_2", Text, &[]),
    ("custom_3", Text, &[]),
    ("custom_4", Text, &[]),
    ("custom_5", Text, &[]),
    ("custom_6", Text, &[]),
    ("custom_7", Text, &[]),
    ("custom_8", Text, &[]),
    ("custom_integer_1", Integer, &[]),
    ("custom_integer_2", Integer, &[]),
    ("custom_boolean_1", Boolean, &[]),
    ("custom_boolean_2", Boolean, &[]),
    ("custom_timestamp_1", Timestamp, &[]),
    ("custom_timestamp_2", Timestamp, &[]),
];

/// The schema of users with all of them.
pub(crate) fn user_schema() -> Schema {
    ATTRIBUTES.iter().fold(User::schema(), |schema, (name, kind, _)| {
        schema.attribute(match kind {
            Text => Attribute::text(name),
            Integer => Attribute::integer(name),
            Boolean => Attribute::boolean(name),
            Timestamp => Attribute::timestamp(name),
        })
    })
}
