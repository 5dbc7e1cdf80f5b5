//! Raw bytes: each record's payload as it is, with a separator after it.
//!
//! Source: `io.confluent.connect.s3.format.bytearray.ByteArrayFormat` and its record writer. The separator is written after every record, the last
//! included, and is the setting's text as it stands: blanks count, no escape is read, and it may be empty.
//!
//! Guarantee: no byte of a record is looked at or changed.

use std::fmt::Display;

use ::bytes::Bytes;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef};
use flate2::Compression;

use super::text::{TextFile, compression, content_type};
use super::{Encoder, File, FileFormat, FileStats, FormatError, Options};

/// Registration.
pub(super) const FILE: File = File {
    name: FORMAT,
    aliases: &[
        "io.confluent.connect.s3.format.bytearray.ByteArrayFormat",
        "io.confluent.connect.gcs.format.bytearray.ByteArrayFormat",
        "io.confluent.connect.azure.blob.format.bytearray.ByteArrayFormat",
        "io.confluent.connect.azure.storage.format.bytearray.ByteArrayFormat",
    ],
    doc: "The bytes of each record as they are, then format.bytearray.separator (a line feed unless set), plain or gzipped; needs ByteArrayConverter.",
    build: |options| Ok(Box::new(BytesFormat::new(options)?)),
};

const FORMAT: &str = "bytes";
const EXTENSION: &str = "format.bytearray.extension";
const SEPARATOR: &str = "format.bytearray.separator";

#[derive(Debug)]
struct BytesFormat {
    extension: String,
    separator: Vec<u8>,
    gzip: Option<Compression>,
}

impl BytesFormat {
    fn new(options: &Options) -> Result<Self, FormatError> {
        let gzip = compression(options)?;
        let extension = options.get(EXTENSION).map_or(".bin", |text| text.trim());
        let extension = format!("{extension}{}", if gzip.is_some() { ".gz" } else { "" });
        let separator = options.get(SEPARATOR).map_or("\n", String::as_str).as_bytes().to_vec();
        Ok(Self { extension, separator, gzip })
    }
}

impl FileFormat for BytesFormat {
    fn extension(&self) -> &str {
        &self.extension
    }

    fn content_type(&self) -> &'static str {
        content_type(self.gzip, "application/octet-stream")
    }

    fn needs_columns(&self) -> bool {
        false
    }

    fn gzips(&self) -> bool {
        true
    }

    fn encoder(&self, field: &FieldRef) -> Result<Box<dyn Encoder>, FormatError> {
        if field.data_type() != &DataType::Binary {
            let what = format!("{} of type {}", field.name(), field.data_type());
            let hint = match field.name().as_str() {
                "headers" => "choose AvroFormat, JsonFormat or ParquetFormat in headers.format.class".to_owned(),
                name => {
                    let side = if name == "key" { "key" } else { "value" };
                    format!("set {side}.converter=org.apache.kafka.connect.converters.ByteArrayConverter, or choose another format class")
                }
            };
            return Err(FormatError::Unsupported { format: FORMAT, what, hint });
        }
        Ok(Box::new(BytesEncoder { separator: self.separator.clone(), file: TextFile::new(FORMAT, self.gzip) }))
    }
}

/// The records of one file.
#[derive(Debug)]
struct BytesEncoder {
    separator: Vec<u8>,
    file: TextFile,
}

fn failed(error: impl Display) -> FormatError {
    FormatError::Encode { format: FORMAT, message: error.to_string() }
}

impl Encoder for BytesEncoder {
    fn write(&mut self, rows: &ArrayRef) -> Result<(), FormatError> {
        let records = rows.as_binary_opt::<i32>().ok_or_else(|| failed(format_args!("rows of type {} came to a file of bytes", rows.data_type())))?;
        if let Some(row) = (0..records.len()).find(|row| records.is_null(*row)) {
            return Err(failed(format_args!("row \"{row}\" is null, a file holds values only; set behavior.on.null.values")));
        }
        let separator = &self.separator;
        self.file.write(records.len(), |row, out| {
            out.extend_from_slice(records.value(row));
            out.extend_from_slice(separator);
        })
    }

    fn flush(&mut self) -> Result<(), FormatError> {
        Ok(()) // a gzip stream is not cut: every cut costs bytes and helps no reader
    }

