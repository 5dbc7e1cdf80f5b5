//! `STOREAS`: the format of a statement's files, with the connector's codec.
//!
//! JSON, AVRO and PARQUET are the formats of the other sinks, set up as upstream sets up its converters. TEXT and BYTES write values as they are: one on each line,
//! or one in each file.

use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use bytes::Bytes;
use lakehead_formats::file::{self, Encoder, FileFormat, FileStats, FormatError, Options};
use lakehead_formats::schema::is_json_text;

/// A format's name in `STOREAS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One value on each line.
    Json,
    /// Object container files.
    Avro,
    /// Parquet.
    Parquet,
    /// One text on each line.
    Text,
    /// The one value's bytes.
    Bytes,
}

impl Format {
    /// Reads what stands behind `STOREAS`.
    ///
    /// # Errors
    /// What upstream refuses, in its words, and what is not written here.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        match upper.split_once('_').map_or((upper.as_str(), None), |(name, option)| (name, Some(option))) {
            ("JSON", _) => Ok(Self::Json),
            ("AVRO", _) => Ok(Self::Avro),
            ("PARQUET", _) => Ok(Self::Parquet),
            ("TEXT", _) => Ok(Self::Text),
            ("CSV", _) => Err(format!("STOREAS `{text}` is not supported yet: use JSON, or AVRO or PARQUET for columns")),
            ("BYTES", None) => Ok(Self::Bytes),
            _ => Err(format!("Unsupported format - {text}; supported: JSON, AVRO, PARQUET, TEXT, BYTES")),
        }
    }

    /// End of the names of its files, when no codec changes it.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Avro => "avro",
            Self::Parquet => "parquet",
            Self::Text => "text",
            Self::Bytes => "bytes",
        }
    }

    /// True where rows are written under a schema.
    pub(super) fn has_columns(self) -> bool {
        matches!(self, Self::Avro | Self::Parquet)
    }

    /// True where upstream can write an envelope.
    pub(super) fn has_envelope(self) -> bool {
        matches!(self, Self::Json | Self::Avro | Self::Parquet)
    }

    /// The format with a codec and its level; -1 is the codec's own. As upstream, a codec acts on JSON, AVRO and PARQUET.
    ///
    /// # Errors
    /// A codec or a level that the format does not have.
    pub(super) fn build(self, codec: &str, level: i64) -> Result<Arc<dyn FileFormat>, String> {
        let codec = codec.to_ascii_uppercase();
        let (name, options) = match self {
            Self::Json => ("json", json(&codec, level)?),
            Self::Avro => ("avro", avro(&codec, level)?),
            Self::Parquet => ("parquet", parquet(&codec, level)?),
            Self::Text => ("bytes", vec![("format.bytearray.separator", "\n".to_owned())]),
            Self::Bytes => ("bytes", vec![("format.bytearray.separator", String::new())]),
        };
        let options: Options = options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let entry = file::find(name).ok_or_else(|| format!("there is no format {name}"))?;
        let built = (entry.build)(&options).map_err(|error| match error {
            FormatError::Config { message, .. } => format!("STOREAS {} with codec {codec}, level {level}: {message}", self.extension().to_ascii_uppercase()),
            other => other.to_string(),
        })?;
        Ok(match self {
            Self::Text | Self::Bytes => Arc::new(Plain { inner: built, is_text: self == Self::Text }),
            Self::Json | Self::Avro | Self::Parquet => Arc::from(built),
        })
    }
}

fn refused(format: &str, codec: &str, known: &str) -> String {
    format!("{format} files are not compressed with {codec} here; codecs that are taken: {known}")
}

fn json(codec: &str, level: i64) -> Result<Vec<(&'static str, String)>, String> {
    let mut options = vec![("json.decimal.format", "NUMERIC".to_owned())];
    match codec {
        "UNCOMPRESSED" => {}
        "GZIP" => options.extend([("s3.compression.type", "gzip".to_owned()), ("s3.compression.level", level.to_string())]),
        _ => return Err(refused("JSON", codec, "UNCOMPRESSED, GZIP")),
    }
    Ok(options)
}

