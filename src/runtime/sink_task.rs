//! One sink task: a consumer, the stages 2 and 3, and a connector's [`SinkTask`].
//!
//! Stands for Kafka Connect's `WorkerSinkTask`. The loop takes one event at a time, in the order in which they happened: records, a rebalance, time, a
//! command. Nothing in it waits for the store or the registry without also serving rebalances, so membership never depends on them. Offsets are
//! committed when the connector says that they are durable, and at no other moment.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lakehead_formats::weight::weight;
use lakehead_formats::wire::Want;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::due::{Begin, Due};
use self::incarnations::Incarnations;
use super::errors::breaker::{Breaker, Rule, Tally};
use super::errors::dead_letters::DeadLetters;
use super::errors::letter::Kept;
use super::errors::{Classes, Failure, Policy, Stage, TaskName};
use super::status::Live;
use super::worker::Ended;
use crate::batch::{Batch, Commits, Committed, Offsets, RawBatch, TopicPartition};
use crate::connect::config::ConfigError;
use crate::connect::{Connector, ErrorKind, Props, SinkTask, TaskContext, TaskError};
use crate::convert::{self, Half};
use crate::env::Env;
use crate::kafka::{Acknowledge, Consumer, KafkaError, KafkaErrorKind, Polled, Subscription, Wanted};
use crate::settings::{self, Settings};
use crate::transform::{Chain, Untransformed};

/// How often time is looked at: schedules, figures, retried commits.
const TICK: Duration = Duration::from_millis(200);
/// Commits of offsets alone are at most this frequent, whatever `offset.flush.interval.ms` says; and never rarer than it says.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// Commits for which work waits (their text has changed) are at most this frequent.
const URGENT_EVERY: Duration = Duration::from_millis(20);
/// How long to wait before a coordinator that did not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How long a paused task keeps its clients that has nothing in hand.
pub(super) const REST_AFTER: Duration = Duration::from_secs(10);
/// The part of the memory budget that a batch may take on its way through the transforms, and how little it may be.
const CHAIN_SHARE: u64 = 16;
const LEAST_FOR_CHAIN: u64 = 1 << 20;
/// How long the end of an assignment waits for what is being published; then the next owner publishes it again, under the same names.
const REVOKE_PATIENCE: Duration = Duration::from_secs(10);

/// What a task is made from.
#[derive(Debug, Clone)]
pub struct TaskSpec {
    /// The connector's name.
    pub connector: Arc<str>,
    /// The task's number, from 0.
    pub task: u32,
    /// The connector's kind.
    pub class: &'static dyn Connector,
    /// The connector's configuration, placeholders resolved.
    pub props: Props,
    /// The worker's settings.
    pub worker: Arc<Settings>,
    /// The world.
    pub env: Env,
}

/// How others steer a running task, and see it.
#[derive(Debug, Clone)]
pub struct TaskControl {
    /// True while the connector is paused.
    pub paused: watch::Receiver<bool>,
    /// Ends the task.
    pub stop: CancellationToken,
    /// Figures of the running task.
    pub live: Arc<Live>,
}

