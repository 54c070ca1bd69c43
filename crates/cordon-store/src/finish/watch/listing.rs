//! Where each record of a side stands in the source's listing.
//!
//! A file's rows are in the order of arrival. Scopes may arrive in turns, and beside what the source
//! lists may be files of what was carried forward: neither is a listing's shape.

use std::collections::BTreeSet;

use cordon_validate::detect::Place;

use crate::finish::watch::half;
use crate::index::Located;
use crate::manifest::FileEntry;

/// Where each record of a side stands in the source's listing, and whether its scope is proven.
pub(super) struct Listing {
    files: Vec<Pieces>,
}

/// The listing of one file.
struct Pieces {
    /// Where its rows begin.
    base: u32,
    /// They are in the order in which the source lists them.
    is_listed: bool,
    /// Where scopes arrived in turns: the first row of each piece, and its place in the listing.
    pieces: Vec<(u32, u32)>,
    /// By scope ordinal.
    proven: Vec<bool>,
}

impl Listing {
    pub(super) fn new(files: &[&FileEntry], proven: &BTreeSet<String>) -> Self {
        let rows = |file: &FileEntry| u32::try_from(file.rows).unwrap_or(u32::MAX);
        // Of several files one is a listing, the largest: beside it are what was carried forward, or
        // the few changes of a part. It comes last, so that its end is the end of all.
        let largest = files.iter().enumerate().rev().max_by_key(|(_, file)| file.rows);
        let largest = largest.map_or(0, |(at, _)| at);
        let others = files.iter().enumerate().filter(|(at, _)| *at != largest);
        let others = others.fold(0_u32, |sum, (_, file)| sum.saturating_add(rows(file)));
        let mut next = 0_u32;
        let files = files.iter().enumerate().map(|(at, file)| {
            let is_listed = at == largest;
            let base = if is_listed { others } else { next };
            if !is_listed {
                next = next.saturating_add(rows(file));
            }
            Pieces {
                base,
                is_listed,
                pieces: pieces(file, base),
                proven: file.scopes.iter().map(|scope| proven.contains(scope)).collect(),
            }
        });
        Self { files: files.collect() }
    }

    /// The place in the listing of a row of a file.
    #[inline]
    pub(super) fn position(&self, file: u32, row: u32) -> u32 {
        let file = &self.files[file as usize];
        let piece = file.pieces.partition_point(|(first, _)| *first <= row);
        match piece.checked_sub(1).and_then(|piece| file.pieces.get(piece)) {
            Some((first, place)) => place.saturating_add(row - first),
            None => file.base.saturating_add(row),
        }
    }

    pub(super) fn place(&self, located: &Located, privileged: bool) -> Place {
        let (file, entry) = (&self.files[located.file as usize], &located.entry);
        let (position, hash) = (self.position(located.file, entry.row), half(&entry.hash));
        let proven = file.proven[entry.scope() as usize];
        Place { position, hash, proven, privileged, listed: file.is_listed }
    }
}

/// Puts the pieces of each scope one behind the other, as the source lists it.
fn pieces(file: &FileEntry, base: u32) -> Vec<(u32, u32)> {
    let mut lengths = vec![0_u32; file.scopes.len()];
    for piece in &file.arrival {
        if let Some(length) = lengths.get_mut(piece.scope as usize) {
            *length = length.saturating_add(piece.rows);
        }
    }
    let mut next = base;
    let places = lengths.iter().map(|length| {
        let place = next;
        next = next.saturating_add(*length);
        place
    });
    let mut places: Vec<u32> = places.collect();
    let mut row = 0_u32;
    let placed = file.arrival.iter().filter_map(|piece| {
        let place = places.get_mut(piece.scope as usize)?;
        let placed = (row, *place);
        *place = place.saturating_add(piece.rows);
        row = row.saturating_add(piece.rows);
        Some(placed)
    });
    placed.collect()
}
