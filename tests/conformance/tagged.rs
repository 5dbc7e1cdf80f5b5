//! Values with their classes, `{"int32": 5}`, as columns of one row and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray,
    StringArray, StructArray, TimestampMillisecondArray, new_empty_array, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMillisecondType};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lakehead_formats::column::Column;
use lakehead_formats::schema::from_connect_json;
use lakehead_formats::schemaless::{Builder, Dynamic, Kind, Value as Scalar};
use serde_json::{Map, Value, json};

/// A column of that one value.
pub(crate) fn column(name: &str, schema: &Value, value: &Value) -> Result<Column, String> {
    if !schema.is_null() {
        let field = Arc::new(from_connect_json(name, schema.to_string().as_bytes()).map_err(|error| error.to_string())?);
        let array = array(&field, value)?;
        return Ok(Column::new(field, array));
    }
    if value.is_null() {
        return Ok(Column::new(Arc::new(Field::new(name, DataType::Null, true)), new_null_array(&DataType::Null, 1)));
    }
    let mut builder = Builder::new();
    push(&mut builder, value)?;
    Ok(builder.finish().map_err(|error| error.to_string())?.into_column(name))
}

/// The tag of a value and what is behind it.
fn tag(value: &Value) -> Result<(&str, &Value), String> {
    let member = value.as_object().filter(|object| object.len() == 1).and_then(|object| object.iter().next());
    member.map(|(tag, value)| (tag.as_str(), value)).ok_or_else(|| format!("{value} is no value with a tag"))
}

fn integer<T: TryFrom<i64>>(value: &Value) -> Result<T, String> {
    value.as_i64().and_then(|value| T::try_from(value).ok()).ok_or_else(|| format!("{value} is no such integer"))
}

fn float(value: &Value) -> Result<f64, String> {
    let text = |text: &str| text.replace("Infinity", "inf").parse().ok();
    value.as_f64().or_else(|| value.as_str().and_then(text)).ok_or_else(|| format!("{value} is no float"))
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("{value} is no text"))
}

fn bytes(value: &Value) -> Result<Vec<u8>, String> {
    STANDARD.decode(text(value)?).map_err(|error| error.to_string())
}

fn push(builder: &mut Builder, value: &Value) -> Result<(), String> {
    if value.is_null() {
        builder.value(Scalar::Null);
        return Ok(());
    }
    let (tag, value) = tag(value)?;
    match tag {
        "boolean" => builder.value(Scalar::Boolean(value.as_bool().unwrap_or_default())),
        "int8" => builder.value(Scalar::Int8(integer(value)?)),
        "int16" => builder.value(Scalar::Int16(integer(value)?)),
        "int32" => builder.value(Scalar::Int32(integer(value)?)),
        "int64" => builder.value(Scalar::Int64(integer(value)?)),
        "float32" => builder.value(Scalar::Float32(float(value)? as f32)),
        "float64" => builder.value(Scalar::Float64(float(value)?)),
        "string" => builder.value(Scalar::String(text(value)?)),
        "bytes" => builder.value(Scalar::Bytes(&bytes(value)?)),
        "date" => builder.value(Scalar::Date(integer(value)?)),
        "decimal" => builder.value(Scalar::Decimal(text(value)?)),
        "bigint" => builder.value(Scalar::BigInteger(text(value)?)),
        "array" => {
            builder.open_list();
            value.as_array().into_iter().flatten().try_for_each(|item| push(builder, item))?;
            builder.close();
        }
        "map" => {
            builder.open_map();
            for pair in value.as_array().into_iter().flatten() {
                builder.key(text(self::tag(&pair[0])?.1)?);
                push(builder, &pair[1])?;
            }
            builder.close();
        }
        other => return Err(format!("a value with the tag {other} is not understood")),
    }
    Ok(())
}

/// An array of that one value under a schema.
fn array(field: &FieldRef, value: &Value) -> Result<ArrayRef, String> {
    let data_type = field.data_type();
    if value.is_null() {
        return Ok(new_null_array(data_type, 1));
    }
    let (_, value) = tag(value)?;
    Ok(match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from(vec![value.as_bool()])),
        DataType::Int8 => Arc::new(Int8Array::from(vec![integer::<i8>(value)?])),
        DataType::Int16 => Arc::new(Int16Array::from(vec![integer::<i16>(value)?])),
        DataType::Int32 => Arc::new(Int32Array::from(vec![integer::<i32>(value)?])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![integer::<i64>(value)?])),
        DataType::Float32 => Arc::new(Float32Array::from(vec![float(value)? as f32])),
        DataType::Float64 => Arc::new(Float64Array::from(vec![float(value)?])),
        DataType::Utf8 => Arc::new(StringArray::from(vec![text(value)?])),
        DataType::Binary => Arc::new(BinaryArray::from(vec![&bytes(value)?[..]])),
        DataType::Timestamp(..) => Arc::new(TimestampMillisecondArray::from(vec![integer::<i64>(value)?]).with_timezone("UTC")),
        DataType::List(item) => {
            let values = value.as_array().into_iter().flatten().map(|value| array(item, value)).collect::<Result<Vec<_>, _>>()?;
            let (values, length) = (joined(item.data_type(), &values)?, values.len());
            Arc::new(ListArray::new(Arc::clone(item), OffsetBuffer::from_lengths([length]), values, None))
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else { return Err("no map".to_owned()) };
            let (mut keys, mut values) = (Vec::new(), Vec::new());
            for entry in value.as_array().into_iter().flatten() {
                keys.push(array(&pair[0], &entry[0])?);
                values.push(array(&pair[1], &entry[1])?);
            }
            let columns = vec![joined(pair[0].data_type(), &keys)?, joined(pair[1].data_type(), &values)?];
            let offsets = OffsetBuffer::from_lengths([keys.len()]);
            Arc::new(MapArray::new(Arc::clone(entries), offsets, StructArray::new(pair.clone(), columns, None), None, false))
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|field| array(field, &value[field.name()])).collect::<Result<Vec<_>, _>>()?;
            let valid = NullBuffer::new_valid(1);
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, Some(valid), 1).map_err(|error| error.to_string())?)
        }
        other => return Err(format!("values of {other} are not understood")),
    })
}

