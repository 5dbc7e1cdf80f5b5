//! A column under one Connect schema, and the rows that could not become part of it.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::FieldRef;

/// n values under one Connect schema.
///
/// `field` holds the Arrow type, the nullability and, in its metadata, what Arrow cannot say of a Connect schema: name, version,
/// doc, default and parameters (keys in [`crate::schema`]). `array` has exactly the field's data type.
#[derive(Debug, Clone)]
pub struct Column {
    /// Type, nullability, Connect metadata.
    pub field: FieldRef,
    /// n values; a null is a tombstone or an optional value that is absent.
    pub array: ArrayRef,
}

impl Column {
    /// Puts an array under its field. The data types must be equal (checked in debug builds).
    #[must_use]
    pub fn new(field: FieldRef, array: ArrayRef) -> Self {
        debug_assert_eq!(field.data_type(), array.data_type());
        Self { field, array }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.array.len()
    }

    /// True when there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.array.is_empty()
    }

    /// Rows `offset .. offset + length`, without a copy.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self { field: FieldRef::clone(&self.field), array: self.array.slice(offset, length) }
    }
}

/// A row that a stage could not take, and why. The row's neighbours go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Row number in the batch that the stage was given, from 0.
    pub row: usize,
    /// What is wrong with it, for a person: lower case, the offending value quoted, no full stop.
    pub reason: String,
}
