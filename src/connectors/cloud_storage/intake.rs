//! One batch on its way into open files: null values, directories, and the rows that no file can hold.
//!
//! Synchronous; runs on the CPU pool. What is decided here is a row's fate; when files end is the [`Writer`]'s and `roll`'s.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::Array;
use chrono::{DateTime, Utc};
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::file::unusable_headers;
use lakehead_formats::schema;

use super::lane::Ended;
use super::naming::FileName;
use super::shape::{Shape, View};
use super::writer::{Incoming, Plan, Writer, cut};
use crate::batch::Batch;
use crate::commit::Lane;
use crate::connect::{ErrorKind, TaskError};
use crate::partition::{Paths, with_tombstones};
use crate::store::objects::key_problem;

/// What to do with a null value (`behavior.on.null.values`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connectors) enum OnNull {
    /// The task fails.
    Fail,
    /// The record is left out, and counted; `report` says that it is also reported as a bad record where errors are tolerated.
    Ignore {
        /// `report.null.values.to.dlq`.
        report: bool,
    },
    /// Its key (and its headers) go to the directory for tombstones.
    Write,
    /// It stays a row: the partitioner and the format decide.
    Keep,
}

/// What a batch led to.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) ended: Vec<Ended>,
    /// Lanes in which files are open that were not before, and their first offsets.
    pub(super) opened: Vec<(Lane, i64)>,
    /// An offset from which on paths were made with another reading of the clock, and that reading in ms.
    pub(super) clock: Vec<(i64, i64)>,
    /// Bad rows, numbered as in the batch that came.
    pub(super) rejects: Vec<Reject>,
    pub(super) ignored_nulls: u64,
    /// Why the rows from there on were not taken.
    pub(super) error: Option<TaskError>,
}

/// One batch through stages 4 and 5.
pub(super) fn take(writer: &mut Writer, batch: Batch, plan: &Plan, now: DateTime<Utc>, tolerates: bool) -> Result<Taken, TaskError> {
    let mut whole = Taken { ended: writer.end_planned(batch.span.start), ..Taken::default() };
    let (mut rest, mut row) = (batch, 0);
    // Records that a former owner has read already are taken as that owner took them, up to where that changes.
    while let Some(at) = writer.replay.boundary(rest.span.start).filter(|at| *at < rest.span.end && whole.error.is_none()) {
        let (before, after) = cut(&rest, at);
        let rows = before.len();
        whole.add(take_part(writer, before, plan, now, tolerates)?, row);
        (rest, row) = (after, row + rows);
    }
    if whole.error.is_none() {
        whole.add(take_part(writer, rest, plan, now, tolerates)?, row);
    }
    // What was opened may have ended since.
    let opened: BTreeSet<Lane> = std::mem::take(&mut whole.opened).into_iter().map(|(lane, _)| lane).collect();
    whole.opened = opened.into_iter().filter_map(|lane| writer.start(&lane).map(|start| (lane, start))).collect();
    Ok(whole)
}

impl Taken {
    /// Adds what the next part of the batch led to, which began at that row.
    fn add(&mut self, part: Self, first: usize) {
        self.ended.extend(part.ended);
        self.opened.extend(part.opened);
        self.clock.extend(part.clock);
        self.rejects.extend(part.rejects.into_iter().map(|reject| Reject { row: reject.row + first, ..reject }));
        self.ignored_nulls += part.ignored_nulls;
        self.error = self.error.take().or(part.error);
    }
}

fn take_part(writer: &mut Writer, batch: Batch, plan: &Plan, now: DateTime<Utc>, tolerates: bool) -> Result<Taken, TaskError> {
    let offsets = batch.offsets.clone();
    let came = offsets.values();
    let (batch, nulls) = without_nulls(batch, plan.on_null)?;
    let mut taken = Taken { ignored_nulls: nulls.len() as u64, ..Taken::default() };
    if plan.on_null == (OnNull::Ignore { report: true }) && tolerates {
        taken.rejects.extend(nulls.into_iter().map(|row| Reject { row, reason: "Skipping null value record.".to_owned() }));
    }
    let columns: Vec<Column> = plan.shapes.iter().map(|shape| shape.column(&batch)).collect();
    let mut paths = if batch.is_empty() { Paths::default() } else { timed_paths(writer, &batch, plan, now, &mut taken.clock) };
    let unnamed = unnamed(writer, &batch, plan, &paths)?;
    refuse(&mut paths, unnamed);
    refuse(&mut paths, unwritable(writer, &batch, plan, &columns));
    let mut end = batch.len();
    if let Some(first) = paths.rejects.first().filter(|_| !tolerates) {
        end = first.row;
        taken.error = Some(reject_error(&batch, first));
    }
    let mut incoming = Incoming { batch: &batch, columns, paths, part: None };
    let bug = |e: arrow::error::ArrowError| TaskError::new(ErrorKind::Bug, e.to_string()).with("partition", &batch.from);
    let written = writer.write(&mut incoming, end, plan, now, tolerates).map_err(bug)?;
    (taken.ended, taken.opened) = (written.ended, written.opened);
    if taken.error.is_none() && written.stopped_at.is_none() {
        taken.ended.extend(writer.end_planned(batch.span.end));
    }
    if let Some(reject) = &written.stopped_at {
        taken.error = Some(reject_error(&batch, reject));
    }
    if tolerates {
        for mut reject in incoming.paths.rejects {
            // Numbered as in the batch that came, which had the nulls.
            let offset = batch.offsets.values().get(reject.row);
            reject.row = offset.and_then(|offset| came.binary_search(offset).ok()).unwrap_or(reject.row);
            taken.rejects.push(reject);
        }
        taken.rejects.sort_by_key(|reject| reject.row);
    }
    Ok(taken)
}

