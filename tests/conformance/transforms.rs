//! `smt`, `predicate` and `path`: one record through one transform, as Java's jars of Kafka 4.3.1 took it.
//!
//! Parts: this file, the kinds; [`super::tagged`], a record's values as columns and back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, Int64Array, ListArray, StringArray, StructArray, TimestampMillisecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use lakehead::batch::{Batch, OffsetRange, TopicPartition};
use lakehead::connect::config::ConfigError;
use lakehead::transform::path::{FieldPath, Syntax};
use lakehead::transform::{self, Side, predicates};
use serde_json::{Value, json};

use super::tagged;
use super::vectors::{Mismatch, Outcome, Part, Vector};

/// Vectors that differ on purpose, with the reason.
const ON_PURPOSE: &[(&str, &str)] = &[
    ("ReplaceField$Value-08", "blacklist and whitelist act, with a warning: users' configurations are full of them"),
    ("RegexRouter-08", "what is wrong with an expression is told in the words of the engine that reads it"),
    ("TopicNameMatches-03", "what is wrong with an expression is told in the words of the engine that reads it"),
];

/// Why a vector differs on purpose.
pub(crate) fn on_purpose(id: &str) -> Option<&'static str> {
    ON_PURPOSE.iter().find(|(known, _)| *known == id).map(|(_, reason)| *reason)
}

fn compare(what: &str, expected: &Value, found: Value) -> Vec<Mismatch> {
    if *expected == found { Vec::new() } else { vec![Mismatch::new(Part::Contents, what, expected.clone(), found)] }
}

/// A configuration that was refused, or a record.
fn failure(expect: &Value, phase: &str, message: &str) -> Vec<Mismatch> {
    let error = &expect["error"];
    let is_expected = error["phase"] == phase && (error["message_unstable"] == true || error["message"] == message);
    if is_expected { Vec::new() } else { vec![Mismatch::new(Part::Error, "outcome", expect.clone(), json!({"error": {"phase": phase, "message": message}}))] }
}

fn refused(expect: &Value, errors: &[ConfigError]) -> Vec<Mismatch> {
    failure(expect, "configure", errors.first().map_or("", |error| error.message.as_str()))
}

/// Whether transforms of that class are there; the others are not of this test.
pub(crate) fn is_played(vector: &Vector) -> bool {
    vector.kind != "smt" || vector.form["class"].as_str().is_some_and(|class| transform::find(class).is_some())
}

pub(crate) fn smt(vector: &Vector) -> Outcome {
    let expect = &vector.form["expect"];
    let mut transform = match transform::configure(vector.form["class"].as_str().unwrap_or(""), &vector.props()?) {
        Ok(transform) => transform,
        Err(errors) => return Ok(refused(expect, &errors)),
    };
    let record = &vector.form["record"];
    if record.is_null() {
        return Ok(compare("outcome", expect, json!({"configured": true})));
    }
    if record["kind"] == "source" {
        transform.of_source();
    }
    let mut out = Vec::new();
    if let Some(reject) = transform.apply(batch(record)?, &mut out).first() {
        return Ok(failure(expect, "apply", &reject.reason));
    }
    let Some(found) = out.iter().find(|batch| !batch.is_empty()) else { return Ok(compare("outcome", expect, json!({"dropped": true}))) };
    let expected = &expect["record"];
    let mut mismatches = compare("topic", &expected["topic"], json!(found.topic.as_ref()));
    mismatches.extend(compare("timestamp", &expected["timestamp"], found.timestamps.iter().next().flatten().map_or(Value::Null, Value::from)));
    for (side, schema, name) in [(Side::Key, "keySchema", "key"), (Side::Value, "valueSchema", "value")] {
        let (found_schema, found_value) = tagged::described(side.of(found))?;
        let expected_schema = tagged::normal_schema(&expected[schema])?;
        mismatches.extend(compare(schema, &json!(expected_schema), json!(found_schema)));
        mismatches.extend(compare(name, &tagged::normal(&expected[name]), tagged::normal(&found_value)));
    }
    Ok(mismatches)
}

pub(crate) fn predicate(vector: &Vector) -> Outcome {
    let expect = &vector.form["expect"];
    let mut predicate = match predicates::configure(vector.form["class"].as_str().unwrap_or(""), &vector.props()?) {
        Ok(predicate) => predicate,
        Err(errors) => return Ok(refused(expect, &errors)),
    };
    let mask = predicate.test(&batch(&vector.form["record"])?);
    Ok(compare("result", &expect["result"], json!(mask.value(0))))
}

pub(crate) fn path(vector: &Vector) -> Outcome {
    let text = |key: &str| vector.form[key].as_str().unwrap_or("");
    let expect = &vector.form["expect"];
    Ok(match FieldPath::parse(text("path"), Syntax::of(text("version"))) {
        Ok(path) => compare("steps", &expect["steps"], json!(path.steps())),
        Err(message) => failure(expect, "configure", &message),
    })
}

/// A batch of one record.
fn batch(record: &Value) -> Result<Batch, String> {
    let offset = record["offset"].as_i64().unwrap_or(0);
    let topic: Arc<str> = Arc::from(record["topic"].as_str().unwrap_or(""));
    let partition = record["partition"].as_i64().and_then(|partition| i32::try_from(partition).ok()).unwrap_or(-1);
    Ok(Batch {
        from: TopicPartition { topic: Arc::clone(&topic), partition },
        span: OffsetRange { start: offset, end: offset + 1 },
        topic,
        offsets: Int64Array::from(vec![offset]),
        timestamps: TimestampMillisecondArray::from(vec![record["timestamp"].as_i64()]),
        key: tagged::column("key", &record["keySchema"], &record["key"])?,
        value: tagged::column("value", &record["valueSchema"], &record["value"])?,
        headers: headers(&record["headers"]),
    })
}

/// Headers by their names: no transform that is played looks at their values.
fn headers(headers: &Value) -> Option<ListArray> {
    let headers = headers.as_array().filter(|headers| !headers.is_empty())?;
    let fields = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]);
    let names: StringArray = headers.iter().map(|header| header["key"].as_str()).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(names), Arc::new(BinaryArray::new_null(headers.len()))];
    let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), false));
    let list = ListArray::try_new(item, OffsetBuffer::from_lengths([headers.len()]), Arc::new(StructArray::new(fields, columns, None)), None);
    list.ok().filter(|list| !list.is_empty())
}
