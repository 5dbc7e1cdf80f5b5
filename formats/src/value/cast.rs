//! A column as another type, as `Cast` does it: Java's narrowing, Java's texts.
//!
//! | from | to a number | to boolean | to string |
//! |---|---|---|---|
//! | integer | the low bits | not 0 | digits |
//! | float32, float64 | the nearest towards 0 that 32 or 64 bits hold, then the low bits; NaN is 0 | the whole part is not 0 | as Java prints it: `1.0E10` |
//! | decimal | the whole part, of which the low bits | the whole part is not 0 | `BigDecimal.toString` |
//! | boolean | 1 or 0 | itself | `true`, `false` |
//! | string | read by `Byte.parseByte` to `Double.parseDouble`, else a reject | equals `true` in any case | itself |
//! | bytes | a reject | a reject | base64 |
//! | date, time, timestamp | their days or ms | not 0 | ISO, by the instant ([`mod@crate::instant`]) |
//! | list, map, struct | a reject | a reject | a reject |
//!
//! Texts are read and printed row by row: they have no kernel. All else is one kernel for a column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBuilder, PrimitiveArray, PrimitiveBuilder, StringArray, new_null_array};
use arrow::buffer::{BooleanBuffer, Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMillisecondType, i256,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::decimal::BigDecimal;
use super::{Made, java_class, number};
use crate::column::Reject;
use crate::instant;
use crate::payload::text::JavaText;
use crate::schema::DEFAULT;

/// A type that values are cast to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// int8
    Int8,
    /// int16
    Int16,
    /// int32
    Int32,
    /// int64
    Int64,
    /// float32
    Float32,
    /// float64
    Float64,
    /// boolean
    Boolean,
    /// string
    String,
}

impl Target {
    /// Its Arrow type.
    #[must_use]
    pub fn data_type(self) -> DataType {
        match self {
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::String => DataType::Utf8,
        }
    }
}

/// What a schema keeps when its values are cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The schema of a whole key or value keeps its name, version, documentation and parameters.
    Metadata,
    /// A field keeps nothing but its default: what was a logical type is a plain one.
    Nothing,
}

/// The field of cast values: its default is cast too.
///
/// # Errors
/// When the default has no such form, in the words of upstream's `DataException`.
pub fn field(field: &Field, to: Target, keep: Keep) -> Result<Field, String> {
    let mut metadata = if keep == Keep::Metadata { field.metadata().clone() } else { Default::default() };
    metadata.remove(DEFAULT);
    let cast_field = Field::new(field.name(), to.data_type(), field.is_nullable());
    if let Some(default) = crate::wire::json::default_value(&Arc::new(field.clone())) {
        let Made { array, rejects } = cast(&default, field, to);
        if let Some(reject) = rejects.into_iter().next() {
            return Err(reject.reason);
        }
        metadata.insert(DEFAULT.to_owned(), crate::file::json::printed(&array, &cast_field));
    }
    Ok(cast_field.with_metadata(metadata))
}

/// The values as another type.
#[must_use]
pub fn cast(array: &ArrayRef, field: &Field, to: Target) -> Made {
    let unsupported = |kind: &str| {
        let reason = format!(
            "Cast transformation does not support casting from {kind}; supported types are [INT8, INT16, INT32, INT64, FLOAT32, FLOAT64, BOOLEAN, STRING, BYTES]"
        );
        Made::none(array, &to.data_type(), &reason)
    };
    match (field.data_type(), to) {
        (DataType::Null, _) => Made::all(new_null_array(&to.data_type(), array.len())),
        (DataType::List(_), _) => unsupported("ARRAY"),
        (DataType::Map(..), _) => unsupported("MAP"),
        (DataType::Struct(_), _) => unsupported("STRUCT"),
        (DataType::Utf8, Target::String) | (DataType::Boolean, Target::Boolean) => Made::all(Arc::clone(array)),
        (DataType::Utf8, _) => from_texts(array.as_string(), to),
        (DataType::Binary, Target::String) => Made::all(texts(array, |row, out| {
            out.extend_from_slice(STANDARD.encode(array.as_binary::<i32>().value(row)).as_bytes());
        })),
        (DataType::Binary, _) => Made::none(array, &to.data_type(), &format!("Unexpected type in Cast transformation: {}", java_class(field))),
        (_, Target::String) => Made::all(to_texts(array, field)),
        (DataType::Boolean, _) => Made::all(from_booleans(array.as_boolean(), to)),
        _ => Made::all(from_numbers(array, to)),
    }
}

