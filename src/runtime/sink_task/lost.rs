//! Records that are not in the log any more when they are to be read: never silent.
//!
//! Three ways lead here: the committed offset lies outside the log when a partition is assigned; other records come than those that were next; the group's offset went
//! back. What is lost is named in the log and in the status, and `lakehead.lost.records` says whether the task goes on. [`judge`] decides where; it is pure.

use std::collections::BTreeMap;

use super::super::status::{Cause, Lost};
use super::{ASK_AGAIN, Props, REVOKE_PATIENCE, Task, kafka_error};
use crate::batch::{Commits, Committed, OffsetRange, Offsets, RawBatch, TopicPartition};
use crate::connect::{ErrorKind, TaskError};
use crate::kafka::{Jump, KafkaErrorKind, Logs};

/// Where reading goes on when there is nothing to go on from: `auto.offset.reset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Reset {
    /// At the log's start: Connect's default.
    #[default]
    Earliest,
    /// At its end.
    Latest,
    /// Nowhere: the task fails.
    Nowhere,
}

/// What a task knows about where its partitions should go on.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// `lakehead.lost.records=halt`.
    halts: bool,
    reset: Reset,
    /// `isolation.level=read_committed`: what lies past the end that is told may be in a transaction that is open.
    reads_committed: bool,
    /// Committed offsets of partitions of which no record has come yet.
    begins: Offsets,
    /// How far this task has known partitions to be committed, also of those that went away since.
    reached: Offsets,
    /// What was told of partitions of which records that came before may still be held.
    jumps: Vec<Jump>,
    /// Partitions that have to be sought, to go on behind what is lost.
    behind: Offsets,
}

impl Watch {
    /// As a connector and its consumer are configured.
    pub(super) fn new(props: &Props, consumer: &Props) -> Self {
        let reset = match consumer.get("auto.offset.reset").map(|reset| reset.trim()) {
            Some("latest") => Reset::Latest,
            Some("none") => Reset::Nowhere,
            _ => Reset::Earliest,
        };
        let is = |props: &Props, key: &str, value: &str| props.get(key).is_some_and(|given| given.trim().eq_ignore_ascii_case(value));
        Self { halts: is(props, "lakehead.lost.records", "halt"), reset, reads_committed: is(consumer, "isolation.level", "read_committed"), ..Self::default() }
    }

    /// These partitions are to be forgotten: they went away, or begin anew.
    pub(super) fn forget(&mut self, partitions: &[TopicPartition]) {
        self.begins.retain(|tp, _| !partitions.contains(tp));
        self.jumps.retain(|jump| !partitions.contains(&jump.partition));
        self.behind.retain(|tp, _| !partitions.contains(tp));
    }

    /// Records are not in their logs any more; those that came before are taken first.
    pub(super) fn note(&mut self, jumps: Vec<Jump>) {
        self.jumps.extend(jumps);
    }

    /// This is committed.
    pub(super) fn reached(&mut self, commits: &Commits) {
        self.reached.extend(commits.iter().map(|(tp, commit)| (tp.clone(), commit.offset)));
    }
}

/// Where reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GoOn {
    /// Behind what is lost; what was read before it stays.
    Behind(i64),
    /// At what is committed: the log still has that.
    Committed,
    /// At this offset, whatever was committed.
    Anew(i64),
    /// Nowhere: `auto.offset.reset=none`.
    Nowhere,
}

