//! The sink task: stages 4 to 7 composed.
//!
//! `put`: paths → writer (on the CPU pool) → groups of files that ended → published beside the task. What is durable comes out of the ledgers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::Array;
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use lakehead_formats::column::Reject;
use tokio_util::task::AbortOnDropHandle;

use super::file::{Labels, OpenFile, Ready, Workshop, store_error};
use super::ledger::Ledger;
use super::writer::{Ended, Plan, Writer, without};
use crate::batch::{Batch, OffsetRange, Offsets, TopicPartition};
use crate::connect::{ErrorKind, SinkTask, TaskContext, TaskError, TaskReport};
use crate::partition::Paths;
use crate::roll::Reason;
use crate::store::Condition;

/// Groups on their way at which a task takes no more records.
const GROUPS_BOUND: usize = 64;
/// Objects of one group that are made visible at once.
const PUBLISH_AT_ONCE: usize = 8;
/// Waiting rows below this many bytes are not worth a row group of their own when memory is short.
const WORTH_ENCODING: u64 = 64 << 10;

/// The best that a task can promise.
pub(super) const EXACTLY_ONCE: &str = "exactly-once";

/// What to do with a null value (`behavior.on.null.values`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnNull {
    /// The task fails.
    Fail,
    /// The record is left out, and counted.
    Ignore,
}

