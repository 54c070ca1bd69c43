//! The tables, and the version of their layout.
//!
//! `STRICT` and `CHECK` refuse what no version of Cordon writes. Triggers refuse to change evidence,
//! which stops mistakes and wrong tools; whoever can write the file can drop a trigger, too, and is
//! caught by the hashes.
//!
//! Times are microseconds since 1970 in UTC. Lists and maps are JSON. A later version of the layout
//! gets a higher number and a step that leads there from the one before.

/// The version of the tables that this program writes, kept in `PRAGMA user_version`.
pub const SCHEMA_VERSION: i64 = 3;

/// Says that a SQLite file is a ledger: "Crdn" in ASCII, kept in `PRAGMA application_id`.
pub(crate) const APPLICATION_ID: i64 = 0x4372_646E;

/// What makes each version of the layout from the one before, the first from nothing. Everything but
/// the first evidence record.
pub(crate) const STEPS: [&str; SCHEMA_VERSION as usize] = [TABLES, PARTS, MEMORY];

/// The first version. The two pragmas of the steps repeat the constants above; opening compares
/// them.
const TABLES: &str = "
PRAGMA application_id = 1131570286;
PRAGMA user_version = 1;

CREATE TABLE evidence (
    seq       INTEGER PRIMARY KEY CHECK (seq >= 1),
    time      INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    connector TEXT,
    actor     TEXT NOT NULL,
    body      TEXT NOT NULL,
    prev_hash BLOB NOT NULL CHECK (length(prev_hash) = 32),
    hash      BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX evidence_by_connector ON evidence (connector, seq);
CREATE INDEX evidence_by_kind ON evidence (kind, connector, seq);

CREATE TABLE chain_head (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    seq  INTEGER NOT NULL REFERENCES evidence (seq),
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER evidence_is_never_changed BEFORE UPDATE ON evidence
BEGIN SELECT RAISE(ABORT, 'evidence is never changed'); END;
CREATE TRIGGER evidence_is_never_deleted BEFORE DELETE ON evidence
BEGIN SELECT RAISE(ABORT, 'evidence is never deleted'); END;
CREATE TRIGGER evidence_is_only_appended BEFORE INSERT ON evidence
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM evidence)
BEGIN SELECT RAISE(ABORT, 'evidence is only appended'); END;

-- Counters never go back, whatever becomes of the rows they numbered.
CREATE TABLE connectors (
    connector     TEXT PRIMARY KEY,
    last_sync     INTEGER NOT NULL DEFAULT 0 CHECK (last_sync >= 0),
    last_position INTEGER NOT NULL DEFAULT 0 CHECK (last_position >= 0),
    last_seq      INTEGER NOT NULL DEFAULT 0 CHECK (last_seq >= 0)
) STRICT;

CREATE TABLE wanted (
    connector TEXT PRIMARY KEY REFERENCES connectors (connector),
    state     TEXT NOT NULL CHECK (state IN ('run', 'stopped', 'paused')),
    by        TEXT,
    reason    TEXT,
    since     INTEGER,
    until     INTEGER,
    evidence  INTEGER NOT NULL REFERENCES evidence (seq),
    CHECK ((state = 'paused') = (by IS NOT NULL AND reason IS NOT NULL AND since IS NOT NULL)),
    CHECK (until IS NULL OR state = 'paused')
) STRICT;

CREATE TABLE runs (
    connector      TEXT NOT NULL REFERENCES connectors (connector),
    sync           INTEGER NOT NULL CHECK (sync >= 1),
    trigger        TEXT NOT NULL,
    outcome        TEXT NOT NULL CHECK (outcome IN ('running', 'failed', 'committed', 'quarantined',
                                                    'rejected', 'released', 'superseded')),
    started_at     INTEGER NOT NULL,
    ended_at       INTEGER,
    error          TEXT,
    death          TEXT,
    changes        TEXT,
    verdict        TEXT,
    findings       TEXT NOT NULL DEFAULT '[]',
    digest         TEXT,
    content_digest TEXT,
    records        INTEGER NOT NULL DEFAULT 0 CHECK (records >= 0),
    timings        TEXT NOT NULL DEFAULT '{}',
    peak_bytes     INTEGER,
    jail_report    TEXT,
    joined         INTEGER,
    PRIMARY KEY (connector, sync),
    FOREIGN KEY (connector, joined) REFERENCES runs (connector, sync),
    CHECK ((outcome = 'running') = (ended_at IS NULL))
) STRICT;
CREATE INDEX runs_still_running ON runs (connector, sync) WHERE outcome = 'running';

CREATE TABLE quarantine (
    connector      TEXT NOT NULL,
    sync           INTEGER NOT NULL,
    digest         TEXT NOT NULL,
    content_digest TEXT NOT NULL,
    against        INTEGER,
    since          INTEGER NOT NULL,
    repeats        INTEGER NOT NULL DEFAULT 0 CHECK (repeats >= 0),
    last_sync      INTEGER NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('open', 'released', 'rejected', 'superseded')),
    evidence       INTEGER NOT NULL REFERENCES evidence (seq),
    PRIMARY KEY (connector, sync),
    FOREIGN KEY (connector, sync) REFERENCES runs (connector, sync)
) STRICT;
CREATE UNIQUE INDEX quarantine_open ON quarantine (connector) WHERE state = 'open';

