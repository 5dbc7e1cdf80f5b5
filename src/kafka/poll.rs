//! The poll thread: one per consumer. It takes messages from librdkafka, has them gathered into batches, and hands sets of batches over.
//!
//! librdkafka counts polls: a thread that does not poll for `max.poll.interval.ms` is expelled from the group. So this thread never waits for the task for
//! longer than [`PATIENCE`]; when the task does not take what is ready, delivery is paused at librdkafka and polling goes on, which serves rebalances.
//! Everything that librdkafka calls back (rebalances, errors, statistics) is called on this thread.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError as RdError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::batches::{Batches, Doubt, Message};
use super::login::Login;
use super::statistics::Statistics;
use super::{Acknowledge, Jump, KafkaError, KafkaErrorKind, Logs, Polled, errors, librdkafka::PENDING_BYTES};
use crate::batch::{Commits, Committed, OffsetRange, Offsets, RawBatch, TopicPartition};

/// How long the thread waits for the task to take a set of batches before it pauses delivery.
const PATIENCE: Duration = Duration::from_secs(5);
/// The oldest that an incomplete batch gets.
const LINGER: Duration = Duration::from_millis(50);
/// Longest wait for a message; also how long a stop may take to be noticed.
const IDLE: Duration = Duration::from_millis(100);

/// How long leaders may take to say what their logs hold.
pub(super) const LOGS_WAIT: Duration = Duration::from_secs(5);
/// How long to wait before leaders are asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long a partition that was just assigned may take until it can be sought.
const SEEK_WAIT: Duration = Duration::from_secs(10);

/// A set of batches, with the generation of the assignment that they were read under.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) generation: u64,
    pub(super) batches: Vec<RawBatch>,
    /// What became of partitions behind these batches.
    pub(super) jumps: Vec<Jump>,
}

/// What the consumer asks of the thread.
#[derive(Debug)]
pub(super) enum Command {
    /// Continue at these offsets; the answer is the generation from which records are wanted.
    Seek(Offsets, oneshot::Sender<Result<u64, KafkaError>>),
    /// Deliver nothing of these partitions (`true`), or again.
    SetPaused(Vec<TopicPartition>, bool),
}

