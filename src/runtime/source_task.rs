//! One source task: a connector's [`SourceTask`], transforms and converters, and a producer.
//!
//! Stands for Kafka Connect's `WorkerSourceTask`. Records are polled, sent in order, and acknowledged in any; [`outbox`] says which source offsets may be kept,
//! and they are kept each `offset.flush.interval.ms` and at the end: at least once. Where workers have `exactly.once.source.support=enabled`, they are written in
//! the records' own transaction ([`exact`]). Whatever heals by itself is waited for; nothing is polled meanwhile.
//!
//! Bounds: one poll's records are prepared at a time, the producer's queue takes those that were sent (`buffer.memory`), and nothing is polled while the memory
//! budget is used up.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::exact::{Boundary, ExactlyOnce, Transactions};
use self::outbox::{Held, Origin, Outbox};
use self::prepare::{Piece, Stages};
use super::errors::{Classes, Failure, Policy, Stage, TaskName, WORKER_SOURCE_TASK};
use super::sink_task::{REST_AFTER, TaskControl, TaskSpec};
use super::status::Live;
use super::topic_creation::TopicCreation;
use super::worker::Ended;
use crate::connect::source::{OffsetStore, SourceBatch};
use crate::connect::{ErrorKind, SourceContext, SourceTask, TaskContext, TaskError, TaskReport};
use crate::convert::writing;
use crate::kafka::{KafkaError, KafkaErrorKind, NotQueued, Producer, Settled, Topics};
use crate::memory::Budget;
use crate::settings;
use crate::transform::Chain;

pub mod exact;
mod outbox;
mod prepare;

/// How often figures are shown.
const TICK: Duration = Duration::from_millis(200);
/// How long after a poll that gave nothing the next one is.
const IDLE: Duration = Duration::from_millis(100);
/// How long to wait before brokers that did not answer are asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Where a task's offsets are, and how they get there.
#[derive(Debug, Clone)]
pub enum Keeping {
    /// They are set when Kafka has the records.
    AtLeastOnce(Arc<dyn OffsetStore>),
    /// They are part of the records' transactions.
    ExactlyOnce(ExactlyOnce),
}

/// Runs until stopped (`Ok`: the offsets of what Kafka has are kept), at rest, or failed.
///
/// # Errors
/// [`TaskError`]: why the task is FAILED.
pub async fn run(spec: TaskSpec, keeping: Keeping, control: TaskControl) -> Result<Ended, TaskError> {
    let TaskControl { paused, stop, live } = control;
    let (worker, props) = (&spec.worker, &spec.props);
    let policy = Policy::from_props(props);
    let cx = TaskContext {
        connector: Arc::clone(&spec.connector),
        task: spec.task,
        env: spec.env.clone(),
        health: live.health.clone(),
        progress: Arc::default(),
        tolerates: policy.tolerates,
    };
    let config = |errors: Vec<crate::connect::config::ConfigError>| TaskError::bad_config(&errors);
    let writers = writing::writers(props, &worker.props).map_err(config)?;
    let chain = Chain::from_props(props).map_err(config)?.of_source();
    let producer_props = settings::producer_props(&worker.props, &spec.connector, props, spec.task);
    let (offsets, transactions, producer) = match keeping {
        Keeping::AtLeastOnce(offsets) => (offsets, None, spec.env.kafka.producer(&producer_props).map_err(|error| refused(&error))?),
        Keeping::ExactlyOnce(ExactlyOnce { offsets, transactional_id, guard }) => {
            let mut producer = spec.env.kafka.transactional_producer(&producer_props, &transactional_id).map_err(|error| refused(&error))?;
            if !exact::take_over(producer.as_mut(), guard.as_ref(), &live.health, &stop).await? {
                producer.close().await;
                return Ok(Ended::Stopped);
            }
            let transactions = Transactions::new(Arc::clone(&offsets), Boundary::from_props(props, worker.offset_flush_interval));
            (offsets as Arc<dyn OffsetStore>, Some(transactions), producer)
        }
    };
    let mut source = spec.class.source_task(props, SourceContext { task: cx, offsets: Arc::clone(&offsets) })?;
    let creation = TopicCreation::from_props(props).filter(|_| worker.creates_topics);
    let creation = creation.map(|groups| {
        let admin = settings::admin_props(&worker.props, &spec.connector, props, spec.task);
        spec.env.kafka.topics(&admin).map(|topics| Creation { groups, topics, known: BTreeSet::new() }).map_err(|error| refused(&error))
    });
    let creation = creation.transpose()?;
    tokio::select! {
        started = source.start() => started?,
        () = stop.cancelled() => return Ok(Ended::Stopped),
    }
    let guarantee = if transactions.is_some() { "exactly-once" } else { "at-least-once" };
    let task = Task {
        source,
        stages: Stages { chain, writers, classes: Classes::of(props, &worker.props) },
        producer,
        creation,
        offsets,
        transactions,
        batch_ended: false,
        rests_at: None,
        is_placed: true,
        outbox: Outbox::default(),
        outgoing: VecDeque::new(),
        failure: None,
        next_poll: Instant::now(),
        report: TaskReport { guarantee: guarantee.to_owned(), ..TaskReport::default() },
        live,
        memory: spec.env.memory.clone(),
        name: TaskName { connector: Arc::clone(&spec.connector), task: spec.task },
        connector: spec.connector,
        number: spec.task,
        paused,
        stop,
        flush_every: worker.offset_flush_interval,
        flush_patience: worker.offset_flush_timeout,
        stop_patience: worker.offset_flush_timeout.min(worker.task_shutdown_graceful_timeout.mul_f32(0.6)),
        policy,
    };
    task.run().await
}

