//! Which offsets of one topic partition are durable: groups of files are published side by side, and count in order.
//!
//! Pure bookkeeping over background work. A group that is published before an earlier one waits for it here, so the durable offset never
//! passes a file that is not visible yet.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::connect::{ErrorKind, TaskError};

/// Groups of one topic partition that are on their way.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pending: VecDeque<Pending>,
    durable: Option<i64>,
    /// A group failed: nothing after it counts.
    has_failed: bool,
}

#[derive(Debug)]
struct Pending {
    /// Everything below is durable once this group and those before it are.
    end: i64,
    work: AbortOnDropHandle<Result<(), TaskError>>,
}

impl Ledger {
    /// Adds a group that ends at `end`, whose `work` publishes its files.
    pub(super) fn add(&mut self, end: i64, work: AbortOnDropHandle<Result<(), TaskError>>) {
        if !self.has_failed {
            self.pending.push_back(Pending { end, work });
        }
    }

    /// Groups on their way.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Notes that everything below `offset` needs no file; call it only when no group is pending and no file is open.
    pub(super) fn pass(&mut self, offset: i64) {
        if !self.has_failed {
            self.durable = self.durable.max(Some(offset));
        }
    }

    /// Next offset below which everything is visible, as far as is known without waiting.
    ///
    /// # Errors
    /// Of the first group that failed.
    pub(super) async fn durable(&mut self) -> Result<Option<i64>, TaskError> {
        while let Some(front) = self.pending.front_mut().filter(|p| p.work.is_finished()) {
            if let Err(error) = outcome((&mut front.work).await) {
                // What comes after a group that failed must never count; it is given up with it.
                self.pending.clear();
                self.has_failed = true;
                return Err(error);
            }
            self.durable = Some(front.end);
            self.pending.pop_front();
        }
        Ok(self.durable)
    }

    /// Waits for the groups on their way, up to `patience`, and gives up the rest: what is durable by then.
    ///
    /// # Errors
    /// Of the first group that failed.
    pub(super) async fn settle(mut self, patience: Duration) -> Result<Option<i64>, TaskError> {
        let deadline = tokio::time::Instant::now() + patience;
        while let Some(front) = self.pending.front_mut() {
            let Ok(joined) = tokio::time::timeout_at(deadline, &mut front.work).await else { break };
            outcome(joined)?;
            self.durable = Some(front.end);
            self.pending.pop_front();
        }
        Ok(self.durable)
    }
}

fn outcome(joined: Result<Result<(), TaskError>, JoinError>) -> Result<(), TaskError> {
    joined.unwrap_or_else(|error| Err(TaskError::new(ErrorKind::Bug, format!("publishing a file ended early: {error}"))))
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn group() -> (oneshot::Sender<Result<(), TaskError>>, AbortOnDropHandle<Result<(), TaskError>>) {
        let (done, wait) = oneshot::channel();
        (done, AbortOnDropHandle::new(tokio::spawn(async move { wait.await.unwrap() })))
    }

    async fn settle_tasks() {
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_group_counts_only_after_those_before_it() {
        let mut ledger = Ledger::default();
        let ((first, a), (second, b)) = (group(), group());
        ledger.add(100, a);
        ledger.add(200, b);
        second.send(Ok(())).unwrap();
        settle_tasks().await;
        assert_eq!(ledger.durable().await.unwrap(), None);
        first.send(Ok(())).unwrap();
        settle_tasks().await;
        assert_eq!(ledger.durable().await.unwrap(), Some(200));
        assert_eq!(ledger.pending(), 0);
    }

    #[tokio::test]
    async fn a_failed_group_stops_the_offset_where_it_was() {
        let mut ledger = Ledger::default();
        let ((first, a), (second, b)) = (group(), group());
        ledger.add(100, a);
        ledger.add(200, b);
        first.send(Ok(())).unwrap();
        second.send(Err(TaskError::new(ErrorKind::Denied, "no"))).unwrap();
        settle_tasks().await;
        assert!(ledger.durable().await.is_err());
        assert_eq!(ledger.durable().await.unwrap(), Some(100), "asked again, it stands where it stood");
        assert_eq!(ledger.settle(Duration::ZERO).await.unwrap(), Some(100));
    }

    #[tokio::test(start_paused = true)]
    async fn settling_waits_for_what_ends_in_time_and_gives_up_the_rest() {
        let mut ledger = Ledger::default();
        let ((first, a), (second, b)) = (group(), group());
        ledger.add(100, a);
        ledger.add(200, b);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            first.send(Ok(())).unwrap();
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert!(second.is_closed(), "the group that was given up no longer runs");
        });
        assert_eq!(ledger.settle(Duration::from_secs(5)).await.unwrap(), Some(100));
    }
}
