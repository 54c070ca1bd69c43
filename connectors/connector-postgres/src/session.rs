//! A connection to one database, and the one transaction that is read in it.
//!
//! Each wait for the server ends with its answer, with the sync's cancellation or with a deadline of
//! our own: a server that is stopped or cut off keeps no timeout of its own. Who gives up asks the
//! server to give up, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cordon_sdk::{Error, Sync};
use cordon_tls::{Tls, Trust};
use secrecy::ExposeSecret;
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{CancelToken, Client, IsolationLevel, NoTls, Transaction};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::Config;
use crate::fault::{self, Trouble};

/// What the server gets beyond its own timeout, to say that it has run out.
const GRACE: Duration = Duration::from_secs(5);
/// How long we try to tell the server that nobody waits any more.
const CANCEL_WITHIN: Duration = Duration::from_secs(1);
/// How long a transaction may stand open while the supervisor does not keep up.
const IDLE_MINUTES_MAX: u32 = 10;
const KEEPALIVE_SECONDS: u64 = 30;

/// The way to a server.
pub(crate) struct Access {
    config: Arc<Config>,
    trust: Option<Trust>,
}

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum LoginError {
    /// It lies in this one database.
    Database(Error),
    /// It does not.
    Failed(Error),
}

impl From<LoginError> for Error {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Database(error) | LoginError::Failed(error) => error,
        }
    }
}

impl Access {
    pub(crate) fn new(config: Arc<Config>) -> Result<Self, Error> {
        let trust = config.tls.as_ref().map(Tls::trust).transpose()?;
        Ok(Self { config, trust })
    }

    /// The server, for messages.
    pub(crate) fn place(&self) -> String {
        let port = self.config.port;
        match (&self.config.host, &self.config.socket) {
            (Some(host), _) => format!("{host}:{port}"),
            (None, Some(socket)) => format!("{}/.s.PGSQL.{port}", socket.display()),
            (None, None) => String::new(),
        }
    }

    fn parameters(&self, database: &str) -> tokio_postgres::Config {
        let config = &self.config;
        let mut parameters = tokio_postgres::Config::new();
        match (&config.host, &config.socket) {
            (Some(host), _) => {
                parameters.host(host);
            }
            (None, Some(socket)) => {
                parameters.host_path(socket);
            }
            (None, None) => {}
        }
        if let Some(password) = &config.password {
            parameters.password(password.expose_secret());
        }
        let mode = if self.trust.is_some() { SslMode::Require } else { SslMode::Disable };
        parameters
            .port(config.port)
            .user(&config.user)
            .dbname(database)
            .ssl_mode(mode)
            .application_name("cordon")
            .connect_timeout(config.connect_timeout())
            .keepalives_idle(Duration::from_secs(KEEPALIVE_SECONDS));
        parameters
    }

    /// Logs in to one database.
    pub(crate) async fn log_in(
        &self,
        database: &str,
        sync: Option<&Sync>,
    ) -> Result<Session, LoginError> {
        let parameters = self.parameters(database);
        let tls = self.trust.as_ref().map(|trust| MakeRustlsConnect::new(trust.config()));
        let connecting = async {
            match &tls {
                Some(tls) => {
                    let (client, connection) = parameters.connect(tls.clone()).await?;
                    Ok((client, tokio::spawn(async move { drop(connection.await) })))
                }
                None => {
                    let (client, connection) = parameters.connect(NoTls).await?;
                    Ok((client, tokio::spawn(async move { drop(connection.await) })))
                }
            }
        };
        let limit = self.config.connect_timeout();
        let (place, begun) = (self.place(), Instant::now());
        let connected = tokio::select! {
            () = cancelled(sync) => return Err(LoginError::Failed(Error::Cancelled)),
            connected = tokio::time::timeout(limit, connecting) => connected,
        };
        let (client, connection) = connected
            .map_err(|_| {
                let message = format!("{place} did not let us in within {} s", limit.as_secs());
                LoginError::Failed(Error::unavailable(message))
            })?
            .map_err(|error: tokio_postgres::Error| {
                if let Some(refusal) = self.trust.as_ref().and_then(Trust::refusal) {
                    return LoginError::Failed(refusal);
                }
                let told = fault::of_login(&error, &place, database);
                if fault::is_of_one_database(&error) {
                    LoginError::Database(told)
                } else {
                    LoginError::Failed(told)
                }
            })?;
        let wait = Wait {
            limit: self.config.statement_timeout() + GRACE,
            cancel: client.cancel_token(),
            tls,
            micros: AtomicU64::new(micros(begun.elapsed())),
        };
        let connection = Running(connection.abort_handle());
        let statement_millis = self.config.statement_timeout().as_millis();
        Ok(Session { client, wait, statement_millis, _connection: connection })
    }
}

