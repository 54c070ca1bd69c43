//! `cordon connector run`: one sync of a connector, behind the walls that a host would give it, and
//! what came of it.

use std::fs;
use std::path::{Path, PathBuf};

use cordon_wire::v1;
use cordon_wire::v1::sync_event;
use serde::ser::{Serialize, SerializeMap, Serializer};
use tokio_stream::StreamExt;

use super::private::Private;
use super::settings::Settings;
use crate::args::ConnectorRunArgs;
use crate::client::answer;
use crate::commands::{describe, sync};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::json::{Item, View, list, maybe};
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;
use crate::output::table::Grid;
use crate::progress::Progress;
use crate::units;

/// Lines of a connector's log that are shown when its sync failed.
const LOG_LINES: u32 = 10;

/// What came of one sync.
pub(super) struct Tried {
    /// The sync.
    pub(super) run: v1::Run,
    /// The connector, as it is after it.
    pub(super) detail: v1::ConnectorDetail,
    /// What it wrote last.
    pub(super) log: Vec<v1::LogLine>,
    profile: &'static str,
    folder: PathBuf,
    files: Vec<RecordFile>,
}

/// Records of one kind and type of a snapshot, or of a candidate that waits.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct RecordFile {
    records: String,
    rows: u64,
    path: PathBuf,
}

impl Item for Tried {
    const KIND: &'static str = "ConnectorRunList";

    fn name(&self) -> String {
        self.run.connector.clone()
    }
}

impl Serialize for View<'_, Tried> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Tried { run, detail, log, profile, folder, files } = self.0;
        let run = Some(run.clone());
        let log: Vec<&str> = log.iter().map(|line| line.line.as_str()).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("run", &maybe(&run))?;
        map.serialize_entry("program_version", &detail.program_version)?;
        map.serialize_entry("program_digest", &detail.program_digest)?;
        map.serialize_entry("profile", profile)?;
        map.serialize_entry("isolation", &list(&detail.isolation))?;
        map.serialize_entry("limits", &detail.limits)?;
        map.serialize_entry("flows", &list(&detail.flows))?;
        map.serialize_entry("scopes", &list(&detail.scopes))?;
        map.serialize_entry("files", files)?;
        map.serialize_entry("log", &log)?;
        map.serialize_entry("folder", folder)?;
        map.end()
    }
}

pub(super) async fn run(args: ConnectorRunArgs, out: &mut Output) -> Result<Exit, Failure> {
    let settings = Settings::read(&args.program)?;
    let folder = match args.state {
        Some(folder) => folder,
        None => kept_folder()?,
    };
    let tried = try_once(&settings, &folder, out.is_talkative()).await?;
    out.list(std::slice::from_ref(&tried), &(), |scene| page(&tried, scene))?;
    Ok(match tried.run.outcome.as_str() {
        "committed" => Exit::Done,
        "quarantined" if args.exit_code => Exit::Attention,
        "quarantined" => Exit::Done,
        _ => Exit::Failed,
    })
}

/// A folder that stays, so that its files can be looked at.
fn kept_folder() -> Result<PathBuf, Failure> {
    let folder =
        tempfile::Builder::new().prefix("cordon-run-").tempdir().map_err(Failure::Start)?;
    Ok(folder.keep())
}

/// Runs one sync in a cordond of its own and asks what came of it.
pub(super) async fn try_once(
    settings: &Settings,
    folder: &Path,
    shows_progress: bool,
) -> Result<Tried, Failure> {
    let private = Private::start(settings, folder).await?;
    let asked = ask(&private, settings, shows_progress).await;
    let (folder, profile) = (private.folder().to_owned(), private.profile);
    private.stop().await;
    let (run, detail, log) = asked?;
    let files = files(&folder.join("state/store"), &settings.name, run.sync);
    Ok(Tried { run, detail, log, profile, folder, files })
}

type Asked = (v1::Run, v1::ConnectorDetail, Vec<v1::LogLine>);

