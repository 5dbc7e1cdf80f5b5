//! One open file: rows that wait for their row group, and the delivery that encodes and uploads them.
//!
//! Rows wait as Arrow arrays, not inside a writer: that takes a third of the memory, and the file's schema is known only when encoding begins, so a
//! schema that widens meanwhile does not split the file. A delivery is started when the first row group is due (or the file ends), runs beside
//! the task, and owns the encoder and the upload from then on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::FieldRef;
use arrow::error::ArrowError;
use lakehead_formats::column::Column;
use lakehead_formats::file::{Encoder, FileFormat, FileStats, FormatError};
use lakehead_formats::schema;
use lakehead_formats::schema::compatibility::{self, Compatibility, Verdict};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::naming::{Extent, FileName, Naming};
use super::shape::Shape;
use crate::compute::Compute;
use crate::connect::{ErrorKind, TaskError};
use crate::memory::{Budget, Permit};
use crate::store::{Chunk, ObjectSink, StoreError, StoreErrorKind, Upload};

/// Small pieces are joined when there are this many of them: many tiny arrays cost more memory than their rows.
const PIECES: usize = 32;
/// Rows below which a piece is small.
const SMALL_ROWS: usize = 1024;

/// What every file of a task needs.
#[derive(Debug, Clone)]
pub(super) struct Workshop {
    pub(super) store: Arc<dyn ObjectSink>,
    pub(super) compute: Compute,
    pub(super) memory: Budget,
    pub(super) ratio: Arc<Ratio>,
    /// Row groups that wait for the CPU pool or are being encoded.
    pub(super) encoding: Arc<AtomicU64>,
}

impl Workshop {
    /// True while row groups are being encoded: memory will be freed soon.
    pub(super) fn is_encoding(&self) -> bool {
        self.encoding.load(Ordering::Acquire) > 0
    }
}

/// Counts a row group from the moment it is handed over until its rows are encoded or given up.
#[derive(Debug)]
struct Encoding(Arc<AtomicU64>);

impl Encoding {
    fn begin(counter: &Arc<AtomicU64>) -> Self {
        counter.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(counter))
    }
}

impl Drop for Encoding {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Encoded bytes per byte of waiting rows, as seen so far by a task.
#[derive(Debug)]
pub(super) struct Ratio {
    raw: AtomicU64,
    encoded: AtomicU64,
}

impl Ratio {
    /// Starts with a guess that weighs as much as `raw` bytes seen.
    pub(super) fn new(raw: u64, encoded: u64) -> Self {
        Self { raw: AtomicU64::new(raw), encoded: AtomicU64::new(encoded) }
    }

    fn learn(&self, raw: u64, encoded: u64) {
        self.raw.fetch_add(raw, Ordering::Relaxed);
        self.encoded.fetch_add(encoded, Ordering::Relaxed);
    }

    fn apply(&self, raw: u64) -> u64 {
        let (seen, encoded) = (self.raw.load(Ordering::Relaxed).max(1), self.encoded.load(Ordering::Relaxed));
        u64::try_from(u128::from(raw) * u128::from(encoded) / u128::from(seen)).unwrap_or(u64::MAX)
    }
}

/// Whether rows of a schema go into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fits {
    /// They do, projected or widened where it takes that.
    Yes,
    /// The file ends before them.
    No,
    /// They are bad records under the file's mode of compatibility.
    Bad(String),
}

/// Rows of one future object.
#[derive(Debug)]
pub(super) struct OpenFile {
    name: FileName,
    naming: Arc<dyn Naming>,
    format: Arc<dyn FileFormat>,
    extension: String,
    /// Which of the plan's shapes it is.
    pub(super) shape: usize,
    /// Whether it stands for its records: one of a record's objects does.
    pub(super) leads: bool,
    /// The earliest and the latest Kafka timestamp, in ms.
    times: (Option<i64>, Option<i64>),
    /// Offset of the first row.
    pub(super) start: i64,
    /// Offset of the last row, plus one.
    pub(super) end: i64,
    pub(super) rows: u64,
    /// The schema of all rows so far.
    field: FieldRef,
    pieces: Vec<(FieldRef, ArrayRef)>,
    staged_rows: usize,
    staged: Permit,
    delivery: Option<Delivery>,
    /// Whether a former owner has planned its end: its rows must fit into one file, however their schema widens.
    pub(super) is_held: bool,
}