fn avro(codec: &str, level: i64) -> Result<Vec<(&'static str, String)>, String> {
    let name = match codec {
        "UNCOMPRESSED" => "null",
        "SNAPPY" => "snappy",
        "BZIP2" => "bzip2",
        // the level of the library that compresses
        "DEFLATE" if [-1, 6].contains(&level) => "deflate",
        "DEFLATE" => return Err(format!("AVRO files are deflated with level 6, not {level}: set it to 6 or -1")),
        _ => return Err(refused("AVRO", codec, "UNCOMPRESSED, SNAPPY, BZIP2, DEFLATE")),
    };
    Ok(vec![("avro.codec", name.to_owned()), ("lakehead.avro.schemaless", "inferred".to_owned())])
}

fn parquet(codec: &str, level: i64) -> Result<Vec<(&'static str, String)>, String> {
    let name = match codec {
        "UNCOMPRESSED" => "none",
        "SNAPPY" | "GZIP" | "BROTLI" | "LZ4" | "ZSTD" => codec,
        _ => return Err(refused("PARQUET", codec, "UNCOMPRESSED, SNAPPY, GZIP, BROTLI, LZ4, ZSTD")),
    };
    let mut options = vec![("parquet.codec", name.to_ascii_lowercase())];
    if level != -1 && ["GZIP", "BROTLI", "ZSTD"].contains(&codec) {
        options.push(("lakehead.parquet.compression.level", level.to_string()));
    }
    Ok(options)
}

/// Values as they are: the texts of primitives, or bytes.
#[derive(Debug)]
struct Plain {
    inner: Box<dyn FileFormat>,
    is_text: bool,
}

impl FileFormat for Plain {
    fn extension(&self) -> &str {
        self.inner.extension()
    }

    fn content_type(&self) -> &'static str {
        if self.is_text { "text/plain" } else { self.inner.content_type() }
    }

    fn needs_columns(&self) -> bool {
        false
    }

    fn encoder(&self, field: &FieldRef) -> Result<Box<dyn Encoder>, FormatError> {
        let (format, is_held, hint) = if self.is_text {
            let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::Boolean) || field.data_type().is_signed_integer();
            let hint = "TEXT is for texts, integers and booleans: set value.converter=org.apache.kafka.connect.storage.StringConverter, or use JSON";
            ("text", is_text && !is_json_text(field), hint)
        } else {
            let hint = "BYTES is for bytes: set value.converter=org.apache.kafka.connect.converters.ByteArrayConverter";
            ("bytes", matches!(field.data_type(), DataType::Binary | DataType::Null), hint)
        };
        if !is_held {
            let what = if is_json_text(field) { "schemaless JSON".to_owned() } else { format!("values of type {}", field.data_type()) };
            return Err(FormatError::Unsupported { format, what, hint: hint.to_owned() });
        }
        let binary = Arc::new(Field::new(field.name(), DataType::Binary, true));
        Ok(Box::new(PlainEncoder { inner: self.inner.encoder(&binary)?, is_text: self.is_text }))
    }
}

/// One file of [`Plain`].
struct PlainEncoder {
    inner: Box<dyn Encoder>,
    is_text: bool,
}

impl PlainEncoder {
    fn bytes(&self, rows: &ArrayRef) -> Result<ArrayRef, FormatError> {
        let failed = |error: &dyn Display| FormatError::Encode { format: "bytes", message: error.to_string() };
        if self.is_text {
            return cast(rows, &DataType::Utf8).and_then(|texts| cast(&texts, &DataType::Binary)).map_err(|error| failed(&error));
        }
        let nulls = rows.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        match (rows.as_binary_opt::<i32>(), nulls) {
            (Some(_), None) => Ok(Arc::clone(rows)),
            // as upstream, a null value is an empty file
            (Some(values), Some(_)) => Ok(Arc::new(BinaryArray::from_iter_values(values.iter().map(Option::unwrap_or_default)))),
            (None, _) if rows.data_type() == &DataType::Null => Ok(Arc::new(BinaryArray::from_iter_values(std::iter::repeat_n(b"", rows.len())))),
            (None, _) => Err(failed(&format_args!("rows of type {} came to a file of bytes", rows.data_type()))),
        }
    }
}

impl Encoder for PlainEncoder {
    fn write(&mut self, rows: &ArrayRef) -> Result<(), FormatError> {
        let bytes = self.bytes(rows)?;
        self.inner.write(&bytes)
    }

    fn flush(&mut self) -> Result<(), FormatError> {
        self.inner.flush()
    }

    fn take(&mut self) -> Vec<Bytes> {
        self.inner.take()
    }

    fn encoded_bytes(&self) -> u64 {
        self.inner.encoded_bytes()
    }

