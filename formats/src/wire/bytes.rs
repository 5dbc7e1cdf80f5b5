//! `ByteArrayConverter`: payloads as they are.
//!
//! Source: `org.apache.kafka.connect.converters.ByteArrayConverter`, whose schema is optional bytes.
//!
//! Guarantee: no byte is copied or looked at, and no row is rejected.

use std::sync::Arc;

use arrow::array::{Array, BinaryArray};
use arrow::datatypes::{DataType, Field, FieldRef};

use super::{ConvertError, Converter, Decoded, RegisteredSchema, SchemaId, Wire};
use crate::column::Column;

/// Registration.
pub(super) const WIRE: Wire = Wire {
    name: "bytes",
    aliases: &["org.apache.kafka.connect.converters.ByteArrayConverter", "ByteArrayConverter", "ByteArray"],
    doc: "Hands payloads on as they are: optional bytes.",
    registry: false,
    build: |_, is_key, _| Ok(Box::new(ByteArrayConverter { field: field(is_key) })),
};

fn field(is_key: bool) -> FieldRef {
    Arc::new(Field::new(super::json::column_name(is_key), DataType::Binary, true))
}

#[derive(Debug)]
struct ByteArrayConverter {
    field: FieldRef,
}

impl Converter for ByteArrayConverter {
    fn missing(&self, _payloads: &BinaryArray) -> Vec<SchemaId> {
        Vec::new()
    }

    fn learn(&mut self, _id: SchemaId, _schema: Result<&RegisteredSchema, &str>) -> Result<(), ConvertError> {
        Ok(())
    }

    fn forget(&mut self, _id: SchemaId) {}

    fn decode(&mut self, _topic: &str, payloads: &BinaryArray) -> Result<Decoded, ConvertError> {
        let column = Column::new(FieldRef::clone(&self.field), Arc::new(payloads.clone()));
        Ok(Decoded { spans: vec![(0..payloads.len(), column)], rejects: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Options, Want};
    use super::*;

    #[test]
    fn payloads_come_out_as_they_are_and_share_their_memory() {
        let payloads = BinaryArray::from(vec![Some(&b"\xff\x00"[..]), None, Some(b"")]);
        let mut converter = (WIRE.build)(&Options::new(), false, Want::Any).expect("no settings");
        let decoded = converter.decode("t", &payloads).expect("any bytes");
        let (rows, column) = &decoded.spans[0];
        assert_eq!((rows.clone(), decoded.rejects.len()), (0..3, 0));
        assert_eq!(column.array.as_ref(), &payloads as &dyn Array);
        assert_eq!(column.array.to_data().buffers()[1].as_ptr(), payloads.values().as_ptr());
        assert!(column.field.is_nullable());
    }
}
