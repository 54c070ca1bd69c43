//! Reads one collection of the service, page by page, to an end that is shown.
//!
//! A collection that moved while it was read is read again. What came before is not taken back: each
//! resource was there a moment ago, and one that has gone since is gone in the next sync. What counts
//! is that a whole pass stood still; then all that is missing from what was reported is missing there.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use cordon_sdk::{Error, Sync, Timestamp, Watermark};
use reqwest::Url;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{AskError, Client, Patience};
use crate::config::WatermarkFrom;
use crate::paging::{Moved, Page, Paging};

/// How often a collection is read that moves.
const PASSES_MAX: u32 = 3;
/// Bytes of an id, at most; what a member's entitlement adds to it stays below the gate's bound.
pub(crate) const ID_BYTES_MAX: usize = 900;
/// Resources of a collection, at most: what is remembered of each is 40 bytes.
const RESOURCES_MAX: usize = 4_000_000;
/// Causes that a reason spells out; the others are counted.
const CAUSES_SHOWN_MAX: usize = 3;

/// A list as SCIM answers it. Names are taken as written by some services, too.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List<'a> {
    #[serde(default, alias = "totalresults")]
    pub(crate) total_results: Option<u64>,
    #[serde(default, alias = "startindex")]
    pub(crate) start_index: Option<u64>,
    #[serde(default, alias = "nextcursor")]
    pub(crate) next_cursor: Option<String>,
    #[serde(borrow, default, rename = "Resources", alias = "resources")]
    pub(crate) resources: Option<Vec<&'a RawValue>>,
}

/// What every resource says of itself.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    id: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    last_modified: Option<String>,
}

/// A resource that was not seen before.
pub(crate) struct Fresh {
    pub(crate) id: String,
    pub(crate) json: Box<RawValue>,
}

/// How a collection came to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending {
    /// Why it is not whole; none when it is.
    pub(crate) reason: Option<String>,
    /// What the service counts.
    pub(crate) total: Option<u64>,
    pub(crate) watermark: Watermark,
    /// Whether anything was answered at all.
    pub(crate) is_answered: bool,
    /// Whether that is so because nothing may be read.
    pub(crate) is_denied: bool,
}

impl Ending {
    /// The error of a sync that was answered nowhere, if it was not answered here.
    pub(crate) fn refused(&self) -> Option<Error> {
        let reason = self.reason.as_ref().filter(|_| !self.is_answered)?;
        let message = format!("{reason}; what was reported before still holds");
        Some(if self.is_denied { Error::auth(message) } else { Error::unavailable(message) })
    }
}

/// A collection that is being read.
pub(crate) struct Collection<'a> {
    client: &'a Client,
    sync: &'a Sync,
    /// What it is called, for people.
    name: &'a str,
    url: Url,
    paging: Paging,
    pass: u32,
    /// In which pass each resource was seen last.
    seen: HashMap<u64, u32>,
    hasher: RandomState,
    moved: Option<Moved>,
    causes: Vec<String>,
    causes_count: u64,
    watermark: WatermarkFrom,
    as_of: Option<Timestamp>,
    newest: Option<Timestamp>,
    is_answered: bool,
    is_denied: bool,
    is_done: bool,
}

impl<'a> Collection<'a> {
    pub(crate) fn new(
        client: &'a Client,
        sync: &'a Sync,
        name: &'a str,
        url: Url,
        paging: Paging,
        watermark: WatermarkFrom,
    ) -> Self {
        Self {
            client,
            sync,
            name,
            url,
            paging,
            pass: 1,
            seen: HashMap::new(),
            hasher: RandomState::new(),
            moved: None,
            causes: vec![],
            causes_count: 0,
            watermark,
            as_of: None,
            newest: None,
            is_answered: false,
            is_denied: false,
            is_done: false,
        }
    }

