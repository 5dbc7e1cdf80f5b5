//! `JsonConverter`: JSON payloads → columns.
//!
//! | configuration | asked for | a payload becomes |
//! |---|---|---|
//! | `schemas.enable=true` (the default) | anything | the payload of its envelope, under the envelope's schema; where that is null, as below |
//! | `schemas.enable=true`, `schema.content` (KIP-1054) | anything | columns under that schema, without an envelope |
//! | `schemas.enable=false` | any column | JSON text, checked and kept byte for byte |
//! | `schemas.enable=false` | typed columns | columns under an inferred schema, remembered by topic, widened as records ask for it |
//! | `schemas.enable=false`, `value.schema` or `schema.content` | anything | columns under that schema; keys that it lacks are left out |
//!
//! Parts: `scan` and `number` read the grammar, `text` undoes escapes; `column` grows Arrow buffers, `value` and `object` put values into them,
//! `infer` reads types off values; `decode` drives rows through all of these, `envelope` takes envelopes apart.
//!
//! Source: `org.apache.kafka.connect.json.JsonConverter`, read at Kafka 4. Stricter than it where it makes values up: see `value`; payloads are RFC 8259
//! (no leading zeros, nothing after the value).
//!
//! Guarantee: no input panics or overflows the stack, and a row is decoded exactly or rejected with a reason. No allocation per record.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, NullBufferBuilder, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::FieldRef;
use arrow::error::ArrowError;

use self::decode::{Decoder, Inferred, Row};
use self::envelope::{Lane, Reading, Schemas};
use super::{ConvertError, Converter, Decoded, Options, RegisteredSchema, SchemaId, Want, Wire};
use crate::column::{Column, Reject};
use crate::schema;

mod column;
mod decode;
mod envelope;
mod events;
mod fault;
mod infer;
mod number;
mod object;
mod scan;
mod text;
mod union;
mod value;

/// Registration.
pub(super) const WIRE: Wire = Wire {
    name: "json",
    aliases: &["org.apache.kafka.connect.json.JsonConverter", "JsonConverter", "Json"],
    doc: "Reads JSON, with or without Connect's schema envelope; schemaless JSON stays text, or becomes columns under a declared or inferred schema.",
    registry: false,
    build: |options, is_key, want| Ok(Box::new(JsonConverter::new(options, is_key, want)?)),
};

pub(crate) use self::events::{Events, Quoted, last_members, read};
pub(crate) use self::scan::plain;

/// The default value of a field's schema, as an array of one row; none when it has none, or one that is no JSON of its type.
#[must_use]
pub fn default_value(field: &FieldRef) -> Option<ArrayRef> {
    let default = field.metadata().get(schema::DEFAULT)?;
    let mut decoder = Decoder::declared(field, true, false).ok()?;
    decoder.push(default.as_bytes()).ok()?;
    decoder.finish().ok()
}

/// Growing rows of JSON under a JSON Schema.
#[derive(Debug)]
pub(super) struct Directed(Decoder);

impl Directed {
    /// No rows of that field.
    ///
    /// # Errors
    /// When it has a type that JSON does not reach, or a default that is no value of its type.
    pub(super) fn new(field: &FieldRef) -> Result<Self, String> {
        Decoder::json_schema(field).map(Self)
    }

    pub(super) fn field(&self) -> &FieldRef {
        self.0.field()
    }

    /// Adds a row, or leaves the columns as they were and says why.
    pub(super) fn push(&mut self, row: &[u8]) -> Result<(), String> {
        if std::str::from_utf8(row).is_err() {
            return Err(scan::validate(row).err().map_or_else(String::new, |syntax| syntax.to_string()));
        }
        self.0.push(row).map_err(|fault| decode::reason(&fault, row))
    }

    pub(super) fn push_null(&mut self) {
        self.0.push_null();
    }

    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.0.finish()
    }
}

