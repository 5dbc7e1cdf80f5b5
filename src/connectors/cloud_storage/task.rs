//! The sink task: stages 4 to 7 composed.
//!
//! `put`: paths → writer (on the CPU pool) → groups of files that ended → published beside the task. What is durable comes out of the ledgers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use lakehead_formats::column::Reject;

use super::delivery::{Workshop, store_error};
use super::file::{Labels, OpenFile};
use super::intake::{self, Taken};
use super::lane::Ended;
use super::ledger::Ledger;
use super::publish::{Figures, Object, Publishing, Rules};
use super::sweeping::Sweeping;
use super::writer::{Plan, Scope, Writer};
use crate::batch::{Batch, Commits, Committed, OffsetRange, Offsets, TopicPartition};
use crate::commit::{Crowded, Foreign, Intent, Protocol, Replay};
use crate::connect::{ErrorKind, SinkTask, TaskContext, TaskError, TaskReport};
use crate::roll::Reason;
use crate::store::Conditions;

/// Groups on their way at which a task takes no more records.
const GROUPS_BOUND: usize = 64;

/// The best that a task can promise.
pub(super) const EXACTLY_ONCE: &str = "exactly-once";

/// The sink task of the cloud storage connectors.
pub(super) struct CloudStorageTask {
    pub(super) cx: TaskContext,
    pub(super) plan: Arc<Plan>,
    pub(super) workshop: Workshop,
    pub(super) rules: Rules,
    /// Stands for whatever rows, paths and names depend on.
    pub(super) configuration: u64,
    pub(super) on_former: OnFormer,
    pub(super) partitions: BTreeMap<TopicPartition, Owned>,
    /// Partitions that are read on behind objects that were there before, and from where.
    pub(super) behind: Offsets,
    /// Partitions whose files end together for a while, because too many ended at once to be told apart.
    pub(super) together: BTreeSet<TopicPartition>,
    /// Bytes of text that the broker is taken to take beside an offset.
    pub(super) text_limit: usize,
    pub(super) sweeping: Sweeping,
    pub(super) counts: Arc<Counts>,
}

/// A topic partition that is ours.
pub(super) struct Owned {
    pub(super) writer: Writer,
    pub(super) ledger: Ledger,
    /// Too much is to be told in what is committed with the offset: nothing more is taken.
    is_crowded: bool,
    /// Records below are not in the log any more.
    gone: Option<i64>,
}

/// What to do when files of another configuration were on their way when their task died (`lakehead.former.plan`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connectors) enum OnFormer {
    /// The task fails, and says what to do.
    Halt,
    /// Their records are read again, and may be in two files.
    Continue,
}

/// Figures that the background work adds to.
#[derive(Debug, Default)]
pub(super) struct Counts {
    published: Arc<Figures>,
    pub(super) early_closes: AtomicU64,
    ignored_nulls: AtomicU64,
}

#[async_trait]
impl SinkTask for CloudStorageTask {
    async fn start(&mut self) -> Result<(), TaskError> {
        self.workshop.store.check().await.map_err(store_error)?;
        if self.rules.scan_limit.is_some() {
            self.try_conditions().await?;
        }
        Ok(())
    }

    async fn open(&mut self, partitions: &[TopicPartition], committed: &Commits) -> Result<(), TaskError> {
        for tp in partitions {
            let held = committed.get(tp).cloned();
            // What was planned of records that others had written already is given up.
            let behind = self.behind.remove(tp).filter(|offset| held == Some(Committed::at(*offset)));
            let recovered = behind.map(|offset| Ok(Protocol::begin_at(offset, self.configuration, self.text_limit)));
            let (protocol, replay) = match recovered.unwrap_or_else(|| Protocol::recover(held.clone(), self.configuration, self.text_limit)) {
                Ok(recovered) => recovered,
                Err(foreign) => self.on_foreign(tp, held.unwrap_or_default().offset, &foreign)?,
            };
            let scope = if self.together.contains(tp) { Scope::TopicPartition } else { self.plan.scope };
            let writer = Writer::new(tp.clone(), scope, replay);
            self.partitions.insert(tp.clone(), Owned { writer, ledger: Ledger::new(protocol), is_crowded: false, gone: None });
        }
        self.sweeping.open(partitions, &self.plan, &self.workshop.store);
        Ok(())
    }

