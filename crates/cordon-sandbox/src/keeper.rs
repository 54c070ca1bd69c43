//! One start from its directory to its grave.
//!
//! A task holds everything that was made for the start, so that however it ends (a failed step, an
//! order, its own death, a caller that lost interest) the tree is ended, the death is read before
//! its evidence is removed, and directory and groups go last.

mod end;
mod hear;
mod prepare;

use std::{
    io,
    os::{fd::OwnedFd, unix::net},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncWriteExt, Interest, unix::AsyncFd},
    net::{UnixStream, unix::pipe},
    sync::{oneshot, watch},
    task::spawn_blocking,
    time::timeout,
};

use self::{
    end::{Ended, end_tree, remove_dir, remove_groups},
    hear::Heard,
    prepare::Prepared,
};
use crate::{
    death::{Death, Evidence, KillReason},
    egress::Relay,
    host::Host,
    jail::seccomp,
    jailed::{Jailed, Shared},
    launcher::{Order, SpawnError, Started, Thread},
    lineage::Lineage,
    plan::{JailPlan, JailWord},
    program::{Program, Programs},
    report::{ItemState, JailItem, JailReport, Step},
    spec::{LaunchSpec, Limits},
};

/// How long the launcher may take from its start to the program.
const LAUNCH_SECONDS_MAX: u64 = 10;

/// How long the end of a tree is waited for before its survivors are reported.
const END_WAIT: Duration = Duration::from_secs(10);

/// How often the end of survivors is tried again.
const SURVIVORS_ROUND: Duration = Duration::from_secs(5);

/// How long a death waits for the removal of directory and groups, so that whoever hears of it
/// ordinarily finds them gone. A connector that left a million files does not delay its next start.
const REMOVAL_WAIT: Duration = Duration::from_secs(2);

/// What is there to end, read and remove.
struct Body {
    name: String,
    limits: Limits,
    private_dir: PathBuf,
    shared: Arc<Shared>,
    lineage: Lineage,
    /// Keeps the launching thread alive, on which the connector's life depends.
    _thread: Thread,
}

/// Starts one connector, answers on `reply`, and stays with it until nothing of it is left.
pub(crate) async fn keep(
    jail_program: PathBuf,
    host: Arc<Host>,
    programs: Arc<Programs>,
    thread: Thread,
    spec: LaunchSpec,
    reply: oneshot::Sender<Result<Jailed, SpawnError>>,
) {
    let Begun { body, plan, program, items, channel, control, output } =
        match begin(jail_program, host, programs, thread, spec).await {
            Ok(begun) => begun,
            Err(error) => {
                // A caller that is gone needs no answer, here and below.
                let _ = reply.send(Err(error));
                return;
            }
        };
    let shared = Arc::clone(&body.shared);
    let (report, relays) = match launch(&body, &plan, &program, control, items).await {
        Ok(launched) => launched,
        Err(error) => {
            let (error, ended) = body.abandon(error).await;
            let _ = reply.send(Err(error));
            return body.stay_until_gone(ended).await;
        }
    };
    let (tell, death) = watch::channel(None);
    let (channel, output) = (Some(channel), Some(output));
    let jailed = Jailed { shared, report, channel, output, relays, death };
    // What comes back from a caller that is gone is dropped, which orders the kill.
    let _ = reply.send(Ok(jailed));
    body.live(tell).await;
}

/// A launcher that runs and waits for its plan.
struct Begun {
    body: Body,
    plan: JailPlan,
    program: Arc<Program>,
    items: Vec<JailItem>,
    channel: net::UnixStream,
    control: UnixStream,
    output: pipe::Receiver,
}

