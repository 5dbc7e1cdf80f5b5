//! How others reach the herder: requests with a place for the answer, and a handle that is cheap to clone.

use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::cluster::board::Board;
use crate::cluster::configs::{RawConfig as Written, records};
use crate::cluster::membership::Standing;
use crate::cluster::protocol::Protocol;
use crate::cluster::session::{self, Refusal, Signature};
use crate::connect::{Connector, Props};
use crate::kafka::Kafka;
use crate::runtime::classes;
use crate::runtime::connector_offsets::SourceStores;
use crate::runtime::definitions::{self, ConfigInfos, Definition, PluginKind};
use crate::runtime::offsets::{Change, ConnectorOffset, Offsets};
use crate::runtime::peers::Peers;
use crate::runtime::status::{ConnectorStatus, Live, TaskId, TaskStatus};
use crate::runtime::validate::RawConfig;
use crate::settings::Settings;

/// Requests that may wait for the herder.
pub const REQUESTS_BOUND: usize = 64;

/// A request could not be done. The texts are upstream's, so clients may look at them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HerderError {
    /// No such connector or task (404).
    #[error("{0}")]
    NotFound(String),
    /// The connector exists already (409).
    #[error("{0}")]
    Conflict(String),
    /// Another worker does that: the one whose REST API is at this URL.
    #[error("the worker at {0} does that")]
    Elsewhere(String),
    /// The configuration or request is wrong (400).
    #[error("{0}")]
    BadRequest(String),
    /// Anything else (500).
    #[error("{0}")]
    Internal(String),
}

/// What is wanted of a connector: upstream's `TargetState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Tasks run.
    Started,
    /// Tasks keep their place in the group and take no records.
    Paused,
    /// There are no tasks.
    Stopped,
}

impl std::str::FromStr for Target {
    type Err = String;

    /// `RUNNING`, `PAUSED` or `STOPPED`, in any case: the `initial_state` of a new connector (KIP-980).
    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_uppercase().as_str() {
            "RUNNING" => Ok(Self::Started),
            "PAUSED" => Ok(Self::Paused),
            "STOPPED" => Ok(Self::Stopped),
            _ => Err(format!("initial_state \"{text}\" is not one of RUNNING, PAUSED, STOPPED")),
        }
    }
}

/// A connector, as `GET /connectors/{name}` shows it.
#[derive(Debug, Clone)]
pub struct ConnectorInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its configuration as it was given.
    pub config: Props,
    /// Numbers of its tasks.
    pub tasks: Vec<u32>,
    /// `source` or `sink`; `unknown` where the class is.
    pub kind: &'static str,
}

/// A task and its configuration, as `GET /connectors/{name}/tasks` shows it.
#[derive(Debug, Clone)]
pub struct TaskInfo {
    /// The task's number.
    pub task: u32,
    /// Its configuration as it was given, references unresolved.
    pub config: Props,
}

/// What was done by a create or replace.
#[derive(Debug, Clone)]
pub struct Put {
    /// True when the connector is new.
    pub created: bool,
    /// The connector afterwards.
    pub info: ConnectorInfo,
}

/// Where an answer goes. Nobody may be waiting any more.
pub(super) type Reply<T> = oneshot::Sender<Result<T, HerderError>>;

/// What the herder receives.
#[derive(Debug)]
pub(super) enum Request {
    Read(Read),
    Write { connector: Arc<str>, command: Command },
    Ping(oneshot::Sender<()>),
    Shutdown(oneshot::Sender<()>),
}

/// Questions, and what is as quick as one: answered at once.
#[derive(Debug)]
pub(super) enum Read {
    Names(Reply<Vec<Arc<str>>>),
    Info(Arc<str>, Reply<ConnectorInfo>),
    Tasks(Arc<str>, Reply<Vec<TaskInfo>>),
    Status(Arc<str>, Reply<ConnectorStatus>),
    TaskStatus(Arc<str>, u32, Reply<TaskStatus>),
    Live(Arc<str>, Reply<Vec<Arc<Live>>>),
    Topics(Arc<str>, Reply<Vec<Arc<str>>>),
    ResetTopics(Arc<str>, Reply<()>),
    Owns(TaskId, Option<u32>, Reply<()>),
}

/// Changes of one connector: one after the other, in the order in which they came.
#[derive(Debug)]
pub(super) enum Command {
    Put { config: RawConfig, target: Option<Target>, allow_replace: bool, reply: Reply<Put> },
    Patch { patch: RawConfig, reply: Reply<Put> },
    Delete(Reply<()>),
    SetTarget(Target, Reply<()>),
    SetTasks(Vec<Written>, Reply<()>),
    RestartConnector(Reply<()>),
    Restart { include_tasks: bool, only_failed: bool, reply: Reply<ConnectorStatus> },
    RestartTask(u32, Reply<()>),
    ChangeOffsets(Change, Reply<String>),
    Fence(Reply<()>),
}

