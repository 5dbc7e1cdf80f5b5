//! Values as the vectors of Connect write them, `{"int32": 5}`, and columns of them.
//!
//! A tag is a class of Java's: `{"date": ms}` is an instant under whatever schema, `{"decimal": "1.50"}` has its own scale.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray, Time32MillisecondArray, TimestampMillisecondArray, new_empty_array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMillisecondType, i256,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lakehead_formats::column::Column;
use lakehead_formats::schema::{NAME, SchemaError, from_connect_json, is_json_text};
use lakehead_formats::schemaless::{Builder, Dynamic, Kind, Value as Scalar, read_json};
use lakehead_formats::value::decimal::BigDecimal;
use serde_json::{Map, Value, json};

/// The tag and what it tags.
pub(crate) fn tag(value: &Value) -> Option<(&str, &Value)> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    members.iter().next().map(|(tag, inner)| (tag.as_str(), inner))
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| value.is_number().then(|| value.to_string()))
}

/// One row of that type; none when the value is of another: a column cannot hold it.
pub(crate) fn array(field: &Field, value: &Value) -> Option<ArrayRef> {
    if value.is_null() {
        return Some(new_null_array(field.data_type(), 1));
    }
    let (tag, inner) = tag(value)?;
    let instant = || inner.as_i64().filter(|_| tag == "date");
    Some(match (field.data_type(), tag) {
        (DataType::Boolean, "boolean") => Arc::new(BooleanArray::from(vec![inner.as_bool()?])),
        (DataType::Int8, "int8") => Arc::new(Int8Array::from(vec![i8::try_from(inner.as_i64()?).ok()?])),
        (DataType::Int16, "int16") => Arc::new(Int16Array::from(vec![i16::try_from(inner.as_i64()?).ok()?])),
        (DataType::Int32, "int32") => Arc::new(Int32Array::from(vec![i32::try_from(inner.as_i64()?).ok()?])),
        (DataType::Int64, "int64") => Arc::new(Int64Array::from(vec![inner.as_i64()?])),
        (DataType::Float32, "float32") => Arc::new(Float32Array::from(vec![double(inner)? as f32])),
        (DataType::Float64, "float64") => Arc::new(Float64Array::from(vec![double(inner)?])),
        (DataType::Utf8, "string") => Arc::new(StringArray::from(vec![inner.as_str()?])),
        (DataType::Binary, "bytes") => Arc::new(BinaryArray::from(vec![STANDARD.decode(inner.as_str()?).ok()?.as_slice()])),
        (DataType::Date32, _) => Arc::new(Date32Array::from(vec![i32::try_from(instant()? / 86_400_000).ok()?])),
        (DataType::Time32(_), _) => Arc::new(Time32MillisecondArray::from(vec![i32::try_from(instant()?).ok()?])),
        (DataType::Timestamp(..), _) => Arc::new(TimestampMillisecondArray::from(vec![instant()?]).with_timezone("UTC")),
        (DataType::Decimal128(digits, scale), "decimal") => {
            let unscaled = BigDecimal::parse(&text(inner)?)?.rescaled(*scale)?.parse::<i128>().ok()?;
            Arc::new(Decimal128Array::from(vec![unscaled]).with_precision_and_scale(*digits, *scale).ok()?)
        }
        (DataType::Decimal256(digits, scale), "decimal") => {
            let unscaled = i256::from_string(&BigDecimal::parse(&text(inner)?)?.rescaled(*scale)?)?;
            Arc::new(Decimal256Array::from(vec![unscaled]).with_precision_and_scale(*digits, *scale).ok()?)
        }
        (DataType::List(item), "array") => {
            let items = rows(item, inner.as_array()?.iter())?;
            Arc::new(ListArray::try_new(Arc::clone(item), OffsetBuffer::from_lengths([items.len()]), items, None).ok()?)
        }
        (DataType::Map(entries, _), "map") => {
            let DataType::Struct(fields) = entries.data_type() else { return None };
            let pairs = inner.as_array()?;
            let columns = vec![rows(&fields[0], pairs.iter().map(|pair| &pair[0]))?, rows(&fields[1], pairs.iter().map(|pair| &pair[1]))?];
            let all = StructArray::try_new(fields.clone(), columns, None).ok()?;
            Arc::new(MapArray::try_new(Arc::clone(entries), OffsetBuffer::from_lengths([pairs.len()]), all, None, false).ok()?)
        }
        (DataType::Struct(fields), "struct") => {
            let columns = fields.iter().map(|field| array(field, &inner[field.name()])).collect::<Option<Vec<_>>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, 1).ok()?)
        }
        _ => return None,
    })
}

fn rows<'a>(field: &Field, values: impl Iterator<Item = &'a Value>) -> Option<ArrayRef> {
    let arrays = values.map(|value| array(field, value)).collect::<Option<Vec<_>>>()?;
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    if arrays.is_empty() { Some(new_empty_array(field.data_type())) } else { concat(&arrays).ok() }
}

