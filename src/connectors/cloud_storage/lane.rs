//! One lane of a topic partition: files that end together, and the moments when they do.
//!
//! Stands for Confluent's `TopicPartitionWriter`, over batches: there, all files of a topic partition are one lane, so that whatever ends one of them ends all. Where
//! files are to be independent, each path is a lane. What is asked before a row is written, in this order: has the lane's time passed, does the row's schema go into the
//! open file, are there too many files.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{max, min, take};
use arrow::datatypes::{FieldRef, Int64Type, TimestampMillisecondType};
use arrow::error::ArrowError;
use lakehead_formats::column::{Column, Reject};

use super::file::{Fits, OpenFile};
use super::naming::FileName;
use super::shape::View;
use super::staging::{Parts, Piece};
use super::writer::{Incoming, Plan};
use crate::batch::{Batch, TopicPartition};
use crate::commit::Lane;
use crate::partition::{Paths, Rows, split_rows};
use crate::roll::{Fit, Group, Reason};

/// Files that ended together.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) lane: Lane,
    /// In the order in which they were opened; a record's value before its key and its headers. None when a planned end found no records.
    pub(super) files: Vec<OpenFile>,
    /// The offset of their first record.
    pub(super) start: i64,
    /// Everything of the lane below this offset is in these files or in earlier ones.
    pub(super) end: i64,
    pub(super) reason: Reason,
    /// Offset and would-be name of the first records, for conditional writes; ascending.
    pub(super) names: Vec<(i64, String)>,
}

/// What writing rows led to.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// In order.
    pub(super) ended: Vec<Ended>,
    /// Rows that were refused although they have a path.
    pub(super) bad: Vec<Reject>,
    /// A bad row that is not tolerated: it and what follows was not taken.
    pub(super) stopped_at: Option<Reject>,
}

/// How rows are to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) plan: &'a Plan,
    pub(super) now_ms: i64,
    /// Bad rows are left out, and the others go on.
    pub(super) tolerates: bool,
    /// Only a planned end ends the lane's files.
    pub(super) is_held: bool,
}

/// The open files of one path.
#[derive(Debug)]
struct OpenPath {
    /// How many were opened before it.
    number: usize,
    files: Vec<OpenFile>,
}

/// Topic (after transforms), encoded partition, and whether tombstones go there: they are kept apart from values in a directory of the same name.
type PathKey = (Arc<str>, Arc<str>, bool);

/// The files of one lane that are open.
#[derive(Debug)]
pub(super) struct LaneWriter {
    from: TopicPartition,
    pub(super) lane: Lane,
    group: Group,
    open: BTreeMap<PathKey, OpenPath>,
    /// Offset and would-be name of the group's first records.
    names: Vec<(i64, String)>,
}

/// Why a row cannot go on with the open files.
#[derive(Debug, Clone)]
enum Obstacle {
    /// They end before it.
    Ends(Reason),
    /// It is a bad record.
    Bad(String),
}

/// What stands in the way of the paths of one batch; kept up while its rows are written.
struct Obstacles {
    /// By code: whether the path has open files.
    is_open: Vec<bool>,
    /// By code: why rows of this batch cannot go into them.
    conflicts: BTreeMap<usize, Obstacle>,
    /// Open paths, those of other batches too.
    count: usize,
}

impl Obstacles {
    /// The first row of the range that cannot go on with the open files, and why; the range's end when there is none.
    fn next(&self, codes: &[u32], range: Range<usize>, terms: Terms<'_>) -> (usize, Option<Obstacle>) {
        let max_open = terms.plan.max_open.filter(|_| !terms.is_held);
        if self.conflicts.is_empty() && max_open.is_none() {
            return (range.end, None);
        }
        let mut opened = BTreeSet::new();
        for row in range.clone() {
            let code = codes.get(row).map_or(usize::MAX, |code| *code as usize);
            let Some(is_open) = self.is_open.get(code) else { continue }; // rejected
            if let Some(obstacle) = self.conflicts.get(&code) {
                return (row, Some(obstacle.clone()));
            }
            if let Some(most) = max_open.filter(|_| !is_open && !opened.contains(&code)) {
                if self.count + opened.len() >= most.get() {
                    return (row, Some(Obstacle::Ends(Reason::OpenFiles)));
                }
                opened.insert(code);
            }
        }
        (range.end, None)
    }

    /// Rows of these paths went into files, which were opened where there were none.
    fn opened(&mut self, codes: &[u32]) {
        for code in codes {
            if let Some(is_open) = self.is_open.get_mut(*code as usize).filter(|is_open| !**is_open) {
                *is_open = true;
                self.count += 1;
            }
        }
    }

    /// All open files ended.
    fn ended(&mut self) {
        self.is_open.fill(false);
        self.conflicts.clear();
        self.count = 0;
    }
}

impl LaneWriter {
    /// A lane without files.
    pub(super) fn new(from: TopicPartition, lane: Lane) -> Self {
        Self { from, lane, group: Group::default(), open: BTreeMap::new(), names: Vec::new() }
    }

