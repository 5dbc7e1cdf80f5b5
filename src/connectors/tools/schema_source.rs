//! `SchemaSourceConnector`: numbered structs under one schema, or under two by turns.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, StringArray, StructArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields as ArrowFields};
use async_trait::async_trait;
use lakehead_formats::column::Column;
use lakehead_formats::schema;
use serde_json::Value;

use super::pace::Pace;
use super::{number, print};
use crate::connect::config::{Report, check};
use crate::connect::source::{Fields, Positions, SourceBatch};
use crate::connect::{Connector, ErrorKind, Kind, Props, SourceContext, SourceTask, TaskError};

const TASK: &str = "SchemaSourceTask";
const SEQNO: &str = "seqno";
const KEYS: [&str; 6] = ["id", "topic", "num.messages", "throughput", "multiple.schema", "partition.count"];

/// `org.apache.kafka.connect.tools.SchemaSourceConnector`.
#[derive(Debug)]
pub struct SchemaSource;

impl Connector for SchemaSource {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.tools.SchemaSourceConnector"
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
        let id: i32 = number(props, TASK, "id", None)?;
        Ok(Box::new(SchemaTask {
            cx,
            id,
            topic: props.get("topic").map_or("", String::as_str).into(),
            left: number(props, TASK, "num.messages", None)?,
            alternates: props.get("multiple.schema").is_some_and(|text| text.trim().eq_ignore_ascii_case("true")),
            partitions: number::<i64>(props, TASK, "partition.count", Some("1"))?.max(1),
            pace: Pace::new(number(props, TASK, "throughput", None)?),
            partition: Arc::new(Fields::from_iter([("id".to_owned(), id.into())])),
            seqno: 0,
            count: 0,
        }))
    }
}

/// As many tasks as may be, each with its number as `id`.
pub(super) fn numbered(props: &Props, tasks_max: u32) -> Vec<Props> {
    let with_id = |id: u32| {
        let mut props = props.clone();
        props.insert("id".to_owned(), id.to_string());
        props
    };
    (0..tasks_max).map(with_id).collect()
}

/// The number after the last one that Kafka has.
pub(super) async fn next_seqno(cx: &SourceContext, partition: &Fields) -> Result<i64, TaskError> {
    match cx.offset(partition).await?.as_ref().map(|offset| offset.get(SEQNO).and_then(Value::as_i64)) {
        None => Ok(0),
        Some(Some(last)) => Ok(last.saturating_add(1)),
        Some(None) => Err(TaskError::new(ErrorKind::BadConfig, "the source offset has no seqno that is a whole number; alter the connector's offsets")),
    }
}

/// Positions with these numbers.
pub(super) fn positions(partition: &Arc<Fields>, seqnos: &ArrayRef) -> Positions {
    let field = Field::new(SEQNO, DataType::Int64, false);
    Positions { partition: Arc::clone(partition), offsets: StructArray::new(vec![field].into(), vec![Arc::clone(seqnos)], None) }
}

struct SchemaTask {
    cx: SourceContext,
    id: i32,
    topic: Arc<str>,
    /// Records that are still to come.
    left: i64,
    /// Every other record is under the second schema.
    alternates: bool,
    partitions: i64,
    pace: Pace,
    partition: Arc<Fields>,
    seqno: i64,
    count: i64,
}

#[async_trait]
impl SourceTask for SchemaTask {
    async fn start(&mut self) -> Result<(), TaskError> {
        self.seqno = next_seqno(&self.cx, &self.partition).await?;
        Ok(())
    }

    async fn poll(&mut self) -> Result<Vec<SourceBatch>, TaskError> {
        if self.left <= 0 {
            return Ok(Vec::new());
        }
        let due = self.pace.due().await;
        let rows = if self.alternates { 1 } else { i64::try_from(due).unwrap_or(i64::MAX).min(self.left) };
        let seqnos: Vec<i64> = (self.seqno..self.seqno + rows).collect();
        let is_second = self.alternates && self.count % 2 != 0;
        self.seqno += rows;
        self.count += rows;
        self.left -= rows;
        self.pace.give(rows.unsigned_abs());
        let mut lines = Vec::new();
        for seqno in &seqnos {
            lines.extend_from_slice(format!("{{\"task\": {}, \"seqno\": {seqno}}}\n", self.id).as_bytes());
        }
        print(&lines);
        Ok(vec![self.batch(&seqnos, is_second)])
    }
}

