//! Decides what runs here: an actor between what the cluster has written down ([`Board`]), what of it this worker is to run ([`Membership`]) and what does run
//! ([`Worker`]). Upstream's `AbstractHerder`, `StandaloneHerder` and `DistributedHerder` in one.
//!
//! ```text
//!   requests ─► commands ─► records ─► Board ─► changes ─┐
//!                                                        ├─► reconcile ─► Worker
//!                        Membership ─► revoked, assigned ┘
//! ```
//! A command only writes records. What they mean for this worker is seen to by [`reconcile`], which looks at one connector: what is written down of it, what
//! is ours, what runs; and goes one step from the last to the first. It is called whenever one of them may have changed, so nothing depends on the order of
//! events, and one that is missed is made up for by the next. A worker that is alone goes the same way: its board is in memory, and all work is its own.
//!
//! Others hold a [`HerderHandle`]. The actor itself never waits: where something takes time (tasks that end, records that are written), it goes on beside the
//! actor as a *step* whose continuation the actor runs later. Meanwhile further commands about the same connector queue up in order, and all others are served.
//!
//! Bounds: [`handle::REQUESTS_BOUND`] requests wait for the actor; a connector's queue grows only by clients that wait for their answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::cluster::board::Board;
use crate::cluster::configs::{Change, RawConfig as Written, TargetState, records};
use crate::cluster::membership::{Membership, Solo, Standing};
use crate::cluster::protocol::Protocol;
use crate::cluster::session::{self, SessionKey};
use crate::cluster::{Record, Work};
use crate::connect::{Connector, Props};
use crate::env::Env;
use crate::kafka::{KafkaError, KafkaErrorKind};
use crate::runtime::connector_offsets::{OffsetTopics, SourceStores};
use crate::runtime::instance::Instance as Beside;
use crate::runtime::offset_file::OffsetFile;
use crate::runtime::offsets;
use crate::runtime::peers::Peers;
use crate::runtime::status::{ActiveTopics, ConnectorStatus, Live, State, TaskId, TopicFound};
use crate::runtime::validate::{self, RawConfig, Valid};
use crate::runtime::worker::{self, Worker};
use crate::settings::{ExactlyOnce, Settings};

mod answers;
mod fencing;
pub mod handle;
mod reconcile;

use fencing::Unfenced;
use handle::{About, Command, Reply, Request};
pub use handle::{ConnectorInfo, HerderError, HerderHandle, Put, SetLevel, Target, TaskInfo};

/// How often the leader looks whether the key that signs requests between workers is still good.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// Who shares the work, and where it is written down.
#[derive(Debug)]
pub struct Cluster {
    /// What is written down.
    pub board: Arc<Board>,
    /// What changes in it.
    pub changes: mpsc::UnboundedReceiver<Change>,
    /// What of it is ours.
    pub membership: Box<dyn Membership>,
    /// Where source connectors have read to; by default the worker's own file.
    pub source_offsets: Option<Arc<OffsetTopics>>,
    /// True when there can be nobody else: answers wait until what they promise is so, and some are those of upstream's standalone worker.
    pub is_alone: bool,
}

impl Cluster {
    /// Of one worker, which keeps everything in its memory.
    #[must_use]
    pub fn alone() -> Self {
        let (board, changes) = Board::alone();
        let board = Arc::new(board);
        Self { membership: Box::new(Solo::new(Arc::clone(&board) as Arc<_>)), board, changes, source_offsets: None, is_alone: true }
    }
}

