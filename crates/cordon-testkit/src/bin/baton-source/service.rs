//! The services, over the computed directory and with its fault.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cordon_testkit::baton::{self, Directory};
use prost::Message;
use prost::bytes::Bytes;
use tonic::{Request, Response, Status};

use crate::fault::{Fault, patience};
use crate::wire::v2::connector_service_server::ConnectorService;
use crate::wire::v2::entitlements_service_server::EntitlementsService;
use crate::wire::v2::grants_service_server::GrantsService;
use crate::wire::v2::resource_types_service_server::ResourceTypesService;
use crate::wire::v2::resources_service_server::ResourcesService;
use crate::wire::v2::{
    ConnectorMetadata, EnqueuePageTokens, GetMetadataRequest, GetMetadataResponse,
    ListEntitlementsRequest, ListEntitlementsResponse, ListGrantsRequest, ListGrantsResponse,
    ListResourceTypesRequest, ListResourceTypesResponse, ListResourcesRequest,
    ListResourcesResponse, ListStaticEntitlementsRequest, ListStaticEntitlementsResponse,
    Principal, Resource, ResourceId, ValidateRequest, ValidateResponse,
};
use crate::{Source, TOKEN, records};

/// Records of one page.
const PAGE: usize = 100;
/// What the source keeps between its phases.
const KEPT: &str = "teams-seen";

type Answer<T> = Result<Response<T>, Status>;

/// A source, shared by its services.
#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Arc<Source>);

impl Shared {
    fn directory(&self) -> &Directory {
        &self.0.directory
    }

    fn fault(&self) -> Fault {
        self.0.fault
    }

    /// How many calls of the kind that goes wrong came before.
    fn count(&self) -> u64 {
        self.0.calls.fetch_add(1, Ordering::Relaxed)
    }

    fn users(&self, token: &str) -> Result<ListResourcesResponse, Status> {
        let directory = self.directory();
        let begin = place(token)?;
        let people: Vec<u32> = directory.people().skip(begin).take(PAGE).collect();
        let mut list: Vec<Bytes> =
            people.iter().map(|user| records::bytes(&records::user(directory, *user))).collect();
        if self.fault() == Fault::Differs && begin > 0 {
            let other = Resource { display_name: "Somebody".into(), ..records::user(directory, 0) };
            list.push(records::bytes(&other));
        }
        if self.fault() == Fault::Large {
            let long = "x".repeat(5 << 20);
            list.push(records::bytes(&Resource {
                display_name: long,
                ..records::user(directory, 0)
            }));
        }
        let mut next =
            if people.len() == PAGE { (begin + PAGE).to_string() } else { String::new() };
        if self.fault() == Fault::Repeats && begin > 0 {
            token.clone_into(&mut next);
        }
        Ok(ListResourcesResponse { list, next_page_token: next, annotations: Vec::new() })
    }
}

fn place(token: &str) -> Result<usize, Status> {
    if token.is_empty() {
        return Ok(0);
    }
    token.parse().map_err(|_| Status::invalid_argument(format!("page {token:?} is none of mine")))
}

fn own(resource: &Bytes) -> Result<ResourceId, Status> {
    let resource = Principal::decode(resource.clone());
    let id = resource.ok().and_then(|resource| resource.id);
    id.ok_or_else(|| Status::invalid_argument("no resource"))
}

/// The team that is asked about; it comes back as it was listed.
fn team(resource: &Bytes) -> Result<(u32, Resource), Status> {
    let wrong = || Status::invalid_argument("not as it was listed");
    let number = own(resource)?.resource.parse().map_err(|_| wrong())?;
    let team = records::team(number);
    if records::bytes(&team) == resource { Ok((number, team)) } else { Err(wrong()) }
}

#[tonic::async_trait]
impl ConnectorService for Shared {
    async fn get_metadata(
        &self,
        _request: Request<GetMetadataRequest>,
    ) -> Answer<GetMetadataResponse> {
        let metadata = ConnectorMetadata { display_name: "Source of tests".to_owned() };
        Ok(Response::new(GetMetadataResponse { metadata: Some(metadata) }))
    }

    async fn validate(&self, _request: Request<ValidateRequest>) -> Answer<ValidateResponse> {
        if self.0.token != TOKEN {
            return Err(Status::unauthenticated("the API token is refused"));
        }
        let sdk_version = "test".to_owned();
        Ok(Response::new(ValidateResponse { sdk_version, annotations: Vec::new() }))
    }
}

#[tonic::async_trait]
impl ResourceTypesService for Shared {
    async fn list_resource_types(
        &self,
        request: Request<ListResourceTypesRequest>,
    ) -> Answer<ListResourceTypesResponse> {
        // Two pages.
        let mut list = records::types();
        let rest = list.split_off(2);
        let first = request.get_ref().page_token.is_empty();
        let (list, next) = if first { (list, "rest") } else { (rest, "") };
        Ok(Response::new(ListResourceTypesResponse {
            list,
            next_page_token: next.to_owned(),
            annotations: Vec::new(),
        }))
    }
}

