//! `cordon`: the operator's command. It asks `cordond` over its control socket and shows the answer.
//!
//! It decides nothing about data and keeps no state: whatever it does, `cordond` did, with an
//! evidence record. Results go to stdout, all else to stderr, and the exit code says which of a few
//! things happened (exit.rs).

mod args;
mod client;
mod commands;
mod complete;
mod errors;
mod escape;
mod exit;
mod output;
mod progress;
mod prompt;
mod units;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;

use args::Cli;
use errors::Failure;
use exit::Exit;
use output::scene::Scene;
use output::{Format, Output};

fn main() -> ExitCode {
    CompleteEnv::with_factory(Cli::command).complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    choose_colour(cli.global.color);
    let format = cli.global.output;
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) if failure.is_closed_pipe() => Exit::Done.into(),
        Err(failure) => {
            output::say_failure(&failure, format);
            failure.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let format = cli.global.output;
    let scene = Scene::here(format == Format::Wide);
    let mut out = Output::new(format, scene, cli.global.quiet);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Start)?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = commands::run(cli, &mut out) => result,
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        }
    });
    // A prompt may still wait for its line on a thread of its own; nobody waits for that.
    runtime.shutdown_background();
    result
}

/// Answers a command line that is wrong, or that asks for help.
fn usage(error: &clap::Error) -> Exit {
    let wants_help = !error.use_stderr();
    let words =
        std::env::args().chain(std::env::var("CORDON_OUTPUT").map(|form| format!("-o{form}")));
    if !wants_help && wants_problem_object(words) {
        let text = error.render().to_string();
        let mut lines = text.lines();
        let message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let hint: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
        output::say_failure(&Failure::Usage { message, hint: hint.join("; ") }, Format::Json);
        return Exit::Usage;
    }
    // That nobody reads the help is no failure.
    let _ = error.print();
    if wants_help { Exit::Done } else { Exit::Usage }
}

/// Whether a command line that does not parse asked for a machine format.
fn wants_problem_object(args: impl Iterator<Item = String>) -> bool {
    let words: Vec<String> = args.collect();
    let is_machine = |word: &str| matches!(word, "json" | "yaml" | "ndjson");
    words.iter().enumerate().any(|(index, word)| match word.as_str() {
        "-o" | "--output" => words.get(index + 1).is_some_and(|next| is_machine(next)),
        _ => word
            .strip_prefix("--output=")
            .or_else(|| word.strip_prefix("-o"))
            .is_some_and(|rest| is_machine(rest.trim_start_matches('='))),
    })
}

/// Colour for all streams, as the user chose.
fn choose_colour(choice: clap::ColorChoice) {
    let choice = match choice {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

#[cfg(test)]
mod tests {
    use super::wants_problem_object;

    #[test]
    fn a_wrong_command_line_is_answered_in_the_form_it_asks_for() {
        let asks = |line: &str| wants_problem_object(line.split(' ').map(str::to_owned));
        for line in [
            "cordon x -o json",
            "cordon -ojson x",
            "cordon --output=yaml x",
            "cordon --output ndjson",
        ] {
            assert!(asks(line), "{line}");
        }
        for line in ["cordon x", "cordon x -o table", "cordon json", "cordon x -o"] {
            assert!(!asks(line), "{line}");
        }
    }
}
