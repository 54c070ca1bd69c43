//! Every bound that holds the supervisor together, in one place.
//!
//! What crosses a process border arrives faster than anyone reads it, or never. Each queue has an
//! end, each wait a deadline; they stand here so that they can be weighed against each other.

use std::time::Duration;

/// Orders that may wait for one connector's task.
pub(crate) const COMMANDS: usize = 64;
/// Messages that carry little, which one sync may send at once: the scopes of a large source.
pub(crate) const SMALL_MESSAGES_AT_ONCE: f64 = 20_000.0;
/// How many more a second are read of it while another connector syncs.
pub(crate) const SMALL_MESSAGES_PER_SECOND: f64 = 5_000.0;
/// A sync counts as one beside others for so long after its end: the next may follow at once.
pub(crate) const CROWD_LINGERS: Duration = Duration::from_secs(1);
/// A sync of at most so many records, or of twice the last known good, is nothing unusual.
pub(crate) const UNUSUAL_RECORDS_FROM: u64 = 100_000;
/// Records a second beyond that which are read while another connector syncs.
pub(crate) const UNUSUAL_RECORDS_PER_SECOND: f64 = 10_000.0;
/// Batches between the stream and the thread that stages them: 16 of at most 4 MiB.
pub(crate) const BATCHES_IN_FLIGHT: usize = 16;
/// Evidence records that a slow follower of events may lag behind.
pub(crate) const EVENTS_IN_FLIGHT: usize = 256;
/// Changes in one delivery to a sink, at most.
pub(crate) const DELIVERY_BATCH_MAX: usize = 500;
/// Scopes that one sync may open; the store keeps as many.
pub(crate) const SCOPES_MAX: u32 = 100_000;
/// Lines of a connector's output kept in memory.
pub(crate) const LOG_LINES: usize = 1_000;
/// Bytes of one line of a connector's output; the rest of the line is dropped and counted.
pub(crate) const LOG_LINE_BYTES: usize = 4_096;
/// Lines a second that one connector may write; the rest is dropped and counted.
pub(crate) const LOG_LINES_PER_SECOND: u32 = 200;
/// Bytes a second of one connector's lines that are kept; the rest is dropped and counted.
pub(crate) const LOG_BYTES_PER_SECOND: usize = 256 * 1024;
/// Bytes a second of one connector's output that are read without a pause.
pub(crate) const LOG_FLOOD_BYTES_PER_SECOND: usize = 4 * 1024 * 1024;
/// Bytes of one connector's lines that wait for the disk; the rest is dropped and counted.
pub(crate) const LOG_QUEUE_BYTES: usize = 1024 * 1024;
/// Bytes of a connector's log file before it is rotated.
pub(crate) const LOG_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Connections that one connector may have out of its own network at a time.
pub(crate) const EGRESS_CONNECTIONS: usize = 256;

/// From a connector's connection to one at its destination.
pub(crate) const EGRESS_DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// From `SIGTERM` at the supervisor to the end of running syncs; what then still runs is called off
/// and stays due.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);
/// From the calling off to the end of every connector's task.
pub(crate) const CALL_OFF_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a start asks the service manager for patience.
pub(crate) const START_TURN: Duration = Duration::from_secs(2);
/// A start that takes longer than this asks for no more patience.
pub(crate) const RECOVERY_MAX: Duration = Duration::from_secs(30 * 60);
/// Crashes within this time count together.
pub(crate) const BREAKER_WINDOW: Duration = Duration::from_secs(600);
/// How long an open breaker stays open without a person.
pub(crate) const BREAKER_OPEN: Duration = Duration::from_secs(900);
/// A connector's failures are forgotten after it ran well for so long.
pub(crate) const STABLE: Duration = Duration::from_secs(600);
/// Credentials that the source refused are tried again this slowly: a directory locks accounts.
pub(crate) const AUTH_RETRY: Duration = Duration::from_secs(300);
/// Tries after a death of memory, before it is held.
pub(crate) const MEMORY_RETRIES: u32 = 2;
/// How long it is held then without a person: the limit will be as it was.
pub(crate) const MEMORY_HELD: Duration = Duration::from_secs(3_600);
/// Starts at a time on this host.
pub(crate) const STARTS_AT_A_TIME: usize = 4;
/// A start that finds others at it waits a random part of this first.
pub(crate) const START_SPREAD: Duration = Duration::from_millis(250);
/// A sync without work for so long gives way to others: it runs on the processor that they leave. One
/// that waits for its source notices nothing of it.
pub(crate) const GIVE_WAY_AFTER: Duration = Duration::from_millis(500);
/// How long the sync after a failure has little processor time.
pub(crate) const LITTLE_FOR: Duration = Duration::from_secs(5);
/// Tasks beyond its limit that a connector may ask for while it brings nothing: more is a bomb, or
/// work that its limit does not let it do. Each try costs whoever is beside it, for the kernel makes half a task
/// before it refuses.
pub(crate) const TASKS_DENIED_MAX: u64 = 500;
/// How often a process is looked at for being stopped by a signal.
pub(crate) const STOPPED_LOOK: Duration = Duration::from_millis(500);
/// It is ended when it was found stopped so many times in a row: a debugger that attaches stops it
/// for a moment.
pub(crate) const STOPPED_LOOKS: u32 = 3;
/// A connection that says nothing for so long is asked for a sign of life.
pub(crate) const PING_AFTER: Duration = Duration::from_secs(10);
/// How long the sign may take.
pub(crate) const PING_ANSWER: Duration = Duration::from_secs(5);
/// A restart that somebody waits for: to its turn, and to its end.
pub(crate) const RESTART_WAIT: Duration = Duration::from_secs(120);
/// How often the main loop proves that it goes round.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often retention and the sweep run.
pub(crate) const HOUSEKEEPING: Duration = Duration::from_secs(600);
/// A sink that has nothing to do looks again after this, even when nobody rang.
pub(crate) const OUTBOX_POLL: Duration = Duration::from_secs(5);

/// Records that a connector is asked for in one call. Keys have up to 2 KiB: such a request is far
/// below the greatest message.
pub(crate) const LOOKUP_KEYS: usize = 500;
/// The same, of one that reads its whole source for each call. Still below the greatest message.
pub(crate) const LOOKUP_KEYS_BY_READING: usize = 1_500;

/// Changes that are looked through for what they have in common while somebody waits for a diff.
pub(crate) const CONTRAST_CHANGES: u64 = 1_000_000;
/// Records of one type that are counted beside them.
pub(crate) const CONTRAST_RECORDS: u64 = 2_000_000;
/// Records of one type that went or came in which a mapping of ids is looked for.
pub(crate) const REMAP_RECORDS: usize = 100_000;
