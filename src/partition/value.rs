//! A nested field of a value or key column, whichever of the two forms it has: a typed struct, or schemaless JSON kept as text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, NullArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schema::{is_inferred, is_json_text};

use super::json_path::Path;

/// Where a dotted field name leads in a value column.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// Into a struct.
    Leaf(Leaf),
    /// Into each row's JSON text.
    Text(&'a StringArray),
    /// Nowhere: the struct's declared schema has no such field.
    NoField,
    /// Nowhere: the value has no fields.
    NoStruct,
}

/// A column, a field of a struct, or a field of a struct in it.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    /// Its type and metadata.
    pub(super) field: FieldRef,
    /// Its values; at a row where `nulls` says null they mean nothing.
    pub(super) array: ArrayRef,
    /// Null where the field or anything around it is null.
    pub(super) nulls: Option<NullBuffer>,
    /// Null where something around it is null.
    pub(super) around: Option<NullBuffer>,
}

impl Leaf {
    /// A field that none of `rows` rows has.
    fn absent(name: &str, rows: usize) -> Self {
        Self { field: Arc::new(Field::new(name, DataType::Null, true)), array: Arc::new(NullArray::new(rows)), nulls: None, around: None }
    }
}

/// Follows a path from a column (the empty path leads to the column itself). A schema that was inferred holds the fields that were seen so far: a field that is not in it is null, as it is in
/// each row's text, whatever other records the batch holds.
pub(super) fn find<'a>(value: &'a Column, path: &Path) -> Found<'a> {
    if is_json_text(&value.field) {
        return value.array.as_string_opt::<i32>().map_or(Found::NoStruct, Found::Text);
    }
    if !path.is_whole() && value.array.as_struct_opt().is_none() {
        return Found::NoStruct;
    }
    let mut leaf = Leaf { field: FieldRef::clone(&value.field), array: ArrayRef::clone(&value.array), nulls: value.array.logical_nulls(), around: None };
    for name in path.segments() {
        let inner = leaf.array.as_struct_opt().and_then(|parent| {
            let (at, field) = parent.fields().find(name)?;
            let array = ArrayRef::clone(parent.columns().get(at)?);
            let nulls = NullBuffer::union(leaf.nulls.as_ref(), array.logical_nulls().as_ref());
            Some(Leaf { field: FieldRef::clone(field), nulls, around: leaf.nulls.clone(), array })
        });
        match inner {
            Some(inner) => leaf = inner,
            None if is_inferred(&value.field) => return Found::Leaf(Leaf::absent(name, value.array.len())),
            None => return Found::NoField,
        }
    }
    Found::Leaf(leaf)
}

/// Rejects of every row, for the same reason.
pub(super) fn reject_all(rows: usize, reason: &str) -> Vec<Reject> {
    (0..rows).map(|row| Reject { row, reason: reason.to_owned() }).collect()
}
