//! Columns → Protobuf messages.
//!
//! Parts: [`Message`] with [`Node`], how values are written, made once for a schema; [`Bound`] with [`Values`], the same with the arrays of one batch, which
//! write a row at a time straight from their buffers.
//!
//! As Java's library: fields come in the order of their numbers, scalars of proto3 that are 0 or empty are left out unless their presence counts, and lists of
//! numbers are packed.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMillisecondType, i256,
};

use crate::schema::hybrid;

/// `0001-01-01T00:00:00Z` and `9999-12-31T23:59:59.999Z` in milliseconds.
const MILLIS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;
const DAY_MILLIS: i32 = 86_400_000;

/// How integers are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Varint,
    Zigzag,
    /// The lowest 32 bits, as a varint.
    Unsigned32,
    Fixed32,
    Fixed64,
}

/// How the values of a column are written.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Boolean,
    Integer(Coding),
    Float32,
    Float64,
    Text,
    Bytes,
    /// The number of each symbol.
    Enum(BTreeMap<String, i32>),
    Timestamp,
    Date,
    Time,
    Decimal,
    /// A message whose field 1 is the value.
    Wrapper(Box<Self>),
    Message(Message),
    List(Box<Self>),
    /// The message of an entry.
    Map(Message),
}

/// A message: its fields in the order of their numbers.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) entries: Vec<Entry>,
}

/// A field of a message.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) node: Node,
    /// A value is written, be it 0.
    pub(super) presence: bool,
}

/// Where a field's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The whole value.
    Whole,
    /// A column of the struct.
    Column(usize),
    /// A member of a union that is a column of the struct.
    Member(usize, usize),
}

impl Message {
    /// The message over the arrays of one batch; `None` when they are of another type.
    pub(super) fn bind<'a>(&'a self, array: &'a dyn Array) -> Option<Bound<'a>> {
        let mut unions: BTreeMap<usize, Union<'a>> = BTreeMap::new();
        let mut fields = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let (column, union): (&dyn Array, _) = match entry.source {
                Source::Whole => (array, None),
                Source::Column(at) => (array.as_struct_opt()?.columns().get(at)?.as_ref(), None),
                Source::Member(at, member) => {
                    let rows = array.as_struct_opt()?.columns().get(at)?.as_struct_opt()?;
                    unions.entry(at).or_insert_with(|| Union { nulls: rows.nulls(), members: rows.columns() });
                    (rows.columns().get(member)?.as_ref(), Some((at, member)))
                }
            };
            let values = entry.node.bind(column)?;
            fields.push(Bind { entry, nulls: column.nulls(), values, union });
        }
        Some(Bound { fields, unions })
    }
}

/// A message over arrays.
pub(super) struct Bound<'a> {
    fields: Vec<Bind<'a>>,
    /// By their columns.
    unions: BTreeMap<usize, Union<'a>>,
}

struct Bind<'a> {
    entry: &'a Entry,
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
    /// Its union, and which member it is.
    union: Option<(usize, usize)>,
}

struct Union<'a> {
    nulls: Option<&'a NullBuffer>,
    members: &'a [ArrayRef],
}

impl Union<'_> {
    /// The member that is set; none where the whole is null.
    fn set(&self, row: usize) -> Result<Option<usize>, String> {
        if is_null(self.nulls, row) {
            return Ok(None);
        }
        self.members.iter().position(|member| member.is_valid(row)).map(Some).ok_or_else(|| "Cannot find non-null field".to_owned())
    }
}

fn is_null(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_some_and(|nulls| nulls.is_null(row))
}

impl Bound<'_> {
    /// Writes the fields of one row.
    pub(super) fn put(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        for union in self.unions.values() {
            union.set(row)?;
        }
        for field in &self.fields {
            if is_null(field.nulls, row) {
                continue;
            }
            if let Some((union, member)) = field.union
                && self.unions.get(&union).map(|union| union.set(row)).transpose()?.flatten() != Some(member)
            {
                continue;
            }
            let put = field.values.field(field.entry.number, row, field.entry.presence, out);
            put.map_err(|what| if field.entry.name.is_empty() { what } else { below(&field.entry.name, &what) })?;
        }
        Ok(())
    }
}

