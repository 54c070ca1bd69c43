//! Decides whether a finished sync may replace the last known good snapshot.
//!
//! A source that lies looks just like a source that changed: a revoked API scope and a mass layoff
//! both arrive as missing users. So nothing here asks whether records are true, only whether the step
//! from the last known good is one that the policy allows unattended.
//!
//! Pure on purpose: no clock, no files, no logs. Any past decision can be replayed from its inputs.

mod agreement;
mod census;
pub mod codes;
pub mod contrast;
pub mod detect;
mod evidence;
mod judge;
pub mod lookup;
mod part;
mod policy;
pub mod reading;
mod rules;
mod selection;
mod values;
mod verdict;
mod words;

pub use agreement::{Agreed, Asked, Disagreement, agree};
pub use census::{Census, ColumnCensus, Examples, PrivilegedCensus, ScopeCensus, TypeCensus};
pub use evidence::{
    Candidate, Defect, DefectKind, Delta, History, MarkedGrants, PendingRemovals, PrivilegedDelta,
    ScopeDelta, TypeDelta, Window,
};
pub use judge::{judge, rule_findings};
pub use part::{flow, holds_removals_alone, release_part};
pub use policy::{
    BUDGET_DEFAULT, BUDGETS_MAX, Budget, Condition, EXEMPTIONS_MAX, ExemptCode, ExemptCodeError,
    Exemption, FirstSync, Governs, Grace, Group, GroupError, KeyGlob, KeyGlobError, Limit,
    LimitPatch, Limits, LimitsPatch, LookUpWhen, Lookups, LookupsPatch, Marked, MarkedTarget,
    MarkedTargetError, Misnamed, Named, On, OnError, OnIncomplete, OnSuspicion, OperatorRule,
    OperatorRuleError, PERCENT_RECORDS_MIN, People, PeopleError, Percent, PercentError, Policy,
    PolicyPatch, PrivilegedLimit, PrivilegedPatch, RULES_MAX, Recover, ReleaseAtRisk, ReleasePatch,
    ReleaseRule, RemovalsVerified, RequiredAttribute, RequiredAttributeError, Reread, RereadPatch,
    Risk, RuleAction, RuleName, RuleNameError, SchemaPatch, Shape, ShapePatch, Switch, Target,
    Thresholds, TimeSpan, TimeSpanError, Until, UntilError, Unusual, UnusualError, Watched,
    Weakening, Words, WordsError,
};
pub use rules::{Announced, RuleCount, RuleCounter, announced, fitted};
pub use selection::{Selection, SelectionError};
pub use values::{VALUE_BYTES_MAX, VALUES_MAX, ValueCounts, Values};
pub use verdict::{
    Accepted, DIGEST_PREFIX_MIN, Held, Judged, Release, ReleaseError, Verdict, Zone, may_release,
    release,
};
