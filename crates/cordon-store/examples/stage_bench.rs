//! Measures staging, diff and delivery order on records made up on the way.
//!
//! `stage_bench [GRANTS] [FOLDER] [no-shape]`: one first sync, one with one percent of other grants,
//! all changes between them, and a part of them. The time to make up records is not counted.

#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cordon_model::{
    AttributeName, Batch, Column, ConnectorName, RecordSchema, RecordType, ScopeOutcome,
    ScopeReport, SyncNumber, Values, Watermark,
};
use cordon_store::{Provenance, Snapshot, StageSpec, Staged, Store};
use cordon_validate::Selection;
use jiff::Timestamp;

const BATCH: u64 = 4096;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let grants: u64 = arguments.next().map_or(Ok(1_000_000), |given| given.parse())?;
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(folder)?;
    let store = Store::open(dir.path())?;
    let connector = ConnectorName::new("bench")?;
    sync(&store, &connector, 1, grants, None)?;
    let first = store.candidate(&connector, SyncNumber(1))?;
    sync(&store, &connector, 2, grants, Some(&first))?;
    let second = store.candidate(&connector, SyncNumber(2))?;
    let began = Instant::now();
    let counts = store.change_counts(Some(&first), &second)?;
    let counted = began.elapsed();
    let began = Instant::now();
    let changes = store.changes(Some(&first), &second, 0)?.count();
    println!("diff {counted:.2?} {counts:?}");
    println!("changes {changes} in {:.2?}; peak {} MiB", began.elapsed(), peak_mib());
    part(&store, &connector, &first, &second)
}

/// Composes the additions to a part, and compares what is left with it.
fn part(
    store: &Store,
    connector: &ConnectorName,
    first: &Snapshot,
    second: &Snapshot,
) -> Result<(), Box<dyn std::error::Error>> {
    let began = Instant::now();
    let selection = Selection::without_removals();
    let composed = store.compose(SyncNumber(3), Some(first), second, &selection, None)?;
    let composing = began.elapsed();
    let part = store.candidate(connector, SyncNumber(3))?;
    let began = Instant::now();
    let rest = store.rebase(second, &part)?;
    let rebasing = began.elapsed();
    let rest = store.settle(connector, SyncNumber(2), &rest.candidate.digest)?;
    let began = Instant::now();
    let repeated = store.repeated(&part, &rest, &rest)?;
    println!(
        "part of {} in {composing:.2?}, rest of {} in {rebasing:.2?}, {repeated} repeated in {:.2?}; \
         peak {} MiB",
        composed.selected.total(),
        composed.left.total(),
        began.elapsed(),
        peak_mib()
    );
    Ok(())
}

fn sync(
    store: &Store,
    connector: &ConnectorName,
    number: u64,
    grants: u64,
    last: Option<&Snapshot>,
) -> Result<(), Box<dyn std::error::Error>> {
    let types = ["resource.user", "resource.group", "entitlement.group", "grant.user"];
    let schemas = types.map(|name| RecordSchema { record_type: of(name), attributes: vec![] });
    let mut staging = store.stage(StageSpec {
        connector: connector.clone(),
        sync: SyncNumber(number),
        schemas: schemas.to_vec(),
        provenance: Provenance {
            connector_program: "stage_bench".to_owned(),
            connector_version: String::new(),
            program_digest: String::new(),
            jail_report_digest: None,
            isolation: Default::default(),
        },
        started_at: Timestamp::UNIX_EPOCH,
        grace: None,
        // Without the detector, to see what it costs.
        shape: std::env::args().nth(3).as_deref() != Some("no-shape"),
    })?;
    staging.begin_scope(0, "all")?;
    let mut appending = Duration::ZERO;
    let (users, groups) = (grants / 8, grants / 160);
    let group = |n: u64| format!("group-{n:06}");
    let group = &group;
    for (name, count) in [(0, users), (1, groups), (2, groups), (3, grants)] {
        for from in (0..count).step_by(BATCH as usize) {
            let rows = from..count.min(from + BATCH);
            let columns = match name {
                0 => vec![texts("id", rows.clone().map(|n| format!("user{n:08}")))],
                1 => vec![texts("id", rows.clone().map(group))],
                2 => vec![
                    texts("id", rows.clone().map(|n| format!("{}:member", group(n)))),
                    texts("resource", rows.clone().map(|n| format!("group:{}", group(n)))),
                ],
                _ => {
                    let given = |n: u64| {
                        // In the second sync one grant of a hundred is of another group.
                        let other = u64::from(number == 2 && n % 100 == 7);
                        (n / 8 * 7919 + n % 8 * 104_729 + other) % groups
                    };
                    vec![
                        texts("principal", rows.clone().map(|n| format!("user{:08}", n / 8))),
                        texts(
                            "entitlement",
                            rows.clone().map(|n| format!("{}:member", group(given(n)))),
                        ),
                    ]
                }
            };
            let records = (rows.end - rows.start) as usize;
            let batch = Batch::new(0, of(types[name as usize]), records, columns)?;
            let began = Instant::now();
            staging.append(batch)?;
            appending += began.elapsed();
        }
    }
    let report = ScopeReport {
        name: "all".to_owned(),
        outcome: ScopeOutcome::Complete,
        received: 0,
        declared: 0,
        source_total: None,
        watermark: Watermark::default(),
    };
    let began = Instant::now();
    let Staged { candidate, timings, .. } = staging.finish(vec![report], last)?;
    let finishing = began.elapsed();
    let records: u64 = candidate.census.types.values().map(|of| of.records).sum();
    let rate = records as f64 / (appending + finishing).as_secs_f64() / 1e6;
    println!(
        "sync {number}: {records} records, append {appending:.2?}, finish {finishing:.2?}, \
         {rate:.2} M/s, peak {} MiB, {} defects\n  {timings:.2?}",
        peak_mib(),
        candidate.defects.len()
    );
    Ok(())
}

fn of(record_type: &str) -> RecordType {
    RecordType::try_from(record_type.to_owned()).expect("the bench names its types well")
}

fn texts(name: &str, values: impl Iterator<Item = String>) -> Column {
    let (mut offsets, mut data) = (vec![0], String::new());
    for value in values {
        data.push_str(&value);
        offsets.push(data.len() as i32);
    }
    let name = AttributeName::new(name).expect("the bench names its columns well");
    Column { name, presence: None, values: Values::Text { offsets, data } }
}

/// The most memory that this process had.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
