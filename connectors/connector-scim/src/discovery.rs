//! What the service says of itself: its configuration, its resource types and its schemas.
//!
//! Many services say less than they should, and some nothing. What is not said is taken as the RFC
//! has it; what is said is used: how to page, where a type is, what of a group is shown, whether the
//! attributes that are mapped exist. Asked again with the tag of the answer, where it has one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cordon_sdk::Error;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::attributes::ENTERPRISE;
use crate::client::{AskError, Client, Patience};
use crate::collection::List;
use crate::config::{Config, PagingChoice, nearest};
use crate::paging::Method;
use crate::path::{Path, member, text, truth};

/// What is asked for, by its place below the service's address.
const DOCUMENTS: [&str; 3] = ["ServiceProviderConfig", "ResourceTypes", "Schemas"];

/// What the service said last, with the tags of its answers.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    documents: BTreeMap<&'static str, (String, Value)>,
    last: Option<(Instant, Arc<Service>)>,
}

/// What the service says of itself.
#[derive(Debug, Default)]
pub(crate) struct Service {
    configuration: Option<Value>,
    /// By name.
    pub(crate) types: BTreeMap<String, ResourceType>,
    /// Whether the list of types is whole.
    has_types: bool,
    schemas: Vec<Value>,
    /// What could not be asked, in words.
    pub(crate) notes: Vec<String>,
}

/// A resource type of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceType {
    /// The last segments of its place, e.g. `Users`.
    pub(crate) endpoint: Vec<String>,
    schema: String,
    extensions: Vec<String>,
}

/// Whether members stand in a list of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MembersShown {
    ByDefault,
    OnRequest,
    Never,
}

impl Discovery {
    /// Asks the service what it is; where it was asked lately enough, takes what it said then.
    pub(crate) async fn ask(
        &self,
        client: &Client,
        patience: Patience<'_>,
        age_max: Duration,
    ) -> Result<Arc<Service>, Error> {
        let mut known = self.known.lock().await;
        if let Some((_, last)) = known.last.as_ref().filter(|(asked, _)| asked.elapsed() < age_max)
        {
            return Ok(Arc::clone(last));
        }
        let mut service = Service::default();
        for document in DOCUMENTS {
            let etag = known.documents.get(document).map(|(etag, _)| etag.clone());
            let answer = client.get(&client.url(&[document]), etag.as_deref(), patience).await;
            match answer {
                Ok(None) => {
                    if let Some((_, value)) = known.documents.get(document) {
                        service.learn(document, value.clone());
                    }
                }
                Ok(Some(answer)) => match read(&answer.body) {
                    Ok(value) => {
                        if let Some(etag) = answer.etag {
                            known.documents.insert(document, (etag, value.clone()));
                        } else {
                            known.documents.remove(document);
                        }
                        service.learn(document, value);
                    }
                    Err(error) => service.notes.push(format!("{document} cannot be read: {error}")),
                },
                Err(error) if error.ends_all() || matches!(error, AskError::Failed { .. }) => {
                    return Err(error.into_error(document));
                }
                Err(error) => service.notes.push(format!("{document} {error}")),
            }
        }
        let service = Arc::new(service);
        known.last = Some((Instant::now(), Arc::clone(&service)));
        Ok(service)
    }
}

/// A document; a list as the array of what it holds, with a mark whether that is all.
fn read(body: &[u8]) -> Result<Value, serde_json::Error> {
    let value: Value = serde_json::from_slice(body)?;
    if value.is_array() {
        return Ok(value);
    }
    let list: List<'_> = serde_json::from_slice(body)?;
    let Some(resources) = list.resources else { return Ok(value) };
    let resources: Vec<Value> =
        resources.iter().map(|json| serde_json::from_str(json.get())).collect::<Result<_, _>>()?;
    Ok(match list.total_results {
        // A list that lacks some says nothing of what it lacks.
        Some(total) if total > resources.len() as u64 => Value::Null,
        _ => Value::Array(resources),
    })
}

