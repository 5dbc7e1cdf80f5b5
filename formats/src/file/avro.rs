//! The Avro format: object container files.
//!
//! Parts: `AvroFormat`, the settings; `Avro`, one file's encoder, which cuts rows into blocks; `schema`, the schema of a field that did not
//! come from Avro; `rows`, columns as Avro's binary encoding; `codec`, the compression of a block. Rows that came from Avro are written under
//! the schema they came with, so that names, documentation, enums and unions survive, as long as no transform changed them.
//!
//! Guarantee: the same rows make the same bytes; the sync marker is derived from the schema. (Avro 1.12 specification, "Object Container Files".)

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{Field, FieldRef};
use bytes::Bytes;

use super::{Encoder, File, FileFormat, FileStats, FormatError, Options};
use crate::schema::avro::{self, Mapping, SCHEMA_TEXT, Schema};

mod codec;
mod rows;
mod schema;

use codec::Codec;
use rows::{Plan, put_bytes, put_long};

/// Registration.
pub(super) const FILE: File = File {
    name: FORMAT,
    aliases: &[
        "io.confluent.connect.s3.format.avro.AvroFormat",
        "io.confluent.connect.gcs.format.avro.AvroFormat",
        "io.confluent.connect.azure.blob.format.avro.AvroFormat",
        "io.confluent.connect.azure.storage.format.avro.AvroFormat",
    ],
    doc: "Avro object container files: a schema, then blocks of records, compressed with avro.codec (null unless set).",
    build,
};

const FORMAT: &str = "avro";

/// Bytes of rows after which a block ends: the Java library's default sync interval.
const BLOCK_BYTES: usize = 64_000;

fn build(options: &Options) -> Result<Box<dyn FileFormat>, FormatError> {
    let name = options.get("avro.codec").map_or("null", |text| text.trim());
    let codec = Codec::find(name).ok_or_else(|| FormatError::Config {
        key: "avro.codec".to_owned(),
        message: format!("\"{name}\" is not a codec; values taken: null, deflate, snappy, bzip2, zstandard (lower case)"),
    })?;
    Ok(Box::new(AvroFormat { codec }))
}

/// Avro with a codec.
#[derive(Debug)]
struct AvroFormat {
    codec: Codec,
}

impl FileFormat for AvroFormat {
    fn extension(&self) -> &str {
        ".avro"
    }

    fn content_type(&self) -> &'static str {
        "application/vnd.apache.avro+binary"
    }

    fn needs_columns(&self) -> bool {
        true
    }

    fn encoder(&self, field: &FieldRef) -> Result<Box<dyn Encoder>, FormatError> {
        let (text, plan) = match original(field) {
            Some(found) => found,
            None => {
                let text = schema::derive(field)?.to_string();
                let parsed = Schema::parse(&text).map_err(encode)?;
                let plan = Plan::new(&parsed, &required(field)).ok_or_else(|| encode(format!("schema {text} does not fit {field}")))?;
                (text, plan)
            }
        };
        let sync = sync_marker(&text);
        let mut out = Vec::with_capacity(text.len() + 64);
        header(&text, self.codec, &sync, &mut out);
        Ok(Box::new(Avro { plan, codec: self.codec, sync, block: Vec::new(), block_rows: 0, out, taken: 0, ready: Vec::new(), rows: 0, blocks: 0 }))
    }
}

/// The schema that the rows came with, if they still have its form.
fn original(field: &Field) -> Option<(String, Plan)> {
    let text = field.metadata().get(SCHEMA_TEXT)?;
    let parsed = Schema::parse(text).ok()?;
    let same = |enhanced, metadata| avro::field(&parsed, field.name(), Mapping { enhanced, metadata }).is_ok_and(|own| own.data_type() == field.data_type());
    let unchanged = [(false, true), (true, true), (false, false), (true, false)].into_iter().any(|(enhanced, metadata)| same(enhanced, metadata));
    let top = field.clone().with_nullable(parsed.optional().is_some());
    Some((text.clone(), Plan::new(&parsed, &top).filter(|_| unchanged)?))
}

