//! Which page comes next, and whether the pages so far are the whole.
//!
//! Two ways: by index (`startIndex` and `count`, RFC 7644) and by cursor (RFC 9865). An index counts
//! from the front, so a resource that is deleted there while the rest is read moves another one over
//! the edge of a page, unseen and with totals that agree. Therefore a page begins with the last
//! resource of the page before: where another one stands there, the collection has moved.
//!
//! Pure on purpose: no requests here, so that every turn of a service can be tried.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// Bytes of a cursor, at most.
const CURSOR_BYTES_MAX: usize = 8 * 1024;
/// Pages without a resource in a row, at most.
const EMPTY_PAGES_MAX: u32 = 20;

/// How pages are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Index {
        /// Whether a page begins with the last resource of the page before.
        overlap: bool,
    },
    Cursor,
}

/// What a page says of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Page<'a> {
    pub(crate) total: Option<u64>,
    pub(crate) start_index: Option<u64>,
    pub(crate) next_cursor: Option<&'a str>,
    pub(crate) resources: u64,
    pub(crate) first: Option<&'a str>,
    pub(crate) last: Option<&'a str>,
}

/// What came of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Resources at its beginning that the page before had already.
    pub(crate) repeated: usize,
    /// What shows that the collection changed while it was read.
    pub(crate) moved: Option<Moved>,
    pub(crate) is_last: bool,
}

/// What shows that a collection changed while it was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Moved {
    #[error("the service counted {before} at first and {now} later")]
    Total { before: u64, now: u64 },
    #[error("the resource before page {page} is no longer where it was")]
    Shifted { page: u64 },
    #[error("more came than the {total} that the service counts")]
    More { total: u64 },
    #[error("{id} came twice")]
    Twice { id: String },
    #[error("the service no longer knows its cursor")]
    CursorExpired,
}

/// Why pages cannot be read to their end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PagingError {
    #[error("the pages end after {read} of {total} that the service counts")]
    EndedEarly { read: u64, total: u64 },
    #[error("the service does not say how many there are")]
    NoTotal,
    #[error("index {asked} was asked for, {answered} was answered")]
    OtherIndex { asked: u64, answered: u64 },
    #[error("the service gave the same cursor twice, so its pages never end")]
    CursorRepeats,
    #[error("the next cursor is an address or no cursor at all; no other place is asked")]
    CursorRefused,
    #[error("{EMPTY_PAGES_MAX} pages in a row were empty")]
    EmptyPages,
}

/// One pass through the pages of a collection.
#[derive(Debug)]
pub(crate) struct Paging {
    method: Method,
    count: u64,
    pages: u64,
    read: u64,
    total: Option<u64>,
    last: Option<String>,
    cursor: Option<String>,
    cursors: HashSet<u64>,
    hasher: RandomState,
    empty: u32,
}

impl Paging {
    pub(crate) fn new(method: Method, count: u64) -> Self {
        Self {
            method,
            count,
            pages: 0,
            read: 0,
            total: None,
            last: None,
            cursor: None,
            cursors: HashSet::new(),
            hasher: RandomState::new(),
            empty: 0,
        }
    }

    /// The same collection from its beginning.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.method, self.count)
    }

    /// What the service counts.
    pub(crate) fn total(&self) -> Option<u64> {
        self.total
    }

    /// What was read in this pass.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    /// Asks for smaller pages from here on; false when that cannot be.
    pub(crate) fn shrink(&mut self) -> bool {
        // A cursor belongs to the count that it was made for.
        let can = matches!(self.method, Method::Index { .. }) && self.count > 2;
        if can {
            self.count = (self.count / 2).max(2);
        }
        can
    }

    /// What to ask for next.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let place = match self.method {
            Method::Index { .. } => ("startIndex", self.start_index().to_string()),
            Method::Cursor => ("cursor", self.cursor.clone().unwrap_or_default()),
        };
        vec![place, ("count", self.count.to_string())]
    }

    fn overlaps(&self) -> bool {
        self.method == Method::Index { overlap: true } && self.read > 0
    }

    fn start_index(&self) -> u64 {
        if self.overlaps() { self.read } else { self.read + 1 }
    }

    /// Takes the page that was asked for.
    pub(crate) fn take(&mut self, page: Page<'_>) -> Result<Taken, PagingError> {
        self.pages += 1;
        let mut moved = None;
        match (self.total, page.total) {
            (Some(before), Some(now)) if before != now => {
                moved = Some(Moved::Total { before, now });
            }
            (None, Some(_)) => self.total = page.total,
            _ => {}
        }
        let taken = match self.method {
            Method::Index { .. } => self.take_index(page, moved),
            Method::Cursor => self.take_cursor(page, moved),
        }?;
        if let Some(last) = page.last {
            self.last = Some(last.to_owned());
        }
        Ok(taken)
    }

    fn take_index(
        &mut self,
        page: Page<'_>,
        mut moved: Option<Moved>,
    ) -> Result<Taken, PagingError> {
        let asked = self.start_index();
        if let Some(answered) = page.start_index.filter(|at| *at != asked && page.resources > 0) {
            return Err(PagingError::OtherIndex { asked, answered });
        }
        let total = page.total.ok_or(PagingError::NoTotal)?;
        let mut repeated = 0;
        if self.overlaps() {
            if page.first.is_some() && page.first == self.last.as_deref() {
                repeated = 1;
            } else {
                moved = moved.or(Some(Moved::Shifted { page: self.pages }));
            }
        }
        let fresh = page.resources - repeated.min(page.resources);
        self.read += fresh;
        if self.read > total {
            moved = moved.or(Some(Moved::More { total }));
        }
        let is_last = self.read >= total;
        if !is_last && fresh == 0 && moved.is_none() {
            return Err(PagingError::EndedEarly { read: self.read, total });
        }
        let repeated = usize::try_from(repeated).unwrap_or(0);
        Ok(Taken { repeated, moved, is_last: is_last || fresh == 0 })
    }

    fn take_cursor(
        &mut self,
        page: Page<'_>,
        mut moved: Option<Moved>,
    ) -> Result<Taken, PagingError> {
        self.read += page.resources;
        self.empty = if page.resources == 0 { self.empty + 1 } else { 0 };
        let next = page.next_cursor.filter(|cursor| !cursor.is_empty());
        if let Some(cursor) = next {
            if !is_cursor(cursor) {
                return Err(PagingError::CursorRefused);
            }
            if !self.cursors.insert(self.hasher.hash_one(cursor)) {
                return Err(PagingError::CursorRepeats);
            }
            if self.empty > EMPTY_PAGES_MAX {
                return Err(PagingError::EmptyPages);
            }
        }
        self.cursor = next.map(str::to_owned);
        let total = page.total.or(self.total);
        if let Some(total) = total {
            if self.read > total {
                moved = moved.or(Some(Moved::More { total }));
            }
            if next.is_none() && self.read < total && moved.is_none() {
                return Err(PagingError::EndedEarly { read: self.read, total });
            }
        }
        Ok(Taken { repeated: 0, moved, is_last: next.is_none() })
    }
}

/// A cursor means something to the service alone; an address means something to others.
fn is_cursor(text: &str) -> bool {
    text.len() <= CURSOR_BYTES_MAX
        && text.chars().all(|c| c.is_ascii_graphic())
        && !text.contains("//")
}