/// What everybody may know without asking the herder.
#[derive(Debug)]
pub(super) struct About {
    pub(super) worker_id: Arc<str>,
    pub(super) connectors: &'static [&'static dyn Connector],
    pub(super) settings: Arc<Settings>,
    pub(super) kafka: Arc<dyn Kafka>,
    /// Where source connectors have read to.
    pub(super) source_offsets: SourceStores,
    pub(super) clock: Clock,
    pub(super) cluster_id: OnceLock<String>,
    pub(super) ready: watch::Sender<bool>,
    /// Why this worker can be no member of its group.
    pub(super) failure: watch::Sender<Option<String>>,
    pub(super) board: Arc<Board>,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) is_alone: bool,
    pub(super) peers: Arc<Peers>,
    pub(super) levels: OnceLock<SetLevel>,
}

/// Sets the level of a logger and those below it.
pub struct SetLevel(pub Box<dyn Fn(&str, &str) + Send + Sync>);

impl std::fmt::Debug for SetLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SetLevel")
    }
}

impl About {
    /// The offsets of a connector with that configuration.
    pub(super) fn offsets(&self, name: &Arc<str>, config: &Props) -> Result<Offsets, HerderError> {
        let class = config.get("connector.class").map_or("", |class| class.trim());
        let class = classes::find(self.connectors, class).map_err(HerderError::Internal)?;
        Offsets::new(&self.kafka, &self.settings, &self.source_offsets, name, class, config)
    }

    /// A level for all workers came from the config topic.
    pub(super) fn set_level(&self, namespace: &str, level: &str) {
        if let Some(set) = self.levels.get() {
            (set.0)(namespace, level);
        }
    }
}

/// The herder, as REST and the commands see it; cheap to clone. Every method is cancel-safe in that a request that was sent is carried out, whether or not
/// somebody waits for its answer.
#[derive(Debug, Clone)]
pub struct HerderHandle {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) about: Arc<About>,
}

impl HerderHandle {
    /// `host:port` of this worker.
    #[must_use]
    pub fn worker_id(&self) -> &Arc<str> {
        &self.about.worker_id
    }

