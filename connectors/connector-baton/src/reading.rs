//! One reading of a Baton connector from its types to its grants, in the order that Baton's own tool
//! has: connectors fill caches in one phase and use them in the next.
//!
//! Scopes: of each type its resources, its entitlements and its grants. Resources are listed without a
//! parent and below each parent that says it has children of a type, so the scopes of all types stay
//! open until every resource is read.

use std::time::{Duration, Instant};

use cordon_sdk::{Error, Scope, Sync};
use prost_types::Any;

use crate::annotations;
use crate::catalog::{Catalog, Type};
use crate::config::Config;
use crate::doubts::Doubts;
use crate::failure::Failed;
use crate::held::Held;
use crate::ids::bounded;
use crate::link::Link;
use crate::pages::Pages;
use crate::seen::{Keys, Seen};
use crate::wire::v2;

mod entitlements;
mod grants;
mod resources;

/// Bytes of a type in the name of a scope.
const TYPE_BYTES_MAX: usize = 400;
/// Between two reports of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Reports all that the connector has.
pub(crate) async fn report(link: &Link, config: &Config, sync: &Sync) -> Result<(), Error> {
    let catalog = Catalog::read(link, Some(sync)).await?;
    let types = catalog.types.len();
    let mut report = Report {
        link,
        config,
        sync,
        catalog,
        resources: Seen::default(),
        entitlements: Seen::default(),
        grants: Keys::default(),
        held: Held::new(types),
        statics: Vec::new(),
        unread: Vec::new(),
        calls: 0,
        told: Instant::now(),
    };
    report.read_statics().await?;
    report.read_resources().await?;
    report.read_entitlements().await?;
    report.read_grants().await
}

/// What is known while a connector is read.
struct Report<'a> {
    link: &'a Link,
    config: &'a Config,
    sync: &'a Sync,
    catalog: Catalog,
    resources: Seen,
    entitlements: Seen,
    grants: Keys,
    held: Held,
    /// Entitlements that every resource of a type has, by the type's place.
    statics: Vec<Statics>,
    /// Whether not all resources of a type were read, by the type's place.
    unread: Vec<bool>,
    calls: u64,
    told: Instant,
}

/// The entitlements that every resource of one type has.
#[derive(Default)]
struct Statics {
    list: Vec<v2::Entitlement>,
    doubts: Doubts,
}

/// A scope that is written, and why it is not whole.
struct Section {
    scope: Scope,
    doubts: Doubts,
}

impl Section {
    async fn open(sync: &Sync, what: &str, of: &Type) -> Result<Self, Error> {
        let name = format!("{what} of {}", bounded(&of.id, TYPE_BYTES_MAX));
        Ok(Self { scope: sync.scope(&name).await?, doubts: Doubts::default() })
    }

    async fn close(self) -> Result<(), Error> {
        match self.doubts.reason() {
            None => self.scope.complete().await,
            Some(reason) => self.scope.incomplete(reason).await,
        }
    }
}

/// What an answer says beside its list: the pages that follow, or why there is an end to it.
struct Rest<'a> {
    next: &'a str,
    annotations: &'a [Any],
}

impl Report<'_> {
    /// Notes in what is asked of each resource that not every resource could be asked.
    fn doubt_unread(&self, of: usize, doubts: &mut Doubts) {
        if self.unread.get(of).is_some_and(|unread| *unread) {
            doubts.add("not every resource was read that could have been asked");
        }
    }

    /// Counts a call, and tells now and then that work goes on.
    async fn asked(&mut self, phase: &str) -> Result<(), Error> {
        self.calls += 1;
        if self.told.elapsed() >= PROGRESS_EVERY {
            self.told = Instant::now();
            self.sync.progress(self.calls, None, phase).await?;
        }
        Ok(())
    }
}

/// Notes what an answer leaves out, and the pages that follow it; false when the list ends here.
fn follow(pages: &mut Pages, call: &str, rest: &Rest<'_>, doubts: &mut Doubts) -> bool {
    if let Some(left_out) = annotations::left_out(rest.annotations) {
        doubts.add(&format!("{call}: {left_out}"));
    }
    let tokens = annotations::tokens(rest.next, rest.annotations);
    match pages.more(tokens.iter().map(String::as_str)) {
        Ok(()) => true,
        Err(error) => {
            doubts.add(&format!("{call}: {error}"));
            false
        }
    }
}

/// Ends the sync, or notes what was not answered.
fn doubt(failed: Failed, doubts: &mut Doubts) -> Result<(), Error> {
    match failed {
        Failed::Sync(error) => Err(error),
        Failed::Here(told) => {
            doubts.add(&told);
            Ok(())
        }
    }
}

/// What stands for a whole type where a resource is asked for.
fn stub(of: &Type) -> v2::Resource {
    let id = v2::ResourceId { resource_type: of.id.clone(), resource: of.id.clone() };
    v2::Resource { id: Some(id), ..v2::Resource::default() }
}
