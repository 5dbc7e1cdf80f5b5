//! The poll thread: one per consumer. It takes messages from librdkafka, has them gathered into batches, and hands sets of batches over.
//!
//! librdkafka counts polls: a thread that does not poll for `max.poll.interval.ms` is expelled from the group. So this thread never waits for the task for
//! longer than [`PATIENCE`]; when the task does not take what is ready, delivery is paused at librdkafka and polling goes on, which serves rebalances.
//! Everything that librdkafka calls back (rebalances, errors, statistics) is called on this thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError as RdError;
use rdkafka::message::Message as _;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::batches::{Batches, Message};
use super::{Acknowledge, KafkaError, KafkaErrorKind, Polled, errors, librdkafka::PENDING_BYTES};
use crate::batch::{Commits, Committed, Offsets, RawBatch, TopicPartition};

/// How long the thread waits for the task to take a set of batches before it pauses delivery.
const PATIENCE: Duration = Duration::from_secs(5);
/// The oldest that an incomplete batch gets.
const LINGER: Duration = Duration::from_millis(50);
/// Longest wait for a message; also how long a stop may take to be noticed.
const IDLE: Duration = Duration::from_millis(100);

/// A set of batches, with the generation of the assignment that they were read under.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) generation: u64,
    pub(super) batches: Vec<RawBatch>,
}

/// What the consumer asks of the thread.
#[derive(Debug)]
pub(super) enum Command {
    /// Continue at these offsets; the answer is the generation from which records are wanted.
    Seek(Offsets, oneshot::Sender<Result<u64, KafkaError>>),
}

/// What the thread and the consumer share.
#[derive(Debug)]
pub(super) struct Shared {
    /// What is being done, for messages: `consuming topics orders in group connect-x`.
    pub(super) doing: String,
    /// Rebalances and trouble; the thread's callbacks wait for each rebalance to be acknowledged, so it stays nearly empty.
    pub(super) control: Sender<(u64, Polled)>,
    /// Counts assignments' ends, so that records of an ended one can be told apart.
    pub(super) generation: AtomicU64,
    pub(super) stop: AtomicBool,
    pub(super) ends: Mutex<Offsets>,
    /// The error that ended the client.
    pub(super) failure: Mutex<Option<KafkaError>>,
    gone: Mutex<Vec<TopicPartition>>,
    is_troubled: AtomicBool,
    /// The trouble is that no broker can be reached.
    is_disconnected: AtomicBool,
}

impl Shared {
    pub(super) fn new(doing: String, control: Sender<(u64, Polled)>) -> Self {
        Self {
            doing,
            control,
            generation: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            ends: Mutex::default(),
            failure: Mutex::default(),
            gone: Mutex::default(),
            is_troubled: AtomicBool::new(false),
            is_disconnected: AtomicBool::new(false),
        }
    }

    fn revoke(&self, partitions: Vec<TopicPartition>, lost: bool) {
        if self.stop.load(Ordering::Acquire) {
            return; // the task has closed its writers before it asked to leave
        }
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).extend(partitions.iter().cloned());
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).retain(|tp, _| !partitions.contains(tp));
        let (done, acknowledged) = Acknowledge::pair();
        if self.control.blocking_send((generation, Polled::Revoked { partitions, lost, done })).is_ok() {
            // Either answer means that the task is done with the partitions.
            acknowledged.recv().ok();
        }
    }

    fn report(&self, error: &RdError, detail: &str) {
        let is_connection = errors::is_connection(error);
        let error = errors::explain(error, &self.doing, detail);
        let generation = self.generation.load(Ordering::Acquire);
        let event = match error.kind {
            KafkaErrorKind::Transient | KafkaErrorKind::Interrupted | KafkaErrorKind::Fenced | KafkaErrorKind::TooLarge => {
                // The client reports each of its attempts; one line tells of the trouble, and the status shows it while it lasts.
                if self.is_troubled.swap(true, Ordering::AcqRel) {
                    tracing::debug!("{error}");
                    return;
                }
                tracing::warn!("{error}");
                self.is_disconnected.store(is_connection, Ordering::Release);
                Polled::Trouble(Some(Arc::new(error)))
            }
            KafkaErrorKind::Config | KafkaErrorKind::Denied | KafkaErrorKind::Fatal => {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
                Polled::Failed(error)
            }
        };
        // A full queue holds events that wake the consumer, which then finds the failure in its own slot.
        self.control.try_send((generation, event)).ok();
    }

    fn relieved(&self) {
        if self.is_troubled.load(Ordering::Acquire) && self.control.try_send((0, Polled::Trouble(None))).is_ok() {
            self.is_troubled.store(false, Ordering::Release);
        }
    }
}

/// librdkafka's callbacks.
#[derive(Debug, Clone)]
pub(super) struct Context(pub(super) Arc<Shared>);

impl ClientContext for Context {
    fn error(&self, error: RdError, reason: &str) {
        self.0.report(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let is_up = statistics.brokers.values().any(|b| b.state == "UP" && b.nodeid >= 0);
        if is_up && self.0.is_disconnected.load(Ordering::Acquire) {
            self.0.relieved();
        }
        let mut ends = self.0.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, topic) in &statistics.topics {
            for (number, partition) in &topic.partitions {
                if *number >= 0 && partition.hi_offset >= 0 && partition.fetch_state != "none" {
                    ends.insert(TopicPartition::new(name.as_str(), *number), partition.hi_offset);
                }
            }
        }
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                let generation = self.0.generation.load(Ordering::Acquire);
                // A closed channel means that the task is gone; the thread ends soon.
                self.0.control.blocking_send((generation, Polled::Assigned(partitions(list)))).ok();
            }
            Rebalance::Revoke(list) => {
                self.0.revoke(partitions(list), consumer.assignment_lost());
                // librdkafka keeps a partition's pause across assignments; ours ends with the assignment.
                consumer.resume(list).ok();
            }
            Rebalance::Error(error) => self.0.report(error, "rebalance"),
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect()
}

