//! A file on its way from rows to an object: encoded a row group at a time, uploaded as the bytes come, whole and invisible at the end.
//!
//! ```text
//! rows ─► wait for a turn ─► encode one row group (CPU pool) ─► upload what is finished ─► … ─► last row group and footer ─► seal
//! ```
//! However many files are due or end at once, only as many have a turn as the memory for deliveries allows: a turn is taken for a row group's worth of
//! memory, and held until its bytes are handed over (the last one until the object is whole). Rows that wait for a turn wait where they were, in memory or on disk.
//! Small objects, which are one request when they are published, wait for that on disk when memory is short.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::FieldRef;
use async_trait::async_trait;
use bytes::Bytes;
use lakehead_formats::file::{Encoder, FileFormat, FileStats, FormatError};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::file::{Labels, Ratio};
use super::staging::{Joined, Lost, Piece, Waiting};
use crate::compute::Compute;
use crate::connect::{ErrorKind, TaskError};
use crate::memory::{Budget, Permit, Turn, Turns};
use crate::spill::Place;
use crate::store::{Chunk, Condition, ObjectSink, Published, StoreError, StoreErrorKind, Upload};

/// Rows that an encoder holds before it encodes the first.
const FIRST_BYTES: u64 = 8 << 20;
/// Memory of an encoder beside its rows.
const ENCODER_BYTES: u64 = 1 << 20;
/// Objects below this size may wait on disk until they are published: every store takes them in one request.
const PARKED_BYTES: u64 = 5 << 20;

/// What every file of a task needs.
#[derive(Debug, Clone)]
pub(super) struct Workshop {
    pub(super) connector: Arc<str>,
    pub(super) store: Arc<dyn ObjectSink>,
    pub(super) compute: Compute,
    /// What waiting rows hold.
    pub(super) memory: Budget,
    /// What encoders and uploads hold.
    pub(super) deliveries: Budget,
    /// When they may begin.
    turns: Turns,
    pub(super) ratio: Arc<Ratio>,
    /// Bytes of waiting rows at which a file's row group is encoded.
    pub(super) row_group_bytes: u64,
    /// Work that frees memory when it is done: row groups that wait for a turn or are being encoded, and runs that are being spilled.
    pub(super) busy: Arc<AtomicU64>,
}

impl Workshop {
    /// A workshop in which row groups have `row_group_bytes`, or fewer where memory is small.
    pub(super) fn new(connector: Arc<str>, store: Arc<dyn ObjectSink>, compute: Compute, memory: Budget, ratio: Arc<Ratio>, row_group_bytes: u64) -> Self {
        let row_group_bytes = row_group_bytes.min(memory.limit() / 4).max(1);
        Self { connector, store, compute, deliveries: memory.deliveries(), turns: memory.turns(), memory, ratio, row_group_bytes, busy: Arc::default() }
    }

    /// True while something goes on that frees memory.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) > 0
    }

    /// Waits for a turn to encode so many bytes of rows: an encoder holds the first of them until it knows how to encode them, and what they become.
    async fn turn(&self, raw_bytes: u64) -> Turn {
        self.turns.next(raw_bytes.min(FIRST_BYTES) + self.ratio.apply(raw_bytes) + ENCODER_BYTES).await
    }
}

/// Counts work from the moment it is handed over until it is done or given up.
#[derive(Debug)]
pub(super) struct Busy(Arc<AtomicU64>);

impl Busy {
    pub(super) fn begin(workshop: &Workshop) -> Self {
        workshop.busy.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(&workshop.busy))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A whole object that is not visible yet.
pub(super) struct Ready {
    pub(super) key: String,
    pub(super) stats: FileStats,
    pub(super) upload: Box<dyn Upload>,
}

/// What an object is made of beside its rows.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) key: String,
    pub(super) format: Arc<dyn FileFormat>,
    /// The schema of the rows that are encoded first; of all of them, unless the format [widens](FileFormat::widens).
    pub(super) field: FieldRef,
    /// What the object can say of itself before it is whole.
    pub(super) known: Vec<(&'static str, String)>,
}

struct Work {
    pieces: Vec<Piece>,
    /// The file's schema by now.
    field: FieldRef,
    /// Set with the last rows.
    labels: Option<Labels>,
    busy: Busy,
}

/// The running encoder and upload of one file. Its queue is bounded by the memory budget, of which every row in it has its share.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Bytes of rows that were sent to be encoded.
    pub(super) raw_bytes: u64,
    work: mpsc::UnboundedSender<Work>,
    outcome: AbortOnDropHandle<Result<Ready, TaskError>>,
}

