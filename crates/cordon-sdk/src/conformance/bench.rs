//! A connector under trial, and what is known of it so far.
//!
//! Cases ask for the same things: a process that is configured, the records of a sync. What failed
//! once is not tried again for every case, and is blamed on one case alone.

use std::time::Duration;

use cordon_wire::v1;
use serde_json::Value as Json;

use super::{Case, Subject};
use crate::Error;
use crate::testing::{Collected, Harness, Line, Patience};

/// Bytes that a sync may send before it waits for its reader: every sync is in the middle then.
const HELD_BYTES: u32 = 64;
/// How often a silent connection may be pinged.
const PING_EVERY: Duration = Duration::from_secs(1);

/// Why a case was not passed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// The connector does not conform.
    #[error("{0}")]
    Failed(String),
    /// It cannot be judged of this connector, or with this configuration.
    #[error("not judged: {0}")]
    Unjudged(String),
}

impl Objection {
    /// It does not conform.
    pub fn failed(why: impl Into<String>) -> Self {
        Self::Failed(why.into())
    }

    /// It cannot be judged.
    pub fn unjudged(why: impl Into<String>) -> Self {
        Self::Unjudged(why.into())
    }

    /// What another case finds fault with.
    fn see(case: Case) -> Self {
        Self::Unjudged(format!("see {}", case.name()))
    }
}

/// What came of a case.
pub type Judged = Result<(), Objection>;

/// A connector that was started for a case, and ends with it.
pub struct Live<S: Subject> {
    /// How it is spoken to.
    pub harness: Harness,
    /// What keeps it alive.
    pub life: S::Life,
}

/// A connector under trial.
pub struct Bench<S> {
    subject: S,
    config: Json,
    patience: Patience,
    described: Option<Result<v1::DescribeResponse, String>>,
    configured: Option<Result<(), String>>,
    syncs: Vec<Result<Collected, String>>,
}

impl<S: Subject> Bench<S> {
    /// A connector of which nothing is known yet.
    pub fn new(subject: S, config: Json, patience: Patience) -> Self {
        let (described, configured, syncs) = (None, None, Vec::new());
        Self { subject, config, patience, described, configured, syncs }
    }

    /// The connector.
    pub fn subject(&self) -> &S {
        &self.subject
    }

    /// Its configuration.
    pub fn config(&self) -> &Json {
        &self.config
    }

    /// How long it is waited for.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Starts one that is not configured.
    pub(super) async fn start(&self, line: Line) -> Result<Live<S>, Error> {
        let (socket, life) = self.subject.start().await?;
        let mut harness = Harness::connect_with(socket, line).await?;
        harness.be_patient(self.patience);
        Ok(Live { harness, life })
    }

    /// What it is. That it does not say so is the business of one case.
    pub async fn described(&mut self) -> Result<v1::DescribeResponse, Objection> {
        match self.try_described().await {
            Ok(described) => Ok(described),
            Err(_) => Err(Objection::see(Case::Describe)),
        }
    }

    pub(super) async fn try_described(&mut self) -> Result<v1::DescribeResponse, String> {
        if self.described.is_none() {
            let described = async { self.start(Line::default()).await?.harness.describe().await };
            self.described = Some(described.await.map_err(|error| error.chain()));
        }
        self.described.clone().unwrap_or_else(|| Err(String::new()))
    }

    /// Starts one that is not configured, if it gets so far.
    pub async fn unconfigured(&mut self) -> Result<Live<S>, Objection> {
        self.described().await?;
        self.start(Line::default()).await.map_err(|_| Objection::see(Case::Describe))
    }

    /// Starts one and configures it.
    pub async fn ready(&mut self) -> Result<Live<S>, Objection> {
        self.ready_with(Line::default()).await
    }

    /// The same; a sync of it waits for its reader after a few bytes, however short it is.
    pub async fn held(&mut self) -> Result<Live<S>, Objection> {
        self.ready_with(Line { window: Some(HELD_BYTES), ..Line::default() }).await
    }

    /// The same; its connection is pinged once a second while it is silent.
    pub async fn pinged(&mut self) -> Result<Live<S>, Objection> {
        self.ready_with(Line { pings: Some(PING_EVERY), ..Line::default() }).await
    }

    pub(super) async fn ready_with(&mut self, line: Line) -> Result<Live<S>, Objection> {
        match self.try_ready(line).await {
            Ok(live) => Ok(live),
            Err(Objection::Failed(_)) => Err(Objection::see(Case::Configure)),
            Err(unjudged) => Err(unjudged),
        }
    }

    pub(super) async fn try_ready(&mut self, line: Line) -> Result<Live<S>, Objection> {
        self.described().await?;
        if let Some(Err(why)) = &self.configured {
            return Err(Objection::failed(why));
        }
        let ready = async {
            let mut live = self.start(line).await?;
            live.harness.configure(&self.config).await?;
            Ok(live)
        };
        let ready = ready.await.map_err(|error: Error| error.chain());
        self.configured = Some(ready.as_ref().map(drop).map_err(Clone::clone));
        ready.map_err(Objection::Failed)
    }

    /// What a sync brings.
    pub async fn synced(&mut self) -> Result<Collected, Objection> {
        self.try_sync(0).await?.map_err(|_| Objection::see(Case::Scopes))
    }

    /// What the next sync of the same process brings.
    pub(super) async fn synced_again(&mut self) -> Result<Collected, Objection> {
        self.synced().await?;
        self.try_sync(1).await?.map_err(|why| Objection::failed(format!("a second sync: {why}")))
    }

    pub(super) async fn try_sync(
        &mut self,
        number: usize,
    ) -> Result<Result<Collected, String>, Objection> {
        if self.syncs.is_empty() {
            let mut live = self.ready().await?;
            for _ in 0..2 {
                let (collected, result) = live.harness.sync().await;
                self.syncs.push(result.map(|()| collected).map_err(|error| error.chain()));
                if self.syncs.last().is_some_and(Result::is_err) {
                    break;
                }
            }
        }
        let none = || Err("it did not come so far".to_owned());
        Ok(self.syncs.get(number).cloned().unwrap_or_else(none))
    }

    /// That a sync failed already is not told by every case.
    pub(super) fn unless_syncs_fail(&self) -> Judged {
        match self.syncs.first() {
            Some(Err(_)) => Err(Objection::see(Case::Scopes)),
            _ => Ok(()),
        }
    }
}