/// Says in which field something is wrong: the outer field's name before the inner one's.
fn below(name: &str, what: &str) -> String {
    match what.strip_prefix("field \"") {
        Some(rest) => format!("field \"{name}.{rest}"),
        None => format!("field \"{name}\": {what}"),
    }
}

/// Values over an array.
enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int8(&'a [i8], Coding),
    Int16(&'a [i16], Coding),
    Int32(&'a [i32], Coding),
    Int64(&'a [i64], Coding),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Enum(&'a StringArray, &'a BTreeMap<String, i32>),
    Timestamp(&'a [i64]),
    Date(&'a [i32]),
    Time(&'a [i32]),
    Narrow(&'a [i128], i8),
    Wide(&'a [i256], i8),
    Wrapper(Box<Self>),
    Message(Bound<'a>),
    List(&'a [i32], Option<&'a NullBuffer>, Box<Self>),
}

fn native<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&[T::Native]> {
    Some(array.as_primitive_opt::<T>()?.values())
}

impl Node {
    fn bind<'a>(&'a self, array: &'a dyn Array) -> Option<Values<'a>> {
        Some(match self {
            Self::Boolean => Values::Boolean(array.as_boolean_opt()?),
            Self::Integer(coding) => match array.data_type() {
                DataType::Int8 => Values::Int8(native::<Int8Type>(array)?, *coding),
                DataType::Int16 => Values::Int16(native::<Int16Type>(array)?, *coding),
                DataType::Int32 => Values::Int32(native::<Int32Type>(array)?, *coding),
                _ => Values::Int64(native::<Int64Type>(array)?, *coding),
            },
            Self::Float32 => Values::Float32(native::<Float32Type>(array)?),
            Self::Float64 => Values::Float64(native::<Float64Type>(array)?),
            Self::Text => Values::Text(array.as_string_opt()?),
            Self::Bytes => Values::Bytes(array.as_binary_opt()?),
            Self::Enum(numbers) => Values::Enum(array.as_string_opt()?, numbers),
            Self::Timestamp => Values::Timestamp(native::<TimestampMillisecondType>(array)?),
            Self::Date => Values::Date(native::<Date32Type>(array)?),
            Self::Time => Values::Time(native::<Time32MillisecondType>(array)?),
            Self::Decimal => match array.data_type() {
                DataType::Decimal128(_, scale) => Values::Narrow(native::<Decimal128Type>(array)?, *scale),
                DataType::Decimal256(_, scale) => Values::Wide(native::<Decimal256Type>(array)?, *scale),
                _ => return None,
            },
            Self::Wrapper(value) => Values::Wrapper(Box::new(value.bind(array)?)),
            Self::Message(message) => Values::Message(message.bind(array)?),
            Self::List(item) => {
                let list = array.as_list_opt::<i32>()?;
                Values::List(list.value_offsets(), list.values().nulls(), Box::new(item.bind(list.values().as_ref())?))
            }
            Self::Map(entry) => {
                let map = array.as_map_opt()?;
                Values::List(map.value_offsets(), None, Box::new(Values::Message(entry.bind(map.entries())?)))
            }
        })
    }
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

impl Values<'_> {
    /// Writes a field: its number and its value.
    fn field(&self, number: u32, row: usize, presence: bool, out: &mut Vec<u8>) -> Result<(), String> {
        if let Self::List(offsets, nulls, items) = self {
            return items.list(number, range(offsets, row), *nulls, out);
        }
        if !presence && self.is_zero(row)? {
            return Ok(());
        }
        put_varint(u64::from(number << 3 | self.wire()), out);
        if self.wire() == LENGTH { delimited(out, |out| self.value(row, out)) } else { self.value(row, out) }
    }

    fn list(&self, number: u32, rows: std::ops::Range<usize>, nulls: Option<&NullBuffer>, out: &mut Vec<u8>) -> Result<(), String> {
        if rows.clone().any(|row| is_null(nulls, row)) {
            return Err("an array holds null, which a repeated field cannot".to_owned());
        }
        if self.wire() == LENGTH {
            return rows.into_iter().try_for_each(|row| self.field(number, row, true, out));
        }
        if rows.is_empty() {
            return Ok(());
        }
        put_varint(u64::from(number << 3 | LENGTH), out);
        delimited(out, |out| rows.into_iter().try_for_each(|row| self.value(row, out)))
    }

    fn wire(&self) -> u32 {
        match self {
            Self::Int8(_, coding) | Self::Int16(_, coding) | Self::Int32(_, coding) | Self::Int64(_, coding) => match coding {
                Coding::Fixed32 => FIXED32,
                Coding::Fixed64 => FIXED64,
                _ => VARINT,
            },
            Self::Boolean(_) | Self::Enum(..) => VARINT,
            Self::Float32(_) => FIXED32,
            Self::Float64(_) => FIXED64,
            _ => LENGTH,
        }
    }

    /// True for what a field of proto3 is that was not set.
    fn is_zero(&self, row: usize) -> Result<bool, String> {
        Ok(match self {
            Self::Boolean(values) => !values.value(row),
            Self::Int8(values, _) => values[row] == 0,
            Self::Int16(values, _) => values[row] == 0,
            Self::Int32(values, _) => values[row] == 0,
            Self::Int64(values, Coding::Fixed32 | Coding::Unsigned32) => low(values[row]) == 0,
            Self::Int64(values, _) => values[row] == 0,
            Self::Float32(values) => values[row].to_bits() == 0,
            Self::Float64(values) => values[row].to_bits() == 0,
            Self::Text(values) => values.value(row).is_empty(),
            Self::Bytes(values) => values.value(row).is_empty(),
            Self::Enum(values, numbers) => symbol(values.value(row), numbers)? == 0,
            _ => false,
        })
    }

    /// Writes a value, without what stands before it.
    fn value(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Boolean(values) => out.push(u8::from(values.value(row))),
            Self::Int8(values, coding) => put_integer(i64::from(values[row]), *coding, out),
            Self::Int16(values, coding) => put_integer(i64::from(values[row]), *coding, out),
            Self::Int32(values, coding) => put_integer(i64::from(values[row]), *coding, out),
            Self::Int64(values, coding) => put_integer(values[row], *coding, out),
            Self::Float32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Self::Float64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Self::Text(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Self::Bytes(values) => out.extend_from_slice(values.value(row)),
            Self::Enum(values, numbers) => put_integer(i64::from(symbol(values.value(row), numbers)?), Coding::Varint, out),
            Self::Timestamp(values) => timestamp(values[row], out)?,
            Self::Date(values) => date(values[row], out)?,
            Self::Time(values) => time(values[row], out)?,
            Self::Narrow(values, scale) => decimal(i256::from_i128(values[row]), *scale, out),
            Self::Wide(values, scale) => decimal(values[row], *scale, out),
            Self::Wrapper(value) => value.field(1, row, false, out)?,
            Self::Message(message) => message.put(row, out)?,
            Self::List(..) => return Err("an array stands in an array, which Protobuf has no form for".to_owned()),
        }
        Ok(())
    }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |offset: i32| usize::try_from(offset).unwrap_or(0);
    at(offsets[row])..at(offsets[row + 1])
}

fn symbol(text: &str, numbers: &BTreeMap<String, i32>) -> Result<i32, String> {
    numbers.get(text).copied().ok_or_else(|| format!("\"{text}\" is not a symbol of the enum"))
}

fn low(value: i64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Writes something with its length before it.
fn delimited(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), String>) -> Result<(), String> {
    let start = out.len();
    out.push(0);
    write(out)?;
    let length = out.len() - start - 1;
    match u8::try_from(length) {
        Ok(length) if length < 0x80 => out[start] = length,
        _ => {
            let mut prefix = Vec::with_capacity(5);
            put_varint(u64::try_from(length).unwrap_or(u64::MAX), &mut prefix);
            out.splice(start..=start, prefix);
        }
    }
    Ok(())
}

/// Seven bits a byte, least significant first.
pub(super) fn put_varint(mut bits: u64, out: &mut Vec<u8>) {
    while bits >= 0x80 {
        out.push(bits.to_le_bytes()[0] | 0x80);
        bits >>= 7;
    }
    out.push(bits.to_le_bytes()[0]);
}

fn put_integer(value: i64, coding: Coding, out: &mut Vec<u8>) {
    match coding {
        Coding::Varint => put_varint(value.cast_unsigned(), out),
        Coding::Zigzag => put_varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out),
        Coding::Unsigned32 => put_varint(u64::from(low(value)), out),
        Coding::Fixed32 => out.extend_from_slice(&low(value).to_le_bytes()),
        Coding::Fixed64 => out.extend_from_slice(&value.to_le_bytes()),
    }
}

/// A field of a message of parts.
fn part(number: u32, value: i64, out: &mut Vec<u8>) {
    if value != 0 {
        put_varint(u64::from(number << 3), out);
        put_varint(value.cast_unsigned(), out);
    }
}

/// seconds, nanos
fn timestamp(millis: i64, out: &mut Vec<u8>) -> Result<(), String> {
    if !MILLIS.contains(&millis) {
        return Err(format!("\"{millis}\" milliseconds are no timestamp of Protobuf, whose years are 1 to 9999"));
    }
    part(1, millis.div_euclid(1000), out);
    part(2, millis.rem_euclid(1000) * 1_000_000, out);
    Ok(())
}

/// year, month, day
fn date(days: i32, out: &mut Vec<u8>) -> Result<(), String> {
    let Some((year, month, day)) = hybrid::to_date(days) else {
        return Err(format!("\"{days}\" days since 1970 are no date of Protobuf, whose years are 1 to 9999"));
    };
    part(1, i64::from(year), out);
    part(2, i64::from(month), out);
    part(3, i64::from(day), out);
    Ok(())
}

/// hours, minutes, seconds, nanos
fn time(millis: i32, out: &mut Vec<u8>) -> Result<(), String> {
    if !(0..DAY_MILLIS).contains(&millis) {
        return Err(format!("\"{millis}\" milliseconds are no time of a day: Time values must use number of millis greater than 0 and less than 86400000"));
    }
    let millis = i64::from(millis);
    part(1, millis / 3_600_000, out);
    part(2, millis / 60_000 % 60, out);
    part(3, millis / 1000 % 60, out);
    part(4, millis % 1000 * 1_000_000, out);
    Ok(())
}

/// value, precision, scale
fn decimal(value: i256, scale: i8, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    let sign = if value.is_negative() { 0xff } else { 0 };
    let spare = bytes.windows(2).take_while(|pair| pair[0] == sign && (pair[0] ^ pair[1]) & 0x80 == 0).count();
    let shortest = bytes.get(spare..).unwrap_or_default();
    out.push(0x0a);
    put_varint(u64::try_from(shortest.len()).unwrap_or(0), out);
    out.extend_from_slice(shortest);
    let digits = match value.to_i128() {
        Some(value) => i64::from(value.unsigned_abs().checked_ilog10().map_or(1, |power| power + 1)),
        None => i64::try_from(value.to_string().trim_start_matches('-').len()).unwrap_or(0),
    };
    part(2, digits, out);
    part(3, i64::from(scale), out);
}
