//! What is read of a server: for each kind of thing a question that counts, a question that lists,
//! and how a row of the list becomes records.
//!
//! The questions differ little between PostgreSQL 13 and 17; where they do, the version decides and
//! the records stay alike, so that an upgrade changes nobody's rights. A filter by numbers, `$1`,
//! makes the same question one about single objects.

mod databases;
mod defaults;
mod memberships;
mod passwords;
mod roles;
mod schemas;
mod tables;

use cordon_sdk::{App, Group};
use tokio_postgres::Row;

use crate::config::{Bounds, Tables};
use crate::fact::{Fact, Part};
use crate::fault::Fault;
use crate::roles::{Known, PUBLIC};

pub(crate) use databases::databases;
pub(crate) use defaults::defaults;
pub(crate) use memberships::memberships;
pub(crate) use passwords::passwords;
pub(crate) use roles::roles;
pub(crate) use schemas::schemas;

/// The application on which the attributes of roles are held.
pub(crate) const CLUSTER: &str = "cluster";
/// Attributes of a role, as columns of pg_roles without their `rol`, that are power over others.
pub(crate) const ATTRIBUTES: [(&str, &str); 5] = [
    ("superuser", "rolsuper"),
    ("createrole", "rolcreaterole"),
    ("createdb", "rolcreatedb"),
    ("replication", "rolreplication"),
    ("bypassrls", "rolbypassrls"),
];
/// What fits where a moment is expected, in seconds: 9999-12-30T22:00:00Z.
const SECONDS_MAX: &str = "253402207200";

/// One kind of thing.
pub(crate) struct Family {
    /// What it is, for messages.
    pub(crate) what: &'static str,
    /// The scopes that it fills.
    pub(crate) parts: &'static [Part],
    /// How much of it there may be. Each is held against a column of the count, from the first on;
    /// the columns after these are the totals of `parts`.
    pub(crate) bounds: Vec<(&'static str, u64)>,
    /// The question that counts.
    pub(crate) count: String,
    /// The question that lists.
    pub(crate) rows: String,
    /// How a row becomes records.
    pub(crate) facts: fn(&Row, &mut Known, &mut Vec<Fact>) -> Result<(), Fault>,
}

/// What the server is, as far as questions depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    /// 150004 is 15.4.
    pub(crate) version: i32,
    /// Whether it keeps when transactions were committed.
    pub(crate) tracks_commits: bool,
}

/// Privileges on tables, as closely as configured.
pub(crate) fn tables(how: Tables, bounds: &Bounds) -> Family {
    match how {
        Tables::Schema => tables::by_schema(bounds),
        Tables::Table => tables::by_table(bounds),
    }
}

/// What every server has without listing it: PUBLIC, and the cluster itself.
pub(crate) fn fixed() -> Vec<Fact> {
    let everybody = Group::new(PUBLIC).name("PUBLIC").attribute("built_in", true);
    let cluster = App::new(CLUSTER).name("PostgreSQL cluster");
    let mut facts = vec![
        Fact::group(PUBLIC.to_owned(), everybody),
        Fact::app(Part::Attributes, CLUSTER.to_owned(), cluster),
    ];
    facts.extend(ATTRIBUTES.map(|(name, _)| {
        let id = attribute_id(name);
        Fact::entitlement(Part::Attributes, id, name, true, ("app", CLUSTER))
    }));
    facts
}

fn attribute_id(name: &str) -> String {
    format!("{CLUSTER}:{name}")
}

/// Narrows a list to the objects that matter.
fn filtered(list: &str, column: &str, order: &str) -> String {
    format!(
        "SELECT * FROM ({list}) x \
         WHERE ($1::oid[] IS NULL OR x.{column} = ANY ($1)) ORDER BY {order}"
    )
}

/// Whether the server lists the role of a row.
const IS_LISTED: &str =
    "EXISTS (SELECT FROM pg_catalog.pg_roles l WHERE l.oid = x.grantee) AS is_listed";

/// A moment of the server's in microseconds: never is nothing, always was 1970.
fn micros(moment: &str) -> String {
    format!(
        "CASE WHEN {moment} IS NULL OR {moment} = 'infinity' THEN NULL ELSE \
         (least(greatest(extract(epoch FROM {moment}), 0), {SECONDS_MAX}) * 1000000)::int8 END"
    )
}