    async fn put(&mut self, batch: Batch) -> Result<Vec<Reject>, TaskError> {
        let Some(Owned { mut writer, ledger, is_crowded, gone }) = self.partitions.remove(&batch.from) else {
            return Err(TaskError::new(ErrorKind::Bug, "records of a partition that is not assigned").with("partition", &batch.from));
        };
        let from = batch.from.clone();
        let (plan, now, tolerates) = (Arc::clone(&self.plan), self.cx.env.clock.now(), self.cx.tolerates);
        let job = move || {
            let outcome = intake::take(&mut writer, batch, &plan, now, tolerates);
            (writer, outcome)
        };
        let (writer, outcome) = self.workshop.compute.run(job).await;
        let position = writer.position();
        let owned = self.partitions.entry(from.clone()).insert_entry(Owned { writer, ledger, is_crowded, gone }).into_mut();
        let Taken { ended, opened, clock, rejects, ignored_nulls, error } = outcome?;
        clock.into_iter().for_each(|(offset, ms)| owned.ledger.clock(offset, ms));
        self.counts.ignored_nulls.fetch_add(ignored_nulls, Ordering::Relaxed);
        self.publish(&from, ended);
        if let Some(Owned { writer, ledger, .. }) = self.partitions.get_mut(&from) {
            opened.iter().for_each(|(lane, start)| ledger.open(lane, *start));
            position.into_iter().for_each(|position| ledger.pass(position));
            let is_due = |f: &OpenFile| f.encodable_bytes() >= self.workshop.row_group_bytes && f.has_turn(&self.workshop);
            writer.open_files().filter(|f| is_due(f)).for_each(|f| f.encode_staged(&self.workshop));
        }
        self.watch_crowd(&from)?;
        error.map_or(Ok(rejects), Err)
    }

    fn has_room(&self) -> bool {
        self.partitions.values().map(|p| p.ledger.pending()).sum::<usize>() < GROUPS_BOUND && !self.partitions.values().any(|p| p.is_crowded)
    }

    fn relieve(&mut self) -> bool {
        self.relieve_memory()
    }

    async fn tick(&mut self) -> Result<(), TaskError> {
        let now = self.cx.env.clock.now();
        let due = self.partitions.iter_mut().map(|(tp, p)| (tp.clone(), p.writer.tick(&self.plan, now), p.is_crowded));
        let mut due: Vec<_> = due.filter(|(_, ended, is_crowded)| !ended.is_empty() || *is_crowded).collect();
        // What ended has left its writer: all of it is on its way before the trouble of one partition is told.
        for (tp, ended, _) in &mut due {
            self.publish(tp, std::mem::take(ended));
        }
        due.iter().filter_map(|(tp, ..)| self.watch_crowd(tp).err()).reduce(TaskError::and_back_to).map_or(Ok(()), Err)
    }

    async fn pre_commit(&mut self) -> Result<Commits, TaskError> {
        let mut commits = Commits::new();
        for (tp, owned) in &mut self.partitions {
            if let Err(error) = owned.ledger.look().await {
                let error = of_partition(error, tp);
                self.behind.extend(error.back_to.iter().filter_map(|(tp, offset)| Some((tp.clone(), (*offset)?))));
                return Err(error);
            }
            if owned.is_crowded {
                owned.is_crowded = owned.ledger.crowding() != Ok(false);
            }
            commits.extend(owned.ledger.propose().map(|commit| (tp.clone(), commit)));
            if owned.ledger.is_clear() && owned.writer.is_idle() && self.together.remove(tp) {
                owned.writer.scope = self.plan.scope;
            }
        }
        Ok(commits)
    }

