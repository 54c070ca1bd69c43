//! One module a command, or a family that shares its answer.

mod backtest;
mod completion;
mod config;
mod connector;
mod describe;
mod diff;
mod doctor;
mod events;
mod explain;
mod home;
mod logs;
mod man_pages;
mod order;
mod reload;
mod review;
mod rule;
mod runs;
mod secret;
mod select;
mod status;
mod sync;
mod version;
mod wait;

#[cfg(test)]
mod sample;

pub(crate) use explain::codes;

use crate::args::{Cli, Command, ConfigCommand, PolicyCommand, RuleCommand, SecretCommand};
use crate::client;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use order::Order;

/// Does what the command line asks for.
pub(crate) async fn run(cli: Cli, out: &mut Output) -> Result<Exit, Failure> {
    let socket = &cli.global.socket;
    let client = || client::connect(socket);
    match cli.command {
        None => home::run(client().await?, out).await,
        Some(Command::Status(args)) => status::run(client().await?, args, out).await,
        Some(Command::Describe(args)) => describe::run(client().await?, args, out).await,
        Some(Command::Sync(args)) => sync::run(client().await?, args, out).await,
        Some(Command::Start(args)) => order::run(client().await?, Order::Start, args, out).await,
        Some(Command::Stop(args)) => order::run(client().await?, Order::Stop, args, out).await,
        Some(Command::Restart(args)) => order::restart(client().await?, args, out).await,
        Some(Command::Resume(args)) => order::run(client().await?, Order::Resume, args, out).await,
        Some(Command::Pause(args)) => order::pause(client().await?, args, out).await,
        Some(Command::Runs(args)) => runs::run(client().await?, args, out).await,
        Some(Command::Logs(args)) => {
            follows_in_lines(args.follow, out)?;
            logs::run(client().await?, args, out).await
        }
        Some(Command::Diff(args)) => diff::run(client().await?, args, out).await,
        Some(Command::Explain(args)) => explain::run(&args, out),
        Some(Command::Quarantine(args)) => review::list(client().await?, args, out).await,
        Some(Command::Release(args)) => {
            review::may_ask(&args)?;
            review::release(client().await?, args, out).await
        }
        Some(Command::Reject(args)) => review::reject(client().await?, args, out).await,
        Some(Command::Events(args)) => {
            follows_in_lines(args.follow, out)?;
            events::run(client().await?, args, out).await
        }
        Some(Command::Doctor(args)) => doctor::run(client().await?, args, out).await,
        Some(Command::Config(ConfigCommand::Check(args))) => {
            config::check(socket, &args, out).await
        }
        Some(Command::Secret(SecretCommand::Check(args))) => {
            secret::check(client().await?, args, out).await
        }
        Some(Command::Backtest(args)) => backtest::run(client().await?, args, out).await,
        Some(Command::Policy(PolicyCommand::Acknowledge(args))) => {
            order::acknowledge(client().await?, args, out).await
        }
        Some(Command::Rule(RuleCommand::List(args))) => {
            rule::list(client().await?, args, out).await
        }
        Some(Command::Rule(RuleCommand::Test(args))) => {
            rule::test(client().await?, args, out).await
        }
        Some(Command::Connector(command)) => connector::run(command, out).await,
        Some(Command::Plan(args)) => reload::plan(client().await?, args, out).await,
        Some(Command::Reload) => reload::run(client().await?, out).await,
        Some(Command::Wait(args)) => wait::run(socket, args, out).await,
        Some(Command::Completion(args)) => completion::run(&args, out),
        Some(Command::ManPages(args)) => man_pages::run(&args),
        Some(Command::Version) => version::run(socket, out).await,
    }
}

/// A document has an end and a followed stream has none.
fn follows_in_lines(follow: bool, out: &Output) -> Result<(), Failure> {
    if follow && out.format.is_document() {
        return Err(Failure::Usage {
            message: "--follow has no end, and a JSON or YAML document needs one".into(),
            hint: "use -o ndjson: one object a line".into(),
        });
    }
    Ok(())
}
