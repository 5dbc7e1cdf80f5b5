//! The sink task: records wait by the name of their object, and every interval all of them are written.
//!
//! Upstream collects in `put` and writes in `flush`, at each commit of the framework. Here a flush is begun by the interval, or early when memory is used up;
//! it goes on beside the task, and its offsets count once every object of it is visible. A replay from the committed offset writes records again, in files
//! that may be cut elsewhere: at-least-once, as upstream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, UInt32Array};
use arrow::compute::take;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::file::{FileStats, FormatError, RecordCompression, RecordFile, RecordLayout};
use tokio_util::task::AbortOnDropHandle;

use super::config::Settings;
use super::groups::Groups;
use super::rows::rows;
use crate::batch::{Batch, Commits, Committed, OffsetRange, TopicPartition};
use crate::connect::{ErrorKind, SinkTask, TaskContext, TaskError, TaskReport};
use crate::connectors::cloud_storage::store_error;
use crate::memory::{Budget, Permit};
use crate::partition::{Rows, split_rows};
use crate::store::{Chunk, Condition, ObjectSink};

/// Objects of one flush that are written at once.
const AT_ONCE: usize = 8;

/// The sink task.
pub(super) struct AivenTask {
    cx: TaskContext,
    settings: Arc<Settings>,
    store: Arc<dyn ObjectSink>,
    partitions: BTreeMap<TopicPartition, Owned>,
    next_flush: DateTime<Utc>,
    counts: Arc<Counts>,
}

/// Figures that the background work adds to.
#[derive(Debug, Default)]
struct Counts {
    files: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    early_closes: AtomicU64,
}

/// A topic partition that is ours.
#[derive(Default)]
struct Owned {
    groups: Groups,
    files: BTreeMap<Arc<str>, Vec<Piece>>,
    /// End of the last span that was taken.
    position: Option<i64>,
    flush: Option<Flush>,
    durable: Option<i64>,
}

/// Rows that wait.
struct Piece {
    offsets: OffsetRange,
    rows: Column,
    permit: Permit,
}

/// Objects on their way.
struct Flush {
    end: i64,
    work: AbortOnDropHandle<Result<(), TaskError>>,
}

impl AivenTask {
    pub(super) fn new(cx: TaskContext, settings: Settings, store: Arc<dyn ObjectSink>) -> Self {
        let next_flush = cx.env.clock.now() + chrono::TimeDelta::milliseconds(settings.flush_ms);
        Self { cx, settings: Arc::new(settings), store, partitions: BTreeMap::new(), next_flush, counts: Arc::default() }
    }

    /// Begins to write what waits, of these partitions, where nothing is being written already.
    fn flush(&mut self, which: impl Fn(&TopicPartition) -> bool) -> u64 {
        let mut begun = 0;
        for (from, owned) in self.partitions.iter_mut().filter(|(from, _)| which(from)) {
            let (None, Some(end)) = (&owned.flush, owned.position) else { continue };
            if owned.files.is_empty() {
                continue;
            }
            begun += 1;
            owned.groups.clear();
            let work = Work {
                store: Arc::clone(&self.store),
                settings: Arc::clone(&self.settings),
                env: self.cx.env.clone(),
                counts: Arc::clone(&self.counts),
                labels: vec![
                    ("lakehead-connector", self.cx.connector.to_string()),
                    ("lakehead-topic", from.topic.to_string()),
                    ("lakehead-partition", from.partition.to_string()),
                ],
            };
            let (files, progress) = (std::mem::take(&mut owned.files), Arc::clone(&self.cx.progress));
            let job = async move {
                let write = |(name, pieces): (Arc<str>, Vec<Piece>)| work.object(name, pieces);
                let outcome = stream::iter(files).map(write).buffer_unordered(AT_ONCE).try_collect::<()>().await;
                progress.notify_one();
                outcome
            };
            owned.flush = Some(Flush { end, work: AbortOnDropHandle::new(tokio::spawn(job)) });
        }
        begun
    }
}

