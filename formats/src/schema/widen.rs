//! One schema out of two, for schemas that were *inferred* from records.
//!
//! | held | comes | becomes |
//! |---|---|---|
//! | null (no type yet) | T | T |
//! | T | null | T |
//! | T | T | T |
//! | int8, int16, int32, int64 | a wider one of these | the wider one |
//! | any integer, float32 | float32, float64 | float64 (float32 with float32 stays) |
//! | list of A | list of B | list of A widened by B |
//! | map K → A | map K → B | map K → A widened by B |
//! | struct | struct | the fields of the first in their order, each widened; then the new ones of the second, nullable; a field that only one side has is nullable |
//! | anything else | another type | nothing: a conflict, with the path where it lies |
//!
//! A result is nullable where either side is. Metadata: the first side's, and what only the second has.
//!
//! Guarantee: widening is monotonic (the result takes every value that either side took) and [`adapt`] moves a column along any such step without a loss
//! but the one that int64 → float64 implies beyond 2^53.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, UInt32Array, new_null_array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::error::ArrowError;

use super::compatibility::constant;

/// Columns of one inferred schema, nested ones counted; more are refused, since every one costs memory in every open file.
const MOST_INFERRED_COLUMNS: usize = 2_000;
/// What is said then.
pub(crate) const TOO_MANY_COLUMNS: &str =
    "its keys would bring the inferred schema above 2000 columns; declare a schema in value.schema (keys that it lacks are left out)";

/// True where an inferred schema has more columns than it may have.
pub(crate) fn has_too_many_columns(data_type: &DataType) -> bool {
    columns(data_type) > MOST_INFERRED_COLUMNS
}

fn columns(data_type: &DataType) -> usize {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(|field| columns(field.data_type())).sum(),
        DataType::List(item) => columns(item.data_type()),
        _ => 1,
    }
}

/// Two schemas that no schema covers: where, and which types meet there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field \"{path}\" is {held} and cannot become {comes}")]
pub struct Conflict {
    /// Dotted path of the field, empty for the top level.
    pub path: String,
    /// The type that the first schema has there, in Connect's words.
    pub held: String,
    /// The type that the second has there.
    pub comes: String,
}

/// The schema that takes the values of both, by the table above; `None` when there is none.
#[must_use]
pub fn unify(a: &Field, b: &Field) -> Option<Field> {
    merge(a, b).ok()
}

/// As [`unify`], but says where the two do not agree.
///
/// # Errors
/// [`Conflict`] with the first field on which they differ.
pub fn merge(a: &Field, b: &Field) -> Result<Field, Conflict> {
    merge_at(a, b, "")
}

fn merge_at(a: &Field, b: &Field, path: &str) -> Result<Field, Conflict> {
    let data_type = merge_types(a.data_type(), b.data_type(), path)?;
    let mut metadata = a.metadata().clone();
    for (key, value) in b.metadata() {
        if !metadata.contains_key(key) {
            metadata.insert(key, value);
        }
    }
    Ok(Field::new(a.name(), data_type, a.is_nullable() || b.is_nullable()).with_metadata(metadata))
}

fn merge_types(a: &DataType, b: &DataType, path: &str) -> Result<DataType, Conflict> {
    use DataType as T;
    Ok(match (a, b) {
        (T::Null, other) | (other, T::Null) => other.clone(),
        (T::List(a), T::List(b)) => T::List(Arc::new(merge_at(a, b, path)?)),
        (T::Struct(a), T::Struct(b)) => T::Struct(merge_fields(a, b, path)?),
        (T::Map(a, ordered), T::Map(b, _)) => T::Map(Arc::new(merge_at(a, b, path)?), *ordered),
        (a, b) if a == b => a.clone(),
        (a, b) => match (rank(a), rank(b)) {
            (Some(x), Some(y)) if x <= 3 && y <= 3 => if x > y { a } else { b }.clone(),
            (Some(_), Some(_)) => T::Float64,
            _ => return Err(Conflict { path: path.to_owned(), held: type_name(a), comes: type_name(b) }),
        },
    })
}

fn merge_fields(a: &Fields, b: &Fields, path: &str) -> Result<Fields, Conflict> {
    let at = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let (known, coming) = (by_name(a), by_name(b));
    let mut fields: Vec<FieldRef> = Vec::with_capacity(a.len().max(b.len()));
    for field in a {
        fields.push(match coming.get(field.name().as_str()) {
            Some(other) if *other == field => Arc::clone(field),
            Some(other) => Arc::new(merge_at(field, other, &at(field.name()))?),
            None => nullable(field),
        });
    }
    fields.extend(b.iter().filter(|field| !known.contains_key(field.name().as_str())).map(nullable));
    Ok(fields.into())
}

