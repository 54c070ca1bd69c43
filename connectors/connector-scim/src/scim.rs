//! The connector: reports users, groups with their members, and roles.
//!
//! Scopes: one a collection of the service, so that its own count can be held against it: `users`,
//! each further resource type by its name, `groups`; and what is derived from them, as whole as they
//! are: `memberships` from groups, `roles` from users.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cordon_sdk::{
    App, Attribute, Connector, Description, Entitlement, Error, Grant, Group, Presence, RecordKey,
    Role, Sync,
};
use reqwest::Url;

use crate::attributes::user_schema;
use crate::client::{AskError, Client, Patience};
use crate::collection::{Collection, List};
use crate::config::{Checked, Config, Part};
use crate::discovery::{Discovery, MembersShown, Service};
use crate::lookup::Questions;
use crate::paging::{Method, Paging};
use crate::path::Path;
use crate::report::{GroupsReport, UsersReport};

/// What is asked for of groups where members are shown on request alone.
const GROUP_ATTRIBUTES: &str = "displayName,externalId,members,meta";

/// How long lookups go by what the service said of itself last.
const LOOKUPS_TRUST: Duration = Duration::from_secs(300);

/// Reports a service that speaks SCIM.
pub(crate) struct Scim {
    pub(crate) config: Config,
    pub(crate) checked: Checked,
    pub(crate) client: Client,
    discovery: Discovery,
}

/// A collection whose resources are users.
pub(crate) struct UserType {
    /// The name of the resource type.
    pub(crate) name: String,
    /// The scope that it is reported in.
    pub(crate) scope: String,
    pub(crate) kind: cordon_sdk::AccountType,
    /// Where it is; none when the service has no such type.
    pub(crate) url: Option<Url>,
}

impl Connector for Scim {
    type Config = Config;

    fn describe() -> Description {
        Description::new("scim", env!("CARGO_PKG_VERSION"))
            .reports(user_schema())
            .reports(Group::schema().attribute(Attribute::text("external_id")))
            .reports(Role::schema())
            .reports(App::schema())
            .reports(Entitlement::schema("group"))
            .reports(Entitlement::schema("role"))
            .reports(Entitlement::schema("app"))
            .reports(Grant::schema("user"))
            .reports(Grant::schema("group"))
            .looks_up()
    }

    async fn open(config: Config) -> Result<Self, Error> {
        let checked = config.check()?;
        let client = Client::open(&config, &checked)?;
        Ok(Self { config, checked, client, discovery: Discovery::default() })
    }

    async fn check(&self) -> Result<Vec<String>, Error> {
        let service = self.service(Patience::Question, Duration::ZERO).await?;
        let mut notes = vec![self.paging_note(&service)];
        notes.extend(service.notes.iter().cloned());
        let mut denied = None;
        let mut is_read = false;
        for (name, url, parts) in self.collections(&service) {
            match self.count(&url).await {
                Ok(Some(total)) => notes.push(format!("{name}: {total} may be read")),
                Ok(None) => notes.push(format!("{name} may be read, and are not counted")),
                Err(error) if error.ends_all() => return Err(error.into_error(&name)),
                Err(error) => {
                    notes.push(format!("{name} {error}; {parts} would be incomplete"));
                    denied = denied.or(matches!(error, AskError::Denied { .. }).then_some(error));
                    continue;
                }
            }
            is_read = true;
        }
        if let (false, Some(error)) = (is_read, denied) {
            return Err(error.into_error("nothing"));
        }
        notes.extend(self.lacks(&service));
        let paths: Vec<&Path> = self.checked.attributes.iter().flat_map(|it| &it.2).collect();
        let unmapped = service.unmapped(&paths);
        if !unmapped.is_empty() {
            notes.push(format!("not mapped by `attributes`: {}", unmapped.join(", ")));
        }
        Ok(notes)
    }

    async fn sync(&self, sync: &mut Sync) -> Result<(), Error> {
        let (begun, before) = (Instant::now(), self.client.waited());
        let service = self.service(Patience::Sync(sync), Duration::ZERO).await?;
        let types = self.user_types(&service);
        let mut users = UsersReport::open(sync, self).await?;
        let mut collections = Vec::with_capacity(types.len());
        let mut unanswered = Vec::new();
        for of in &types {
            let scope = sync.scope(&of.scope).await?;
            let Some(url) = of.url.clone() else {
                users.without(scope, &of.name).await?;
                continue;
            };
            let url = self.selected(url, self.users_filter(of));
            let mut collection = self.collection(sync, &of.scope, url, &service);
            let ending = users.read(scope, &mut collection, of.kind).await?;
            unanswered.extend(ending.refused());
            collections.push(collection);
        }
        users.close().await?;
        if self.config.includes(Part::Groups) {
            let report = GroupsReport::open(sync, self, &service).await?;
            match self.groups_url(&service) {
                Some(url) => {
                    let url = self.selected(url, self.config.groups_filter.as_deref());
                    let mut groups = self.collection(sync, "groups", url, &service);
                    let ending = report.read(&mut groups, &collections).await?;
                    unanswered.extend(ending.refused());
                    collections.push(groups);
                }
                None => report.without().await?,
            }
        }
        let (waited, requests) = self.client.waited();
        let waited_ms = (waited - before.0).as_millis();
        let took_ms = begun.elapsed().as_millis();
        tracing::info!(requests = requests - before.1, waited_ms, took_ms, "the service was read");
        // Where not one collection was answered, the sync says nothing, and should not seem to.
        match unanswered.into_iter().next() {
            Some(refusal) if collections.iter().all(|it| !it.ending().is_answered) => Err(refusal),
            _ => Ok(()),
        }
    }

