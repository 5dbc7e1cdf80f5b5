//! Columns → rows in Avro's binary encoding.
//!
//! Parts: [`Plan`], how values of a type are written, made once for a file; [`Bound`], a plan with the arrays of one batch, which writes a
//! row at a time straight from their buffers.
//!
//! Guarantee: nothing is allocated for a row.

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMillisecondType, i256,
};

use crate::schema::avro::{Kind, RecordField, Schema, is_logical};

/// How the values of a column are written.
#[derive(Debug, Default)]
pub(crate) enum Plan {
    /// Nothing.
    #[default]
    Null,
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Text,
    Bytes,
    Fixed(usize),
    /// The number of each symbol.
    Enum(BTreeMap<String, i64>),
    /// Two's complement, in as few bytes as it needs or in so many.
    Decimal(Option<usize>),
    List(Box<Self>),
    Map(Box<Self>),
    /// A map as an array of records.
    Entries(Box<Self>),
    Struct(Vec<Self>),
    /// A struct of which one member is not null: the branch of null, and each member's.
    Union(Option<i64>, Vec<(i64, Self)>),
    /// The branch of null (0 or 1), and the other.
    Optional(i64, Box<Self>),
}

impl Plan {
    /// How values of that field are written under that schema; `None` when they do not fit.
    pub(crate) fn new(schema: &Schema, field: &Field) -> Option<Self> {
        if let Some((inner, null)) = schema.optional() {
            return Some(Self::Optional(i64::from(null), Box::new(Self::required(inner, field)?)));
        }
        let nullable_union = matches!(&schema.kind, Kind::Union(branches) if branches.iter().any(|branch| branch.kind == Kind::Null));
        if field.is_nullable() && !nullable_union { None } else { Self::required(schema, field) }
    }

