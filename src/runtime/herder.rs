//! Decides what runs: an actor that owns every connector's configuration and wanted state. Upstream's `StandaloneHerder`.
//!
//! Others hold a [`HerderHandle`]. The actor itself never waits: where a change needs tasks to end first, the wait goes on beside it as a *step* whose
//! continuation the actor runs later. Meanwhile further changes of the same connector queue up in order, and everybody else is served.
//!
//! Bounds: [`handle::REQUESTS_BOUND`] requests wait for the actor; a connector's queue grows only by clients that wait for their answer.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::connect::{Connector, Props};
use crate::env::Env;
use crate::runtime::offsets::{self, Offsets};
use crate::runtime::status::{ActiveTopics, ConnectorStatus, Live, State, TaskId, TaskStatus};
use crate::runtime::validate::{self, RawConfig, Valid};
use crate::runtime::worker::Worker;
use crate::settings::Settings;

pub mod handle;

use handle::{About, Command, Read, Reply, Request};
pub use handle::{ConnectorInfo, HerderError, HerderHandle, Put, Target, TaskInfo};

/// The actor.
pub struct Herder {
    settings: Arc<Settings>,
    about: Arc<About>,
    worker: Worker,
    connectors: BTreeMap<Arc<str>, Entry>,
    /// Connectors that wait for tasks to end, with what is to be done to them afterwards.
    busy: BTreeMap<Arc<str>, VecDeque<Command>>,
    steps: FuturesUnordered<BoxFuture<'static, Step>>,
    /// Nothing is started any more.
    closing: bool,
    /// Rung with `closing`, for steps that wait for Kafka.
    ending: CancellationToken,
}

/// Tasks have ended: what comes now.
struct Step {
    connector: Arc<str>,
    then: Box<dyn FnOnce(&mut Herder) + Send>,
}

/// One connector.
#[derive(Debug)]
struct Entry {
    class: &'static dyn Connector,
    /// As it was given.
    config: Props,
    target: Target,
    /// Why no tasks could be made.
    failure: Option<String>,
    tasks: Vec<Task>,
    /// Topics that its tasks have taken records from.
    topics: ActiveTopics,
}

/// One task, running or ended.
#[derive(Debug)]
struct Task {
    /// The connector's configuration from which it was made.
    config: Props,
    live: Arc<Live>,
}

impl fmt::Debug for Herder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Herder").field("connectors", &self.connectors.keys()).field("busy", &self.busy.keys()).finish_non_exhaustive()
    }
}

/// Nobody may be waiting for the answer any more; then it is dropped.
fn answer<T>(reply: Reply<T>, result: Result<T, HerderError>) {
    drop(reply.send(result));
}

fn not_found(name: &str) -> HerderError {
    HerderError::NotFound(format!("Connector {name} not found"))
}