    /// The next lot of resources; none at the end. Only what ends the whole sync is an error.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Fresh>>, Error> {
        if self.is_done {
            return Ok(None);
        }
        let mut url = self.url.clone();
        url.query_pairs_mut().extend_pairs(self.paging.query());
        let answer = match self.client.get(&url, None, Patience::Sync(self.sync)).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return Ok(Some(self.stop("it answers 304 to a question without a tag"))),
            Err(AskError::TooLarge(_)) if self.paging.shrink() => return Ok(Some(vec![])),
            Err(AskError::Refused { scim_type: Some(kind), .. })
                if self.paging.read() > 0
                    && matches!(&*kind, "expiredCursor" | "invalidCursor") =>
            {
                return Ok(Some(self.moved(Moved::CursorExpired)));
            }
            Err(error) if error.ends_all() => return Err(error.into_error(self.name)),
            Err(error) => {
                self.is_denied = matches!(error, AskError::Denied { .. });
                return Ok(Some(self.stop(error.to_string())));
            }
        };
        self.is_answered = true;
        if self.pass_begins() {
            self.as_of = answer.as_of;
        }
        let fresh = self.take(&answer.body);
        self.sync.progress(self.seen.len() as u64, self.paging.total(), self.name).await?;
        Ok(Some(fresh))
    }

    fn pass_begins(&self) -> bool {
        self.paging.read() == 0
    }

    fn take(&mut self, body: &[u8]) -> Vec<Fresh> {
        let list: List<'_> = match serde_json::from_slice(body) {
            Ok(list) => list,
            Err(error) => return self.stop(format!("the answer is no list of SCIM: {error}")),
        };
        let resources = list.resources.unwrap_or_default();
        let heads: Vec<Option<Head<'_>>> =
            resources.iter().map(|json| serde_json::from_str(json.get()).ok()).collect();
        let id_of = |head: &Option<Head<'_>>| head.as_ref()?.id.as_deref().map(str::to_owned);
        let (first, last) = (heads.first().and_then(id_of), heads.last().and_then(id_of));
        let taken = self.paging.take(Page {
            total: list.total_results,
            start_index: list.start_index,
            next_cursor: list.next_cursor.as_deref(),
            resources: resources.len() as u64,
            first: first.as_deref(),
            last: last.as_deref(),
        });
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) => return self.stop(error.to_string()),
        };
        let mut moved = taken.moved;
        let mut fresh = Vec::with_capacity(resources.len());
        let mut is_new_to_pass = false;
        for (json, head) in resources.iter().zip(heads).skip(taken.repeated) {
            let Some(head) = head else {
                self.fault("a resource is no object with an id as text");
                continue;
            };
            let Some(id) = head.id.filter(|id| is_id(id)) else {
                self.fault("a resource has no id, or one with control characters or too long");
                continue;
            };
            match self.seen.insert(self.hasher.hash_one(&*id), self.pass) {
                Some(pass) if pass == self.pass => {
                    moved = moved.or(Some(Moved::Twice { id: id.into_owned() }));
                    continue;
                }
                Some(_) => {
                    is_new_to_pass = true;
                    continue;
                }
                None => is_new_to_pass = true,
            }
            let modified = head.meta.and_then(|meta| meta.last_modified?.parse().ok());
            self.newest = self.newest.max(modified);
            fresh.push(Fresh { id: id.into_owned(), json: (*json).to_owned() });
        }
        self.is_done = taken.is_last;
        if let Some(moved) = moved {
            // What is left of a pass proves nothing; only the last one still tells what it can, as
            // long as that is something new.
            self.is_done |= !is_new_to_pass;
            if self.pass < PASSES_MAX {
                self.moved(moved);
            } else {
                self.moved.get_or_insert(moved);
            }
        }
        if self.seen.len() > RESOURCES_MAX {
            self.stop(format!("there are more than {RESOURCES_MAX}"));
        }
        fresh
    }

    fn moved(&mut self, moved: Moved) -> Vec<Fresh> {
        if self.pass < PASSES_MAX {
            tracing::info!(collection = self.name, "it is read again: {moved}");
            self.pass += 1;
            self.paging = self.paging.again();
            self.is_done = false;
        } else {
            self.moved.get_or_insert(moved);
            self.is_done = true;
        }
        vec![]
    }

    fn stop(&mut self, cause: impl Into<String>) -> Vec<Fresh> {
        self.fault(cause);
        self.is_done = true;
        vec![]
    }

    /// Notes what keeps the collection from being whole.
    pub(crate) fn fault(&mut self, cause: impl Into<String>) {
        self.causes_count += 1;
        if self.causes.len() < CAUSES_SHOWN_MAX {
            self.causes.push(cause.into());
        }
    }

    /// Whether this is among what was read.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.seen.contains_key(&self.hasher.hash_one(id))
    }

    /// How it ended, after the last lot.
    pub(crate) fn ending(&self) -> Ending {
        let mut causes = self.causes.clone();
        if let Some(moved) = &self.moved {
            causes.push(format!("it changed while it was read, {PASSES_MAX} times: {moved}"));
        }
        let left = self.causes_count - self.causes.len() as u64;
        let more = if left > 0 { format!("; and {left} more") } else { String::new() };
        let reason =
            (!causes.is_empty()).then(|| format!("{}: {}{more}", self.name, causes.join("; ")));
        // What was there in an earlier pass and is gone by now is reported, and counted by nobody.
        let is_counted = self.seen.values().all(|pass| *pass == self.pass) || reason.is_some();
        let time = match self.watermark {
            WatermarkFrom::Answered => self.as_of,
            WatermarkFrom::LastModified => self.newest,
            WatermarkFrom::None => None,
        };
        Ending {
            reason,
            total: self.paging.total().filter(|_| is_counted),
            watermark: Watermark { time, token: None },
            is_answered: self.is_answered,
            is_denied: self.is_denied,
        }
    }
}

/// Whether a text can be the id of a record.
pub(crate) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.chars().any(char::is_control)
}
