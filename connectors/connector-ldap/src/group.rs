//! Makes a group of an entry, and reads who is in it.
//!
//! Members come with the group: one search for a page of groups, whatever their number. Only where a
//! server sends a part of them (Active Directory, above 1,500) is that one group asked again, part by
//! part, and from the beginning if it changed meanwhile.

use std::collections::HashSet;

use cordon_sdk::{Attribute, Entitlement, Group, Schema};

use crate::connection::Connection;
use crate::dialect::{self, Dialect, ExtendedName};
use crate::entry::{Entry, ValueFault};
use crate::fault::Fault;
use crate::guid::Guid;
use crate::principals::{Holder, Principals};

/// How often a group that changes while it is read is begun again.
const ATTEMPTS: usize = 3;
/// Members of one group, at most.
const MEMBERS_MAX: usize = 10_000_000;
/// Bits of groupType (MS-ADTS 2.2.12).
const IS_SECURITY: i64 = 0x8000_0000;
const REACHES: [(i64, &str); 3] = [(0x2, "global"), (0x4, "domain local"), (0x8, "universal")];
/// Groups of every domain and of every Windows whose members have power over others (Administrators,
/// the operators, Domain, Schema and Enterprise Admins, and their like).
const PRIVILEGED_DOMAIN: [u32; 8] = [498, 512, 516, 517, 518, 519, 520, 527];
const PRIVILEGED_BUILTIN: [u32; 6] = [544, 548, 549, 550, 551, 552];
/// Classes that may not be without a member, and the attribute with them (RFC 4519).
const MUST_HAVE_MEMBERS: [(&str, &str); 2] =
    [("groupOfNames", "member"), ("groupOfUniqueNames", "uniqueMember")];

/// What a group of this connector has beside what every group has.
pub(crate) fn schema() -> Schema {
    Group::schema()
        .attribute(Attribute::text("dn").required())
        .attribute(Attribute::text("email"))
        .attribute(Attribute::text("description"))
        .attribute(Attribute::text("reach"))
        .attribute(Attribute::boolean("security"))
        .attribute(Attribute::integer("gid_number"))
}

/// Attributes that are asked for.
pub(crate) fn attributes(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::ActiveDirectory => &[
            "objectGUID",
            "objectSid",
            "sAMAccountName",
            "cn",
            "mail",
            "description",
            "groupType",
            "gidNumber",
            "managedBy",
            "adminCount",
            "uSNChanged",
        ],
        Dialect::Standard => &[
            "entryUUID",
            "objectClass",
            "cn",
            "mail",
            "description",
            "gidNumber",
            "owner",
            "member",
            "uniqueMember",
            "memberUid",
        ],
    }
}

/// The attribute that asks for the first so many members of a group of a domain.
pub(crate) fn first_members(range: u32) -> String {
    range_of(0, range)
}

fn range_of(from: u64, range: u32) -> String {
    format!("member;range={from}-{}", from + u64::from(range) - 1)
}

/// The id of the entitlement to be in a group.
pub(crate) fn member_id(group: Guid) -> String {
    format!("member:{group}")
}

/// Makes a group of an entry, and the entitlement to be in it.
pub(crate) fn group<'e>(
    dialect: Dialect,
    id: Guid,
    entry: &'e Entry,
    principals: &Principals,
    privileged: &HashSet<String>,
) -> Result<(Group<'e>, Entitlement<'e>), ValueFault> {
    let dn = ExtendedName::read(&entry.dn).dn;
    let mut group = Group::new(id.to_string()).attribute("dn", dn);
    let (mut shown, mut is_named) = (None, false);
    for name in ["sAMAccountName", "cn"] {
        if let Some(text) = entry.reportable(name)? {
            shown.get_or_insert(text);
            is_named |= privileged.contains(&text.to_lowercase());
        }
    }
    group = group.name(shown.unwrap_or(dn));
    for (name, source) in [("email", "mail"), ("description", "description")] {
        group = group.attribute(name, entry.reportable(source)?);
    }
    group = group.attribute("gid_number", entry.number_of("gidNumber"));
    if let Some(kind) = entry.number_of("groupType") {
        let reach = REACHES.iter().find(|(bit, _)| kind & bit != 0).map(|(_, reach)| *reach);
        group = group.attribute("security", kind & IS_SECURITY != 0).attribute("reach", reach);
    }
    let owner = entry.text_of("managedBy").or_else(|| entry.text_of("owner"));
    if let Some(owner) = owner
        && let Holder::Known(place) = principals.named(owner)
        && let Some(owner) = principals.get(place)
    {
        group = group.owner(owner.kind.type_name(), owner.id.to_string());
    }
    let is_privileged = is_named || (dialect == Dialect::ActiveDirectory && is_protected(entry));
    let entitlement = Entitlement::new(member_id(id), "group", id.to_string())
        .name("member")
        .privileged(is_privileged);
    Ok((group, entitlement))
}

