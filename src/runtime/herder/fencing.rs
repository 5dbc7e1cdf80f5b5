//! Fencing: before tasks of an exactly-once source start, no task of an older configuration may write any more (KIP-618, upstream's `ZombieFencing`).
//!
//! The config topic says how many tasks may have had producers: the number that was written down after the last fencing. The leader takes over the
//! `transactional.id` of each, so that brokers refuse whoever had it, and writes down how many there will be. Nothing else is done about the connector meanwhile.
//! One task that follows one task needs no help: it takes over the same id by itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::handle::{About, Command, Read, Reply, Request};
use super::{Herder, HerderError, answer, given, no_leader, not_found};
use crate::cluster::configs::{Snapshot, records};
use crate::cluster::membership::Configs as _;
use crate::connect::{ErrorKind, Kind, Props, TaskError};
use crate::kafka::{Kafka, KafkaError, KafkaErrorKind};
use crate::runtime::classes;
use crate::runtime::source_task::exact::Guard;
use crate::runtime::status::TaskId;
use crate::settings::{ExactlyOnce, clients};

/// How long taking over one id may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Ids that are taken over at once.
const AT_ONCE: usize = 8;
/// How long the leader is asked to fence, and how often.
const ASK_FOR: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How long the config topic may take to be read to its end.
const SYNC: Duration = Duration::from_secs(30);

/// What is to be done before the tasks of a connector may start.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// Nothing.
    Done,
    /// This many former tasks are fenced; then it is written down how many there are now.
    Fence { former: u32, now: u32 },
}

impl Plan {
    /// As upstream: nobody is fenced where there were no exactly-once tasks before, or where one task follows one.
    fn of(snapshot: &Snapshot, connector: &str) -> Self {
        if !snapshot.pending_fencing(connector) {
            return Self::Done;
        }
        let now = snapshot.task_count(connector);
        match snapshot.task_count_record(connector) {
            None => Self::Fence { former: 0, now },
            Some(1) if now == 1 => Self::Fence { former: 0, now },
            Some(former) => Self::Fence { former, now },
        }
    }
}

/// Why former tasks are not fenced.
#[derive(Debug)]
pub(super) struct Unfenced {
    pub(super) error: HerderError,
    /// Another worker has written the config topic as leader.
    pub(super) leads_no_more: bool,
}

impl From<HerderError> for Unfenced {
    fn from(error: HerderError) -> Self {
        Self { error, leads_no_more: false }
    }
}

impl About {
    /// Fences what is to be fenced of a connector. The caller leads, and sees to it that nothing else is done about the connector.
    pub(super) async fn fence(&self, connector: &str, config: &Props) -> Result<(), Unfenced> {
        let behind = |error: KafkaError| HerderError::Internal(format!("Failed to read to end of config topic before performing zombie fencing: {error}"));
        self.board.catch_up(SYNC).await.map_err(behind)?;
        let before = self.board.snapshot();
        let Plan::Fence { former, now } = Plan::of(&before, connector) else { return Ok(()) };
        if former > 0 {
            let config = self.settings.providers.resolve(config).map_err(|errors| {
                let lines: Vec<String> = errors.into_iter().map(|error| error.message).collect();
                HerderError::Internal(lines.join("\n"))
            })?;
            let failed = |error: KafkaError| HerderError::Internal(format!("Failed to perform zombie fencing: {error}"));
            take_over(self.kafka.as_ref(), &self.settings.props, connector, &config, former).await.map_err(failed)?;
            tracing::info!(connector, former, now, "former tasks are fenced");
            self.board.catch_up(SYNC).await.map_err(behind)?;
            if self.board.snapshot().task_generation(connector) != before.task_generation(connector) {
                let why = "Fencing failed because new task configurations were generated for the connector";
                return Err(HerderError::Conflict(why.to_owned()).into());
            }
        }
        let written = self.board.write(&[records::task_count(connector, now)]).await;
        written.map_err(|error| Unfenced {
            leads_no_more: error.kind == KafkaErrorKind::Fenced,
            error: HerderError::Internal(format!("Failed to write to config topic; the request can be safely retried: {error}")),
        })
    }
}

/// Takes over the ids of so many tasks, with the connector's rights for administration.
async fn take_over(kafka: &dyn Kafka, worker: &Props, connector: &str, config: &Props, tasks: u32) -> Result<(), KafkaError> {
    let props = clients::fencing_props(worker, connector, config);
    let one = async |task: u32| {
        let mut producer = kafka.transactional_producer(&props, &clients::transactional_id(worker, connector, task))?;
        let taken = producer.init_transactions(PATIENCE).await;
        producer.close().await;
        taken
    };
    // All are waited for, also where one fails: what is still on its way could take an id from a task that starts meanwhile.
    let taken: Vec<_> = futures::stream::iter(0..tasks).map(one).buffer_unordered(AT_ONCE).collect().await;
    taken.into_iter().collect()
}

impl Herder {
    /// What a worker that is about to start tasks asks of the leader.
    pub(super) fn fence(&mut self, name: &Arc<str>, reply: Reply<()>) {
        if let Err(error) = self.led_here() {
            return answer(reply, Err(error));
        }
        let snapshot = self.board.snapshot();
        let Some(config) = snapshot.config(name).map(|config| given(config)) else { return answer(reply, Err(not_found(name))) };
        let class = classes::find(self.about.connectors, config.get("connector.class").map_or("", |class| class.trim()));
        if class.is_ok_and(|class| class.kind() != Kind::Source) {
            return answer(reply, Err(HerderError::BadRequest(format!("Connector {name} is not a source connector"))));
        }
        let (about, connector, ending) = (Arc::clone(&self.about), Arc::clone(name), self.ending.clone());
        let work = async move {
            tokio::select! {
                done = about.fence(&connector, &config) => done,
                () = ending.cancelled() => Err(no_leader().into()),
            }
        };
        self.step(name, work, |herder, done| {
            herder.see_who_leads(done.as_ref().is_err_and(|unfenced| unfenced.leads_no_more));
            answer(reply, done.map_err(|unfenced| unfenced.error));
        });
    }

