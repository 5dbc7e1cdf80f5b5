//! The storage sinks' conformance vectors, run through the partitioners, the rolling, the names and the checks of settings.
//!
//! `conformance/storage-sink-vectors.json` says what the upstream sinks do. Vectors of kind `writer` are played by a writer that is as small as it can be:
//! it decides nothing, and only puts rows where `partition`, `roll` and `store::names` say. What needs more than these (schema evolution, keys and headers
//! files, null values, bytes of formats) is counted and printed as not run yet; what differs on purpose is in [`DIFFERENCES`].
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test: a vector that cannot be read fails it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, NullBufferBuilder, StringArray, StructArray, TimestampMillisecondArray,
};
use arrow::datatypes::{Field, FieldRef, Fields};
use chrono::DateTime;
use lakehead::batch::{Batch, OffsetRange, TopicPartition};
use lakehead::calendar::Zone;
use lakehead::connect::Props;
use lakehead::connect::config::{self, ConfigKey};
use lakehead::partition::{self, Partitioner, Rows, split_rows};
use lakehead::roll::{self, Group, Policy, Schedule};
use lakehead::store::names::{self, Layout};
use lakehead_formats::column::Column;
use lakehead_formats::schema::json_text;
use serde_json::Value;

/// Vectors that we answer otherwise, on purpose.
const DIFFERENCES: &[(&str, &str)] =
    &[("W033", "a record without the partition field is a bad record like any other, for errors.tolerance to decide; upstream fails the task in any case")];

/// The outcome of a vector that could be played, or why it is not run yet.
type Outcome = Result<(), String>;

fn vectors() -> Value {
    serde_json::from_str(include_str!("conformance/storage-sink-vectors.json")).expect("vectors")
}

