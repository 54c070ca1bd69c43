//! The connector: a Baton connector that is started, read and ended, for each order anew.
//!
//! One at a time: two would ask the same source at once, and what a child leaves behind is told from
//! others by who was there when it was started.

use std::time::Instant;

use cordon_sdk::{Connector, Description, Error, Presence, RecordKey, Sync};
use tokio::sync::Mutex;

use crate::catalog::Catalog;
use crate::config::Config;
use crate::link::Link;
use crate::wire::v2::{GetMetadataRequest, ListResourcesRequest, ValidateResponse};
use crate::{reading, translate, tree};

/// Types whose first page a check reads.
const CHECKED_TYPES: usize = 20;

/// Runs a Baton connector.
pub(crate) struct Bridge {
    config: Config,
    turn: Mutex<()>,
}

impl Connector for Bridge {
    type Config = Config;

    fn describe() -> Description {
        translate::describe()
    }

    async fn open(config: Config) -> Result<Self, Error> {
        config.check()?;
        tree::adopt_orphans();
        Ok(Self { config, turn: Mutex::new(()) })
    }

    async fn check(&self) -> Result<Vec<String>, Error> {
        let _turn = self.turn.lock().await;
        let (link, valid) = Link::start(&self.config).await?;
        let notes = notes(&link, &valid).await;
        link.end().await;
        notes
    }

    async fn sync(&self, sync: &mut Sync) -> Result<(), Error> {
        let sync = &*sync;
        let _turn = self.turn.lock().await;
        let (link, _) = tokio::select! {
            started = Link::start(&self.config) => started?,
            () = sync.cancelled() => return Err(Error::Cancelled),
        };
        let begun = Instant::now();
        let read = tokio::select! {
            read = reading::report(&link, &self.config, sync) => read,
            () = sync.cancelled() => Err(Error::Cancelled),
        };
        let (calls, waited) = link.waited();
        let (took_ms, waited_ms) = (begun.elapsed().as_millis(), waited.as_millis());
        tracing::info!(calls, took_ms, waited_ms, "the Baton connector was read");
        link.end().await;
        read
    }

    async fn lookup(&self, keys: &[RecordKey]) -> Result<Vec<Presence>, Error> {
        cordon_sdk::look_up_by_reading(self, keys).await
    }
}

/// What a check tells: which connector, and what its credentials may list.
async fn notes(link: &Link, valid: &ValidateResponse) -> Result<Vec<String>, Error> {
    let metadata = link.get_metadata("GetMetadata", None, GetMetadataRequest {}).await;
    let name = metadata.ok().and_then(|answer| answer.metadata).unwrap_or_default().display_name;
    let name = if name.is_empty() { "a Baton connector without a name" } else { &name };
    let sdk = match valid.sdk_version.as_str() {
        "" => String::new(),
        version => format!(", SDK {version}"),
    };
    let mut notes = vec![format!("{name}{sdk}, program SHA-256 {}", link.digest)];
    let catalog = Catalog::read(link, None).await?;
    for of in catalog.types.iter().take(CHECKED_TYPES) {
        let request = ListResourcesRequest {
            resource_type_id: of.id.clone(),
            active_sync_id: link.sync_id.clone(),
            ..ListResourcesRequest::default()
        };
        let call = format!("ListResources of {}", of.id);
        let found = match link.list_resources(&call, None, request).await {
            Ok(answer) if answer.next_page_token.is_empty() => answer.list.len().to_string(),
            Ok(answer) => format!("{} on the first page of more", answer.list.len()),
            Err((crate::failure::Failed::Sync(error), _)) => return Err(error),
            Err((crate::failure::Failed::Here(told), _)) => format!("cannot be listed: {told}"),
        };
        notes.push(format!("{} ({}): {found}", of.id, of.kind.record_type()));
    }
    if let Some(more) = catalog.types.len().checked_sub(CHECKED_TYPES).filter(|more| *more > 0) {
        notes.push(format!("and {more} more types"));
    }
    Ok(notes)
}
