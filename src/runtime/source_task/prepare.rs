//! What a connector gave → the bytes that are sent: transforms, then converters.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray, Int64Array, ListArray, TimestampMillisecondArray};
use lakehead_formats::column::Reject;
use lakehead_formats::headers::{self, Own};
use lakehead_formats::payload::PayloadWriter;

use super::outbox::Held;
use crate::batch::{Batch, OffsetRange, TopicPartition};
use crate::connect::{ErrorKind, Health, TaskError};
use crate::convert::writing::Writers;
use crate::kafka::OutgoingRecord;
use crate::runtime::errors::{Classes, Failure, Stage, WORKER_SOURCE_TASK};
use crate::transform::{Chain, Untransformed};

/// What stands for a partition that the producer is to choose, where a batch has to name one.
const ANY_PARTITION: i32 = -1;

/// The stages between a source and its producer.
pub(super) struct Stages {
    pub(super) chain: Chain,
    pub(super) writers: Writers,
    /// Of the converters.
    pub(super) classes: Classes,
}

/// What is to be done with a batch.
pub(super) struct Prepared {
    /// What is sent, in order.
    pub(super) pieces: Vec<Piece>,
    /// Rows that are left out, with the reason; the one that ends the task, where there is one.
    pub(super) left_out: Vec<(usize, Failure)>,
    /// What ends the task when everything before it was sent.
    pub(super) failure: Option<TaskError>,
}

/// A batch between transforms and converters.
pub(super) struct Transformed {
    held: Arc<Held>,
    batches: Vec<Batch>,
    /// Rows that failed in a transform, with the reason.
    bad: Vec<(usize, Failure)>,
}

impl Stages {
    /// Takes a batch through transforms.
    pub(super) fn transform(&mut self, held: &Arc<Held>) -> Transformed {
        let source = &held.batch;
        let rows = i64::try_from(source.len()).unwrap_or(i64::MAX);
        let batch = Batch {
            from: TopicPartition { topic: Arc::clone(&source.topic), partition: source.partition.unwrap_or(ANY_PARTITION) },
            span: OffsetRange { start: 0, end: rows },
            topic: Arc::clone(&source.topic),
            // The number of the row stands for an offset.
            offsets: (0..rows).collect::<Vec<i64>>().into(),
            timestamps: source.timestamps.clone(),
            key: source.key.clone(),
            value: source.value.clone(),
            headers: source.headers.clone(),
        };
        let mut batches = Vec::new();
        let untransformed = self.chain.apply(batch, &mut batches).into_iter();
        let of_transform = |r: Untransformed| (r.row, Failure { stage: Stage::Transformation, class: r.class, reason: r.reason });
        let bad = untransformed.map(of_transform).collect();
        batches.retain(|batch| !batch.is_empty());
        Transformed { held: Arc::clone(held), batches, bad }
    }

    /// Asks registries for what the converters need to write a batch. Waits while one does not answer, and says so in `health`. Cancel-safe.
    ///
    /// # Errors
    /// [`TaskError`] for what ends the task.
    pub(super) async fn ask(&mut self, transformed: &Transformed, health: &Health) -> Result<(), TaskError> {
        for batch in &transformed.batches {
            self.writers.prepare(&batch.topic, &batch.key, &batch.value, health).await?;
        }
        Ok(())
    }

    /// Takes a batch through the converters. A row that cannot be sent is left out, or ends the task when bad records are not tolerated. Call
    /// [`ask`](Self::ask) before.
    pub(super) fn convert(&mut self, transformed: Transformed, tolerates: bool) -> Prepared {
        let Transformed { held, batches, mut bad } = transformed;
        let source = &held.batch;
        let mut pieces: Vec<Piece> = batches.into_iter().map(|batch| self.write(&held, batch, &mut bad)).collect();
        bad.sort_by_key(|(row, _)| *row);
        bad.dedup_by_key(|(row, _)| *row);
        let mut ends = None;
        if !tolerates && let Some((row, failure)) = bad.first() {
            pieces.iter_mut().for_each(|piece| piece.end_before(*row));
            let error = TaskError::new(ErrorKind::BadRecord, failure.told()).with("topic", &source.topic);
            let at = source.positions.as_ref().map(|positions| serde_json::Value::Object(positions.offset(*row)).to_string());
            ends = Some(match at {
                Some(offset) => error.with("source offset", offset),
                None => error,
            });
            bad.truncate(1); // the one that is told
        }
        Prepared { pieces, left_out: bad, failure: ends }
    }

