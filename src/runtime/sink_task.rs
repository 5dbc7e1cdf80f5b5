//! One task of a sink connector.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::connect::{Connector, Props, TaskContext, TaskError};
use crate::env::Env;
use crate::runtime::status::Live;
use crate::settings::Settings;

/// What a task is made from.
#[derive(Debug, Clone)]
pub struct SinkTaskSpec {
    /// The connector's name.
    pub connector: Arc<str>,
    /// The task's number, from 0.
    pub task: u32,
    /// The kind of connector.
    pub class: &'static dyn Connector,
    /// The connector's configuration, references resolved.
    pub props: Props,
    /// The worker's settings.
    pub worker: Arc<Settings>,
    /// The world.
    pub env: Env,
}

/// How others reach a running task.
#[derive(Debug, Clone)]
pub struct TaskControl {
    /// True while the task shall take no records.
    pub paused: tokio::sync::watch::Receiver<bool>,
    /// Cancelled when the task shall end.
    pub stop: CancellationToken,
    /// What the task shows.
    pub live: Arc<Live>,
}

/// Runs until stopped (Ok after a drain: what was being published is committed) or failed.
///
/// # Errors
/// [`TaskError`]: the task is FAILED.
pub async fn run(spec: SinkTaskSpec, control: TaskControl) -> Result<(), TaskError> {
    let cx = TaskContext {
        connector: spec.connector,
        task: spec.task,
        env: spec.env,
        health: control.live.health.clone(),
        progress: Arc::new(tokio::sync::Notify::new()),
        tolerates: spec.props.get("errors.tolerance").is_some_and(|text| text == "all"),
    };
    let mut task = spec.class.sink_task(&spec.props, cx)?;
    task.start().await?;
    control.stop.cancelled().await;
    task.close(&[], false).await
}
