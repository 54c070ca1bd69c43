//! Reads one kind of thing from one database, for a sync or for a lookup.

use cordon_sdk::Error;
use tokio_postgres::{Row, Transaction};

use crate::catalog::Family;
use crate::fault::{Fault, Trouble};
use crate::lookup::Seen;
use crate::pages::Pages;
use crate::report::Report;
use crate::roles::Known;
use crate::session::Waiting;

/// Who takes what is read.
pub(crate) enum Taker<'t, 's> {
    Report(&'t mut Report<'s>),
    Seen(&'t mut Seen<'s>),
}

/// Reads a family in a savepoint: where the server denies it, the rest can still be read.
pub(crate) async fn read(
    transaction: &mut Transaction<'_>,
    waiting: Waiting<'_>,
    family: &Family,
    known: &mut Known,
    only: Option<&[u32]>,
    taker: &mut Taker<'_, '_>,
) -> Result<(), Error> {
    let point = waiting.on(family.what, transaction.savepoint("family")).await?;
    match rows(&point, waiting, family, known, only, taker).await {
        Ok(()) => Ok(waiting.on(family.what, point.commit()).await?),
        Err(Trouble::Denied(reason)) => {
            waiting.on(family.what, point.rollback()).await?;
            match taker {
                Taker::Report(report) => report.lacks(family.parts, &reason),
                Taker::Seen(seen) => seen.lacks(family.parts),
            }
            Ok(())
        }
        Err(Trouble::Failed(error)) => Err(error),
    }
}

async fn rows(
    point: &Transaction<'_>,
    waiting: Waiting<'_>,
    family: &Family,
    known: &mut Known,
    only: Option<&[u32]>,
    taker: &mut Taker<'_, '_>,
) -> Result<(), Trouble> {
    if let Taker::Report(report) = taker {
        let counted = count(point, waiting, family).await?;
        if let Some(reason) = beyond(family, &counted) {
            report.lacks(family.parts, &reason);
            return Ok(());
        }
        for (part, total) in family.parts.iter().zip(counted.iter().skip(family.bounds.len())) {
            report.count(*part, *total);
        }
    }
    let mut pages = Pages::open(point, waiting, family.what, &family.rows, only).await?;
    let mut facts = Vec::new();
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            return Ok(());
        }
        for row in &page {
            let made = (family.facts)(row, known, &mut facts);
            if let (Err(fault), Taker::Report(report)) = (&made, &mut *taker) {
                report.fault(family.parts, fault);
            }
            if let (Err(Fault::Unreadable(_)), Taker::Seen(seen)) = (&made, &mut *taker) {
                seen.lacks(family.parts);
            }
            for fact in facts.drain(..) {
                match taker {
                    Taker::Report(report) => report.take(fact).await?,
                    Taker::Seen(seen) => seen.take(&fact),
                }
            }
        }
        if let Taker::Report(report) = taker {
            report.progress(family.what).await?;
        }
    }
}

/// The numbers that a family's count gives.
pub(crate) async fn count(
    point: &Transaction<'_>,
    waiting: Waiting<'_>,
    family: &Family,
) -> Result<Vec<u64>, Trouble> {
    let row = waiting.on(family.what, point.query_one(&family.count, &[])).await?;
    (0..row.len()).map(|place| number(&row, place)).collect()
}

fn number(row: &Row, place: usize) -> Result<u64, Trouble> {
    let number: i64 = row
        .try_get(place)
        .map_err(|error| Trouble::Failed(Error::bug("a count cannot be read").caused_by(error)))?;
    Ok(u64::try_from(number).unwrap_or_default())
}

/// Why there is too much of it.
pub(crate) fn beyond(family: &Family, counted: &[u64]) -> Option<String> {
    let over = family.bounds.iter().zip(counted).find(|((_, max), found)| *found > max);
    over.map(|((name, max), found)| {
        format!(
            "{}: nothing was read, the server counts {found} {name}, more than {max} of \
             `bounds.{name}`",
            family.what
        )
    })
}