impl Owned {
    /// Takes the outcome of a flush that is over.
    async fn settle(&mut self) -> Result<(), TaskError> {
        if let Some(mut flush) = self.flush.take_if(|flush| flush.work.is_finished()) {
            outcome((&mut flush.work).await)?;
            self.durable = Some(flush.end);
        }
        if self.flush.is_none() && self.files.is_empty() {
            self.durable = self.durable.max(self.position);
        }
        Ok(())
    }

    /// Sorts the rows of a batch by their object; comes back with rows that have none.
    fn take(&mut self, batch: &Batch, settings: &Settings, memory: &Budget, now: DateTime<Utc>, tolerates: bool) -> Result<Vec<Reject>, TaskError> {
        let bug = |error: arrow::error::ArrowError| TaskError::new(ErrorKind::Bug, error.to_string()).with("partition", &batch.from);
        if batch.topic != batch.from.topic && !batch.is_empty() {
            let message =
                format!("a transform renames the topic to '{}': two topics could write the same objects; leave it out for this connector", batch.topic);
            return Err(TaskError::new(ErrorKind::BadConfig, message).with("partition", &batch.from));
        }
        let content = rows(settings, batch).map_err(bug)?;
        if let Err(error) = probe(settings.layout, &content) {
            let rejects = (0..batch.len()).map(|row| Reject { row, reason: error.to_string() }).collect();
            return self.rejected(batch, rejects, tolerates);
        }
        let paths = self.groups.assign(&settings.names, batch, now);
        if !paths.rejects.is_empty() && !tolerates {
            return self.rejected(batch, paths.rejects, tolerates);
        }
        self.position = Some(batch.span.end);
        for (code, which) in split_rows(&paths.codes, 0..batch.len(), paths.distinct.len()) {
            let Some(name) = paths.distinct.get(code as usize) else { continue };
            let which = match which {
                Rows::All if settings.names.keeps_last() => UInt32Array::from_iter_values(u32::try_from(batch.len().saturating_sub(1))),
                Rows::Take(rows) if settings.names.keeps_last() => rows.slice(rows.len().saturating_sub(1), 1),
                Rows::Take(rows) => rows,
                Rows::All => UInt32Array::from_iter_values((0_u32..).take(batch.len())),
            };
            let array = if which.len() == batch.len() { Arc::clone(&content.array) } else { take(&content.array, &which, None).map_err(bug)? };
            let bytes = u64::try_from(array.get_array_memory_size()).unwrap_or(u64::MAX);
            let ends = which.values().first().zip(which.values().last()).map(|(first, last)| (*first as usize, *last as usize));
            let offsets = ends.map_or(batch.span, |(first, last)| OffsetRange { start: batch.offsets.value(first), end: batch.offsets.value(last) + 1 });
            let piece = Piece { offsets, rows: Column::new(Arc::clone(&content.field), array), permit: memory.take(bytes) };
            let pieces = self.files.entry(Arc::clone(name)).or_default();
            if settings.names.keeps_last() {
                pieces.clear();
            }
            pieces.push(piece);
        }
        Ok(paths.rejects)
    }

    fn rejected(&mut self, batch: &Batch, rejects: Vec<Reject>, tolerates: bool) -> Result<Vec<Reject>, TaskError> {
        if let Some(first) = rejects.first().filter(|_| !tolerates) {
            let offset = batch.offsets.values().get(first.row).copied().unwrap_or(batch.span.start);
            return Err(TaskError::new(ErrorKind::BadRecord, first.reason.clone()).with("partition", &batch.from).with("offset", offset));
        }
        self.position = Some(batch.span.end);
        Ok(rejects)
    }

    fn rows(&self) -> u64 {
        self.files.values().flatten().map(|piece| u64::try_from(piece.rows.len()).unwrap_or(u64::MAX)).sum()
    }
}

