//! The keys of the file formats: codecs, what schemas and numbers look like, and how Parquet files are laid out.
//!
//! The formats read these settings themselves (`lakehead_formats::file`); here they get their types, defaults and documentation.

use lakehead_formats::file::{self, FormatError, Options};

use crate::connect::config::{Check, ConfigKey, Importance, Type};

/// The format's own check, whatever format the files have.
fn parquet_codec(text: &str) -> Result<(), String> {
    let options = Options::from([("parquet.codec".to_owned(), text.to_owned())]);
    match file::find("parquet").map(|format| (format.build)(&options)) {
        Some(Err(FormatError::Config { message, .. })) => Err(message),
        _ => Ok(()),
    }
}

/// Upstream's `CompressionTypeValidator`.
fn compression(text: &str) -> Result<(), String> {
    if ["none", "gzip"].contains(&text) { Ok(()) } else { Err("Value must be one of: [none, gzip]".to_owned()) }
}

const fn key(name: &'static str, kind: Type, default: &'static str, check: Check, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default: Some(default), required: false, importance: Importance::Low, group: "Connector", doc, check }
}

const fn compressed(name: &'static str, doc: &'static str) -> ConfigKey {
    key(name, Type::String, "none", Check::Custom(compression), doc)
}

/// The keys of all formats.
pub(super) static KEYS: &[ConfigKey] = &[
    key("avro.codec", Type::String, "null", Check::OneOf(&["null", "deflate", "snappy", "bzip2"]), "Codec of Avro files."),
    key("parquet.codec", Type::String, "snappy", Check::Custom(parquet_codec), "Codec of Parquet files: none, snappy, gzip, brotli, lz4, zstd or lz4_raw."),
    ConfigKey {
        importance: Importance::Medium,
        ..key("json.decimal.format", Type::String, "BASE64", Check::OneOfIgnoreCase(&["BASE64", "NUMERIC"]), "How JSON files show decimals.")
    },
    compressed("s3.compression.type", "Compression of JSON and bytes files on S3."),
    key("s3.compression.level", Type::Int, "-1", Check::Range(-1, 9), "gzip level; -1 is the library's default."),
    compressed("gcs.compression.type", "Compression of JSON and bytes files on GCS."),
    key("gcs.compression.level", Type::Int, "-1", Check::Range(-1, 9), "gzip level; -1 is the library's default."),
    compressed("az.compression.type", "Compression of JSON and bytes files on Azure."),
    key("az.compression.level", Type::Int, "-1", Check::Range(-1, 9), "gzip level; -1 is the library's default."),
    key("format.bytearray.extension", Type::String, ".bin", Check::Any, "End of the names of bytes files."),
    ConfigKey {
        default: None,
        ..key(
            "format.bytearray.separator",
            Type::String,
            "",
            Check::Any,
            "What follows each record in bytes files, not trimmed; may be empty. Default: a line feed.",
        )
    },
    key(
        "allow.optional.map.keys",
        Type::Boolean,
        "false",
        Check::Any,
        "Whether maps with optional string keys are Avro maps; they are arrays of entries otherwise.",
    ),
    key(
        "enhanced.avro.schema.support",
        Type::Boolean,
        "true",
        Check::Any,
        "Whether Avro and Parquet files keep the symbols of enums and the packages of names.",
    ),
    key("connect.meta.data", Type::Boolean, "true", Check::Any, "Whether the schemas of Avro files carry Connect's properties (connect.*)."),
    key(
        "lakehead.avro.schemaless",
        Type::String,
        "anything",
        Check::OneOf(&["anything", "inferred"]),
        "Ours. What JSON without a schema becomes in Avro files: upstream's record io.confluent.connect.avro.Anything, or columns under an inferred schema.",
    ),
    key(
        "lakehead.parquet.lists",
        Type::String,
        "upstream",
        Check::OneOf(&["upstream", "three-level"]),
        "Ours. Form of lists in Parquet files: upstream's (two levels, three where a schema has a list with optional elements), or always three levels.",
    ),
    ConfigKey {
        default: None,
        ..key("lakehead.parquet.compression.level", Type::Int, "", Check::Any, "Ours. Level of gzip, zstd or brotli; the codec's default when it is not set.")
    },
    key("lakehead.parquet.page.bytes", Type::Int, "1048576", Check::Range(1024, 1 << 30), "Ours. Bytes of a data page before compression."),
    key("lakehead.parquet.page.rows", Type::Int, "20000", Check::Range(1, 1 << 30), "Ours. Most rows of a data page."),
    key(
        "lakehead.parquet.dictionary",
        Type::String,
        "auto",
        Check::OneOf(&["auto", "always", "never"]),
        "Ours. Which columns get a dictionary: those whose first rows it suits, all (as upstream), or none.",
    ),
    key(
        "lakehead.parquet.dictionary.page.bytes",
        Type::Int,
        "1048576",
        Check::Range(1024, 1 << 30),
        "Ours. Bytes after which a column's dictionary is given up.",
    ),
    key(
        "lakehead.parquet.statistics",
        Type::String,
        "page",
        Check::OneOf(&["page", "chunk", "none"]),
        "Ours. Smallest and largest values: of pages, of column chunks, or none.",
    ),
    key("lakehead.parquet.bloom.filter.columns", Type::List, "", Check::Any, "Ours. Fields (a.b for a field in a struct) that get a bloom filter."),
    key(
        "lakehead.parquet.bloom.filter.fpp",
        Type::String,
        "0.01",
        Check::Any,
        "Ours. How often a bloom filter says yes to a value that is not there, between 0 and 1.",
    ),
    key("lakehead.parquet.writer.version", Type::String, "1", Check::OneOf(&["1", "2"]), "Ours. Version of data pages and encodings."),
    ConfigKey {
        default: None,
        ..key(
            "lakehead.parquet.row.group.rows",
            Type::Int,
            "",
            Check::Any,
            "Ours. Most rows of a row group; none when it is not set (lakehead.row.group.bytes ends them).",
        )
    },
];
