//! A nested field of a value column, whichever of the two forms the value has: a typed struct, or schemaless JSON kept as text.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::FieldRef;
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schema::is_json_text;

use super::json_path::Path;

/// Where a dotted field name leads in a value column.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// Into a struct.
    Leaf(Leaf),
    /// Into each row's JSON text.
    Text(&'a StringArray),
    /// Nowhere: the struct's schema has no such field.
    NoField,
    /// Nowhere: the value has no fields.
    NoStruct,
}

/// A field of a struct, or of a struct in it.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Its type and metadata.
    pub(super) field: FieldRef,
    /// Its values; at a row where `nulls` says null they mean nothing.
    pub(super) array: ArrayRef,
    /// Null where the field or anything around it is null.
    pub(super) nulls: Option<NullBuffer>,
}

/// Follows a path from a value column.
pub(super) fn find<'a>(value: &'a Column, path: &Path) -> Found<'a> {
    if is_json_text(&value.field) {
        return value.array.as_string_opt::<i32>().map_or(Found::NoStruct, Found::Text);
    }
    if value.array.as_struct_opt().is_none() {
        return Found::NoStruct;
    }
    let mut leaf = Leaf { field: FieldRef::clone(&value.field), array: ArrayRef::clone(&value.array), nulls: value.array.nulls().cloned() };
    for name in path.segments() {
        let inner = leaf.array.as_struct_opt().and_then(|parent| {
            let (at, field) = parent.fields().find(name)?;
            let array = ArrayRef::clone(parent.columns().get(at)?);
            Some(Leaf { field: FieldRef::clone(field), nulls: NullBuffer::union(leaf.nulls.as_ref(), array.logical_nulls().as_ref()), array })
        });
        match inner {
            Some(inner) => leaf = inner,
            None => return Found::NoField,
        }
    }
    Found::Leaf(leaf)
}

/// Rejects of every row, for the same reason.
pub(super) fn reject_all(rows: usize, reason: &str) -> Vec<Reject> {
    (0..rows).map(|row| Reject { row, reason: reason.to_owned() }).collect()
}
