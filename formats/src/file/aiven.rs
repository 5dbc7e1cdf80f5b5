//! Aiven's record files: csv, json and jsonl of a record's parts (`key`, `value`, `offset`, `timestamp`, `headers`).
//!
//! Source: `io.aiven.kafka.connect.common.output`. Rows are a struct of the requested parts under their names, or one part alone where the envelope is off.
//!
//! | part | csv | json, jsonl |
//! |---|---|---|
//! | key | base64 | as `JsonConverter` without an envelope |
//! | value | base64, or the bytes themselves | the same |
//! | offset | decimal | number |
//! | timestamp | milliseconds | text, as the caller made it |
//! | headers | `base64(name):base64(value);` each | list of `{"key":…,"value":…}` |
//!
//! Records are joined by a line feed, and no line feed ends the file. The file as a whole is compressed: snappy in the framing of Java's
//! `SnappyOutputStream`. Unlike the formats in [`super::FILES`], a file takes rows of several schemas one after the other: nothing in it depends on the first.

use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, PrimitiveArray, StringArray, StructArray};
use arrow::datatypes::{DataType, Int64Type, TimestampMillisecondType};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::write::GzEncoder;

use super::{FileStats, FormatError, Options, json};
use crate::column::Column;

/// How records look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordLayout {
    /// Parts in their order, with commas.
    Csv {
        /// False writes the value's bytes as they are.
        is_value_base64: bool,
    },
    /// One JSON text on each line.
    JsonLines,
    /// One JSON array.
    JsonArray,
}

/// `file.compression.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordCompression {
    /// `none`.
    None,
    /// `gzip`.
    Gzip,
    /// `snappy`.
    Snappy,
    /// `zstd`.
    Zstd,
}

impl RecordCompression {
    /// Every compression, by the name that the setting has for it.
    pub const NAMES: [(&'static str, Self); 4] = [("none", Self::None), ("gzip", Self::Gzip), ("snappy", Self::Snappy), ("zstd", Self::Zstd)];

    /// The end of a default file name.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Snappy => ".snappy",
            Self::Zstd => ".zst",
        }
    }
}

/// The writer of one file.
pub struct RecordFile {
    layout: RecordLayout,
    output: Output,
    /// Text that is not compressed yet.
    text: Vec<u8>,
    rows: u64,
    taken_bytes: u64,
}

impl std::fmt::Debug for RecordFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordFile").field("layout", &self.layout).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl RecordFile {
    /// A file without rows.
    ///
    /// # Errors
    /// When the compressor cannot be made.
    pub fn new(layout: RecordLayout, compression: RecordCompression) -> Result<Self, FormatError> {
        Ok(Self { layout, output: Output::new(compression)?, text: Vec::new(), rows: 0, taken_bytes: 0 })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// [`FormatError`] when the layout has no form for a part; the file must not be used after it.
    pub fn write(&mut self, rows: &Column) -> Result<(), FormatError> {
        if rows.is_empty() {
            return Ok(());
        }
        match self.layout {
            RecordLayout::Csv { is_value_base64 } => self.write_csv(rows, is_value_base64)?,
            RecordLayout::JsonLines => self.write_json(rows, b"\n")?,
            RecordLayout::JsonArray => self.write_json(rows, b",\n")?,
        }
        self.rows += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        self.output.write(&self.text)?;
        self.text.clear();
        Ok(())
    }

    /// Bytes that will not change any more, each once.
    pub fn take(&mut self) -> Option<Bytes> {
        let bytes = std::mem::take(self.output.finished());
        self.taken_bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        (!bytes.is_empty()).then(|| bytes.into())
    }

    /// Ends the file: the rest of its bytes, and what it holds.
    ///
    /// # Errors
    /// [`FormatError`] of the compressor.
    pub fn finish(mut self) -> Result<(Bytes, FileStats), FormatError> {
        if self.layout == RecordLayout::JsonArray && self.rows > 0 {
            self.output.write(b"\n]")?;
        }
        let bytes = self.output.finish()?;
        let stats = FileStats { rows: self.rows, bytes: self.taken_bytes + u64::try_from(bytes.len()).unwrap_or(u64::MAX), row_groups: 1 };
        Ok((bytes.into(), stats))
    }

    /// What goes before the next record.
    fn separate(&mut self, separator: &[u8], is_first: bool) {
        match (is_first, self.layout) {
            (false, _) => self.text.extend_from_slice(separator),
            (true, RecordLayout::JsonArray) => self.text.extend_from_slice(b"[\n"),
            (true, _) => {}
        }
    }

    fn write_json(&mut self, rows: &Column, separator: &[u8]) -> Result<(), FormatError> {
        let mut encoder = (json::FILE.build)(&Options::new())?.encoder(&rows.field)?;
        encoder.write(&rows.array)?;
        let mut parts = encoder.take();
        parts.extend(encoder.finish(&[])?.0);
        let lines: Vec<u8> = parts.concat();
        // a row is one line, whatever is in it
        for (row, line) in lines.strip_suffix(b"\n").unwrap_or(&lines).split(|byte| *byte == b'\n').enumerate() {
            self.separate(separator, self.rows == 0 && row == 0);
            self.text.extend_from_slice(line);
        }
        Ok(())
    }

    fn write_csv(&mut self, rows: &Column, is_value_base64: bool) -> Result<(), FormatError> {
        let parts = rows.array.as_struct_opt().ok_or_else(|| refused("rows that are no struct of parts"))?;
        let cells =
            parts.fields().iter().zip(parts.columns()).map(|(field, array)| Cells::new(field.name(), array, is_value_base64)).collect::<Result<Vec<_>, _>>()?;
        for row in 0..parts.len() {
            self.separate(b"\n", self.rows == 0 && row == 0);
            for (at, cell) in cells.iter().enumerate() {
                if at > 0 {
                    self.text.push(b',');
                }
                cell.push(row, &mut self.text);
            }
        }
        Ok(())
    }
}

