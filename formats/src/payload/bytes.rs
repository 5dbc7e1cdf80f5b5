//! `ByteArrayConverter`: bytes as they are.

use arrow::array::{AsArray, BinaryArray};
use arrow::datatypes::DataType;

use super::{PayloadWriter, Payloads, Writer};
use crate::column::Column;

/// Registration.
pub(super) const WRITER: Writer = Writer {
    name: "bytes",
    aliases: &["org.apache.kafka.connect.converters.ByteArrayConverter", "ByteArrayConverter", "ByteArray"],
    registry: false,
    build: |_| Ok(Box::new(Bytes)),
};

#[derive(Debug)]
struct Bytes;

impl PayloadWriter for Bytes {
    fn write(&mut self, column: &Column) -> Payloads {
        let payloads = match column.field.data_type() {
            DataType::Null => BinaryArray::new_null(column.len()),
            DataType::Binary => column.array.as_binary().clone(),
            other => {
                let reason = format!("ByteArrayConverter writes bytes only, and the {} is of type {other}: choose another converter", column.field.name());
                return Payloads::none(column.len(), &reason);
            }
        };
        Payloads { payloads, rejects: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, ArrayRef, Int32Array, NullArray};
    use arrow::datatypes::Field;

    use super::*;

    fn column(array: ArrayRef) -> Column {
        Column::new(Arc::new(Field::new("value", array.data_type().clone(), true)), array)
    }

    #[test]
    fn bytes_pass_and_nothing_else_does() {
        let bytes = BinaryArray::from(vec![Some(&b"\xff"[..]), None, Some(b"")]);
        let written = Bytes.write(&column(Arc::new(bytes.clone())));
        assert!(written.payloads == bytes && written.rejects.is_empty());
        assert_eq!(Bytes.write(&column(Arc::new(NullArray::new(2)))).payloads.null_count(), 2);
        let refused = Bytes.write(&column(Arc::new(Int32Array::from(vec![1, 2]))));
        assert_eq!(refused.rejects.len(), 2);
        assert!(refused.rejects[1].reason.contains("the value is of type Int32"), "{:?}", refused.rejects);
    }
}
