//! The samples: every Connect type in every place where a schema can have it, with the values that readers must find there.
//!
//! A sample is a record's schema and its rows, in the JSON of Connect's `JsonConverter`. Values are written once, as the reader must find them: decimals as
//! texts, dates, times and instants as numbers since the epoch, bytes as base64. [`rows`] is how most samples get to be columns, through the real
//! converter; [`registered`] is one that came from Avro, because JSON knows no numbers like NaN.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, BinaryArray};
use arrow::datatypes::{FieldRef, i256};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lakehead_formats::wire::{self, Converter, RegisteredSchema, SchemaKind, Want};
use serde_json::{Value, json};

/// A column: its name, its Connect schema, the values that its records carry, and those that its files must hold.
#[derive(Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) schema: Value,
    given: Vec<Value>,
    pub(crate) expected: Vec<Value>,
}

/// A file's worth of columns with equally many values.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<Column>,
}

/// A type by itself: its name, its schema, four values with its extremes among them, and a default as its schema's JSON has it.
type Kind = (&'static str, Value, [Value; 4], Value);

fn named(of: &str, name: &str) -> Value {
    json!({"type": of, "name": format!("org.apache.kafka.connect.data.{name}")})
}

fn decimal(scale: u8, precision: Option<u8>) -> Value {
    let mut schema = named("bytes", "Decimal");
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

fn structure(fields: &[(&str, &Value)]) -> Value {
    let field = |(name, schema): &(&str, &Value)| with(schema, "field", json!(name));
    json!({"type": "struct", "fields": fields.iter().map(field).collect::<Vec<_>>()})
}

fn with(schema: &Value, member: &str, value: Value) -> Value {
    let mut schema = schema.clone();
    schema[member] = value;
    schema
}

fn optional(schema: &Value) -> Value {
    with(schema, "optional", json!(true))
}

/// Every type and logical type of Connect.
fn kinds() -> Vec<Kind> {
    let symbols = json!({"io.confluent.connect.avro.Enum": "s.E", "io.confluent.connect.avro.Enum.A": "A", "io.confluent.connect.avro.Enum.B": "B"});
    let plain = |name: &str| json!({ "type": name });
    let largest = "9".repeat(36);
    vec![
        ("boolean", plain("boolean"), [json!(true), json!(false), json!(true), json!(false)], json!(true)),
        ("int8", plain("int8"), [json!(i8::MIN), json!(i8::MAX), json!(0), json!(-1)], json!(7)),
        ("int16", plain("int16"), [json!(i16::MIN), json!(i16::MAX), json!(0), json!(-1)], json!(7)),
        ("int32", plain("int32"), [json!(i32::MIN), json!(i32::MAX), json!(0), json!(-1)], json!(7)),
        ("int64", plain("int64"), [json!(i64::MIN), json!(i64::MAX), json!(0), json!(-1)], json!(7)),
        ("float32", plain("float"), [json!(1.5), json!(f64::from(f32::MAX)), json!(f64::from(f32::MIN_POSITIVE)), json!(-0.0)], json!(0.25)),
        ("float64", plain("double"), [json!(0.1), json!(f64::MIN), json!(5e-324), json!(-0.0)], json!(0.25)),
        ("string", plain("string"), [json!(""), json!("\u{1f600} ä 日本"), json!("\"q\"\\\t\n\r"), json!("\u{7f}\u{2028}\u{feff}")], json!("d")),
        ("bytes", plain("bytes"), [json!(""), json!("/wA="), json!("gH8AIiI="), json!("AQID")], json!("/wA=")),
        ("enum", with(&plain("string"), "parameters", symbols), [json!("A"), json!("B"), json!("B"), json!("A")], json!("B")),
        ("decimal", decimal(2, None), [json!("12.34"), json!("-0.01"), json!(format!("{largest}.99")), json!(format!("-{largest}.99"))], json!("AZA=")),
        ("decimal9", decimal(2, Some(9)), [json!("1234567.89"), json!("-9999999.99"), json!("0.00"), json!("1.28")], json!("AZA=")),
        ("decimal18", decimal(0, Some(18)), [json!("999999999999999999"), json!("-1"), json!("10"), json!("-999999999999999999")], json!("AZA=")),
        ("decimal50", decimal(2, Some(50)), [json!("-1.00"), json!("1.00"), json!(format!("{largest}1234.90")), json!("0.00")], json!("AZA=")),
        ("date", named("int32", "Date"), [json!(-1), json!(0), json!(20_000), json!(-719_162)], json!(1)),
        ("time", named("int32", "Time"), [json!(0), json!(1), json!(86_399_999), json!(43_200_000)], json!(1)),
        ("timestamp", named("int64", "Timestamp"), [json!(-1), json!(0), json!(1_760_000_000_123_i64), json!(-62_135_596_800_000_i64)], json!(1)),
    ]
}

/// What a default of [`kinds`] is as a value.
fn default_value(schema: &Value, default: &Value) -> Value {
    match schema["parameters"]["scale"].as_str() {
        Some("2") => json!("4.00"),
        Some(_) => json!("400"),
        None => default.clone(),
    }
}

/// Every type in one place of a schema; the values are those that `of` makes of the type's.
fn each(name: &'static str, of: impl Fn(&Kind) -> (Value, Vec<Value>, Vec<Value>)) -> Sample {
    let column = |kind: &Kind| {
        let (schema, given, expected) = of(kind);
        Column { name: kind.0.to_owned(), schema, given, expected }
    };
    Sample { name, columns: kinds().iter().map(column).collect() }
}

/// The same, where values are given as they are expected.
fn each_as_given(name: &'static str, of: impl Fn(&Value, &[Value; 4]) -> (Value, Vec<Value>)) -> Sample {
    each(name, |(_, schema, values, _)| {
        let (schema, values) = of(schema, values);
        (schema, values.clone(), values)
    })
}

fn columns<const N: usize>(columns: Vec<(&str, Value, [Value; N])>) -> Vec<Column> {
    let column =
        |(name, schema, values): (&str, Value, [Value; N])| Column { name: name.to_owned(), schema, given: values.to_vec(), expected: values.to_vec() };
    columns.into_iter().map(column).collect()
}

/// Types of types, without lists of which an item may be null.
fn nested() -> Sample {
    let pair = structure(&[("x", &json!({"type": "int32"})), ("y", &json!({"type": "string", "optional": true}))]);
    let one = structure(&[("x", &json!({"type": "int32"}))]);
    let union = with(
        &structure(&[("int", &json!({"type": "int32", "optional": true})), ("string", &json!({"type": "string", "optional": true}))]),
        "name",
        json!("io.confluent.connect.avro.Union"),
    );
    let ints = list(&json!({"type": "int32"}));
    let deep = structure(&[("a", &optional(&structure(&[("b", &ints), ("c", &optional(&pair))])))]);
    Sample {
        name: "nested",
        columns: columns(vec![
            ("struct", pair.clone(), [json!({"x": 1, "y": "a"}), json!({"x": 2, "y": null}), json!({"x": 3, "y": ""})]),
            ("optional_struct", optional(&pair), [json!({"x": 1, "y": "a"}), json!(null), json!({"x": 3, "y": null})]),
            ("deep_struct", deep, [json!({"a": {"b": [1, 2], "c": {"x": 1, "y": null}}}), json!({"a": null}), json!({"a": {"b": [], "c": null}})]),
            ("union", optional(&union), [json!({"int": 1, "string": null}), json!({"int": null, "string": "s"}), json!(null)]),
            ("optional_list", optional(&ints), [json!(null), json!([]), json!([3])]),
            ("structs", list(&pair), [json!([{"x": 1, "y": "a"}, {"x": 2, "y": null}]), json!([]), json!([{"x": 3, "y": ""}])]),
            ("structs_of_one", list(&one), [json!([{"x": 1}, {"x": 2}]), json!([]), json!([{"x": 3}])]),
            ("lists", list(&ints), [json!([[1, 2], []]), json!([]), json!([[3]])]),
            ("lists_of_structs", list(&list(&one)), [json!([[{"x": 1}], []]), json!([]), json!([[{"x": 2}, {"x": 3}]])]),
            ("optional_map", optional(&map("string", &json!({"type": "int32"}))), [json!(null), json!({}), json!({"": 1, "ä": 2})]),
            ("map_of_structs", map("string", &pair), [json!({"a": {"x": 1, "y": null}}), json!({}), json!({"b": {"x": 2, "y": "c"}})]),
            ("map_of_lists", map("string", &ints), [json!({"a": [1]}), json!({"b": []}), json!({})]),
            ("map_by_int64", map("int64", &json!({"type": "string", "optional": true})), [json!([[1, "a"], [2, null]]), json!([]), json!([[i64::MIN, "c"]])]),
            ("map_by_boolean", map("boolean", &one), [json!([[true, {"x": 1}]]), json!([]), json!([[true, {"x": 1}], [false, {"x": 2}]])]),
        ]),
    }
}

/// Lists of what may be null, of maps, and of lists of lists: the reasons for three levels.
fn three_levels() -> Sample {
    let int = json!({"type": "int32"});
    let nullable = list(&optional(&int));
    let pair = structure(&[("x", &int), ("y", &json!({"type": "string", "optional": true}))]);
    Sample {
        name: "three_levels",
        columns: columns(vec![
            ("nullable_lists", list(&optional(&nullable)), [json!([[1, null], null]), json!([]), json!([[]])]),
            ("nullable_structs", list(&optional(&pair)), [json!([{"x": 1, "y": null}, null]), json!([]), json!([null])]),
            ("maps", list(&map("string", &int)), [json!([{"a": 1}, {}]), json!([]), json!([{"b": 2, "c": 3}])]),
            ("lists_of_lists", list(&list(&list(&int))), [json!([[[1], []], []]), json!([]), json!([[[2, 3]]])]),
        ]),
    }
}

/// Days and instants beyond the years that Python's own types have.
fn far() -> Sample {
    Sample {
        name: "far",
        columns: columns(vec![
            ("date", named("int32", "Date"), [json!(2_932_897), json!(-719_529), json!(-1_000_000)]),
            ("timestamp", named("int64", "Timestamp"), [json!(253_402_300_800_000_i64), json!(-62_167_305_600_000_i64), json!(-86_400_000_000_001_i64)]),
        ]),
    }
}

/// Rows enough for several row groups and blocks: each type with few values, which have dictionaries, and some with values that never come back, which are
/// packed as differences or plain.
fn many() -> Sample {
    const ROWS: i64 = 2_000;
    let column = |name: &str, schema: Value, value: &dyn Fn(i64) -> Value| {
        let values: Vec<Value> = (0..ROWS).map(value).collect();
        Column { name: name.to_owned(), schema, given: values.clone(), expected: values }
    };
    let few = kinds().into_iter().map(|(name, schema, values, _)| {
        column(name, optional(&schema), &|row| usize::try_from(row % 5).ok().and_then(|n| values.get(n)).cloned().unwrap_or_default())
    });
    // Numbers in no order, none of them twice.
    let scattered = |row: i64| row * 7_919 % ROWS;
    let own = [
        column("counted_int32", json!({"type": "int32"}), &|row| json!(row)),
        column("counted_int64", json!({"type": "int64"}), &|row| json!(i64::MAX - row)),
        column("scattered_int64", json!({"type": "int64"}), &|row| json!(scattered(row) << 40)),
        column("scattered_string", json!({"type": "string"}), &|row| json!(format!("order {} ä", scattered(row)))),
        column("scattered_float64", json!({"type": "double"}), &|row| json!(0.25 * f64::from(i32::try_from(scattered(row)).unwrap_or_default()))),
        column("scattered_decimal", decimal(2, Some(20)), &|row| json!(format!("-{}.{:02}", 1 + scattered(row), row % 100))),
        column("counted_timestamp", named("int64", "Timestamp"), &|row| json!(1_760_000_000_000_i64 + row)),
        column("counted_date", named("int32", "Date"), &|row| json!(row)),
        column("counted_list", list(&json!({"type": "int32"})), &|row| (0..row % 4).map(|item| row + item).collect()),
    ];
    Sample { name: "many", columns: few.chain(own).collect() }
}

/// Every sample that comes from JSON.
pub(crate) fn samples() -> Vec<Sample> {
    vec![
        each_as_given("required", |schema, values| (schema.clone(), values.to_vec())),
        each_as_given("optional", |schema, [a, b, ..]| (optional(schema), vec![a.clone(), json!(null), b.clone(), json!(null)])),
        each("default", |(_, schema, [a, ..], default)| {
            let value = default_value(schema, default);
            (with(schema, "default", default.clone()), vec![a.clone(), json!(null), value.clone()], vec![a.clone(), value.clone(), value])
        }),
        each("optional_default", |(_, schema, [a, ..], default)| {
            let value = default_value(schema, default);
            (optional(&with(schema, "default", default.clone())), vec![json!(null), a.clone()], vec![value, a.clone()])
        }),
        each_as_given("in_struct", |schema, [a, b, ..]| {
            let pair = structure(&[("a", schema), ("b", &optional(schema))]);
            (pair, vec![json!({"a": a, "b": b}), json!({"a": b, "b": null})])
        }),
        each_as_given("in_list", |schema, [a, b, c, d]| (list(schema), vec![json!([a, b, c, d]), json!([]), json!([d])])),
        each_as_given("in_nullable_list", |schema, [a, b, ..]| (list(&optional(schema)), vec![json!([a, null, b]), json!([]), json!([null])])),
        each_as_given("in_map", |schema, [a, b, ..]| (map("string", &optional(schema)), vec![json!({"k": a, "ä": b}), json!({}), json!({"n": null})])),
        each_as_given("in_map_by_int", |schema, [a, b, ..]| (map("int32", schema), vec![json!([[1, a], [-1, b]]), json!([]), json!([[0, a]])])),
        nested(),
        three_levels(),
        far(),
        many(),
    ]
}

/// The sample's rows as columns, through the JSON converter.
pub(crate) fn rows(sample: &Sample) -> (FieldRef, ArrayRef) {
    let fields: Vec<(&str, &Value)> = sample.columns.iter().map(|column| (column.name.as_str(), &column.schema)).collect();
    let schema = with(&structure(&fields), "name", json!(format!("samples.{}", sample.name)));
    let row = |n: usize| Value::Object(sample.columns.iter().map(|column| (column.name.clone(), payload(&column.schema, &column.given[n]))).collect());
    let payloads: Vec<String> = (0..sample.columns[0].given.len()).map(|n| row(n).to_string()).collect();
    let options = [("schemas.enable", "false"), ("value.schema", &schema.to_string())].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let converter = (wire::find("json").expect("registered").build)(&options.into(), false, Want::Columns).expect("a schema");
    decode(converter, &payloads.iter().map(|payload| Some(payload.as_bytes())).collect())
}

fn decode(mut converter: Box<dyn Converter>, payloads: &BinaryArray) -> (FieldRef, ArrayRef) {
    let mut decoded = converter.decode("samples", payloads).expect("no defect");
    assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
    let column = decoded.spans.remove(0).1;
    (column.field, column.array)
}

/// A value as a record's JSON has it: decimals are the bytes of their unscaled numbers.
fn payload(schema: &Value, value: &Value) -> Value {
    match (value, schema["type"].as_str()) {
        (Value::String(text), Some("bytes")) if schema["parameters"]["scale"].is_string() => json!(BASE64_STANDARD.encode(unscaled(text))),
        (Value::Array(items), Some("array")) => items.iter().map(|item| payload(&schema["items"], item)).collect(),
        (Value::Object(entries), Some("map")) => entries.iter().map(|(key, value)| (key.clone(), payload(&schema["values"], value))).collect(),
        (Value::Array(entries), Some("map")) => entries.iter().map(|entry| json!([entry[0], payload(&schema["values"], &entry[1])])).collect(),
        (Value::Object(members), Some("struct")) => {
            let fields = schema["fields"].as_array().expect("fields");
            let of = |name: &str| fields.iter().find(|field| field["field"] == name).expect("a field");
            members.iter().map(|(name, value)| (name.clone(), payload(of(name), value))).collect()
        }
        _ => value.clone(),
    }
}

/// The digits as one number's bytes, big endian, as few as hold it.
fn unscaled(text: &str) -> Vec<u8> {
    let bytes = i256::from_string(&text.replace('.', "")).expect("digits").to_be_bytes();
    let sign = if text.starts_with('-') { 0xff } else { 0 };
    let spare = bytes.windows(2).take_while(|pair| pair[0] == sign && (pair[0] ^ pair[1]) & 0x80 == 0).count();
    bytes[spare..].to_vec()
}

const UUID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

/// Numbers that JSON does not know, and types that only Avro has: `(sample, field, array)`, through the Avro converter.
pub(crate) fn registered() -> (Sample, FieldRef, ArrayRef) {
    let floats = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0];
    let text = |value: f64| {
        if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
    };
    let number = |value: f64| if value.is_finite() { json!(value) } else { json!(text(value)) };
    let schema = json!({"type": "record", "name": "samples.registered", "fields": [
        {"name": "float32", "type": "float"},
        {"name": "float64", "type": "double"},
        {"name": "floats", "type": {"type": "array", "items": "double"}},
        {"name": "fixed", "type": {"type": "fixed", "name": "F", "size": 3}},
        {"name": "uuid", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "alias", "type": "int", "aliases": ["other"], "default": 3},
        {"name": "union", "type": ["null", "string", "int"]},
    ]});
    let row = |n: usize| {
        let mut row = vec![0, 0, 0, 0, 1]; // the wire format's magic byte, and the schema's id
        #[expect(clippy::cast_possible_truncation, reason = "none of these has digits to lose")]
        row.extend((floats[n] as f32).to_le_bytes());
        row.extend(floats[n].to_le_bytes());
        row.push(2); // one item
        row.extend(floats[n].to_le_bytes());
        row.push(0); // no more items
        row.extend([0xff, 0x00, 0x7f]);
        row.push(72); // 36, zigzag
        row.extend(UUID.as_bytes());
        row.push(1); // -1, zigzag
        row.extend([&[0_u8][..], &[2, 2, b's'], &[4, 3], &[2, 0]][n]);
        row
    };
    let rows: Vec<Vec<u8>> = (0..4).map(row).collect();
    let mut converter = (wire::find("avro").expect("registered").build)(&BTreeMap::new(), false, Want::Columns).expect("no settings");
    converter.learn(1, Ok(&RegisteredSchema::new(SchemaKind::Avro, schema.to_string()))).expect("a schema");
    let (field, array) = decode(converter, &rows.iter().map(|row| Some(row.as_slice())).collect());
    let union =
        with(&structure(&[("string", &json!({"type": "string"})), ("int", &json!({"type": "int32"}))]), "name", json!("io.confluent.connect.avro.Union"));
    let columns = columns(vec![
        ("float32", json!({"type": "float"}), floats.map(number)),
        ("float64", json!({"type": "double"}), floats.map(number)),
        ("floats", list(&json!({"type": "double"})), floats.map(|value| json!([number(value)]))),
        ("fixed", json!({"type": "bytes"}), [(); 4].map(|()| json!("/wB/"))),
        ("uuid", json!({"type": "string"}), [(); 4].map(|()| json!(UUID))),
        ("alias", json!({"type": "int32"}), [(); 4].map(|()| json!(-1))),
        ("union", union, [json!(null), json!({"string": "s", "int": null}), json!({"string": null, "int": -2}), json!({"string": "", "int": null})]),
    ]);
    (Sample { name: "registered", columns }, field, array)
}
