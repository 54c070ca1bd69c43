//! The resources of every type, those below a parent included.

use std::collections::{BTreeSet, VecDeque};

use cordon_sdk::Error;
use prost::Message;
use prost::bytes::Bytes;

use super::{Report, Rest, Section, doubt, follow};
use crate::annotations::{all, has};
use crate::catalog::{Catalog, Reading};
use crate::held::Kept;
use crate::ids;
use crate::pages::Pages;
use crate::seen::{Keys, Sight};
use crate::translate;
use crate::wire::v2;

/// Lists of children that wait, at most.
const LISTS_MAX: usize = 2_000_000;

/// One list to be read: a type, and the parent below which it is listed.
struct List {
    of: usize,
    parent: Option<v2::ResourceId>,
}

/// What is open while resources are read.
struct Phase {
    /// By the place of their type.
    sections: Vec<Section>,
    lists: VecDeque<List>,
    /// Types below parents that were put among the lists, so that no circle is walked twice.
    below: Keys,
    /// By the place of their type.
    kin: Vec<Kin>,
}

/// What is known of a type's resources as parents.
#[derive(Debug, Clone, Default)]
struct Kin {
    /// Whether one was read at all.
    is_read: bool,
    /// Types that one says are below it.
    below: BTreeSet<usize>,
}

impl Report<'_> {
    pub(super) async fn read_resources(&mut self) -> Result<(), Error> {
        let types = 0..self.catalog.types.len();
        let lists = types.map(|of| List { of, parent: None }).collect();
        let (sections, below) = (Vec::new(), Keys::default());
        let mut phase = Phase { sections, lists, below, kin: Vec::new() };
        for of in &self.catalog.types {
            phase.sections.push(Section::open(self.sync, "resources", of).await?);
        }
        phase.kin = vec![Kin::default(); phase.sections.len()];
        while let Some(list) = phase.lists.pop_front() {
            self.read_list(&list, &mut phase).await?;
        }
        phase.spread(&self.catalog);
        self.unread = phase.sections.iter().map(|it| it.doubts.reason().is_some()).collect();
        for section in phase.sections {
            section.close().await?;
        }
        Ok(())
    }

    async fn read_list(&mut self, list: &List, phase: &mut Phase) -> Result<(), Error> {
        let of = self.catalog.types.get(list.of).map(|of| of.id.clone()).unwrap_or_default();
        let mut call = format!("ListResources of {of}");
        if let Some(parent) = &list.parent {
            call = format!("{call} in {}/{}", parent.resource_type, parent.resource);
        }
        let mut pages = Pages::new();
        while let Some(page_token) = pages.next() {
            self.asked("resources").await?;
            let request = v2::ListResourcesRequest {
                resource_type_id: of.clone(),
                parent_resource_id: list.parent.clone(),
                page_size: 0,
                page_token,
                active_sync_id: self.link.sync_id.clone(),
            };
            let answer = self.link.list_resources(&call, Some(self.sync), request).await;
            let answer = match answer {
                Ok(answer) => answer,
                Err((failed, _)) => return doubt(failed, phase.doubts(list.of)),
            };
            for resource in &answer.list {
                self.take_resource(list.of, &call, resource, phase).await?;
            }
            let rest = Rest { next: &answer.next_page_token, annotations: &answer.annotations };
            if !follow(&mut pages, &call, &rest, phase.doubts(list.of)) {
                break;
            }
        }
        Ok(())
    }

    /// Reports a resource, keeps it for what is asked about it, and queues what is below it.
    async fn take_resource(
        &mut self,
        listed: usize,
        call: &str,
        bytes: &Bytes,
        phase: &mut Phase,
    ) -> Result<(), Error> {
        let Ok(resource) = v2::Resource::decode(bytes.clone()) else {
            phase.doubts(listed).add(&format!("{call}: a resource that cannot be read"));
            return Ok(());
        };
        let own = resource.id.clone().unwrap_or_default();
        let (Some(id), Some(of)) = (ids::of_resource(&own), self.catalog.place(&own.resource_type))
        else {
            let fault =
                format!("{call}: a resource without an id, or of a type that is not listed");
            phase.doubts(listed).add(&fault);
            return Ok(());
        };
        let Some(type_of) = self.catalog.types.get(of) else { return Ok(()) };
        let kind = type_of.kind;
        let facts = translate::resource(self.config, &self.catalog, kind, &resource);
        match self.resources.look(&[kind.record_type(), &id], &facts.content()) {
            Sight::New => {
                let both = has(&resource.annotations, "SkipEntitlementsAndGrants");
                let asked = |reading: Reading, skip: &str| {
                    reading == Reading::Each && !both && !has(&resource.annotations, skip)
                };
                let entitlements = asked(type_of.entitlements, "SkipEntitlements");
                let grants = asked(type_of.grants, "SkipGrants");
                let statics = self.statics.get(of).is_some_and(|it| !it.list.is_empty());
                if entitlements || grants || statics {
                    let resource = bytes.clone();
                    self.held.keep(of, Kept { entitlements, grants, resource })?;
                }
                if let Some(section) = phase.sections.get_mut(of) {
                    section.scope.push(facts.resource(kind, id)).await?;
                }
            }
            Sight::Again => {}
            Sight::Otherwise => {
                let fault = format!("{call}: {id} was listed twice, and differently");
                phase.doubts(of).add(&fault);
            }
        }
        if let Some(kin) = phase.kin.get_mut(of) {
            kin.is_read = true;
        }
        self.queue_children(of, &own, &resource, phase)
    }

    fn queue_children(
        &self,
        parent: usize,
        own: &v2::ResourceId,
        resource: &v2::Resource,
        phase: &mut Phase,
    ) -> Result<(), Error> {
        for child in all::<v2::ChildResourceType>(&resource.annotations, "ChildResourceType") {
            let child = child.resource_type_id;
            let Some(of) = self.catalog.place(&child) else {
                let fault = format!("{child}, a type below {}, is not listed", own.resource_type);
                phase.doubts(parent).add(&fault);
                continue;
            };
            if let Some(kin) = phase.kin.get_mut(parent) {
                kin.below.insert(of);
            }
            let key = [child.as_str(), &own.resource_type, &own.resource];
            if phase.below.is_first(&key) {
                phase.lists.push_back(List { of, parent: Some(own.clone()) });
            }
            if phase.lists.len() > LISTS_MAX {
                let message = format!("more than {LISTS_MAX} lists of children wait");
                return Err(Error::incomplete(message));
            }
        }
        Ok(())
    }
}

