//! Databases of the cluster, and who may do what with each.

use cordon_sdk::Resource;
use tokio_postgres::Row;

use super::{Family, IS_LISTED, filtered};
use crate::config::Bounds;
use crate::fact::{Fact, Part};
use crate::fault::Fault;
use crate::roles::Known;

/// What can be held on a database, and whether it is power over others.
const RIGHTS: [(&str, bool); 4] =
    [("owner", true), ("connect", false), ("create", false), ("temporary", false)];

pub(crate) fn databases(bounds: &Bounds) -> Family {
    // The owner may do everything and can give it back to itself: it is named once, as owner.
    let list = format!(
        "SELECT x.*, {IS_LISTED} FROM ( \
           SELECT d.oid, d.datname::text AS name, d.datistemplate AS is_template, \
             0::oid AS grantee, NULL::text AS privilege, false AS grantable \
           FROM pg_catalog.pg_database d \
           UNION ALL \
           SELECT d.oid, NULL, false, d.datdba, 'OWNER', false FROM pg_catalog.pg_database d \
           UNION ALL \
           SELECT d.oid, NULL, false, a.grantee, a.privilege_type, bool_or(a.is_grantable) \
           FROM pg_catalog.pg_database d, pg_catalog.aclexplode( \
             coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a \
           WHERE a.grantee <> d.datdba GROUP BY d.oid, a.grantee, a.privilege_type) x"
    );
    let count = format!(
        "SELECT count(*), count(*) + {} * count(*) FILTER (WHERE x.privilege IS NULL) \
         FROM ({list}) x",
        RIGHTS.len()
    );
    Family {
        what: "databases",
        parts: &[Part::Databases],
        bounds: vec![("privileges", bounds.privileges)],
        count,
        rows: filtered(&list, "oid", "x.oid, x.privilege NULLS FIRST, x.grantee"),
        facts,
    }
}

fn facts(row: &Row, known: &mut Known, facts: &mut Vec<Fact>) -> Result<(), Fault> {
    let oid: u32 = row.try_get("oid")?;
    let privilege: Option<String> = row.try_get("privilege")?;
    let entitlement = |right: &str| format!("database:{oid}:{right}");
    let Some(privilege) = privilege else {
        let (id, name): (String, String) = (oid.to_string(), row.try_get("name")?);
        let is_template: bool = row.try_get("is_template")?;
        let database =
            Resource::new("database", id.clone()).name(name).attribute("template", is_template);
        for (right, is_privileged) in RIGHTS {
            let on = ("database", id.as_str());
            let id = entitlement(right);
            facts.push(Fact::entitlement(Part::Databases, id, right, is_privileged, on));
        }
        facts.push(Fact::resource(Part::Databases, "database", id, database));
        return Ok(());
    };
    let id = entitlement(&privilege.to_lowercase());
    let holder = known.holder(row.try_get("grantee")?, row.try_get("is_listed")?, || id.clone())?;
    let grantable: bool = row.try_get("grantable")?;
    facts.push(Fact::grant(Part::Databases, holder, id).with("grantable", grantable));
    Ok(())
}