/// Name of the column that a converter makes.
pub(super) fn column_name(is_key: bool) -> &'static str {
    if is_key { "key" } else { "value" }
}

/// Where the schema of a payload comes from.
#[derive(Debug)]
enum Schema {
    /// From the envelope around it.
    Envelope,
    /// From nowhere.
    None,
    /// From the configuration.
    Declared(Box<Decoder>),
}

#[derive(Debug)]
struct JsonConverter {
    name: &'static str,
    want: Want,
    schema: Schema,
    /// `schemas.enable`: an empty payload is then no value at all, but a broken one.
    enveloped: bool,
    /// `replace.null.with.default`.
    defaults: bool,
    topics: BTreeMap<String, Topic>,
}

/// What was learned of one topic.
#[derive(Debug)]
struct Topic {
    schemas: Schemas,
    inferred: Inferred,
}

impl JsonConverter {
    fn new(options: &Options, is_key: bool, want: Want) -> Result<Self, ConvertError> {
        let enveloped = boolean(options, "schemas.enable", true)?;
        let defaults = boolean(options, "replace.null.with.default", true)?;
        one_of(options, "decimal.format", &["BASE64", "NUMERIC"])?;
        let own = if is_key { "key.schema" } else { "value.schema" };
        let declared = |key: &str| options.get(key).filter(|text| !text.trim().is_empty()).cloned();
        let schema = match (declared("schema.content"), declared(own)) {
            (Some(_), Some(_)) => return Err(config(own, "schema.content declares the schema as well; keep one of the two")),
            (None, Some(_)) if enveloped => {
                return Err(config(own, "it declares the schema of json without envelopes: set schemas.enable=false in the converter's configuration"));
            }
            (Some(text), None) => declare("schema.content", &text, is_key, defaults, !enveloped)?,
            (None, Some(text)) => declare(own, &text, is_key, defaults, true)?,
            (None, None) if enveloped => Schema::Envelope,
            (None, None) => Schema::None,
        };
        Ok(Self { name: column_name(is_key), want, schema, enveloped, defaults, topics: BTreeMap::new() })
    }

    /// Schemaless rows: text or inferred columns. `whole` are the payloads when the rows are all of them, as they are.
    fn schemaless(
        &mut self,
        topic: &str,
        rows: &[Row<'_>],
        first: usize,
        whole: Option<&BinaryArray>,
        rejects: &mut Vec<Reject>,
    ) -> Result<Column, ArrowError> {
        match self.want {
            Want::Any => Ok(Column::new(schema::json_text(self.name), json_text(rows, first, whole, rejects)?)),
            Want::Columns => self.topic(topic)?.inferred.decode(rows, first, rejects),
        }
    }

    fn topic(&mut self, topic: &str) -> Result<&mut Topic, ArrowError> {
        if !self.topics.contains_key(topic) {
            let inferred = Inferred::new(self.name).map_err(ArrowError::SchemaError)?;
            self.topics.insert(topic.to_owned(), Topic { schemas: Schemas::new(self.name, self.defaults), inferred });
        }
        self.topics.get_mut(topic).ok_or_else(|| ArrowError::SchemaError(format!("topic {topic:?} was not remembered")))
    }

    /// Rows in envelopes: a span for each run of rows under one schema. Nulls belong to the span that they stand in.
    fn enveloped(&mut self, topic: &str, rows: &[Row<'_>], reading: Reading) -> Result<Decoded, ArrowError> {
        let schemas = &mut self.topic(topic)?.schemas;
        schemas.trim();
        let mut decoded = Decoded::default();
        let mut lanes = Vec::with_capacity(rows.len());
        let mut payloads: Vec<Row<'_>> = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            let split = row.map(|row| schemas.split(row, reading)).transpose();
            let (lane, payload) = match split {
                Ok(Some((Lane::Schemaless, b"null"))) | Ok(None) => (None, None),
                Ok(Some((lane, payload))) => (Some(lane), Some(payload)),
                Err(reason) => {
                    decoded.rejects.push(Reject { row: index, reason });
                    (None, None)
                }
            };
            lanes.push(lane);
            payloads.push(payload);
        }
        let nothing = schemas.last().unwrap_or(Lane::Schemaless);
        for (span, lane) in runs(&lanes, nothing) {
            let rows = payloads.get(span.clone()).unwrap_or_default();
            let column = match lane {
                Lane::Schemaless => self.schemaless(topic, rows, span.start, None, &mut decoded.rejects)?,
                Lane::Declared(number) => match self.topic(topic)?.schemas.decoder(number) {
                    Some(decoder) => decoder.decode(rows.iter().copied(), span.start, &mut decoded.rejects)?,
                    None => return Err(ArrowError::SchemaError(format!("no decoder has the number {number}"))),
                },
            };
            decoded.spans.push((span, column));
        }
        decoded.rejects.sort_by_key(|reject| reject.row);
        Ok(decoded)
    }
}

impl Converter for JsonConverter {
    fn missing(&self, _payloads: &BinaryArray) -> Vec<SchemaId> {
        Vec::new()
    }