impl Delivery {
    /// Starts a file that gets more rows later.
    pub(super) fn start(workshop: &Workshop, form: Form) -> Self {
        let (work, queue) = mpsc::unbounded_channel();
        let outcome = AbortOnDropHandle::new(tokio::spawn(deliver(workshop.clone(), form, Feed::Queue(queue))));
        Self { raw_bytes: 0, work, outcome }
    }

    /// Has a row group encoded, under the file's schema by now.
    pub(super) fn encode(&mut self, workshop: &Workshop, pieces: Vec<Piece>, field: FieldRef) {
        self.raw_bytes += pieces.iter().map(|piece| piece.bytes).sum::<u64>();
        // A delivery that failed has closed its queue; its error comes out of `outcome`.
        self.work.send(Work { pieces, field, labels: None, busy: Busy::begin(workshop) }).ok();
    }

    /// Has the last rows encoded; the object is whole when the outcome is there.
    pub(super) fn finish(self, workshop: &Workshop, pieces: Vec<Piece>, field: FieldRef, labels: Labels) -> AbortOnDropHandle<Result<Ready, TaskError>> {
        self.work.send(Work { pieces, field, labels: Some(labels), busy: Busy::begin(workshop) }).ok(); // as above
        self.outcome
    }
}

/// Delivers a file of which no row group was encoded before it ended.
pub(super) fn whole(workshop: &Workshop, form: Form, pieces: Vec<Piece>, labels: Labels) -> AbortOnDropHandle<Result<Ready, TaskError>> {
    let work = Work { pieces, field: FieldRef::clone(&form.field), labels: Some(labels), busy: Busy::begin(workshop) };
    AbortOnDropHandle::new(tokio::spawn(deliver(workshop.clone(), form, Feed::Once(Some(work)))))
}

/// Where a delivery's work comes from.
enum Feed {
    Queue(mpsc::UnboundedReceiver<Work>),
    Once(Option<Work>),
}

impl Feed {
    async fn next(&mut self) -> Option<Work> {
        match self {
            Self::Queue(queue) => queue.recv().await,
            Self::Once(work) => work.take(),
        }
    }
}

/// Encodes row groups as they come and uploads the bytes, until the file is whole or given up.
async fn deliver(workshop: Workshop, form: Form, mut feed: Feed) -> Result<Ready, TaskError> {
    let mut upload = None;
    let outcome = encode_and_upload(&workshop, &form, &mut feed, &mut upload).await;
    let key = form.key;
    let error = match (outcome, upload.take()) {
        (Ok(Some(stats)), Some(upload)) => return Ok(Ready { key, stats, upload }),
        (outcome, given_up) => {
            if let Some(mut upload) = given_up {
                upload.abort().await;
            }
            outcome.err()
        }
    };
    Err(error.unwrap_or_else(|| TaskError::new(ErrorKind::Fenced, "the file was given up").with("key", key)))
}