/// What is lost, and where reading goes on.
fn judge(jump: &Jump, committed: Option<i64>, reset: Reset) -> (OffsetRange, Cause, GoOn) {
    let Jump { wanted, log, found, .. } = *jump;
    let by_reset = match reset {
        Reset::Earliest => Some(log.start),
        Reset::Latest => Some(log.end),
        Reset::Nowhere => None,
    };
    if wanted < log.start {
        let go_on = by_reset.map_or(GoOn::Nowhere, GoOn::Behind);
        return (OffsetRange { start: wanted, end: by_reset.unwrap_or(log.start) }, Cause::Deleted, go_on);
    }
    // The log ends earlier, or holds other records from somewhere on. The client goes to that place where leader epochs tell it, and elsewhere to the log's start or end.
    let diverged = found.filter(|found| (log.start + 1..wanted).contains(found));
    let start = match diverged {
        Some(at) => at,
        None if log.end < wanted => log.end,
        None => found.unwrap_or(log.start),
    };
    let go_on = match diverged {
        _ if by_reset.is_none() => GoOn::Nowhere,
        Some(at) if committed.is_some_and(|committed| (log.start..=at).contains(&committed)) => GoOn::Committed,
        Some(at) => GoOn::Anew(at),
        None => by_reset.map_or(GoOn::Nowhere, GoOn::Anew),
    };
    (OffsetRange { start, end: wanted }, Cause::Truncated, go_on)
}

impl Task {
    /// Compares what is committed of partitions that were just assigned with what their logs hold, and with what was committed before.
    pub(super) async fn compare(&mut self, partitions: &[TopicPartition]) -> Result<(), TaskError> {
        let mut went_back = Vec::new();
        for tp in partitions {
            let committed = self.committed.get(tp).map(|committed| committed.offset);
            self.watch.begins.extend(committed.map(|offset| (tp.clone(), offset)));
            if let Some(reached) = self.watch.reached.get(tp).copied().filter(|reached| committed.is_none_or(|committed| committed < *reached)) {
                went_back.push((tp.clone(), OffsetRange { start: committed.unwrap_or(0), end: reached }));
            }
        }
        self.watch.reached(&self.committed);
        for (partition, range) in went_back {
            self.watch.reached.remove(&partition);
            self.watch.reached.extend(self.committed.get(&partition).map(|committed| (partition.clone(), committed.offset)));
            self.report(Lost { partition, range, cause: Cause::WentBack }, "reading goes on as if nothing had been read")?;
        }
        let known: Vec<TopicPartition> = partitions.iter().filter(|tp| self.watch.begins.contains_key(*tp)).cloned().collect();
        if known.is_empty() {
            return Ok(());
        }
        // Where a leader does not answer, the first record tells.
        let logs = self.consumer.logs(&known).await.unwrap_or_else(|error| {
            tracing::debug!(connector = %self.connector, %error, "the logs are compared with the first records");
            Logs::new()
        });
        let is_out = |(partition, log): (&TopicPartition, &OffsetRange)| {
            let wanted = *self.watch.begins.get(partition)?;
            let is_past = wanted > log.end && !self.watch.reads_committed;
            (wanted < log.start || is_past).then(|| Jump { partition: partition.clone(), wanted, log: *log, found: None })
        };
        let jumps: Vec<Jump> = logs.iter().filter_map(is_out).collect();
        self.jumped(jumps).await
    }

    /// The records among these that are taken: none of partitions that begin elsewhere than where they should, which come too.
    pub(super) async fn check_begins(&mut self, mut batches: Vec<RawBatch>) -> Result<(Vec<RawBatch>, Vec<Jump>), TaskError> {
        batches.retain(|raw| !self.watch.behind.contains_key(&raw.from));
        let mut suspects = BTreeMap::new();
        for raw in &batches {
            if let Some(begin) = self.watch.begins.remove(&raw.from).filter(|begin| *begin != raw.span.start) {
                suspects.insert(raw.from.clone(), (begin, raw.span.start));
            }
        }
        if suspects.is_empty() {
            return Ok((batches, Vec::new()));
        }
        let asked: Vec<TopicPartition> = suspects.keys().cloned().collect();
        let logs = self.ask_logs(&asked).await?;
        let jump = |(partition, (wanted, found)): (TopicPartition, (i64, i64))| {
            let log = *logs.get(&partition)?;
            (found < wanted || wanted < log.start).then_some(Jump { partition, wanted, log, found: Some(found) })
        };
        let jumps: Vec<Jump> = suspects.into_iter().filter_map(jump).collect();
        batches.retain(|raw| !jumps.iter().any(|jump| jump.partition == raw.from));
        Ok((batches, jumps))
    }

