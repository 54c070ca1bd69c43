//! What removals that are pending cost a sync.
//!
//! With a time of grace, records whose removal is accepted lie beside a snapshot. The sync that makes
//! them pending copies their rows; each one after it carries them along. So two syncs are measured, with
//! a grace and without: one that loses so many records, and the next, that brings the same as it did.

use std::path::Path;

use serde::Serialize;

use super::measure::Bench;
use super::size::Size;
use crate::run;

/// Of a hundred users so many are not what they were, half of them gone with their eight grants: about a
/// hundredth and a tenth of all records are removed.
const CHURNS: [u64; 2] = [2, 20];
/// Whatever is lost is accepted: what is measured is what becomes of it.
const ANY_LOSS: &str = "\
guard.removed = { user = { percent = 100 }, grant = { percent = 100 } }
guard.removed_in_scope = { percent = 100 }
guard.budget = [{ within = \"24h\" }]";
/// The same, and for a week it can be taken back.
const PENDING: &str = "\
guard.removed = { user = { percent = 100 }, grant = { percent = 100 } }
guard.removed_in_scope = { percent = 100 }
guard.budget = [{ within = \"24h\" }]
guard.grace = \"7d\"";

/// One size and loss.
#[derive(Serialize)]
struct Cost {
    /// Grants in the source.
    size: u64,
    /// Records that are removed, about: grants, and the users who held them.
    removed: u64,
    /// Seconds of the sync that loses them.
    loses: With,
    /// Seconds of the next.
    carries: With,
}

#[derive(Serialize)]
struct With {
    with_grace: f64,
    without: f64,
}

pub(super) fn measure(target: &Path, sizes: &[Size], json: bool) -> anyhow::Result<()> {
    let mut costs = Vec::new();
    for size in sizes {
        for churn in CHURNS {
            run::warn(&format!("{size} grants, {churn} % churn"));
            let bench = |guard| Bench::new(target, true).with(churn, guard);
            let [loses, carries] = bench(PENDING).second_and_third(*size)?;
            let [loses_without, carries_without] = bench(ANY_LOSS).second_and_third(*size)?;
            costs.push(Cost {
                size: size.0,
                removed: (size.0 + size.0 / 8) * churn / 200,
                loses: With { with_grace: loses, without: loses_without },
                carries: With { with_grace: carries, without: carries_without },
            });
        }
    }
    if json {
        run::say(&serde_json::json!({ "grace": costs }).to_string());
        return Ok(());
    }
    for cost in costs {
        let Cost { size, removed, loses, carries } = cost;
        run::say(&format!(
            "{size} grants, {removed} records pending: the sync that loses them {:.2} s ({:.2} s without a \
             grace), the next {:.2} s ({:.2} s)",
            loses.with_grace, loses.without, carries.with_grace, carries.without
        ));
    }
    Ok(())
}
