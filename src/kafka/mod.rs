//! 1 consume: the seam to Kafka.
//!
//! Rebalances are values in the stream of events, not callbacks: a task handles them in the order in which they happened, and a revoke is
//! acknowledged only when the task says so. [`librdkafka`] is the implementation that speaks to brokers.
//!
//! Bounds: one [`Consumer`] holds at most `queued.max.messages.kbytes` (16 MiB unless configured) inside librdkafka, [`librdkafka::PENDING_BYTES`]
//! in batches that are being built, and [`EVENTS_BOUND`] sets of batches that were not yet taken. One [`Producer`] holds at most `buffer.memory` (32 MiB unless
//! configured) of records that have not settled.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::batch::{Commits, OffsetRange, Offsets, RawBatch, TopicPartition};

mod batches;
pub mod client_keys;
mod errors;
pub mod jaas;
pub mod librdkafka;
pub mod log;
mod login;
mod poll;
mod producer;
pub mod properties;
pub mod scan;
mod statistics;
pub mod tokens;

/// Sets of batches that may wait between the poll thread and the task.
pub const EVENTS_BOUND: usize = 1;

/// A client's configuration: Kafka's own property names (Java spelling).
pub type Props = BTreeMap<String, String>;

/// What the logs of partitions hold: the first offset that is there, and the end; with `isolation.level=read_committed`, the first offset of a transaction that is open.
pub type Logs = BTreeMap<TopicPartition, OffsetRange>;

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

    /// The group that `config` names (`group.id`), from outside. Nothing is asked of the broker yet.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Config`] when the configuration is refused, or when these clients cannot do that.
    fn group(&self, config: &Props) -> Result<Box<dyn Group>, KafkaError> {
        let group = config.get("group.id").map_or("", String::as_str);
        Err(KafkaError::new(KafkaErrorKind::Config, format!("the offsets of group {group} cannot be seen from outside with these clients")))
    }

    /// A producer.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Config`] when the configuration is refused, or when these clients cannot do that; an unreachable broker is not an error, it shows in
    /// [`Producer::trouble`].
    fn producer(&self, config: &Props) -> Result<Box<dyn Producer>, KafkaError> {
        let id = config.get("client.id").map_or("", String::as_str);
        Err(KafkaError::new(KafkaErrorKind::Config, format!("{id}: these clients produce nothing")))
    }

    /// A producer under that `transactional.id`, which takes the place of whatever the configuration says of transactions, idempotence and how long a record may
    /// take: a record is given up with its transaction (`transaction.timeout.ms`).
    ///
    /// # Errors
    /// As [`producer`](Self::producer).
    fn transactional_producer(&self, config: &Props, transactional_id: &str) -> Result<Box<dyn Producer>, KafkaError> {
        let _ = config;
        Err(KafkaError::new(KafkaErrorKind::Config, format!("{transactional_id}: these clients have no transactions")))
    }

    /// The cluster's topics. Nothing is asked of the broker yet.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Config`] when the configuration is refused, or when these clients cannot do that.
    fn topics(&self, config: &Props) -> Result<Arc<dyn Topics>, KafkaError> {
        let id = config.get("client.id").map_or("", String::as_str);
        Err(KafkaError::new(KafkaErrorKind::Config, format!("{id}: topics are not made with these clients")))
    }

    /// Tells topics of one name apart; `None` where these clients cannot. Nothing is asked of the broker yet.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Config`] when the configuration is refused.
    fn topic_ids(&self, config: &Props) -> Result<Option<Arc<dyn TopicIds>>, KafkaError> {
        let _ = config;
        Ok(None)
    }
}

/// A topic's id: one that is deleted and made again has another (KIP-516).
pub type TopicId = [u8; 16];

/// Asks for the ids of topics.
#[async_trait]
pub trait TopicIds: fmt::Debug + Send + Sync {
    /// The ids of those of these topics that there are, where brokers know of ids.
    ///
    /// # Errors
    /// [`KafkaError`] when no broker answers.
    async fn of(&self, topics: &BTreeSet<String>) -> Result<BTreeMap<String, TopicId>, KafkaError>;
}

/// A record on its way to Kafka.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingRecord<'a> {
    /// Where it goes.
    pub topic: &'a str,
    /// Which partition; `None`: as the partitioner decides.
    pub partition: Option<i32>,
    /// Milliseconds since the epoch; `None`: now.
    pub timestamp: Option<i64>,
    /// The key's bytes.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Names and bytes, in order.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// Why a record was not queued.
#[derive(Debug)]
pub enum NotQueued {
    /// There is no room until records that are on their way have [settled](Producer::settled).
    Full,
    /// It never will be.
    Refused(KafkaError),
}