    /// What these logs hold, however long it takes to learn it; nothing when the task is to stop.
    async fn ask_logs(&mut self, partitions: &[TopicPartition]) -> Result<Logs, TaskError> {
        loop {
            let answer = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Logs::new()),
                answer = self.consumer.logs(partitions) => answer,
            };
            match answer {
                Ok(logs) => {
                    self.live.health.set("leader", None);
                    return Ok(logs);
                }
                Err(error) if error.kind == KafkaErrorKind::Transient => {
                    self.live.health.set("leader", Some(error.to_string()));
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Err(error) => return Err(kafka_error(&error)),
            }
        }
    }

    /// Attends to what was noted, once everything that came before is taken: it cannot be read a second time.
    pub(super) async fn go_on_from_losses(&mut self) -> Result<(), TaskError> {
        if !self.watch.jumps.is_empty() && self.inbox.is_empty() {
            let jumps = std::mem::take(&mut self.watch.jumps);
            self.jumped(jumps).await?;
        }
        if self.watch.behind.is_empty() { Ok(()) } else { self.go_on_behind().await }
    }

    /// Records are not in their logs any more: says so, and goes on where that is wanted.
    pub(super) async fn jumped(&mut self, jumps: Vec<Jump>) -> Result<(), TaskError> {
        let mut again: Option<TaskError> = None;
        for jump in jumps {
            let partition = jump.partition.clone();
            self.watch.begins.remove(&partition);
            if !self.owned.contains_key(&partition) {
                continue;
            }
            let committed = self.committed.get(&partition).map(|committed| committed.offset);
            let (range, cause, go_on) = judge(&jump, committed, self.watch.reset);
            if go_on != GoOn::Committed {
                self.sink.lost(&partition, range);
            }
            let next = match go_on {
                GoOn::Nowhere => "auto.offset.reset=none says to go on nowhere".to_owned(),
                GoOn::Committed => format!("reading goes on at the committed offset {}", committed.unwrap_or_default()),
                GoOn::Behind(at) | GoOn::Anew(at) => format!("reading goes on at offset {at}"),
            };
            self.report(Lost { partition: partition.clone(), range, cause }, &next)?;
            let back = match go_on {
                GoOn::Nowhere => return Err(self.halted(&Lost { partition, range, cause }, "auto.offset.reset=none")),
                GoOn::Behind(at) => {
                    self.watch.behind.insert(partition, at);
                    continue;
                }
                GoOn::Committed => None,
                GoOn::Anew(at) => {
                    match self.settle(std::slice::from_ref(&partition), REVOKE_PATIENCE).await {
                        Err(error) if error.kind == ErrorKind::Rewind => again = Some(both(again, error)),
                        settled => settled?,
                    }
                    self.commit_anew(&partition, at).await?;
                    Some(at)
                }
            };
            let error = TaskError::new(ErrorKind::Rewind, "the log holds other records than those that were read").back_to(partition, back);
            again = Some(both(again, error));
        }
        again.map_or(Ok(()), Err)
    }

    /// Names a loss in the log and the status.
    ///
    /// # Errors
    /// With `lakehead.lost.records=halt`.
    fn report(&self, lost: Lost, next: &str) -> Result<(), TaskError> {
        if self.watch.halts {
            self.live.add_lost(lost.clone());
            return Err(self.halted(&lost, "lakehead.lost.records=halt"));
        }
        let Lost { partition, range, cause } = &lost;
        tracing::error!(connector = %self.connector, %partition, lost = %range, records = range.len(), "{cause}; {next} (lakehead.lost.records=continue)");
        self.live.health.set("lost", Some(format!("{lost}; {next}")));
        self.live.add_lost(lost);
        Ok(())
    }

    fn halted(&self, lost: &Lost, rule: &str) -> TaskError {
        let what = "reset the connector's offsets to what is to be read next, or set lakehead.lost.records=continue (and auto.offset.reset to earliest or latest) once";
        tracing::error!(connector = %self.connector, partition = %lost.partition, lost = %lost.range, records = lost.range.len(), "{}; the task ends ({rule})", lost.cause);
        TaskError::new(ErrorKind::LostRecords, format!("{lost}; the task ends because of {rule}: {what}"))
    }

    /// Takes back what is committed, which no owner could go on from.
    async fn commit_anew(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), TaskError> {
        let commits = Commits::from([(partition.clone(), Committed::at(offset))]);
        loop {
            let done = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                done = self.consumer.commit(&commits) => done,
            };
            match done {
                Ok(()) => {
                    self.live.health.set("coordinator", None);
                    self.watch.reached(&commits);
                    return Ok(());
                }
                Err(error) if error.kind == KafkaErrorKind::Fenced => return Ok(()), // it belongs to someone else, who comes here too
                Err(error) if error.kind == KafkaErrorKind::Transient => {
                    self.live.health.set("coordinator", Some(error.to_string()));
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Err(error) => return Err(kafka_error(&error)),
            }
        }
    }

    /// Goes on behind what is lost. A rebalance that comes first is taken by the loop, which comes here again.
    async fn go_on_behind(&mut self) -> Result<(), TaskError> {
        let behind = std::mem::take(&mut self.watch.behind);
        match self.consumer.seek(&behind).await {
            Err(error) if error.kind == KafkaErrorKind::Interrupted => {
                self.watch.behind = behind;
                Ok(())
            }
            sought => sought.map_err(|e| kafka_error(&e)),
        }
    }
}

