//! Who is a member of whom.
//!
//! Since version 16 a membership may be granted by several roles, each with its own options; they
//! add up to one membership, as they do for the server.

use tokio_postgres::Row;

use super::roles::{OPTIONS_SINCE, admin_id, member_id};
use super::{Dialect, Family, filtered};
use crate::config::Bounds;
use crate::fact::{Fact, Part};
use crate::fault::Fault;
use crate::roles::Known;

pub(crate) fn memberships(dialect: Dialect, bounds: &Bounds) -> Family {
    // The bootstrap superuser, 10, stands for every superuser. Before version 16 the column was not
    // kept right.
    let options = if dialect.version >= OPTIONS_SINCE {
        "bool_or(m.inherit_option) AS inherits, bool_or(m.set_option) AS sets, \
         string_agg(DISTINCT m.grantor::text, ',' ORDER BY m.grantor::text) \
           FILTER (WHERE m.grantor <> 10) AS granted_by"
    } else {
        "bool_or(coalesce(r.rolinherit, true)) AS inherits, true AS sets, NULL::text AS granted_by"
    };
    let list = format!(
        "SELECT m.roleid, m.member, bool_or(m.admin_option) AS admin, {options} \
         FROM pg_catalog.pg_auth_members m \
           LEFT JOIN pg_catalog.pg_roles r ON r.oid = m.member \
         GROUP BY m.roleid, m.member"
    );
    let count = "SELECT count(*), count(*) + count(*) FILTER (WHERE x.admin) FROM ( \
                   SELECT bool_or(m.admin_option) AS admin FROM pg_catalog.pg_auth_members m \
                   GROUP BY m.roleid, m.member) x";
    Family {
        what: "memberships",
        parts: &[Part::Memberships],
        bounds: vec![("memberships", bounds.memberships)],
        count: count.to_owned(),
        rows: filtered(&list, "member", "x.roleid, x.member"),
        facts,
    }
}

fn facts(row: &Row, known: &mut Known, facts: &mut Vec<Fact>) -> Result<(), Fault> {
    let (role, member): (u32, u32) = (row.try_get("roleid")?, row.try_get("member")?);
    let granted_by: Option<String> = row.try_get("granted_by")?;
    let inherits: bool = row.try_get("inherits")?;
    let sets: bool = row.try_get("sets")?;
    let holder = known.holder(member, false, || member_id(role))?;
    if row.try_get("admin")? {
        let grant = Fact::grant(Part::Memberships, holder.clone(), admin_id(role));
        facts.push(grant.with("granted_by", granted_by.clone()));
    }
    facts.push(
        Fact::grant(Part::Memberships, holder, member_id(role))
            .with("inherits", inherits)
            .with("sets", sets)
            .with("granted_by", granted_by),
    );
    Ok(())
}
