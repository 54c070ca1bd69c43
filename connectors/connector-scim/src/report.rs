//! Writes what was read into scopes.

use std::collections::HashSet;

use cordon_sdk::{AccountType, App, Entitlement, Error, Grant, Group, Role, Scope, Sync, User};
use glob::Pattern;
use serde_json::Value as Json;

use crate::client::Patience;
use crate::collection::{Collection, Ending, Fresh};
use crate::config::{Kind, Members, Part};
use crate::discovery::{MembersShown, Service};
use crate::group::{self, Member};
use crate::path::text;
use crate::scim::Scim;
use crate::user::{self, Account, Held};

/// The resource on which entitlements of users are held: the service itself.
pub(crate) const SERVICE: &str = "service";
/// Roles and entitlements, at most: beyond, their values are no names of roles.
const HELD_MAX: usize = 100_000;
/// Members of whom nothing tells the type until all groups are read, at most.
const UNTOLD_MAX: usize = 500_000;

/// The entitlement that members of a group hold.
pub(crate) fn member_id(group: &str) -> String {
    format!("member:{group}")
}

/// The entitlement that holders of a role hold.
pub(crate) fn assigned_id(role: &str) -> String {
    format!("assigned:{role}")
}

/// An entitlement as the service names it.
pub(crate) fn entitlement_id(value: &str) -> String {
    format!("entitlement:{value}")
}

/// Whether whoever holds it has power over others.
fn is_privileged(patterns: &[Pattern], id: &str, name: Option<&str>) -> bool {
    let fits = |text: &str| patterns.iter().any(|pattern| pattern.matches(text));
    fits(id) || name.is_some_and(fits)
}

async fn end(mut scope: Scope, ending: &Ending) -> Result<(), Error> {
    scope.watermark(ending.watermark.clone());
    match &ending.reason {
        Some(reason) => scope.incomplete(reason.as_str()).await,
        None => scope.complete().await,
    }
}

/// Why several parts together are not whole; none when all are.
fn joined<'a>(reasons: impl Iterator<Item = &'a str>) -> Option<String> {
    let reasons: Vec<&str> = reasons.collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// The scope of roles, which fills while users are read.
pub(crate) struct UsersReport<'a> {
    scim: &'a Scim,
    roles: Option<Roles>,
    endings: Vec<Ending>,
}

struct Roles {
    scope: Scope,
    roles: HashSet<String>,
    entitlements: HashSet<String>,
}

impl<'a> UsersReport<'a> {
    pub(crate) async fn open(sync: &Sync, scim: &'a Scim) -> Result<Self, Error> {
        let roles = if scim.config.includes(Part::Roles) {
            let scope = sync.scope("roles").await?;
            Some(Roles { scope, roles: HashSet::new(), entitlements: HashSet::new() })
        } else {
            None
        };
        Ok(Self { scim, roles, endings: vec![] })
    }

    /// Reads one collection of users to its end.
    pub(crate) async fn read(
        &mut self,
        mut scope: Scope,
        collection: &mut Collection<'_>,
        kind: AccountType,
    ) -> Result<Ending, Error> {
        while let Some(lot) = collection.next().await? {
            for fresh in lot {
                let json = serde_json::from_str::<Json>(fresh.json.get());
                let account = match &json {
                    Ok(json) => user::account(&self.scim.checked, kind, &fresh.id, json),
                    Err(error) => {
                        collection.fault(format!("{}: {error}", fresh.id));
                        continue;
                    }
                };
                match account {
                    Ok(account) => self.user(&mut scope, &account).await?,
                    Err(fault) => collection.fault(fault.to_string()),
                }
            }
        }
        let ending = collection.ending();
        if let Some(total) = ending.total {
            scope.source_total(total);
        }
        end(scope, &ending).await?;
        self.endings.push(ending.clone());
        Ok(ending)
    }

    /// Ends the scope of a type that the service does not have.
    pub(crate) async fn without(&mut self, scope: Scope, name: &str) -> Result<(), Error> {
        let reason = format!("the service has no resource type {name}");
        let ending = Ending { reason: Some(reason), ..Ending::default() };
        end(scope, &ending).await?;
        self.endings.push(ending);
        Ok(())
    }

