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
use crate::schema::NAME;
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

/// The settings of a connector, and the schema that a field has under them.
fn schema_under(settings: &[(&str, &str)], field: &Field) -> Value {
    let options: Options = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let encoder = build(&options).unwrap().encoder(&field.clone().into()).unwrap();
    header_schema(&encoder.finish(&[]).unwrap().0.concat())
}

/// The schema in a file's header, read by hand: other readers want a record at the top.
fn header_schema(file: &[u8]) -> Value {
    let text = file.strip_prefix(b"Obj\x01\x04\x16avro.schema").unwrap();
    let mut length = 0;
    let prefix = text.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    text[..prefix].iter().rev().for_each(|byte| length = length << 7 | usize::from(byte & 0x7f));
    serde_json::from_slice(&text[prefix..prefix + length / 2]).unwrap()
}

/// The field of a Connect schema in its JSON form.
fn connect(text: &str) -> Field {
    crate::schema::from_connect_json("value", text.as_bytes()).unwrap()
}

fn value(array: &ArrayRef, metadata: &[(&str, &str)]) -> FieldRef {
    let metadata: HashMap<String, String> = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    FieldRef::new(Field::new("value", array.data_type().clone(), false).with_metadata(metadata))
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
    for codec in ["null", "deflate", "snappy", "bzip2"] {
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
    for codec in ["Snappy", "zstandard", "zstd", ""] {
        assert_eq!(format(codec).unwrap_err(), "avro.codec: String must be one of: null, deflate, snappy, bzip2");
    }
}

#[test]
fn schemas_are_those_of_confluents_avro_data() {
    let decimal = |precision: i32, scale: i32, parameters: Value| {
        json!({"type": "bytes", "scale": scale, "precision": precision, "connect.version": 1, "connect.parameters": parameters,
            "connect.name": "org.apache.kafka.connect.data.Decimal", "logicalType": "decimal"})
    };
    let table = [
        (r#"{"type":"string"}"#, json!("string")),
        (r#"{"type":"string","optional":true}"#, json!(["null", "string"])),
        (r#"{"type":"int8"}"#, json!({"type": "int", "connect.type": "int8"})),
        (r#"{"type":"int16","optional":true,"default":-7}"#, json!([{"type": "int", "connect.default": -7, "connect.type": "int16"}, "null"])),
        (r#"{"type":"float","default":0.1}"#, json!({"type": "float", "connect.default": 0.1})),
        (r#"{"type":"bytes","default":"/wA="}"#, json!({"type": "bytes", "connect.default": "\u{ff}\u{0}"})),
        (
            r#"{"type":"int64","name":"a.B","version":3,"doc":"d","parameters":{"p":"q","avro.x":"y"}}"#,
            json!({"type": "long", "connect.doc": "d", "connect.version": 3, "connect.parameters": {"p": "q", "avro.x": "y"}, "connect.name": "a.B", "avro.x": "y"}),
        ),
        (
            r#"{"type":"int32","name":"org.apache.kafka.connect.data.Date","version":1,"default":2}"#,
            json!({"type": "int", "connect.version": 1, "connect.default": 2, "connect.name": "org.apache.kafka.connect.data.Date", "logicalType": "date"}),
        ),
        (
            r#"{"type":"int32","name":"org.apache.kafka.connect.data.Time","version":1}"#,
            json!({"type": "int", "connect.version": 1, "connect.name": "org.apache.kafka.connect.data.Time", "logicalType": "time-millis"}),
        ),
        (
            r#"{"type":"int64","name":"org.apache.kafka.connect.data.Timestamp","version":1}"#,
            json!({"type": "long", "connect.version": 1, "connect.name": "org.apache.kafka.connect.data.Timestamp", "logicalType": "timestamp-millis"}),
        ),
        (r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"}}"#, decimal(64, 2, json!({"scale": "2"}))),
        (
            r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2","connect.decimal.precision":"9"}}"#,
            decimal(9, 2, json!({"connect.decimal.precision": "9", "scale": "2"})),
        ),
        (r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"-2"}}"#, decimal(64, -2, json!({"scale": "-2"}))),
        (r#"{"type":"array","items":{"type":"int32","optional":true},"name":"L"}"#, json!({"type": "array", "items": ["null", "int"], "connect.name": "L"})),
        (r#"{"type":"map","keys":{"type":"string"},"values":{"type":"int32"},"doc":"m"}"#, json!({"type": "map", "values": "int", "connect.doc": "m"})),
        (
            r#"{"type":"map","keys":{"type":"int32"},"values":{"type":"int32","optional":true}}"#,
            json!({"type": "array", "items": {"type": "record", "name": "MapEntry", "namespace": "io.confluent.connect.avro",
                "fields": [{"name": "key", "type": "int"}, {"name": "value", "type": ["null", "int"], "default": null}]}}),
        ),
        (
            r#"{"type":"map","name":"a.M","keys":{"type":"string","optional":true},"values":{"type":"string"}}"#,
            json!({"type": "array", "items": {"type": "record", "name": "M", "namespace": "a",
                "fields": [{"name": "key", "type": ["null", "string"], "default": null}, {"name": "value", "type": "string"}], "connect.internal.type": "MapEntry"},
                "connect.name": "a.M"}),
        ),
        (
            r#"{"type":"struct","name":"r","optional":true,"fields":[{"field":"a","type":"int32","optional":true,"default":5}]}"#,
            json!(["null", {"type": "record", "name": "r", "fields": [{"name": "a", "type": [{"type": "int", "connect.default": 5}, "null"], "default": 5}],
                "connect.name": "r"}]),
        ),
        (
            r#"{"type":"struct","version":2,"doc":"d","parameters":{"io.confluent.connect.avro.record.doc":"R","io.confluent.connect.avro.field.doc.a":"F"},
                "fields":[{"field":"a","type":"string"}]}"#,
            json!({"type": "record", "name": "ConnectDefault", "namespace": "io.confluent.connect.avro", "doc": "R", "fields": [{"name": "a", "type": "string", "doc": "F"}],
                "connect.doc": "d", "connect.version": 2,
                "connect.parameters": {"io.confluent.connect.avro.record.doc": "R", "io.confluent.connect.avro.field.doc.a": "F"}}),
        ),
        (
            r#"{"type":"string","name":"s.E","default":"B","parameters":{"io.confluent.connect.avro.Enum":"s.E","io.confluent.connect.avro.Enum.B":"B","io.confluent.connect.avro.Enum.A":"A",
                "io.confluent.connect.avro.enum.doc.E":"D","io.confluent.connect.avro.enum.default.E":"A","io.confluent.connect.avro.field.default":"true"}}"#,
            json!({"type": "enum", "name": "E", "namespace": "s", "doc": "D", "symbols": ["B", "A"], "default": "A", "connect.parameters": {
                "io.confluent.connect.avro.Enum": "s.E", "io.confluent.connect.avro.Enum.B": "B", "io.confluent.connect.avro.Enum.A": "A",
                "io.confluent.connect.avro.enum.doc.E": "D", "io.confluent.connect.avro.enum.default.E": "A"}, "connect.name": "s.E"}),
        ),
        (
            r#"{"type":"bytes","name":"k.Key","parameters":{"connect.fixed.size":"2"}}"#,
            json!({"type": "fixed", "name": "Key", "namespace": "k", "size": 2, "connect.parameters": {"connect.fixed.size": "2"}, "connect.name": "k.Key"}),
        ),
        (
            r#"{"type":"struct","name":"r","fields":[{"field":"u","type":"struct","name":"io.confluent.connect.avro.Union","optional":true,"fields":[
                {"field":"int","type":"int32","optional":true},{"field":"string","type":"string","optional":true}]}]}"#,
            json!({"type": "record", "name": "r", "fields": [{"name": "u", "type": ["null", "int", "string"], "default": null}], "connect.name": "r"}),
        ),
    ];
    for (text, schema) in table {
        assert_eq!(schema_under(&[], &connect(text)), schema, "{text}");
    }
}

#[test]
fn settings_change_the_schema() {
    let record = r#"{"type":"struct","name":"a.b.Rec","version":3,"doc":"d","fields":[
        {"field":"x","type":"int8","default":1},
        {"field":"at","type":"int64","name":"org.apache.kafka.connect.data.Timestamp","version":1},
        {"field":"e","type":"string","name":"s.E","parameters":{"io.confluent.connect.avro.Enum":"s.E","io.confluent.connect.avro.Enum.A":"A","avro.java.string":"String"}},
        {"field":"m","type":"map","keys":{"type":"string","optional":true},"values":{"type":"int32"},"default":{"k":1}}]}"#;
    let bare =
        schema_under(&[("connect.meta.data", "false"), ("enhanced.avro.schema.support", "false"), ("allow.optional.map.keys", "TRUE")], &connect(record));
    let expected = json!({"type": "record", "name": "Rec", "namespace": "a.b", "fields": [
        {"name": "x", "type": "int", "default": 1},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "e", "type": {"type": "string", "avro.java.string": "String"}},
        {"name": "m", "type": {"type": "map", "values": "int"}, "default": {"k": 1}}]});
    assert_eq!(bare, expected);
    let full = schema_under(&[], &connect(record));
    assert_eq!(full["fields"][2]["type"]["symbols"], json!(["A"]));
    assert_eq!(full["fields"][3]["type"]["type"], json!("array"));
    for (key, value, message) in [
        ("connect.meta.data", "yes", "connect.meta.data: Expected value to be either true or false"),
        ("lakehead.avro.schemaless", "columns", "lakehead.avro.schemaless: String must be one of: anything, inferred"),
    ] {
        assert_eq!(build(&Options::from([(key.to_owned(), value.to_owned())])).unwrap_err().to_string(), message);
    }
}