    /// Where this worker may not lead any more without knowing it, it joins its group again.
    pub(super) fn see_who_leads(&self, is_doubtful: bool) {
        if is_doubtful && self.settings.exactly_once != ExactlyOnce::Disabled {
            self.membership.rejoin("a write to the config topic failed");
        }
    }

    /// Looks after a task that is about to start with the configuration of that generation.
    pub(super) fn guard(&self, id: &TaskId, generation: Option<u32>) -> Arc<dyn Guard> {
        Arc::new(Watch { id: id.clone(), generation, about: Arc::clone(&self.about), herder: self.requests.clone() })
    }

    /// True when a task is still configured as it was in that generation, and this worker's.
    pub(super) fn owns(&self, id: &TaskId, generation: Option<u32>) -> Result<(), HerderError> {
        if self.board.snapshot().task_generation(&id.connector) != generation {
            let why = format!("Cannot start source task {id} with exactly-once support as the connector has already generated a new set of task configs");
            return Err(HerderError::Conflict(why));
        }
        if !self.mine.tasks.contains(id) || self.closing {
            return Err(HerderError::Conflict(format!("Cannot start source task {id} as it has already been revoked from this worker")));
        }
        Ok(())
    }
}

/// Asks the herder of this worker, and the leader.
#[derive(Debug)]
struct Watch {
    id: TaskId,
    generation: Option<u32>,
    about: Arc<About>,
    herder: mpsc::WeakSender<Request>,
}

impl Watch {
    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, HerderError> {
        let over = || HerderError::Internal("the worker is shutting down".to_owned());
        let (reply, answer) = oneshot::channel();
        let herder = self.herder.upgrade().ok_or_else(over)?;
        herder.send(request(reply)).await.map_err(|_| over())?;
        drop(herder);
        answer.await.map_err(|_| over())?
    }
}

impl Watch {
    /// Has the leader fence; an error comes with whether it may pass.
    async fn fence_once(&self) -> Result<(), (String, bool)> {
        let connector = &self.id.connector;
        match self.ask(|reply| Request::Write { connector: Arc::clone(connector), command: Command::Fence(reply) }).await {
            Ok(()) => Ok(()),
            Err(HerderError::Elsewhere(leader)) => {
                let key = self.about.board.snapshot().session_key().cloned();
                self.about.peers.fence(&leader, connector, key.as_ref()).await.map_err(|why| (why, true))
            }
            Err(error @ (HerderError::Conflict(_) | HerderError::Internal(_))) => Err((error.to_string(), true)),
            Err(error) => Err((error.to_string(), false)),
        }
    }
}

#[async_trait]
impl Guard for Watch {
    /// Where the group has no leader yet, or the leader has no key yet by which requests are signed, that is soon over: it is asked again for a while.
    async fn fence(&self) -> Result<(), TaskError> {
        let deadline = Instant::now() + ASK_FOR;
        loop {
            let Err((why, passes)) = self.fence_once().await else { return Ok(()) };
            if !passes || Instant::now() > deadline {
                return Err(TaskError::new(ErrorKind::BadRecord, format!("Failed to perform round of zombie fencing: {why}; restart the task")));
            }
            tracing::warn!(task = %self.id, why, "former tasks are not fenced yet; that is tried again");
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    async fn verify(&self) -> Result<(), TaskError> {
        let failed = |why: String| TaskError::new(ErrorKind::BadRecord, why);
        loop {
            match self.about.board.catch_up(SYNC).await {
                Ok(()) => break,
                Err(error) if error.kind == KafkaErrorKind::Transient => tracing::warn!(task = %self.id, %error, "waiting for the config topic"),
                Err(error) => return Err(failed(error.message)),
            }
        }
        let owned = self.ask(|reply| Request::Read(Read::Owns(self.id.clone(), self.generation, reply))).await;
        owned.map_err(|error| failed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::configs::{RawConfig, Replay};

    #[test]
    fn who_is_fenced_before_tasks_start() {
        let mut replay = Replay::new();
        let mut offset = 0;
        let mut write = |records: Vec<crate::cluster::Record>| {
            for record in records {
                replay.apply(offset, Some(&record.key), record.value.as_deref());
                offset += 1;
            }
            Plan::of(&replay.snapshot(), "c")
        };
        let tasks = |count: usize| {
            let records::TaskRecords { mut tasks, commit } = records::tasks("c", &vec![RawConfig::new(); count]);
            tasks.push(commit);
            tasks
        };
        assert_eq!(write(records::connector("c", &RawConfig::new(), None)), Plan::Done, "there are no tasks yet");
        for (tasks, expected) in [
            (tasks(1), Plan::Fence { former: 0, now: 1 }),
            (vec![records::task_count("c", 1)], Plan::Done),
            (tasks(1), Plan::Fence { former: 0, now: 1 }),
            (tasks(3), Plan::Fence { former: 1, now: 3 }),
            (vec![records::task_count("c", 3)], Plan::Done),
            (tasks(0), Plan::Fence { former: 3, now: 0 }),
            (vec![records::task_count("c", 0)], Plan::Done),
            (tasks(2), Plan::Fence { former: 0, now: 2 }),
        ] {
            assert_eq!(write(tasks), expected);
        }
    }
}
