//! What flows: batches of records of one topic partition.
//!
//! A [`RawBatch`] is what came off the wire, a [`Batch`] is decoded and under one schema. Both carry the span of offsets that they cover,
//! which is not the same as the offsets of their rows: a filter may drop every row, and the span survives. That is how offsets move past
//! filtered and rejected records.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray, BooleanArray, Int64Array, ListArray, TimestampMillisecondArray};
use arrow::compute::filter;
use arrow::error::ArrowError;
use lakehead_formats::column::Column;

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Topic as it is named in Kafka.
    pub topic: Arc<str>,
    /// Partition number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition of that topic.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    /// As Kafka prints it: `orders-3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Offsets `[start, end)` of one topic partition. May have gaps (compaction, transactions); never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetRange {
    /// First offset, inclusive.
    pub start: i64,
    /// Exclusive.
    pub end: i64,
}

impl OffsetRange {
    /// How many offsets it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::try_from(self.end.saturating_sub(self.start)).unwrap_or(0)
    }

    /// True when it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

impl fmt::Display for OffsetRange {
    /// End exclusive: `100..200`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// Next offset to consume, by topic partition; ordered, so that iteration is deterministic.
pub type Offsets = BTreeMap<TopicPartition, i64>;

/// What a group's coordinator holds for a topic partition: Kafka's `OffsetAndMetadata`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Committed {
    /// Next offset to consume.
    pub offset: i64,
    /// A text that was committed with it; empty when there is none. Brokers take 4096 bytes unless `offset.metadata.max.bytes` says otherwise.
    pub metadata: String,
}

impl Committed {
    /// An offset without a text.
    #[must_use]
    pub fn at(offset: i64) -> Self {
        Self { offset, metadata: String::new() }
    }
}

/// What is committed, or to be committed, by topic partition.
pub type Commits = BTreeMap<TopicPartition, Committed>;

/// Records of ONE topic partition as they came off the wire. All arrays have the same length n.
#[derive(Debug, Clone)]
pub struct RawBatch {
    /// Where the records come from.
    pub from: TopicPartition,
    /// Covers every offset consumed, also those without a row.
    pub span: OffsetRange,
    /// n, no nulls, strictly increasing.
    pub offsets: Int64Array,
    /// n, ms since the epoch, UTC; null = the record has none.
    pub timestamps: TimestampMillisecondArray,
    /// n, null = no key.
    pub keys: BinaryArray,
    /// n, null = tombstone.
    pub values: BinaryArray,
    /// n × list<struct<key: utf8, value: binary>>; `None` when no record of the batch has a header.
    pub headers: Option<ListArray>,
}

impl RawBatch {
    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// True when there is no record (the span may still say that offsets went by).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Heap of the arrays in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let arrays: [&dyn Array; 4] = [&self.offsets, &self.timestamps, &self.keys, &self.values];
        let headers = self.headers.as_ref().map_or(0, Array::get_array_memory_size);
        let bytes = arrays.iter().map(|a| a.get_array_memory_size()).sum::<usize>() + headers;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// Decoded records under ONE schema. `topic` may be rewritten by a transform; `from` and `span` never are.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Where the records come from.
    pub from: TopicPartition,
    /// Covers every offset consumed, also of rows that were filtered or rejected. When a batch is split, the pieces' spans are consecutive and cover the whole.
    pub span: OffsetRange,
    /// Where the records are going: the topic's name after transforms.
    pub topic: Arc<str>,
    /// n, no nulls, strictly increasing.
    pub offsets: Int64Array,
    /// n, ms since the epoch, UTC; null = none.
    pub timestamps: TimestampMillisecondArray,
    /// n keys.
    pub key: Column,
    /// n values; a null row is a tombstone.
    pub value: Column,
    /// As in [`RawBatch`].
    pub headers: Option<ListArray>,
}

impl Batch {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// True when there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// The rows for which `keep` is true; the span stays as it is.
    ///
    /// # Errors
    /// When `keep` has another length.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self, ArrowError> {
        let column = |c: &Column| filter(&c.array, keep).map(|array| Column::new(Arc::clone(&c.field), array));
        Ok(Self {
            from: self.from.clone(),
            span: self.span,
            topic: Arc::clone(&self.topic),
            offsets: filter(&self.offsets, keep)?.as_primitive().clone(),
            timestamps: filter(&self.timestamps, keep)?.as_primitive().clone(),
            key: column(&self.key)?,
            value: column(&self.value)?,
            headers: self.headers.as_ref().map(|h| filter(h, keep)).transpose()?.map(|h| h.as_list().clone()),
        })
    }
}
