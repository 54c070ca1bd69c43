//! The connector.

use std::sync::{Mutex, PoisonError};

use cordon_sdk::{Connector, Description, Entitlement, Error, Grant, Presence, RecordKey, Sync};

use crate::config::Config;
use crate::connection::Connection;
use crate::dialect::{Dialect, Kind};
use crate::entry::Entry;
use crate::group;
use crate::lookup;
use crate::pages::Pages;
use crate::report::{self, Reading};
use crate::root::Root;
use crate::user;
use crate::view::View;

/// Entries of a kind that a check reads.
const CHECKED_MAX: usize = 1_000;

/// Reports a directory.
pub(crate) struct Directory {
    config: Config,
    /// What the last reading showed of this account's rights.
    view: Mutex<Option<View>>,
}

impl Connector for Directory {
    type Config = Config;

    fn describe() -> Description {
        Description::new("ldap", env!("CARGO_PKG_VERSION"))
            .reports(user::schema())
            .reports(group::schema())
            .reports(report::principal_schema())
            .reports(Entitlement::schema("group"))
            .reports(Grant::schema("user"))
            .reports(Grant::schema("group"))
            .reports(Grant::schema(report::PRINCIPAL))
            .looks_up()
    }

    async fn open(config: Config) -> Result<Self, Error> {
        config.check()?;
        Ok(Self { config, view: Mutex::new(None) })
    }

    async fn check(&self) -> Result<Vec<String>, Error> {
        let mut connection = Connection::open(&self.config).await?;
        let root = Root::read(&mut connection).await?;
        let who = connection.who_am_i().await;
        let who = who.filter(|who| !who.is_empty()).or_else(|| self.config.bind_dn.clone());
        let who = who.unwrap_or_else(|| "nobody (anonymous)".to_owned());
        let mut notes = vec![format!("{} takes this account for {who}", root.vendor)];
        if self.config.plaintext {
            notes.push("the connection is not encrypted (plaintext)".to_owned());
        }
        notes.extend(self.seen(&mut connection, &root, Kind::User).await?);
        notes.extend(self.seen(&mut connection, &root, Kind::Group).await?);
        Ok(notes)
    }

    async fn sync(&self, sync: &mut Sync) -> Result<(), Error> {
        self.remember(None);
        let sync = &*sync;
        let reading = async {
            let reading = Reading::open(&self.config, sync).await?;
            self.remember(Some(reading.report().await?));
            Ok(())
        };
        tokio::select! {
            biased;
            () = sync.cancelled() => Err(Error::Cancelled),
            read = reading => read,
        }
    }

    async fn lookup(&self, keys: &[RecordKey]) -> Result<Vec<Presence>, Error> {
        let view = *self.view.lock().unwrap_or_else(PoisonError::into_inner);
        lookup::look_up(&self.config, view, keys).await
    }
}

impl Directory {
    fn remember(&self, view: Option<View>) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// What this account may see of a kind, of the first thousand.
    async fn seen(
        &self,
        connection: &mut Connection,
        root: &Root,
        kind: Kind,
    ) -> Result<Vec<String>, Error> {
        let (selection, attributes) = match kind {
            Kind::User => (&self.config.users, user::attributes(root.dialect)),
            Kind::Group => (&self.config.groups, of_groups(root.dialect)),
        };
        let base = self.config.base_of(selection);
        let filter = selection.filter.as_deref().unwrap_or_else(|| root.dialect.filter(kind));
        let mut pages =
            Pages::new(root.dialect, (base, filter), &attributes, self.config.page_size);
        let mut sample: Vec<Entry> = vec![];
        let mut has_more = false;
        loop {
            match pages.next(connection).await {
                Ok(Some(page)) => sample.extend(page),
                Ok(None) => break,
                Err(fault) => return Err(report::check_error(fault, kind)),
            }
            if sample.len() >= CHECKED_MAX {
                has_more = true;
                break;
            }
        }
        if sample.is_empty() && kind == Kind::User {
            return Err(Error::auth(format!(
                "no user is found below {base}: this account may see none, or `base` or \
                 `users.filter` is wrong"
            )));
        }
        let more = if has_more { " or more" } else { "" };
        let scope = kind.scope();
        let mut notes = vec![format!("{scope}: {}{more} below {base}", sample.len())];
        let missing: Vec<&str> = attributes
            .iter()
            .filter(|name| !sample.iter().any(|entry| shows(entry, name)))
            .copied()
            .collect();
        if !sample.is_empty() && !missing.is_empty() {
            let missing = missing.join(", ");
            notes.push(format!("{scope}: none shows {missing}: unused, or not readable"));
        }
        if sample.iter().any(|entry| root.dialect.id(entry).is_none()) {
            let id = root.dialect.id_attribute();
            notes.push(format!("{scope}: {id} is not readable everywhere; it is needed"));
        }
        let silent = sample.iter().filter(|entry| group::hides_members(entry)).count();
        if silent > 0 {
            notes.push(format!(
                "groups: {silent} must have members and show none: grant read access to member and \
                 uniqueMember"
            ));
        }
        Ok(notes)
    }
}

fn of_groups(dialect: Dialect) -> Vec<&'static str> {
    let mut attributes = group::attributes(dialect).to_vec();
    if dialect == Dialect::ActiveDirectory {
        attributes.push("member");
    }
    attributes
}

fn shows(entry: &Entry, attribute: &str) -> bool {
    entry.has(attribute) || entry.ranged(attribute).is_some()
}