#[test]
fn storage_sink_vectors() {
    let file = vectors();
    let mut ran: BTreeMap<String, usize> = BTreeMap::new();
    let mut skipped: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for vector in file["vectors"].as_array().unwrap() {
        let (id, kind) = (text(&vector["id"]), text(&vector["kind"]));
        let outcome = match kind {
            _ if DIFFERENCES.iter().any(|(known, _)| *known == id) => continue,
            "writer" => writer(vector, &file["schemas"]),
            "next_scheduled_rotation" => next_scheduled_rotation(vector),
            "config" => settings(vector),
            _ => Err(format!("kind {kind}")),
        };
        match outcome {
            Ok(()) => *ran.entry(kind.to_owned()).or_default() += 1,
            Err(why) => skipped.entry(why).or_default().push(id.to_owned()),
        }
    }
    for (kind, count) in &ran {
        println!("run: {count} of kind {kind}");
    }
    for (why, ids) in &skipped {
        println!("not run yet: {} ({why}): {}", ids.len(), ids.join(" "));
    }
    for (id, why) in DIFFERENCES {
        println!("differs: {id} ({why})");
    }
    assert!(ran["writer"] >= 40 && ran["next_scheduled_rotation"] >= 9 && ran["config"] >= 10, "fewer vectors ran than used to: {ran:?}");
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn props(config: &Value) -> Props {
    config.as_object().unwrap().iter().map(|(key, value)| (key.clone(), text(value).to_owned())).collect()
}

fn next_scheduled_rotation(vector: &Value) -> Outcome {
    let input = &vector["input"];
    let schedule = Schedule { period_ms: input["period_ms"].as_i64().unwrap(), zone: Zone::parse(text(&input["timezone"])).unwrap() };
    assert_eq!(schedule.next_after(input["now_ms"].as_i64().unwrap()), vector["expected"]["next_ms"].as_i64().unwrap(), "{vector}");
    Ok(())
}

/// The keys that every vector has and that say nothing here.
const EVERYWHERE: &[&str] = &["connector.class", "storage.class", "s3.bucket.name", "format.class"];
const TABLES: &[&[ConfigKey]] = &[partition::KEYS, roll::KEYS, names::KEYS];

fn settings(vector: &Value) -> Outcome {
    let props = props(&vector["config"]);
    let expected = vector["expected"]["errors"].as_object().unwrap();
    let is_ours = |key: &str| key == "*" || EVERYWHERE.contains(&key) || TABLES.iter().copied().flatten().any(|known| known.name == key);
    if let Some(other) = props.keys().map(String::as_str).chain(expected.keys().map(String::as_str)).find(|key| !is_ours(key)) {
        return Err(format!("config: {other}"));
    }
    if expected.contains_key("s3.bucket.name") {
        return Err("config: s3.bucket.name".to_owned());
    }
    let mut found = config::check(TABLES, &props, |_| true).errors;
    let partitioner = partition::from_props(&props);
    found.extend(Policy::from_props(&props, partitioner.as_ref().is_ok_and(|built| built.is_time_based())).err().unwrap_or_default());
    found.extend(partitioner.err().unwrap_or_default());
    for (key, message) in expected {
        let is_said = found.iter().any(|error| (key == "*" || error.key == *key) && error.message.contains(text(message)));
        assert!(is_said, "{}: {key}: {message}: found {found:?}", vector["id"]);
    }
    // upstream stops at the first problem, we say them all: others are allowed where one was expected
    assert!(!expected.is_empty() || found.is_empty(), "{}: {found:?}", vector["id"]);
    Ok(())
}

/// Settings of a writer that are not about paths, names or rolling.
fn needs_more(props: &Props) -> Option<String> {
    let others = ["schema.compatibility", "store.kafka.keys", "store.kafka.headers", "behavior.on.null.values", "s3.schema.partition.affix.type"];
    others.iter().find(|key| props.get(**key).is_some_and(|value| value != "false")).map(|key| format!("writer: {key}"))
}

/// The end of object names, from the format itself.
fn extension(props: &Props) -> Result<String, String> {
    let class = &props["format.class"];
    let not_yet = || format!("writer: {}", class.rsplit('.').next().unwrap_or(class));
    let format = lakehead_formats::file::find(class).ok_or_else(not_yet)?;
    let codecs = ["parquet.codec", "avro.codec", "s3.compression.type"];
    let options = props.iter().filter(|(key, _)| codecs.contains(&key.as_str())).map(|(key, value)| (key.clone(), value.clone())).collect();
    (format.build)(&options).map(|format| format.extension().to_owned()).map_err(|error| format!("{}: {error}", not_yet()))
}

fn writer(vector: &Value, schemas: &Value) -> Outcome {
    let props = props(&vector["config"]);
    if let Some(why) = needs_more(&props) {
        return Err(why);
    }
    let partitioner = partition::from_props(&props).map_err(|errors| format!("writer: {errors:?}"))?;
    let policy = Policy::from_props(&props, partitioner.is_time_based()).map_err(|errors| format!("writer: {errors:?}"))?;
    let mut world = World {
        partitioner,
        policy,
        layout: Layout::from_props(&props),
        extension: extension(&props)?,
        tolerant: vector["errant_record_reporter"] == true,
        open: BTreeMap::new(),
        files: BTreeMap::new(),
        commits: BTreeMap::new(),
        reported: Vec::new(),
        error: None,
    };
    let mut commits = Vec::new();
    for (number, step) in vector["steps"].as_array().unwrap().iter().enumerate() {
        let now_ms = step["now_ms"].as_i64().unwrap();
        for records in runs(step["records"].as_array().unwrap()) {
            world.put(&batch(&records, schemas)?, text_or_null(&records[0]["schema"]), now_ms)?;
        }
        let due: Vec<_> = world.open.iter().filter(|(_, open)| open.group.due(&world.policy, now_ms).is_some()).map(|(from, _)| from.clone()).collect();
        due.iter().for_each(|from| world.end(from));
        commits.push((number, std::mem::take(&mut world.commits)));
        if world.error.is_some() {
            break;
        }
    }
    compare(vector, &world, &commits);
    Ok(())
}

fn compare(vector: &Value, world: &World, commits: &[(usize, BTreeMap<String, i64>)]) {
    let (id, expected) = (&vector["id"], &vector["expected"]);
    let longs = |list: &Value| list.as_array().unwrap().iter().map(|offset| offset.as_i64().unwrap()).collect::<Vec<_>>();
    let files: BTreeMap<String, Vec<i64>> =
        expected["files"].as_array().unwrap().iter().map(|file| (text(&file["key"]).to_owned(), longs(&file["offsets"]))).collect();
    assert_eq!(world.files, files, "{id}: files");
    match (&world.error, expected.get("error")) {
        (Some(found), Some(error)) => assert!(found.contains(text(&error["message_contains"])), "{id}: {found}"),
        (found, error) => assert_eq!((found.as_deref(), error), (None, None), "{id}: error"),
    }
    if let Some(reported) = expected.get("reported_to_dlq_offsets") {
        assert_eq!(world.reported, longs(reported), "{id}: reported");
    }
    for commit in expected["precommit"].as_array().unwrap() {
        let step = commit["after_step"].as_u64().unwrap();
        let wanted: BTreeMap<String, i64> =
            commit["offsets"].as_object().unwrap().iter().map(|(key, offset)| (key.clone(), offset.as_i64().unwrap())).collect();
        let (_, found) = commits.iter().find(|(number, _)| u64::try_from(*number) == Ok(step)).expect("a step");
        assert_eq!(found, &wanted, "{id}: offsets after step {step}");
    }
}

/// One task's writers, and what they have done.
struct World {
    partitioner: Box<dyn Partitioner>,
    policy: Policy,
    layout: Layout,
    extension: String,
    tolerant: bool,
    open: BTreeMap<TopicPartition, Open>,
    files: BTreeMap<String, Vec<i64>>,
    commits: BTreeMap<String, i64>,
    reported: Vec<i64>,
    error: Option<String>,
}

/// The open files of one topic partition.
#[derive(Default)]
struct Open {
    group: Group,
    files: BTreeMap<Arc<str>, Vec<i64>>,
    schemas: BTreeSet<Option<String>>,
}

impl World {
    fn put(&mut self, batch: &Batch, schema: Option<String>, now_ms: i64) -> Outcome {
        let paths = self.partitioner.paths(batch, DateTime::from_timestamp_millis(now_ms).unwrap());
        let mut end = batch.len();
        if let Some(reject) = paths.rejects.first().filter(|_| !self.tolerant) {
            (end, self.error) = (reject.row, Some(reject.reason.clone()));
        }
        self.reported.extend(paths.rejects.iter().filter(|_| self.tolerant).map(|reject| batch.offsets.value(reject.row)));
        let mut at = 0;
        while at < end {
            let open = self.open.entry(batch.from.clone()).or_default();
            let fit = open.group.fit(&self.policy, &paths, at..end, now_ms);
            let rows = at..at + fit.rows;
            for (code, of_path) in split_rows(&paths.codes, rows.clone(), paths.distinct.len()) {
                let offsets = open.files.entry(Arc::clone(&paths.distinct[code as usize])).or_default();
                match of_path {
                    Rows::All => offsets.extend(&batch.offsets.values()[rows.clone()]),
                    Rows::Take(taken) => offsets.extend(taken.values().iter().map(|row| batch.offsets.value(*row as usize))),
                }
                open.schemas.insert(schema.clone());
            }
            if open.schemas.len() > 1 {
                return Err("writer: schema change".to_owned());
            }
            open.group.record(&self.policy, &paths, rows.clone(), now_ms);
            at = rows.end;
            if fit.then.is_some() {
                self.end(&batch.from);
            }
        }
        Ok(())
    }

    fn end(&mut self, from: &TopicPartition) {
        let Some(open) = self.open.remove(from) else { return };
        let last = open.files.values().flatten().max().copied();
        for (path, offsets) in open.files {
            let key = self.layout.key(&from.topic, &path, from.partition, offsets[0], &self.extension);
            assert!(self.files.insert(key.clone(), offsets).is_none(), "{key} twice");
        }
        self.commits.extend(last.map(|last| (from.to_string(), last + 1)));
    }
}

fn text_or_null(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Consecutive records of one topic partition and schema.
fn runs(records: &[Value]) -> Vec<Vec<Value>> {
    records.chunk_by(|a, b| ["topic", "partition", "schema"].iter().all(|key| a[*key] == b[*key])).map(<[Value]>::to_vec).collect()
}

fn batch(records: &[Value], schemas: &Value) -> Result<Batch, String> {
    let offsets: Vec<i64> = records.iter().map(|record| record["offset"].as_i64().unwrap()).collect();
    let values: Vec<&Value> = records.iter().map(|record| &record["value"]).collect();
    let value = match text_or_null(&records[0]["schema"]) {
        Some(schema) => column("value", &schemas[&schema], &values)?,
        None => Column::new(json_text("value"), Arc::new(values.iter().map(|value| (!value.is_null()).then(|| value.to_string())).collect::<StringArray>())),
    };
    Ok(Batch {
        from: TopicPartition::new(text(&records[0]["topic"]), i32::try_from(records[0]["partition"].as_i64().unwrap()).unwrap()),
        span: OffsetRange { start: offsets[0], end: offsets[offsets.len() - 1] + 1 },
        topic: text(&records[0]["topic"]).into(),
        offsets: offsets.into(),
        timestamps: records.iter().map(|record| record["timestamp"].as_i64()).collect::<TimestampMillisecondArray>(),
        key: Column::new(json_text("key"), Arc::new(StringArray::new_null(records.len()))),
        value,
        headers: None,
    })
}

/// Values under a schema in the vectors' shorthand.
fn column(name: &str, schema: &Value, values: &[&Value]) -> Result<Column, String> {
    let array: ArrayRef = match text(&schema["type"]) {
        "boolean" => Arc::new(values.iter().map(|value| value.as_bool()).collect::<BooleanArray>()),
        "int32" => Arc::new(values.iter().map(|value| value.as_i64().and_then(|n| i32::try_from(n).ok())).collect::<Int32Array>()),
        "int64" => Arc::new(values.iter().map(|value| value.as_i64()).collect::<Int64Array>()),
        #[expect(clippy::cast_possible_truncation, reason = "the vectors' numbers are decimal texts of floats")]
        "float32" => Arc::new(values.iter().map(|value| value.as_f64().map(|n| n as f32)).collect::<Float32Array>()),
        "float64" => Arc::new(values.iter().map(|value| value.as_f64()).collect::<Float64Array>()),
        "string" => Arc::new(values.iter().map(|value| value.as_str()).collect::<StringArray>()),
        "struct" => Arc::new(structs(schema, values)?),
        other => return Err(format!("writer: values of type {other}")),
    };
    let field: FieldRef = Arc::new(Field::new(name, array.data_type().clone(), true));
    Ok(Column::new(field, array))
}

fn structs(schema: &Value, values: &[&Value]) -> Result<StructArray, String> {
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut arrays = Vec::new();
    for field in schema["fields"].as_array().unwrap() {
        let name = text(&field["field"]);
        let inner: Vec<&Value> = values.iter().map(|value| value.get(name).unwrap_or(&Value::Null)).collect();
        let Column { field, array } = column(name, field, &inner)?;
        fields.push(field);
        arrays.push(array);
    }
    let mut nulls = NullBufferBuilder::new(values.len());
    values.iter().for_each(|value| nulls.append(!value.is_null()));
    Ok(StructArray::new(Fields::from(fields), arrays, nulls.finish()))
}
