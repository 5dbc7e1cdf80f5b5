//! Worlds for the tests of small connectors: no Kafka, no stores, offsets in memory.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, NullArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field};
use async_trait::async_trait;
use lakehead_formats::column::Column;

use crate::batch::{Batch, OffsetRange, TopicPartition};
use crate::clock::Clock;
use crate::compute::Compute;
use crate::connect::source::{Fields, OffsetError, OffsetStore};
use crate::connect::{SourceContext, TaskContext};
use crate::env::Env;
use crate::env::fakes::{Folder, NoKafka};
use crate::memory::Budget;

/// What a task is given.
pub(crate) fn task() -> TaskContext {
    let env = Env {
        clock: Clock::system(),
        kafka: Arc::new(NoKafka),
        compute: Compute::Inline,
        memory: Budget::new(1 << 24),
        stores: Arc::new(Folder { root: "/nonexistent".into(), buckets: false }),
    };
    TaskContext { connector: "c".into(), task: 0, env, health: Default::default(), progress: Default::default(), tolerates: false }
}

/// What a source task is given; `kept` is the one partition that has an offset.
pub(crate) fn source(kept: Option<(Fields, Fields)>) -> SourceContext {
    SourceContext { task: task(), offsets: Arc::new(Kept(kept)) }
}

#[derive(Debug)]
struct Kept(Option<(Fields, Fields)>);

#[async_trait]
impl OffsetStore for Kept {
    async fn list(&self, _connector: &str) -> Result<Vec<(Fields, Fields)>, OffsetError> {
        Ok(self.0.iter().cloned().collect())
    }

    async fn get(&self, _connector: &str, partition: &Fields) -> Result<Option<Fields>, OffsetError> {
        Ok(self.0.as_ref().filter(|(kept, _)| kept == partition).map(|(_, offset)| offset.clone()))
    }

    async fn set(&self, _connector: &str, _changes: &[(Fields, Option<Fields>)]) -> Result<(), OffsetError> {
        Err(OffsetError("nothing is kept here".to_owned()))
    }
}

/// Records without keys from that offset on.
pub(crate) fn batch(from: &TopicPartition, start: i64, values: ArrayRef) -> Batch {
    let rows = values.len();
    let end = start + i64::try_from(rows).unwrap();
    let field = |name: &str, kind: &DataType| Arc::new(Field::new(name, kind.clone(), true));
    Batch {
        from: from.clone(),
        span: OffsetRange { start, end },
        topic: Arc::clone(&from.topic),
        offsets: (start..end).collect::<Vec<i64>>().into(),
        timestamps: TimestampMillisecondArray::from_value(0, rows),
        key: Column::new(field("key", &DataType::Null), Arc::new(NullArray::new(rows))),
        value: Column::new(field("value", values.data_type()), values),
        headers: None,
    }
}
