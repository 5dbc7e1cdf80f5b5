//! The sink task: stages 4 to 7 composed.
//!
//! `put`: paths → writer (on the CPU pool) → groups of files that ended → published beside the task. What is durable comes out of the ledgers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lakehead_formats::column::Reject;
use tokio_util::task::AbortOnDropHandle;

use super::file::{Labels, OpenFile, Workshop, store_error};
use super::intake::{self, Taken};
use super::ledger::Ledger;
use super::publish::{Figures, Object, Publishing, Rules};
use super::writer::{Ended, Plan, Writer};
use crate::batch::{Batch, OffsetRange, Offsets, TopicPartition};
use crate::connect::{ErrorKind, SinkTask, TaskContext, TaskError, TaskReport};
use crate::roll::Reason;

/// Groups on their way at which a task takes no more records.
const GROUPS_BOUND: usize = 64;
/// Waiting rows below this many bytes are not worth a row group of their own when memory is short.
const WORTH_ENCODING: u64 = 64 << 10;

/// The best that a task can promise.
pub(super) const EXACTLY_ONCE: &str = "exactly-once";

/// The sink task of the cloud storage connectors.
pub(super) struct CloudStorageTask {
    pub(super) cx: TaskContext,
    pub(super) plan: Arc<Plan>,
    pub(super) workshop: Workshop,
    pub(super) rules: Rules,
    /// Bytes of waiting rows at which a file's row group is encoded.
    pub(super) row_group_bytes: u64,
    pub(super) guarantee: String,
    pub(super) partitions: BTreeMap<TopicPartition, Owned>,
    /// Last word on partitions that were closed, until it is asked for.
    pub(super) closed: Offsets,
    pub(super) counts: Arc<Counts>,
}

/// A topic partition that is ours.
pub(super) struct Owned {
    writer: Writer,
    ledger: Ledger,
}

/// Figures that the background work adds to.
#[derive(Debug, Default)]
pub(super) struct Counts {
    published: Arc<Figures>,
    early_closes: AtomicU64,
    /// Files that ended because an inferred schema widened after encoding had begun.
    late_widenings: AtomicU64,
    ignored_nulls: AtomicU64,
}

#[async_trait]
impl SinkTask for CloudStorageTask {
    async fn start(&mut self) -> Result<(), TaskError> {
        self.workshop.store.check().await.map_err(store_error)
    }

    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<(), TaskError> {
        for tp in partitions {
            self.partitions.insert(tp.clone(), Owned { writer: Writer::new(tp.clone()), ledger: Ledger::default() });
        }
        Ok(())
    }

    async fn put(&mut self, batch: Batch) -> Result<Vec<Reject>, TaskError> {
        let Some(Owned { mut writer, ledger }) = self.partitions.remove(&batch.from) else {
            return Err(TaskError::new(ErrorKind::Bug, "records of a partition that is not assigned").with("partition", &batch.from));
        };
        let from = batch.from.clone();
        let (plan, now, tolerates) = (Arc::clone(&self.plan), self.cx.env.clock.now(), self.cx.tolerates);
        let job = move || {
            let outcome = intake::take(&mut writer, batch, &plan, now, tolerates);
            (writer, outcome)
        };
        let (writer, outcome) = self.workshop.compute.run(job).await;
        self.partitions.insert(from.clone(), Owned { writer, ledger });
        let Taken { ended, rejects, ignored_nulls, error } = outcome?;
        self.counts.ignored_nulls.fetch_add(ignored_nulls, Ordering::Relaxed);
        for group in ended {
            if group.reason == Reason::SchemaChange && group.files.iter().any(OpenFile::is_inferred) {
                self.counts.late_widenings.fetch_add(1, Ordering::Relaxed);
            }
            self.publish(&from, group);
        }
        if let Some(owned) = self.partitions.get_mut(&from) {
            let due = |staged: u64| staged >= self.row_group_bytes;
            owned.writer.open_files().filter(|f| due(f.encodable_bytes())).for_each(|f| f.encode_staged(&self.workshop));
        }
        error.map_or(Ok(rejects), Err)
    }

    fn has_room(&self) -> bool {
        self.partitions.values().map(|p| p.ledger.pending()).sum::<usize>() < GROUPS_BOUND
    }

    fn relieve(&mut self) {
        if self.workshop.is_encoding() {
            return; // what is being encoded frees memory when it is done
        }
        let goal = self.workshop.memory.limit() / 4;
        let mut waiting: Vec<_> = self.partitions.values_mut().flat_map(|p| p.writer.open_files()).filter(|f| f.encodable_bytes() >= WORTH_ENCODING).collect();
        waiting.sort_by_key(|f| std::cmp::Reverse(f.encodable_bytes()));
        let mut freed = 0;
        for file in waiting {
            if freed >= goal {
                break;
            }
            freed += file.encodable_bytes();
            file.encode_staged(&self.workshop);
        }
        let is_publishing = self.partitions.values().any(|p| p.ledger.pending() > 0);
        if freed == 0 && !is_publishing {
            self.close_early();
        }
    }

