//! Entitlements: of each resource, of a whole type, and those that every resource of a type has.

use cordon_sdk::Error;
use prost::Message;
use prost::bytes::Bytes;
use prost_types::Any;
use tonic::Code;

use super::{Report, Rest, Section, Statics, doubt, follow, stub};
use crate::annotations::empty;
use crate::catalog::{Kind, Reading};
use crate::ids;
use crate::pages::Pages;
use crate::seen::Sight;
use crate::translate;
use crate::wire::v2;

impl Report<'_> {
    /// Asks for what every resource of a type has. They say nothing of single resources, so they are
    /// asked for before, and it is known which resources are needed for them.
    pub(super) async fn read_statics(&mut self) -> Result<(), Error> {
        for of in 0..self.catalog.types.len() {
            let statics = self.statics_of(of).await?;
            self.statics.push(statics);
        }
        Ok(())
    }

    async fn statics_of(&mut self, of: usize) -> Result<Statics, Error> {
        let mut statics = Statics::default();
        let of = self.catalog.types.get(of).map(|of| of.id.clone()).unwrap_or_default();
        let call = format!("ListStaticEntitlements of {of}");
        let mut pages = Pages::new();
        while let Some(page_token) = pages.next() {
            self.asked("entitlements of types").await?;
            let request = v2::ListStaticEntitlementsRequest {
                resource_type_id: of.clone(),
                page_size: 0,
                page_token,
                active_sync_id: self.link.sync_id.clone(),
            };
            match self.link.list_static_entitlements(&call, Some(self.sync), request).await {
                Ok(answer) => {
                    statics.list.extend(answer.list);
                    let (next, annotations) = (&answer.next_page_token, &answer.annotations);
                    let rest = Rest { next, annotations };
                    if !follow(&mut pages, &call, &rest, &mut statics.doubts) {
                        break;
                    }
                }
                // An older connector, which has none.
                Err((_, Some(Code::Unimplemented))) => break,
                Err((failed, _)) => {
                    doubt(failed, &mut statics.doubts)?;
                    break;
                }
            }
        }
        Ok(statics)
    }

    pub(super) async fn read_entitlements(&mut self) -> Result<(), Error> {
        let statics = std::mem::take(&mut self.statics);
        for (of, statics) in statics.into_iter().enumerate() {
            let Some(type_of) = self.catalog.types.get(of) else { continue };
            let reading = type_of.entitlements;
            let has_statics = !statics.list.is_empty() || statics.doubts.reason().is_some();
            if reading == Reading::Not && !has_statics {
                continue;
            }
            let (id, whole) = (type_of.id.clone(), stub(type_of).encode_to_vec());
            let mut section = Section::open(self.sync, "entitlements", type_of).await?;
            section.doubts = statics.doubts;
            if reading == Reading::Each || !statics.list.is_empty() {
                self.doubt_unread(of, &mut section.doubts);
            }
            if reading == Reading::Whole {
                let marker = vec![empty("TypeScopedEntitlements")];
                self.entitlements_of(&id, whole.into(), marker, &mut section).await?;
            }
            for index in 0..self.held.len(of) {
                let Some(kept) = self.held.get(of, index) else { continue };
                if !kept.entitlements && statics.list.is_empty() {
                    continue;
                }
                let resource = v2::Resource::decode(kept.resource.clone()).unwrap_or_default();
                let name = resource.id.as_ref().and_then(ids::of_resource).unwrap_or_default();
                for entitlement in &statics.list {
                    let own = made_static(entitlement, &resource, &kept.resource);
                    self.take_entitlement(&name, &own, &mut section).await?;
                }
                if kept.entitlements {
                    self.entitlements_of(&name, kept.resource, Vec::new(), &mut section).await?;
                }
            }
            section.close().await?;
        }
        Ok(())
    }

    async fn entitlements_of(
        &mut self,
        name: &str,
        resource: Bytes,
        annotations: Vec<Any>,
        section: &mut Section,
    ) -> Result<(), Error> {
        let call = format!("ListEntitlements of {name}");
        let mut pages = Pages::new();
        while let Some(page_token) = pages.next() {
            self.asked("entitlements").await?;
            let request = v2::ListEntitlementsRequest {
                resource: resource.clone(),
                page_size: 0,
                page_token,
                annotations: annotations.clone(),
                active_sync_id: self.link.sync_id.clone(),
            };
            let answer = self.link.list_entitlements(&call, Some(self.sync), request).await;
            let answer = match answer {
                Ok(answer) => answer,
                Err((failed, _)) => return doubt(failed, &mut section.doubts),
            };
            for entitlement in &answer.list {
                self.take_entitlement(name, entitlement, section).await?;
            }
            let rest = Rest { next: &answer.next_page_token, annotations: &answer.annotations };
            if !follow(&mut pages, &call, &rest, &mut section.doubts) {
                break;
            }
        }
        Ok(())
    }

    async fn take_entitlement(
        &mut self,
        name: &str,
        entitlement: &v2::Entitlement,
        section: &mut Section,
    ) -> Result<(), Error> {
        let resource = v2::Principal::decode(entitlement.resource.clone()).unwrap_or_default();
        let resource = resource.id.unwrap_or_default();
        let (Some(id), Some(on)) =
            (ids::of_entitlement(&entitlement.id), ids::of_resource(&resource))
        else {
            let fault = format!("{name}: an entitlement without an id, or on no resource");
            section.doubts.add(&fault);
            return Ok(());
        };
        let kind: Kind = self.catalog.kind(&resource.resource_type);
        let facts = translate::entitlement(entitlement);
        let mut content = facts.content();
        content.extend(on.as_bytes());
        match self.entitlements.look(&[&id], &content) {
            Sight::New => section.scope.push(facts.entitlement(id, kind, on)).await?,
            Sight::Again => {}
            Sight::Otherwise => {
                section.doubts.add(&format!("{name}: {id} was listed twice, and differently"));
            }
        }
        Ok(())
    }
}

/// The entitlement of one resource that every resource of its type has.
fn made_static(of: &v2::Entitlement, resource: &v2::Resource, bytes: &Bytes) -> v2::Entitlement {
    let id = resource.id.clone().unwrap_or_default();
    v2::Entitlement {
        resource: bytes.clone(),
        id: format!("{}:{}:{}", id.resource_type, id.resource, of.slug),
        ..of.clone()
    }
}
