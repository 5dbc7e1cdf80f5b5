//! `BooleanConverter`, `ShortConverter`, `IntegerConverter`, `LongConverter`, `FloatConverter` and `DoubleConverter`: a payload is one value, big endian.
//!
//! | converter | payload | becomes optional |
//! |---|---|---|
//! | Boolean | 1 byte, `00` or `01` | boolean |
//! | Short, Integer, Long | 2, 4, 8 bytes | int16, int32, int64 |
//! | Float, Double | 4, 8 bytes (IEEE 754) | float32, float64 |
//!
//! A payload of another length is a reject, and so is an empty one. [`Number`] is what both directions know of a type.
//!
//! Source: `org.apache.kafka.connect.converters.NumberConverter` and `BooleanConverter`, and the deserializers that they ask.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type};

use super::{ConvertError, Converter, Decoded, Options, RegisteredSchema, SchemaId, Want, Wire};
use crate::column::{Column, Reject};

/// What a converter is called.
pub(crate) struct Names {
    /// Its short name, and that of its type in messages.
    pub(crate) name: &'static str,
    /// Class names.
    pub(crate) aliases: &'static [&'static str],
    doc: &'static str,
}

/// A type of numbers that has a converter.
pub(crate) trait Number: ArrowPrimitiveType {
    /// What its converter is called.
    const NAMES: Names;

    /// The number that a payload is; `None` when it has another length.
    fn read(payload: &[u8]) -> Option<Self::Native>;

    /// Appends the payload that a number is.
    fn write(number: Self::Native, out: &mut Vec<u8>);
}

