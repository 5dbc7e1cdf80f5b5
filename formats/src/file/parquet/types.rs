//! Which types a Parquet file can hold; the others are refused with the field's path before the first row.

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit};

use super::FORMAT;
use crate::file::FormatError;

/// Checks a record's fields.
///
/// # Errors
/// [`FormatError::Unsupported`] with the path of the first field that cannot be held.
pub(super) fn check(fields: &Fields) -> Result<(), FormatError> {
    record(fields, &mut Vec::new())
}

/// The error for a type that cannot be held.
pub(super) fn unsupported(what: String, hint: &str) -> FormatError {
    FormatError::Unsupported { format: FORMAT, what, hint: hint.to_owned() }
}

fn refuse(path: &[&str], what: &str, hint: &str) -> Result<(), FormatError> {
    let place = if path.is_empty() { "records".to_owned() } else { format!("field \"{}\"", path.join(".")) };
    Err(unsupported(format!("{place} {what}"), hint))
}

fn record<'a>(fields: &'a Fields, path: &mut Vec<&'a str>) -> Result<(), FormatError> {
    if fields.is_empty() {
        return refuse(path, "without a field", "a group needs a column: drop the field with a transform, or give it a field");
    }
    for field in fields {
        path.push(field.name());
        one(field, path)?;
        path.pop();
    }
    Ok(())
}

fn one<'a>(field: &'a Field, path: &mut Vec<&'a str>) -> Result<(), FormatError> {
    match field.data_type() {
        DataType::Struct(fields) => record(fields, path),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => one(item, path),
        DataType::Map(entries, _) => one(entries, path),
        DataType::Null => refuse(path, "of type null", "a column needs a type: declare one in value.schema, or drop the field with a transform"),
        DataType::Decimal128(digits, scale) | DataType::Decimal256(digits, scale) if *scale < 0 || i16::from(*scale) > i16::from(*digits) => {
            refuse(path, &format!("of type decimal with precision {digits} and scale {scale}"), "the scale must be between 0 and the precision")
        }
        DataType::Union(..) | DataType::RunEndEncoded(..) | DataType::Interval(IntervalUnit::MonthDayNano) => {
            refuse(path, &format!("of type {}", field.data_type()), "convert it with a transform")
        }
        _ => Ok(()),
    }
}
