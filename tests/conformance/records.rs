//! Records as vectors write them → payloads as they come off the wire, for the real converters.
//!
//! Values with a schema travel in `JsonConverter`'s envelope, schemaless ones as plain JSON in it, bytes as they are: so the columns that a task is given are
//! those that it would be given in a worker.

use arrow::array::{ArrayBuilder, BinaryArray, BinaryBuilder, ListBuilder, StringBuilder, StructBuilder, TimestampMillisecondArray};
use arrow::datatypes::{Field, Fields, i256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDate, NaiveTime, Timelike as _};
use lakehead::batch::{OffsetRange, RawBatch, TopicPartition};
use serde_json::{Map, Value, json};

use super::shorthand;

/// Which converter a payload is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wire {
    /// `JsonConverter` with envelopes.
    Json,
    /// `ByteArrayConverter`.
    Bytes,
}

impl Wire {
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Json => "org.apache.kafka.connect.json.JsonConverter",
            Self::Bytes => "org.apache.kafka.connect.converters.ByteArrayConverter",
        }
    }
}

/// A key or a value on the wire; no bytes = null, which every converter takes.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    pub(crate) wire: Option<Wire>,
    pub(crate) bytes: Option<Vec<u8>>,
}

impl Payload {
    fn null() -> Self {
        Self { wire: None, bytes: None }
    }

    fn raw(wire: Wire, bytes: Vec<u8>) -> Self {
        Self { wire: Some(wire), bytes: Some(bytes) }
    }
}

/// One record.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) from: TopicPartition,
    pub(crate) offset: i64,
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Payload,
    pub(crate) value: Payload,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// How the records of a vector are read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// The file's named schemas.
    pub(crate) schemas: Value,
    /// Put a number that stands for the offset where the value leaves room for it, so that files say which records they hold.
    pub(crate) marks: bool,
    /// Members of values that the configuration looks at: no mark goes there.
    pub(crate) looked_at: Vec<String>,
    /// Values without a schema get the one that they look like, because the format asks for one.
    pub(crate) infers: bool,
    /// What a record without a value holds.
    pub(crate) default_value: Value,
}

/// Marks start here: far from every number in the vectors, and small enough for an int32.
const MARK: i64 = 1_200_000_000;
/// Offsets that can be marked.
const MARKED: std::ops::Range<i64> = 0..800_000_000;

/// The offsets whose marks stand in a text, in order.
pub(crate) fn marked(text: &str) -> Vec<i64> {
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|digits| digits.len() == 10);
    numbers.filter_map(|digits| digits.parse::<i64>().ok()).map(|number| number - MARK).filter(|offset| MARKED.contains(offset)).collect()
}

impl Reading {
    /// Reads the `index`th record.
    pub(crate) fn record(&self, form: &Value, index: usize) -> Result<Record, String> {
        let at = |keys: &[&str]| keys.iter().find_map(|key| form.get(*key));
        let partition = at(&["partition", "kafkaPartition"]).and_then(Value::as_i64).unwrap_or(0);
        let offset = at(&["offset", "kafkaOffset"]).and_then(Value::as_i64).unwrap_or(i64::try_from(index).unwrap_or(0));
        let mark = Some(MARK + offset).filter(|_| self.marks && MARKED.contains(&offset));
        let text = json!({"type": "string"});
        let key = at(&["key"]).cloned().unwrap_or_else(|| json!("key"));
        let key_schema = at(&["key_schema", "keySchema"]).filter(|schema| !schema.is_null()).or_else(|| Some(&text).filter(|_| key.is_string()));
        let key = self.payload(&key, key_schema, mark)?;
        let bytes =
            ["utf8", "hex", "base64"].iter().find_map(|code| form.get(format!("value_bytes_{code}")).map(|text| json!({format!("$bytes_{code}"): text})));
        let value = bytes.as_ref().or_else(|| at(&["value"])).unwrap_or(&self.default_value);
        let schema = at(&["schema", "valueSchema", "value_schema", "connect_schema"]).filter(|schema| !schema.is_null());
        Ok(Record {
            from: TopicPartition::new(at(&["topic"]).and_then(Value::as_str).unwrap_or("t"), i32::try_from(partition).map_err(|e| e.to_string())?),
            offset,
            timestamp: at(&["timestamp", "timestamp_ms"]).and_then(Value::as_i64),
            key,
            value: self.payload(value, schema, mark)?,
            headers: match at(&["headers"]) {
                None => vec![("h".to_owned(), Some(mark.map_or_else(|| "v".to_owned(), |mark| mark.to_string()).into_bytes()))],
                Some(headers) => headers.as_array().into_iter().flatten().map(|header| header_of(header, mark)).collect::<Result<_, _>>()?,
            },
        })
    }

