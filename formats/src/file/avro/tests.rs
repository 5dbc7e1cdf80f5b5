//! The Avro format, read as a specification; files are read back by arrow-avro's reader and by our own converter.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{
    AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray,
    MapArray, RecordBatch, StringArray, StructArray, Time32MillisecondArray, TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Fields};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::schema::{NAME, VERSION};
use crate::wire::{self, Want};

fn format(codec: &str) -> Result<Box<dyn FileFormat>, String> {
    build(&Options::from([("avro.codec".to_owned(), codec.to_owned())])).map_err(|error| error.to_string())
}

fn file(codec: &str, field: &FieldRef, rows: &[ArrayRef]) -> Vec<u8> {
    let mut encoder = format(codec).unwrap().encoder(field).unwrap();
    let mut bytes = Vec::new();
    for rows in rows {
        encoder.write(rows).unwrap();
        encoder.flush().unwrap();
        bytes.extend(encoder.take().concat());
        assert_eq!(encoder.encoded_bytes(), count(bytes.len()));
    }
    let (rest, stats) = encoder.finish(&[("left".to_owned(), "out".to_owned())]).unwrap();
    bytes.extend(rest.concat());
    assert_eq!((stats.bytes, stats.rows), (count(bytes.len()), count(rows.iter().map(|rows| rows.len()).sum())));
    bytes
}

