//! Decides whether a finished sync may replace the last known good snapshot.
//!
//! A source that lies looks just like a source that changed: a revoked API scope and a mass layoff
//! both arrive as missing users. So nothing here asks whether records are true, only whether the step
//! from the last known good is one that the policy allows unattended.
//!
//! Pure on purpose: no clock, no files, no logs. Any past decision can be replayed from its inputs.

mod census;
pub mod codes;
pub mod contrast;
mod evidence;
mod judge;
pub mod lookup;
mod policy;
pub mod reading;
mod verdict;
mod words;

pub use census::{Census, ColumnCensus, Examples, PrivilegedCensus, ScopeCensus, TypeCensus};
pub use evidence::{
    Candidate, Defect, DefectKind, Delta, History, PrivilegedDelta, ScopeDelta, TypeDelta,
};
pub use judge::judge;
pub use policy::{
    FirstSync, KeyGlob, KeyGlobError, Limit, LimitPatch, Limits, LimitsPatch, Lookups,
    LookupsPatch, OnIncomplete, PERCENT_RECORDS_MIN, Percent, PercentError, Policy, PolicyPatch,
    PrivilegedLimit, PrivilegedPatch, Recover, RemovalsVerified, RequiredAttribute,
    RequiredAttributeError, Reread, RereadPatch, Risk, SchemaPatch,
};
pub use verdict::{
    Accepted, DIGEST_PREFIX_MIN, Held, Judged, Release, ReleaseError, Verdict, Zone, release,
};
