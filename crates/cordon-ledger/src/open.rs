//! Opens a ledger: makes a whole one where there is none, and refuses a damaged one untouched.
//!
//! A new ledger is made beside its place and linked into it when it is whole. So a file that is
//! there is a whole ledger or a damaged one, and an empty file is never taken for a fresh start: that
//! would forget every pause. Everything is checked through a connection that cannot write, before
//! one that can is opened.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::Mutex;

use crate::faults::Faults;
use crate::schema::{APPLICATION_ID, SCHEMA_VERSION, STEPS};
use crate::{ChainReport, Extent, Ledger, OpenError, VerifyError, evidence, witness};

/// A chain shorter than this is checked whole when a ledger is opened.
const CHECKED_WHOLE_BELOW: u64 = 100_000;

/// Of a longer chain this many of the newest records are checked.
const CHECKED_TAIL: u64 = 10_000;

/// How long a write waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

const READERS_MAX: u32 = 4;

/// The first bytes of every SQLite file.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

impl Ledger {
    /// Opens the ledger at a path, making it if there is none. `now` is when a new one was made.
    ///
    /// Checks the file, every row that evidence vouches for, and the evidence itself: whole
    /// below 100,000 records, else the newest 10,000; [`Ledger::opened`] says which.
    pub async fn open(path: &Path, now: Timestamp) -> Result<Self, OpenError> {
        let opening = Opening { path };
        if !opening.exists()? {
            opening.create(now).await?;
        }
        opening.check_magic()?;
        let (opened, version) = opening.check().await?;
        if let Extent::Tail { from } = opened.extent {
            tracing::info!(%from, head = %opened.head, "checked the newest evidence records");
        }
        let mut writer = options(path)
            .journal_mode(SqliteJournalMode::Wal)
            .connect()
            .await
            .map_err(|source| opening.database(source))?;
        if version < STEPS.len() {
            tracing::info!(
                from = version,
                to = STEPS.len(),
                "bringing the ledger to its newest layout"
            );
            opening.step(&mut writer, version).await?;
        }
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .connect_with(options(path).pragma("query_only", "ON"))
            .await
            .map_err(|source| opening.database(source))?;
        Ok(Self {
            path: path.into(),
            writer: Arc::new(Mutex::new(writer)),
            readers,
            opened,
            faults: Faults::default(),
        })
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // A commit must survive a power loss; in WAL mode anything less syncs only at checkpoints.
        .synchronous(SqliteSynchronous::Full)
}

/// A ledger that is being opened.
struct Opening<'a> {
    path: &'a Path,
}

