//! `cordon connector`: make, run and test a connector, for its author.
//!
//! Nothing here asks the cordond of this host: what is tried runs in a private one, or as a child of
//! this command.

mod new;
mod private;
mod run;
mod settings;
mod suite;
mod test;

use crate::args::ConnectorCommand;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;

pub(super) async fn run(command: ConnectorCommand, out: &mut Output) -> Result<Exit, Failure> {
    match command {
        ConnectorCommand::New(args) => new::run(&args, out),
        ConnectorCommand::Run(args) => run::run(args, out).await,
        ConnectorCommand::Test(args) => test::run(args, out).await,
    }
}
