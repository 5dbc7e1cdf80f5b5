//! `BooleanConverter`, `ShortConverter`, `IntegerConverter`, `LongConverter`, `FloatConverter` and `DoubleConverter`: one value as its bytes, big endian.
//!
//! As upstream, each takes values of its own type alone: an int16 is no int32, and neither is what stands for a date or a time. A null has no payload, whatever
//! the schema says; only `BooleanConverter` looks at the schema of a null too. What the bytes are is [`Number`]'s to say, for both directions.
//!
//! Of JSON without a schema, a converter takes what is of its class there: booleans, longs and doubles.
//!
//! Source: `org.apache.kafka.connect.converters.NumberConverter` and `BooleanConverter`.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray, BinaryBuilder, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type};

use super::{PayloadWriter, Payloads, Writer};
use crate::column::{Column, Reject};
use crate::schema::is_json_text;
use crate::schemaless::{Kind, read_json};
use crate::wire::numbers::{BOOLEANS, Number};

/// Registration.
pub(super) const BOOLEAN: Writer = Writer { name: BOOLEANS.name, aliases: BOOLEANS.aliases, registry: false, build: |_| Ok(Box::new(Booleans)) };
pub(super) const SHORT: Writer = writer::<Int16Type>();
pub(super) const INTEGER: Writer = writer::<Int32Type>();
pub(super) const LONG: Writer = writer::<Int64Type>();
pub(super) const FLOAT: Writer = writer::<Float32Type>();
pub(super) const DOUBLE: Writer = writer::<Float64Type>();

const fn writer<N: Number>() -> Writer {
    Writer {
        name: N::NAMES.name,
        aliases: N::NAMES.aliases,
        registry: false,
        build: |_| Ok(Box::new(Numbers { name: N::NAMES.name, data_type: N::DATA_TYPE, write: write::<N> })),
    }
}

/// A converter of one type of numbers.
#[derive(Debug)]
struct Numbers {
    name: &'static str,
    data_type: DataType,
    /// The payloads; `None` when the column is of another type.
    write: fn(&Column) -> Option<BinaryArray>,
}

impl PayloadWriter for Numbers {
    fn write(&mut self, column: &Column) -> Payloads {
        if is_json_text(&column.field) {
            let rest = |reason: &str| format!("failed to serialize to {}: the {} is {reason}", self.name, column.field.name());
            return schemaless(column, &self.data_type, rest, |lane| (self.write)(lane));
        }
        let kind = column.field.data_type();
        let payloads = if kind == &DataType::Null { Some(BinaryArray::new_null(column.len())) } else { (self.write)(column) };
        match payloads {
            Some(payloads) => Payloads { payloads, rejects: Vec::new() },
            None => only_nulls(column, &format!("failed to serialize to {}: the {} is of type {kind}", self.name, column.field.name())),
        }
    }
}

fn write<N: Number>(column: &Column) -> Option<BinaryArray> {
    let numbers = column.array.as_primitive_opt::<N>()?;
    let mut payloads = BinaryBuilder::with_capacity(numbers.len(), numbers.len() * size_of::<N::Native>());
    let mut payload = Vec::with_capacity(size_of::<N::Native>());
    for number in numbers {
        payload.clear();
        if let Some(number) = number {
            N::write(number, &mut payload);
        }
        payloads.append_option(number.map(|_| &payload));
    }
    Some(payloads.finish())
}

/// Payloads of values without a schema; those of other classes have none.
fn schemaless(column: &Column, wanted: &DataType, reason: impl Fn(&str) -> String, write: impl Fn(&Column) -> Option<BinaryArray>) -> Payloads {
    let texts = column.array.as_string::<i32>();
    let (mut payloads, mut rejects, mut from) = (Vec::new(), Vec::new(), 0);
    while from < texts.len() {
        let read = match read_json(&texts.slice(from, texts.len() - from)) {
            Ok(read) if !read.values.is_empty() => read,
            Ok(_) => break,
            Err(error) => return Payloads::none(column.len(), &error.to_string()),
        };
        let values = &read.values;
        rejects.extend(read.rejects.into_iter().map(|reject| Reject { row: from + reject.row, ..reject }));
        let kind = Kind::ALL.into_iter().find(|kind| kind.data_type().as_ref() == Some(wanted));
        let others = (0..values.len()).map(|row| (row, values.kind(row))).filter(|(_, found)| *found > Kind::Null && Some(*found) != kind);
        rejects.extend(others.map(|(row, found)| Reject { row: from + row, reason: reason(&format!("of {}", found.class_name())) }));
        let lane = kind.and_then(|kind| values.lane(kind)).cloned().unwrap_or_else(|| new_null_array(wanted, values.len()));
        let field = Field::new(column.field.name(), wanted.clone(), true);
        payloads.push(write(&Column::new(Arc::new(field), lane)).unwrap_or_else(|| BinaryArray::new_null(values.len())));
        from += values.len();
    }
    rejects.sort_by_key(|reject| reject.row);
    let parts: Vec<&dyn Array> = payloads.iter().map(|part| part as &dyn Array).collect();
    match concat(&parts) {
        Ok(whole) => Payloads { payloads: whole.as_binary().clone(), rejects },
        Err(_) => Payloads { payloads: BinaryArray::new_null(column.len()), rejects }, // no rows
    }
}

