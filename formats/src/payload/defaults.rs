//! Defaults where nulls are: what `Struct#get` gives converters for a field that has a default and no value.
//!
//! Upstream asks for each field of each struct; here it is one kernel call for each field that has a default and nulls. Members of unions keep their nulls,
//! which say that another member is set.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, Scalar, StructArray};
use arrow::compute::{is_not_null, kernels::zip::zip};
use arrow::datatypes::{DataType, Field, FieldRef};

use crate::schema::{DEFAULT, NAME, PARAMETERS, UNION, is_union};
use crate::wire::json::default_value;

/// True when the field, or one in it, has a default.
pub(super) fn is_within(field: &Field) -> bool {
    field.metadata().contains_key(DEFAULT)
        || match field.data_type() {
            DataType::Struct(fields) => fields.iter().any(|field| is_within(field)),
            DataType::List(item) => is_within(item),
            DataType::Map(entries, _) => is_within(entries),
            _ => false,
        }
}

/// The values of a column, with defaults for nulls.
pub(super) fn filled(field: &FieldRef, array: &ArrayRef) -> ArrayRef {
    own(field, &inside(field, array))
}

/// The default of the field itself.
fn own(field: &FieldRef, array: &ArrayRef) -> ArrayRef {
    if array.null_count() == 0 {
        return ArrayRef::clone(array);
    }
    let filled = default_value(field).and_then(|default| {
        let mask = is_not_null(array).ok()?;
        zip(&mask, array, &Scalar::new(default)).ok()
    });
    filled.unwrap_or_else(|| ArrayRef::clone(array))
}

/// The defaults of what is in the field.
fn inside(field: &Field, array: &ArrayRef) -> ArrayRef {
    let changed: Option<ArrayRef> = match field.data_type() {
        DataType::Struct(fields) if !is_any_union(field) => array.as_struct_opt().and_then(|rows| {
            let columns =
                fields.iter().zip(rows.columns()).map(|(field, column)| if is_within(field) { filled(field, column) } else { ArrayRef::clone(column) });
            let rows = StructArray::try_new(fields.clone(), columns.collect(), rows.nulls().cloned()).ok()?;
            Some(Arc::new(rows) as ArrayRef)
        }),
        DataType::List(item) if is_within(item) => array.as_list_opt::<i32>().and_then(|list| {
            let list = ListArray::try_new(FieldRef::clone(item), list.offsets().clone(), inside(item, list.values()), list.nulls().cloned()).ok()?;
            Some(Arc::new(list) as ArrayRef)
        }),
        DataType::Map(entries, sorted) if is_within(entries) => array.as_map_opt().and_then(|map| {
            let entry: ArrayRef = Arc::new(map.entries().clone());
            let filled = inside(entries, &entry);
            let map =
                MapArray::try_new(FieldRef::clone(entries), map.offsets().clone(), filled.as_struct_opt()?.clone(), map.nulls().cloned(), *sorted).ok()?;
            Some(Arc::new(map) as ArrayRef)
        }),
        _ => None,
    };
    changed.unwrap_or_else(|| ArrayRef::clone(array))
}

/// True for a struct that stands for a union in any of the languages.
pub(super) fn is_any_union(field: &Field) -> bool {
    let named = |name: &String| name.starts_with("io.confluent.connect.protobuf.Union") || name == crate::schema::avro::UNION;
    is_union(field) || field.metadata().get(NAME).is_some_and(named) || field.metadata().contains_key(&format!("{PARAMETERS}{UNION}"))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, StringArray};
    use arrow::buffer::{NullBuffer, OffsetBuffer};
    use arrow::datatypes::{Fields, Int32Type};

    use super::*;

    fn defaulted(name: &str, data_type: DataType, default: &str) -> Field {
        Field::new(name, data_type, true).with_metadata([(DEFAULT.to_owned(), default.to_owned())])
    }

    #[test]
    fn fields_of_structs_have_their_defaults_and_items_of_lists_do_not() {
        let fields = Fields::from(vec![defaulted("n", DataType::Int32, "7"), Field::new("s", DataType::Utf8, true)]);
        let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![Some(1), None, None])), Arc::new(StringArray::new_null(3))];
        let rows: ArrayRef = Arc::new(StructArray::new(fields.clone(), columns, Some(NullBuffer::from(vec![true, true, false]))));
        let field: FieldRef = Field::new("v", DataType::Struct(fields), true).into();
        assert!(is_within(&field));
        let filled_rows = filled(&field, &rows);
        let numbers = filled_rows.as_struct().column(0).as_primitive::<Int32Type>();
        assert_eq!((numbers.value(0), numbers.value(1)), (1, 7));
        assert_eq!((filled_rows.null_count(), filled_rows.as_struct().column(1).null_count()), (1, 3));

        let list: FieldRef = Field::new("l", DataType::List(defaulted("item", DataType::Int32, "7").into()), true).into();
        let values: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
        let DataType::List(item) = list.data_type() else { unreachable!("a list") };
        let rows: ArrayRef = Arc::new(ListArray::new(FieldRef::clone(item), OffsetBuffer::from_lengths([2]), values, None));
        assert_eq!(filled(&list, &rows).as_list::<i32>().values().null_count(), 1);
    }

    #[test]
    fn members_of_unions_keep_their_nulls() {
        let fields = Fields::from(vec![defaulted("n", DataType::Int32, "7"), Field::new("s", DataType::Utf8, true)]);
        let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::new_null(1)), Arc::new(StringArray::from(vec!["x"]))];
        let rows: ArrayRef = Arc::new(StructArray::new(fields.clone(), columns, None));
        let union = Field::new("v", DataType::Struct(fields), true);
        let union: FieldRef = union.with_metadata([(NAME.to_owned(), crate::schema::JSON_UNION.to_owned())]).into();
        assert_eq!(filled(&union, &rows).as_struct().column(0).null_count(), 1);
    }
}
