//! The machine formats: what each message of the control API looks like as JSON or YAML.
//!
//! Fields are named as in control.proto and all are present; times are RFC 3339 in UTC, or null for
//! never. Each view takes its message apart field by field, so a field that is new on the wire does
//! not compile until it has its place here.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use cordon_wire::v1;

/// The version of the documents.
pub(crate) const API_VERSION: &str = "cordon/v1";

/// What a result is a list of.
pub(crate) trait Item {
    /// `kind` of the document.
    const KIND: &'static str;

    /// Its name under `-o name`.
    fn name(&self) -> String;
}

/// A message of the wire, as the machine formats show it.
pub(crate) struct View<'a, T>(pub(crate) &'a T);

macro_rules! view {
    (@value $value:expr) => { $value };
    (@value $value:expr, $with:ident) => { $with($value) };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident, $name:literal) => { $name };
    ($message:ident { $($field:ident $(as $name:literal)? $(: $with:ident)?),+ $(,)? }) => {
        impl Serialize for View<'_, v1::$message> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let v1::$message { $($field),+ } = self.0;
                let mut map = serializer.serialize_map(None)?;
                $(map.serialize_entry(
                    view!(@name $field $(, $name)?),
                    &view!(@value $field $(, $with)?),
                )?;)+
                map.end()
            }
        }
    };
}

view!(Host {
    version,
    hostname,
    started_at: moment,
    config_loaded_at: moment,
    config_path,
    state_dir,
    now: moment,
});
view!(ConnectorStatus {
    name,
    trust,
    trust_reasons,
    trust_since: moment,
    runtime,
    runtime_detail,
    last_good_at: moment,
    last_good_sync,
    next_sync_at: moment,
    records,
    last_change: maybe,
    pause: maybe,
    pid,
    restarts,
    r#use as "use",
    labels: sorted,
    progress: maybe,
    quarantined_sync,
    quarantined_digest,
    reason,
    standing: list,
    reread_at: moment,
    rest: maybe,
    asked: maybe,
    pending_removals: maybe,
});
view!(RestOfSync { left_by, released: maybe, left: maybe });
view!(ReleaseAsked { by, reason, selection, at: moment, expires_at: moment, evidence });
view!(ChangeCounts { added, removed, modified });
view!(Pause { by, reason, since: moment, until: moment });
view!(SyncProgress { sync, phase, records, done, total });
view!(SinkStatus {
    name,
    r#type as "type",
    state,
    detail,
    behind,
    oldest_at: moment,
    delivered,
});
view!(ConnectorDetail {
    status: maybe,
    program,
    program_version,
    program_digest,
    schedule,
    limits,
    policy: list,
    isolation: list,
    findings: list,
    runs: list,
    events: list,
    scopes: list,
    flows: list,
    rereads,
    rereads_transient,
    hindsight: maybe,
});
view!(Flow {
    destination,
    connections,
    failures,
    sent_bytes,
    received_bytes,
    address,
    last_at: moment,
    trouble,
});
view!(Pair { name, value });
view!(IsolationItem { name, state, detail, level, required, asked, in_force, errno });
view!(ScopeDetail {
    name,
    outcome,
    reason,
    records,
    source_total,
    watermark_time: moment,
    watermark_token,
});
view!(Finding { code, severity, subject, message, measured, limit, examples });
view!(OrderResponse { evidence, message, status: maybe });
view!(Run {
    connector,
    sync,
    outcome,
    started_at: moment,
    ended_at: moment,
    trigger,
    records,
    changes: maybe,
    findings: list,
    digest,
    error,
    supervisor_ms,
    judge_us,
    diff_us,
    connector_peak_bytes,
    spawn_us,
    decided_by,
    decision_reason,
    commit_us,
    reason,
    gave_way_us,
});
view!(LogLine { time: moment, connector, pid, line });
view!(DiffHeader {
    connector,
    sync,
    against,
    digest,
    outcome,
    findings: list,
    types: list,
    total: maybe,
    groups: list,
    not_grouped,
    rest: maybe,
    asked: maybe,
    people,
    sinks: list,
    told: maybe,
});
view!(ChangeGroup { op, record_type, attribute, value, changed, of_changed, of_group, at_least });
view!(TypeChange { label, before, after, counts: maybe, carried });
view!(Renamed { record_type, old, new, by });
view!(RecordChange { op, record_type, key, before: object, after: object, pending_since });
view!(QuarantinedSync {
    connector,
    sync,
    digest,
    against,
    since: moment,
    findings: list,
    changes: maybe,
    repeats,
    rest: maybe,
    asked: maybe,
});
view!(Event { seq, time: moment, connector, kind, actor, message, hash, body });
view!(DoctorItem { name, state, detail, fix });
view!(ProveResult { case, result, detail });
view!(ReloadResponse {
    added,
    removed,
    changed,
    differences: list,
    rotated,
    settings,
    evidence,
    hindsight: list,
});
view!(Difference { name, keys });
view!(Hindsight {
    connector,
    state,
    message,
    defaults_in_force,
    defaults: maybe,
    tried: maybe,
    held: list,
    unread,
});
view!(BacktestSync {
    connector,
    sync,
    against,
    taken_at: moment,
    outcome,
    verdict,
    codes,
    codes_then,
    changes: maybe,
    difference,
    message,
});
view!(BacktestSummary {
    policy,
    judged,
    held,
    held_then,
    newly_held,
    no_longer_held,
    removals_held,
    removals_held_then,
    unknown,
    missing,
    read_again,
    read_again_then,
});
view!(OperatorRule { connector, name, on, selects, demands, message, state, detail });
view!(RuleResult {
    connector,
    sync,
    against,
    taken_at: moment,
    outcome,
    rule,
    result,
    found,
    of,
    message,
    examples,
});
view!(SecretCheck { owner, place, reference, state, detail });

