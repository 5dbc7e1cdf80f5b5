//! The Parquet format: `ArrowWriter` over bytes, with encodings chosen from the data.
//!
//! Parts: `ParquetFormat`, the settings; `Parquet`, one file's encoder; `settings`, the connector's keys; `types`, which types a file can hold; `message`, the
//! schema of a file; `encodings`, which encoding suits a column; `sink`, where the
//! bytes go. The shape of a file is upstream's, who writes Parquet through Avro: names, lists of two levels,
//! and the Avro schema in the footer, from which readers in Java take their types; there, decimals and bytes are as the columns have them. There is no Arrow
//! schema beside it: what the Parquet schema says is all that a reader sees, so that all readers see the same.
//!
//! Guarantee: the same rows, given in the same batches and row groups, make the same bytes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::file::metadata::KeyValue;

use super::avro::{self, Rules};
use super::{Encoder, File, FileFormat, FileStats, FormatError, Options, View};
use crate::schema::NAME;
use crate::schema::avro::CONNECT_DEFAULT;

mod encodings;
mod message;
mod settings;
mod sink;
mod types;

use message::Message;
use settings::Settings;
use sink::Sink;

/// Registration.
pub(super) const FILE: File = File {
    name: FORMAT,
    aliases: &[
        "io.confluent.connect.s3.format.parquet.ParquetFormat",
        "io.confluent.connect.gcs.format.parquet.ParquetFormat",
        "io.confluent.connect.azure.blob.format.parquet.ParquetFormat",
        "io.confluent.connect.azure.storage.format.parquet.ParquetFormat",
    ],
    doc: "Apache Parquet: one column chunk per field and row group, compressed with parquet.codec (snappy unless set).",
    build,
};

const FORMAT: &str = "parquet";

/// Rows that are looked at before encodings are chosen, and bytes, since they are held until then.
const CHOICE_ROWS: usize = 16_384;
const CHOICE_BYTES: usize = 8 << 20;

/// The footer's key for the Avro schema of the rows, as Java's Parquet library writes and reads it.
const AVRO_SCHEMA: &str = "parquet.avro.schema";
/// The footer's key for the object model that the file was written from, and Avro's name there.
const MODEL: (&str, &str) = ("writer.model.name", "avro");

fn build(options: &Options) -> Result<Box<dyn FileFormat>, FormatError> {
    Settings::from_options(options).map(|settings| Box::new(ParquetFormat { settings: Arc::new(settings) }) as Box<dyn FileFormat>)
}

/// Parquet with its settings.
#[derive(Debug)]
struct ParquetFormat {
    settings: Arc<Settings>,
}

impl FileFormat for ParquetFormat {
    fn extension(&self) -> &str {
        self.settings.extension
    }

    fn content_type(&self) -> &'static str {
        "application/vnd.apache.parquet"
    }

    fn needs_columns(&self) -> bool {
        true
    }

    fn envelops(&self, _view: View) -> bool {
        true
    }

    fn encoder(&self, field: &FieldRef) -> Result<Box<dyn Encoder>, FormatError> {
        let name = field.metadata().get(NAME).map_or(CONNECT_DEFAULT, String::as_str);
        // A file has no rows that are null, so its message is a record where upstream sees a union with null, and refuses it.
        let required = field.as_ref().clone().with_nullable(false);
        let fields = match field.data_type() {
            DataType::Struct(fields) if !avro::is_union(field) => fields,
            // The first sentence is what upstream says.
            other => {
                return Err(types::unsupported(
                    format!("values of type {other}"),
                    "Avro schema must be a record. Use a converter that gives structs, or another format.class",
                ));
            }
        };
        types::check(fields)?;
        Ok(Box::new(Parquet {
            schema: Arc::new(Schema::new(fields.clone())),
            message: Message::new(name, fields, self.settings.form)?,
            avro: avro::schema_text(&required, Rules { of_columns: true, ..self.settings.form.rules }).ok(),
            settings: Arc::clone(&self.settings),
            state: State::Choosing { waiting: Vec::new(), rows: 0, bytes: 0 },
            ready: Vec::new(),
            rows: 0,
        }))
    }
}

/// The encoder of one file.
struct Parquet {
    schema: SchemaRef,
    message: Message,
    /// The Avro schema of the rows; none when Avro has no form for them, a field's name for example.
    avro: Option<String>,
    settings: Arc<Settings>,
    state: State,
    ready: Vec<Bytes>,
    rows: u64,
}

enum State {
    /// The first rows, until there are enough to choose encodings from.
    Choosing {
        waiting: Vec<StructArray>,
        rows: usize,
        /// Slices count for themselves, not for the batch that they were cut from.
        bytes: usize,
    },
    Writing(Box<ArrowWriter<Sink>>),
}

