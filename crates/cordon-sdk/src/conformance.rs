//! What every connector is held to, whatever its source and its language: one list of cases.
//!
//! [`conformance!`](crate::conformance!) makes one test of each for a connector that is linked into
//! its tests; `cordon connector test` runs the same cases on any program, and adds those that only a
//! process can be asked. They speak to the connector over a real socket and read it as a supervisor
//! does. They ask what can be asked without knowing the source, so the configuration should lead to
//! one that stands still, such as a file in the test's folder.

mod bench;
mod calls;
mod records;

use std::marker::PhantomData;
use std::os::unix::net::UnixStream;

use serde_json::Value as Json;
use tokio_util::sync::DropGuard;

pub use self::bench::{Bench, Judged, Live, Objection};
pub use self::records::are_well_formed;
use crate::testing::{Patience, serve_here};
use crate::{Connector, Error};

/// A connector that a case starts as often as it wants.
pub trait Subject {
    /// What keeps a started one alive; it ends when this is dropped.
    type Life: Send;

    /// Starts one, and gives the supervisor's end of its socket.
    fn start(&self) -> impl Future<Output = Result<(UnixStream, Self::Life), Error>> + Send;
}

impl<S: Subject + Sync> Subject for &S {
    type Life = S::Life;

    async fn start(&self) -> Result<(UnixStream, S::Life), Error> {
        S::start(self).await
    }
}

/// A connector that is served inside this process.
pub struct Linked<C>(PhantomData<fn() -> C>);

impl<C: Connector> Subject for Linked<C> {
    type Life = DropGuard;

    async fn start(&self) -> Result<(UnixStream, DropGuard), Error> {
        serve_here::<C>()
    }
}

/// The enum of cases, their names and what they promise, in the order in which they are run.
macro_rules! cases {
    ($($(#[doc = $promise:literal])+ $variant:ident $name:ident => $judge:path;)*) => {
        /// One thing that every connector is held to.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Case {
            $($(#[doc = $promise])+ $variant,)*
        }

        impl Case {
            /// All cases, in the order in which they are run.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name, by which it is skipped and reported.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($name),)*
                }
            }

            /// What it holds a connector to.
            pub fn promise(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($promise),+).trim_ascii_start(),)*
                }
            }

            /// Tries it.
            pub async fn judge<S: Subject>(self, bench: &mut Bench<S>) -> Judged {
                match self {
                    $(Self::$variant => $judge(bench).await,)*
                }
            }
        }
    };
}

cases! {
    /// It says what it is: a good name, key columns, a JSON Schema of its configuration, the same each
    /// time, in a protocol that is spoken here.
    Describe describe_is_consistent => calls::describe_is_consistent;
    /// It takes its configuration and reaches its source, each within the time for a call.
    Configure the_configuration_is_taken => calls::the_configuration_is_taken;
    /// A protocol that it does not announce is refused.
    Protocol another_protocol_is_refused => calls::another_protocol_is_refused;
    /// A key that no configuration knows is refused as bad configuration, by its name.
    UnknownKey an_unknown_key_is_refused_by_name => calls::an_unknown_key_is_refused_by_name;
    /// A value of a wrong type is refused as bad configuration, by the path of its field.
    WrongType a_wrong_type_is_refused_by_name => calls::a_wrong_type_is_refused_by_name;
    /// A sync keeps the order of messages and comes to its end; every scope is closed, and what it
    /// declares is what came, as is the source's own count of a scope that is complete.
    Scopes every_scope_is_closed_and_counted => records::every_scope_is_closed_and_counted;
    /// A source that did not change is reported with the same scopes and the same records.
    Stable two_syncs_report_the_same_records => records::two_syncs_report_the_same_records;
    /// No two records of a sync have the same key.
    Unique no_record_is_reported_twice => records::no_record_is_reported_twice;
    /// Both ends of a grant, an entitlement's resource and a resource's parent are in the sync.
    References no_grant_dangles => records::no_grant_dangles;
    /// Every record has the columns that were announced, ids that are ids and times that are times.
    Records every_record_is_well_formed => records::every_record_is_well_formed;
    /// How current a scope says that it is never falls while its source stands still.
    Watermark no_watermark_goes_back => records::no_watermark_goes_back;
    /// A sync that nobody reads any more ends within two seconds.
    Cancel a_cancelled_sync_ends_at_once => calls::a_cancelled_sync_ends_at_once;
    /// A reader that stops for a while gets every record all the same.
    SlowReader a_slow_reader_loses_nothing => calls::a_slow_reader_loses_nothing;
    /// It knows the records that it reports and none that was made up, or says that it does not look
    /// up.
    Lookup a_lookup_agrees_with_the_sync => calls::a_lookup_agrees_with_the_sync;
    /// A question of hostile keys finds nothing, and the connector goes on.
    HostileKeys a_hostile_question_is_survived => calls::a_hostile_question_is_survived;
}

