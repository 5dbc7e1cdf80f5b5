//! The contract that connectors are written against: Kafka Connect's `Connector`, `SinkTask` and `SourceTask`, over batches.
//!
//! A connector is described by a [`Connector`] in [`crate::plugins::CONNECTORS`]: its names, its configuration keys, how it splits into tasks
//! and how a task is built. The runtime drives a [`SinkTask`] or [`SourceTask`] from one async task, so a task needs no locks; whatever takes CPU time it
//! hands to [`crate::compute`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use lakehead_formats::column::Reject;

use crate::batch::{Batch, Commits, Committed, OffsetRange, TopicPartition};
use crate::env::Env;

pub mod config;
pub mod error;
pub mod letters;
pub mod source;

pub use error::{ErrorKind, TaskError};
pub use source::{SourceContext, SourceTask};

/// A configuration as users write it: key → text, ordered.
pub type Props = BTreeMap<String, String>;

/// Direction of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Writes to Kafka.
    Source,
    /// Reads from Kafka.
    Sink,
}

impl Kind {
    /// As the REST API prints it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Sink => "sink",
        }
    }
}

/// One kind of connector.
pub trait Connector: fmt::Debug + Send + Sync {
    /// The name that the REST API shows: upstream's class name where there is one.
    fn class(&self) -> &'static str;

    /// Other names that configurations may use.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// Source or sink.
    fn kind(&self) -> Kind;

    /// The keys that the connector has beside the framework's, for forms and references.
    fn keys(&self) -> Vec<&'static [config::ConfigKey]> {
        Vec::new()
    }

    /// Checks a configuration: pure, no network; reports every problem, not the first. By default that is what [`keys`](Self::keys) say.
    fn validate(&self, props: &Props) -> config::Report {
        config::check(&self.keys(), props, |_| false)
    }

    /// What a sink wants its values to be, so that a converter decodes once.
    fn want(&self, props: &Props) -> lakehead_formats::wire::Want {
        let _ = props;
        lakehead_formats::wire::Want::Any
    }

    /// The configurations of the connector's tasks, at most `tasks_max` of them, from its own, which is valid. As many as may be unless it says otherwise, all
    /// alike.
    fn task_configs(&self, props: &Props, tasks_max: u32) -> Vec<Props> {
        (0..tasks_max).map(|_| props.clone()).collect()
    }

    /// Something that goes on beside the tasks while the connector runs, and ends when the connector has failed, with the reason (upstream's
    /// `ConnectorContext.raiseError`). Most have nothing of that kind.
    fn run(&self, props: &Props) -> Option<BoxFuture<'static, String>> {
        let _ = props;
        None
    }

    /// Whether a source connector with that configuration delivers exactly once where workers are set so (upstream's `exactlyOnceSupport`); `None` where it does not
    /// say, as connectors of older versions.
    fn delivers_exactly_once(&self, props: &Props) -> Option<bool> {
        let _ = props;
        None
    }

    /// Looks at offsets of a source connector that somebody wants to change, and tells whether nothing else has to be done for that (upstream's `alterOffsets`).
    ///
    /// # Errors
    /// Why they are not what the connector can go on from.
    fn alter_offsets(&self, props: &Props, changes: &[source::OffsetChange]) -> Result<bool, String> {
        let _ = (props, changes);
        Ok(false)
    }

    /// What is wrong with a folder for files of dead letters (`errors.deadletterqueue.url`). Pure: no network.
    ///
    /// # Errors
    /// Why this connector takes no such folder.
    fn check_letter_folder(&self, props: &Props, url: &str) -> Result<(), String> {
        let _ = (props, url);
        Err("this connector writes to no store: leave it out, and name a topic with errors.deadletterqueue.topic.name".to_owned())
    }

    /// The folder at a URL that was [checked](Self::check_letter_folder), reached as the connector's own store is.
    ///
    /// # Errors
    /// [`TaskError`] when something outside the configuration is missing.
    fn letter_folder(&self, props: &Props, url: &str, cx: &TaskContext) -> Result<Arc<dyn letters::LetterFolder>, TaskError> {
        let _ = cx;
        Err(TaskError::new(ErrorKind::BadConfig, self.check_letter_folder(props, url).err().unwrap_or_default()))
    }

    /// Builds one task of a sink connector from a valid configuration.
    ///
    /// # Errors
    /// [`TaskError`] when something outside the configuration is missing.
    fn sink_task(&self, props: &Props, cx: TaskContext) -> Result<Box<dyn SinkTask>, TaskError> {
        let _ = (props, cx);
        Err(TaskError::new(ErrorKind::Bug, format!("{} has no sink tasks", self.class())))
    }

    /// Builds one task of a source connector from a valid configuration.
    ///
    /// # Errors
    /// [`TaskError`] when something outside the configuration is missing.
    fn source_task(&self, props: &Props, cx: SourceContext) -> Result<Box<dyn SourceTask>, TaskError> {
        let _ = (props, cx);
        Err(TaskError::new(ErrorKind::Bug, format!("{} has no source tasks", self.class())))
    }
}

/// What a task is given besides its configuration.
#[derive(Debug, Clone)]
pub struct TaskContext {
    /// The connector's name.
    pub connector: Arc<str>,
    /// The task's number, from 0.
    pub task: u32,
    /// The world.
    pub env: Env,
    /// Where the task says what it is waiting for.
    pub health: Health,
    /// Rung when [`SinkTask::pre_commit`], [`SinkTask::finish`] or [`SinkTask::has_room`] may have news.
    pub progress: Arc<tokio::sync::Notify>,
    /// True when bad records are tolerated (`errors.tolerance=all`).
    pub tolerates: bool,
}

