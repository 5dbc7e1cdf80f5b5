//! Columns of one schema, moved to another that takes them.
//!
//! | in the file's schema | becomes |
//! |---|---|
//! | a field that the record has too | its values, numbers widened, nested ones projected |
//! | a field that the record lacks | its default in every row, else nulls |
//! | nothing for a field of the record | dropped |
//!
//! A null takes the default of the file's schema where that has one: as a field of a struct always, as Connect's `Struct` answers with the default for
//! what is absent; as an item or a map's value only where the file requires one. A null of the whole column stays: it is a tombstone.
//!
//! Work is by column: a cast where a number widens, one constant per missing field; of lists and maps the offsets are kept, and moved only for a slice.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, Scalar, StructArray, UInt32Array, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{CastOptions, cast_with_options, is_not_null, take};
use arrow::datatypes::{ArrowNativeType, DataType, Field, Fields};
use arrow::error::ArrowError;

use super::constant;
use crate::schema::widen::type_name;

/// A column of the schema `from` as one of the schema `to`, for which [`super::verdict`] said [`super::Verdict::Project`].
///
/// # Errors
/// [`ArrowError`] when the schemas do not allow it: a number would narrow, or a required field has neither a value nor a default.
pub fn project(array: &ArrayRef, from: &Field, to: &Field) -> Result<ArrayRef, ArrowError> {
    debug_assert_eq!(array.data_type(), from.data_type());
    convert(array, to.data_type())
        .map_err(|e| ArrowError::CastError(format!("the column \"{}\" cannot be projected to the schema of the open file: {e}", from.name())))
}

fn convert(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), to) {
        (DataType::Struct(_), DataType::Struct(fields)) => Ok(Arc::new(structure(array.as_struct(), fields)?)),
        (DataType::List(from), DataType::List(to)) => {
            let list = array.as_list::<i32>();
            let (offsets, values) = trimmed(list.offsets(), list.values());
            Ok(Arc::new(ListArray::try_new(Arc::clone(to), offsets, element(&values, from, to)?, list.nulls().cloned())?))
        }
        (DataType::Map(_, _), DataType::Map(entries, ordered)) => {
            let map = array.as_map();
            let (offsets, old) = trimmed(map.offsets(), &(Arc::new(map.entries().clone()) as ArrayRef));
            let DataType::Struct(fields) = entries.data_type() else { return Err(mismatch(array.data_type(), to)) };
            let old = old.as_struct();
            let columns = old.columns().iter().zip(old.fields()).zip(fields).map(|((column, from), to)| element(column, from, to));
            let new = StructArray::try_new_with_length(fields.clone(), columns.collect::<Result<_, _>>()?, None, old.len())?;
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, new, map.nulls().cloned(), *ordered)?))
        }
        (from, to) if super::types_project(from, to) => cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() }),
        (from, to) => Err(mismatch(from, to)),
    }
}

fn mismatch(from: &DataType, to: &DataType) -> ArrowError {
    ArrowError::CastError(format!("{} does not become {}", type_name(from), type_name(to)))
}

/// The part of the values that the offsets use, and offsets that begin with it.
fn trimmed(offsets: &OffsetBuffer<i32>, values: &ArrayRef) -> (OffsetBuffer<i32>, ArrayRef) {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let used = values.slice(first.as_usize(), (last - first).as_usize());
    if first == 0 {
        return (offsets.clone(), used);
    }
    (OffsetBuffer::new(offsets.iter().map(|offset| offset - first).collect()), used)
}

fn structure(array: &StructArray, fields: &Fields) -> Result<StructArray, ArrowError> {
    let columns = fields.iter().map(|field| match array.fields().find(field.name()) {
        Some((at, from)) => member(array.column(at), from, field),
        None => missing(field, array.len()),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len())
}

/// A field that both have. One whose schema did not change keeps its values untouched.
fn member(array: &ArrayRef, from: &Field, to: &Field) -> Result<ArrayRef, ArrowError> {
    if from == to {
        return Ok(Arc::clone(array));
    }
    fill(convert(array, to.data_type())?, to)
}

/// An item of a list, or a key or value of a map.
fn element(array: &ArrayRef, from: &Field, to: &Field) -> Result<ArrayRef, ArrowError> {
    let converted = convert(array, to.data_type())?;
    if from.is_nullable() && !to.is_nullable() { fill(converted, to) } else { Ok(converted) }
}

/// Puts the field's default where there is a null.
fn fill(array: ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    if array.null_count() == 0 {
        return Ok(array);
    }
    match constant::default_value(field) {
        Some(default) => zip(&is_not_null(&array)?, &array, &Scalar::new(default)),
        None => Ok(array),
    }
}

/// What a field holds that the record lacks: its default in every row, else nulls.
fn missing(field: &Field, rows: usize) -> Result<ArrayRef, ArrowError> {
    match constant::default_value(field) {
        Some(default) => take(&default, &UInt32Array::from_value(0, rows), None),
        None if field.is_nullable() => Ok(new_null_array(field.data_type(), rows)),
        None => Err(ArrowError::CastError(format!("the file requires the field \"{}\", which has no default, and the records lack it", field.name()))),
    }
}
