//! One open file: what it is called, which rows wait for its next row group, and whether more rows fit.
//!
//! Rows wait as [pieces](Piece), not inside a writer: that takes a third of the memory, and the file's schema is known only when encoding begins, so a
//! schema that widens meanwhile does not split the file. A [`Delivery`] is started when the first row group is due, or [`delivery::whole`] when the file
//! ends before that; it runs beside the task, and owns the encoder and the upload from then on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::FieldRef;
use arrow::error::ArrowError;
use lakehead_formats::column::Column;
use lakehead_formats::file::FileFormat;
use lakehead_formats::schema;
use lakehead_formats::schema::compatibility::{self, Compatibility, Verdict};
use tokio_util::task::AbortOnDropHandle;

use super::delivery::{self, Delivery, Form, Ready, Workshop};
use super::naming::{Extent, FileName, Grown, Naming};
use super::shape::Shape;
use super::staging::{Piece, Run, take_back};
use crate::connect::TaskError;
use crate::memory::{Budget, Permit};
use crate::offsets::OffsetSet;

/// What an open file holds beside its rows: itself, its place among the open files, its names.
const FILE_BYTES: u64 = 1 << 10;
/// Schemas that a file remembers beside its own.
const TAKEN: usize = 16;
/// What a piece holds beside its rows, in its file and in the run that it may be moved to.
const PIECE_BYTES: u64 = 96;

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

    pub(super) fn learn(&self, raw: u64, encoded: u64) {
        self.raw.fetch_add(raw, Ordering::Relaxed);
        self.encoded.fetch_add(encoded, Ordering::Relaxed);
    }

    pub(super) fn apply(&self, raw: u64) -> u64 {
        let (seen, encoded) = (self.raw.load(Ordering::Relaxed).max(1), self.encoded.load(Ordering::Relaxed));
        u64::try_from(u128::from(raw) * u128::from(encoded) / u128::from(seen)).unwrap_or(u64::MAX)
    }
}