impl Herder {
    /// Starts a herder without connectors on the current runtime. It ends with [`HerderHandle::shutdown`], or when every handle is gone.
    #[must_use]
    pub fn start(settings: Arc<Settings>, env: Env, worker_id: &str, connectors: &'static [&'static dyn Connector]) -> HerderHandle {
        let about = Arc::new(About {
            worker_id: worker_id.into(),
            connectors,
            settings: Arc::clone(&settings),
            kafka: Arc::clone(&env.kafka),
            clock: env.clock,
            cluster_id: OnceLock::new(),
            ready: watch::Sender::new(false),
        });
        let (sender, requests) = mpsc::channel(handle::REQUESTS_BOUND);
        let herder = Self {
            worker: Worker::new(Arc::clone(&settings), env),
            settings,
            about: Arc::clone(&about),
            connectors: BTreeMap::new(),
            busy: BTreeMap::new(),
            steps: FuturesUnordered::new(),
            closing: false,
            ending: CancellationToken::new(),
        };
        drop(tokio::spawn(herder.run(requests)));
        HerderHandle { requests: sender, about }
    }

    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let done = loop {
            tokio::select! {
                Some(step) = self.steps.next() => self.finish(step),
                request = requests.recv() => match request {
                    Some(Request::Read(question)) => self.tell(question),
                    Some(Request::Write { connector, command }) => self.change(connector, command),
                    Some(Request::Ping(reply)) => drop(reply.send(())),
                    Some(Request::Shutdown(done)) => break Some(done),
                    None => break None,
                },
            }
        };
        self.closing = true;
        self.ending.cancel();
        requests.close();
        self.stop_everything().await;
        if let Some(done) = done {
            let _gone: Result<(), ()> = done.send(());
        }
    }

    /// All tasks at once; what waited for tasks to end is finished too, without starting anything.
    async fn stop_everything(&mut self) {
        let ids = self.worker.ids();
        let stopped = self.worker.stop(&ids);
        self.busy.values_mut().for_each(VecDeque::clear);
        while let Some(step) = self.steps.next().await {
            self.finish(step);
        }
        stopped.await;
    }

    fn finish(&mut self, step: Step) {
        let queue = self.busy.remove(&step.connector).unwrap_or_default();
        (step.then)(self);
        for command in queue {
            self.change(Arc::clone(&step.connector), command);
        }
    }

    fn change(&mut self, name: Arc<str>, command: Command) {
        if let Some(queue) = self.busy.get_mut(&name) {
            queue.push_back(command);
            return;
        }
        match command {
            Command::Put { config, target, allow_replace, reply } => self.put(&name, config, target, allow_replace, reply),
            Command::Patch { patch, reply } => self.patch(&name, patch, reply),
            Command::Delete(reply) => self.delete(name, reply),
            Command::SetTarget(target, reply) => self.set_target(name, target, reply),
            Command::RestartConnector(reply) => self.restart_connector(name, reply),
            Command::Restart { include_tasks, only_failed, reply } => self.restart(name, include_tasks, only_failed, reply),
            Command::RestartTask(task, reply) => self.restart_task(name, task, reply),
            Command::ChangeOffsets(change, reply) => self.change_offsets(name, change, reply),
        }
    }

    /// Stops tasks, and goes on with `then` when they have ended.
    fn stop_then(&mut self, connector: Arc<str>, tasks: &[TaskId], then: impl FnOnce(&mut Self) + Send + 'static) {
        if tasks.is_empty() {
            return then(self);
        }
        self.busy.entry(Arc::clone(&connector)).or_default();
        let stopped = self.worker.stop(tasks);
        self.steps.push(Box::pin(async move {
            stopped.await;
            Step { connector, then: Box::new(then) }
        }));
    }

    fn put(&mut self, name: &Arc<str>, config: RawConfig, target: Option<Target>, allow_replace: bool, reply: Reply<Put>) {
        let Valid { class, raw } = match validate::validate(self.about.connectors, &self.settings, config) {
            Ok(valid) => valid,
            Err(error) => return answer(reply, Err(error)),
        };
        let created = match self.connectors.get_mut(name) {
            Some(_) if !allow_replace => return answer(reply, Err(HerderError::Conflict(format!("Connector {name} already exists")))),
            Some(entry) => {
                (entry.class, entry.config, entry.failure) = (class, raw, None);
                entry.target = target.unwrap_or(entry.target);
                false
            }
            None => {
                let target = target.unwrap_or(Target::Started);
                let entry = Entry { class, config: raw, target, failure: None, tasks: Vec::new(), topics: ActiveTopics::default() };
                self.connectors.insert(Arc::clone(name), entry);
                true
            }
        };
        tracing::info!(connector = %name, "connector {}", if created { "created" } else { "reconfigured" });
        let done = Arc::clone(name);
        self.update_tasks(name, move |herder| {
            let info = herder.connectors.get(&done).map(|entry| entry.info(&done)).ok_or_else(|| not_found(&done));
            answer(reply, info.map(|info| Put { created, info }));
        });
    }

    fn patch(&mut self, name: &Arc<str>, patch: RawConfig, reply: Reply<Put>) {
        let Some(entry) = self.connectors.get(name) else { return answer(reply, Err(not_found(name))) };
        let mut config: RawConfig = entry.config.iter().map(|(k, v)| (k.clone(), Some(v.clone()))).collect();
        for (key, value) in patch {
            match value {
                Some(value) => drop(config.insert(key, Some(value))),
                None => drop(config.remove(&key)),
            }
        }
        self.put(name, config, None, true, reply);
    }

    fn delete(&mut self, name: Arc<str>, reply: Reply<()>) {
        let Some(entry) = self.connectors.get(&name) else { return answer(reply, Err(not_found(&name))) };
        let tasks = entry.task_ids(&name);
        self.stop_then(Arc::clone(&name), &tasks, move |herder| {
            herder.connectors.remove(&name);
            tracing::info!(connector = %name, "connector deleted");
            answer(reply, Ok(()));
        });
    }

    fn set_target(&mut self, name: Arc<str>, target: Target, reply: Reply<()>) {
        let Some(entry) = self.connectors.get_mut(&name) else {
            let error = match target {
                Target::Started | Target::Paused => HerderError::NotFound(format!("Unknown connector {name}")),
                Target::Stopped => HerderError::Internal(format!("No connector `{name}` configured")),
            };
            return answer(reply, Err(error));
        };
        entry.target = target;
        let tasks = entry.task_ids(&name);
        match target {
            Target::Paused => {
                self.worker.set_paused(&tasks, true);
                answer(reply, Ok(()));
            }
            Target::Started => {
                self.worker.set_paused(&tasks, false);
                answer(reply, Ok(()));
                self.update_tasks(&name, |_| {});
            }
            Target::Stopped => self.stop_then(Arc::clone(&name), &tasks, move |herder| {
                if let Some(entry) = herder.connectors.get_mut(&name) {
                    entry.tasks.clear();
                    entry.failure = None;
                }
                answer(reply, Ok(()));
            }),
        }
    }

    fn restart_connector(&mut self, name: Arc<str>, reply: Reply<()>) {
        let Some(entry) = self.connectors.get_mut(&name) else {
            // What upstream's standalone worker answers, word for word: it looks up the configuration before it looks whether there is one.
            return answer(reply, Err(HerderError::Internal("Cannot invoke \"java.util.Map.get(Object)\" because \"connProps\" is null".to_owned())));
        };
        entry.failure = None;
        self.update_tasks(&name, move |_| answer(reply, Ok(())));
    }

    fn restart(&mut self, name: Arc<str>, include_tasks: bool, only_failed: bool, reply: Reply<ConnectorStatus>) {
        let Some(entry) = self.connectors.get_mut(&name) else {
            return answer(reply, Err(HerderError::NotFound(format!("Unknown connector: {name}"))));
        };
        let is_restarted = |state: State| !only_failed || state == State::Failed;
        let mut plan = entry.status(&name, &self.about.worker_id);
        if is_restarted(plan.state) {
            plan.state = State::Restarting;
            plan.trace = None;
            entry.failure = None;
        }
        let mut tasks = Vec::new();
        for task in plan.tasks.iter_mut().filter(|task| include_tasks && is_restarted(task.state)) {
            task.state = State::Restarting;
            task.trace = None;
            tasks.push(TaskId { connector: Arc::clone(&name), task: task.task });
        }
        for id in &tasks {
            entry.task(id.task).inspect(|task| task.live.set_state(State::Restarting));
        }
        self.stop_then(Arc::clone(&name), &tasks.clone(), move |herder| {
            herder.start_again(&name, &tasks);
            herder.update_tasks(&name, move |_| answer(reply, Ok(plan)));
        });
    }

    fn restart_task(&mut self, name: Arc<str>, task: u32, reply: Reply<()>) {
        let id = TaskId { connector: Arc::clone(&name), task };
        let Some(entry) = self.connectors.get(&name) else {
            let message = format!("Failed to start task {id} since it is not a recognizable type (source or sink)");
            return answer(reply, Err(HerderError::Internal(message)));
        };
        let Some(task) = entry.task(task) else {
            return answer(reply, Err(HerderError::NotFound(format!("Task {id} not found"))));
        };
        task.live.set_state(State::Restarting);
        self.stop_then(Arc::clone(&name), std::slice::from_ref(&id.clone()), move |herder| {
            let result =
                if herder.start_again(&name, std::slice::from_ref(&id)) { Ok(()) } else { Err(HerderError::Internal(format!("Failed to start task: {id}"))) };
            answer(reply, result);
        });
    }

    /// Changes the offsets of a stopped connector. Until that is done, nothing else of the connector is, so no task can begin meanwhile.
    fn change_offsets(&mut self, name: Arc<str>, change: offsets::Change, reply: Reply<String>) {
        let Some(entry) = self.connectors.get(&name) else { return answer(reply, Err(not_found(&name))) };
        if entry.target != Target::Stopped || !entry.tasks.is_empty() {
            return answer(reply, Err(offsets::not_stopped(&name)));
        }
        let offsets = match Offsets::new(self.about.kafka.as_ref(), &self.settings, &name, &entry.config) {
            Ok(offsets) => offsets,
            Err(error) => return answer(reply, Err(error)),
        };
        self.busy.entry(Arc::clone(&name)).or_default();
        let (ending, grace) = (self.ending.clone(), self.settings.task_shutdown_graceful_timeout);
        self.steps.push(Box::pin(async move {
            let too_late = async {
                ending.cancelled().await;
                tokio::time::sleep(grace).await;
            };
            let done = tokio::select! {
                done = offsets.change(&change) => done,
                () = too_late => Err(HerderError::Internal(format!("the worker ended before the offsets of connector {name} were changed; look at what they are"))),
            };
            Step { connector: name, then: Box::new(|_| answer(reply, done)) }
        }));
    }

    /// Makes the tasks that the configuration asks for, where they are not there already. As upstream, tasks are left alone while the connector is
    /// paused or stopped, and when the configuration is the one that they were made from.
    fn update_tasks(&mut self, name: &Arc<str>, then: impl FnOnce(&mut Self) + Send + 'static) {
        let Some(entry) = self.connectors.get(name) else { return then(self) };
        let is_current = !entry.tasks.is_empty() && entry.tasks.iter().all(|task| task.config == entry.config);
        if entry.target != Target::Started || is_current {
            return then(self);
        }
        let old = entry.task_ids(name);
        let connector = Arc::clone(name);
        self.stop_then(Arc::clone(name), &old, move |herder| {
            herder.start_tasks(&connector);
            then(herder);
        });
    }

    /// Replaces all tasks of a connector; none of them runs.
    fn start_tasks(&mut self, name: &Arc<str>) {
        let Some(entry) = self.connectors.get_mut(name) else { return };
        entry.tasks.clear();
        if self.closing {
            return;
        }
        match self.settings.providers.resolve(&entry.config) {
            Ok(props) => {
                let tasks_max = props.get("tasks.max").and_then(|text| text.trim().parse().ok()).unwrap_or(1);
                for task in 0..tasks_max {
                    let id = TaskId { connector: Arc::clone(name), task };
                    let live = self.worker.start(id, entry.class, props.clone(), entry.topics.clone(), entry.target == Target::Paused);
                    entry.tasks.push(Task { config: entry.config.clone(), live });
                }
            }
            Err(errors) => entry.fail(name, &errors),
        }
    }

    /// Starts tasks that have ended once more, under the configuration that they had. True when all were started.
    fn start_again(&mut self, name: &Arc<str>, ids: &[TaskId]) -> bool {
        let Some(entry) = self.connectors.get_mut(name) else { return false };
        let paused = entry.target == Target::Paused;
        for id in ids {
            let Some(config) = entry.task(id.task).map(|task| task.config.clone()) else { return false };
            let props = match self.settings.providers.resolve(&config) {
                Ok(props) if !self.closing => props,
                Ok(_) => return false,
                Err(errors) => {
                    entry.fail(name, &errors);
                    return false;
                }
            };
            let live = self.worker.start(id.clone(), entry.class, props, entry.topics.clone(), paused);
            if let Some(task) = entry.tasks.get_mut(index(id.task)) {
                task.live = live;
            }
        }
        true
    }

    fn tell(&self, question: Read) {
        let find = |name: &str| self.connectors.get(name).ok_or_else(|| not_found(name));
        let no_status = |what: String| HerderError::NotFound(format!("No status found for {what}"));
        match question {
            Read::Names(reply) => answer(reply, Ok(self.connectors.keys().cloned().collect())),
            Read::Info(name, reply) => answer(reply, find(&name).map(|entry| entry.info(&name))),
            Read::Tasks(name, reply) => answer(reply, find(&name).map(Entry::task_infos)),
            Read::Live(name, reply) => answer(reply, find(&name).map(|entry| entry.tasks.iter().map(|task| Arc::clone(&task.live)).collect())),
            // As upstream, a connector that there is not has no topics.
            Read::Topics(name, reply) => answer(reply, Ok(self.connectors.get(&name).map(|entry| entry.topics.list()).unwrap_or_default())),
            Read::ResetTopics(name, reply) => {
                self.connectors.get(&name).inspect(|entry| entry.topics.reset());
                answer(reply, Ok(()));
            }
            Read::Status(name, reply) => {
                let status = find(&name).map(|entry| entry.status(&name, &self.about.worker_id));
                answer(reply, status.map_err(|_| no_status(format!("connector {name}"))));
            }
            Read::TaskStatus(name, task, reply) => {
                let status = find(&name).ok().and_then(|entry| Some(task_status(task, entry.task(task)?, &self.about.worker_id)));
                answer(reply, status.ok_or_else(|| no_status(format!("task {name}-{task}"))));
            }
        }
    }
}