    async fn user(&mut self, scope: &mut Scope, account: &Account) -> Result<(), Error> {
        let mut user = User::new(&account.id).account_type(account.account_type);
        if let Some(status) = account.status {
            user = user.status(status);
        }
        if let Some(manager) = &account.manager {
            user = user.owner("user", manager);
        }
        for (name, value) in &account.attributes {
            user = user.attribute(*name, value.clone());
        }
        scope.push(user).await?;
        let Some(roles) = &mut self.roles else { return Ok(()) };
        let privileged = &self.scim.checked.privileged;
        for held in &account.roles {
            roles.role(held, privileged).await?;
            roles.scope.push_grant("user", &account.id, &assigned_id(&held.id)).await?;
        }
        for held in &account.entitlements {
            roles.entitlement(held, privileged).await?;
            roles.scope.push_grant("user", &account.id, &entitlement_id(&held.id)).await?;
        }
        Ok(())
    }

    /// Ends the scope of roles, which is as whole as its users are.
    pub(crate) async fn close(self) -> Result<(), Error> {
        let Some(roles) = self.roles else { return Ok(()) };
        let reasons = self.endings.iter().filter_map(|ending| ending.reason.as_deref());
        let mut ending = Ending { reason: joined(reasons), ..Ending::default() };
        let times = self.endings.iter().map(|ending| ending.watermark.time);
        ending.watermark.time = times.min().flatten();
        end(roles.scope, &ending).await
    }
}

impl Roles {
    async fn role(&mut self, held: &Held, privileged: &[Pattern]) -> Result<(), Error> {
        if self.roles.contains(&held.id) {
            return Ok(());
        }
        self.check_room()?;
        self.roles.insert(held.id.clone());
        let name = held.name.as_deref().unwrap_or(&held.id);
        self.scope.push(Role::new(&held.id).name(name)).await?;
        let entitlement = Entitlement::new(assigned_id(&held.id), "role", &held.id)
            .name("assigned")
            .privileged(is_privileged(privileged, &held.id, Some(name)));
        self.scope.push(entitlement).await
    }

    async fn entitlement(&mut self, held: &Held, privileged: &[Pattern]) -> Result<(), Error> {
        if self.entitlements.contains(&held.id) {
            return Ok(());
        }
        self.check_room()?;
        if self.entitlements.is_empty() {
            self.scope.push(App::new(SERVICE).name("SCIM service")).await?;
        }
        self.entitlements.insert(held.id.clone());
        let name = held.name.as_deref().unwrap_or(&held.id);
        let entitlement = Entitlement::new(entitlement_id(&held.id), "app", SERVICE)
            .name(name)
            .privileged(is_privileged(privileged, &held.id, Some(name)));
        self.scope.push(entitlement).await
    }

    fn check_room(&self) -> Result<(), Error> {
        if self.roles.len() + self.entitlements.len() < HELD_MAX {
            return Ok(());
        }
        Err(Error::incomplete(format!(
            "more than {HELD_MAX} roles and entitlements: their values are no names of roles; \
             leave `roles` out of `include`"
        )))
    }
}

/// The scopes of groups and memberships.
pub(crate) struct GroupsReport<'a> {
    scim: &'a Scim,
    service: &'a Service,
    sync: &'a Sync,
    groups: Scope,
    memberships: Scope,
    /// Members of whom nothing tells the type yet, with their groups.
    untold: Vec<(String, String)>,
    faults: Vec<String>,
}

impl<'a> GroupsReport<'a> {
    pub(crate) async fn open(
        sync: &'a Sync,
        scim: &'a Scim,
        service: &'a Service,
    ) -> Result<Self, Error> {
        let groups = sync.scope("groups").await?;
        let memberships = sync.scope("memberships").await?;
        let (untold, faults) = (vec![], vec![]);
        Ok(Self { scim, service, sync, groups, memberships, untold, faults })
    }

