//! Reads the directory and reports it, scope by scope: `users`, `groups`, `memberships`.
//!
//! Twice: first only names and ids, so that a manager or a member leads to an id wherever its entry
//! comes; then everything. The second reading has to find all that the first found. That costs a
//! fraction of a second and is the only count there is: a directory does not say how many entries it
//! has, and an end that comes too early looks like any other.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use cordon_sdk::{Attribute, Error, Grant, Resource, Schema, Scope, Sync, Timestamp, Watermark};

use crate::config::Config;
use crate::connection::Connection;
use crate::dialect::{Dialect, Kind};
use crate::dn::Key;
use crate::entry::Entry;
use crate::fault::Fault;
use crate::group::{self, Members};
use crate::guid::Guid;
use crate::pages::Pages;
use crate::principals::{Holder, Place, Principals};
use crate::root::Root;
use crate::unread::{Found, Unread};
use crate::user;
use crate::view::View;

/// The type of members that are neither users nor groups.
pub(crate) const PRINCIPAL: &str = "principal";
/// Faults of entries that a reason spells out; the others are counted.
const FAULTS_SHOWN_MAX: usize = 3;

/// The attributes of members that are neither users nor groups.
pub(crate) fn principal_schema() -> Schema {
    Resource::schema(PRINCIPAL)
        .attribute(Attribute::text("dn").required())
        .attribute(Attribute::text("class"))
}

/// Why a scope is not whole; nothing when it is.
#[derive(Debug, Default)]
struct Causes {
    causes: Vec<String>,
    faults: usize,
}

impl Causes {
    fn add(&mut self, cause: impl Into<String>) {
        self.causes.push(cause.into());
    }

    /// One of many entries: the first are spelled out.
    fn fault(&mut self, cause: impl Into<String>) {
        self.faults += 1;
        if self.faults <= FAULTS_SHOWN_MAX {
            self.causes.push(cause.into());
        }
    }

    fn is_none(&self) -> bool {
        self.causes.is_empty()
    }

    async fn end(&self, mut scope: Scope, watermark: &Watermark) -> Result<(), Error> {
        scope.watermark(watermark.clone());
        if self.is_none() {
            return scope.complete().await;
        }
        let mut reason = self.causes.join("; ");
        if self.faults > FAULTS_SHOWN_MAX {
            reason.push_str(&format!("; and {} more like these", self.faults - FAULTS_SHOWN_MAX));
        }
        scope.incomplete(reason).await
    }
}

/// A reading under way.
pub(crate) struct Reading<'a> {
    config: &'a Config,
    sync: &'a Sync,
    connection: Connection,
    root: Root,
    principals: Principals,
    privileged: HashSet<String>,
    placeholders: HashSet<Key>,
    watermark: Watermark,
    /// Entries of both readings so far.
    done: u64,
    total: Option<u64>,
}

impl<'a> Reading<'a> {
    pub(crate) async fn open(config: &'a Config, sync: &'a Sync) -> Result<Self, Error> {
        let mut connection = Connection::open(config).await?;
        let root = Root::read(&mut connection).await?;
        let watermark = match root.watermark(&mut connection, &config.base).await {
            Ok(watermark) => watermark,
            // How current the source is is worth knowing, and worth no sync.
            Err(fault) if fault.is_partial() => Watermark::default(),
            Err(fault) => return Err(fault.into_error("ask how current the server is")),
        };
        let dialect = root.dialect;
        Ok(Self {
            config,
            sync,
            connection,
            principals: Principals::new(dialect),
            privileged: config.privileged_groups.iter().map(|it| it.to_lowercase()).collect(),
            placeholders: config.placeholders.iter().map(|it| dialect.key(it)).collect(),
            root,
            watermark,
            done: 0,
            total: None,
        })
    }

    /// Reads and reports everything; gives what that showed of this account's rights.
    pub(crate) async fn report(mut self) -> Result<View, Error> {
        let begun = Instant::now();
        let mut users = self.index(Kind::User).await?;
        let mut groups = self.index(Kind::Group).await?;
        let count = self.principals.count(Kind::User) + self.principals.count(Kind::Group);
        self.total = Some(count.saturating_mul(2));
        if self.principals.count(Kind::User) == 0 && users.is_none() {
            let base = self.config.base_of(&self.config.users);
            users.add(format!("no user is found below {base}, or this account may see none"));
        }
        let is_index_whole = users.is_none() && groups.is_none();
        self.users(&mut users).await?;
        let mut view = self.groups(&mut groups, is_index_whole).await?;
        view.is_whole &= users.is_none() && groups.is_none();
        let (took, waited) = (begun.elapsed(), self.connection.waited);
        tracing::info!(
            entries = self.done,
            searches = self.connection.searches,
            took_ms = took.as_millis(),
            waited_ms = waited.as_millis(),
            "the directory was read"
        );
        Ok(view)
    }

    fn dialect(&self) -> Dialect {
        self.root.dialect
    }

