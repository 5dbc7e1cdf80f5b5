//! Confluent's wire format: rows that name their schema by an id in a registry.
//!
//! A payload is the magic byte 0, a schema id of four bytes, big endian, and a body. What a body is belongs to the [`Language`] of the
//! schemas; [`Framed`] is the converter around it, which sorts rows by schema and keeps those that fail apart.
//!
//! Guarantee: a row that cannot be decoded is a reject, and its neighbours are decoded as if it were not there.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, NullArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;

use super::values::Flaw;
use super::{ConvertError, Converter, Decoded, RegisteredSchema, SchemaId, SchemaKind};
use crate::column::{Column, Reject};
use crate::schema::VERSION;

/// Bytes before the body.
const HEADER: usize = 5;

/// A language of schemas with its converter's settings.
pub(super) trait Language: fmt::Debug + Send {
    /// What errors call it.
    const NAME: &'static str;
    /// What the registry calls it.
    const KIND: SchemaKind;
    /// A schema that was understood.
    type Schema: Schema;

    /// Reads a schema of this kind; columns are called `name`.
    ///
    /// # Errors
    /// Why rows with this schema cannot be decoded, for a person.
    fn schema(&self, name: &'static str, schema: &RegisteredSchema) -> Result<Self::Schema, String>;
}

/// A schema, and the rows that grow under each of its types.
pub(super) trait Schema: fmt::Debug + Send {
    /// Rows of one type.
    type Rows: Rows;

    /// The number of the type that a body holds, and the body's value.
    ///
    /// # Errors
    /// Why the row cannot be decoded.
    fn split<'a>(&mut self, body: &'a [u8]) -> Result<(usize, &'a [u8]), String>;

    /// The rows of a type that [`split`](Self::split) gave.
    fn rows(&mut self, number: usize) -> Option<&mut Self::Rows>;
}

/// Growing rows under one type. Any row can be null, whatever the schema says: a tombstone, or a row that failed.
pub(super) trait Rows: fmt::Debug + Send {
    /// The field of the rows.
    fn field(&self) -> &FieldRef;

    /// Adds a row; a value with a fault adds none.
    ///
    /// # Errors
    /// What is wrong with the value.
    fn push(&mut self, value: &[u8]) -> Result<(), String>;

    /// Adds a null row.
    fn push_null(&mut self);

    /// The rows as an array of the field's type; none are left.
    ///
    /// # Errors
    /// [`Flaw::Utf8`] when a string is not UTF-8: give the rows again, after [`check_strings`](Self::check_strings).
    fn finish(&mut self) -> Result<ArrayRef, Flaw>;

    /// From now on each string is checked as it is read, or no longer is.
    fn check_strings(&mut self, _each: bool) {}
}

/// A schema of one type, whose bodies hold nothing but the value.
#[derive(Debug)]
pub(super) struct Single<R>(pub(super) R);

impl<R: Rows> Schema for Single<R> {
    type Rows = R;

    fn split<'a>(&mut self, body: &'a [u8]) -> Result<(usize, &'a [u8]), String> {
        Ok((0, body))
    }

    fn rows(&mut self, _number: usize) -> Option<&mut R> {
        Some(&mut self.0)
    }
}

/// A type of a schema: the schema's id, and the type's number in it.
type Place = (SchemaId, usize);

/// The converter of a language.
#[derive(Debug)]
pub(super) struct Framed<L: Language> {
    /// What the column is called: `key` or `value`.
    name: &'static str,
    language: L,
    schemas: BTreeMap<SchemaId, Known<L::Schema>>,
    /// The type of the last row that had one: rows that are all null belong to it.
    last: Option<Place>,
}

/// What is known of a schema id.
#[derive(Debug)]
enum Known<S> {
    Usable {
        schema: Box<S>,
        /// Its version in each subject.
        versions: BTreeMap<String, i32>,
        /// Fields with the version that the schema has in a topic's subject.
        fields: BTreeMap<(usize, String), FieldRef>,
    },
    /// Why rows with this id are rejected.
    Unusable(String),
}