fn float(value: f64) -> Value {
    if value.is_finite() {
        json!(value)
    } else {
        json!(if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        })
    }
}

/// A row of a column under a schema.
pub(crate) fn of_array(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => json!({"boolean": array.as_boolean().value(row)}),
        DataType::Int8 => json!({"int8": array.as_primitive::<Int8Type>().value(row)}),
        DataType::Int16 => json!({"int16": array.as_primitive::<Int16Type>().value(row)}),
        DataType::Int32 => json!({"int32": array.as_primitive::<Int32Type>().value(row)}),
        DataType::Int64 => json!({"int64": array.as_primitive::<Int64Type>().value(row)}),
        DataType::Float32 => json!({"float32": float(of_float(array.as_primitive::<Float32Type>().value(row)))}),
        DataType::Float64 => json!({"float64": float(array.as_primitive::<Float64Type>().value(row))}),
        DataType::Utf8 => json!({"string": array.as_string::<i32>().value(row)}),
        DataType::Binary => json!({"bytes": STANDARD.encode(array.as_binary::<i32>().value(row))}),
        DataType::Date32 => json!({"date": i64::from(array.as_primitive::<Date32Type>().value(row)) * 86_400_000}),
        DataType::Time32(_) => json!({"date": array.as_primitive::<Time32MillisecondType>().value(row)}),
        DataType::Timestamp(..) => json!({"date": array.as_primitive::<TimestampMillisecondType>().value(row)}),
        DataType::Decimal128(_, scale) => {
            json!({"decimal": BigDecimal::new(&array.as_primitive::<Decimal128Type>().value(row).to_string(), (*scale).into()).to_string()})
        }
        DataType::Decimal256(_, scale) => {
            json!({"decimal": BigDecimal::new(&array.as_primitive::<Decimal256Type>().value(row).to_string(), (*scale).into()).to_string()})
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            json!({"array": (0..items.len()).map(|item| of_array(&items, item)).collect::<Vec<_>>()})
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let pair = |at| json!([of_array(entries.column(0), at), of_array(entries.column(1), at)]);
            json!({"map": sorted((0..entries.len()).map(pair).collect())})
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            json!({"struct": fields.iter().zip(columns).map(|(field, column)| (field.name().clone(), of_array(column, row))).collect::<Map<_, _>>()})
        }
        other => json!({"unknown": other.to_string()}),
    }
}

/// The double whose text is the float's: so the vectors have them.
pub(crate) fn of_float(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

/// Entries in the order of their keys' texts.
pub(crate) fn sorted(mut entries: Vec<Value>) -> Vec<Value> {
    entries.sort_by_key(|entry| tag(&entry[0]).map(|(_, inner)| inner.as_str().map_or_else(|| inner.to_string(), str::to_owned)));
    entries
}

/// A row without a schema.
pub(crate) fn of_dynamic(values: &Dynamic, row: usize) -> Value {
    match values.kind(row) {
        Kind::Absent | Kind::Null => Value::Null,
        Kind::List => {
            let Some((offsets, items)) = values.list() else { return Value::Null };
            let at = |row: usize| usize::try_from(offsets[row]).unwrap_or(0);
            json!({"array": (at(row)..at(row + 1)).map(|item| of_dynamic(&items, item)).collect::<Vec<_>>()})
        }
        Kind::Map => {
            let members = values.members().filter(|(_, member)| member.kind(row) != Kind::Absent);
            json!({"map": sorted(members.map(|(name, member)| json!([{"string": name.as_ref()}, of_dynamic(&member, row)])).collect())})
        }
        kind => {
            let Some(lane) = values.lane(kind) else { return Value::Null };
            let value = of_array(lane, row);
            match (kind, tag(&value)) {
                (Kind::Decimal, Some((_, inner))) => json!({"decimal": inner}),
                (Kind::BigInteger, Some((_, inner))) => json!({"bigint": inner}),
                _ => value,
            }
        }
    }
}

/// A value without a schema as JSON text; none for what JSON does not hold.
pub(crate) fn json_of(value: &Value) -> Option<Value> {
    if value.is_null() {
        return Some(Value::Null);
    }
    let (tag, inner) = tag(value)?;
    Some(match tag {
        "array" => inner.as_array()?.iter().map(json_of).collect::<Option<_>>()?,
        "map" => {
            let entry = |pair: &Value| Some((self::tag(&pair[0]).filter(|(tag, _)| *tag == "string")?.1.as_str()?.to_owned(), json_of(&pair[1])?));
            Value::Object(inner.as_array()?.iter().map(entry).collect::<Option<_>>()?)
        }
        "boolean" | "int8" | "int16" | "int32" | "int64" | "float32" | "float64" | "string" => inner.clone(),
        _ => return None,
    })
}

/// A column of these values, all under one schema; a null stands in it whatever its own is.
pub(crate) fn columns(name: &str, schema: &Value, values: &[&Value]) -> Result<Column, String> {
    if !schema.is_null() {
        let field = Arc::new(from_connect_json(name, schema.to_string().as_bytes()).map_err(|error| error.to_string())?);
        let one = |value: &&Value| array(&field, value).ok_or_else(|| format!("{value} is no value of {}", field.data_type()));
        let arrays = values.iter().map(one).collect::<Result<Vec<_>, String>>()?;
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        let array = concat(&arrays).map_err(|error| error.to_string())?;
        return Ok(Column::new(field, array));
    }
    if values.iter().all(|value| value.is_null()) {
        return Ok(Column::new(Arc::new(Field::new(name, DataType::Null, true)), new_null_array(&DataType::Null, values.len())));
    }
    let mut builder = Builder::new();
    values.iter().try_for_each(|value| push(&mut builder, value))?;
    Ok(builder.finish().map_err(|error| error.to_string())?.into_column(name))
}

fn integer<T: TryFrom<i64>>(value: &Value) -> Result<T, String> {
    value.as_i64().and_then(|value| T::try_from(value).ok()).ok_or_else(|| format!("{value} is no such integer"))
}

fn string(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("{value} is no text"))
}