CREATE TABLE decisions (
    connector TEXT NOT NULL,
    sync      INTEGER NOT NULL,
    decision  TEXT NOT NULL CHECK (decision IN ('release', 'reject')),
    by        TEXT NOT NULL,
    reason    TEXT NOT NULL,
    digest    TEXT NOT NULL,
    at        INTEGER NOT NULL,
    evidence  INTEGER NOT NULL REFERENCES evidence (seq),
    PRIMARY KEY (connector, sync),
    FOREIGN KEY (connector, sync) REFERENCES quarantine (connector, sync)
) STRICT;

CREATE TABLE snapshots (
    connector      TEXT NOT NULL,
    sync           INTEGER NOT NULL,
    digest         TEXT NOT NULL,
    content_digest TEXT NOT NULL,
    taken_at       INTEGER NOT NULL,
    committed_at   INTEGER NOT NULL,
    records        INTEGER NOT NULL CHECK (records >= 0),
    labels         TEXT NOT NULL,
    removed        TEXT NOT NULL,
    watermarks     TEXT NOT NULL,
    kept           INTEGER NOT NULL DEFAULT 1 CHECK (kept IN (0, 1)),
    evidence       INTEGER NOT NULL REFERENCES evidence (seq),
    PRIMARY KEY (connector, sync),
    FOREIGN KEY (connector, sync) REFERENCES runs (connector, sync)
) STRICT;
CREATE INDEX snapshots_by_content ON snapshots (connector, content_digest);
CREATE INDEX snapshots_by_time ON snapshots (connector, committed_at);

CREATE TABLE last_good (
    connector TEXT PRIMARY KEY REFERENCES connectors (connector),
    sync      INTEGER NOT NULL,
    FOREIGN KEY (connector, sync) REFERENCES snapshots (connector, sync)
) STRICT;

-- One entry a snapshot, those without changes included (last_seq = first_seq - 1).
CREATE TABLE outbox (
    connector    TEXT NOT NULL REFERENCES connectors (connector),
    position     INTEGER NOT NULL CHECK (position >= 1),
    from_sync    INTEGER,
    to_sync      INTEGER NOT NULL,
    first_seq    INTEGER NOT NULL CHECK (first_seq >= 1),
    last_seq     INTEGER NOT NULL CHECK (last_seq >= first_seq - 1),
    committed_at INTEGER NOT NULL,
    PRIMARY KEY (connector, position),
    FOREIGN KEY (connector, from_sync) REFERENCES snapshots (connector, sync),
    FOREIGN KEY (connector, to_sync) REFERENCES snapshots (connector, sync)
) STRICT;
CREATE INDEX outbox_by_seq ON outbox (connector, last_seq, position);

CREATE TABLE cursors (
    sink               TEXT NOT NULL,
    connector          TEXT NOT NULL REFERENCES connectors (connector),
    seq                INTEGER NOT NULL CHECK (seq >= 0),
    baseline_to        INTEGER,
    baseline_delivered INTEGER NOT NULL DEFAULT 0 CHECK (baseline_delivered >= 0),
    PRIMARY KEY (sink, connector)
) STRICT;
CREATE INDEX cursors_by_connector ON cursors (connector, seq);
";

/// The second version: what waits may be a rest, and a release may wait for a second person.
const PARTS: &str = "
PRAGMA user_version = 2;

-- Candidates that wait of which a part was published, and those that repeat such a rest.
CREATE TABLE rests (
    connector TEXT NOT NULL,
    sync      INTEGER NOT NULL,
    left_by   TEXT NOT NULL CHECK (left_by IN ('person', 'policy')),
    released  TEXT NOT NULL,
    PRIMARY KEY (connector, sync),
    FOREIGN KEY (connector, sync) REFERENCES quarantine (connector, sync)
) STRICT;

CREATE TABLE requests (
    connector  TEXT PRIMARY KEY,
    sync       INTEGER NOT NULL,
    digest     TEXT NOT NULL,
    selection  TEXT NOT NULL,
    by         TEXT NOT NULL,
    uid        INTEGER NOT NULL CHECK (uid >= 0),
    reason     TEXT NOT NULL,
    at         INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    evidence   INTEGER NOT NULL REFERENCES evidence (seq),
    FOREIGN KEY (connector, sync) REFERENCES quarantine (connector, sync)
) STRICT;
";

const MEMORY: &str = "
PRAGMA user_version = 3;

-- What the detector remembers of a connector, as it wrote it.
CREATE TABLE memory (
    connector TEXT PRIMARY KEY REFERENCES connectors (connector),
    memory    TEXT NOT NULL,
    evidence  INTEGER NOT NULL REFERENCES evidence (seq)
) STRICT;
";
