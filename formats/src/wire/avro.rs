//! The Avro converter: Confluent's wire format, with schemas from a registry.
//!
//! A payload is the magic byte 0, a schema id of four bytes, big endian, and one Avro value. Parts: the converter, which sorts rows by schema;
//! `columns` with `cursor` and `values`, the one pass over the bytes. What a schema becomes is [`crate::schema::avro`]'s to say: mapping and names are those of
//! Confluent's `AvroConverter` and `AvroData`. As there, bytes after the value are ignored, and a top-level `bytes` is the whole rest of the payload.
//!
//! Guarantee: a row that cannot be decoded is a reject, and its neighbours are decoded as if it were not there.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{Array, BinaryArray, NullArray};
use arrow::datatypes::{DataType, Field, FieldRef};

use super::{ConvertError, Converter, Decoded, Options, SchemaId, Want, Wire};
use crate::column::{Column, Reject};
use crate::schema::avro::{self, Mapping, SCHEMA_TEXT, Schema};

mod columns;
mod cursor;
mod values;

use columns::Rows;
use values::Flaw;

/// Registration.
pub(super) const WIRE: Wire = Wire {
    name: "avro",
    aliases: &["io.confluent.connect.avro.AvroConverter", "AvroConverter", "Avro"],
    doc: "Avro in Confluent's wire format: a magic byte, the id of a schema in a registry, the value.",
    registry: true,
    build,
};

/// Bytes before the value.
const HEADER: usize = 5;

fn build(options: &Options, is_key: bool, _want: Want) -> Result<Box<dyn Converter>, ConvertError> {
    if boolean(options, "generalized.sum.type.support", false)? {
        let message = "true is not supported yet: enums and unions take the names io.confluent.connect.avro.Enum and .Union; values taken: false";
        return Err(ConvertError::Config { key: "generalized.sum.type.support".to_owned(), message: message.to_owned() });
    }
    let mapping = Mapping { enhanced: boolean(options, "enhanced.avro.schema.support", false)?, metadata: boolean(options, "connect.meta.data", true)? };
    Ok(Box::new(Avro { name: if is_key { "key" } else { "value" }, mapping, schemas: BTreeMap::new(), last: None }))
}

fn boolean(options: &Options, key: &str, default: bool) -> Result<bool, ConvertError> {
    match options.get(key).map(|text| text.trim()) {
        None => Ok(default),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(text) => Err(ConvertError::Config { key: key.to_owned(), message: format!("\"{text}\" is not a boolean; values taken: true, false") }),
    }
}

/// See the module.
#[derive(Debug)]
struct Avro {
    /// What the column is called: `key` or `value`.
    name: &'static str,
    mapping: Mapping,
    schemas: BTreeMap<SchemaId, Known>,
    /// The schema of the last row that had one: rows that are all null belong to it.
    last: Option<SchemaId>,
}

/// What is known of a schema id.
#[derive(Debug)]
enum Known {
    Usable(Box<Rows>),
    /// Why rows with this id are rejected.
    Unusable(String),
}

/// The schema id and the value of a payload.
fn split(payload: &[u8]) -> Result<(SchemaId, &[u8]), String> {
    match payload.split_first_chunk::<HEADER>() {
        Some(([0, id @ ..], body)) => Ok((SchemaId::from_be_bytes(*id), body)),
        _ if payload.first() == Some(&1) => Err("magic byte \"1\": the schema is named by a GUID in a header, which is not supported; \
             have the producer write schema ids in the payload"
            .to_owned()),
        _ => match payload.first() {
            Some(0) => Err(format!("the payload has \"{}\" bytes, too few for a magic byte and a schema id", payload.len())),
            Some(other) => Err(format!("magic byte \"{other}\" is not 0: the payload is not in Confluent's Avro format")),
            None => Err("the payload is empty, Avro starts with a magic byte and a schema id".to_owned()),
        },
    }
}

