//! Rows that wait for their row group: in memory, or on disk when memory is short.
//!
//! ```text
//! batch ─► parts by path ─► Slab (many paths, one take) ◄─ Piece, Piece, …   one for each file: which rows of which slab
//!                              │ memory is short
//!                              ▼
//!                            Run: every file's rows gathered from all slabs, file after file, into the spill log ◄─ Piece
//! ```
//! A batch is not cut into an array for each file: with thousands of open files these would hold a row or two, and an array of forty columns costs 16 KiB
//! before its first row. Its rows are brought together by path in one array instead, and a file has ranges of such arrays. Only paths with many rows of a
//! batch have an array of their own, so that a large row group that is encoded is not kept in memory by its small neighbours.
//!
//! Everything here is synchronous and belongs on the CPU pool.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{concat, interleave, take};
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;
use lakehead_formats::column::Column;
use lakehead_formats::schema;
use lakehead_formats::weight::{weigh, weight};

use crate::memory::{Budget, Permit};
use crate::partition::Rows;
use crate::spill::rows::{self, RowsWriter};
use crate::spill::{Place, Spill};

/// Bytes of a path's rows in one batch at which they get an array of their own, and as many more for each array in it.
const OWN_SLAB_BYTES: u64 = 64 << 10;
const OWN_ARRAY_BYTES: u64 = 1 << 10;
/// What an array holds beside its buffers as they are counted: the allocations that they hang on.
const ARRAY_BYTES: u64 = 256;
/// What rows may keep in memory of others, beside as much as they are themselves three times over: an array costs about that before its first row.
const SLACK_BYTES: u64 = 4 << 10;
/// Rows and bytes of the arrays that encoders are given, and bytes of a run that are gathered at once.
const CHUNK_ROWS: usize = 8192;
const CHUNK_BYTES: u64 = 4 << 20;

/// Rows of one batch, brought together by path.
#[derive(Debug)]
struct Slab {
    field: FieldRef,
    rows: ArrayRef,
    _permit: Permit,
}

/// Consecutive rows of a slab.
#[derive(Debug, Clone)]
struct Held {
    slab: Arc<Slab>,
    start: u32,
    rows: u32,
}

impl Held {
    fn weight(&self) -> u64 {
        let mut weight = [0];
        weigh(&self.slab.rows, &[self.start as usize, (self.start + self.rows) as usize], &mut weight);
        weight.into_iter().sum()
    }
}

/// Rows of one file, where they are.
#[derive(Debug)]
pub(super) struct Piece {
    at: At,
    pub(super) rows: u32,
    /// Bytes of their values.
    pub(super) bytes: u64,
}

#[derive(Debug)]
enum At {
    Slab(Held),
    Run { run: Arc<Run>, index: u32 },
}

impl Piece {
    /// Rows in an array of their own.
    pub(super) fn of(column: Column, memory: &Budget) -> Self {
        let (rows, bytes) = (count(column.len()), weight(&column.array));
        Self { at: At::Slab(Held { slab: slab(column.field, column.array, memory), start: 0, rows }), rows, bytes }
    }

    /// Bytes of its rows that are not on disk.
    pub(super) fn held_bytes(&self) -> u64 {
        match &self.at {
            At::Slab(_) => self.bytes,
            At::Run { run, index } => {
                if run.is_in_memory(*index) {
                    self.bytes
                } else {
                    0
                }
            }
        }
    }

    /// The schema of rows that were not spilled.
    pub(super) fn column(&self) -> Option<Column> {
        match &self.at {
            At::Slab(Held { slab, start, rows }) => Some(Column::new(FieldRef::clone(&slab.field), slab.rows.slice(*start as usize, *rows as usize))),
            At::Run { .. } => None,
        }
    }

