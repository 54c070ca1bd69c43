//! One run of the virtual machine: emulated, without a network, ended by its process id.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::image::Image;

/// Between two looks at what the guest wrote.
const LOOK: Duration = Duration::from_millis(50);

/// What one boot is given.
pub(super) struct Boot<'a> {
    pub(super) image: &'a Image,
    /// Where the serial lines go.
    pub(super) folder: &'a Path,
    /// Read as a tar archive by the guest.
    pub(super) payload: &'a Path,
    /// Written as a tar archive by the guest.
    pub(super) results: &'a Path,
    /// A disk that survives the run.
    pub(super) data: &'a Path,
    /// More words for the kernel's command line.
    pub(super) words: &'a str,
}

/// A machine that runs. Dropped, it is cut off as if by a power failure.
pub(super) struct Machine {
    child: Child,
    lines: PathBuf,
    console: PathBuf,
    read: u64,
    partial: String,
}

impl Boot<'_> {
    pub(super) fn start(&self) -> anyhow::Result<Machine> {
        let lines = self.folder.join("serial");
        let _ = fs::remove_file(&lines);
        let console_path = self.folder.join("console");
        let console = File::create(&console_path)?;
        let words = format!(
            "root=/dev/nvme0n1 rw console=ttyS0 quiet panic=-1 systemd.show_status=0 \
             mitigations=off nokaslr no_timer_check {}",
            self.words
        );
        let mut qemu = Command::new("nice");
        qemu.args(["-n", "10", "qemu-system-x86_64", "-M", "q35"]);
        qemu.args(["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max", "-smp", "2"]);
        qemu.args(["-m", "1024", "-nographic", "-no-reboot", "-nodefaults", "-nic", "none"]);
        qemu.args(["-serial", "stdio", "-serial", &format!("file:{}", lines.display())]);
        qemu.arg("-kernel").arg(&self.image.kernel).args(["-append", &words]);
        let disks = [
            (self.image.disk.as_path(), "snapshot=on", "root"),
            (self.payload, "readonly=on", "payload"),
            (self.results, "cache=writeback", "results"),
            (self.data, "cache=writeback", "data"),
        ];
        for (number, (path, option, name)) in disks.iter().enumerate() {
            let path = path.display();
            qemu.args(["-drive", &format!("if=none,id=d{number},file={path},format=raw,{option}")]);
            qemu.args(["-device", &format!("nvme,drive=d{number},serial={name}")]);
        }
        let child = qemu
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .spawn()
            .context("cannot start the virtual machine")?;
        Ok(Machine { child, lines, console: console_path, read: 0, partial: String::new() })
    }
}

impl Machine {
    /// Lines that the guest finished since the last look.
    pub(super) fn lines(&mut self) -> anyhow::Result<Vec<String>> {
        let Ok(mut file) = File::open(&self.lines) else { return Ok(Vec::new()) };
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        self.read += bytes.len() as u64;
        self.partial.push_str(&String::from_utf8_lossy(&bytes));
        let Some(end) = self.partial.rfind('\n') else { return Ok(Vec::new()) };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        Ok(whole.lines().map(|line| line.trim_end().to_owned()).collect())
    }

    /// Whether the machine has ended by itself.
    pub(super) fn is_off(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Hands each line on until `take` wants no more; fails when the guest says nothing for so long.
    pub(super) fn follow(
        &mut self,
        patience: Duration,
        mut take: impl FnMut(&str) -> bool,
    ) -> anyhow::Result<()> {
        let mut heard = Instant::now();
        loop {
            let off = self.is_off()?;
            for line in self.lines()? {
                heard = Instant::now();
                if !take(&line) {
                    return Ok(());
                }
            }
            if off {
                bail!("the virtual machine ended without a word");
            }
            if heard.elapsed() > patience {
                bail!("the guest said nothing for {patience:?}");
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Whether the guest's kernel says that it stands still: an emulator's doing, since no program can
    /// stop a kernel.
    pub(super) fn stands_still(&self) -> bool {
        let console = fs::read(&self.console).unwrap_or_default();
        String::from_utf8_lossy(&console).contains("soft lockup")
    }

    /// Cuts the power.
    pub(super) fn cut(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.cut();
    }
}