fn read(bytes: &[u8]) -> RecordBatch {
    let reader = arrow_avro::reader::ReaderBuilder::new().with_batch_size(1 << 20).build(Cursor::new(bytes)).unwrap();
    let schema = reader.schema();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

fn schema_of(bytes: &[u8]) -> Value {
    let reader = arrow_avro::reader::ReaderBuilder::new().build(Cursor::new(bytes)).unwrap();
    let text = reader.avro_header().get("avro.schema").unwrap().to_vec();
    serde_json::from_slice(&text).unwrap()
}

fn value(array: &ArrayRef, metadata: &[(&str, &str)]) -> FieldRef {
    let metadata: HashMap<String, String> = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    FieldRef::new(Field::new("value", array.data_type().clone(), true).with_metadata(metadata))
}

fn records(columns: Vec<(&str, ArrayRef, bool)>) -> ArrayRef {
    let fields: Fields = columns.iter().map(|(name, array, nullable)| Field::new(*name, array.data_type().clone(), *nullable)).collect();
    Arc::new(StructArray::new(fields, columns.into_iter().map(|(_, array, _)| array).collect(), None))
}

fn every_type() -> ArrayRef {
    let item = Field::new("item", DataType::Int32, true).into();
    let list = ListArray::new(item, OffsetBuffer::new(vec![0, 2, 2].into()), Arc::new(Int32Array::from(vec![Some(1), None])), Some(vec![true, false].into()));
    let map = |keys: ArrayRef| {
        let entry = Fields::from(vec![Field::new("key", keys.data_type().clone(), false), Field::new("value", DataType::Int64, true)]);
        let entries = StructArray::new(entry.clone(), vec![keys, Arc::new(Int64Array::from(vec![7]))], None);
        MapArray::new(Field::new("entries", DataType::Struct(entry), false).into(), OffsetBuffer::new(vec![0, 1, 1].into()), entries, None, false)
    };
    records(vec![
        ("int8", Arc::new(Int8Array::from(vec![-1, 1])), false),
        ("int16", Arc::new(Int16Array::from(vec![Some(-300), None])), true),
        ("int32", Arc::new(Int32Array::from(vec![i32::MIN, i32::MAX])), false),
        ("int64", Arc::new(Int64Array::from(vec![Some(i64::MIN), None])), true),
        ("float32", Arc::new(Float32Array::from(vec![1.5, f32::INFINITY])), false),
        ("float64", Arc::new(Float64Array::from(vec![Some(-0.0), None])), true),
        ("boolean", Arc::new(BooleanArray::from(vec![Some(true), None])), true),
        ("string", Arc::new(StringArray::from(vec![Some("ä"), None])), true),
        ("bytes", Arc::new(BinaryArray::from(vec![&b"\xff"[..], b""])), false),
        ("list", Arc::new(list), true),
        ("map", Arc::new(map(Arc::new(StringArray::from(vec!["k"])))), false),
        ("pairs", Arc::new(map(Arc::new(Int32Array::from(vec![5])))), false),
        ("inner", records(vec![("a", Arc::new(Int32Array::from(vec![Some(1), None])), true)]), false),
        ("decimal", Arc::new(Decimal128Array::from(vec![Some(-12_345), None]).with_precision_and_scale(38, 2).unwrap()), true),
        ("date", Arc::new(Date32Array::from(vec![Some(19_000), None])), true),
        ("time", Arc::new(Time32MillisecondArray::from(vec![Some(1), None])), true),
        ("timestamp", Arc::new(TimestampMillisecondArray::from(vec![Some(1_760_000_000_000), None]).with_timezone("UTC")), true),
    ])
}

/// A value as text, the same for arrow-avro's types and ours.
fn shown(array: &dyn Array, row: usize) -> String {
    arrow::util::display::array_value_to_string(array, row).unwrap()
}

#[test]
fn every_type_is_read_back_under_every_codec() {
    let rows = every_type();
    for codec in ["null", "deflate", "snappy", "bzip2", "zstandard", "zstd"] {
        let read = read(&file(codec, &value(&rows, &[]), &[Arc::clone(&rows), rows.slice(1, 1)]));
        assert_eq!(read.num_rows(), 3, "{codec}");
        for (i, column) in rows.as_struct().columns().iter().enumerate() {
            let name = rows.as_struct().column_names()[i];
            for (row, of) in [(0, 0), (1, 1), (2, 1)] {
                let (mut got, mut want) = (shown(read.column(i), row), shown(column, of));
                if name == "pairs" {
                    (got, want) = (got.replace(['[', ']', '{', '}'], ""), want.replace("5: 7", "key: 5, value: 7").replace(['{', '}'], ""));
                }
                assert_eq!(got, want, "{codec} {name} {row}");
            }
        }
    }
    assert_eq!(format("Snappy").unwrap_err(), "avro.codec: \"Snappy\" is not a codec; values taken: null, deflate, snappy, bzip2, zstandard (lower case)");
}

#[test]
fn schemas_are_those_of_confluents_avro_data() {
    let one = |array: ArrayRef, nullable: bool, metadata: &[(&str, &str)]| {
        let field = value(&array, metadata).as_ref().clone().with_name("f").with_nullable(nullable);
        let rows: ArrayRef = Arc::new(StructArray::new(vec![field].into(), vec![array], None));
        schema_of(&file("null", &value(&rows, &[(NAME, "shop.Order"), (VERSION, "2")]), &[]))
    };
    let record =
        |field: Value| json!({"name": "Order", "namespace": "shop", "type": "record", "fields": [field], "connect.version": 2, "connect.name": "shop.Order"});
    let text = || -> ArrayRef { Arc::new(StringArray::from(vec!["A"])) };
    let table = [
        (one(text(), false, &[]), json!({"name": "f", "type": {"type": "string"}})),
        (one(text(), true, &[]), json!({"name": "f", "type": ["null", {"type": "string"}], "default": null})),
        (one(text(), true, &[("connect.default", "\"x\"")]), json!({"name": "f", "type": [{"type": "string"}, "null"], "default": "x"})),
        (
            one(text(), false, &[("connect.parameters.io.confluent.connect.avro.Enum", "s.E"), ("connect.parameters.io.confluent.connect.avro.Enum.A", "A")]),
            json!({"name": "f", "type": {"name": "E", "namespace": "s", "type": "enum", "symbols": ["A"],
                "connect.parameters": {"io.confluent.connect.avro.Enum": "s.E", "io.confluent.connect.avro.Enum.A": "A"}}}),
        ),
        (
            one(Arc::new(Decimal128Array::from(vec![1]).with_precision_and_scale(38, 2).unwrap()), false, &[]),
            json!({"name": "f", "type": {"type": "bytes", "logicalType": "decimal", "precision": 64, "scale": 2}}),
        ),
        (
            one(records(vec![("a", text(), false)]), false, &[]),
            json!({"name": "f", "type": {"name": "ConnectDefault", "namespace": "io.confluent.connect.avro", "type": "record", "fields": [{"name": "a", "type": {"type": "string"}}]}}),
        ),
    ];
    for (got, field) in table {
        assert_eq!(got, record(field));
    }
}

#[test]
fn a_record_type_is_written_once_and_another_of_its_name_gets_a_number() {
    let leaf = |name: &str| records(vec![(name, Arc::new(Int32Array::from(vec![1])) as ArrayRef, false)]);
    let line = || records(vec![("sku", leaf("a"), false)]);
    let rows = records(vec![("p", line(), false), ("q", line(), true), ("r", leaf("b"), false)]);
    let schema = schema_of(&file("null", &value(&rows, &[]), &[]));
    let at = |path: &str| schema.pointer(path).cloned().unwrap_or_default();
    assert_eq!(at("/name"), "ConnectDefault");
    assert_eq!(at("/fields/0/type/name"), "ConnectDefault2");
    assert_eq!(at("/fields/0/type/fields/0/type/name"), "ConnectDefault3");
    assert_eq!(at("/fields/1/type"), json!(["null", "io.confluent.connect.avro.ConnectDefault2"]));
    assert_eq!(at("/fields/2/type/name"), "ConnectDefault4");
    assert_eq!(read(&file("null", &value(&rows, &[]), &[rows])).num_rows(), 1);
}

#[test]
fn types_and_names_without_an_avro_form_are_refused_with_their_path() {
    let refused = |data_type: DataType| {
        let field = FieldRef::new(Field::new("value", data_type, true));
        format("null").unwrap().encoder(&field).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let deep = |name: &str, data_type: DataType| {
        let inner = DataType::Struct(vec![Field::new(name, data_type, true)].into());
        refused(DataType::Struct(vec![Field::new("a", inner, true)].into()))
    };
    assert!(deep("b", DataType::Null).starts_with("avro cannot hold field \"a.b\" of type Null: "));
    assert!(deep("b-c", DataType::Utf8).starts_with("avro cannot hold field \"a.b-c\" because of its name: names in avro are letters"));
    let json = format("null").unwrap().encoder(&crate::schema::json_text("value")).err().unwrap().to_string();
    assert!(json.starts_with("avro cannot hold values of JSON without a schema: "), "{json}");
}

#[test]
fn rows_that_came_from_avro_keep_their_schema() {
    let text = r#"{"type":"record","name":"Order","namespace":"shop","doc":"an order","aliases":["Old"],"fields":[
        {"name":"state","type":{"type":"enum","name":"State","symbols":["NEW","PAID"],"default":"NEW"},"doc":"where it is"},
        {"name":"sum","type":{"type":"fixed","name":"Sum","size":4,"logicalType":"decimal","precision":8,"scale":2}},
        {"name":"key","type":{"type":"fixed","name":"Key","size":2}},
        {"name":"any","type":["null","long",{"type":"array","items":["string","null"]}]},
        {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}}]}"#;
    let bodies: [&[u8]; 3] = [&[2, 0xff, 0xff, 0xff, 0x38, 1, 2, 2, 14, 2], &[0, 0, 0, 0, 5, 3, 4, 4, 4, 0, 2, b'x', 2, 0, 4], &[0, 0, 0, 0, 5, 3, 4, 0, 4]];
    let payloads: BinaryArray = bodies.iter().map(|body| Some([&[0, 0, 0, 0, 1], *body].concat())).collect();
    let mut converter = (wire::find("avro").unwrap().build)(&wire::Options::new(), false, Want::Columns).unwrap();
    converter.learn(1, Ok(text)).unwrap();
    let decoded = converter.decode("t", &payloads).unwrap();
    assert_eq!(decoded.rejects, []);
    let column = &decoded.spans[0].1;
    let bytes = file("null", &column.field, &[Arc::clone(&column.array)]);
    assert_eq!(schema_of(&bytes), serde_json::from_str::<Value>(text).unwrap());
    assert!(bytes.windows(bodies.concat().len()).any(|window| window == bodies.concat()), "the rows are the payloads' bodies, byte for byte");
}

