//! A member of the group: the product's seam to Kafka over the simulated cluster, with what librdkafka's threads do in between.
//!
//! Membership is served beside the task: heartbeats go on while the process runs, whatever the task waits for. A rebalance goes on when the task has given up
//! its partitions, and only then the member has the new generation. Requests of one member reach the coordinator in the order in which they were sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::{BinaryArray, Int64Array, TimestampMillisecondArray};
use async_trait::async_trait;
use fastrand::Rng;
use lakehead::batch::{Commits, OffsetRange, Offsets, RawBatch, TopicPartition};
use lakehead::kafka::{Acknowledge, Consumer, Kafka, KafkaError, KafkaErrorKind, Logs, Polled, Props, Subscription, Wanted};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::broker::{Beat, Broker, Joined, MemberId, Membership, Record, explained, list};
use super::process::Process;
use super::trace::Rarity;

/// After so long without an answer from the coordinator a request fails.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
/// How often the member looks whether the task has given up its partitions.
const LOOK: Duration = Duration::from_millis(20);

/// The cluster as a process sees it.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) broker: Broker,
    pub(crate) process: Process,
}

impl Kafka for Cluster {
    fn consumer(&self, config: &Props, _: &Subscription) -> Result<Box<dyn Consumer>, KafkaError> {
        let task = config.get("client.id").and_then(|id| id.rsplit('-').next()).unwrap_or("?");
        let rng = self.broker.state().rng.fork();
        let client = Client(Arc::new(Shared {
            name: format!("{}/{task}", self.process),
            broker: self.broker.clone(),
            process: self.process.clone(),
            state: Mutex::new(State { rng, ..State::default() }),
            news: Notify::new(),
        }));
        let thread = AbortOnDropHandle::new(tokio::spawn(client.clone().serve()));
        Ok(Box::new(Handle { client, thread: Some(thread) }))
    }
}

/// What the consumer's handle and its thread share.
#[derive(Clone)]
struct Client(Arc<Shared>);

struct Shared {
    name: String,
    broker: Broker,
    process: Process,
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    rng: Rng,
    membership: Membership,
    owned: BTreeSet<TopicPartition>,
    /// Where delivery goes on, by partition that the task knows to be its own; a partition without committed offset begins at its log's start.
    positions: Offsets,
    /// Rebalances that the task was not told of.
    events: VecDeque<Polled>,
    /// When the next records can have come.
    fetched_at: Option<Instant>,
    /// Commits that were sent, were given up, and may arrive yet.
    stray: BTreeMap<u64, (Membership, Commits)>,
    sent: u64,
    is_closed: bool,
}

