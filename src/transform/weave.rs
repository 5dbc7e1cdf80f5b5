//! Rows that went separate ways, back in the order of their offsets.
//!
//! A predicate sends some rows of a batch through a transform and the others past it. Afterwards those that have the same topic and the same schemas stand in one
//! batch again, in order, whichever way they went: one [`interleave`] for each column. Where they differ, the batch is cut where the way changes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, new_null_array};
use arrow::compute::{concat, interleave};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use lakehead_formats::column::Column;
use lakehead_formats::schema::is_json_text;
use lakehead_formats::schemaless::{Dynamic, Kind, is_dynamic, read_json};

use super::Side;
use super::rows;
use crate::batch::{Batch, OffsetRange};

/// Puts parts of one batch together again. Each part's offsets ascend, and no two have one in common; their spans do not count.
///
/// # Errors
/// When a kernel does not know a column's type.
pub(super) fn weave(whole: OffsetRange, mut parts: Vec<Batch>) -> Result<Vec<Batch>, ArrowError> {
    if parts.iter().any(|part| !part.is_empty()) {
        parts.retain(|part| !part.is_empty());
    } else {
        parts.truncate(1);
    }
    let mut classes: Vec<Vec<Batch>> = Vec::new();
    for part in parts {
        match classes.iter_mut().find(|class| class.first().is_some_and(|first| alike(first, &part))) {
            Some(class) => class.push(part),
            None => classes.push(vec![part]),
        }
    }
    let merged: Vec<Batch> = classes.iter().map(|class| merge(class)).collect::<Result<_, _>>()?;
    Ok(cut_where_the_class_changes(whole, &merged))
}

/// Consecutive slices of batches of which the offsets alternate.
fn cut_where_the_class_changes(whole: OffsetRange, classes: &[Batch]) -> Vec<Batch> {
    if let [only] = classes {
        return vec![Batch { span: whole, ..only.clone() }];
    }
    // Class and rows of each run, and the offset that it begins at.
    let mut runs: Vec<(usize, std::ops::Range<usize>, i64)> = Vec::new();
    for (offset, class, row) in in_order(classes) {
        match runs.last_mut() {
            Some((last, rows, _)) if *last == class => rows.end = row + 1,
            _ => runs.push((class, row..row + 1, offset)),
        }
    }
    let starts: Vec<i64> = runs.iter().skip(1).map(|run| run.2).chain([whole.end]).collect();
    let mut start = whole.start;
    let mut pieces = Vec::with_capacity(runs.len());
    for ((class, rows, _), end) in runs.into_iter().zip(starts) {
        if let Some(batch) = classes.get(class) {
            pieces.push(Batch { span: OffsetRange { start, end }, ..rows::between(batch, rows.start, rows.end) });
        }
        start = end;
    }
    pieces
}

/// Offset, batch and row of every row, by offset.
fn in_order(batches: &[Batch]) -> Vec<(i64, usize, usize)> {
    let rows = |(at, batch): (usize, &Batch)| batch.offsets.values().iter().enumerate().map(move |(row, offset)| (*offset, at, row)).collect::<Vec<_>>();
    let mut all: Vec<(i64, usize, usize)> = batches.iter().enumerate().flat_map(rows).collect();
    all.sort_unstable();
    all
}

/// True when rows of both can stand in one batch.
fn alike(a: &Batch, b: &Batch) -> bool {
    let headers = |batch: &Batch| batch.headers.as_ref().map(|headers| headers.data_type().clone());
    let same_headers = match (headers(a), headers(b)) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    a.topic == b.topic && same_headers && alike_columns(&a.key, &b.key) && alike_columns(&a.value, &b.value)
}

fn alike_columns(a: &Column, b: &Column) -> bool {
    a.field == b.field || (is_schemaless(a) && is_schemaless(b))
}

fn is_schemaless(column: &Column) -> bool {
    is_dynamic(&column.field) || is_json_text(&column.field) || column.field.data_type() == &DataType::Null
}

/// One batch of all rows, by offset.
fn merge(class: &[Batch]) -> Result<Batch, ArrowError> {
    let Some(first) = class.first().filter(|_| class.len() > 1) else { return class.first().cloned().ok_or(ArrowError::ComputeError("no rows".to_owned())) };
    let order: Vec<(usize, usize)> = in_order(class).into_iter().map(|(_, batch, row)| (batch, row)).collect();
    let take = |arrays: Vec<&dyn Array>| interleave(&arrays, &order);
    let column = |side: Side| {
        let columns: Vec<Column> = class.iter().map(|batch| side.of(batch).clone()).collect();
        let columns = one_form(&columns, side)?;
        if let Some(dynamics) = columns.iter().map(Dynamic::of_column).collect::<Option<Vec<_>>>() {
            return Ok(Dynamic::interleave(&dynamics, &order)?.into_column(side.name()));
        }
        let field = columns.first().map(|column| Arc::clone(&column.field)).ok_or(ArrowError::ComputeError("no columns".to_owned()))?;
        Ok::<_, ArrowError>(Column::new(field, take(columns.iter().map(|column| column.array.as_ref()).collect())?))
    };
    let headers = headers(class);
    Ok(Batch {
        offsets: take(class.iter().map(|batch| &batch.offsets as &dyn Array).collect())?.as_primitive().clone(),
        timestamps: take(class.iter().map(|batch| &batch.timestamps as &dyn Array).collect())?.as_primitive().clone(),
        key: column(Side::Key)?,
        value: column(Side::Value)?,
        headers: headers.map(|headers| take(headers.iter().map(|list| list as &dyn Array).collect())).transpose()?.map(|list| list.as_list().clone()),
        ..first.clone()
    })
}

