//! Passwords: who has one, of what kind, until when it is good. What it is stays on the server,
//! which is asked for its kind alone.
//!
//! PostgreSQL does not keep when a password was changed. Where it keeps when transactions were
//! committed, it knows when the role was changed last, whatever of it; the password is as old as
//! that at least.

use cordon_sdk::Secret;
use tokio_postgres::Row;

use super::{Dialect, Family, filtered, micros};
use crate::config::Bounds;
use crate::fact::{Fact, Part, moment};
use crate::fault::Fault;
use crate::roles::Known;

pub(crate) fn passwords(dialect: Dialect, bounds: &Bounds) -> Family {
    let expires = micros("a.rolvaliduntil");
    let since = if dialect.tracks_commits {
        micros("pg_catalog.pg_xact_commit_timestamp(a.xmin)")
    } else {
        "NULL::int8".to_owned()
    };
    let list = format!(
        "SELECT a.oid, {expires} AS expires, {since} AS unchanged_since, \
           CASE WHEN a.rolpassword LIKE 'SCRAM-SHA-256$%' THEN 'scram-sha-256' \
                WHEN a.rolpassword ~ '^md5[0-9a-f]{{32}}$' THEN 'md5' ELSE 'other' END AS method \
         FROM pg_catalog.pg_authid a WHERE a.rolpassword IS NOT NULL"
    );
    let count = "SELECT count(*), count(*) FROM pg_catalog.pg_authid a \
                 WHERE a.rolpassword IS NOT NULL";
    Family {
        what: "passwords",
        parts: &[Part::Passwords],
        bounds: vec![("roles", bounds.roles)],
        count: count.to_owned(),
        rows: filtered(&list, "oid", "x.oid"),
        facts,
    }
}

fn facts(row: &Row, known: &mut Known, facts: &mut Vec<Fact>) -> Result<(), Fault> {
    let oid: u32 = row.try_get("oid")?;
    let expires: Option<i64> = row.try_get("expires")?;
    let since: Option<i64> = row.try_get("unchanged_since")?;
    let method: String = row.try_get("method")?;
    let id = format!("password:{oid}");
    let (type_name, owner) = known.holder(oid, false, || id.clone())?;
    let mut secret = Secret::new(id.clone())
        .owner(type_name, owner)
        .attribute("method", method)
        .attribute("unchanged_since", since.and_then(moment));
    if let Some(expires) = expires.and_then(moment) {
        secret = secret.expires(expires);
    }
    facts.push(Fact::secret(Part::Passwords, id, secret));
    Ok(())
}