impl Client {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: Polled) {
        self.state().events.push_back(event);
        self.0.news.notify_one();
    }

    fn latency(&self) -> Duration {
        Duration::from_millis(self.state().rng.u64(1..12))
    }

    /// The client's own thread: membership.
    async fn serve(self) {
        let Shared { name, broker, process, .. } = &*self.0;
        while !self.state().is_closed {
            process.gate().await;
            let (generation, assigned) = self.join().await;
            let owned = {
                let mut state = self.state();
                state.membership.generation = generation;
                std::mem::replace(&mut state.owned, assigned.clone())
            };
            let gone: Vec<TopicPartition> = owned.difference(&assigned).cloned().collect();
            if !gone.is_empty() {
                self.give_up(gone, false).await;
            }
            let new: Vec<TopicPartition> = assigned.difference(&owned).cloned().collect();
            let has_given_up = !owned.is_subset(&assigned);
            self.tell(Polled::Assigned(new));
            if has_given_up {
                continue; // so that the others get it
            }
            let beat = self.stay().await;
            if beat == Beat::Unknown {
                broker.trace().note(name, "is no member any more");
            }
            if beat == Beat::Unknown || !broker.settings().is_cooperative {
                let all: Vec<TopicPartition> = std::mem::take(&mut self.state().owned).into_iter().collect();
                self.give_up(all, beat == Beat::Unknown).await;
            }
            if beat == Beat::Unknown {
                self.state().membership = Membership::default();
            }
        }
    }

    /// Joins the next generation: its number, and what is assigned in it.
    async fn join(&self) -> (u32, BTreeSet<TopicPartition>) {
        let Shared { name, broker, process, .. } = &*self.0;
        loop {
            tokio::time::sleep(self.latency()).await;
            process.gate().await;
            if broker.state().is_down() {
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            }
            let (known, owned) = {
                let state = self.state();
                (state.membership.member, state.owned.clone())
            };
            let member = broker.state().join(broker.trace(), name, known, owned);
            let joined = match member {
                Some(member) => {
                    self.state().membership.member = member;
                    self.joined(member).await
                }
                None => Joined::Unknown,
            };
            match joined {
                Joined::Decided(generation, assigned) => return (generation, assigned),
                Joined::Wait | Joined::Again => {}
                Joined::Unknown => {
                    // Thrown out meanwhile: what it had is lost.
                    let all: Vec<TopicPartition> = std::mem::take(&mut self.state().owned).into_iter().collect();
                    self.give_up(all, true).await;
                    self.state().membership = Membership::default();
                }
            }
        }
    }

    async fn joined(&self, member: MemberId) -> Joined {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.0.process.gate().await;
            let mut coordinator = self.0.broker.state();
            if coordinator.is_down() {
                continue;
            }
            match coordinator.assignment(member) {
                Joined::Wait => {}
                decided => return decided,
            }
        }
    }

    /// Heartbeats until something changes.
    async fn stay(&self) -> Beat {
        loop {
            tokio::time::sleep(self.0.broker.settings().heartbeat).await;
            match self.beat().await {
                Beat::Fine => {}
                change => return change,
            }
        }
    }

    async fn beat(&self) -> Beat {
        self.0.process.gate().await;
        let membership = self.state().membership;
        let mut coordinator = self.0.broker.state();
        if coordinator.is_down() { Beat::Fine } else { coordinator.heartbeat(membership, self.0.broker.settings()) }
    }

    /// Has the task give up partitions, and waits until it has.
    async fn give_up(&self, partitions: Vec<TopicPartition>, lost: bool) {
        if partitions.is_empty() {
            return;
        }
        let (done, acknowledged) = Acknowledge::pair();
        self.state().positions.retain(|tp, _| !partitions.contains(tp));
        self.0.broker.trace().note(&self.0.name, format_args!("{} {}", if lost { "has lost" } else { "gives up" }, list(&partitions)));
        if lost {
            self.0.broker.trace().reached(Rarity::Lost);
        }
        self.tell(Polled::Revoked { partitions, lost, done });
        let mut beat_at = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            self.0.process.gate().await;
            if acknowledged.try_recv() != Err(TryRecvError::Empty) || self.state().is_closed {
                return;
            }
            if beat_at.elapsed() >= self.0.broker.settings().heartbeat {
                beat_at = Instant::now();
                self.beat().await; // what it says shows when the task has acknowledged
            }
        }
    }

    /// Records that have come, if any; otherwise when it is worth looking again.
    fn fetch(&self) -> Result<Vec<RawBatch>, Option<Instant>> {
        let most_rows = self.0.broker.settings().most_rows;
        let broker = self.0.broker.state();
        let mut state = self.state();
        if let Some(at) = state.fetched_at.filter(|at| *at > Instant::now()) {
            return Err(Some(at));
        }
        let State { rng, positions, fetched_at, .. } = &mut *state;
        let mut batches = Vec::new();
        for (tp, position) in positions {
            let records = broker.records(tp, *position);
            let count = rng.usize(1..=most_rows).min(records.len());
            if let Some(last) = records.get(..count).and_then(<[Record]>::last) {
                batches.push(raw(tp, *position, &records[..count]));
                *position = last.offset + 1;
            }
        }
        *fetched_at = Some(Instant::now() + Duration::from_millis(rng.u64(1..150)));
        if batches.is_empty() { Err(None) } else { Ok(batches) }
    }
}

fn raw(from: &TopicPartition, position: i64, records: &[Record]) -> RawBatch {
    RawBatch {
        from: from.clone(),
        span: OffsetRange { start: position, end: records.last().map_or(position, |last| last.offset + 1) },
        offsets: Int64Array::from_iter_values(records.iter().map(|record| record.offset)),
        timestamps: TimestampMillisecondArray::from_iter_values(records.iter().map(|record| record.timestamp)),
        keys: BinaryArray::new_null(records.len()),
        values: records.iter().map(|record| record.value.as_deref()).collect(),
        headers: None,
    }
}

