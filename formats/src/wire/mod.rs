//! Converters: the payload bytes of Kafka records → columns.
//!
//! A [`Converter`] stands for Kafka Connect's `org.apache.kafka.connect.storage.Converter`, over a batch. It does no I/O: a
//! converter that needs schemas from a registry says which ids are [`missing`](Converter::missing), the caller fetches them and has it
//! [`learn`](Converter::learn) them. A payload that cannot be decoded is a [`Reject`], never an error: an error is a configuration
//! or a program that is wrong.
//!
//! Converters that read Confluent's wire format (Avro, JSON Schema, Protobuf) share `framed`, which sorts rows by schema, and `values`.
//!
//! A new converter is one file here and one line in [`WIRE`].

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use arrow::array::BinaryArray;

use crate::column::{Column, Reject};

pub mod avro;
pub mod bytes;
pub(crate) mod charset;
mod fault;
mod framed;
pub mod json;
pub mod json_schema;
pub(crate) mod numbers;
pub mod protobuf;
pub mod string;
mod values;

/// Number that a schema registry gave a schema (Confluent's wire format: magic byte 0, then this as 4 bytes, big endian).
pub type SchemaId = u32;

/// The language of a schema, as a registry's `schemaType` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SchemaKind {
    /// `AVRO`, and where a registry names none.
    Avro,
    /// `JSON`.
    JsonSchema,
    /// `PROTOBUF`.
    Protobuf,
}

impl SchemaKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Avro, Self::JsonSchema, Self::Protobuf];

    /// The registry's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::JsonSchema => "JSON",
            Self::Protobuf => "PROTOBUF",
        }
    }

    /// The kind that a registry calls so.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A schema as a registry holds it, with what it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// The language that the text is in.
    pub kind: SchemaKind,
    /// The text.
    pub text: String,
    /// The schemas that the text refers to, and those that they refer to; each after the ones that it refers to itself.
    pub references: Vec<Reference>,
    /// The subjects under which the registry has it, with the version that it is there.
    pub versions: BTreeMap<String, i32>,
}

impl RegisteredSchema {
    /// A schema that stands alone.
    #[must_use]
    pub fn new(kind: SchemaKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), references: Vec::new(), versions: BTreeMap::new() }
    }
}

/// A schema that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// What the other calls it: a full name in Avro, an address in JSON Schema, the path of an import in Protobuf.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The converter's own settings: the connector's `value.converter.*` (or `key.converter.*`) with that prefix cut off, on top of the worker's.
pub type Options = BTreeMap<String, String>;

/// What is asked of a converter by the place where its columns go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Any column will do: schemaless JSON stays JSON text (checked, untouched).
    Any,
    /// Typed columns, one struct field each, because a file format asks for a schema: schemaless JSON is declared or inferred.
    Columns,
}

/// Payloads of one topic → columns. One value per task, topic-aware, not shared between threads.
pub trait Converter: fmt::Debug + Send {
    /// Schema ids that these payloads carry and that this converter has not learned yet; ascending, without repeats; empty for converters without registry.
    fn missing(&self, payloads: &BinaryArray) -> Vec<SchemaId>;

    /// Takes a schema that was missing. `Err` in the second argument records that the registry knows no such id (or an unusable schema), so
    /// that rows with this id become rejects with that reason.
    ///
    /// # Errors
    /// [`ConvertError`] when it is not a schema of this converter's kind; the id is then remembered like an unknown one.
    fn learn(&mut self, id: SchemaId, schema: Result<&RegisteredSchema, &str>) -> Result<(), ConvertError>;

    /// What was learned of an id does not hold any more: it is missing again.
    fn forget(&mut self, id: SchemaId);

    /// n payloads → consecutive spans that cover the rows 0..n, each one column under one schema, plus the rows that failed.
    /// A null payload is a null value. A rejected row has a null in its column; the caller filters it out.
    ///
    /// # Errors
    /// [`ConvertError`] only for what is not a single row's fault.
    fn decode(&mut self, topic: &str, payloads: &BinaryArray) -> Result<Decoded, ConvertError>;
}

/// What [`Converter::decode`] returns.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Consecutive row ranges that cover all rows, each with the column for exactly these rows.
    pub spans: Vec<(Range<usize>, Column)>,
    /// Rows that failed, ascending.
    pub rejects: Vec<Reject>,
}

/// A converter's configuration, or a schema that it was given, is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// A setting has a value that the converter does not take.
    #[error("{key}: {message}")]
    Config {
        /// The setting, without the `value.converter.` prefix.
        key: String,
        /// What is wrong, and which values are taken.
        message: String,
    },
    /// A schema text cannot be used.
    #[error("schema {id}: {message}")]
    Schema {
        /// Id in the registry.
        id: SchemaId,
        /// What is wrong with it.
        message: String,
    },
    /// Arrow refused what this crate built; a defect here.
    #[error("internal: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
}

/// One line of the converters' table.
#[derive(Debug)]
pub struct Wire {
    /// The short name.
    pub name: &'static str,
    /// Class names that users already have in their configurations.
    pub aliases: &'static [&'static str],
    /// One sentence for the reference docs.
    pub doc: &'static str,
    /// True when schemas come from a registry (`schema.registry.url` is then required).
    pub registry: bool,
    /// Checks the settings and builds the converter. `is_key` tells a key converter from a value converter.
    pub build: fn(&Options, is_key: bool, Want) -> Result<Box<dyn Converter>, ConvertError>,
}

/// Every converter: the registration lines.
pub static WIRE: &[Wire] = &[
    avro::WIRE,
    bytes::WIRE,
    json::WIRE,
    json_schema::WIRE,
    protobuf::WIRE,
    string::WIRE,
    numbers::BOOLEAN,
    numbers::SHORT,
    numbers::INTEGER,
    numbers::LONG,
    numbers::FLOAT,
    numbers::DOUBLE,
];

/// The converter of that short name or class name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Wire> {
    WIRE.iter().find(|w| w.name == name || w.aliases.contains(&name))
}

/// A boolean setting, in any case, as Kafka's `ConfigDef` takes it.
pub(crate) fn boolean(options: &Options, key: &str, default: bool) -> Result<bool, ConvertError> {
    match options.get(key).map(|text| text.trim()) {
        None => Ok(default),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(text) => Err(refused(key, format!("\"{text}\" is not a boolean; values taken: true, false"))),
    }
}

/// A setting with a value that is not taken.
pub(crate) fn refused(key: &str, message: impl Into<String>) -> ConvertError {
    ConvertError::Config { key: key.to_owned(), message: message.into() }
}

/// Refuses settings that change what Confluent's converters read, and are not supported; checks those that only size what they remember.
pub(crate) fn refuse_unread(options: &Options) -> Result<(), ConvertError> {
    if boolean(options, "schema.backup.enabled", false)? {
        return Err(refused("schema.backup.enabled", "true is not supported: records are not wrapped with their schemas; values taken: false"));
    }
    match options.get("schemas.cache.config").map(|text| text.trim()) {
        Some(text) if text.parse::<i32>().is_err() => Err(refused("schemas.cache.config", format!("\"{text}\" is not a number"))),
        _ => Ok(()),
    }
}
