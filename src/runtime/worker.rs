//! Starts, watches and stops tasks. Knows nothing of who wants them, or of the other workers.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::connect::{Connector, Kind, Props, TaskError};
use crate::env::Env;
use crate::runtime::connector_offsets::SourceStores;
use crate::runtime::sink_task::{self, TaskControl, TaskSpec};
use crate::runtime::source_task::exact::{ExactlyOnce, Guard};
use crate::runtime::source_task::{self, Keeping};
use crate::runtime::status::{ActiveTopics, Live, State, TaskId};
use crate::settings::{self, Settings, clients};

/// How long a dropped task may take to be gone.
pub(super) const LAST_WAIT: Duration = Duration::from_secs(1);

/// How long a paused task is without its clients at most: then it joins its group for a moment, whose offsets brokers would forget when nobody is in it for
/// `offsets.retention.minutes` (a week).
const REST: Duration = Duration::from_secs(12 * 3600);

/// How a task ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was to stop.
    Stopped,
    /// It is paused and has had nothing in hand for a while: it begins again when it is resumed, and costs nothing until then.
    Rests,
}

/// The tasks that run in this process.
#[derive(Debug)]
pub struct Worker {
    settings: Arc<Settings>,
    env: Env,
    /// Where source connectors have read to.
    offsets: SourceStores,
    running: BTreeMap<TaskId, Running>,
    /// Told of every task that ended.
    ended: mpsc::UnboundedSender<TaskId>,
}

/// How a running task is reached.
#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    paused: watch::Sender<bool>,
    live: Arc<Live>,
    abort: AbortHandle,
    /// Ends when the task has ended and its state says how.
    watcher: JoinHandle<()>,
}

impl Worker {
    /// A worker without tasks. `ended` is told of each that ends.
    #[must_use]
    pub fn new(settings: Arc<Settings>, env: Env, offsets: SourceStores, ended: mpsc::UnboundedSender<TaskId>) -> Self {
        Self { settings, env, offsets, running: BTreeMap::new(), ended }
    }

    /// Starts a task and returns what it shows; `topics` are the connector's. `props` is its configuration with references resolved;
    /// `guard` looks after it if it delivers exactly once.
    pub fn start(&mut self, id: TaskId, class: &'static dyn Connector, props: Props, topics: ActiveTopics, paused: bool, guard: Arc<dyn Guard>) -> Arc<Live> {
        debug_assert!(!self.running.contains_key(&id), "{id} runs already");
        let live = Arc::new(Live::of(topics));
        let stop = CancellationToken::new();
        let (pause, paused_rx) = watch::channel(paused);
        let spec = TaskSpec { connector: Arc::clone(&id.connector), task: id.task, class, props, worker: Arc::clone(&self.settings), env: self.env.clone() };
        let control = TaskControl { paused: paused_rx, stop: stop.clone(), live: Arc::clone(&live) };
        live.set_state(if paused { State::Paused } else { State::Running });
        tracing::info!(connector = %id.connector, task = id.task, "task started");
        let task = self.spawn(spec, control, guard);
        let abort = task.abort_handle();
        let (watched, ended) = (watch(task, id.clone(), stop.clone(), Arc::clone(&live)), self.ended.clone());
        let of = id.clone();
        let watcher = tokio::spawn(async move {
            watched.await;
            drop(ended.send(of)); // nobody listens any more when the worker ends
        });
        self.running.insert(id, Running { stop, paused: pause, live: Arc::clone(&live), abort, watcher });
        live
    }