/// Whether a domain itself counts a group among those with power over others.
fn is_protected(entry: &Entry) -> bool {
    let is_known = match entry.bytes_of("objectSid").and_then(dialect::relative_id) {
        Some((number, true)) => PRIVILEGED_BUILTIN.contains(&number),
        Some((number, false)) => PRIVILEGED_DOMAIN.contains(&number),
        None => false,
    };
    is_known || entry.number_of("adminCount") == Some(1)
}

/// Whether a group says by its class that it has members, and shows none.
pub(crate) fn hides_members(entry: &Entry) -> bool {
    MUST_HAVE_MEMBERS.iter().any(|(class, attribute)| entry.is_a(class) && !entry.has(attribute))
}

/// Who is in a group.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Names of entries.
    pub(crate) names: Vec<String>,
    /// Logins.
    pub(crate) logins: Vec<String>,
}

impl Members {
    /// Takes what came with the group.
    pub(crate) fn of(entry: &Entry) -> Self {
        let texts = |values: &[Vec<u8>]| -> Vec<String> {
            values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
        };
        let mut names = texts(entry.values("member"));
        names.extend(texts(entry.ranged("member").map_or(&[], |(_, values)| values)));
        let unique = texts(entry.values("uniqueMember"));
        names.extend(unique.iter().map(|name| without_bits(name).to_owned()));
        // Servers that insist on a member get an empty one.
        names.retain(|name| !name.is_empty());
        Self { names, logins: texts(entry.values("memberUid")) }
    }
}

/// A name of uniqueMember without the bit string that may follow it: `cn=a#'0101'B`.
fn without_bits(name: &str) -> &str {
    match name.rsplit_once("#'") {
        Some((dn, bits))
            if bits
                .strip_suffix("'B")
                .is_some_and(|it| it.bytes().all(|it| matches!(it, b'0' | b'1'))) =>
        {
            dn
        }
        _ => name,
    }
}

/// What is left to ask of a group that came in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// It came whole.
    Whole,
    /// From this member on.
    From(u64),
}

/// What a server's `range=0-1499` leaves: everything from 1,500 on, or nothing for `range=0-*`.
fn part(entry: &Entry, asked_from: u64) -> Result<Part, Fault> {
    let malformed = || Fault::Malformed("the range of a group's members");
    let Some((option, values)) = entry.ranged("member") else { return Ok(Part::Whole) };
    let (from, to) = option
        .split_once('=')
        .and_then(|(_, range)| range.split_once('-'))
        .ok_or_else(malformed)?;
    let from: u64 = from.parse().map_err(|_| malformed())?;
    if from != asked_from {
        return Err(malformed());
    }
    if to == "*" {
        return Ok(Part::Whole);
    }
    let to: u64 = to.parse().map_err(|_| malformed())?;
    // A range that does not advance, or does not hold what it says, would go on for ever or skip.
    let next = to.checked_add(1).filter(|next| next.checked_sub(from) == Some(values.len() as u64));
    next.filter(|next| *next > from).map(Part::From).ok_or_else(malformed)
}

