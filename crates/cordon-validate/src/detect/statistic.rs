//! The statistics: what of a step is held against what is usual.

use serde::{Deserialize, Serialize};

use crate::codes::{self, Rule};

macro_rules! statistics {
    ($($name:ident $rule:ident $family:ident $meaning:literal;)*) => {
        /// What is measured of a step. Each has its own history and its own prior.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum Statistic {
            $(#[doc = $meaning] $name,)*
        }

        impl Statistic {
            /// Every statistic.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What it measures, in a few words.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// The rule that speaks of it.
            pub fn rule(self) -> &'static Rule {
                match self { $(Self::$name => &codes::$rule,)* }
            }

            /// Whether its value is an improbability, not an amount.
            pub(crate) fn is_of_chance(self) -> bool {
                self.family() == Family::Shape
            }

            /// Whether it speaks of values that changed in one way.
            pub(crate) fn is_of_values(self) -> bool {
                self.rule() == &codes::VALUES_UNUSUAL
            }

            /// Whether it speaks of what is gone.
            pub(crate) fn is_of_loss(self) -> bool {
                matches!(self.family(), Family::Loss | Family::MildLoss | Family::Shape)
            }

            pub(super) fn family(self) -> Family {
                match self { $(Self::$name => Family::$family,)* }
            }
        }
    };
}

/// What a statistic speaks of, as far as this changes how it is weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// How much is gone. A release does not make the next loss of its size usual.
    Loss,
    /// Where in the listing it is gone. Says nothing where completeness was proven.
    Shape,
    /// What takes nobody's access away by itself, or is usually somebody's decision.
    Mild,
    /// A loss of that kind.
    MildLoss,
    /// Everything else.
    Other,
}

statistics! {
    PeopleGone LOSS_UNUSUAL MildLoss "principals that are gone";
    TypeGone LOSS_UNUSUAL Other "records of a type that has none left";
    Along LOSS_UNUSUAL Loss "records that went along with others that are gone";
    Held LOSS_UNUSUAL Loss "grants that principals who are gone held, beyond one each";
    ThingsGone LOSS_UNUSUAL MildLoss "groups and other resources that are gone by themselves";
    GrantCauses LOSS_UNUSUAL Loss "causes that explain the grants that are gone";
    GrantsGone LOSS_UNUSUAL Loss "grants that are gone while both ends are still there";
    Apart LOSS_UNUSUAL Loss "principals that are gone, each the only one that some target lost";
    LossAlone LOSS_UNUSUAL Loss "causes of loss in a sync that only lost";
    CausesAlone LOSS_UNUSUAL Loss "causes of lost grants in a sync that only lost";
    EmptiedAlone LOSS_EMPTIED Loss "members of emptied resources in a sync that only lost";
    Tail LOSS_SHAPE Shape "removals at the end of a listing";
    Run LOSS_SHAPE Shape "removals in one run of a listing";
    GrantTail LOSS_SHAPE Shape "grants at the end of their listing that are gone";
    GrantRun LOSS_SHAPE Shape "grants in one run that are gone";
    TargetTails LOSS_SHAPE Shape "ends of many listings of members that are gone";
    PageCap LOSS_SHAPE Shape "listings of members that now have the size of a page";
    Emptied LOSS_EMPTIED Loss "members of resources that are still there and have none left";
    Orphaned LOSS_ORPHANED Other "grants whose principals are gone";
    Filled VALUES_UNUSUAL Mild "new records without a value that nearly all have";
    Stripped VALUES_UNUSUAL Other "records that lost an attribute that nearly all have";
    Cleared VALUES_UNUSUAL Mild "records that lost an attribute";
    Retyped VALUES_UNUSUAL Other "values of another type";
    Recased VALUES_UNUSUAL Other "values that differ in case only";
    Reencoded VALUES_UNUSUAL Other "values whose letters beyond ASCII changed";
    Swapped VALUES_UNUSUAL Other "records with two attributes exchanged";
    Renamed VALUES_UNUSUAL Other "values under another attribute";
    Shifted VALUES_UNUSUAL Other "times moved by the same span";
    Flipped VALUES_UNUSUAL Other "principals switched to one and the same state";
    WentBack VALUES_UNUSUAL Other "times that went back";
    Rewritten VALUES_UNUSUAL Mild "records with another value of one attribute";
    Rekeyed REKEYED_BY_VALUES Other "records with a new id and the same names";
    PeopleCame GAIN_UNUSUAL Mild "principals that are new";
    ThingsCame GAIN_UNUSUAL Mild "groups and other resources that are new";
    GrantsCame GAIN_UNUSUAL Mild "causes that explain the grants that are new";
    Reach REACH_UNUSUAL Other "targets that one principal gained";
    Raised ROLES_UNUSUAL Other "causes that explain the grants whose role became privileged";
    Lowered ROLES_UNUSUAL Mild "grants whose role was privileged and is not now";
    Changed ROLES_UNUSUAL Mild "grants that changed from one role to one other, not privileged one";
    PrivilegedCame REACH_UNUSUAL Other "privileged grants of known principals that are new";
    Island GAIN_UNUSUAL Other "new principals that hold nothing on what was known";
    Replayed REPLAY_OLDER Other "accepted contents since which this one was not seen";
    Returned FLAPPING Mild "records that came back shortly after they left";
    Vanished FLAPPING Other "records that left again shortly after they came back";
    LossSum LEAK Loss "causes of loss in the last twenty syncs";
    LossDays LEAK Shape "syncs with a loss among the last twenty";
    TailSum LEAK Shape "losses at ends of listings in the last twenty syncs";
}