/// Whether a layout has a form for these rows: asked before they are taken, so that a record that cannot be written is a bad record.
fn probe(layout: RecordLayout, rows: &Column) -> Result<(), FormatError> {
    RecordFile::new(layout, RecordCompression::None)?.write(&rows.slice(0, rows.len().min(1)))
}

/// What writes objects.
struct Work {
    store: Arc<dyn ObjectSink>,
    settings: Arc<Settings>,
    env: crate::env::Env,
    counts: Arc<Counts>,
    labels: Vec<(&'static str, String)>,
}

impl Work {
    /// Encodes, uploads and publishes one object.
    async fn object(&self, name: Arc<str>, pieces: Vec<Piece>) -> Result<(), TaskError> {
        let mut upload = self.store.open(name.to_string(), content_type(&self.settings), self.labels(&pieces));
        let written = self.write(upload.as_mut(), pieces).await;
        let stats = match written {
            Ok(stats) => stats,
            Err(error) => {
                upload.abort().await;
                return Err(error.with("key", &name));
            }
        };
        upload.publish(Condition::Overwrite).await.map_err(store_error)?;
        self.counts.files.fetch_add(1, Ordering::Relaxed);
        self.counts.rows.fetch_add(stats.rows, Ordering::Relaxed);
        self.counts.bytes.fetch_add(stats.bytes, Ordering::Relaxed);
        tracing::info!(key = %name, rows = stats.rows, bytes = stats.bytes, "published");
        Ok(())
    }

    fn labels(&self, pieces: &[Piece]) -> Vec<(&'static str, String)> {
        let mut labels = self.labels.clone();
        if let (Some(first), Some(last)) = (pieces.first(), pieces.last()) {
            labels.push(("lakehead-offsets", OffsetRange { start: first.offsets.start, end: last.offsets.end }.to_string()));
            labels.push(("lakehead-rows", pieces.iter().map(|piece| piece.rows.len()).sum::<usize>().to_string()));
        }
        labels
    }

    async fn write(&self, upload: &mut dyn crate::store::Upload, pieces: Vec<Piece>) -> Result<FileStats, TaskError> {
        let memory = &self.env.memory;
        let chunk = |bytes: bytes::Bytes| Chunk { permit: memory.take(u64::try_from(bytes.len()).unwrap_or(u64::MAX)), bytes };
        let mut file = RecordFile::new(self.settings.layout, self.settings.compression).map_err(|error| format_error(&error))?;
        for piece in pieces {
            let job = move || {
                let Piece { rows, permit, .. } = piece;
                file.write(&rows)?;
                drop((rows, permit));
                let bytes = file.take();
                Ok::<_, FormatError>((file, bytes))
            };
            let bytes;
            (file, bytes) = self.env.compute.run(job).await.map_err(|error| format_error(&error))?;
            if let Some(bytes) = bytes {
                upload.write(chunk(bytes)).await.map_err(store_error)?;
            }
        }
        let (rest, stats) = self.env.compute.run(move || file.finish()).await.map_err(|error| format_error(&error))?;
        if !rest.is_empty() {
            upload.write(chunk(rest)).await.map_err(store_error)?;
        }
        upload.seal(Vec::new()).await.map_err(store_error)?;
        Ok(stats)
    }
}

fn content_type(settings: &Settings) -> &'static str {
    match (settings.compression, settings.layout) {
        (RecordCompression::Gzip, _) => "application/gzip",
        (RecordCompression::Zstd, _) => "application/zstd",
        (RecordCompression::Snappy, _) => "application/octet-stream",
        (RecordCompression::None, RecordLayout::Csv { .. }) => "text/csv",
        (RecordCompression::None, RecordLayout::JsonArray) => "application/json",
        (RecordCompression::None, RecordLayout::JsonLines) => "application/x-ndjson",
    }
}