macro_rules! number {
    ($arrow:ty, $native:ty, $name:literal, $converter:literal, $doc:literal) => {
        impl Number for $arrow {
            const NAMES: Names = Names {
                name: $name,
                aliases: &[concat!("org.apache.kafka.connect.converters.", $converter, "Converter"), concat!($converter, "Converter"), $converter],
                doc: $doc,
            };

            fn read(payload: &[u8]) -> Option<$native> {
                payload.try_into().ok().map(<$native>::from_be_bytes)
            }

            fn write(number: $native, out: &mut Vec<u8>) {
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
    };
}

number!(Int16Type, i16, "short", "Short", "Reads payloads of 2 bytes, big endian: optional int16.");
number!(Int32Type, i32, "integer", "Integer", "Reads payloads of 4 bytes, big endian: optional int32.");
number!(Int64Type, i64, "long", "Long", "Reads payloads of 8 bytes, big endian: optional int64.");
number!(Float32Type, f32, "float", "Float", "Reads payloads of 4 bytes, big endian: optional float32.");
number!(Float64Type, f64, "double", "Double", "Reads payloads of 8 bytes, big endian: optional float64.");

/// What the converter of booleans is called.
pub(crate) const BOOLEANS: Names = Names {
    name: "boolean",
    aliases: &["org.apache.kafka.connect.converters.BooleanConverter", "BooleanConverter", "Boolean"],
    doc: "Reads payloads of 1 byte, 00 or 01: optional boolean.",
};

/// Registration.
pub(super) const BOOLEAN: Wire = wire(BOOLEANS, |_, is_key, _| Ok(Box::new(Fixed { field: field(DataType::Boolean, is_key), read: booleans })));
pub(super) const SHORT: Wire = wire(Int16Type::NAMES, build::<Int16Type>);
pub(super) const INTEGER: Wire = wire(Int32Type::NAMES, build::<Int32Type>);
pub(super) const LONG: Wire = wire(Int64Type::NAMES, build::<Int64Type>);
pub(super) const FLOAT: Wire = wire(Float32Type::NAMES, build::<Float32Type>);
pub(super) const DOUBLE: Wire = wire(Float64Type::NAMES, build::<Float64Type>);

type Build = fn(&Options, bool, Want) -> Result<Box<dyn Converter>, ConvertError>;

const fn wire(names: Names, build: Build) -> Wire {
    Wire { name: names.name, aliases: names.aliases, doc: names.doc, registry: false, build }
}

fn build<N: Number>(_: &Options, is_key: bool, _: Want) -> Result<Box<dyn Converter>, ConvertError> {
    Ok(Box::new(Fixed { field: field(N::DATA_TYPE, is_key), read: numbers::<N> }))
}

fn field(kind: DataType, is_key: bool) -> FieldRef {
    Arc::new(Field::new(super::json::column_name(is_key), kind, true))
}

/// A converter of values that all have one length.
#[derive(Debug)]
struct Fixed {
    field: FieldRef,
    read: fn(&BinaryArray, &mut Vec<Reject>) -> ArrayRef,
}

impl Converter for Fixed {
    fn missing(&self, _payloads: &BinaryArray) -> Vec<SchemaId> {
        Vec::new()
    }

    fn learn(&mut self, _id: SchemaId, _schema: Result<&RegisteredSchema, &str>) -> Result<(), ConvertError> {
        Ok(())
    }

    fn forget(&mut self, _id: SchemaId) {}

    fn decode(&mut self, _topic: &str, payloads: &BinaryArray) -> Result<Decoded, ConvertError> {
        let mut rejects = Vec::new();
        let array = (self.read)(payloads, &mut rejects);
        Ok(Decoded { spans: vec![(0..payloads.len(), Column::new(FieldRef::clone(&self.field), array))], rejects })
    }
}

fn numbers<N: Number>(payloads: &BinaryArray, rejects: &mut Vec<Reject>) -> ArrayRef {
    // Each payload may be of a wrong length for itself: there is no kernel for that.
    let read = |(row, payload): (usize, Option<&[u8]>)| {
        let payload = payload?;
        let number = N::read(payload);
        if number.is_none() {
            let (name, found, wanted) = (N::NAMES.name, payload.len(), size_of::<N::Native>());
            rejects.push(Reject { row, reason: format!("Failed to deserialize {name}: the size of the data is {found} and not {wanted}") });
        }
        number
    };
    Arc::new(payloads.iter().enumerate().map(read).collect::<PrimitiveArray<N>>())
}

fn booleans(payloads: &BinaryArray, rejects: &mut Vec<Reject>) -> ArrayRef {
    let read = |(row, payload): (usize, Option<&[u8]>)| {
        let wrong = match payload? {
            [0] => return Some(false),
            [1] => return Some(true),
            [other] => format!("the byte is {other} and neither 0 nor 1"),
            other => format!("the size of the data is {} and not 1", other.len()),
        };
        rejects.push(Reject { row, reason: format!("Failed to deserialize boolean: {wrong}") });
        None
    };
    Arc::new(payloads.iter().enumerate().map(read).collect::<BooleanArray>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a converter makes of a payload: the value as Arrow prints it, or why there is none.
    fn read(name: &str, payload: Option<&[u8]>) -> Result<String, String> {
        let wire = super::super::find(name).expect(name);
        let mut converter = (wire.build)(&Options::new(), false, Want::Any).expect("no settings");
        let Decoded { spans, rejects } = converter.decode("t", &BinaryArray::from(vec![payload])).expect("any bytes");
        let (rows, column) = &spans[0];
        assert!(*rows == (0..1) && column.field.is_nullable() && column.field.name() == "value");
        match rejects.first() {
            Some(reject) => Err(reject.reason.clone()),
            None if column.array.is_null(0) => Ok("null".to_owned()),
            None => Ok(arrow::util::display::array_value_to_string(&column.array, 0).expect("a value")),
        }
    }

    #[test]
    fn payloads_of_the_right_length_are_values_and_others_are_rejects() {
        for (name, payload, expected) in [
            ("BooleanConverter", Some(&[0][..]), Ok("false")),
            ("boolean", Some(&[1]), Ok("true")),
            ("boolean", Some(&[2]), Err("Failed to deserialize boolean: the byte is 2 and neither 0 nor 1")),
            ("boolean", Some(&[]), Err("Failed to deserialize boolean: the size of the data is 0 and not 1")),
            ("org.apache.kafka.connect.converters.ShortConverter", Some(&[0x80, 0]), Ok("-32768")),
            ("short", Some(&[1]), Err("Failed to deserialize short: the size of the data is 1 and not 2")),
            ("Integer", Some(&[0, 0, 1, 2]), Ok("258")),
            ("integer", Some(b""), Err("Failed to deserialize integer: the size of the data is 0 and not 4")),
            ("LongConverter", Some(&[255; 8]), Ok("-1")),
            ("long", Some(&[0; 4]), Err("Failed to deserialize long: the size of the data is 4 and not 8")),
            ("FloatConverter", Some(&[0x3f, 0xc0, 0, 0]), Ok("1.5")),
            ("float", Some(&[0; 8]), Err("Failed to deserialize float: the size of the data is 8 and not 4")),
            ("DoubleConverter", Some(&[0xbf, 0xe0, 0, 0, 0, 0, 0, 0]), Ok("-0.5")),
            ("double", Some(&[0; 9]), Err("Failed to deserialize double: the size of the data is 9 and not 8")),
        ] {
            assert_eq!(read(name, payload), expected.map(str::to_owned).map_err(str::to_owned), "{name} {payload:?}");
        }
        for name in ["boolean", "short", "integer", "long", "float", "double"] {
            assert_eq!(read(name, None), Ok("null".to_owned()), "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again_and_nothing_stops_the_reader(long: i64, double: f64, payload: Vec<u8>) {
            let mut out = Vec::new();
            Int64Type::write(long, &mut out);
            Float64Type::write(double, &mut out);
            let (first, second) = out.split_at(8);
            prop_assert_eq!((Int64Type::read(first), Float64Type::read(second).map(f64::to_bits)), (Some(long), Some(double.to_bits())));
            for name in ["boolean", "short", "integer", "long", "float", "double"] {
                drop(read(name, Some(&payload)));
            }
        }
    }
}