/// What becomes of a request to the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fortune {
    Answered,
    /// It has no effect, and no answer.
    Lost,
    /// It has its effect, and no answer.
    Unanswered,
    /// It is given up, and arrives before the next one, if at all.
    Stray,
}

impl Client {
    fn fortune(&self) -> Fortune {
        let share = self.0.broker.settings().lost;
        let mut broker = self.0.broker.state();
        let others = [Fortune::Lost, Fortune::Unanswered, Fortune::Stray];
        if broker.happens(share) { others[broker.rng.usize(0..others.len())] } else { Fortune::Answered }
    }

    /// What was sent before this arrives first, or never.
    fn settle_strays(&self) {
        let strays = std::mem::take(&mut self.state().stray);
        for (membership, commits) in strays.into_values() {
            if self.0.broker.state().rng.bool() {
                self.0.broker.trace().reached(Rarity::Stray);
                self.0.broker.commit(membership, &commits).ok();
            }
        }
    }

    /// A stray arrives, unless that has been settled.
    fn arrive(&self, number: u64) {
        let stray = self.state().stray.remove(&number);
        if let Some((membership, commits)) = stray {
            self.0.broker.trace().reached(Rarity::Stray);
            self.0.broker.trace().note(&self.0.name, "a commit arrives that was given up");
            self.0.broker.commit(membership, &commits).ok();
        }
    }

    /// Sends a commit; it takes effect whatever becomes of the process.
    fn send(&self, commits: Commits, fortune: Fortune) -> oneshot::Receiver<Result<(), KafkaErrorKind>> {
        let (answer, answered) = oneshot::channel();
        let (there, back, client) = (self.latency(), self.latency(), self.clone());
        let membership = self.state().membership;
        let number = {
            let mut state = self.state();
            state.sent += 1;
            state.sent
        };
        if fortune == Fortune::Stray {
            self.state().stray.insert(number, (membership, commits));
            let late = Duration::from_millis(self.state().rng.u64(1000..60_000));
            drop(tokio::spawn(async move {
                tokio::time::sleep(late).await;
                client.arrive(number);
            }));
            return answered;
        }
        drop(tokio::spawn(async move {
            tokio::time::sleep(there).await;
            if fortune == Fortune::Lost || client.0.broker.state().is_down() {
                return;
            }
            client.settle_strays();
            let done = client.0.broker.commit(membership, &commits);
            if fortune == Fortune::Answered {
                tokio::time::sleep(back).await;
                answer.send(done).ok();
            }
        }));
        answered
    }

    fn error(&self, kind: KafkaErrorKind, what: &str) -> KafkaError {
        KafkaError::new(kind, format!("{}: {what}", self.0.name))
    }

    fn no_answer(&self) -> KafkaError {
        self.error(KafkaErrorKind::Transient, "the coordinator does not answer")
    }
}

/// The task's end of a member.
struct Handle {
    client: Client,
    thread: Option<AbortOnDropHandle<()>>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the simulated consumer of {}", self.client.0.name)
    }
}

impl Handle {
    /// The next rebalance; from when the task knows it, delivery follows it.
    fn event(&self) -> Option<Polled> {
        let event = self.client.state().events.pop_front()?;
        match &event {
            Polled::Assigned(partitions) => {
                let broker = self.client.0.broker.state();
                let mut state = self.client.state();
                for tp in partitions {
                    let position = broker.committed(tp).map_or(0, |committed| committed.offset);
                    state.positions.insert(tp.clone(), position);
                }
            }
            // Also when it was assigned only by the event before.
            Polled::Revoked { partitions, .. } => self.client.state().positions.retain(|tp, _| !partitions.contains(tp)),
            _ => {}
        }
        Some(event)
    }
}

