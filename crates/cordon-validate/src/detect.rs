//! Telling a broken sync from a changed source, where nothing proves either.
//!
//! Counts alone cannot: a revoked right and a mass layoff both arrive as missing users. What tells is
//! the shape of a step. People leave one by one, with all that they hold; a page that failed leaves a
//! gap in the listing. So a step is measured in some forty ways ([`Statistic`]), each is held against
//! the connector's own accepted syncs and honest days of other sources, and the most unusual decides.
//!
//! The way through, for whoever feeds it:
//!
//! 1. [`Observer`]: see every record of the last known good and the candidate once (key, place in the
//!    listing, target), or keep it where it did not change; then the rows of those that changed. One
//!    pass over two merged indexes; a few counters a record.
//! 2. [`Step::of`]: what was seen, measured; with the fingerprint of the content beside it. Small, serialisable, to be stored with the candidate.
//! 3. [`assess`]: the step against [`Memory`] (own history, kept by the ledger) and [`Prior`].
//! 4. [`Memory::learn`], when the sync was accepted or released.
//!
//! What order of records means: records may be seen in any order, only [`Place::position`] says where
//! the listing has them. A source that lists the same records in another order gives other shapes.
//!
//! Absent on purpose: records' values in memory (hashes and counts alone are kept), a clock (syncs are
//! counted, not days), and any learning from what was not accepted.

mod assess;
mod attributes;
mod came;
mod causes;
mod grants;
mod kept;
mod listing;
mod memory;
mod observe;
mod prior;
mod resources;
mod statistic;
mod step;
mod targets;
mod values;

pub use assess::{Assessed, HOLD, READ_AGAIN, assess};
pub use memory::{Learned, Memory};
pub use observe::{CHANGED_MAX, HeldOn, Key, Observer, Place, ROWS_MAX, Seen};
pub use prior::Prior;
pub use statistic::Statistic;
pub use step::{Measure, Step};
pub use targets::TARGETS_MAX;
pub use values::{Same, same_by_values};
