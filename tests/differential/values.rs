//! Random schemas, values under them, and values without one, in the form of the conformance vectors: `{"int32": 5}`.
//!
//! Names come from a short list, so that settings often hit a field; numbers, texts and instants are often those at which something changes.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use lakehead_formats::schema::{DATE, DECIMAL, TIME, TIMESTAMP};
use lakehead_formats::value::decimal::BigDecimal;
use serde_json::{Map, Value, json};

/// Names of fields, keys and headers.
pub(crate) const NAMES: [&str; 16] = ["id", "name", "a", "b", "c", "amount", "ts", "nested", "list", "größe", "a.b", "x y", "Id", "q`r", "", "日本"];

/// Patterns of `SimpleDateFormat` with texts that are, or nearly are, of that form.
pub(crate) const DATES: [(&str, &[&str]); 16] = [
    ("yyyy-MM-dd", &["2024-02-29", "1970-01-01", "2023-02-30", "9999-12-31", "2024-2-9", "0001-01-01", "2024-02-29x", "-5-01-01"]),
    ("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", &["2024-02-29T12:34:56.789Z", "1969-12-31T23:59:59.999Z", "2024-02-29T12:34:56.7Z", "2024-02-29T25:61:61.1000Z"]),
    ("yyyy-MM-dd HH:mm:ss", &["2024-02-29 12:34:56", "1582-10-10 00:00:00", "2024-02-29  12:34:56", " 2024-02-29 12:34:56"]),
    ("yyyyMMdd", &["20240229", "19700101", "2024022", "202402299", "20241301"]),
    ("dd/MM/yy", &["29/02/24", "1/1/70", "31/12/99", "1/1/1", "1/1/2024"]),
    ("EEE, d MMM yyyy HH:mm:ss", &["Thu, 29 Feb 2024 12:34:56", "thu, 29 FEB 2024 12:34:56", "Thursday, 29 February 2024 1:2:3", "Fri, 29 Feb 2024 12:34:56"]),
    ("yyyy-MM-dd'T'HH:mm:ssXXX", &["2024-02-29T12:34:56+02:00", "2024-02-29T12:34:56Z", "2024-02-29T12:34:56-11:30", "2024-02-29T12:34:56+2"]),
    ("yyyy-MM-dd HH:mm:ss Z", &["2024-02-29 12:34:56 +0200", "2024-02-29 12:34:56 GMT", "2024-02-29 12:34:56 PST"]),
    ("hh:mm a", &["12:34 PM", "01:05 am", "00:00 AM", "13:00 PM"]),
    ("yyyy.DDD", &["2024.060", "2023.366", "2024.1"]),
    ("G yyyy", &["AD 2024", "BC 44", "ad 1"]),
    ("HH:mm:ss.SSSSSS", &["12:34:56.789123", "00:00:00.000001"]),
    ("kk 'o''clock' K", &["24 o'clock 0", "1 o'clock 11"]),
    ("MMMM d, yyyy", &["February 29, 2024", "Feb 29, 2024", "february 29, 2024"]),
    ("yyyy-'W'ww-u", &["2024-W09-4", "2020-W53-7"]),
    ("S", &["0", "1709210096789", "-1", "99999999999999999999"]),
];

const TEXTS: [&str; 24] = [
    "",
    "x",
    "true",
    "TRUE",
    "false",
    "1",
    "-1",
    "+7",
    "127",
    "128",
    "300",
    "2147483648",
    "9223372036854775808",
    "1.5",
    "1e3",
    " 1",
    "NaN",
    "Infinity",
    "0x10",
    "日本語",
    "😀",
    "a\"b\\c\n\t",
    "\u{0}",
    "null",
];

/// True in so many of a hundred cases.
pub(crate) fn chance(rng: &mut Rng, percent: u32) -> bool {
    rng.u32(0..100) < percent
}

pub(crate) fn one<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.usize(0..of.len())]
}

pub(crate) fn name(rng: &mut Rng) -> &'static str {
    // The strange ones at the end are rare.
    if chance(rng, 85) { NAMES[rng.usize(0..9)] } else { one::<&str>(rng, &NAMES) }
}

fn tagged(tag: &str, value: impl Into<Value>) -> Value {
    Value::Object(Map::from_iter([(tag.to_owned(), value.into())]))
}

/// A text: often one that is a date, or a number, or neither but nearly.
pub(crate) fn text(rng: &mut Rng) -> String {
    match rng.u32(0..10) {
        0..=2 => {
            let (_, texts) = one(rng, &DATES);
            (*one(rng, texts)).to_owned()
        }
        3..=6 => (*one(rng, &TEXTS)).to_owned(),
        7 => number(rng, i64::MIN..i64::MAX).to_string(),
        8 => format!("{:?}", double(rng)),
        _ => (0..rng.usize(0..12)).map(|_| rng.char(..)).collect(),
    }
}

