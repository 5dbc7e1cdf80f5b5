//! The requested parts of records, as the rows of a file.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray, StructArray, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::error::ArrowError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};
use lakehead_formats::column::Column;
use lakehead_formats::file::RecordLayout;

use super::config::{Part, Settings};
use crate::batch::Batch;

/// The rows of a batch.
pub(super) fn rows(settings: &Settings, batch: &Batch) -> Result<Column, ArrowError> {
    let is_csv = matches!(settings.layout, RecordLayout::Csv { .. });
    // objects have upstream's order; a line of csv has the order that was asked for
    let ordered = Part::NAMES.iter().map(|(_, part)| *part).filter(|part| settings.parts.contains(part)).collect();
    let parts: Vec<Part> = if is_csv { settings.parts.clone() } else { ordered };
    let columns = parts.iter().map(|part| column(*part, batch, is_csv)).collect::<Result<Vec<_>, _>>()?;
    if let ([only], false, false) = (columns.as_slice(), settings.has_envelope, is_csv) {
        return Ok(only.clone());
    }
    let fields: Fields = columns.iter().map(|column| FieldRef::clone(&column.field)).collect();
    let array = StructArray::try_new(fields, columns.into_iter().map(|column| column.array).collect(), None)?;
    Ok(Column::new(Arc::new(Field::new("record", array.data_type().clone(), false)), Arc::new(array)))
}

fn column(part: Part, batch: &Batch, is_csv: bool) -> Result<Column, ArrowError> {
    let named = |column: &Column| {
        let field = column.field.as_ref().clone().with_name(part.name()).with_nullable(true);
        Column::new(Arc::new(field), Arc::clone(&column.array))
    };
    let made = |array: ArrayRef| Column::new(Arc::new(Field::new(part.name(), array.data_type().clone(), true)), array);
    Ok(match part {
        Part::Key => named(&batch.key),
        Part::Value => named(&batch.value),
        Part::Offset => made(Arc::new(batch.offsets.clone())),
        Part::Timestamp if is_csv => made(Arc::new(batch.timestamps.clone())),
        Part::Timestamp => made(Arc::new(batch.timestamps.iter().map(|ms| ms.and_then(instant)).collect::<StringArray>())),
        Part::Headers if is_csv => match &batch.headers {
            Some(headers) => made(Arc::new(headers.clone())),
            None => made(Arc::new(no_headers(batch.len())?)),
        },
        Part::Headers => made(Arc::new(readable(&batch.headers.clone().map_or_else(|| no_headers(batch.len()), Ok)?)?)),
    })
}

/// As Java's `ISO_INSTANT`: no fraction, or three digits.
fn instant(ms: i64) -> Option<String> {
    let format = if ms % 1000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
    Some(DateTime::from_timestamp_millis(ms)?.to_rfc3339_opts(format, true))
}

/// Lists without headers.
fn no_headers(rows: usize) -> Result<ListArray, ArrowError> {
    let fields: Fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)].into();
    let item = DataType::Struct(fields);
    ListArray::try_new(Arc::new(Field::new("item", item.clone(), false)), OffsetBuffer::new_zeroed(rows), new_null_array(&item, 0), None)
}

/// Headers with their values as text; bytes that are no UTF-8 are in base64.
fn readable(headers: &ListArray) -> Result<ListArray, ArrowError> {
    let entries = headers.values().as_struct();
    let (Some(names), Some(values)) = (entries.columns().first(), entries.columns().get(1).and_then(|values| values.as_binary_opt::<i32>())) else {
        return Err(ArrowError::SchemaError("headers are not lists of names and values".to_owned()));
    };
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).map_or_else(|_| STANDARD.encode(bytes), str::to_owned);
    let texts: StringArray = values.iter().map(|value| value.map(text)).collect();
    let fields: Fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)].into();
    let entries = StructArray::try_new(fields.clone(), vec![cast(names, &DataType::Utf8)?, Arc::new(texts)], None)?;
    let item = Arc::new(Field::new("item", DataType::Struct(fields), false));
    ListArray::try_new(item, headers.offsets().clone(), Arc::new(entries), headers.nulls().cloned())
}
