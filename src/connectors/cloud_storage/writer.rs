//! The writer of one topic partition: rows → lanes → open files, and what a former owner's intent says about them.
//!
//! Synchronous and without I/O: it takes batches and returns the groups of files that ended. Which files end together is its [`Scope`]; when they do is a
//! [lane](super::lane)'s business. While records are read again that a former owner has planned, its [`Replay`] says which are visible already, and where files end.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::FieldRef;
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schema::compatibility::Compatibility;

use super::file::{Evolution, OpenFile, Ratio};
use super::intake::OnNull;
use super::lane::{Ended, LaneWriter, Terms, Written, is_tombstone};
use super::naming::Naming;
use super::shape::{Shape, View};
use super::staging::Parts;
use crate::batch::{Batch, TopicPartition};
use crate::commit::{Fate, Lane, Replay, TOGETHER};
use crate::memory::Budget;
use crate::partition::{Affix, Partitioner, Paths, Rows, split_rows};
use crate::roll::{Policy, Reason};

/// Which files end together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of a topic partition: upstream's way.
    TopicPartition,
    /// Those of a path: late records close nobody else's files.
    Path,
}

/// How a connector's records become files; shared by all its writers.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) partitioner: Box<dyn Partitioner>,
    pub(super) policy: Policy,
    pub(super) scope: Scope,
    pub(super) naming: Arc<dyn Naming>,
    /// The objects that a record goes to: its value's first.
    pub(super) shapes: Vec<Shape>,
    pub(super) on_null: OnNull,
    /// `s3.schema.partition.affix.type`.
    pub(super) affix: Affix,
    /// Between directories.
    pub(super) delim: String,
    /// Directory of the tombstones, for [`OnNull::Write`].
    pub(super) tombstones: String,
    pub(super) evolution: Evolution,
    /// `partitioner.max.open.files`: paths of a topic partition that may have open files.
    pub(super) max_open: Option<NonZeroUsize>,
    /// Records whose would-be names are remembered for conditional writes; 0 without them.
    pub(super) scan_limit: usize,
    pub(super) memory: Budget,
    pub(super) ratio: Arc<Ratio>,
}

impl Plan {
    /// What becomes of rows of other schemas in objects of that shape: upstream's modes are for values, keys and headers have NONE; what takes every version takes those of keys too.
    pub(super) fn evolution_of(&self, shape: &Shape) -> Evolution {
        match self.evolution {
            Evolution::Modes(_) if shape.view != View::Value => Evolution::Modes(Compatibility::None),
            evolution => evolution,
        }
    }
}

/// A batch, as its files see it.
#[derive(Debug)]
pub(super) struct Incoming<'a> {
    pub(super) batch: &'a Batch,
    /// One for each of [`Plan::shapes`].
    pub(super) columns: Vec<Column>,
    /// Rows that the writer refuses lose their path here.
    pub(super) paths: Paths,
    /// Where the rows are, when they are those of one path and were brought together with others; the columns are then without rows.
    pub(super) part: Option<(Arc<Parts>, usize)>,
}

/// What taking a batch led to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Groups of files that ended, in order.
    pub(super) ended: Vec<Ended>,
    /// Lanes in which files are open that were not before, and their first offsets.
    pub(super) opened: Vec<(Lane, i64)>,
    /// A bad row that is not tolerated: it and what follows was not taken.
    pub(super) stopped_at: Option<Reject>,
}

/// A schema, and why a format cannot hold it.
type Checked = (FieldRef, Option<String>);

/// The writer of one topic partition.
#[derive(Debug)]
pub(super) struct Writer {
    from: TopicPartition,
    pub(super) scope: Scope,
    lanes: BTreeMap<Lane, LaneWriter>,
    /// End of the last span taken.
    position: Option<i64>,
    pub(super) replay: Replay,
    /// The reading of the clock, in ms, with which the last paths were made.
    pub(super) clock: Option<i64>,
    /// The last answer of each shape's format.
    checked: Vec<Option<Checked>>,
}

impl Writer {
    /// A writer without files.
    pub(super) fn new(from: TopicPartition, scope: Scope, replay: Replay) -> Self {
        Self { from, scope, lanes: BTreeMap::new(), position: None, replay, clock: None, checked: Vec::new() }
    }