impl Phase {
    /// Carries doubts down: below a parent that was not read there may be resources that are listed
    /// nowhere else. Of a type that was read in part it is known what is below; of one that was not
    /// read at all it is not, and then no other type is known to be whole.
    fn spread(&mut self, catalog: &Catalog) {
        let doubted = self.sections.iter().map(|section| section.doubts.reason().is_some());
        let mut reached: Vec<bool> = doubted.collect();
        let mut waiting: Vec<usize> = (0..reached.len()).filter(|of| reached[*of]).collect();
        while let Some(of) = waiting.pop() {
            let Some(kin) = self.kin.get(of) else { continue };
            let all = 0..reached.len();
            let below: Vec<usize> =
                if kin.is_read { kin.below.iter().copied().collect() } else { all.collect() };
            let parent = catalog.types.get(of).map_or("", |of| of.id.as_str());
            for child in below.into_iter().filter(|child| *child != of) {
                if !std::mem::replace(&mut reached[child], true) {
                    let fault =
                        format!("not every {parent} was read, and some may be below one of them");
                    self.doubts(child).add(&fault);
                    waiting.push(child);
                }
            }
        }
    }

    fn doubts(&mut self, of: usize) -> &mut crate::doubts::Doubts {
        // Every type has its section.
        &mut self.sections[of].doubts
    }
}