/// What became of a record.
#[derive(Debug)]
pub struct Settled {
    /// The number that it was sent under.
    pub token: usize,
    /// Whether the broker has it.
    pub outcome: Result<(), KafkaError>,
}

/// Sends records. Those of one partition arrive in the order in which they were sent.
#[async_trait]
pub trait Producer: fmt::Debug + Send {
    /// Queues a record under a number of the caller's choice; does not wait.
    ///
    /// # Errors
    /// [`NotQueued`].
    fn send(&mut self, token: usize, record: OutgoingRecord<'_>) -> Result<(), NotQueued>;

    /// What became of records since it was last asked: waits until there is something to tell. Cancel-safe.
    async fn settled(&mut self) -> Vec<Settled>;

    /// What the client waits for (broker down, for example), if anything.
    fn trouble(&self) -> Option<String>;

    /// Makes the `transactional.id` this producer's: whoever had it can write nothing more, and what it had not committed is aborted. To be called again after
    /// [`KafkaErrorKind::Transient`].
    ///
    /// # Errors
    /// [`KafkaErrorKind::Transient`] after `patience`; anything else is not healed by trying again.
    async fn init_transactions(&mut self, patience: Duration) -> Result<(), KafkaError> {
        let _ = patience;
        Err(no_transactions())
    }

    /// What is sent from now on is part of a transaction. Asks nobody.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Fenced`] when the `transactional.id` is another producer's.
    fn begin_transaction(&mut self) -> Result<(), KafkaError> {
        Err(no_transactions())
    }

    /// Waits until Kafka has what was sent, and makes it visible, all at once. To be called again after [`KafkaErrorKind::Transient`], when it is not known whether it
    /// is.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Fenced`] when the `transactional.id` is another producer's; after anything else but [`KafkaErrorKind::Transient`] the transaction can
    /// only be [aborted](Self::abort_transaction).
    async fn commit_transaction(&mut self, patience: Duration) -> Result<(), KafkaError> {
        let _ = patience;
        Err(no_transactions())
    }

    /// Drops what was sent since the transaction began.
    ///
    /// # Errors
    /// As [`init_transactions`](Self::init_transactions).
    async fn abort_transaction(&mut self, patience: Duration) -> Result<(), KafkaError> {
        let _ = patience;
        Err(no_transactions())
    }

    /// Ends the client. Records that have not settled are dropped.
    async fn close(&mut self);
}

fn no_transactions() -> KafkaError {
    KafkaError::new(KafkaErrorKind::Config, "these clients have no transactions")
}

/// A topic that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions; -1: as many as the broker's default.
    pub partitions: i32,
    /// How many replicas; -1: as many as the broker's default.
    pub replicas: i16,
    /// Its settings.
    pub config: Props,
}

/// The topics of a cluster.
#[async_trait]
pub trait Topics: fmt::Debug + Send + Sync {
    /// True when there is a topic of that name. Does not make one.
    ///
    /// # Errors
    /// [`KafkaError`] when the brokers do not answer or refuse.
    async fn has(&self, topic: &str) -> Result<bool, KafkaError>;

    /// Makes a topic; false when there is one already.
    ///
    /// # Errors
    /// [`KafkaError`] when the brokers do not answer or refuse.
    async fn make(&self, topic: &NewTopic) -> Result<bool, KafkaError>;
}

/// Where partitions of a group are to go on; `None`: as if nothing had been committed for them.
pub type OffsetChanges = BTreeMap<TopicPartition, Option<i64>>;

/// The committed offsets of a consumer group, for somebody who is no member of it.
#[async_trait]
pub trait Group: fmt::Debug + Send + Sync {
    /// Everything that the group has committed for topics that exist.
    ///
    /// # Errors
    /// [`KafkaError`] when the coordinator does not answer or refuses.
    async fn committed(&self) -> Result<Commits, KafkaError>;

    /// Changes where these partitions go on; texts of theirs are empty afterwards. Other partitions stay as they are.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Active`] when the group has members; [`KafkaError`] when a partition does not exist, or the coordinator does not answer or refuses.
    async fn alter(&self, changes: &OffsetChanges) -> Result<(), KafkaError>;

    /// Deletes the group, and with it everything that it has committed. A group that does not exist is deleted already.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Active`] when the group has members; [`KafkaError`] when the coordinator does not answer or refuses.
    async fn delete(&self) -> Result<(), KafkaError>;
}

/// One member of a consumer group.
#[async_trait]
pub trait Consumer: fmt::Debug + Send {
    /// The next event. With [`Wanted::Rebalances`], records stay where they are (delivery is paused at the broker when that lasts) while
    /// membership goes on. Cancel-safe: an event is returned or stays.
    async fn next(&mut self, wanted: Wanted) -> Polled;