#[async_trait]
impl Consumer for Handle {
    async fn next(&mut self, wanted: Wanted) -> Polled {
        let Shared { broker, process, news, .. } = &*self.client.0;
        loop {
            process.gate().await;
            let more = broker.changed().notified();
            if let Some(event) = self.event() {
                return event;
            }
            let again = if wanted == Wanted::Everything {
                match self.client.fetch() {
                    Ok(batches) => return Polled::Records(batches),
                    Err(again) => again,
                }
            } else {
                None
            };
            tokio::select! {
                biased;
                () = news.notified() => {}
                () = more, if wanted == Wanted::Everything && again.is_none() => {}
                () = tokio::time::sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {}
            }
        }
    }

    async fn commit(&self, commits: &Commits) -> Result<(), KafkaError> {
        let Shared { broker, process, .. } = &*self.client.0;
        process.gate().await;
        let until = broker.state().down_until();
        // The client waits for a coordinator for a while.
        tokio::time::timeout(REQUEST_TIMEOUT, tokio::time::sleep_until(until)).await.map_err(|_| self.client.no_answer())?;
        process.gate().await;
        let fortune = self.client.fortune();
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, self.client.send(commits.clone(), fortune)).await;
        process.gate().await;
        match answer {
            Ok(Ok(done)) => done.map_err(|kind| self.client.error(kind, "the coordinator refuses the commit")),
            _ => Err(self.client.no_answer()),
        }
    }

    async fn committed(&self, partitions: &[TopicPartition]) -> Result<Commits, KafkaError> {
        let Shared { name, broker, process, .. } = &*self.client.0;
        process.gate().await;
        tokio::time::sleep(self.client.latency()).await;
        let is_down = broker.state().is_down();
        if is_down || self.client.fortune() != Fortune::Answered {
            tokio::time::sleep(REQUEST_TIMEOUT).await;
            process.gate().await;
            return Err(self.client.no_answer());
        }
        self.client.settle_strays();
        let held = |tp: &TopicPartition| Some((tp.clone(), broker.state().committed(tp)?.clone()));
        let committed: Commits = partitions.iter().filter_map(held).collect();
        for (tp, held) in &committed {
            if !held.metadata.is_empty() {
                broker.trace().reached(Rarity::Inherited);
            }
            broker.trace().note(name, format_args!("is told that {tp} is committed at {}", explained(held)));
        }
        tokio::time::sleep(self.client.latency()).await;
        process.gate().await;
        Ok(committed)
    }

    async fn logs(&mut self, partitions: &[TopicPartition]) -> Result<Logs, KafkaError> {
        let Shared { broker, process, .. } = &*self.client.0;
        process.gate().await;
        tokio::time::sleep(self.client.latency()).await;
        process.gate().await;
        Ok(partitions.iter().map(|tp| (tp.clone(), OffsetRange { start: 0, end: broker.state().end(tp) })).collect())
    }

    async fn seek(&mut self, to: &Offsets) -> Result<(), KafkaError> {
        let process = &self.client.0.process;
        process.gate().await;
        tokio::time::sleep(self.client.latency()).await;
        process.gate().await;
        let mut state = self.client.state();
        if !state.events.is_empty() {
            return Err(self.client.error(KafkaErrorKind::Interrupted, "a rebalance came first"));
        }
        for (tp, offset) in to {
            match state.positions.get_mut(tp) {
                Some(position) => *position = *offset,
                None => return Err(self.client.error(KafkaErrorKind::Fatal, &format!("{tp} is sought, and is not assigned"))),
            }
        }
        Ok(())
    }

    async fn close(&mut self) {
        let Shared { name, broker, process, .. } = &*self.client.0;
        process.gate().await;
        self.thread = None;
        let member = {
            let mut state = self.client.state();
            state.is_closed = true;
            state.events.clear();
            state.membership.member
        };
        tokio::time::sleep(self.client.latency()).await;
        process.gate().await;
        let mut coordinator = broker.state();
        if !coordinator.is_down() {
            coordinator.leave(broker.trace(), member);
        }
        broker.trace().note(name, "is closed");
    }

    fn end_offsets(&self) -> Offsets {
        let broker = self.client.0.broker.state();
        self.client.state().owned.iter().map(|tp| (tp.clone(), broker.end(tp))).collect()
    }
}
