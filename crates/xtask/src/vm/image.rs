//! The guest's disk and kernel, made once from Debian's own packages and kept in the target folder.
//!
//! The kernel is only unpacked, never installed: NVMe and ext4 are built into it, so it boots without
//! an initial RAM disk. The disk is filled without being mounted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::run::{self, is_on_path, warn};

/// The release that the guest runs.
pub(super) const SUITE: &str = "bookworm";

/// What the guest needs beside the essential packages.
const GUEST_PACKAGES: &str =
    "systemd,systemd-sysv,udev,dbus,procps,iproute2,kmod,util-linux,e2fsprogs";

/// Programs that make and run the guest, each with the package that brings it.
const NEEDED: [(&str, &str); 4] = [
    ("mmdebstrap", "mmdebstrap"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("mke2fs", "e2fsprogs"),
    ("tar", "tar"),
];

/// What a guest without a screen and without a network has no use for.
const MASKED: [&str; 10] = [
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "systemd-networkd.service",
    "systemd-networkd-wait-online.service",
    "systemd-timesyncd.service",
    "e2scrub_all.timer",
    "fstrim.timer",
    "dpkg-db-backup.timer",
];

const SUITE_UNIT: &str = include_str!("image/cordon-vm.service");
const SUITE_SCRIPT: &str = include_str!("image/cordon-vm-suite");
const CUTS_SCRIPT: &str = include_str!("image/cordon-vm-cuts");

/// A guest that can be booted.
pub(super) struct Image {
    pub(super) kernel: PathBuf,
    pub(super) disk: PathBuf,
}

impl Image {
    /// Takes the image that is there, or makes it.
    pub(super) fn prepare(folder: &Path) -> anyhow::Result<Self> {
        install_what_is_needed()?;
        let image = Self { kernel: folder.join("vmlinuz"), disk: folder.join("root.ext4") };
        // What the image was made from: another recipe makes another image.
        let recipe = [SUITE, GUEST_PACKAGES, SUITE_UNIT, SUITE_SCRIPT, CUTS_SCRIPT].join("\n");
        let stamp = folder.join("recipe");
        if fs::read_to_string(&stamp).is_ok_and(|made| made == recipe) {
            return Ok(image);
        }
        warn("making the guest's disk: two minutes, once");
        fs::create_dir_all(folder).with_context(|| format!("cannot create {folder:?}"))?;
        image.unpack_kernel(folder)?;
        image.fill_disk(folder)?;
        fs::write(&stamp, recipe).with_context(|| format!("cannot write {stamp:?}"))?;
        Ok(image)
    }

    fn unpack_kernel(&self, folder: &Path) -> anyhow::Result<()> {
        let archive = folder.join("kernel.tar");
        bootstrap("extract", "linux-image-cloud-amd64", &archive)?;
        let boot = folder.join("kernel");
        replace_folder(&boot)?;
        let mut unpack = Command::new("tar");
        unpack.arg("-xf").arg(&archive).arg("-C").arg(&boot);
        run::run(unpack.args(["--wildcards", "./boot/vmlinuz-*"]))?;
        let mut found = fs::read_dir(boot.join("boot"))?;
        let kernel = found.next().context("the kernel's package holds no kernel")??;
        fs::copy(kernel.path(), &self.kernel).context("cannot copy the kernel")?;
        fs::remove_dir_all(&boot)?;
        fs::remove_file(&archive)?;
        Ok(())
    }

    fn fill_disk(&self, folder: &Path) -> anyhow::Result<()> {
        let archive = folder.join("root.tar");
        bootstrap("minbase", GUEST_PACKAGES, &archive)?;
        let root = folder.join("root");
        replace_folder(&root)?;
        let mut unpack = Command::new("tar");
        unpack.arg("-xpf").arg(&archive).arg("-C").arg(&root).arg("--exclude=./dev/*");
        run::run(&mut unpack)?;
        fs::write(root.join("etc/fstab"), "")?;
        fs::write(root.join("etc/hostname"), "cordon-vm\n")?;
        let units = root.join("etc/systemd/system");
        for unit in MASKED {
            let _ = fs::remove_file(units.join(unit));
            std::os::unix::fs::symlink("/dev/null", units.join(unit))?;
        }
        fs::write(units.join("cordon-vm.service"), SUITE_UNIT)?;
        let wanted = units.join("multi-user.target.wants");
        fs::create_dir_all(&wanted)?;
        std::os::unix::fs::symlink("../cordon-vm.service", wanted.join("cordon-vm.service"))?;
        for (name, text) in [("cordon-vm-suite", SUITE_SCRIPT), ("cordon-vm-cuts", CUTS_SCRIPT)] {
            let path = root.join("usr/local/sbin").join(name);
            fs::write(&path, text)?;
            run::run(Command::new("chmod").arg("755").arg(&path))?;
        }
        make_disk(&self.disk, "3G", Some(&root))?;
        fs::remove_dir_all(&root)?;
        fs::remove_file(&archive)?;
        Ok(())
    }
}

/// A file with an ext4 file system, filled from a folder.
pub(super) fn make_disk(path: &Path, size: &str, from: Option<&Path>) -> anyhow::Result<()> {
    let _ = fs::remove_file(path);
    run::run(Command::new("truncate").args(["-s", size]).arg(path))?;
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-t", "ext4", "-F"]);
    if let Some(folder) = from {
        make.arg("-d").arg(folder);
    }
    run::run(make.arg(path))
}

fn bootstrap(variant: &str, packages: &str, archive: &Path) -> anyhow::Result<()> {
    let mut make = Command::new("mmdebstrap");
    make.args(["--mode=root", "--quiet", &format!("--variant={variant}")]);
    make.args([&format!("--include={packages}"), "--aptopt=Apt::Install-Recommends \"false\""]);
    run::run(make.arg(SUITE).arg(archive))
}

fn replace_folder(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {folder:?}"))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {folder:?}"))
}

fn install_what_is_needed() -> anyhow::Result<()> {
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(program, _)| !is_on_path(program))
        .map(|(_, package)| *package)
        .collect();
    let is_root = rustix::process::geteuid().is_root();
    if missing.is_empty() && is_root {
        return Ok(());
    }
    let wanted = missing.join(" ");
    if !is_root {
        bail!(
            "the guest's disk can only be made by root{}",
            if missing.is_empty() { String::new() } else { format!("; also missing: {wanted}") }
        );
    }
    if !is_on_path("apt-get") {
        bail!("not installed, and no apt-get to install it with: {wanted}");
    }
    warn(&format!("installing {wanted}"));
    run::run(Command::new("apt-get").args(["update", "-q"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-q", "-y", "--no-install-recommends"]).args(&missing);
    run::run(&mut install).with_context(|| format!("cannot install {wanted}"))
}