    /// Commits offsets and their texts for the group, waiting for the coordinator's answer. After an error the coordinator may have taken them all the same.
    ///
    /// # Errors
    /// [`KafkaError`] with [`KafkaErrorKind::Fenced`] when the member's generation is over (the partitions belong to someone else), with
    /// [`KafkaErrorKind::TooLarge`] when a text is longer than the broker takes.
    async fn commit(&self, commits: &Commits) -> Result<(), KafkaError>;

    /// What the coordinator holds for these partitions, those left out for which it holds nothing. Waits for its answer. While the partitions are assigned, and
    /// this member commits nothing, no other member can change it.
    ///
    /// # Errors
    /// [`KafkaError`]; a coordinator that cannot be reached is [`KafkaErrorKind::Transient`].
    async fn committed(&self, partitions: &[TopicPartition]) -> Result<Commits, KafkaError>;

    /// What the logs of these partitions hold now, as their leaders say; those left out of which nothing is known.
    ///
    /// # Errors
    /// [`KafkaError`]; a leader that cannot be reached is [`KafkaErrorKind::Transient`].
    async fn logs(&mut self, partitions: &[TopicPartition]) -> Result<Logs, KafkaError>;

    /// Continues at these offsets.
    ///
    /// # Errors
    /// [`KafkaError`] when a partition is not assigned; [`KafkaErrorKind::Interrupted`] when a rebalance came between: take it with [`next`](Self::next) and
    /// try again.
    async fn seek(&mut self, to: &Offsets) -> Result<(), KafkaError>;

    /// Nothing of these partitions is wanted (`true`), or again; ends with their assignment. Records that are on their way may come all the same, and by default all
    /// do: whoever asks passes over them, and [seeks](Self::seek) when they are wanted again.
    fn set_paused(&mut self, partitions: &[TopicPartition], is_paused: bool) {
        let _ = (partitions, is_paused);
    }

    /// Leaves the group, so that others take over at once, and waits until that is done.
    async fn close(&mut self);

    /// The log's end offset per assigned partition, as last seen; absent when not known yet.
    fn end_offsets(&self) -> Offsets;
}

/// What the caller can take now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Everything.
    Everything,
    /// Everything but records: the sink is paused, or has no room.
    Rebalances,
}

/// What a consumer reports.
#[derive(Debug)]
pub enum Polled {
    /// Records, each batch of one topic partition, in offset order per partition.
    Records(Vec<RawBatch>),
    /// Records of these partitions are not in their logs any more. All that were read before have been reported, and no more come until the partitions are
    /// [sought](Consumer::seek).
    Jumped(Vec<Jump>),
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

/// What was next of a partition is not in its log any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jump {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset that was next.
    pub wanted: i64,
    /// What the log holds now.
    pub log: OffsetRange,
    /// The offset that came instead; `None` while nothing has come.
    pub found: Option<i64>,
}

/// An obligation: the rebalance waits until this is dropped.
#[derive(Debug)]
#[must_use = "the rebalance waits until this is dropped"]
pub struct Acknowledge(std::sync::mpsc::SyncSender<()>);

impl Acknowledge {
    /// The obligation, and the end that waits for it: its `recv` returns (with an error) when the obligation is dropped.
    pub fn pair() -> (Self, std::sync::mpsc::Receiver<()>) {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        (Self(sender), receiver)
    }
}

impl Drop for Acknowledge {
    fn drop(&mut self) {
        // Nobody may be waiting any more; then there is nothing to tell.
        self.0.try_send(()).ok();
    }
}

/// What the caller can do about a [`KafkaError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaErrorKind {
    /// Try again.
    Transient,
    /// A rebalance has to be handled first; then try again.
    Interrupted,
    /// The member's generation is over; nothing more may be committed for the old assignment. Of a producer: its `transactional.id` is another producer's.
    Fenced,
    /// The group has members, and only they may change what it has committed.
    Active,
    /// The text that goes with an offset is longer than the broker takes.
    TooLarge,
    /// A setting is wrong.
    Config,
    /// The principal may not do this.
    Denied,
    /// Anything else that trying again does not heal.
    Fatal,
}

impl KafkaErrorKind {
    /// True for what may be over when the same is asked again, while the partitions are ours: also a generation that is over, since partitions may outlive it.
    #[must_use]
    pub fn passes(self) -> bool {
        matches!(self, Self::Transient | Self::Fenced)
    }
}

impl KafkaError {
    /// An error of that kind.
    #[must_use]
    pub fn new(kind: KafkaErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
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
