//! What a connector can do wrong, or have to bear.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::bail;
use prost::Message;
use tonic::{Code, Status};

use crate::wire::{start, v2};

/// The one thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Ends before it serves, with a message before its usage.
    DiesAtStart,
    /// Never answers.
    NeverReady,
    /// Does not ask for its client's certificate, and has one of its own making.
    OtherCertificate,
    /// Starts processes that leave its group.
    Breeds,
    /// The second page of people names itself as the next.
    Repeats,
    /// The grants of a team are not found.
    NotFound,
    /// Teams may not be listed.
    Denied,
    /// Dies among the grants.
    Crashes,
    /// Takes long for each list of grants.
    Slow,
    /// Answers no list of grants.
    Hangs,
    /// Its source wants patience twice, and then answers.
    Limited,
    /// Leaves grants out that did not change since an earlier sync.
    LeavesOut,
    /// An answer larger than anybody takes.
    Large,
    /// A person is listed twice, and differently.
    Differs,
    /// Prints without end.
    Floods,
}

const NAMES: [(&str, Fault); 16] = [
    ("", Fault::None),
    ("dies-at-start", Fault::DiesAtStart),
    ("never-ready", Fault::NeverReady),
    ("other-certificate", Fault::OtherCertificate),
    ("breeds", Fault::Breeds),
    ("repeats", Fault::Repeats),
    ("not-found", Fault::NotFound),
    ("denied", Fault::Denied),
    ("crashes", Fault::Crashes),
    ("slow", Fault::Slow),
    ("hangs", Fault::Hangs),
    ("limited", Fault::Limited),
    ("leaves-out", Fault::LeavesOut),
    ("large", Fault::Large),
    ("differs", Fault::Differs),
    ("floods", Fault::Floods),
];

impl Fault {
    pub(crate) fn named(name: &str) -> anyhow::Result<Self> {
        match NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, fault)) => Ok(*fault),
            None => bail!("no fault is called {name:?}"),
        }
    }

    pub(crate) fn at_start(self) -> anyhow::Result<()> {
        match self {
            Self::DiesAtStart => bail!("required flag(s) \"domain\" not set"),
            Self::NeverReady => std::thread::sleep(Duration::from_secs(3_600)),
            Self::Breeds => {
                for _ in 0..3 {
                    let mut child = Command::new("setsid");
                    child.args(["sleep", "3600"]).stdin(Stdio::null());
                    child.spawn()?;
                }
            }
            Self::Floods => {
                std::thread::spawn(|| {
                    let line = format!("{}\n", "x".repeat(10_000));
                    while std::io::stderr().write_all(line.as_bytes()).is_ok()
                        && std::io::stdout().write_all(line.as_bytes()).is_ok()
                    {
                    }
                });
            }
            _ => {}
        }
        Ok(())
    }
}

/// What a source says that wants patience for so long.
pub(crate) fn patience(wait: Duration) -> Status {
    let until = SystemTime::now() + wait;
    let limit = v2::RateLimitDescription { limit: 10, remaining: 0, reset_at: Some(until.into()) };
    let type_url = "type.googleapis.com/c1.connector.v2.RateLimitDescription".to_owned();
    let detail = start::Detail { type_url, value: limit.encode_to_vec().into() };
    let details = start::Status { details: vec![detail] }.encode_to_vec();
    Status::with_details(Code::Unavailable, "slow down", details.into())
}
