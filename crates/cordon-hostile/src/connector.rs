//! An honest connector that does one hostile thing in the middle of its sync.
//!
//! What forks or takes memory is done by an agent: a child that was forked while this process had
//! one thread, for a fork beside the threads of a runtime is unsound. It shares the connector's
//! jail, groups and log, and ends when the connector is gone, if what it does lets it.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use cordon_sdk::{AccountType, Connector, Description, Error, Scope, Sync, User};
use serde::Deserialize;

use crate::attack;
use crate::exhaust::{self, Behaviour};
use crate::{fuse, process};

/// Where a supervisor says which descriptor is the channel.
const CHANNEL_VARIABLE: &str = "CORDON_FD";
/// Longer than any words for a behaviour.
const WORDS_BYTES_MAX: usize = 4_096;
/// Records of a flood, at most.
const FLOOD_RECORDS_MAX: u64 = 100_000_000;
/// Between two words that it still lives.
const HOLD_PAUSE: Duration = Duration::from_millis(200);

/// The way to the agent, and a second descriptor of the channel. Made before the runtime.
static BEFORE: OnceLock<(Mutex<UnixStream>, Option<OwnedFd>)> = OnceLock::new();

pub(crate) fn serve() -> ExitCode {
    match prepare() {
        Ok(before) => {
            BEFORE.get_or_init(|| before);
            cordon_sdk::serve::<Hostile>()
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: cannot begin: {error}");
            ExitCode::FAILURE
        }
    }
}

fn prepare() -> std::io::Result<(Mutex<UnixStream>, Option<OwnedFd>)> {
    attack::note_inherited();
    let (ours, theirs) = UnixStream::pair()?;
    process::in_child(|| {
        close_channel();
        agent(theirs)
    })?;
    Ok((Mutex::new(ours), second_channel()))
}

fn channel() -> Option<i32> {
    std::env::var(CHANNEL_VARIABLE).ok()?.parse().ok().filter(|number| *number > 2)
}

/// The agent has no use for the channel, and must not keep it open when the connector is gone.
fn close_channel() {
    if let Some(number) = channel() {
        let _ = nix::unistd::close(number);
    }
}

#[allow(unsafe_code)]
fn second_channel() -> Option<OwnedFd> {
    use std::os::fd::FromRawFd;
    let number = channel()?;
    // SAFETY: asks the kernel for a copy of a number, which is refused when it is not open; what
    // comes back is ours alone.
    unsafe {
        let copy = libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3);
        (copy >= 0).then(|| OwnedFd::from_raw_fd(copy))
    }
}

/// Does one behaviour after another, as it is told.
fn agent(mut orders: UnixStream) -> u8 {
    let mut words = [0; WORDS_BYTES_MAX];
    loop {
        let count = orders.read(&mut words).unwrap_or(0);
        let Ok(words) = std::str::from_utf8(&words[..count]) else { return 1 };
        if words.is_empty() {
            return 0;
        }
        let done = Deed::from_words(words).and_then(|deed| {
            let done = match deed {
                Deed::Attack(args) => attack::run(&args),
                Deed::Exhaust(behaviour) => exhaust::run(&behaviour),
            };
            done.map_err(|error| format!("{error:#}"))
        });
        fuse::put_out();
        if let Err(error) = done {
            let _ = writeln!(std::io::stderr(), "error: {error}");
        }
    }
}

/// What one can do in the middle of a sync.
#[derive(Subcommand)]
enum Deed {
    /// Try one forbidden thing, or all
    Attack(Box<attack::Args>),
    #[command(flatten)]
    Exhaust(Behaviour),
}

/// A deed as the configuration writes it.
#[derive(Parser)]
#[command(name = "behaviour")]
struct Words {
    #[command(subcommand)]
    deed: Deed,
}

impl Deed {
    /// Reads it from words as on a command line: `memory-hog --from tmpfs`.
    fn from_words(words: &str) -> Result<Self, String> {
        let words = std::iter::once("behaviour").chain(words.split_whitespace());
        let read = Words::try_parse_from(words).map_err(|error| {
            let text = error.to_string();
            text.lines().next().unwrap_or_default().to_owned()
        })?;
        Ok(read.deed)
    }
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// A behaviour or an attack with its options, as on the command line; none = honest.
    #[serde(default)]
    behaviour: Option<String>,
    /// How many users to report.
    #[serde(default = "some_users")]
    users: u32,
    /// How long the sync goes on in its middle, telling progress, after the behaviour was begun.
    #[serde(default)]
    hold_ms: u64,
}

fn some_users() -> u32 {
    100
}

struct Hostile {
    /// As it was written and as it was read.
    behaviour: Option<(String, Deed)>,
    users: u32,
    hold: Duration,
}