fn joined(data_type: &DataType, arrays: &[ArrayRef]) -> Result<ArrayRef, String> {
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    if arrays.is_empty() { Ok(new_empty_array(data_type)) } else { concat(&arrays).map_err(|error| error.to_string()) }
}

/// The schema of a column in a form that can be compared, and the first of its values.
pub(crate) fn described(column: &Column) -> Result<(Option<String>, Value), String> {
    if column.field.data_type() == &DataType::Null {
        return Ok((None, Value::Null));
    }
    match Dynamic::of_column(column) {
        Some(values) => Ok((None, without_schema(&values, 0))),
        None => Ok((Some(described_field(&column.field)), with_schema(&column.array, 0)?)),
    }
}

/// An expected schema in the same form.
pub(crate) fn normal_schema(schema: &Value) -> Result<Option<String>, String> {
    if schema.is_null() {
        return Ok(None);
    }
    let field = from_connect_json("", schema.to_string().as_bytes()).map_err(|error| error.to_string())?;
    Ok(Some(described_field(&field)))
}

fn described_field(field: &Field) -> String {
    let metadata: std::collections::BTreeMap<_, _> = field.metadata().iter().collect();
    let inner = match field.data_type() {
        DataType::Struct(fields) => fields.iter().map(|field| format!("{}: {}", field.name(), described_field(field))).collect::<Vec<_>>().join(", "),
        DataType::List(item) => described_field(item),
        other => other.to_string(),
    };
    let kind = match field.data_type() {
        DataType::Struct(_) => "struct",
        DataType::List(_) => "array",
        _ => "",
    };
    format!("{kind}({inner}){}{metadata:?}", if field.is_nullable() { "?" } else { "" })
}

/// Maps by their keys: they have no order.
pub(crate) fn normal(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Object(object) => {
            let mut members: Map<String, Value> = object.iter().map(|(key, value)| (key.clone(), normal(value))).collect();
            if let Some(Value::Array(pairs)) = members.get_mut("map") {
                pairs.sort_by_key(|pair| pair[0].to_string());
            }
            Value::Object(members)
        }
        other => other.clone(),
    }
}

fn double(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(
        || {
            json!(if value.is_nan() {
                "NaN"
            } else if value > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            })
        },
        Value::from,
    )
}

fn without_schema(values: &Dynamic, row: usize) -> Value {
    let kind = values.kind(row);
    let lane = values.lane(kind);
    let string = || lane.map_or("", |lane| lane.as_string::<i32>().value(row));
    match (kind, lane) {
        (Kind::String, _) => json!({"string": string()}),
        (Kind::Decimal, _) => json!({"decimal": string()}),
        (Kind::BigInteger, _) => json!({"bigint": string()}),
        (Kind::Date, Some(lane)) => json!({"date": lane.as_primitive::<TimestampMillisecondType>().value(row)}),
        (Kind::List, _) => {
            let Some((offsets, items)) = values.list() else { return Value::Null };
            let bound = |at: usize| usize::try_from(offsets[at]).unwrap_or(0);
            json!({"array": (bound(row)..bound(row + 1)).map(|item| without_schema(&items, item)).collect::<Vec<_>>()})
        }
        (Kind::Map, _) => {
            let members = values.members().filter(|(_, member)| member.kind(row) != Kind::Absent);
            json!({"map": members.map(|(name, member)| json!([{"string": name.as_ref()}, without_schema(&member, row)])).collect::<Vec<_>>()})
        }
        (_, Some(lane)) => with_schema(lane, row).unwrap_or_default(),
        (_, None) => Value::Null,
    }
}

fn with_schema(array: &ArrayRef, row: usize) -> Result<Value, String> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Boolean => json!({"boolean": array.as_boolean().value(row)}),
        DataType::Int8 => json!({"int8": array.as_primitive::<Int8Type>().value(row)}),
        DataType::Int16 => json!({"int16": array.as_primitive::<Int16Type>().value(row)}),
        DataType::Int32 => json!({"int32": array.as_primitive::<Int32Type>().value(row)}),
        DataType::Int64 => json!({"int64": array.as_primitive::<Int64Type>().value(row)}),
        DataType::Float32 => json!({"float32": double(array.as_primitive::<Float32Type>().value(row).into())}),
        DataType::Float64 => json!({"float64": double(array.as_primitive::<Float64Type>().value(row))}),
        DataType::Utf8 => json!({"string": array.as_string::<i32>().value(row)}),
        DataType::Binary => json!({"bytes": STANDARD.encode(array.as_binary::<i32>().value(row))}),
        DataType::Timestamp(..) => json!({"date": array.as_primitive::<TimestampMillisecondType>().value(row)}),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            json!({"array": (0..items.len()).map(|item| with_schema(&items, item)).collect::<Result<Vec<_>, _>>()?})
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter();
            let members = fields.iter().zip(columns).map(|(field, column)| Ok((field.name().clone(), with_schema(column, row)?)));
            json!({"struct": members.collect::<Result<Map<_, _>, String>>()?})
        }
        other => return Err(format!("values of {other} are not understood")),
    })
}
