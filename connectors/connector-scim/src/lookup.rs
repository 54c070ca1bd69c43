//! Asks the service for single records.
//!
//! What is asked for is a resource of the service: a user, a group, or whether any user holds a role.
//! Keys that hang on one resource are answered by one request. Absent is only what the service itself
//! denies in the words of SCIM, or what a resource that it shows does not hold.

use std::collections::BTreeMap;

use cordon_sdk::{Error, Presence, RecordKey, RecordKind};
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::Url;
use serde_json::Value as Json;

use crate::client::{AskError, Patience};
use crate::collection::List;
use crate::config::Part;
use crate::discovery::{MembersShown, Service};
use crate::group;
use crate::path::{member, text};
use crate::report::SERVICE;
use crate::scim::{Scim, UserType};

/// Requests at a time.
const REQUESTS_MAX: usize = 4;

/// What a key hangs on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject<'k> {
    User(&'k str),
    Group(&'k str),
    /// Any user that holds this, in `roles` or `entitlements`.
    Holder(&'static str, &'k str),
    /// Nothing needs to be asked.
    Known(bool),
    /// This is not reported as configured, so nothing can be said.
    Unreported,
}

/// What a key wants to know of its subject.
#[derive(Debug, Clone, Copy)]
enum Wanted<'k> {
    Itself,
    Member { of: &'k str, id: &'k str },
    Held(&'static str, &'k str),
}

/// What the service says of a subject.
enum Said {
    There(Json),
    Absent,
    Unknown,
}

/// Questions to one service.
pub(crate) struct Questions<'a> {
    scim: &'a Scim,
    service: &'a Service,
    types: Vec<UserType>,
}

impl<'a> Questions<'a> {
    pub(crate) fn new(scim: &'a Scim, service: &'a Service) -> Self {
        Self { scim, service, types: scim.user_types(service) }
    }