impl Connector for Hostile {
    type Config = Config;

    fn describe() -> Description {
        Description::new("hostile", env!("CARGO_PKG_VERSION")).reports(User::schema())
    }

    async fn open(config: Config) -> Result<Self, Error> {
        let behaviour = match config.behaviour {
            Some(words) if words.len() >= WORDS_BYTES_MAX => {
                return Err(Error::bad_config("behaviour", "it is too long"));
            }
            Some(words) => {
                let read = Deed::from_words(&words)
                    .map_err(|error| Error::bad_config("behaviour", error))?;
                Some((words, read))
            }
            None => None,
        };
        let hold = Duration::from_millis(config.hold_ms);
        Ok(Self { behaviour, users: config.users, hold })
    }

    async fn check(&self) -> Result<Vec<String>, Error> {
        Ok(vec![match &self.behaviour {
            Some((words, _)) => format!("in the middle of each sync: {words}"),
            None => "honest".to_owned(),
        }])
    }

    async fn sync(&self, sync: &mut Sync) -> Result<(), Error> {
        let mut people = sync.scope("people").await?;
        for number in 0..self.users / 2 {
            push_user(&mut people, number.into()).await?;
        }
        if let Some((words, deed)) = &self.behaviour {
            match deed {
                Deed::Exhaust(behaviour @ Behaviour::MessageFlood(_)) => {
                    let deadline = behaviour.deadline();
                    let mut number = u64::from(self.users);
                    while number < FLOOD_RECORDS_MAX && Instant::now() < deadline {
                        push_user(&mut people, number).await?;
                        number += 1;
                    }
                }
                // These fork nothing, and it is this process that the kernel has to end.
                Deed::Exhaust(taking @ (Behaviour::MemoryHog { .. } | Behaviour::Leak(_))) => {
                    let taking = taking.clone();
                    std::thread::spawn(move || exhaust::run(&taking));
                }
                Deed::Exhaust(Behaviour::StopSelf(_)) => exhaust::stop_self(),
                Deed::Exhaust(Behaviour::IgnoreTerm(_)) => exhaust::ignore_requests(),
                Deed::Exhaust(Behaviour::CloseOutput(_)) => {
                    exhaust::close_output().map_err(failed)?;
                }
                Deed::Exhaust(behaviour @ Behaviour::PassDescriptors(_)) => {
                    pass_descriptors(behaviour)?;
                }
                _ => order(words).map_err(failed)?,
            }
        }
        hold(sync, self.hold).await?;
        for number in self.users / 2..self.users {
            push_user(&mut people, number.into()).await?;
        }
        people.complete().await
    }
}

async fn push_user(scope: &mut Scope, number: u64) -> Result<(), Error> {
    let (id, name) = (format!("u{number}"), format!("User {number}"));
    scope.push(User::new(&id).name(&name).account_type(AccountType::Human)).await
}

fn failed(error: std::io::Error) -> Error {
    Error::unavailable("the behaviour could not be begun").caused_by(error)
}

/// Tells the agent what to do.
fn order(words: &str) -> std::io::Result<()> {
    let Some((agent, _)) = BEFORE.get() else { return Ok(()) };
    agent.lock().unwrap_or_else(PoisonError::into_inner).write_all(words.as_bytes())
}

fn pass_descriptors(behaviour: &Behaviour) -> Result<(), Error> {
    match BEFORE.get() {
        Some((_, Some(channel))) => {
            exhaust::pass_descriptors(behaviour, channel.as_raw_fd());
            Ok(())
        }
        _ => Err(Error::unavailable("there is no channel to pass them over")),
    }
}

/// Goes on as one that works: it tells progress until its time is over.
async fn hold(sync: &Sync, time: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + time;
    let mut done = 0;
    while Instant::now() < deadline {
        done += 1;
        sync.progress(done, None, "holding").await?;
        tokio::time::sleep(HOLD_PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cordon_sdk::testing::sync_once;
    use serde_json::json;

    use super::*;

    cordon_sdk::conformance!(Hostile, config = json!({ "users": 20 }));

    #[tokio::test]
    async fn without_a_behaviour_it_is_an_honest_connector() {
        let collected = sync_once::<Hostile>(json!({ "users": 20 })).await.unwrap();
        assert!(collected.row("user:u0").is_some() && collected.row("user:u19").is_some());
    }

    #[tokio::test]
    async fn a_behaviour_that_nobody_knows_is_refused_by_name() {
        let error = sync_once::<Hostile>(json!({ "behaviour": "melt" })).await.unwrap_err();
        assert!(error.to_string().contains("melt"), "{error}");
    }
}
