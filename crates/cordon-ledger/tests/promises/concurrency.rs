//! Writers wait for each other; nobody is told that the database is locked.

use cordon_ledger::Ledger;
use serde_json::json;
use tempfile::TempDir;

use crate::host::{Host, at, name};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_tasks_on_two_instances_write_and_read_without_an_error() {
    let host = Host::new().await;
    let instances = [host.ledger.clone(), host.reopen().await.unwrap()];
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let ledger = instances[task % 2].clone();
            tokio::spawn(async move {
                let connector = name(&format!("c{task}"));
                for minute in 0..15 {
                    let sync = ledger.begin_run(&connector, "drill", at(minute)).await.unwrap();
                    assert_eq!(sync.0, minute as u64 + 1);
                    ledger
                        .append_event("drill.step", None, "test", json!({}), at(1))
                        .await
                        .unwrap();
                    assert_eq!(ledger.runs(&connector, 100).await.unwrap().len(), sync.0 as usize);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let report = host.ledger.verify_chain().await.unwrap();
    assert_eq!(report.head.0, 1 + 8 * 15 * 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_that_make_the_ledger_at_once_share_one() {
    for _ in 0..5 {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("cordon.db");
        let opening = (0..4).map(|_| {
            let path = path.clone();
            tokio::spawn(async move { Ledger::open(&path, at(0)).await.unwrap() })
        });
        let mut ledgers = Vec::new();
        for task in opening.collect::<Vec<_>>() {
            ledgers.push(task.await.unwrap());
        }
        for ledger in &ledgers {
            ledger.append_event("drill.step", None, "test", json!({}), at(1)).await.unwrap();
        }
        assert_eq!(ledgers[0].verify_chain().await.unwrap().head.0, 5);
        let left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|file| file.contains(".new-"))
            .collect();
        assert_eq!(left, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_write_that_was_refused_leaves_the_file_to_other_instances() {
    let host = Host::new().await;
    let sync = host.begin("hr", 1).await;
    let mut step = host.step("hr", sync, 1).await;
    step.from = Some(sync);
    host.try_commit(&step, 2).await.unwrap_err();
    let other = host.reopen().await.unwrap();
    let write = other.append_event("drill.step", None, "test", json!({}), at(3));
    tokio::time::timeout(std::time::Duration::from_secs(30), write).await.unwrap().unwrap();
}
