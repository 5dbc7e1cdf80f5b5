//! Dead letters: records as they came, and why they failed.
//!
//! [`Letters`] are those of one raw batch, which they share with each other and keep in memory until they were handed over. The names of the headers are upstream's
//! (`DeadLetterQueueReporter`); a stack trace is one line here.

use std::sync::{Arc, Weak};

use arrow::array::{Array, AsArray, BinaryArray, Int64Array, ListArray};

use super::{DATA_EXCEPTION, Failure, TaskName};
use crate::batch::{RawBatch, TopicPartition};
use crate::memory::Permit;

/// Start of the names of the headers that say why a record failed.
pub const CONTEXT: &str = "__connect.errors.";

/// The headers that say why a record failed, in order.
pub const CONTEXT_HEADERS: [&str; 10] = [
    "__connect.errors.topic",
    "__connect.errors.partition",
    "__connect.errors.offset",
    "__connect.errors.connector.name",
    "__connect.errors.task.id",
    "__connect.errors.stage",
    "__connect.errors.class.name",
    "__connect.errors.exception.class.name",
    "__connect.errors.exception.message",
    "__connect.errors.exception.stacktrace",
];

/// A raw batch, and the memory that it holds.
#[derive(Debug)]
pub struct Kept {
    /// The records.
    pub raw: RawBatch,
    /// Given back with the last that needs them.
    pub permit: Permit,
}

/// Records of one raw batch that failed.
#[derive(Debug, Clone)]
pub struct Letters {
    kept: Arc<Kept>,
    /// Rows of the batch, and what failed of them.
    failed: Vec<(usize, Failure)>,
}

impl Letters {
    /// The records at these offsets, which are in the batch.
    #[must_use]
    pub fn of(kept: &Arc<Kept>, failed: Vec<(i64, Failure)>) -> Self {
        let row = |offset: i64| row_of(&kept.raw.offsets, offset);
        let failed = failed.into_iter().filter_map(|(offset, failure)| Some((row(offset)?, failure))).collect();
        Self { kept: Arc::clone(kept), failed }
    }

    /// The batch that they are of.
    #[must_use]
    pub fn batch(&self) -> Weak<Kept> {
        Arc::downgrade(&self.kept)
    }

    /// True when that is their batch.
    #[must_use]
    pub fn are_of(&self, batch: &Weak<Kept>) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.kept), batch.as_ptr())
    }

    /// Where their batch starts.
    #[must_use]
    pub fn start(&self) -> i64 {
        self.kept.raw.span.start
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.failed.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.failed.is_empty()
    }

    /// Where they come from.
    #[must_use]
    pub fn from(&self) -> &TopicPartition {
        &self.kept.raw.from
    }

    /// The letter of that number.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<Letter<'_>> {
        let (row, failure) = self.failed.get(at)?;
        Some(Letter { raw: &self.kept.raw, row: *row, failure })
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Letter<'_>> {
        (0..self.len()).filter_map(|at| self.get(at))
    }
}

/// The row of an offset: offsets ascend.
fn row_of(offsets: &Int64Array, offset: i64) -> Option<usize> {
    offsets.values().binary_search(&offset).ok()
}

/// One record that failed.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    raw: &'a RawBatch,
    row: usize,
    /// Why.
    pub failure: &'a Failure,
}

/// Names and bytes of headers.
pub type Headers<'a> = Vec<(&'a str, Option<&'a [u8]>)>;

impl<'a> Letter<'a> {
    /// Its offset.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.raw.offsets.values().get(self.row).copied().unwrap_or(self.raw.span.start)
    }

    /// Its timestamp in ms, if it has one.
    #[must_use]
    pub fn timestamp(&self) -> Option<i64> {
        self.raw.timestamps.is_valid(self.row).then(|| self.raw.timestamps.value(self.row))
    }

    /// Its key's bytes.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        bytes(&self.raw.keys, self.row)
    }

    /// Its value's bytes.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        bytes(&self.raw.values, self.row)
    }

    /// Its own headers.
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        self.raw.headers.as_ref().map_or_else(Vec::new, |list| headers(list, self.row))
    }

    /// Which record it is, as upstream's log says it.
    #[must_use]
    pub fn told(&self) -> String {
        let TopicPartition { topic, partition } = &self.raw.from;
        let timestamp = self.timestamp().map(|timestamp| format!(", timestamp={timestamp}")).unwrap_or_default();
        format!(", where consumed record is {{topic='{topic}', partition={partition}, offset={}{timestamp}}}", self.offset())
    }

    /// The values of the [headers](CONTEXT_HEADERS) that say why it failed.
    #[must_use]
    pub fn context(&self, task: &TaskName) -> [String; 10] {
        let Failure { stage, class, reason } = self.failure;
        [
            self.raw.from.topic.to_string(),
            self.raw.from.partition.to_string(),
            self.offset().to_string(),
            task.connector.to_string(),
            task.task.to_string(),
            stage.to_string(),
            class.to_string(),
            DATA_EXCEPTION.to_owned(),
            reason.clone(),
            format!("{DATA_EXCEPTION}: {reason}\n"),
        ]
    }
}