/// The directory of each row, by the clock that a former owner had, or by ours: whoever reads these records again has to know it.
fn timed_paths(writer: &mut Writer, batch: &Batch, plan: &Plan, now: DateTime<Utc>, clock: &mut Vec<(i64, i64)>) -> Paths {
    if plan.partitioner.is_deterministic() {
        return paths(batch, plan, now);
    }
    if let Some(former) = writer.replay.clock(batch.span.start) {
        writer.clock = Some(former);
        return paths(batch, plan, DateTime::from_timestamp_millis(former).unwrap_or(now));
    }
    let all = paths(batch, plan, now);
    let path_of = |paths: &Paths, row: usize| paths.codes.get(row).and_then(|code| paths.distinct.get(*code as usize)).cloned();
    if let Some(row) = all.codes.iter().position(|code| *code != Paths::REJECTED) {
        // Readings that lead to the same path are one: only the change of an hour, a day … is told.
        let same = writer.clock.and_then(DateTime::from_timestamp_millis).is_some_and(|known| {
            let (_, from) = cut(batch, batch.offsets.value(row));
            path_of(&paths(&from, plan, known), 0) == path_of(&all, row)
        });
        if !same {
            writer.clock = Some(now.timestamp_millis());
            clock.push((batch.span.start, now.timestamp_millis()));
        }
    }
    all
}

/// The directory of each row.
fn paths(batch: &Batch, plan: &Plan, now: DateTime<Utc>) -> Paths {
    let mut paths = plan.partitioner.paths(batch, now);
    for reject in &paths.rejects {
        if let Some(time) = paths.timestamps.get_mut(reject.row) {
            *time = Paths::NO_TIME;
        }
    }
    let paths = plan.affix.affixed(paths, batch.value.field.metadata().get(schema::NAME).map(String::as_str), &plan.delim);
    match plan.on_null {
        OnNull::Write => with_tombstones(paths, batch, &plan.tombstones),
        _ => paths,
    }
}

/// Rows whose path makes no name that an object can have.
///
/// # Errors
/// When no path would make one: that is the configuration's fault, and no record's.
fn unnamed(writer: &Writer, batch: &Batch, plan: &Plan, paths: &Paths) -> Result<Vec<Reject>, TaskError> {
    let mut rejects = Vec::new();
    for (code, path) in (0_u32..).zip(&paths.distinct) {
        if writer.is_open(batch, path, paths.tombstones == Some(code)) {
            continue; // it has names already
        }
        let named = |path: Arc<str>| FileName { topic: Arc::clone(&batch.topic), from: batch.from.clone(), path };
        let offset = batch.offsets.values().last().copied().unwrap_or(0);
        let problem = |shape: &Shape| {
            let key = plan.naming.at_start(&named(Arc::clone(path)), offset, &shape.extension);
            let is_for_all = || key_problem(&plan.naming.at_start(&named(Arc::from("path")), offset, &shape.extension)).is_some();
            key_problem(&key).map(|why| (format!("object name '{}' cannot be written: {why}", key.escape_debug()), is_for_all()))
        };
        if let Some((reason, is_for_all)) = plan.shapes.iter().find_map(problem) {
            if is_for_all {
                let what = "; it is so for every record: change topics.dir, directory.delim or what else the name is made of";
                return Err(TaskError::new(ErrorKind::BadConfig, reason + what).with("partition", &batch.from));
            }
            let rows = paths.codes.iter().enumerate().filter(|(_, of_row)| **of_row == code);
            rejects.extend(rows.map(|(row, _)| Reject { row, reason: reason.clone() }));
        }
    }
    Ok(rejects)
}