    fn memory_bytes(&self) -> u64 {
        self.inner.memory_bytes()
    }

    fn finish(self: Box<Self>, footer: &[(String, String)]) -> Result<(Vec<Bytes>, FileStats), FormatError> {
        self.inner.finish(footer)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, NullArray, StringArray};
    use lakehead_formats::schema::json_text;

    use super::*;

    fn written(format: Format, field: Field, rows: ArrayRef) -> Result<String, String> {
        let format = format.build("UNCOMPRESSED", -1)?;
        let mut encoder = format.encoder(&Arc::new(field)).map_err(|error| error.to_string())?;
        encoder.write(&rows).map_err(|error| error.to_string())?;
        let mut bytes = encoder.take().concat();
        bytes.extend(encoder.finish(&[]).map_err(|error| error.to_string())?.0.concat());
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn names_as_upstream() {
        for (text, wanted) in [
            ("json", Ok(Format::Json)),
            ("AVRO", Ok(Format::Avro)),
            ("Parquet", Ok(Format::Parquet)),
            ("TEXT", Ok(Format::Text)),
            ("BYTES", Ok(Format::Bytes)),
            ("CSV_WITHHEADERS", Err("STOREAS `CSV_WITHHEADERS` is not supported yet")),
            ("BYTES_KeyOnly", Err("Unsupported format - BYTES_KeyOnly")),
            ("ORC", Err("Unsupported format - ORC")),
        ] {
            let found = Format::parse(text);
            match wanted {
                Ok(wanted) => assert_eq!(found, Ok(wanted)),
                Err(part) => assert!(found.as_ref().is_err_and(|error| error.starts_with(part)), "{found:?}"),
            }
        }
    }

    #[test]
    fn values_as_they_are() {
        let column = |kind| Field::new("value", kind, true);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b,c"]));
        let one: ArrayRef = Arc::new(BinaryArray::from_iter_values([b"\x00x"]));
        let none: ArrayRef = Arc::new(BinaryArray::from(vec![None]));
        for (format, field, rows, wanted) in [
            (Format::Text, column(DataType::Utf8), Arc::clone(&texts), Ok("a\nb,c\n")),
            (Format::Text, column(DataType::Int64), Arc::new(Int64Array::from(vec![-1, 20])), Ok("-1\n20\n")),
            (Format::Text, json_text("value").as_ref().clone(), texts, Err("text cannot hold schemaless JSON")),
            (Format::Text, column(DataType::Binary), Arc::clone(&one), Err("text cannot hold values of type Binary")),
            (Format::Bytes, column(DataType::Binary), one, Ok("\0x")),
            (Format::Bytes, column(DataType::Binary), none, Ok("")),
            (Format::Bytes, column(DataType::Null), Arc::new(NullArray::new(1)), Ok("")),
            (Format::Bytes, column(DataType::Utf8), Arc::new(StringArray::from(vec!["a"])), Err("bytes cannot hold values of type Utf8")),
        ] {
            let found = written(format, field, rows);
            match wanted {
                Ok(wanted) => assert_eq!(found.as_deref(), Ok(wanted)),
                Err(part) => assert!(found.as_ref().is_err_and(|error| error.starts_with(part)), "{found:?}"),
            }
        }
    }

    #[test]
    fn codecs_that_a_format_has() {
        for (format, codec, level, problem) in [
            (Format::Json, "gzip", 9, None),
            (Format::Json, "GZIP", 10, Some("Value must be no more than 9")),
            (Format::Json, "ZSTD", -1, Some("JSON files are not compressed with ZSTD here")),
            (Format::Avro, "DEFLATE", -1, None),
            (Format::Avro, "DEFLATE", 9, Some("deflated with level 6, not 9")),
            (Format::Avro, "XZ", 3, Some("AVRO files are not compressed with XZ here")),
            (Format::Parquet, "ZSTD", 3, None),
            (Format::Parquet, "SNAPPY", 3, None),
            (Format::Parquet, "LZO", -1, Some("PARQUET files are not compressed with LZO here")),
            (Format::Text, "ZSTD", -1, None),
        ] {
            let found = format.build(codec, level).err();
            assert_eq!(found.is_some(), problem.is_some(), "{codec} {level}: {found:?}");
            assert!(problem.is_none_or(|part| found.as_ref().is_some_and(|error| error.contains(part))), "{codec} {level}: {found:?}");
        }
    }
}
