//! Columns → JSON text, a row at a time.
//!
//! A [`Printer`] is made once for an array: the types are known then, and so are the bytes around each field, so that a row costs one branch and
//! one append for each value. Two styles, as upstream writes two kinds of values with two programs: what is in a struct as
//! `JsonConverter#fromConnectData` with `schemas.enable=false`, everything else as Jackson's `ObjectMapper` writes Java objects.
//!
//! | type | in a struct | outside |
//! |---|---|---|
//! | null | the schema's default, else `null` | `null` |
//! | int8 to int64, boolean, string | as in JSON | the same |
//! | float32, float64 | as `Double.toString`; `"NaN"`, `"Infinity"` | the same |
//! | bytes | base64 | the same |
//! | decimal | base64 of the unscaled value, or a number, by `json.decimal.format` | a number |
//! | date | days | milliseconds |
//! | time, timestamp | milliseconds | milliseconds |
//! | list | array | the same |
//! | map with string keys | object; array of `[key, value]` where they are optional | object |
//! | map with other keys | array of `[key, value]` | object, its keys as text |
//! | JSON text | as it is; on one line | the same |
//!
//! Guarantee: a row is one line, whatever is in it.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, MapArray, PrimitiveArray, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Field, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimeUnit, TimestampMillisecondType, i256,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::number::{Unscaled, push_f32, push_f64};
use crate::schema::{is_json_text, is_optional_key, is_union};
use crate::wire::json::{default_value, plain};

/// `json.decimal.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecimalFormat {
    /// Base64 of the unscaled value's bytes.
    Base64,
    /// A number with all its digits.
    Numeric,
}

/// Which program's style a value is in.
#[derive(Debug, Clone, Copy)]
enum Style {
    /// Jackson's `ObjectMapper`, on Java objects.
    Jackson,
    /// Connect's `JsonConverter`, in a struct.
    Connect(DecimalFormat, Nulls),
    /// Confluent's `JsonSchemaConverter`: maps whose keys are no strings are arrays of objects, and a union is the value of its member.
    Schema(DecimalFormat),
}

/// What a null is written as where the schema has a default: `replace.null.with.default`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    /// The default.
    Default,
    /// `null`.
    Null,
}

/// An array, ready to be printed.
pub(crate) struct Printer<'a> {
    nulls: Option<&'a NullBuffer>,
    /// What stands for a null.
    absent: Vec<u8>,
    values: Values<'a>,
}

