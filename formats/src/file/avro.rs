//! The Avro format: object container files.
//!
//! Parts: `AvroFormat`, the settings; `Avro`, one file's encoder, which cuts rows into blocks; `schema` with `props`, the schema of a field that did
//! not come from Avro; `rows`, columns as Avro's binary encoding; `anything`, JSON without a schema in the same; `codec`, the compression of a block.
//! Rows that came from Avro are written under the schema they came with, so that aliases, every logical type and the order of unions survive, as long as
//! no transform changed them and no setting asks for another.
//!
//! Guarantee: the same rows make the same bytes; the sync marker is derived from the schema. (Avro 1.12 specification, "Object Container Files".)

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Field, FieldRef};
use bytes::Bytes;

use super::{Encoder, File, FileFormat, FileStats, FormatError, Options};
use crate::schema::avro::{self, Mapping, SCHEMA_TEXT, Schema};
use crate::schema::{NAME, is_inferred, is_json_text};

mod anything;
mod codec;
mod props;
mod rows;
mod schema;

pub(crate) use anything::{Anything, SCHEMA as ANYTHING};
use codec::Codec;
pub(super) use props::is_map_key;
pub(crate) use rows::{Bound, Plan};
use rows::{put_bytes, put_long};
pub(crate) use schema::Rules;
pub(super) use schema::{decimal_bytes, decimal_precision, is_union};

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

/// What JSON without a schema becomes, our own setting.
const SCHEMALESS: &str = "lakehead.avro.schemaless";

fn build(options: &Options) -> Result<Box<dyn FileFormat>, FormatError> {
    let config = |key: &str, message: String| FormatError::Config { key: key.to_owned(), message };
    let codec = Codec::find(options.get("avro.codec").map_or("null", |text| text.trim()))
        .ok_or_else(|| config("avro.codec", "String must be one of: null, deflate, snappy, bzip2".to_owned()))?;
    let rules = rules(options)?;
    let inferred = match options.get(SCHEMALESS).map_or("anything", |text| text.trim()) {
        "anything" => false,
        "inferred" => true,
        _ => return Err(config(SCHEMALESS, "String must be one of: anything, inferred".to_owned())),
    };
    Ok(Box::new(AvroFormat { codec, rules, inferred }))
}

/// What the settings say about schemas; they are the same for the Avro schema in Parquet files.
///
/// # Errors
/// [`FormatError::Config`] when one is neither `true` nor `false`.
pub(super) fn rules(options: &Options) -> Result<Rules, FormatError> {
    let boolean = |key: &str, default: bool| match options.get(key).map(|text| text.trim()) {
        None => Ok(default),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(FormatError::Config { key: key.to_owned(), message: "Expected value to be either true or false".to_owned() }),
    };
    Ok(Rules {
        metadata: boolean("connect.meta.data", true)?,
        enhanced: boolean("enhanced.avro.schema.support", true)?,
        optional_keys: boolean("allow.optional.map.keys", false)?,
        of_columns: false,
        scrub: false,
    })
}

/// Avro with its settings.
#[derive(Debug)]
struct AvroFormat {
    codec: Codec,
    rules: Rules,
    /// JSON without a schema comes as columns under an inferred schema.
    inferred: bool,
}

impl FileFormat for AvroFormat {
    fn extension(&self) -> &str {
        ".avro"
    }

    fn content_type(&self) -> &'static str {
        "application/vnd.apache.avro+binary"
    }

    fn needs_columns(&self) -> bool {
        self.inferred
    }

    fn encoder(&self, field: &FieldRef) -> Result<Box<dyn Encoder>, FormatError> {
        let (text, source) = if is_json_text(field) {
            (anything::SCHEMA.to_owned(), Source::Text(Anything::default()))
        } else if let Some((text, plan)) = original(field, self.rules) {
            (text, Source::Columns(plan))
        } else {
            let text = schema::derive(field, self.rules)?.to_string();
            let parsed = Schema::parse(&text).map_err(encode)?;
            let top = if is_inferred(field) { field.as_ref().clone().with_nullable(false) } else { field.as_ref().clone() };
            let plan = Plan::new(&parsed, &top).ok_or_else(|| encode(format!("schema {text} does not fit {field}")))?;
            (text, Source::Columns(plan))
        };
        let sync = sync_marker(&text);
        let mut out = Vec::with_capacity(text.len() + 64);
        header(&text, self.codec, &sync, &mut out);
        Ok(Box::new(Avro { source, codec: self.codec, sync, block: Vec::new(), block_rows: 0, out, taken: 0, ready: Vec::new(), rows: 0, blocks: 0 }))
    }
}

/// The text of the Avro schema that rows of a field have for upstream, which Parquet files hold too.
///
/// # Errors
/// [`FormatError::Unsupported`] with the path of the field that Avro cannot hold.
pub(crate) fn schema_text(field: &Field, rules: Rules) -> Result<String, FormatError> {
    schema::derive(field, rules).map(|schema| schema.to_string())
}

/// The schema that the rows came with, if they still have its form and the settings keep it.
fn original(field: &Field, rules: Rules) -> Option<(String, Plan)> {
    let text = field.metadata().get(SCHEMA_TEXT)?;
    if !rules.enhanced || !rules.metadata && text.contains("\"connect.") {
        return None;
    }
    let parsed = Schema::parse(text).ok()?;
    let name = |field: &Field| field.metadata().get(NAME).cloned();
    let same = |enhanced, metadata| {
        avro::field(&parsed, field.name(), Mapping { enhanced, metadata }).is_ok_and(|own| own.data_type() == field.data_type() && name(&own) == name(field))
    };
    let unchanged = [(false, true), (true, true), (false, false), (true, false)].into_iter().any(|(enhanced, metadata)| same(enhanced, metadata));
    let top = field.clone().with_nullable(parsed.optional().is_some());
    Some((text.clone(), Plan::new(&parsed, &top).filter(|_| unchanged)?))
}

/// Where a file's rows come from.
enum Source {
    Columns(Plan),
    /// JSON without a schema.
    Text(Anything),
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
    source: Source,
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
        let mut source = std::mem::replace(&mut self.source, Source::Columns(Plan::Null));
        match &mut source {
            Source::Columns(plan) => self.columns(plan, rows)?,
            Source::Text(anything) => self.texts(anything, rows)?,
        }
        self.source = source;
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

fn wrong_type(rows: &ArrayRef) -> FormatError {
    encode(format!("rows of type {} in a file of another type", rows.data_type()))
}

impl Avro {
    fn columns(&mut self, plan: &Plan, rows: &ArrayRef) -> Result<(), FormatError> {
        let bound = plan.bind(rows.as_ref()).ok_or_else(|| wrong_type(rows))?;
        for row in 0..rows.len() {
            bound.put(row, &mut self.block).map_err(|fault| encode(format!("row \"{row}\": {fault}")))?;
            self.end_row()?;
        }
        Ok(())
    }

    fn texts(&mut self, anything: &mut Anything, rows: &ArrayRef) -> Result<(), FormatError> {
        let texts = rows.as_string_opt::<i32>().ok_or_else(|| wrong_type(rows))?;
        for row in 0..texts.len() {
            anything.put(texts.value(row).as_bytes(), &mut self.block).map_err(|fault| encode(format!("row \"{row}\": {fault}")))?;
            self.end_row()?;
        }
        Ok(())
    }

    /// Counts a row that is in the block, and ends a block that is long enough.
    fn end_row(&mut self) -> Result<(), FormatError> {
        self.block_rows += 1;
        if self.block.len() >= BLOCK_BYTES { self.end_block() } else { Ok(()) }
    }

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