/// The headers of all, lists without any where a batch has none; nothing when none has.
fn headers(class: &[Batch]) -> Option<Vec<ListArray>> {
    let data_type = class.iter().find_map(|batch| batch.headers.as_ref())?.data_type().clone();
    let empty = |rows: usize| new_null_array(&data_type, rows).as_list::<i32>().clone();
    Some(class.iter().map(|batch| batch.headers.clone().unwrap_or_else(|| empty(batch.len()))).collect())
}

/// Columns under one field: those of schemaless values all dynamic, or all JSON text.
fn one_form(columns: &[Column], side: Side) -> Result<Vec<Column>, ArrowError> {
    if columns.windows(2).all(|pair| matches!(pair, [a, b] if a.field == b.field)) {
        return Ok(columns.to_vec());
    }
    let dynamics: Option<Vec<Column>> = columns.iter().map(|column| Some(dynamic(column)?.into_column(side.name()))).collect();
    match dynamics {
        Some(dynamics) => Ok(dynamics),
        None => columns.iter().map(|column| as_json(column, side)).collect(),
    }
}

/// A schemaless column as a dynamic one; none when its keys are too many for one column.
fn dynamic(column: &Column) -> Option<Dynamic> {
    if column.field.data_type() == &DataType::Null {
        return Some(Dynamic::none(Kind::Null, column.len()));
    }
    if is_json_text(&column.field) {
        let read = read_json(column.array.as_string::<i32>()).ok()?;
        return (read.rejects.is_empty() && read.values.len() == column.len()).then_some(read.values);
    }
    Dynamic::of_column(column)
}

/// A schemaless column in the form in which it leaves a chain.
pub(super) fn as_json(column: &Column, side: Side) -> Result<Column, ArrowError> {
    match Dynamic::of_column(column) {
        Some(values) => values.into_json_column(side.name()),
        None if column.field.data_type() == &DataType::Null => Dynamic::none(Kind::Null, column.len()).into_json_column(side.name()),
        None => Ok(column.clone()),
    }
}

/// Joins neighbours of one topic and the same schemas, where their arrays fit into one. Spans are consecutive before and after.
pub(super) fn joined(batches: Vec<Batch>) -> Vec<Batch> {
    let mut groups: Vec<Vec<Batch>> = Vec::new();
    for batch in batches {
        let fits = |last: &Batch| {
            batch.is_empty() || last.is_empty() || (last.key.field == batch.key.field && last.value.field == batch.value.field && alike(last, &batch))
        };
        match groups.last_mut() {
            // The last with rows counts: those without fit everywhere.
            Some(group) if group.iter().rev().find(|last| !last.is_empty()).is_none_or(fits) => group.push(batch),
            _ => groups.push(vec![batch]),
        }
    }
    groups.into_iter().flat_map(|group| if group.len() > 1 { concatenated(&group).map_or(group, |batch| vec![batch]) } else { group }).collect()
}

fn concatenated(group: &[Batch]) -> Option<Batch> {
    let span = OffsetRange { start: group.first()?.span.start, end: group.last()?.span.end };
    let rows: Vec<Batch> = group.iter().filter(|batch| !batch.is_empty()).cloned().collect();
    let Some(first) = rows.first() else { return Some(Batch { span, ..group.first()?.clone() }) };
    let all = |arrays: Vec<&dyn Array>| -> Option<ArrayRef> { concat(&arrays).ok() };
    let column = |side: Side| Some(Column::new(Arc::clone(&side.of(first).field), all(rows.iter().map(|batch| side.of(batch).array.as_ref()).collect())?));
    let headers = match headers(&rows) {
        Some(headers) => Some(all(headers.iter().map(|list| list as &dyn Array).collect())?.as_list().clone()),
        None => None,
    };
    Some(Batch {
        span,
        offsets: all(rows.iter().map(|batch| &batch.offsets as &dyn Array).collect())?.as_primitive().clone(),
        timestamps: all(rows.iter().map(|batch| &batch.timestamps as &dyn Array).collect())?.as_primitive().clone(),
        key: column(Side::Key)?,
        value: column(Side::Value)?,
        headers,
        ..first.clone()
    })
}