/// The actor.
pub struct Herder {
    settings: Arc<Settings>,
    about: Arc<About>,
    worker: Worker,
    board: Arc<Board>,
    changes: mpsc::UnboundedReceiver<Change>,
    membership: Box<dyn Membership>,
    /// To itself, for tasks that ask before they start.
    requests: mpsc::WeakSender<Request>,
    standing: watch::Receiver<Standing>,
    is_alone: bool,
    /// What this worker is to run.
    mine: Work,
    /// Of the last assignment.
    generation: i32,
    /// Connectors whose instance is here.
    instances: BTreeMap<Arc<str>, Instance>,
    /// Tasks that were started here and not stopped.
    tasks: BTreeMap<TaskId, Task>,
    /// Topics that tasks here have taken records from, by connector.
    topics: BTreeMap<Arc<str>, ActiveTopics>,
    found: (mpsc::UnboundedSender<TopicFound>, mpsc::UnboundedReceiver<TopicFound>),
    ended: (mpsc::UnboundedSender<TaskId>, mpsc::UnboundedReceiver<TaskId>),
    /// Connectors of which something goes on.
    busy: BTreeMap<Arc<str>, Busy>,
    steps: FuturesUnordered<BoxFuture<'static, Step>>,
    /// Answers that wait until their connector runs as it is written down.
    unsettled: Vec<(Arc<str>, Then)>,
    /// Commands that wait until there is agreement on who leads.
    parked: Vec<(Arc<str>, Command)>,
    /// Nothing is started any more.
    closing: bool,
    /// Rung with `closing`, for steps that wait for Kafka.
    ending: CancellationToken,
}

type Then = Box<dyn FnOnce(&mut Herder) + Send>;

/// Something is over: what comes now.
struct Step {
    connector: Arc<str>,
    then: Then,
}

/// What goes on about a connector.
#[derive(Debug, Default)]
struct Busy {
    steps: usize,
    /// What is to be done afterwards.
    queue: VecDeque<Command>,
}

/// A connector's instance: it says what its tasks are.
#[derive(Debug, Default)]
struct Instance {
    /// Why it cannot say.
    failure: Option<String>,
    /// What goes on beside the tasks while the connector runs.
    beside: Beside,
    /// As was written to the status topic last.
    told: Option<(State, i32)>,
    /// What somebody else said of it, and was contradicted.
    contradicted: Option<Said>,
}

/// Somebody's word on a state: the worker, its generation, the state.
type Said = (String, i32, State);

/// One task, running or ended.
#[derive(Debug)]
struct Task {
    /// The configuration from which it was made.
    config: Arc<Written>,
    /// Of the tasks' configurations.
    generation: Option<u32>,
    live: Arc<Live>,
    /// What somebody else said of it, and was contradicted.
    contradicted: Option<Said>,
}

impl fmt::Debug for Herder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Herder").field("mine", &self.mine).field("busy", &self.busy.keys()).finish_non_exhaustive()
    }
}

/// Nobody may be waiting for the answer any more; then it is dropped.
fn answer<T>(reply: Reply<T>, result: Result<T, HerderError>) {
    drop(reply.send(result));
}

fn not_found(name: &str) -> HerderError {
    HerderError::NotFound(format!("Connector {name} not found"))
}

/// Upstream's words where who leads is not agreed on.
fn no_leader() -> HerderError {
    HerderError::Conflict("Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway.".to_owned())
}

