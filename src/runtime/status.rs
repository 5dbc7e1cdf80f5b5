//! States of connectors and tasks, and what others may read while a task runs.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::UnboundedSender;

use crate::batch::{OffsetRange, Offsets, TopicPartition};
use crate::connect::{Health, TaskReport};

pub use crate::cluster::TaskId;
pub use crate::cluster::statuses::State;

/// What a running task shows to others. The task writes its figures, the worker its state; anybody may read.
#[derive(Debug, Default)]
pub struct Live {
    /// What the task is waiting for.
    pub health: Health,
    /// Topics that the connector's tasks have taken records from.
    pub topics: ActiveTopics,
    state: Mutex<(State, Option<String>)>,
    figures: Mutex<Figures>,
}

/// The topics that a connector has taken records from (KIP-558), shared by its tasks; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ActiveTopics {
    topics: Arc<Mutex<BTreeSet<Arc<str>>>>,
    /// Who wants to hear of another, and from which task.
    found: Option<(TaskId, UnboundedSender<TopicFound>)>,
}

/// A task has taken records from a topic that its connector had not taken any from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFound {
    /// The task.
    pub id: TaskId,
    /// The topic.
    pub topic: Arc<str>,
}

impl ActiveTopics {
    /// The same, for one task.
    #[must_use]
    pub fn of_task(&self, id: &TaskId, found: &UnboundedSender<TopicFound>) -> Self {
        Self { topics: Arc::clone(&self.topics), found: Some((id.clone(), found.clone())) }
    }

    /// Records were taken from this topic.
    pub fn note(&self, topic: &Arc<str>) {
        let mut topics = locked(&self.topics);
        if !topics.contains(topic) {
            topics.insert(Arc::clone(topic));
            if let Some((id, found)) = &self.found {
                // Nobody listens any more when the worker ends.
                drop(found.send(TopicFound { id: id.clone(), topic: Arc::clone(topic) }));
            }
        }
    }

    /// The topics, sorted.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<str>> {
        locked(&self.topics).iter().cloned().collect()
    }

    /// Forgets them; those that are still in use come again with their next records.
    pub fn reset(&self) {
        locked(&self.topics).clear();
    }
}

/// Losses that a task remembers one by one.
const LOSSES: usize = 20;

/// Records that were not in the log any more when they were to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Where they were.
    pub partition: TopicPartition,
    /// Their offsets; as many records at most.
    pub range: OffsetRange,
    /// Why.
    pub cause: Cause,
}

/// Why records are not in the log any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The log starts behind them.
    Deleted,
    /// The log ended before them, or holds others at their offsets.
    Truncated,
    /// What the group had committed is gone.
    WentBack,
}

impl Cause {
    /// The word for the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Truncated => "truncated",
            Self::WentBack => "offsets-went-back",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deleted => "records were deleted from the log before they were read (by retention, or by somebody)",
            Self::Truncated => "the log does not hold the records any more that were next: the topic was deleted and made again, or the log was truncated (unclean leader election)",
            Self::WentBack => "the group's committed offset went back: the topic was deleted and made again, or somebody reset the offsets, or they expired",
        })
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::WentBack => write!(f, "{} {}: {}", self.partition, self.range, self.cause),
            Cause::Deleted | Cause::Truncated => write!(f, "{} {} (at most {} records): {}", self.partition, self.range, self.range.len(), self.cause),
        }
    }
}

/// Figures of one run of a task, from its start on.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// What the connector's task says about itself.
    pub report: TaskReport,
    /// Records taken from Kafka.
    pub consumed: u64,
    /// Bytes of these records' keys and values.
    pub consumed_bytes: u64,
    /// Next offset to consume after a restart, by partition, as last committed.
    pub committed: Offsets,
    /// Records in the assigned partitions that lie past the committed offsets; `None` while that is not known.
    pub lag: Option<u64>,
    /// Records that were rejected and tolerated.
    pub rejected: u64,
    /// Records that were not in the log any more, at most; an offset that went back loses none.
    pub lost_records: u64,
    /// The last losses, the newest last.
    pub lost: VecDeque<Lost>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// What a task of a connector with these topics shows.
    #[must_use]
    pub fn of(topics: ActiveTopics) -> Self {
        Self { topics, ..Self::default() }
    }

    /// A copy of the figures.
    #[must_use]
    pub fn figures(&self) -> Figures {
        locked(&self.figures).clone()
    }

    /// Records were taken from Kafka.
    pub fn add_consumed(&self, records: u64, bytes: u64) {
        let mut figures = locked(&self.figures);
        figures.consumed += records;
        figures.consumed_bytes += bytes;
    }

    /// Records were rejected and tolerated.
    pub fn add_rejected(&self, records: u64) {
        locked(&self.figures).rejected += records;
    }

    /// Records were not in the log any more. A range that was deleted is counted once, however often a task comes back to where it was.
    pub fn add_lost(&self, lost: Lost) {
        let mut figures = locked(&self.figures);
        match lost.cause {
            Cause::Deleted if figures.lost.contains(&lost) => return,
            Cause::Deleted | Cause::Truncated => figures.lost_records = figures.lost_records.saturating_add(lost.range.len()),
            Cause::WentBack => {}
        }
        if figures.lost.len() >= LOSSES {
            figures.lost.pop_front();
        }
        figures.lost.push_back(lost);
    }

    /// These offsets were committed.
    pub fn set_committed(&self, offsets: &Offsets) {
        locked(&self.figures).committed.extend(offsets.iter().map(|(partition, offset)| (partition.clone(), *offset)));
    }

    /// Records that lie past the committed offsets.
    pub fn set_lag(&self, lag: Option<u64>) {
        locked(&self.figures).lag = lag;
    }

    /// The connector's task said this.
    pub fn set_report(&self, report: TaskReport) {
        locked(&self.figures).report = report;
    }

    /// The task's state.
    #[must_use]
    pub fn state(&self) -> State {
        locked(&self.state).0
    }

    /// What the status shows as `trace`: why the task failed, or what a running task waits for.
    #[must_use]
    pub fn trace(&self) -> Option<String> {
        locked(&self.state).1.clone().or_else(|| self.health.trouble())
    }

    /// Why the task failed.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        locked(&self.state).1.clone()
    }

    /// The task failed; it stays so whatever else happens to this run of it.
    pub fn fail(&self, trace: String) {
        *locked(&self.state) = (State::Failed, Some(trace));
    }

    /// The task goes to that state, unless it has failed.
    pub fn set_state(&self, to: State) {
        let mut state = locked(&self.state);
        if state.0 != State::Failed {
            state.0 = to;
        }
    }
}

