//! Kernels on values: a column → another column, with the semantics of Java's Connect.
//!
//! | kernel | upstream |
//! |---|---|
//! | [`cast`] | `org.apache.kafka.connect.transforms.Cast`: a column as another type |
//! | [`mask`] | `MaskField`: a column without what it says |
//!
//! [`decimal`] is `BigDecimal`; `number` reads Java's texts of numbers.
//!
//! They take plain columns: a field of a struct, and a lane of schemaless values, which is a column too. Nulls stay nulls, and a value that has no result is a
//! reject whose text is that of upstream's `DataException`; its row is null in the column that comes out.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};

use crate::column::Reject;

pub mod cast;
pub mod decimal;
pub mod mask;
pub(crate) mod number;

/// What a kernel made of a column.
#[derive(Debug, Clone)]
pub struct Made {
    /// As many rows as came in.
    pub array: ArrayRef,
    /// Rows without a result, ascending; null in the array.
    pub rejects: Vec<Reject>,
}

impl Made {
    /// Every value has a result.
    fn all(array: ArrayRef) -> Self {
        Self { array, rejects: Vec::new() }
    }

    /// No value has a result, for the same reason; nulls stay what they are.
    fn none(array: &ArrayRef, to: &DataType, reason: &str) -> Self {
        let nulls = array.logical_nulls();
        let is_value = |row: &usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row));
        let rejects = (0..array.len()).filter(is_value).map(|row| Reject { row, reason: reason.to_owned() }).collect();
        Self { array: arrow::array::new_null_array(to, array.len()), rejects }
    }
}

/// The class of the Java objects that a column's values are, as `Class.toString` prints it in messages.
#[must_use]
pub fn java_class(field: &Field) -> &'static str {
    match field.data_type() {
        DataType::Boolean => "class java.lang.Boolean",
        DataType::Int8 => "class java.lang.Byte",
        DataType::Int16 => "class java.lang.Short",
        DataType::Int32 => "class java.lang.Integer",
        DataType::Int64 => "class java.lang.Long",
        DataType::Float32 => "class java.lang.Float",
        DataType::Float64 => "class java.lang.Double",
        DataType::Utf8 => "class java.lang.String",
        DataType::Binary => "class [B",
        DataType::Decimal128(..) | DataType::Decimal256(..) => "class java.math.BigDecimal",
        DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(..) => "class java.util.Date",
        DataType::List(_) => "class java.util.ArrayList",
        DataType::Map(..) => "class java.util.HashMap",
        DataType::Struct(_) => "class org.apache.kafka.connect.data.Struct",
        _ => "class java.lang.Object",
    }
}