/// What becomes of rows whose schema is not the open file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evolution {
    /// What `schema.compatibility` says.
    Modes(Compatibility),
    /// The file takes the fields of every version: `lakehead.schema.merge`.
    Merge,
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
    /// Of its rows.
    pub(super) offsets: OffsetSet,
    /// The schema of all rows so far.
    field: FieldRef,
    /// Other schemas of its rows, which the file's takes: the last few of them, the newest first. Others are compared once more.
    taken: VecDeque<FieldRef>,
    pieces: Vec<Piece>,
    /// Bytes of the rows that wait; those that are in memory are counted where they are.
    staged_bytes: u64,
    own: Permit,
    delivery: Option<Delivery>,
    /// Whether a former owner has planned its end: its rows must fit into one file, however their schema widens.
    pub(super) is_held: bool,
    /// What becomes of rows of other schemas.
    pub(super) evolution: Evolution,
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
            offsets: OffsetSet::new(),
            field,
            taken: VecDeque::new(),
            pieces: Vec::new(),
            staged_bytes: 0,
            own: memory.take(FILE_BYTES),
            delivery: None,
            is_held: false,
            evolution: Evolution::Modes(Compatibility::None),
        }
    }

    /// The object's name if the file ended now.
    pub(super) fn key(&self) -> String {
        self.naming.whole(&self.name, &self.extent(), &self.extension)
    }

    fn extent(&self) -> Extent {
        Extent { start: self.start, end: self.end, first_ms: self.times.0, last_ms: self.times.1 }
    }

    /// The names that the object can have if rows came before, from that offset on.
    pub(super) fn grown(&self, from: i64) -> Grown {
        self.naming.grown(&self.name, &self.extent(), from, &self.extension)
    }

    /// Whether rows of this schema can go into this file: they have the file's schema, or one that makes the file's wider, or one that the mode lets be projected to
    /// the file's.
    pub(super) fn fits(&self, field: &FieldRef) -> Fits {
        if self.field == *field || self.taken.contains(field) || self.widened(field).is_some() {
            return Fits::Yes;
        }
        let Evolution::Modes(mode) = self.evolution else { return Fits::No };
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

    /// The file's schema once rows of this one are in it, where it can become so: both were inferred, or files take every version. Once encoding has begun the schema
    /// of most formats stands; rows of a narrower one still fit.
    fn widened(&self, field: &FieldRef) -> Option<FieldRef> {
        let is_open = self.delivery.is_none() || self.format.widens();
        if schema::is_inferred(&self.field) && schema::is_inferred(field) {
            let both = schema::unify(&self.field, field)?;
            return (is_open || both == *self.field).then(|| FieldRef::new(both));
        }
        if self.evolution != Evolution::Merge {
            return None;
        }
        let both = compatibility::unite(&self.field, field).ok()?;
        if compatibility::is_alike(&self.field, &both) {
            return Some(FieldRef::clone(&self.field));
        }
        // A format may hold each version, and not the union: Avro knows one definition of a name.
        (is_open && self.format.encoder(&FieldRef::new(both.clone())).is_ok()).then(|| FieldRef::new(both))
    }

    /// True when the file's schema was inferred from its records.
    pub(super) fn is_inferred(&self) -> bool {
        schema::is_inferred(&self.field)
    }

    /// Takes rows that [fit](Self::fits), fresh from a batch. `end` is the offset after the last of them, `times` the earliest and the latest Kafka timestamp, as
    /// far as the name asks for them.
    ///
    /// # Errors
    /// When rows that fit cannot be projected; a defect.
    pub(super) fn append(&mut self, mut piece: Piece, end: i64, times: (Option<i64>, Option<i64>), memory: &Budget) -> Result<(), ArrowError> {
        let is_other = |field: &&FieldRef| **field != self.field && !self.taken.contains(field);
        if let Some(rows) = piece.field().filter(is_other).and_then(|_| piece.column()) {
            match self.widened(&rows.field) {
                Some(both) => {
                    let former = std::mem::replace(&mut self.field, both);
                    for field in [former, rows.field] {
                        if field != self.field && !self.taken.contains(&field) {
                            self.taken.truncate(TAKEN - 1);
                            self.taken.push_front(field);
                        }
                    }
                }
                None => {
                    let projected = compatibility::project(&rows.array, &rows.field, &self.field)?;
                    piece = Piece::of(Column::new(FieldRef::clone(&self.field), projected), memory);
                }
            }
        }
        self.times = (self.times.0.into_iter().chain(times.0).min(), self.times.1.max(times.1));
        self.rows += u64::from(piece.rows);
        self.end = end;
        self.staged_bytes += piece.bytes;
        self.pieces.push(piece);
        self.count_own();
        Ok(())
    }

    fn count_own(&mut self) {
        self.own.resize(FILE_BYTES + PIECE_BYTES * self.pieces.len() as u64 + self.offsets.memory_bytes() as u64);
    }

    /// The rows that wait and were not spilled, in order.
    #[cfg(test)]
    pub(super) fn staged(&self) -> Vec<arrow::array::ArrayRef> {
        let adapt = |rows: Column| if rows.field == self.field { rows.array } else { schema::adapt(&rows.array, &rows.field, &self.field).unwrap() };
        self.pieces.iter().filter_map(Piece::column).map(adapt).collect()
    }

    /// True when rows cannot be encoded before the file ends: its name is not known yet, or its schema may still widen and it may not end for that.
    fn must_wait(&self) -> bool {
        let may_widen = self.is_inferred() || self.evolution == Evolution::Merge;
        self.naming.is_late() || (self.is_held && may_widen && !self.format.widens())
    }

    /// Moves the rows that wait in memory into the run, to be spilled with it; their bytes.
    pub(super) fn spill(&mut self, run: &Arc<Run>) -> u64 {
        take_back(&mut self.pieces);
        let bytes = run.gather(&mut self.pieces);
        self.count_own();
        bytes
    }

    /// Bytes of the rows that wait in memory.
    pub(super) fn waiting_bytes(&self) -> u64 {
        self.pieces.iter().map(Piece::held_bytes).sum()
    }

    /// Bytes of the rows that wait and could be encoded now.
    pub(super) fn encodable_bytes(&self) -> u64 {
        if self.must_wait() { 0 } else { self.staged_bytes }
    }

    /// True when its rows can be encoded before it ends without holding more memory than deliveries may.
    pub(super) fn has_turn(&self, workshop: &Workshop) -> bool {
        self.delivery.is_some() || !workshop.deliveries.is_used_up()
    }

    /// The object's size if the file ended now, estimated by what rows like these became so far.
    pub(super) fn estimated_bytes(&self, ratio: &Ratio) -> u64 {
        self.delivery.as_ref().map_or(0, |d| ratio.apply(d.raw_bytes)) + ratio.apply(self.staged_bytes)
    }

    /// Heap that the file holds, what is known of it and the encoded bytes in its upload (estimated) included.
    pub(super) fn held_bytes(&self, ratio: &Ratio) -> u64 {
        self.own.bytes() + self.waiting_bytes() + self.delivery.as_ref().map_or(0, |d| ratio.apply(d.raw_bytes))
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
        let pieces = self.take_pieces();
        let mut delivery = match self.delivery.take() {
            Some(delivery) => delivery,
            None => Delivery::start(workshop, self.form(workshop)),
        };
        delivery.encode(workshop, pieces, FieldRef::clone(&self.field));
        self.delivery = Some(delivery);
    }

    fn take_pieces(&mut self) -> Vec<Piece> {
        let pieces = std::mem::take(&mut self.pieces);
        self.staged_bytes = 0;
        self.count_own();
        pieces
    }

    fn form(&self, workshop: &Workshop) -> Form {
        let from = &self.name.from;
        let known = vec![
            ("lakehead-connector", workshop.connector.to_string()),
            ("lakehead-topic", from.topic.to_string()),
            ("lakehead-partition", from.partition.to_string()),
            ("lakehead-start", self.start.to_string()),
        ];
        Form { key: self.key(), format: Arc::clone(&self.format), field: FieldRef::clone(&self.field), known }
    }

    /// No more rows: has the rest encoded and uploaded. The result becomes visible only when it is published.
    pub(super) fn end(mut self, workshop: &Workshop, labels: Labels) -> AbortOnDropHandle<Result<Ready, TaskError>> {
        let pieces = self.take_pieces();
        match self.delivery.take() {
            Some(delivery) => delivery.finish(workshop, pieces, FieldRef::clone(&self.field), labels),
            None => delivery::whole(workshop, self.form(workshop), pieces, labels),
        }
    }
}

/// What an object says about itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels {
    /// In its metadata and, where the format has a place, inside.
    pub(super) shown: Vec<(&'static str, String)>,
    /// Only inside, since it may be long: which offsets its rows have, where they are not one after the other.
    pub(super) offsets: Option<OffsetSet>,
}

impl Labels {
    /// What stands inside the object.
    pub(super) fn footer(self) -> Vec<(String, String)> {
        let offsets = self.offsets.and_then(|offsets| offsets.encode()).map(|text| ("lakehead-offset-set", text));
        self.shown.into_iter().chain(offsets).map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests;