/// Java's `Number`: what its methods give; `byteValue` and `shortValue` are the low bits of `intValue`.
trait Number: Copy {
    fn int(self) -> i32;
    fn long(self) -> i64;
    fn float(self) -> f32;
    fn double(self) -> f64;
}

macro_rules! numbers {
    ($($native:ty),*) => {$(
        impl Number for $native {
            fn int(self) -> i32 {
                self as i32
            }
            fn long(self) -> i64 {
                self as i64
            }
            fn float(self) -> f32 {
                self as f32
            }
            fn double(self) -> f64 {
                self as f64
            }
        }
    )*};
}

// `as` is Java's narrowing here: integers keep their low bits, floats saturate, NaN is 0.
numbers!(i8, i16, i32, i64, f32, f64);

/// An unscaled decimal with its scale.
#[derive(Clone, Copy)]
struct Scaled<T>(T, i8);

impl Number for Scaled<i128> {
    fn int(self) -> i32 {
        self.long() as i32
    }

    fn long(self) -> i64 {
        let Self(value, scale) = self;
        let power = 10_i128.checked_pow(u32::from(scale.unsigned_abs()));
        match scale {
            0 => value as i64,
            1.. => power.map_or(0, |power| value / power) as i64,
            // A higher power of ten than 128 bits hold has no low bits.
            _ => power.map_or(0, |power| value.wrapping_mul(power)) as i64,
        }
    }

    fn float(self) -> f32 {
        BigDecimal::new(&self.0.to_string(), self.1.into()).float()
    }

    fn double(self) -> f64 {
        BigDecimal::new(&self.0.to_string(), self.1.into()).double()
    }
}

impl Number for Scaled<i256> {
    fn int(self) -> i32 {
        self.long() as i32
    }

    fn long(self) -> i64 {
        BigDecimal::new(&self.0.to_string(), self.1.into()).long()
    }

    fn float(self) -> f32 {
        BigDecimal::new(&self.0.to_string(), self.1.into()).float()
    }

    fn double(self) -> f64 {
        BigDecimal::new(&self.0.to_string(), self.1.into()).double()
    }
}

fn from_numbers(array: &ArrayRef, to: Target) -> ArrayRef {
    match array.data_type() {
        DataType::Int8 => as_target(array.as_primitive::<Int8Type>(), to, |value| value),
        DataType::Int16 => as_target(array.as_primitive::<Int16Type>(), to, |value| value),
        DataType::Int32 => as_target(array.as_primitive::<Int32Type>(), to, |value| value),
        DataType::Int64 => as_target(array.as_primitive::<Int64Type>(), to, |value| value),
        DataType::Float32 => as_target(array.as_primitive::<Float32Type>(), to, |value| value),
        DataType::Float64 => as_target(array.as_primitive::<Float64Type>(), to, |value| value),
        DataType::Date32 => as_target(array.as_primitive::<Date32Type>(), to, |value| value),
        DataType::Time32(_) => as_target(array.as_primitive::<Time32MillisecondType>(), to, |value| value),
        DataType::Timestamp(..) => as_target(array.as_primitive::<TimestampMillisecondType>(), to, |value| value),
        DataType::Decimal128(_, scale) => as_target(array.as_primitive::<Decimal128Type>(), to, |value| Scaled(value, *scale)),
        DataType::Decimal256(_, scale) => as_target(array.as_primitive::<Decimal256Type>(), to, |value| Scaled(value, *scale)),
        _ => new_null_array(&to.data_type(), array.len()),
    }
}

