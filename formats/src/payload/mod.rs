//! Converters in the writing direction: columns → the payload bytes of Kafka records.
//!
//! A [`PayloadWriter`] stands for `Converter#fromConnectData`, over a column. What source connectors produce goes through one for its keys and one for its
//! values. A value that has no such payload is a [`Reject`], never an error.
//!
//! | a null | payload |
//! |---|---|
//! | in a column of type Null, or of JSON text: no schema | none: a tombstone |
//! | under a schema | what the converter writes for it |
//!
//! A converter that writes with a schema registry does no I/O: it says which schema's id is [`missing`](PayloadWriter::missing), the caller asks the registry for
//! it and has it [`learn`](PayloadWriter::learn) the answer.
//!
//! Parts: one file for each converter (the number ones share one), `registered` for what those with a registry have in common, with `defaults`;
//! `simple` for headers, [`mod@text`] for values as Java prints them. A new converter is one file here and one line in [`WRITERS`].

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::BinaryArray;

use crate::column::{Column, Reject};
use crate::wire::{ConvertError, RegisteredSchema, SchemaId, SchemaKind};

mod avro;
mod bytes;
mod defaults;
mod json;
mod json_schema;
mod numbers;
mod protobuf;
mod registered;
mod simple;
mod string;
pub mod text;

/// The converter's own settings: the connector's `value.converter.*` (or `key.converter.*`) with that prefix cut off, on top of the worker's; beside them
/// `converter.type`, which says as upstream what the converter is for: `key`, `value` or `header`.
pub type Options = BTreeMap<String, String>;

/// Columns → payloads.
pub trait PayloadWriter: fmt::Debug + Send {
    /// The schema whose id has to be known before that column can be written to that topic; none when it is known, or there is none to know.
    fn missing(&mut self, _topic: &str, _column: &Column) -> Option<Wanted> {
        None
    }

    /// Takes the id of a schema that was missing. `Err` says why the registry gives none; rows that need it are rejected with that reason.
    fn learn(&mut self, _wanted: &Wanted, _answer: Result<&Registration, &str>) {}

    /// A payload for each row of records of that topic; none where the row was rejected, too.
    fn write_to(&mut self, _topic: &str, column: &Column) -> Payloads {
        self.write(column)
    }

    /// The same for a converter to which topics mean nothing.
    fn write(&mut self, column: &Column) -> Payloads;
}

/// A schema that the registry is to give an id for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Where it is, or is to be registered.
    pub subject: String,
    /// The language of the text.
    pub kind: SchemaKind,
    /// The text. It refers to no other schema that a registry does not know by itself.
    pub text: String,
}

/// What a registry answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The id that goes into the payloads.
    pub id: SchemaId,
    /// The schema of that id, where it may be another one than the one that was asked for: values are written under it.
    pub schema: Option<RegisteredSchema>,
}

/// What [`PayloadWriter::write`] returns.
#[derive(Debug)]
pub struct Payloads {
    /// A payload for each row; null: none.
    pub payloads: BinaryArray,
    /// Rows that have none because they could not be written, ascending.
    pub rejects: Vec<Reject>,
}

impl Payloads {
    /// No row can be written, for the same reason.
    fn none(rows: usize, reason: &str) -> Self {
        let rejects = (0..rows).map(|row| Reject { row, reason: reason.to_owned() }).collect();
        Self { payloads: BinaryArray::new_null(rows), rejects }
    }
}

/// One line of the table.
#[derive(Debug)]
pub struct Writer {
    /// The short name.
    pub name: &'static str,
    /// Class names that users already have in their configurations.
    pub aliases: &'static [&'static str],
    /// True when ids of schemas come from a registry (`schema.registry.url` is then required).
    pub registry: bool,
    /// Checks the settings and builds the converter.
    pub build: fn(&Options) -> Result<Box<dyn PayloadWriter>, ConvertError>,
}

/// Every converter that writes: the registration lines.
pub static WRITERS: &[Writer] = &[
    avro::WRITER,
    bytes::WRITER,
    json::WRITER,
    json_schema::WRITER,
    protobuf::WRITER,
    string::WRITER,
    numbers::BOOLEAN,
    numbers::SHORT,
    numbers::INTEGER,
    numbers::LONG,
    numbers::FLOAT,
    numbers::DOUBLE,
];

/// The converter of that short name or class name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Writer> {
    WRITERS.iter().find(|writer| writer.name == name || writer.aliases.contains(&name))
}

/// Every converter of headers: `SimpleHeaderConverter`, which is nothing else, and all others but those with a registry, which upstream does not take either.
pub fn for_headers() -> impl Iterator<Item = &'static Writer> {
    static SIMPLE: Writer = simple::WRITER;
    std::iter::once(&SIMPLE).chain(WRITERS.iter().filter(|writer| !writer.registry))
}

/// The converter of headers of that short name or class name.
#[must_use]
pub fn find_for_headers(name: &str) -> Option<&'static Writer> {
    for_headers().find(|writer| writer.name == name || writer.aliases.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn whoever_writes_reads_too_under_the_same_names() {
        for writer in WRITERS {
            let reader = wire::find(writer.name).expect(writer.name);
            assert_eq!((reader.aliases, reader.registry), (writer.aliases, writer.registry));
            assert_eq!(find_for_headers(writer.name).map(|found| found.name), Some(writer.name).filter(|_| !writer.registry));
        }
        assert!(find("SimpleHeaderConverter").is_none() && find_for_headers("SimpleHeaderConverter").is_some());
    }
}