impl Herder {
    /// Starts a herder on the current runtime. It ends with [`HerderHandle::shutdown`], or when every handle is gone.
    ///
    /// # Errors
    /// One line that names the worker's property that cannot be used.
    pub fn start(
        settings: Arc<Settings>,
        env: Env,
        worker_id: &str,
        connectors: &'static [&'static dyn Connector],
        cluster: Cluster,
    ) -> Result<HerderHandle, String> {
        let peers = Arc::new(Peers::new(&settings.props, &settings.rest)?);
        let file = || SourceStores::Worker(Arc::new(OffsetFile::new(settings.offset_file.clone(), env.compute.clone())));
        let source_offsets = cluster.source_offsets.clone().map_or_else(file, SourceStores::Topics);
        let about = Arc::new(About {
            worker_id: worker_id.into(),
            connectors,
            settings: Arc::clone(&settings),
            kafka: Arc::clone(&env.kafka),
            source_offsets: source_offsets.clone(),
            clock: env.clock,
            cluster_id: OnceLock::new(),
            ready: watch::Sender::new(false),
            failure: watch::Sender::new(None),
            board: Arc::clone(&cluster.board),
            standing: cluster.membership.standing(),
            is_alone: cluster.is_alone,
            peers,
            levels: OnceLock::new(),
        });
        let (sender, requests) = mpsc::channel(handle::REQUESTS_BOUND);
        let (ended, found) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let Cluster { board, changes, membership, is_alone, .. } = cluster;
        let herder = Self {
            worker: Worker::new(Arc::clone(&settings), env, source_offsets, ended.0.clone()),
            settings,
            about: Arc::clone(&about),
            board,
            changes,
            standing: membership.standing(),
            membership,
            requests: sender.downgrade(),
            is_alone,
            mine: Work::default(),
            generation: 0,
            instances: BTreeMap::new(),
            tasks: BTreeMap::new(),
            topics: BTreeMap::new(),
            found,
            ended,
            busy: BTreeMap::new(),
            steps: FuturesUnordered::new(),
            unsettled: Vec::new(),
            parked: Vec::new(),
            closing: false,
            ending: CancellationToken::new(),
        };
        drop(tokio::spawn(herder.run(requests)));
        Ok(HerderHandle { requests: sender, about })
    }

    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let done = loop {
            tokio::select! {
                Some(step) = self.steps.next() => self.finish(step),
                Some(change) = self.changes.recv() => self.changed(change),
                Some(event) = self.membership.next() => self.take(event),
                Some(id) = self.ended.1.recv() => self.task_ended(&id),
                Some(found) = self.found.1.recv() => self.topic_found(&found),
                Ok(()) = self.standing.changed() => {}
                _ = looks.tick() => {
                    self.rotate_key();
                    self.tell_failures();
                    self.contradict();
                }
                request = requests.recv() => match request {
                    Some(Request::Read(question)) => self.tell(question),
                    Some(Request::Write { connector, command }) => self.command(connector, command),
                    Some(Request::Ping(reply)) => drop(reply.send(())),
                    Some(Request::Shutdown(done)) => break Some(done),
                    None => break None,
                },
            }
            self.settle();
        };
        self.closing = true;
        self.ending.cancel();
        requests.close();
        self.stop_everything().await;
        if let Some(done) = done {
            let _gone: Result<(), ()> = done.send(());
        }
    }

    /// All tasks at once; what waited for something to end is finished too, without starting anything.
    async fn stop_everything(&mut self) {
        self.unsettled.clear();
        self.parked.clear();
        let ids = self.worker.ids();
        let stopped = self.worker.stop(&ids);
        self.busy.values_mut().for_each(|busy| busy.queue.clear());
        let late = tokio::time::Instant::now() + self.settings.task_shutdown_graceful_timeout + worker::LAST_WAIT;
        let finish = async {
            while let Some(step) = self.steps.next().await {
                self.finish(step);
            }
        };
        if tokio::time::timeout_at(late, finish).await.is_err() {
            tracing::warn!(connectors = ?self.busy.keys(), "what was being written down or asked of others is not waited for any longer");
        }
        stopped.await;
        let connectors: Vec<Arc<str>> = self.instances.keys().cloned().collect();
        self.unassigned(&connectors, &ids);
        self.board.flush(self.settings.offset_flush_timeout).await;
        if tokio::time::timeout(self.settings.task_shutdown_graceful_timeout, self.membership.leave()).await.is_err() {
            tracing::warn!("the group could not be told that this worker leaves; it will know after session.timeout.ms");
        }
    }

    fn finish(&mut self, step: Step) {
        (step.then)(self);
        let Some(busy) = self.busy.get_mut(&step.connector) else { return };
        busy.steps -= 1;
        if busy.steps > 0 {
            return;
        }
        let queue = self.busy.remove(&step.connector).unwrap_or_default().queue;
        self.reconcile(&step.connector);
        for command in queue {
            self.command(Arc::clone(&step.connector), command);
        }
    }

    /// Goes on with `then` when `work` is over; until then nothing else is done about the connector.
    fn step<T: Send + 'static>(
        &mut self,
        connector: &Arc<str>,
        work: impl Future<Output = T> + Send + 'static,
        then: impl FnOnce(&mut Self, T) + Send + 'static,
    ) {
        self.busy.entry(Arc::clone(connector)).or_default().steps += 1;
        let connector = Arc::clone(connector);
        self.steps.push(Box::pin(async move {
            let done = work.await;
            Step { connector, then: Box::new(move |herder: &mut Self| then(herder, done)) }
        }));
    }

    /// Stops tasks, and goes on with `then` when they have ended.
    fn stop_then(&mut self, connector: &Arc<str>, tasks: Vec<TaskId>, then: impl FnOnce(&mut Self, &[TaskId]) + Send + 'static) {
        let stopped = self.worker.stop(&tasks);
        self.step(connector, stopped, move |herder, ()| {
            for id in &tasks {
                herder.tasks.remove(id);
            }
            then(herder, &tasks);
        });
    }

    /// Writes records, and goes on when they are read back.
    fn write_then(&mut self, connector: &Arc<str>, records: Vec<Vec<Record>>, then: impl FnOnce(&mut Self, Result<(), KafkaError>) + Send + 'static) {
        let board = Arc::clone(&self.board);
        let write = async move {
            for some in records {
                board.write(&some).await?;
            }
            Ok(())
        };
        self.step(connector, write, |herder, written: Result<(), KafkaError>| {
            herder.see_who_leads(written.as_ref().is_err_and(|error| error.kind == KafkaErrorKind::Fenced));
            then(herder, written);
        });
    }

    /// Writes records for a client, and goes on when they are read back; where nobody else is, when they are carried out.
    fn carry_out<T: Send + 'static>(
        &mut self,
        name: &Arc<str>,
        records: Vec<Vec<Record>>,
        reply: Reply<T>,
        then: impl FnOnce(&mut Self) -> T + Send + 'static,
    ) {
        let connector = Arc::clone(name);
        self.write_then(name, records, move |herder, written| match written {
            Ok(()) if herder.is_alone => herder.unsettled.push((connector, Box::new(move |herder| answer(reply, Ok(then(herder)))))),
            Ok(()) => {
                let done = then(herder);
                answer(reply, Ok(done));
            }
            Err(error) => answer(reply, Err(HerderError::Internal(format!("Failed to write to the config topic: {error}")))),
        });
    }

    /// After everything that happens: news are taken in, and answers given that waited for what is now so.
    fn settle(&mut self) {
        while let Ok(change) = self.changes.try_recv() {
            self.changed(change);
        }
        if !self.standing.borrow_and_update().rebalancing {
            for (name, command) in std::mem::take(&mut self.parked) {
                self.command(name, command);
            }
        }
        if self.is_alone {
            let settled: BTreeSet<Arc<str>> = self.unsettled.iter().map(|(name, _)| Arc::clone(name)).filter(|name| self.is_settled(name)).collect();
            for (_, then) in self.unsettled.extract_if(.., |(name, _)| settled.contains(name)).collect::<Vec<_>>() {
                then(self);
            }
        }
    }

    /// The leader sees to the key by which workers sign their requests to each other.
    fn rotate_key(&mut self) {
        let nobody: Arc<str> = "".into();
        let signs = self.standing.borrow().protocol == Some(Protocol::Sessioned);
        if self.is_alone || !signs || !self.leads() || self.busy.contains_key(&nobody) {
            return;
        }
        let (peers, now) = (Arc::clone(&self.about.peers), self.about.clock.now().timestamp_millis());
        let Some(why) = session::rotation(self.board.snapshot().session_key(), peers.key_kind, peers.key_ttl_ms, now) else { return };
        match SessionKey::generate(peers.key_kind, now) {
            Ok(key) => {
                tracing::debug!(?why, "another key for the requests between workers");
                self.write_then(&nobody, vec![vec![records::session_key(&key)]], |_, written| {
                    if let Err(error) = written {
                        tracing::warn!(%error, "the key for the requests between workers could not be written; that is tried again");
                    }
                });
            }
            Err(why) => tracing::error!(why, "no key for the requests between workers could be made"),
        }
    }

    /// True where this worker writes configurations.
    fn leads(&self) -> bool {
        self.is_alone || self.standing.borrow().leadership.is_some()
    }

    /// What only the leader does; for others, where he is.
    fn led_here(&self) -> Result<(), HerderError> {
        if self.leads() {
            return Ok(());
        }
        let standing = self.standing.borrow();
        if standing.leader_url.is_empty() || standing.member == standing.leader {
            Err(no_leader())
        } else {
            Err(HerderError::Elsewhere(standing.leader_url.clone()))
        }
    }

    fn command(&mut self, name: Arc<str>, command: Command) {
        if let Some(busy) = self.busy.get_mut(&name) {
            busy.queue.push_back(command);
            return;
        }
        if !self.is_alone && self.standing.borrow().rebalancing {
            self.parked.push((name, command));
            return;
        }
        match command {
            Command::Put { config, target, allow_replace, reply } => self.put(&name, config, target, allow_replace, reply),
            Command::Patch { patch, reply } => self.patch(&name, patch, reply),
            Command::Delete(reply) => self.delete(&name, reply),
            Command::SetTarget(target, reply) => self.set_target(&name, target, reply),
            Command::SetTasks(configs, reply) => self.set_tasks(&name, &configs, reply),
            Command::RestartConnector(reply) => self.restart_connector(&name, reply),
            Command::Restart { include_tasks, only_failed, reply } => self.restart(&name, include_tasks, only_failed, reply),
            Command::RestartTask(task, reply) => self.restart_task(&name, task, reply),
            Command::ChangeOffsets(change, reply) => self.change_offsets(&name, change, reply),
            Command::Fence(reply) => self.fence(&name, reply),
        }
    }

    fn put(&mut self, name: &Arc<str>, config: RawConfig, target: Option<Target>, allow_replace: bool, reply: Reply<Put>) {
        if let Err(error) = self.led_here() {
            return answer(reply, Err(error));
        }
        let Valid { raw, .. } = match validate::validate(self.about.connectors, &self.settings, config) {
            Ok(valid) => valid,
            Err(error) => return answer(reply, Err(error)),
        };
        let created = !self.board.snapshot().contains(name);
        if !created && !allow_replace {
            return answer(reply, Err(HerderError::Conflict(format!("Connector {name} already exists"))));
        }
        tracing::info!(connector = %name, "connector {}", if created { "created" } else { "reconfigured" });
        let config: Written = raw.into_iter().map(|(key, value)| (key, Some(value))).collect();
        let records = records::connector(name, &config, target.map(TargetState::from));
        let done = Arc::clone(name);
        self.carry_out(name, vec![records], reply, move |herder| Put { created, info: herder.info_of(&done, &config) });
    }

    fn patch(&mut self, name: &Arc<str>, patch: RawConfig, reply: Reply<Put>) {
        if let Err(error) = self.led_here() {
            return answer(reply, Err(error));
        }
        let Some(config) = self.board.snapshot().config(name).cloned() else { return answer(reply, Err(not_found(name))) };
        let mut config = (*config).clone();
        for (key, value) in patch {
            match value {
                Some(value) => drop(config.insert(key, Some(value))),
                None => drop(config.remove(&key)),
            }
        }
        self.put(name, config, None, true, reply);
    }

    fn delete(&mut self, name: &Arc<str>, reply: Reply<()>) {
        if let Err(error) = self.led_here() {
            return answer(reply, Err(error));
        }
        if !self.board.snapshot().contains(name) {
            return answer(reply, Err(not_found(name)));
        }
        let deleted = Arc::clone(name);
        self.carry_out(name, vec![records::removal(name)], reply, move |_| tracing::info!(connector = %deleted, "connector deleted"));
    }

    fn set_target(&mut self, name: &Arc<str>, target: Target, reply: Reply<()>) {
        if !self.board.snapshot().contains(name) {
            let error = match target {
                Target::Stopped if self.is_alone => HerderError::Internal(format!("No connector `{name}` configured")),
                _ => HerderError::NotFound(format!("Unknown connector {name}")),
            };
            return answer(reply, Err(error));
        }
        // Any member may write the others; that there are no tasks any more, only the leader.
        if let Some(error) = self.led_here().err().filter(|_| target == Target::Stopped) {
            return answer(reply, Err(error));
        }
        let mut records = vec![vec![records::target_state(name, target.into())]];
        if target == Target::Stopped {
            records.insert(0, vec![records::tasks(name, &[]).commit]);
        }
        self.carry_out(name, records, reply, |_| ());
    }

    /// The owner of a connector's instance says what its tasks are.
    fn set_tasks(&mut self, name: &Arc<str>, configs: &[Written], reply: Reply<()>) {
        if let Err(error) = self.led_here() {
            return answer(reply, Err(error));
        }
        let snapshot = self.board.snapshot();
        if !snapshot.contains(name) {
            return answer(reply, Err(not_found(name)));
        }
        // Its owner had not read yet that it is stopped.
        if snapshot.target_state(name) == Some(TargetState::Stopped) && !configs.is_empty() {
            return answer(reply, Err(HerderError::BadRequest(format!("Cannot submit non-empty set of task configs for stopped connector {name}"))));
        }
        if !snapshot.must_publish(name, configs) {
            return answer(reply, Ok(()));
        }
        let records::TaskRecords { tasks, commit } = records::tasks(name, configs);
        self.carry_out(name, vec![tasks, vec![commit]], reply, |_| ());
    }

    fn restart_connector(&mut self, name: &Arc<str>, reply: Reply<()>) {
        if !self.board.snapshot().contains(name) {
            // What upstream's standalone worker answers, word for word: it looks up the configuration before it looks whether there is one.
            let error = match self.is_alone {
                true => HerderError::Internal("Cannot invoke \"java.util.Map.get(Object)\" because \"connProps\" is null".to_owned()),
                false => HerderError::NotFound(format!("Unknown connector: {name}")),
            };
            return answer(reply, Err(error));
        }
        let Some(instance) = self.instances.get_mut(name) else {
            let owner = |standing: &Standing| standing.leadership.as_ref().and_then(|leadership| leadership.url_of_connector(name).map(str::to_owned));
            return answer(reply, Err(self.elsewhere(owner)));
        };
        instance.begin_again();
        self.reconcile(name);
        self.unsettled_or_now(name, move |_| answer(reply, Ok(())));
    }

    fn restart(&mut self, name: &Arc<str>, include_tasks: bool, only_failed: bool, reply: Reply<ConnectorStatus>) {
        if let Err(error) = self.led_here() {
            return answer(reply, Err(error));
        }
        let Some(mut plan) = self.board.snapshot().contains(name).then(|| self.status_of(name)).flatten() else {
            return answer(reply, Err(HerderError::NotFound(format!("Unknown connector: {name}"))));
        };
        let is_restarted = |state: State| !only_failed || state == State::Failed;
        if is_restarted(plan.state) {
            plan.state = State::Restarting;
        }
        for task in &mut plan.tasks {
            if include_tasks && is_restarted(task.state) {
                task.state = State::Restarting;
            }
            task.figures = None; // a Java worker that passes the answer on takes no members that it does not know
        }
        let request = crate::cluster::configs::RestartRequest { connector: Arc::clone(name), include_tasks, only_failed };
        self.carry_out(name, vec![vec![records::restart(&request)]], reply, move |_| plan);
    }

    fn restart_task(&mut self, name: &Arc<str>, task: u32, reply: Reply<()>) {
        let id = TaskId { connector: Arc::clone(name), task };
        let snapshot = self.board.snapshot();
        if !snapshot.contains(name) {
            let error = match self.is_alone {
                true => HerderError::Internal(format!("Failed to start task {id} since it is not a recognizable type (source or sink)")),
                false => HerderError::NotFound(format!("Unknown connector: {name}")),
            };
            return answer(reply, Err(error));
        }
        // As upstream, a group knows the tasks of a stopped connector, and that nobody has them.
        if snapshot.task_config(&id).is_none() || (self.is_alone && task >= snapshot.task_count(name)) {
            let error = if self.is_alone { format!("Task {id} not found") } else { format!("Unknown task: {id}") };
            return answer(reply, Err(HerderError::NotFound(error)));
        }
        if !self.mine.tasks.contains(&id) {
            let owner = |standing: &Standing| standing.leadership.as_ref().and_then(|leadership| leadership.url_of_task(&id).map(str::to_owned));
            return answer(reply, Err(self.elsewhere(owner)));
        }
        self.restart_tasks(name, vec![id]);
        self.unsettled_or_now(name, move |_| answer(reply, Ok(())));
    }

    /// Where somebody else can do it: the owner if this worker knows him, else the leader, who does.
    fn elsewhere(&self, owner: impl FnOnce(&Standing) -> Option<String>) -> HerderError {
        match self.led_here() {
            Err(error) => error,
            Ok(()) => owner(&self.standing.borrow()).map_or_else(no_leader, HerderError::Elsewhere),
        }
    }

    /// Answers once what was asked for is so, where nobody else is; else at once.
    fn unsettled_or_now(&mut self, name: &Arc<str>, then: impl FnOnce(&mut Self) + Send + 'static) {
        if self.is_alone { self.unsettled.push((Arc::clone(name), Box::new(then))) } else { then(self) }
    }

    /// Changes the offsets of a stopped connector. Until that is done, nothing else of the connector is, so no task can begin meanwhile.
    fn change_offsets(&mut self, name: &Arc<str>, change: offsets::Change, reply: Reply<String>) {
        if let Err(error) = self.led_here() {
            return answer(reply, Err(error));
        }
        let snapshot = self.board.snapshot();
        let Some(config) = snapshot.config(name) else { return answer(reply, Err(not_found(name))) };
        if snapshot.target_state(name) != Some(TargetState::Stopped) || snapshot.task_count(name) > 0 {
            return answer(reply, Err(offsets::not_stopped(name)));
        }
        let config = given(config);
        let offsets = match self.about.offsets(name, &config) {
            Ok(offsets) => offsets,
            Err(error) => return answer(reply, Err(error)),
        };
        // As upstream, no task of an exactly-once source may write once its offsets are others.
        let fences = self.settings.exactly_once == ExactlyOnce::Enabled && offsets.are_of_source();
        let (ending, grace, connector) = (self.ending.clone(), self.settings.task_shutdown_graceful_timeout, Arc::clone(name));
        let about = Arc::clone(&self.about);
        let work = async move {
            let too_late = async {
                ending.cancelled().await;
                tokio::time::sleep(grace).await;
            };
            let changed = async {
                if fences {
                    about.fence(&connector, &config).await.map_err(|Unfenced { error, leads_no_more }| {
                        tracing::error!(%connector, %error, "former tasks of the source connector not fenced");
                        let why = "Failed to perform zombie fencing for source connector prior to modifying offsets";
                        Unfenced { error: HerderError::Internal(why.to_owned()), leads_no_more }
                    })?;
                }
                Ok(offsets.change(&change).await?)
            };
            tokio::select! {
                done = changed => done,
                () = too_late => {
                    Err(HerderError::Internal(format!("the worker ended before the offsets of connector {connector} were changed; look at what they are")).into())
                }
            }
        };
        self.step(name, work, move |herder, done: Result<_, Unfenced>| {
            herder.see_who_leads(done.as_ref().is_err_and(|unfenced| unfenced.leads_no_more));
            answer(reply, done.map_err(|unfenced| unfenced.error));
        });
    }
}

/// A configuration without the keys that have no value.
fn given(config: &Written) -> Props {
    config.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect()
}
