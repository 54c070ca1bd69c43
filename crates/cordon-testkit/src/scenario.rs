//! What the scripted faulty connector does, as data: a small honest source, and the faults in it.
//!
//! A test writes a [`Scenario`] and gets one process that misbehaves in just that way, the same way
//! each time. Points and acts travel as words (`page:3`, `exit:7`), so that a scenario can be typed
//! into a `cordon.toml` too.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A source and what goes wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// Feeds everything that looks random.
    pub seed: u64,
    /// Users of the source.
    pub users: u32,
    /// Groups of the source, each with one entitlement and a scope for its members.
    pub groups: u32,
    /// The first so many groups give power over others.
    pub privileged_groups: u32,
    /// Groups that a user is a member of.
    pub grants_per_user: u32,
    /// Records in a batch, at most.
    pub page: u32,
    /// A day of so many has passed: compared with day 0, so many users left, as many joined, and as
    /// many have another name.
    pub day: u32,
    /// Users that are not reported, by id; nor are their grants.
    pub without: Vec<String>,
    /// Whether scopes say how many records the source counts.
    pub totals: bool,
    /// Whether it looks up single records: those of the honest source, whatever is reported of it.
    pub looks_up: bool,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seed: 1,
            users: 100,
            groups: 5,
            privileged_groups: 0,
            grants_per_user: 2,
            page: 50,
            day: 0,
            without: Vec::new(),
            totals: false,
            looks_up: false,
            faults: Vec::new(),
        }
    }
}

impl Scenario {
    /// The honest source with one fault.
    ///
    /// # Panics
    /// When a word is unknown.
    pub fn with(at: &str, act: &str) -> Self {
        Self::default().and(at, act)
    }

    /// Adds a fault.
    ///
    /// # Panics
    /// When a word is unknown.
    pub fn and(mut self, at: &str, act: &str) -> Self {
        let at = at.parse().unwrap_or_else(|error| panic!("{error}"));
        let act = act.parse().unwrap_or_else(|error| panic!("{error}"));
        self.faults.push(Fault { at, act });
        self
    }

    /// The source some days later.
    pub fn on_day(mut self, day: u32) -> Self {
        self.day = day;
        self
    }
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When.
    pub at: Point,
    /// What.
    #[serde(rename = "do")]
    pub act: Act,
}

/// A word that is no point or no act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no {what}; there are {known}")]
pub struct WordError {
    what: &'static str,
    word: String,
    known: &'static str,
}