    fn payload(&self, value: &Value, schema: Option<&Value>, mark: Option<i64>) -> Result<Payload, String> {
        if value.is_null() {
            return Ok(Payload::null());
        }
        let declared = schema.map(|form| shorthand::schema(form, &self.schemas)).transpose()?;
        let takes_bytes = declared.as_ref().is_none_or(|schema| schema["type"] == "bytes" && schema["name"].is_null());
        if let Some(bytes) = bytes_of(value)?.filter(|_| takes_bytes) {
            return Ok(Payload::raw(Wire::Bytes, mark.map_or(bytes, |mark| mark.to_string().into_bytes())));
        }
        let inferred = declared.or_else(|| (self.infers && value.is_object()).then(|| looks_like(value)));
        let mut value = value.clone();
        if let Some(mark) = mark {
            self.put_mark(&mut value, inferred.as_ref(), mark);
        }
        let payload = match &inferred {
            Some(schema) => encode(schema, &value)?,
            None => plain(&value)?,
        };
        Ok(Payload::raw(Wire::Json, json!({"schema": inferred, "payload": payload}).to_string().into_bytes()))
    }

    /// Puts the mark where the value has room: a number or a text that nothing looks at.
    fn put_mark(&self, value: &mut Value, schema: Option<&Value>, mark: i64) {
        let (text, number) = (Value::from(mark.to_string()), Value::from(mark));
        let fits = |schema: &Value| schema["name"].is_null() && schema["parameters"].is_null();
        match (value, schema) {
            (Value::Object(members), Some(schema)) => {
                let fields = schema["fields"].as_array().map_or(&[][..], Vec::as_slice);
                let is_free = |field: &&Value| fits(field) && !self.looked_at.iter().any(|name| field["field"] == name.as_str());
                let of = |types: &[&str]| fields.iter().filter(is_free).find(|field| types.iter().any(|name| field["type"] == *name));
                let found = of(&["int64", "int32"]).map(|field| (field, number)).or_else(|| of(&["string"]).map(|field| (field, text)));
                if let Some((name, mark)) = found.and_then(|(field, mark)| Some((field["field"].as_str()?, mark))) {
                    members.insert(name.to_owned(), mark);
                }
            }
            (Value::Object(members), None) => {
                let free = |value: &Value| value.is_i64() || value.is_string();
                if let Some((_, value)) = members.iter_mut().find(|(name, value)| free(value) && !self.looked_at.contains(name)) {
                    *value = if value.is_string() { text } else { number };
                }
            }
            (value @ Value::String(_), schema) if schema.is_none_or(|s| s["type"] == "string" && fits(s)) => *value = text,
            (value @ Value::Number(_), schema) if schema.is_none_or(|s| s["type"] == "int32" || s["type"] == "int64") => *value = number,
            _ => {}
        }
    }
}

/// `["name", "value"]` or `{"key": …, "type": …, "value": …}`; the value in Connect's string form.
fn header_of(header: &Value, mark: Option<i64>) -> Result<(String, Option<Vec<u8>>), String> {
    let (name, value) = match header {
        Value::Array(pair) => (pair.first(), pair.get(1)),
        _ => (header.get("key").or_else(|| header.get("name")), header.get("value")),
    };
    let name = name.and_then(Value::as_str).ok_or_else(|| format!("header {header} has no name"))?.to_owned();
    let value = match value.unwrap_or(&Value::Null) {
        Value::Null => None,
        value if mark.is_some() && value.is_string() => mark.map(|mark| mark.to_string().into_bytes()),
        Value::String(text) => Some(text.clone().into_bytes()),
        value => Some(bytes_of(value)?.unwrap_or_else(|| value.to_string().into_bytes())),
    };
    Ok((name, value))
}

/// The bytes of `{"$bytes_utf8": …}` and its like.
pub(crate) fn bytes_of(value: &Value) -> Result<Option<Vec<u8>>, String> {
    let Some((key, text)) = value.as_object().and_then(|object| object.iter().next()) else { return Ok(None) };
    let Some(code) = key.strip_prefix("$bytes") else { return Ok(None) };
    let text = text.as_str().ok_or_else(|| format!("{value}: no text"))?;
    match code {
        "_utf8" | "" => Ok(Some(text.as_bytes().to_vec())),
        "_base64" => STANDARD.decode(text).map(Some).map_err(|e| format!("{value}: {e}")),
        "_hex" => hex(text).map(Some).ok_or_else(|| format!("{value}: not hexadecimal")),
        _ => Err(format!("{value}: unknown form of bytes")),
    }
}

/// The bytes of hexadecimal digits.
pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}

