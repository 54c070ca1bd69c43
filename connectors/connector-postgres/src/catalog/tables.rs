//! Who may do what with tables, views and what else has rows; by schema, or by table.
//!
//! What came with the server is not repeated: of its own tables only what somebody granted since is
//! reported, such as a look into pg_authid. A privilege on some columns counts as one on some of the
//! table.

use cordon_sdk::Resource;
use tokio_postgres::Row;

use super::schemas::{OF_PEOPLE, id_of};
use super::{Family, IS_LISTED, filtered};
use crate::config::Bounds;
use crate::fact::{Fact, Part};
use crate::fault::Fault;
use crate::roles::{FIRST_OWN_OID, Known};

/// Relations that have rows: tables, partitioned ones, views, materialized ones, foreign ones.
const WITH_ROWS: &str = "c.relkind IN ('r', 'p', 'v', 'm', 'f')";

/// What initdb grants after it has noted what the server comes with.
const GIVEN_LATE: &str = "n.nspname = 'information_schema' AND a.grantee = 0 \
                          AND a.privilege_type = 'SELECT'";

/// Each privilege that a role holds on a relation or some of its columns: `nsp`, `rel`, `grantee`,
/// `privilege`, `is_whole`, `grantable`.
fn held() -> String {
    let given_since = |object: &str| {
        format!(
            "(c.oid >= {FIRST_OWN_OID} OR NOT ({GIVEN_LATE}) AND NOT EXISTS ( \
               SELECT FROM pg_catalog.pg_init_privs i, pg_catalog.aclexplode(i.initprivs) b \
               WHERE i.objoid = c.oid AND i.classoid = 'pg_catalog.pg_class'::regclass \
                 AND i.objsubid = {object} AND b.grantee = a.grantee \
                 AND b.privilege_type = a.privilege_type))"
        )
    };
    let (table_since, column_since) = (given_since("0"), given_since("t.attnum"));
    format!(
        "SELECT n.oid AS nsp, c.oid AS rel, c.relowner AS grantee, 'OWNER' AS privilege, \
           true AS is_whole, false AS grantable \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE {WITH_ROWS} AND {OF_PEOPLE} AND c.oid >= {FIRST_OWN_OID} \
         UNION ALL \
         SELECT n.oid, c.oid, a.grantee, a.privilege_type, true, a.is_grantable \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, \
           pg_catalog.aclexplode(c.relacl) a \
         WHERE {WITH_ROWS} AND {OF_PEOPLE} AND a.grantee <> c.relowner AND {table_since} \
         UNION ALL \
         SELECT n.oid, c.oid, a.grantee, a.privilege_type, false, a.is_grantable \
         FROM pg_catalog.pg_attribute t JOIN pg_catalog.pg_class c ON c.oid = t.attrelid \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, \
           pg_catalog.aclexplode(t.attacl) a \
         WHERE t.attacl IS NOT NULL AND NOT t.attisdropped AND {WITH_ROWS} AND {OF_PEOPLE} \
           AND a.grantee <> c.relowner AND {column_since}"
    )
}

fn number_of_tables() -> String {
    format!(
        "(SELECT count(*) FROM pg_catalog.pg_class c \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE {WITH_ROWS} AND {OF_PEOPLE} AND c.oid >= {FIRST_OWN_OID})"
    )
}

/// What roles may do with tables of a schema, and whether with all of them.
pub(super) fn by_schema(bounds: &Bounds) -> Family {
    let list = format!(
        "SELECT x.*, {IS_LISTED} FROM ( \
           SELECT h.nsp, h.grantee, h.privilege, bool_and(h.grantable) AS grantable, \
             count(DISTINCT h.rel) FILTER (WHERE h.is_whole) = (SELECT count(*) \
               FROM pg_catalog.pg_class c WHERE c.relnamespace = h.nsp AND {WITH_ROWS}) AS is_all \
           FROM ({}) h GROUP BY h.nsp, h.grantee, h.privilege) x",
        held()
    );
    let count = format!(
        "SELECT {}, count(*), count(*) + count(DISTINCT (x.nsp, x.privilege)) FROM ( \
           SELECT DISTINCT h.nsp, h.grantee, h.privilege FROM ({}) h) x",
        number_of_tables(),
        held()
    );
    Family {
        what: "privileges on tables",
        parts: &[Part::Tables],
        bounds: vec![("tables", bounds.tables), ("privileges", bounds.privileges)],
        count,
        rows: filtered(&list, "nsp", "x.nsp, x.privilege, x.grantee"),
        facts: of_schema,
    }
}

