//! From the registers of a thread that is about to make a system call to what the call does, and to
//! which file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cordon_testkit::disk::Deed;
use nix::libc;
use nix::unistd::Pid;

/// A call that a thread is about to make.
pub(crate) struct Seen {
    pub(crate) deed: Deed,
    pub(crate) path: PathBuf,
    pub(crate) descriptor: Option<u64>,
}

/// Where a call names its file.
enum Named {
    /// The first argument is a descriptor.
    Descriptor,
    /// That argument is the address of a path.
    Path(u64),
    /// A folder's descriptor, and the address of a path.
    Beside(u64, u64),
}

/// What the call does, if it is one of those that change files.
pub(crate) fn seen(process: Pid, regs: &libc::user_regs_struct) -> Option<Seen> {
    let (deed, named) = deed(regs)?;
    let (path, descriptor) = match named {
        Named::Descriptor => (path_of(process, regs.rdi)?, Some(regs.rdi)),
        Named::Path(address) => (text_at(process, address)?, None),
        Named::Beside(folder, address) => {
            let path = text_at(process, address)?;
            let path = if path.is_absolute() { path } else { path_of(process, folder)?.join(path) };
            (path, None)
        }
    };
    Some(Seen { deed, path, descriptor })
}

fn deed(regs: &libc::user_regs_struct) -> Option<(Deed, Named)> {
    let creates = |flags: u64| flags & libc::O_CREAT as u64 != 0;
    let (first, second) = (regs.rdi, regs.rsi);
    Some(match i64::try_from(regs.orig_rax).ok()? {
        libc::SYS_fsync | libc::SYS_fdatasync => (Deed::Sync, Named::Descriptor),
        libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_writev | libc::SYS_pwritev => {
            (Deed::Write, Named::Descriptor)
        }
        libc::SYS_ftruncate | libc::SYS_fallocate => (Deed::Truncate, Named::Descriptor),
        libc::SYS_close => (Deed::Close, Named::Descriptor),
        // Where to is what matters of a rename and of a link.
        libc::SYS_rename => (Deed::Rename, Named::Path(second)),
        libc::SYS_renameat | libc::SYS_renameat2 => {
            (Deed::Rename, Named::Beside(regs.rdx, regs.r10))
        }
        libc::SYS_link => (Deed::Make, Named::Path(second)),
        libc::SYS_linkat => (Deed::Make, Named::Beside(regs.rdx, regs.r10)),
        libc::SYS_unlink | libc::SYS_rmdir => (Deed::Remove, Named::Path(first)),
        libc::SYS_unlinkat => (Deed::Remove, Named::Beside(first, second)),
        libc::SYS_mkdir => (Deed::Make, Named::Path(first)),
        libc::SYS_mkdirat => (Deed::Make, Named::Beside(first, second)),
        libc::SYS_open if creates(second) => (Deed::Make, Named::Path(first)),
        libc::SYS_openat if creates(regs.rdx) => (Deed::Make, Named::Beside(first, second)),
        _ => return None,
    })
}

/// The file behind a descriptor.
fn path_of(process: Pid, descriptor: u64) -> Option<PathBuf> {
    // A folder's descriptor is an `int`, of which the upper half of the register says nothing.
    let descriptor = descriptor as u32 as i32;
    let link = if descriptor == libc::AT_FDCWD {
        format!("/proc/{process}/cwd")
    } else {
        format!("/proc/{process}/fd/{descriptor}")
    };
    std::fs::read_link(link).ok()
}

/// The path that a process holds at an address.
fn text_at(process: Pid, address: u64) -> Option<PathBuf> {
    let memory = File::open(format!("/proc/{process}/mem")).ok()?;
    let mut bytes = Vec::new();
    let mut byte = [0];
    while bytes.len() < libc::PATH_MAX as usize {
        memory.read_exact_at(&mut byte, address + bytes.len() as u64).ok()?;
        if byte[0] == 0 {
            let text = String::from_utf8(bytes).ok()?;
            return Some(Path::new(&text).to_owned());
        }
        bytes.push(byte[0]);
    }
    None
}
