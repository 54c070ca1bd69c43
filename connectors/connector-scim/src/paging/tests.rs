//! Services that stand still, move, loop, end early and lead away.

use super::*;

/// Pages as a service of these resources would give them, each with the state that it then has.
fn by_index(overlap: bool, count: u64, states: &[&str]) -> Result<(String, String), PagingError> {
    let mut paging = Paging::new(Method::Index { overlap }, count);
    let (mut read, mut moved) = (String::new(), String::new());
    for page in 0.. {
        let state = states[page.min(states.len() - 1)];
        let query = paging.query();
        let start: usize = query[0].1.parse().unwrap();
        let ids: Vec<String> = state.chars().map(String::from).collect();
        let ids: Vec<&str> =
            ids.iter().skip(start - 1).take(count as usize).map(String::as_str).collect();
        let taken = paging.take(Page {
            total: Some(state.len() as u64),
            start_index: Some(start as u64),
            next_cursor: None,
            resources: ids.len() as u64,
            first: ids.first().copied(),
            last: ids.last().copied(),
        })?;
        read.extend(ids[taken.repeated..].iter().copied());
        if let Some(what) = taken.moved {
            moved = what.to_string();
            break;
        }
        if taken.is_last {
            break;
        }
    }
    Ok((read, moved))
}

#[test]
fn a_collection_that_stands_still_is_read_once_whole() {
    for overlap in [false, true] {
        for count in 2..9 {
            for state in ["", "a", "ab", "abcdef", "abcdefg"] {
                let read = by_index(overlap, count, &[state]).unwrap();
                assert_eq!(read, (state.to_owned(), String::new()), "{count} {overlap}");
            }
        }
    }
}

#[test]
fn a_collection_that_moves_is_noticed() {
    let shifted = "the resource before page 2 is no longer where it was";
    for (states, expected) in [
        // `a` is deleted and `z` added: one is skipped, and the totals agree.
        (["abcdef", "bcdefz"], shifted),
        // `f` is renamed to the front: one comes twice, and one is skipped.
        (["abcdef", "fabcde"], shifted),
        (["abcdef", "bcdef"], "the service counted 6 at first and 5 later"),
        (["abcdef", "abcdefg"], "the service counted 6 at first and 7 later"),
        (["abcdef", "ab"], "the service counted 6 at first and 2 later"),
    ] {
        let (_, moved) = by_index(true, 3, &states).unwrap();
        assert_eq!(moved, expected, "{states:?}");
    }
    // Without the overlap the first of these is not noticed: so it is on by default.
    let (read, moved) = by_index(false, 3, &["abcdef", "bcdefz"]).unwrap();
    assert_eq!((read.as_str(), moved.as_str()), ("abcefz", ""));
}

fn page(total: u64, resources: u64) -> Page<'static> {
    let id = (resources > 0).then_some("x");
    Page { total: Some(total), resources, first: id, last: id, ..Page::default() }
}

#[test]
fn pages_that_end_before_the_total_are_an_error() {
    let mut paging = Paging::new(Method::Index { overlap: false }, 10);
    assert!(!paging.take(page(20, 10)).unwrap().is_last);
    let error = paging.take(page(20, 0)).unwrap_err();
    assert_eq!(error.to_string(), "the pages end after 10 of 20 that the service counts");
    let mut paging = Paging::new(Method::Index { overlap: true }, 10);
    paging.take(page(20, 10)).unwrap();
    // The last resource alone, again and again.
    let error = paging.take(page(20, 1)).unwrap_err();
    assert_eq!(error, PagingError::EndedEarly { read: 10, total: 20 });
}

#[test]
fn a_service_that_answers_another_index_or_no_total_is_an_error() {
    let mut paging = Paging::new(Method::Index { overlap: true }, 10);
    paging.take(Page { start_index: Some(1), ..page(20, 10) }).unwrap();
    let error = paging.take(Page { start_index: Some(1), ..page(20, 10) }).unwrap_err();
    assert_eq!(error, PagingError::OtherIndex { asked: 10, answered: 1 });
    let mut paging = Paging::new(Method::Index { overlap: true }, 10);
    let error = paging.take(Page { total: None, ..page(0, 3) }).unwrap_err();
    assert_eq!(error, PagingError::NoTotal);
}

#[test]
fn more_than_the_total_is_a_collection_that_moved() {
    let mut paging = Paging::new(Method::Index { overlap: true }, 10);
    let taken = paging.take(page(3, 5)).unwrap();
    assert_eq!(taken.moved, Some(Moved::More { total: 3 }));
}

fn by_cursor(pages: &[(Option<u64>, u64, Option<&str>)]) -> Result<u64, String> {
    let mut paging = Paging::new(Method::Cursor, 10);
    for (total, resources, next_cursor) in pages {
        let (total, next_cursor) = (*total, *next_cursor);
        let page = Page { total, next_cursor, ..page(0, *resources) };
        let taken = paging.take(page).map_err(|error| error.to_string())?;
        if let Some(moved) = taken.moved {
            return Err(moved.to_string());
        }
        if taken.is_last {
            return Ok(paging.read());
        }
        assert_eq!(paging.query()[0].1, next_cursor.unwrap());
    }
    Err("it goes on".to_owned())
}

#[test]
fn cursors_lead_from_page_to_page_and_end_where_none_follows() {
    let first = Paging::new(Method::Cursor, 10).query();
    assert_eq!(first, [("cursor", String::new()), ("count", "10".to_owned())]);
    assert_eq!(by_cursor(&[(Some(13), 10, Some("c1")), (Some(13), 3, None)]), Ok(13));
    assert_eq!(
        by_cursor(&[(None, 10, Some("c1")), (None, 0, Some("c2")), (None, 1, None)]),
        Ok(11)
    );
    assert_eq!(by_cursor(&[(Some(0), 0, None)]), Ok(0));
}

#[test]
fn cursors_that_loop_lead_away_or_end_early_are_errors() {
    let loops = "the service gave the same cursor twice, so its pages never end";
    let pages =
        [(Some(99), 10, Some("c1")), (Some(99), 10, Some("c2")), (Some(99), 10, Some("c1"))];
    assert_eq!(by_cursor(&pages), Err(loops.to_owned()));
    let early = "the pages end after 10 of 13 that the service counts";
    assert_eq!(by_cursor(&[(Some(13), 10, None)]), Err(early.to_owned()));
    let more = "more came than the 5 that the service counts";
    assert_eq!(by_cursor(&[(Some(5), 10, Some("c1"))]), Err(more.to_owned()));
    let away = "the next cursor is an address or no cursor at all; no other place is asked";
    let long = "x".repeat(CURSOR_BYTES_MAX + 1);
    for cursor in ["https://evil.example/Users?cursor=2", "//evil.example", "a b", &long] {
        assert_eq!(by_cursor(&[(Some(99), 10, Some(cursor))]), Err(away.to_owned()));
    }
    let names: Vec<String> = (0..30).map(|page| format!("c{page}")).collect();
    let empty: Vec<_> = names.iter().map(|name| (None, 0, Some(name.as_str()))).collect();
    assert_eq!(by_cursor(&empty), Err("20 pages in a row were empty".to_owned()));
}

#[test]
fn pages_by_index_may_become_smaller_and_pages_by_cursor_may_not() {
    let mut paging = Paging::new(Method::Index { overlap: true }, 5);
    assert!(paging.shrink());
    assert_eq!(paging.query()[1].1, "2");
    assert!(!paging.shrink());
    assert!(!Paging::new(Method::Cursor, 100).shrink());
}