fn number(rng: &mut Rng, range: Range<i64>) -> i64 {
    let small = [0, 1, -1, 7, 100, -100];
    match rng.u32(0..6) {
        0 => range.start,
        1 => range.end,
        2 | 3 => *one(rng, &small),
        _ => rng.i64(range),
    }
}

fn double(rng: &mut Rng) -> f64 {
    const EDGES: [f64; 20] = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1,
        1e7,
        1e-3,
        9.999e-4,
        1e10,
        1.0e21,
        1e22,
        -1e300,
        4.9e-324,
        f64::MAX,
        f64::MIN_POSITIVE,
        2147483648.5,
        9.3e18,
        -9.3e18,
        127.9,
        2e-3,
    ];
    match rng.u32(0..4) {
        0 => rng.f64() * 1000.0,
        1 => f64::from_bits(rng.u64(..)),
        _ => *one(rng, &EDGES),
    }
}

fn float(rng: &mut Rng) -> f32 {
    const EDGES: [f32; 12] = [0.0, -0.0, 1.0, 1.1, 0.1, 1e7, 1e10, 3.4e38, 1e-45, 16777217.0, -2.5, f32::MIN_POSITIVE];
    if chance(rng, 30) { f32::from_bits(rng.u32(..)) } else { *one(rng, &EDGES) }
}

fn of_double(tag: &str, value: f64) -> Value {
    match value {
        _ if value.is_nan() => tagged(tag, "NaN"),
        _ if value.is_infinite() => tagged(tag, if value > 0.0 { "Infinity" } else { "-Infinity" }),
        _ => tagged(tag, value),
    }
}

fn of_float(value: f32) -> Value {
    of_double("float32", if value.is_finite() { value.to_string().parse().unwrap_or_default() } else { value.into() })
}

pub(crate) fn instant(rng: &mut Rng) -> i64 {
    const EDGES: [i64; 12] = [
        0,
        -1,
        1,
        86_400_000,
        -86_400_000,
        1_709_210_096_789,
        1_709_210_096_000,
        253_402_300_799_999,
        -62_135_596_800_000,
        -12_219_292_800_000,
        4_102_444_800_000,
        951_782_400_000,
    ];
    if chance(rng, 70) { *one(rng, &EDGES) } else { rng.i64(-100_000_000_000_000..100_000_000_000_000) }
}

fn bytes(rng: &mut Rng) -> String {
    let bytes: Vec<u8> = (0..rng.usize(0..6)).map(|_| rng.u8(..)).collect();
    STANDARD.encode(bytes)
}

/// An unscaled number; most have few digits.
fn unscaled(rng: &mut Rng) -> i128 {
    match rng.u32(0..5) {
        0 => 0,
        1 => rng.i128(-999_999_999_999_999_999_999_999_999_999..999_999_999_999_999_999_999_999_999_999),
        2 => i128::from(rng.i64(..)),
        _ => i128::from(rng.i16(..)),
    }
}

fn decimal(unscaled: i128, scale: i32) -> Value {
    tagged("decimal", BigDecimal::new(&unscaled.to_string(), scale).to_string())
}

/// How schemas are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// How deep it may be.
    pub(crate) depth: u32,
    /// Whether keys of maps may be other than strings.
    pub(crate) any_keys: bool,
}

/// A schema; `depth` says how many levels may be below.
pub(crate) fn schema(rng: &mut Rng, style: Style) -> Value {
    let nests = style.depth > 0;
    let kind = rng.u32(0..if nests { 19 } else { 13 });
    let mut made = match kind {
        0 => json!({"type": "boolean"}),
        1 => json!({"type": "int8"}),
        2 => json!({"type": "int16"}),
        3 => json!({"type": "int32"}),
        4 => json!({"type": "int64"}),
        5 => json!({"type": "float"}),
        6 => json!({"type": "double"}),
        7 | 8 => json!({"type": "string"}),
        9 => json!({"type": "bytes"}),
        10 => json!({"type": "bytes", "name": DECIMAL, "version": 1, "parameters": {"scale": one(rng, &[0, 2, 5, -3, 10]).to_string()}}),
        11 => json!({"type": "int32", "name": if rng.bool() { DATE } else { TIME }, "version": 1}),
        12 => json!({"type": "int64", "name": TIMESTAMP, "version": 1}),
        13 | 14 => {
            let items = schema(rng, style.below());
            json!({"type": "array", "items": items})
        }
        15 => {
            let keys = if style.any_keys && chance(rng, 30) {
                json!({"type": "int32", "optional": false})
            } else {
                json!({"type": "string", "optional": chance(rng, 10)})
            };
            let values = schema(rng, style.below());
            json!({"type": "map", "keys": keys, "values": values})
        }
        _ => return structure(rng, style.below()),
    };
    dress(rng, &mut made);
    made
}

