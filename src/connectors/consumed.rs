//! Where a sink goes on that is done with records as soon as it has them.

use crate::batch::{Batch, Commits, Committed, TopicPartition};

/// Next offsets of the partitions that records were taken of.
#[derive(Debug, Default)]
pub(super) struct Consumed(Commits);

impl Consumed {
    /// A batch was taken.
    pub(super) fn take(&mut self, batch: &Batch) {
        self.0.insert(batch.from.clone(), Committed::at(batch.span.end));
    }

    /// These partitions went away.
    pub(super) fn forget(&mut self, partitions: &[TopicPartition]) {
        self.0.retain(|partition, _| !partitions.contains(partition));
    }

    /// What is to be committed.
    pub(super) fn commits(&self) -> Commits {
        self.0.clone()
    }
}