fn refused(what: &str) -> FormatError {
    FormatError::Unsupported {
        format: "csv",
        what: what.to_owned(),
        hint: "use ByteArrayConverter for values, and ByteArrayConverter or StringConverter for keys".to_owned(),
    }
}

/// One part of the records, ready for csv.
enum Cells<'a> {
    Bytes(&'a BinaryArray, bool),
    Text(&'a StringArray),
    Number(&'a PrimitiveArray<Int64Type>),
    Time(&'a PrimitiveArray<TimestampMillisecondType>),
    Headers(&'a arrow::array::ListArray, &'a StructArray),
    Null,
}

impl<'a> Cells<'a> {
    fn new(part: &str, array: &'a ArrayRef, is_value_base64: bool) -> Result<Self, FormatError> {
        let given = array.data_type();
        let cells = match (part, given) {
            ("key", DataType::Binary) => array.as_binary_opt().map(|bytes| Self::Bytes(bytes, true)),
            ("key", DataType::Utf8) => array.as_string_opt().map(Self::Text),
            ("value", DataType::Binary) => array.as_binary_opt().map(|bytes| Self::Bytes(bytes, is_value_base64)),
            ("key" | "value", DataType::Null) => Some(Self::Null),
            ("key", _) => return Err(refused(&format!("this: Record key schema type must be BYTES or STRING, {given} given"))),
            ("value", _) => return Err(refused(&format!("this: Record value schema type must be BYTES, {given} given"))),
            ("headers", _) => array.as_list_opt::<i32>().and_then(|list| Some(Self::Headers(list, list.values().as_struct_opt()?))),
            ("timestamp", _) => array.as_primitive_opt().map(Self::Time),
            _ => array.as_primitive_opt().map(Self::Number),
        };
        cells.ok_or_else(|| refused(&format!("{part} of type {given}")))
    }

    fn push(&self, row: usize, text: &mut Vec<u8>) {
        match self {
            Self::Bytes(array, true) if array.is_valid(row) => push_base64(array.value(row), text),
            Self::Bytes(array, false) if array.is_valid(row) => text.extend_from_slice(array.value(row)),
            Self::Text(array) if array.is_valid(row) => push_base64(array.value(row).as_bytes(), text),
            Self::Number(array) if array.is_valid(row) => text.extend_from_slice(itoa::Buffer::new().format(array.value(row)).as_bytes()),
            Self::Time(array) if array.is_valid(row) => text.extend_from_slice(itoa::Buffer::new().format(array.value(row)).as_bytes()),
            Self::Headers(list, entries) if list.is_valid(row) => push_headers(list.value_offsets().get(row..row + 2), entries, text),
            _ => {}
        }
    }
}

fn push_base64(bytes: &[u8], text: &mut Vec<u8>) {
    let start = text.len();
    text.resize(start + base64::encoded_len(bytes.len(), true).unwrap_or(0), 0);
    let written = text.get_mut(start..).and_then(|room| STANDARD.encode_slice(bytes, room).ok()).unwrap_or(0);
    text.truncate(start + written);
}

fn push_headers(bounds: Option<&[i32]>, entries: &StructArray, text: &mut Vec<u8>) {
    let (Some(&[from, to]), [names, values]) = (bounds, entries.columns()) else { return };
    let (Some(names), Some(values)) = (names.as_string_opt::<i32>(), values.as_binary_opt::<i32>()) else { return };
    for at in (from..to).filter_map(|at| usize::try_from(at).ok()) {
        push_base64(names.value(at).as_bytes(), text);
        text.push(b':');
        if values.is_valid(at) {
            push_base64(values.value(at), text);
        }
        text.push(b';');
    }
}

/// The file's bytes, those that were taken left out.
enum Output {
    Plain(Vec<u8>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Snappy(Box<Snappy>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

/// Java's snappy stream: a header, then blocks with their lengths.
struct Snappy {
    encoder: snap::raw::Encoder,
    waiting: Vec<u8>,
    bytes: Vec<u8>,
}

/// Bytes of text in a block of a snappy stream.
const SNAPPY_BLOCK_BYTES: usize = 32 << 10;
/// `\x82SNAPPY\0`, version 1, readable since version 1.
const SNAPPY_HEADER: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";

impl Snappy {
    fn block(&mut self, length: usize) -> Result<(), FormatError> {
        let rest = self.waiting.split_off(length.min(self.waiting.len()));
        let block = std::mem::replace(&mut self.waiting, rest);
        let packed = self.encoder.compress_vec(&block).map_err(failed)?;
        self.bytes.extend_from_slice(&u32::try_from(packed.len()).map_err(failed)?.to_be_bytes());
        self.bytes.extend_from_slice(&packed);
        Ok(())
    }
}

impl Output {
    fn new(compression: RecordCompression) -> Result<Self, FormatError> {
        Ok(match compression {
            RecordCompression::None => Self::Plain(Vec::new()),
            RecordCompression::Gzip => Self::Gzip(Box::new(GzEncoder::new(Vec::new(), flate2::Compression::default()))),
            RecordCompression::Snappy => {
                Self::Snappy(Box::new(Snappy { encoder: snap::raw::Encoder::new(), waiting: Vec::new(), bytes: SNAPPY_HEADER.to_vec() }))
            }
            RecordCompression::Zstd => Self::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), zstd::DEFAULT_COMPRESSION_LEVEL).map_err(failed)?)),
        })
    }

    fn write(&mut self, text: &[u8]) -> Result<(), FormatError> {
        match self {
            Self::Plain(bytes) => bytes.extend_from_slice(text),
            Self::Gzip(gzip) => gzip.write_all(text).map_err(failed)?,
            Self::Zstd(zstd) => zstd.write_all(text).map_err(failed)?,
            Self::Snappy(snappy) => {
                snappy.waiting.extend_from_slice(text);
                while snappy.waiting.len() >= SNAPPY_BLOCK_BYTES {
                    snappy.block(SNAPPY_BLOCK_BYTES)?;
                }
            }
        }
        Ok(())
    }

    fn finished(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Gzip(gzip) => gzip.get_mut(),
            Self::Zstd(zstd) => zstd.get_mut(),
            Self::Snappy(snappy) => &mut snappy.bytes,
        }
    }

    fn finish(self) -> Result<Vec<u8>, FormatError> {
        match self {
            Self::Plain(bytes) => Ok(bytes),
            Self::Gzip(gzip) => gzip.finish().map_err(failed),
            Self::Zstd(zstd) => zstd.finish().map_err(failed),
            Self::Snappy(mut snappy) => {
                if !snappy.waiting.is_empty() {
                    snappy.block(SNAPPY_BLOCK_BYTES)?;
                }
                Ok(snappy.bytes)
            }
        }
    }
}

fn failed(error: impl std::fmt::Display) -> FormatError {
    FormatError::Encode { format: "records", message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;

    use arrow::array::{Int64Array, TimestampMillisecondArray};
    use arrow::datatypes::Field;

    use super::*;
    use crate::schema::json_text;

    fn parts(columns: Vec<(Arc<Field>, ArrayRef)>) -> Column {
        let array = StructArray::from(columns);
        Column::new(Arc::new(Field::new("record", array.data_type().clone(), false)), Arc::new(array))
    }

    fn named(name: &str, array: ArrayRef) -> (Arc<Field>, ArrayRef) {
        (Arc::new(Field::new(name, array.data_type().clone(), true)), array)
    }

    fn written(layout: RecordLayout, pieces: &[Column]) -> String {
        let mut file = RecordFile::new(layout, RecordCompression::None).unwrap();
        let mut bytes = Vec::new();
        for piece in pieces {
            file.write(piece).unwrap();
            bytes.extend(file.take().unwrap_or_default());
        }
        let (rest, stats) = file.finish().unwrap();
        bytes.extend(rest);
        assert_eq!((stats.rows, stats.bytes), (pieces.iter().map(|p| p.len() as u64).sum(), bytes.len() as u64));
        String::from_utf8(bytes).unwrap()
    }

    fn values(texts: &[Option<&str>]) -> Column {
        parts(vec![(json_text("value"), Arc::new(StringArray::from(texts.to_vec())) as ArrayRef)])
    }

    #[test]
    fn csv_of_parts() {
        let rows = parts(vec![
            named("key", Arc::new(StringArray::from(vec![Some("k"), None]))),
            named("value", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"v"), Some(b"w")]))),
            named("offset", Arc::new(Int64Array::from(vec![1, 2]))),
            named("timestamp", Arc::new(TimestampMillisecondArray::from(vec![Some(1000), None]))),
        ]);
        assert_eq!(written(RecordLayout::Csv { is_value_base64: true }, std::slice::from_ref(&rows)), "aw==,dg==,1,1000\n,dw==,2,");
        assert_eq!(written(RecordLayout::Csv { is_value_base64: false }, &[rows.slice(0, 1), rows.slice(1, 1)]), "aw==,v,1,1000\n,w,2,");
    }

    #[test]
    fn csv_refuses_typed_values() {
        let rows = parts(vec![named("value", Arc::new(StringArray::from(vec!["str"])))]);
        let error = RecordFile::new(RecordLayout::Csv { is_value_base64: true }, RecordCompression::None).unwrap().write(&rows).unwrap_err();
        assert!(error.to_string().contains("Record value schema type must be BYTES"), "{error}");
    }

    #[test]
    fn json_lines_and_arrays() {
        let (first, second) = (values(&[Some(r#"{"a":1}"#)]), values(&[Some("{\n\"a\":2}"), None]));
        assert_eq!(written(RecordLayout::JsonLines, &[first.clone(), second.clone()]), "{\"value\":{\"a\":1}}\n{\"value\":{\"a\":2}}\n{\"value\":null}");
        assert_eq!(written(RecordLayout::JsonArray, &[first, second]), "[\n{\"value\":{\"a\":1}},\n{\"value\":{\"a\":2}},\n{\"value\":null}\n]");
        assert_eq!(written(RecordLayout::JsonArray, &[]), "");
    }

    #[test]
    fn compressions_are_read_by_others() {
        let rows = values(&[Some("\"abc\""); 5000]);
        let plain = written(RecordLayout::JsonLines, std::slice::from_ref(&rows));
        for (name, compression) in RecordCompression::NAMES {
            let mut file = RecordFile::new(RecordLayout::JsonLines, compression).unwrap();
            file.write(&rows).unwrap();
            let mut bytes = file.take().unwrap_or_default().to_vec();
            bytes.extend(file.finish().unwrap().0);
            let mut text = String::new();
            match compression {
                RecordCompression::None => text = String::from_utf8(bytes).unwrap(),
                RecordCompression::Gzip => drop(flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap()),
                RecordCompression::Zstd => text = String::from_utf8(zstd::decode_all(bytes.as_slice()).unwrap()).unwrap(),
                RecordCompression::Snappy => {
                    let mut rest = bytes.strip_prefix(SNAPPY_HEADER).unwrap();
                    while let Some((length, after)) = rest.split_first_chunk::<4>() {
                        let (block, after) = after.split_at(u32::from_be_bytes(*length) as usize);
                        text.push_str(&String::from_utf8(snap::raw::Decoder::new().decompress_vec(block).unwrap()).unwrap());
                        rest = after;
                    }
                }
            }
            assert_eq!(text, plain, "{name}");
        }
    }
}