impl Encoder for Parquet {
    fn write(&mut self, rows: &ArrayRef) -> Result<(), FormatError> {
        let rows = self.structs(rows)?;
        self.rows += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        match &mut self.state {
            State::Choosing { waiting, rows: count, bytes } => {
                *count += rows.len();
                *bytes += rows.to_data().get_slice_memory_size().unwrap_or(0);
                waiting.push(rows);
                if *count >= CHOICE_ROWS || *bytes >= CHOICE_BYTES {
                    self.writer(false)?;
                }
            }
            State::Writing(writer) => write(writer, &rows)?,
        }
        match &mut self.state {
            // Row groups may have ended by their number of rows.
            State::Writing(writer) if self.settings.group_rows.is_some() => drain(writer, &mut self.ready),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), FormatError> {
        if matches!(&self.state, State::Choosing { rows: 0, .. }) {
            return Ok(());
        }
        self.writer(true)?.flush().map_err(encode)?;
        match &mut self.state {
            State::Writing(writer) => drain(writer, &mut self.ready),
            State::Choosing { .. } => Ok(()),
        }
    }

    fn take(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.ready)
    }

    fn encoded_bytes(&self) -> u64 {
        match &self.state {
            State::Choosing { .. } => 0,
            State::Writing(writer) => count(writer.bytes_written()),
        }
    }

    fn memory_bytes(&self) -> u64 {
        let ready: usize = self.ready.iter().map(Bytes::len).sum();
        let held = match &self.state {
            State::Choosing { bytes, .. } => *bytes,
            State::Writing(writer) => writer.memory_size() + writer.inner().memory_bytes(),
        };
        count(ready + held)
    }

    fn finish(mut self: Box<Self>, footer: &[(String, String)]) -> Result<(Vec<Bytes>, FileStats), FormatError> {
        let avro = self.avro.take().map(|schema| (AVRO_SCHEMA.to_owned(), schema));
        let model = (MODEL.0.to_owned(), MODEL.1.to_owned());
        let writer = self.writer(true)?;
        for (key, value) in avro.into_iter().chain([model]).chain(footer.iter().cloned()) {
            writer.append_key_value_metadata(KeyValue::new(key, value));
        }
        let row_groups = writer.finish().map_err(encode)?.num_row_groups();
        let bytes = writer.inner_mut().take();
        let length = writer.bytes_written();
        self.ready.extend(bytes);
        Ok((self.ready, FileStats { rows: self.rows, bytes: count(length), row_groups: count(row_groups) }))
    }
}

impl Parquet {
    /// The rows as records of this file.
    fn structs(&self, rows: &ArrayRef) -> Result<StructArray, FormatError> {
        if rows.null_count() > 0 {
            let row = (0..rows.len()).find(|row| rows.is_null(*row)).unwrap_or(0);
            return Err(encode(format!("row \"{row}\" is null, a file holds records only; set behavior.on.null.values")));
        }
        match rows.as_struct_opt() {
            Some(rows) if rows.fields() == self.schema.fields() => Ok(rows.clone()),
            _ => Err(encode(format!("rows of type {} in a file of {}", rows.data_type(), self.schema))),
        }
    }

    /// The writer, made now if it is not there yet: encodings are chosen from the rows that waited. `whole` says that they are a whole row group.
    fn writer(&mut self, whole: bool) -> Result<&mut ArrowWriter<Sink>, FormatError> {
        if let State::Choosing { waiting, .. } = &mut self.state {
            let waiting = std::mem::take(waiting);
            let schema = self.message.schema.clone();
            let properties = encodings::choose(self.settings.properties(&self.message), &schema, &waiting, whole, &self.settings);
            let options = ArrowWriterOptions::new().with_properties(properties.build()).with_parquet_schema(schema).with_skip_arrow_metadata(true);
            let mut writer = ArrowWriter::try_new_with_options(Sink::default(), Arc::clone(&self.schema), options).map_err(encode)?;
            waiting.into_iter().try_for_each(|rows| write(&mut writer, &rows))?;
            self.state = State::Writing(Box::new(writer));
        }
        match &mut self.state {
            State::Writing(writer) => Ok(writer),
            State::Choosing { .. } => Err(encode("the writer was not made")),
        }
    }
}

fn write(writer: &mut ArrowWriter<Sink>, rows: &StructArray) -> Result<(), FormatError> {
    if rows.is_empty() { Ok(()) } else { writer.write(&RecordBatch::from(rows)).map_err(encode) }
}

/// Moves the finished bytes out of the writer.
fn drain(writer: &mut ArrowWriter<Sink>, ready: &mut Vec<Bytes>) -> Result<(), FormatError> {
    writer.sync().map_err(encode)?;
    ready.extend(writer.inner_mut().take());
    Ok(())
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn encode(error: impl ToString) -> FormatError {
    FormatError::Encode { format: FORMAT, message: error.to_string() }
}

#[cfg(test)]
mod tests;