    /// Takes the rows `0..end` of a batch that have a path.
    pub(super) fn write(&mut self, incoming: &mut Incoming<'_>, end: usize, terms: Terms<'_>) -> Result<Written, ArrowError> {
        let Terms { plan, now_ms, tolerates, is_held } = terms;
        let mut written = Written::default();
        let mut obstacles = self.obstacles(incoming);
        let mut at = 0;
        while at < end {
            let (limit, obstacle) = obstacles.next(&incoming.paths.codes, at..end, terms);
            let range = at..limit.max(at + 1);
            let fit = if is_held { Fit { rows: range.len(), then: None } } else { self.group.fit(&plan.policy, &incoming.paths, range, now_ms) };
            let reason = match obstacle {
                Some(Obstacle::Bad(reason)) if limit == at && fit.rows > 0 => {
                    let reject = Reject { row: at, reason };
                    if !tolerates {
                        written.stopped_at = Some(reject);
                        break;
                    }
                    if let Some(code) = incoming.paths.codes.get_mut(at) {
                        *code = Paths::REJECTED;
                    }
                    written.bad.push(reject);
                    at += 1;
                    continue;
                }
                Some(Obstacle::Ends(reason)) if limit == at => Some(reason),
                _ if limit == at => fit.then, // its time ends the group before the row is looked at
                _ => {
                    let range = at..at + fit.rows;
                    if !range.is_empty() {
                        self.group.record(&plan.policy, &incoming.paths, range.clone(), now_ms);
                        self.append(incoming, range.clone(), terms)?;
                        obstacles.opened(incoming.paths.codes.get(range).unwrap_or(&[]));
                    }
                    at += fit.rows;
                    fit.then.or_else(|| self.full(plan).filter(|_| !is_held))
                }
            };
            if let Some(reason) = reason {
                written.ended.extend(self.end(reason));
                obstacles.ended();
            }
        }
        Ok(written)
    }

    fn full(&self, plan: &Plan) -> Option<Reason> {
        plan.policy.max_file_bytes?;
        plan.policy.full(self.files().map(|f| f.estimated_bytes(&plan.ratio)).max().unwrap_or(0))
    }

    fn files(&self) -> impl Iterator<Item = &OpenFile> {
        self.open.values().flat_map(|path| &path.files)
    }

    /// What stands in the way of a batch's paths, as things are.
    fn obstacles(&self, incoming: &Incoming<'_>) -> Obstacles {
        let Incoming { batch, columns, paths, .. } = incoming;
        let mut found = Obstacles { is_open: vec![false; paths.distinct.len()], conflicts: BTreeMap::new(), count: self.open.len() };
        if self.open.is_empty() {
            return found;
        }
        for (code, path) in paths.distinct.iter().enumerate() {
            let key = (Arc::clone(&batch.topic), Arc::clone(path), is_tombstone(paths, code));
            let Some(open) = self.open.get(&key) else { continue };
            if let Some(flag) = found.is_open.get_mut(code) {
                *flag = true;
            }
            if let Some(obstacle) = open.files.iter().find_map(|file| conflict(file, columns)) {
                found.conflicts.insert(code, obstacle);
            }
        }
        found
    }

    /// True when the path has open files.
    pub(super) fn is_open(&self, topic: &Arc<str>, path: &Arc<str>, is_tombstone: bool) -> bool {
        self.open.contains_key(&(Arc::clone(topic), Arc::clone(path), is_tombstone))
    }

    /// The offset of the first record in an open file.
    pub(super) fn start(&self) -> Option<i64> {
        self.files().map(|file| file.start).min()
    }

    fn append(&mut self, incoming: &Incoming<'_>, range: Range<usize>, terms: Terms<'_>) -> Result<(), ArrowError> {
        let Incoming { batch, columns, paths, .. } = incoming;
        self.remember(batch, paths, range.clone(), terms.plan);
        let split = split_rows(&paths.codes, range.clone(), paths.distinct.len());
        let own = if incoming.part.is_some() { None } else { Some(Parts::of(columns, &split, &range, &terms.plan.memory)?) };
        for (index, (code, rows)) in split.iter().enumerate() {
            let code = *code as usize;
            let Some(path) = paths.distinct.get(code) else { continue };
            let pieces = |shape: usize| match (&incoming.part, &own) {
                (Some((parts, at)), _) => parts.some(shape, *at, rows, &range),
                (None, Some(parts)) => parts.all(shape, index).into_iter().collect(),
                (None, None) => Vec::new(),
            };
            self.add(batch, columns, (path, is_tombstone(paths, code)), (rows, &range), &pieces, terms)?;
        }
        Ok(())
    }