impl Entry {
    fn task(&self, task: u32) -> Option<&Task> {
        self.tasks.get(index(task))
    }

    /// Numbers and tasks.
    fn numbered(&self) -> impl Iterator<Item = (u32, &Task)> {
        (0..).zip(&self.tasks)
    }

    fn task_ids(&self, name: &Arc<str>) -> Vec<TaskId> {
        self.numbered().map(|(task, _)| TaskId { connector: Arc::clone(name), task }).collect()
    }

    fn fail(&mut self, name: &str, errors: &[crate::connect::config::ConfigError]) {
        let trace = errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("\n");
        tracing::error!(connector = name, "connector failed: {trace}");
        self.failure = Some(trace);
    }

    fn info(&self, name: &Arc<str>) -> ConnectorInfo {
        let tasks = self.numbered().map(|(task, _)| task).collect();
        ConnectorInfo { name: Arc::clone(name), config: self.config.clone(), tasks, kind: self.class.kind().as_str() }
    }

    /// As upstream, a task's configuration is the connector's and the name of the task's class.
    fn task_infos(&self) -> Vec<TaskInfo> {
        let class = self.class.class();
        let class = format!("{}Task", class.strip_suffix("Connector").unwrap_or(class));
        let with_class = |config: &Props| {
            let mut config = config.clone();
            config.insert("task.class".to_owned(), class.clone());
            config
        };
        self.numbered().map(|(task, of)| TaskInfo { task, config: with_class(&of.config) }).collect()
    }

    fn status(&self, name: &Arc<str>, worker_id: &Arc<str>) -> ConnectorStatus {
        let state = match self.target {
            _ if self.failure.is_some() => State::Failed,
            Target::Started => State::Running,
            Target::Paused => State::Paused,
            Target::Stopped => State::Stopped,
        };
        ConnectorStatus {
            name: Arc::clone(name),
            state,
            trace: self.failure.clone(),
            worker_id: Arc::clone(worker_id),
            kind: self.class.kind().as_str(),
            tasks: self.numbered().map(|(task, of)| task_status(task, of, worker_id)).collect(),
        }
    }
}

fn task_status(task: u32, of: &Task, worker_id: &Arc<str>) -> TaskStatus {
    TaskStatus { task, state: of.live.state(), trace: of.live.trace(), worker_id: Arc::clone(worker_id), figures: of.live.figures() }
}

fn index(task: u32) -> usize {
    usize::try_from(task).unwrap_or(usize::MAX)
}
