//! What others are told: answers to questions, and states for the status topic.

use std::sync::Arc;

use super::handle::Read;
use super::{ConnectorInfo, Herder, Said, Target, Task, TaskInfo, Written, answer, given, not_found};
use crate::cluster::configs::TargetState;
use crate::cluster::statuses::{self, Put, Status};
use crate::runtime::HerderError;
use crate::runtime::classes;
use crate::runtime::status::{ConnectorStatus, State, TaskId, TaskStatus, TopicFound};

impl From<Target> for TargetState {
    fn from(target: Target) -> Self {
        match target {
            Target::Started => Self::Started,
            Target::Paused => Self::Paused,
            Target::Stopped => Self::Stopped,
        }
    }
}

impl Herder {
    pub(super) fn tell(&self, question: Read) {
        let snapshot = self.board.snapshot();
        let config = |name: &str| snapshot.config(name).ok_or_else(|| not_found(name));
        let no_status = |what: String| HerderError::NotFound(format!("No status found for {what}"));
        match question {
            Read::Names(reply) => answer(reply, Ok(snapshot.connectors().cloned().collect())),
            Read::Info(name, reply) => answer(reply, config(&name).map(|config| self.info_of(&name, config))),
            Read::Tasks(name, reply) => answer(reply, config(&name).map(|_| self.task_infos(&name))),
            Read::Live(name, reply) => answer(reply, config(&name).map(|_| self.tasks_of(&name).map(|(_, task)| Arc::clone(&task.live)).collect())),
            // As upstream, a connector that there is not has no topics.
            Read::Topics(name, reply) => {
                let mut topics = self.topics_of(&name).list();
                topics.extend(self.board.statuses().topics(&name).map(|topic| Arc::from(topic.topic.as_str())));
                topics.sort();
                topics.dedup();
                answer(reply, Ok(topics));
            }
            Read::ResetTopics(name, reply) => {
                let records = self.board.statuses().topics(&name).map(|topic| statuses::topic_removal(&name, &topic.topic)).collect::<Vec<_>>();
                self.board.tell_records(records);
                self.topics_of(&name).reset();
                answer(reply, Ok(()));
            }
            Read::Owns(id, generation, reply) => answer(reply, self.owns(&id, generation)),
            Read::Status(name, reply) => answer(reply, self.status_of(&name).ok_or_else(|| no_status(format!("connector {name}")))),
            Read::TaskStatus(name, task, reply) => {
                let id = TaskId { connector: Arc::clone(&name), task };
                answer(reply, self.task_status(&id).ok_or_else(|| no_status(format!("task {id}"))));
            }
        }
    }

    pub(super) fn info_of(&self, name: &Arc<str>, config: &Written) -> ConnectorInfo {
        let tasks = self.board.snapshot().tasks(name).map(|id| id.task).collect();
        ConnectorInfo { name: Arc::clone(name), config: given(config), tasks, kind: self.kind_of(config) }
    }