impl OpenFile {
    /// A file without rows.
    pub(super) fn new(name: FileName, naming: Arc<dyn Naming>, (index, shape): (usize, &Shape), start: i64, field: FieldRef, memory: &Budget) -> Self {
        Self {
            name,
            naming,
            format: Arc::clone(&shape.format),
            extension: shape.extension.clone(),
            shape: index,
            leads: false,
            times: (None, None),
            start,
            end: start,
            rows: 0,
            field,
            pieces: Vec::new(),
            staged_rows: 0,
            staged: memory.take(0),
            delivery: None,
            is_held: false,
        }
    }

    /// The object's name if the file ended now.
    pub(super) fn key(&self) -> String {
        let extent = Extent { start: self.start, end: self.end, first_ms: self.times.0, last_ms: self.times.1 };
        self.naming.whole(&self.name, &extent, &self.extension)
    }

    /// Whether rows of this schema can go into this file: they have the file's schema, or an inferred one that widens before encoding began, or one that
    /// the mode lets be projected to the file's.
    pub(super) fn fits(&self, field: &FieldRef, mode: Compatibility) -> Fits {
        if self.field == *field || self.widened(field).is_some() {
            return Fits::Yes;
        }
        // A schema and none: upstream's switch between them ends the files in every mode.
        if schema::is_json_text(&self.field) != schema::is_json_text(field) {
            return Fits::No;
        }
        match compatibility::verdict(mode, field, &self.field) {
            Ok(Verdict::Same | Verdict::Project) => Fits::Yes,
            Ok(Verdict::Rotate) => Fits::No,
            Err(error) => Fits::Bad(error.to_string()),
        }
    }

    fn widened(&self, field: &FieldRef) -> Option<FieldRef> {
        if !schema::is_inferred(&self.field) || !schema::is_inferred(field) {
            return None;
        }
        let both = schema::unify(&self.field, field)?;
        // Once encoding has begun the schema stands; rows of a narrower one still fit.
        (self.delivery.is_none() || both == *self.field).then(|| FieldRef::new(both))
    }

    /// True when the file's schema was inferred from its records.
    pub(super) fn is_inferred(&self) -> bool {
        schema::is_inferred(&self.field)
    }

    /// Takes rows that [fit](Self::fits). `bytes` is the memory that they hold, `end` the offset after the last of them, `times` the earliest and the
    /// latest Kafka timestamp, as far as the name asks for them.
    ///
    /// # Errors
    /// When rows that fit cannot be projected; a defect.
    pub(super) fn append(&mut self, mut rows: Column, bytes: u64, end: i64, times: (Option<i64>, Option<i64>)) -> Result<(), ArrowError> {
        if self.field != rows.field {
            match self.widened(&rows.field) {
                Some(both) => self.field = both,
                None => rows = Column::new(FieldRef::clone(&self.field), compatibility::project(&rows.array, &rows.field, &self.field)?),
            }
        }
        self.times = (self.times.0.into_iter().chain(times.0).min(), self.times.1.max(times.1));
        self.rows += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        self.staged_rows += rows.len();
        self.end = end;
        self.pieces.push((rows.field, rows.array));
        self.staged.resize(self.staged.bytes() + bytes);
        if self.pieces.len() >= PIECES && self.staged_rows < self.pieces.len() * SMALL_ROWS {
            self.join_pieces();
        }
        Ok(())
    }

    fn join_pieces(&mut self) {
        let joined = self
            .pieces
            .iter()
            .map(|p| adapt(p, &self.field))
            .collect::<Result<Vec<_>, _>>()
            .and_then(|pieces| concat(&pieces.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>()));
        // Joining fails only past 2 GiB of text, far above what small pieces hold; the pieces then stay as they are.
        if let Ok(joined) = joined {
            self.staged.resize(u64::try_from(joined.get_array_memory_size()).unwrap_or(u64::MAX));
            self.pieces = vec![(FieldRef::clone(&self.field), joined)];
        }
    }