    async fn tick(&mut self) -> Result<(), TaskError> {
        let now = self.cx.env.clock.now();
        let due: Vec<_> = self.partitions.iter_mut().filter_map(|(tp, p)| Some((tp.clone(), p.writer.tick(&self.plan, now)?))).collect();
        for (tp, ended) in due {
            self.publish(&tp, ended);
        }
        Ok(())
    }

    async fn durable(&mut self) -> Result<Offsets, TaskError> {
        let mut offsets = std::mem::take(&mut self.closed);
        for (tp, owned) in &mut self.partitions {
            if let Some(position) = owned.writer.idle_position().filter(|_| owned.ledger.pending() == 0) {
                owned.ledger.pass(position);
            }
            match owned.ledger.durable().await {
                Ok(Some(offset)) => drop(offsets.insert(tp.clone(), offset)),
                Ok(None) => {}
                Err(error) => {
                    self.closed = offsets; // what the others have done still counts
                    return Err(error);
                }
            }
        }
        Ok(offsets)
    }

    async fn close(&mut self, partitions: &[TopicPartition], patience: Duration) -> Result<(), TaskError> {
        let mut settling = Vec::new();
        for tp in partitions {
            if let Some(Owned { writer, mut ledger }) = self.partitions.remove(tp) {
                if let Some(position) = writer.idle_position().filter(|_| ledger.pending() == 0) {
                    ledger.pass(position);
                }
                writer.discard();
                settling.push(async move { ledger.settle(patience).await.map(|offset| offset.map(|o| (tp.clone(), o))) });
            }
        }
        for settled in futures::future::join_all(settling).await {
            if let Some((tp, offset)) = settled? {
                self.closed.insert(tp, offset);
            }
        }
        Ok(())
    }

    fn report(&self) -> TaskReport {
        let (open_files, open_rows) = self.partitions.values().map(|p| p.writer.open()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        TaskReport {
            guarantee: self.guarantee_now(),
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
    /// The guarantee of the configuration, unless this run has ended files where the records alone would not have.
    fn guarantee_now(&self) -> String {
        let has = |count: &AtomicU64| count.load(Ordering::Relaxed) > 0;
        if self.guarantee != EXACTLY_ONCE {
            self.guarantee.clone()
        } else if has(&self.counts.early_closes) {
            "at-least-once: files ended early because memory ran out; raise lakehead.memory.limit".to_owned()
        } else if has(&self.counts.late_widenings) {
            "at-least-once: an inferred schema widened after encoding had begun; declare value.schema".to_owned()
        } else {
            self.guarantee.clone()
        }
    }

    /// Has a group of files encoded, uploaded and published, beside the task.
    fn publish(&mut self, from: &TopicPartition, group: Ended) {
        let Some(owned) = self.partitions.get_mut(from) else { return };
        let Ended { files, end, reason, names } = group;
        let connector = Arc::clone(&self.cx.connector);
        let mut objects = Vec::with_capacity(files.len());
        for file in files {
            let offsets = OffsetRange { start: file.start, end: file.end };
            let leads = file.leads;
            let labels = Labels(vec![
                ("lakehead-connector", connector.to_string()),
                ("lakehead-topic", from.topic.to_string()),
                ("lakehead-partition", from.partition.to_string()),
                ("lakehead-offsets", offsets.to_string()),
                ("lakehead-rows", file.rows.to_string()),
            ]);
            objects.push(Object { offsets, leads, delivery: file.end(&self.workshop, labels) });
        }
        let publishing = Publishing {
            connector,
            from: from.clone(),
            reason,
            names,
            rules: self.rules.clone(),
            store: Arc::clone(&self.workshop.store),
            figures: Arc::clone(&self.counts.published),
        };
        let progress = Arc::clone(&self.cx.progress);
        let work = async move {
            let outcome = publishing.run(objects).await;
            progress.notify_one();
            outcome
        };
        owned.ledger.add(end, AbortOnDropHandle::new(tokio::spawn(work)));
    }

    /// The last resort when memory is short: ends the files of the partition that holds most.
    fn close_early(&mut self) {
        let ratio = Arc::clone(&self.workshop.ratio);
        let held = |p: &mut Owned| p.writer.open_files().map(|f| f.held_bytes(&ratio)).sum::<u64>();
        let most = self.partitions.iter_mut().map(|(tp, p)| (held(p), tp.clone())).max();
        let Some((bytes, tp)) = most.filter(|(bytes, _)| *bytes > 0) else { return };
        let Some(ended) = self.partitions.get_mut(&tp).and_then(|p| p.writer.end(Reason::Memory)) else { return };
        self.counts.early_closes.fetch_add(ended.files.len() as u64, Ordering::Relaxed);
        tracing::warn!(connector = %self.cx.connector, partition = %tp, files = ended.files.len(), bytes, "lakehead.memory.limit is used up: files end early");
        self.publish(&tp, ended);
    }
}