/// An error of Kafka that waiting does not heal.
fn refused(error: &KafkaError) -> TaskError {
    let kind = match error.kind {
        KafkaErrorKind::Config => ErrorKind::BadConfig,
        KafkaErrorKind::Denied => ErrorKind::Denied,
        KafkaErrorKind::Fenced
        | KafkaErrorKind::Transient
        | KafkaErrorKind::Interrupted
        | KafkaErrorKind::Active
        | KafkaErrorKind::TooLarge
        | KafkaErrorKind::Fatal => ErrorKind::BadRecord,
    };
    TaskError::new(kind, error.message.clone())
}

/// A record that Kafka does not take.
fn unsent(error: &KafkaError) -> Failure {
    Failure { stage: Stage::KafkaProduce, class: WORKER_SOURCE_TASK.into(), reason: error.message.clone() }
}

/// Topics that the task makes before it sends to them.
struct Creation {
    groups: TopicCreation,
    topics: Arc<dyn Topics>,
    /// Topics that there are.
    known: BTreeSet<Arc<str>>,
}

struct Task {
    source: Box<dyn SourceTask>,
    stages: Stages,
    producer: Box<dyn Producer>,
    creation: Option<Creation>,
    offsets: Arc<dyn OffsetStore>,
    /// Of a task that delivers exactly once.
    transactions: Option<Transactions>,
    /// A batch was sent whole since a transaction ended.
    batch_ended: bool,
    /// When the task has been paused without anything in hand for long enough.
    rests_at: Option<Instant>,
    /// Of all that was polled the source says where it was.
    is_placed: bool,
    outbox: Outbox,
    /// What was polled and not sent yet.
    outgoing: VecDeque<Piece>,
    /// What ends the task when that was sent.
    failure: Option<TaskError>,
    next_poll: Instant,
    report: TaskReport,
    live: Arc<Live>,
    memory: Budget,
    name: TaskName,
    connector: Arc<str>,
    number: u32,
    paused: watch::Receiver<bool>,
    stop: CancellationToken,
    flush_every: Duration,
    flush_patience: Duration,
    /// How long a stop waits for what is on its way.
    stop_patience: Duration,
    policy: Policy,
}

