//! JSON lines: one value on one line for each row.
//!
//! Source: `io.confluent.connect.s3.format.json.JsonFormat` and its record writer; what each type looks like is the table in `print`.
//!
//! Parts: this file holds settings, compression and the file; `print` turns columns into text, `number` prints numbers as Java does.
//!
//! Guarantee: rows come out in order, one line each; JSON text that was read is written as it was.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::FieldRef;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use self::print::{DecimalFormat, Printer, unsupported};
use super::{Encoder, File, FileFormat, FileStats, FormatError, Options};

mod number;
mod print;

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

/// Prefixes of the compression settings, by store.
const STORES: [&str; 3] = ["s3", "gcs", "az"];

/// Text that is collected before it is compressed; also about what a deflate stream holds.
const CHUNK_BYTES: usize = 256 * 1024;

#[derive(Debug)]
struct JsonFormat {
    gzip: Option<Compression>,
    decimals: DecimalFormat,
}

impl JsonFormat {
    fn new(options: &Options) -> Result<Self, FormatError> {
        let config = |key: &str, message: String| Err(FormatError::Config { key: key.to_owned(), message });
        let mut gzip = None;
        for store in STORES {
            let key = format!("{store}.compression.level");
            let level = match options.get(&key).map(|level| (level, level.trim().parse::<i32>())) {
                None | Some((_, Ok(-1))) => Compression::default(),
                Some((_, Ok(level @ 0..=9))) => Compression::new(level.unsigned_abs()),
                Some((value, _)) => return config(&key, format!("{value:?} is not a level: -1 (the default) or 0 to 9")),
            };
            let key = format!("{store}.compression.type");
            match options.get(&key).map(String::as_str) {
                None | Some("none") => {}
                Some("gzip") => gzip = Some(level),
                Some(value) => return config(&key, format!("{value:?} is not one of none, gzip")),
            }
        }
        let key = "json.decimal.format";
        let decimals = match options.get(key).map(|value| value.trim().to_ascii_uppercase()).as_deref() {
            None | Some("BASE64") => DecimalFormat::Base64,
            Some("NUMERIC") => DecimalFormat::Numeric,
            Some(_) => return config(key, format!("{:?} is not one of BASE64, NUMERIC", options.get(key).map_or("", String::as_str))),
        };
        Ok(Self { gzip, decimals })
    }
}

impl FileFormat for JsonFormat {
    fn extension(&self) -> &str {
        if self.gzip.is_some() { ".json.gz" } else { ".json" }
    }

    fn content_type(&self) -> &'static str {
        if self.gzip.is_some() { "application/gzip" } else { "application/json" }
    }

    fn needs_columns(&self) -> bool {
        false
    }

    fn encoder(&self, field: &FieldRef) -> Result<Box<dyn Encoder>, FormatError> {
        if let Some(what) = unsupported(field) {
            let hint = "convert the field to one of Connect's types, or leave it out, with a transform".to_owned();
            return Err(FormatError::Unsupported { format: "json", what, hint });
        }
        let output = match self.gzip {
            None => Output::Plain(Vec::new()),
            Some(level) => Output::Gzip(Box::new(GzEncoder::new(Vec::new(), level))),
        };
        Ok(Box::new(JsonEncoder { field: Arc::clone(field), decimals: self.decimals, output, text: Vec::new(), taken_bytes: 0, rows: 0 }))
    }
}

/// The lines of one file.
struct JsonEncoder {
    field: FieldRef,
    decimals: DecimalFormat,
    output: Output,
    /// Lines that are not compressed yet.
    text: Vec<u8>,
    taken_bytes: u64,
    rows: u64,
}

/// The file's bytes, those that were taken left out.
enum Output {
    Plain(Vec<u8>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl fmt::Debug for JsonEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonEncoder").field("rows", &self.rows).field("taken_bytes", &self.taken_bytes).finish_non_exhaustive()
    }
}

impl JsonEncoder {
    /// Compresses what is left of the text.
    fn compress(&mut self) -> Result<(), FormatError> {
        if let Output::Gzip(gzip) = &mut self.output {
            gzip.write_all(&self.text).map_err(failed)?;
            self.text.clear();
        }
        Ok(())
    }

    fn finished(&mut self) -> &mut Vec<u8> {
        match &mut self.output {
            Output::Plain(bytes) => bytes,
            Output::Gzip(gzip) => gzip.get_mut(),
        }
    }
}

fn failed(error: impl fmt::Display) -> FormatError {
    FormatError::Encode { format: "json", message: error.to_string() }
}

impl Encoder for JsonEncoder {
    fn write(&mut self, rows: &ArrayRef) -> Result<(), FormatError> {
        if rows.data_type() != self.field.data_type() {
            return Err(failed(format_args!("rows of type {} came to a file of type {}", rows.data_type(), self.field.data_type())));
        }
        let field = Arc::clone(&self.field);
        let printer = Printer::new(rows, &field, self.decimals);
        for row in 0..rows.len() {
            let lines = match &mut self.output {
                Output::Plain(bytes) => bytes,
                Output::Gzip(_) => &mut self.text,
            };
            printer.print(row, lines);
            lines.push(b'\n');
            if self.text.len() >= CHUNK_BYTES {
                self.compress()?;
            }
        }
        self.rows += rows.len() as u64;
        self.compress()
    }

    fn flush(&mut self) -> Result<(), FormatError> {
        Ok(()) // a gzip stream is not cut: every cut costs bytes and helps no reader
    }

    fn take(&mut self) -> Vec<Bytes> {
        let bytes = std::mem::take(self.finished());
        self.taken_bytes += bytes.len() as u64;
        if bytes.is_empty() { Vec::new() } else { vec![bytes.into()] }
    }

    fn encoded_bytes(&self) -> u64 {
        let waiting = match &self.output {
            Output::Plain(bytes) => bytes.len(),
            Output::Gzip(gzip) => gzip.get_ref().len(),
        };
        self.taken_bytes + waiting as u64
    }

    fn memory_bytes(&self) -> u64 {
        let output = match &self.output {
            Output::Plain(bytes) => bytes.capacity(),
            Output::Gzip(gzip) => gzip.get_ref().capacity() + CHUNK_BYTES,
        };
        (output + self.text.capacity()) as u64
    }

    fn finish(mut self: Box<Self>, _footer: &[(String, String)]) -> Result<(Vec<Bytes>, FileStats), FormatError> {
        self.compress()?;
        let bytes = match self.output {
            Output::Plain(bytes) => bytes,
            Output::Gzip(gzip) => gzip.finish().map_err(failed)?,
        };
        let stats = FileStats { rows: self.rows, bytes: self.taken_bytes + bytes.len() as u64, row_groups: 1 };
        Ok((if bytes.is_empty() { Vec::new() } else { vec![bytes.into()] }, stats))
    }
}

#[cfg(test)]
mod tests;
