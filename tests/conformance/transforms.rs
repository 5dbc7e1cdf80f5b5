//! `smt`, `predicate` and `path`: one record through one transform, as Java's jars of Kafka 4.3.1 took it.
//!
//! Parts: this file, the kinds; [`super::shared`], records as batches; [`super::tagged`], their values as columns and back.

use arrow::array::ListArray;
use lakehead::connect::config::ConfigError;
use lakehead::transform::path::{FieldPath, Syntax};
use lakehead::transform::{self, Side, predicates};
use lakehead_formats::column::Column;
use serde_json::{Value, json};

use super::vectors::{Mismatch, Outcome, Part, Vector};
use super::{shared, tagged};

/// Vectors that differ on purpose, with the reason.
const ON_PURPOSE: &[(&str, &str)] = &[
    ("ReplaceField$Value-08", "blacklist and whitelist act, with a warning: users' configurations are full of them"),
    ("MaskField$Value-15", "the error names the class of maps that JsonConverter makes; the vector's map is of another, which no converter makes"),
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
    let record = &named(record, &vector.schemas);
    let mut out = Vec::new();
    if let Some(reject) = transform.apply(shared::batch(std::slice::from_ref(record), false)?, &mut out).first() {
        return Ok(failure(expect, "apply", &reject.reason));
    }
    let Some(found) = out.iter().find(|batch| !batch.is_empty()) else { return Ok(compare("outcome", expect, json!({"dropped": true}))) };
    let expected = &named(&expect["record"], &vector.schemas);
    let mut mismatches = compare("topic", &expected["topic"], json!(found.topic.as_ref()));
    mismatches.extend(compare("timestamp", &expected["timestamp"], found.timestamps.iter().next().flatten().map_or(Value::Null, Value::from)));
    for (side, schema, name) in [(Side::Key, "keySchema", "key"), (Side::Value, "valueSchema", "value")] {
        let (found_schema, found_value) = tagged::described(side.of(found))?;
        let expected_schema = tagged::normal_schema(&expected[schema])?;
        mismatches.extend(compare(schema, &json!(expected_schema), json!(found_schema)));
        mismatches.extend(compare(name, &tagged::normal(&expected[name]), tagged::normal(&found_value)));
    }
    mismatches.extend(compare("headers", &expected_headers(&expected["headers"])?, found_headers(found.headers.as_ref())?));
    Ok(mismatches)
}

pub(crate) fn predicate(vector: &Vector) -> Outcome {
    let expect = &vector.form["expect"];
    let mut predicate = match predicates::configure(vector.form["class"].as_str().unwrap_or(""), &vector.props()?) {
        Ok(predicate) => predicate,
        Err(errors) => return Ok(refused(expect, &errors)),
    };
    let mask = predicate.test(&shared::batch(std::slice::from_ref(&vector.form["record"]), false)?);
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

/// A record with the schemas that its file names.
fn named(record: &Value, schemas: &Value) -> Value {
    let mut record = record.clone();
    let by_name = |schema: &mut Value| {
        if let Some(known) = schema.as_str().and_then(|name| schemas.get(name)) {
            *schema = known.clone();
        }
    };
    ["keySchema", "valueSchema"].into_iter().for_each(|side| by_name(&mut record[side]));
    record["headers"].as_array_mut().into_iter().flatten().for_each(|header| by_name(&mut header["schema"]));
    record
}

/// A header's schema in a form that can be compared.
fn expected_headers(headers: &Value) -> Result<Value, String> {
    let one = |header: &Value| Ok(json!([header["key"], tagged::normal_schema(&header["schema"])?, tagged::normal(&header["value"])]));
    headers.as_array().into_iter().flatten().map(one).collect::<Result<Vec<_>, String>>().map(Value::from)
}

/// The headers of the only record, in the same form.
fn found_headers(list: Option<&ListArray>) -> Result<Value, String> {
    let one = |(name, column): (String, Column)| {
        let (schema, value) = tagged::described(&column)?;
        Ok(json!([name, schema, tagged::normal(&value)]))
    };
    list.map_or_else(|| Ok(Vec::new()), |list| shared::headers_of(list, 0))?.into_iter().map(one).collect::<Result<Vec<_>, String>>().map(Value::from)
}
