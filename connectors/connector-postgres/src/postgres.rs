//! The connector: reports a cluster that is read in one transaction, and the insides of its databases
//! in one transaction each.
//!
//! Scopes: `users`, `groups`, `attributes`, `memberships`; with `privileges` also `databases`,
//! `schemas` and `tables`; `default_privileges`; `passwords`. Each is complete only if every database
//! that is to be read was read: a dropped database is then gone with all that was in it, and one that
//! could not be entered takes nothing away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cordon_sdk::{
    App, Attribute, Connector, Description, Entitlement, Error, Grant, Group, Presence, RecordKey,
    Resource, Secret, Sync, User,
};
use tokio_postgres::Transaction;

use crate::catalog::{self, Family};
use crate::config::{Config, Include};
use crate::fact::Part;
use crate::reading::{self, Taker};
use crate::report::Report;
use crate::roles::Known;
use crate::server::Server;
use crate::session::{Access, LoginError, Waiting};
use crate::targets::{self, Database};
use crate::{check, lookup};

/// Reports the roles and privileges of a PostgreSQL server.
pub(crate) struct Postgres {
    pub(crate) config: Arc<Config>,
    pub(crate) access: Access,
}

impl Connector for Postgres {
    type Config = Config;

    fn describe() -> Description {
        let grants = |principal: &str| {
            Grant::schema(principal)
                .attribute(Attribute::boolean("inherits"))
                .attribute(Attribute::boolean("sets"))
                .attribute(Attribute::text("granted_by"))
                .attribute(Attribute::boolean("grantable"))
                .attribute(Attribute::text("coverage"))
        };
        let creating = |on: &str| Entitlement::schema(on).attribute(Attribute::text("creator"));
        Description::new("postgres", env!("CARGO_PKG_VERSION"))
            .reports(
                User::schema()
                    .attribute(Attribute::boolean("inherits"))
                    .attribute(Attribute::integer("connection_limit"))
                    .attribute(Attribute::timestamp("password_expires"))
                    .attribute(Attribute::text("comment"))
                    .attribute(Attribute::boolean("built_in").required()),
            )
            .reports(
                Group::schema()
                    .attribute(Attribute::text("name").natural_key())
                    .attribute(Attribute::boolean("inherits"))
                    .attribute(Attribute::timestamp("password_expires"))
                    .attribute(Attribute::text("comment"))
                    .attribute(Attribute::boolean("built_in").required()),
            )
            .reports(App::schema())
            .reports(Resource::schema("database").attribute(Attribute::boolean("template")))
            .reports(Resource::schema("schema"))
            .reports(Resource::schema("table").attribute(Attribute::text("kind")))
            .reports(
                Secret::schema()
                    .attribute(Attribute::text("method").required())
                    .attribute(Attribute::timestamp("unchanged_since")),
            )
            .reports(Entitlement::schema("user"))
            .reports(Entitlement::schema("group"))
            .reports(Entitlement::schema("app"))
            .reports(creating("database"))
            .reports(creating("schema"))
            .reports(Entitlement::schema("table"))
            .reports(grants("user"))
            .reports(grants("group"))
            .looks_up()
    }

    async fn open(config: Config) -> Result<Self, Error> {
        config.check()?;
        let config = Arc::new(config);
        let access = Access::new(Arc::clone(&config))?;
        Ok(Self { config, access })
    }

    async fn check(&self) -> Result<Vec<String>, Error> {
        check::notes(self).await
    }

    async fn sync(&self, sync: &mut Sync) -> Result<(), Error> {
        let (sync, begun) = (&*sync, Instant::now());
        sync.progress(0, None, "logging in").await?;
        let mut session = self.access.log_in(&self.config.database, Some(sync)).await?;
        let (mut transaction, waiting) = session.begin(Some(sync)).await?;
        let server = Server::look(&mut transaction, waiting).await?;
        server.expect(&self.config)?;
        let mut report = Report::open(sync, &self.parts(), &server.watermark()).await?;
        let mut known = self.known()?;
        for fact in catalog::fixed() {
            report.count(fact.part, 1);
            report.take(fact).await?;
        }
        self.read_cluster(&mut transaction, waiting, &server, &mut known, &mut report).await?;
        let all = targets::databases(&transaction, waiting).await?;
        let (chosen, lacks) = targets::chosen(&self.config, &all);
        for lack in lacks {
            report.lacks(&LOCAL, &lack);
        }
        for database in chosen.iter().filter(|database| database.is_here) {
            known.database = database.oid;
            self.read_database(&mut transaction, waiting, &mut known, &mut report).await?;
        }
        waiting.on("the server", transaction.rollback()).await?;
        let mut waited = waiting.waited();
        drop(session);
        let others = chosen.iter().filter(|it| !it.is_here && !self.local().is_empty());
        for database in others {
            waited += self.visit(sync, database, &server, &mut known, &mut report).await?;
        }
        let records = report.records();
        report.close().await?;
        let (took_ms, waited_ms) = (begun.elapsed().as_millis(), waited.as_millis());
        tracing::info!(records, took_ms, waited_ms, "the server was read");
        Ok(())
    }

