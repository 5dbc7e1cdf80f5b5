//! A dynamic column → JSON text, as Jackson writes Java's values: dates are milliseconds, bytes base64, decimals numbers; what is no number is a string.
//!
//! Members are written in each row's own order. Texts have no columnar form before they are whole, so this is a loop over rows, into one buffer.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, BooleanArray, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow::error::ArrowError;

use super::{Dynamic, Kind, Order};
use crate::column::Column;
use crate::file::json::{push_base64, push_f32, push_f64, push_string};
use crate::schema::json_text;

impl Dynamic {
    /// The rows as JSON texts; a row that is null is a null.
    ///
    /// # Errors
    /// When the texts take more than 2 GiB.
    pub fn json(&self) -> Result<StringArray, ArrowError> {
        let printer = Printer::new(self);
        let (mut text, mut ends) = (Vec::new(), Vec::with_capacity(self.len() + 1));
        ends.push(0);
        for (row, kind) in self.kinds().iter().enumerate() {
            if *kind > Kind::Null as u8 {
                printer.print(row, &mut text);
            }
            ends.push(i32::try_from(text.len()).map_err(|_| ArrowError::OffsetOverflowError(text.len()))?);
        }
        let nulls: NullBuffer = self.nulls();
        StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(ends)), Buffer::from_vec(text), Some(nulls).filter(|nulls| nulls.null_count() > 0))
    }

    /// The rows as a column of schemaless JSON, the form in which they leave a chain of transforms.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub fn into_json_column(self, name: &str) -> Result<Column, ArrowError> {
        Ok(Column::new(json_text(name), Arc::new(self.json()?)))
    }
}

/// The values of a place in all rows, ready to be printed.
struct Printer<'a> {
    kinds: &'a [u8],
    booleans: Option<&'a BooleanArray>,
    int8s: &'a [i8],
    int16s: &'a [i16],
    int32s: &'a [i32],
    int64s: &'a [i64],
    float32s: &'a [f32],
    float64s: &'a [f64],
    dates: &'a [i64],
    strings: Option<&'a StringArray>,
    bytes: Option<&'a BinaryArray>,
    decimals: Option<&'a StringArray>,
    integers: Option<&'a StringArray>,
    list: Option<(&'a OffsetBuffer<i32>, Box<Self>)>,
    /// Members with their names as they are written, colon included.
    members: Vec<(Vec<u8>, Self)>,
    order: Order<'a>,
}

fn native<T: ArrowPrimitiveType>(lane: Option<&ArrayRef>) -> &[T::Native] {
    lane.and_then(|lane| lane.as_primitive_opt::<T>()).map_or(&[], |array| array.values())
}

fn texts(lane: Option<&ArrayRef>) -> Option<&StringArray> {
    lane.and_then(|lane| lane.as_string_opt::<i32>())
}

impl<'a> Printer<'a> {
    fn new(values: &'a Dynamic) -> Self {
        Self::of(&values.0)
    }

    fn of(values: &'a arrow::array::StructArray) -> Self {
        let lane = |kind: Kind| values.column_by_name(kind.lane());
        let list = lane(Kind::List).and_then(|list| list.as_list_opt::<i32>());
        let map = lane(Kind::Map).and_then(|map| map.as_struct_opt());
        let members = map.into_iter().flat_map(|map| map.fields().iter().zip(map.columns())).map(|(field, column)| {
            let mut name = Vec::new();
            push_string(field.name().as_bytes(), &mut name);
            name.push(b':');
            (name, Self::of(column.as_struct()))
        });
        Self {
            kinds: values.column(0).as_primitive::<arrow::datatypes::UInt8Type>().values(),
            booleans: lane(Kind::Boolean).and_then(|lane| lane.as_boolean_opt()),
            int8s: native::<Int8Type>(lane(Kind::Int8)),
            int16s: native::<Int16Type>(lane(Kind::Int16)),
            int32s: native::<Int32Type>(lane(Kind::Int32)),
            int64s: native::<Int64Type>(lane(Kind::Int64)),
            float32s: native::<Float32Type>(lane(Kind::Float32)),
            float64s: native::<Float64Type>(lane(Kind::Float64)),
            dates: native::<TimestampMillisecondType>(lane(Kind::Date)),
            strings: texts(lane(Kind::String)),
            bytes: lane(Kind::Bytes).and_then(|lane| lane.as_binary_opt::<i32>()),
            decimals: texts(lane(Kind::Decimal)),
            integers: texts(lane(Kind::BigInteger)),
            list: list.map(|list| (list.offsets(), Box::new(Self::of(list.values().as_struct())))),
            members: members.collect(),
            order: Order::of(map),
        }
    }

    fn print(&self, row: usize, out: &mut Vec<u8>) {
        let kind = self.kinds.get(row).map_or(Kind::Absent, |kind| Kind::of(*kind));
        let digits = |array: Option<&'a StringArray>| array.map_or("0", |array| array.value(row)).as_bytes();
        match kind {
            Kind::Absent | Kind::Null => out.extend_from_slice(b"null"),
            Kind::Boolean => out.extend_from_slice(if self.booleans.is_some_and(|array| array.value(row)) { b"true" } else { b"false" }),
            Kind::Int8 => push_integer(self.int8s.get(row), out),
            Kind::Int16 => push_integer(self.int16s.get(row), out),
            Kind::Int32 => push_integer(self.int32s.get(row), out),
            Kind::Int64 => push_integer(self.int64s.get(row), out),
            Kind::Date => push_integer(self.dates.get(row), out),
            Kind::Float32 => push_f32(self.float32s.get(row).copied().unwrap_or_default(), out),
            Kind::Float64 => push_f64(self.float64s.get(row).copied().unwrap_or_default(), out),
            Kind::String => push_string(self.strings.map_or(b"", |array| array.value(row).as_bytes()), out),
            Kind::Bytes => push_base64(self.bytes.map_or(b"", |array| array.value(row)), out),
            Kind::Decimal => out.extend_from_slice(digits(self.decimals)),
            Kind::BigInteger => out.extend_from_slice(digits(self.integers)),
            Kind::List => self.print_list(row, out),
            Kind::Map => self.print_map(row, out),
        }
    }

    fn print_list(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'[');
        if let Some((offsets, items)) = &self.list {
            let end = |row: usize| offsets.get(row).and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
            for (index, item) in (end(row)..end(row + 1)).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                items.print(item, out);
            }
        }
        out.push(b']');
    }

    fn print_map(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        let start = out.len();
        self.order.each(row, |at| {
            if let Some((name, member)) = self.members.get(at) {
                if out.len() > start {
                    out.push(b',');
                }
                out.extend_from_slice(name);
                member.print(row, out);
            }
        });
        out.push(b'}');
    }
}

fn push_integer<T: itoa::Integer + Copy + Default>(value: Option<&T>, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value.copied().unwrap_or_default()).as_bytes());
}