macro_rules! item {
    ($message:ident, $kind:literal, |$item:ident| $name:expr) => {
        impl Item for v1::$message {
            const KIND: &'static str = $kind;

            fn name(&self) -> String {
                let $item = self;
                $name
            }
        }
    };
}

item!(ConnectorStatus, "ConnectorStatusList", |it| it.name.clone());
item!(ConnectorDetail, "ConnectorDetailList", |it| it
    .status
    .as_ref()
    .map(|status| status.name.clone())
    .unwrap_or_default());
item!(SyncProgress, "SyncProgressList", |it| it.sync.to_string());
item!(OrderResponse, "OrderList", |it| it
    .status
    .as_ref()
    .map_or_else(|| it.evidence.to_string(), |status| status.name.clone()));
item!(Run, "RunList", |it| format!("{}/{}", it.connector, it.sync));
item!(LogLine, "LogLineList", |it| it.connector.clone());
item!(RecordChange, "RecordChangeList", |it| it.key.clone());
item!(Renamed, "RenamedList", |it| it.old.clone());
item!(QuarantinedSync, "QuarantinedSyncList", |it| format!("{}/{}", it.connector, it.sync));
item!(Event, "EventList", |it| it.seq.to_string());
item!(DoctorItem, "DoctorItemList", |it| it.name.clone());
item!(ProveResult, "ProveResultList", |it| it.case.clone());
item!(BacktestSync, "BacktestSyncList", |it| format!("{}/{}", it.connector, it.sync));
item!(Hindsight, "HindsightList", |it| it.connector.clone());
item!(OperatorRule, "OperatorRuleList", |it| format!("{}/{}", it.connector, it.name));
item!(RuleResult, "RuleResultList", |it| format!("{}/{}/{}", it.connector, it.sync, it.rule));
item!(SecretCheck, "SecretCheckList", |it| format!("{}/{}", it.owner, it.place));
item!(ReloadResponse, "ReloadList", |it| it.evidence.to_string());

fn moment(micros: &i64) -> Option<Timestamp> {
    crate::units::time(*micros)
}

fn sorted(pairs: &HashMap<String, String>) -> BTreeMap<&String, &String> {
    pairs.iter().collect()
}

/// A message that may be absent.
pub(crate) fn maybe<T>(message: &Option<T>) -> Option<View<'_, T>> {
    message.as_ref().map(View)
}

/// Messages in order.
pub(crate) fn list<T>(messages: &[T]) -> Vec<View<'_, T>> {
    messages.iter().map(View).collect()
}

/// Values by column; none for no record. Text that is no JSON is shown as the text it is.
fn object(text: &str) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[derive(serde::Serialize)]
struct Head<'a, E> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    extra: &'a E,
}

/// The document up to its first item.
pub(crate) fn json_head<E: Serialize>(kind: &'static str, extra: &E) -> String {
    let head = pretty(&Head { api_version: API_VERSION, kind, extra });
    let open = head.trim_end_matches('}').trim_end();
    format!("{open},\n  \"items\": [")
}

/// An item, with the separator before it.
pub(crate) fn json_item<T: Serialize>(item: &T, first: bool) -> String {
    let separator = if first { "" } else { "," };
    format!("{separator}\n    {}", pretty(item).replace('\n', "\n    "))
}

/// The end of the document.
pub(crate) fn json_tail(items: u64) -> &'static str {
    if items == 0 { "]\n}\n" } else { "\n  ]\n}\n" }
}

/// The document up to its first item.
pub(crate) fn yaml_head<E: Serialize>(kind: &'static str, extra: &E) -> String {
    serde_norway::to_string(&Head { api_version: API_VERSION, kind, extra }).unwrap_or_default()
}

/// An item, as an element of the list.
pub(crate) fn yaml_item<T: Serialize>(item: &T, first: bool) -> String {
    let head = if first { "items:\n" } else { "" };
    format!("{head}{}", serde_norway::to_string(&[item]).unwrap_or_default())
}

/// The end of the document.
pub(crate) fn yaml_tail(items: u64) -> &'static str {
    if items == 0 { "items: []\n" } else { "" }
}

/// A line of NDJSON.
pub(crate) fn line<T: Serialize>(item: &T) -> String {
    let mut line = serde_json::to_string(item).unwrap_or_default();
    line.push('\n');
    line
}

// Views hold strings, numbers and maps with string keys: serializing them to memory cannot fail.
fn pretty<T: Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