    /// Takes the rows `0..end` of a batch that have a path. With `tolerates`, bad rows lose their path and the others go on; without, the first ends it.
    /// The batch does not reach over a [boundary](Replay::boundary).
    pub(super) fn write(&mut self, incoming: &mut Incoming<'_>, end: usize, plan: &Plan, now: DateTime<Utc>, tolerates: bool) -> Result<Outcome, ArrowError> {
        let terms = |is_held| Terms { plan, now_ms: now.timestamp_millis(), tolerates, is_held };
        let mut outcome = Outcome::default();
        let apart = self.route(incoming);
        let mut bad = Vec::new();
        if incoming.paths.codes.iter().any(|code| *code != Paths::REJECTED && !apart.contains_key(code)) {
            let codes = incoming.paths.codes.clone();
            incoming.paths.codes.iter_mut().filter(|code| apart.contains_key(code)).for_each(|code| *code = Paths::REJECTED);
            let lane: Lane = TOGETHER.into();
            let is_held = self.replay.holds(&lane);
            let written = self.lane(&lane).write(incoming, end, terms(is_held))?;
            incoming.paths.codes = codes;
            bad.extend(self.note(&lane, written, &mut outcome));
        }
        let (split, parts) = together(incoming, &apart, end, &plan.memory)?;
        for (index, (code, rows)) in split.iter().enumerate() {
            let Some(lane) = apart.get(code).cloned() else { continue };
            let (mut part, rows) = part(incoming, *code, rows, end)?;
            let is_held = self.replay.holds(&lane);
            let count = part.batch.len();
            let mut incoming = Incoming {
                batch: &part.batch,
                columns: std::mem::take(&mut part.columns),
                paths: std::mem::take(&mut part.paths),
                part: Some((Arc::clone(&parts), index)),
            };
            let mut written = self.lane(&lane).write(&mut incoming, count, terms(is_held))?;
            let renumber = |reject: &mut Reject| reject.row = rows.values().get(reject.row).map_or(reject.row, |row| *row as usize);
            written.bad.iter_mut().chain(&mut written.stopped_at).for_each(renumber);
            bad.extend(self.note(&lane, written, &mut outcome));
        }
        while let Some(most) = plan.max_open.filter(|most| self.scope == Scope::Path && self.lanes.len() > most.get()) {
            let Some(lane) = self.oldest() else { break };
            tracing::debug!(partition = %self.from, %lane, most, "more paths have open files than partitioner.max.open.files: the oldest end");
            outcome.ended.extend(self.end_lane(&lane, Reason::OpenFiles));
        }
        // What was not taken is not passed: the offset of the first such row, or the whole span.
        let stopped = outcome.stopped_at.as_ref().map(|reject| reject.row).or((end < incoming.batch.len()).then_some(end));
        let position = stopped.and_then(|row| incoming.batch.offsets.values().get(row).copied());
        self.position = Some(position.unwrap_or(incoming.batch.span.end));
        for reject in &bad {
            if let Some(code) = incoming.paths.codes.get_mut(reject.row) {
                *code = Paths::REJECTED;
            }
        }
        incoming.paths.rejects.extend(bad);
        incoming.paths.rejects.sort_by_key(|reject| reject.row);
        Ok(outcome)
    }

    /// The codes whose rows go to a lane of their own; rows that are visible already lose their path.
    fn route(&self, incoming: &mut Incoming<'_>) -> BTreeMap<u32, Lane> {
        let Incoming { batch, paths, .. } = incoming;
        let offset = batch.span.start;
        if self.scope == Scope::TopicPartition && self.replay.is_over(offset) {
            return BTreeMap::new();
        }
        let mut apart = BTreeMap::new();
        let mut visible = Vec::new();
        for (code, path) in (0_u32..).zip(&paths.distinct) {
            let lane = lane_of(batch, path, is_tombstone(paths, code as usize));
            match self.replay.fate(&lane, offset) {
                Fate::Visible => visible.push(code),
                Fate::Planned => drop(apart.insert(code, lane)),
                Fate::PlannedTogether => {}
                Fate::Free if self.scope == Scope::Path => drop(apart.insert(code, lane)),
                Fate::Free => {}
            }
        }
        if !visible.is_empty() {
            paths.codes.iter_mut().filter(|code| visible.contains(code)).for_each(|code| *code = Paths::REJECTED);
        }
        apart
    }

    fn lane(&mut self, lane: &Lane) -> &mut LaneWriter {
        self.lanes.entry(Arc::clone(lane)).or_insert_with(|| LaneWriter::new(self.from.clone(), Arc::clone(lane)))
    }

    /// Takes down what writing into a lane led to; comes back with rows that were refused.
    fn note(&mut self, lane: &Lane, written: Written, outcome: &mut Outcome) -> Vec<Reject> {
        outcome.ended.extend(written.ended);
        let first = [outcome.stopped_at.take(), written.stopped_at].into_iter().flatten().min_by_key(|reject| reject.row);
        outcome.stopped_at = first;
        match self.lanes.get(lane).and_then(LaneWriter::start) {
            Some(start) => outcome.opened.push((Arc::clone(lane), start)),
            None => self.forget(lane),
        }
        written.bad
    }