async fn begin(
    jail_program: PathBuf,
    host: Arc<Host>,
    programs: Arc<Programs>,
    thread: Thread,
    spec: LaunchSpec,
) -> Result<Begun, SpawnError> {
    let (name, limits) = (spec.name.clone(), spec.limits.clone());
    let closed = || SpawnError::Closed { name: name.clone() };
    let prepared = spawn_blocking(move || Prepared::make(&host, &programs, spec)).await;
    let Prepared {
        plan,
        program,
        private_dir,
        groups,
        items,
        descriptors,
        channel,
        control,
        output,
    } = prepared.map_err(|_| closed())??;
    let (told, started) = oneshot::channel();
    let order = Order { descriptors, mark: plan.mark, reply: told };
    let started = if thread.send(order) { started.await.ok() } else { None };
    let error = match started {
        Some(Ok(Started { pid, handle, lineage })) => {
            let shared = Arc::new(Shared::new(pid, handle, groups));
            let body = Body { name, limits, private_dir, shared, lineage, _thread: thread };
            return Ok(Begun { body, plan, program, items, channel, control, output });
        }
        Some(Err(source)) => {
            SpawnError::JailProgram { name: name.clone(), program: jail_program, source }
        }
        None => closed(),
    };
    prepare::discard(&groups, &private_dir);
    Err(error)
}

/// Tells the launcher what to do and hears what it did. Its end of the socket closes at exec.
async fn launch(
    body: &Body,
    plan: &JailPlan,
    program: &Program,
    mut control: UnixStream,
    mut items: Vec<JailItem>,
) -> Result<(JailReport, Vec<Relay>), SpawnError> {
    let name = || body.name.clone();
    let mut heard = Heard::default();
    let talk = async {
        // A launcher that failed early has closed its end already, and its word is what tells why.
        let sent = async {
            control.write_all(&serde_json::to_vec(plan)?).await?;
            control.shutdown().await
        };
        let sent: io::Result<()> = sent.await;
        let all = heard.listen(&control).await;
        if heard.is_empty() { sent.and(all) } else { all }
    };
    match timeout(Duration::from_secs(LAUNCH_SECONDS_MAX), talk).await {
        Ok(Ok(())) => {}
        // It ended without reading all that it was told.
        Ok(Err(error)) if is_hung_up(&error) => {}
        Ok(Err(source)) => return Err(SpawnError::Garbled { name: name(), source }),
        Err(_) => return Err(SpawnError::Slow { name: name(), seconds: LAUNCH_SECONDS_MAX }),
    }
    let (mut ready, mut pid) = (None, body.shared.pid);
    for word in heard.words() {
        match word.map_err(|source| SpawnError::Garbled { name: name(), source })? {
            JailWord::Child { pid: child } => pid = child,
            JailWord::Ready { uid, gid, items: more } => {
                items.extend(more);
                ready = Some((uid, gid));
            }
            JailWord::Failed { step, errno, detail, items: more } => {
                items.extend(more);
                let source = io::Error::from_raw_os_error(errno);
                return Err(SpawnError::Step { name: name(), step, detail, source, items });
            }
        }
    }
    let Some((uid, gid)) = ready else {
        return Err(SpawnError::Silent { name: name(), ended: String::new() });
    };
    let relays = heard.relays(&plan.network);
    let relays = relays.map_err(|source| SpawnError::Garbled { name: name(), source })?;
    items.push(JailItem::new(Step::Exec, true, ItemState::Applied));
    let interpreter = program.interpreter.clone();
    let report = JailReport {
        name: name(),
        pid,
        uid,
        gid,
        program: plan.program.clone(),
        program_digest: program.digest.clone(),
        interpreter: interpreter.map(|interpreter| (interpreter.path, interpreter.digest)),
        seccomp_digest: blake3::hash(&seccomp::bytes()).to_hex().to_string(),
        channel: "socketpair".to_owned(),
        private_dir: body.private_dir.clone(),
        cgroups: body.shared.groups.paths(),
        items,
    };
    Ok((report, relays))
}