    /// Rows of one path into its files, which are opened when they are not there.
    fn add(
        &mut self,
        batch: &Batch,
        columns: &[Column],
        (path, is_null): (&Arc<str>, bool),
        (rows, range): (&Rows, &Range<usize>),
        pieces: &dyn Fn(usize) -> Vec<Piece>,
        Terms { plan, is_held, .. }: Terms<'_>,
    ) -> Result<(), ArrowError> {
        let (first, last) = ends(rows, range);
        let (start, end) = (batch.offsets.value(first), batch.offsets.value(last) + 1);
        let timestamps: ArrayRef = Arc::new(batch.timestamps.clone());
        let number = self.open.len();
        let open = self.open.entry((Arc::clone(&batch.topic), Arc::clone(path), is_null)).or_insert_with(|| {
            let shapes = plan.shapes.iter().enumerate().filter(|(_, shape)| !(is_null && shape.view == View::Value));
            let name = FileName { topic: Arc::clone(&batch.topic), from: self.from.clone(), path: Arc::clone(path) };
            let files = shapes.filter_map(|(index, shape)| {
                let field = FieldRef::clone(&columns.get(index)?.field);
                let mut file = OpenFile::new(name.clone(), Arc::clone(&plan.naming), (index, shape), start, field, &plan.memory);
                file.is_held = is_held;
                file.evolution = plan.evolution_of(shape);
                Some(file)
            });
            let mut files: Vec<OpenFile> = files.collect();
            if let Some(first) = files.first_mut() {
                first.leads = true;
            }
            OpenPath { number, files }
        });
        let offsets: ArrayRef = Arc::new(batch.offsets.clone());
        for file in &mut open.files {
            if file.leads {
                file.offsets.extend(pick(&offsets, rows, range)?.as_primitive::<Int64Type>().values());
            }
            let times = if plan.naming.is_late() { times(&pick(&timestamps, rows, range)?) } else { (None, None) };
            for piece in pieces(file.shape) {
                file.append(piece, end, times, &plan.memory)?;
            }
        }
        Ok(())
    }

    /// Notes the names that files would have if they began at these rows.
    fn remember(&mut self, batch: &Batch, paths: &Paths, range: Range<usize>, plan: &Plan) {
        let Some(shape) = plan.shapes.first().filter(|_| self.names.len() < plan.scan_limit) else { return };
        for row in range {
            let Some(path) = paths.codes.get(row).and_then(|code| paths.distinct.get(*code as usize)) else { continue };
            if self.names.len() >= plan.scan_limit {
                return;
            }
            let name = FileName { topic: Arc::clone(&batch.topic), from: self.from.clone(), path: Arc::clone(path) };
            let offset = batch.offsets.value(row);
            self.names.push((offset, plan.naming.at_start(&name, offset, &shape.extension)));
        }
    }

    /// Why the lane ends although no rows came.
    pub(super) fn due(&self, plan: &Plan, now_ms: i64) -> Option<Reason> {
        self.group.due(&plan.policy, now_ms)
    }

    /// Ends whatever is open.
    pub(super) fn end(&mut self, reason: Reason) -> Option<Ended> {
        self.group = Group::default();
        let names = std::mem::take(&mut self.names);
        let (start, end) = (self.start()?, self.files().map(|f| f.end).max()?);
        let mut open: Vec<OpenPath> = std::mem::take(&mut self.open).into_values().collect();
        open.sort_unstable_by_key(|path| path.number);
        let files = open.into_iter().flat_map(|path| path.files).collect();
        Some(Ended { lane: Arc::clone(&self.lane), files, start, end, reason, names })
    }

    /// The open files.
    pub(super) fn open_files(&mut self) -> impl Iterator<Item = &mut OpenFile> {
        self.open.values_mut().flat_map(|path| &mut path.files)
    }

    /// Number of open files, records in them.
    pub(super) fn open(&self) -> (u64, u64) {
        let records = |path: &OpenPath| path.files.first().map_or(0, |file| file.rows);
        (self.files().count() as u64, self.open.values().map(records).sum())
    }

    /// True when nothing is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

/// Whether rows of this schema go into that file.
fn conflict(file: &OpenFile, columns: &[Column]) -> Option<Obstacle> {
    let column = columns.get(file.shape)?;
    match file.fits(&column.field) {
        Fits::Yes => None,
        Fits::No => Some(Obstacle::Ends(Reason::SchemaChange)),
        Fits::Bad(reason) => Some(Obstacle::Bad(reason)),
    }
}

pub(super) fn is_tombstone(paths: &Paths, code: usize) -> bool {
    paths.tombstones.is_some_and(|tombstones| tombstones as usize == code)
}

/// The first and the last of the rows, numbered as in the batch.
fn ends(rows: &Rows, range: &Range<usize>) -> (usize, usize) {
    match rows {
        Rows::All => (range.start, range.end.saturating_sub(1)),
        Rows::Take(indices) => (indices.values().first().map_or(0, |row| *row as usize), indices.values().last().map_or(0, |row| *row as usize)),
    }
}

/// The earliest and the latest of Kafka timestamps.
fn times(timestamps: &ArrayRef) -> (Option<i64>, Option<i64>) {
    let times = timestamps.as_primitive::<TimestampMillisecondType>();
    (min(times), max(times))
}

/// The rows as an array of their own.
fn pick(values: &ArrayRef, rows: &Rows, range: &Range<usize>) -> Result<ArrayRef, ArrowError> {
    match rows {
        Rows::All => Ok(values.slice(range.start, range.len())),
        Rows::Take(indices) => take(values, indices, None),
    }
}