    /// The service's word on each key, in the order of the keys.
    pub(crate) async fn answer(&self, keys: &[RecordKey]) -> Result<Vec<Presence>, Error> {
        let mut subjects: BTreeMap<Subject<'_>, Vec<(usize, Wanted<'_>)>> = BTreeMap::new();
        for (place, key) in keys.iter().enumerate() {
            let (subject, wanted) = self.subject(key);
            subjects.entry(subject).or_default().push((place, wanted));
        }
        let mut presences = vec![Presence::Unknown; keys.len()];
        let asked: Vec<_> =
            subjects.into_iter().map(|(subject, wanted)| self.about(subject, wanted)).collect();
        let mut said = stream::iter(asked).buffer_unordered(REQUESTS_MAX);
        while let Some(answers) = said.try_next().await? {
            for (place, presence) in answers {
                if let Some(slot) = presences.get_mut(place) {
                    *slot = presence;
                }
            }
        }
        Ok(presences)
    }

    async fn about(
        &self,
        subject: Subject<'_>,
        wanted: Vec<(usize, Wanted<'_>)>,
    ) -> Result<Vec<(usize, Presence)>, Error> {
        let said = self.ask(&subject).await?;
        Ok(wanted.into_iter().map(|(place, wanted)| (place, self.judge(&said, wanted))).collect())
    }

    fn subject<'k>(&self, key: &'k RecordKey) -> (Subject<'k>, Wanted<'k>) {
        let of = key.record_type.name.as_str();
        let has = |part| self.scim.config.includes(part);
        let itself = |subject| (subject, Wanted::Itself);
        match key.record_type.kind {
            RecordKind::Resource => match of {
                "user" => itself(Subject::User(&key.id)),
                "group" if has(Part::Groups) => itself(Subject::Group(&key.id)),
                "role" if has(Part::Roles) => itself(Subject::Holder("roles", &key.id)),
                "app" if has(Part::Roles) => itself(Subject::Known(key.id == SERVICE)),
                _ => itself(Subject::Unreported),
            },
            RecordKind::Entitlement => itself(match part_of(&key.id) {
                Some(("member", group)) if has(Part::Groups) => Subject::Group(group),
                Some(("assigned", role)) if has(Part::Roles) => Subject::Holder("roles", role),
                Some(("entitlement", value)) if has(Part::Roles) => {
                    Subject::Holder("entitlements", value)
                }
                Some(("member" | "assigned" | "entitlement", _)) => Subject::Unreported,
                _ => Subject::Known(false),
            }),
            RecordKind::Grant => match part_of(&key.entitlement) {
                Some(("member", group)) if has(Part::Groups) => {
                    (Subject::Group(group), Wanted::Member { of, id: &key.id })
                }
                Some(("assigned", role)) if has(Part::Roles) => {
                    (Subject::User(&key.id), Wanted::Held("roles", role))
                }
                Some(("entitlement", value)) if has(Part::Roles) => {
                    (Subject::User(&key.id), Wanted::Held("entitlements", value))
                }
                Some(("member" | "assigned" | "entitlement", _)) => itself(Subject::Unreported),
                _ => itself(Subject::Known(false)),
            },
        }
    }

    fn judge(&self, said: &Said, wanted: Wanted<'_>) -> Presence {
        let json = match said {
            Said::There(json) => json,
            Said::Absent => return Presence::Absent,
            Said::Unknown => return Presence::Unknown,
        };
        let is_there = match wanted {
            Wanted::Itself => true,
            Wanted::Held(list, value) => holds(json, list, value),
            Wanted::Member { of, id } => {
                let Ok(members) = group::members(self.service, "the group", json) else {
                    return Presence::Unknown;
                };
                let found = members.iter().find(|member| member.id == id);
                let fits = |told: &String| (of == "group") == told.eq_ignore_ascii_case("Group");
                let is_there = found.is_some_and(|found| found.of.as_ref().is_none_or(fits));
                if !is_there && self.service.members_shown() == MembersShown::Never {
                    return Presence::Unknown;
                }
                is_there
            }
        };
        if is_there { Presence::Present } else { Presence::Absent }
    }

    async fn ask(&self, subject: &Subject<'_>) -> Result<Said, Error> {
        match subject {
            Subject::Known(true) => Ok(Said::There(Json::Null)),
            Subject::Known(false) => Ok(Said::Absent),
            Subject::Unreported => Ok(Said::Unknown),
            Subject::Group(id) => {
                let Some(url) = self.scim.groups_url(self.service) else {
                    return Ok(Said::Unknown);
                };
                match &self.scim.config.groups_filter {
                    Some(filter) => self.listed(url, &by_id(filter, id), |it| is(it, id)).await,
                    None => self.single(url, id).await,
                }
            }
            Subject::User(id) => {
                let mut all = Said::Absent;
                for of in &self.types {
                    let Some(url) = of.url.clone() else { continue };
                    let said = match self.scim.users_filter(of) {
                        Some(filter) => {
                            self.listed(url, &by_id(filter, id), |it| is(it, id)).await?
                        }
                        None => self.single(url, id).await?,
                    };
                    match said {
                        Said::There(json) => return Ok(Said::There(json)),
                        Said::Unknown => all = Said::Unknown,
                        Said::Absent => {}
                    }
                }
                Ok(all)
            }
            Subject::Holder(list, value) => {
                if self.service.can_filter() == Some(false) {
                    return Ok(Said::Unknown);
                }
                let mut all = Said::Absent;
                for of in &self.types {
                    let Some(url) = of.url.clone() else { continue };
                    let mut filter = format!("{list}.value eq {}", quoted(value));
                    if let Some(users) = self.scim.users_filter(of) {
                        filter = format!("({users}) and {filter}");
                    }
                    match self.listed(url, &filter, |it| holds(it, list, value)).await? {
                        Said::There(json) => return Ok(Said::There(json)),
                        Said::Unknown => all = Said::Unknown,
                        Said::Absent => {}
                    }
                }
                Ok(all)
            }
        }
    }

    /// The resource at its own address.
    async fn single(&self, mut url: Url, id: &str) -> Result<Said, Error> {
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(id);
        }
        match self.scim.client.get(&url, None, Patience::Question).await {
            Ok(Some(answer)) => Ok(match serde_json::from_slice::<Json>(&answer.body) {
                Ok(json) if is(&json, id) => Said::There(json),
                _ => Said::Unknown,
            }),
            Err(AskError::Absent { is_scim: true, .. }) => Ok(Said::Absent),
            Err(error) if error.ends_all() => Err(error.into_error("a lookup")),
            Ok(None) | Err(_) => Ok(Said::Unknown),
        }
    }

    /// The first resource that a filter selects, if it is what was meant.
    async fn listed(
        &self,
        mut url: Url,
        filter: &str,
        fits: impl Fn(&Json) -> bool,
    ) -> Result<Said, Error> {
        url.query_pairs_mut().append_pair("filter", filter).append_pair("count", "1");
        let answer = match self.scim.client.get(&url, None, Patience::Question).await {
            Ok(Some(answer)) => answer,
            Err(error) if error.ends_all() => return Err(error.into_error("a lookup")),
            Ok(None) | Err(_) => return Ok(Said::Unknown),
        };
        let Ok(list) = serde_json::from_slice::<List<'_>>(&answer.body) else {
            return Ok(Said::Unknown);
        };
        let first = list.resources.unwrap_or_default().first().map(|json| json.get().to_owned());
        Ok(match (list.total_results, first) {
            (Some(0), None) => Said::Absent,
            (_, Some(first)) => match serde_json::from_str::<Json>(&first) {
                Ok(json) if fits(&json) => Said::There(json),
                _ => Said::Unknown,
            },
            _ => Said::Unknown,
        })
    }
}

/// `member:17` as `member` and `17`.
fn part_of(id: &str) -> Option<(&str, &str)> {
    id.split_once(':')
}

fn is(json: &Json, id: &str) -> bool {
    text(json, "id") == Some(id)
}

/// Whether a user holds a value of a list.
fn holds(json: &Json, list: &str, value: &str) -> bool {
    let elements = match member(json, list) {
        Some(Json::Array(elements)) => elements.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => return false,
    };
    elements.iter().any(|element| match element {
        Json::String(held) => held == value,
        element => text(element, "value") == Some(value),
    })
}

fn by_id(filter: &str, id: &str) -> String {
    format!("({filter}) and id eq {}", quoted(id))
}

/// A text as a filter holds it.
fn quoted(text: &str) -> String {
    Json::String(text.to_owned()).to_string()
}