/// The labels of `known`, with `more` in place of those of the same name.
fn of_both(known: &[(&'static str, String)], more: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let is_told_again = |name: &str| more.iter().any(|(other, _)| *other == name);
    known.iter().filter(|(name, _)| !is_told_again(name)).chain(more).cloned().collect()
}

async fn encode_and_upload(workshop: &Workshop, form: &Form, feed: &mut Feed, slot: &mut Option<Box<dyn Upload>>) -> Result<Option<FileStats>, TaskError> {
    let mut encoder: Option<(Box<dyn Encoder>, Permit)> = None;
    // Finished bytes that were not handed over: with fewer than these the object may still wait on disk.
    let (mut finished, mut has_uploaded) = (Vec::new(), false);
    let mut schema = FieldRef::clone(&form.field);
    while let Some(Work { pieces, field, labels, busy }) = feed.next().await {
        let mut waiting = Waiting::new(pieces, field, form.format.widens());
        loop {
            let turn = workshop.turn(waiting.bytes().min(workshop.row_group_bytes)).await;
            let step = Step { workshop: workshop.clone(), format: Arc::clone(&form.format), encoder: encoder.take(), schema, waiting, labels: labels.clone() };
            let done = workshop.compute.run(move || step.run()).await.map_err(|error| task_error(error, &form.key))?;
            (waiting, schema) = (done.waiting, done.schema);
            finished.extend(done.chunks);
            // An object that is whole before its upload begins says everything from the start, which stores that are told no more later keep.
            let known = || of_both(&form.known, labels.as_ref().map_or(&[], |labels| &labels.shown));
            let upload = slot.get_or_insert_with(|| workshop.store.open(form.key.clone(), form.format.content_type(), known()));
            match done.then {
                Then::Whole(stats) => {
                    let labels = labels.unwrap_or_default().shown;
                    match if has_uploaded { Err(finished) } else { park(workshop, finished).await } {
                        Ok(place) => {
                            let parked = |inner| Box::new(Parked { inner, workshop: workshop.clone(), place: Some((place, labels)) }) as Box<dyn Upload>;
                            *slot = slot.take().map(parked);
                        }
                        Err(chunks) => {
                            hand_over(upload.as_mut(), chunks).await?;
                            upload.seal(labels).await.map_err(store_error)?;
                        }
                    }
                    return Ok(Some(stats));
                }
                Then::More(open, held) => {
                    has_uploaded |= size(&finished) >= PARKED_BYTES;
                    if has_uploaded {
                        hand_over(upload.as_mut(), std::mem::take(&mut finished)).await?;
                    }
                    encoder = Some((open, held));
                }
            }
            drop(turn);
            if waiting.is_empty() && labels.is_none() {
                break;
            }
        }
        drop(busy);
    }
    Ok(None)
}

async fn hand_over(upload: &mut dyn Upload, chunks: Vec<Chunk>) -> Result<(), TaskError> {
    for chunk in chunks {
        upload.write(chunk).await.map_err(store_error)?;
    }
    Ok(())
}

/// One row group on the CPU pool.
struct Step {
    workshop: Workshop,
    format: Arc<dyn FileFormat>,
    encoder: Option<(Box<dyn Encoder>, Permit)>,
    /// Of the rows before.
    schema: FieldRef,
    waiting: Waiting,
    /// Set when these are the file's last rows.
    labels: Option<Labels>,
}

struct Stepped {
    /// Of the last rows.
    schema: FieldRef,
    /// Rows of later row groups.
    waiting: Waiting,
    chunks: Vec<Chunk>,
    then: Then,
}

enum Then {
    More(Box<dyn Encoder>, Permit),
    Whole(FileStats),
}

/// Why a row group could not be encoded.
enum Trouble {
    Format(FormatError),
    Rows(Lost),
}

impl From<FormatError> for Trouble {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

impl Step {
    fn run(self) -> Result<Stepped, Trouble> {
        let Self { workshop, format, encoder, mut schema, mut waiting, labels } = self;
        let (mut encoder, mut held) = match encoder {
            Some(open) => open,
            None => {
                schema = FieldRef::clone(waiting.field());
                (format.encoder(&schema)?, workshop.deliveries.take(0))
            }
        };
        let mut raw = 0;
        while raw < workshop.row_group_bytes {
            let Some(Joined { field, rows, bytes }) = waiting.next().map_err(Trouble::Rows)? else { break };
            if field != schema {
                encoder.widen(&field)?;
                schema = field;
            }
            encoder.write(&rows)?;
            raw += bytes;
            held.resize(encoder.memory_bytes());
        }
        if raw > 0 {
            encoder.flush()?;
        }
        let (bytes, then) = match labels.filter(|_| waiting.is_empty()) {
            Some(labels) => {
                let footer = labels.footer();
                let (bytes, stats) = encoder.finish(&footer)?;
                (bytes, Then::Whole(stats))
            }
            None => {
                let bytes = encoder.take();
                held.resize(encoder.memory_bytes());
                (bytes, Then::More(encoder, held))
            }
        };
        let chunks = chunks(bytes, &workshop.deliveries);
        workshop.ratio.learn(raw, size(&chunks));
        Ok(Stepped { schema, waiting, chunks, then })
    }
}

fn chunks(bytes: Vec<Bytes>, memory: &Budget) -> Vec<Chunk> {
    let chunk = |bytes: Bytes| Chunk { permit: memory.take(u64::try_from(bytes.len()).unwrap_or(u64::MAX)), bytes };
    bytes.into_iter().filter(|b| !b.is_empty()).map(chunk).collect()
}

fn size(chunks: &[Chunk]) -> u64 {
    chunks.iter().map(|chunk| chunk.permit.bytes()).sum()
}

/// Puts a small object on disk when memory is short; gives its bytes back when it is not, or when the disk refuses.
async fn park(workshop: &Workshop, chunks: Vec<Chunk>) -> Result<(Place, u32), Vec<Chunk>> {
    let size = size(&chunks);
    let is_short = workshop.memory.used() > workshop.memory.limit() / 4;
    if size == 0 || size >= PARKED_BYTES || !is_short || !workshop.memory.spill().is_on() {
        return Err(chunks);
    }
    let spill = workshop.memory.spill().clone();
    let write = move || {
        let bytes = chunks.iter().map(|chunk| chunk.bytes.as_ref()).collect::<Vec<_>>().concat();
        spill.append(&bytes).map(|place| (place, crc32fast::hash(&bytes))).ok_or(chunks)
    };
    workshop.compute.run(write).await
}

/// An object that waits on disk for the one request that publishes it.
struct Parked {
    inner: Box<dyn Upload>,
    workshop: Workshop,
    /// Its bytes with their checksum, and its attributes, until they are handed over.
    place: Option<((Place, u32), Vec<(&'static str, String)>)>,
}

#[async_trait]
impl Upload for Parked {
    async fn write(&mut self, chunk: Chunk) -> Result<(), StoreError> {
        self.inner.write(chunk).await
    }

    async fn seal(&mut self, attributes: Vec<(&'static str, String)>) -> Result<(), StoreError> {
        self.inner.seal(attributes).await
    }

    async fn publish(&mut self, condition: Condition) -> Result<Published, StoreError> {
        let _turn;
        if let Some(((place, checksum), attributes)) = self.place.take() {
            _turn = self.workshop.turns.next(place.bytes()).await;
            let read = self.workshop.compute.run(move || place.read()).await;
            let lost = |message: String| StoreError { kind: StoreErrorKind::Vanished, message };
            let bytes = read.map_err(|error| lost(error.to_string()))?;
            if crc32fast::hash(&bytes) != checksum {
                return Err(lost("an object that waited on disk (lakehead.spill.dir) is not what was written".to_owned()));
            }
            for chunk in chunks(vec![bytes.into()], &self.workshop.deliveries) {
                self.inner.write(chunk).await?;
            }
            self.inner.seal(attributes).await?;
        }
        self.inner.publish(condition).await
    }

    async fn tag(&mut self, tags: &[(String, String)]) -> Result<(), StoreError> {
        self.inner.tag(tags).await
    }

    async fn abort(&mut self) {
        self.place = None;
        self.inner.abort().await;
    }
}

fn task_error(trouble: Trouble, key: &str) -> TaskError {
    let (kind, message) = match trouble {
        Trouble::Format(error @ (FormatError::Config { .. } | FormatError::Unsupported { .. })) => (ErrorKind::BadConfig, error.to_string()),
        Trouble::Format(error @ FormatError::Encode { .. }) => (ErrorKind::Bug, error.to_string()),
        Trouble::Rows(error @ Lost::OnDisk(_)) => (ErrorKind::Rewind, error.to_string()),
        Trouble::Rows(error @ Lost::Arrow(_)) => (ErrorKind::Bug, error.to_string()),
    };
    TaskError::new(kind, message).with("key", key)
}

/// A store's final word, as the task's.
pub(in crate::connectors) fn store_error(error: StoreError) -> TaskError {
    let kind = match error.kind {
        StoreErrorKind::BadConfig => ErrorKind::BadConfig,
        StoreErrorKind::Denied => ErrorKind::Denied,
        StoreErrorKind::Vanished => ErrorKind::Rewind,
    };
    TaskError::new(kind, error.message)
}

#[cfg(test)]
mod tests;