impl Style {
    fn below(self) -> Self {
        Self { depth: self.depth.saturating_sub(1), ..self }
    }
}

/// The schema of a struct.
pub(crate) fn structure(rng: &mut Rng, style: Style) -> Value {
    let (mut fields, mut names): (Vec<Value>, Vec<&str>) = (Vec::new(), Vec::new());
    for _ in 0..rng.usize(0..6) {
        let name = name(rng);
        if !names.contains(&name) && !name.is_empty() {
            names.push(name);
            let mut field = schema(rng, style);
            field["field"] = name.into();
            fields.push(field);
        }
    }
    let mut made = json!({"type": "struct", "fields": fields});
    dress(rng, &mut made);
    made
}

/// Optional or not, a name, a version, a doc, a parameter, a default.
fn dress(rng: &mut Rng, made: &mut Value) {
    made["optional"] = rng.bool().into();
    if made.get("name").is_none() {
        if chance(rng, 12) {
            made["name"] = (*one(rng, &["order", "com.example.Order", "Größe \"x\""])).into();
        }
        if chance(rng, 8) {
            made["version"] = rng.i32(0..4).into();
        }
        if chance(rng, 8) {
            made["parameters"] = json!({*one(rng, &["p", "a b"]): *one(rng, &["", "1", "é"])});
        }
    }
    if chance(rng, 8) {
        made["doc"] = (*one(rng, &["what it is", "", "\"é\""])).into();
    }
    // Java's converter reads no schema of a struct with a default.
    if chance(rng, 12) && made["type"] != "struct" {
        let default = value_of(rng, made);
        // Neither Java nor we keep a default that is no JSON; and Java writes the nulls in one as what they default to.
        if !default.is_null() && !default.to_string().contains("null") && !default.to_string().contains("NaN") && !default.to_string().contains("Infinity") {
            made["default"] = plain(made, &default);
        }
    }
}

/// A value under a schema; null now and then where it may be.
pub(crate) fn value(rng: &mut Rng, schema: &Value) -> Value {
    if schema["optional"] == true && chance(rng, 20) { Value::Null } else { value_of(rng, schema) }
}

fn value_of(rng: &mut Rng, schema: &Value) -> Value {
    let name = schema["name"].as_str().unwrap_or_default();
    match (schema["type"].as_str().unwrap_or_default(), name) {
        ("boolean", _) => tagged("boolean", rng.bool()),
        ("int8", _) => tagged("int8", number(rng, i64::from(i8::MIN)..i64::from(i8::MAX))),
        ("int16", _) => tagged("int16", number(rng, i64::from(i16::MIN)..i64::from(i16::MAX))),
        ("int32", DATE) => tagged("date", instant(rng).div_euclid(86_400_000) * 86_400_000),
        ("int32", TIME) => tagged("date", instant(rng).rem_euclid(86_400_000)),
        ("int32", _) => tagged("int32", number(rng, i64::from(i32::MIN)..i64::from(i32::MAX))),
        ("int64", TIMESTAMP) => tagged("date", instant(rng)),
        ("int64", _) => tagged("int64", if rng.bool() { instant(rng) } else { number(rng, i64::MIN..i64::MAX) }),
        ("float", _) => of_float(float(rng)),
        ("double", _) => of_double("float64", double(rng)),
        ("string", _) => tagged("string", text(rng)),
        ("bytes", DECIMAL) => decimal(unscaled(rng), scale(schema)),
        ("bytes", _) => tagged("bytes", bytes(rng)),
        ("array", _) => tagged("array", (0..rng.usize(0..4)).map(|_| value(rng, &schema["items"])).collect::<Vec<_>>()),
        ("map", _) => {
            let mut pairs: Vec<Value> = Vec::new();
            for _ in 0..rng.usize(0..4) {
                let key = if schema["keys"]["type"] == "string" { tagged("string", self::name(rng)) } else { tagged("int32", rng.i32(-3..3)) };
                if pairs.iter().all(|pair| pair[0] != key) {
                    pairs.push(json!([key, value(rng, &schema["values"])]));
                }
            }
            tagged("map", pairs)
        }
        _ => {
            let fields = schema["fields"].as_array().cloned().unwrap_or_default();
            tagged("struct", fields.iter().map(|field| (field["field"].as_str().unwrap_or_default().to_owned(), value(rng, field))).collect::<Map<_, _>>())
        }
    }
}