impl Task {
    async fn run(mut self) -> Result<Ended, TaskError> {
        let outcome = match self.serve().await {
            // What was sent is committed, however far the batch had come; what was not sent is read again.
            Ok(ended) => self.commit_if_due(true).await.map(|()| ended),
            failed => failed,
        };
        if let Some(transactions) = &mut self.transactions {
            if outcome.is_err() {
                transactions.give_up(self.producer.as_mut(), self.stop_patience).await;
            }
            self.source.stop().await;
            self.producer.close().await;
            self.show();
            return outcome;
        }
        // As upstream, also a task that fails keeps the offsets of what Kafka has.
        let settled = self.settle(Instant::now() + self.stop_patience).await;
        self.keep_offsets(self.stop_patience).await;
        self.source.stop().await;
        self.producer.close().await;
        self.show();
        outcome.and_then(|ended| settled.map(|()| ended))
    }

    /// The loop: one event at a time.
    async fn serve(&mut self) -> Result<Ended, TaskError> {
        let mut flush = tokio::time::interval_at(Instant::now() + self.flush_every, self.flush_every.max(Duration::from_millis(1)));
        let mut ticker = tokio::time::interval(TICK);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.send().await?;
            if self.outgoing.is_empty()
                && let Some(failure) = self.failure.take()
            {
                return Err(failure);
            }
            let is_short = self.memory.is_used_up();
            let rests = is_short || *self.paused.borrow();
            if self.outgoing.is_empty() {
                self.commit_if_due(rests).await?;
            }
            let polls = self.outgoing.is_empty() && !is_short && !*self.paused.borrow();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Ended::Stopped),
                _ = flush.tick(), if self.transactions.is_none() => self.keep_offsets(self.flush_patience).await,
                polled = poll(self.source.as_mut(), self.next_poll), if polls => self.polled(polled?).await?,
                settled = self.producer.settled(), if self.outbox.unsettled() > 0 => self.take(settled)?,
                () = self.memory.room(), if is_short => {}
                _ = self.paused.changed() => {}
                _ = ticker.tick() => self.show(),
            }
            if self.has_rested() {
                self.keep_offsets(self.flush_patience).await;
                if self.outbox.is_empty() {
                    self.live.health.clear(); // nobody is left to take it back
                    return Ok(Ended::Rests);
                }
            }
        }
    }

    /// True when the task is paused and has had nothing in hand for a while: all that it polled is sent, so that it can go on from its offsets.
    fn has_rested(&mut self) -> bool {
        let is_sent = self.outgoing.is_empty() && self.failure.is_none() && self.outbox.unsettled() == 0;
        let is_committed = self.transactions.as_ref().is_none_or(|transactions| !transactions.is_open());
        let is_at_rest = *self.paused.borrow() && self.is_placed && is_sent && is_committed && self.source.can_rest();
        let now = Instant::now();
        self.rests_at = is_at_rest.then(|| self.rests_at.unwrap_or(now + REST_AFTER));
        self.rests_at.is_some_and(|at| at <= now)
    }

    /// Commits the transaction that is open when it is time for that, or in a hurry.
    async fn commit_if_due(&mut self, hurries: bool) -> Result<(), TaskError> {
        let Some(transactions) = &mut self.transactions else { return Ok(()) };
        if !transactions.is_open() {
            transactions.committed(self.source.as_mut()); // those that were left out wait for nothing
        }
        if !transactions.is_due(self.batch_ended, hurries) {
            return Ok(());
        }
        transactions.commit(self.producer.as_mut(), &self.connector, &self.live.health).await?;
        self.batch_ended = false;
        while self.outbox.unsettled() > 0 {
            let settled = self.producer.settled().await;
            self.take(settled)?;
        }
        drop(self.outbox.take_ready());
        if let Some(transactions) = &mut self.transactions {
            transactions.committed(self.source.as_mut());
        }
        Ok(())
    }

    /// Takes what the connector gave through the stages. What a stop finds waiting for a schema registry is polled again.
    async fn polled(&mut self, batches: Vec<SourceBatch>) -> Result<(), TaskError> {
        if batches.iter().all(SourceBatch::is_empty) {
            self.next_poll = Instant::now() + IDLE;
        }
        for batch in batches.into_iter().filter(|batch| !batch.is_empty()) {
            if self.failure.is_some() {
                break; // what comes after a record that ends the task is polled again
            }
            self.batch_ended = true; // once `outgoing` is empty
            self.is_placed &= batch.positions.is_some();
            let permit = self.memory.take(batch.memory_bytes());
            let held = Held::new(batch, Some(permit));
            let transformed = self.stages.transform(&held);
            tokio::select! {
                asked = self.stages.ask(&transformed, &self.live.health) => asked?,
                () = self.stop.cancelled() => return Ok(()),
            }
            let prepared = self.stages.convert(transformed, self.policy.tolerates);
            self.outgoing.extend(prepared.pieces);
            self.failure = prepared.failure;
            for (row, failure) in prepared.left_out {
                match self.failure {
                    None => self.leave_out(&held, row, &failure),
                    Some(_) => self.log(&held, row, &failure),
                }
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, held: &Arc<Held>, row: usize, failure: &Failure) {
        self.live.add_rejected(1);
        self.log(held, row, failure);
        match &mut self.transactions {
            Some(transactions) => transactions.passed(held, row),
            None => self.source.delivered(&held.batch, row),
        }
    }

    /// A record's own bytes are never logged: what upstream prints of it here is where it comes from.
    fn log(&self, held: &Arc<Held>, row: usize, failure: &Failure) {
        let SourceBatch { topic, positions, .. } = &held.batch;
        let record = || {
            let at = positions.as_ref().map(|positions| serde_json::Value::Object(positions.offset(row)).to_string()).unwrap_or_default();
            format!(", where source record is {{topic='{topic}', sourceOffset={at}}}")
        };
        self.policy.log(&self.name, failure, topic, &record);
    }

    /// Sends what the producer has room for.
    async fn send(&mut self) -> Result<(), TaskError> {
        while let Some(piece) = self.outgoing.front() {
            let topic = Arc::clone(&piece.topic);
            if !self.ensure(&topic).await? {
                return Ok(()); // stopped
            }
            let Some(piece) = self.outgoing.front_mut() else { break };
            if let Some(transactions) = self.transactions.as_mut().filter(|_| piece.next_row().is_some()) {
                transactions.before(self.producer.as_mut(), &topic)?;
            }
            let tolerates = self.policy.tolerates && self.transactions.is_none();
            while let Some(row) = piece.next_row() {
                let headers = piece.headers();
                match self.producer.send(self.outbox.next(), piece.record(&headers)) {
                    Ok(()) => {
                        self.report.bytes += piece.bytes();
                        let origin = Origin { held: Arc::clone(&piece.held), row, topic: Arc::clone(&topic) };
                        self.transactions.iter_mut().for_each(|transactions| transactions.sent(&origin));
                        self.outbox.sent(origin);
                    }
                    Err(NotQueued::Full) => return Ok(()),
                    Err(NotQueued::Refused(error)) if !tolerates => return Err(refused(&error).with("connector", &self.connector)),
                    Err(NotQueued::Refused(error)) => {
                        let held = Arc::clone(&piece.held);
                        piece.step();
                        self.leave_out(&held, row, &unsent(&error));
                        break; // the same piece again
                    }
                }
                piece.step();
            }
            if self.outgoing.front().is_some_and(|piece| piece.next_row().is_none()) {
                self.outgoing.pop_front();
            }
        }
        Ok(())
    }

    /// Sees to it that there is the topic, where the connector makes topics. False when the task was stopped meanwhile.
    async fn ensure(&mut self, topic: &Arc<str>) -> Result<bool, TaskError> {
        let Some(creation) = &mut self.creation else { return Ok(true) };
        while !creation.known.contains(topic) {
            let made = tokio::select! {
                made = make(creation, topic) => made,
                () = self.stop.cancelled() => return Ok(false),
            };
            match made {
                Ok(is_new) => {
                    self.live.health.set("topics", None);
                    creation.known.insert(Arc::clone(topic));
                    tracing::info!(connector = %self.connector, topic = %topic, is_new, "topic {}", if is_new { "created" } else { "is there" });
                }
                Err(error) if error.kind == KafkaErrorKind::Transient => {
                    tracing::warn!(connector = %self.connector, topic = %topic, %error, "topic not created; tried again");
                    self.live.health.set("topics", Some(error.message));
                    tokio::select! {
                        () = tokio::time::sleep(ASK_AGAIN) => {}
                        () = self.stop.cancelled() => return Ok(false),
                    }
                }
                Err(error) => {
                    let message = format!(
                        "the task failed to create topic {topic}: {error}; see to it that the task may create topics and that topic.creation.* fits the cluster, or \
                         create the topic, and restart the task"
                    );
                    return Err(TaskError { message, ..refused(&error) });
                }
            }
        }
        Ok(true)
    }

    /// Takes note of what became of records.
    fn take(&mut self, settled: Vec<Settled>) -> Result<(), TaskError> {
        let mut failure = None;
        for Settled { token, outcome } in settled {
            // A transaction cannot go on without one of its records.
            if let Err(error) = &outcome
                && (!self.policy.tolerates || self.transactions.is_some())
            {
                failure = failure.or_else(|| Some(refused(error).with("connector", &self.connector)));
                continue;
            }
            let Some(Origin { held, row, topic }) = self.outbox.settle(token) else { continue };
            match outcome {
                Ok(()) => {
                    self.report.rows += 1;
                    self.live.topics.note(&topic);
                    match &mut self.transactions {
                        Some(transactions) => transactions.passed(&held, row),
                        None => self.source.delivered(&held.batch, row),
                    }
                }
                Err(error) => self.leave_out(&held, row, &unsent(&error)),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Waits for what is on its way.
    async fn settle(&mut self, deadline: Instant) -> Result<(), TaskError> {
        while self.outbox.unsettled() > 0 {
            match tokio::time::timeout_at(deadline, self.producer.settled()).await {
                Ok(settled) => self.take(settled)?,
                Err(_) => {
                    let unsettled = self.outbox.unsettled();
                    tracing::warn!(connector = %self.connector, task = self.number, unsettled, "records are on their way that Kafka has not acknowledged; they will be sent again");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Keeps the offsets of what Kafka has. What cannot be kept now is tried again.
    async fn keep_offsets(&mut self, patience: Duration) {
        let ready = self.outbox.take_ready();
        if ready.is_empty() {
            return;
        }
        let changes = outbox::changes(&ready);
        let kept = tokio::time::timeout(patience, self.offsets.set(&self.connector, &changes)).await;
        let trouble = match kept {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.0),
            Err(_) => Some(format!("source offsets were not kept within {} ms", patience.as_millis())),
        };
        if let Some(why) = &trouble {
            tracing::warn!(connector = %self.connector, task = self.number, "source offsets not kept, tried again: {why}");
            self.outbox.put_back(ready);
        }
        self.live.health.set("offsets", trouble);
    }

    fn show(&self) {
        self.live.health.set("kafka", self.producer.trouble());
        self.live.set_report(self.report.clone());
    }
}

/// Polls at that time. Cancel-safe as the task's own poll is.
async fn poll(source: &mut dyn SourceTask, at: Instant) -> Result<Vec<SourceBatch>, TaskError> {
    tokio::time::sleep_until(at).await;
    source.poll().await
}

/// Makes a topic unless there is one; true when it is new.
async fn make(creation: &Creation, topic: &Arc<str>) -> Result<bool, KafkaError> {
    if creation.topics.has(topic).await? {
        return Ok(false);
    }
    creation.topics.make(&creation.groups.topic(topic)).await
}

#[cfg(test)]
mod tests;
