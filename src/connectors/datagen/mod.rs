//! `io.confluent.kafka.connect.datagen.DatagenConnector`: made-up records, for trials.
//!
//! Parts: [`recipe`] reads what a schema says of its values, and [`text`] what of texts; [`quickstarts`] has schemas of ours; [`generator`] makes the records.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, ListArray, NullArray, StringBuilder, StructArray, TimestampMillisecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields as ArrowFields};
use async_trait::async_trait;
use lakehead_formats::column::Column;
use serde_json::Value;
use tokio::time::Instant;

use self::generator::{Generator, Random};
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Report, Type, Values, check};
use crate::connect::source::{Fields, Positions, SourceBatch};
use crate::connect::{Connector, ErrorKind, Kind, Props, SourceContext, SourceTask, TaskError};

mod generator;
mod quickstarts;
mod recipe;
mod text;

const TASK_ID: &str = "task.id";
const GENERATION: &str = "task.generation";
const ITERATION: &str = "current.iteration";
const SEED: &str = "random.seed";

/// Records that are made at once where they need not wait for each other.
const MOST: i64 = 500;

/// The settings that say what the records are.
const SCHEMAS: [&str; 3] = ["schema.string", "schema.filename", "quickstart"];

const fn key(name: &'static str, kind: Type, default: Option<&'static str>, check: Check, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default, required: false, importance: Importance::High, group: "", doc, check }
}

static KEYS: &[ConfigKey] = &[
    ConfigKey { required: true, ..key("kafka.topic", Type::String, None, Check::Any, "The topic that records go to.") },
    key("max.interval", Type::Long, Some("500"), Check::Any, "Most milliseconds between two records of a task; each waits a random part of it. 0: none waits."),
    key("iterations", Type::Int, Some("-1"), Check::Any, "Records of each task, after which it fails; less than 1: without end."),
    key(
        "schema.string",
        Type::String,
        Some(""),
        Check::Any,
        "What the records are: an Avro schema, whose types may say which values they take (`arg.properties`: options, iteration, range, length, regex, prefix, \
         suffix, keys, odds; of a field's union position, distribution).",
    ),
    key("schema.filename", Type::String, Some(""), Check::Any, "A file with such a schema, on the worker's machine."),
    key("schema.keyfield", Type::String, Some(""), Check::Any, "The field that is the key; empty: as the quickstart says."),
    key("quickstart", Type::String, Some(""), Check::Custom(known), "What the records are: orders, pageviews, ratings, stock_trades or users."),
    ConfigKey {
        importance: Importance::Low,
        ..key(SEED, Type::Long, None, Check::Any, "Seed of the random numbers: tasks with the same seed and number make the same records.")
    },
];

fn known(name: &str) -> Result<(), String> {
    let names: Vec<&str> = quickstarts::QUICKSTARTS.iter().map(|quickstart| quickstart.name).collect();
    if name.is_empty() || quickstarts::find(name).is_some() { Ok(()) } else { Err(format!("there is no such quickstart; available: {}", names.join(", "))) }
}

/// `io.confluent.kafka.connect.datagen.DatagenConnector`.
#[derive(Debug)]
pub struct Datagen;

impl Connector for Datagen {
    fn class(&self) -> &'static str {
        "io.confluent.kafka.connect.datagen.DatagenConnector"
    }

    fn kind(&self) -> Kind {
        Kind::Source
    }

    fn keys(&self) -> Vec<&'static [ConfigKey]> {
        vec![KEYS]
    }

    fn validate(&self, props: &Props) -> Report {
        let mut report = check(&[KEYS], props, |key| key == TASK_ID);
        let values = Values { tables: &[KEYS], props };
        let named = SCHEMAS.iter().filter(|key| values.non_blank(key).is_some()).count();
        if named != 1 {
            report.add([ConfigError::new("quickstart", "Must set exactly one of quickstart, schema.filename, schema.string")]);
            return report;
        }
        let keyfield = values.text("schema.keyfield");
        let problem = match schema(&values) {
            None => None, // the quickstart's name is wrong, which is said already
            Some(Err(error)) => Some(error),
            Some(Ok((_, mut generator))) => (!keyfield.is_empty() && !generator.has_field(keyfield))
                .then(|| ConfigError::new("schema.keyfield", "The schema does not contain the field provided in 'schema.keyfield'")),
        };
        report.add(problem);
        report
    }

    fn task_configs(&self, props: &Props, tasks_max: u32) -> Vec<Props> {
        let with_id = |id: u32| {
            let mut props = props.clone();
            props.insert(TASK_ID.to_owned(), id.to_string());
            props
        };
        (0..tasks_max).map(with_id).collect()
    }

    fn source_task(&self, props: &Props, cx: SourceContext) -> Result<Box<dyn SourceTask>, TaskError> {
        let values = Values { tables: &[KEYS], props };
        let wrong = |why: String| TaskError::new(ErrorKind::BadConfig, why).with("connector", &cx.task.connector);
        let named = schema(&values).ok_or_else(|| wrong("quickstart names no records that are known".to_owned()))?;
        let (key, generator) = named.map_err(|error| wrong(format!("{}: {}", error.key, error.message)))?;
        let id = i64::from(cx.task.task);
        let clock = cx.task.env.clock.now().timestamp_nanos_opt().unwrap_or_default();
        let mut random = Random::new(values.long(SEED).unwrap_or(clock));
        for _ in 0..id {
            random = Random::new(random.long());
        }
        Ok(Box::new(DatagenTask {
            id,
            topic: values.text("kafka.topic").into(),
            generator,
            key: values.non_blank("schema.keyfield").unwrap_or(key).to_owned(),
            interval: values.long("max.interval").and_then(|millis| u64::try_from(millis).ok()).unwrap_or(0),
            most: values.long("iterations").filter(|most| *most > 0),
            partition: Arc::new(Fields::from_iter([(TASK_ID.to_owned(), Value::from(id))])),
            pauses: Random::new(clock.wrapping_add(id)),
            next_at: None,
            random,
            generation: 0,
            count: 0,
            cx,
        }))
    }
}

