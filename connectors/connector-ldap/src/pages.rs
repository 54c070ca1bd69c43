//! Reads all that a filter finds, page by page.
//!
//! An end is believed only where the server says with its cookie that there is no more. A cookie alone
//! says nothing about progress (one server sends the same for a whole search, another a new one for
//! each page), so what tells a loop is a page without a single entry that is new.
//!
//! Pages are asked for by entries but paid for in bytes: a page of groups with 10,000 members each is
//! a thousand times one of users. So the first page is small, and the next is as large as what was
//! seen allows.

use std::collections::HashSet;

use ldap3::asn1::{PL, parse_tag};
use ldap3::controls::{PagedResults, RawControl};

use crate::connection::{Connection, Search};
use crate::dialect::Dialect;
use crate::dn::Key;
use crate::entry::Entry;
use crate::fault::Fault;

/// The control of paged results (RFC 2696).
const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";
/// Entries of the first page.
const FIRST_ENTRIES: u32 = 50;
/// Bytes that a page is to have.
const PAGE_BYTES: usize = 2 * 1024 * 1024;
/// Pages without an entry, one after the other, that a server may send.
const EMPTY_MAX: u32 = 100;

/// A search that is read page by page, on one connection.
pub(crate) struct Pages<'a> {
    dialect: Dialect,
    base: &'a str,
    filter: &'a str,
    attributes: &'a [&'a str],
    entries_max: u32,
    size: u32,
    cookie: Option<Vec<u8>>,
    seen: HashSet<Key>,
    empty: u32,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(
        dialect: Dialect,
        (base, filter): (&'a str, &'a str),
        attributes: &'a [&'a str],
        entries_max: u32,
    ) -> Self {
        Self {
            dialect,
            base,
            filter,
            attributes,
            entries_max,
            size: FIRST_ENTRIES.min(entries_max),
            cookie: Some(vec![]),
            seen: HashSet::new(),
            empty: 0,
        }
    }

    /// Entries so far.
    pub(crate) fn entries(&self) -> usize {
        self.seen.len()
    }

    /// The next page, without what was on an earlier one; none at the end.
    pub(crate) async fn next(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Option<Vec<Entry>>, Fault> {
        let Some(cookie) = self.cookie.take() else { return Ok(None) };
        let size = i32::try_from(self.size).unwrap_or(i32::MAX);
        let mut paged: RawControl = PagedResults { size, cookie }.into();
        // A server that cannot page has to say so, instead of sending what it likes.
        paged.crit = true;
        let mut controls = self.dialect.controls();
        controls.push(paged);
        let search = Search {
            base: self.base,
            scope: ldap3::Scope::Subtree,
            filter: self.filter,
            attributes: self.attributes,
            controls,
            entries_max: self.size,
        };
        let found = connection.search(search).await?;
        let control = found.controls.iter().find(|control| control.1.ctype == PAGED_RESULTS);
        let control = control.ok_or(Fault::NotPaged)?;
        let cookie = cookie_of(&control.1)?;
        self.cookie = Some(cookie).filter(|cookie| !cookie.is_empty());
        self.advance(found.entries).map(Some)
    }

    /// Takes what is new of a page, and sees to it that there is some.
    fn advance(&mut self, mut entries: Vec<Entry>) -> Result<Vec<Entry>, Fault> {
        let received = entries.len();
        let bytes: usize = entries.iter().map(|entry| entry.bytes).sum();
        entries.retain(|entry| self.seen.insert(self.dialect.key(&entry.dn)));
        self.empty = if received == 0 { self.empty + 1 } else { 0 };
        let repeats = received > 0 && entries.is_empty();
        if self.cookie.is_some() && (repeats || self.empty > EMPTY_MAX) {
            return Err(Fault::Repeats);
        }
        if let Some(bytes) = bytes.checked_div(received) {
            let fits = u32::try_from(PAGE_BYTES / bytes.max(1)).unwrap_or(u32::MAX);
            self.size = fits.clamp(1, self.entries_max);
        }
        Ok(entries)
    }
}

/// The cookie of the server's control: SEQUENCE { size INTEGER, cookie OCTET STRING }.
fn cookie_of(control: &RawControl) -> Result<Vec<u8>, Fault> {
    let malformed = || Fault::Malformed("the control of a page");
    let value = control.val.as_deref().ok_or_else(malformed)?;
    let (_, sequence) = parse_tag(value).map_err(|_| malformed())?;
    let PL::C(parts) = sequence.payload else { return Err(malformed()) };
    match parts.into_iter().nth(1).map(|part| part.payload) {
        Some(PL::P(cookie)) => Ok(cookie),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> Pages<'static> {
        let mut pages = Pages::new(Dialect::Standard, ("dc=x", "(a=b)"), &["cn"], 500);
        pages.cookie = Some(b"same".to_vec());
        pages
    }

    fn page(names: std::ops::Range<u32>) -> Vec<Entry> {
        names.map(|name| Entry::new(&format!("cn={name}"), &[("cn", "x")])).collect()
    }

    #[test]
    fn a_cookie_that_stays_the_same_is_no_loop_while_entries_are_new() {
        let mut pages = pages();
        for begin in [0, 50, 100] {
            assert_eq!(pages.advance(page(begin..begin + 50)).unwrap().len(), 50);
        }
        // An entry that moved while it was read may come twice; it is one.
        assert_eq!(pages.advance(page(149..151)).unwrap().len(), 1);
        assert_eq!(pages.entries(), 151);
    }

    #[test]
    fn a_page_that_brings_nothing_new_is_a_loop_unless_it_is_the_last() {
        let mut again = pages();
        again.advance(page(0..50)).unwrap();
        assert!(matches!(again.advance(page(0..50)), Err(Fault::Repeats)));
        let mut last = pages();
        last.advance(page(0..50)).unwrap();
        last.cookie = None;
        assert!(last.advance(page(0..50)).unwrap().is_empty());
    }

    #[test]
    fn empty_pages_go_on_for_so_long_and_no_longer() {
        let mut pages = pages();
        for _ in 0..EMPTY_MAX {
            assert!(pages.advance(vec![]).unwrap().is_empty());
        }
        assert!(matches!(pages.advance(vec![]), Err(Fault::Repeats)));
    }

    #[test]
    fn a_page_is_as_large_as_its_entries_allow() {
        let mut pages = pages();
        pages.advance(page(0..50)).unwrap();
        assert_eq!(pages.size, 500);
        let mut large = Entry::new("cn=large", &[("cn", "x")]);
        large.bytes = PAGE_BYTES;
        pages.advance(vec![large]).unwrap();
        assert_eq!(pages.size, 1);
    }

    #[test]
    fn the_servers_control_is_measured_before_it_is_read() {
        let cookie = |bytes: &[u8]| {
            let val = Some(bytes.to_vec());
            cookie_of(&RawControl { ctype: String::new(), crit: false, val })
        };
        assert_eq!(cookie(&[0x30, 6, 2, 1, 0, 4, 1, 7]).unwrap(), [7]);
        for bytes in [&[][..], &[0x30, 3, 2, 1, 0], &[4, 1, 7], &[0x30, 0x84, 255, 255, 255, 255]] {
            assert!(matches!(cookie(bytes), Err(Fault::Malformed(_))), "{bytes:?}");
        }
    }
}
