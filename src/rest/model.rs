//! Bodies of answers: upstream's `rest.entities`, member names and order included.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::connect::{Props, TaskReport};
use crate::runtime::herder;
use crate::runtime::status;

/// The version that connectors and tasks show.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `GET /`: `ServerInfo`.
#[derive(Debug, Serialize)]
pub struct ServerInfo<'a> {
    /// Version of the Connect API that this worker stands for; clients parse it.
    pub version: &'static str,
    /// This program and its version, where upstream has its commit.
    pub commit: &'static str,
    /// Id of the Kafka cluster; null until a broker told it.
    pub kafka_cluster_id: Option<&'a str>,
}

/// `GET /health`: `WorkerStatus`.
#[derive(Debug, Serialize)]
pub struct WorkerStatus {
    /// `healthy`, `starting` or `unhealthy`.
    pub status: &'static str,
    /// In words.
    pub message: &'static str,
}

/// `ConnectorInfo`.
#[derive(Debug, Serialize)]
pub struct ConnectorInfo {
    name: String,
    config: Props,
    tasks: Vec<TaskId>,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// `ConnectorTaskId`.
#[derive(Debug, Serialize)]
pub struct TaskId {
    connector: String,
    task: u32,
}

/// `ActiveTopicsInfo`, below the connector's name.
#[derive(Debug, Serialize)]
pub struct ConnectorTopics {
    /// The topics, sorted.
    pub topics: Vec<String>,
}

/// `Message`.
#[derive(Debug, Serialize)]
pub struct Message {
    /// What was done.
    pub message: String,
}

/// `TaskInfo`.
#[derive(Debug, Serialize)]
pub struct TaskInfo {
    id: TaskId,
    config: Props,
}

/// `ConnectorStateInfo`.
#[derive(Debug, Serialize)]
pub struct ConnectorStatus {
    name: String,
    connector: ConnectorState,
    tasks: Vec<TaskStatus>,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// `ConnectorStateInfo.ConnectorState`.
#[derive(Debug, Serialize)]
pub struct ConnectorState {
    state: &'static str,
    worker_id: String,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

/// `ConnectorStateInfo.TaskState`, and our figures.
#[derive(Debug, Serialize)]
pub struct TaskStatus {
    id: u32,
    state: &'static str,
    worker_id: String,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    /// Known to the task's own worker only.
    #[serde(skip_serializing_if = "Option::is_none")]
    lakehead: Option<Figures>,
}

/// What upstream has no place for in the status: promises and figures of one run of a task.
#[derive(Debug, Serialize)]
pub struct Figures {
    #[serde(flatten)]
    report: TaskReport,
    consumed: u64,
    consumed_bytes: u64,
    rejected: u64,
    /// Records past the committed offsets; null while not known.
    committed_lag: Option<u64>,
    /// Next offset after a restart, by `topic-partition`.
    committed: BTreeMap<String, i64>,
    /// Records that were not in the log any more when they were to be read, at most.
    lost_records: u64,
    /// The last of these losses, the newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lost: Vec<Lost>,
}

/// Records that were not in the log any more.
#[derive(Debug, Serialize)]
pub struct Lost {
    topic: String,
    partition: i32,
    /// First offset.
    from: i64,
    /// Exclusive.
    to: i64,
    /// `deleted`, `truncated` or `offsets-went-back`.
    cause: &'static str,
}

/// `PluginInfo`.
#[derive(Debug, Serialize)]
pub struct PluginInfo {
    /// Class name.
    pub class: String,
    /// `source`, `sink`, …
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Version.
    pub version: &'static str,
}

impl From<herder::ConnectorInfo> for ConnectorInfo {
    fn from(info: herder::ConnectorInfo) -> Self {
        let tasks = info.tasks.iter().map(|&task| TaskId { connector: info.name.to_string(), task }).collect();
        Self { name: info.name.to_string(), config: info.config, tasks, kind: info.kind }
    }
}

impl TaskInfo {
    /// A task of that connector.
    #[must_use]
    pub fn new(connector: &str, info: herder::TaskInfo) -> Self {
        Self { id: TaskId { connector: connector.to_owned(), task: info.task }, config: info.config }
    }
}

impl From<status::ConnectorStatus> for ConnectorStatus {
    fn from(status: status::ConnectorStatus) -> Self {
        let connector = ConnectorState {
            state: status.state.as_str(),
            worker_id: status.worker_id.to_string(),
            version: VERSION,
            trace: status.trace.filter(|trace| !trace.is_empty()),
        };
        Self { name: status.name.to_string(), connector, tasks: status.tasks.into_iter().map(TaskStatus::from).collect(), kind: status.kind }
    }
}

impl From<status::Lost> for Lost {
    fn from(status::Lost { partition, range, cause }: status::Lost) -> Self {
        Self { topic: partition.topic.to_string(), partition: partition.partition, from: range.start, to: range.end, cause: cause.as_str() }
    }
}

impl From<status::Figures> for Figures {
    fn from(figures: status::Figures) -> Self {
        let status::Figures { report, consumed, consumed_bytes, committed, lag, rejected, lost_records, lost } = figures;
        let committed = committed.into_iter().map(|(partition, offset)| (partition.to_string(), offset)).collect();
        let lost = lost.into_iter().map(Lost::from).collect();
        Self { report, consumed, consumed_bytes, rejected, committed_lag: lag, committed, lost_records, lost }
    }
}

impl From<status::TaskStatus> for TaskStatus {
    fn from(status: status::TaskStatus) -> Self {
        Self {
            id: status.task,
            state: status.state.as_str(),
            worker_id: status.worker_id.to_string(),
            version: VERSION,
            trace: status.trace.filter(|trace| !trace.is_empty()),
            lakehead: status.figures.map(Figures::from),
        }
    }
}