/// Offsets with their texts as librdkafka takes them.
pub(super) fn commit_list(commits: &Commits) -> Result<TopicPartitionList, RdError> {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for (tp, Committed { offset, metadata }) in commits {
        let mut element = list.add_partition(&tp.topic, tp.partition);
        element.set_offset(Offset::Offset(*offset))?;
        if !metadata.is_empty() {
            element.set_metadata(metadata);
        }
    }
    Ok(list)
}

/// The offsets as librdkafka takes them.
pub(super) fn offset_list(offsets: &Offsets) -> Result<TopicPartitionList, RdError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (tp, offset) in offsets {
        list.add_partition_offset(&tp.topic, tp.partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct Poller<C> {
    pub(super) consumer: C,
    pub(super) shared: Arc<Shared>,
    pub(super) records: Sender<Records>,
    pub(super) commands: Receiver<Command>,
}

impl Poller<Arc<BaseConsumer<Context>>> {
    /// Polls until it is told to stop or the consumer is dropped.
    pub(super) fn run(self) {
        let mut batches = Batches::default();
        let mut oldest: Option<Instant> = None;
        while self.goes_on(&mut batches) {
            let is_idle = batches.is_empty();
            let received = self.receive(&mut batches, if is_idle { IDLE } else { LINGER / 5 });
            if is_idle && received > 0 {
                oldest = Some(Instant::now());
            }
            self.forget_revoked(&mut batches);
            let is_due = batches.pending_bytes() >= PENDING_BYTES || oldest.is_some_and(|t| t.elapsed() >= LINGER);
            if is_due && !batches.is_empty() {
                oldest = None;
                let all = batches.take_all();
                self.deliver(all, &mut batches);
            } else if batches.has_complete() {
                let complete = batches.take_complete();
                self.deliver(complete, &mut batches);
            }
        }
    }

    /// Takes messages until a batch is complete, none is there, or some hundreds were taken.
    fn receive(&self, batches: &mut Batches, wait: Duration) -> usize {
        let mut wait = wait;
        for received in 0..512 {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    let content = Message {
                        offset: message.offset(),
                        timestamp: message.timestamp().to_millis().filter(|t| *t >= 0),
                        key: message.key(),
                        value: message.payload(),
                        headers: message.headers(),
                    };
                    batches.push(message.topic(), message.partition(), &content);
                }
                Some(Err(error)) => {
                    self.shared.report(&error, "");
                    return received;
                }
                None => return received,
            }
            if batches.has_complete() {
                return received + 1;
            }
            wait = Duration::ZERO;
        }
        512
    }

    /// Hands batches over; while the task does not take them, polling goes on with delivery paused.
    fn deliver(&self, ready: Vec<RawBatch>, batches: &mut Batches) {
        let mut waiting = Records { generation: self.shared.generation.load(Ordering::Acquire), batches: ready };
        let started = Instant::now();
        let mut is_paused = false;
        loop {
            waiting = match self.records.try_send(waiting) {
                Ok(()) | Err(TrySendError::Closed(_)) => break,
                Err(TrySendError::Full(back)) => back,
            };
            if started.elapsed() < PATIENCE {
                std::thread::park_timeout(Duration::from_millis(50)); // the consumer unparks us when it takes something
            } else {
                // Again at every turn: a rebalance may have brought partitions that are not paused.
                is_paused = true;
                self.set_paused(true);
                self.receive(batches, IDLE);
                self.forget_revoked(batches);
            }
            if !self.goes_on(batches) {
                return;
            }
        }
        self.shared.relieved();
        if is_paused {
            self.set_paused(false);
        }
    }

    fn set_paused(&self, is_paused: bool) {
        let Ok(assigned) = self.consumer.assignment() else { return };
        let outcome = if is_paused { self.consumer.pause(&assigned) } else { self.consumer.resume(&assigned) };
        if let Err(error) = outcome {
            tracing::warn!("{}: cannot {} delivery: {error}", self.shared.doing, if is_paused { "pause" } else { "resume" });
        }
    }

    /// Carries out what the consumer asked for; false when the thread is to end.
    fn goes_on(&self, batches: &mut Batches) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Seek(to, answer)) => {
                    let result = self.seek(&to);
                    if result.is_ok() {
                        batches.forget(&to.keys().cloned().collect::<Vec<_>>());
                    }
                    answer.send(result).ok();
                }
                Err(TryRecvError::Empty) => return !self.shared.stop.load(Ordering::Acquire),
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn seek(&self, to: &Offsets) -> Result<u64, KafkaError> {
        let failed = |error: &RdError| errors::explain(error, &self.shared.doing, "going back to the last committed offsets");
        let list = offset_list(to).map_err(|e| failed(&e))?;
        let done = self.consumer.seek_partitions(list, Duration::from_secs(30)).map_err(|e| failed(&e))?;
        for element in done.elements() {
            element.error().map_err(|e| failed(&e))?;
        }
        Ok(self.shared.generation.fetch_add(1, Ordering::AcqRel) + 1)
    }

    fn forget_revoked(&self, batches: &mut Batches) {
        let gone = std::mem::take(&mut *self.shared.gone.lock().unwrap_or_else(PoisonError::into_inner));
        if !gone.is_empty() {
            batches.forget(&gone);
        }
    }
}
