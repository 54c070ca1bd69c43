//! The JSON of a change is a contract.

use cordon_model::{ChangeOp, Value};
use serde_json::json;

use crate::{baseline, delivery_of};

#[test]
fn a_change_is_delivered_in_the_documented_envelope() {
    let mut delivery = delivery_of(41, 0);
    delivery.change.op = ChangeOp::Modified;
    let after = delivery.change.after.as_mut().unwrap();
    after.values.clear();
    after.values.insert("id".into(), Value::Text("u\"41\"\n".into()));
    after.values.insert("active".into(), Value::Boolean(true));
    after.values.insert("level".into(), Value::Integer(i64::MIN));
    after
        .values
        .insert("expires".into(), Value::Timestamp("2026-12-31T23:59:59.25Z".parse().unwrap()));
    delivery.change.before = None;

    assert_eq!(
        delivery.to_json(),
        json!({
            "v": 1,
            "id": "hr/41",
            "seq": 41,
            "connector": "hr",
            "snapshot": 7,
            "committed_at": "2026-03-02T04:00:00Z",
            "op": "modified",
            "kind": "resource",
            "type": "user",
            "key": "user:u41",
            "before": null,
            "after": {
                "id": "u\"41\"\n",
                "active": true,
                "level": i64::MIN,
                "expires": "2026-12-31T23:59:59.25Z",
            },
        })
    );
}

#[test]
fn the_idempotency_key_names_connector_and_number_and_nothing_that_changes() {
    let first = delivery_of(9, 0);
    let mut again = delivery_of(9, 5);
    again.committed_at = "2030-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(first.idempotency_key(), "hr/9");
    assert_eq!(first.idempotency_key(), again.idempotency_key());
}

#[test]
fn records_of_a_snapshot_that_is_sent_whole_have_keys_of_their_own() {
    let keys: Vec<_> = baseline(9, 1..=2).iter().map(|one| one.idempotency_key()).collect();
    assert_eq!(keys, ["hr/9:1", "hr/9:2"]);
    assert_eq!(baseline(9, 1..=1)[0].to_json()["seq"], 9);
}