    /// The rows that wait, in order.
    #[cfg(test)]
    pub(super) fn staged(&self) -> Vec<ArrayRef> {
        self.pieces.iter().map(|piece| adapt(piece, &self.field).unwrap()).collect()
    }

    /// True when rows cannot be encoded before the file ends: its name is not known yet, or its schema may still widen and it may not end for that.
    fn must_wait(&self) -> bool {
        self.naming.is_late() || (self.is_held && self.is_inferred())
    }

    /// Heap of the rows that wait and could be encoded now.
    pub(super) fn encodable_bytes(&self) -> u64 {
        if self.must_wait() { 0 } else { self.staged.bytes() }
    }

    /// The object's size if the file ended now, estimated by what rows like these became so far.
    pub(super) fn estimated_bytes(&self, ratio: &Ratio) -> u64 {
        self.delivery.as_ref().map_or(0, |d| ratio.apply(d.raw_bytes)) + ratio.apply(self.staged.bytes())
    }

    /// Heap that the file holds, the encoded bytes in its upload included (estimated).
    pub(super) fn held_bytes(&self, ratio: &Ratio) -> u64 {
        self.staged.bytes() + self.delivery.as_ref().map_or(0, |d| ratio.apply(d.raw_bytes))
    }

    /// Has the rows that wait encoded as one row group, beside the task.
    /// A file whose name is not known yet keeps them.
    pub(super) fn encode_staged(&mut self, workshop: &Workshop) {
        if !self.must_wait() {
            self.encode(workshop);
        }
    }

    fn encode(&mut self, workshop: &Workshop) {
        if self.pieces.is_empty() {
            return;
        }
        let pieces = std::mem::take(&mut self.pieces);
        self.staged_rows = 0;
        let permit = std::mem::replace(&mut self.staged, workshop.memory.take(0));
        if self.delivery.is_none() {
            self.delivery = Some(Delivery::start(workshop, self.key(), &self.format, FieldRef::clone(&self.field)));
        }
        let Some(delivery) = &mut self.delivery else { return };
        delivery.raw_bytes += permit.bytes();
        delivery.send(Work::RowGroup { pieces, permit, encoding: Encoding::begin(&workshop.encoding) });
    }

    /// No more rows: has the rest encoded and uploaded. The result becomes visible only when it is published.
    pub(super) fn end(mut self, workshop: &Workshop, labels: Labels) -> AbortOnDropHandle<Result<Ready, TaskError>> {
        self.encode(workshop);
        let key = self.key();
        let Self { format, field, delivery, .. } = self;
        let delivery = delivery.unwrap_or_else(|| Delivery::start(workshop, key, &format, field));
        delivery.send(Work::Finish(labels));
        delivery.outcome
    }
}

