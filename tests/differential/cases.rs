//! Random cases: records with the transforms that they go through, and payloads and values for converters.
//!
//! A case is the JSON that `Driver.java` is given; what only we are told is in it too (`way`, `text`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::settings::{Shape, literal, predicate, transform};
use super::values::{Style, chance, free, instant, map, one, plain, schema, structure, text, value};

const TOPICS: [&str; 8] = ["orders", "orders-eu", "prod.orders", "index-20160117", "ORDERS.a", "x", "ooo", "orders_v1"];
const CONVERTERS: [&str; 9] = [
    "json.JsonConverter",
    "storage.StringConverter",
    "converters.ByteArrayConverter",
    "converters.BooleanConverter",
    "converters.ShortConverter",
    "converters.IntegerConverter",
    "converters.LongConverter",
    "converters.FloatConverter",
    "converters.DoubleConverter",
];

/// One case.
pub(crate) fn case(rng: &mut Rng) -> Value {
    match rng.u32(0..20) {
        0..=12 => chain(rng),
        13..=15 => to_connect(rng),
        16..=17 => from_connect(rng),
        18 => headers_read(rng),
        _ => headers_written(rng),
    }
}

/// One side of the records of a case: a schema, or none, and a value for each.
struct Side {
    schema: Value,
    values: Vec<Value>,
}

impl Side {
    fn random(rng: &mut Rng, records: usize, json: bool, often_null: bool) -> Self {
        if often_null && chance(rng, 40) {
            return Self { schema: Value::Null, values: vec![Value::Null; records] };
        }
        if rng.bool() {
            return Self::schemaless(rng, records, json);
        }
        let style = Style { depth: rng.u32(0..4), any_keys: true };
        let schema = if chance(rng, 85) { structure(rng, style) } else { schema(rng, style) };
        let tombstones = if chance(rng, 20) { 25 } else { 0 };
        let values = (0..records).map(|_| if chance(rng, tombstones) { Value::Null } else { value(rng, &schema) }).collect();
        Self { schema, values }
    }

    fn schemaless(rng: &mut Rng, records: usize, json: bool) -> Self {
        let depth = rng.u32(0..4);
        // Records of one topic are much alike.
        let first = if chance(rng, 85) { map(rng, depth, json) } else { free(rng, depth, json) };
        let next = |rng: &mut Rng| match rng.u32(0..4) {
            0 => first.clone(),
            1 if chance(rng, 30) => Value::Null,
            2 if chance(rng, 20) => free(rng, depth, json),
            _ => map(rng, depth, json),
        };
        let mut values = vec![first.clone()];
        while values.len() < records {
            values.push(next(rng));
        }
        Self { schema: Value::Null, values }
    }

    fn shape(&self) -> Shape {
        Shape::of(&self.schema, self.values.first().unwrap_or(&Value::Null))
    }

    /// The schema of one of the values: a tombstone has none.
    fn schema_of(&self, at: usize) -> Value {
        let is_required = self.schema["optional"] != true;
        if self.values[at].is_null() && is_required { Value::Null } else { self.schema.clone() }
    }
}

fn chain(rng: &mut Rng) -> Value {
    let records = if chance(rng, 50) { 1 } else { rng.usize(2..6) };
    let json = rng.bool();
    let source = chance(rng, 15);
    let (key, value) = (Side::random(rng, records, json, true), Side::random(rng, records, json, false));
    let headers: Vec<(String, Value)> = (0..rng.usize(0..3)).map(|_| (one(rng, &["h", "k", "é"]).to_string(), header_schema(rng))).collect();
    let topic = *one(rng, &TOPICS);
    let partition = if source && chance(rng, 30) { Value::Null } else { rng.i32(0..4).into() };
    let mut offset = rng.i64(0..1_000_000);
    let mut forms = Vec::new();
    for at in 0..records {
        offset += rng.i64(1..4);
        let headers: Vec<Value> = headers.iter().map(|(name, schema)| json!({"key": name, "schema": schema, "value": header_value(rng, schema)})).collect();
        let timestamp = if chance(rng, 15) { Value::Null } else { instant(rng).into() };
        forms.push(json!({
            "topic": topic, "partition": partition, "offset": offset, "timestamp": timestamp, "headers": headers, "keySchema": key.schema_of(at),
            "key": key.values[at], "valueSchema": value.schema_of(at), "value": value.values[at],
        }));
    }
    let transforms = if chance(rng, 60) { 1 } else { rng.usize(2..5) };
    let alone = transforms == 1 && chance(rng, 85);
    let props = props(rng, transforms, alone, &key.shape(), &value.shape());
    json!({"kind": "chain", "way": if alone { "alone" } else { "chain" }, "text": json && rng.bool(), "source": source, "props": props, "records": forms})
}