    /// The worker's settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.about.settings
    }

    /// The worker's clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.about.clock
    }

    /// The connectors that can be created.
    #[must_use]
    pub fn plugins(&self) -> &'static [&'static dyn Connector] {
        self.about.connectors
    }

    /// Every plugin, connectors or not: class and kind, in the order of the REST API.
    #[must_use]
    pub fn all_plugins(&self) -> Vec<(String, PluginKind)> {
        definitions::plugins(self.about.connectors)
    }

    /// A configuration with everything that is to say about its keys, problems included. Nothing is started and nobody outside is asked.
    ///
    /// # Errors
    /// [`HerderError::BadRequest`] when it does not say which connector it is for, or refers to values that cannot be read.
    pub fn describe(&self, config: RawConfig) -> Result<ConfigInfos, HerderError> {
        definitions::describe(self.about.connectors, &self.about.settings, config)
    }

    /// The keys of a plugin; for a connector, the framework's too.
    ///
    /// # Errors
    /// [`HerderError::NotFound`].
    pub fn definitions(&self, plugin: &str) -> Result<Vec<Definition>, HerderError> {
        definitions::of_plugin(self.about.connectors, plugin)
    }

    /// Id of the Kafka cluster; `None` until a broker told it.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&str> {
        self.about.cluster_id.get().map(String::as_str)
    }

    /// A broker told the id of the Kafka cluster; only the first call counts.
    pub fn set_cluster_id(&self, id: String) {
        drop(self.about.cluster_id.set(id));
    }

    /// The connectors of the command line have been created: from now on the worker is healthy.
    pub fn set_ready(&self) {
        self.about.ready.send_replace(true);
    }

    /// True after [`set_ready`](Self::set_ready).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.about.ready.borrow()
    }

    /// Waits until the worker is ready and the herder answers.
    pub async fn healthy(&self) {
        let mut ready = self.about.ready.subscribe();
        let (reply, answer) = oneshot::channel();
        let lively = ready.wait_for(|ready| *ready).await.is_ok() && self.requests.send(Request::Ping(reply)).await.is_ok() && answer.await.is_ok();
        if !lively {
            // The herder has ended: it will never be healthy again.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until this worker is a member of its group and was told what it is to run.
    pub async fn joined(&self) {
        // An error means that the herder has ended.
        drop(self.about.standing.clone().wait_for(|standing| standing.protocol.is_some()).await);
    }

    /// True when there can be no other worker.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.about.is_alone
    }

    /// How levels that come from other workers are set; only the first call counts.
    pub fn on_level(&self, set: SetLevel) {
        drop(self.about.levels.set(set));
    }

    /// Writes down a logger's level for all workers.
    ///
    /// # Errors
    /// [`HerderError::Internal`] when Kafka does not take it.
    pub async fn set_level(&self, namespace: &str, level: &str) -> Result<(), HerderError> {
        let written = self.about.board.write(&[records::logger_level(namespace, level)]).await;
        written.map_err(|error| HerderError::Internal(format!("Failed to write to the config topic: {error}")))
    }

    /// The requests that workers send each other.
    #[must_use]
    pub fn peers(&self) -> &Peers {
        &self.about.peers
    }

    /// The key by which requests between workers are signed, where the group has agreed on signing.
    ///
    /// # Errors
    /// [`Refusal`] for a request that is not signed as it must be.
    pub fn verify(&self, signature: Result<Option<Signature>, Refusal>, body: &[u8]) -> Result<(), Refusal> {
        if self.about.standing.borrow().protocol != Some(Protocol::Sessioned) {
            return Ok(());
        }
        let snapshot = self.about.board.snapshot();
        session::verify(signature?.as_ref(), &self.about.peers.verification_algorithms, snapshot.session_key(), body)
    }

    /// Says what the tasks of a connector are: what the owner of its instance asks of the leader.
    ///
    /// # Errors
    /// [`HerderError::NotFound`]; [`HerderError::Elsewhere`] when this worker does not lead.
    pub async fn set_tasks(&self, name: &str, configs: Vec<Written>) -> Result<(), HerderError> {
        self.write(name, |reply| Command::SetTasks(configs, reply)).await
    }

    /// Sees to it that no former task of an exactly-once source writes any more: what a worker that is about to start tasks asks of the leader.
    ///
    /// # Errors
    /// [`HerderError::NotFound`]; [`HerderError::BadRequest`] for a sink; [`HerderError::Elsewhere`] when this worker does not lead; [`HerderError::Conflict`] when
    /// the connector got other tasks meanwhile.
    pub async fn fence(&self, name: &str) -> Result<(), HerderError> {
        self.write(name, Command::Fence).await
    }

    /// Waits until this worker can be no member of its group any more, and says why.
    pub async fn failed(&self) -> String {
        let mut failure = self.about.failure.subscribe();
        match failure.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone()) {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    /// Names of all connectors, sorted.
    ///
    /// # Errors
    /// [`HerderError::Internal`] while the worker shuts down; so for every method below.
    pub async fn names(&self) -> Result<Vec<Arc<str>>, HerderError> {
        self.read(Read::Names).await
    }

    /// A connector with its configuration.
    ///
    /// # Errors
    /// [`HerderError::NotFound`].
    pub async fn info(&self, name: &str) -> Result<ConnectorInfo, HerderError> {
        self.read(|reply| Read::Info(name.into(), reply)).await
    }

    /// A connector's tasks with their configurations.
    ///
    /// # Errors
    /// [`HerderError::NotFound`].
    pub async fn tasks(&self, name: &str) -> Result<Vec<TaskInfo>, HerderError> {
        self.read(|reply| Read::Tasks(name.into(), reply)).await
    }

    /// States and figures of a connector and its tasks.
    ///
    /// # Errors
    /// [`HerderError::NotFound`].
    pub async fn status(&self, name: &str) -> Result<ConnectorStatus, HerderError> {
        self.read(|reply| Read::Status(name.into(), reply)).await
    }

    /// State and figures of a task.
    ///
    /// # Errors
    /// [`HerderError::NotFound`].
    pub async fn task_status(&self, name: &str, task: u32) -> Result<TaskStatus, HerderError> {
        self.read(|reply| Read::TaskStatus(name.into(), task, reply)).await
    }

    /// What the tasks of a connector show while they run, by task number.
    ///
    /// # Errors
    /// [`HerderError::NotFound`].
    pub async fn live(&self, name: &str) -> Result<Vec<Arc<Live>>, HerderError> {
        self.read(|reply| Read::Live(name.into(), reply)).await
    }

    /// Creates a connector, in the state `target` (started when `None`).
    ///
    /// # Errors
    /// [`HerderError::BadRequest`] with every problem of the configuration, [`HerderError::Conflict`] when the name is taken.
    pub async fn create(&self, name: &str, config: RawConfig, target: Option<Target>) -> Result<Put, HerderError> {
        self.write(name, |reply| Command::Put { config, target, allow_replace: false, reply }).await
    }

    /// Creates a connector or replaces its configuration.
    ///
    /// # Errors
    /// [`HerderError::BadRequest`] with every problem of the configuration.
    pub async fn put(&self, name: &str, config: RawConfig) -> Result<Put, HerderError> {
        self.write(name, |reply| Command::Put { config, target: None, allow_replace: true, reply }).await
    }

    /// Changes some keys of a connector's configuration; a null removes the key.
    ///
    /// # Errors
    /// [`HerderError::NotFound`], or [`HerderError::BadRequest`] with every problem of the configuration.
    pub async fn patch(&self, name: &str, patch: RawConfig) -> Result<Put, HerderError> {
        self.write(name, |reply| Command::Patch { patch, reply }).await
    }

    /// Removes a connector, its tasks stopped first. Its committed offsets stay in Kafka.
    ///
    /// # Errors
    /// [`HerderError::NotFound`].
    pub async fn delete(&self, name: &str) -> Result<(), HerderError> {
        self.write(name, Command::Delete).await
    }

    /// Starts, pauses or stops a connector.
    ///
    /// # Errors
    /// [`HerderError::NotFound`] ([`HerderError::Internal`] for a stop, as upstream's standalone worker).
    pub async fn set_target(&self, name: &str, target: Target) -> Result<(), HerderError> {
        self.write(name, |reply| Command::SetTarget(target, reply)).await
    }

    /// Restarts the connector, but none of its tasks.
    ///
    /// # Errors
    /// [`HerderError::Internal`] when there is no such connector, as upstream's standalone worker.
    pub async fn restart_connector(&self, name: &str) -> Result<(), HerderError> {
        self.write(name, Command::RestartConnector).await
    }

    /// Restarts the connector and, if wanted, its tasks: all, or those that failed. Returns what was restarted, shown as RESTARTING.
    ///
    /// # Errors
    /// [`HerderError::NotFound`].
    pub async fn restart(&self, name: &str, include_tasks: bool, only_failed: bool) -> Result<ConnectorStatus, HerderError> {
        self.write(name, |reply| Command::Restart { include_tasks, only_failed, reply }).await
    }

    /// Restarts a task.
    ///
    /// # Errors
    /// [`HerderError::NotFound`] for the task, [`HerderError::Internal`] for the connector, as upstream's standalone worker.
    pub async fn restart_task(&self, name: &str, task: u32) -> Result<(), HerderError> {
        self.write(name, |reply| Command::RestartTask(task, reply)).await
    }

    /// Topics that a connector has taken records from since it was made, or since they were forgotten; none for a connector that there is not.
    ///
    /// # Errors
    /// Only while the worker shuts down.
    pub async fn topics(&self, name: &str) -> Result<Vec<Arc<str>>, HerderError> {
        self.read(|reply| Read::Topics(name.into(), reply)).await
    }

    /// Forgets the topics of a connector, if there is one.
    ///
    /// # Errors
    /// Only while the worker shuts down.
    pub async fn reset_topics(&self, name: &str) -> Result<(), HerderError> {
        self.read(|reply| Read::ResetTopics(name.into(), reply)).await
    }

    /// Where a connector goes on, whatever state it is in.
    ///
    /// # Errors
    /// [`HerderError::NotFound`]; [`HerderError::Internal`] when Kafka or the store of source offsets does not tell.
    pub async fn offsets(&self, name: &str) -> Result<Vec<ConnectorOffset>, HerderError> {
        let info = self.info(name).await?;
        self.about.offsets(&info.name, &info.config)?.read().await
    }

    /// Changes where a stopped connector goes on. Returns what to tell who asked for it.
    ///
    /// # Errors
    /// [`HerderError::NotFound`]; [`HerderError::BadRequest`] when the connector is not stopped or the change is none; [`HerderError::Internal`] when Kafka does
    /// not take it.
    pub async fn change_offsets(&self, name: &str, change: Change) -> Result<String, HerderError> {
        self.write(name, |reply| Command::ChangeOffsets(change, reply)).await
    }

    /// Stops every task and ends the herder. Returns when all is over.
    pub async fn shutdown(&self) {
        let (reply, done) = oneshot::channel();
        if self.requests.send(Request::Shutdown(reply)).await.is_ok() {
            // An error means that the herder has ended, which is what was asked for.
            drop(done.await);
        }
    }

    async fn read<T>(&self, question: impl FnOnce(Reply<T>) -> Read) -> Result<T, HerderError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Read(question(reply)), answer).await
    }

    async fn write<T>(&self, connector: &str, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, HerderError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Write { connector: connector.into(), command: command(reply) }, answer).await
    }

    async fn ask<T>(&self, request: Request, answer: oneshot::Receiver<Result<T, HerderError>>) -> Result<T, HerderError> {
        let over = || HerderError::Internal("the worker is shutting down".to_owned());
        self.requests.send(request).await.map_err(|_| over())?;
        answer.await.map_err(|_| over())?
    }
}