    async fn lookup(&self, keys: &[RecordKey]) -> Result<Vec<Presence>, Error> {
        let service = self.service(Patience::Question, LOOKUPS_TRUST).await?;
        Questions::new(self, &service).answer(keys).await
    }
}

impl Scim {
    /// What the service says of itself, held against the configuration.
    async fn service(
        &self,
        patience: Patience<'_>,
        age_max: Duration,
    ) -> Result<Arc<Service>, Error> {
        let service = self.discovery.ask(&self.client, patience, age_max).await?;
        for (name, path) in &self.config.attributes {
            let path = Path::parse(path)
                .map_err(|error| Error::bug("a checked path is none").caused_by(error))?;
            service.check_path("User", name, &path)?;
        }
        let filters = [
            ("users_filter", &self.config.users_filter),
            ("groups_filter", &self.config.groups_filter),
        ];
        for (field, filter) in filters {
            if filter.is_some() && service.can_filter() == Some(false) {
                return Err(Error::bad_config(field, "the service says that it cannot filter"));
            }
        }
        Ok(service)
    }

    /// The collections whose resources become users.
    pub(crate) fn user_types(&self, service: &Service) -> Vec<UserType> {
        let url = |name: &str, usual: &str| {
            let endpoint = service.endpoint(name, usual)?;
            Some(self.client.url(&endpoint.iter().map(String::as_str).collect::<Vec<_>>()))
        };
        let people = UserType {
            name: "User".to_owned(),
            scope: "users".to_owned(),
            kind: cordon_sdk::AccountType::Human,
            url: url("User", "Users"),
        };
        let more = self.config.resources.iter().filter_map(|(name, kind)| {
            let usual = format!("{name}s");
            let (scope, url) = (name.clone(), url(name, &usual));
            Some(UserType { name: name.clone(), scope, kind: kind.account_type()?, url })
        });
        std::iter::once(people).chain(more).collect()
    }

    /// Where groups are; none when the service has none.
    pub(crate) fn groups_url(&self, service: &Service) -> Option<Url> {
        let endpoint = service.endpoint("Group", "Groups")?;
        let mut url = self.client.url(&endpoint.iter().map(String::as_str).collect::<Vec<_>>());
        if service.members_shown() == MembersShown::OnRequest {
            url.query_pairs_mut().append_pair("attributes", GROUP_ATTRIBUTES);
        }
        Some(url)
    }

    /// The filter that selects users of a type: only people have one.
    pub(crate) fn users_filter(&self, of: &UserType) -> Option<&str> {
        self.config.users_filter.as_deref().filter(|_| of.name == "User")
    }

    fn selected(&self, mut url: Url, filter: Option<&str>) -> Url {
        if let Some(filter) = filter {
            url.query_pairs_mut().append_pair("filter", filter);
        }
        if let Some(sort_by) = &self.config.sort_by {
            url.query_pairs_mut().append_pair("sortBy", sort_by);
        }
        url
    }

    fn collection<'a>(
        &'a self,
        sync: &'a Sync,
        name: &'a str,
        url: Url,
        service: &Service,
    ) -> Collection<'a> {
        let page_max = service.page_max().unwrap_or(u64::MAX);
        let method = service.method(&self.config);
        let least = if method == (Method::Index { overlap: true }) { 2 } else { 1 };
        let paging = Paging::new(method, self.config.page_size.min(page_max).max(least));
        Collection::new(&self.client, sync, name, url, paging, self.config.watermark)
    }

    /// How many there are at an address, as far as the service counts.
    async fn count(&self, url: &Url) -> Result<Option<u64>, AskError> {
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("count", "1");
        let answer = self.client.get(&url, None, Patience::Question).await?;
        let answer = answer.ok_or_else(|| AskError::Refused {
            said: "304 without a tag".to_owned(),
            scim_type: None,
        })?;
        let list: List<'_> = serde_json::from_slice(&answer.body).map_err(|_| {
            AskError::Refused { said: "the answer is no list of SCIM".to_owned(), scim_type: None }
        })?;
        Ok(list.total_results)
    }

    /// What would be read: its name, its address, and the scopes that hang on it.
    fn collections(&self, service: &Service) -> Vec<(String, Url, String)> {
        let mut collections = vec![];
        for of in self.user_types(service) {
            let Some(url) = of.url.clone() else { continue };
            let scopes = format!("{} and roles", of.scope);
            collections.push((
                of.scope.clone(),
                self.selected(url, self.users_filter(&of)),
                scopes,
            ));
        }
        if let Some(url) = self.groups_url(service).filter(|_| self.config.includes(Part::Groups)) {
            let url = self.selected(url, self.config.groups_filter.as_deref());
            collections.push(("groups".to_owned(), url, "groups and memberships".to_owned()));
        }
        collections
    }

    fn paging_note(&self, service: &Service) -> String {
        let by = match service.method(&self.config) {
            Method::Index { .. } => "index",
            Method::Cursor => "cursor",
        };
        format!("{}: pages by {by}", self.checked.base_url)
    }

    /// What is configured and the service lacks.
    fn lacks(&self, service: &Service) -> Vec<String> {
        let mut notes = vec![];
        for of in self.user_types(service).iter().filter(|of| of.url.is_none()) {
            let (name, scope) = (&of.name, &of.scope);
            notes.push(format!("the service has no type {name}; {scope} would be incomplete"));
        }
        if self.config.includes(Part::Groups) {
            if self.groups_url(service).is_none() {
                let what = "the service has no type Group; groups and memberships would be \
                            incomplete: leave them out by `include`";
                notes.push(what.to_owned());
            } else if service.members_shown() == MembersShown::Never {
                let what = "the service never shows members of groups; memberships would be \
                            incomplete";
                notes.push(what.to_owned());
            }
        }
        notes
    }
}
