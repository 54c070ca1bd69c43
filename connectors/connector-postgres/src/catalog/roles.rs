//! Roles: users, groups, and the attributes that are power over others.

use cordon_sdk::{Group, Status, User};
use tokio_postgres::Row;

use super::{ATTRIBUTES, Dialect, Family, attribute_id, filtered, micros};
use crate::config::Bounds;
use crate::fact::{Fact, Part, moment};
use crate::fault::Fault;
use crate::roles::{FIRST_OWN_OID, Kind, Known};

/// Roles of the server itself that only look at how it runs. The others of its roles give power
/// beyond what was granted on objects, and so may those of versions to come.
const HARMLESS: [&str; 6] = [
    "pg_monitor",
    "pg_read_all_settings",
    "pg_read_all_stats",
    "pg_stat_scan_tables",
    "pg_use_reserved_connections",
    "pg_database_owner",
];
/// Characters of a comment that are kept.
const COMMENT_CHARACTERS_MAX: u32 = 1_000;
/// Memberships have their own options from here on.
pub(super) const OPTIONS_SINCE: i32 = 160_000;

pub(crate) fn roles(dialect: Dialect, bounds: &Bounds) -> Family {
    let any = ATTRIBUTES.map(|(_, column)| format!("r.{column}")).join(" OR ");
    let harmless = HARMLESS.map(|name| format!("'{name}'")).join(", ");
    // A membership whose options are all off gives nothing; before there were any, all gave.
    let gives = if dialect.version >= OPTIONS_SINCE {
        "WHERE m.admin_option OR m.inherit_option OR m.set_option"
    } else {
        ""
    };
    let attributes = ATTRIBUTES.map(|(_, column)| format!("r.{column}")).join(", ");
    let expires = micros("r.rolvaliduntil");
    let list = format!(
        "WITH RECURSIVE powerful (oid) AS ( \
           SELECT r.oid FROM pg_catalog.pg_roles r WHERE {any} \
             OR (r.oid < {FIRST_OWN_OID} AND r.rolname <> ALL (ARRAY[{harmless}]::name[])) \
           UNION \
           SELECT m.member FROM pg_catalog.pg_auth_members m \
             JOIN powerful p ON p.oid = m.roleid {gives}) \
         SELECT r.oid, r.rolname::text, r.rolcanlogin, r.rolinherit, r.rolconnlimit, \
           {expires} AS expires, left(d.description, {COMMENT_CHARACTERS_MAX}) AS comment, \
           p.oid IS NOT NULL AS is_powerful, h.roleid IS NOT NULL AS has_members, {attributes} \
         FROM pg_catalog.pg_roles r \
           LEFT JOIN powerful p ON p.oid = r.oid \
           LEFT JOIN (SELECT DISTINCT roleid FROM pg_catalog.pg_auth_members) h \
             ON h.roleid = r.oid \
           LEFT JOIN pg_catalog.pg_shdescription d \
             ON d.objoid = r.oid AND d.classoid = 'pg_catalog.pg_authid'::regclass"
    );
    let held = ATTRIBUTES.map(|(_, column)| format!("count(*) FILTER (WHERE r.{column})"));
    let count = format!(
        "SELECT count(*), \
           count(*) FILTER (WHERE r.rolcanlogin) \
             + 2 * count(*) FILTER (WHERE r.rolcanlogin AND h.roleid IS NOT NULL), \
           3 * count(*) FILTER (WHERE NOT r.rolcanlogin), \
           {} \
         FROM pg_catalog.pg_roles r \
           LEFT JOIN (SELECT DISTINCT roleid FROM pg_catalog.pg_auth_members) h \
             ON h.roleid = r.oid",
        held.join(" + ")
    );
    Family {
        what: "roles",
        parts: &[Part::Users, Part::Groups, Part::Attributes],
        bounds: vec![("roles", bounds.roles)],
        count,
        rows: filtered(&list, "oid", "x.oid"),
        facts,
    }
}

fn facts(row: &Row, known: &mut Known, facts: &mut Vec<Fact>) -> Result<(), Fault> {
    let oid: u32 = row.try_get("oid")?;
    let name: String = row.try_get("rolname")?;
    let inherits: bool = row.try_get("rolinherit")?;
    let limit: i32 = row.try_get("rolconnlimit")?;
    let expires: Option<i64> = row.try_get("expires")?;
    let comment: Option<String> = row.try_get("comment")?;
    let is_powerful: bool = row.try_get("is_powerful")?;
    let has_members: bool = row.try_get("has_members")?;
    let is_superuser: bool = row.try_get("rolsuper")?;
    let expires = expires.and_then(moment);
    let is_built_in = oid < FIRST_OWN_OID;
    let id = oid.to_string();
    let (part, kind) = if row.try_get("rolcanlogin")? {
        // Superusers are not held to a limit of connections.
        let is_shut_out = limit == 0 && !is_superuser;
        let mut user = User::new(id.clone())
            .status(if is_shut_out { Status::Disabled } else { Status::Active })
            .login(name.clone())
            .attribute("inherits", inherits)
            .attribute("connection_limit", (limit >= 0).then_some(limit))
            .attribute("password_expires", expires)
            .attribute("comment", comment)
            .attribute("built_in", is_built_in);
        let is_replicating: bool = row.try_get("rolreplication")?;
        if let Some(kind) = known.account_type(oid, &name, is_replicating) {
            user = user.account_type(kind);
        }
        facts.push(Fact::user(id.clone(), user.name(name)));
        (Part::Users, Kind::User)
    } else {
        let group = Group::new(id.clone())
            .name(name)
            .attribute("inherits", inherits)
            .attribute("password_expires", expires)
            .attribute("comment", comment)
            .attribute("built_in", is_built_in);
        facts.push(Fact::group(id.clone(), group));
        (Part::Groups, Kind::Group)
    };
    known.add(oid, kind);
    if kind == Kind::Group || has_members {
        let on = (kind.type_name(), id.as_str());
        facts.push(Fact::entitlement(part, member_id(oid), "member", is_powerful, on));
        facts.push(Fact::entitlement(part, admin_id(oid), "admin", true, on));
    }
    for (name, column) in ATTRIBUTES {
        if row.try_get(column)? {
            let holder = (kind.type_name(), id.clone());
            facts.push(Fact::grant(Part::Attributes, holder, attribute_id(name)));
        }
    }
    Ok(())
}

pub(super) fn member_id(role: u32) -> String {
    format!("member:{role}")
}

pub(super) fn admin_id(role: u32) -> String {
    format!("admin:{role}")
}
