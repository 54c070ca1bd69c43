//! `cargo xtask vm`: the Debian package on a real service manager, in an emulated machine.
//!
//! One boot of Debian with systemd and pure version 2 control groups runs every case. With
//! `--power-cuts N` a second guest commits without end while its power is cut at random moments, and
//! says after each boot what was left. Nothing of it needs hardware support or a network; the first
//! run makes the guest's disk and keeps it in the target folder.

mod cuts;
pub(crate) mod guest;
mod image;
mod machine;
mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::package::{Build, Packager};
use crate::run::{self, say};
use crate::workspace::Workspace;
use image::Image;
use machine::Boot;
use report::Report;

/// A case in which the guest says nothing for so long has failed. Longer than any wait within one.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Cut the power so many times while syncs commit
    #[arg(long, value_name = "N", default_value = "0")]
    power_cuts: u32,
    /// Only the power cuts
    #[arg(long, requires = "power_cuts")]
    no_suite: bool,
    /// Only cases whose module or name holds this; a case takes the guest as others left it
    #[arg(long, value_name = "WORD", conflicts_with = "record")]
    only: Option<String>,
    /// Repeats the same cuts
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Pack a release build; without it what a plain `cargo build` makes
    #[arg(long)]
    release: bool,
    /// Write down what came of it in docs/vm-results.md
    #[arg(long)]
    record: bool,
}

/// Folders and disks of the runs.
struct Place {
    folder: PathBuf,
    image: Image,
    payload: PathBuf,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let build = if args.release { Build::Release } else { Build::Development };
    let place = Place::prepare(workspace, build)?;
    let mut report = Report::default();
    if !args.no_suite {
        place.suite(&mut report, args.only.as_deref())?;
    }
    if args.power_cuts > 0 {
        report.cuts = Some(cuts::run(&place, args.power_cuts, args.seed)?);
    }
    if args.record {
        report.write(&workspace.root().join("docs/vm-results.md"))?;
    }
    report.say();
    if !report.is_good() {
        bail!("see {}", place.folder.display());
    }
    Ok(())
}

impl Place {
    fn prepare(workspace: &Workspace, build: Build) -> anyhow::Result<Self> {
        let packager = Packager::prepare(workspace, build, &["cordon-testkit"])?;
        let own = packager.make(None)?;
        let next = packager.make(Some(&format!("{}+next", workspace.version()?)))?;
        let target = workspace.metadata(false)?.target_directory;
        let folder = target.join("vm");
        let image = Image::prepare(&folder)?;
        let payload = folder.join("payload.tar");
        let programs = target.join(build.folder());
        // This very program is what runs the cases in the guest. The build above may have put another
        // in its place; the link leads to the one that runs.
        let own_program = PathBuf::from("/proc/self/exe");
        pack(
            &payload,
            &[
                (&own, "cordon.deb"),
                (&next, "cordon-next.deb"),
                (&own_program, "xtask"),
                (&programs.join("connector-faulty"), "connector-faulty"),
            ],
        )?;
        Ok(Self { folder, image, payload })
    }

    /// Every case, in one boot.
    fn suite(&self, report: &mut Report, only: Option<&str>) -> anyhow::Result<()> {
        let folder = self.folder.join("suite");
        fs::create_dir_all(&folder)?;
        let (results, data) = (folder.join("results.tar"), folder.join("spare.ext4"));
        empty(&results, "64M")?;
        image::make_disk(&data, "256M", None)?;
        let words = only.map(|only| format!("cordon.only={only}")).unwrap_or_default();
        let boot = Boot {
            image: &self.image,
            folder: &folder,
            payload: &self.payload,
            results: &results,
            data: &data,
            words: &words,
        };
        let begun = Instant::now();
        let mut machine = boot.start()?;
        let followed = machine.follow(PATIENCE, |line| {
            say(line);
            report.hear(line)
        });
        report.suite_took = Some(begun.elapsed());
        machine.cut();
        let _ = unpack(&results, &folder.join("results"));
        followed
    }
}

/// A disk of zeros.
fn empty(path: &Path, size: &str) -> anyhow::Result<()> {
    let _ = fs::remove_file(path);
    run::run(Command::new("truncate").args(["-s", size]).arg(path))
}

/// An archive of files, each under another name.
fn pack(archive: &Path, files: &[(&Path, &str)]) -> anyhow::Result<()> {
    let folder = archive.with_extension("files");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    for (file, name) in files {
        fs::copy(file, folder.join(name)).with_context(|| format!("cannot copy {file:?}"))?;
    }
    run::run(Command::new("tar").arg("-cf").arg(archive).arg("-C").arg(&folder).arg("."))?;
    fs::remove_dir_all(&folder)?;
    // A disk has whole sectors.
    run::run(Command::new("truncate").args(["-s", "%512"]).arg(archive))
}

fn unpack(archive: &Path, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    run::run(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(folder))
}