impl Service {
    fn learn(&mut self, document: &str, value: Value) {
        match (document, value) {
            ("ServiceProviderConfig", Value::Array(mut values)) => {
                self.configuration = values.pop();
            }
            ("ServiceProviderConfig", value) => self.configuration = Some(value),
            ("ResourceTypes", Value::Array(values)) => {
                self.has_types = true;
                self.types = values.iter().filter_map(resource_type).collect();
            }
            ("Schemas", Value::Array(values)) => self.schemas = values,
            _ => self.notes.push(format!("{document} does not hold what it should")),
        }
    }

    /// How its pages are asked for.
    pub(crate) fn method(&self, config: &Config) -> Method {
        let index = Method::Index { overlap: config.overlap };
        match config.paging {
            PagingChoice::Index => index,
            PagingChoice::Cursor => Method::Cursor,
            PagingChoice::Announced => {
                let pagination = self.feature("pagination");
                let has_cursor = pagination.and_then(|it| member(it, "cursor")).and_then(truth);
                if has_cursor == Some(true) { Method::Cursor } else { index }
            }
        }
    }

    /// How large a page may be, as far as it says so.
    pub(crate) fn page_max(&self) -> Option<u64> {
        let page = self.feature("pagination").and_then(|it| member(it, "maxPageSize"));
        let filter = self.feature("filter").and_then(|it| member(it, "maxResults"));
        let bounds = [page, filter].into_iter().flatten().filter_map(Value::as_u64);
        bounds.filter(|bound| *bound > 0).min()
    }

    /// Whether it can filter, as far as it says so.
    pub(crate) fn can_filter(&self) -> Option<bool> {
        let supported = self.feature("filter").and_then(|it| member(it, "supported"));
        supported.and_then(truth)
    }

    fn feature(&self, name: &str) -> Option<&Value> {
        member(self.configuration.as_ref()?, name)
    }

    /// Where resources of a type are; none when the service says that it has no such type.
    pub(crate) fn endpoint(&self, name: &str, usual: &str) -> Option<Vec<String>> {
        match self.types.get(name) {
            Some(of) => Some(of.endpoint.clone()),
            None if self.has_types => None,
            None => Some(vec![usual.to_owned()]),
        }
    }

    /// The type whose resources are at an address, by its last segment but one.
    pub(crate) fn type_at(&self, address: &str) -> Option<&str> {
        let path = address.split(['?', '#']).next().unwrap_or_default();
        let place = path.rsplit('/').nth(1)?;
        let announced = self.types.iter().find(|(_, of)| {
            of.endpoint.last().is_some_and(|last| last.eq_ignore_ascii_case(place))
        });
        match announced {
            Some((name, _)) => Some(name),
            None if place.eq_ignore_ascii_case("Users") => Some("User"),
            None if place.eq_ignore_ascii_case("Groups") => Some("Group"),
            None => None,
        }
    }

    /// Whether members stand in a list of groups, as its schema has it.
    pub(crate) fn members_shown(&self) -> MembersShown {
        let schema = self.types.get("Group").map(|of| of.schema.as_str());
        let schema = self.schema(schema.unwrap_or("urn:ietf:params:scim:schemas:core:2.0:Group"));
        let members = schema.and_then(|schema| attribute(schema, "members"));
        match members.and_then(|members| text(members, "returned")) {
            Some(when) if when.eq_ignore_ascii_case("never") => MembersShown::Never,
            Some(when) if when.eq_ignore_ascii_case("request") => MembersShown::OnRequest,
            _ => MembersShown::ByDefault,
        }
    }

    fn schema(&self, urn: &str) -> Option<&Value> {
        self.schemas
            .iter()
            .find(|schema| text(schema, "id").is_some_and(|id| id.eq_ignore_ascii_case(urn)))
    }