/// The sink task of the cloud storage connectors.
pub(super) struct CloudStorageTask {
    pub(super) cx: TaskContext,
    pub(super) plan: Arc<Plan>,
    pub(super) workshop: Workshop,
    pub(super) on_null: OnNull,
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
    files: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
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
        let (plan, now, on_null, tolerates) = (Arc::clone(&self.plan), self.cx.env.clock.now(), self.on_null, self.cx.tolerates);
        let job = move || {
            let outcome = take(&mut writer, batch, &plan, now, on_null, tolerates);
            (writer, outcome)
        };
        let (writer, outcome) = self.workshop.compute.run(job).await;
        self.partitions.insert(from.clone(), Owned { writer, ledger });
        let Taken { ended, rejects, ignored_nulls } = outcome?;
        self.counts.ignored_nulls.fetch_add(ignored_nulls, Ordering::Relaxed);
        for group in ended {
            if group.reason == Reason::SchemaChange && group.files.iter().any(OpenFile::is_inferred) {
                self.counts.late_widenings.fetch_add(1, Ordering::Relaxed);
            }
            self.publish(&from, group);
        }
        if let Some(owned) = self.partitions.get_mut(&from) {
            let due = |staged: u64| staged >= self.row_group_bytes;
            owned.writer.open_files().filter(|f| due(f.staged_bytes())).for_each(|f| f.encode_staged(&self.workshop));
        }
        Ok(rejects)
    }

    fn has_room(&self) -> bool {
        self.partitions.values().map(|p| p.ledger.pending()).sum::<usize>() < GROUPS_BOUND
    }

    fn relieve(&mut self) {
        if self.workshop.is_encoding() {
            return; // what is being encoded frees memory when it is done
        }
        let goal = self.workshop.memory.limit() / 4;
        let mut waiting: Vec<_> = self.partitions.values_mut().flat_map(|p| p.writer.open_files()).filter(|f| f.staged_bytes() >= WORTH_ENCODING).collect();
        waiting.sort_by_key(|f| std::cmp::Reverse(f.staged_bytes()));
        let mut freed = 0;
        for file in waiting {
            if freed >= goal {
                break;
            }
            freed += file.staged_bytes();
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
            if let Some(offset) = owned.ledger.durable().await? {
                offsets.insert(tp.clone(), offset);
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
            files: load(&self.counts.files),
            rows: load(&self.counts.rows),
            bytes: load(&self.counts.bytes),
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
        let Ended { files, end, reason } = group;
        let connector = Arc::clone(&self.cx.connector);
        let mut deliveries = Vec::with_capacity(files.len());
        for file in files {
            let offsets = OffsetRange { start: file.start, end: file.end };
            let labels = Labels(vec![
                ("lakehead-connector", connector.to_string()),
                ("lakehead-topic", from.topic.to_string()),
                ("lakehead-partition", from.partition.to_string()),
                ("lakehead-offsets", offsets.to_string()),
                ("lakehead-rows", file.rows.to_string()),
            ]);
            deliveries.push((offsets, file.end(&self.workshop, labels)));
        }
        let (counts, progress) = (Arc::clone(&self.counts), Arc::clone(&self.cx.progress));
        let work = async move {
            let outcome = publish_group(deliveries, reason, &connector, &counts).await;
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

/// What a batch led to.
struct Taken {
    ended: Vec<Ended>,
    rejects: Vec<Reject>,
    ignored_nulls: u64,
}

/// One batch through stages 4 and 5; runs on the CPU pool.
fn take(writer: &mut Writer, batch: Batch, plan: &Plan, now: chrono::DateTime<chrono::Utc>, on_null: OnNull, tolerates: bool) -> Result<Taken, TaskError> {
    let offsets = batch.offsets.clone();
    let (batch, ignored_nulls) = without_nulls(batch, on_null)?;
    let mut paths = if batch.is_empty() { Paths::default() } else { plan.partitioner.paths(&batch, now) };
    if let Some(first) = paths.rejects.first().filter(|_| !tolerates) {
        return Err(reject_error(&batch, first));
    }
    let ended = writer.write(&batch, &paths, plan, now).map_err(|e| TaskError::new(ErrorKind::Bug, e.to_string()).with("partition", &batch.from))?;
    let mut rejects = std::mem::take(&mut paths.rejects);
    for reject in rejects.iter_mut().filter(|_| ignored_nulls > 0) {
        // Numbered as in the batch that came, which had the nulls.
        let offset = batch.offsets.values().get(reject.row);
        reject.row = offset.and_then(|offset| offsets.values().binary_search(offset).ok()).unwrap_or(reject.row);
    }
    Ok(Taken { ended, rejects, ignored_nulls })
}

fn reject_error(batch: &Batch, reject: &Reject) -> TaskError {
    let offset = batch.offsets.values().get(reject.row).copied().unwrap_or(batch.span.start);
    TaskError::new(ErrorKind::BadRecord, reject.reason.clone()).with("partition", &batch.from).with("offset", offset)
}

/// Applies `behavior.on.null.values`.
fn without_nulls(batch: Batch, on_null: OnNull) -> Result<(Batch, u64), TaskError> {
    let values = &batch.value.array;
    // Logical ones: a batch of tombstones alone may be an array of the null type, which has no bitmap.
    let Some(mask) = values.logical_nulls().filter(|mask| mask.null_count() > 0) else { return Ok((batch, 0)) };
    let nulls = (0..values.len()).filter(|row| mask.is_null(*row));
    match on_null {
        OnNull::Fail => {
            let reason = "null value (tombstone); set behavior.on.null.values=ignore to leave such records out".to_owned();
            Err(reject_error(&batch, &Reject { row: nulls.min().unwrap_or(0), reason }))
        }
        OnNull::Ignore => {
            let rejects: Vec<Reject> = nulls.map(|row| Reject { row, reason: String::new() }).collect();
            let kept = without(&batch, &rejects).map_err(|e| TaskError::new(ErrorKind::Bug, e.to_string()))?;
            Ok((kept, rejects.len() as u64))
        }
    }
}

type Delivered = AbortOnDropHandle<Result<Ready, TaskError>>;

/// Waits until every file of the group is whole, then makes them visible.
async fn publish_group(deliveries: Vec<(OffsetRange, Delivered)>, reason: Reason, connector: &str, counts: &Counts) -> Result<(), TaskError> {
    let mut whole = Vec::with_capacity(deliveries.len());
    for (offsets, delivery) in deliveries {
        let ready = delivery.await.unwrap_or_else(|e| Err(TaskError::new(ErrorKind::Bug, format!("encoding a file ended early: {e}"))))?;
        whole.push((offsets, ready));
    }
    let publish = |(offsets, mut ready): (OffsetRange, Ready)| async move {
        ready.upload.publish(Condition::Overwrite).await.map_err(store_error)?;
        counts.files.fetch_add(1, Ordering::Relaxed);
        counts.rows.fetch_add(ready.stats.rows, Ordering::Relaxed);
        counts.bytes.fetch_add(ready.stats.bytes, Ordering::Relaxed);
        tracing::info!(connector, key = %ready.key, %offsets, rows = ready.stats.rows, bytes = ready.stats.bytes, reason = reason.as_str(), "published");
        Ok::<(), TaskError>(())
    };
    stream::iter(whole).map(publish).buffer_unordered(PUBLISH_AT_ONCE).try_collect().await
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, NullArray, StringArray, TimestampMillisecondArray};
    use arrow::datatypes::Field;
    use lakehead_formats::column::Column;

    use super::*;

    fn batch(values: ArrayRef) -> Batch {
        let n = values.len();
        let column = |array: ArrayRef| Column::new(Arc::new(Field::new("c", array.data_type().clone(), true)), array);
        Batch {
            from: TopicPartition::new("t", 0),
            span: OffsetRange { start: 10, end: 10 + n as i64 },
            topic: "t".into(),
            offsets: Int64Array::from_iter_values(10..10 + n as i64),
            timestamps: TimestampMillisecondArray::from(vec![None; n]),
            key: column(Arc::new(NullArray::new(n))),
            value: column(values),
            headers: None,
        }
    }

    #[test]
    fn null_values_are_left_out_or_fail_the_task_at_their_offset() {
        let cases: [(ArrayRef, Vec<i64>, u64, Option<i64>); 3] = [
            (Arc::new(StringArray::from(vec!["a", "b"])), vec![10, 11], 0, None),
            (Arc::new(StringArray::from(vec![Some("a"), None, Some("c")])), vec![10, 12], 1, Some(11)),
            // Tombstones alone, before any schema was seen.
            (Arc::new(NullArray::new(2)), vec![], 2, Some(10)),
        ];
        for (values, kept, ignored, fails_at) in cases {
            let (rest, count) = without_nulls(batch(Arc::clone(&values)), OnNull::Ignore).unwrap();
            assert_eq!((rest.offsets.values().to_vec(), count), (kept, ignored));
            let failed = without_nulls(batch(values), OnNull::Fail).err().map(|e| e.to_string());
            assert_eq!(failed.is_some(), fails_at.is_some());
            assert!(fails_at.is_none_or(|offset| failed.as_ref().is_some_and(|f| f.contains(&format!("partition=t-0, offset={offset}")))), "{failed:?}");
        }
    }
}
