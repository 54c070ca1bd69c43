//! Delivers what was published: ordered batches of accepted changes, to a file or a webhook.
//!
//! A sink is given changes of one connector in order and answers when they are durable at their
//! receiver; who calls it moves a cursor only then. So every change arrives once or more, never
//! less, and receivers tell repeats by the change's id.
//!
//! Absent on purpose: cursors, queues, pauses and retries. They belong to the supervisor's outbox,
//! which alone knows what was accepted. A sink only says whether trying again can help.

mod backoff;
mod delivery;
mod error;
mod file;
mod webhook;

pub use backoff::Backoff;
pub use delivery::Delivery;
pub use error::{DeliverError, SinkOpenError};
pub use file::{FileConfig, FileSink};
pub use webhook::{WebhookConfig, WebhookSink};

/// Where a sink delivers to, and how.
#[derive(Debug, Clone)]
pub enum SinkConfig {
    /// Lines of JSON in a file.
    File(FileConfig),
    /// Signed requests to a URL.
    Webhook(WebhookConfig),
}

/// A receiver of accepted changes.
#[derive(Debug)]
pub enum Sink {
    /// Lines of JSON in a file.
    File(FileSink),
    /// Signed requests to a URL.
    Webhook(WebhookSink),
}

impl Sink {
    /// Checks the configuration and makes the sink ready. `name` is for logs.
    pub fn open(name: &str, config: SinkConfig) -> Result<Self, SinkOpenError> {
        Ok(match config {
            SinkConfig::File(config) => Self::File(FileSink::open(name, config)?),
            SinkConfig::Webhook(config) => Self::Webhook(WebhookSink::open(&config)?),
        })
    }

    /// Delivers a batch: changes of one connector, in the order of their numbers. Returns when all
    /// of them are durable at the receiver. After an error some may be; send all of them again.
    ///
    /// Dropping the future is safe. What it had begun may still arrive.
    pub async fn deliver(&mut self, batch: &[Delivery]) -> Result<(), DeliverError> {
        debug_assert!(
            batch.windows(2).all(|pair| pair[0].connector == pair[1].connector
                && (pair[0].seq, pair[0].place) < (pair[1].seq, pair[1].place)),
            "a batch holds one connector's changes in order"
        );
        match self {
            Self::File(sink) => sink.deliver(batch).await,
            Self::Webhook(sink) => sink.deliver(batch).await,
        }
    }

    /// Whether the receiver can be reached now. Delivers nothing.
    pub async fn check(&self) -> Result<(), DeliverError> {
        match self {
            Self::File(sink) => sink.check().await,
            Self::Webhook(sink) => sink.check().await,
        }
    }

    /// Changes that one batch should hold, at most.
    pub fn batch_max(&self) -> usize {
        match self {
            Self::File(_) => file::BATCH_MAX,
            Self::Webhook(sink) => sink.batch_max(),
        }
    }
}