#[test]
fn names_follow_the_namespace_around_them() {
    let inner = r#"{"type":"struct","name":"n.Inner","fields":[{"field":"x","type":"int32"}]"#;
    let free = r#"{"type":"struct","name":"Free","fields":[{"field":"x","type":"int32"}]"#;
    let other = r#"{"type":"struct","name":"n.Inner","fields":[{"field":"y","type":"int32"}]"#;
    let text = format!(
        r#"{{"type":"struct","name":"n.Outer","fields":[{inner},"field":"a"}},{inner},"field":"b","optional":true}},{free},"field":"c"}},{free},"field":"d"}},{other},"field":"e"}}]}}"#
    );
    let schema = schema_under(&[("connect.meta.data", "false")], &connect(&text));
    let types: Vec<Value> = (0..5).map(|at| schema["fields"][at]["type"].clone()).collect();
    let fields = json!([{"name": "x", "type": "int"}]);
    assert_eq!(types[0], json!({"type": "record", "name": "Inner", "fields": fields}));
    assert_eq!(types[1], json!(["null", "Inner"]));
    assert_eq!(types[2], json!({"type": "record", "name": "Free", "namespace": "", "fields": fields}));
    // A name without a namespace cannot be referred to from within one: not every reader finds it.
    assert_eq!(types[3], json!({"type": "record", "name": "Free2", "namespace": "", "fields": fields}));
    assert_eq!(types[4]["name"], json!("Inner2"));
    Schema::parse(&schema.to_string()).unwrap();
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
    assert_eq!(at("/fields/1/type"), json!(["null", "ConnectDefault2"]));
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
    assert_eq!(deep("größe", DataType::Utf8), "");
    assert!(deep("b-c", DataType::Utf8).starts_with("avro cannot hold field \"a.b-c\" because of its name: names in avro are letters"));
    let json = DataType::Struct(vec![crate::schema::json_text("j")].into());
    assert!(refused(json).starts_with("avro cannot hold field \"j\" of JSON without a schema: "));
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
    converter.learn(1, Ok(&wire::RegisteredSchema::new(wire::SchemaKind::Avro, text))).unwrap();
    let decoded = converter.decode("t", &payloads).unwrap();
    assert_eq!(decoded.rejects, []);
    let column = &decoded.spans[0].1;
    let bytes = file("null", &column.field, &[Arc::clone(&column.array)]);
    assert_eq!(schema_of(&bytes), serde_json::from_str::<Value>(text).unwrap());
    assert!(bytes.windows(bodies.concat().len()).any(|window| window == bodies.concat()), "the rows are the payloads' bodies, byte for byte");
    let derived = schema_under(&[("enhanced.avro.schema.support", "false")], &column.field);
    assert_eq!((derived["doc"].clone(), derived["fields"][0]["type"]["type"].clone()), (json!("an order"), json!("string")));
    assert_eq!(derived["fields"][0]["doc"], json!("where it is"));
    let renamed: HashMap<_, _> =
        column.field.metadata().iter().map(|(key, value)| (key.clone(), if key == NAME { "a.B".to_owned() } else { value.clone() })).collect();
    let renamed = schema_under(&[], &column.field.as_ref().clone().with_metadata(renamed));
    assert_eq!((&renamed["name"], &renamed["namespace"], &renamed["connect.name"]), (&json!("B"), &json!("a"), &json!("a.B")));
}

