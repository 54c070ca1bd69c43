//! The connector: reports the newest export of a feed, row by row.
//!
//! Scopes: `users`, one record a row, so that the source's own count can be held against it; and
//! where departments or groups are mapped, `groups` and `memberships`, which are as whole as the file.

use std::collections::HashSet;
use std::sync::Arc;

use cordon_sdk::{
    Attribute, AttributeType, Connector, Description, Entitlement, Error, Grant, Group, Presence,
    RecordKey, Scope, Sync, User,
};
use tokio::sync::mpsc;

use crate::config::{ATTRIBUTES, Config};
use crate::feed::{Ending, Feed, OpenError};
use crate::worker::Worker;

/// Lots of workers that wait between reading and reporting.
const LOTS_MAX: usize = 4;
/// Groups of one feed, at most: beyond, the column holds something else.
const GROUPS_MAX: usize = 100_000;
/// Workers after which progress is reported.
const PROGRESS_WORKERS: u64 = 8_192;

/// Reports the workers of an HR export.
pub(crate) struct Hr {
    config: Arc<Config>,
}

impl Connector for Hr {
    type Config = Config;

    fn describe() -> Description {
        let users = ATTRIBUTES.into_iter().fold(User::schema(), |schema, (name, kind)| {
            schema.attribute(match kind {
                AttributeType::Text => Attribute::text(name),
                AttributeType::Integer => Attribute::integer(name),
                AttributeType::Boolean => Attribute::boolean(name),
                AttributeType::Timestamp => Attribute::timestamp(name),
            })
        });
        Description::new("csv", env!("CARGO_PKG_VERSION"))
            .reports(users)
            .reports(Group::schema())
            .reports(Entitlement::schema("group"))
            .reports(Grant::schema("user"))
            .looks_up_by_reading()
    }

    async fn open(config: Config) -> Result<Self, Error> {
        config.check()?;
        Ok(Self { config: Arc::new(config) })
    }

    async fn check(&self) -> Result<Vec<String>, Error> {
        match self.feed().await? {
            Ok(feed) => Ok(feed.notes()),
            Err(OpenError::Error(error)) => Err(error),
            Err(OpenError::Header(fault)) => Err(fault.into_check_error()),
        }
    }

    async fn sync(&self, sync: &mut Sync) -> Result<(), Error> {
        let feed = match self.feed().await? {
            Ok(feed) => feed,
            Err(OpenError::Error(error)) => return Err(error),
            Err(OpenError::Header(fault)) => return Err(fault.into_sync_error()),
        };
        let announced = feed.announced();
        let config = Arc::clone(&self.config);
        let (sender, mut lots) = mpsc::channel(LOTS_MAX);
        let reading = tokio::task::spawn_blocking(move || feed.read(&config, &sender));
        let mut report = Report::open(sync, &self.config).await?;
        let mut done = 0;
        while let Some(lot) = lots.recv().await {
            for worker in &lot {
                report.worker(worker).await?;
                done += 1;
                if done % PROGRESS_WORKERS == 0 {
                    sync.progress(done, announced, "reading rows").await?;
                }
            }
        }
        let ending = reading
            .await
            .map_err(|error| Error::bug("reading the file failed").caused_by(error))?;
        report.close(ending).await
    }

    async fn lookup(&self, keys: &[RecordKey]) -> Result<Vec<Presence>, Error> {
        cordon_sdk::look_up_by_reading(self, keys).await
    }
}

impl Hr {
    async fn feed(&self) -> Result<Result<Feed, OpenError>, Error> {
        let config = Arc::clone(&self.config);
        tokio::task::spawn_blocking(move || Feed::open(&config))
            .await
            .map_err(|error| Error::bug("opening the file failed").caused_by(error))
    }
}

/// The scopes that are being written.
struct Report<'a> {
    config: &'a Config,
    users: Scope,
    groups: Option<Groups>,
}

struct Groups {
    groups: Scope,
    memberships: Scope,
    seen: HashSet<String>,
}

impl<'a> Report<'a> {
    async fn open(sync: &Sync, config: &'a Config) -> Result<Self, Error> {
        let users = sync.scope("users").await?;
        let mut groups = None;
        if config.parent.is_some() || config.groups.is_some() {
            groups = Some(Groups {
                groups: sync.scope("groups").await?,
                memberships: sync.scope("memberships").await?,
                seen: HashSet::new(),
            });
        }
        Ok(Self { config, users, groups })
    }

    async fn worker(&mut self, worker: &Worker) -> Result<(), Error> {
        let mut user = User::new(&worker.id).account_type(self.config.account_type.account_type());
        if let Some(status) = worker.status {
            user = user.status(status);
        }
        if let Some(manager) = &worker.manager {
            user = user.owner("user", manager);
        }
        if let Some(parent) = &worker.parent {
            user = user.parent("group", parent);
        }
        for (name, value) in &worker.attributes {
            user = user.attribute(*name, value.clone());
        }
        // A key that comes twice is reported twice: which row is right is not for a reader to say.
        self.users.push(user).await?;
        let Some(groups) = &mut self.groups else { return Ok(()) };
        for name in worker.parent.iter().chain(&worker.groups) {
            groups.group(name).await?;
        }
        for name in &worker.groups {
            let entitlement = member_id(name);
            groups.memberships.push_grant("user", &worker.id, &entitlement).await?;
        }
        Ok(())
    }

    async fn close(self, ending: Ending) -> Result<(), Error> {
        let mut users = self.users;
        if let Some(total) = ending.total {
            users.source_total(total);
        }
        end(users, &ending).await?;
        if let Some(groups) = self.groups {
            end(groups.groups, &ending).await?;
            end(groups.memberships, &ending).await?;
        }
        Ok(())
    }
}

impl Groups {
    async fn group(&mut self, name: &str) -> Result<(), Error> {
        if self.seen.contains(name) {
            return Ok(());
        }
        if self.seen.len() >= GROUPS_MAX {
            return Err(Error::incomplete(format!(
                "more than {GROUPS_MAX} groups: the column that names them holds something else"
            )));
        }
        self.seen.insert(name.to_owned());
        self.groups.push(Group::new(name).name(name)).await?;
        let entitlement = Entitlement::new(member_id(name), "group", name);
        self.groups.push(entitlement.name("member").privileged(false)).await
    }
}

fn member_id(group: &str) -> String {
    format!("member:{group}")
}

async fn end(mut scope: Scope, ending: &Ending) -> Result<(), Error> {
    scope.watermark(ending.watermark.clone());
    match &ending.reason {
        Some(reason) => scope.incomplete(reason.as_str()).await,
        None => scope.complete().await,
    }
}