/// Runs until stopped (`Ok`: what was being published is committed, what was open will be read again), at rest, or failed.
///
/// # Errors
/// [`TaskError`]: why the task is FAILED.
pub async fn run(spec: TaskSpec, control: TaskControl) -> Result<Ended, TaskError> {
    let TaskControl { paused, stop, live } = control;
    let progress = Arc::new(tokio::sync::Notify::new());
    let policy = Policy::from_props(&spec.props);
    let cx = TaskContext {
        connector: Arc::clone(&spec.connector),
        task: spec.task,
        env: spec.env.clone(),
        health: live.health.clone(),
        progress: Arc::clone(&progress),
        tolerates: policy.tolerates,
    };
    let config = |errors: Vec<ConfigError>| TaskError::bad_config(&errors);
    let (stage, chain) = stages(spec.class, &spec.props, &spec.worker.props).map_err(config)?;
    let chain = chain.within((spec.env.memory.limit() / CHAIN_SHARE).max(LEAST_FOR_CHAIN));
    let classes = Classes::of(&spec.props, &spec.worker.props);
    let mut sink = spec.class.sink_task(&spec.props, cx.clone())?;
    tokio::select! {
        started = sink.start() => started?,
        () = stop.cancelled() => return Ok(Ended::Stopped),
    }
    let letters = DeadLetters::open((&spec.props, &spec.worker), spec.class, &cx, &stop).await?;
    if stop.is_cancelled() {
        return Ok(Ended::Stopped);
    }
    let consumer_props = settings::consumer_props(&spec.worker.props, &spec.connector, &spec.props, spec.task);
    let consumer = spec.env.kafka.consumer(&consumer_props, &subscription(&spec.props)).map_err(|e| kafka_error(&e))?;
    let ids = spec.env.kafka.topic_ids(&consumer_props).unwrap_or_else(|error| {
        tracing::warn!(connector = %spec.connector, %error, "a topic that is made again while it is read is noticed by its offsets alone");
        None
    });
    let task = Task {
        incarnations: Incarnations::told_by(ids),
        watch: lost::Watch::new(&spec.props, &consumer_props),
        dues: BTreeMap::new(),
        ask_at: None,
        sink,
        consumer,
        live,
        env: spec.env,
        name: TaskName { connector: Arc::clone(&spec.connector), task: spec.task },
        connector: spec.connector,
        paused,
        stop,
        stop_patience: spec.worker.task_shutdown_graceful_timeout.mul_f32(0.6),
        commit_every: spec.worker.offset_flush_interval.min(COMMIT_EVERY),
        progress,
        policy,
        letters,
        breaker: Breaker::new(Rule::from_props(&spec.props).filter(|_| policy.tolerates)),
        owned: BTreeMap::new(),
        inbox: VecDeque::new(),
        departed: BTreeSet::new(),
        committed: Commits::new(),
        asked_at: None,
        commit_at: None,
        is_waiting: false,
        rests_at: None,
    };
    task.run(Box::new(Core { stage, chain, classes })).await
}

/// The stages 2 and 3. Transforms see values without a schema as upstream's do, not as columns under a schema that depends on the records before them: where
/// columns are asked for, they are inferred from what the transforms leave.
fn stages(class: &'static dyn Connector, props: &Props, worker: &Props) -> Result<(convert::Stage, Chain), Vec<ConfigError>> {
    let (want, chain) = (class.want(props), Chain::from_props(props)?);
    if chain.is_empty() || want == Want::Any {
        return Ok((convert::build(props, worker, want)?, chain));
    }
    Ok((convert::build(props, worker, Want::Any)?, chain.inferring()))
}

fn subscription(props: &Props) -> Subscription {
    match props.get("topics.regex").map(|p| p.trim()).filter(|p| !p.is_empty()) {
        Some(pattern) => Subscription::Pattern(pattern.to_owned()),
        None => {
            let topics = props.get("topics").map_or("", String::as_str);
            Subscription::Topics(topics.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect())
        }
    }
}

fn kafka_error(error: &KafkaError) -> TaskError {
    let kind = match error.kind {
        KafkaErrorKind::Config => ErrorKind::BadConfig,
        KafkaErrorKind::Denied => ErrorKind::Denied,
        KafkaErrorKind::Fenced => ErrorKind::Fenced,
        KafkaErrorKind::Transient | KafkaErrorKind::Interrupted | KafkaErrorKind::Active | KafkaErrorKind::TooLarge | KafkaErrorKind::Fatal => ErrorKind::Bug,
    };
    TaskError::new(kind, error.message.clone())
}

/// Stages 2 and 3; moves to the CPU pool and back.
struct Core {
    stage: convert::Stage,
    chain: Chain,
    /// Of the converters.
    classes: Classes,
}