impl Opening<'_> {
    fn file(&self, source: io::Error) -> OpenError {
        OpenError::File { path: self.path.to_owned(), source }
    }

    fn database(&self, source: sqlx::Error) -> OpenError {
        OpenError::Database { path: self.path.to_owned(), source }
    }

    fn damaged(&self, check: impl Into<String>) -> OpenError {
        OpenError::Damaged { path: self.path.to_owned(), check: check.into() }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    }

    fn exists(&self) -> Result<bool, OpenError> {
        if self.path.try_exists().map_err(|source| self.file(source))? {
            return Ok(true);
        }
        // SQLite would throw the log away with what was committed in it.
        let log = self.beside("-wal");
        match fs::metadata(&log) {
            Ok(metadata) if metadata.len() > 0 => Err(self.damaged(format!(
                "it is missing, and its write-ahead log {} is not empty",
                log.display()
            ))),
            _ => Ok(false),
        }
    }

    /// Makes a whole ledger beside the place and links it there, unless another was faster.
    async fn create(&self, now: Timestamp) -> Result<(), OpenError> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let draft = self.beside(&format!(".new-{}-{made}", process::id()));
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .map_err(|source| self.file(source))?;
        let linked = self.fill_and_link(&draft, now).await;
        fs::remove_file(&draft).map_err(|source| self.file(source))?;
        linked
    }

    async fn fill_and_link(&self, draft: &Path, now: Timestamp) -> Result<(), OpenError> {
        fill(draft, now).await.map_err(|source| self.database(source))?;
        let linked = sync_file(draft).and_then(|()| match fs::hard_link(draft, self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
        let parent = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        linked.and_then(|()| sync_file(parent)).map_err(|source| self.file(source))
    }

    /// SQLite takes some files that are none for empty databases.
    fn check_magic(&self) -> Result<(), OpenError> {
        let mut first = [0; MAGIC.len()];
        let read = File::open(self.path).and_then(|mut file| file.read_exact(&mut first));
        match read {
            Ok(()) if first == *MAGIC => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(self.file(error)),
            _ => Err(self.damaged("it is not a SQLite database")),
        }
    }

    /// Checks everything through a connection that cannot write; tells the version of the layout.
    async fn check(&self) -> Result<(ChainReport, usize), OpenError> {
        let mut reader = options(self.path)
            .read_only(true)
            .connect()
            .await
            .map_err(|source| self.unreadable(source))?;
        let checked = self.check_with(&mut reader).await;
        // The connection changed nothing, so closing it has nothing to lose.
        let _ = reader.close().await;
        checked
    }

    async fn check_with(
        &self,
        reader: &mut SqliteConnection,
    ) -> Result<(ChainReport, usize), OpenError> {
        sqlx::raw_sql("BEGIN").execute(&mut *reader).await.map_err(|e| self.unreadable(e))?;
        let application = self.integer(reader, "PRAGMA application_id").await?;
        if application != APPLICATION_ID {
            return Err(OpenError::Foreign { path: self.path.to_owned() });
        }
        let found = self.integer(reader, "PRAGMA user_version").await?;
        if found > SCHEMA_VERSION {
            let path = self.path.to_owned();
            return Err(OpenError::Newer { path, found, known: SCHEMA_VERSION });
        }
        let version = usize::try_from(found).ok().filter(|version| *version >= 1);
        let Some(version) = version else {
            return Err(self.damaged(format!("no Cordon wrote schema version {found}")));
        };
        self.check_pages(reader).await?;
        let head = evidence::head(reader).await.map_err(|error| self.evidence(error.into()))?.0;
        let tail = (head.0 >= CHECKED_WHOLE_BELOW).then_some(CHECKED_TAIL);
        let report = evidence::verify(reader, tail).await.map_err(|error| self.evidence(error))?;
        // An older layout lacks tables that are asked; its rows are compared when it has them.
        if version == STEPS.len() {
            witness::check(reader).await.map_err(|error| self.evidence(error))?;
        }
        self.check_tables(reader, version).await?;
        Ok((report, version))
    }

    async fn check_pages(&self, reader: &mut SqliteConnection) -> Result<(), OpenError> {
        let found: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_all(&mut *reader)
            .await
            .map_err(|source| self.unreadable(source))?;
        if found != ["ok"] {
            return Err(self.damaged(format!("quick_check found {}", found.join("; "))));
        }
        let orphans = sqlx::query("PRAGMA foreign_key_check")
            .fetch_all(reader)
            .await
            .map_err(|source| self.unreadable(source))?;
        if !orphans.is_empty() {
            return Err(self.damaged(format!("{} rows refer to rows that are gone", orphans.len())));
        }
        Ok(())
    }

    /// The tables as text: a byte that flipped in it is a sound page for SQLite, and a column that is
    /// gone or a check that no longer checks.
    async fn check_tables(
        &self,
        reader: &mut SqliteConnection,
        version: usize,
    ) -> Result<(), OpenError> {
        let found = tables(reader).await.map_err(|source| self.unreadable(source))?;
        let mut model = SqliteConnectOptions::new()
            .in_memory(true)
            .connect()
            .await
            .map_err(|source| self.database(source))?;
        for step in STEPS.iter().take(version) {
            let made = sqlx::raw_sql(*step).execute(&mut model).await;
            made.map_err(|source| self.database(source))?;
        }
        let known = tables(&mut model).await.map_err(|source| self.database(source))?;
        match known.iter().find(|table| !found.contains(table)) {
            Some((name, _)) => Err(self.damaged(format!("{name} is not what Cordon made"))),
            None if found.len() != known.len() => {
                Err(self.damaged("there is more in it than Cordon made"))
            }
            None => Ok(()),
        }
    }

    /// Leads from a version of the layout to the newest; whole, or not at all where a row is not what
    /// its evidence says.
    async fn step(&self, writer: &mut SqliteConnection, version: usize) -> Result<(), OpenError> {
        let tx = writer.begin_with("BEGIN IMMEDIATE").await;
        let mut tx = tx.map_err(|source| self.database(source))?;
        for step in STEPS.iter().skip(version) {
            let made = sqlx::raw_sql(*step).execute(&mut *tx).await;
            made.map_err(|source| self.database(source))?;
        }
        witness::check(&mut tx).await.map_err(|error| self.evidence(error))?;
        tx.commit().await.map_err(|source| self.database(source))
    }

    async fn integer(
        &self,
        reader: &mut SqliteConnection,
        pragma: &'static str,
    ) -> Result<i64, OpenError> {
        sqlx::query_scalar(pragma).fetch_one(reader).await.map_err(|source| self.unreadable(source))
    }

    /// What SQLite says of a damaged file is damage; all else is trouble with opening it.
    fn unreadable(&self, source: sqlx::Error) -> OpenError {
        const CORRUPT: i64 = 11;
        const NOT_A_DATABASE: i64 = 26;
        let code = source
            .as_database_error()
            .and_then(|error| error.code())
            .and_then(|code| code.parse::<i64>().ok());
        // The low byte is the code, the rest says more of it.
        match code.map(|code| code & 0xff) {
            Some(CORRUPT | NOT_A_DATABASE) => self.damaged(source.to_string()),
            _ => self.database(source),
        }
    }

    fn evidence(&self, error: VerifyError) -> OpenError {
        match error {
            VerifyError::Fault(source) => {
                OpenError::Evidence { path: self.path.to_owned(), source }
            }
            VerifyError::Read(error) => self.damaged(describe(&error)),
        }
    }
}

/// Names and texts of what a database is made of; what SQLite makes for itself has no text.
async fn tables(connection: &mut SqliteConnection) -> Result<Vec<(String, String)>, sqlx::Error> {
    sqlx::query_as("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
        .fetch_all(connection)
        .await
}

/// An error with its causes, for a message that has no place for a source.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

async fn fill(draft: &Path, now: Timestamp) -> Result<(), sqlx::Error> {
    let mut connection = options(draft).journal_mode(SqliteJournalMode::Wal).connect().await?;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await?;
    for step in STEPS {
        sqlx::raw_sql(step).execute(&mut connection).await?;
    }
    evidence::create(&mut connection, now).await?;
    sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
    // The last connection to close moves the log into the file.
    connection.close().await
}

fn sync_file(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