    /// A lane of a path goes when nothing of it is open; the one of all paths remembers the times that it has seen.
    fn forget(&mut self, lane: &Lane) {
        if !lane.is_empty() {
            self.lanes.remove(lane);
        }
    }

    /// Ends what the intent ends now that everything below the position was taken.
    pub(super) fn end_planned(&mut self, position: i64) -> Vec<Ended> {
        let mut ended = Vec::new();
        while let Some((lane, end)) = self.replay.next_end(position) {
            let nothing = Ended { lane: Arc::clone(&lane), files: Vec::new(), start: end, end, reason: Reason::Planned, names: Vec::new() };
            let group = self.end_lane(&lane, Reason::Planned).unwrap_or(nothing);
            ended.push(Ended { end, ..group });
        }
        ended
    }

    fn end_lane(&mut self, lane: &Lane, reason: Reason) -> Option<Ended> {
        let ended = self.lanes.get_mut(lane)?.end(reason);
        self.forget(lane);
        ended
    }

    /// The lane that has been open for the most records, of those that no intent holds.
    fn oldest(&self) -> Option<Lane> {
        let open = self.lanes.values().filter(|lane| !self.replay.holds(&lane.lane)).filter_map(|lane| Some((lane.start()?, &lane.lane)));
        open.min().map(|(_, lane)| Arc::clone(lane))
    }

    /// Ends the files of that lane, unless an intent says when they end.
    pub(super) fn end_straggler(&mut self, lane: &Lane) -> Option<Ended> {
        if self.replay.holds(lane) { None } else { self.end_lane(lane, Reason::Crowded) }
    }

    /// Ends everything that is open, but for what an intent holds.
    pub(super) fn end_all(&mut self, reason: Reason) -> Vec<Ended> {
        let lanes: Vec<Lane> = self.lanes.keys().filter(|lane| !self.replay.holds(lane)).cloned().collect();
        lanes.iter().filter_map(|lane| self.end_lane(lane, reason)).collect()
    }

    /// Ends the lane that holds most memory, but for those that an intent holds.
    pub(super) fn end_largest(&mut self, ratio: &Ratio) -> Option<Ended> {
        let held = |lane: &mut LaneWriter| lane.open_files().map(|file| file.held_bytes(ratio)).sum::<u64>();
        let replay = &self.replay;
        let open = self.lanes.values_mut().filter(|lane| !replay.holds(&lane.lane)).map(|lane| (held(lane), Arc::clone(&lane.lane)));
        let (_, lane) = open.max().filter(|(bytes, _)| *bytes > 0)?;
        self.end_lane(&lane, Reason::Memory)
    }

    /// Ends files that are due, whether or not records come.
    pub(super) fn tick(&mut self, plan: &Plan, now: DateTime<Utc>) -> Vec<Ended> {
        let due = |lane: &LaneWriter| lane.due(plan, now.timestamp_millis()).filter(|_| !self.replay.holds(&lane.lane));
        let lanes: Vec<(Lane, Reason)> = self.lanes.values().filter_map(|lane| Some((Arc::clone(&lane.lane), due(lane)?))).collect();
        lanes.into_iter().filter_map(|(lane, reason)| self.end_lane(&lane, reason)).collect()
    }

    /// Why a format cannot hold this type, asked once for each schema.
    pub(super) fn refusal(&mut self, index: usize, shape: &Shape, field: &FieldRef) -> Option<String> {
        if self.checked.len() <= index {
            self.checked.resize(index + 1, None);
        }
        let slot = self.checked.get_mut(index)?;
        match slot {
            Some((known, why)) if known == field => why.clone(),
            _ => {
                let why = shape.format.encoder(field).err().map(|error| error.to_string());
                *slot = Some((FieldRef::clone(field), why.clone()));
                why
            }
        }
    }

    /// True when the path has open files.
    pub(super) fn is_open(&self, batch: &Batch, path: &Arc<str>, is_tombstone: bool) -> bool {
        let is_in = |lane: &str| self.lanes.get(lane).is_some_and(|lane| lane.is_open(&batch.topic, path, is_tombstone));
        is_in(TOGETHER) || is_in(&lane_of(batch, path, is_tombstone))
    }

    /// The first offset of what is open in a lane.
    pub(super) fn start(&self, lane: &Lane) -> Option<i64> {
        self.lanes.get(lane).and_then(LaneWriter::start)
    }

    /// Everything below was taken, or left out on purpose; `None` before the first record.
    pub(super) fn position(&self) -> Option<i64> {
        self.position
    }

    /// The open files.
    pub(super) fn open_files(&mut self) -> impl Iterator<Item = &mut OpenFile> {
        self.lanes.values_mut().flat_map(LaneWriter::open_files)
    }

    /// Number of open files, records in them.
    pub(super) fn open(&self) -> (u64, u64) {
        self.lanes.values().map(LaneWriter::open).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    }

