//! Schemas of one database, and who may do what with each.
//!
//! Schemas of temporary and of overlong values are left out: they belong to a session or a table.

use cordon_sdk::Resource;
use tokio_postgres::Row;

use super::{Family, IS_LISTED, filtered};
use crate::config::Bounds;
use crate::fact::{Fact, Part};
use crate::fault::Fault;
use crate::roles::Known;

/// Schemas that are read, of a table named `n`.
pub(super) const OF_PEOPLE: &str = "n.nspname !~ '^pg_(toast|temp)'";
/// What can be held on a schema, and whether it is power over others.
const RIGHTS: [(&str, bool); 3] = [("owner", true), ("create", false), ("usage", false)];

pub(crate) fn schemas(bounds: &Bounds) -> Family {
    let list = format!(
        "SELECT x.*, {IS_LISTED} FROM ( \
           SELECT n.oid, n.nspname::text AS name, 0::oid AS grantee, NULL::text AS privilege, \
             false AS grantable \
           FROM pg_catalog.pg_namespace n WHERE {OF_PEOPLE} \
           UNION ALL \
           SELECT n.oid, NULL, n.nspowner, 'OWNER', false \
           FROM pg_catalog.pg_namespace n WHERE {OF_PEOPLE} \
           UNION ALL \
           SELECT n.oid, NULL, a.grantee, a.privilege_type, bool_or(a.is_grantable) \
           FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode( \
             coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) a \
           WHERE {OF_PEOPLE} AND a.grantee <> n.nspowner \
           GROUP BY n.oid, a.grantee, a.privilege_type) x"
    );
    let count = format!(
        "SELECT count(*), count(*) + {} * count(*) FILTER (WHERE x.privilege IS NULL) \
         FROM ({list}) x",
        RIGHTS.len()
    );
    Family {
        what: "schemas",
        parts: &[Part::Schemas],
        bounds: vec![("privileges", bounds.privileges)],
        count,
        rows: filtered(&list, "oid", "x.oid, x.privilege NULLS FIRST, x.grantee"),
        facts,
    }
}

fn facts(row: &Row, known: &mut Known, facts: &mut Vec<Fact>) -> Result<(), Fault> {
    let id = id_of(known.database, row.try_get("oid")?);
    let privilege: Option<String> = row.try_get("privilege")?;
    let entitlement = |right: &str| format!("schema:{id}:{right}");
    let Some(privilege) = privilege else {
        let name: String = row.try_get("name")?;
        let schema = Resource::new("schema", id.clone())
            .name(name)
            .parent("database", known.database.to_string());
        for (right, is_privileged) in RIGHTS {
            let on = ("schema", id.as_str());
            let id = entitlement(right);
            facts.push(Fact::entitlement(Part::Schemas, id, right, is_privileged, on));
        }
        facts.push(Fact::resource(Part::Schemas, "schema", id.clone(), schema));
        return Ok(());
    };
    let held = entitlement(&privilege.to_lowercase());
    let holder =
        known.holder(row.try_get("grantee")?, row.try_get("is_listed")?, || held.clone())?;
    let grantable: bool = row.try_get("grantable")?;
    facts.push(Fact::grant(Part::Schemas, holder, held).with("grantable", grantable));
    Ok(())
}

/// The id of a schema or a table: numbers are given anew in each database.
pub(super) fn id_of(database: u32, object: u32) -> String {
    format!("{database}.{object}")
}