/// The field that is the key unless another is named, and what makes the records; nothing where no quickstart has that name.
fn schema(values: &Values<'_>) -> Option<Result<(&'static str, Generator), ConfigError>> {
    let (name, value) = SCHEMAS.iter().find_map(|key| Some((*key, values.non_blank(key)?)))?;
    let wrong = |why: String| ConfigError::new(name, format!("Invalid value {value} for configuration {name}: {why}"));
    let (key, text) = match name {
        "quickstart" => quickstarts::find(value).map(|quickstart| (quickstart.key, Ok(quickstart.schema())))?,
        "schema.filename" => ("", std::fs::read_to_string(value).map_err(|why| format!("the file cannot be read: {why}"))),
        _ => ("", Ok(value.to_owned())),
    };
    Some(text.and_then(|text| Generator::new(&text)).map(|generator| (key, generator)).map_err(wrong))
}

struct DatagenTask {
    cx: SourceContext,
    id: i64,
    topic: Arc<str>,
    generator: Generator,
    /// The field that is the key; empty: there is none.
    key: String,
    /// Most milliseconds between records.
    interval: u64,
    /// Records after which the task ends.
    most: Option<i64>,
    partition: Arc<Fields>,
    random: Random,
    /// What the pauses are chosen by.
    pauses: Random,
    next_at: Option<Instant>,
    /// How often the task was started before.
    generation: i64,
    /// Records that were made, by its earlier lives too.
    count: i64,
}

#[async_trait]
impl SourceTask for DatagenTask {
    async fn start(&mut self) -> Result<(), TaskError> {
        if let Some(offset) = self.cx.offset(&self.partition).await? {
            let number = |name: &str| {
                let wrong =
                    || TaskError::new(ErrorKind::BadConfig, format!("the source offset has no {name} that is a whole number; alter the connector's offsets"));
                offset.get(name).and_then(Value::as_i64).ok_or_else(wrong)
            };
            (self.generation, self.count, self.random) = (number(GENERATION)?, number(ITERATION)?, Random::new(number(SEED)?));
        }
        Ok(())
    }

    async fn poll(&mut self) -> Result<Vec<SourceBatch>, TaskError> {
        if let Some(most) = self.most.filter(|most| self.count >= *most) {
            let message = format!("Stopping connector: generated the configured {most} number of messages");
            return Err(TaskError::new(ErrorKind::BadConfig, message));
        }
        if self.interval > 0 {
            let pause = Duration::from_millis(self.interval).mul_f64(self.pauses.double());
            tokio::time::sleep_until(*self.next_at.get_or_insert_with(|| Instant::now() + pause)).await;
            self.next_at = None;
        }
        let rows = if self.interval > 0 { 1 } else { self.most.map_or(MOST, |most| MOST.min(most - self.count)) };
        let batch = self.batch(self.count..self.count + rows)?;
        self.count += rows;
        Ok(vec![batch])
    }
}

impl DatagenTask {
    fn batch(&mut self, numbers: std::ops::Range<i64>) -> Result<SourceBatch, TaskError> {
        let made = self.generator.records(&mut self.random, numbers.clone());
        let (records, seeds) = made.map_err(|why| TaskError::new(ErrorKind::Bug, why).with("connector", &self.cx.task.connector))?;
        let rows = seeds.len();
        let no_key = || Column::new(Arc::new(Field::new("key", DataType::Null, true)), Arc::new(NullArray::new(rows)));
        let key = Generator::key(&records, &self.key).unwrap_or_else(no_key);
        let long = |name: &str| FieldRef::new(Field::new(name, DataType::Int64, false));
        let next: Int64Array = numbers.clone().map(|number| number + 1).collect::<Vec<_>>().into();
        // The order is that of Java's map.
        let offsets: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_value(self.generation + 1, rows)), Arc::new(Int64Array::from(seeds)), Arc::new(next)];
        Ok(SourceBatch {
            topic: Arc::clone(&self.topic),
            partition: None,
            timestamps: TimestampMillisecondArray::new_null(rows),
            key,
            value: records,
            headers: Some(headers(&[(GENERATION, self.generation), (TASK_ID, self.id)], numbers)),
            positions: Some(Positions {
                partition: Arc::clone(&self.partition),
                offsets: StructArray::new(vec![long(GENERATION), long(SEED), long(ITERATION)].into(), offsets, None),
            }),
        })
    }
}