/// A connector and its tasks: the answer of `GET /connectors/{name}/status`.
#[derive(Debug, Clone)]
pub struct ConnectorStatus {
    /// The connector's name.
    pub name: Arc<str>,
    /// State of the connector itself.
    pub state: State,
    /// Why the connector failed.
    pub trace: Option<String>,
    /// `host:port` of the worker.
    pub worker_id: Arc<str>,
    /// `source` or `sink`.
    pub kind: &'static str,
    /// The tasks, by number.
    pub tasks: Vec<TaskStatus>,
}

/// One task: the answer of `GET /connectors/{name}/tasks/{n}/status`.
#[derive(Debug, Clone)]
pub struct TaskStatus {
    /// The task's number.
    pub task: u32,
    /// Its state.
    pub state: State,
    /// Why it failed, or what it waits for.
    pub trace: Option<String>,
    /// `host:port` of the worker.
    pub worker_id: Arc<str>,
    /// Figures; only the task's own worker has them.
    pub figures: Option<Figures>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_task_stays_failed() {
        let live = Live::default();
        live.set_state(State::Running);
        live.fail("no such bucket".to_owned());
        live.set_state(State::Paused);
        assert_eq!((live.state(), live.trace().as_deref()), (State::Failed, Some("no such bucket")));
    }

    #[test]
    fn a_running_task_shows_what_it_waits_for() {
        let live = Live::default();
        live.set_state(State::Running);
        assert_eq!(live.trace(), None);
        live.health.set("store", Some("s3: 503 since 12:00".to_owned()));
        assert_eq!((live.state(), live.trace().as_deref()), (State::Running, Some("s3: 503 since 12:00")));
    }

    #[test]
    fn topics_are_those_of_all_tasks_until_they_are_forgotten() {
        let topics = ActiveTopics::default();
        let (one, two) = (Live::of(topics.clone()), Live::of(topics.clone()));
        for (live, topic) in [(&one, "b"), (&two, "a"), (&two, "b")] {
            live.topics.note(&topic.into());
        }
        assert_eq!(topics.list(), ["a".into(), "b".into()]);
        topics.reset();
        one.topics.note(&"b".into());
        assert_eq!(topics.list(), ["b".into()]);
    }

    #[test]
    fn losses_are_counted_and_the_last_are_kept() {
        let live = Live::default();
        for start in 0..30 {
            live.add_lost(Lost { partition: TopicPartition::new("t", 0), range: OffsetRange { start, end: start + 10 }, cause: Cause::Deleted });
        }
        let figures = live.figures();
        assert_eq!((figures.lost_records, figures.lost.len(), figures.lost.back().map(|lost| lost.range.start)), (300, LOSSES, Some(29)));
        // The same once more, and offsets that went back.
        let again = figures.lost[LOSSES - 1].clone();
        live.add_lost(again.clone());
        live.add_lost(Lost { cause: Cause::WentBack, ..again });
        let figures = live.figures();
        assert_eq!((figures.lost_records, figures.lost.back().map(|lost| lost.cause)), (300, Some(Cause::WentBack)));
    }

    #[test]
    fn committed_offsets_are_kept_by_partition() {
        let live = Live::default();
        let (a, b) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
        live.set_committed(&Offsets::from([(a.clone(), 1), (b.clone(), 2)]));
        live.set_committed(&Offsets::from([(a.clone(), 5)]));
        assert_eq!(live.figures().committed, Offsets::from([(a, 5), (b, 2)]));
    }
}