impl Converter for Avro {
    fn missing(&self, payloads: &BinaryArray) -> Vec<SchemaId> {
        let mut missing = Vec::new();
        let mut previous = None;
        for payload in payloads.iter().flatten() {
            if let Ok((id, _)) = split(payload)
                && previous != Some(id)
            {
                previous = Some(id);
                if !self.schemas.contains_key(&id) {
                    missing.push(id);
                }
            }
        }
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    fn learn(&mut self, id: SchemaId, text: Result<&str, &str>) -> Result<(), ConvertError> {
        let rows = text.map_err(str::to_owned).and_then(|text| self.rows(text));
        match rows {
            Ok(rows) => {
                self.schemas.insert(id, Known::Usable(Box::new(rows)));
                Ok(())
            }
            Err(message) => {
                self.schemas.insert(id, Known::Unusable(format!("schema id \"{id}\": {message}")));
                if text.is_ok() { Err(ConvertError::Schema { id, message }) } else { Ok(()) }
            }
        }
    }

    fn decode(&mut self, _topic: &str, payloads: &BinaryArray) -> Result<Decoded, ConvertError> {
        let mut decoded = Decoded::default();
        let mut start = 0;
        while start < payloads.len() {
            let (id, end) = self.span(payloads, start);
            let rows = start..end;
            let column = match id {
                Some(id) => self.decode_span(id, payloads, rows.clone(), &mut decoded.rejects)?,
                None => self.untyped(payloads, rows.clone(), &mut decoded.rejects),
            };
            self.last = id;
            decoded.spans.push((rows, column));
            start = end;
        }
        Ok(decoded)
    }
}

impl Avro {
    fn rows(&self, text: &str) -> Result<Rows, String> {
        let schema = Schema::parse(text)?;
        let field = avro::field(&schema, self.name, self.mapping)?;
        let mut metadata = field.metadata().clone();
        metadata.insert(SCHEMA_TEXT.to_owned(), text.to_owned());
        Ok(Rows::new(&schema, FieldRef::new(field.with_metadata(metadata))))
    }

    /// The rows from `start` on that have one schema: its id, and where they end. Rows without a usable schema go with the ones before
    /// them, or with the first after them.
    fn span(&self, payloads: &BinaryArray, start: usize) -> (Option<SchemaId>, usize) {
        let mut id = None;
        for row in start..payloads.len() {
            if payloads.is_null(row) {
                continue;
            }
            let Ok((other, _)) = split(payloads.value(row)) else { continue };
            if id == Some(other) || !matches!(self.schemas.get(&other), Some(Known::Usable(_))) {
                continue;
            }
            if id.is_some() {
                return (id, row);
            }
            id = Some(other);
        }
        (id.or(self.last), payloads.len())
    }

    /// A column of nulls for rows of which none has a usable schema.
    fn untyped(&self, payloads: &BinaryArray, rows: Range<usize>, rejects: &mut Vec<Reject>) -> Column {
        for row in rows.clone().filter(|row| payloads.is_valid(*row)) {
            rejects.push(Reject { row, reason: self.reason(payloads.value(row)) });
        }
        Column::new(FieldRef::new(Field::new(self.name, DataType::Null, true)), std::sync::Arc::new(NullArray::new(rows.len())))
    }

    /// Why a payload outside its span's schema cannot be decoded.
    fn reason(&self, payload: &[u8]) -> String {
        match split(payload) {
            Err(reason) => reason,
            Ok((id, _)) => match self.schemas.get(&id) {
                Some(Known::Unusable(reason)) => reason.clone(),
                _ => format!("schema id \"{id}\" has not been fetched from the registry"),
            },
        }
    }

    /// Rows of a span under schema `id`, which is usable.
    fn decode_span(&mut self, id: SchemaId, payloads: &BinaryArray, rows: Range<usize>, rejects: &mut Vec<Reject>) -> Result<Column, ConvertError> {
        let Some(Known::Usable(mut known)) = self.schemas.remove(&id) else {
            return Ok(self.untyped(payloads, rows, rejects));
        };
        let before = rejects.len();
        self.fill(&mut known, id, payloads, rows.clone(), rejects);
        let mut array = known.finish();
        if matches!(array, Err(Flaw::Utf8)) {
            rejects.truncate(before);
            known.check_strings(true);
            self.fill(&mut known, id, payloads, rows, rejects);
            known.check_strings(false);
            array = known.finish();
        }
        let field = FieldRef::clone(known.field());
        self.schemas.insert(id, Known::Usable(known));
        match array {
            Ok(array) => Ok(Column::new(field, array)),
            Err(Flaw::Arrow(error)) => Err(error.into()),
            Err(Flaw::Utf8) => Err(arrow::error::ArrowError::ParseError("a string is not UTF-8 although each was checked".to_owned()).into()),
        }
    }

    fn fill(&self, known: &mut Rows, id: SchemaId, payloads: &BinaryArray, rows: Range<usize>, rejects: &mut Vec<Reject>) {
        for row in rows {
            if payloads.is_null(row) {
                known.push_nulls(1);
                continue;
            }
            let payload = payloads.value(row);
            let reason = match split(payload) {
                Ok((own, body)) if own == id => match known.push(body) {
                    Ok(()) => continue,
                    Err(fault) => format!("schema id \"{id}\": {fault}"),
                },
                _ => self.reason(payload),
            };
            rejects.push(Reject { row, reason });
            known.push_nulls(1);
        }
    }
}

#[cfg(test)]
mod tests;