    /// True when nothing is open.
    pub(super) fn is_idle(&self) -> bool {
        self.lanes.values().all(LaneWriter::is_empty)
    }
}

/// The lane of a path: where it is not told by the path alone, the topic's new name and what tells tombstones apart.
fn lane_of(batch: &Batch, path: &str, is_tombstone: bool) -> Lane {
    let renamed = if batch.topic == batch.from.topic { "" } else { &*batch.topic };
    let rest = if is_tombstone {
        format!("\u{1}{renamed}\u{1}")
    } else if renamed.is_empty() {
        String::new()
    } else {
        format!("\u{1}{renamed}")
    };
    format!("/{path}{rest}").into()
}

/// Rows of one path as a batch of their own.
struct Part {
    batch: Batch,
    columns: Vec<Column>,
    paths: Paths,
}

/// The rows of each path that has a lane of its own, path after path.
type Together = (Vec<(u32, Rows)>, Arc<Parts>);

/// Brings the rows `0..end` together whose code is in `apart`.
fn together(incoming: &Incoming<'_>, apart: &BTreeMap<u32, Lane>, end: usize, memory: &Budget) -> Result<Together, ArrowError> {
    let Incoming { columns, paths, .. } = incoming;
    let codes = paths.codes.get(..end).unwrap_or(&paths.codes).iter().map(|code| if apart.contains_key(code) { *code } else { Paths::REJECTED });
    let codes: Vec<u32> = codes.collect();
    let mut split = split_rows(&codes, 0..codes.len(), paths.distinct.len());
    split.sort_unstable_by_key(|(code, _)| *code);
    let parts = Parts::of(columns, &split, &(0..codes.len()), memory)?;
    Ok((split, Arc::new(parts)))
}

/// What there is of these rows beside their columns, and their numbers in the whole.
fn part(incoming: &Incoming<'_>, code: u32, rows: &Rows, end: usize) -> Result<(Part, UInt32Array), ArrowError> {
    let Incoming { batch, columns, paths, .. } = incoming;
    let rows = match rows {
        Rows::All => UInt32Array::from_iter_values((0_u32..).take(end.min(paths.codes.len()))),
        Rows::Take(rows) => rows.clone(),
    };
    let is_whole = rows.len() == batch.len();
    let pick = |array: &ArrayRef| if is_whole { Ok(Arc::clone(array)) } else { take(array, &rows, None) };
    let offsets: ArrayRef = Arc::new(batch.offsets.clone());
    let timestamps: ArrayRef = Arc::new(batch.timestamps.clone());
    let nothing = Column::new(FieldRef::clone(&batch.key.field), batch.key.array.slice(0, 0));
    let part = Batch {
        from: batch.from.clone(),
        span: batch.span,
        topic: Arc::clone(&batch.topic),
        offsets: pick(&offsets)?.as_primitive().clone(),
        timestamps: pick(&timestamps)?.as_primitive().clone(),
        // Keys, values and headers are in the columns, as the files want them.
        key: nothing.clone(),
        value: nothing,
        headers: None,
    };
    let times = if paths.timestamps.is_empty() {
        Vec::new()
    } else {
        rows.values().iter().map(|row| paths.timestamps.get(*row as usize).copied().unwrap_or(Paths::NO_TIME)).collect()
    };
    let columns = columns.iter().map(|column| column.slice(0, 0)).collect();
    let paths = Paths {
        codes: vec![0; rows.len()],
        distinct: paths.distinct.get(code as usize).cloned().into_iter().collect(),
        timestamps: times,
        rejects: Vec::new(),
        tombstones: (paths.tombstones == Some(code)).then_some(0),
    };
    Ok((Part { batch: part, columns, paths }, rows))
}

/// The batch up to and from an offset within its span.
pub(super) fn cut(batch: &Batch, at: i64) -> (Batch, Batch) {
    let row = batch.offsets.values().partition_point(|offset| *offset < at);
    let slice = |rows: Range<usize>, start: i64, end: i64| {
        let column = |column: &Column| Column::new(FieldRef::clone(&column.field), column.array.slice(rows.start, rows.len()));
        Batch {
            from: batch.from.clone(),
            span: crate::batch::OffsetRange { start, end },
            topic: Arc::clone(&batch.topic),
            offsets: batch.offsets.slice(rows.start, rows.len()),
            timestamps: batch.timestamps.slice(rows.start, rows.len()),
            key: column(&batch.key),
            value: column(&batch.value),
            headers: batch.headers.as_ref().map(|headers| headers.slice(rows.start, rows.len())),
        }
    };
    (slice(0..row, batch.span.start, at), slice(row..batch.len(), at, batch.span.end))
}

#[cfg(test)]
mod tests;
