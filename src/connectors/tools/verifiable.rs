//! `VerifiableSourceConnector` and `VerifiableSinkConnector`: numbered records, and on standard output a line of JSON for each that is sent, acknowledged,
//! received or committed. Members of a line are in the order of Java's maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, StringArray, StructArray, TimestampMillisecondArray};
use arrow::datatypes::{Field, Int64Type};
use async_trait::async_trait;
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::payload;

use super::pace::Pace;
use super::schema_source::{next_seqno, numbered, positions};
use super::{number, print, quoted};
use crate::batch::{Batch, Commits, TopicPartition};
use crate::connect::config::{Report, check};
use crate::connect::source::{Fields, SourceBatch};
use crate::connect::{Connector, ErrorKind, Kind, Props, SinkTask, SourceContext, SourceTask, TaskContext, TaskError, TaskReport};
use crate::connectors::consumed::Consumed;

const KEYS: [&str; 4] = ["id", "topic", "throughput", "complete.record.data"];

/// `org.apache.kafka.connect.tools.VerifiableSourceConnector`.
#[derive(Debug)]
pub struct VerifiableSource;

impl Connector for VerifiableSource {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.tools.VerifiableSourceConnector"
    }

    fn kind(&self) -> Kind {
        Kind::Source
    }

    fn validate(&self, props: &Props) -> Report {
        check(&[], props, |key| KEYS.contains(&key))
    }

    fn task_configs(&self, props: &Props, tasks_max: u32) -> Vec<Props> {
        numbered(props, tasks_max)
    }

    fn source_task(&self, props: &Props, cx: SourceContext) -> Result<Box<dyn SourceTask>, TaskError> {
        const TASK: &str = "VerifiableSourceTask";
        let id: i32 = number(props, TASK, "id", None)?;
        Ok(Box::new(Numbers {
            id,
            topic: props.get("topic").map_or("", String::as_str).into(),
            is_complete: props.get("complete.record.data").is_some_and(|text| text.eq_ignore_ascii_case("true")),
            pace: Pace::new(number(props, TASK, "throughput", None)?),
            partition: Arc::new(Fields::from_iter([("id".to_owned(), id.into())])),
            seqno: 0,
            cx,
        }))
    }
}

struct Numbers {
    cx: SourceContext,
    id: i32,
    topic: Arc<str>,
    /// Values are structs with all that is in the lines.
    is_complete: bool,
    pace: Pace,
    partition: Arc<Fields>,
    seqno: i64,
}

#[async_trait]
impl SourceTask for Numbers {
    async fn start(&mut self) -> Result<(), TaskError> {
        self.seqno = next_seqno(&self.cx, &self.partition).await?;
        Ok(())
    }

    async fn poll(&mut self) -> Result<Vec<SourceBatch>, TaskError> {
        let due = self.pace.due().await;
        let rows = i64::try_from(due).unwrap_or(1);
        let seqnos: Vec<i64> = (self.seqno..self.seqno + rows).collect();
        self.seqno += rows;
        self.pace.give(due);
        let now = self.now();
        let mut lines = Vec::new();
        for seqno in &seqnos {
            lines.extend_from_slice(self.line("{", *seqno, now).as_bytes());
        }
        print(&lines);
        Ok(vec![self.batch(seqnos, now)])
    }

    fn delivered(&mut self, batch: &SourceBatch, row: usize) {
        let seqnos = batch.positions.as_ref().map(|positions| positions.offsets.column(0).as_primitive::<Int64Type>());
        if let Some(seqno) = seqnos.filter(|seqnos| row < seqnos.len()).map(|seqnos| seqnos.value(row)) {
            print(self.line("{\"committed\":true,", seqno, self.now()).as_bytes());
        }
    }
}

impl Numbers {
    fn now(&self) -> i64 {
        self.cx.task.env.clock.now().timestamp_millis()
    }

    fn line(&self, start: &str, seqno: i64, now: i64) -> String {
        let (name, topic) = (quoted(&self.cx.task.connector), quoted(&self.topic));
        format!("{start}\"task\":{},\"seqno\":{seqno},\"time_ms\":{now},\"name\":{name},\"topic\":{topic}}}\n", self.id)
    }

    fn batch(&self, seqnos: Vec<i64>, now: i64) -> SourceBatch {
        let rows = seqnos.len();
        let numbers: ArrayRef = Arc::new(Int64Array::from(seqnos));
        let column = |name: &str, array: ArrayRef| Column::new(Arc::new(Field::new(name, array.data_type().clone(), false)), array);
        let ids: ArrayRef = Arc::new(Int32Array::from_value(self.id, rows));
        let value = if self.is_complete {
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("name", Arc::new(StringArray::from(vec![self.cx.task.connector.as_ref(); rows]))),
                ("task", Arc::clone(&ids)),
                ("topic", Arc::new(StringArray::from(vec![self.topic.as_ref(); rows]))),
                ("time_ms", Arc::new(Int64Array::from_value(now, rows))),
                ("seqno", Arc::clone(&numbers)),
            ];
            let fields: Vec<Field> = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), false)).collect();
            Arc::new(StructArray::new(fields.into(), columns.into_iter().map(|(_, array)| array).collect(), None))
        } else {
            Arc::clone(&numbers)
        };
        SourceBatch {
            topic: Arc::clone(&self.topic),
            partition: None,
            timestamps: TimestampMillisecondArray::new_null(rows),
            key: column("key", ids),
            value: column("value", value),
            headers: None,
            positions: Some(positions(&self.partition, &numbers)),
        }
    }
}

