//! JSON lines: one value on one line for each row.
//!
//! Source: `io.confluent.connect.s3.format.json.JsonFormat` and its record writer; what each type looks like is the table in `print`.
//!
//! Parts: this file holds settings and the encoder; `print` turns columns into text, `number` prints numbers as Java does.
//!
//! Guarantee: rows come out in order, one line each; JSON text that was read is written as it was.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{Field, FieldRef};
use bytes::Bytes;
use flate2::Compression;

use super::text::{TextFile, compression, content_type};
use super::{Encoder, File, FileFormat, FileStats, FormatError, Options, View};

mod number;
mod print;

pub(crate) use self::number::push_f32;
pub use self::number::push_f64;
pub(crate) use self::print::{DecimalFormat, Nulls, Printer, push_base64, push_string, unsupported};

/// Registration.
pub(super) const FILE: File = File {
    name: "json",
    aliases: &[
        "io.confluent.connect.s3.format.json.JsonFormat",
        "io.confluent.connect.gcs.format.json.JsonFormat",
        "io.confluent.connect.azure.blob.format.json.JsonFormat",
        "io.confluent.connect.azure.storage.format.json.JsonFormat",
    ],
    doc: "JSON lines: one value on one line for each record, plain or gzipped.",
    build: |options| Ok(Box::new(JsonFormat::new(options)?)),
};

#[derive(Debug)]
struct JsonFormat {
    gzip: Option<Compression>,
    decimals: DecimalFormat,
}

impl JsonFormat {
    fn new(options: &Options) -> Result<Self, FormatError> {
        let gzip = compression(options)?;
        let key = "json.decimal.format";
        let decimals = match options.get(key).map(|value| value.trim().to_ascii_uppercase()).as_deref() {
            None | Some("BASE64") => DecimalFormat::Base64,
            Some("NUMERIC") => DecimalFormat::Numeric,
            Some(_) => {
                let message = "String must be one of (case insensitive): BASE64, NUMERIC".to_owned();
                return Err(FormatError::Config { key: key.to_owned(), message });
            }
        };
        Ok(Self { gzip, decimals })
    }
}

impl FileFormat for JsonFormat {
    fn extension(&self) -> &str {
        if self.gzip.is_some() { ".json.gz" } else { ".json" }
    }

    fn content_type(&self) -> &'static str {
        content_type(self.gzip, "application/json")
    }

    fn needs_columns(&self) -> bool {
        false
    }

    fn gzips(&self) -> bool {
        true
    }

    fn envelops(&self, view: View) -> bool {
        view == View::Headers
    }

    fn widens(&self) -> bool {
        true
    }

    fn encoder(&self, field: &FieldRef) -> Result<Box<dyn Encoder>, FormatError> {
        if let Some(what) = unsupported(field) {
            let hint = "convert the field to one of Connect's types, or leave it out, with a transform".to_owned();
            return Err(FormatError::Unsupported { format: "json", what, hint });
        }
        let file = TextFile::new("json", self.gzip);
        Ok(Box::new(JsonEncoder { field: Arc::clone(field), decimals: self.decimals, file }))
    }
}

/// The lines of one file.
#[derive(Debug)]
struct JsonEncoder {
    field: FieldRef,
    decimals: DecimalFormat,
    file: TextFile,
}

/// A value as JSON text, the first of an array: how defaults are kept in a field's metadata.
pub(crate) fn printed(array: &ArrayRef, field: &Field) -> String {
    let mut out = Vec::new();
    Printer::in_struct(array, &Arc::new(field.clone()), DecimalFormat::Base64, Nulls::Default).print(0, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn failed(error: impl fmt::Display) -> FormatError {
    FormatError::Encode { format: "json", message: error.to_string() }
}

impl Encoder for JsonEncoder {
    fn write(&mut self, rows: &ArrayRef) -> Result<(), FormatError> {
        if rows.data_type() != self.field.data_type() {
            return Err(failed(format_args!("rows of type {} came to a file of type {}", rows.data_type(), self.field.data_type())));
        }
        let printer = Printer::new(rows, &self.field, self.decimals);
        self.file.write(rows.len(), |row, lines| {
            printer.print(row, lines);
            lines.push(b'\n');
        })
    }

    fn widen(&mut self, field: &FieldRef) -> Result<(), FormatError> {
        self.field = Arc::clone(field);
        Ok(())
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
mod tests;