async fn ask(
    private: &Private,
    settings: &Settings,
    shows_progress: bool,
) -> Result<Asked, Failure> {
    let connector = settings.name.clone();
    let mut client = private.client().await?;
    let request = v1::StartSyncRequest { connector: connector.clone(), wait: true, dry_run: false };
    let mut events = answer(client.sync(request)).await?;
    let mut progress = Progress::new(shows_progress);
    let mut ended = None;
    while let Some(event) = events.next().await {
        let event = event.inspect_err(|_| progress.finish())?;
        match event.event {
            Some(sync_event::Event::Run(run)) => {
                ended = Some(run);
                break;
            }
            Some(sync_event::Event::Progress(now)) => progress.observe(&connector, &now),
            None => {}
        }
    }
    progress.finish();
    let run = ended.ok_or(Failure::CutShort)?;
    let request = v1::DescribeConnectorRequest { connector: connector.clone() };
    let detail = answer(client.describe(request)).await?;
    let request = v1::LogsRequest { connector, follow: false, lines: LOG_LINES, since: 0, sync: 0 };
    let mut lines = answer(client.logs(request)).await?;
    let mut log = Vec::new();
    while let Some(line) = lines.next().await {
        log.push(line?);
    }
    Ok((run, detail, log))
}

/// The files of a snapshot, or of the candidate that waits, as its manifest names them.
fn files(store: &Path, connector: &str, sync: u64) -> Vec<RecordFile> {
    let manifest = ["snapshots", "candidates"].into_iter().find_map(|shelf| {
        fs::read_to_string(store.join(shelf).join(connector).join(format!("{sync}.json"))).ok()
    });
    let manifest: Option<serde_json::Value> = manifest
        .as_deref()
        .and_then(|text| text.split_once('\n'))
        .and_then(|(_, content)| serde_json::from_str(content).ok());
    let entries = manifest.as_ref().and_then(|manifest| manifest["files"].as_array());
    let file = |entry: &serde_json::Value| {
        let digest = entry["data"]["digest"].as_str()?;
        let path = store.join("objects").join(digest.get(..2)?).join(format!("{digest}.parquet"));
        let records = entry["record_type"].as_str()?.to_owned();
        Some(RecordFile { records, rows: entry["rows"].as_u64()?, path })
    };
    entries.into_iter().flatten().filter_map(file).collect()
}

fn page(tried: &Tried, scene: &Scene) -> Page {
    let mut page = sync::outcome(&tried.run, scene);
    let is_bad = !matches!(tried.run.outcome.as_str(), "committed" | "quarantined");
    if is_bad {
        page.line(&format!("  {}", crate::commands::runs::why(&tried.run)));
    }
    if !tried.detail.scopes.is_empty() {
        page.section("Scopes");
        describe::scopes(&tried.detail.scopes, scene).write(&mut page, 2);
    }
    page.section("Isolation");
    page.line(&format!("  profile {}, {}", tried.profile, tried.detail.limits));
    for (name, value) in describe::isolation(&tried.detail.isolation, scene) {
        page.line(&format!("  {name}  {value}"));
    }
    for (name, value) in describe::flows(&tried.detail.flows, scene) {
        page.line(&format!("  {name}  {value}"));
    }
    if !tried.files.is_empty() {
        page.section(if tried.run.outcome == "committed" { "Snapshot" } else { "What waits" });
        let mut grid = Grid::new(&["RECORDS", ">ROWS", "PARQUET"]);
        for file in &tried.files {
            let path = file.path.strip_prefix(&tried.folder).unwrap_or(&file.path);
            let path = path.display().to_string();
            grid.row([file.records.clone(), units::count(file.rows), path]);
        }
        grid.write(&mut page, 2);
    }
    if is_bad && !tried.log.is_empty() {
        page.section("Log");
        for line in &tried.log {
            page.line(&format!("  {}", line.line));
        }
    }
    page.end();
    page.styled(Tone::Dim, "in ").push(&tried.folder.display().to_string()).end();
    page
}
