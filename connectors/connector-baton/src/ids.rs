//! Ids of what a Baton connector reports.
//!
//! A resource's id is unique within its type, and several types may become one of Cordon's. So an id
//! here is always `type/id`, also where there is one type today: a second one that a later version
//! adds must not change every id.

use sha2::{Digest, Sha256};

use crate::wire::v2::ResourceId;

/// Bytes of an id; what is longer ends in a digest.
const ID_BYTES_MAX: usize = 1_000;
/// Bytes of a digest in an id, in hex.
const DIGEST_HEX: usize = 32;

/// The id of a resource; none where it has none.
pub(crate) fn of_resource(id: &ResourceId) -> Option<String> {
    let is_whole = !id.resource_type.is_empty() && !id.resource.is_empty();
    is_whole.then(|| bounded(&format!("{}/{}", id.resource_type, id.resource), ID_BYTES_MAX))
}

/// The id of an entitlement: the connector's own, which is unique already.
pub(crate) fn of_entitlement(id: &str) -> Option<String> {
    (!id.is_empty()).then(|| bounded(id, ID_BYTES_MAX))
}

/// A text within a bound: what is cut off goes into a digest, so that no two texts become one.
pub(crate) fn bounded(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let digest = Sha256::digest(text);
    let digest = digest.iter().take(DIGEST_HEX / 2).map(|byte| format!("{byte:02x}"));
    format!("{}…{}", cut(text, bytes_max - DIGEST_HEX - '…'.len_utf8()), digest.collect::<String>())
}

/// The beginning of a text, of which the rest does not matter.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_type_and_a_long_one_stays_within_bounds_and_different_from_others() {
        let id = |of: &str, resource: &str| {
            of_resource(&ResourceId { resource_type: of.into(), resource: resource.into() })
        };
        assert_eq!(id("team", "17").as_deref(), Some("team/17"));
        assert_eq!((id("", "17"), id("team", "")), (None, None));
        let long = "ä".repeat(600);
        let (one, two) =
            (id("t", &format!("{long}1")).unwrap(), id("t", &format!("{long}2")).unwrap());
        assert!(one != two && one.len() <= ID_BYTES_MAX && one.len() > ID_BYTES_MAX - 4);
    }
}
