//! What attacks are aimed at: a process with a secret, and the things that a host has.
//!
//! It makes them, tells on stdout where they are, and removes them when its stdin closes. Whoever
//! runs an attack passes that on, so that each case meets something that is really there: a denial
//! of what does not exist would prove nothing.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use serde_json::json;

use crate::{fuse, program};

/// Stands in the victim's memory.
pub(crate) const SECRET: &str = "cordon-hostile: a secret of another connector";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to put a directory for everyone and a program with our rights; must exist, and others
    /// must be able to pass through it
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// End after so many seconds in any case
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    seconds: u32,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    fuse::light(args.seconds);
    let name = format!("cordon-hostile-{}", std::process::id());
    let secret = SECRET.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").context("no listener")?;
    let address = SocketAddr::from_abstract_name(&name)?;
    let _hidden = UnixListener::bind_addr(&address).context("no abstract socket")?;
    let shared = SharedMemory::make()?;
    let queue = Queue::make(&name)?;
    let outside = args.dir.join("outside");
    fs::create_dir(&outside).with_context(|| format!("cannot make {}", outside.display()))?;
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o777))?;
    let raised = args.dir.join("setuid");
    write_setuid(&raised).with_context(|| format!("cannot write {}", raised.display()))?;
    let told = json!({
        "pid": std::process::id(),
        "address": secret.as_ptr().expose_provenance(),
        "listener": listener.local_addr()?.to_string(),
        "abstract_socket": name,
        "shm_key": shared.key,
        "mq_name": queue.name(),
        "outside_dir": outside,
        "setuid_program": raised,
    });
    let mut out = io::stdout();
    writeln!(out, "{told}")?;
    out.flush()?;
    // Nobody says anything; its end is the order to end.
    let _ = io::stdin().read(&mut [0; 1]);
    std::hint::black_box(&secret);
    fs::remove_file(&raised)?;
    fs::remove_dir_all(&outside)?;
    Ok(())
}

fn write_setuid(path: &std::path::Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o700).open(path)?.write_all(&program::bytes())?;
    // Last, for a write takes the bit away.
    fs::set_permissions(path, fs::Permissions::from_mode(0o4755))
}

/// A segment of shared memory that everyone may find. Removed when dropped.
struct SharedMemory {
    key: i32,
    id: i32,
}

impl SharedMemory {
    #[allow(unsafe_code)]
    fn make() -> anyhow::Result<Self> {
        let key = 0x0c0d_0000 | (std::process::id() & 0xffff) as i32;
        // SAFETY: numbers alone; nothing is attached.
        let id = unsafe { libc::shmget(key, 4096, libc::IPC_CREAT | libc::IPC_EXCL | 0o666) };
        ensure!(id >= 0, "no shared memory: {}", io::Error::last_os_error());
        Ok(Self { key, id })
    }
}

impl Drop for SharedMemory {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: our own segment; a removal reads no structure.
        unsafe { libc::shmctl(self.id, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}

/// A message queue that everyone may open. Removed when dropped.
struct Queue(CString);

impl Queue {
    #[allow(unsafe_code)]
    fn make(name: &str) -> anyhow::Result<Self> {
        let name = CString::new(format!("/{name}"))?;
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDONLY;
        // The smallest, for the bytes of all queues of a user are limited.
        // SAFETY: `mq_attr` is plain data for which all zeros is a valid value.
        let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
        (attributes.mq_maxmsg, attributes.mq_msgsize) = (1, 16);
        // SAFETY: a string that ends with NUL, and attributes that live through the call.
        let queue = unsafe { libc::mq_open(name.as_ptr(), flags, 0o644, &attributes) };
        ensure!(queue >= 0, "no message queue: {}", io::Error::last_os_error());
        Ok(Self(name))
    }

    fn name(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }
}

impl Drop for Queue {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: a string that ends with NUL.
        unsafe { libc::mq_unlink(self.0.as_ptr()) };
    }
}