/// Rows that cannot be written, whatever file they would go to; ascending, a row once.
fn unwritable(writer: &mut Writer, batch: &Batch, plan: &Plan, columns: &[Column]) -> Vec<Reject> {
    let mut rejects: Vec<Reject> = Vec::new();
    let mut add = |rows: &mut dyn Iterator<Item = usize>, reason: &dyn Fn() -> String| rejects.extend(rows.map(|row| Reject { row, reason: reason() }));
    let place = || format!("SinkRecord: topic {}, partition {}", batch.topic, batch.from.partition);
    for (index, (shape, column)) in plan.shapes.iter().zip(columns).enumerate() {
        match shape.view {
            View::Keys => {
                if let Some(nulls) = batch.key.array.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
                    let reason = || format!("Key cannot be null for {}; store.kafka.keys is set", place());
                    add(&mut (0..batch.len()).filter(|row| nulls.is_null(*row)), &reason);
                }
            }
            View::Headers => {
                let reason = |why: &str| format!("Headers cannot be null for {}: {why}", place());
                match &batch.headers {
                    None => add(&mut (0..batch.len()), &|| reason("it has none, and store.kafka.headers is set")),
                    Some(headers) => unusable_headers(headers).iter().for_each(|r| add(&mut [r.row].into_iter(), &|| reason(&r.reason))),
                }
            }
            View::Value => {}
        }
        if let Some(why) = writer.refusal(index, shape, &column.field) {
            let values = batch.value.array.logical_nulls();
            let is_held = |row: &usize| shape.view != View::Value || values.as_ref().is_none_or(|nulls| nulls.is_valid(*row));
            add(&mut (0..batch.len()).filter(is_held), &|| why.clone());
        }
    }
    rejects.sort_by_key(|reject| reject.row);
    rejects.dedup_by_key(|reject| reject.row);
    rejects
}

/// Takes the path from rows that are bad for another reason.
pub(in crate::connectors) fn refuse(paths: &mut Paths, rejects: Vec<Reject>) {
    if rejects.is_empty() {
        return;
    }
    for reject in rejects {
        match paths.codes.get_mut(reject.row) {
            Some(code) if *code != Paths::REJECTED => *code = Paths::REJECTED,
            _ => continue,
        }
        paths.rejects.push(reject);
    }
    paths.rejects.sort_by_key(|reject| reject.row);
}

fn reject_error(batch: &Batch, reject: &Reject) -> TaskError {
    let offset = batch.offsets.values().get(reject.row).copied().unwrap_or(batch.span.start);
    TaskError::new(ErrorKind::BadRecord, reject.reason.clone()).with("partition", &batch.from).with("offset", offset)
}

/// Applies `behavior.on.null.values`: what is left, and the rows that were left out.
fn without_nulls(batch: Batch, on_null: OnNull) -> Result<(Batch, Vec<usize>), TaskError> {
    let values = &batch.value.array;
    // Logical ones: a batch of tombstones alone may be an array of the null type, which has no bitmap.
    let Some(mask) = values.logical_nulls().filter(|mask| mask.null_count() > 0 && !matches!(on_null, OnNull::Write | OnNull::Keep)) else {
        return Ok((batch, Vec::new()));
    };
    let nulls: Vec<usize> = (0..values.len()).filter(|row| mask.is_null(*row)).collect();
    if on_null == OnNull::Fail {
        let reason = "Null valued records are not writeable with current behavior.on.null.values 'settings.; set it to ignore or write".to_owned();
        return Err(reject_error(&batch, &Reject { row: nulls.first().copied().unwrap_or(0), reason }));
    }
    let keep: Vec<bool> = (0..values.len()).map(|row| mask.is_valid(row)).collect();
    let kept = batch.filter(&keep.into()).map_err(|e| TaskError::new(ErrorKind::Bug, e.to_string()))?;
    Ok((kept, nulls))
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, NullArray, StringArray, TimestampMillisecondArray};
    use arrow::datatypes::Field;

    use super::*;
    use crate::batch::{OffsetRange, TopicPartition};

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
        let cases: [(ArrayRef, Vec<i64>, Vec<usize>, Option<i64>); 3] = [
            (Arc::new(StringArray::from(vec!["a", "b"])), vec![10, 11], vec![], None),
            (Arc::new(StringArray::from(vec![Some("a"), None, Some("c")])), vec![10, 12], vec![1], Some(11)),
            // Tombstones alone, before any schema was seen.
            (Arc::new(NullArray::new(2)), vec![], vec![0, 1], Some(10)),
        ];
        for (values, kept, ignored, fails_at) in cases {
            let (rest, left_out) = without_nulls(batch(Arc::clone(&values)), OnNull::Ignore { report: true }).unwrap();
            assert_eq!((rest.offsets.values().to_vec(), left_out), (kept, ignored));
            let failed = without_nulls(batch(Arc::clone(&values)), OnNull::Fail).err().map(|e| e.to_string());
            assert_eq!(failed.is_some(), fails_at.is_some());
            assert!(fails_at.is_none_or(|offset| failed.as_ref().is_some_and(|f| f.contains(&format!("partition=t-0, offset={offset}")))), "{failed:?}");
            let (all, left_out) = without_nulls(batch(Arc::clone(&values)), OnNull::Write).unwrap();
            assert_eq!((all.len(), left_out.len()), (values.len(), 0));
        }
    }
}