/// Reads the members of a group that its page did not hold. Gives why they are not whole.
pub(crate) async fn complete(
    connection: &mut Connection,
    dialect: Dialect,
    entry: &Entry,
    range: u32,
    members: &mut Members,
) -> Result<Option<String>, Fault> {
    let Part::From(first) = part(entry, 0)? else { return Ok(None) };
    let mut version = entry.text_of("uSNChanged").map(str::to_owned);
    let base = dialect.id(entry).map(|id| format!("<GUID={id}>"));
    let base = base.ok_or(Fault::Malformed("a group without an id"))?;
    let mut from = first;
    for _ in 0..ATTEMPTS {
        loop {
            let attribute = range_of(from, range);
            let asked = [attribute.as_str(), "uSNChanged"];
            let found = connection.entry(&base, &asked, dialect.controls()).await?;
            let Some(found) = found else {
                return Ok(Some("was deleted while it was read".to_owned()));
            };
            let now = found.text_of("uSNChanged").map(str::to_owned);
            if now != version {
                version = now;
                break;
            }
            members.names.extend(Members::of(&found).names);
            if members.names.len() > MEMBERS_MAX {
                return Ok(Some(format!("has more than {MEMBERS_MAX} members")));
            }
            match part(&found, from)? {
                Part::Whole => return Ok(None),
                Part::From(next) => from = next,
            }
        }
        members.names.clear();
        from = 0;
    }
    Ok(Some(format!("changed under every one of {ATTEMPTS} attempts")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranged(option: &str, members: usize) -> Entry {
        let name = format!("member;{option}");
        let attributes: Vec<(&str, &str)> = vec![(name.as_str(), "cn=a"); members];
        Entry::new("cn=g", &attributes)
    }

    #[test]
    fn what_a_part_leaves_is_told_by_its_range() {
        assert_eq!(part(&ranged("range=0-1", 2), 0).unwrap(), Part::From(2));
        assert_eq!(part(&ranged("range=2-*", 1), 2).unwrap(), Part::Whole);
        assert_eq!(part(&Entry::new("cn=g", &[("member", "cn=a")]), 0).unwrap(), Part::Whole);
        for (option, members, from) in [
            ("range=0-1", 2, 2),
            ("range=0-1", 1, 0),
            ("range=2-1", 1, 2),
            ("range=x-1", 1, 0),
            ("range=0", 1, 0),
            ("range=0-18446744073709551615", 1, 0),
        ] {
            let read = part(&ranged(option, members), from);
            assert!(matches!(read, Err(Fault::Malformed(_))), "{option} from {from}: {read:?}");
        }
    }

    #[test]
    fn members_of_every_kind_of_group_are_read() {
        let entry = Entry::new(
            "cn=g",
            &[
                ("member", "cn=a"),
                ("member", ""),
                ("uniqueMember", "cn=b#'0101'B"),
                ("uniqueMember", "cn=c#d"),
                ("memberUid", "eve"),
            ],
        );
        let members = Members::of(&entry);
        assert_eq!(members.names, ["cn=a", "cn=b", "cn=c#d"]);
        assert_eq!(members.logins, ["eve"]);
    }

    #[test]
    fn a_group_that_must_have_members_and_shows_none_hides_them() {
        let group = |attributes: &[(&str, &str)]| hides_members(&Entry::new("cn=g", attributes));
        assert!(group(&[("objectClass", "groupOfNames")]));
        assert!(!group(&[("objectClass", "groupOfNames"), ("member", "cn=a")]));
        assert!(!group(&[("objectClass", "posixGroup")]));
        assert!(!group(&[("objectClass", "group")]));
    }

    #[test]
    fn groups_that_a_domain_protects_are_privileged_and_so_are_those_that_are_named() {
        let named = HashSet::from(["db admins".to_owned()]);
        let is_privileged = |attributes: &[(&str, &str)]| {
            let entry = Entry::new("cn=g", attributes);
            let id = Guid::parse("00000000-0000-0000-0000-000000000001").unwrap();
            let none = Principals::new(Dialect::ActiveDirectory);
            let made = group(Dialect::ActiveDirectory, id, &entry, &none, &named).unwrap().1;
            format!("{made:?}").contains("Boolean(true)")
        };
        assert!(is_privileged(&[("cn", "DB Admins")]));
        assert!(is_privileged(&[("cn", "x"), ("adminCount", "1")]));
        assert!(!is_privileged(&[("cn", "x"), ("adminCount", "0")]));
    }
}