fn scale(schema: &Value) -> i32 {
    schema["parameters"]["scale"].as_str().and_then(|scale| scale.parse().ok()).unwrap_or(0)
}

/// A value without a schema. `json`: only of the classes that `JsonConverter` reads.
pub(crate) fn free(rng: &mut Rng, depth: u32, json: bool) -> Value {
    let others = if json { 0 } else { 9 };
    match rng.u32(0..13 + others) {
        0 => Value::Null,
        1 | 2 => tagged("boolean", rng.bool()),
        3 | 4 => tagged("int64", if rng.bool() { instant(rng) } else { number(rng, i64::MIN..i64::MAX) }),
        5 | 6 => {
            let value = double(rng);
            of_double("float64", if json && !value.is_finite() { 0.5 } else { value })
        }
        7 | 8 => tagged("string", text(rng)),
        9 if depth > 0 => tagged("array", (0..rng.usize(0..4)).map(|_| free(rng, depth - 1, json)).collect::<Vec<_>>()),
        10..=12 if depth > 0 => map(rng, depth - 1, json),
        13 => tagged("int8", number(rng, -128..127)),
        14 => tagged("int16", number(rng, -32768..32767)),
        15 | 16 => tagged("int32", number(rng, i64::from(i32::MIN)..i64::from(i32::MAX))),
        17 => of_float(float(rng)),
        18 => tagged("bytes", bytes(rng)),
        19 => tagged("date", instant(rng)),
        20 => {
            let scale = rng.i32(-3..6);
            decimal(unscaled(rng), scale)
        }
        21 => tagged("bigint", unscaled(rng).to_string()),
        _ => tagged("string", text(rng)),
    }
}

/// A map without a schema.
pub(crate) fn map(rng: &mut Rng, depth: u32, json: bool) -> Value {
    let mut pairs: Vec<Value> = Vec::new();
    for _ in 0..rng.usize(0..6) {
        let key = tagged("string", name(rng));
        if pairs.iter().all(|pair| pair[0] != key) {
            pairs.push(json!([key, free(rng, depth, json)]));
        }
    }
    tagged("map", pairs)
}

/// The value as `JsonConverter` writes it in a payload or a default.
pub(crate) fn plain(schema: &Value, value: &Value) -> Value {
    let Some((tag, inner)) = value.as_object().and_then(|members| members.iter().next()) else { return Value::Null };
    let name = schema["name"].as_str().unwrap_or_default();
    match tag.as_str() {
        "date" => {
            let ms = inner.as_i64().unwrap_or_default();
            json!(if name == DATE { ms.div_euclid(86_400_000) } else { ms })
        }
        "decimal" => {
            let scale = i8::try_from(scale(schema)).unwrap_or_default();
            let digits = inner.as_str().and_then(|text| BigDecimal::parse(text)?.rescaled(scale)?.parse::<i128>().ok());
            json!(STANDARD.encode(shortest(digits.unwrap_or_default())))
        }
        "array" => inner.as_array().into_iter().flatten().map(|item| plain(&schema["items"], item)).collect(),
        "map" => {
            let pairs = inner.as_array().into_iter().flatten();
            if schema.is_null() || schema["keys"]["type"] == "string" {
                let text = |pair: &Value| pair[0]["string"].as_str().unwrap_or_default().to_owned();
                Value::Object(pairs.map(|pair| (text(pair), plain(&schema["values"], &pair[1]))).collect())
            } else {
                pairs.map(|pair| json!([plain(&schema["keys"], &pair[0]), plain(&schema["values"], &pair[1])])).collect()
            }
        }
        "struct" => {
            let fields = schema["fields"].as_array().into_iter().flatten();
            let member = |field: &Value| {
                let name = field["field"].as_str().unwrap_or_default();
                (name.to_owned(), plain(field, &inner[name]))
            };
            Value::Object(fields.map(member).collect())
        }
        _ => inner.clone(),
    }
}

/// As `BigInteger.toByteArray`.
fn shortest(value: i128) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let sign = if value < 0 { 0xff } else { 0 };
    let fits = |from: usize| bytes.get(from).is_some_and(|first| (*first >= 0x80) == (value < 0));
    let from = (0..16).take_while(|at| bytes[*at] == sign && fits(at + 1)).count();
    bytes[from..].to_vec()
}