    /// Records of a path that is visible beyond the offset are passed over, also those that failed among them.
    fn reach(&self, commit: &Committed) -> i64 {
        Intent::parse(&commit.metadata, commit.offset).map_or(commit.offset, |intent| intent.reach(commit.offset))
    }

    fn committed(&mut self, accepted: &Commits) {
        for (tp, commit) in accepted {
            if let Some(owned) = self.partitions.get_mut(tp) {
                owned.ledger.accepted(commit);
            }
        }
    }

    fn refused(&mut self, too_large: &Commits) -> Result<(), TaskError> {
        let Some((tp, commit)) = too_large.iter().max_by_key(|(_, commit)| commit.metadata.len()) else { return Ok(()) };
        let length = commit.metadata.len();
        for owned in self.partitions.values_mut() {
            owned.ledger.shorten(length).map_err(|error| error.with("partition", tp))?;
            self.text_limit = self.text_limit.min(owned.ledger.text_limit());
            // What fitted may not fit any more, and no record may come to notice it.
            owned.is_crowded = true;
        }
        Ok(())
    }

    fn lost(&mut self, from: &TopicPartition, gone: OffsetRange) {
        let Some(owned) = self.partitions.get_mut(from) else { return };
        owned.gone = owned.gone.max(Some(gone.end));
        // Files that are too many to be told would have to be read again, which cannot be: those wait for their own end.
        if owned.ledger.can_end_all() {
            let ended = owned.writer.end_all(Reason::Lost);
            self.publish(from, ended);
        }
    }

    fn passed(&mut self, from: &TopicPartition, position: i64) {
        let Some(owned) = self.partitions.get_mut(from) else { return };
        let ended = owned.writer.end_planned(position);
        owned.ledger.pass(position);
        self.publish(from, ended);
    }

    fn finish(&mut self, partitions: &[TopicPartition]) -> bool {
        partitions.iter().filter_map(|tp| self.partitions.get(tp)).any(|owned| owned.ledger.pending() > 0)
    }

    fn is_at_rest(&self) -> bool {
        self.partitions.values().all(|owned| owned.ledger.is_clear() && owned.writer.is_idle())
    }

    async fn close(&mut self, partitions: &[TopicPartition]) {
        // What is open or on its way ends with its owner, also while the store does not answer; uploads remove themselves.
        self.partitions.retain(|tp, _| !partitions.contains(tp));
        self.sweeping.close(partitions);
    }

    fn report(&self) -> TaskReport {
        let (open_files, open_rows) = self.partitions.values().map(|p| p.writer.open()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        TaskReport {
            guarantee: EXACTLY_ONCE.to_owned(),
            files: load(&self.counts.published.files),
            rows: load(&self.counts.published.rows),
            bytes: load(&self.counts.published.bytes),
            open_rows,
            open_files,
            early_closes: load(&self.counts.early_closes),
            ignored_nulls: load(&self.counts.ignored_nulls),
        }
    }
}

impl CloudStorageTask {
    /// Where no object may be replaced, the store has to see to it: says so where it does not.
    async fn try_conditions(&self) -> Result<(), TaskError> {
        let Conditions { on_put, on_complete } = self.workshop.store.honours_conditions().await.map_err(store_error)?;
        if !(on_put && on_complete) {
            let connector = &self.cx.connector;
            tracing::warn!(%connector, on_put, on_complete, "the store does not keep names that are taken (enable.conditional.writes): each is looked up before it is written, \
                and another writer that comes at the same moment can be replaced");
        }
        Ok(())
    }

    /// Files are on their way that only another configuration can finish.
    fn on_foreign(&self, tp: &TopicPartition, offset: i64, foreign: &Foreign) -> Result<(Protocol, Replay), TaskError> {
        if self.on_former == OnFormer::Halt {
            let what = "start the connector once with the configuration that it had, which finishes them; or set lakehead.former.plan=continue: then their records are \
                        read again, and may be in two files";
            return Err(TaskError::new(ErrorKind::BadConfig, format!("{foreign}; {what}")).with("partition", tp).with("offset", offset));
        }
        tracing::warn!(connector = %self.cx.connector, partition = %tp, offset, "{foreign}; their records may be in two files (lakehead.former.plan=continue)");
        let bug = |foreign: Foreign| TaskError::new(ErrorKind::Bug, foreign.to_string());
        Protocol::recover(Some(Committed::at(offset)), self.configuration, self.text_limit).map_err(bug)
    }

