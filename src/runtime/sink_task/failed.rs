//! Records that fail in a sink task: counted, logged, sent where dead letters go; and a partition with too many of them, which is not read on.

use std::sync::Arc;

use tokio::time::Instant;

use super::due::Due;
use super::{Task, list};
use crate::batch::{Offsets, TopicPartition};
use crate::connect::{ErrorKind, TaskError};
use crate::runtime::errors::breaker::Tally;
use crate::runtime::errors::letter::{Kept, Letters};
use crate::runtime::errors::{Failure, SINK_TASK, Stage};

/// What failed in the sink, which says at which offset in its error.
pub(super) fn of_sink(reason: String) -> Failure {
    Failure { stage: Stage::TaskPut, class: SINK_TASK.into(), reason }
}

impl Task {
    /// Records of a batch failed, at these offsets: they are left out, or the first of them ends the task, as `errors.tolerance` says. Either way they are told.
    pub(super) fn refuse(&mut self, kept: &Arc<Kept>, mut failed: Vec<(i64, Failure)>) -> Result<(), TaskError> {
        if failed.is_empty() {
            return Ok(());
        }
        let from = &kept.raw.from;
        failed.sort_by_key(|(offset, _)| *offset);
        let error = if self.policy.tolerates {
            self.live.add_rejected(u64::try_from(failed.len()).unwrap_or(u64::MAX));
            None
        } else {
            failed.truncate(1);
            let (offset, failure) = failed.first().map(|(offset, failure)| (*offset, failure.told())).unwrap_or_default();
            Some(TaskError::new(ErrorKind::BadRecord, failure).with("partition", from).with("offset", offset))
        };
        if self.policy.logs || self.letters.are_kept() {
            let letters = Letters::of(kept, failed);
            for letter in letters.iter() {
                self.policy.log(&self.name, letter.failure, &format_args!("{from}@{}", letter.offset()), &|| letter.told());
            }
            if self.letters.are_kept() {
                self.letters.post(letters)?;
            }
        }
        error.map_or(Ok(()), Err)
    }

    /// The sink took nothing of a batch because of a bad record in it, which is not tolerated: it is told like those that are.
    pub(super) fn refused_by_sink(&mut self, kept: &Arc<Kept>, error: TaskError) -> TaskError {
        let offset = error.context.iter().find(|(key, _)| *key == "offset").and_then(|(_, offset)| offset.parse().ok());
        if let Some(offset) = offset.filter(|_| error.kind == ErrorKind::BadRecord) {
            let letters = Letters::of(kept, vec![(offset, of_sink(error.message.clone()))]);
            for letter in letters.iter() {
                self.policy.log(&self.name, letter.failure, &format_args!("{}@{offset}", kept.raw.from), &|| letter.told());
            }
            if self.letters.are_kept()
                && let Err(undelivered) = self.letters.post(letters)
            {
                tracing::error!(connector = %self.name.connector, error = %undelivered, "the bad record that ends the task is no dead letter");
            }
        }
        error
    }

    /// A batch was taken: stops its partition when too many of its last records were bad.
    pub(super) fn look_at_share(&mut self, from: &TopicPartition, end: i64, records: u64, bad: &Tally) {
        let Some(told) = self.breaker.note(from, end, records, bad, Instant::now()) else { return };
        tracing::error!(connector = %self.name.connector, "{told}");
        self.inbox.retain(|raw| raw.from != *from);
        self.consumer.set_paused(std::slice::from_ref(from), true);
        self.live.health.set("breaker", self.breaker.trouble());
    }

    /// Reads on in partitions that were stopped: all of them when somebody wants it, else those that have waited long enough.
    pub(super) fn read_on(&mut self, all: bool) {
        let from = if all { self.breaker.resume() } else { self.breaker.due(Instant::now()) };
        if from.is_empty() {
            return;
        }
        let partitions: Vec<TopicPartition> = from.keys().cloned().collect();
        tracing::info!(connector = %self.name.connector, partitions = %list(&partitions), "read on, after too many bad records");
        self.consumer.set_paused(&partitions, false);
        for (tp, offset) in from {
            // What is due already begins it anew.
            self.dues.entry(tp).or_insert(Due::Seek(offset));
        }
        self.live.health.set("breaker", self.breaker.trouble());
    }

    /// These partitions go away, or begin anew.
    pub(super) fn forget_share(&mut self, partitions: &[TopicPartition]) {
        let held: Vec<TopicPartition> = partitions.iter().filter(|tp| self.breaker.holds(tp)).cloned().collect();
        self.breaker.forget(partitions);
        if !held.is_empty() {
            self.consumer.set_paused(&held, false);
            self.live.health.set("breaker", self.breaker.trouble());
        }
    }

    /// Takes note of dead letters that were confirmed, and sends on those that wait.
    pub(super) fn attend_to_letters(&mut self) -> Result<(), TaskError> {
        self.letters.identify(self.incarnations.known());
        self.letters.attend()?;
        self.letters.tell(&self.live.health);
        Ok(())
    }

    /// True when everything of this commit may be told: no letter from below its offset is on its way.
    pub(super) fn may_commit(&self, anew: &Offsets) -> bool {
        anew.iter().all(|(tp, offset)| !self.letters.holds(tp, *offset))
    }
}
