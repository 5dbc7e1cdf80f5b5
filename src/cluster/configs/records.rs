//! What is written to the config topic: keys, values, and which records belong together.

use base64::Engine as _;
use serde_json::json;

use super::{RawConfig, RestartRequest, TargetState};
use crate::cluster::Record;
use crate::cluster::session::{BASE64, SessionKey};

pub(super) const TARGET_STATE: &str = "target-state-";
pub(super) const CONNECTOR: &str = "connector-";
pub(super) const TASK: &str = "task-";
pub(super) const COMMIT: &str = "commit-";
pub(super) const RESTART: &str = "restart-connector-";
pub(super) const TASK_COUNT: &str = "tasks-fencing-";
pub(super) const SESSION_KEY: &str = "session-key";
pub(super) const LOGGER: &str = "logger-cluster-";

/// What publishes the configurations of a connector's tasks. The commit is written when all of the tasks' records were read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRecords {
    /// One for each task; with a transactional writer, in one transaction.
    pub tasks: Vec<Record>,
    /// Makes them valid.
    pub commit: Record,
}

/// A connector's configuration; its first state, if it is given, comes first and in the same transaction, so that the connector never starts otherwise.
#[must_use]
pub fn connector(name: &str, config: &RawConfig, initial: Option<TargetState>) -> Vec<Record> {
    let record = Record::new(format!("{CONNECTOR}{name}"), &json!({ "properties": config }));
    initial.map(|state| target_state(name, state)).into_iter().chain([record]).collect()
}

/// A connector's end, in one transaction. The records of its tasks stay.
#[must_use]
pub fn removal(name: &str) -> Vec<Record> {
    vec![Record::tombstone(format!("{CONNECTOR}{name}")), Record::tombstone(format!("{TARGET_STATE}{name}"))]
}

/// The configurations of all tasks of a connector; none for one that is stopped.
#[must_use]
pub fn tasks(name: &str, configs: &[RawConfig]) -> TaskRecords {
    let task = |(number, config)| Record::new(format!("{TASK}{name}-{number}"), &json!({ "properties": config }));
    TaskRecords { tasks: configs.iter().enumerate().map(task).collect(), commit: Record::new(format!("{COMMIT}{name}"), &json!({ "tasks": configs.len() })) }
}

/// What a connector shall do. Any member may write it, and never in a transaction. For a stop, [`tasks`] with none are written and read before it.
#[must_use]
pub fn target_state(name: &str, state: TargetState) -> Record {
    // Workers that do not know STOPPED shall pause.
    let old = if state == TargetState::Stopped { TargetState::Paused } else { state };
    Record::new(format!("{TARGET_STATE}{name}"), &json!({ "state": old.as_str(), "state.v2": state.as_str() }))
}

/// A request to restart.
#[must_use]
pub fn restart(request: &RestartRequest) -> Record {
    Record::new(format!("{RESTART}{}", request.connector), &json!({ "include-tasks": request.include_tasks, "only-failed": request.only_failed }))
}

/// How many tasks there are, now that the zombies of former ones are fenced.
#[must_use]
pub fn task_count(name: &str, count: u32) -> Record {
    Record::new(format!("{TASK_COUNT}{name}"), &json!({ "task-count": count }))
}

/// The key that signs requests between workers.
#[must_use]
pub fn session_key(key: &SessionKey) -> Record {
    let value = json!({ "key": BASE64.encode(key.secret()), "algorithm": key.algorithm(), "creation-timestamp": key.created_ms() });
    Record::new(SESSION_KEY.to_owned(), &value)
}

/// True for what any member may write: upstream has everything else written by the leader alone.
#[must_use]
pub fn are_anyones(records: &[Record]) -> bool {
    let starts = |record: &Record, prefix: &str| record.key.starts_with(prefix.as_bytes());
    records.iter().all(|record| record.value.is_some() && (starts(record, TARGET_STATE) || starts(record, LOGGER)))
}

/// A level for the loggers of a namespace, on all workers. Any member may write it, and never in a transaction.
#[must_use]
pub fn logger_level(namespace: &str, level: &str) -> Record {
    Record::new(format!("{LOGGER}{namespace}"), &json!({ "level": level }))
}
