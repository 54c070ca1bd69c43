//! Retention keeps what somebody needs; history remembers what retention forgot.

use std::collections::{BTreeMap, BTreeSet};

use cordon_ledger::{Commit, Delivery, Kept};
use cordon_model::{ConnectorName, SyncNumber, Watermark};

use crate::host::{Host, at, name};

const DAY: i64 = 24 * 60;

fn syncs(connector: &str, numbers: &[u64]) -> BTreeSet<(ConnectorName, SyncNumber)> {
    numbers.iter().map(|number| (name(connector), SyncNumber(*number))).collect()
}

fn siem() -> Delivery {
    Delivery { sink: "siem".to_owned(), connector: name("hr") }
}

#[tokio::test]
async fn the_newest_and_what_a_sink_still_needs_are_kept() {
    let host = Host::new().await;
    for minute in 1..=6 {
        host.commit("hr", 10, minute).await;
    }
    host.ledger.advance("siem", &name("hr"), 35, at(7)).await.unwrap();
    let kept = host.ledger.retain(2, &[siem()], at(8)).await.unwrap();
    // Change 36 is in the entry from 3 to 4.
    assert_eq!(kept.snapshots, syncs("hr", &[3, 4, 5, 6]));

    host.ledger.advance("siem", &name("hr"), 60, at(9)).await.unwrap();
    let kept = host.ledger.retain(2, &[siem()], at(10)).await.unwrap();
    assert_eq!(kept.snapshots, syncs("hr", &[5, 6]));
    let rows = host.ledger.snapshots(&name("hr")).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.sync.0).collect::<Vec<_>>(), [6, 5]);
    host.reopen().await.unwrap();
}

#[tokio::test]
async fn the_slowest_sink_decides_what_is_kept() {
    let host = Host::new().await;
    for minute in 1..=3 {
        host.commit("hr", 10, minute).await;
    }
    host.ledger.advance("siem", &name("hr"), 30, at(7)).await.unwrap();
    let slow = Delivery { sink: "scim".to_owned(), connector: name("hr") };
    let kept = host.ledger.retain(1, &[siem(), slow], at(8)).await.unwrap();
    assert_eq!(kept.snapshots, syncs("hr", &[1, 2, 3]));
}

#[tokio::test]
async fn the_last_known_good_is_kept_whatever_is_asked() {
    let host = Host::new().await;
    host.commit("hr", 10, 1).await;
    host.commit("hr", 10, 2).await;
    let kept = host.ledger.retain(0, &[], at(3)).await.unwrap();
    assert_eq!(kept.snapshots, syncs("hr", &[2]));
    assert_eq!(host.ledger.last_good(&name("hr")).await.unwrap().unwrap().sync, SyncNumber(2));
    host.reopen().await.unwrap();
}

#[tokio::test]
async fn what_waits_or_runs_is_kept_wherever_its_files_are() {
    let host = Host::new().await;
    host.hold("hr", "suspicious", 1).await;
    host.hold("hr", "suspicious", 2).await;
    host.begin("hr", 3).await;
    let kept = host.ledger.retain(5, &[], at(4)).await.unwrap();
    let in_progress = syncs("hr", &[1, 3]);
    assert_eq!(kept, Kept { snapshots: Default::default(), candidates: in_progress });
}

const DAY_SPAN: std::time::Duration = std::time::Duration::from_secs(86_400);

/// Commits a sync with these records and removals of users.
async fn commit_users(host: &Host, content: &str, (users, removed): (u64, u64), minutes: i64) {
    let sync = host.begin("hr", minutes).await;
    let watermark = Watermark { time: Some(at(minutes)), token: None };
    let commit = Commit {
        content_digest: content.to_owned(),
        label_counts: BTreeMap::from([("user".to_owned(), users)]),
        removed_by_label: BTreeMap::from([("user".to_owned(), removed)]),
        watermarks: BTreeMap::from([("users".to_owned(), watermark)]),
        ..host.step("hr", sync, removed).await
    };
    host.try_commit(&commit, minutes).await.unwrap();
}