    /// Reads groups and their members to the end.
    pub(crate) async fn read(
        mut self,
        collection: &mut Collection<'_>,
        users: &[Collection<'_>],
    ) -> Result<Ending, Error> {
        if self.service.members_shown() == MembersShown::Never {
            self.fault("the service never shows members of groups".to_owned());
        }
        while let Some(lot) = collection.next().await? {
            for fresh in lot {
                let json = match serde_json::from_str::<Json>(fresh.json.get()) {
                    Ok(json) => json,
                    Err(error) => {
                        collection.fault(format!("{}: {error}", fresh.id));
                        continue;
                    }
                };
                self.group(&fresh, &json).await?;
                for member in self.members(&fresh, json).await? {
                    self.member(&fresh.id, member, collection, users).await?;
                }
            }
        }
        for (group, id) in std::mem::take(&mut self.untold) {
            let of = if collection.has(&id) { "group" } else { "user" };
            self.grant(&group, of, &id).await?;
        }
        let ending = collection.ending();
        if let Some(total) = ending.total {
            self.groups.source_total(total);
        }
        end(self.groups, &ending).await?;
        let reasons = ending.reason.iter().chain(&self.faults).map(String::as_str);
        let members = Ending { reason: joined(reasons), total: None, ..ending.clone() };
        end(self.memberships, &members).await?;
        Ok(ending)
    }

    /// Ends the scopes where the service has no groups.
    pub(crate) async fn without(self) -> Result<(), Error> {
        let reason = "the service has no resource type Group; leave `groups` out of `include`";
        self.groups.incomplete(reason).await?;
        self.memberships.incomplete(reason).await
    }

    async fn group(&mut self, fresh: &Fresh, json: &Json) -> Result<(), Error> {
        let name = text(json, "displayName");
        let mut group = Group::new(&fresh.id).attribute("external_id", text(json, "externalId"));
        if let Some(name) = name {
            group = group.name(name);
        }
        self.groups.push(group).await?;
        let entitlement = Entitlement::new(member_id(&fresh.id), "group", &fresh.id)
            .name("member")
            .privileged(is_privileged(&self.scim.checked.privileged, &fresh.id, name));
        self.memberships.push(entitlement).await
    }

    /// The members of a group, from its own answer where that is configured.
    async fn members(&mut self, fresh: &Fresh, listed: Json) -> Result<Vec<Member>, Error> {
        let json = match self.scim.config.members {
            Members::Listed => listed,
            Members::Each => match self.each(&fresh.id).await? {
                Some(json) => json,
                None => return Ok(vec![]),
            },
        };
        match group::members(self.service, &fresh.id, &json) {
            Ok(members) => Ok(members),
            Err(fault) => {
                self.fault(fault.to_string());
                Ok(vec![])
            }
        }
    }

    async fn each(&mut self, id: &str) -> Result<Option<Json>, Error> {
        let Some(mut url) = self.scim.groups_url(self.service) else { return Ok(None) };
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(id);
        }
        let answer = self.scim.client.get(&url, None, Patience::Sync(self.sync)).await;
        let fault = match answer {
            Ok(Some(answer)) => match serde_json::from_slice::<Json>(&answer.body) {
                Ok(json) if text(&json, "id") == Some(id) => return Ok(Some(json)),
                Ok(_) => format!("another group came than {id}"),
                Err(error) => format!("{id}: {error}"),
            },
            Ok(None) => format!("{id}: 304 without a tag"),
            Err(error) if error.ends_all() => return Err(error.into_error("groups")),
            Err(error) => format!("{id} {error}"),
        };
        self.fault(fault);
        Ok(None)
    }

    async fn member(
        &mut self,
        group: &str,
        member: Member,
        groups: &Collection<'_>,
        users: &[Collection<'_>],
    ) -> Result<(), Error> {
        let Some(of) = &member.of else {
            if users.iter().any(|users| users.has(&member.id)) {
                return self.grant(group, "user", &member.id).await;
            }
            if groups.has(&member.id) {
                return self.grant(group, "group", &member.id).await;
            }
            if self.untold.len() >= UNTOLD_MAX {
                self.fault(format!("more than {UNTOLD_MAX} members are of no known type"));
                return Ok(());
            }
            self.untold.push((group.to_owned(), member.id));
            return Ok(());
        };
        let own = |name: &str| of.eq_ignore_ascii_case(name);
        if own("User") {
            return self.grant(group, "user", &member.id).await;
        }
        if own("Group") {
            return self.grant(group, "group", &member.id).await;
        }
        let configured = self.scim.config.resources.iter().find(|(name, _)| own(name));
        match configured.map(|(_, kind)| *kind) {
            Some(Kind::Ignore) => {}
            Some(_) => return self.grant(group, "user", &member.id).await,
            None => {
                let of = crate::client::shown(of);
                self.fault(format!(
                    "{group} has members of type {of}: say in `resources` what these are"
                ));
            }
        }
        Ok(())
    }

    async fn grant(&mut self, group: &str, of: &str, id: &str) -> Result<(), Error> {
        self.memberships.push(Grant::new(of, id, member_id(group))).await
    }

    fn fault(&mut self, fault: String) {
        /// Causes that are kept.
        const FAULTS_MAX: usize = 3;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }
}