/// What asks for both to be read again.
fn both(known: Option<TaskError>, more: TaskError) -> TaskError {
    match known {
        Some(known) => known.and_back_to(more),
        None => more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_and_where_reading_goes_on() {
        use GoOn::{Anew, Behind, Committed, Nowhere};
        use Reset::{Earliest, Latest};
        // wanted, log, found, committed, reset → lost, where
        for (wanted, (start, end), found, committed, reset, lost, go_on) in [
            // Retention has overtaken the reader: before the first record, and between two.
            (100, (250, 900), None, Some(100), Earliest, (100, 250), Behind(250)),
            (100, (250, 900), None, Some(100), Latest, (100, 900), Behind(900)),
            (100, (250, 900), None, Some(100), Reset::Nowhere, (100, 250), Nowhere),
            (200, (250, 900), Some(250), Some(100), Earliest, (200, 250), Behind(250)),
            // The committed offset lies behind the end: a topic that was made again, as far as anybody can tell.
            (500, (0, 20), None, Some(500), Earliest, (20, 500), Anew(0)),
            (500, (0, 20), None, Some(500), Latest, (20, 500), Anew(20)),
            (500, (0, 20), Some(0), Some(10), Earliest, (20, 500), Anew(0)),
            // … and has grown past it since.
            (500, (0, 600), Some(0), Some(400), Earliest, (0, 500), Anew(0)),
            // The log was truncated at 480; what is committed is still there, or is not.
            (500, (10, 480), Some(480), Some(300), Earliest, (480, 500), Committed),
            (500, (10, 490), Some(480), Some(300), Earliest, (480, 500), Committed),
            (500, (10, 700), Some(480), Some(300), Latest, (480, 500), Committed),
            (500, (10, 700), Some(480), Some(490), Earliest, (480, 500), Anew(480)),
            (500, (10, 700), Some(480), Some(490), Reset::Nowhere, (480, 500), Nowhere),
        ] {
            let jump = Jump { partition: TopicPartition::new("t", 0), wanted, log: OffsetRange { start, end }, found };
            let (range, _, place) = judge(&jump, committed, reset);
            assert_eq!(((range.start, range.end), place), (lost, go_on), "{jump:?} {committed:?} {reset:?}");
        }
    }
}