    fn write(&mut self, held: &Arc<Held>, batch: Batch, bad: &mut Vec<(usize, Failure)>) -> Piece {
        let (headers, bad_headers) = written_headers(self.writers.header.as_mut(), &batch);
        let (keys, values) = (self.writers.key.write(&batch.topic, &batch.key), self.writers.value.write(&batch.topic, &batch.value));
        let mut is_bad = vec![false; batch.len()];
        let Classes { key, value, header } = &self.classes;
        let mut note = |row: usize, stage: Stage, class: &Arc<str>, reason: String| {
            if let Some(flag) = is_bad.get_mut(row)
                && !std::mem::replace(flag, true)
            {
                bad.push((number(&batch.offsets, row), Failure { stage, class: Arc::clone(class), reason }));
            }
        };
        // As upstream, headers are converted first, and the first reason counts.
        bad_headers.into_iter().for_each(|reject| note(reject.row, Stage::HeaderConverter, header, reject.reason));
        keys.rejects.into_iter().for_each(|reject| note(reject.row, Stage::KeyConverter, key, reject.reason));
        values.rejects.into_iter().for_each(|reject| note(reject.row, Stage::ValueConverter, value, reject.reason));
        for (row, timestamp) in batch.timestamps.iter().enumerate() {
            // As upstream, -1 is none.
            if let Some(timestamp) = timestamp.filter(|timestamp| *timestamp < -1) {
                note(row, Stage::KafkaProduce, &WORKER_SOURCE_TASK.into(), format!("invalid record timestamp {timestamp}"));
            }
        }
        Piece {
            held: Arc::clone(held),
            partition: Some(batch.from.partition).filter(|partition| *partition != ANY_PARTITION),
            topic: batch.topic,
            rows: batch.offsets,
            timestamps: batch.timestamps,
            keys: keys.payloads,
            values: values.payloads,
            headers,
            is_bad,
            next: 0,
        }
        .at_next()
    }
}

/// Headers with their values as the header converter writes them, and the rows of which it writes none.
fn written_headers(writer: &mut dyn PayloadWriter, batch: &Batch) -> (Option<ListArray>, Vec<Reject>) {
    match batch.headers.as_ref().map(|list| headers::written(list, Own::Values, writer)).transpose() {
        Ok(Some((list, rejects))) => (Some(list), rejects),
        Ok(None) => (None, Vec::new()),
        Err(error) => (None, (0..batch.len()).map(|row| Reject { row, reason: error.to_string() }).collect()),
    }
}

fn number(offsets: &Int64Array, row: usize) -> usize {
    offsets.values().get(row).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(usize::MAX)
}

/// Rows of a batch that go to one topic, ready to be sent one after the other.
pub(super) struct Piece {
    pub(super) held: Arc<Held>,
    pub(super) topic: Arc<str>,
    partition: Option<i32>,
    /// Their numbers in the batch.
    rows: Int64Array,
    timestamps: TimestampMillisecondArray,
    keys: BinaryArray,
    values: BinaryArray,
    headers: Option<ListArray>,
    /// Rows that are not sent.
    is_bad: Vec<bool>,
    /// The row that is sent next.
    next: usize,
}

/// Names and bytes of a record's headers.
pub(super) type Headers<'a> = Vec<(&'a str, Option<&'a [u8]>)>;

impl Piece {
    /// The number in the batch of the row that is sent next.
    pub(super) fn next_row(&self) -> Option<usize> {
        (self.next < self.is_bad.len()).then(|| number(&self.rows, self.next))
    }

    /// The row was sent.
    pub(super) fn step(&mut self) {
        self.next += 1;
        while self.is_bad.get(self.next) == Some(&true) {
            self.next += 1;
        }
    }

    fn at_next(mut self) -> Self {
        if self.is_bad.first() == Some(&true) {
            self.step();
        }
        self
    }

