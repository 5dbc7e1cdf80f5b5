//! Connect's schemas as Arrow fields.
//!
//! | Connect | Arrow | name in the metadata |
//! |---|---|---|
//! | int8, int16, int32, int64 | Int8, Int16, Int32, Int64 | |
//! | float32, float64, boolean, string, bytes | Float32, Float64, Boolean, Utf8, Binary | |
//! | array, map, struct | List (item field `item`), Map (`entries` {`key`, `value`}), Struct | |
//! | Decimal | Decimal128(38, scale), Decimal256 when a declared precision is larger | `org.apache.kafka.connect.data.Decimal` |
//! | Date | Date32 | `org.apache.kafka.connect.data.Date` |
//! | Time | Time32(Millisecond) | `org.apache.kafka.connect.data.Time` |
//! | Timestamp | Timestamp(Millisecond, "UTC") | `org.apache.kafka.connect.data.Timestamp` |
//! | schemaless JSON, kept as text | Utf8 with the extension name `arrow.json` | |
//!
//! `optional` is the field's nullability; name, version, doc, default and parameters ride in the field's metadata under the keys below.
//! A tombstone is a null in its column, also where the schema is not optional. An optional map key is a plain key here, marked [`OPTIONAL_KEY`]: Arrow's keys are never null.
//!
//! Parts: [`avro`] holds Avro's schemas and what they become; [`compatibility`] says which records share a file, and projects them to its schema;
//! [`connect`] reads the JSON form of a Connect schema into a field; `names` makes names that a language has; `hybrid` counts days as Java does; [`widen`] makes one field of two inferred ones, and old columns fit it.
//!
//! Guarantee: the mapping is total over what Connect can state, or names the part that it refuses.

use std::collections::HashMap;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, FieldRef};

pub mod avro;
pub mod compatibility;
pub mod connect;
pub(crate) mod hybrid;
pub(crate) mod names;
pub mod widen;

pub use connect::{SchemaError, from_connect_json};
pub use widen::{Conflict, adapt, merge, unify};

/// Metadata key: the Connect schema's name.
pub const NAME: &str = "connect.name";
/// Metadata key: the Connect schema's version, a decimal number.
pub const VERSION: &str = "connect.version";
/// Metadata key: the Connect schema's documentation.
pub const DOC: &str = "connect.doc";
/// Metadata key: the default value, as JSON text.
pub const DEFAULT: &str = "connect.default";
/// Metadata key prefix: `connect.parameters.<name>` holds one schema parameter.
pub const PARAMETERS: &str = "connect.parameters.";
/// Connect's logical type of decimals: bytes, an unscaled big-endian integer; `scale` is a parameter.
pub const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";
/// Connect's logical type of dates: int32, days since the epoch.
pub const DATE: &str = "org.apache.kafka.connect.data.Date";
/// Connect's logical type of times of day: int32, milliseconds since midnight.
pub const TIME: &str = "org.apache.kafka.connect.data.Time";
/// Connect's logical type of instants: int64, milliseconds since the epoch, UTC.
pub const TIMESTAMP: &str = "org.apache.kafka.connect.data.Timestamp";
/// Schema parameter that says how many digits a decimal has (Confluent's `AvroData`); Connect itself knows no precision.
pub const DECIMAL_PRECISION: &str = "connect.decimal.precision";
/// Schema parameter that marks an enum in every language (`generalized.sum.type.support`); with a dot and a symbol after it, that symbol.
pub const ENUM: &str = "org.apache.kafka.connect.data.Enum";
/// Schema parameter that marks a struct whose fields are the members of a union, in every language.
pub const UNION: &str = "org.apache.kafka.connect.data.Union";
/// Metadata key of Arrow's extension types.
pub const EXTENSION_NAME: &str = "ARROW:extension:name";
/// Arrow's canonical extension name for JSON text.
pub const JSON_TEXT: &str = "arrow.json";
/// Metadata key on a value field whose schema was inferred from records, not declared: such schemas widen instead of splitting files.
pub const INFERRED: &str = "lakehead.inferred";

/// Metadata key on the key field of a map whose keys Connect calls optional: Arrow's keys are never null.
pub const OPTIONAL_KEY: &str = "connect.optional.key";

/// True for the key field of a map whose keys are optional.
#[must_use]
pub fn is_optional_key(key: &Field) -> bool {
    key.metadata().contains_key(OPTIONAL_KEY)
}

/// The name of the struct that stands for a union in Confluent's JSON Schema.
pub const JSON_UNION: &str = "io.confluent.connect.json.OneOf";

/// True when the field is the struct of a union in Confluent's JSON Schema, in its own form or in that of every language.
#[must_use]
pub(crate) fn is_union(field: &Field) -> bool {
    let metadata = field.metadata();
    metadata.get(NAME).is_some_and(|name| name == JSON_UNION) || metadata.contains_key(&format!("{PARAMETERS}{UNION}"))
}

/// True when the field is schemaless JSON, kept as its text.
#[must_use]
pub fn is_json_text(field: &Field) -> bool {
    field.data_type() == &DataType::Utf8 && field.metadata().get(EXTENSION_NAME).is_some_and(|v| v == JSON_TEXT)
}

/// True when the field's schema was inferred.
#[must_use]
pub fn is_inferred(field: &Field) -> bool {
    field.metadata().contains_key(INFERRED)
}

/// The field of schemaless JSON kept as text; a null is a tombstone or JSON `null`.
#[must_use]
pub fn json_text(name: &str) -> FieldRef {
    let metadata = HashMap::from([(EXTENSION_NAME.to_owned(), JSON_TEXT.to_owned())]);
    FieldRef::new(Field::new(name, DataType::Utf8, true).with_metadata(metadata))
}

/// The type of decimals of that scale with that many digits, or as many as 128 bits hold.
///
/// # Errors
/// When no column holds so many, for a person.
pub(crate) fn decimal_type(precision: Option<i64>, scale: i64) -> Result<DataType, String> {
    let refused = || format!("decimal with precision {} and scale {scale}, columns hold up to {DECIMAL256_MAX_PRECISION} digits", precision.unwrap_or(38));
    let digits = precision.unwrap_or_else(|| i64::from(DECIMAL128_MAX_PRECISION)).max(scale);
    let digits = u8::try_from(digits).ok().filter(|digits| (1..=DECIMAL256_MAX_PRECISION).contains(digits)).ok_or_else(refused)?;
    let scale = i8::try_from(scale).map_err(|_| refused())?;
    Ok(if digits > DECIMAL128_MAX_PRECISION { DataType::Decimal256(digits, scale) } else { DataType::Decimal128(digits, scale) })
}
