//! From what runs to what is written down, one step at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Beside, Herder, Instance, Task, Written, given};
use crate::cluster::configs::{Change, RestartRequest, Snapshot, TargetState, records};
use crate::cluster::membership::{Acknowledge, Event};
use crate::cluster::{Work, statuses};
use crate::connect::config::ConfigError;
use crate::connect::{Connector, Props};
use crate::runtime::classes;
use crate::runtime::status::{ActiveTopics, Live, State, TaskId};
use crate::settings::ExactlyOnce;

/// The key of a task's configuration that names its class.
const TASK_CLASS: &str = "task.class";

/// How long until what its tasks are is said again by a connector whose leader did not take it.
const SAY_AGAIN: Duration = Duration::from_secs(1);

impl Herder {
    /// Something else is written down.
    pub(super) fn changed(&mut self, change: Change) {
        match change {
            Change::ConnectorAdded(connector) => {
                self.membership.rejoin("there is a connector more");
                self.reconcile(&connector);
            }
            Change::ConnectorRemoved(connector) => {
                self.membership.rejoin("there is a connector less");
                self.reconcile(&connector);
            }
            Change::ConnectorUpdated(connector) => {
                self.instances.get_mut(&connector).into_iter().for_each(Instance::begin_again);
                self.reconcile(&connector);
            }
            Change::TasksCommitted { connector, .. } => {
                self.membership.rejoin("a connector has other tasks");
                self.reconcile(&connector);
            }
            Change::TargetState(connector) => {
                self.instances.get_mut(&connector).into_iter().for_each(Instance::begin_again);
                self.reconcile(&connector);
            }
            Change::Resumed(connector) => {
                let tasks: Vec<TaskId> = self.tasks_of(&connector).map(|(id, _)| id.clone()).collect();
                self.worker.resume_held_back(&tasks);
            }
            Change::Restart(request) => self.carry_out_restart(&request),
            Change::LoggerLevel { namespace, level } => self.about.set_level(&namespace, &level),
            Change::SessionKey(_) | Change::Ignored(_) => {}
        }
    }