    /// Rows from that number in the batch on are not sent.
    fn end_before(&mut self, row: usize) {
        let end = (0..self.is_bad.len()).find(|at| number(&self.rows, *at) >= row);
        self.is_bad.truncate(end.unwrap_or(self.is_bad.len()));
    }

    pub(super) fn headers(&self) -> Headers<'_> {
        let Some(list) = &self.headers else { return Vec::new() };
        let offsets = list.value_offsets();
        let at = |row: usize| offsets.get(row).and_then(|at| usize::try_from(*at).ok()).unwrap_or(0);
        let entries = list.values().as_struct();
        let [keys, values] = entries.columns() else { return Vec::new() };
        let (keys, values) = (keys.as_string::<i32>(), values.as_binary::<i32>());
        let rows = if list.is_null(self.next) { 0..0 } else { at(self.next)..at(self.next + 1) };
        rows.map(|row| (keys.value(row), values.is_valid(row).then(|| values.value(row)))).collect()
    }

    /// The record that is sent next.
    pub(super) fn record<'a>(&'a self, headers: &'a Headers<'a>) -> OutgoingRecord<'a> {
        let row = self.next;
        OutgoingRecord {
            topic: &self.topic,
            partition: self.partition,
            timestamp: self.timestamps.is_valid(row).then(|| self.timestamps.value(row)).filter(|timestamp| *timestamp >= 0),
            key: self.keys.is_valid(row).then(|| self.keys.value(row)),
            value: self.values.is_valid(row).then(|| self.values.value(row)),
            headers,
        }
    }

    /// Bytes of that record's key and value.
    pub(super) fn bytes(&self) -> u64 {
        let length = |array: &BinaryArray| if array.is_valid(self.next) { array.value(self.next).len() as u64 } else { 0 };
        length(&self.keys) + length(&self.values)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{ArrayRef, NullArray, StringArray, StructArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{DataType, Field, Fields};
    use lakehead_formats::column::Column;
    use lakehead_formats::payload;

    use super::*;

    /// Rows with two headers, none, and one.
    fn headers() -> ListArray {
        let fields = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)]);
        let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec!["a", "b", "c"])), Arc::new(Int64Array::from(vec![Some(-1), None, Some(258)]))];
        let entries = StructArray::new(fields.clone(), columns, None);
        let item = Arc::new(Field::new("item", DataType::Struct(fields), false));
        ListArray::new(item, OffsetBuffer::from_lengths([2, 0, 1]), Arc::new(entries), None)
    }

    /// Records with these headers, and nothing else.
    fn batch() -> Batch {
        let none = || Column::new(Arc::new(Field::new("value", DataType::Null, true)), Arc::new(NullArray::new(3)));
        Batch {
            from: TopicPartition::new("t", 0),
            span: OffsetRange { start: 0, end: 3 },
            topic: "t".into(),
            offsets: vec![0, 1, 2].into(),
            timestamps: vec![None; 3].into(),
            key: none(),
            value: none(),
            headers: Some(headers()),
        }
    }

    #[test]
    fn headers_are_written_by_their_converter() {
        let wrong = "failed to serialize to integer: the header is of type Int64";
        for (converter, written, bad) in [
            ("SimpleHeaderConverter", [Some(&b"-1"[..]), None, Some(b"258")], vec![]),
            ("LongConverter", [Some(&[255; 8]), None, Some(&[0, 0, 0, 0, 0, 0, 1, 2])], vec![]),
            ("IntegerConverter", [None, None, None], vec![(0, wrong), (2, wrong)]),
            ("ByteArrayConverter", [None, None, None], vec![(0, "ByteArrayConverter writes bytes only"), (2, "ByteArrayConverter writes bytes only")]),
        ] {
            let mut writer = (payload::find_for_headers(converter).unwrap().build)(&BTreeMap::new()).unwrap();
            let (list, found) = written_headers(writer.as_mut(), &batch());
            let list = list.unwrap();
            let values: Vec<_> = list.values().as_struct().column(1).as_binary::<i32>().iter().collect();
            assert_eq!((values, list.value_length(0), list.value_length(1)), (written.to_vec(), 2, 0), "{converter}");
            assert!(found.len() == bad.len() && found.iter().zip(&bad).all(|(found, bad)| found.row == bad.0 && found.reason.starts_with(bad.1)), "{found:?}");
        }
    }
}