fn bytes(array: &BinaryArray, row: usize) -> Option<&[u8]> {
    array.is_valid(row).then(|| array.value(row))
}

/// The headers of a row of list<struct<key: utf8, value: binary>>.
fn headers(list: &ListArray, row: usize) -> Headers<'_> {
    let offsets = list.value_offsets();
    let at = |row: usize| offsets.get(row).and_then(|at| usize::try_from(*at).ok()).unwrap_or(0);
    let [keys, values] = list.values().as_struct().columns() else { return Vec::new() };
    let (keys, values) = (keys.as_string::<i32>(), values.as_binary::<i32>());
    let rows = if list.is_null(row) { 0..0 } else { at(row)..at(row + 1) };
    rows.map(|row| (keys.value(row), bytes(values, row))).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use arrow::array::{StringArray, StructArray, TimestampMillisecondArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{DataType, Field, Fields};

    use super::*;
    use crate::batch::OffsetRange;
    use crate::memory::Budget;
    use crate::runtime::errors::Stage;

    /// Records of `orders-3` at 10, 12 and 15: a whole one, one without anything, and one with two headers.
    pub(in crate::runtime::errors) fn raw() -> RawBatch {
        let fields = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]);
        let names = StringArray::from(vec!["a", "__connect.errors.stage"]);
        let values = BinaryArray::from(vec![Some(&b"\xff\x00"[..]), None]);
        let entries = StructArray::new(fields.clone(), vec![Arc::new(names), Arc::new(values)], None);
        let item = Arc::new(Field::new("item", DataType::Struct(fields), false));
        RawBatch {
            from: TopicPartition::new("orders", 3),
            span: OffsetRange { start: 10, end: 20 },
            offsets: vec![10, 12, 15].into(),
            timestamps: TimestampMillisecondArray::from(vec![Some(7), None, Some(9)]),
            keys: BinaryArray::from(vec![Some(&b"k"[..]), None, Some(b"")]),
            values: BinaryArray::from(vec![Some(&b"\x00\xfe"[..]), None, Some(b"{")]),
            headers: Some(ListArray::new(item, OffsetBuffer::from_lengths([0, 0, 2]), Arc::new(entries), None)),
        }
    }

    pub(in crate::runtime::errors) fn failure(reason: &str) -> Failure {
        Failure { stage: Stage::ValueConverter, class: "org.apache.kafka.connect.json.JsonConverter".into(), reason: reason.to_owned() }
    }

    pub(in crate::runtime::errors) fn letters(failed: &[(i64, &str)]) -> Letters {
        let kept = Arc::new(Kept { raw: raw(), permit: Budget::new(1 << 20).take(1) });
        Letters::of(&kept, failed.iter().map(|(offset, reason)| (*offset, failure(reason))).collect())
    }

    #[test]
    fn a_letter_is_the_record_as_it_came() {
        let letters = letters(&[(10, "x"), (15, "y"), (11, "not there")]);
        let found: Vec<_> = letters.iter().map(|letter| (letter.offset(), letter.timestamp(), letter.key(), letter.value(), letter.headers())).collect();
        let two: Headers<'_> = vec![("a", Some(b"\xff\x00")), ("__connect.errors.stage", None)];
        assert_eq!(found, [(10, Some(7), Some(&b"k"[..]), Some(&b"\x00\xfe"[..]), vec![]), (15, Some(9), Some(b""), Some(b"{"), two)]);
    }

    #[test]
    fn the_context_is_upstreams() {
        let letters = letters(&[(12, "unexpected end")]);
        let letter = letters.get(0).unwrap();
        let task = TaskName { connector: "c".into(), task: 2 };
        let class = "org.apache.kafka.connect.json.JsonConverter";
        let exception = "org.apache.kafka.connect.errors.DataException";
        let trace = format!("{exception}: unexpected end\n");
        assert_eq!(letter.context(&task), ["orders", "3", "12", "c", "2", "VALUE_CONVERTER", class, exception, "unexpected end", &trace]);
        assert!(CONTEXT_HEADERS.iter().all(|name| name.starts_with(CONTEXT)));
        assert_eq!(letter.told(), ", where consumed record is {topic='orders', partition=3, offset=12}");
        assert_eq!((letter.key(), letter.value(), letter.headers()), (None, None, vec![]));
    }
}
