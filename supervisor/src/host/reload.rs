//! From one configuration to the next: only what differs is touched.

use std::sync::{Arc, PoisonError};

use cordon_ledger::Wanted;
use jiff::Timestamp;

use super::plan::Running;
use super::{Host, Loaded, settings};
use crate::config::{Config, ConfigError};
use crate::runner::Command;

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reloaded {
    /// Connectors and sinks that are new.
    pub(crate) added: Vec<String>,
    /// Those that are gone. Their snapshots and evidence stay.
    pub(crate) removed: Vec<String>,
    /// Those that were restarted because they changed.
    pub(crate) changed: Vec<String>,
    /// Those that were restarted because a secret of theirs has another value now.
    pub(crate) rotated: Vec<String>,
    /// Of each that changed, the keys that differ.
    pub(crate) differences: Vec<(String, Vec<&'static str>)>,
    /// Keys of the service itself that differ, each with both values.
    pub(crate) settings: Vec<String>,
    /// The evidence record that says so.
    pub(crate) evidence: u64,
}

impl Host {
    /// Reads the configuration again and takes it over whole, or not at all.
    pub(crate) async fn reload(self: &Arc<Self>, actor: &str) -> anyhow::Result<Reloaded> {
        let running = self.loaded().config;
        let config = self.read_again(&running).await?;
        self.note_policies(&config, actor).await?;
        self.allow_syncs(running.daemon.max_concurrent_syncs, config.daemon.max_concurrent_syncs);
        let settings = settings::taken_over(&running.daemon, &config.daemon);
        let mut done = Reloaded { settings, ..self.apply(Arc::new(config)).await? };
        self.rotate(&mut done).await;
        for name in self.connectors().keys() {
            self.refresh(name).await;
        }
        let body = serde_json::json!({
            "added": done.added, "removed": done.removed, "changed": done.changed,
            "rotated": done.rotated, "settings": done.settings,
        });
        let told = self.ledger.append_event("config.reloaded", None, actor, body, Timestamp::now());
        done.evidence = told.await?.0;
        self.bell.ring();
        Ok(done)
    }

    /// Reads the configuration again, and refuses what cannot be taken over.
    pub(super) async fn read_again(&self, running: &Config) -> Result<Config, ConfigError> {
        let config = Config::read(&running.path)?;
        let fixed = settings::fixed(&running.daemon, &config.daemon);
        if !fixed.is_empty() {
            let message = format!("{}, which a reload cannot change", fixed.join("; "));
            let error = ConfigError::of_file(&running.path, message);
            return Err(
                error.with_hint("restart cordond for it, or put it back and reload the rest")
            );
        }
        let misfits = self.misfits(&config).await.all();
        if !misfits.is_empty() {
            let error = ConfigError::of_file(&running.path, misfits.join("\n"));
            return Err(error.with_hint("correct it; `cordon rule list` shows what rules fit"));
        }
        Ok(config)
    }

    /// Changes how many syncs may run; those that run end first.
    fn allow_syncs(&self, before: usize, now: usize) {
        if now >= before {
            self.syncs.add_permits(now - before);
            return;
        }
        let syncs = self.syncs.clone();
        let surplus = u32::try_from(before - now).unwrap_or(u32::MAX);
        tokio::spawn(async move {
            if let Ok(permits) = syncs.acquire_many_owned(surplus).await {
                permits.forget();
            }
        });
    }

    /// Tells loudly of what does not fit: of rules that cannot be met, for which syncs wait meanwhile,
    /// and of lines that name nothing.
    pub(crate) async fn tell_misfits(&self) {
        let misfits = self.misfits(&self.loaded().config).await;
        for rule in misfits.unmet {
            tracing::error!(
                rule,
                "a rule cannot be evaluated: correct it, its connector's syncs wait"
            );
        }
        for line in misfits.misnamed {
            tracing::error!(line, "a line of a policy names nothing and protects nothing");
        }
    }

    /// Steers towards a configuration.
    pub(crate) async fn apply(self: &Arc<Self>, config: Arc<Config>) -> anyhow::Result<Reloaded> {
        let done = Running::of(self).differences(&config);
        {
            let mut loaded = self.config.write().unwrap_or_else(PoisonError::into_inner);
            *loaded = Loaded { config: config.clone(), at: Timestamp::now() };
        }
        let wanted = self.ledger.wanted().await?;
        let running = self.connectors();
        for name in running.keys().filter(|name| !config.connectors.contains_key(*name)) {
            self.stop_connector(name).await;
        }
        let added = config.connectors.iter().filter(|(name, _)| !running.contains_key(*name));
        for (name, connector) in added {
            let wanted = wanted.get(name).cloned().unwrap_or(Wanted::Run);
            self.start_connector(Arc::new(connector.clone()), wanted).await?;
        }
        for (name, handle) in &running {
            let Some(connector) = config.connectors.get(name) else { continue };
            let is_same = *handle.view.borrow().connector == *connector;
            if !is_same {
                handle.tell(Command::Reconfigure(Arc::new(connector.clone()))).await;
            }
        }
        self.apply_sinks(&config).await;
        Ok(done)
    }

    async fn apply_sinks(self: &Arc<Self>, config: &Config) {
        let running = self.sinks();
        for view in &running {
            match config.sinks.get(&view.sink.name) {
                Some(sink) if *sink == *view.sink => {}
                Some(sink) => {
                    self.stop_sink(&sink.name).await;
                    self.start_sink(sink.clone());
                }
                None => self.stop_sink(&view.sink.name).await,
            }
        }
        for (name, sink) in &config.sinks {
            if !running.iter().any(|view| view.sink.name == *name) {
                self.start_sink(sink.clone());
            }
        }
    }
}