enum Values<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    /// Days, in milliseconds.
    DaysAsMillis(&'a [i32]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal128(&'a [i128], i8, DecimalFormat),
    Decimal256(&'a [i256], i8, DecimalFormat),
    String(&'a StringArray),
    JsonText(&'a StringArray),
    Bytes(&'a BinaryArray),
    List(&'a OffsetBuffer<i32>, Box<Printer<'a>>),
    Map(&'a OffsetBuffer<i32>, Box<Printer<'a>>, Box<Printer<'a>>, Keys),
    /// With the text before each: a brace or comma, the quoted name, a colon.
    Struct(Vec<(Vec<u8>, Printer<'a>)>),
    /// The member that is not null.
    Union(Vec<Printer<'a>>),
}

/// How a map is written, by its keys.
#[derive(Debug, Clone, Copy)]
enum Keys {
    Strings,
    /// As text, in quotes.
    Quoted,
    Pairs,
    /// Objects with `key` and `value`.
    Objects,
}

/// Says which part of a type JSON has no form for here, by the path of its field; none when it is all fine.
pub(crate) fn unsupported(field: &Field) -> Option<String> {
    let within = |child: &FieldRef| unsupported(child).map(|what| format!("{}.{what}", field.name()));
    match field.data_type() {
        DataType::List(item) => within(item),
        DataType::Map(entries, _) => within(entries),
        DataType::Struct(fields) => fields.iter().find_map(within),
        DataType::Null | DataType::Boolean | DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => None,
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::Utf8 | DataType::Binary => None,
        DataType::Date32 | DataType::Time32(TimeUnit::Millisecond) | DataType::Timestamp(TimeUnit::Millisecond, _) => None,
        other => Some(format!("{} of type {other}", field.name())),
    }
}

impl<'a> Printer<'a> {
    /// For the values of a column.
    pub(crate) fn new(array: &'a ArrayRef, field: &Field, decimals: DecimalFormat) -> Self {
        Self::styled(array, field, Style::Jackson, decimals)
    }

    /// For a whole value that Confluent's `JsonSchemaConverter` writes; defaults are where they stand for nulls already.
    pub(crate) fn under_schema(array: &'a ArrayRef, field: &Field, decimals: DecimalFormat) -> Self {
        Self::styled(array, field, Style::Schema(decimals), decimals)
    }

    fn styled(array: &'a ArrayRef, field: &Field, style: Style, decimals: DecimalFormat) -> Self {
        Self { nulls: array.nulls(), absent: b"null".to_vec(), values: Values::new(array, field, style, decimals) }
    }

    /// For a field of a struct, or a whole value that Connect's converter writes: its default stands for null.
    pub(crate) fn in_struct(array: &'a ArrayRef, field: &FieldRef, decimals: DecimalFormat, nulls: Nulls) -> Self {
        let style = Style::Connect(decimals, nulls);
        let mut printer = Self::styled(array, field, style, decimals);
        if array.null_count() > 0
            && nulls == Nulls::Default
            && let Some(default) = default_value(field)
        {
            printer.absent.clear();
            Printer::styled(&default, field, style, decimals).print(0, &mut printer.absent);
        }
        printer
    }

    /// For what is in a list or a map: Connect's converter has defaults for nulls there too.
    fn within(array: &'a ArrayRef, field: &FieldRef, style: Style, decimals: DecimalFormat) -> Self {
        match style {
            Style::Connect(_, nulls) => Self::in_struct(array, field, decimals, nulls),
            Style::Jackson | Style::Schema(_) => Self::styled(array, field, style, decimals),
        }
    }

    /// Appends the value of a row.
    pub(crate) fn print(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) { out.extend_from_slice(&self.absent) } else { self.values.print(row, out) }
    }
}

fn native<T: ArrowPrimitiveType>(array: &ArrayRef) -> &[T::Native] {
    let array: &PrimitiveArray<T> = array.as_primitive();
    array.values()
}

impl<'a> Values<'a> {
    fn new(array: &'a ArrayRef, field: &Field, style: Style, decimals: DecimalFormat) -> Self {
        let number = match style {
            Style::Jackson => DecimalFormat::Numeric,
            Style::Connect(format, _) | Style::Schema(format) => format,
        };
        match field.data_type() {
            DataType::Boolean => Self::Boolean(array.as_boolean()),
            DataType::Int8 => Self::Int8(native::<Int8Type>(array)),
            DataType::Int16 => Self::Int16(native::<Int16Type>(array)),
            DataType::Int32 => Self::Int32(native::<Int32Type>(array)),
            DataType::Int64 => Self::Int64(native::<Int64Type>(array)),
            DataType::Float32 => Self::Float32(native::<Float32Type>(array)),
            DataType::Float64 => Self::Float64(native::<Float64Type>(array)),
            DataType::Decimal128(_, scale) => Self::Decimal128(native::<Decimal128Type>(array), *scale, number),
            DataType::Decimal256(_, scale) => Self::Decimal256(native::<Decimal256Type>(array), *scale, number),
            DataType::Date32 => match style {
                Style::Jackson => Self::DaysAsMillis(native::<Date32Type>(array)),
                Style::Connect(..) | Style::Schema(_) => Self::Int32(native::<Date32Type>(array)),
            },
            DataType::Time32(_) => Self::Int32(native::<Time32MillisecondType>(array)),
            DataType::Timestamp(..) => Self::Int64(native::<TimestampMillisecondType>(array)),
            DataType::Utf8 if is_json_text(field) => Self::JsonText(array.as_string()),
            DataType::Utf8 => Self::String(array.as_string()),
            DataType::Binary => Self::Bytes(array.as_binary()),
            DataType::List(item) => {
                let list = array.as_list::<i32>();
                Self::List(list.offsets(), Box::new(Printer::within(list.values(), item, style, decimals)))
            }
            DataType::Map(entries, _) => Self::map(array.as_map(), entries, style, decimals),
            DataType::Struct(fields) if matches!(style, Style::Schema(_)) && is_union(field) => {
                let columns = array.as_struct().columns();
                Self::Union(fields.iter().zip(columns).map(|(field, column)| Printer::styled(column, field, style, decimals)).collect())
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let member = |column, field: &FieldRef| match style {
                    Style::Schema(_) => Printer::styled(column, field, style, decimals),
                    Style::Connect(_, nulls) => Printer::in_struct(column, field, decimals, nulls),
                    Style::Jackson => Printer::in_struct(column, field, decimals, Nulls::Default),
                };
                let printers = fields.iter().zip(columns).enumerate().map(|(index, (field, column))| {
                    let mut before = vec![if index == 0 { b'{' } else { b',' }];
                    push_string(field.name().as_bytes(), &mut before);
                    before.push(b':');
                    (before, member(column, field))
                });
                Self::Struct(printers.collect())
            }
            _ => Self::Null,
        }
    }

    fn map(map: &'a MapArray, entries: &FieldRef, style: Style, decimals: DecimalFormat) -> Self {
        let DataType::Struct(entry) = entries.data_type() else { return Self::Null };
        let [key, value] = entry.as_ref() else { return Self::Null };
        let keys = match (key.data_type(), style) {
            (DataType::Utf8, Style::Schema(_)) if is_optional_key(key) => Keys::Objects,
            (DataType::Utf8, _) => Keys::Strings,
            (key, Style::Jackson) if !key.is_nested() => Keys::Quoted,
            (_, Style::Schema(_)) => Keys::Objects,
            _ => Keys::Pairs,
        };
        let key = Printer::within(map.keys(), key, style, decimals);
        let value = Printer::within(map.values(), value, style, decimals);
        Self::Map(map.offsets(), Box::new(key), Box::new(value), keys)
    }

    fn print(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Boolean(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            Self::Int8(values) => push_integer(values[row], out),
            Self::Int16(values) => push_integer(values[row], out),
            Self::Int32(values) => push_integer(values[row], out),
            Self::Int64(values) => push_integer(values[row], out),
            Self::DaysAsMillis(values) => push_integer(i64::from(values[row]) * 86_400_000, out),
            Self::Float32(values) => push_f32(values[row], out),
            Self::Float64(values) => push_f64(values[row], out),
            Self::Decimal128(values, scale, format) => push_decimal(values[row], *scale, *format, out),
            Self::Decimal256(values, scale, format) => push_decimal(values[row], *scale, *format, out),
            Self::String(values) => push_string(values.value(row).as_bytes(), out),
            Self::JsonText(values) => push_line(values.value(row).as_bytes(), out),
            Self::Bytes(values) => push_base64(values.value(row), out),
            Self::List(offsets, item) => {
                out.push(b'[');
                for (index, item_row) in items(offsets, row).enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.print(item_row, out);
                }
                out.push(b']');
            }
            Self::Map(offsets, key, value, keys) => print_map(items(offsets, row), key, value, *keys, out),
            Self::Struct(fields) => {
                if fields.is_empty() {
                    out.push(b'{');
                }
                for (before, field) in fields {
                    out.extend_from_slice(before);
                    field.print(row, out);
                }
                out.push(b'}');
            }
            Self::Union(members) => match members.iter().find(|member| member.nulls.is_none_or(|nulls| nulls.is_valid(row))) {
                Some(member) => member.print(row, out),
                None => out.extend_from_slice(b"null"),
            },
        }
    }
}

/// The rows of the items of a list's row.
fn items(offsets: &OffsetBuffer<i32>, row: usize) -> std::ops::Range<usize> {
    let end = |row: usize| usize::try_from(offsets[row]).unwrap_or(0);
    end(row)..end(row + 1)
}

fn print_map(entries: std::ops::Range<usize>, key: &Printer<'_>, value: &Printer<'_>, keys: Keys, out: &mut Vec<u8>) {
    let pairs = matches!(keys, Keys::Pairs | Keys::Objects);
    let (before, between, after): (&[u8], &[u8], &[u8]) = match keys {
        Keys::Objects => (b"{\"key\":", b",\"value\":", b"}"),
        Keys::Pairs => (b"[", b",", b"]"),
        Keys::Strings | Keys::Quoted => (b"", b":", b""),
    };
    out.push(if pairs { b'[' } else { b'{' });
    for (index, entry) in entries.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(before);
        let start = out.len();
        key.print(entry, out);
        if matches!(keys, Keys::Quoted) && out.get(start) != Some(&b'"') {
            out.insert(start, b'"');
            out.push(b'"');
        }
        out.extend_from_slice(between);
        value.print(entry, out);
        out.extend_from_slice(after);
    }
    out.push(if pairs { b']' } else { b'}' });
}

fn push_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn push_decimal(value: impl Unscaled, scale: i8, format: DecimalFormat, out: &mut Vec<u8>) {
    match format {
        DecimalFormat::Numeric => value.push(scale, out),
        DecimalFormat::Base64 => push_base64(value.minimal(&mut [0; 32]), out),
    }
}

/// Bytes in quotes, as base64.
pub(crate) fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

/// A string in quotes, with the escapes that Jackson writes: quote, backslash and control characters, nothing else.
pub(crate) fn push_string(mut text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push(b'"');
    loop {
        let (run, rest) = text.split_at(plain(text));
        out.extend_from_slice(run);
        let Some((&byte, rest)) = rest.split_first() else { break };
        text = rest;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
    out.push(b'"');
}

/// JSON text as it is, unless it has line breaks: then without any whitespace outside of strings.
fn push_line(text: &[u8], out: &mut Vec<u8>) {
    if !text.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        out.extend_from_slice(text);
        return;
    }
    let (mut in_string, mut escaped) = (false, false);
    for &byte in text {
        if in_string || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            out.push(byte);
        }
        in_string ^= byte == b'"' && !escaped;
        escaped = in_string && byte == b'\\' && !escaped;
    }
}