/// The struct schema of a JSON object: texts, longs, doubles, booleans, all of them required unless null.
fn looks_like(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let field = |(name, value): (&String, &Value)| {
                let mut field = looks_like(value);
                field["field"] = name.as_str().into();
                field
            };
            json!({"type": "struct", "fields": members.iter().map(field).collect::<Vec<_>>()})
        }
        Value::Array(items) => json!({"type": "array", "items": items.first().map_or_else(|| json!({"type": "string"}), looks_like)}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Number(number) if number.is_i64() => json!({"type": "int64"}),
        Value::Number(_) => json!({"type": "double"}),
        Value::String(_) => json!({"type": "string"}),
        Value::Null => json!({"type": "string", "optional": true}),
    }
}

/// A schemaless value as JSON: bytes inside of it as base64.
fn plain(value: &Value) -> Result<Value, String> {
    if let Some(bytes) = bytes_of(value)? {
        return Ok(STANDARD.encode(bytes).into());
    }
    Ok(match value {
        Value::Object(members) => Value::Object(members.iter().map(|(name, value)| Ok((name.clone(), plain(value)?))).collect::<Result<_, String>>()?),
        Value::Array(items) => items.iter().map(plain).collect::<Result<Vec<_>, _>>()?.into(),
        other => other.clone(),
    })
}

/// A value under a schema as `JsonConverter` reads it.
fn encode(schema: &Value, value: &Value) -> Result<Value, String> {
    let wrong = |what: &str| format!("value {value} is no {what}");
    if value.is_null() {
        return Ok(Value::Null);
    }
    let logical = schema["name"].as_str().and_then(|name| name.strip_prefix("org.apache.kafka.connect.data.")).unwrap_or("");
    let text = value.as_str();
    Ok(match (schema["type"].as_str().unwrap_or(""), logical) {
        ("bytes", "Decimal") => {
            let scale: usize = schema["parameters"]["scale"].as_str().and_then(|scale| scale.parse().ok()).unwrap_or(0);
            let digits = text.map_or_else(|| value.to_string(), str::to_owned);
            STANDARD.encode(unscaled(&digits, scale).ok_or_else(|| wrong("decimal"))?).into()
        }
        ("bytes", _) => match bytes_of(value)? {
            Some(bytes) => STANDARD.encode(bytes).into(),
            None => STANDARD.encode(text.ok_or_else(|| wrong("bytes"))?).into(),
        },
        ("int32", "Date") if text.is_some() => {
            let day: NaiveDate = text.and_then(|text| text.get(..10)?.parse().ok()).ok_or_else(|| wrong("date"))?;
            (day - NaiveDate::default()).num_days().into()
        }
        ("int32", "Time") if text.is_some() => {
            let time: NaiveTime = text.and_then(|text| text.trim_end_matches('Z').parse().ok()).ok_or_else(|| wrong("time"))?;
            (i64::from(time.num_seconds_from_midnight()) * 1000 + i64::from(time.nanosecond() / 1_000_000)).into()
        }
        ("int64", "Timestamp") if text.is_some() => text.and_then(instant).ok_or_else(|| wrong("timestamp"))?.into(),
        ("array", _) => {
            let items = value.as_array().ok_or_else(|| wrong("array"))?;
            items.iter().map(|item| encode(&schema["items"], item)).collect::<Result<Vec<_>, _>>()?.into()
        }
        ("map", _) => map(schema, value)?,
        ("struct", _) => {
            let members = value.as_object().ok_or_else(|| wrong("struct"))?;
            let mut made = Map::new();
            for field in schema["fields"].as_array().map_or(&[][..], Vec::as_slice) {
                let name = field["field"].as_str().unwrap_or("");
                if let Some(member) = members.get(name) {
                    made.insert(name.to_owned(), encode(field, member)?);
                }
            }
            Value::Object(made)
        }
        _ => value.clone(),
    })
}

/// Milliseconds of an ISO date-time.
fn instant(text: &str) -> Option<i64> {
    let parsed = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc3339(&format!("{text}Z")));
    parsed.ok().map(|instant| instant.timestamp_millis())
}

/// An object where keys are texts, else pairs.
fn map(schema: &Value, value: &Value) -> Result<Value, String> {
    let wrong = || format!("value {value} is no map");
    let pairs: Vec<(Value, Value)> = match value {
        Value::Object(members) => {
            members.iter().map(|(key, value)| (serde_json::from_str(key).unwrap_or_else(|_| key.as_str().into()), value.clone())).collect()
        }
        Value::Array(pairs) => pairs.iter().map(|pair| Some((pair.get(0)?.clone(), pair.get(1)?.clone()))).collect::<Option<_>>().ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    if schema["keys"]["type"] == "string" {
        let member = |(key, value): (Value, Value)| Ok((key.as_str().map_or_else(|| key.to_string(), str::to_owned), encode(&schema["values"], &value)?));
        return Ok(Value::Object(pairs.into_iter().map(member).collect::<Result<_, String>>()?));
    }
    let pair = |(key, value): (Value, Value)| Ok(json!([encode(&schema["keys"], &key)?, encode(&schema["values"], &value)?]));
    Ok(pairs.into_iter().map(pair).collect::<Result<Vec<_>, String>>()?.into())
}

/// The shortest big-endian bytes of a decimal's unscaled value.
fn unscaled(text: &str, scale: usize) -> Option<Vec<u8>> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > scale {
        return None;
    }
    let number = i256::from_string(&format!("{whole}{fraction:0<scale$}"))?;
    let bytes = number.to_be_bytes();
    let sign = if number < i256::ZERO { 0xff } else { 0 };
    let skip = (0..bytes.len() - 1).take_while(|at| bytes[*at] == sign && (bytes[at + 1] ^ sign) < 0x80).count();
    Some(bytes[skip..].to_vec())
}