    fn learn(&mut self, _id: SchemaId, _schema: Result<&RegisteredSchema, &str>) -> Result<(), ConvertError> {
        Ok(())
    }

    fn forget(&mut self, _id: SchemaId) {}

    fn decode(&mut self, topic: &str, payloads: &BinaryArray) -> Result<Decoded, ConvertError> {
        let mut rejects = Vec::new();
        let rows = match self.schema {
            Schema::Envelope => payloads.iter().collect(), // most of their bytes are compared, and need no check
            _ => utf8_rows(payloads, !self.enveloped, &mut rejects),
        };
        let mut decoded = match &mut self.schema {
            Schema::Envelope => {
                let quick = self.enveloped(topic, &rows, Reading::Quick)?;
                if quick.rejects.is_empty() { quick } else { self.enveloped(topic, &rows, Reading::Full)? }
            }
            Schema::None => {
                let mut decoded = Decoded::default();
                let column = self.schemaless(topic, &rows, 0, Some(payloads), &mut decoded.rejects)?;
                decoded.spans.push((0..rows.len(), column));
                decoded
            }
            Schema::Declared(decoder) => {
                let mut decoded = Decoded::default();
                let column = decoder.decode(rows.iter().copied(), 0, &mut decoded.rejects)?;
                decoded.spans.push((0..rows.len(), column));
                decoded
            }
        };
        if !rejects.is_empty() {
            decoded.rejects.append(&mut rejects);
            decoded.rejects.sort_by_key(|reject| reject.row);
        }
        for reject in decoded.rejects.iter_mut().filter(|reject| reject.reason.starts_with("malformed json")) {
            reject.reason.insert_str(0, "Converting byte[] to Kafka Connect data failed due to serialization error: ");
        }
        Ok(decoded)
    }
}

/// The payloads as rows of UTF-8; the others are rejected. `blank_is_null`: a payload of whitespace alone is no value, as for Jackson.
fn utf8_rows<'a>(payloads: &'a BinaryArray, blank_is_null: bool, rejects: &mut Vec<Reject>) -> Vec<Row<'a>> {
    let offset = |index: usize| payloads.offsets().get(index).and_then(|o| usize::try_from(*o).ok()).unwrap_or(0);
    let (start, end) = (offset(0), offset(payloads.len()));
    let whole = std::str::from_utf8(payloads.values().get(start..end).unwrap_or_default());
    let mut rows = Vec::with_capacity(payloads.len());
    for (index, payload) in payloads.iter().enumerate() {
        let is_utf8 = |bytes: &[u8]| match whole {
            Ok(whole) => whole.is_char_boundary(offset(index) - start) && whole.is_char_boundary(offset(index + 1) - start),
            Err(_) => std::str::from_utf8(bytes).is_ok(),
        };
        rows.push(match payload {
            Some(bytes) if !is_utf8(bytes) => {
                let reason = scan::validate(bytes).err().map_or_else(String::new, |syntax| syntax.to_string());
                rejects.push(Reject { row: index, reason });
                None
            }
            Some(bytes) if blank_is_null && bytes.first().is_none_or(|b| *b <= b' ') && bytes.trim_ascii().is_empty() => None,
            other => other,
        });
    }
    rows
}

