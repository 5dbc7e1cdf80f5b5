//! Records that are not in the log any more when they are to be read: never silent.
//!
//! Three ways lead here: the committed offset lies outside the log when a partition is assigned; other records come than those that were next; the group's offset went
//! back. What is lost is named in the log and in the status, and `lakehead.lost.records` says whether the task goes on. [`judge`] decides where; it is pure.

use std::collections::BTreeMap;

use super::super::status::{Cause, Lost};
use super::due::{Begin, Due};
use super::{Props, REVOKE_PATIENCE, Task};
use crate::batch::{Commits, OffsetRange, Offsets, RawBatch, TopicPartition};
use crate::connect::{ErrorKind, TaskError};
use crate::kafka::Jump;

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
    pub(super) reads_committed: bool,
    /// Committed offsets of partitions of which no record has come yet.
    begins: Offsets,
    /// How far this task has known partitions to be committed, also of those that went away since.
    reached: Offsets,
    /// What was told of partitions of which records that came before may still be held.
    jumps: Vec<Jump>,
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
    /// Compares what is committed of partitions that were just assigned with what was committed before.
    pub(super) fn compare<'a>(&mut self, assigned: impl Iterator<Item = &'a TopicPartition>) -> Result<(), TaskError> {
        for tp in assigned {
            let committed = self.committed.get(tp).map(|committed| committed.offset);
            self.watch.begins.extend(committed.map(|offset| (tp.clone(), offset)));
            let reached = self.watch.reached.remove(tp);
            self.watch.reached.extend(committed.map(|offset| (tp.clone(), offset)));
            if let Some(end) = reached.filter(|reached| committed.is_none_or(|committed| committed < *reached)) {
                let next = match (committed, self.watch.reset) {
                    (Some(offset), _) => format!("reading goes on at the committed offset {offset}"),
                    (None, Reset::Earliest) => "nothing is committed, and reading goes on at the log's start (auto.offset.reset=earliest)".to_owned(),
                    (None, Reset::Latest) => "nothing is committed, and reading goes on at the log's end (auto.offset.reset=latest)".to_owned(),
                    (None, Reset::Nowhere) => "nothing is committed, and auto.offset.reset=none says to go on nowhere".to_owned(),
                };
                let range = OffsetRange { start: committed.unwrap_or(0), end };
                self.report(Lost { partition: tp.clone(), range, cause: Cause::WentBack }, &next)?;
            }
        }
        Ok(())
    }

    /// Where the first records of a partition are not those that are next, its log is looked up before they are taken.
    pub(super) fn check_begins(&mut self, batches: &[RawBatch]) {
        for raw in batches {
            if let Some(wanted) = self.watch.begins.remove(&raw.from).filter(|begin| *begin != raw.span.start) {
                self.dues.insert(raw.from.clone(), Due::Look { wanted, found: Some(raw.span.start) });
            }
        }
    }

    /// Attends to what was noted, once everything that came before is taken: it cannot be read a second time.
    pub(super) async fn go_on(&mut self) -> Result<(), TaskError> {
        if !self.watch.jumps.is_empty() && self.inbox.is_empty() {
            let jumps = std::mem::take(&mut self.watch.jumps);
            self.jumped(jumps).await?;
        }
        self.attend_to_dues().await
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
            self.inbox.retain(|raw| raw.from != partition);
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
            match go_on {
                GoOn::Nowhere => return Err(self.halted(&Lost { partition, range, cause }, "auto.offset.reset=none")),
                GoOn::Behind(at) => {
                    self.sink.passed(&partition, at);
                    self.dues.insert(partition, Due::Seek(at));
                }
                GoOn::Committed => self.begin_again(BTreeMap::from([(partition, Due::Open(Begin::Again(None)))])).await,
                GoOn::Anew(at) => {
                    self.incarnations.begin([&partition]);
                    match self.settle(std::slice::from_ref(&partition), REVOKE_PATIENCE).await {
                        Err(error) if error.kind == ErrorKind::Rewind => again = Some(both(again, error)),
                        settled => settled?,
                    }
                    self.begin_again(BTreeMap::from([(partition, Due::Commit(at))])).await;
                }
            }
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