    /// The pages of a kind.
    fn pages<'p>(&self, kind: Kind, attributes: &'p [&'p str]) -> Pages<'p>
    where
        'a: 'p,
    {
        let config: &'a Config = self.config;
        let selection = match kind {
            Kind::User => &config.users,
            Kind::Group => &config.groups,
        };
        let dialect = self.dialect();
        let filter = selection.filter.as_deref().unwrap_or_else(|| dialect.filter(kind));
        let found_by = (config.base_of(selection), filter);
        Pages::new(dialect, found_by, attributes, config.page_size)
    }

    /// The next page; none at the end, and where the server stopped before it, which is then a cause.
    async fn page(
        &mut self,
        pages: &mut Pages<'_>,
        kind: Kind,
        causes: &mut Causes,
    ) -> Result<Option<Vec<Entry>>, Error> {
        match pages.next(&mut self.connection).await {
            Ok(Some(page)) => {
                self.done += page.len() as u64;
                let phase = format!("reading {}", kind.scope());
                self.sync.progress(self.done, self.total, &phase).await?;
                Ok(Some(page))
            }
            Ok(None) => Ok(None),
            Err(fault) if fault.is_partial() => {
                causes.add(format!("after {} entries: {fault}", pages.entries()));
                Ok(None)
            }
            Err(fault) => Err(fault.into_error(&format!("read {}", kind.scope()))),
        }
    }

    /// The first reading of a kind.
    async fn index(&mut self, kind: Kind) -> Result<Causes, Error> {
        let mut causes = Causes::default();
        let attributes = Principals::attributes(self.dialect(), kind);
        let mut pages = self.pages(kind, attributes);
        let mut nameless = 0_u64;
        while let Some(page) = self.page(&mut pages, kind, &mut causes).await? {
            for entry in &page {
                if !self.principals.add(kind, entry) {
                    nameless += 1;
                }
            }
        }
        if nameless > 0 {
            let id = self.dialect().id_attribute();
            causes.add(format!("{nameless} entries have no {id} that this account may read"));
        }
        Ok(causes)
    }

    /// Whether the second reading found all that the first found.
    fn compare(&self, kind: Kind, causes: &mut Causes) {
        let lost = self.principals.unconfirmed(kind);
        if lost > 0 && causes.is_none() {
            causes.add(format!(
                "{lost} entries that were found a moment before were not found again: they were \
                 deleted or renamed meanwhile, or pages were lost"
            ));
        }
    }

    /// Takes an entry of the second reading; none where it has no id.
    fn second(&mut self, kind: Kind, entry: &Entry) -> Option<Guid> {
        let id = self.dialect().id(entry)?;
        if !self.principals.confirm(entry) {
            // Made between the two readings.
            self.principals.add(kind, entry);
            self.principals.confirm(entry);
        }
        Some(id)
    }

    async fn users(&mut self, causes: &mut Causes) -> Result<(), Error> {
        let mut scope = self.sync.scope(Kind::User.scope()).await?;
        let attributes = user::attributes(self.dialect());
        let mut pages = self.pages(Kind::User, &attributes);
        let now = Timestamp::now();
        while let Some(page) = self.page(&mut pages, Kind::User, causes).await? {
            for entry in &page {
                let Some(id) = self.second(Kind::User, entry) else { continue };
                match user::user(self.dialect(), id, entry, &self.principals, now) {
                    Ok(user) => scope.push(user).await?,
                    Err(fault) => causes.fault(fault.to_string()),
                }
            }
        }
        self.compare(Kind::User, causes);
        causes.end(scope, &self.watermark).await
    }

    async fn groups(&mut self, causes: &mut Causes, is_index_whole: bool) -> Result<View, Error> {
        let mut groups = self.sync.scope(Kind::Group.scope()).await?;
        let mut memberships = self.sync.scope("memberships").await?;
        let mut lost = Causes::default();
        let mut unread = Unread::default();
        let mut view = View { is_whole: true, ..View::default() };
        let dialect = self.dialect();
        let first = group::first_members(self.config.member_range);
        let mut attributes = group::attributes(dialect).to_vec();
        if dialect == Dialect::ActiveDirectory {
            attributes.push(&first);
        }
        let mut pages = self.pages(Kind::Group, &attributes);
        while let Some(page) = self.page(&mut pages, Kind::Group, causes).await? {
            for entry in &page {
                let Some(id) = self.second(Kind::Group, entry) else { continue };
                let made = group::group(dialect, id, entry, &self.principals, &self.privileged);
                match made {
                    Ok((group, entitlement)) => {
                        groups.push(group).await?;
                        groups.push(entitlement).await?;
                    }
                    Err(fault) => {
                        causes.fault(fault.to_string());
                        continue;
                    }
                }
                view.silent_groups += u64::from(group::hides_members(entry));
                let members = self.members(entry, &mut lost).await?;
                for place in self.holders(id, entry, &members, &mut unread, &mut lost) {
                    self.grant(&mut memberships, place, id).await?;
                }
            }
        }
        self.compare(Kind::Group, causes);
        causes.end(groups, &self.watermark).await?;
        if view.silent_groups > 0 {
            lost.add(format!(
                "{} groups must have members and show none: this account may not read them",
                view.silent_groups
            ));
        }
        if is_index_whole {
            view.unseen = self.report_unread(&unread, &mut memberships, &mut lost).await?;
        } else {
            lost.add("not all users and groups could be read, so members may be missing");
        }
        // Without all groups not all memberships are known.
        if !causes.is_none() && is_index_whole {
            lost.add("not all groups could be read");
        }
        view.is_whole &= lost.is_none();
        lost.end(memberships, &self.watermark).await?;
        Ok(view)
    }

    /// All members of a group, those of later parts included.
    async fn members(&mut self, entry: &Entry, lost: &mut Causes) -> Result<Members, Error> {
        let mut members = Members::of(entry);
        let (dialect, range) = (self.dialect(), self.config.member_range);
        let rest = group::complete(&mut self.connection, dialect, entry, range, &mut members);
        match rest.await {
            Ok(None) => {}
            Ok(Some(cause)) => lost.fault(format!("{} {cause}", entry.dn)),
            Err(fault) if fault.is_partial() => {
                lost.fault(format!("members of {}: {fault}", entry.dn));
            }
            Err(fault) => return Err(fault.into_error("read the members of a group")),
        }
        Ok(members)
    }

    /// The members of a group that were read, each once; the others are kept for later.
    fn holders(
        &self,
        group: Guid,
        entry: &Entry,
        members: &Members,
        unread: &mut Unread,
        lost: &mut Causes,
    ) -> Vec<Place> {
        let mut seen: HashSet<Place> = HashSet::new();
        let mut unseen: HashSet<Key> = HashSet::new();
        let named = members.names.iter().map(|name| (name, self.principals.named(name)));
        let logged = members.logins.iter().map(|name| (name, self.principals.with_login(name)));
        for (name, holder) in named.chain(logged) {
            match holder {
                Holder::Known(place) => {
                    seen.insert(place);
                }
                Holder::Ambiguous => {
                    lost.fault(format!("{name}, a member of {}, is two entries", entry.dn));
                }
                Holder::Unread(key) => {
                    if !self.placeholders.contains(&key) && unseen.insert(key) {
                        unread.add(key, name, group);
                    }
                }
            }
        }
        seen.extend(self.principals.primary_members(entry));
        let mut places: Vec<Place> = seen.into_iter().collect();
        places.sort_unstable();
        places
    }

    async fn grant(&self, scope: &mut Scope, place: Place, group: Guid) -> Result<(), Error> {
        let Some(holder) = self.principals.get(place) else { return Ok(()) };
        let (kind, id) = (holder.kind.type_name(), holder.id.to_string());
        scope.push_grant(kind, &id, &group::member_id(group)).await
    }

    /// Reports members that are neither users nor groups; gives how many cannot be found.
    async fn report_unread(
        &mut self,
        unread: &Unread,
        scope: &mut Scope,
        lost: &mut Causes,
    ) -> Result<u64, Error> {
        let bases = [&self.config.users, &self.config.groups].map(|it| self.config.base_of(it));
        let context = self.root.context_of(&self.config.base).to_owned();
        let dialect = self.dialect();
        let found = match unread.look(&mut self.connection, dialect, &context, bases).await {
            Ok(found) => found,
            Err(fault) if fault.is_partial() => {
                lost.add(format!("members that are neither users nor groups: {fault}"));
                HashMap::new()
            }
            Err(fault) => return Err(fault.into_error("look up members")),
        };
        let mut unasked = unread.dropped;
        for what in found.values() {
            match what {
                Found::Entry { id, dn, class } => {
                    let record = Resource::new(PRINCIPAL, id).name(dn);
                    let record = record.attribute("dn", dn).attribute("class", class.as_deref());
                    scope.push(record).await?;
                }
                Found::Elsewhere { id, dn } => {
                    let record = Resource::new(PRINCIPAL, id).name(dn).attribute("dn", dn);
                    scope.push(record).await?;
                }
                Found::Unseen { .. } => {}
                Found::Unasked => unasked += 1,
            }
        }
        for (key, group) in unread.memberships() {
            let (kind, id) = match found.get(key) {
                Some(Found::Entry { id, .. } | Found::Elsewhere { id, .. }) => (PRINCIPAL, id),
                // Reported although nobody is there: the gate counts what dangles.
                Some(Found::Unseen { id }) => (Kind::User.type_name(), id),
                Some(Found::Unasked) | None => continue,
            };
            scope.push(Grant::new(kind, id, group::member_id(*group))).await?;
        }
        if unasked > 0 {
            lost.add(format!("{unasked} members that are neither users nor groups are too many"));
        }
        let is_unseen = |what: &&Found| matches!(what, Found::Unseen { .. });
        Ok(found.values().filter(is_unseen).count() as u64)
    }
}

/// Why something could not be read, for a check.
pub(crate) fn check_error(fault: Fault, kind: Kind) -> Error {
    fault.into_error(&format!("read {}", kind.scope()))
}
