//! One entry as a server sends it, measured before it is believed.

use ldap3::asn1::{PL, StructureTag};

use crate::fault::Fault;

/// Bytes of one text value that is reported.
pub(crate) const VALUE_BYTES_MAX: usize = 16 * 1024;

/// An entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name; with more in front where a control asked for it.
    pub(crate) dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
    /// Bytes of all names and values.
    pub(crate) bytes: usize,
}

/// Why a value cannot be reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValueFault {
    #[error("{attribute} of {dn} is no text")]
    NoText { dn: String, attribute: String },
    #[error("{attribute} of {dn} has {bytes} bytes, more than {VALUE_BYTES_MAX}")]
    TooLong { dn: String, attribute: String, bytes: usize },
}

impl Entry {
    /// Takes an entry of a search apart.
    pub(crate) fn read(tag: StructureTag) -> Result<Self, Fault> {
        let mut parts = constructed(tag)?.into_iter();
        let (Some(dn), Some(list)) = (parts.next(), parts.next()) else {
            return Err(Fault::Malformed("an entry without a name"));
        };
        let dn = text(primitive(dn)?)?;
        let mut entry = Self { bytes: dn.len(), dn, attributes: vec![] };
        for attribute in constructed(list)? {
            let mut parts = constructed(attribute)?.into_iter();
            let (Some(name), Some(values)) = (parts.next(), parts.next()) else {
                return Err(Fault::Malformed("an attribute without values"));
            };
            let name = text(primitive(name)?)?;
            let values: Vec<Vec<u8>> =
                constructed(values)?.into_iter().map(primitive).collect::<Result<_, _>>()?;
            let bytes: usize = values.iter().map(|value| value.len() + 24).sum();
            entry.bytes += name.len() + bytes;
            entry.attributes.push((name, values));
        }
        Ok(entry)
    }

    #[cfg(test)]
    pub(crate) fn new(dn: &str, attributes: &[(&str, &str)]) -> Self {
        let mut entry = Self { dn: dn.to_owned(), ..Self::default() };
        for (name, value) in attributes {
            match entry.attributes.iter_mut().find(|(known, _)| known == name) {
                Some((_, values)) => values.push(value.as_bytes().to_vec()),
                None => {
                    entry.attributes.push(((*name).to_owned(), vec![value.as_bytes().to_vec()]));
                }
            }
        }
        entry
    }

    /// All values of an attribute.
    pub(crate) fn values(&self, name: &str) -> &[Vec<u8>] {
        let found = self.attributes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or(&[], |(_, values)| values)
    }

    /// Whether the entry has an attribute that this account may see.
    pub(crate) fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    /// The first value of an attribute.
    pub(crate) fn bytes_of(&self, name: &str) -> Option<&[u8]> {
        self.values(name).first().map(Vec::as_slice)
    }

    /// The first value of an attribute where it is text.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.bytes_of(name).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The first value of an attribute as text that can be reported.
    pub(crate) fn reportable(&self, name: &str) -> Result<Option<&str>, ValueFault> {
        let Some(bytes) = self.bytes_of(name) else { return Ok(None) };
        let fault = || (self.dn.clone(), name.to_owned());
        if bytes.len() > VALUE_BYTES_MAX {
            let (dn, attribute) = fault();
            return Err(ValueFault::TooLong { dn, attribute, bytes: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| {
            let (dn, attribute) = fault();
            ValueFault::NoText { dn, attribute }
        })?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// The first value of an attribute as a whole number.
    pub(crate) fn number_of(&self, name: &str) -> Option<i64> {
        self.text_of(name)?.parse().ok()
    }

    /// Whether the entry is of a class.
    pub(crate) fn is_a(&self, class: &str) -> bool {
        let classes = self.values("objectClass");
        classes.iter().any(|known| known.eq_ignore_ascii_case(class.as_bytes()))
    }

    /// The values of an attribute that came in part, with what the server added to its name:
    /// `member;range=0-1499` gives `range=0-1499`.
    pub(crate) fn ranged(&self, name: &str) -> Option<(&str, &[Vec<u8>])> {
        self.attributes.iter().find_map(|(known, values)| {
            let (base, option) = known.split_once(';')?;
            let is_range =
                option.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("range="));
            (base.eq_ignore_ascii_case(name) && is_range).then_some((option, values.as_slice()))
        })
    }
}

fn constructed(tag: StructureTag) -> Result<Vec<StructureTag>, Fault> {
    match tag.payload {
        PL::C(parts) => Ok(parts),
        PL::P(_) => Err(Fault::Malformed("a value where a list belongs")),
    }
}

fn primitive(tag: StructureTag) -> Result<Vec<u8>, Fault> {
    match tag.payload {
        PL::P(bytes) => Ok(bytes),
        PL::C(_) => Err(Fault::Malformed("a list where a value belongs")),
    }
}

fn text(bytes: Vec<u8>) -> Result<String, Fault> {
    String::from_utf8(bytes).map_err(|_| Fault::Malformed("a name that is no text"))
}

/// The first text of a list, such as the first place of a reference.
pub(crate) fn first_text(tag: StructureTag) -> Option<String> {
    let first = constructed(tag).ok()?.into_iter().next()?;
    String::from_utf8(primitive(first).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_whatever_their_case_and_parts_by_their_range() {
        let entry = Entry::new(
            "cn=g",
            &[("Mail", "a@x"), ("member;Range=0-1", "cn=a"), ("objectClass", "Group")],
        );
        assert_eq!(entry.text_of("mail"), Some("a@x"));
        assert_eq!(entry.ranged("member").unwrap().0, "Range=0-1");
        assert!(entry.is_a("group") && !entry.has("member"));
    }

    #[test]
    fn what_is_no_text_or_too_long_is_a_fault_and_not_cut() {
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        let mut entry = Entry::new("cn=g", &[("title", &long)]);
        entry.attributes.push(("l".to_owned(), vec![vec![0xff]]));
        let fault = entry.reportable("title").unwrap_err().to_string();
        assert_eq!(fault, "title of cn=g has 16385 bytes, more than 16384");
        assert_eq!(entry.reportable("l").unwrap_err().to_string(), "l of cn=g is no text");
        assert_eq!(entry.reportable("cn"), Ok(None));
    }
}
