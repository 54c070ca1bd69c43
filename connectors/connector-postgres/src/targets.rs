//! Which databases are read, and which of them cannot be.

use cordon_sdk::Error;
use tokio_postgres::Transaction;

use crate::config::Config;
use crate::session::Waiting;

/// A database of the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) oid: u32,
    pub(crate) name: String,
    pub(crate) is_template: bool,
    /// Whether the server lets anybody connect to it.
    pub(crate) is_open: bool,
    /// Whether it lets our role connect.
    pub(crate) is_ours: bool,
    /// Whether it is the one that we are in.
    pub(crate) is_here: bool,
}

/// The databases of the cluster.
pub(crate) async fn databases(
    transaction: &Transaction<'_>,
    waiting: Waiting<'_>,
) -> Result<Vec<Database>, Error> {
    let sql = "SELECT d.oid, d.datname::text, d.datistemplate, d.datallowconn, \
                 has_database_privilege(d.oid, 'CONNECT'), d.datname = current_database() \
               FROM pg_catalog.pg_database d ORDER BY d.oid";
    let rows = waiting.on("databases", transaction.query(sql, &[])).await?;
    let database = |row: &tokio_postgres::Row| -> Result<Database, tokio_postgres::Error> {
        Ok(Database {
            oid: row.try_get(0)?,
            name: row.try_get(1)?,
            is_template: row.try_get(2)?,
            is_open: row.try_get(3)?,
            is_ours: row.try_get(4)?,
            is_here: row.try_get(5)?,
        })
    };
    rows.iter()
        .map(database)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::incomplete("a name of a database cannot be read").caused_by(error))
}

/// What to read of them, and why some of it cannot be read.
pub(crate) fn chosen(config: &Config, all: &[Database]) -> (Vec<Database>, Vec<String>) {
    let mut lacks = Vec::new();
    let wanted: Vec<&Database> = match &config.databases {
        None => all.iter().filter(|it| it.is_open && !it.is_template).collect(),
        Some(names) => {
            let known = |name: &String| all.iter().find(|it| it.name == *name);
            let absent = names.iter().filter(|name| known(name).is_none());
            lacks.extend(absent.map(|name| format!("there is no database `{name}`")));
            all.iter().filter(|it| names.contains(&it.name)).collect()
        }
    };
    let mut chosen = Vec::new();
    for database in wanted {
        let name = &database.name;
        if !database.is_open {
            lacks.push(format!("nobody can connect to database `{name}`"));
        } else if !database.is_ours {
            lacks.push(format!(
                "role `{user}` may not connect to database `{name}`: GRANT CONNECT ON DATABASE \
                 \"{name}\" TO \"{user}\"",
                user = config.user
            ));
        } else {
            chosen.push(database.clone());
        }
    }
    (chosen, lacks)
}