    /// `unknown`, as upstream, for what is no connector here.
    fn kind_of(&self, config: &Written) -> &'static str {
        let class = config.get("connector.class").and_then(Option::as_deref).unwrap_or_default();
        classes::find(self.about.connectors, class.trim()).map_or("unknown", |class| class.kind().as_str())
    }

    fn task_infos(&self, name: &str) -> Vec<TaskInfo> {
        let snapshot = self.board.snapshot();
        let info = |id: TaskId| Some(TaskInfo { task: id.task, config: given(snapshot.task_config(&id)?) });
        snapshot.tasks(name).filter_map(info).collect()
    }

    /// States of a connector and its tasks: what is here as it is, the rest as others have written it down.
    pub(super) fn status_of(&self, name: &Arc<str>) -> Option<ConnectorStatus> {
        let snapshot = self.board.snapshot();
        let config = snapshot.config(name);
        let (state, trace, worker_id) = match self.instances.get(name) {
            Some(instance) => {
                let target = snapshot.target_state(name).unwrap_or(TargetState::Started);
                (instance.state(target), instance.failure(), Arc::clone(&self.about.worker_id))
            }
            None if self.is_alone => return None,
            None => {
                let known = self.board.statuses();
                let status = known.connector(name)?;
                (status.state, status.trace.clone(), status.worker_id.as_str().into())
            }
        };
        let count = snapshot.task_count(name);
        let tasks = (0..count).filter_map(|task| self.task_status(&TaskId { connector: Arc::clone(name), task })).collect();
        Some(ConnectorStatus { name: Arc::clone(name), state, trace, worker_id, kind: config.map_or("unknown", |config| self.kind_of(config)), tasks })
    }

    fn task_status(&self, id: &TaskId) -> Option<TaskStatus> {
        if let Some(task) = self.tasks.get(id) {
            let (live, worker_id) = (&task.live, Arc::clone(&self.about.worker_id));
            return Some(TaskStatus { task: id.task, state: live.state(), trace: live.trace(), worker_id, figures: Some(live.figures()) });
        }
        let known = self.board.statuses();
        let status = known.task(id)?;
        Some(TaskStatus { task: id.task, state: status.state, trace: status.trace.clone(), worker_id: status.worker_id.as_str().into(), figures: None })
    }

    fn written(&self, state: State, trace: Option<String>) -> Status {
        Status { state, trace, worker_id: self.about.worker_id.to_string(), generation: self.generation, version: Some(env!("CARGO_PKG_VERSION").to_owned()) }
    }

    /// Writes down the state of a task that is here.
    pub(super) fn tell_task(&self, id: &TaskId) {
        let Some(Task { live, .. }) = self.tasks.get(id) else { return };
        let (state, trace) = (live.state(), live.failure());
        self.write_task(id, state, trace);
    }

    fn write_task(&self, id: &TaskId, state: State, trace: Option<String>) {
        let write = self.board.statuses().put_task(id, &self.written(state, trace), rule(state));
        write.into_iter().for_each(|write| self.board.tell(write));
    }

    pub(super) fn write_connector(&self, name: &str, state: State, trace: Option<String>) {
        let write = self.board.statuses().put_connector(name, &self.written(state, trace), rule(state));
        write.into_iter().for_each(|write| self.board.tell(write));
    }

    /// Writes down the state of an instance that is here, where it is not what was written last.
    pub(super) fn tell_instance(&mut self, name: &Arc<str>, target: TargetState) {
        let generation = self.generation;
        let Some(instance) = self.instances.get_mut(name) else { return };
        let now = (instance.state(target), generation);
        if instance.told.replace(now) != Some(now) {
            let trace = instance.failure();
            self.write_connector(name, now.0, trace);
        }
    }

    /// Writes down what is here again where somebody else's word came later: a worker that was stopped for a while may say late what it had run before.
    pub(super) fn contradict(&mut self) {
        if self.is_alone || self.standing.borrow().rebalancing {
            return;
        }
        let (me, generation) = (Arc::clone(&self.about.worker_id), self.generation);
        let is_news = |known: Option<&Status>, contradicted: &mut Option<Said>| {
            let Some(known) = known.filter(|known| *known.worker_id != *me && known.generation <= generation) else { return false };
            let said = Some((known.worker_id.clone(), known.generation, known.state));
            std::mem::replace(contradicted, said.clone()) != said
        };
        let (mut tasks, mut instances) = (Vec::new(), Vec::new());
        {
            let known = self.board.statuses();
            for (id, task) in &mut self.tasks {
                tasks.extend(is_news(known.task(id), &mut task.contradicted).then(|| id.clone()));
            }
            for (name, instance) in &mut self.instances {
                instances.extend(is_news(known.connector(name), &mut instance.contradicted).then(|| Arc::clone(name)));
            }
        }
        tasks.iter().for_each(|id| self.tell_task(id));
        let snapshot = self.board.snapshot();
        for name in instances {
            self.instances.entry(Arc::clone(&name)).or_default().told = None;
            self.tell_instance(&name, snapshot.target_state(&name).unwrap_or(TargetState::Started));
        }
    }

    /// Instances and tasks are not here any more. What does not exist any more has no state.
    pub(super) fn unassigned(&self, instances: &[Arc<str>], tasks: &[TaskId]) {
        let snapshot = self.board.snapshot();
        for name in instances.iter().filter(|name| snapshot.contains(name)) {
            self.write_connector(name, State::Unassigned, None);
        }
        for id in tasks.iter().filter(|id| id.task < snapshot.task_count(&id.connector)) {
            self.write_task(id, State::Unassigned, None);
        }
    }

    /// A task ended by itself: it failed.
    pub(super) fn task_ended(&mut self, id: &TaskId) {
        if self.tasks.get(id).is_some_and(|task| task.live.state() == State::Failed) {
            self.tell_task(id);
        }
    }

    /// A task has taken records from a topic for the first time.
    pub(super) fn topic_found(&mut self, found: &TopicFound) {
        let TopicFound { id, topic } = found;
        if !self.settings.tracks_topics || self.board.statuses().uses_topic(&id.connector, topic) {
            return;
        }
        let discovered_ms = self.about.clock.now().timestamp_millis();
        let status = statuses::TopicStatus { topic: topic.to_string(), connector: id.connector.to_string(), task: id.task, discovered_ms };
        self.board.tell_records(vec![statuses::topic(&status)]);
    }
}

/// What ends here may have begun elsewhere already: that must not be written over.
fn rule(state: State) -> Put {
    if matches!(state, State::Failed | State::Unassigned) { Put::Safe } else { Put::Always }
}

impl super::Instance {
    /// Whatever was wrong before, it is tried again.
    pub(super) fn begin_again(&mut self) {
        self.failure = None;
        self.beside = super::Beside::default();
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.failure.clone().or_else(|| self.beside.failure())
    }

    fn state(&self, target: TargetState) -> State {
        match target {
            _ if self.failure().is_some() => State::Failed,
            TargetState::Started => State::Running,
            TargetState::Paused => State::Paused,
            TargetState::Stopped => State::Stopped,
        }
    }
}