fn push(builder: &mut Builder, value: &Value) -> Result<(), String> {
    if value.is_null() {
        builder.value(Scalar::Null);
        return Ok(());
    }
    let (tag, value) = tag(value).ok_or_else(|| format!("{value} is no value with a tag"))?;
    match tag {
        "boolean" => builder.value(Scalar::Boolean(value.as_bool().unwrap_or_default())),
        "int8" => builder.value(Scalar::Int8(integer(value)?)),
        "int16" => builder.value(Scalar::Int16(integer(value)?)),
        "int32" => builder.value(Scalar::Int32(integer(value)?)),
        "int64" => builder.value(Scalar::Int64(integer(value)?)),
        "float32" => builder.value(Scalar::Float32(double(value).ok_or("no float")? as f32)),
        "float64" => builder.value(Scalar::Float64(double(value).ok_or("no float")?)),
        "string" => builder.value(Scalar::String(string(value)?)),
        "bytes" => builder.value(Scalar::Bytes(&STANDARD.decode(string(value)?).map_err(|error| error.to_string())?)),
        "date" => builder.value(Scalar::Date(integer(value)?)),
        "decimal" => builder.value(Scalar::Decimal(string(value)?)),
        "bigint" => builder.value(Scalar::BigInteger(string(value)?)),
        "array" => {
            builder.open_list();
            value.as_array().into_iter().flatten().try_for_each(|item| push(builder, item))?;
            builder.close();
        }
        "map" => {
            builder.open_map();
            for pair in value.as_array().into_iter().flatten() {
                builder.key(string(&pair[0]["string"])?);
                push(builder, &pair[1])?;
            }
            builder.close();
        }
        other => return Err(format!("a value with the tag {other} is not understood")),
    }
    Ok(())
}

/// The schema of a column in a form that can be compared, and the first of its values.
pub(crate) fn described(column: &Column) -> Result<(Option<String>, Value), String> {
    let value = of_column(column, 0)?;
    Ok((has_schema(column).then(|| described_field(&column.field)), value))
}

/// Whether the values of a column are under a schema.
pub(crate) fn has_schema(column: &Column) -> bool {
    column.field.data_type() != &DataType::Null && !is_json_text(&column.field) && Dynamic::of_column(column).is_none()
}

/// A row of a column, under a schema or not.
pub(crate) fn of_column(column: &Column, row: usize) -> Result<Value, String> {
    if column.field.data_type() == &DataType::Null {
        return Ok(Value::Null);
    }
    if is_json_text(&column.field) {
        let read = read_json(&column.array.as_string().slice(row, 1)).map_err(|error| error.to_string())?;
        return read.rejects.first().map_or_else(|| Ok(of_dynamic(&read.values, 0)), |reject| Err(reject.reason.clone()));
    }
    Ok(Dynamic::of_column(column).map_or_else(|| of_array(&column.array, row), |values| of_dynamic(&values, row)))
}

/// An expected schema in the same form.
pub(crate) fn normal_schema(schema: &Value) -> Result<Option<String>, String> {
    if schema.is_null() {
        return Ok(None);
    }
    let field = from_connect_json("", schema.to_string().as_bytes()).or_else(|_| {
        // Java's schemas may bear a logical name over a type that it does not stand for.
        let mut plain = schema.clone();
        let name = plain.as_object_mut().and_then(|members| members.remove("name")).and_then(|name| Some(name.as_str()?.to_owned()));
        let field = from_connect_json("", plain.to_string().as_bytes())?;
        let mut named = field.metadata().clone();
        named.extend(name.map(|name| (NAME.to_owned(), name)));
        Ok(field.with_metadata(named))
    });
    Ok(Some(described_field(&field.map_err(|error: SchemaError| error.to_string())?)))
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
