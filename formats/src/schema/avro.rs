//! Avro's schemas, and what they are to Connect and Arrow: shared by the Avro converter and the Avro file format.
//!
//! Parts: `Schema` with `Kind`, a schema's text as a value; `field`, the Arrow field that it becomes; [`inline`], which makes a text with
//! references stand alone.

mod field;
mod parse;

pub(crate) use field::{
    CONNECT_DEFAULT, CONNECT_UNION, DEFAULT_PRECISION, ENUM, ENUM_DEFAULT, ENUM_DOC, FIELD_DEFAULT, FIELD_DOC, FIXED_SIZE, Mapping, RECORD_DOC, SYMBOLS, UNION,
    field, is_logical, map_entry,
};
pub use parse::inline;
pub(crate) use parse::{Kind, RecordField, Schema, short_name};

/// Metadata key on a field that came from Avro: the text of the schema, so that an Avro file can be written under the same one.
pub const SCHEMA_TEXT: &str = "avro.schema";
