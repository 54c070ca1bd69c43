//! The connector: reports a host that was read, scope by scope.
//!
//! Scopes: `users`, `groups`, `memberships`, `sudo`, `authorized_keys`. An account's id is its login
//! name and not its number: sudoers, etc/group and sshd know accounts by name, and a number may be
//! shared by several names or given to the next account. Accounts and groups that a file mentions
//! but none defines (people of a directory service, groups yet to be made) are reported where they
//! are mentioned, with `local` false, so that no right disappears because its holder is elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cordon_sdk::{
    App, Attribute, Connector, Description, Entitlement, Error, Grant, Group, Presence, RecordKey,
    Scope, Secret, Status, Sync, Timestamp, User,
};

use crate::account_type::account_type;
use crate::config::{Config, Part};
use crate::host::{self, Host, reason};
use crate::passwd::Account;
use crate::principals::{Directory, EVERYBODY, Principal};

/// The resource that sudo entitlements are held on.
const SUDO: &str = "sudo";
const SECONDS_A_DAY: i64 = 86_400;

/// Reports the accounts of a Linux host.
pub(crate) struct Linux {
    config: Config,
}

impl Connector for Linux {
    type Config = Config;

    fn describe() -> Description {
        Description::new("linux", env!("CARGO_PKG_VERSION"))
            .reports(
                User::schema()
                    .attribute(Attribute::integer("uid"))
                    .attribute(Attribute::integer("gid"))
                    .attribute(Attribute::text("home"))
                    .attribute(Attribute::text("shell"))
                    .attribute(Attribute::text("password"))
                    .attribute(Attribute::boolean("local").required()),
            )
            .reports(
                Group::schema()
                    .attribute(Attribute::integer("gid"))
                    .attribute(Attribute::boolean("local").required()),
            )
            .reports(App::schema())
            .reports(
                Secret::schema()
                    .attribute(Attribute::text("fingerprint").required())
                    .attribute(Attribute::text("key_type").required())
                    .attribute(Attribute::integer("bits"))
                    .attribute(Attribute::text("options")),
            )
            .reports(Entitlement::schema("group"))
            .reports(
                Entitlement::schema("app")
                    .attribute(Attribute::text("runas"))
                    .attribute(Attribute::text("commands"))
                    .attribute(Attribute::text("hosts"))
                    .attribute(Attribute::text("options"))
                    .attribute(Attribute::boolean("nopasswd")),
            )
            .reports(Grant::schema("user"))
            .reports(Grant::schema("group"))
            .looks_up_by_reading()
    }

    async fn open(config: Config) -> Result<Self, Error> {
        config.check()?;
        Ok(Self { config })
    }

    async fn check(&self) -> Result<Vec<String>, Error> {
        Ok(self.read().await?.notes)
    }

    async fn sync(&self, sync: &mut Sync) -> Result<(), Error> {
        sync.progress(0, None, "reading files").await?;
        let host = self.read().await?;
        sync.progress(1, None, "reporting").await?;
        let mut report = Report::new(&self.config, &host);
        if self.config.includes(Part::Users) {
            report.users(sync).await?;
        }
        if self.config.includes(Part::Groups) {
            report.groups(sync).await?;
            report.memberships(sync).await?;
        }
        if self.config.includes(Part::Sudo) {
            report.sudo(sync).await?;
        }
        if self.config.includes(Part::SshKeys) {
            report.keys(sync).await?;
        }
        Ok(())
    }

    async fn lookup(&self, keys: &[RecordKey]) -> Result<Vec<Presence>, Error> {
        cordon_sdk::look_up_by_reading(self, keys).await
    }
}

impl Linux {
    async fn read(&self) -> Result<Host, Error> {
        let config = self.config.clone();
        // A disk may be slow and a home may be on a network: cancellation must not wait for either.
        tokio::task::spawn_blocking(move || host::read(&config))
            .await
            .map_err(|error| Error::bug("reading the host failed").caused_by(error))?
    }
}

struct Report<'a> {
    config: &'a Config,
    host: &'a Host,
    /// Who is defined in a file, or was reported because one mentions them.
    known: HashSet<Principal>,
}