#[test]
fn rows_that_do_not_belong_are_refused() {
    let rows = every_type();
    let mut encoder = format("null").unwrap().encoder(&value(&rows, &[])).unwrap();
    let null: ArrayRef = Arc::new(StructArray::new_null(rows.as_struct().fields().clone(), 1));
    assert_eq!(encoder.write(&null).unwrap_err().to_string(), "avro: row \"0\" is null, a file holds values only; set behavior.on.null.values");
    let other: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    assert!(encoder.write(&other).unwrap_err().to_string().starts_with("avro: rows of type Int32 in a file of another type"));
}

#[test]
fn a_block_ends_at_64_000_bytes_or_at_a_flush() {
    let rows: ArrayRef = records(vec![("s", Arc::new(StringArray::from(vec!["x".repeat(999); 200])), false)]);
    let mut encoder = format("null").unwrap().encoder(&value(&rows, &[])).unwrap();
    encoder.write(&rows).unwrap();
    let (bytes, stats) = encoder.finish(&[]).unwrap();
    assert_eq!((stats.row_groups, stats.rows), (4, 200));
    assert_eq!(read(&bytes.concat()).num_rows(), 200);
}

proptest! {
    /// What our encoder writes of any decimals and texts, another reader reads.
    #[test]
    fn rows_survive(rows in prop::collection::vec((any::<i64>(), -(10_i128.pow(38) - 1)..10_i128.pow(38), prop::option::of(".{0,9}")), 1..50)) {
        let array = records(vec![
            ("n", Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>()), false),
            ("d", Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Decimal128Array>().with_precision_and_scale(38, 0).unwrap()), false),
            ("s", Arc::new(rows.iter().map(|row| row.2.as_deref()).collect::<StringArray>()), true),
        ]);
        let read = read(&file("snappy", &value(&array, &[]), &[Arc::clone(&array)]));
        for (i, column) in array.as_struct().columns().iter().enumerate() {
            for row in 0..rows.len() {
                prop_assert_eq!(shown(read.column(i), row), shown(column, row));
            }
        }
    }
}