/// What the thread and the consumer share.
#[derive(Debug)]
pub(super) struct Shared {
    /// What is being done, for messages: `consuming topics orders in group connect-x`.
    pub(super) doing: String,
    /// Rebalances and trouble; the thread's callbacks wait for each rebalance to be acknowledged, so it stays nearly empty.
    pub(super) control: Sender<(u64, Polled)>,
    /// How the client logs in.
    pub(super) login: Login,
    /// Counts assignments' ends, so that records of an ended one can be told apart.
    pub(super) generation: AtomicU64,
    /// Counts how often the client may have gone on elsewhere than where it was: by `auto.offset.reset`, or because a log's end went back.
    pub(super) resets: AtomicU64,
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
    pub(super) fn new(doing: String, control: Sender<(u64, Polled)>, login: Login) -> Self {
        Self {
            doing,
            control,
            login,
            generation: AtomicU64::new(0),
            resets: AtomicU64::new(0),
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
        let error = self.login.explain(error, &self.doing, detail);
        let generation = self.generation.load(Ordering::Acquire);
        let event = match error.kind {
            KafkaErrorKind::Transient | KafkaErrorKind::Interrupted | KafkaErrorKind::Fenced | KafkaErrorKind::Active | KafkaErrorKind::TooLarge => {
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
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.0.login.token()
    }

    fn error(&self, error: RdError, reason: &str) {
        self.0.report(&error, reason);
    }

    /// The client says in its log, before the records that follow, that it went to the log's start or end by `auto.offset.reset`.
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        if fac == "OFFSET" && message.contains("offset reset") {
            self.0.resets.fetch_add(1, Ordering::AcqRel);
        }
        match level {
            RDKafkaLogLevel::Debug => tracing::trace!(target: "librdkafka", "{fac}: {message}"),
            _ => tracing::debug!(target: "librdkafka", ?level, "{fac}: {message}"),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let statistics = match Statistics::parse(statistics) {
            Ok(statistics) => statistics,
            Err(error) => return tracing::warn!(%error, "the client's statistics cannot be read; how far logs reach is not known"),
        };
        if statistics.is_up && self.0.is_disconnected.load(Ordering::Acquire) {
            self.0.relieved();
        }
        let mut ends = self.0.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, end) in statistics.ends {
            if ends.insert(partition, end).is_some_and(|before| before > end) {
                self.0.resets.fetch_add(1, Ordering::AcqRel);
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

/// What the logs of these partitions hold, of those whose leaders tell.
pub(super) fn logs(consumer: &BaseConsumer<Context>, partitions: &[TopicPartition]) -> Result<Logs, RdError> {
    edges(consumer, partitions).or_else(|error| {
        // All or nothing: one partition without a leader, or one leader that does not answer, keeps the client from telling of the others.
        let told = by_leader(consumer, partitions)?.into_values().map(|of| edges(consumer, &of)).filter_map(Result::ok);
        let all: Vec<Logs> = told.collect();
        if all.is_empty() { Err(error) } else { Ok(all.into_iter().flatten().collect()) }
    })
}

fn edges(consumer: &BaseConsumer<Context>, partitions: &[TopicPartition]) -> Result<Logs, RdError> {
    let ask = |edge: Offset| {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for tp in partitions {
            list.add_partition_offset(&tp.topic, tp.partition, edge)?;
        }
        let told = consumer.offsets_for_times(list, LOGS_WAIT)?;
        let offset = |element: TopicPartitionListElem<'_>| match (element.error(), element.offset()) {
            (Ok(()), Offset::Offset(offset)) => Some((TopicPartition::new(element.topic(), element.partition()), offset)),
            _ => None,
        };
        Ok::<Offsets, RdError>(told.elements().into_iter().filter_map(offset).collect())
    };
    if partitions.is_empty() {
        return Ok(Logs::new());
    }
    // The end last: it only grows, so that what is in the log is never taken for gone.
    let (starts, ends) = (ask(Offset::Beginning)?, ask(Offset::End)?);
    Ok(starts.into_iter().filter_map(|(tp, start)| Some((tp.clone(), OffsetRange { start, end: *ends.get(&tp)? }))).collect())
}

/// Those that exist and have a leader, by that.
fn by_leader(consumer: &BaseConsumer<Context>, partitions: &[TopicPartition]) -> Result<BTreeMap<i32, Vec<TopicPartition>>, RdError> {
    let mut led = BTreeMap::<i32, Vec<TopicPartition>>::new();
    for topic in partitions.iter().map(|tp| &tp.topic).collect::<BTreeSet<_>>() {
        let told = consumer.fetch_metadata(Some(topic), LOGS_WAIT)?;
        for partition in told.topics().iter().filter(|told| told.name() == &**topic).flat_map(MetadataTopic::partitions).filter(|told| told.leader() >= 0) {
            let of = partitions.iter().filter(|tp| tp.topic == *topic && tp.partition == partition.id());
            led.entry(partition.leader()).or_default().extend(of.cloned());
        }
    }
    led.retain(|_, of| !of.is_empty());
    Ok(led)
}

/// True when what is next is not in the log, and will not come.
fn is_out(next: i64, log: &OffsetRange) -> bool {
    next < log.start || next > log.end
}

/// Why the leaders are asked what their logs hold, and their answer.
#[derive(Debug)]
pub(super) struct Lookup {
    doubts: Vec<Doubt>,
    /// Where partitions stood of which no records came.
    idle: Offsets,
    resets: u64,
    answer: JoinHandle<Result<Logs, RdError>>,
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct Poller<C> {
    pub(super) consumer: C,
    pub(super) shared: Arc<Shared>,
    pub(super) records: Sender<Records>,
    pub(super) commands: Receiver<Command>,
    /// What the leaders are being asked; polling goes on meanwhile.
    pub(super) lookup: RefCell<Option<Lookup>>,
    /// When the leaders may be asked again what their logs hold.
    pub(super) ask_at: Cell<Option<Instant>>,
    /// `isolation.level=read_committed`: the log's end is not told, but the place up to which no transaction is open.
    pub(super) reads_committed: bool,
    /// [`Shared::resets`] when idle partitions were last compared with their logs.
    pub(super) compared: Cell<u64>,
    /// Partitions of which nothing is wanted, until they go away or are wanted again.
    pub(super) unwanted: RefCell<BTreeSet<TopicPartition>>,
}

impl Poller<Arc<BaseConsumer<Context>>> {
    /// Polls until it is told to stop or the consumer is dropped.
    pub(super) fn run(self) {
        let mut batches = Batches::default();
        let mut oldest: Option<Instant> = None;
        while self.goes_on(&mut batches) {
            let is_idle = batches.is_empty();
            let received = self.receive(&mut batches, if is_idle && self.lookup.borrow().is_none() { IDLE } else { LINGER / 5 });
            if is_idle && received > 0 {
                oldest = Some(Instant::now());
            }
            self.forget_revoked(&mut batches);
            self.resolve(&mut batches, received == 0 && is_idle);
            let is_due = batches.pending_bytes() >= PENDING_BYTES || batches.has_jumps() || oldest.is_some_and(|t| t.elapsed() >= LINGER);
            if is_due && !batches.is_empty() {
                oldest = None;
                let (all, jumps) = (batches.take_all(), batches.take_jumps());
                self.deliver(all, jumps, &mut batches);
            } else if batches.has_complete() {
                let complete = batches.take_complete();
                self.deliver(complete, Vec::new(), &mut batches);
            }
        }
        // The group is left when nobody has the client any more.
        self.lookup.take().map(|lookup| lookup.answer.join());
    }

    /// Takes messages until a batch is complete, one is not what was next, none is there, or some hundreds were taken.
    fn receive(&self, batches: &mut Batches, wait: Duration) -> usize {
        let mut wait = wait;
        let doubts = batches.doubts().len();
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
                    batches.push(message.topic(), message.partition(), &content, self.shared.resets.load(Ordering::Acquire));
                }
                Some(Err(error)) => {
                    self.shared.report(&error, "");
                    return received;
                }
                None => return received,
            }
            if batches.has_complete() || batches.doubts().len() > doubts {
                return received + 1;
            }
            wait = Duration::ZERO;
        }
        512
    }

    /// Hands batches over; while the task does not take them, polling goes on with delivery paused.
    fn deliver(&self, ready: Vec<RawBatch>, jumps: Vec<Jump>, batches: &mut Batches) {
        let mut waiting = Records { generation: self.shared.generation.load(Ordering::Acquire), batches: ready, jumps };
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

    /// Pauses or resumes all partitions that are assigned, but for those that are paused anyhow.
    fn set_paused(&self, is_paused: bool) {
        let Ok(assigned) = self.consumer.assignment() else { return };
        let unwanted = self.unwanted.borrow();
        let of: Vec<TopicPartition> = partitions(&assigned).into_iter().filter(|tp| !unwanted.contains(tp)).collect();
        self.set_paused_of(&of, is_paused);
    }

    fn set_paused_of(&self, partitions: &[TopicPartition], is_paused: bool) {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for tp in partitions {
            list.add_partition(&tp.topic, tp.partition);
        }
        let outcome = if is_paused { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        if let Err(error) = outcome {
            tracing::warn!("{}: cannot {} delivery: {error}", self.shared.doing, if is_paused { "pause" } else { "resume" });
        }
    }

    /// Carries out what the consumer asked for; false when the thread is to end.
    fn goes_on(&self, batches: &mut Batches) -> bool {
        loop {
            match self.commands.try_recv() {
                // Whoever asked was told of a rebalance instead, and asks again.
                Ok(Command::Seek(_, answer)) if answer.is_closed() => {}
                Ok(Command::SetPaused(of, is_paused)) => {
                    match is_paused {
                        true => self.unwanted.borrow_mut().extend(of.iter().cloned()),
                        false => self.unwanted.borrow_mut().retain(|tp| !of.contains(tp)),
                    }
                    self.set_paused_of(&of, is_paused);
                }
                Ok(Command::Seek(to, answer)) => {
                    let failed = |error: RdError| errors::explain(&error, &self.shared.doing, "going on at other offsets");
                    let result = self.seek(&to, || !answer.is_closed()).map(|()| self.shared.generation.fetch_add(1, Ordering::AcqRel) + 1).map_err(failed);
                    if result.is_ok() {
                        batches.forget(&to.keys().cloned().collect::<Vec<_>>());
                        batches.expect(&to, self.shared.resets.load(Ordering::Acquire));
                    }
                    answer.send(result).ok();
                }
                Err(TryRecvError::Empty) => return !self.shared.stop.load(Ordering::Acquire),
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn seek(&self, to: &Offsets, is_wanted: impl Fn() -> bool) -> Result<(), RdError> {
        let deadline = Instant::now() + SEEK_WAIT;
        let mut to = to.clone();
        while !to.is_empty() {
            let done = self.consumer.seek_partitions(offset_list(&to)?, Duration::from_secs(30))?;
            for element in done.elements() {
                match element.error() {
                    // It was assigned just now, and the client asks where it begins.
                    Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::State) && Instant::now() < deadline && is_wanted() => {}
                    sought => drop((sought?, to.remove(&TopicPartition::new(element.topic(), element.partition())))),
                }
            }
            if !to.is_empty() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// Finds out, where other records came than those that were next, whether those are gone from the log; and, when no records come, the same of every
    /// partition after the client has gone on elsewhere. The leaders are asked beside polling.
    fn resolve(&self, batches: &mut Batches, is_idle: bool) {
        match self.lookup.take() {
            Some(lookup) if lookup.answer.is_finished() => self.resolved(batches, lookup),
            Some(lookup) => drop(self.lookup.replace(Some(lookup))),
            None if self.ask_at.get().is_none_or(|at| Instant::now() >= at) => self.ask(batches, is_idle),
            None => {}
        }
    }

    fn ask(&self, batches: &Batches, is_idle: bool) {
        let resets = self.shared.resets.load(Ordering::Acquire);
        let doubts = batches.doubts().to_vec();
        let idle = if is_idle && self.compared.get() != resets { batches.next_offsets() } else { Offsets::new() };
        if doubts.is_empty() && idle.is_empty() {
            return;
        }
        let asked: Vec<TopicPartition> = doubts.iter().map(|doubt| doubt.partition.clone()).chain(idle.keys().cloned()).collect();
        let consumer = Arc::clone(&self.consumer);
        match std::thread::Builder::new().name("kafka-logs".to_owned()).spawn(move || logs(&consumer, &asked)) {
            Ok(answer) => drop(self.lookup.replace(Some(Lookup { doubts, idle, resets, answer }))),
            Err(error) => self.ask_again(&format!("cannot start a thread: {error}")),
        }
    }

    fn ask_again(&self, why: &str) {
        self.ask_at.set(Some(Instant::now() + ASK_AGAIN));
        tracing::warn!("{}: asking what the logs hold: {why}; asking again", self.shared.doing);
    }

    fn resolved(&self, batches: &mut Batches, lookup: Lookup) {
        let Lookup { mut doubts, mut idle, resets, answer } = lookup;
        let logs = match answer.join() {
            Ok(Ok(logs)) => logs,
            Ok(Err(error)) => return self.ask_again(&error.to_string()),
            Err(_) => return self.ask_again("the thread that asks has panicked"),
        };
        let (asked, told) = (doubts.len() + idle.len(), logs.len());
        // Partitions may have gone away or been sought since, and records of idle ones may have come.
        let next = batches.next_offsets();
        doubts.retain(|doubt| batches.doubts().contains(doubt));
        idle.retain(|partition, wanted| next.get(partition) == Some(wanted));
        let silent = || doubts.iter().map(|doubt| &doubt.partition).chain(idle.keys()).find(|partition| !logs.contains_key(partition));
        if let Some(partition) = silent() {
            self.ask_again(&format!("the leader of {partition} does not tell ({told} of {asked} partitions are told)"));
        } else if doubts.is_empty() {
            self.compared.set(resets);
        }
        let mut back = Offsets::new();
        for Doubt { partition, wanted, found } in doubts {
            match logs.get(&partition) {
                Some(log) if found < wanted || is_out(wanted, log) => batches.jump(Jump { partition, wanted, log: *log, found: Some(found) }),
                // A gap: its records were compacted, or belong to no transaction that was committed.
                Some(_) => drop(back.insert(partition, found)),
                None => {}
            }
        }
        for (partition, wanted) in idle {
            // What lies beyond the end is told by the records that come instead, if there are any.
            let is_gone = |log: &&OffsetRange| wanted < log.start || (log.start == log.end && wanted > log.end && !self.reads_committed);
            if let Some(log) = logs.get(&partition).filter(is_gone) {
                batches.jump(Jump { partition, wanted, log: *log, found: None });
            }
        }
        if back.is_empty() {
            return;
        }
        match self.seek(&back, || true) {
            Ok(()) => back.keys().for_each(|partition| batches.go_on(partition, resets)),
            Err(error) => {
                self.ask_at.set(Some(Instant::now() + ASK_AGAIN));
                tracing::warn!("{}: going on behind a gap: {error}; trying again", self.shared.doing);
            }
        }
    }

    fn forget_revoked(&self, batches: &mut Batches) {
        let gone = std::mem::take(&mut *self.shared.gone.lock().unwrap_or_else(PoisonError::into_inner));
        if !gone.is_empty() {
            self.unwanted.borrow_mut().retain(|tp| !gone.contains(tp));
            batches.forget(&gone);
        }
    }
}