/// A connection to one database.
pub(crate) struct Session {
    client: Client,
    wait: Wait,
    statement_millis: u128,
    _connection: Running,
}

impl Session {
    /// Begins the transaction in which everything of this database is read.
    pub(crate) async fn begin<'s>(
        &'s mut self,
        sync: Option<&'s Sync>,
    ) -> Result<(Transaction<'s>, Waiting<'s>), Error> {
        let waiting = Waiting { wait: &self.wait, sync };
        let start = self
            .client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start();
        let transaction = waiting.on("the server", start).await?;
        // Names and operators mean what they mean in pg_catalog, whatever this role's settings say.
        let settings = format!(
            "SET LOCAL search_path = pg_catalog; \
             SET LOCAL statement_timeout = {millis}; \
             SET LOCAL lock_timeout = {millis}; \
             SET LOCAL idle_in_transaction_session_timeout = '{IDLE_MINUTES_MAX}min'; \
             SET LOCAL max_parallel_workers_per_gather = 0; \
             SET LOCAL jit = off",
            millis = self.statement_millis
        );
        waiting.on("the server", transaction.batch_execute(&settings)).await?;
        Ok((transaction, waiting))
    }
}

/// How waits for one connection end, and how long they took.
struct Wait {
    limit: Duration,
    cancel: CancelToken,
    tls: Option<MakeRustlsConnect>,
    micros: AtomicU64,
}

/// Waits for the server on behalf of a sync, or of nobody.
#[derive(Clone, Copy)]
pub(crate) struct Waiting<'s> {
    wait: &'s Wait,
    sync: Option<&'s Sync>,
}

impl Waiting<'_> {
    /// Waits for one answer.
    pub(crate) async fn on<T>(
        &self,
        what: &str,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Trouble> {
        let begun = Instant::now();
        let limit = self.wait.limit;
        let answer = tokio::select! {
            answer = tokio::time::timeout(limit, answer) => answer,
            () = cancelled(self.sync) => {
                self.wait.give_up();
                return Err(Error::Cancelled.into());
            }
        };
        self.wait.micros.fetch_add(micros(begun.elapsed()), Ordering::Relaxed);
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(fault::of_question(&error, what)),
            Err(_) => {
                self.wait.give_up();
                let seconds = limit.as_secs();
                let message = format!("cannot read {what}: no answer within {seconds} s");
                Err(Error::unavailable(message).into())
            }
        }
    }

    /// How long the server was waited for.
    pub(crate) fn waited(&self) -> Duration {
        Duration::from_micros(self.wait.micros.load(Ordering::Relaxed))
    }
}

impl Wait {
    /// Asks the server to stop what it does for us.
    fn give_up(&self) {
        let (cancel, tls) = (self.cancel.clone(), self.tls.clone());
        tokio::spawn(async move {
            let asked = async {
                match tls {
                    Some(tls) => cancel.cancel_query(tls).await,
                    None => cancel.cancel_query(NoTls).await,
                }
            };
            // A server that does not hear it has timeouts of its own.
            let _ = tokio::time::timeout(CANCEL_WITHIN, asked).await;
        });
    }
}

/// The task that speaks with the server; it ends with the session.
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn cancelled(sync: Option<&Sync>) {
    match sync {
        Some(sync) => sync.cancelled().await,
        None => std::future::pending().await,
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
