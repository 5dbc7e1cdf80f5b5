//! Parquet files with every Connect type, in every codec and both forms of lists, for other readers to be tried on.
//!
//! `cargo run -p lakehead-formats --example parquet_samples -- FOLDER` writes `<schema>.<lists>.<codec>.v<version>.parquet`, and beside them `<schema>.json`
//! with the rows, as a JSON array: decimals as texts, dates, times and instants as numbers, bytes as base64.

#![expect(clippy::expect_used, reason = "an example that cannot go on may stop")]

use std::fs;
use std::path::Path;

use arrow::array::{ArrayRef, BinaryArray};
use arrow::datatypes::FieldRef;
use lakehead_formats::file::{self, Options};
use lakehead_formats::wire::{self, Want};
use serde_json::{Value, json};

const CODECS: [&str; 7] = ["none", "snappy", "gzip", "brotli", "lz4", "zstd", "lz4_raw"];

/// A field's name, its schema, and its value in each of three rows; null makes the field optional.
type Sample = (&'static str, Value, [Value; 3]);

fn logical(of: &str, name: &str) -> Value {
    json!({"type": of, "name": format!("org.apache.kafka.connect.data.{name}")})
}

fn decimal(scale: u8, precision: Option<u8>) -> Value {
    let mut schema = logical("bytes", "Decimal");
    schema["parameters"] = json!({"scale": scale.to_string()});
    if let Some(precision) = precision {
        schema["parameters"]["connect.decimal.precision"] = json!(precision.to_string());
    }
    schema
}

fn list(items: &Value) -> Value {
    json!({"type": "array", "items": items})
}

fn map(keys: &str, values: &Value) -> Value {
    json!({"type": "map", "keys": {"type": keys}, "values": values})
}

/// Types without a list.
fn flat() -> Vec<Sample> {
    let symbols = json!({"io.confluent.connect.avro.Enum": "s.E", "io.confluent.connect.avro.Enum.A": "A", "io.confluent.connect.avro.Enum.B": "B"});
    let pair = json!({"type": "struct", "fields": [{"field": "x", "type": "int32"}, {"field": "y", "type": "string", "optional": true}]});
    let union = json!({"type": "struct", "name": "io.confluent.connect.avro.Union",
        "fields": [{"field": "int", "type": "int32", "optional": true}, {"field": "string", "type": "string", "optional": true}]});
    vec![
        ("boolean", json!({"type": "boolean"}), [json!(true), json!(false), json!(true)]),
        ("int8", json!({"type": "int8"}), [json!(-128), json!(127), json!(0)]),
        ("int16", json!({"type": "int16"}), [json!(-32768), json!(32767), json!(0)]),
        ("int32", json!({"type": "int32"}), [json!(i32::MIN), json!(i32::MAX), json!(0)]),
        ("int64", json!({"type": "int64"}), [json!(i64::MIN), json!(i64::MAX), json!(0)]),
        ("float32", json!({"type": "float"}), [json!(1.5), json!(-0.25), json!(1e30)]),
        ("float64", json!({"type": "double"}), [json!(0.1), json!(-1e300), json!(0.0)]),
        ("string", json!({"type": "string"}), [json!("ä"), json!(""), json!("\u{1f600}")]),
        ("bytes", json!({"type": "bytes"}), [json!("/wA="), json!(""), json!("AQID")]),
        ("enum", json!({"type": "string", "parameters": symbols}), [json!("A"), json!("B"), json!("A")]),
        ("decimal", decimal(2, None), [json!("12.34"), json!("-0.01"), json!("999999999999999999999999999999999999.99")]),
        ("decimal9", decimal(2, Some(9)), [json!("1234567.89"), json!("-1.00"), json!("0.00")]),
        ("decimal18", decimal(0, Some(18)), [json!("123456789012345678"), json!("-1"), json!("10")]),
        ("decimal50", decimal(2, Some(50)), [json!("-1.00"), json!("1.00"), json!("123456789012345678901234567890123456789012345678.90")]),
        ("date", logical("int32", "Date"), [json!(-1), json!(0), json!(20_000)]),
        ("time", logical("int32", "Time"), [json!(0), json!(1), json!(86_399_999)]),
        ("timestamp", logical("int64", "Timestamp"), [json!(-1), json!(0), json!(1_760_000_000_123_i64)]),
        ("optional_int", json!({"type": "int32", "optional": true}), [json!(1), json!(null), json!(3)]),
        ("optional_string", json!({"type": "string", "optional": true}), [json!(null), json!("b"), json!(null)]),
        ("struct", pair.clone(), [json!({"x": 1, "y": "a"}), json!({"x": 2, "y": null}), json!({"x": 3, "y": ""})]),
        ("optional_struct", optional(&pair), [json!({"x": 1, "y": "a"}), json!(null), json!({"x": 3, "y": null})]),
        ("union", optional(&union), [json!({"int": 1, "string": null}), json!({"int": null, "string": "s"}), json!(null)]),
        ("map", map("string", &json!({"type": "int64", "optional": true})), [json!({"a": 1}), json!({}), json!({"b": null, "c": 3})]),
        ("map_of_structs", optional(&map("string", &pair)), [json!({"a": {"x": 1, "y": null}}), json!(null), json!({})]),
    ]
}

/// Lists whose items are never null.
fn lists() -> Vec<Sample> {
    let pair = json!({"type": "struct", "fields": [{"field": "x", "type": "int32"}, {"field": "y", "type": "string", "optional": true}]});
    let one = json!({"type": "struct", "fields": [{"field": "x", "type": "int32"}]});
    let ints = list(&json!({"type": "int32"}));
    vec![
        ("ints", ints.clone(), [json!([1, 2]), json!([]), json!([3])]),
        ("optional_ints", optional(&ints), [json!(null), json!([]), json!([3])]),
        ("texts", list(&json!({"type": "string"})), [json!(["a", ""]), json!([]), json!(["b"])]),
        ("dates", list(&logical("int32", "Date")), [json!([1, 2]), json!([]), json!([3])]),
        ("decimals", list(&decimal(2, Some(9))), [json!(["1.00"]), json!([]), json!(["-3.21", "0.00"])]),
        ("structs", list(&pair), [json!([{"x": 1, "y": "a"}, {"x": 2, "y": null}]), json!([]), json!([{"x": 3, "y": ""}])]),
        ("structs_of_one", list(&one), [json!([{"x": 1}, {"x": 2}]), json!([]), json!([{"x": 3}])]),
        ("lists", list(&ints), [json!([[1, 2], []]), json!([]), json!([[3]])]),
        ("lists_of_structs", list(&list(&one)), [json!([[{"x": 1}], []]), json!([]), json!([[{"x": 2}, {"x": 3}]])]),
        ("map_of_lists", map("string", &ints), [json!({"a": [1]}), json!({"b": []}), json!({})]),
        ("map_by_int", map("int32", &json!({"type": "string", "optional": true})), [json!([[1, "a"], [2, null]]), json!([]), json!([[3, "c"]])]),
    ]
}

/// Lists whose items may be null: they are the reason for three levels.
fn optional_items() -> Vec<Sample> {
    let int = optional(&json!({"type": "int32"}));
    vec![
        ("nullable_ints", list(&int), [json!([1, null]), json!([]), json!([null])]),
        ("nullable_lists", list(&optional(&list(&int))), [json!([[1, null], null]), json!([]), json!([[]])]),
    ]
}

/// Lists of maps, and of lists of lists: the other reasons.
fn deep_items() -> Vec<Sample> {
    let lists = list(&list(&list(&json!({"type": "int32"}))));
    vec![
        ("maps", list(&map("string", &json!({"type": "int32"}))), [json!([{"a": 1}, {}]), json!([]), json!([{"b": 2, "c": 3}])]),
        ("lists_of_lists", lists, [json!([[[1], []], []]), json!([]), json!([[[2, 3]]])]),
    ]
}

fn optional(schema: &Value) -> Value {
    let mut schema = schema.clone();
    schema["optional"] = json!(true);
    schema
}

/// The samples as columns, and their rows.
fn rows(name: &str, samples: &[Sample]) -> (FieldRef, ArrayRef, Vec<Value>) {
    let fields: Vec<Value> = samples
        .iter()
        .map(|(name, schema, _)| {
            let mut schema = schema.clone();
            schema["field"] = json!(name);
            schema
        })
        .collect();
    let schema = json!({"type": "struct", "name": format!("samples.{name}"), "fields": fields});
    let row = |n: usize| Value::Object(samples.iter().map(|(name, _, values)| ((*name).to_owned(), values[n].clone())).collect());
    let rows: Vec<Value> = (0..3).map(row).collect();
    let numbers = |value: &Value| decimals_as_numbers(&value.to_string());
    let payloads: BinaryArray = rows.iter().map(|row| Some(numbers(row).into_bytes())).collect();
    let options = [("schemas.enable", "false"), ("value.schema", &schema.to_string())].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut converter = (wire::find("json").expect("registered").build)(&options.into(), false, Want::Columns).expect("a schema");
    let mut decoded = converter.decode("samples", &payloads).expect("no defect");
    assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
    let column = decoded.spans.remove(0).1;
    (column.field, column.array, rows)
}

/// Texts that are decimals become numbers, with all their digits.
fn decimals_as_numbers(text: &str) -> String {
    let is_decimal = |part: &str| part.len() > 1 && part.bytes().all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte));
    let parts: Vec<&str> = text.split('"').collect();
    let mut out = String::new();
    for (n, part) in parts.iter().enumerate() {
        let is_text = n % 2 == 1;
        match (is_text, is_text && is_decimal(part)) {
            (true, true) => out.push_str(part),
            (true, false) => out.extend(["\"", part, "\""]),
            _ => out.push_str(part),
        }
    }
    out
}