#[tonic::async_trait]
impl ResourcesService for Shared {
    async fn list_resources(
        &self,
        request: Request<ListResourcesRequest>,
    ) -> Answer<ListResourcesResponse> {
        let request = request.into_inner();
        let of = request.resource_type_id.as_str();
        if self.fault() == Fault::Limited && of == "user" && self.count() < 2 {
            return Err(patience(Duration::from_secs(1)));
        }
        let all = |list: Vec<Resource>| ListResourcesResponse {
            list: list.iter().map(records::bytes).collect(),
            ..ListResourcesResponse::default()
        };
        let below = request.parent_resource_id.as_ref();
        let answer = match (of, below) {
            ("user", None) => self.users(&request.page_token)?,
            ("team", None) if self.fault() == Fault::Denied => {
                return Err(Status::permission_denied("the token lacks the scope teams.read"));
            }
            ("team", None) => {
                self.0.sessions.set(&request.active_sync_id, KEPT).await?;
                all((0..self.directory().teams).map(records::team).collect())
            }
            ("role", None) => all(vec![records::role("admin"), records::role("auditor")]),
            ("key", None) => {
                let people = self.directory().people();
                all(people.take_while(|user| *user < baton::KEYS).map(records::key).collect())
            }
            ("project", None) => all(Vec::new()),
            ("project", Some(parent)) if *parent == records::id("team", "0") => {
                all((0..baton::PROJECTS).map(records::project).collect())
            }
            _ => return Err(Status::not_found("no such list")),
        };
        Ok(Response::new(answer))
    }
}

#[tonic::async_trait]
impl EntitlementsService for Shared {
    async fn list_entitlements(
        &self,
        request: Request<ListEntitlementsRequest>,
    ) -> Answer<ListEntitlementsResponse> {
        let (_, team) = team(&request.get_ref().resource)?;
        let list = vec![records::entitlement(&team, "member")];
        Ok(Response::new(ListEntitlementsResponse { list, ..Default::default() }))
    }

    async fn list_static_entitlements(
        &self,
        request: Request<ListStaticEntitlementsRequest>,
    ) -> Answer<ListStaticEntitlementsResponse> {
        let mut list = Vec::new();
        if request.get_ref().resource_type_id == "role" {
            let mut entitlement = records::entitlement(&records::role(""), "assigned");
            entitlement.resource = Bytes::new();
            entitlement.id = String::new();
            entitlement.display_name = "assigned".to_owned();
            list.push(entitlement);
        }
        Ok(Response::new(ListStaticEntitlementsResponse { list, ..Default::default() }))
    }
}

#[tonic::async_trait]
impl GrantsService for Shared {
    async fn list_grants(&self, request: Request<ListGrantsRequest>) -> Answer<ListGrantsResponse> {
        let request = request.into_inner();
        let asked = own(&request.resource)?;
        let mut answer = ListGrantsResponse::default();
        if asked.resource_type == "role" {
            let is_marked =
                request.annotations.iter().any(|it| it.type_url.ends_with("TypeScopedGrants"));
            if !is_marked || asked.resource != "role" {
                return Err(Status::invalid_argument("the grants of roles are listed at once"));
            }
            let all = records::role_grants(self.directory());
            let (first, rest) = all.split_at(all.len() / 2);
            if request.page_token.is_empty() {
                // The rest is on a page of its own, which is named beside the list.
                let more = EnqueuePageTokens { page_tokens: vec!["rest".to_owned()] };
                answer.annotations.push(records::any("EnqueuePageTokens", &more));
                answer.list = first.to_vec();
            } else {
                answer.list = rest.to_vec();
            }
            return Ok(Response::new(answer));
        }
        let (number, team) = team(&request.resource)?;
        self.0.sessions.get(&request.active_sync_id, KEPT).await?;
        match self.fault() {
            Fault::NotFound if number == 7 => return Err(Status::not_found("no team 7")),
            Fault::Crashes if self.count() == 10 => std::process::exit(3),
            Fault::Slow => tokio::time::sleep(Duration::from_millis(500)).await,
            Fault::Hangs => tokio::time::sleep(Duration::from_secs(3_600)).await,
            Fault::LeavesOut if number == 7 => {
                answer.annotations.push(records::mark("SourceCacheReplay"));
                return Ok(Response::new(answer));
            }
            _ => {}
        }
        let members = self.0.members.get(number as usize);
        let members = members.ok_or_else(|| Status::not_found("no such team"))?;
        let all = records::team_grants(&team, number, members);
        let begin = place(&request.page_token)?;
        answer.list = all.iter().skip(begin).take(PAGE).cloned().collect();
        if begin + PAGE < all.len() {
            answer.next_page_token = (begin + PAGE).to_string();
        }
        Ok(Response::new(answer))
    }
}