fn as_target<T: ArrowPrimitiveType, N: Number>(array: &PrimitiveArray<T>, to: Target, number: impl Fn(T::Native) -> N) -> ArrayRef {
    match to {
        Target::Int8 => Arc::new(array.unary::<_, Int8Type>(|value| number(value).int() as i8)),
        Target::Int16 => Arc::new(array.unary::<_, Int16Type>(|value| number(value).int() as i16)),
        Target::Int32 => Arc::new(array.unary::<_, Int32Type>(|value| number(value).int())),
        Target::Int64 => Arc::new(array.unary::<_, Int64Type>(|value| number(value).long())),
        Target::Float32 => Arc::new(array.unary::<_, Float32Type>(|value| number(value).float())),
        Target::Float64 => Arc::new(array.unary::<_, Float64Type>(|value| number(value).double())),
        Target::Boolean => {
            let values = array.values();
            let bits = BooleanBuffer::collect_bool(values.len(), |row| number(values[row]).long() != 0);
            Arc::new(BooleanArray::new(bits, array.nulls().cloned()))
        }
        Target::String => new_null_array(&DataType::Utf8, array.len()),
    }
}

fn from_booleans(array: &BooleanArray, to: Target) -> ArrayRef {
    let bytes: Vec<i8> = array.values().iter().map(i8::from).collect();
    as_target(&PrimitiveArray::<Int8Type>::new(bytes.into(), array.nulls().cloned()), to, |value| value)
}

fn from_texts(array: &StringArray, to: Target) -> Made {
    match to {
        Target::Int8 => parsed::<Int8Type>(array, number::whole),
        Target::Int16 => parsed::<Int16Type>(array, number::whole),
        Target::Int32 => parsed::<Int32Type>(array, number::whole),
        Target::Int64 => parsed::<Int64Type>(array, number::whole),
        Target::Float32 => parsed::<Float32Type>(array, number::floating),
        Target::Float64 => parsed::<Float64Type>(array, number::floating),
        Target::Boolean => {
            let mut values = BooleanBuilder::with_capacity(array.len());
            array.iter().for_each(|text| values.append_option(text.map(|text| text.eq_ignore_ascii_case("true"))));
            Made::all(Arc::new(values.finish()))
        }
        Target::String => Made::all(Arc::new(array.clone())),
    }
}

fn parsed<T: ArrowPrimitiveType>(array: &StringArray, parse: impl Fn(&str) -> Option<T::Native>) -> Made {
    let (mut values, mut rejects) = (PrimitiveBuilder::<T>::with_capacity(array.len()), Vec::new());
    for (row, text) in array.iter().enumerate() {
        let value = text.and_then(&parse);
        if let (Some(text), None) = (text, value) {
            rejects.push(Reject { row, reason: format!("Value ({text}) was out of range for requested data type") });
        }
        values.append_option(value);
    }
    Made { array: Arc::new(values.finish()), rejects }
}

fn to_texts(array: &ArrayRef, field: &Field) -> ArrayRef {
    let instants = |ms: &dyn Fn(usize) -> i64| texts(array, |row, out| instant::push(ms(row), out));
    match array.data_type() {
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().values();
            instants(&|row| i64::from(days[row]) * 86_400_000)
        }
        DataType::Time32(_) => {
            let times = array.as_primitive::<Time32MillisecondType>().values();
            instants(&|row| i64::from(times[row]))
        }
        DataType::Timestamp(..) => {
            let times = array.as_primitive::<TimestampMillisecondType>().values();
            instants(&|row| times[row])
        }
        _ => match JavaText::new(array, field) {
            Ok(text) => texts(array, |row, out| text.print(row, out)),
            Err(_) => new_null_array(&DataType::Utf8, array.len()),
        },
    }
}

/// One text for each value.
fn texts(array: &ArrayRef, print: impl Fn(usize, &mut Vec<u8>)) -> ArrayRef {
    let (mut bytes, mut offsets) = (Vec::new(), Vec::with_capacity(array.len() + 1));
    offsets.push(0);
    for row in 0..array.len() {
        if array.is_valid(row) {
            print(row, &mut bytes);
        }
        offsets.push(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    // What is printed is ASCII, or was a string; more than 2 GiB of it is more than any batch has.
    match StringArray::try_new(offsets, Buffer::from_vec(bytes), array.nulls().cloned()) {
        Ok(texts) => Arc::new(texts),
        Err(_) => new_null_array(&DataType::Utf8, array.len()),
    }
}

#[cfg(test)]
mod tests;