/// What an object says about itself, in its metadata and (where the format has a place) inside.
#[derive(Debug, Clone)]
pub(super) struct Labels(pub(super) Vec<(&'static str, String)>);

/// A whole object that is not visible yet.
pub(super) struct Ready {
    pub(super) key: String,
    pub(super) stats: FileStats,
    pub(super) upload: Box<dyn Upload>,
}

enum Work {
    RowGroup { pieces: Vec<(FieldRef, ArrayRef)>, permit: Permit, encoding: Encoding },
    Finish(Labels),
}

/// The running encoder and upload of one file. Its queue is bounded by the memory budget: every row in it holds a permit.
#[derive(Debug)]
struct Delivery {
    /// Bytes of rows that were sent to be encoded.
    raw_bytes: u64,
    work: mpsc::UnboundedSender<Work>,
    outcome: AbortOnDropHandle<Result<Ready, TaskError>>,
}

impl Delivery {
    fn start(workshop: &Workshop, key: String, format: &Arc<dyn FileFormat>, field: FieldRef) -> Self {
        let (work, queue) = mpsc::unbounded_channel();
        let outcome = AbortOnDropHandle::new(tokio::spawn(deliver(workshop.clone(), key, Arc::clone(format), field, queue)));
        Self { raw_bytes: 0, work, outcome }
    }

    fn send(&self, work: Work) {
        // A delivery that failed has closed its queue; its error comes out of `outcome`.
        self.work.send(work).ok();
    }
}

/// Encodes row groups as they come and uploads the bytes, until the file is whole or given up.
async fn deliver(
    workshop: Workshop,
    key: String,
    format: Arc<dyn FileFormat>,
    field: FieldRef,
    mut queue: mpsc::UnboundedReceiver<Work>,
) -> Result<Ready, TaskError> {
    let mut upload = workshop.store.open(key.clone(), format.content_type());
    let outcome = encode_and_upload(&workshop, &key, (&format, &field), &mut queue, upload.as_mut()).await;
    match outcome {
        Ok(Some(stats)) => Ok(Ready { key, stats, upload }),
        Ok(None) => {
            upload.abort().await;
            Err(TaskError::new(ErrorKind::Fenced, "the file was given up").with("key", key))
        }
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

async fn encode_and_upload(
    workshop: &Workshop,
    key: &str,
    (format, field): (&Arc<dyn FileFormat>, &FieldRef),
    queue: &mut mpsc::UnboundedReceiver<Work>,
    upload: &mut dyn Upload,
) -> Result<Option<FileStats>, TaskError> {
    let mut encoder: Option<(Box<dyn Encoder>, Permit)> = None;
    while let Some(work) = queue.recv().await {
        let (format, memory, ratio) = (Arc::clone(format), workshop.memory.clone(), Arc::clone(&workshop.ratio));
        let open = encoder.take();
        let field = FieldRef::clone(field);
        let job = move || -> Result<Encoded, FormatError> {
            let mut open = match open {
                Some((encoder, _)) => encoder,
                None => format.encoder(&field)?,
            };
            match work {
                Work::RowGroup { pieces, permit, encoding } => {
                    for piece in &pieces {
                        let rows = adapt(piece, &field).map_err(|e| FormatError::Encode { format: "arrow", message: e.to_string() })?;
                        open.write(&rows)?;
                    }
                    drop(pieces);
                    open.flush()?;
                    let chunks = chunks(open.take(), &memory);
                    ratio.learn(permit.bytes(), chunks.iter().map(|c| c.permit.bytes()).sum());
                    drop((permit, encoding));
                    let held = memory.take(open.memory_bytes());
                    Ok(Encoded { chunks, then: Then::More(open, held) })
                }
                Work::Finish(labels) => {
                    let footer: Vec<(String, String)> = labels.0.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
                    let (bytes, stats) = open.finish(&footer)?;
                    Ok(Encoded { chunks: chunks(bytes, &memory), then: Then::Whole(stats, labels) })
                }
            }
        };
        let encoded = workshop.compute.run(job).await.map_err(|error| format_error(&error, key))?;
        for chunk in encoded.chunks {
            upload.write(chunk).await.map_err(store_error)?;
        }
        match encoded.then {
            Then::More(open, held) => encoder = Some((open, held)),
            Then::Whole(stats, labels) => {
                upload.seal(labels.0).await.map_err(store_error)?;
                return Ok(Some(stats));
            }
        }
    }
    Ok(None)
}

/// Rows under the file's schema, which may have widened since they came.
fn adapt((field, array): &(FieldRef, ArrayRef), to: &FieldRef) -> Result<ArrayRef, ArrowError> {
    if field == to { Ok(ArrayRef::clone(array)) } else { schema::adapt(array, field, to) }
}

struct Encoded {
    chunks: Vec<Chunk>,
    then: Then,
}

enum Then {
    More(Box<dyn Encoder>, Permit),
    Whole(FileStats, Labels),
}

fn chunks(bytes: Vec<bytes::Bytes>, memory: &Budget) -> Vec<Chunk> {
    let chunk = |bytes: bytes::Bytes| Chunk { permit: memory.take(u64::try_from(bytes.len()).unwrap_or(u64::MAX)), bytes };
    bytes.into_iter().filter(|b| !b.is_empty()).map(chunk).collect()
}

fn format_error(error: &FormatError, key: &str) -> TaskError {
    let kind = match error {
        FormatError::Config { .. } | FormatError::Unsupported { .. } => ErrorKind::BadConfig,
        FormatError::Encode { .. } => ErrorKind::Bug,
    };
    TaskError::new(kind, error.to_string()).with("key", key)
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