#[test]
fn every_connect_type_is_read_back_under_its_derived_schema() {
    let schema = r#"{"type":"struct","name":"n.Outer","version":2,"fields":[
        {"field":"i8","type":"int8","optional":true,"default":3},
        {"field":"dec","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2","connect.decimal.precision":"9"},"optional":true},
        {"field":"ts","type":"int64","name":"org.apache.kafka.connect.data.Timestamp","version":1,"optional":true},
        {"field":"e","type":"string","name":"s.E","optional":true,"parameters":{"io.confluent.connect.avro.Enum":"s.E","io.confluent.connect.avro.Enum.B":"B","io.confluent.connect.avro.Enum.A":"A"}},
        {"field":"e2","type":"string","name":"s.E","parameters":{"io.confluent.connect.avro.Enum":"s.E","io.confluent.connect.avro.Enum.B":"B","io.confluent.connect.avro.Enum.A":"A"}},
        {"field":"fx","type":"bytes","name":"k.Key","parameters":{"connect.fixed.size":"2"}},
        {"field":"bin","type":"bytes","default":"/wA="},
        {"field":"un","type":"struct","optional":true,"fields":[{"field":"x","type":"float"}]},
        {"field":"lst","type":"array","items":{"type":"struct","fields":[{"field":"x","type":"float"}]}},
        {"field":"m1","type":"map","keys":{"type":"string"},"values":{"type":"int64","optional":true}},
        {"field":"m2","type":"map","keys":{"type":"int32"},"values":{"type":"string"}},
        {"field":"m3","type":"map","keys":{"type":"string","optional":true},"values":{"type":"string"}}]}"#;
    let options = [("schemas.enable", "false"), ("value.schema", schema)].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let mut converter = (wire::find("json").unwrap().build)(&options, false, Want::Columns).unwrap();
    let row = r#"{"i8":5,"dec":"AJY=","ts":1760000000123,"e":"A","e2":"B","fx":"AAE=","un":{"x":2.5},"lst":[{"x":1.0},{"x":2.0}],
        "m1":{"a":1,"b":null},"m2":[[1,"a"],[2,"b"]],"m3":{"k":"v"}}"#;
    let decoded = converter.decode("t", &BinaryArray::from(vec![row.as_bytes()])).unwrap();
    assert_eq!(decoded.rejects, []);
    let column = &decoded.spans[0].1;
    let read = read(&file("deflate", &column.field, &[Arc::clone(&column.array)]));
    let shown: Vec<String> = read.columns().iter().map(|column| shown(column, 0)).collect();
    let expected = [
        "5",
        "1.50",
        "2025-10-09T08:53:20.123Z",
        "A",
        "B",
        "0001",
        "ff00",
        "{x: 2.5}",
        "[{x: 1.0}, {x: 2.0}]",
        "{a: 1, b: }",
        "[{key: 1, value: a}, {key: 2, value: b}]",
        "[{key: k, value: v}]",
    ];
    assert_eq!(shown, expected);
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

