//! The keys of converters, for forms: names, types and defaults of Apache Kafka 4.3. What they do is up to the converters, which check them too.
//!
//! Converters that ask a registry show none, as upstream's: their `config()` is empty.

use crate::connect::config::display::{Row, Width};
use crate::connect::config::{Check, ConfigKey, Importance, Type};

const fn key(name: &'static str, kind: Type, default: Option<&'static str>, importance: Importance, group: &'static str, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default, required: false, importance, group, doc, check: Check::Any }
}

const SCHEMAS: &str = "Schemas";
const SERIALIZATION: &str = "Serialization";

const KIND: ConfigKey =
    ConfigKey { required: true, ..key("converter.type", Type::String, None, Importance::Low, "", "What the converter is for: key, value or header.") };

static ANY: &[ConfigKey] = &[KIND];

static STRING: &[ConfigKey] =
    &[KIND, key("converter.encoding", Type::String, Some("UTF-8"), Importance::High, "", "Character set of the texts; UTF-8 is the one that is taken.")];

static JSON: &[ConfigKey] = &[
    KIND,
    key("schemas.enable", Type::Boolean, Some("true"), Importance::High, SCHEMAS, "Whether each payload is an envelope with its schema."),
    key("schemas.cache.size", Type::Int, Some("1000"), Importance::High, SCHEMAS, "Schemas that upstream caches; taken, and without effect."),
    key("schema.content", Type::String, None, Importance::High, SCHEMAS, "Schema of every payload, in the JSON form of the envelopes."),
    key("decimal.format", Type::String, Some("BASE64"), Importance::Low, SERIALIZATION, "How decimals are written: BASE64 or NUMERIC; both are read."),
    key(
        "replace.null.with.default",
        Type::Boolean,
        Some("true"),
        Importance::Low,
        SERIALIZATION,
        "Whether a null of a field with a default is read as that default.",
    ),
];

static ROWS: &[Row] = &[
    Row("converter.encoding", -1, Width::Medium, "Encoding"),
    Row("schemas.enable", 0, Width::Medium, "Enable Schemas"),
    Row("schemas.cache.size", 1, Width::Medium, "Schema Cache Size"),
    Row("schema.content", 2, Width::Medium, "Schema Content"),
    Row("decimal.format", 0, Width::Medium, "Decimal Format"),
    Row("replace.null.with.default", 1, Width::Medium, "Replace null with default"),
];

/// The keys of the converter with that short name (`lakehead_formats::wire::Wire::name`).
pub(super) fn of(name: &str) -> &'static [ConfigKey] {
    match name {
        "json" => JSON,
        "string" => STRING,
        "bytes" | "boolean" | "short" | "integer" | "long" | "float" | "double" => ANY,
        _ => &[],
    }
}

/// How a form shows one of them.
pub(super) fn row(name: &str) -> Option<Row> {
    ROWS.iter().find(|row| row.0 == name).copied()
}