/// No value can be written, for the same reason; nulls can.
fn only_nulls(column: &Column, reason: &str) -> Payloads {
    let rows = (0..column.len()).filter(|row| column.array.is_valid(*row));
    let rejects = rows.map(|row| Reject { row, reason: reason.to_owned() }).collect();
    Payloads { payloads: BinaryArray::new_null(column.len()), rejects }
}

#[derive(Debug)]
struct Booleans;

impl PayloadWriter for Booleans {
    fn write(&mut self, column: &Column) -> Payloads {
        let bytes = |column: &Column| column.array.as_boolean().iter().map(|value| value.map(|value| [u8::from(value)])).collect::<BinaryArray>();
        let payloads = match column.field.data_type() {
            DataType::Null => BinaryArray::new_null(column.len()),
            DataType::Boolean => bytes(column),
            _ if is_json_text(&column.field) => {
                let rest = |reason: &str| format!("BooleanConverter is not compatible with objects: the {} is {reason}", column.field.name());
                return schemaless(column, &DataType::Boolean, rest, |lane| Some(bytes(lane)));
            }
            other => {
                let reason = format!("invalid schema type for BooleanConverter: the {} is of type {other}: choose another converter", column.field.name());
                return Payloads::none(column.len(), &reason);
            }
        };
        Payloads { payloads, rejects: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Date32Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, NullArray, StringArray,
    };
    use arrow::datatypes::Field;

    use super::*;

    fn written(converter: &str, array: ArrayRef) -> (Vec<Option<Vec<u8>>>, Vec<Reject>) {
        let column = Column::new(Arc::new(Field::new("value", array.data_type().clone(), true)), array);
        let mut writer = (super::super::find(converter).expect(converter).build)(&super::super::Options::new()).expect("no settings");
        let Payloads { payloads, rejects } = writer.write(&column);
        (payloads.iter().map(|payload| payload.map(<[u8]>::to_vec)).collect(), rejects)
    }

    #[test]
    fn values_are_upstreams_bytes() {
        let cases: [(&str, ArrayRef, &[u8]); 9] = [
            ("org.apache.kafka.connect.converters.BooleanConverter", Arc::new(BooleanArray::from(vec![Some(true), None])), &[1]),
            ("boolean", Arc::new(BooleanArray::from(vec![Some(false), None])), &[0]),
            ("ShortConverter", Arc::new(Int16Array::from(vec![Some(-2), None])), &[0xff, 0xfe]),
            ("IntegerConverter", Arc::new(Int32Array::from(vec![Some(258), None])), &[0, 0, 1, 2]),
            ("LongConverter", Arc::new(Int64Array::from(vec![Some(i64::MIN), None])), &[0x80, 0, 0, 0, 0, 0, 0, 0]),
            ("FloatConverter", Arc::new(Float32Array::from(vec![Some(1.5), None])), &[0x3f, 0xc0, 0, 0]),
            ("FloatConverter", Arc::new(Float32Array::from(vec![Some(f32::NAN), None])), &[0x7f, 0xc0, 0, 0]),
            ("DoubleConverter", Arc::new(Float64Array::from(vec![Some(-0.5), None])), &[0xbf, 0xe0, 0, 0, 0, 0, 0, 0]),
            ("double", Arc::new(Float64Array::from(vec![Some(f64::INFINITY), None])), &[0x7f, 0xf0, 0, 0, 0, 0, 0, 0]),
        ];
        for (converter, array, expected) in cases {
            assert_eq!(written(converter, array), (vec![Some(expected.to_vec()), None], Vec::new()), "{converter}");
        }
    }

    #[test]
    fn values_of_another_type_are_refused() {
        let cases: [(&str, ArrayRef, &str); 6] = [
            ("short", Arc::new(Int8Array::from(vec![1])), "failed to serialize to short: the value is of type Int8"),
            ("integer", Arc::new(Int64Array::from(vec![1])), "failed to serialize to integer: the value is of type Int64"),
            ("integer", Arc::new(Date32Array::from(vec![1])), "failed to serialize to integer: the value is of type Date32"),
            ("long", Arc::new(StringArray::from(vec!["1"])), "failed to serialize to long: the value is of type Utf8"),
            ("float", Arc::new(Float64Array::from(vec![1.0])), "failed to serialize to float: the value is of type Float64"),
            ("boolean", Arc::new(Int32Array::from(vec![1])), "invalid schema type for BooleanConverter: the value is of type Int32"),
        ];
        for (converter, array, expected) in cases {
            let (payloads, rejects) = written(converter, array);
            assert!(payloads == [None] && rejects.len() == 1 && rejects[0].reason.starts_with(expected), "{converter}: {rejects:?}");
        }
    }

    #[test]
    fn nulls_have_no_payload_whatever_their_schema() {
        for converter in ["boolean", "short", "integer", "long", "float", "double"] {
            assert_eq!(written(converter, Arc::new(NullArray::new(1))), (vec![None], Vec::new()), "{converter}");
            let of_strings: ArrayRef = Arc::new(StringArray::new_null(1));
            assert_eq!(written(converter, of_strings).1.len(), usize::from(converter == "boolean"), "{converter}");
        }
    }
}