fn props(rng: &mut Rng, transforms: usize, alone: bool, key: &Shape, value: &Shape) -> Map<String, Value> {
    let mut props = Map::new();
    let aliases: Vec<String> = (0..transforms).map(|at| format!("t{at}")).collect();
    props.insert("transforms".to_owned(), aliases.join(",").into());
    let mut conditions: Vec<String> = Vec::new();
    for alias in &aliases {
        let (class, settings) = transform(rng, key, value);
        let has_condition = !alone && chance(rng, if class.ends_with(".Filter") { 90 } else { 35 });
        props.insert(format!("transforms.{alias}.type"), class.into());
        props.extend(settings.into_iter().map(|(key, value)| (format!("transforms.{alias}.{key}"), value.into())));
        if has_condition {
            let name = format!("p{}", conditions.len());
            let (class, settings) = predicate(rng);
            props.insert(format!("predicates.{name}.type"), class.into());
            props.extend(settings.into_iter().map(|(key, value)| (format!("predicates.{name}.{key}"), value.into())));
            props.insert(format!("transforms.{alias}.predicate"), name.clone().into());
            if chance(rng, 40) {
                props.insert(format!("transforms.{alias}.negate"), (*one(rng, &["true", "false", "TRUE"])).into());
            }
            conditions.push(name);
        }
    }
    if !conditions.is_empty() {
        props.insert("predicates".to_owned(), conditions.join(",").into());
    }
    props
}

fn header_schema(rng: &mut Rng) -> Value {
    let style = Style { depth: rng.u32(0..2), any_keys: false };
    if chance(rng, 25) { Value::Null } else { schema(rng, style) }
}

fn header_value(rng: &mut Rng, schema: &Value) -> Value {
    if schema.is_null() { json!({"string": text(rng)}) } else { value(rng, schema) }
}

fn class(rng: &mut Rng) -> (String, bool) {
    let name = if chance(rng, 65) { CONVERTERS[0] } else { one(rng, &CONVERTERS) };
    (format!("org.apache.kafka.connect.{name}"), name == CONVERTERS[0])
}

fn config(rng: &mut Rng, is_json: bool, class: &str) -> Map<String, Value> {
    let mut config = Map::new();
    let mut maybe = |rng: &mut Rng, percent: u32, key: &str, values: &[&str]| {
        if chance(rng, percent) {
            config.insert(key.to_owned(), (*one(rng, values)).into());
        }
    };
    if is_json {
        maybe(rng, 60, "schemas.enable", &["true", "false", "false"]);
        maybe(rng, 30, "decimal.format", &["BASE64", "NUMERIC", "numeric"]);
        maybe(rng, 30, "replace.null.with.default", &["true", "false"]);
        maybe(rng, 2, "decimal.format", &["TEXT"]);
    } else if class.ends_with("StringConverter") {
        maybe(rng, 40, "converter.encoding", &["UTF-8", "ISO-8859-1", "US-ASCII", "UTF-16", "utf8"]);
    }
    config
}

fn to_connect(rng: &mut Rng) -> Value {
    let (class, is_json) = class(rng);
    let mut config = config(rng, is_json, &class);
    let enveloped = config.get("schemas.enable").is_none_or(|enable| enable == "true");
    let schema = structure_or_other(rng);
    if is_json && chance(rng, if enveloped { 15 } else { 3 }) {
        config.insert("schema.content".to_owned(), schema.to_string().into());
    }
    let declared = config.contains_key("schema.content");
    let payloads: Vec<Value> = (0..rng.usize(1..4))
        .map(|_| match rng.u32(0..20) {
            0 => Value::Null,
            1 => bytes(&(0..rng.usize(0..9)).map(|_| rng.u8(..)).collect::<Vec<_>>()),
            _ if !is_json && rng.bool() => bytes(text(rng).as_bytes()),
            _ if !is_json => bytes(&(0..*one(rng, &[1, 1, 2, 4, 8])).map(|_| *one(rng, &[0, 1, 0x7f, 0x80, 0xff, 42])).collect::<Vec<_>>()),
            _ => {
                let value = value(rng, &schema);
                let payload = if rng.bool() || declared { plain(&schema, &value) } else { free_json(rng) };
                let whole = match (enveloped && !declared, rng.bool()) {
                    (true, true) => json!({"schema": schema, "payload": plain(&schema, &value)}),
                    (true, false) if chance(rng, 60) => json!({"schema": schema, "payload": payload}),
                    (true, false) => json!({"schema": null, "payload": payload}),
                    (false, _) => payload,
                };
                let text = whole.to_string();
                if chance(rng, 25) { bytes(&corrupted(rng, text)) } else { bytes(text.as_bytes()) }
            }
        })
        .collect();
    json!({"kind": "to_connect", "class": class, "is_key": chance(rng, 20), "config": config, "payloads": payloads})
}