impl<'a> Report<'a> {
    fn new(config: &'a Config, host: &'a Host) -> Self {
        let users = host.users.content.iter().map(|account| Principal::User(account.name.clone()));
        let groups = host.groups.content.iter().map(|group| Principal::Group(group.name.clone()));
        Self { config, host, known: users.chain(groups).collect() }
    }

    async fn users(&self, sync: &Sync) -> Result<(), Error> {
        let mut scope = sync.scope("users").await?;
        scope.source_total(self.host.users.lines);
        scope.watermark(self.host.users.watermark.clone());
        for account in &self.host.users.content {
            scope.push(self.user(account)).await?;
        }
        end(scope, self.host.users.reason()).await
    }

    fn user<'r>(&self, account: &'r Account) -> User<'r> {
        let kind = account_type(account, self.host.uid_min, &self.config.service_accounts);
        let mut user = User::new(&account.name)
            .account_type(kind)
            .login(&account.name)
            .attribute("uid", account.uid)
            .attribute("gid", account.gid)
            .attribute("home", &account.home)
            .attribute("shell", &account.shell)
            .attribute("local", true);
        if let Some(name) = account.full_name() {
            user = user.name(name);
        }
        // Without shadow nothing is known of status; absent says so, `active` would be a guess.
        let Some(shadow) = self.host.shadow.as_ref().and_then(|all| all.get(&account.name)) else {
            return user;
        };
        let today = Timestamp::now().as_second().div_euclid(SECONDS_A_DAY);
        let is_expired = shadow.expires_day.is_some_and(|day| day <= today);
        // A locked password disables nothing: a key still opens the account.
        user.status(if is_expired { Status::Disabled } else { Status::Active })
            .attribute("password", shadow.password.as_str())
    }

    async fn groups(&self, sync: &Sync) -> Result<(), Error> {
        let mut scope = sync.scope("groups").await?;
        // Each line is a group and the entitlement to be in it.
        scope.source_total(self.host.groups.lines.saturating_mul(2));
        scope.watermark(self.host.groups.watermark.clone());
        for group in &self.host.groups.content {
            let record = Group::new(&group.name).name(&group.name).attribute("gid", group.gid);
            scope.push(record.attribute("local", true)).await?;
            scope.push(member_of(&group.name)).await?;
        }
        end(scope, self.host.groups.reason()).await
    }

    async fn memberships(&mut self, sync: &Sync) -> Result<(), Error> {
        let host = self.host;
        let mut scope = sync.scope("memberships").await?;
        scope.watermark(host.groups.watermark.clone());
        let directory = self.directory();
        let mut members: BTreeSet<(String, String)> = BTreeSet::new();
        let names: BTreeMap<u32, &str> = host
            .groups
            .content
            .iter()
            .rev()
            .map(|group| (group.gid, group.name.as_str()))
            .collect();
        for account in &host.users.content {
            let group = names
                .get(&account.gid)
                .map_or_else(|| directory.group_of(account.gid), |name| (*name).to_owned());
            members.insert((account.name.clone(), group));
        }
        for group in &host.groups.content {
            members.extend(group.members.iter().map(|name| (name.clone(), group.name.clone())));
        }
        let causes = self.directory_causes();
        for (user, group) in &members {
            let holder = Principal::User(user.clone());
            let missing = [holder, Principal::Group(group.clone())];
            self.mention(&mut scope, &missing).await?;
            scope.push_grant("user", user, &member_id(group)).await?;
        }
        end(scope, reason(&causes)).await
    }

    async fn sudo(&mut self, sync: &Sync) -> Result<(), Error> {
        let host = self.host;
        let mut scope = sync.scope("sudo").await?;
        scope.watermark(host.sudo.watermark.clone());
        scope.push(App::new(SUDO).name("sudo")).await?;
        let mut entitlements = BTreeSet::new();
        let mut grants: BTreeMap<(Principal, &str), Option<Timestamp>> = BTreeMap::new();
        for right in &host.sudo.content {
            if entitlements.insert(right.id.as_str()) {
                let record = Entitlement::new(&right.id, "app", SUDO)
                    .name(&right.commands)
                    .privileged(right.allows)
                    .attribute("runas", &right.runas)
                    .attribute("commands", &right.commands)
                    .attribute("hosts", right.hosts.as_deref())
                    .attribute("options", right.options.as_deref())
                    .attribute("nopasswd", right.is_nopasswd);
                scope.push(record).await?;
            }
            for principal in self.directory().principals(&right.subjects) {
                grants
                    .entry((principal, &right.id))
                    // Two rules give the same right: it ends with the later one, or never.
                    .and_modify(|end| *end = end.zip(right.expires).map(|(a, b)| a.max(b)))
                    .or_insert(right.expires);
            }
        }
        for ((principal, entitlement), expires) in grants {
            self.mention(&mut scope, std::slice::from_ref(&principal)).await?;
            let (kind, id) = match &principal {
                Principal::User(name) => ("user", name),
                Principal::Group(name) => ("group", name),
            };
            let mut grant = Grant::new(kind, id, entitlement);
            if let Some(expires) = expires {
                grant = grant.expires(expires);
            }
            scope.push(grant).await?;
        }
        // Who holds a right is known only as far as accounts and groups are.
        let causes: Vec<String> =
            host.sudo.causes.iter().cloned().chain(self.directory_causes()).collect();
        end(scope, reason(&causes)).await
    }

    async fn keys(&self, sync: &Sync) -> Result<(), Error> {
        let mut scope = sync.scope("authorized_keys").await?;
        scope.watermark(self.host.keys.watermark.clone());
        for (owner, key) in &self.host.keys.content {
            // The same key may open two accounts, and be taken from one of them.
            let id = format!("{}@{owner}", key.fingerprint);
            let mut secret = Secret::new(id)
                .owner("user", owner)
                .attribute("fingerprint", &key.fingerprint)
                .attribute("key_type", &key.key_type)
                .attribute("bits", key.bits)
                .attribute("options", (!key.options.is_empty()).then_some(key.options.as_str()));
            if !key.comment.is_empty() {
                secret = secret.name(&key.comment);
            }
            if let Some(expires) = key.expires {
                secret = secret.expires(expires);
            }
            scope.push(secret).await?;
        }
        let mut causes = self.host.keys.causes.clone();
        causes.extend(self.host.users.causes.iter().cloned());
        end(scope, reason(&causes)).await
    }

    fn directory(&self) -> Directory<'a> {
        Directory { accounts: &self.host.users.content, groups: &self.host.groups.content }
    }

    fn directory_causes(&self) -> Vec<String> {
        self.host.users.causes.iter().chain(&self.host.groups.causes).cloned().collect()
    }

    /// Reports who is mentioned in a file and defined in none.
    async fn mention(&mut self, scope: &mut Scope, who: &[Principal]) -> Result<(), Error> {
        for principal in who {
            let is_whole = match principal {
                Principal::User(_) => self.host.users.causes.is_empty(),
                Principal::Group(_) => self.host.groups.causes.is_empty(),
            };
            // Where a line could not be read, who is missing may well be defined in it.
            if !is_whole || !self.known.insert(principal.clone()) {
                continue;
            }
            match principal {
                Principal::User(name) => {
                    let user = User::new(name).login(name).attribute("local", false);
                    scope.push(user).await?;
                }
                Principal::Group(name) => {
                    let shown = if name == EVERYBODY { "every account" } else { name };
                    let group = Group::new(name).name(shown).attribute("local", false);
                    scope.push(group).await?;
                    scope.push(member_of(name)).await?;
                }
            }
        }
        Ok(())
    }
}

fn member_id(group: &str) -> String {
    format!("member:{group}")
}

fn member_of(group: &str) -> Entitlement<'_> {
    Entitlement::new(member_id(group), "group", group).name("member").privileged(false)
}

async fn end(scope: Scope, reason: Option<String>) -> Result<(), Error> {
    match reason {
        Some(reason) => scope.incomplete(reason).await,
        None => scope.complete().await,
    }
}