    async fn lookup(&self, keys: &[RecordKey]) -> Result<Vec<Presence>, Error> {
        lookup::presences(self, keys).await
    }
}

/// The scopes that the insides of databases fill.
pub(crate) const LOCAL: [Part; 3] = [Part::Schemas, Part::Tables, Part::DefaultPrivileges];

impl Postgres {
    /// The scopes that are reported.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let mut parts = vec![Part::Users, Part::Groups, Part::Attributes, Part::Memberships];
        if self.config.includes(Include::Privileges) {
            parts.extend([Part::Databases, Part::Schemas, Part::Tables]);
        }
        if self.config.includes(Include::DefaultPrivileges) {
            parts.push(Part::DefaultPrivileges);
        }
        if self.config.includes(Include::Passwords) {
            parts.push(Part::Passwords);
        }
        parts
    }

    pub(crate) fn known(&self) -> Result<Known, Error> {
        let account_type = self.config.account_type.map(|kind| kind.account_type());
        Ok(Known::new(self.config.services()?, account_type))
    }

    /// What the cluster has beside its roles.
    pub(crate) fn shared(&self, server: &Server) -> Vec<Family> {
        let bounds = &self.config.bounds;
        let mut families = vec![catalog::memberships(server.dialect, bounds)];
        if self.config.includes(Include::Privileges) {
            families.push(catalog::databases(bounds));
        }
        if self.config.includes(Include::Passwords) {
            families.push(catalog::passwords(server.dialect, bounds));
        }
        families
    }

    /// What each database has.
    pub(crate) fn local(&self) -> Vec<Family> {
        let bounds = &self.config.bounds;
        let mut families = Vec::new();
        if self.config.includes(Include::Privileges) {
            families.push(catalog::schemas(bounds));
            families.push(catalog::tables(self.config.tables, bounds));
        }
        if self.config.includes(Include::DefaultPrivileges) {
            families.push(catalog::defaults(bounds));
        }
        families
    }

    async fn read_cluster(
        &self,
        transaction: &mut Transaction<'_>,
        waiting: Waiting<'_>,
        server: &Server,
        known: &mut Known,
        report: &mut Report<'_>,
    ) -> Result<(), Error> {
        let roles = catalog::roles(server.dialect, &self.config.bounds);
        let mut taker = Taker::Report(report);
        reading::read(transaction, waiting, &roles, known, None, &mut taker).await?;
        // Without its roles nothing of a cluster can be told: each right is held by one.
        if let Taker::Report(report) = &taker
            && let Some(lack) = report.lack(Part::Users)
        {
            return Err(Error::incomplete(lack));
        }
        for family in self.shared(server) {
            reading::read(transaction, waiting, &family, known, None, &mut taker).await?;
        }
        Ok(())
    }

    async fn read_database(
        &self,
        transaction: &mut Transaction<'_>,
        waiting: Waiting<'_>,
        known: &mut Known,
        report: &mut Report<'_>,
    ) -> Result<(), Error> {
        for family in self.local() {
            let mut taker = Taker::Report(report);
            reading::read(transaction, waiting, &family, known, None, &mut taker).await?;
        }
        Ok(())
    }

    /// Reads another database, in a session of its own. Gives how long the server was waited for.
    async fn visit(
        &self,
        sync: &Sync,
        database: &Database,
        first: &Server,
        known: &mut Known,
        report: &mut Report<'_>,
    ) -> Result<Duration, Error> {
        let mut session = match self.access.log_in(&database.name, Some(sync)).await {
            Ok(session) => session,
            Err(LoginError::Database(error)) => {
                report.lacks(&LOCAL, &error.chain());
                return Ok(Duration::ZERO);
            }
            Err(LoginError::Failed(error)) => return Err(error),
        };
        let (mut transaction, waiting) = session.begin(Some(sync)).await?;
        Server::look(&mut transaction, waiting).await?.expect_same(first)?;
        known.database = database.oid;
        self.read_database(&mut transaction, waiting, known, report).await?;
        waiting.on("the server", transaction.rollback()).await?;
        Ok(waiting.waited())
    }
}