    fn take(&mut self) -> Vec<Bytes> {
        self.file.take()
    }

    fn encoded_bytes(&self) -> u64 {
        self.file.encoded_bytes()
    }

    fn memory_bytes(&self) -> u64 {
        self.file.memory_bytes()
    }

    fn finish(self: Box<Self>, _footer: &[(String, String)]) -> Result<(Vec<Bytes>, FileStats), FormatError> {
        self.file.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;

    use arrow::array::{BinaryArray, StringArray};
    use arrow::datatypes::Field;

    use super::*;

    fn format(settings: &[(&str, &str)]) -> BytesFormat {
        BytesFormat::new(&settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()).expect("valid")
    }

    fn written(format: &BytesFormat, records: &[&[u8]]) -> Vec<u8> {
        let rows: ArrayRef = Arc::new(BinaryArray::from_iter_values(records));
        let mut encoder = format.encoder(&Arc::new(Field::new("value", DataType::Binary, true))).expect("bytes");
        encoder.write(&rows).expect("rows");
        let mut bytes = encoder.take().concat();
        let (rest, stats) = encoder.finish(&[]).expect("the end");
        bytes.extend(rest.concat());
        assert_eq!((stats.rows, stats.bytes), (records.len() as u64, bytes.len() as u64));
        bytes
    }

    #[test]
    fn a_separator_stands_after_every_record() {
        for (settings, expected) in [
            (vec![], &b"a\n\xff\x00\n\n"[..]),
            (vec![(SEPARATOR, "")], b"a\xff\x00"),
            (vec![(SEPARATOR, " ; ")], b"a ; \xff\x00 ;  ; "),
            (vec![(SEPARATOR, "\r\n")], b"a\r\n\xff\x00\r\n\r\n"),
            (vec![(SEPARATOR, "\\n")], b"a\\n\xff\x00\\n\\n"),
        ] {
            assert_eq!(written(&format(&settings), &[b"a", b"\xff\x00", b""]), expected, "{settings:?}");
        }
        assert_eq!(written(&format(&[]), &[]), b"");
    }

    #[test]
    fn the_extension_is_the_setting_and_gzip_adds_its_own() {
        for (settings, extension, content) in [
            (vec![], ".bin", "application/octet-stream"),
            (vec![(EXTENSION, " .raw ")], ".raw", "application/octet-stream"),
            (vec![(EXTENSION, "")], "", "application/octet-stream"),
            (vec![("s3.compression.type", "gzip")], ".bin.gz", "application/gzip"),
            (vec![("gcs.compression.type", "gzip"), (EXTENSION, ".customExt")], ".customExt.gz", "application/gzip"),
        ] {
            let format = format(&settings);
            assert_eq!((format.extension(), format.content_type()), (extension, content));
        }
        let zipped = written(&format(&[("az.compression.type", "gzip"), ("az.compression.level", "9")]), &[b"a", b"b"]);
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(zipped.as_slice()).read_to_end(&mut text).expect("gzip");
        assert_eq!(text, b"a\nb\n");
    }

    #[test]
    fn other_columns_are_refused_with_the_converter_to_set() {
        for (name, hint) in [
            ("value", "set value.converter=org.apache.kafka.connect.converters.ByteArrayConverter, or choose another format class"),
            ("key", "set key.converter=org.apache.kafka.connect.converters.ByteArrayConverter, or choose another format class"),
            ("headers", "choose AvroFormat, JsonFormat or ParquetFormat in headers.format.class"),
        ] {
            let error = format(&[]).encoder(&Arc::new(Field::new(name, DataType::Utf8, true))).err().expect("no bytes");
            assert_eq!(error.to_string(), format!("bytes cannot hold {name} of type Utf8: {hint}"));
        }
        let mut encoder = format(&[]).encoder(&Arc::new(Field::new("value", DataType::Binary, true))).expect("bytes");
        let null: ArrayRef = Arc::new(BinaryArray::from(vec![Some(&b"a"[..]), None]));
        assert!(encoder.write(&null).expect_err("a null").to_string().starts_with("bytes: row \"1\" is null"));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        assert!(encoder.write(&text).is_err());
    }
}
