//! What is on its way of one topic partition: the [commit protocol](crate::commit), and the work beside the task that it steers.
//!
//! Groups of files are encoded and uploaded side by side; each then waits here until the coordinator holds its plan, and is published.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, oneshot};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::batch::Committed;
use crate::commit::{Crowded, GroupId, Lane, Protocol};
use crate::connect::{ErrorKind, TaskError};

/// Groups of one topic partition.
#[derive(Debug)]
pub(super) struct Ledger {
    protocol: Protocol,
    groups: BTreeMap<GroupId, Group>,
    /// A group failed: nothing of the partition counts any more until it is read again.
    has_failed: bool,
}

/// A group that is being encoded, uploaded and published.
#[derive(Debug)]
struct Group {
    is_sealed: Arc<AtomicBool>,
    /// Taken when the group may be published.
    go: Option<oneshot::Sender<()>>,
    work: AbortOnDropHandle<Result<(), TaskError>>,
}

/// The two ends of a group's work: it says that every byte is stored, then waits until it may go on.
#[derive(Debug)]
pub(super) struct Gate {
    is_sealed: Arc<AtomicBool>,
    go: oneshot::Receiver<()>,
    progress: Arc<Notify>,
}

impl Gate {
    /// Says that every byte is stored, and waits until the plan is committed. False when the group is given up.
    pub(super) async fn pass(self) -> bool {
        self.is_sealed.store(true, Ordering::Release);
        self.progress.notify_one();
        self.go.await.is_ok()
    }
}

impl Ledger {
    /// A ledger without groups.
    pub(super) fn new(protocol: Protocol) -> Self {
        Self { protocol, groups: BTreeMap::new(), has_failed: false }
    }

    /// Paths from that offset on were made with this reading of the clock, in ms.
    pub(super) fn clock(&mut self, offset: i64, ms: i64) {
        self.protocol.clock(offset, ms);
    }

    /// Files are open in a lane; their first offset.
    pub(super) fn open(&mut self, lane: &Lane, start: i64) {
        self.protocol.open(lane, start);
    }

    /// Files of a lane ended. `work` encodes, uploads and, behind the gate, publishes them; it is told whether a former owner has planned them.
    pub(super) fn end<F>(&mut self, lane: &Lane, end: i64, progress: &Arc<Notify>, work: impl FnOnce(Gate, bool) -> F)
    where
        F: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        let Some(id) = self.protocol.end(lane, end) else { return };
        if self.has_failed {
            return;
        }
        let is_sealed = Arc::new(AtomicBool::new(false));
        let (go, wait) = oneshot::channel();
        let gate = Gate { is_sealed: Arc::clone(&is_sealed), go: wait, progress: Arc::clone(progress) };
        let work = work(gate, self.protocol.is_planned(&id));
        let progress = Arc::clone(progress);
        let work = tokio::spawn(async move {
            let outcome = work.await;
            progress.notify_one();
            outcome
        });
        self.groups.insert(id, Group { is_sealed, go: Some(go), work: AbortOnDropHandle::new(work) });
    }

    /// Every record below was taken, or was visible already.
    pub(super) fn pass(&mut self, position: i64) {
        self.protocol.pass(position);
    }

    /// Groups on their way.
    pub(super) fn pending(&self) -> usize {
        self.groups.len()
    }

    /// See [`Protocol::crowding`].
    pub(super) fn crowding(&self) -> Result<bool, Crowded> {
        self.protocol.crowding()
    }

    /// See [`Protocol::can_end_all`].
    pub(super) fn can_end_all(&self) -> bool {
        self.protocol.can_end_all()
    }

    /// See [`Protocol::straggler`].
    pub(super) fn straggler(&self) -> Option<Lane> {
        self.protocol.straggler()
    }

    /// True when nothing is open, on its way, or told in the committed text.
    pub(super) fn is_clear(&self) -> bool {
        self.protocol.is_clear()
    }

    /// Takes down what the work beside the task has done since, and lets go what may go.
    ///
    /// # Errors
    /// Of a group that failed; once.
    pub(super) async fn look(&mut self) -> Result<(), TaskError> {
        let finished: Vec<GroupId> = self.groups.iter().filter(|(_, group)| group.work.is_finished()).map(|(id, _)| id.clone()).collect();
        for id in finished {
            let Some(mut group) = self.groups.remove(&id) else { continue };
            if let Err(error) = outcome((&mut group.work).await) {
                self.has_failed = true;
                self.groups.clear();
                return Err(error);
            }
            self.protocol.published(&id);
        }
        for (id, group) in &mut self.groups {
            if group.go.is_some() && group.is_sealed.load(Ordering::Acquire) {
                self.protocol.sealed(id);
                if self.protocol.may_publish(id) {
                    group.go.take().map(|go| go.send(()));
                }
            }
        }
        Ok(())
    }

    /// What the coordinator is to hold, if that is not what it holds.
    pub(super) fn propose(&mut self) -> Option<Committed> {
        if self.has_failed { None } else { self.protocol.propose() }
    }

    /// The coordinator holds this now: what it allows goes on.
    pub(super) fn accepted(&mut self, commit: &Committed) {
        for id in self.protocol.accepted(commit) {
            if let Some(group) = self.groups.get_mut(&id) {
                group.go.take().map(|go| go.send(()));
            }
        }
    }

    /// The broker does not take a text of that length.
    ///
    /// # Errors
    /// When nothing shorter can be said.
    pub(super) fn shorten(&mut self, length: usize) -> Result<(), TaskError> {
        let too_long = |length| {
            let message = format!(
                "the broker refuses {length} bytes of text beside a committed offset, without which no file can be planned; raise offset.metadata.max.bytes"
            );
            TaskError::new(ErrorKind::BadConfig, message)
        };
        self.protocol.shorten(length).map_err(too_long)
    }

    /// See [`Protocol::limit`].
    pub(super) fn text_limit(&self) -> usize {
        self.protocol.limit()
    }
}

fn outcome(joined: Result<Result<(), TaskError>, JoinError>) -> Result<(), TaskError> {
    joined.unwrap_or_else(|error| Err(TaskError::new(ErrorKind::Bug, format!("publishing a file ended early: {error}"))))
}