/// The first field of each name.
fn by_name(fields: &Fields) -> HashMap<&str, &FieldRef> {
    fields.iter().rev().map(|field| (field.name().as_str(), field)).collect()
}

fn nullable(field: &FieldRef) -> FieldRef {
    if field.is_nullable() { Arc::clone(field) } else { Arc::new(field.as_ref().clone().with_nullable(true)) }
}

/// Order of the numeric types in the table; integers are 0 to 3.
fn rank(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::Int8 => 0,
        DataType::Int16 => 1,
        DataType::Int32 => 2,
        DataType::Int64 => 3,
        DataType::Float32 => 4,
        DataType::Float64 => 5,
        _ => return None,
    })
}

/// A type in Connect's words, for messages.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 => "int8",
        DataType::Int16 => "int16",
        DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::Float32 => "float32",
        DataType::Float64 => "float64",
        DataType::Utf8 => "string",
        DataType::Binary => "bytes",
        DataType::List(_) => "array",
        DataType::Map(..) => "map",
        DataType::Struct(_) => "struct",
        DataType::Decimal128(..) | DataType::Decimal256(..) => "decimal",
        DataType::Date32 => "date",
        DataType::Time32(_) => "time",
        DataType::Timestamp(..) => "timestamp",
        other => return other.to_string(),
    }
    .to_owned()
}

/// A column of the schema `from` as one of the schema `to`, which must be a widening of it: new fields are null, or hold their default in every row; integers become
/// floats, and decimals get more digits, at any depth. A null stays one.
///
/// # Errors
/// [`ArrowError`] when `to` is not a widening of `from` (a program error; nothing is dropped in silence).
pub fn adapt(array: &ArrayRef, from: &Field, to: &Field) -> Result<ArrayRef, ArrowError> {
    debug_assert_eq!(array.data_type(), from.data_type());
    adapt_type(array, to.data_type())
        .map_err(|e| ArrowError::CastError(format!("a column of \"{}\" cannot move from its schema to the wider one: {e}", from.name())))
}

fn adapt_type(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    Ok(match (array.data_type(), to) {
        (DataType::Null, _) => new_null_array(to, array.len()),
        (DataType::Struct(_), DataType::Struct(fields)) => adapt_struct(array.as_struct(), fields)?,
        (DataType::List(_), DataType::List(item)) => {
            let (_, offsets, values, nulls) = array.as_list::<i32>().clone().into_parts();
            Arc::new(ListArray::try_new(Arc::clone(item), offsets, adapt_type(&values, item.data_type())?, nulls)?)
        }
        (DataType::Map(_, _), DataType::Map(entries, ordered)) => {
            let (_, offsets, old, nulls, _) = array.as_map().clone().into_parts();
            let old: ArrayRef = Arc::new(old);
            let new = adapt_type(&old, entries.data_type())?;
            Arc::new(MapArray::try_new(Arc::clone(entries), offsets, new.as_struct().clone(), nulls, *ordered)?)
        }
        (from, to) if rank(from).zip(rank(to)).is_some_and(|(from, to)| from < to) || has_more_digits(from, to) => cast(array, to)?,
        (from, to) => return Err(ArrowError::CastError(format!("{} is not a widening of {}", type_name(to), type_name(from)))),
    })
}

/// Decimals of one scale, of which the second has more digits.
fn has_more_digits(from: &DataType, to: &DataType) -> bool {
    use DataType::{Decimal128, Decimal256};
    matches!((from, to), (Decimal128(p, s) | Decimal256(p, s), Decimal128(q, t) | Decimal256(q, t)) if s == t && p < q)
}