fn main() {
    let folder = std::env::args().nth(1).expect("a folder");
    let folder = Path::new(&folder);
    fs::create_dir_all(folder).expect("a folder");
    let samples = [("flat", flat()), ("lists", lists()), ("optional_items", [lists(), optional_items()].concat()), ("deep_items", deep_items())];
    for (name, samples) in samples {
        let (field, array, rows) = rows(name, &samples);
        fs::write(folder.join(format!("{name}.json")), Value::Array(rows).to_string()).expect("written");
        for (lists, codec, version) in
            ["upstream", "three-level"].into_iter().flat_map(|lists| CODECS.into_iter().flat_map(move |codec| [(lists, codec, "1"), (lists, codec, "2")]))
        {
            let options = [("parquet.codec", codec), ("lakehead.parquet.lists", lists), ("lakehead.parquet.writer.version", version)];
            let options: Options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            let format = (file::find("parquet").expect("registered").build)(&options).expect("settings");
            let mut encoder = format.encoder(&field).expect("a type that files hold");
            encoder.write(&array).expect("rows");
            let (bytes, _) = encoder.finish(&[]).expect("a file");
            fs::write(folder.join(format!("{name}.{lists}.{codec}.v{version}.parquet")), bytes.concat()).expect("written");
        }
    }
}