    /// The field of rows that were not spilled.
    pub(super) fn field(&self) -> Option<&FieldRef> {
        match &self.at {
            At::Slab(held) => Some(&held.slab.field),
            At::Run { .. } => None,
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let At::Run { run, index } = &self.at {
            run.forget(*index);
        }
    }
}

fn slab(field: FieldRef, rows: ArrayRef, memory: &Budget) -> Arc<Slab> {
    let permit = memory.take(bytes(rows.get_array_memory_size()) + ARRAY_BYTES * arrays(field.data_type()));
    Arc::new(Slab { field, rows, _permit: permit })
}

/// The rows of a batch, by path and by shape.
#[derive(Debug)]
pub(super) struct Parts {
    /// For each shape: for each path its rows and their bytes.
    by_shape: Vec<Vec<(Held, u64)>>,
}

impl Parts {
    /// Brings the rows of `range` together: `split` says which path has which. `columns` has one column for each shape.
    pub(super) fn of(columns: &[Column], split: &[(u32, Rows)], range: &Range<usize>, memory: &Budget) -> Result<Self, ArrowError> {
        let of_shape = |column: &Column| -> Result<Vec<(Held, u64)>, ArrowError> {
            let whole = |rows: ArrayRef| {
                let (length, bytes) = (count(rows.len()), weight(&rows));
                (Held { slab: slab(FieldRef::clone(&column.field), rows, memory), start: 0, rows: length }, bytes)
            };
            let average = weight(&column.array) / bytes(column.len()).max(1);
            let own = OWN_SLAB_BYTES.max(OWN_ARRAY_BYTES * arrays(column.field.data_type()));
            let is_small = |indices: &UInt32Array| bytes(indices.len()).saturating_mul(average) < own;
            let small: Vec<&dyn Array> = split.iter().filter_map(|(_, rows)| indices(rows).filter(|i| is_small(i)).map(|i| i as &dyn Array)).collect();
            let mut shared = if small.is_empty() { Vec::new() } else { share(column, &small, memory)? }.into_iter();
            let mut parts = Vec::with_capacity(split.len());
            for (_, rows) in split {
                parts.push(match indices(rows) {
                    Some(indices) if is_small(indices) => shared.next().ok_or_else(|| ArrowError::ComputeError("a path has no rows".to_owned()))?,
                    Some(indices) => whole(take(&column.array, indices, None)?),
                    // A small part of a batch would keep all of it in memory, also when the batch itself is a part of another.
                    None if is_mostly_others(column, range.len()) => {
                        whole(take(&column.array, &UInt32Array::from_iter_values(count(range.start)..count(range.end)), None)?)
                    }
                    None => whole(column.array.slice(range.start, range.len())),
                });
            }
            Ok(parts)
        };
        Ok(Self { by_shape: columns.iter().map(of_shape).collect::<Result<_, _>>()? })
    }

    /// The rows of the path with that place in `split`, as that shape has them.
    pub(super) fn all(&self, shape: usize, path: usize) -> Option<Piece> {
        let (held, bytes) = self.by_shape.get(shape)?.get(path)?;
        Some(Piece { rows: held.rows, bytes: *bytes, at: At::Slab(held.clone()) })
    }

    /// Some of them, numbered from the path's first: those of `range` that `rows` names.
    pub(super) fn some(&self, shape: usize, path: usize, rows: &Rows, range: &Range<usize>) -> Vec<Piece> {
        let Some((held, bytes)) = self.by_shape.get(shape).and_then(|paths| paths.get(path)) else { return Vec::new() };
        let piece = |rows: Range<usize>| {
            let part = Held { slab: Arc::clone(&held.slab), start: held.start + count(rows.start), rows: count(rows.len()) };
            let bytes = if part.rows == held.rows { *bytes } else { part.weight() };
            Piece { rows: part.rows, bytes, at: At::Slab(part) }
        };
        match rows {
            Rows::All => vec![piece(range.clone())],
            Rows::Take(rows) => {
                rows.values().chunk_by(|a, b| a + 1 == *b).filter_map(|run| Some(piece(*run.first()? as usize..*run.last()? as usize + 1))).collect()
            }
        }
    }
}

/// True when so many rows of a column keep much more in memory than they are.
fn is_mostly_others(column: &Column, rows: usize) -> bool {
    let own = weight(&column.array).saturating_mul(bytes(rows)) / bytes(column.len()).max(1);
    rows * 2 < column.len() || bytes(column.array.get_array_memory_size()) > own.saturating_mul(4).saturating_add(SLACK_BYTES)
}

fn indices(rows: &Rows) -> Option<&UInt32Array> {
    match rows {
        Rows::All => None,
        Rows::Take(indices) => Some(indices),
    }
}

/// One slab for the rows of several paths.
fn share(column: &Column, paths: &[&dyn Array], memory: &Budget) -> Result<Vec<(Held, u64)>, ArrowError> {
    let rows = take(&column.array, concat(paths)?.as_primitive::<arrow::datatypes::UInt32Type>(), None)?;
    let mut bounds = vec![0];
    bounds.extend(paths.iter().scan(0, |at, path| {
        *at += path.len();
        Some(*at)
    }));
    let mut weights = vec![0; paths.len()];
    weigh(&rows, &bounds, &mut weights);
    let slab = slab(FieldRef::clone(&column.field), rows, memory);
    let held = |(bound, weight): (&[usize], u64)| match bound {
        [start, end] => Some((Held { slab: Arc::clone(&slab), start: count(*start), rows: count(end - start) }, weight)),
        _ => None,
    };
    Ok(bounds.windows(2).zip(weights).filter_map(held).collect())
}

/// Rows of many files on their way to the disk, or there.
#[derive(Debug)]
pub(super) struct Run {
    entries: Mutex<Vec<Entry>>,
    /// Set when the disk refused: what is still in memory stays there.
    failed: AtomicBool,
}

/// Rows of one file under one schema.
#[derive(Debug, Clone)]
struct Part {
    held: Vec<Held>,
    rows: u32,
    bytes: u64,
}

impl Part {
    fn field(&self) -> Option<&FieldRef> {
        self.held.first().map(|held| &held.slab.field)
    }