impl SchemaTask {
    fn batch(&self, seqnos: &[i64], is_second: bool) -> SourceBatch {
        let rows = seqnos.len();
        let numbers: ArrayRef = Arc::new(Int64Array::from(seqnos.to_vec()));
        let partitioning: Vec<i32> = seqnos.iter().map(|seqno| i32::try_from(seqno % self.partitions).unwrap_or(0)).collect();
        let mut columns: Vec<(FieldRef, ArrayRef)> = Vec::new();
        let mut put = |name: &str, array: ArrayRef| columns.push((Arc::new(Field::new(name, array.data_type().clone(), false)), array));
        put("boolean", Arc::new(BooleanArray::from(vec![true; rows])));
        put("int", Arc::new(Int32Array::from_value(12, rows)));
        put("long", Arc::new(Int64Array::from_value(12, rows)));
        put("float", Arc::new(Float32Array::from_value(12.2, rows)));
        put("double", Arc::new(Float64Array::from_value(12.2, rows)));
        put("partitioning", Arc::new(Int32Array::from(partitioning)));
        if is_second {
            put("string", Arc::new(StringArray::from(vec!["def"; rows])));
        }
        put("id", Arc::new(Int32Array::from_value(self.id, rows)));
        put(SEQNO, Arc::clone(&numbers));
        let (fields, arrays): (Vec<FieldRef>, Vec<ArrayRef>) = columns.into_iter().unzip();
        let with_default = |field: FieldRef| {
            let default = (schema::DEFAULT.to_owned(), "\"abc\"".to_owned());
            if field.name() == "string" { Arc::new(field.as_ref().clone().with_metadata([default])) } else { field }
        };
        let fields: ArrowFields = fields.into_iter().map(with_default).collect();
        let version = if is_second { "2" } else { "1" };
        let metadata = [(schema::NAME.to_owned(), "record".to_owned()), (schema::VERSION.to_owned(), version.to_owned())];
        let value = Field::new("value", DataType::Struct(fields.clone()), false).with_metadata(metadata);
        SourceBatch {
            topic: Arc::clone(&self.topic),
            partition: Some(self.id),
            timestamps: TimestampMillisecondArray::new_null(rows),
            key: Column::new(Arc::new(Field::new("key", DataType::Utf8, false)), Arc::new(StringArray::from(vec!["key"; rows]))),
            value: Column::new(Arc::new(value), Arc::new(StructArray::new(fields, arrays, None))),
            headers: None,
            positions: Some(positions(&self.partition, &numbers)),
        }
    }
}

#[cfg(test)]
mod tests {
    use lakehead_formats::payload;
    use serde_json::json;

    use super::*;
    use crate::connectors::worlds;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn written(batch: &SourceBatch) -> Vec<Value> {
        let settings = [("schemas.enable".to_owned(), "false".to_owned())].into();
        let mut json = (payload::find("json").unwrap().build)(&settings).unwrap();
        json.write(&batch.value).payloads.iter().map(|payload| serde_json::from_slice(payload.unwrap()).unwrap()).collect()
    }

    #[tokio::test]
    async fn structs_come_numbered_until_there_are_enough() {
        let config = props(&[("topic", "t"), ("num.messages", "3"), ("throughput", "-1"), ("partition.count", "2")]);
        let second = SchemaSource.task_configs(&config, 2).pop().unwrap();
        let id = json!({"id": 1}).as_object().unwrap().clone();
        let cx = worlds::source(Some((id, json!({"seqno": 4}).as_object().unwrap().clone())));
        let mut task = SchemaSource.source_task(&second, cx).unwrap();
        task.start().await.unwrap();
        let batches = task.poll().await.unwrap();
        let value =
            |seqno: i64| json!({"boolean": true, "int": 12, "long": 12, "float": 12.2, "double": 12.2, "partitioning": seqno % 2, "id": 1, "seqno": seqno});
        assert_eq!(written(&batches[0]), [value(5), value(6), value(7)]);
        assert_eq!((batches[0].partition, batches[0].positions.as_ref().unwrap().offset(2)), (Some(1), json!({"seqno": 7}).as_object().unwrap().clone()));
        assert!(task.poll().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn two_schemas_come_by_turns() {
        let config = props(&[("id", "0"), ("topic", "t"), ("num.messages", "2"), ("throughput", "-1"), ("multiple.schema", "true")]);
        let mut task = SchemaSource.source_task(&config, worlds::source(None)).unwrap();
        task.start().await.unwrap();
        let strings: Vec<Value> =
            [task.poll().await.unwrap(), task.poll().await.unwrap()].iter().map(|batches| written(&batches[0])[0]["string"].clone()).collect();
        assert_eq!(strings, [Value::Null, json!("def")]);
    }

    #[test]
    fn numbers_are_needed() {
        let error = SchemaSource.source_task(&props(&[("id", "0"), ("topic", "t")]), worlds::source(None)).err().unwrap();
        assert_eq!(error.to_string(), "Invalid SchemaSourceTask configuration: num.messages=(missing) is not a number");
    }
}
