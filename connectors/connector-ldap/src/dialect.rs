//! What the two kinds of server call the same things.

use ldap3::controls::RawControl;

use crate::dn::{self, Key};
use crate::entry::Entry;
use crate::guid::Guid;

/// Adds `<GUID=...>;<SID=...>;` in front of every name (MS-ADTS 3.1.1.3.4.1.5).
const EXTENDED_NAMES: &str = "1.2.840.113556.1.4.529";
/// SEQUENCE { INTEGER 1 }: as text.
const EXTENDED_NAMES_AS_TEXT: [u8; 5] = [0x30, 0x03, 0x02, 0x01, 0x01];
/// Keeps a domain controller from mentioning its other partitions in every answer.
const THIS_DOMAIN_ONLY: &str = "1.2.840.113556.1.4.1339";

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A domain controller, Microsoft's or Samba's.
    ActiveDirectory,
    /// A server that has entryUUID (RFC 4530), such as OpenLDAP.
    Standard,
}

/// What an entry is, as it is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    User,
    Group,
}

impl Kind {
    /// Its type in records.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }

    /// Its scope.
    pub(crate) fn scope(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Group => "groups",
        }
    }
}

/// A name with what the server put in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExtendedName<'a> {
    pub(crate) guid: Option<Guid>,
    pub(crate) dn: &'a str,
}

impl<'a> ExtendedName<'a> {
    pub(crate) fn read(text: &'a str) -> Self {
        let (mut guid, mut rest) = (None, text);
        while let Some(inside) = rest.strip_prefix('<')
            && let Some((part, after)) = inside.split_once('>')
        {
            if let Some(text) = part.strip_prefix("GUID=") {
                guid = Guid::parse(text);
            }
            rest = after.strip_prefix(';').unwrap_or(after);
        }
        Self { guid, dn: rest }
    }
}

impl Dialect {
    /// The filter that finds entries of a kind where the configuration has none.
    pub(crate) fn filter(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::ActiveDirectory, Kind::User) => {
                "(|(&(objectCategory=person)(objectClass=user))\
                 (objectClass=msDS-ManagedServiceAccount)\
                 (objectClass=msDS-GroupManagedServiceAccount))"
            }
            (Self::ActiveDirectory, Kind::Group) => "(objectClass=group)",
            (Self::Standard, Kind::User) => {
                "(|(objectClass=inetOrgPerson)(objectClass=posixAccount)(objectClass=account))"
            }
            (Self::Standard, Kind::Group) => {
                "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)\
                 (objectClass=posixGroup))"
            }
        }
    }

    /// The attribute with an entry's id.
    pub(crate) fn id_attribute(self) -> &'static str {
        match self {
            Self::ActiveDirectory => "objectGUID",
            Self::Standard => "entryUUID",
        }
    }

    /// The attribute with the name by which a user logs in.
    pub(crate) fn login_attribute(self) -> &'static str {
        match self {
            Self::ActiveDirectory => "sAMAccountName",
            Self::Standard => "uid",
        }
    }

    /// The id of an entry.
    pub(crate) fn id(self, entry: &Entry) -> Option<Guid> {
        match self {
            Self::ActiveDirectory => Guid::from_active_directory(entry.bytes_of("objectGUID")?),
            Self::Standard => Guid::parse(&entry.text_of("entryUUID")?.to_ascii_lowercase()),
        }
    }

    /// A condition that only the entry of that id meets.
    pub(crate) fn is(self, id: Guid) -> String {
        match self {
            Self::ActiveDirectory => format!("(objectGUID={})", id.in_filter()),
            Self::Standard => format!("(entryUUID={id})"),
        }
    }

    /// By what a name leads to its entry: the id that stands in front of it, or the name itself.
    pub(crate) fn key(self, name: &str) -> Key {
        let name = ExtendedName::read(name);
        name.guid.map_or_else(|| dn::key(name.dn), Guid::number)
    }

    /// Controls that go with every search.
    pub(crate) fn controls(self) -> Vec<RawControl> {
        match self {
            Self::ActiveDirectory => vec![
                RawControl {
                    ctype: EXTENDED_NAMES.to_owned(),
                    crit: true,
                    val: Some(EXTENDED_NAMES_AS_TEXT.to_vec()),
                },
                RawControl { ctype: THIS_DOMAIN_ONLY.to_owned(), crit: true, val: None },
            ],
            Self::Standard => vec![],
        }
    }
}

/// The last part of a security identifier, which tells accounts of one domain apart; with whether it
/// is one of every Windows there is (S-1-5-32).
pub(crate) fn relative_id(sid: &[u8]) -> Option<(u32, bool)> {
    let [1, parts, authority @ ..] = sid else { return None };
    let authority = authority.get(..6)?;
    let rest = sid.get(8..)?;
    if rest.len() != usize::from(*parts) * 4 || rest.is_empty() {
        return None;
    }
    let part = |at: usize| rest.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let is_builtin = authority == [0, 0, 0, 0, 0, 5] && *parts == 2 && part(0) == Some(32);
    Some((part(rest.len() - 4)?, is_builtin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_from_what_stands_in_front() {
        let text =
            "<GUID=c0f51ee4-e298-4783-be01-2a537219b843>;<SID=S-1-5-21-1-2-3-1216>;CN=a,DC=x";
        let name = ExtendedName::read(text);
        assert_eq!(name.dn, "CN=a,DC=x");
        assert_eq!(name.guid.unwrap().to_string(), "c0f51ee4-e298-4783-be01-2a537219b843");
        assert_eq!(ExtendedName::read("CN=a"), ExtendedName { guid: None, dn: "CN=a" });
        assert_eq!(ExtendedName::read("<GUID=").dn, "<GUID=");
    }

    #[test]
    fn the_last_part_of_a_sid_is_read() {
        // S-1-5-21-1-2-3-512 and S-1-5-32-544, as MS-DTYP 2.4.2.2 lays them out.
        let domain: Vec<u8> = [1, 5, 0, 0, 0, 0, 0, 5]
            .into_iter()
            .chain([21u32, 1, 2, 3, 512].into_iter().flat_map(u32::to_le_bytes))
            .collect();
        assert_eq!(relative_id(&domain), Some((512, false)));
        let builtin: Vec<u8> = [1, 2, 0, 0, 0, 0, 0, 5]
            .into_iter()
            .chain([32u32, 544].into_iter().flat_map(u32::to_le_bytes))
            .collect();
        assert_eq!(relative_id(&builtin), Some((544, true)));
        assert_eq!(relative_id(&domain[..20]), None);
        assert_eq!(relative_id(&[]), None);
    }
}
