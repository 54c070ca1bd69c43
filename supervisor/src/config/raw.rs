//! The configuration as it is written. Unknown keys are refused here, by serde.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cordon_model::ConnectorName;
use cordon_validate::PolicyPatch;
use serde::Deserialize;

use super::isolation::{self, Allow, Profile};
use super::value::{Bytes, Percent, Span, Spans, UnitsPer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) version: u32,
    #[serde(default)]
    pub(super) daemon: Daemon,
    #[serde(default)]
    pub(super) store: Store,
    #[serde(default)]
    pub(super) guard: PolicyPatch,
    #[serde(default)]
    pub(super) connector: BTreeMap<ConnectorName, Connector>,
    #[serde(default)]
    pub(super) sink: BTreeMap<String, Sink>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a table of the service's keys")]
pub(super) struct Daemon {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) socket: Option<PathBuf>,
    pub(super) socket_group: Option<String>,
    #[serde(default)]
    pub(super) profile: Profile,
    #[serde(default)]
    pub(super) include: Vec<String>,
    pub(super) max_concurrent_syncs: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a table such as { keep = { last = 30 } }")]
pub(super) struct Store {
    #[serde(default)]
    pub(super) keep: Keep,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a table such as { last = 30 }")]
pub(super) struct Keep {
    pub(super) last: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `use` and what else a connector needs")]
pub(super) struct Connector {
    #[serde(rename = "use")]
    pub(super) uses: String,
    #[serde(default)]
    pub(super) args: Vec<String>,
    pub(super) every: Option<Span>,
    pub(super) cron: Option<String>,
    pub(super) tz: Option<String>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) config: toml::Table,
    #[serde(default)]
    pub(super) limits: Limits,
    pub(super) allow: Option<Allow>,
    #[serde(default)]
    pub(super) isolation: isolation::Raw,
    pub(super) pin: Option<String>,
    #[serde(default)]
    pub(super) restart: Restart,
    pub(super) idle_timeout: Option<Span>,
    #[serde(default)]
    pub(super) guard: PolicyPatch,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, expecting = "a table such as { memory = \"128MiB\", tasks = 32 }")]
pub(super) struct Limits {
    pub(super) memory: Option<Bytes>,
    pub(super) cpu: Option<Percent>,
    pub(super) tasks: Option<u32>,
    pub(super) files: Option<u64>,
    pub(super) file_size: Option<Bytes>,
    pub(super) scratch: Option<Bytes>,
    pub(super) scratch_files: Option<u64>,
    pub(super) records: Option<u64>,
    pub(super) sync_timeout: Option<Span>,
    pub(super) stall_timeout: Option<Span>,
    pub(super) start_timeout: Option<Span>,
    pub(super) call_timeout: Option<Span>,
    pub(super) min_rate: Option<UnitsPer>,
}

#[derive(Deserialize, Default)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { backoff = \"1s..5m\", give_up_after = 5 }"
)]
pub(super) struct Restart {
    pub(super) backoff: Option<Spans>,
    pub(super) give_up_after: Option<usize>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Sink {
    File(FileSink),
    Webhook(WebhookSink),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSink {
    pub(super) path: PathBuf,
    pub(super) from: Option<Vec<ConnectorName>>,
    pub(super) rotate: Option<Bytes>,
    pub(super) keep: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookSink {
    pub(super) url: String,
    pub(super) secret: String,
    pub(super) from: Option<Vec<ConnectorName>>,
    pub(super) batch: Option<usize>,
    pub(super) timeout: Option<Span>,
}
