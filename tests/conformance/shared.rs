//! What the conformance test and the differential test have in common: records as batches, columns as the vectors write them.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, ListArray, StringArray, TimestampMillisecondArray, UnionArray, new_null_array};
use arrow::datatypes::DataType;
use lakehead::batch::{Batch, OffsetRange, TopicPartition};
use lakehead_formats::column::Column;
use lakehead_formats::headers::literal::{Literal, Type};
use lakehead_formats::headers::{self, Added};
use lakehead_formats::payload;
use lakehead_formats::schema::{is_json_text, json_text};
use serde_json::{Map, Value, json};

use super::tagged;

/// Records of one topic as a batch. Their values are under one schema, or tombstones, or all without one; those are JSON text where `text` says so.
pub(crate) fn batch(records: &[Value], text: bool) -> Result<Batch, String> {
    let (first, last) = (records.first().ok_or("no record")?, records.last().ok_or("no record")?);
    let offset = |record: &Value| record["offset"].as_i64().unwrap_or(0);
    let topic: Arc<str> = Arc::from(first["topic"].as_str().unwrap_or(""));
    let partition = first["partition"].as_i64().and_then(|partition| i32::try_from(partition).ok()).unwrap_or(-1);
    let side = |name: &str, schema: &str| {
        let values: Vec<&Value> = records.iter().map(|record| &record[name]).collect();
        let schema = records.iter().map(|record| &record[schema]).find(|schema| !schema.is_null()).unwrap_or(&Value::Null);
        if text && schema.is_null() { texts(name, &values) } else { tagged::columns(name, schema, &values) }
    };
    Ok(Batch {
        from: TopicPartition { topic: Arc::clone(&topic), partition },
        span: OffsetRange { start: offset(first), end: offset(last) + 1 },
        topic,
        offsets: Int64Array::from(records.iter().map(offset).collect::<Vec<_>>()),
        timestamps: TimestampMillisecondArray::from(records.iter().map(|record| record["timestamp"].as_i64()).collect::<Vec<_>>()),
        key: side("key", "keySchema")?,
        value: side("value", "valueSchema")?,
        headers: batch_headers(records)?,
    })
}

/// Values without a schema as JSON text.
pub(crate) fn texts(name: &str, values: &[&Value]) -> Result<Column, String> {
    let text = |value: &&Value| if value.is_null() { Ok(None) } else { tagged::json_of(value).map(|json| Some(json.to_string())).ok_or("no JSON".to_owned()) };
    let texts = values.iter().map(text).collect::<Result<Vec<_>, String>>()?;
    Ok(Column::new(json_text(name), Arc::new(StringArray::from(texts))))
}

/// The headers of records that have the same ones, as transforms leave them.
fn batch_headers(records: &[Value]) -> Result<Option<ListArray>, String> {
    let mut list = None;
    for (at, header) in records[0]["headers"].as_array().into_iter().flatten().enumerate() {
        let values: Vec<&Value> = records.iter().map(|record| &record["headers"][at]["value"]).collect();
        let column = tagged::columns("header", &header["schema"], &values)?;
        let name = header["key"].as_str().ok_or("a header without a key")?;
        list = Some(headers::with(list.as_ref(), records.len(), name, Added::Each(&column)).map_err(|error| error.to_string())?);
    }
    Ok(list)
}

/// The headers of a row: names, and values as columns of one row.
pub(crate) fn headers_of(list: &ListArray, row: usize) -> Result<Vec<(String, Column)>, String> {
    if list.is_null(row) {
        return Ok(Vec::new());
    }
    let entries = list.value(row);
    let [names, values] = entries.as_struct().columns() else { return Err("headers are names and values".to_owned()) };
    let one = |entry: usize| {
        let union = values.as_any().downcast_ref::<UnionArray>().ok_or("a header that no transform added")?;
        let id = union.type_id(entry);
        let DataType::Union(members, _) = union.data_type() else { return Err("no union".to_owned()) };
        let field = members.iter().find(|(member, _)| *member == id).map(|(_, field)| Arc::clone(field)).ok_or("no such member")?;
        Ok((names.as_string::<i32>().value(entry).to_owned(), Column::new(field, union.value(entry))))
    };
    (0..entries.len()).map(one).collect()
}

/// A row of a column that a converter made, with its schema as `JsonConverter` writes it.
pub(crate) fn shown(column: &Column, row: usize) -> Result<Value, String> {
    if column.array.data_type().is_null() || (is_json_text(&column.field) && column.array.is_null(row)) {
        return Ok(json!({"schema": null, "value": null}));
    }
    Ok(json!({"schema": schema_of(column)?, "value": tagged::of_column(column, row)?}))
}

/// The schema of a column as `JsonConverter` writes it: in the envelope of a value. Null where there is none.
pub(crate) fn schema_of(column: &Column) -> Result<Value, String> {
    if !tagged::has_schema(column) {
        return Ok(Value::Null);
    }
    let field = column.field.as_ref().clone().with_nullable(true);
    let mut writer = (payload::find("json").ok_or("no json")?.build)(&Default::default()).map_err(|error| error.to_string())?;
    let null = Column::new(Arc::new(field), new_null_array(column.field.data_type(), 1));
    let written = writer.write(&null);
    if let Some(reject) = written.rejects.first() {
        return Err(reject.reason.clone());
    }
    let envelope: Value = serde_json::from_slice(written.payloads.value(0)).map_err(|error| error.to_string())?;
    let mut schema = envelope["schema"].clone();
    schema["optional"] = column.field.is_nullable().into();
    Ok(schema)
}

/// What was read of a header's text.
pub(crate) fn of_literal(parsed: Option<&(Type, Literal)>) -> Value {
    match parsed {
        None => json!({"schema": null, "value": null}),
        Some((kind, value)) => json!({"schema": type_of(kind), "value": value_of(value)}),
    }
}

fn type_of(kind: &Type) -> Value {
    let inner = |kind: &Option<Box<Type>>| kind.as_ref().map_or(Value::Null, |kind| type_of(kind));
    match kind {
        Type::Array(item) => json!({"type": "array", "items": inner(item), "optional": false}),
        Type::Map(key, value) => json!({"type": "map", "keys": inner(key), "values": inner(value), "optional": false}),
        plain => plain.json().unwrap_or_default(),
    }
}

fn value_of(value: &Literal) -> Value {
    let one = |tag: &str, value: Value| Value::Object(Map::from_iter([(tag.to_owned(), value)]));
    match value {
        Literal::Null => Value::Null,
        Literal::Boolean(value) => json!({"boolean": value}),
        Literal::Int8(value) => json!({"int8": value}),
        Literal::Int16(value) => json!({"int16": value}),
        Literal::Int32(value) => json!({"int32": value}),
        Literal::Int64(value) => json!({"int64": value}),
        Literal::Float32(value) => json!({"float32": tagged::of_float(*value)}),
        Literal::Float64(value) => json!({"float64": value}),
        Literal::Decimal(value) => json!({"decimal": value.to_string()}),
        Literal::String(text) => json!({"string": text}),
        Literal::Date(ms) | Literal::Time(ms) | Literal::Timestamp(ms) => json!({"date": ms}),
        Literal::Array(items) => one("array", items.iter().map(value_of).collect()),
        Literal::Map(entries) => one("map", tagged::sorted(entries.iter().map(|(key, value)| json!([value_of(key), value_of(value)])).collect()).into()),
    }
}
