//! 1 consume: the seam to Kafka.
//!
//! Rebalances are values in the stream of events, not callbacks: a task handles them in the order in which they happened, and a revoke is
//! acknowledged only when the task says so. [`librdkafka`] is the implementation that speaks to brokers.
//!
//! Bounds: one [`Consumer`] holds at most `queued.max.messages.kbytes` inside librdkafka, one batch set being built, and
//! [`EVENTS_BOUND`] events that were not yet taken.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::batch::{Offsets, RawBatch, TopicPartition};

pub mod librdkafka;

/// Events that may wait between the poll thread and the task.
pub const EVENTS_BOUND: usize = 2;

/// A client's configuration: Kafka's own property names (Java spelling).
pub type Props = std::collections::BTreeMap<String, String>;

/// What a consumer reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// These topics.
    Topics(Vec<String>),
    /// Every topic whose whole name matches (Java regular expression).
    Pattern(String),
}

/// Makes clients.
pub trait Kafka: fmt::Debug + Send + Sync {
    /// A member of the group that `config` names (`group.id`), subscribed.
    ///
    /// # Errors
    /// [`KafkaError`] when the configuration is refused; an unreachable broker is not an error, it shows in [`Polled::Trouble`].
    fn consumer(&self, config: &Props, subscription: &Subscription) -> Result<Box<dyn Consumer>, KafkaError>;
}

/// One member of a consumer group.
#[async_trait]
pub trait Consumer: fmt::Debug + Send {
    /// The next event. Cancel-safe: an event is returned or stays.
    async fn next(&mut self) -> Polled;

    /// Commits offsets for the group, waiting for the coordinator's answer.
    ///
    /// # Errors
    /// [`KafkaError`] with [`KafkaErrorKind::Fenced`] when the member's generation is over (the partitions belong to someone else).
    async fn commit(&self, offsets: &Offsets) -> Result<(), KafkaError>;

    /// Continues at these offsets.
    ///
    /// # Errors
    /// [`KafkaError`] when a partition is not assigned.
    async fn seek(&self, to: &Offsets) -> Result<(), KafkaError>;

    /// Stops or resumes delivery for all partitions, present and future, while membership goes on.
    fn pause(&self, paused: bool);

    /// Records per topic partition that the broker holds and that were not yet delivered, as last seen; absent when not known.
    fn lag(&self) -> Offsets;
}

/// What a consumer reports.
#[derive(Debug)]
pub enum Polled {
    /// Records, each batch of one topic partition, in offset order per partition.
    Records(Vec<RawBatch>),
    /// These partitions are now ours; delivery starts at the committed offsets.
    Assigned(Vec<TopicPartition>),
    /// These partitions are going away. The member gives them up when `done` is dropped, so commits are possible until then, unless `lost`.
    Revoked {
        /// The partitions.
        partitions: Vec<TopicPartition>,
        /// True when another member may already have them: nothing may be committed.
        lost: bool,
        /// Drop it when no writer of these partitions is left.
        done: Acknowledge,
    },
    /// The client is in trouble and goes on trying (broker down, for example); `None` when it is over.
    Trouble(Option<Arc<KafkaError>>),
    /// The client cannot go on.
    Failed(KafkaError),
}

/// An obligation: the rebalance waits until this is dropped.
#[derive(Debug)]
#[must_use = "the rebalance waits until this is dropped"]
pub struct Acknowledge(pub(crate) std::sync::mpsc::SyncSender<()>);

/// What the caller can do about a [`KafkaError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaErrorKind {
    /// Try again.
    Transient,
    /// The member's generation is over; nothing more may be committed for the old assignment.
    Fenced,
    /// A setting is wrong.
    Config,
    /// The principal may not do this.
    Denied,
    /// Anything else that trying again does not heal.
    Fatal,
}

/// A Kafka client's error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct KafkaError {
    /// What the caller can do.
    pub kind: KafkaErrorKind,
    /// What happened, to which topic, group or broker, and what to do.
    pub message: String,
}