/// Bytes of a batch's keys and values.
fn bytes_of(batch: &Batch) -> u64 {
    weight(&batch.key.array) + weight(&batch.value.array)
}

/// A raw batch through stages 2 and 3.
struct Processed {
    batches: Vec<Batch>,
    /// Offset of each record that failed, and why.
    failed: Vec<(i64, Failure)>,
}

impl Core {
    fn process(&mut self, raw: &RawBatch) -> Result<Processed, TaskError> {
        let offset_in = |offsets: &[i64], row: usize| offsets.get(row).copied().unwrap_or(raw.span.start);
        let (decoded, unconverted) = self.stage.decode(raw)?;
        let of_converter = |half: Half, reason: String| {
            let (stage, class) = match half {
                Half::Key => (Stage::KeyConverter, &self.classes.key),
                Half::Value => (Stage::ValueConverter, &self.classes.value),
            };
            Failure { stage, class: Arc::clone(class), reason }
        };
        let mut failed: Vec<_> = unconverted.into_iter().map(|r| (offset_in(raw.offsets.values(), r.row), of_converter(r.half, r.reason))).collect();
        let (mut batches, mut transformed) = (Vec::with_capacity(decoded.len()), Vec::new());
        for batch in decoded {
            let offsets = batch.offsets.clone();
            let untransformed = self.chain.apply(batch, &mut transformed).into_iter();
            let of_transform = |Untransformed { row, class, reason, is_of_converter }: Untransformed| {
                let transform = || Failure { stage: Stage::Transformation, class, reason: reason.clone() };
                (offset_in(offsets.values(), row), if is_of_converter { of_converter(Half::Value, reason.clone()) } else { transform() })
            };
            failed.extend(untransformed.map(of_transform));
        }
        for batch in transformed {
            let offsets = batch.offsets.clone();
            let (batch, unread) = self.stage.with_headers(batch)?;
            batches.push(batch);
            let of_header = |r: lakehead_formats::column::Reject| {
                let class = Arc::clone(&self.classes.header);
                (offset_in(offsets.values(), r.row), Failure { stage: Stage::HeaderConverter, class, reason: r.reason })
            };
            failed.extend(unread.into_iter().map(of_header));
        }
        Ok(Processed { batches, failed })
    }
}

struct Task {
    sink: Box<dyn SinkTask>,
    consumer: Box<dyn Consumer>,
    live: Arc<Live>,
    env: Env,
    name: TaskName,
    connector: Arc<str>,
    paused: watch::Receiver<bool>,
    stop: CancellationToken,
    /// How long a stop waits for what is being published.
    stop_patience: Duration,
    commit_every: Duration,
    progress: Arc<tokio::sync::Notify>,
    policy: Policy,
    /// Where records that fail go.
    letters: DeadLetters,
    /// Which partitions are not read on, because too many records failed.
    breaker: Breaker,
    /// Partitions that are ours, and where to read them again from: the first offset seen or the last one committed.
    owned: BTreeMap<TopicPartition, Option<i64>>,
    /// Batches that were received and not yet processed; filled by one set at a time, and only when empty.
    inbox: VecDeque<RawBatch>,
    /// Partitions that went away while a batch was out of the inbox: even when they came back, that batch is of the old assignment.
    departed: BTreeSet<TopicPartition>,
    /// What the coordinator is known to hold.
    committed: Commits,
    /// When the sink was last asked what to commit.
    asked_at: Option<Instant>,
    /// When the next commit of offsets alone may be sent.
    commit_at: Option<Instant>,
    /// Something may be there to commit that was not asked for.
    is_waiting: bool,
    /// What is known about where partitions should go on.
    watch: lost::Watch,
    /// Which topics the records come from.
    incarnations: Incarnations,
    /// What is due before more records are taken.
    dues: BTreeMap<TopicPartition, Due>,
    /// When those are asked again who did not answer.
    ask_at: Option<Instant>,
    /// When the task has been paused without anything in hand for long enough.
    rests_at: Option<Instant>,
}