    fn push(&mut self, held: Held, bytes: u64) {
        self.rows += held.rows;
        self.bytes += bytes;
        self.held.push(held);
    }
}

#[derive(Debug)]
enum Entry {
    Memory(Part),
    Disk {
        field: FieldRef,
        place: Place,
    },
    /// Its file has taken it, or is gone.
    Gone,
}

impl Run {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, index: u32) {
        if let Some(entry) = self.lock().get_mut(index as usize) {
            *entry = Entry::Gone;
        }
    }

    fn is_in_memory(&self, index: u32) -> bool {
        matches!(self.lock().get(index as usize), Some(Entry::Memory(_)))
    }

    /// A run without rows.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { entries: Mutex::default(), failed: AtomicBool::new(false) })
    }

    /// Moves the rows of a file that are in memory into the run, to be spilled with it; their bytes.
    pub(super) fn gather(self: &Arc<Self>, pieces: &mut Vec<Piece>) -> u64 {
        let mut gathered = 0;
        let mut open: Option<Part> = None;
        for piece in std::mem::take(pieces) {
            let At::Slab(held) = &piece.at else {
                pieces.extend(open.take().map(|part| self.add(part)));
                pieces.push(piece); // of an earlier run: it keeps its place
                continue;
            };
            gathered += piece.bytes;
            for (held, bytes) in cut(held, piece.bytes) {
                match &mut open {
                    Some(part) if part.bytes + bytes <= CHUNK_BYTES && part.field() == Some(&held.slab.field) => part.push(held, bytes),
                    _ => pieces.extend(open.replace(Part { rows: held.rows, bytes, held: vec![held] }).map(|part| self.add(part))),
                }
            }
        }
        pieces.extend(open.map(|part| self.add(part)));
        gathered
    }

    /// An entry for these rows, and the piece that stands for it.
    fn add(self: &Arc<Self>, part: Part) -> Piece {
        let mut entries = self.lock();
        let piece = Piece { rows: part.rows, bytes: part.bytes, at: At::Run { run: Arc::clone(self), index: count(entries.len()) } };
        entries.push(Entry::Memory(part));
        piece
    }

    /// Writes everything that is still in memory to the disk. When that fails the rest stays in memory, and [`take_back`](Self::take_back) gives it back.
    pub(super) fn spill(&self, to: &Spill) {
        let mut next = 0;
        let length = self.lock().len();
        while next < length {
            let chunk = self.chunk(next);
            let Some(end) = chunk.last().map(|(index, _)| index + 1) else { return };
            match written(&chunk, to) {
                Some(places) => self.replace(&chunk, places),
                None => return self.failed.store(true, Ordering::Release),
            }
            next = end;
        }
    }

    /// The next entries in memory, of one schema and about [`CHUNK_BYTES`].
    fn chunk(&self, from: usize) -> Vec<(usize, Part)> {
        let (mut chunk, mut total): (Vec<(usize, Part)>, u64) = (Vec::new(), 0);
        for (index, entry) in self.lock().iter().enumerate().skip(from) {
            let Entry::Memory(part) = entry else { continue };
            if chunk.first().is_some_and(|(_, first)| total + part.bytes > CHUNK_BYTES || first.field() != part.field()) {
                break;
            }
            total += part.bytes;
            chunk.push((index, part.clone()));
        }
        chunk
    }

    fn replace(&self, chunk: &[(usize, Part)], places: Vec<Place>) {
        let mut entries = self.lock();
        for ((index, part), place) in chunk.iter().zip(places) {
            if let (Some(entry @ Entry::Memory(_)), Some(field)) = (entries.get_mut(*index), part.field()) {
                *entry = Entry::Disk { field: FieldRef::clone(field), place };
            }
        }
    }
}

