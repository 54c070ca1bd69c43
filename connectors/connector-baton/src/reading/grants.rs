//! Grants: of each resource, or of a whole type.

use cordon_sdk::Error;
use prost::Message;
use prost::bytes::Bytes;
use prost_types::Any;

use super::{Report, Rest, Section, doubt, follow, stub};
use crate::annotations::{empty, has};
use crate::catalog::{Kind, Reading};
use crate::ids;
use crate::pages::Pages;
use crate::seen::Sight;
use crate::translate;
use crate::wire::v2;

impl Report<'_> {
    pub(super) async fn read_grants(&mut self) -> Result<(), Error> {
        for of in 0..self.catalog.types.len() {
            let Some(type_of) = self.catalog.types.get(of) else { continue };
            let reading = type_of.grants;
            if reading == Reading::Not {
                continue;
            }
            let (id, whole) = (type_of.id.clone(), stub(type_of).encode_to_vec());
            let mut section = Section::open(self.sync, "grants", type_of).await?;
            if reading == Reading::Each {
                self.doubt_unread(of, &mut section.doubts);
            }
            if reading == Reading::Whole {
                let marker = vec![empty("TypeScopedGrants")];
                self.grants_of(&id, whole.into(), marker, &mut section).await?;
            }
            for index in 0..self.held.len(of) {
                let Some(kept) = self.held.get(of, index).filter(|kept| kept.grants) else {
                    continue;
                };
                let resource = v2::Principal::decode(kept.resource.clone()).unwrap_or_default();
                let name = resource.id.as_ref().and_then(ids::of_resource).unwrap_or_default();
                self.grants_of(&name, kept.resource, Vec::new(), &mut section).await?;
            }
            section.close().await?;
        }
        Ok(())
    }

    async fn grants_of(
        &mut self,
        name: &str,
        resource: Bytes,
        annotations: Vec<Any>,
        section: &mut Section,
    ) -> Result<(), Error> {
        let call = format!("ListGrants of {name}");
        let mut pages = Pages::new();
        while let Some(page_token) = pages.next() {
            self.asked("grants").await?;
            let request = v2::ListGrantsRequest {
                resource: resource.clone(),
                page_size: 0,
                page_token,
                annotations: annotations.clone(),
                active_sync_id: self.link.sync_id.clone(),
            };
            let answer = self.link.list_grants(&call, Some(self.sync), request).await;
            let answer = match answer {
                Ok(answer) => answer,
                Err((failed, _)) => return doubt(failed, &mut section.doubts),
            };
            let brings_resources = has(&answer.annotations, "InsertResourceGrants");
            for grant in &answer.list {
                let brings = brings_resources || has(&grant.annotations, "InsertResourceGrants");
                if brings && let Some(entitlement) = &grant.entitlement {
                    self.bring(name, &entitlement.resource, section).await?;
                }
                self.take_grant(name, grant, section).await?;
            }
            let rest = Rest { next: &answer.next_page_token, annotations: &answer.annotations };
            if !follow(&mut pages, &call, &rest, &mut section.doubts) {
                break;
            }
        }
        Ok(())
    }

    async fn take_grant(
        &mut self,
        name: &str,
        grant: &v2::Grant,
        section: &mut Section,
    ) -> Result<(), Error> {
        let held = match translate::grant(&self.catalog, grant) {
            Ok(held) => held,
            Err(fault) => {
                section.doubts.add(&format!("{name}: {fault}"));
                return Ok(());
            }
        };
        let external = Kind::External.record_type();
        if held.kind == Kind::External
            && self.resources.look(&[external, &held.principal], b"") == Sight::New
        {
            section.scope.push(translate::external(&held.principal)).await?;
        }
        // A source may tell in several ways why somebody holds something; it is held once.
        let key = [held.kind.record_type(), &held.principal, &held.entitlement];
        if self.grants.is_first(&key) {
            section.scope.push(held.record()).await?;
        }
        Ok(())
    }

    /// Reports a resource that only a grant tells of.
    async fn bring(
        &mut self,
        name: &str,
        bytes: &Bytes,
        section: &mut Section,
    ) -> Result<(), Error> {
        let resource = v2::Resource::decode(bytes.clone()).unwrap_or_default();
        let own = resource.id.clone().unwrap_or_default();
        let Some(id) = ids::of_resource(&own) else {
            section.doubts.add(&format!("{name}: a grant brings a resource without an id"));
            return Ok(());
        };
        // One of a type that is not listed is none that this connector reports.
        if self.catalog.place(&own.resource_type).is_none() {
            return Ok(());
        }
        let kind = self.catalog.kind(&own.resource_type);
        if self.resources.knows(&[kind.record_type(), &id]) {
            return Ok(());
        }
        let facts = translate::resource(self.config, &self.catalog, kind, &resource);
        self.resources.look(&[kind.record_type(), &id], &facts.content());
        section.scope.push(facts.resource(kind, id)).await
    }
}
