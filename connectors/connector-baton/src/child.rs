//! The Baton connector's process: how it is started, how it ends, and that it never outlives its use.
//!
//! It gets a clean environment, a listening socket as descriptor 3, and one line on its input, which
//! stays open for as long as it may live. One task waits for it and is the only one that signals it,
//! so that no number is signalled that is another process's by then.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use cordon_sdk::Error;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child as Process, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::{Config, LISTENER_VARIABLE};
use crate::output::Output;
use crate::program::Program;
use crate::tree::Others;

/// The descriptor on which it listens.
const LISTENER_FD: i32 = 3;
/// What makes a Baton connector serve.
const SERVE: &str = "_connector-service";
/// Variables of this process that it gets.
const PASSED_ON: [&str; 4] = ["TMPDIR", "HOME", "LANG", "TZ"];
/// What it gets unless something else is configured.
const DEFAULTS: [(&str, &str); 3] =
    [("PATH", "/usr/bin:/bin"), ("BATON_LOG_FORMAT", "json"), ("BATON_LOG_LEVEL", "warn")];

/// How long what was printed may take to be read when nobody prints any more.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);

/// A running child. Dropped, it is killed.
pub(crate) struct Child {
    /// It ends by itself when this is closed.
    _input: ChildStdin,
    stop: DropGuard,
    ended: watch::Receiver<Option<String>>,
    waiting: JoinHandle<()>,
}

impl Child {
    /// Starts it with that socket to listen on and that line to read.
    pub(crate) async fn start(
        config: &Config,
        program: &Program,
        listener: TcpListener,
        line: &str,
    ) -> Result<Self, Error> {
        let others = Others::now();
        let mut process = spawn(config, program, listener)?;
        let broken = || Error::bug("the Baton connector was started without its pipes");
        let mut input = process.stdin.take().ok_or_else(broken)?;
        let output = Output::default();
        let (out, err) = (process.stdout.take(), process.stderr.take());
        let reading = [
            tokio::spawn(output.clone().follow(out.ok_or_else(broken)?)),
            tokio::spawn(output.clone().follow(err.ok_or_else(broken)?)),
        ];
        let stop = CancellationToken::new();
        let (told, ended) = watch::channel(None);
        let waiting = tokio::spawn(wait(process, others, stop.clone(), output, reading, told));
        let stop = stop.drop_guard();
        hand_over(&mut input, line).await?;
        Ok(Self { _input: input, stop, ended, waiting })
    }

    /// Returns when it has ended by itself, with what there is to say about it.
    pub(crate) async fn ended(&self) -> Error {
        let mut ended = self.ended.clone();
        let how = ended.wait_for(Option::is_some).await;
        let how = how.ok().and_then(|how| how.clone()).unwrap_or_default();
        Error::bug(format!("the Baton connector ended by itself: {how}"))
    }

    /// Kills it and waits until nothing of it is left.
    pub(crate) async fn end(self) {
        drop(self.stop);
        let _ = self.waiting.await;
    }
}

/// A pipe takes the line at once; a child that ended already is told elsewhere.
async fn hand_over(input: &mut ChildStdin, line: &str) -> Result<(), Error> {
    let written = input.write_all(format!("{line}\n").as_bytes()).await;
    match written.and(input.flush().await) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::unavailable("cannot hand over its credentials").caused_by(error))
        }
        _ => Ok(()),
    }
}

fn spawn(config: &Config, program: &Program, listener: TcpListener) -> Result<Process, Error> {
    let mut command = Command::new(program.executable());
    command.arg0(&program.path).args(&config.args).arg(SERVE);
    command.env_clear().envs(DEFAULTS);
    command.envs(PASSED_ON.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
    command.envs(config.variables()?).env(LISTENER_VARIABLE, LISTENER_FD.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let listener = FdMapping { parent_fd: OwnedFd::from(listener), child_fd: LISTENER_FD };
    command
        .fd_mappings(vec![listener])
        .map_err(|error| Error::bug("its socket cannot be handed over").caused_by(error))?;
    command.spawn().map_err(|error| {
        let path = program.path.display();
        Error::unavailable(format!("cannot start {path}")).caused_by(error)
    })
}

/// Waits for the child, or ends it; tells how it ended when nothing of it is left.
async fn wait(
    mut process: Process,
    others: Others,
    stop: CancellationToken,
    output: Output,
    reading: [JoinHandle<()>; 2],
    told: watch::Sender<Option<String>>,
) {
    let status = tokio::select! {
        status = process.wait() => status,
        () = stop.cancelled() => {
            if let Some(leader) = process.id().and_then(|id| i32::try_from(id).ok()) {
                Others::kill_group(leader);
            }
            process.wait().await
        }
    };
    others.sweep().await;
    // What it printed last is told with its end; whoever holds its pipes is gone.
    for reading in reading {
        let _ = tokio::time::timeout(LAST_WORDS_WITHIN, reading).await;
    }
    let how = status.map_or_else(|error| error.to_string(), how);
    let word = output.last_word();
    let _ = told.send(Some(if word.is_empty() { how } else { format!("{how}: {word}") }));
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}