/// An enum whose variants are words, some with an argument behind a colon.
macro_rules! words {
    (
        $(#[$doc:meta])* $enum:ident, $what:literal;
        $($(#[$variant_doc:meta])* $word:literal $variant:ident $(($argument:ty))?;)*
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum $enum {
            $($(#[$variant_doc])* $variant $(($argument))?,)*
        }

        impl FromStr for $enum {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                let (word, argument) = text.split_once(':').unwrap_or((text, ""));
                let read = match word {
                    $($word => words!(@read $enum $variant argument $($argument)?),)*
                    _ => None,
                };
                let known = concat!($($word, " "),*);
                read.ok_or_else(|| WordError { what: $what, word: text.to_owned(), known })
            }
        }

        impl fmt::Display for $enum {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(words!(@pattern $enum $variant shown $($argument)?) => {
                        words!(@write f $word shown $($argument)?)
                    })*
                }
            }
        }

        impl TryFrom<String> for $enum {
            type Error = WordError;

            fn try_from(text: String) -> Result<Self, WordError> {
                text.parse()
            }
        }

        impl From<$enum> for String {
            fn from(word: $enum) -> String {
                word.to_string()
            }
        }
    };
    (@read $enum:ident $variant:ident $text:ident) => {
        $text.is_empty().then_some($enum::$variant)
    };
    (@read $enum:ident $variant:ident $text:ident $argument:ty) => {
        $text.parse::<$argument>().ok().map($enum::$variant)
    };
    (@pattern $enum:ident $variant:ident $shown:ident) => { $enum::$variant };
    (@pattern $enum:ident $variant:ident $shown:ident $argument:ty) => { $enum::$variant($shown) };
    (@write $f:ident $word:literal $shown:ident) => { $f.write_str($word) };
    (@write $f:ident $word:literal $shown:ident $argument:ty) => {
        match $shown.to_string().as_str() {
            "" => $f.write_str($word),
            argument => write!($f, "{}:{argument}", $word),
        }
    };
}

words! {
    /// When something goes wrong.
    Point, "point";
    /// Before the socket is served.
    "start" Start;
    /// When it is asked what it is.
    "describe" Describe;
    /// When it is configured.
    "configure" Configure;
    /// When it is asked whether the source can be reached.
    "check" Check;
    /// When it is asked for single records.
    "lookup" Lookup;
    /// Before a scope begins: that one, or the first.
    "scope-begin" ScopeBegin(String);
    /// Before the batch of that number, counted from 1 over the whole sync.
    "page" Page(u32);
    /// Before a scope ends: that one, or the first.
    "scope-end" ScopeEnd(String);
    /// Before the sync ends.
    "sync-end" SyncEnd;
}

words! {
    /// What goes wrong.
    Act, "act";

    /// Dies of a segmentation fault.
    "crash" Crash;
    /// Dies of an abort.
    "abort" Abort;
    /// Exits with that code.
    "exit" Exit(i32);
    /// Exits as if all were well.
    "exit-zero-mid-stream" ExitZeroMidStream;
    /// Goes on living and says nothing more.
    "hang" Hang;
    /// The same, and does not end when asked.
    "hang-ignore-term" HangIgnoreTerm;
    /// Sends one record at a time, with so many milliseconds between them.
    "slow" Slow(u64);
    /// Sends batches without end.
    "endless" Endless;
    /// Sends progress without end, and no record.
    "progress-only" ProgressOnly;
    /// Sends the same progress without end.
    "progress-stuck" ProgressStuck;
    /// Sends checkpoints without end, and no record.
    "checkpoints" Checkpoints;
    /// Sends batches without records, without end.
    "empty-batches" EmptyBatches;
    /// Sends so many batches of nearly the greatest size, and goes on.
    "bulky" Bulky(u32);
    /// Writes bytes to the socket that are no HTTP/2.
    "garbage-bytes" GarbageBytes;
    /// Writes half a frame and closes the socket.
    "half-message" HalfMessage;
    /// Fails the call: auth, rate-limited, unavailable, incomplete, bad-config or bug.
    "error" Error(String);
    /// Writes to stderr as fast as it can, and goes on.
    "log-flood" LogFlood;
    /// Writes a line of so many bytes to stderr, and goes on.
    "log-line" LogLine(u64);
    /// Gives away the secrets of its configuration, in every form, by that way: log, error, status,
    /// long-error, progress, reason or scope; and goes on where the way lets it.
    "leak-secret" LeakSecret(String);
    /// Closes its standard output and error, and goes on.
    "close-output" CloseOutput;
    /// Says that a field of its configuration is secret.
    "secret-field" SecretField(String);
    /// Takes memory until it dies, or has 4 GiB.
    "memory-hog" MemoryHog;
    /// Keeps two cores busy, and goes on.
    "cpu-hog" CpuHog;
    /// Starts so many children that leave its session and outlive it, and goes on.
    "fork-children" ForkChildren(u32);
    /// Asks the TCP server at that place for a line, logs the answer, and goes on.
    "dial" Dial(String);
    /// Stops itself by a signal.
    "stop-self" StopSelf;

    /// Sends a batch beyond the size of a message.
    "giant-batch" GiantBatch;
    /// Sends a batch of more records than one may have.
    "many-records" ManyRecords;
    /// Declares one record more than it sent, at the end of a scope.
    "wrong-count" WrongCount;
    /// Declares one record more than it sent, at the end of the sync.
    "wrong-sync-count" WrongSyncCount;
    /// Never ends a scope.
    "unclosed-scope" UnclosedScope;
    /// Ends a scope twice.
    "closed-twice" ClosedTwice;
    /// Sends a batch into a scope that ended.
    "batch-after-end" BatchAfterEnd;
    /// Sends a batch into a scope that never began.
    "unknown-scope" UnknownScope;
    /// Begins a scope under a name that was used.
    "scope-twice" ScopeTwice;
    /// Ends the stream without the end of the sync.
    "no-sync-end" NoSyncEnd;
    /// Goes on after the end of the sync.
    "after-sync-end" AfterSyncEnd;
    /// Sends a user twice.
    "duplicate-keys" DuplicateKeys;
    /// Grants entitlements that do not exist.
    "dangling-grants" DanglingGrants;
    /// Does not know an attribute of users.
    "schema-drop" SchemaDrop(String);
    /// Knows an attribute of users as a number.
    "schema-type" SchemaType(String);
    /// Announces an attribute of users as one that each of them has.
    "schema-require" SchemaRequire(String);
    /// Leaves an attribute of users empty.
    "null-attribute" NullAttribute(String);
    /// Sends a column that it did not announce.
    "undeclared-column" UndeclaredColumn;
    /// Ends that scope as incomplete, with half of its records.
    "incomplete" Incomplete(String);
    /// Ends that scope as gone, without records.
    "gone" Gone(String);
    /// Reports every scope as complete and empty.
    "empty" Empty;
    /// Reports the first so many percent of the users, and their grants, as complete.
    "truncate" Truncate(u32);
    /// Gives every user another id.
    "rekey" Rekey;
    /// Sends text that is not UTF-8.
    "bad-utf8" BadUtf8;
    /// Sends lengths that do not add up to their text.
    "bad-lengths" BadLengths;
    /// Puts control characters into an id.
    "control-characters" ControlCharacters;
    /// Says that the source counts twice as many records as it has.
    "lie-total" LieTotal;
    /// Says of every record that is asked for: present, absent or unknown.
    "say" Say(String);
    /// Leaves out its answer to the last record that is asked for.
    "short-answer" ShortAnswer;
    /// Announces only protocol versions of the future.
    "future-protocol" FutureProtocol;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_read_as_it_was_written() {
        let scenario = Scenario::with("page:3", "exit:7")
            .and("scope-end:users", "wrong-count")
            .and("scope-begin", "crash")
            .on_day(2);
        let text = serde_json::to_string(&scenario).unwrap();
        assert!(text.contains(r#"{"at":"page:3","do":"exit:7"}"#), "{text}");
        assert_eq!(serde_json::from_str::<Scenario>(&text).unwrap(), scenario);
    }

    #[test]
    fn an_unknown_word_or_a_missing_argument_is_refused() {
        for (at, act) in [("page", "crash"), ("pages:1", "crash"), ("start", "exit"), ("start", "")]
        {
            let text = format!(r#"{{"at":"{at}","do":"{act}"}}"#);
            assert!(serde_json::from_str::<Fault>(&text).is_err(), "{text}");
        }
    }
}
