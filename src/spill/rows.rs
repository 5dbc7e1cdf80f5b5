//! Arrays ⇄ the bytes that are spilled: Arrow IPC messages, without the schema, which stays in memory.
//!
//! Guarantee: what is read is equal to what was written, type for type, whatever part of a larger array it was.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::{StreamReader, read_record_batch};
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, StreamWriter};
use arrow::ipc::{MetadataVersion, root_as_message};

/// Every buffer starts at a multiple of it: as little padding as the format knows.
const ALIGNMENT: usize = 8;
/// In front of the messages: the length of the first one's metadata (0 for a stream), and a checksum of all that follows.
const HEADER: usize = 8;

/// Writes arrays of one type.
#[derive(Debug)]
pub struct RowsWriter {
    schema: SchemaRef,
    /// Whether the type has dictionaries: then the messages are a stream of their own.
    is_stream: bool,
    options: IpcWriteOptions,
    generator: IpcDataGenerator,
    context: IpcWriteContext,
}

impl RowsWriter {
    /// For rows of this field.
    ///
    /// # Errors
    /// None that depends on the field.
    pub fn new(field: &FieldRef) -> Result<Self, ArrowError> {
        Ok(Self {
            schema: schema(field),
            is_stream: has_dictionary(field.data_type()),
            options: IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?,
            generator: IpcDataGenerator::default(),
            context: IpcWriteContext::default(),
        })
    }

    /// Puts the rows behind what is in `out`.
    ///
    /// # Errors
    /// When they have another type, or one that IPC has no form for.
    pub fn write(&mut self, rows: &ArrayRef, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), vec![ArrayRef::clone(rows)])?;
        let start = out.len();
        out.extend([0; HEADER]);
        let message_bytes = if self.is_stream {
            let mut writer = StreamWriter::try_new_with_options(&mut *out, &self.schema, self.options.clone())?;
            writer.write(&batch)?;
            writer.finish()?;
            0
        } else {
            let (_, encoded) = self.generator.encode(&batch, &mut DictionaryTracker::new(false), &self.options, &mut self.context)?;
            out.extend(&encoded.ipc_message);
            out.resize(start + (out.len() - start).next_multiple_of(ALIGNMENT), 0);
            out.extend(&encoded.arrow_data);
            u32::try_from(encoded.ipc_message.len()).map_err(damaged)?
        };
        if let Some((header, body)) = out.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut::<HEADER>) {
            let words = u64::from(crc32fast::hash(body)) << 32 | u64::from(message_bytes);
            *header = words.to_le_bytes();
        }
        Ok(())
    }
}

/// The rows that a [`RowsWriter`] of this field wrote. Their buffers are parts of the bytes.
///
/// # Errors
/// When the bytes are others.
pub fn read(field: &FieldRef, bytes: Vec<u8>) -> Result<ArrayRef, ArrowError> {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER>() else { return Err(damaged("it is cut off")) };
    let words = u64::from_le_bytes(*header);
    if words >> 32 != u64::from(crc32fast::hash(body)) {
        return Err(damaged("it is not what was written"));
    }
    let message_bytes = usize::try_from(words & u64::from(u32::MAX)).map_err(damaged)?;
    let buffer = Buffer::from_vec(bytes);
    let batch = if has_dictionary(field.data_type()) {
        let mut batches = StreamReader::try_new(Cursor::new(buffer.get(HEADER..).unwrap_or(&[])), None)?;
        batches.next().ok_or_else(|| damaged("it is empty"))??
    } else {
        let end = HEADER + message_bytes;
        let message = root_as_message(buffer.get(HEADER..end).unwrap_or(&[])).map_err(damaged)?;
        let header = message.header_as_record_batch().ok_or_else(|| damaged("it has no rows"))?;
        let body = buffer.slice(end.next_multiple_of(ALIGNMENT).min(buffer.len()));
        read_record_batch(&body, header, schema(field), &HashMap::new(), None, &message.version())?
    };
    batch.columns().first().map(ArrayRef::clone).ok_or_else(|| damaged("it has no column"))
}

fn damaged(why: impl ToString) -> ArrowError {
    ArrowError::IpcError(format!("what was spilled cannot be read: {}", why.to_string()))
}

/// One column, which may have nulls whatever the field says: tombstones.
fn schema(field: &FieldRef) -> SchemaRef {
    let column = if field.is_nullable() { FieldRef::clone(field) } else { Arc::new(field.as_ref().clone().with_nullable(true)) };
    Arc::new(Schema::new(vec![column]))
}

fn has_dictionary(data_type: &DataType) -> bool {
    let of = |field: &Field| has_dictionary(field.data_type());
    match data_type {
        DataType::Dictionary(..) => true,
        DataType::Struct(fields) => fields.iter().any(|field| of(field)),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => of(field),
        DataType::RunEndEncoded(_, values) => of(values),
        DataType::Union(fields, _) => fields.iter().any(|(_, field)| of(field)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