/// What a row of [`anything::SCHEMA`] says, read by the specification's rules.
fn decoded(bytes: &mut &[u8]) -> Value {
    fn byte(bytes: &mut &[u8]) -> u8 {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        *first
    }
    fn long(bytes: &mut &[u8]) -> i64 {
        let (mut bits, mut shift) = (0_u64, 0);
        loop {
            let next = byte(bytes);
            bits |= u64::from(next & 0x7f) << shift;
            shift += 7;
            if next & 0x80 == 0 {
                return (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed();
            }
        }
    }
    fn items(bytes: &mut &[u8], mut item: impl FnMut(&mut &[u8])) {
        loop {
            match long(bytes) {
                0 => return,
                count => (0..count).for_each(|_| item(bytes)),
            }
        }
    }
    let mut found = Value::Null;
    for field in 0..9 {
        if long(bytes) == 0 {
            continue;
        }
        assert_eq!(found, Value::Null, "one field is set");
        found = match field {
            0 => json!(byte(bytes) == 1),
            2 => {
                let (value, rest) = bytes.split_first_chunk::<8>().unwrap();
                *bytes = rest;
                json!(f64::from_le_bytes(*value))
            }
            5 => json!(long(bytes)),
            6 => {
                let length = usize::try_from(long(bytes)).unwrap();
                let (text, rest) = bytes.split_at(length);
                *bytes = rest;
                json!(std::str::from_utf8(text).unwrap())
            }
            7 => {
                let mut list = Vec::new();
                items(bytes, |bytes| list.push(decoded(bytes)));
                Value::Array(list)
            }
            8 => {
                let mut members = serde_json::Map::new();
                items(bytes, |bytes| {
                    let Value::String(key) = decoded(bytes) else { panic!("a key is a string") };
                    assert_eq!(members.insert(key, decoded(bytes)), None, "a key comes once");
                });
                Value::Object(members)
            }
            other => panic!("field {other} is never set"),
        };
    }
    found
}

/// JSON texts as a file of `Anything`, read back.
fn through_anything(texts: &[&str]) -> Vec<Value> {
    let rows: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    let file = file("null", &crate::schema::json_text("value"), &[rows]);
    assert_eq!(header_schema(&file)["name"], json!("Anything"));
    let block = file.len() - file.windows(16).position(|window| window == &file[file.len() - 16..]).unwrap() - 16;
    let mut bytes = &file[file.len() - block..];
    let (count, length) = (block_number(&mut bytes), block_number(&mut bytes));
    let mut rows = &bytes[..length];
    let values = (0..count).map(|_| decoded(&mut rows)).collect();
    assert_eq!(rows.len(), 0);
    values
}

fn block_number(bytes: &mut &[u8]) -> usize {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let number = bytes[..end].iter().rev().fold(0, |number, byte| number << 7 | usize::from(byte & 0x7f)) / 2;
    *bytes = &bytes[end..];
    number
}

#[test]
fn json_without_a_schema_becomes_anything() {
    let long = format!("\"{}\"", "ä".repeat(100));
    let many = format!("[{}1]", "1,".repeat(99));
    let table = [
        ("true", json!(true)),
        ("7", json!(7)),
        ("-1.0", json!(-1.0)),
        ("18446744073709551615", json!(18_446_744_073_709_551_615.0)),
        (r#"{"a":1,"b":"x","c":null}"#, json!({"a": 1, "b": "x", "c": null})),
        (r#" [ [], {}, {"k":[null,1.5,false]} ] "#, json!([[], {}, {"k": [null, 1.5, false]}])),
        (r#"{"a":1,"\u0061":{"b":1,"b":2}}"#, json!({"a": {"b": 2}})),
        (r#"[{"a":1},{"a":2}]"#, json!([{"a": 1}, {"a": 2}])),
        (long.as_str(), json!("ä".repeat(100))),
        (many.as_str(), json!(vec![1; 100])),
    ];
    assert_eq!(through_anything(&table.each_ref().map(|(text, _)| *text)), table.map(|(_, value)| value));
    let mut bytes = Vec::new();
    Anything::default().put(br#"{"k":5}"#, &mut bytes).unwrap();
    let (key, five) = ([0, 0, 0, 0, 0, 0, 2, 2, b'k', 0, 0], [0, 0, 0, 0, 0, 2, 10, 0, 0, 0]);
    assert_eq!(bytes, [&[0; 8][..], &[2, 2], &key, &five, &[0]].concat());
    assert!(Anything::default().put(b"[1,", &mut bytes).is_err());
    assert_eq!(bytes.len(), 32, "nothing of a broken text is written");
    assert!(!format("null").unwrap().needs_columns());
    assert!(build(&Options::from([("lakehead.avro.schemaless".to_owned(), "inferred".to_owned())])).unwrap().needs_columns());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        ".{0,80}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 200, 70, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..70).prop_map(Value::from),
            prop::collection::btree_map(".{0,3}", inner, 0..8).prop_map(|members| members.into_iter().collect())
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// JSON without a schema is the same once it was a file.
    #[test]
    fn anything_survives(values in prop::collection::vec(any_json().prop_filter("a tombstone", |value| !value.is_null()), 1..5)) {
        let texts: Vec<String> = values.iter().map(Value::to_string).collect();
        prop_assert_eq!(through_anything(&texts.iter().map(String::as_str).collect::<Vec<_>>()), values);
    }

    /// Whatever a text is, it is written or refused, and the rows before it stay.
    #[test]
    fn no_text_breaks_anything(text in prop_oneof![".{0,40}", "[\\[\\]{}\",:0-9eE.+\\\\u-]{0,30}"]) {
        let mut out = vec![1, 2, 3];
        let result = Anything::default().put(text.as_bytes(), &mut out);
        prop_assert_eq!(&out[..3], &[1, 2, 3][..]);
        prop_assert_eq!(result.is_err(), out.len() == 3);
    }
}

proptest! {
    /// What our encoder writes of any numbers, texts and lists, another reader reads.
    #[test]
    fn rows_survive(rows in prop::collection::vec(
        (any::<i64>(), -(10_i128.pow(38) - 1)..10_i128.pow(38), prop::option::of(".{0,9}"), prop::option::of(prop::collection::vec(any::<Option<i32>>(), 0..70))),
        1..50,
    )) {
        let array = records(vec![
            ("n", Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>()), false),
            ("d", Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Decimal128Array>().with_precision_and_scale(38, 0).unwrap()), false),
            ("s", Arc::new(rows.iter().map(|row| row.2.as_deref()).collect::<StringArray>()), true),
            ("l", Arc::new(ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>(rows.iter().map(|row| row.3.clone()))), true),
        ]);
        let read = read(&file("snappy", &value(&array, &[]), &[Arc::clone(&array)]));
        for (i, column) in array.as_struct().columns().iter().enumerate() {
            for row in 0..rows.len() {
                prop_assert_eq!(shown(read.column(i), row), shown(column, row));
            }
        }
    }
}
