//! Default privileges: what somebody will hold on objects that a role makes from now on.
//!
//! What everybody gets on new objects anyway, such as EXECUTE on functions, is not repeated.

use tokio_postgres::Row;

use super::schemas::id_of;
use super::{Family, IS_LISTED, filtered};
use crate::config::Bounds;
use crate::fact::{Fact, Part};
use crate::fault::Fault;
use crate::roles::Known;

pub(crate) fn defaults(bounds: &Bounds) -> Family {
    let list = format!(
        "SELECT x.*, {IS_LISTED} FROM ( \
           SELECT d.defaclrole AS creator, d.defaclnamespace AS nsp, \
             d.defaclobjtype::text AS objects, a.grantee, a.privilege_type AS privilege, \
             bool_or(a.is_grantable) AS grantable \
           FROM pg_catalog.pg_default_acl d, pg_catalog.aclexplode(d.defaclacl) a \
           WHERE a.grantee <> d.defaclrole AND NOT (d.defaclnamespace = 0 AND EXISTS ( \
             SELECT FROM pg_catalog.aclexplode(pg_catalog.acldefault( \
               CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END, d.defaclrole)) b \
             WHERE b.grantee = a.grantee AND b.privilege_type = a.privilege_type)) \
           GROUP BY d.defaclrole, d.defaclnamespace, d.defaclobjtype, a.grantee, \
             a.privilege_type) x"
    );
    let count = format!(
        "SELECT count(*), \
           count(*) + count(DISTINCT (x.creator, x.nsp, x.objects, x.privilege)) FROM ({list}) x"
    );
    Family {
        what: "default privileges",
        parts: &[Part::DefaultPrivileges],
        bounds: vec![("privileges", bounds.privileges)],
        count,
        rows: filtered(&list, "creator", "x.nsp, x.creator, x.objects, x.privilege, x.grantee"),
        facts,
    }
}

fn facts(row: &Row, known: &mut Known, facts: &mut Vec<Fact>) -> Result<(), Fault> {
    let (creator, nsp): (u32, u32) = (row.try_get("creator")?, row.try_get("nsp")?);
    let objects: String = row.try_get("objects")?;
    let privilege: String = row.try_get("privilege")?;
    let objects = match objects.as_str() {
        "r" => "tables",
        "S" => "sequences",
        "f" => "functions",
        "T" => "types",
        "n" => "schemas",
        "L" => "large_objects",
        other => other,
    };
    let right = privilege.to_lowercase();
    let on = match nsp {
        0 => ("database", known.database.to_string()),
        nsp => ("schema", id_of(known.database, nsp)),
    };
    let id = format!("default:{}:{creator}:{objects}:{right}", on.1);
    if known.is_new(&id) {
        let name = format!("{right} of {objects} to come");
        let entitlement = Fact::entitlement(
            Part::DefaultPrivileges,
            id.clone(),
            name,
            false,
            (on.0, on.1.as_str()),
        );
        facts.push(entitlement.with("creator", creator.to_string()));
    }
    let holder = known.holder(row.try_get("grantee")?, row.try_get("is_listed")?, || id.clone())?;
    let grantable: bool = row.try_get("grantable")?;
    facts.push(Fact::grant(Part::DefaultPrivileges, holder, id).with("grantable", grantable));
    Ok(())
}