fn of_schema(row: &Row, known: &mut Known, facts: &mut Vec<Fact>) -> Result<(), Fault> {
    let schema = id_of(known.database, row.try_get("nsp")?);
    let privilege: String = row.try_get("privilege")?;
    let right = privilege.to_lowercase();
    let id = format!("tables:{schema}:{right}");
    if known.is_new(&id) {
        let on = ("schema", schema.as_str());
        let name = format!("{right} of tables");
        let is_privileged = is_privileged(&right);
        facts.push(Fact::entitlement(Part::Tables, id.clone(), name, is_privileged, on));
    }
    let holder = known.holder(row.try_get("grantee")?, row.try_get("is_listed")?, || id.clone())?;
    let grantable: bool = row.try_get("grantable")?;
    let coverage = if row.try_get("is_all")? { "all" } else { "some" };
    let grant = Fact::grant(Part::Tables, holder, id);
    facts.push(grant.with("grantable", grantable).with("coverage", coverage));
    Ok(())
}

/// What roles may do with each table.
pub(super) fn by_table(bounds: &Bounds) -> Family {
    let list = format!(
        "SELECT x.*, {IS_LISTED} FROM ( \
           SELECT n.oid AS nsp, c.oid AS rel, c.relname::text AS name, c.relkind::text AS kind, \
             0::oid AS grantee, NULL::text AS privilege, false AS grantable, true AS is_whole \
           FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
           WHERE {WITH_ROWS} AND {OF_PEOPLE} AND (c.oid >= {FIRST_OWN_OID} \
             OR c.oid IN (SELECT h.rel FROM ({held}) h)) \
           UNION ALL \
           SELECT h.nsp, h.rel, NULL, NULL, h.grantee, h.privilege, bool_and(h.grantable), \
             bool_or(h.is_whole) \
           FROM ({held}) h GROUP BY h.nsp, h.rel, h.grantee, h.privilege) x",
        held = held()
    );
    let count = format!(
        "SELECT {}, count(*), count(*) + count(DISTINCT (x.rel, x.privilege)) \
           FILTER (WHERE x.privilege IS NOT NULL) FROM ({list}) x",
        number_of_tables()
    );
    Family {
        what: "privileges on tables",
        parts: &[Part::Tables],
        bounds: vec![("tables", bounds.tables), ("privileges", bounds.privileges)],
        count,
        rows: filtered(&list, "rel", "x.rel, x.privilege NULLS FIRST, x.grantee"),
        facts: of_table,
    }
}

fn of_table(row: &Row, known: &mut Known, facts: &mut Vec<Fact>) -> Result<(), Fault> {
    let table = id_of(known.database, row.try_get("rel")?);
    let privilege: Option<String> = row.try_get("privilege")?;
    let Some(privilege) = privilege else {
        let (name, kind): (String, String) = (row.try_get("name")?, row.try_get("kind")?);
        let kind = match kind.as_str() {
            "v" => "view",
            "m" => "materialized view",
            "f" => "foreign table",
            "p" => "partitioned table",
            _ => "table",
        };
        let schema = id_of(known.database, row.try_get("nsp")?);
        let resource = Resource::new("table", table.clone())
            .name(name)
            .parent("schema", schema)
            .attribute("kind", kind);
        facts.push(Fact::resource(Part::Tables, "table", table, resource));
        return Ok(());
    };
    let right = privilege.to_lowercase();
    let id = format!("table:{table}:{right}");
    if known.is_new(&id) {
        let on = ("table", table.as_str());
        let is_privileged = is_privileged(&right);
        facts.push(Fact::entitlement(Part::Tables, id.clone(), right, is_privileged, on));
    }
    let holder = known.holder(row.try_get("grantee")?, row.try_get("is_listed")?, || id.clone())?;
    let grantable: bool = row.try_get("grantable")?;
    let coverage = if row.try_get("is_whole")? { "all" } else { "some" };
    let grant = Fact::grant(Part::Tables, holder, id);
    facts.push(grant.with("grantable", grantable).with("coverage", coverage));
    Ok(())
}

/// Who owns a table decides who else may use it.
fn is_privileged(right: &str) -> bool {
    right == "owner"
}