    fn required(schema: &Schema, field: &Field) -> Option<Self> {
        Some(match (&schema.kind, field.data_type()) {
            (Kind::Boolean, DataType::Boolean) => Self::Boolean,
            (Kind::Int, DataType::Int8) => Self::Int8,
            (Kind::Int, DataType::Int16) => Self::Int16,
            (Kind::Int, DataType::Int32 | DataType::Date32 | DataType::Time32(_)) => Self::Int32,
            (Kind::Long, DataType::Int64 | DataType::Timestamp(..)) => Self::Int64,
            (Kind::Float, DataType::Float32) => Self::Float32,
            (Kind::Double, DataType::Float64) => Self::Float64,
            (Kind::String, DataType::Utf8) => Self::Text,
            (Kind::Bytes, DataType::Binary) => Self::Bytes,
            (Kind::Fixed { size, .. }, DataType::Binary) => Self::Fixed(*size),
            (Kind::Bytes, DataType::Decimal128(..) | DataType::Decimal256(..)) if is_logical(schema, "decimal") => Self::Decimal(None),
            (Kind::Fixed { size, .. }, DataType::Decimal128(..) | DataType::Decimal256(..)) if is_logical(schema, "decimal") => Self::Decimal(Some(*size)),
            (Kind::Enum { symbols, .. }, DataType::Utf8) => Self::Enum(symbols.iter().cloned().zip(0..).collect()),
            (Kind::Array(items), DataType::List(item)) => Self::List(Box::new(Self::new(items, item)?)),
            (Kind::Array(items), DataType::Map(entries, _)) => {
                // The entry may be called anything; it is one by its two fields.
                Self::Entries(Box::new(Self::new(items, entries)?))
            }
            (Kind::Map(values), DataType::Map(entries, _)) => {
                let DataType::Struct(fields) = entries.data_type() else { return None };
                fields.first().filter(|key| key.data_type() == &DataType::Utf8)?;
                Self::Map(Box::new(Self::new(values, fields.get(1)?)?))
            }
            (Kind::Record { fields, .. }, DataType::Struct(columns)) if fields.len() == columns.len() => {
                let plan = |(field, column): (&RecordField, &arrow::datatypes::FieldRef)| {
                    if field.name == *column.name() { Self::new(&field.schema, column) } else { None }
                };
                Self::Struct(fields.iter().zip(columns).map(plan).collect::<Option<_>>()?)
            }
            (Kind::Union(branches), DataType::Struct(members)) => {
                let numbered = || branches.iter().zip(0_i64..);
                let null = numbered().find(|(branch, _)| branch.kind == Kind::Null).map(|(_, number)| number);
                let others: Vec<_> = numbered().filter(|(branch, _)| branch.kind != Kind::Null).collect();
                if others.len() != members.len() {
                    return None;
                }
                let plans = others.iter().zip(members).map(|((branch, number), member)| Some((*number, Self::required(branch, member)?)));
                Self::Union(null, plans.collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }

    /// The plan over the arrays of one batch; `None` when they are of another type.
    pub(crate) fn bind<'a>(&'a self, array: &'a dyn Array) -> Option<Bound<'a>> {
        Some(match self {
            Self::Null => return None,
            Self::Boolean => Bound::Boolean(array.as_boolean_opt()?),
            Self::Int8 => Bound::Int8(array.as_primitive_opt::<Int8Type>()?.values()),
            Self::Int16 => Bound::Int16(array.as_primitive_opt::<Int16Type>()?.values()),
            Self::Int32 => Bound::Int32(match array.data_type() {
                DataType::Date32 => array.as_primitive_opt::<Date32Type>()?.values(),
                DataType::Time32(_) => array.as_primitive_opt::<Time32MillisecondType>()?.values(),
                _ => array.as_primitive_opt::<Int32Type>()?.values(),
            }),
            Self::Int64 => Bound::Int64(match array.data_type() {
                DataType::Timestamp(..) => array.as_primitive_opt::<TimestampMillisecondType>()?.values(),
                _ => array.as_primitive_opt::<Int64Type>()?.values(),
            }),
            Self::Float32 => Bound::Float32(array.as_primitive_opt::<Float32Type>()?.values()),
            Self::Float64 => Bound::Float64(array.as_primitive_opt::<Float64Type>()?.values()),
            Self::Text => {
                let texts = array.as_string_opt::<i32>()?;
                Bound::Bytes(texts.value_offsets(), texts.value_data())
            }
            Self::Bytes => {
                let values = array.as_binary_opt::<i32>()?;
                Bound::Bytes(values.value_offsets(), values.value_data())
            }
            Self::Fixed(size) => {
                let values = array.as_binary_opt::<i32>()?;
                Bound::Fixed(*size, values.value_offsets(), values.value_data())
            }
            Self::Enum(symbols) => Bound::Enum(symbols, array.as_string_opt::<i32>()?),
            Self::Decimal(size) => match array.data_type() {
                DataType::Decimal128(..) => Bound::Narrow(*size, array.as_primitive_opt::<Decimal128Type>()?.values()),
                _ => Bound::Wide(*size, array.as_primitive_opt::<Decimal256Type>()?.values()),
            },
            Self::List(item) => {
                let list = array.as_list_opt::<i32>()?;
                Bound::Blocks(list.value_offsets(), Box::new(item.bind(list.values().as_ref())?))
            }
            Self::Map(values) => {
                let map = array.as_map_opt()?;
                let keys = map.keys().as_string_opt::<i32>()?;
                let entry = vec![("key", Bound::Bytes(keys.value_offsets(), keys.value_data())), ("value", values.bind(map.values().as_ref())?)];
                Bound::Blocks(map.value_offsets(), Box::new(Bound::Struct(entry)))
            }
            Self::Entries(entry) => {
                let map = array.as_map_opt()?;
                Bound::Blocks(map.value_offsets(), Box::new(entry.bind(map.entries())?))
            }
            Self::Struct(plans) => {
                let rows = array.as_struct_opt().filter(|rows| rows.num_columns() == plans.len())?;
                let bind = |((plan, column), field): ((&'a Self, &'a arrow::array::ArrayRef), &'a arrow::datatypes::FieldRef)| {
                    Some((field.name().as_str(), plan.bind(column.as_ref())?))
                };
                Bound::Struct(plans.iter().zip(rows.columns()).zip(rows.fields()).map(bind).collect::<Option<_>>()?)
            }
            Self::Union(null, plans) => {
                let rows = array.as_struct_opt().filter(|rows| rows.num_columns() == plans.len())?;
                let bind =
                    |((branch, plan), column): (&'a (i64, Self), &'a arrow::array::ArrayRef)| Some((*branch, column.nulls(), plan.bind(column.as_ref())?));
                Bound::Union(*null, rows.nulls(), plans.iter().zip(rows.columns()).map(bind).collect::<Option<_>>()?)
            }
            Self::Optional(null, inner) => Bound::Optional(*null, array.nulls(), Box::new(inner.bind(array)?)),
        })
    }
}

/// A plan with the arrays of one batch.
#[derive(Debug)]
pub(crate) enum Bound<'a> {
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Bytes(&'a [i32], &'a [u8]),
    Fixed(usize, &'a [i32], &'a [u8]),
    Enum(&'a BTreeMap<String, i64>, &'a arrow::array::StringArray),
    Narrow(Option<usize>, &'a [i128]),
    Wide(Option<usize>, &'a [i256]),
    Blocks(&'a [i32], Box<Self>),
    Struct(Vec<(&'a str, Self)>),
    Union(Option<i64>, Option<&'a NullBuffer>, Vec<(i64, Option<&'a NullBuffer>, Self)>),
    Optional(i64, Option<&'a NullBuffer>, Box<Self>),
}

/// A value that its schema cannot hold, and in which field.
#[derive(Debug)]
pub(crate) struct Fault(Box<(String, Vec<String>)>);

impl Fault {
    #[cold]
    fn new(what: String) -> Self {
        Self(Box::new((what, Vec::new())))
    }

    #[cold]
    fn below(mut self, field: &str) -> Self {
        self.0.1.push(field.to_owned());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: Vec<&str> = self.0.1.iter().rev().map(String::as_str).collect();
        if path.is_empty() { f.write_str(&self.0.0) } else { write!(f, "field \"{}\": {}", path.join("."), self.0.0) }
    }
}

fn is_null(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_some_and(|nulls| nulls.is_null(row))
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |offset: i32| usize::try_from(offset).unwrap_or(0);
    at(offsets[row])..at(offsets[row + 1])
}

impl Bound<'_> {
    /// Writes one row.
    pub(crate) fn put(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Self::Boolean(values) => out.push(u8::from(values.value(row))),
            Self::Int8(values) => put_long(i64::from(values[row]), out),
            Self::Int16(values) => put_long(i64::from(values[row]), out),
            Self::Int32(values) => put_long(i64::from(values[row]), out),
            Self::Int64(values) => put_long(values[row], out),
            Self::Float32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Self::Float64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Self::Bytes(offsets, data) => put_bytes(&data[range(offsets, row)], out),
            Self::Fixed(size, offsets, data) => {
                let value = &data[range(offsets, row)];
                if value.len() != *size {
                    return Err(Fault::new(format!("\"{}\" bytes where the schema has {size}", value.len())));
                }
                out.extend_from_slice(value);
            }
            Self::Enum(symbols, texts) => {
                let text = texts.value(row);
                put_long(*symbols.get(text).ok_or_else(|| Fault::new(format!("\"{text}\" is not a symbol of the enum")))?, out);
            }
            Self::Narrow(size, values) => put_integer(&values[row].to_be_bytes(), *size, out)?,
            Self::Wide(size, values) => put_integer(&values[row].to_be_bytes(), *size, out)?,
            Self::Blocks(offsets, item) => {
                let items = range(offsets, row);
                if !items.is_empty() {
                    put_length(items.len(), out);
                    for row in items {
                        item.put(row, out)?;
                    }
                }
                out.push(0);
            }
            Self::Struct(columns) => {
                for (name, column) in columns {
                    if let Err(fault) = column.put(row, out) {
                        return Err(fault.below(name));
                    }
                }
            }
            Self::Optional(null, nulls, inner) => {
                if is_null(*nulls, row) {
                    put_long(*null, out);
                } else {
                    put_long(1 - *null, out);
                    inner.put(row, out)?;
                }
            }
            Self::Union(null, nulls, members) => {
                let member = if is_null(*nulls, row) { None } else { members.iter().find(|(_, nulls, _)| !is_null(*nulls, row)) };
                match (member, null) {
                    (Some((branch, _, member)), _) => {
                        put_long(*branch, out);
                        member.put(row, out)?;
                    }
                    (None, Some(null)) => put_long(*null, out),
                    (None, None) => return Err(Fault::new("no member of the union has a value, and it has no null".to_owned())),
                }
            }
        }
        Ok(())
    }
}

/// A `long` (and an `int`): zigzag, seven bits a byte, least significant first.
#[inline]
pub(super) fn put_long(value: i64, out: &mut Vec<u8>) {
    let mut bits = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while bits >= 0x80 {
        out.push(low_bits(bits) | 0x80);
        bits >>= 7;
    }
    out.push(low_bits(bits));
}

#[inline]
fn low_bits(bits: u64) -> u8 {
    bits.to_le_bytes()[0] & 0x7f
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    // No slice is longer than isize::MAX.
    put_long(i64::try_from(length).unwrap_or(i64::MAX), out);
}

/// Length and bytes.
#[inline]
pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Two's complement, most significant byte first: in `size` bytes, or with a length in as few as hold it.
fn put_integer(bytes: &[u8], size: Option<usize>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let sign = if bytes[0] >= 0x80 { 0xff } else { 0 };
    let spare = bytes.windows(2).take_while(|pair| pair[0] == sign && (pair[1] >= 0x80) == (sign == 0xff)).count();
    let shortest = &bytes[spare..];
    match size {
        None => put_bytes(shortest, out),
        Some(size) if size >= shortest.len() => {
            out.resize(out.len() + size - shortest.len(), sign);
            out.extend_from_slice(shortest);
        }
        Some(size) => return Err(Fault::new(format!("a decimal needs {} bytes, the schema has {size}", shortest.len()))),
    }
    Ok(())
}