/// Gives back as pieces in memory what a failed run could not spill.
pub(super) fn take_back(pieces: &mut Vec<Piece>) {
    let is_stuck = |piece: &Piece| matches!(&piece.at, At::Run { run, index } if run.failed.load(Ordering::Acquire) && run.is_in_memory(*index));
    if !pieces.iter().any(is_stuck) {
        return;
    }
    for mut piece in std::mem::take(pieces) {
        let held = match &mut piece.at {
            At::Run { run, index } if run.failed.load(Ordering::Acquire) => match run.lock().get_mut(*index as usize) {
                Some(entry @ Entry::Memory(_)) => match std::mem::replace(entry, Entry::Gone) {
                    Entry::Memory(part) => part.held,
                    _ => Vec::new(),
                },
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        if held.is_empty() {
            pieces.push(piece);
            continue;
        }
        pieces.extend(held.into_iter().map(|held| Piece { rows: held.rows, bytes: held.weight(), at: At::Slab(held) }));
    }
}

/// Parts of about [`CHUNK_BYTES`].
fn cut(held: &Held, bytes: u64) -> Vec<(Held, u64)> {
    let parts = u32::try_from(bytes.div_ceil(CHUNK_BYTES)).unwrap_or(u32::MAX).clamp(1, held.rows.max(1));
    let each = held.rows.div_ceil(parts).max(1);
    let of = |start: u32| {
        let rows = each.min(held.rows - start);
        (Held { slab: Arc::clone(&held.slab), start: held.start + start, rows }, bytes * u64::from(rows) / u64::from(held.rows.max(1)))
    };
    (0..held.rows).step_by(each as usize).map(of).collect()
}

/// The entries of a chunk as they lie on the disk; `None` when they cannot be put there.
fn written(chunk: &[(usize, Part)], to: &Spill) -> Option<Vec<Place>> {
    let field = chunk.first()?.1.field()?;
    let all: Vec<Source> = chunk.iter().flat_map(|(_, part)| part.held.iter().map(Source::of)).collect();
    let encode = || -> Result<(Vec<u8>, Vec<usize>), ArrowError> {
        let rows = join(&all)?;
        let mut writer = RowsWriter::new(field)?;
        let (mut out, mut ends, mut at) = (Vec::new(), Vec::with_capacity(chunk.len()), 0);
        for (_, part) in chunk {
            let length = part.rows as usize;
            writer.write(&rows.slice(at, length), &mut out)?;
            at += length;
            ends.push(out.len());
        }
        Ok((out, ends))
    };
    let (bytes, ends) = match encode() {
        Ok(encoded) => encoded,
        Err(error) => {
            to.refuse(&error);
            return None;
        }
    };
    let place = to.append(&bytes)?;
    let mut start = 0;
    let part = |end: usize| {
        let part = place.part(start, count(end) - start);
        start = count(end);
        part
    };
    Some(ends.into_iter().map(part).collect())
}

/// Rows cannot be given back.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// The disk does not have them any more: they have to be read again from Kafka.
    #[error("{0}")]
    OnDisk(String),
    /// Arrow refused them; a defect.
    #[error("{0}")]
    Arrow(#[from] ArrowError),
}

/// The rows of pieces in order, a few thousand at a time: under one schema, or each under its own.
#[derive(Debug)]
pub(super) struct Waiting {
    pieces: VecDeque<Piece>,
    bytes: u64,
    field: FieldRef,
    /// Rows of declared schemas keep theirs.
    as_they_came: bool,
}

/// Rows of one schema.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) field: FieldRef,
    pub(super) rows: ArrayRef,
    /// Of their values.
    pub(super) bytes: u64,
}

impl Waiting {
    /// Under that schema; with `as_they_came` rows whose schema was declared keep their own.
    pub(super) fn new(pieces: Vec<Piece>, field: FieldRef, as_they_came: bool) -> Self {
        Self { bytes: pieces.iter().map(|piece| piece.bytes).sum(), pieces: pieces.into(), field, as_they_came }
    }

    /// Bytes of the values of the rows that are left.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The schema under which they are given, unless it is their own.
    pub(super) fn field(&self) -> &FieldRef {
        &self.field
    }

    /// The next rows.
    pub(super) fn next(&mut self) -> Result<Option<Joined>, Lost> {
        let mut sources: Vec<Source> = Vec::new();
        let mut of: Option<FieldRef> = None;
        let (mut rows, mut bytes) = (0, 0);
        while let Some(piece) = self.pieces.front() {
            if rows > 0 && (rows + piece.rows as usize > CHUNK_ROWS || bytes + piece.bytes > CHUNK_BYTES) {
                break;
            }
            let (field, found) = open(piece)?;
            if of.as_ref().is_some_and(|of| *of != field) {
                break; // it is read once more when its turn comes: schemas change rarely
            }
            of = Some(field);
            sources.extend(found);
            rows += piece.rows as usize;
            bytes += piece.bytes;
            self.pieces.pop_front();
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        let Some(of) = of else { return Ok(None) };
        let joined = join(&sources)?;
        if of == self.field || (self.as_they_came && !schema::is_inferred(&of)) {
            return Ok(Some(Joined { field: of, rows: joined, bytes }));
        }
        let rows = schema::adapt(&joined, &of, &self.field)?;
        Ok(Some(Joined { field: FieldRef::clone(&self.field), rows, bytes }))
    }
}

/// The rows of a piece, wherever they are.
fn open(piece: &Piece) -> Result<(FieldRef, Vec<Source>), Lost> {
    let gone = || Lost::Arrow(ArrowError::ComputeError("rows were taken twice".to_owned()));
    let (run, index) = match &piece.at {
        At::Slab(held) => return Ok((FieldRef::clone(&held.slab.field), vec![Source::of(held)])),
        At::Run { run, index } => (run, *index as usize),
    };
    let (field, place) = match run.lock().get(index) {
        Some(Entry::Memory(part)) => {
            let field = part.field().map(FieldRef::clone).ok_or_else(gone)?;
            return Ok((field, part.held.iter().map(Source::of).collect()));
        }
        Some(Entry::Disk { field, place }) => (FieldRef::clone(field), place.clone()),
        _ => return Err(gone()),
    };
    let bytes = place.read().map_err(|error| Lost::OnDisk(error.to_string()))?;
    let rows = rows::read(&field, bytes).map_err(|error| Lost::OnDisk(error.to_string()))?;
    Ok((field, vec![Source { start: 0, rows: rows.len(), array: rows, slab: None }]))
}

/// Rows of an array.
struct Source {
    array: ArrayRef,
    start: usize,
    rows: usize,
    /// Kept for as long as its rows are used, so that they stay counted.
    slab: Option<Arc<Slab>>,
}

impl Source {
    fn of(held: &Held) -> Self {
        Self { array: ArrayRef::clone(&held.slab.rows), start: held.start as usize, rows: held.rows as usize, slab: Some(Arc::clone(&held.slab)) }
    }

    /// The same for rows of the same array.
    fn array_id(&self) -> usize {
        self.slab.as_ref().map_or_else(|| Arc::as_ptr(&self.array).cast::<()>().addr(), |slab| Arc::as_ptr(slab).addr())
    }
}

/// One array of the rows of all sources, which have one type.
fn join(sources: &[Source]) -> Result<ArrayRef, ArrowError> {
    if let [only] = sources {
        return Ok(only.array.slice(only.start, only.rows));
    }
    let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
    let mut arrays: Vec<&dyn Array> = Vec::new();
    let mut places = Vec::with_capacity(sources.iter().map(|source| source.rows).sum());
    for source in sources {
        let number = *numbers.entry(source.array_id()).or_insert_with(|| {
            arrays.push(source.array.as_ref());
            arrays.len() - 1
        });
        places.extend((source.start..source.start + source.rows).map(|row| (number, row)));
    }
    interleave(&arrays, &places)
}

/// Arrays in an array of that type, itself included.
fn arrays(data_type: &DataType) -> u64 {
    match data_type {
        DataType::Struct(fields) => 1 + fields.iter().map(|field| arrays(field.data_type())).sum::<u64>(),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) | DataType::Map(item, _) => 1 + arrays(item.data_type()),
        _ => 1,
    }
}

fn count(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