/// A file has no rows that are null: the top of its schema is not optional.
fn required(field: &Field) -> Field {
    field.clone().with_nullable(false)
}

/// Sixteen bytes that do not turn up in the rows by chance.
fn sync_marker(schema: &str) -> [u8; 16] {
    // FNV-1a over 128 bits, finished by a multiplication that spreads the last bytes.
    let hash = schema
        .bytes()
        .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b));
    hash.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
}

fn header(schema: &str, codec: Codec, sync: &[u8; 16], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Obj\x01");
    put_long(2, out);
    for (key, value) in [("avro.schema", schema), ("avro.codec", codec.name())] {
        put_bytes(key.as_bytes(), out);
        put_bytes(value.as_bytes(), out);
    }
    put_long(0, out);
    out.extend_from_slice(sync);
}

/// The encoder of one file.
struct Avro {
    plan: Plan,
    codec: Codec,
    sync: [u8; 16],
    /// Rows of the block that is not finished.
    block: Vec<u8>,
    block_rows: i64,
    /// Finished bytes that were not handed out.
    out: Vec<u8>,
    /// Bytes moved out of `out`.
    taken: u64,
    ready: Vec<Bytes>,
    rows: u64,
    blocks: u64,
}

impl Encoder for Avro {
    fn write(&mut self, rows: &ArrayRef) -> Result<(), FormatError> {
        if rows.null_count() > 0 {
            let row = (0..rows.len()).find(|row| rows.is_null(*row)).unwrap_or(0);
            return Err(encode(format!("row \"{row}\" is null, a file holds values only; set behavior.on.null.values")));
        }
        let plan = std::mem::take(&mut self.plan);
        let bound = plan.bind(rows.as_ref()).ok_or_else(|| encode(format!("rows of type {} in a file of another type", rows.data_type())))?;
        for row in 0..rows.len() {
            bound.put(row, &mut self.block).map_err(|fault| encode(format!("row \"{row}\": {fault}")))?;
            self.block_rows += 1;
            if self.block.len() >= BLOCK_BYTES {
                self.end_block()?;
            }
        }
        drop(bound);
        self.plan = plan;
        self.rows += count(rows.len());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FormatError> {
        self.end_block()
    }

    fn take(&mut self) -> Vec<Bytes> {
        if !self.out.is_empty() {
            self.taken += count(self.out.len());
            self.ready.push(std::mem::take(&mut self.out).into());
        }
        std::mem::take(&mut self.ready)
    }

    fn encoded_bytes(&self) -> u64 {
        self.taken + count(self.out.len())
    }

    fn memory_bytes(&self) -> u64 {
        count(self.block.capacity() + self.out.capacity() + self.ready.iter().map(Bytes::len).sum::<usize>())
    }

    fn finish(mut self: Box<Self>, _footer: &[(String, String)]) -> Result<(Vec<Bytes>, FileStats), FormatError> {
        self.end_block()?;
        let bytes = self.take();
        Ok((bytes, FileStats { rows: self.rows, bytes: self.encoded_bytes(), row_groups: self.blocks }))
    }
}

impl Avro {
    /// Ends the block: number of rows, length, rows, sync marker.
    fn end_block(&mut self) -> Result<(), FormatError> {
        if self.block_rows == 0 {
            return Ok(());
        }
        put_long(self.block_rows, &mut self.out);
        self.codec.put(&self.block, &mut self.out).map_err(encode)?;
        self.out.extend_from_slice(&self.sync);
        self.block.clear();
        self.block_rows = 0;
        self.blocks += 1;
        Ok(())
    }
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn encode(error: impl ToString) -> FormatError {
    FormatError::Encode { format: FORMAT, message: error.to_string() }
}

#[cfg(test)]
mod tests;