    fn spawn(&self, spec: TaskSpec, control: TaskControl, guard: Arc<dyn Guard>) -> JoinHandle<Result<(), TaskError>> {
        let keeping = match &self.offsets {
            SourceStores::Topics(topics) if self.settings.exactly_once == settings::ExactlyOnce::Enabled => {
                let transactional_id = clients::transactional_id(&self.settings.props, &spec.connector, spec.task);
                Keeping::ExactlyOnce(ExactlyOnce { offsets: Arc::new(topics.of(&spec.connector, &spec.props)), transactional_id, guard })
            }
            stores => Keeping::AtLeastOnce(stores.of(&spec.connector, &spec.props)),
        };
        tokio::spawn(async move {
            // Only who was in a group has something to keep alive there.
            let mut wakes_at = None;
            loop {
                if !begins(&control, wakes_at).await {
                    return Ok(());
                }
                let is_woken = *control.paused.borrow();
                let task: BoxFuture<'static, Result<Ended, TaskError>> = match spec.class.kind() {
                    Kind::Sink => Box::pin(sink_task::run(spec.clone(), control.clone())),
                    Kind::Source => Box::pin(source_task::run(spec.clone(), keeping.clone(), control.clone())),
                };
                match task.await {
                    Ok(Ended::Stopped) => return Ok(()),
                    Ok(Ended::Rests) => {
                        tracing::debug!(connector = %spec.connector, task = spec.task, "paused and without anything in hand: its clients are closed")
                    }
                    // Nobody has asked for anything: it fails when it is resumed, if that still is so.
                    Err(error) if is_woken && *control.paused.borrow() => {
                        tracing::warn!(connector = %spec.connector, task = spec.task, %error, "the paused task could not join its group for a moment")
                    }
                    Err(error) => return Err(error),
                }
                wakes_at = (spec.class.kind() == Kind::Sink).then(|| Instant::now() + REST);
            }
        })
    }

    /// Pauses or resumes tasks; those that do not run are left out.
    pub fn set_paused(&self, ids: &[TaskId], paused: bool) {
        for running in ids.iter().filter_map(|id| self.running.get(id)) {
            running.paused.send_replace(paused);
            running.live.set_state(if paused { State::Paused } else { State::Running });
        }
    }

    /// Has tasks go on with what they hold back of themselves.
    pub fn resume_held_back(&self, ids: &[TaskId]) {
        ids.iter().filter_map(|id| self.running.get(id)).for_each(|running| running.paused.send_modify(|_| ()));
    }

    /// Asks tasks to end. The returned future is done when all of them have, or when they were dropped after `task.shutdown.graceful.timeout.ms`; it
    /// borrows nothing. The tasks end even when the future is not polled, but then nobody bounds how long they take.
    pub fn stop(&mut self, ids: &[TaskId]) -> impl Future<Output = ()> + Send + 'static {
        let stopping: Vec<(TaskId, Running)> = ids.iter().filter_map(|id| self.running.remove_entry(id)).collect();
        for (_, running) in &stopping {
            running.stop.cancel();
        }
        let grace = self.settings.task_shutdown_graceful_timeout;
        let deadline = Instant::now() + grace;
        async move {
            for (id, running) in stopping {
                end(id, running, deadline, grace).await;
            }
        }
    }

    /// Every task that was started and not stopped, failed ones included.
    #[must_use]
    pub fn ids(&self) -> Vec<TaskId> {
        self.running.keys().cloned().collect()
    }
}

/// Waits until a task is not paused, or until that time; false when it is to stop instead. As upstream, one that starts paused has nothing before: no client, no
/// place in a group.
async fn begins(control: &TaskControl, at: Option<Instant>) -> bool {
    let mut paused = control.paused.clone();
    tokio::select! {
        biased;
        () = control.stop.cancelled() => false,
        resumed = paused.wait_for(|paused| !*paused) => resumed.is_ok(),
        () = sleep_until(at.unwrap_or_else(Instant::now)), if at.is_some() => true,
    }
}

/// Waits for a task that was asked to end, and drops it at the deadline.
async fn end(id: TaskId, mut running: Running, deadline: Instant, grace: Duration) {
    if tokio::time::timeout_at(deadline, &mut running.watcher).await.is_err() {
        tracing::warn!(
            connector = %id.connector,
            task = id.task,
            "the task did not end within task.shutdown.graceful.timeout.ms={} and is dropped; its unpublished records will be read again",
            grace.as_millis()
        );
        running.abort.abort();
        // A task that does not even yield is left behind.
        drop(tokio::time::timeout(LAST_WAIT, running.watcher).await);
    }
}

/// Waits for the end of a task and writes down how it ended.
async fn watch(task: JoinHandle<Result<(), TaskError>>, id: TaskId, stop: CancellationToken, live: Arc<Live>) {
    let failure = match task.await {
        Ok(Ok(())) if stop.is_cancelled() => None,
        Ok(Ok(())) => Some("the task ended although nobody stopped it".to_owned()),
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => error.try_into_panic().ok().map(|panic| format!("the task panicked: {}", message(panic.as_ref()))),
    };
    match failure {
        None => {
            live.set_state(State::Unassigned);
            tracing::info!(connector = %id.connector, task = id.task, "task stopped");
        }
        Some(trace) => {
            tracing::error!(connector = %id.connector, task = id.task, "task failed: {trace}");
            live.fail(trace);
        }
    }
}

/// The text of a panic.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}