    /// Refuses a path that was configured and that no schema of users knows.
    pub(crate) fn check_path(&self, of: &str, name: &str, path: &Path) -> Result<(), Error> {
        let Some(of) = self.types.get(of) else { return Ok(()) };
        let urn = path.extension().unwrap_or(&of.schema);
        let refuse = |what: String| {
            let message = format!("`{}` leads nowhere: {what}", path.text());
            Err(Error::bad_config(format!("attributes.{name}"), message))
        };
        let Some(schema) = self.schema(urn) else {
            let is_listed = urn == of.schema || of.extensions.iter().any(|known| known == urn);
            if self.schemas.is_empty() || is_listed {
                return Ok(());
            }
            let near = nearest(urn, of.extensions.iter().map(String::as_str));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return refuse(format!("the service's users have no extension `{urn}`{near}"));
        };
        let (wanted, sub) = path.names();
        if path.extension().is_none()
            && ["id", "externalid", "meta"].contains(&&*wanted.to_lowercase())
        {
            return Ok(());
        }
        let Some(found) = attribute(schema, wanted) else {
            let near = nearest(wanted, names(schema).into_iter());
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return refuse(format!("{urn} has no attribute `{wanted}`{near}"));
        };
        let parts = member(found, "subAttributes").and_then(Value::as_array);
        match (sub, parts) {
            (Some(sub), Some(parts)) if !parts.is_empty() => {
                let is_known = |part: &Value| {
                    text(part, "name").is_some_and(|name| name.eq_ignore_ascii_case(sub))
                };
                if parts.iter().any(is_known) {
                    return Ok(());
                }
                refuse(format!("`{wanted}` has no part `{sub}`"))
            }
            (None, Some(parts)) if !parts.is_empty() => {
                refuse(format!("`{wanted}` has parts; name one of them"))
            }
            _ => Ok(()),
        }
    }

    /// Attributes of extensions of users that nothing is mapped from, by their paths.
    pub(crate) fn unmapped(&self, paths: &[&Path]) -> Vec<String> {
        let Some(of) = self.types.get("User") else { return vec![] };
        let mut unmapped = vec![];
        for urn in of.extensions.iter().filter(|urn| !urn.eq_ignore_ascii_case(ENTERPRISE)) {
            for name in self.schema(urn).map(names).unwrap_or_default() {
                let is_mapped = paths.iter().any(|path| {
                    path.extension().is_some_and(|own| own.eq_ignore_ascii_case(urn))
                        && path.names().0.eq_ignore_ascii_case(name)
                });
                if !is_mapped {
                    unmapped.push(format!("{urn}:{name}"));
                }
            }
        }
        unmapped
    }
}

fn resource_type(value: &Value) -> Option<(String, ResourceType)> {
    let endpoint = text(value, "endpoint")?;
    // An address of its own is taken for its path: no other place is asked.
    let path = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    let segments = path.split('/').filter(|segment| !segment.is_empty() && *segment != "..");
    let segments: Vec<String> = segments.map(str::to_owned).collect();
    let endpoint = if endpoint.contains("://") {
        segments.last().cloned().into_iter().collect()
    } else {
        segments
    };
    let extensions = member(value, "schemaExtensions").and_then(Value::as_array);
    let extensions = extensions.into_iter().flatten().filter_map(|it| text(it, "schema"));
    let of = ResourceType {
        endpoint,
        schema: text(value, "schema").unwrap_or_default().to_owned(),
        extensions: extensions.map(str::to_owned).collect(),
    };
    (!of.endpoint.is_empty()).then_some((text(value, "name")?.to_owned(), of))
}

fn attribute<'v>(schema: &'v Value, name: &str) -> Option<&'v Value> {
    let attributes = member(schema, "attributes")?.as_array()?;
    attributes
        .iter()
        .find(|it| text(it, "name").is_some_and(|known| known.eq_ignore_ascii_case(name)))
}

fn names(schema: &Value) -> Vec<&str> {
    let attributes = member(schema, "attributes").and_then(Value::as_array);
    attributes.into_iter().flatten().filter_map(|it| text(it, "name")).collect()
}