    /// Something else is ours.
    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Revoked { work, lost, done } => self.give_up(&work, lost, done),
            Event::Assigned { work, generation, done } => {
                self.generation = generation;
                let mut touched: Vec<Arc<str>> = work.tasks.iter().map(|id| Arc::clone(&id.connector)).chain(work.connectors.iter().cloned()).collect();
                touched.sort();
                touched.dedup();
                self.mine = work;
                self.forget_statuses();
                touched.iter().for_each(|connector| self.reconcile(connector));
                drop(done);
            }
            Event::Failed(error) => {
                tracing::error!(%error, "this worker cannot be a member of its group");
                self.about.failure.send_replace(Some(error.to_string()));
            }
        }
    }

    fn give_up(&mut self, work: &Work, lost: bool, done: Acknowledge) {
        if !self.is_alone {
            tracing::info!(connectors = ?work.connectors, tasks = work.tasks.len(), lost, "work is given up");
        }
        self.mine.remove(work);
        let done = Arc::new(done);
        let mut by_connector: BTreeMap<Arc<str>, (bool, Vec<TaskId>)> = BTreeMap::new();
        for connector in &work.connectors {
            by_connector.entry(Arc::clone(connector)).or_default().0 = self.instances.remove(connector).is_some();
        }
        for id in work.tasks.iter().filter(|id| self.tasks.contains_key(id)) {
            by_connector.entry(Arc::clone(&id.connector)).or_default().1.push(id.clone());
        }
        for (connector, (had_instance, tasks)) in by_connector {
            let (name, done) = (Arc::clone(&connector), Arc::clone(&done));
            self.stop_then(&connector, tasks, move |herder, tasks| {
                let instance = had_instance.then(|| Arc::clone(&name));
                herder.unassigned(instance.as_slice(), tasks);
                if !herder.board.snapshot().contains(&name) {
                    herder.topics.remove(&name);
                }
                drop(done);
            });
        }
    }

    /// Takes one connector a step nearer to what is written down, unless a step is being taken.
    pub(super) fn reconcile(&mut self, name: &Arc<str>) {
        if self.closing || self.busy.contains_key(name) {
            return;
        }
        let snapshot = self.board.snapshot();
        let target = snapshot.target_state(name).unwrap_or(TargetState::Started);
        if self.mine.connectors.contains(name) && snapshot.contains(name) {
            self.reconcile_instance(name, &snapshot, target);
        }
        if self.busy.contains_key(name) {
            return;
        }
        let wanted = self.wanted_tasks(name, &snapshot, target);
        let generation = snapshot.task_generation(name);
        // Exactly-once tasks of an older generation are fenced, whatever their configuration is.
        let is_outlived = |task: &Task| self.settings.exactly_once == ExactlyOnce::Enabled && task.generation != generation;
        let is_wanted = |id: &TaskId, task: &Task| wanted.get(id).is_some_and(|config| *config == task.config) && !is_outlived(task);
        let outdated: Vec<TaskId> = self.tasks_of(name).filter(|(id, task)| !is_wanted(id, task)).map(|(id, _)| id.clone()).collect();
        if !outdated.is_empty() {
            // Those that stay begin again at once: nobody else may think that they are free.
            return self.stop_then(name, outdated, |_, _| {});
        }
        let is_paused = target == TargetState::Paused;
        let missing: Vec<_> = wanted.into_iter().filter(|(id, _)| !self.tasks.contains_key(id)).collect();
        self.set_paused(name, is_paused);
        for (id, config) in missing {
            self.start_task(id, config, generation, is_paused);
        }
    }

    /// The tasks of a connector that are to run here.
    fn wanted_tasks(&self, name: &Arc<str>, snapshot: &Snapshot, target: TargetState) -> BTreeMap<TaskId, Arc<Written>> {
        if target == TargetState::Stopped || !snapshot.contains(name) {
            return BTreeMap::new();
        }
        let ours = snapshot.tasks(name).filter(|id| self.mine.tasks.contains(id));
        ours.filter_map(|id| Some((id.clone(), Arc::clone(snapshot.task_config(&id)?)))).collect()
    }

    pub(super) fn tasks_of(&self, name: &Arc<str>) -> impl Iterator<Item = (&TaskId, &Task)> {
        self.tasks.range(TaskId { connector: Arc::clone(name), task: 0 }..=TaskId { connector: Arc::clone(name), task: u32::MAX })
    }

    /// The instance says what its tasks are, unless that is written down already. As upstream, it does not while the connector is paused or stopped.
    fn reconcile_instance(&mut self, name: &Arc<str>, snapshot: &Snapshot, target: TargetState) {
        let Some(config) = snapshot.config(name) else { return };
        let instance = self.instances.entry(Arc::clone(name)).or_default();
        if target != TargetState::Started {
            instance.beside = Beside::default();
        } else if instance.failure().is_none() && !(instance.beside.is_started() && snapshot.is_applied(name)) {
            let made = self.made_of(config).map(|(class, props)| {
                let tasks = class.task_configs(&given(config), tasks_max(&props));
                (class, props, tasks.into_iter().map(|config| written(class, config)).collect::<Vec<_>>())
            });
            match made {
                Ok((class, props, tasks)) => {
                    let instance = self.instances.entry(Arc::clone(name)).or_default();
                    if !instance.beside.is_started() {
                        instance.beside = Beside::start(name, class, &props);
                    }
                    if snapshot.must_publish(name, &tasks) {
                        self.publish(name, tasks);
                    }
                }
                Err(trace) => self.fail(name, trace),
            }
        }
        self.tell_instance(name, target);
    }

    /// Writes down what has failed since, by itself.
    pub(super) fn tell_failures(&mut self) {
        let snapshot = self.board.snapshot();
        let failed: Vec<Arc<str>> = self.instances.iter().filter(|(_, instance)| instance.failure().is_some()).map(|(name, _)| Arc::clone(name)).collect();
        for name in failed {
            self.tell_instance(&name, snapshot.target_state(&name).unwrap_or(TargetState::Started));
        }
    }

    fn fail(&mut self, name: &Arc<str>, trace: String) {
        tracing::error!(connector = %name, "connector failed: {trace}");
        self.instances.entry(Arc::clone(name)).or_default().failure = Some(trace);
    }

    /// The class that a configuration names, and the configuration with its references resolved.
    fn made_of(&self, config: &Written) -> Result<(&'static dyn Connector, Props), String> {
        let props = self.resolved(config)?;
        let class = classes::find(self.about.connectors, props.get("connector.class").map_or("", |class| class.trim()))?;
        Ok((class, props))
    }

    fn resolved(&self, config: &Written) -> Result<Props, String> {
        let lines = |errors: Vec<ConfigError>| errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("\n");
        self.settings.providers.resolve(&given(config)).map_err(lines)
    }

    /// Writes down what a connector's tasks are, or has the leader do so.
    fn publish(&mut self, name: &Arc<str>, configs: Vec<Written>) {
        if self.leads() {
            let records::TaskRecords { tasks, commit } = records::tasks(name, &configs);
            let connector = Arc::clone(name);
            return self.write_then(name, vec![tasks, vec![commit]], move |herder, written| {
                if let Err(error) = written {
                    tracing::warn!(%connector, %error, "the connector's tasks could not be written down; that is tried again");
                    herder.reconcile_later(&connector);
                }
            });
        }
        // Nobody leads while work is being shared out. The assignment that ends this has the connector looked at again.
        if self.standing.borrow().rebalancing {
            return;
        }
        let (leader, key) = (self.standing.borrow().leader_url.clone(), self.board.snapshot().session_key().cloned());
        let (peers, mut standing) = (Arc::clone(&self.about.peers), self.standing.clone());
        let (connector, asked) = (Arc::clone(name), Arc::clone(name));
        let ask = async move {
            let over = async { drop(standing.wait_for(|standing| standing.rebalancing).await) };
            tokio::select! {
                done = peers.set_tasks(&leader, &asked, &configs, key.as_ref()) => done,
                // Somebody else may lead then: this worker even, and it would wait for itself.
                () = over => Ok(()),
            }
        };
        self.step(name, ask, move |herder, done| {
            if let Err(error) = done {
                tracing::warn!(%connector, error, "the leader did not take what the connector's tasks are; it is asked again");
                herder.reconcile_later(&connector);
            }
        });
    }

    /// Looks at a connector again after a while. Meanwhile nothing else is done about it.
    fn reconcile_later(&mut self, name: &Arc<str>) {
        let ending = self.ending.clone();
        let wait = async move {
            tokio::select! {
                () = ending.cancelled() => {}
                () = tokio::time::sleep(SAY_AGAIN) => {}
            }
        };
        self.step(name, wait, |_, ()| {});
    }

    fn start_task(&mut self, id: TaskId, config: Arc<Written>, generation: Option<u32>, is_paused: bool) {
        let mut plain = (*config).clone();
        plain.remove(TASK_CLASS);
        let topics = self.topics.entry(Arc::clone(&id.connector)).or_default().of_task(&id, &self.found.0);
        let made = self.made_of(&plain);
        let live = match made {
            Ok((class, props)) => self.worker.start(id.clone(), class, props, topics, is_paused, self.guard(&id, generation)),
            Err(trace) => {
                tracing::error!(connector = %id.connector, task = id.task, "task failed: {trace}");
                let live = Arc::new(Live::of(topics));
                live.fail(trace);
                live
            }
        };
        self.tasks.insert(id.clone(), Task { config, generation, live, contradicted: None });
        self.tell_task(&id);
    }

    fn set_paused(&mut self, name: &Arc<str>, is_paused: bool) {
        let (from, to) = if is_paused { (State::Running, State::Paused) } else { (State::Paused, State::Running) };
        let others: Vec<TaskId> = self.tasks_of(name).filter(|(_, task)| task.live.state() == from).map(|(id, _)| id.clone()).collect();
        if !others.is_empty() {
            tracing::debug!(connector = %name, "tasks are {}", to.as_str());
            self.worker.set_paused(&others, is_paused);
            others.iter().for_each(|id| self.tell_task(id));
        }
    }

    /// What of it is here, restarts.
    fn carry_out_restart(&mut self, request: &RestartRequest) {
        let RestartRequest { connector, include_tasks, only_failed } = request;
        if !self.board.snapshot().contains(connector) {
            return;
        }
        if let Some(instance) = self.instances.get_mut(connector)
            && (!only_failed || instance.failure().is_some())
        {
            instance.begin_again();
            instance.told = None;
            self.write_connector(connector, State::Restarting, None);
        }
        let is_restarted = |task: &Task| !only_failed || task.live.state() == State::Failed;
        let tasks = self.tasks_of(connector).filter(|(_, task)| *include_tasks && is_restarted(task)).map(|(id, _)| id.clone()).collect();
        self.restart_tasks(connector, tasks);
    }

    /// Stops tasks; as they are wanted, they begin again.
    pub(super) fn restart_tasks(&mut self, connector: &Arc<str>, tasks: Vec<TaskId>) {
        if tasks.is_empty() {
            return self.reconcile(connector);
        }
        for id in &tasks {
            if let Some(task) = self.tasks.get(id) {
                task.live.set_state(State::Restarting);
                self.tell_task(id);
            }
        }
        self.stop_then(connector, tasks, |_, _| {});
    }

    /// True when a connector runs here as it is written down, as far as that can be.
    pub(super) fn is_settled(&self, name: &Arc<str>) -> bool {
        if self.busy.contains_key(name) {
            return false;
        }
        let snapshot = self.board.snapshot();
        if self.mine.connectors.contains(name) != snapshot.contains(name) || self.instances.contains_key(name) != snapshot.contains(name) {
            return false;
        }
        let ours = self.mine.tasks.iter().filter(|id| id.connector == *name);
        if !ours.eq(snapshot.tasks(name).collect::<Vec<_>>().iter()) {
            return false;
        }
        let wanted = self.wanted_tasks(name, &snapshot, snapshot.target_state(name).unwrap_or(TargetState::Started));
        wanted.iter().eq(self.tasks_of(name).map(|(id, task)| (id, &task.config)))
    }

    /// The leader deletes the states of what is not there any more.
    fn forget_statuses(&self) {
        if !self.leads() {
            return;
        }
        let snapshot = self.board.snapshot();
        let mut records = Vec::new();
        {
            let known = self.board.statuses();
            for connector in known.connectors() {
                let tasks = known.tasks(connector).map(|(task, _)| task);
                if !snapshot.contains(connector) {
                    let tasks: Vec<TaskId> = tasks.map(|task| TaskId { connector: Arc::clone(connector), task }).collect();
                    records.extend(statuses::removal(connector, &tasks));
                    records.extend(known.topics(connector).map(|topic| statuses::topic_removal(connector, &topic.topic)));
                } else {
                    let count = snapshot.task_count(connector);
                    records.extend(tasks.filter(|task| *task >= count).map(|task| statuses::task_removal(&TaskId { connector: Arc::clone(connector), task })));
                }
            }
        }
        if !records.is_empty() {
            self.board.tell_records(records);
        }
    }

    /// Topics of a connector, as tasks here have found them.
    pub(super) fn topics_of(&self, name: &str) -> ActiveTopics {
        self.topics.get(name).cloned().unwrap_or_default()
    }
}

/// How many tasks a configuration allows.
fn tasks_max(props: &Props) -> u32 {
    props.get("tasks.max").and_then(|text| text.trim().parse().ok()).unwrap_or(1)
}

/// As upstream, a task's configuration has the name of its class.
fn written(class: &'static dyn Connector, config: Props) -> Written {
    let name = class.class();
    let task_class = format!("{}Task", name.strip_suffix("Connector").unwrap_or(name));
    config.into_iter().chain([(TASK_CLASS.to_owned(), task_class)]).map(|(key, value)| (key, Some(value))).collect()
}