/// How waiting for something else ended.
enum Attended<T> {
    /// It is done.
    Done(T),
    /// The task is to stop.
    Stopped,
}

impl Task {
    async fn run(mut self, core: Box<Core>) -> Result<Ended, TaskError> {
        let outcome = self.serve(core).await;
        let all: Vec<TopicPartition> = self.owned.keys().cloned().collect();
        // As upstream, a task that a bad record ends finishes and commits what came before it; so does one that a loss of records ends. After any other error nothing
        // more is waited for or committed: the records will be read again.
        let is_orderly = outcome.as_ref().err().is_none_or(|error| matches!(error.kind, ErrorKind::BadRecord | ErrorKind::LostRecords));
        let settled = match if is_orderly { self.settle(&all, self.stop_patience).await } else { Ok(()) } {
            // Whoever goes on reads that again.
            Err(error) if error.kind == ErrorKind::Rewind => {
                tracing::warn!(connector = %self.connector, %error, "given up with the task");
                Ok(())
            }
            settled => settled,
        };
        self.sink.close(&all).await;
        self.letters.close().await;
        let ended = outcome.and_then(|ended| settled.map(|()| ended));
        self.consumer.close().await;
        self.update_live();
        ended
    }

    /// The loop: one event at a time.
    async fn serve(&mut self, core: Box<Core>) -> Result<Ended, TaskError> {
        let mut core = Some(core);
        let mut ticker = tokio::time::interval(TICK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let outcome = self.go_on().await;
            self.survive(outcome).await?;
            let takes_records = self.takes_records();
            if takes_records && let Some(raw) = self.inbox.pop_front() {
                let outcome = self.step(&mut core, raw).await;
                self.survive(outcome).await?;
                continue;
            }
            let wanted = if takes_records { Wanted::Everything } else { Wanted::Rebalances };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Ended::Stopped),
                event = self.consumer.next(wanted) => {
                    let outcome = self.handle(event).await;
                    self.survive(outcome).await?;
                }
                others = self.incarnations.changed() => self.made_again(others),
                () = self.progress.notified() => {}
                confirmed = self.letters.progress(), if self.letters.are_underway() => self.survive(confirmed).await?,
                () = self.env.memory.room(), if !takes_records && self.is_short() => {}
                () = tokio::time::sleep_until(self.asked_at.unwrap_or_else(Instant::now) + URGENT_EVERY), if self.is_waiting => {}
                () = tokio::time::sleep_until(self.ask_at.unwrap_or_else(Instant::now)), if !self.dues.is_empty() => {}
                _ = self.paused.changed() => {
                    if !*self.paused.borrow() {
                        self.read_on(true);
                    }
                }
                _ = ticker.tick() => {}
            }
            let outcome = self.housekeeping().await;
            self.survive(outcome).await?;
            if self.has_rested() {
                self.live.health.clear(); // nobody is left to take it back
                return Ok(Ended::Rests);
            }
        }
    }

    /// True when the task is paused and has had nothing in hand for a while: all that it took is committed, and what waits is read again.
    fn has_rested(&mut self) -> bool {
        let is_at_rest = *self.paused.borrow() && self.dues.is_empty() && !self.letters.are_underway() && !self.breaker.holds_any() && self.sink.is_at_rest();
        let now = Instant::now();
        self.rests_at = is_at_rest.then(|| self.rests_at.unwrap_or(now + REST_AFTER));
        self.rests_at.is_some_and(|at| at <= now)
    }

    fn is_short(&self) -> bool {
        self.env.memory.is_used_up()
    }

    fn takes_records(&mut self) -> bool {
        if !self.dues.is_empty() {
            return false;
        }
        if self.is_short() && !self.sink.relieve() {
            return false;
        }
        !*self.paused.borrow() && self.sink.has_room() && !self.letters.is_full()
    }

    /// What does not depend on an event: due files, commits, figures.
    async fn housekeeping(&mut self) -> Result<(), TaskError> {
        self.attend_to_letters()?;
        self.read_on(false);
        self.sink.tick().await?;
        self.commit(false).await?;
        self.update_live();
        Ok(())
    }

    /// One raw batch through the stages and into the connector.
    async fn step(&mut self, slot: &mut Option<Box<Core>>, raw: RawBatch) -> Result<(), TaskError> {
        let Some(core) = slot.as_mut() else { return Err(TaskError::new(ErrorKind::Bug, "the stages are gone")) };
        let health = self.live.health.clone();
        self.departed.clear();
        match self.attend(core.stage.prepare(&raw, &health)).await {
            Ok(Attended::Done(prepared)) => prepared?,
            Ok(Attended::Stopped) => return Ok(()),
            Err(error) => {
                // Trouble elsewhere: these records are as good as before, unless their partition went away.
                if !self.departed.contains(&raw.from) && self.owned.contains_key(&raw.from) {
                    self.inbox.push_front(raw);
                }
                return Err(error);
            }
        }
        if self.departed.contains(&raw.from) || !self.owned.contains_key(&raw.from) {
            return Ok(()); // revoked while a schema was being fetched; whoever owns it now reads it
        }
        let Some(mut core) = slot.take() else { return Ok(()) };
        let permit = self.env.memory.take(raw.memory_bytes());
        let working = self.env.memory.take(core.chain.working_bytes());
        let kept = Arc::new(Kept { raw, permit });
        let raw = &kept.raw;
        let (from, end, records) = (raw.from.clone(), raw.span.end, raw.len() as u64);
        self.live.topics.note(&from.topic);
        let bytes = raw.values.values().len() + raw.keys.values().len();
        let of_job = Arc::clone(&kept);
        let job = move || {
            let outcome = core.process(&of_job.raw);
            (core, outcome)
        };
        let (core, outcome) = self.env.compute.run(job).await;
        *slot = Some(core);
        drop(working);
        let Processed { batches, failed } = outcome?;
        let mut waiting = self.env.memory.take(batches.iter().map(bytes_of).sum());
        let mut bad = Tally::of(&failed);
        self.refuse(&kept, failed)?;
        for batch in batches {
            waiting.resize(waiting.bytes().saturating_sub(bytes_of(&batch))); // from here on the sink counts it
            let offsets = batch.offsets.clone();
            let rejects = match self.sink.put(batch).await {
                Ok(rejects) => rejects,
                Err(error) => return Err(self.refused_by_sink(&kept, error)),
            };
            let offset = |row: usize| offsets.values().get(row).copied().unwrap_or_default();
            let failed: Vec<_> = rejects.into_iter().map(|reject| (offset(reject.row), failed::of_sink(reject.reason))).collect();
            bad.add(&failed);
            self.refuse(&kept, failed)?;
        }
        self.live.add_consumed(records, bytes as u64);
        self.look_at_share(&from, end, records, &bad);
        Ok(())
    }

    /// Waits for something that is not Kafka while rebalances are served.
    async fn attend<T>(&mut self, work: impl Future<Output = T>) -> Result<Attended<T>, TaskError> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Attended::Stopped),
                done = &mut work => return Ok(Attended::Done(done)),
                event = self.consumer.next(Wanted::Rebalances) => self.handle(event).await?,
                () = tokio::time::sleep(TICK) => {
                    if self.is_short() {
                        self.sink.relieve();
                    }
                    self.housekeeping().await?;
                }
            }
        }
    }

    async fn handle(&mut self, event: Polled) -> Result<(), TaskError> {
        match event {
            Polled::Records(mut batches) => {
                batches.retain(|raw| !self.breaker.holds(&raw.from)); // they come again when the partition is read on
                self.check_begins(&batches);
                for raw in batches {
                    self.owned.entry(raw.from.clone()).or_default().get_or_insert(raw.span.start);
                    self.inbox.push_back(raw);
                }
                Ok(())
            }
            Polled::Assigned(partitions) => {
                tracing::info!(connector = %self.connector, partitions = %list(&partitions), "assigned");
                self.owned.extend(partitions.iter().map(|tp| (tp.clone(), None)));
                self.incarnations.begin(&partitions);
                self.dues.extend(partitions.into_iter().map(|tp| (tp, Due::Open(Begin::Assigned))));
                Ok(())
            }
            Polled::Jumped(jumps) => {
                self.watch.note(jumps);
                Ok(())
            }
            Polled::Revoked { partitions, lost, done } => self.revoked(&partitions, lost, done).await,
            Polled::Trouble(trouble) => {
                self.live.health.set("kafka", trouble.map(|e| e.to_string()));
                Ok(())
            }
            Polled::Failed(error) => Err(kafka_error(&error)),
        }
    }

    /// Partitions go away: nothing of theirs is left in this task when `done` is dropped.
    async fn revoked(&mut self, partitions: &[TopicPartition], lost: bool, done: Acknowledge) -> Result<(), TaskError> {
        tracing::info!(connector = %self.connector, partitions = %list(partitions), lost, "revoked");
        self.inbox.retain(|raw| !partitions.contains(&raw.from));
        self.departed.extend(partitions.iter().cloned());
        let settled = if lost { Ok(()) } else { self.settle(partitions, REVOKE_PATIENCE).await };
        self.sink.close(partitions).await;
        self.letters.forget(partitions);
        self.forget_share(partitions);
        self.watch.forget(partitions);
        self.incarnations.forget(partitions);
        self.forget_dues(partitions);
        self.owned.retain(|tp, _| !partitions.contains(tp));
        self.committed.retain(|tp, _| !partitions.contains(tp));
        drop(done);
        match settled {
            // What could not be published is read again by whoever gets the partitions; others that want to be read again are not forgotten.
            Err(error) if error.kind == ErrorKind::Rewind && !error.back_to.is_empty() && error.back_to.keys().all(|tp| !self.owned.contains_key(tp)) => {
                tracing::warn!(connector = %self.connector, %error, "given up with its partitions");
                Ok(())
            }
            settled => settled,
        }
    }

    /// Has what is on its way of these partitions finished and committed, as far as `patience` lasts.
    async fn settle(&mut self, partitions: &[TopicPartition], patience: Duration) -> Result<(), TaskError> {
        let deadline = Instant::now() + patience;
        let mut again: Option<TaskError> = None;
        loop {
            self.letters.hurry(|tp| partitions.contains(tp));
            self.attend_to_letters()?;
            let is_busy = self.sink.finish(partitions) || self.letters.owes(partitions);
            match self.commit(true).await {
                Err(more) if more.kind == ErrorKind::Rewind => {
                    again = Some(match again {
                        Some(known) => known.and_back_to(more),
                        None => more,
                    });
                    if Instant::now() < deadline {
                        continue; // what the others have done is committed all the same
                    }
                }
                committed => committed?,
            }
            if !is_busy || Instant::now() >= deadline {
                return again.map_or(Ok(()), Err);
            }
            tokio::select! {
                () = self.progress.notified() => {}
                confirmed = self.letters.progress(), if self.letters.are_underway() => confirmed?,
                () = tokio::time::sleep_until(deadline.min(Instant::now() + TICK)) => {}
            }
        }
    }

    /// Commits what there is to commit. A refused or unreachable coordinator is not an error: the same is tried again, or belongs to someone else.
    async fn commit(&mut self, now: bool) -> Result<(), TaskError> {
        let started = Instant::now();
        if !now && self.asked_at.is_some_and(|at| started < at + URGENT_EVERY) {
            self.is_waiting = true;
            return Ok(());
        }
        (self.asked_at, self.is_waiting) = (Some(started), false);
        let wanted = self.sink.pre_commit().await?;
        // What failed below that and is nowhere yet would be lost with the commit.
        let is_news = |(tp, commit): &(TopicPartition, Committed)| {
            self.owned.contains_key(tp) && self.committed.get(tp) != Some(commit) && !self.letters.holds(tp, self.sink.reach(commit))
        };
        let news: Commits = wanted.into_iter().filter(is_news).collect();
        let goes_back = |(tp, commit): &(&TopicPartition, &Committed)| self.committed.get(*tp).is_some_and(|known| commit.offset < known.offset);
        if let Some((tp, commit)) = news.iter().find(goes_back) {
            let error = TaskError::new(ErrorKind::Rewind, "what is delivered lies below the committed offset: no other owner would go on there");
            return Err(error.with("partition", tp).with("offset", commit.offset).back_to(tp.clone(), None));
        }
        // Work waits for a text that the coordinator does not have; an offset alone can wait.
        let is_urgent = |(tp, commit): (&TopicPartition, &Committed)| {
            !commit.metadata.is_empty() && self.committed.get(tp).is_none_or(|known| known.metadata != commit.metadata)
        };
        if news.is_empty() || !(now || self.commit_at.is_none_or(|at| started >= at) || news.iter().any(is_urgent)) {
            return Ok(());
        }
        self.commit_at = Some(started + self.commit_every);
        match self.consumer.commit(&news).await {
            Ok(()) => {
                for (tp, commit) in &news {
                    if let Some(start) = self.owned.get_mut(tp) {
                        *start = Some(commit.offset);
                    }
                }
                self.live.set_committed(&news.iter().map(|(tp, commit)| (tp.clone(), commit.offset)).collect());
                self.sink.committed(&news);
                self.watch.reached(&news);
                self.committed.extend(news);
                Ok(())
            }
            Err(error) if error.kind == KafkaErrorKind::TooLarge => {
                tracing::warn!(connector = %self.connector, %error, "shorter texts are tried");
                self.sink.refused(&news)
            }
            Err(error) if error.kind.passes() => {
                tracing::warn!(connector = %self.connector, %error, "offsets not committed; the same is tried again while the partitions are ours");
                Ok(())
            }
            Err(error) => Err(kafka_error(&error)),
        }
    }

    /// What can be healed by reading again is healed; the rest fails the task.
    async fn survive(&mut self, outcome: Result<(), TaskError>) -> Result<(), TaskError> {
        let error = match outcome {
            Err(error) if error.kind == ErrorKind::Rewind => error,
            ended => return ended,
        };
        // Those that begin anyway have nothing to drop.
        let begins = |tp: &TopicPartition| matches!(self.dues.get(tp), Some(Due::Commit(_) | Due::Open(_)));
        let is_named = |tp: &&TopicPartition| error.back_to.is_empty() || error.back_to.contains_key(*tp);
        let named: Vec<TopicPartition> = self.owned.keys().filter(is_named).filter(|tp| !begins(tp)).cloned().collect();
        tracing::warn!(connector = %self.connector, %error, partitions = %list(&named), "reading again");
        let due = |tp: TopicPartition| (Due::Open(Begin::Again(error.back_to.get(&tp).copied().flatten())), tp);
        self.begin_again(named.into_iter().map(due).map(|(due, tp)| (tp, due)).collect()).await;
        Ok(())
    }

    fn update_live(&self) {
        self.live.set_report(self.sink.report());
        self.live.set_lag(lag(&self.owned, &self.consumer.end_offsets()));
    }
}

/// Records past what was committed; `None` until the log's end and the group's offset are known for every partition.
fn lag(owned: &BTreeMap<TopicPartition, Option<i64>>, ends: &Offsets) -> Option<u64> {
    let of = |(tp, start): (&TopicPartition, &Option<i64>)| {
        let (end, next) = (*ends.get(tp)?, (*start).or_else(|| ends.get(tp).copied().filter(|end| *end == 0))?);
        u64::try_from(end - next).ok()
    };
    owned.iter().map(of).sum()
}

fn list(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

mod due;
mod failed;
mod incarnations;
mod lost;
#[cfg(test)]
mod tests;
