//! The default value of a schema → an array of one row.
//!
//! The JSON is that of `JsonConverter`: bytes and decimals are base64 (decimals: of the unscaled value, big endian; a number is taken too), dates and
//! times are numbers of days and milliseconds, maps are objects or, with other keys, arrays of `[key, value]`.
//!
//! Guarantee: a default that is not of its type counts as none; nothing is made up.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray, PrimitiveArray,
    StringArray, StructArray, Time32MillisecondArray, TimestampMillisecondArray, new_empty_array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat, kernels::cast_utils::parse_decimal};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, DecimalType, Field, FieldRef, Fields, TimeUnit, i256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::schema::DEFAULT;

/// The default of the field's schema, as one row; none when it has none, or one that is not of its type.
pub(in crate::schema) fn default_value(field: &Field) -> Option<ArrayRef> {
    let json: Value = serde_json::from_str(field.metadata().get(DEFAULT)?).ok()?;
    value(field.data_type(), &json)
}

/// One value, not null.
fn value(data_type: &DataType, json: &Value) -> Option<ArrayRef> {
    Some(match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from(vec![json.as_bool()?])),
        DataType::Int8 => Arc::new(Int8Array::from(vec![integer::<i8>(json)?])),
        DataType::Int16 => Arc::new(Int16Array::from(vec![integer::<i16>(json)?])),
        DataType::Int32 => Arc::new(Int32Array::from(vec![integer::<i32>(json)?])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![json.as_i64()?])),
        DataType::Float32 => cast(&Float64Array::from(vec![float(json)?]), &DataType::Float32).ok().filter(|a| a.null_count() == 0)?,
        DataType::Float64 => Arc::new(Float64Array::from(vec![float(json)?])),
        DataType::Utf8 => Arc::new(StringArray::from(vec![json.as_str()?])),
        DataType::Binary => Arc::new(BinaryArray::from(vec![STANDARD.decode(json.as_str()?).ok()?.as_slice()])),
        DataType::Decimal128(precision, scale) => decimal::<Decimal128Type>(json, *precision, *scale, i128_of)?,
        DataType::Decimal256(precision, scale) => decimal::<Decimal256Type>(json, *precision, *scale, i256_of)?,
        DataType::Date32 => Arc::new(Date32Array::from(vec![integer::<i32>(json)?])),
        DataType::Time32(TimeUnit::Millisecond) => Arc::new(Time32MillisecondArray::from(vec![integer::<i32>(json)?])),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            Arc::new(TimestampMillisecondArray::from(vec![json.as_i64()?]).with_timezone_opt(zone.as_ref().map(Arc::clone)))
        }
        DataType::Struct(fields) => structure(fields, json)?,
        DataType::List(item) => {
            let items = elements(item, json.as_array()?.iter())?;
            Arc::new(ListArray::try_new(Arc::clone(item), OffsetBuffer::from_lengths([items.len()]), items, None).ok()?)
        }
        DataType::Map(entries, ordered) => map(entries, *ordered, json)?,
        _ => return None,
    })
}

fn integer<T: TryFrom<i64>>(json: &Value) -> Option<T> {
    T::try_from(json.as_i64()?).ok()
}

/// Jackson writes what JSON has no number for as a string.
fn float(json: &Value) -> Option<f64> {
    match json {
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        number => number.as_f64(),
    }
}

fn decimal<T: DecimalType>(json: &Value, precision: u8, scale: i8, of: fn(&[u8]) -> Option<T::Native>) -> Option<ArrayRef> {
    let unscaled = match json {
        Value::String(text) => of(&STANDARD.decode(text).ok()?)?,
        Value::Number(number) => parse_decimal::<T>(&number.to_string(), precision, scale).ok()?,
        _ => return None,
    };
    T::validate_decimal_precision(unscaled, precision, scale).ok()?;
    Some(Arc::new(PrimitiveArray::<T>::from_iter_values([unscaled]).with_precision_and_scale(precision, scale).ok()?))
}

/// A big-endian two's complement number of at most 16 bytes.
fn i128_of(bytes: &[u8]) -> Option<i128> {
    Some(i128::from_be_bytes(extended(bytes)?))
}

/// The same of at most 32 bytes.
fn i256_of(bytes: &[u8]) -> Option<i256> {
    Some(i256::from_be_bytes(extended(bytes)?))
}

fn extended<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let sign = if *bytes.first()? >= 0x80 { 0xff } else { 0 };
    let mut whole = [sign; N];
    let start = N.checked_sub(bytes.len())?;
    whole[start..].copy_from_slice(bytes);
    Some(whole)
}

/// One value or null, as the field allows.
fn optional(field: &Field, json: &Value) -> Option<ArrayRef> {
    match json {
        Value::Null => field.is_nullable().then(|| new_null_array(field.data_type(), 1)),
        json => value(field.data_type(), json),
    }
}

fn structure(fields: &Fields, json: &Value) -> Option<ArrayRef> {
    let object = json.as_object()?;
    let member = |field: &FieldRef| match object.get(field.name()) {
        Some(json) if !json.is_null() => value(field.data_type(), json),
        _ => default_value(field).or_else(|| optional(field, &Value::Null)),
    };
    let columns = fields.iter().map(member).collect::<Option<Vec<_>>>()?;
    Some(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, 1).ok()?))
}

fn elements<'a>(field: &Field, values: impl Iterator<Item = &'a Value>) -> Option<ArrayRef> {
    let rows = values.map(|json| optional(field, json)).collect::<Option<Vec<_>>>()?;
    if rows.is_empty() {
        return Some(new_empty_array(field.data_type()));
    }
    concat(&rows.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>()).ok()
}

fn map(entries: &FieldRef, ordered: bool, json: &Value) -> Option<ArrayRef> {
    let DataType::Struct(fields) = entries.data_type() else { return None };
    let [key, item] = fields.as_ref() else { return None };
    let (keys, items) = match json {
        Value::Object(object) => {
            let keys: Vec<_> = object.keys().map(|key| Value::String(key.clone())).collect();
            (elements(key, keys.iter())?, elements(item, object.values())?)
        }
        Value::Array(pairs) => {
            let pairs = pairs.iter().map(|pair| <&[Value; 2]>::try_from(pair.as_array()?.as_slice()).ok()).collect::<Option<Vec<_>>>()?;
            (elements(key, pairs.iter().map(|pair| &pair[0]))?, elements(item, pairs.iter().map(|pair| &pair[1]))?)
        }
        _ => return None,
    };
    let lengths = OffsetBuffer::from_lengths([keys.len()]);
    let entry = StructArray::try_new(fields.clone(), vec![keys, items], None).ok()?;
    Some(Arc::new(MapArray::try_new(Arc::clone(entries), lengths, entry, None, ordered).ok()?))
}