/// Rows of JSON, checked; over the memory of the payloads where that can be.
fn json_text(rows: &[Row<'_>], first: usize, whole: Option<&BinaryArray>, rejects: &mut Vec<Reject>) -> Result<ArrayRef, ArrowError> {
    let mut nulls = NullBufferBuilder::new(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let checked = row.map(|row| if row.trim_ascii() == b"null" { Ok(false) } else { scan::validate_utf8(row).map(|()| true) });
        nulls.append(checked.unwrap_or(Ok(false)).unwrap_or_else(|syntax| {
            rejects.push(Reject { row: first + index, reason: syntax.to_string() });
            false
        }));
    }
    let nulls = nulls.finish();
    if let Some(payloads) = whole {
        let (offsets, values, _) = payloads.clone().into_parts();
        if let Ok(shared) = super::string::share(&BinaryArray::try_new(offsets, values, nulls.clone())?) {
            return Ok(Arc::new(shared));
        }
    }
    let mut data = Vec::new();
    let mut offsets = vec![0];
    for (index, row) in rows.iter().enumerate() {
        if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(index)) {
            data.extend_from_slice(row.unwrap_or_default());
        }
        offsets.push(i32::try_from(data.len()).map_err(|_| ArrowError::OffsetOverflowError(data.len()))?);
    }
    Ok(Arc::new(StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(data), nulls)?))
}

/// Consecutive ranges of one lane each; a row without lane goes with the row before it, the first ones with those after them.
fn runs(lanes: &[Option<Lane>], nothing: Lane) -> Vec<(Range<usize>, Lane)> {
    let mut runs: Vec<(Range<usize>, Lane)> = Vec::new();
    let mut lane = lanes.iter().flatten().next().copied().unwrap_or(nothing);
    for (index, next) in lanes.iter().enumerate() {
        lane = next.unwrap_or(lane);
        match runs.last_mut() {
            Some((span, last)) if *last == lane => span.end = index + 1,
            _ => runs.push((index..index + 1, lane)),
        }
    }
    runs
}

fn declare(key: &str, text: &str, is_key: bool, defaults: bool, null_rows: bool) -> Result<Schema, ConvertError> {
    let field = schema::from_connect_json(column_name(is_key), text.as_bytes());
    let field = field.map_err(|e| config(key, format!("Failed to parse schema in converter config due to serialization error: {e}")))?;
    let decoder = Decoder::declared(&Arc::new(field), defaults, null_rows).map_err(|e| config(key, e))?;
    Ok(Schema::Declared(Box::new(decoder)))
}

fn config(key: &str, message: impl ToString) -> ConvertError {
    ConvertError::Config { key: key.to_owned(), message: message.to_string() }
}

/// A boolean setting, in any case, as Kafka's `ConfigDef` takes it.
fn boolean(options: &Options, key: &str, default: bool) -> Result<bool, ConvertError> {
    match options.get(key).map(|value| value.trim()) {
        None => Ok(default),
        Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
        Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
        Some(value) => Err(config(key, format_args!("{value:?} is neither \"true\" nor \"false\""))),
    }
}

fn one_of(options: &Options, key: &str, valid: &[&str]) -> Result<(), ConvertError> {
    match options.get(key) {
        Some(value) if !valid.iter().any(|v| v.eq_ignore_ascii_case(value.trim())) => {
            Err(config(key, format_args!("{value:?} is not one of {}", valid.join(", "))))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