/// What a task is waiting for, readable by others: an empty text when all is well.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<std::sync::Mutex<BTreeMap<&'static str, String>>>);

impl Health {
    /// Says what `subject` (`store`, `kafka`, `registry`) is waiting for; `None` when it no longer waits.
    pub fn set(&self, subject: &'static str, trouble: Option<String>) {
        let mut map = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match trouble {
            Some(text) => map.insert(subject, text),
            None => map.remove(subject),
        };
    }

    /// Nothing is waited for any more.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }

    /// Everything that is being waited for, a line each; `None` when nothing is.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let map = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (!map.is_empty()).then(|| map.values().map(String::as_str).collect::<Vec<_>>().join("\n"))
    }
}

/// One task of a sink connector. The runtime calls it from one async task, never concurrently.
#[async_trait]
pub trait SinkTask: Send {
    /// Reaches out to the outside world once, before the first record: a missing bucket or a refused credential fails here.
    ///
    /// # Errors
    /// [`TaskError`]; the task becomes FAILED with its message.
    async fn start(&mut self) -> Result<(), TaskError>;

    /// These partitions are ours from now on. `committed` is what the group's coordinator holds for them; a partition for which it holds nothing is not in it.
    /// Records come from the committed offsets on.
    ///
    /// # Errors
    /// [`TaskError`].
    async fn open(&mut self, partitions: &[TopicPartition], committed: &Commits) -> Result<(), TaskError>;

    /// Takes records; does not wait for the outside world. Rows that cannot be taken come back, numbered as in `batch`, when [`TaskContext::tolerates`]; otherwise
    /// the first of them is the error and no row of the batch was taken.
    ///
    /// # Errors
    /// [`TaskError`]; the task's open work is then dropped.
    async fn put(&mut self, batch: Batch) -> Result<Vec<Reject>, TaskError>;

    /// True when the task can take more records; [`TaskContext::progress`] rings when that changes. This is the back-pressure: membership goes on meanwhile.
    /// A task with no bound but the memory budget always can.
    fn has_room(&self) -> bool {
        true
    }

    /// The process's memory is used up: starts whatever frees some; by default there is nothing.
    ///
    /// Tells whether nothing can but more records: those that files wait for which a former owner has planned.
    fn relieve(&mut self) -> bool {
        false
    }

    /// Time passed, whether or not records came: ends files that are due.
    ///
    /// # Errors
    /// [`TaskError`].
    async fn tick(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    /// What is to be committed per partition (upstream's `preCommit`): an offset below which everything is durable, with a text of the task's own, which
    /// [`open`](Self::open) is given by whoever owns the partition next. It may be asked for again: what was said once is not taken as committed. Partitions of
    /// which there is nothing to say may be absent.
    ///
    /// # Errors
    /// [`TaskError`] of work that went on in the background.
    async fn pre_commit(&mut self) -> Result<Commits, TaskError>;

    /// The offset below which whoever goes on from this commit may read nothing again: by default the committed one.
    fn reach(&self, commit: &Committed) -> i64 {
        commit.offset
    }

    /// The coordinator has taken these. What it has not confirmed it may have taken all the same.
    fn committed(&mut self, accepted: &Commits) {
        let _ = accepted;
    }

    /// The broker does not take texts as long as these.
    ///
    /// # Errors
    /// [`TaskError`] when they cannot be shorter.
    fn refused(&mut self, too_large: &Commits) -> Result<(), TaskError> {
        let tp = too_large.keys().next().map(ToString::to_string).unwrap_or_default();
        Err(TaskError::new(ErrorKind::BadConfig, "the broker refuses the text that goes with a committed offset; raise offset.metadata.max.bytes")
            .with("partition", tp))
    }

    /// Records of these offsets, which were next, are not in the log any more, nor is what lies below them: what is held of it cannot be read again, and should be written
    /// soon. Records from behind them may follow.
    fn lost(&mut self, from: &TopicPartition, gone: OffsetRange) {
        let _ = (from, gone);
    }

    /// Reading goes on at this offset, because what lies below is lost, or was taken.
    fn passed(&mut self, from: &TopicPartition, position: i64) {
        let _ = (from, position);
    }

    /// These partitions are about to go away: begins what is worth finishing, and says whether anything is on its way that is. Asked again until nothing is, or
    /// patience ends, with [`pre_commit`](Self::pre_commit) in between.
    fn finish(&mut self, partitions: &[TopicPartition]) -> bool {
        let _ = partitions;
        false
    }

    /// True when nothing is held, nor on its way: a paused task is then closed, and opened again when it goes on. By default as the [`report`](Self::report) says.
    fn is_at_rest(&self) -> bool {
        let TaskReport { open_rows, open_files, .. } = self.report();
        open_rows == 0 && open_files == 0
    }

    /// These partitions go away now: everything that is held of them is dropped.
    async fn close(&mut self, partitions: &[TopicPartition]);

    /// Figures and guarantees, for the status.
    fn report(&self) -> TaskReport;
}

/// What a task says about itself.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct TaskReport {
    /// `exactly-once` or `at-least-once`, and why when it is less.
    pub guarantee: String,
    /// Files that are visible.
    pub files: u64,
    /// Rows in visible files.
    pub rows: u64,
    /// Bytes of visible files.
    pub bytes: u64,
    /// Rows that are held in open files.
    pub open_rows: u64,
    /// Open files.
    pub open_files: u64,
    /// Files that ended early because memory ran out.
    pub early_closes: u64,
    /// Tombstones that `behavior.on.null.values=ignore` left out.
    pub ignored_nulls: u64,
}