/// Makes a test of every case of the conformance suite.
///
/// ```text
/// cordon_sdk::conformance!(Linux, config = json!({ "root": "tests/root" }));
/// cordon_sdk::conformance!(
///     Linux,
///     config = json!({ "root": "tests/root" }),
///     skip = [no_grant_dangles => "the groups come from another connector"],
/// );
/// ```
#[macro_export]
macro_rules! conformance {
    (
        $connector:ty, config = $config:expr
        $(, skip = [$($case:ident => $why:literal),* $(,)?])? $(,)?
    ) => {
        mod conformance {
            #[allow(unused_imports)]
            use super::*;

            const SKIPPED: &[(&str, &str)] = &[$($((stringify!($case), $why)),*)?];

            $crate::conformance_cases! {
                $connector, $config,
                describe_is_consistent Describe,
                the_configuration_is_taken Configure,
                another_protocol_is_refused Protocol,
                an_unknown_key_is_refused_by_name UnknownKey,
                a_wrong_type_is_refused_by_name WrongType,
                every_scope_is_closed_and_counted Scopes,
                two_syncs_report_the_same_records Stable,
                no_record_is_reported_twice Unique,
                no_grant_dangles References,
                every_record_is_well_formed Records,
                no_watermark_goes_back Watermark,
                a_cancelled_sync_ends_at_once Cancel,
                a_slow_reader_loses_nothing SlowReader,
                a_lookup_agrees_with_the_sync Lookup,
                a_hostile_question_is_survived HostileKeys,
            }
        }
    };
}

/// One test a case; part of [`conformance!`](crate::conformance!).
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($connector:ty, $config:expr, $($name:ident $case:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            let case = $crate::conformance::Case::$case;
            if !$crate::conformance::is_skipped(case.name(), SKIPPED) {
                $crate::conformance::hold::<$connector>(case, &$config);
            }
        }
    )*};
}

/// Whether a case is left out, with a reason.
///
/// # Panics
/// When a case is left out that does not exist, or without a reason.
pub fn is_skipped(case: &str, skipped: &[(&str, &str)]) -> bool {
    for (name, why) in skipped {
        let is_known = Case::ALL.iter().any(|case| case.name() == *name);
        let names: Vec<&str> = Case::ALL.iter().map(|case| case.name()).collect();
        assert!(is_known, "there is no case {name} to skip; the cases are {names:?}");
        assert!(!why.trim().is_empty(), "case {name} is skipped without a reason");
    }
    skipped.iter().any(|(name, _)| *name == case)
}

/// Holds a connector to one case. What cannot be judged of it is said on standard error.
///
/// # Panics
/// When the connector does not conform.
pub fn hold<C: Connector>(case: Case, config: &Json) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let linked = Linked::<C>(PhantomData);
    let mut bench = Bench::new(linked, config.clone(), Patience::default());
    match runtime.block_on(case.judge(&mut bench)) {
        Ok(()) => {}
        Err(Objection::Failed(why)) => panic!("{}: {why}", case.name()),
        Err(Objection::Unjudged(why)) => eprintln!("skipped: {}: {why}", case.name()),
    }
}
