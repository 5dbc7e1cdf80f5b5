//! What the tests of transforms share: rows in, rows out, as JSON.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{Int8Type, Int16Type, Int32Type, Int64Type, TimestampMillisecondType};
use lakehead_formats::schema::{from_connect_json, json_text};
use lakehead_formats::wire::{self, Want};
use serde_json::{Map, Value as Json};

use super::*;
use crate::batch::{OffsetRange, TopicPartition};
use crate::connect::Props;
use crate::transform::configure;

fn column(name: &str, rows: &[&str]) -> Column {
    let texts: StringArray = rows.iter().map(|row| Some(*row).filter(|row| *row != "null")).collect();
    Column::new(json_text(name), Arc::new(texts) as ArrayRef)
}

/// A batch of `orders-3` from offset 100 on, a row each second; the second has no timestamp.
pub(crate) fn json_batch(rows: &[&str]) -> Batch {
    let rows_i64 = i64::try_from(rows.len()).unwrap();
    Batch {
        from: TopicPartition::new("orders", 3),
        span: OffsetRange { start: 100, end: 100 + rows_i64 },
        topic: Arc::from("orders"),
        offsets: Int64Array::from_iter_values(100..100 + rows_i64),
        timestamps: (0..rows_i64).map(|row| Some(1000 + row).filter(|_| row != 1)).collect::<TimestampMillisecondArray>(),
        key: column("key", rows),
        value: column("value", rows),
        headers: None,
    }
}

/// A batch through a transform: what comes out, and what is left out.
pub(crate) fn apply_all(class: &str, settings: &[(&str, &str)], batch: Batch) -> (Vec<Batch>, Vec<Reject>) {
    let props: Props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut out = Vec::new();
    let rejects = configure(class, &props).unwrap().apply(batch, &mut out);
    (out, rejects)
}

fn apply(class: &str, settings: &[(&str, &str)], batch: Batch) -> (Batch, Vec<Reject>) {
    let (mut out, rejects) = apply_all(class, settings, batch);
    assert_eq!(out.len(), 1);
    (out.remove(0), rejects)
}

/// The side that a class writes.
fn written<'a>(class: &str, batch: &'a Batch) -> &'a Column {
    if class.ends_with("$Key") || class == "ValueToKey" { &batch.key } else { &batch.value }
}

/// Schemaless rows through a transform: what each becomes, or why it was rejected.
pub(crate) fn apply_json(class: &str, settings: &[(&str, &str)], rows: &[&str]) -> Vec<Result<String, String>> {
    let (batch, rejects) = apply(class, settings, json_batch(rows));
    let column = written(class, &batch);
    let texts = match Dynamic::of_column(column) {
        Some(values) => values.json().unwrap(),
        None => column.array.as_string::<i32>().clone(),
    };
    let mut found: Vec<Result<String, String>> = texts.iter().map(|text| Ok(text.unwrap_or("null").to_owned())).collect();
    assert_eq!((found.len(), found.len() + rejects.len()), (batch.len(), rows.len()));
    for reject in rejects {
        found.insert(reject.row, Err(reject.reason));
    }
    found
}

/// What a transform made of rows under a schema.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) schema: Field,
    pub(crate) rows: Vec<String>,
    pub(crate) rejects: Vec<Reject>,
}

/// A schema in its JSON form, without the name of the place that it is in.
pub(crate) fn schema(json: &str) -> Field {
    from_connect_json("", json.as_bytes()).unwrap()
}

/// A batch of rows under a schema, keys as values.
pub(crate) fn schema_batch(schema: &str, rows: &[&str]) -> Batch {
    let mut batch = json_batch(rows);
    let payloads: BinaryArray = rows.iter().map(|row| Some(row.as_bytes()).filter(|row| *row != b"null")).collect();
    for (side, is_key) in [(Side::Key, true), (Side::Value, false)] {
        let options = [("schemas.enable", "false"), ("schema.content", schema), ("replace.null.with.default", "false")];
        let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let mut converter = (wire::find("json").unwrap().build)(&options, is_key, Want::Any).unwrap();
        let mut decoded = converter.decode("orders", &payloads).unwrap();
        assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
        side.put(&mut batch, decoded.spans.remove(0).1);
    }
    batch
}

/// Rows under a schema through a transform.
pub(crate) fn apply_schema(class: &str, settings: &[(&str, &str)], schema: &str, rows: &[&str]) -> Shown {
    let batch = schema_batch(schema, rows);
    let (batch, rejects) = apply(class, settings, batch);
    assert_eq!(batch.len() + rejects.len(), rows.len());
    let column = written(class, &batch);
    let rows = (0..batch.len()).map(|row| json(&column.array, row).to_string()).collect();
    Shown { schema: column.field.as_ref().clone().with_name(""), rows, rejects }
}

/// A value as it is, without the default that a converter would put in the place of a null.
fn json(array: &ArrayRef, row: usize) -> Json {
    if array.is_null(row) {
        return Json::Null;
    }
    match array.data_type() {
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampMillisecondType>().value(row).into(),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).map(|item| json(&items, item)).collect()
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter();
            Json::Object(fields.iter().zip(columns).map(|(field, column)| (field.name().clone(), json(column, row))).collect::<Map<_, _>>())
        }
        other => panic!("no test has {other}"),
    }
}

#[test]
fn values_stay_read_for_the_next_transform() {
    let (batch, _) = apply("HoistField$Value", &[("field", "a")], json_batch(&["1", "2"]));
    assert!(Dynamic::of_column(&batch.value).is_some() && Dynamic::of_column(&batch.key).is_none());
    let (batch, _) = apply("ExtractField$Value", &[("field", "a")], batch);
    assert_eq!(Dynamic::of_column(&batch.value).unwrap().json().unwrap(), StringArray::from(vec!["1", "2"]));
    // What was only read stays read as well.
    let (batch, _) = apply("ValueToKey", &[("fields", "a")], json_batch(&[r#"{"a":1}"#]));
    assert!(Dynamic::of_column(&batch.value).is_some() && Dynamic::of_column(&batch.key).is_some());
}

#[test]
fn a_side_without_schema_and_value_is_null() {
    let mut batch = json_batch(&["1", "2"]);
    batch.key = Column::new(Arc::new(Field::new("key", DataType::Null, true)), arrow::array::new_null_array(&DataType::Null, 2));
    let (batch, _) = apply("HoistField$Key", &[("field", "k")], batch);
    assert_eq!(Dynamic::of_column(&batch.key).unwrap().json().unwrap(), StringArray::from(vec![r#"{"k":null}"#; 2]));
}

#[test]
fn a_batch_of_many_keys_goes_on_in_parts() {
    let rows: Vec<String> = (0..3000).map(|row| format!("{{\"k{row}\":1}}")).collect();
    let batch = json_batch(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    let mut out = Vec::new();
    let props: Props = [("field".to_owned(), "v".to_owned())].into();
    assert!(configure("HoistField$Value", &props).unwrap().apply(batch, &mut out).is_empty());
    assert!(out.len() > 1);
    let mut next = 100;
    for part in out {
        assert_eq!((part.span.start, part.offsets.value(0)), (next, next));
        next = part.span.end;
        assert_eq!(
            Dynamic::of_column(&part.value).unwrap().slice(0, 1).json().unwrap().value(0),
            format!("{{\"v\":{}}}", rows[usize::try_from(part.span.start - 100).unwrap()])
        );
    }
    assert_eq!(next, 3100);
}