/// The schema id and the body of a payload.
fn unframe<'a>(payload: &'a [u8], language: &str) -> Result<(SchemaId, &'a [u8]), String> {
    match payload.split_first_chunk::<HEADER>() {
        Some(([0, id @ ..], body)) => Ok((SchemaId::from_be_bytes(*id), body)),
        _ => Err(match payload.first() {
            Some(1) => "magic byte \"1\": the schema is named by a GUID in a header, which is not supported; \
                 have the producer write schema ids in the payload"
                .to_owned(),
            Some(0) => format!("the payload has \"{}\" bytes, too few for a magic byte and a schema id", payload.len()),
            Some(other) => format!("magic byte \"{other}\" is not 0: the payload is not in Confluent's {language} format"),
            None => format!("the payload is empty, {language} starts with a magic byte and a schema id"),
        }),
    }
}

impl<L: Language> Converter for Framed<L> {
    fn missing(&self, payloads: &BinaryArray) -> Vec<SchemaId> {
        let mut missing = Vec::new();
        let mut previous = None;
        for payload in payloads.iter().flatten() {
            if let Ok((id, _)) = unframe(payload, L::NAME)
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

    fn learn(&mut self, id: SchemaId, schema: Result<&RegisteredSchema, &str>) -> Result<(), ConvertError> {
        let (known, result) = match (schema, schema.map_err(str::to_owned).and_then(|schema| self.read(schema))) {
            (Ok(registered), Ok(schema)) => {
                (Known::Usable { schema: Box::new(schema), versions: registered.versions.clone(), fields: BTreeMap::new() }, Ok(()))
            }
            (registered, Err(message)) => {
                let known = Known::Unusable(format!("schema id \"{id}\": {message}"));
                (known, if registered.is_ok() { Err(ConvertError::Schema { id, message }) } else { Ok(()) })
            }
            (Err(_), Ok(_)) => return Ok(()),
        };
        self.schemas.insert(id, known);
        result
    }

    fn forget(&mut self, id: SchemaId) {
        self.schemas.remove(&id);
    }

    fn decode(&mut self, topic: &str, payloads: &BinaryArray) -> Result<Decoded, ConvertError> {
        let mut decoded = Decoded::default();
        let mut start = 0;
        while start < payloads.len() {
            let (place, end) = self.span(payloads, start);
            let rows = start..end;
            let column = match place {
                Some(place) => self.decode_span(topic, place, payloads, rows.clone(), &mut decoded.rejects)?,
                None => self.untyped(payloads, rows.clone(), &mut decoded.rejects),
            };
            self.last = place;
            decoded.spans.push((rows, column));
            start = end;
        }
        Ok(decoded)
    }
}

impl<L: Language> Framed<L> {
    /// A converter that knows no schema yet.
    pub(super) fn new(is_key: bool, language: L) -> Self {
        Self { name: if is_key { "key" } else { "value" }, language, schemas: BTreeMap::new(), last: None }
    }

    fn read(&self, schema: &RegisteredSchema) -> Result<L::Schema, String> {
        if schema.kind != L::KIND {
            return Err(format!("it is a schema of type \"{}\", not {}: use the converter for that type", schema.kind.name(), L::KIND.name()));
        }
        self.language.schema(self.name, schema)
    }

    /// The type of a payload, where its schema is usable, and the value.
    fn place<'a>(&mut self, payload: &'a [u8]) -> Option<(Place, &'a [u8])> {
        let (id, body) = unframe(payload, L::NAME).ok()?;
        let Some(Known::Usable { schema, .. }) = self.schemas.get_mut(&id) else { return None };
        let (number, value) = schema.split(body).ok()?;
        Some(((id, number), value))
    }

    /// The rows from `start` on that have one type: which, and where they end. Rows without a usable schema go with the ones before
    /// them, or with the first after them.
    fn span(&mut self, payloads: &BinaryArray, start: usize) -> (Option<Place>, usize) {
        let mut place = None;
        for row in start..payloads.len() {
            if payloads.is_null(row) {
                continue;
            }
            let Some((other, _)) = self.place(payloads.value(row)) else { continue };
            match place {
                Some(place) if place != other => return (Some(place), row),
                _ => place = Some(other),
            }
        }
        (place.or(self.last), payloads.len())
    }

    /// A column of nulls for rows of which none has a usable schema.
    fn untyped(&mut self, payloads: &BinaryArray, rows: Range<usize>, rejects: &mut Vec<Reject>) -> Column {
        for row in rows.clone().filter(|row| payloads.is_valid(*row)) {
            rejects.push(Reject { row, reason: self.reason(payloads.value(row)) });
        }
        Column::new(FieldRef::new(Field::new(self.name, DataType::Null, true)), Arc::new(NullArray::new(rows.len())))
    }

    /// Why a payload outside its span's type cannot be decoded.
    fn reason(&mut self, payload: &[u8]) -> String {
        match unframe(payload, L::NAME) {
            Err(reason) => reason,
            Ok((id, body)) => match self.schemas.get_mut(&id) {
                Some(Known::Unusable(reason)) => reason.clone(),
                Some(Known::Usable { schema, .. }) => unread(id, &schema.split(body).err().unwrap_or_default()),
                None => format!("schema id \"{id}\" has not been fetched from the registry"),
            },
        }
    }

    /// Rows of a span under a type that is usable.
    fn decode_span(
        &mut self,
        topic: &str,
        place: Place,
        payloads: &BinaryArray,
        rows: Range<usize>,
        rejects: &mut Vec<Reject>,
    ) -> Result<Column, ConvertError> {
        let (id, number) = place;
        let Some(mut known) = self.schemas.remove(&id) else { return Ok(self.untyped(payloads, rows, rejects)) };
        let before = rejects.len();
        let mut array = None;
        if let Known::Usable { schema, .. } = &mut known {
            self.fill(schema, place, payloads, rows.clone(), rejects);
            array = schema.rows(number).map(Rows::finish);
            if matches!(array, Some(Err(Flaw::Utf8))) {
                rejects.truncate(before);
                schema.rows(number).into_iter().for_each(|rows| rows.check_strings(true));
                self.fill(schema, place, payloads, rows.clone(), rejects);
                schema.rows(number).into_iter().for_each(|rows| rows.check_strings(false));
                array = schema.rows(number).map(Rows::finish);
            }
        }
        self.schemas.insert(id, known);
        match (array, self.field(topic, place)) {
            (Some(Ok(array)), Some(field)) => Ok(Column::new(field, array)),
            (Some(Err(Flaw::Arrow(error))), _) => Err(error.into()),
            (Some(Err(Flaw::Utf8)), _) => Err(ArrowError::ParseError("a string is not UTF-8 although each was checked".to_owned()).into()),
            _ => Ok(self.untyped(payloads, rows, rejects)),
        }
    }

    /// Adds a span's rows to those of its type; `schema` is the type's, taken out of the map.
    fn fill(&mut self, schema: &mut L::Schema, (id, number): Place, payloads: &BinaryArray, rows: Range<usize>, rejects: &mut Vec<Reject>) {
        for row in rows {
            if payloads.is_valid(row) {
                let payload = payloads.value(row);
                let pushed = match unframe(payload, L::NAME) {
                    Ok((own, body)) if own == id => match schema.split(body) {
                        Ok((own, value)) if own == number => schema.rows(number).map_or(Ok(()), |rows| rows.push(value)).map_err(|fault| unread(id, &fault)),
                        split => Err(unread(id, &split.err().unwrap_or_default())),
                    },
                    _ => Err(self.reason(payload)),
                };
                match pushed {
                    Ok(()) => continue,
                    Err(reason) => rejects.push(Reject { row, reason }),
                }
            }
            schema.rows(number).into_iter().for_each(Rows::push_null);
        }
    }

    /// The field of a type, with the version that its schema has in the topic's subject (`TopicNameStrategy`), unless the schema itself says one.
    fn field(&mut self, topic: &str, (id, number): Place) -> Option<FieldRef> {
        let Some(Known::Usable { schema, versions, fields }) = self.schemas.get_mut(&id) else { return None };
        let field = schema.rows(number)?.field();
        if versions.is_empty() || field.metadata().contains_key(VERSION) {
            return Some(FieldRef::clone(field));
        }
        if let Some(described) = fields.get(&(number, topic.to_owned())) {
            return Some(FieldRef::clone(described));
        }
        let mut described = field.as_ref().clone();
        if let Some(version) = versions.get(&format!("{topic}-{}", self.name)) {
            let mut metadata = described.metadata().clone();
            metadata.insert(VERSION.to_owned(), version.to_string());
            described = described.with_metadata(metadata);
        }
        let described = FieldRef::new(described);
        fields.insert((number, topic.to_owned()), FieldRef::clone(&described));
        Some(described)
    }
}

fn unread(id: SchemaId, fault: &str) -> String {
    format!("schema id \"{id}\": {fault}")
}