/// Headers with these numbers and the record's.
fn headers(fixed: &[(&str, i64)], numbers: std::ops::Range<i64>) -> ListArray {
    let (mut names, mut values, mut lengths) = (StringBuilder::new(), Vec::new(), Vec::new());
    for number in numbers {
        for (name, value) in fixed.iter().chain(&[(ITERATION, number)]) {
            names.append_value(name);
            values.push(*value);
        }
        lengths.push(fixed.len() + 1);
    }
    let fields: ArrowFields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)].into();
    let entries = StructArray::new(fields.clone(), vec![Arc::new(names.finish()), Arc::new(Int64Array::from(values))], None);
    ListArray::new(Arc::new(Field::new("item", DataType::Struct(fields), false)), OffsetBuffer::from_lengths(lengths), Arc::new(entries), None)
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int32Type, Int64Type};
    use serde_json::json;

    use super::*;
    use crate::connectors::worlds;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[tokio::test]
    async fn records_come_until_there_are_enough_and_go_on_where_they_ended() {
        let config = props(&[("kafka.topic", "t"), ("quickstart", "Orders"), ("max.interval", "0"), ("iterations", "3"), ("random.seed", "5")]);
        let mut task = Datagen.source_task(&config, worlds::source(None)).unwrap();
        task.start().await.unwrap();
        let batch = task.poll().await.unwrap().remove(0);
        assert_eq!(batch.key.array.as_primitive::<Int32Type>().values(), &[0, 1, 2]);
        assert_eq!(batch.headers.as_ref().unwrap().value(2).as_struct().column(1).as_primitive::<Int64Type>().value(2), 2);
        let error = task.poll().await.unwrap_err().to_string();
        assert_eq!(error, "Stopping connector: generated the configured 3 number of messages");

        let offset = batch.positions.as_ref().unwrap().offset(0);
        assert_eq!((&offset[GENERATION], &offset[ITERATION], offset.len()), (&json!(1), &json!(1), 3));
        let partition = json!({"task.id": 0}).as_object().unwrap().clone();
        let mut again = Datagen.source_task(&config, worlds::source(Some((partition, offset)))).unwrap();
        again.start().await.unwrap();
        let rest = again.poll().await.unwrap().remove(0);
        assert_eq!(rest.value.array.as_ref(), batch.value.array.slice(1, 2).as_ref());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_is_cut_short_is_not_begun_anew() {
        let config = props(&[("kafka.topic", "t"), ("quickstart", "users"), ("max.interval", "1000")]);
        let mut task = Datagen.source_task(&config, worlds::source(None)).unwrap();
        let started = Instant::now();
        while tokio::time::timeout(Duration::from_millis(1), task.poll()).await.is_err() {
            assert!(started.elapsed() <= Duration::from_millis(1100));
        }
    }

    #[test]
    fn what_it_cannot_do_is_refused_by_name() {
        let errors = |pairs: &[(&str, &str)]| Datagen.validate(&props(pairs)).errors.into_iter().map(|error| error.message).collect::<Vec<_>>();
        let topic = ("kafka.topic", "t");
        assert!(errors(&[topic, ("quickstart", "USERS"), ("schema.keyfield", "gender")]).is_empty());
        for (pairs, expected) in [
            (vec![topic], "Must set exactly one of quickstart, schema.filename, schema.string"),
            (vec![("quickstart", "users")], "Missing required configuration \"kafka.topic\" which has no default value."),
            (
                vec![topic, ("quickstart", "pizza_orders")],
                "Invalid value pizza_orders for configuration quickstart: there is no such quickstart; available: orders,",
            ),
            (vec![topic, ("schema.string", "{}")], "Invalid value {} for configuration schema.string: "),
            (vec![topic, ("schema.filename", "/nowhere.avsc")], "Invalid value /nowhere.avsc for configuration schema.filename: the file cannot be read"),
            (vec![topic, ("quickstart", "users"), ("schema.filename", "a")], "Must set exactly one of quickstart, schema.filename, schema.string"),
            (vec![topic, ("quickstart", "users"), ("schema.keyfield", "age")], "The schema does not contain the field provided in 'schema.keyfield'"),
        ] {
            let found = errors(&pairs);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
        }
    }
}
