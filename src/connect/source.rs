//! The contract of source connectors: Kafka Connect's `SourceTask`, over batches, and where it has read to.
//!
//! A source says of each record where to go on after it: a *source partition* (which file, which table) and a *source offset* (how far), both small maps of
//! numbers, texts and booleans. The runtime remembers the offset of the last record that Kafka has, and gives it back when the task starts again.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use async_trait::async_trait;
use lakehead_formats::column::Column;
use serde_json::{Map, Value};

use super::{TaskContext, TaskError};

/// A source partition or a source offset: names and primitive values, ordered.
pub type Fields = Map<String, Value>;

/// Records of one source partition, for one topic, each side under one schema. All arrays have the same length n.
#[derive(Debug, Clone)]
pub struct SourceBatch {
    /// The topic that they go to.
    pub topic: Arc<str>,
    /// Its partition; `None`: as the producer's partitioner decides.
    pub partition: Option<i32>,
    /// n, ms since the epoch, UTC; null = the time of sending.
    pub timestamps: TimestampMillisecondArray,
    /// n keys; a column of type Null where records have none.
    pub key: Column,
    /// n values.
    pub value: Column,
    /// n × list<struct<key: utf8, value: any>>, values as the header converter takes them; `None` when no record has a header.
    pub headers: Option<ListArray>,
    /// Where to go on after each record; `None` where that cannot be told.
    pub positions: Option<Positions>,
}

impl SourceBatch {
    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.value.len()
    }

    /// True when there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Heap of the arrays in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let headers = self.headers.as_ref().map_or(0, Array::get_array_memory_size);
        let positions = self.positions.as_ref().map_or(0, |positions| positions.offsets.get_array_memory_size());
        let arrays: [&dyn Array; 3] = [&self.timestamps, &self.key.array, &self.value.array];
        u64::try_from(arrays.iter().map(|array| array.get_array_memory_size()).sum::<usize>() + headers + positions).unwrap_or(u64::MAX)
    }
}

/// Where to go on after each record of a batch.
#[derive(Debug, Clone)]
pub struct Positions {
    /// Their source partition.
    pub partition: Arc<Fields>,
    /// n source offsets, a column for each of their fields: Int32, Int64, Float64, Boolean or Utf8.
    pub offsets: StructArray,
}

impl Positions {
    /// The source offset of a row.
    #[must_use]
    pub fn offset(&self, row: usize) -> Fields {
        let columns = self.offsets.columns().iter();
        self.offsets.fields().iter().zip(columns).map(|(field, column)| (field.name().clone(), primitive(column, row))).collect()
    }
}

fn primitive(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        other => {
            debug_assert!(false, "a source offset has a field of type {other}");
            Value::Null
        }
    }
}

/// What somebody wants to become of a source partition: an offset, or none. A request may lack the partition.
pub type OffsetChange = (Option<Fields>, Option<Fields>);

/// Offsets could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OffsetError(
    /// What happened, to which file or topic, and what to do.
    pub String,
);

/// Where source connectors have read to, kept beyond the life of the process: upstream's `OffsetBackingStore`.
#[async_trait]
pub trait OffsetStore: fmt::Debug + Send + Sync {
    /// The source partitions of a connector that have an offset, with it.
    ///
    /// # Errors
    /// [`OffsetError`].
    async fn list(&self, connector: &str) -> Result<Vec<(Fields, Fields)>, OffsetError>;

    /// The offset of a source partition, in whatever order its fields are.
    ///
    /// # Errors
    /// [`OffsetError`].
    async fn get(&self, connector: &str, partition: &Fields) -> Result<Option<Fields>, OffsetError>;

    /// Sets offsets, or deletes them. They are kept when this returns.
    ///
    /// # Errors
    /// [`OffsetError`]; then any of them may be kept, or none.
    async fn set(&self, connector: &str, changes: &[(Fields, Option<Fields>)]) -> Result<(), OffsetError>;
}

/// What a source task is given besides its configuration.
#[derive(Debug, Clone)]
pub struct SourceContext {
    /// As for sinks.
    pub task: TaskContext,
    /// Where the connector has read to.
    pub offsets: Arc<dyn OffsetStore>,
}

impl SourceContext {
    /// The offset that was kept for a source partition.
    ///
    /// # Errors
    /// [`TaskError`] with the store's reason.
    pub async fn offset(&self, partition: &Fields) -> Result<Option<Fields>, TaskError> {
        let failed = |error: OffsetError| TaskError::new(super::ErrorKind::Bug, error.0).with("connector", &self.task.connector);
        self.offsets.get(&self.task.connector, partition).await.map_err(failed)
    }
}

/// One task of a source connector. The runtime calls it from one async task, never concurrently.
#[async_trait]
pub trait SourceTask: Send {
    /// Begins, where the offsets say. A missing permission fails here.
    ///
    /// # Errors
    /// [`TaskError`]; the task becomes FAILED with its message.
    async fn start(&mut self) -> Result<(), TaskError>;

    /// The next records; empty when there are none now, and the runtime asks again a little later. Cancel-safe: records are returned or stay, and whoever waits
    /// for a time waits for that time, however often it is asked.
    ///
    /// # Errors
    /// [`TaskError`].
    async fn poll(&mut self) -> Result<Vec<SourceBatch>, TaskError>;

    /// Kafka has the record, or it was left out for good (upstream's `commitRecord`).
    fn delivered(&mut self, batch: &SourceBatch, row: usize) {
        let _ = (batch, row);
    }

    /// True when a source that is paused for a while may be ended, and begun again from its offsets when it goes on.
    fn can_rest(&self) -> bool {
        true
    }

    /// Ends; nothing is polled any more.
    async fn stop(&mut self) {}
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{Field, Fields as ArrowFields};
    use serde_json::json;

    use super::*;

    #[test]
    fn an_offset_is_the_row_of_its_columns() {
        let fields = [("n", DataType::Int64), ("x", DataType::Float64), ("b", DataType::Boolean), ("s", DataType::Utf8)];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), None])),
            Arc::new(Float64Array::from(vec![0.5, 1.0])),
            Arc::new(BooleanArray::from(vec![true, false])),
            Arc::new(StringArray::from(vec!["a", ""])),
        ];
        let fields: ArrowFields = fields.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect();
        let positions = Positions { partition: Arc::default(), offsets: StructArray::new(fields, columns, None) };
        assert_eq!(Value::Object(positions.offset(0)), json!({"n": 1, "x": 0.5, "b": true, "s": "a"}));
        assert_eq!(Value::Object(positions.offset(1)).to_string(), r#"{"n":null,"x":1.0,"b":false,"s":""}"#);
    }
}