/// `org.apache.kafka.connect.tools.VerifiableSinkConnector`.
#[derive(Debug)]
pub struct VerifiableSink;

impl Connector for VerifiableSink {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.tools.VerifiableSinkConnector"
    }

    fn kind(&self) -> Kind {
        Kind::Sink
    }

    fn validate(&self, props: &Props) -> Report {
        check(&[], props, |key| key == "id")
    }

    fn task_configs(&self, props: &Props, tasks_max: u32) -> Vec<Props> {
        numbered(props, tasks_max)
    }

    fn sink_task(&self, props: &Props, cx: TaskContext) -> Result<Box<dyn SinkTask>, TaskError> {
        let id = number(props, "VerifiableSinkTask", "id", None)?;
        Ok(Box::new(Witness { cx, id, consumed: Consumed::default(), unflushed: BTreeMap::new(), rows: 0 }))
    }
}

/// A record that was received, as parts of a line around the time.
type Seen = [String; 2];

struct Witness {
    cx: TaskContext,
    id: i32,
    consumed: Consumed,
    /// Records that are to be told of once more when their offsets are committed.
    unflushed: BTreeMap<TopicPartition, Vec<Seen>>,
    rows: u64,
}

/// A column's values as JSON, `null` where there is none.
fn json(column: &Column) -> Result<Vec<String>, TaskError> {
    let broken = || TaskError::new(ErrorKind::Bug, "there is no JSON converter");
    let settings = [("schemas.enable".to_owned(), "false".to_owned())].into();
    let mut writer = payload::find("json").and_then(|writer| (writer.build)(&settings).ok()).ok_or_else(broken)?;
    let written = writer.write(column).payloads;
    Ok(written.iter().map(|payload| payload.map_or_else(|| "null".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())).collect())
}

impl Witness {
    fn now(&self) -> i64 {
        self.cx.env.clock.now().timestamp_millis()
    }
}

#[async_trait]
impl SinkTask for Witness {
    async fn start(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    async fn open(&mut self, _partitions: &[TopicPartition], _committed: &Commits) -> Result<(), TaskError> {
        Ok(())
    }

    async fn put(&mut self, batch: Batch) -> Result<Vec<Reject>, TaskError> {
        let (tasks, seqnos) = (json(&batch.key)?, json(&batch.value)?);
        let (name, topic, id, now) = (quoted(&self.cx.connector), quoted(&batch.topic), self.id, self.now());
        let mut lines = Vec::new();
        let unflushed = self.unflushed.entry(batch.from.clone()).or_default();
        for ((task, seqno), offset) in tasks.iter().zip(&seqnos).zip(batch.offsets.values()) {
            let before = format!("{{\"task\":{task},\"seqno\":{seqno},\"offset\":{offset},\"time_ms\":");
            let after = format!(",\"name\":{name},\"topic\":{topic},\"sinkTask\":{id}");
            lines.extend_from_slice(format!("{before}{now}{after}}}\n").as_bytes());
            unflushed.push([before, after]);
        }
        print(&lines);
        self.rows += batch.len() as u64;
        self.consumed.take(&batch);
        Ok(Vec::new())
    }

    async fn pre_commit(&mut self) -> Result<Commits, TaskError> {
        let now = self.now();
        let mut lines = Vec::new();
        for [before, after] in std::mem::take(&mut self.unflushed).into_values().flatten() {
            lines.extend_from_slice(format!("{before}{now}{after},\"flushed\":true}}\n").as_bytes());
        }
        print(&lines);
        Ok(self.consumed.commits())
    }

    async fn close(&mut self, partitions: &[TopicPartition]) {
        self.consumed.forget(partitions);
        self.unflushed.retain(|partition, _| !partitions.contains(partition));
    }

    fn report(&self) -> TaskReport {
        TaskReport { guarantee: "at-least-once".to_owned(), rows: self.rows, ..TaskReport::default() }
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;
    use crate::connectors::worlds;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn numbers_go_on_after_the_last_that_kafka_has() {
        let fields = |text: &str| serde_json::from_str::<Fields>(text).unwrap();
        for (complete, expected) in [("false", DataType::Int64), ("TRUE", DataType::Struct(Default::default()))] {
            let config = props(&[("topic", "t"), ("throughput", "2"), ("complete.record.data", complete)]);
            let config = VerifiableSource.task_configs(&config, 2).remove(1);
            let cx = worlds::source(Some((fields(r#"{"id":1}"#), fields(r#"{"seqno":41}"#))));
            let mut task = VerifiableSource.source_task(&config, cx).unwrap();
            task.start().await.unwrap();
            let batches = task.poll().await.unwrap();
            assert_eq!(batches[0].positions.as_ref().unwrap().offset(0), fields(r#"{"seqno":42}"#));
            assert_eq!(std::mem::discriminant(batches[0].value.field.data_type()), std::mem::discriminant(&expected));
            assert_eq!(json(&batches[0].key).unwrap(), ["1"]);
        }
    }

    #[tokio::test]
    async fn what_was_received_is_told_again_when_it_is_committed() {
        let mut task = VerifiableSink.sink_task(&props(&[("id", "0")]), worlds::task()).unwrap();
        let tp = TopicPartition::new("t", 3);
        task.put(worlds::batch(&tp, 7, Arc::new(Int64Array::from(vec![1, 2])))).await.unwrap();
        assert_eq!(task.pre_commit().await.unwrap()[&tp].offset, 9);
        task.close(std::slice::from_ref(&tp)).await;
        assert!(task.pre_commit().await.unwrap().is_empty());
    }
}