/// A value that a schema takes, for vectors that give none.
pub(crate) fn sample(schema: &Value) -> Value {
    let symbol =
        schema["parameters"].as_object().and_then(|all| all.iter().find_map(|(key, value)| key.strip_prefix("io.confluent.connect.avro.Enum.").map(|_| value)));
    match (schema["type"].as_str().unwrap_or(""), symbol) {
        ("boolean", _) => true.into(),
        ("float" | "double", _) => 1.5.into(),
        ("string", Some(symbol)) => symbol.clone(),
        ("string", _) => "x".into(),
        ("bytes", _) if schema["name"].is_null() => json!({"$bytes_hex": "01"}),
        ("bytes", _) => "1".into(),
        ("array", _) => json!([sample(&schema["items"])]),
        ("map", _) => json!([[sample(&schema["keys"]), sample(&schema["values"])]]),
        ("struct", _) => {
            let fields = schema["fields"].as_array().map_or(&[][..], Vec::as_slice);
            Value::Object(fields.iter().filter_map(|field| Some((field["field"].as_str()?.to_owned(), sample(field)))).collect())
        }
        _ => 1.into(),
    }
}

/// Records of one topic partition as they come off the wire. `start` is where the consumer stood.
pub(crate) fn raw_batch(records: &[&Record]) -> Option<RawBatch> {
    let (first, last) = (records.first()?, records.last()?);
    let fields = Fields::from(vec![Field::new("key", arrow::datatypes::DataType::Utf8, false), Field::new("value", arrow::datatypes::DataType::Binary, true)]);
    let builders: Vec<Box<dyn ArrayBuilder>> = vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())];
    let mut headers = ListBuilder::new(StructBuilder::new(fields, builders));
    for record in records {
        for (name, value) in &record.headers {
            let pair = headers.values();
            pair.field_builder::<StringBuilder>(0)?.append_value(name);
            pair.field_builder::<BinaryBuilder>(1)?.append_option(value.as_ref());
            pair.append(true);
        }
        headers.append(true);
    }
    Some(RawBatch {
        from: first.from.clone(),
        span: OffsetRange { start: first.offset, end: last.offset + 1 },
        offsets: records.iter().map(|record| record.offset).collect::<Vec<_>>().into(),
        timestamps: records.iter().map(|record| record.timestamp).collect::<TimestampMillisecondArray>(),
        keys: records.iter().map(|record| record.key.bytes.as_deref()).collect::<BinaryArray>(),
        values: records.iter().map(|record| record.value.bytes.as_deref()).collect::<BinaryArray>(),
        headers: records.iter().any(|record| !record.headers.is_empty()).then(|| headers.finish()),
    })
}

pub(crate) fn decimals_are_unscaled_big_endian_bytes() {
    for (text, scale, expected) in
        [("12.34", 2, vec![0x04, 0xd2]), ("12.3", 2, vec![0x04, 0xce]), ("-1", 0, vec![0xff]), ("128", 0, vec![0, 0x80]), ("0", 2, vec![0])]
    {
        assert_eq!(unscaled(text, scale), Some(expected), "{text}");
    }
    assert_eq!(unscaled("1.234", 2), None);
}

pub(crate) fn marks_come_back_out_of_any_text() {
    let reading = Reading {
        marks: true,
        schemas: json!({"s": {"type": "struct", "fields": [{"field": "n", "type": "int32"}, {"field": "m", "type": "int32"}]}}),
        ..Reading::default()
    };
    let reading = Reading { looked_at: vec!["n".to_owned()], ..reading };
    let record = reading.record(&json!({"offset": 7, "value": {"n": 1, "m": 2}, "schema": "s"}), 0).expect("a record");
    let text = String::from_utf8(record.value.bytes.expect("a value")).expect("json");
    assert!(text.ends_with(r#""payload":{"n":1,"m":1200000007}}"#), "{text}");
    assert_eq!(marked(&text), [7]);
    assert_eq!(marked("1200000000\n1200000012,1748779200000"), [0, 12]);
}