fn adapt_struct(array: &StructArray, fields: &Fields) -> Result<ArrayRef, ArrowError> {
    if let Some(lost) = array.fields().iter().find(|f| fields.find(f.name()).is_none()) {
        return Err(ArrowError::CastError(format!("the wider schema lacks the field \"{}\"", lost.name())));
    }
    let columns = fields.iter().map(|field| match array.column_by_name(field.name()) {
        Some(column) => adapt_type(column, field.data_type()),
        None => match constant::default_value(field) {
            Some(default) => take(&default, &UInt32Array::from_value(0, array.len()), None),
            None => Ok(new_null_array(field.data_type(), array.len())),
        },
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len())?))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    fn of(data_type: DataType) -> Field {
        Field::new("value", data_type, true)
    }

    fn list(item: DataType) -> DataType {
        DataType::List(Arc::new(Field::new("item", item, true)))
    }

    fn record(fields: &[(&str, DataType)]) -> DataType {
        DataType::Struct(fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect())
    }

    #[test]
    fn the_table_of_widening() {
        use DataType::{Binary, Boolean, Float32, Float64, Int8, Int32, Int64, Null, Utf8};
        for (a, b, expected) in [
            (Null, Utf8, Some(Utf8)),
            (Utf8, Null, Some(Utf8)),
            (Int64, Int64, Some(Int64)),
            (Int8, Int32, Some(Int32)),
            (Int64, Float64, Some(Float64)),
            (Float32, Int8, Some(Float64)),
            (Float32, Float32, Some(Float32)),
            (list(Null), list(Int64), Some(list(Int64))),
            (list(Int64), list(Float64), Some(list(Float64))),
            (record(&[("a", Int64), ("b", Utf8)]), record(&[("c", Boolean), ("a", Float64)]), Some(record(&[("a", Float64), ("b", Utf8), ("c", Boolean)]))),
            (record(&[("a", record(&[]))]), record(&[("a", record(&[("x", Utf8)]))]), Some(record(&[("a", record(&[("x", Utf8)]))]))),
            (Utf8, Int64, None),
            (Boolean, Int64, None),
            (Utf8, Binary, None),
            (list(Int64), Int64, None),
            (record(&[]), Utf8, None),
            (record(&[("a", Int64)]), record(&[("a", Utf8)]), None),
        ] {
            assert_eq!(unify(&of(a.clone()), &of(b.clone())), expected.map(of), "{a} with {b}");
        }
    }

    #[test]
    fn a_field_that_only_one_side_has_becomes_nullable() {
        let a = of(DataType::Struct(vec![Field::new("a", DataType::Int64, false)].into()));
        let b = of(DataType::Struct(vec![Field::new("b", DataType::Int64, false)].into()));
        assert_eq!(unify(&a, &b), Some(of(record(&[("a", DataType::Int64), ("b", DataType::Int64)]))));
    }

    #[test]
    fn a_conflict_says_where() {
        let a = of(record(&[("address", record(&[("zip", DataType::Int64)]))]));
        let b = of(record(&[("address", record(&[("zip", DataType::Utf8)]))]));
        let conflict = merge(&a, &b).expect_err("int64 is no string");
        assert_eq!(conflict.to_string(), "field \"address.zip\" is int64 and cannot become string");
    }

    #[test]
    fn a_column_moves_to_the_wider_schema() {
        let from = of(record(&[("n", DataType::Int64), ("inner", record(&[("s", DataType::Utf8)]))]));
        let to = of(record(&[("n", DataType::Float64), ("inner", record(&[("s", DataType::Utf8), ("new", list(DataType::Int64))])), ("late", DataType::Utf8)]));
        let DataType::Struct(fields) = from.data_type() else { unreachable!() };
        let DataType::Struct(inner_fields) = fields[1].data_type() else { unreachable!() };
        let inner = StructArray::new(inner_fields.clone(), vec![Arc::new(StringArray::from(vec![Some("x"), None]))], None);
        let array: ArrayRef = Arc::new(StructArray::new(fields.clone(), vec![Arc::new(Int64Array::from(vec![Some(1), None])), Arc::new(inner)], None));
        let wide = adapt(&array, &from, &to).expect("a widening");
        assert_eq!(wide.data_type(), to.data_type());
        let wide = wide.as_struct();
        assert_eq!(wide.column(0).as_ref(), &Float64Array::from(vec![Some(1.0), None]) as &dyn Array);
        assert_eq!(wide.column(1).as_struct().column(0).as_ref(), &StringArray::from(vec![Some("x"), None]) as &dyn Array);
        assert_eq!(wide.column(1).as_struct().column(1).null_count(), 2);
        assert_eq!(wide.column(2).null_count(), 2);
    }

    #[test]
    fn a_column_never_moves_to_a_narrower_schema() {
        let array: ArrayRef = Arc::new(Float64Array::from(vec![1.5]));
        assert!(adapt(&array, &of(DataType::Float64), &of(DataType::Int64)).is_err());
    }
}