fn format_error(error: &FormatError) -> TaskError {
    let kind = if matches!(error, FormatError::Encode { .. }) { ErrorKind::Bug } else { ErrorKind::BadRecord };
    TaskError::new(kind, error.to_string())
}

fn outcome(joined: Result<Result<(), TaskError>, tokio::task::JoinError>) -> Result<(), TaskError> {
    joined.unwrap_or_else(|error| Err(TaskError::new(ErrorKind::Bug, format!("writing files ended early: {error}"))))
}

#[async_trait]
impl SinkTask for AivenTask {
    async fn start(&mut self) -> Result<(), TaskError> {
        self.store.check().await.map_err(store_error)
    }

    async fn open(&mut self, partitions: &[TopicPartition], _committed: &Commits) -> Result<(), TaskError> {
        self.partitions.extend(partitions.iter().map(|from| (from.clone(), Owned::default())));
        Ok(())
    }

    async fn put(&mut self, batch: Batch) -> Result<Vec<Reject>, TaskError> {
        let Some(mut owned) = self.partitions.remove(&batch.from) else {
            return Err(TaskError::new(ErrorKind::Bug, "records of a partition that is not assigned").with("partition", &batch.from));
        };
        let from = batch.from.clone();
        let (settings, memory, now, tolerates) = (Arc::clone(&self.settings), self.cx.env.memory.clone(), self.cx.env.clock.now(), self.cx.tolerates);
        let job = move || {
            let outcome = owned.take(&batch, &settings, &memory, now, tolerates);
            (owned, outcome)
        };
        let (owned, outcome) = self.cx.env.compute.run(job).await;
        self.partitions.insert(from, owned);
        outcome
    }

    fn relieve(&mut self) -> bool {
        if self.partitions.values().all(|owned| owned.flush.is_none()) {
            let begun = self.flush(|_| true);
            if begun > 0 {
                self.counts.early_closes.fetch_add(begun, Ordering::Relaxed);
                tracing::warn!(connector = %self.cx.connector, "lakehead.memory.limit is used up: files end before offset.flush.interval.ms");
            }
        }
        false
    }

    async fn tick(&mut self) -> Result<(), TaskError> {
        let now = self.cx.env.clock.now();
        for owned in self.partitions.values_mut() {
            owned.settle().await?;
        }
        if now >= self.next_flush {
            self.next_flush = now + chrono::TimeDelta::milliseconds(self.settings.flush_ms);
            self.flush(|_| true);
        }
        Ok(())
    }

    async fn pre_commit(&mut self) -> Result<Commits, TaskError> {
        let mut commits = Commits::new();
        for (from, owned) in &mut self.partitions {
            owned.settle().await?;
            commits.extend(owned.durable.map(|offset| (from.clone(), Committed::at(offset))));
        }
        Ok(commits)
    }

    fn finish(&mut self, partitions: &[TopicPartition]) -> bool {
        // as upstream, where the framework flushes before partitions go away
        self.flush(|from| partitions.contains(from));
        self.partitions.iter().any(|(from, owned)| owned.flush.is_some() && partitions.contains(from))
    }

    async fn close(&mut self, partitions: &[TopicPartition]) {
        self.partitions.retain(|from, _| !partitions.contains(from));
    }

    fn report(&self) -> TaskReport {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let clock = if self.settings.names.is_wallclock() { " and names" } else { "" };
        TaskReport {
            guarantee: format!("at-least-once: the clock decides when files end{clock}"),
            files: load(&self.counts.files),
            rows: load(&self.counts.rows),
            bytes: load(&self.counts.bytes),
            open_rows: self.partitions.values().map(Owned::rows).sum(),
            open_files: self.partitions.values().map(|owned| u64::try_from(owned.files.len()).unwrap_or(u64::MAX)).sum(),
            early_closes: load(&self.counts.early_closes),
            ignored_nulls: 0,
        }
    }
}

#[cfg(test)]
mod tests;