fn structure_or_other(rng: &mut Rng) -> Value {
    let style = Style { depth: rng.u32(0..3), any_keys: true };
    if rng.bool() { structure(rng, style) } else { schema(rng, style) }
}

fn free_json(rng: &mut Rng) -> Value {
    let depth = rng.u32(0..4);
    let value = free(rng, depth, true);
    plain(&Value::Null, &value)
}

fn bytes(payload: &[u8]) -> Value {
    STANDARD.encode(payload).into()
}

/// A text that is broken somewhere, or says something else.
fn corrupted(rng: &mut Rng, text: String) -> Vec<u8> {
    const PIECES: [&str; 30] = [
        "null",
        "1",
        "-0",
        "01",
        "1.0",
        "1e400",
        "-1E-400",
        "\"x\"",
        "[",
        "}",
        ",",
        ":",
        " ",
        "\t\n",
        "true",
        "tru",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "{\"a\":1,\"a\":2}",
        "NaN",
        "/* c */",
        "9223372036854775808",
        "1.5",
        "\"NaN\"",
        "\u{0}",
        "\\",
        "\"optional\"",
        "\"field\"",
        "int32",
        "é",
    ];
    let mut bytes = text.into_bytes();
    for _ in 0..rng.usize(1..3) {
        let at = rng.usize(0..=bytes.len());
        match rng.u32(0..6) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 if at < bytes.len() => bytes[at] = rng.u8(..),
            3 | 4 => {
                let piece = *one(rng, &PIECES);
                replace_a_value(rng, &mut bytes, piece);
            }
            _ => drop(bytes.splice(at..at, one(rng, &PIECES).bytes())),
        }
    }
    bytes
}

/// Puts a piece in the place of what stands between two signs of JSON.
fn replace_a_value(rng: &mut Rng, bytes: &mut Vec<u8>, piece: &str) {
    let signs: Vec<usize> = bytes.iter().enumerate().filter(|(_, byte)| b",:[]{}".contains(byte)).map(|(at, _)| at).collect();
    if signs.len() > 1 {
        let at = rng.usize(0..signs.len() - 1);
        drop(bytes.splice(signs[at] + 1..signs[at + 1], piece.bytes()));
    }
}

fn from_connect(rng: &mut Rng) -> Value {
    let (class, is_json) = class(rng);
    let config = config(rng, is_json, &class);
    let fitting = match class.rsplit('.').next().unwrap_or_default() {
        "BooleanConverter" => "boolean",
        "ShortConverter" => "int16",
        "IntegerConverter" => "int32",
        "LongConverter" => "int64",
        "FloatConverter" => "float",
        "DoubleConverter" => "double",
        "ByteArrayConverter" => "bytes",
        _ => "",
    };
    let schema = if !fitting.is_empty() && chance(rng, 80) {
        json!({"type": fitting, "optional": rng.bool()})
    } else if chance(rng, 25) {
        Value::Null
    } else {
        structure_or_other(rng)
    };
    let values: Vec<Value> = (0..rng.usize(1..4))
        .map(|_| {
            if schema.is_null() {
                let depth = rng.u32(0..4);
                free(rng, depth, true)
            } else {
                value(rng, &schema)
            }
        })
        .collect();
    json!({"kind": "from_connect", "class": class, "is_key": chance(rng, 20), "config": config, "schema": schema, "values": values})
}

const SIMPLE: &str = "org.apache.kafka.connect.storage.SimpleHeaderConverter";

fn headers_read(rng: &mut Rng) -> Value {
    let payloads: Vec<Value> = (0..rng.usize(1..5))
        .map(|_| {
            let text = match rng.u32(0..6) {
                0 => free_json(rng).to_string(),
                1 => {
                    let json = free_json(rng).to_string();
                    return bytes(&corrupted(rng, json));
                }
                _ => literal(rng),
            };
            bytes(text.as_bytes())
        })
        .collect();
    json!({"kind": "to_header", "class": SIMPLE, "config": {}, "payloads": payloads})
}

fn headers_written(rng: &mut Rng) -> Value {
    let schema = if chance(rng, 20) { Value::Null } else { structure_or_other(rng) };
    let values: Vec<Value> = (0..rng.usize(1..4)).map(|_| if schema.is_null() { free(rng, 2, true) } else { value(rng, &schema) }).collect();
    json!({"kind": "from_header", "class": SIMPLE, "config": {}, "schema": schema, "values": values})
}