fn is_hung_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl Body {
    /// Ends a start that came to nothing, and completes what there is to say about it.
    async fn abandon(&self, error: SpawnError) -> (SpawnError, Ended) {
        // A launcher that was silent is ending by itself, and how it does is all there is to tell.
        let silent = matches!(error, SpawnError::Silent { .. });
        if let Some(handle) = watch_handle(&self.shared).ok().filter(|_| silent) {
            let _ = timeout(Duration::from_secs(1), handle.readable()).await;
        }
        let ended = self.end().await;
        if ended.survivors == 0 {
            self.remove().await;
        }
        let error = match error {
            SpawnError::Silent { name, .. } => {
                SpawnError::Silent { name, ended: self.evidence(ended).cause().to_string() }
            }
            error => error,
        };
        (error, ended)
    }

    /// Waits for its death or the order to kill it, and tells the death.
    async fn live(self, tell: watch::Sender<Option<Death>>) {
        match watch_handle(&self.shared) {
            Ok(handle) => {
                tokio::select! {
                    _ = handle.readable() => {}
                    () = self.shared.kill.notified() => {}
                }
            }
            Err(error) => {
                // Without a way to hear of its death it cannot be let live.
                tracing::error!(connector = %self.name, %error, "cannot watch the connector");
                self.shared.order(KillReason::Shutdown);
            }
        }
        let ended = self.end().await;
        let death = self.death(ended);
        if ended.survivors == 0 {
            let removal = self.remove();
            tokio::pin!(removal);
            let in_time = timeout(REMOVAL_WAIT, &mut removal).await.is_ok();
            let _ = tell.send(Some(death));
            if !in_time {
                removal.await;
            }
        } else {
            let _ = tell.send(Some(death));
        }
        self.stay_until_gone(ended).await;
    }

    /// Ends the tree and collects its first process.
    async fn end(&self) -> Ended {
        let (shared, lineage) = (Arc::clone(&self.shared), self.lineage);
        let ended = spawn_blocking(move || end_tree(&shared, lineage, END_WAIT));
        ended.await.unwrap_or_default()
    }

    fn evidence(&self, ended: Ended) -> Evidence {
        Evidence {
            // One that does not die was killed nevertheless.
            wait_status: ended.wait_status.unwrap_or(libc::SIGKILL),
            ordered: self.shared.ordered(),
            oom_kills: self.shared.groups.oom_kills(),
            memory_bytes_max: self.limits.memory_bytes,
            file_size_bytes_max: self.limits.file_size_bytes,
            cpu_seconds_max: self.limits.cpu_seconds,
        }
    }

    fn death(&self, ended: Ended) -> Death {
        let groups = &self.shared.groups;
        let own_peak = ended.used.and_then(|used| used.memory_peak_bytes);
        Death {
            cause: self.evidence(ended).cause(),
            memory_peak_bytes: groups.memory_peak_bytes().or(own_peak),
            cpu_time: groups.cpu_time().or(ended.used.map(|used| used.cpu_time)),
            oom_kills: groups.oom_kills(),
            pids_denied: groups.tasks_denied(),
            survivors: u32::try_from(ended.survivors).unwrap_or(u32::MAX),
        }
    }

    /// Removes directory and groups, once nothing uses them.
    async fn remove(&self) {
        let (shared, private_dir) = (Arc::clone(&self.shared), self.private_dir.clone());
        let removal = spawn_blocking(move || {
            remove_groups(&shared, REMOVAL_WAIT);
            remove_dir(&private_dir);
        });
        let _ = removal.await;
    }

    /// Tries again until no survivor is left; ordinarily none is.
    async fn stay_until_gone(self, mut ended: Ended) {
        while ended.survivors > 0 {
            tracing::error!(connector = %self.name, left = ended.survivors, "processes do not end");
            tokio::time::sleep(SURVIVORS_ROUND).await;
            ended = self.end().await;
            if ended.survivors == 0 {
                self.remove().await;
            }
        }
        self.lineage.end();
    }
}

impl Drop for Body {
    /// Only a runtime that ends drops it while the connector lives.
    fn drop(&mut self) {
        if !self.shared.has_ended() {
            self.shared.order(KillReason::Shutdown);
            self.shared.groups.kill();
        }
    }
}

/// Tells when the first process ended.
#[allow(unsafe_code)]
fn watch_handle(shared: &Shared) -> io::Result<AsyncFd<OwnedFd>> {
    let handle = shared.handle.try_clone()?;
    // SAFETY: an `OwnedFd` is open, always gives the same number, and is closed only by being
    // dropped; it moves into the `AsyncFd` and nothing takes it out again.
    let watched = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) };
    Ok(watched?)
}