    /// Sees to it that what is committed with the offset stays short: ends the files that hold the offset back, or all.
    fn watch_crowd(&mut self, tp: &TopicPartition) -> Result<(), TaskError> {
        let Some(owned) = self.partitions.get_mut(tp) else { return Ok(()) };
        let ended = match owned.ledger.crowding() {
            Ok(true) => {
                owned.is_crowded = true;
                owned.writer.end_all(Reason::Crowded)
            }
            Ok(false) => owned.ledger.straggler().and_then(|lane| owned.writer.end_straggler(&lane)).into_iter().collect(),
            Err(Crowded) => {
                self.together.insert(tp.clone());
                let message = "more files ended at once than an offset's metadata can tell: they are read again, and end together";
                return Err(TaskError::new(ErrorKind::Rewind, message).with("partition", tp).back_to(tp.clone(), None));
            }
        };
        self.publish(tp, ended);
        Ok(())
    }

    /// Has groups of files encoded, uploaded and, when that is planned, published, beside the task. No more records may come before they are visible, so where they
    /// are too many to be told, the next tick attends to it.
    pub(super) fn publish(&mut self, from: &TopicPartition, ended: Vec<Ended>) {
        let Some(owned) = self.partitions.get_mut(from) else { return };
        for Ended { lane, files, start, end, reason, names } in ended {
            if !files.is_empty() {
                owned.ledger.open(&lane, start);
            }
            let connector = &self.cx.connector;
            // Files that a former owner has planned, of which records are gone since, are not whole: where they were published whole, that stays.
            let planned = owned.writer.replay.planned(&lane, end).filter(|planned| owned.gone > Some(planned.start)).map(|planned| planned.start);
            let objects: Vec<Object> = files.into_iter().map(|file| object(file, planned, connector, from, &self.workshop)).collect();
            let (connector, store) = (Arc::clone(connector), Arc::clone(&self.workshop.store));
            let (rules, figures, tp) = (self.rules.clone(), Arc::clone(&self.counts.published), from.clone());
            let work = move |gate, is_again| Publishing { connector, from: tp, reason, is_again, names, rules, store, figures }.run(objects, gate);
            owned.ledger.end(&lane, end, &self.cx.progress, work);
        }
        owned.is_crowded |= owned.ledger.crowding() != Ok(false);
    }
}

/// A file that ended, on its way.
fn object(mut file: OpenFile, planned: Option<i64>, connector: &str, from: &TopicPartition, workshop: &Workshop) -> Object {
    let offsets = OffsetRange { start: file.start, end: file.end };
    let mut shown = vec![
        ("lakehead-connector", connector.to_owned()),
        ("lakehead-topic", from.topic.to_string()),
        ("lakehead-partition", from.partition.to_string()),
        ("lakehead-offsets", offsets.to_string()),
        ("lakehead-rows", file.rows.to_string()),
    ];
    if file.leads {
        // What `lakehead verify` adds up, and `lakehead locate` looks up.
        shown.push(("lakehead-digest", file.offsets.digest().to_string()));
    }
    let offsets_inside = Some(std::mem::take(&mut file.offsets)).filter(|offsets| file.leads && !offsets.is_consecutive());
    let labels = Labels { shown, offsets: offsets_inside };
    Object { offsets, leads: file.leads, grown: planned.map(|start| file.grown(start)), delivery: file.end(workshop, labels) }
}

/// What can be healed by reading a partition again is healed for that partition alone.
fn of_partition(error: TaskError, tp: &TopicPartition) -> TaskError {
    if error.kind == ErrorKind::Rewind && error.back_to.is_empty() { error.back_to(tp.clone(), None) } else { error }
}

#[cfg(test)]
mod tests;
