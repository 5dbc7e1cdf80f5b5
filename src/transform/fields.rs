//! Structs under a schema: what `Struct` and `SchemaBuilder` do to them, on columns.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Scalar, StructArray};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::error::ArrowError;
use lakehead_formats::column::Column;
use lakehead_formats::schema::DEFAULT;
use lakehead_formats::wire::json::default_value;

use super::side::Refusal;
use crate::connect::config::{Check, ConfigKey, Importance, Type};

/// The setting of the transforms that read fields with defaults.
pub(super) const REPLACE_NULL_WITH_DEFAULT: ConfigKey = ConfigKey {
    name: "replace.null.with.default",
    kind: Type::Boolean,
    default: Some("true"),
    required: false,
    importance: Importance::Medium,
    group: "",
    doc: "Whether a null of a field that has a default is read as that default.",
    check: Check::Any,
};

/// The struct of a column; none when it is of another type.
pub(super) fn as_struct(column: &Column) -> Option<&StructArray> {
    column.array.as_struct_opt()
}

/// A schema with the name, version, doc and parameters of another, of that type: `SchemaUtil.copySchemaBasics`. It is required, and has no default.
pub(super) fn basics(field: &Field, data_type: DataType) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.remove(DEFAULT);
    Field::new(field.name(), data_type, false).with_metadata(metadata)
}

/// A struct column under the basics of `field`, null where `nulls` says so.
///
/// # Errors
/// [`Refusal`] when two fields have one name, or a value is missing where one is required.
pub(super) fn rebuilt(field: &Field, fields: Vec<FieldRef>, columns: Vec<ArrayRef>, nulls: Option<&NullBuffer>, rows: usize) -> Result<Column, Refusal> {
    unique(&fields)?;
    let fields = Fields::from(fields);
    let array = StructArray::try_new_with_length(fields.clone(), columns, nulls.cloned(), rows)?;
    Ok(Column::new(Arc::new(basics(field, DataType::Struct(fields))), Arc::new(array)))
}

/// As `SchemaBuilder.field`, which refuses a name that is there.
pub(super) fn unique(fields: &[FieldRef]) -> Result<(), Refusal> {
    let mut names = BTreeSet::new();
    match fields.iter().find(|field| !names.insert(field.name())) {
        Some(field) => Err(Refusal(format!("Cannot create field because of field name duplication {}", field.name()))),
        None => Ok(()),
    }
}

/// The values of a field as `Struct.get` gives them: the schema's default in the place of nulls.
pub(super) fn with_default(field: &FieldRef, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) else { return Ok(Arc::clone(array)) };
    let Some(default) = default_value(field) else { return Ok(Arc::clone(array)) };
    zip(&BooleanArray::new(nulls.inner().clone(), None), array, &Scalar::new(default))
}

/// The values, null also where the struct that they are in is null.
pub(super) fn masked(array: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<ArrayRef, ArrowError> {
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => nullif(array, &BooleanArray::new(!nulls.inner(), None)),
        None => Ok(Arc::clone(array)),
    }
}

/// A field under another name.
pub(super) fn named(field: &FieldRef, name: &str) -> FieldRef {
    if field.name() == name { Arc::clone(field) } else { Arc::new(field.as_ref().clone().with_name(name)) }
}