#[tokio::test]
async fn history_sums_a_day_of_removals_and_knows_the_day_before() {
    let host = Host::new().await;
    commit_users(&host, "a", (1_000, 0), 0).await;
    commit_users(&host, "b", (990, 10), 60).await;
    commit_users(&host, "c", (970, 20), DAY + 30).await;
    commit_users(&host, "d", (965, 5), DAY + 60).await;
    host.ledger.retain(1, &[], at(DAY + 60)).await.unwrap();

    let history = host
        .ledger
        .history(&name("hr"), "e", &[DAY_SPAN, 2 * DAY_SPAN], at(DAY + 60))
        .await
        .unwrap();
    assert_eq!(history.accepted, 4);
    // The commit of exactly 24 hours ago is no longer in the window.
    let users = |count: u64| BTreeMap::from([("user".to_owned(), count)]);
    let (day, two_days) = (&history.windows[&DAY_SPAN], &history.windows[&(2 * DAY_SPAN)]);
    assert_eq!((&day.removed, &day.records_then), (&users(25), &users(990)));
    assert_eq!((&two_days.removed, &two_days.records_then), (&users(35), &users(1_000)));
    assert_eq!(day.released, BTreeMap::new());
    assert_eq!(history.watermarks["users"].time, Some(at(DAY + 60)));
    assert_eq!(history.replays, None);
}

#[tokio::test]
async fn history_of_a_young_connector_begins_at_its_first_snapshot() {
    let host = Host::new().await;
    let history = host.ledger.history(&name("hr"), "a", &[], at(0)).await.unwrap();
    assert_eq!(history, Default::default());
    commit_users(&host, "a", (1_000, 0), 0).await;
    commit_users(&host, "b", (900, 100), 60).await;
    let history = host.ledger.history(&name("hr"), "c", &[DAY_SPAN], at(90)).await.unwrap();
    let day = &history.windows[&DAY_SPAN];
    assert_eq!(day.records_then, BTreeMap::from([("user".to_owned(), 1_000)]));
    assert_eq!(day.removed, BTreeMap::from([("user".to_owned(), 100)]));
}

#[tokio::test]
async fn history_tells_removals_that_a_person_released_apart() {
    let host = Host::new().await;
    commit_users(&host, "a", (1_000, 0), 0).await;
    let (sync, _) = host.hold("hr", "b", 10).await;
    let commit = Commit {
        removed_by_label: BTreeMap::from([("user".to_owned(), 40)]),
        ..host.release("hr", sync, "b").await
    };
    host.try_commit(&commit, 20).await.unwrap();
    commit_users(&host, "c", (950, 10), 30).await;
    let history = host.ledger.history(&name("hr"), "d", &[DAY_SPAN], at(40)).await.unwrap();
    let day = &history.windows[&DAY_SPAN];
    assert_eq!(day.removed, BTreeMap::from([("user".to_owned(), 10)]));
    assert_eq!(day.released, BTreeMap::from([("user".to_owned(), 40)]));
}

#[tokio::test]
async fn content_that_was_replaced_is_known_when_it_comes_back() {
    let host = Host::new().await;
    for (minute, content) in ["a", "b", "a", "c"].into_iter().enumerate() {
        commit_users(&host, content, (100, 0), minute as i64).await;
    }
    host.ledger.retain(1, &[], at(10)).await.unwrap();
    let replays = async |content| {
        host.ledger.history(&name("hr"), content, &[], at(20)).await.unwrap().replays
    };
    assert_eq!(replays("a").await, Some(SyncNumber(3)));
    assert_eq!(replays("b").await, Some(SyncNumber(2)));
    assert_eq!(replays("c").await, None, "the last known good is no replay");
    assert_eq!(replays("d").await, None);
    commit_users(&host, "c", (100, 0), 30).await;
    assert_eq!(replays("c").await, None, "unchanged content is no replay");
}
